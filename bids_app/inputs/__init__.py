"""Which images there are, which of them are wanted, and the matrix of values that they hold."""
