"""Models: located, checked and loaded."""
