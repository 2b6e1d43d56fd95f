"""A run: its plan, sets, mask, training and record."""
