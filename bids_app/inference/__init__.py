"""Inference: clusters and TFCE, the permutation null, corrections."""
