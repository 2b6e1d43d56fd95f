"""Architectures of text-to-image models: what differs between them, one file for each."""
