"""The equations: noise schedules, conditioning, latents."""
