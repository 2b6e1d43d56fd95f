"""A run's folder and its record, run.json."""
