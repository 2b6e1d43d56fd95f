"""Can what was erased be brought back? One attack, one file."""
