"""Which permutations a contrast has, and the statistic of each of them."""
