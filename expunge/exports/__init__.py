"""Exports of a run, and models made of them."""
