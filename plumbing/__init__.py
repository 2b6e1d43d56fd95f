"""What everything leans on: errors, whole files, locks, signals, processes. No torch at import."""
