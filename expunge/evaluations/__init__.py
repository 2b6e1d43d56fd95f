"""Evaluations of a target, as the commands run them."""
