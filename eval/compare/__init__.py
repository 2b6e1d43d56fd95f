"""Several runs side by side, in one table and one chart."""
