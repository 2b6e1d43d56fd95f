"""The commands, one a file: the only modules that may import both erase and eval."""
