"""Clusters and TFCE by the definition: connected components of scipy's, height by height."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components


@dataclass(frozen=True)
class Components:
    """Elements with neighbours and sizes."""

    matrix: csr_matrix
    """(n, n) which are neighbours."""
    sizes: np.ndarray
    """(n,)"""
    extent: np.ndarray
    """(n,) exponent E of TFCE at each element, the same for all that are connected."""

    def of(self, inside: np.ndarray) -> list[np.ndarray]:
        """Return the elements of each connected set, of those that are inside, (n,)."""
        members = np.flatnonzero(inside)
        n, labels = connected_components(self.matrix[members][:, members])
        return [members[labels == label] for label in range(n)]

    def clusters(self, t: np.ndarray, forming: float) -> tuple[np.ndarray, np.ndarray]:
        """Return size and mass of the cluster that each element is in, 0 in none."""
        size, mass = np.zeros_like(t), np.zeros_like(t)
        for members in self.of(t > forming):
            size[members] = self.sizes[members].sum()
            mass[members] = (self.sizes[members] * (t[members] - forming)).sum()
        return size, mass

    def tfce(self, t: np.ndarray) -> np.ndarray:
        """Return the integral, H = 2, as a sum over the heights that occur, between which no extent changes."""
        total, lower = np.zeros_like(t), 0.0
        for height in np.unique(t[t > 0]):
            for members in self.of(t >= height):
                extent = self.sizes[members].sum() ** self.extent[members[0]]
                total[members] += extent * (height**3 - lower**3) / 3
            lower = height
        return total
