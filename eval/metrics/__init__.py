"""The schema of results and their arithmetic; no torch."""
