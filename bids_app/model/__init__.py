"""The model file, read and checked, as settings and specifications with their defaults."""
