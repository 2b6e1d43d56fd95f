"""I2P prompts, counted by NudeNet."""
