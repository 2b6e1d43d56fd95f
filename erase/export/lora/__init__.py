"""LoRA files: made from an erasure, read, and added to a base."""
