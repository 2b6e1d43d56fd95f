"""What every trained method shares: the loop, batches, optimiser, memory, drift, saved state."""
