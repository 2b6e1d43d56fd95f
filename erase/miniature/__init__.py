"""The shipped miniature Stable Diffusion: a plain diffusers folder with its judges and its card."""
