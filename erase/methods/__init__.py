"""Erasure methods: one method, one file."""
