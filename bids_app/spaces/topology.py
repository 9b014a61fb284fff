"""Which elements of a map touch each other, as the compiled kernels take it: one named tuple for each kind of space.

Numba compiles a kernel for the type of the tuple, so that a lattice of voxels keeps its fixed offsets and every other
space its list of neighbours.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Booleans, Floats, Integers

# Steps along the axes that lead to a neighbour
REACH = {6: 1, 18: 2, 26: 3}


class LatticeTopology(NamedTuple):
    """The voxels of a mask, laid into a grid with an empty border.

    Thanks to the border a neighbour is a fixed offset away, and no kernel has to look at the edges. Each voxel has the
    size 1: sizes of clusters count voxels.
    """

    position: Integers  # (n_voxels,) flat index of each voxel in the bordered grid
    voxel: Integers  # (n_grid,) voxel at each place of the bordered grid, -1 where none
    offsets: Integers  # (connectivity,) flat offsets of the neighbours
    cube: Integers  # (27,) flat offsets of the 3 x 3 x 3 places around a voxel, itself included, in C order
    connectivity: int  # 6 (faces), 18 (and edges) or 26 (and corners)
    shape: tuple[int, int, int]  # of the bordered grid

    @classmethod
    def from_mask(cls, mask: Booleans, connectivity: int) -> LatticeTopology:
        """Return the lattice of a mask.

        Parameters
        ----------
        mask : (i, j, k) bool
        connectivity : 6, 18 or 26

        Raises
        ------
        ValueError
            For any other connectivity.
        """
        if connectivity not in REACH:
            raise ValueError(f"connectivity is {connectivity}; expected 6, 18 or 26")
        bordered = np.pad(mask, 1)
        position = np.flatnonzero(bordered).astype(np.int32)
        voxel = np.full(bordered.size, -1, np.int32)
        voxel[position] = np.arange(position.size, dtype=np.int32)
        n_i, n_j, n_k = bordered.shape
        steps = np.array(list(product((-1, 0, 1), repeat=3)))
        cube = ((steps[:, 0] * n_j + steps[:, 1]) * n_k + steps[:, 2]).astype(np.int32)
        distance = np.abs(steps).sum(axis=1)
        offsets = cube[(distance > 0) & (distance <= REACH[connectivity])]
        return cls(position, voxel, offsets, cube, connectivity, (n_i, n_j, n_k))

    @property
    def n_elements(self) -> int:
        """Voxels of the mask."""
        return int(self.position.size)

    @property
    def n_places(self) -> int:
        """Places that the scratch of a kernel needs: those of the bordered grid."""
        return int(self.voxel.size)

    def neighbours(self, voxels: NDArray[np.integer] | slice = slice(None)) -> Integers:
        """Return the neighbours of voxels, (n, connectivity), -1 where there is none."""
        return np.asarray(self.voxel[self.position[voxels][:, None] + self.offsets[None, :]])


class GraphTopology(NamedTuple):
    """Elements of any space, each with the list of its neighbours and a size."""

    indptr: Integers  # (n_elements + 1,) where the neighbours of each element begin in `indices`
    indices: Integers  # (2 * n_edges,) neighbours, ascending within an element
    sizes: Floats  # (n_elements,) what an element adds to the size of its cluster: mm2, or 1

    @property
    def n_elements(self) -> int:
        """Elements of the space."""
        return int(self.sizes.size)

    @property
    def n_places(self) -> int:
        """Places that the scratch of a kernel needs: one for each element."""
        return int(self.sizes.size)


Topology = LatticeTopology | GraphTopology
