"""What a run finds out, as values, and as files that are written and read back."""
