"""Files of tensors, read and written one tensor at a time."""
