"""From the maps to t, F, degrees of freedom, effect sizes, smoothness and diagnostics of every contrast."""
