"""From statistics and permutations to corrected p-values, thresholds and tables of clusters."""
