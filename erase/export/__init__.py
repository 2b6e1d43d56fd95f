"""Ways to write erased weights: one format, one file."""
