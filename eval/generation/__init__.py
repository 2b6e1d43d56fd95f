"""Images drawn from prompts, logged, paired by seed."""
