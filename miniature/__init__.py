"""How the shipped miniature Stable Diffusion is made: ``python -m miniature`` (not installed)."""
