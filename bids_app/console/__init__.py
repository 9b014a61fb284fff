"""What people see while it runs: stages, warnings, progress, and how words are listed."""
