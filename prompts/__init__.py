"""Concepts and prompt sets: data files and their readers, standard library only."""
