"""Can it be brought back? Attacks on the original, the erased and a model that never knew it."""
