"""The equations: noise schedules, conditioning, predictions, latents, trainable groups."""
