"""One page or table on a run, from its records alone."""
