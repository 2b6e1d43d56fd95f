"""What several test modules share: tiny models, runs of them, and looks into folders."""
