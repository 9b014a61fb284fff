"""Connected components, extent, mass and TFCE of statistic maps: compiled array kernels.

Shapes: n_voxels are the voxels of the analysis mask in C order. Nothing here knows of images, designs or p-values.
All kernels release the GIL, allocate only their own scratch, and give the same bytes on any number of threads.

References
----------
Smith & Nichols 2009, doi 10.1016/j.neuroimage.2008.03.061 (TFCE); Bullmore et al. 1999, doi 10.1109/42.750253
(cluster mass); Najman & Couprie 2006, doi 10.1109/TIP.2006.877518 (component tree by union-find).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int32]

EXTENT_EXPONENT = 0.5
HEIGHT_EXPONENT = 2.0


@dataclass(frozen=True, slots=True)
class Lattice:
    """Which voxels of a mask touch each other.

    The mask is laid into a grid with an empty border, so that a neighbour is a fixed offset away and no kernel has
    to look at the edges.
    """

    position: Integers  # (n_voxels,) flat index of each voxel in the bordered grid
    voxel: Integers  # (n_grid,) voxel at each place of the bordered grid, -1 where none
    offsets: Integers  # (connectivity,) flat offsets of the neighbours
    connectivity: int  # 6 (faces), 18 (and edges) or 26 (and corners)

    @classmethod
    def from_mask(cls, mask: NDArray[np.bool_], connectivity: int) -> Lattice:
        """Build the lattice of a mask.

        Parameters
        ----------
        mask : (i, j, k) bool
        connectivity : 6, 18 or 26

        Raises
        ------
        ValueError
            For any other connectivity.
        """
        reach = {6: 1, 18: 2, 26: 3}
        if connectivity not in reach:
            raise ValueError(f"connectivity is {connectivity}; expected 6, 18 or 26")
        bordered = np.pad(mask, 1)
        position = np.flatnonzero(bordered).astype(np.int32)
        voxel = np.full(bordered.size, -1, np.int32)
        voxel[position] = np.arange(position.size, dtype=np.int32)
        _, n_j, n_k = bordered.shape
        offsets = [
            (di * n_j + dj) * n_k + dk
            for di, dj, dk in product((-1, 0, 1), repeat=3)
            if 0 < abs(di) + abs(dj) + abs(dk) <= reach[connectivity]
        ]
        return cls(position, voxel, np.array(offsets, np.int32), connectivity)

    @property
    def n_voxels(self) -> int:
        """Voxels of the mask."""
        return int(self.position.size)

    def neighbours(self) -> Integers:
        """Neighbours of every voxel, (n_voxels, connectivity), -1 where there is none."""
        return np.asarray(self.voxel[self.position[:, None] + self.offsets[None, :]])


def label_components(supra: NDArray[np.bool_], lattice: Lattice) -> Integers:
    """Give every connected set of voxels a number.

    Parameters
    ----------
    supra : (n_voxels,) bool
    lattice : Lattice

    Returns
    -------
    (n_voxels,) int32
        0 where `supra` is false, otherwise 1, 2, ... in the order of each set's first voxel.
    """
    return np.asarray(_label(supra, lattice.position, lattice.voxel, lattice.offsets))


def cluster_values(statistic: Singles, threshold: float, lattice: Lattice) -> tuple[Floats, Floats]:
    """Size and mass of the cluster that each voxel belongs to.

    Parameters
    ----------
    statistic : (n_voxels,) float32
    threshold : voxels strictly above it form clusters
    lattice : Lattice

    Returns
    -------
    size, mass : (n_voxels,) float64
        Voxels, and sum of statistic - threshold, of the voxel's cluster; 0 below the threshold.
    """
    labels = label_components(statistic > np.float32(threshold), lattice)
    excess = np.where(labels > 0, statistic.astype(np.float64) - threshold, 0.0)
    size = np.bincount(labels).astype(np.float64)
    mass = np.asarray(np.bincount(labels, weights=excess), np.float64)
    size[0] = mass[0] = 0.0
    return size[labels], mass[labels]


def max_cluster(statistic: Singles, threshold: float, lattice: Lattice) -> tuple[float, float]:
    """Return the largest size and the largest mass over the clusters of a map; 0, 0 where there is none."""
    size, mass = _max_cluster(
        statistic, np.float32(threshold), float(threshold), lattice.position, lattice.voxel, lattice.offsets
    )
    return float(size), float(mass)


def tfce(statistic: Singles, lattice: Lattice) -> Floats:
    """Threshold-free cluster enhancement of the positive part of a map, exactly.

    Parameters
    ----------
    statistic : (n_voxels,) float32
        Values at or below zero get 0.
    lattice : Lattice

    Returns
    -------
    (n_voxels,) float64
        The integral from 0 to the voxel's height h_v of e(h)^0.5 h^2 dh, with e(h) the voxels of its component above h.

    Notes
    -----
    Voxels enter from the highest to the lowest. Each becomes a node of the component tree: its extent stays constant
    from its own height down to that of the voxel that joins its component next, so that the integral is a finite sum
    over the path from the voxel to the root, and no step size enters.
    """
    return np.asarray(_tfce(statistic, lattice.position, lattice.voxel.size, lattice.offsets))


def max_tfce(statistic: Singles, lattice: Lattice) -> float:
    """Return the largest TFCE value of a map; 0 where nothing is positive."""
    return float(_tfce(statistic, lattice.position, lattice.voxel.size, lattice.offsets).max(initial=0.0))


@numba.njit(nogil=True, cache=True)
def _find(parent: Integers, node: int) -> int:
    """Root of a node; the path is halved on the way."""
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@numba.njit(nogil=True, cache=True)
def _join(supra: NDArray[np.bool_], position: Integers, voxel: Integers, offsets: Integers) -> Integers:
    """Union-find forest over the supra-threshold voxels; the root of a set is its first voxel."""
    n_voxels = supra.size
    parent = np.full(n_voxels, -1, np.int32)
    for v in range(n_voxels):
        if not supra[v]:
            continue
        parent[v] = v
        for o in range(offsets.size):
            w = voxel[position[v] + offsets[o]]
            if w < 0 or w > v or parent[w] < 0:  # later voxels will look back at this one
                continue
            a, b = _find(parent, v), _find(parent, w)
            if a < b:
                parent[b] = a
            else:
                parent[a] = b
    return parent


@numba.njit(nogil=True, cache=True)
def _label(supra: NDArray[np.bool_], position: Integers, voxel: Integers, offsets: Integers) -> Integers:
    parent = _join(supra, position, voxel, offsets)
    labels = np.zeros(supra.size, np.int32)
    n_labels = 0
    for v in range(supra.size):
        if parent[v] == v:
            n_labels += 1
            labels[v] = n_labels
        elif parent[v] >= 0:
            labels[v] = labels[_find(parent, v)]
    return labels


@numba.njit(nogil=True, cache=True)
def _max_cluster(
    statistic: Singles,
    threshold_single: np.float32,
    threshold: float,
    position: Integers,
    voxel: Integers,
    offsets: Integers,
) -> tuple[int, float]:
    parent = _join(statistic > threshold_single, position, voxel, offsets)
    size = np.zeros(statistic.size, np.int32)
    mass = np.zeros(statistic.size, np.float64)
    largest, heaviest = 0, 0.0
    for v in range(statistic.size):
        if parent[v] < 0:
            continue
        root = _find(parent, v)
        size[root] += 1
        mass[root] += np.float64(statistic[v]) - threshold
        largest = max(largest, size[root])
        heaviest = max(heaviest, mass[root])
    return largest, heaviest


@numba.njit(nogil=True, cache=True)
def _descending(values: Singles) -> Integers:
    """Order of positive floats from the highest down; equal ones keep their order.

    The bits of positive floats sort like integers: three passes of a counting sort over 11 bits each.
    """
    keys = values.view(np.uint32)
    n = keys.size
    order = np.arange(n).astype(np.int32)
    spare = np.empty(n, np.int32)
    for digit in range(3):
        shift = np.uint32(11 * digit)
        start = np.zeros(2049, np.int64)
        for i in range(n):
            start[2048 - ((keys[i] >> shift) & np.uint32(2047))] += 1
        for b in range(1, 2049):
            start[b] += start[b - 1]
        for i in range(n):
            bucket = 2047 - ((keys[order[i]] >> shift) & np.uint32(2047))
            spare[start[bucket]] = order[i]
            start[bucket] += 1
        order, spare = spare, order
    return order


@numba.njit(nogil=True, cache=True)
def _tfce(statistic: Singles, position: Integers, n_grid: int, offsets: Integers) -> Floats:
    """TFCE of every voxel; nodes of the component tree are numbered in the order in which they enter."""
    positive = np.flatnonzero(statistic > 0).astype(np.int32)
    voxels = positive[_descending(statistic[positive])]
    extent, below = _component_tree(position[voxels], n_grid, offsets)
    node_value = np.empty(voxels.size, np.float64)
    enhanced = np.zeros(statistic.size, np.float64)
    for node in range(voxels.size - 1, -1, -1):
        height, base, foot = np.float64(statistic[voxels[node]]), 0.0, 0.0
        if below[node] >= 0:
            base = node_value[below[node]]
            foot = np.float64(statistic[voxels[below[node]]])
        # height^3 - foot^3 without cancellation of nearly equal heights
        slab = (height - foot) * (height * height + height * foot + foot * foot) / (HEIGHT_EXPONENT + 1.0)
        node_value[node] = base + math.sqrt(np.float64(extent[node])) * slab
        enhanced[voxels[node]] = node_value[node]
    return enhanced


@numba.njit(nogil=True, cache=True)
def _component_tree(places: Integers, n_grid: int, offsets: Integers) -> tuple[Integers, Integers]:
    """Extent of every node when it enters, and the lower node that it then hangs on (-1: none).

    `places` are positions in the bordered grid, the highest voxel first. Sets are joined by size, so that the paths
    stay short, and remember their lowest node, which is the root of their part of the tree.
    """
    n_nodes = places.size
    node_at = np.full(n_grid, -1, np.int32)
    parent = np.empty(n_nodes, np.int32)
    size = np.empty(n_nodes, np.int32)
    lowest = np.empty(n_nodes, np.int32)
    extent = np.empty(n_nodes, np.int32)
    below = np.full(n_nodes, -1, np.int32)
    for node in range(n_nodes):
        node_at[places[node]] = node
        parent[node] = node
        size[node] = 1
        own = node
        for o in range(offsets.size):
            neighbour = node_at[places[node] + offsets[o]]
            if neighbour < 0 or parent[neighbour] == own:
                continue
            other = _find(parent, neighbour)
            if other == own:
                continue
            below[lowest[other]] = node
            if size[other] > size[own]:
                own, other = other, own
            parent[other] = own
            size[own] += size[other]
        lowest[own] = node
        extent[node] = size[own]
    return extent, below
