"""Checks that a run, or what was exported of it, is as recorded."""
