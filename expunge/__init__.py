"""The product: the command line, its settings, and what the commands do."""
