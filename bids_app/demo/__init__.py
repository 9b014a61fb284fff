"""The demonstration: a simulated study with known effects."""
