"""Forget and retain sets, drawn or read, encoded once and stored."""
