"""The commands' flags as dataclasses; no torch."""
