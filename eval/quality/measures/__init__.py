"""The measures of quality: one file each, and `known.py`, which lists them."""
