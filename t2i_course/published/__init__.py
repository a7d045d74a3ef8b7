"""Published checkpoints -> our modules: one visible table of names per format, and a strict load."""
