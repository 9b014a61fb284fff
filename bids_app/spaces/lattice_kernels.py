"""Clusters and component trees of voxels on a lattice: neighbours are fixed offsets, a neighbourhood is 27 bits.

Shapes: n_voxels are the voxels of the analysis mask in C order. Nothing here knows of images, designs or p-values.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bids_app.arrays import Bytes, Integers, Singles
from bids_app.spaces.topology import LatticeTopology
from bids_app.spaces.tree_kernels import Exponents, TreeScratch, compiled, descending, find, inner, integrate

# The 3 x 3 x 3 cube around a voxel as 27 bits, in C order.
CENTRE = 1 << 13
FACES = 1 << 4 | 1 << 10 | 1 << 12 | 1 << 14 | 1 << 16 | 1 << 22
# 2^0 to 2^35 all leave different remainders modulo 37, so that the remainder tells the bit.
INDEX_OF_BIT = np.zeros(37, np.int32)
INDEX_OF_BIT[[(1 << index) % 37 for index in range(27)]] = range(27)


class LatticeScratch(NamedTuple):
    """Working memory of one thread for TFCE, about 80 bytes per voxel; what it holds before a map does not matter."""

    tree: TreeScratch
    entered: Bytes  # (n_grid,)
    component: Integers  # (n_grid,)

    @classmethod
    def for_topology(cls, lattice: LatticeTopology) -> LatticeScratch:
        """Return unfilled scratch for one map at a time of this lattice."""
        tree = TreeScratch.for_elements(lattice.n_elements, np.int32)
        return cls(tree, np.empty(lattice.n_places, np.uint8), np.empty(lattice.n_places, np.int32))


@inner
def _not_seen_by_the_one_before(back: Integers, offsets: Integers) -> Integers:
    """Those of the offsets that look back which are not neighbours of the voxel one place before."""
    fresh = np.empty(back.size, np.int32)
    n_fresh = 0
    for offset in back:
        is_seen = offset == -1
        for other in offsets:
            is_seen |= other == offset + 1
        if not is_seen:
            fresh[n_fresh] = offset
            n_fresh += 1
    return fresh[:n_fresh]


@compiled
def list_maxima(
    voxels: Integers, heights: Singles, threshold: float, lattice: LatticeTopology, node_at: Integers
) -> tuple[int, float]:
    """Largest size and largest mass over the clusters of a list of voxels; see `clusters.list_maxima`."""
    position, offsets = lattice.position, lattice.offsets
    n_listed = voxels.size
    parent = np.empty(n_listed, np.int32)
    back = offsets[: offsets.size // 2]  # later voxels look back at this one
    fresh = _not_seen_by_the_one_before(back, offsets)
    before = -1
    for node in range(n_listed):
        place = position[voxels[node]]
        positive = heights[node] > 0
        own, steps = node, back
        if place == before + 1 and (heights[node - 1] > 0) == positive:
            own, steps = find(parent, node - 1), fresh
        parent[node] = own
        for s in range(steps.size):
            neighbour = node_at[place + steps[s]]
            if neighbour < 0 or (heights[neighbour] > 0) != positive or parent[neighbour] == own:
                continue
            other = find(parent, neighbour)
            if other < own:
                parent[own] = other
                own = other
            else:
                parent[other] = own
        node_at[place] = node
        before = place
    size = np.zeros(n_listed, np.int32)
    mass = np.zeros(n_listed, np.float64)
    largest, heaviest = 0, 0.0
    for node in range(n_listed):
        root = find(parent, node)
        size[root] += 1
        mass[root] += abs(np.float64(heights[node])) - threshold
        largest = max(largest, size[root])
        heaviest = max(heaviest, mass[root])
        node_at[position[voxels[node]]] = -1
    return largest, heaviest


@compiled
def fill_tree(
    statistic: Singles, sign: np.float32, exponents: Exponents, lattice: LatticeTopology, scratch: LatticeScratch
) -> int:
    """Fill in `places` and `value`, the highest voxel first, for the voxels of one sign; how many they are."""
    n_nodes = descending(statistic, sign, lattice.position, scratch.tree)
    _component_tree(n_nodes, lattice, scratch)
    integrate(n_nodes, exponents, scratch.tree)
    return n_nodes


@inner
def _component_tree(n_nodes: int, lattice: LatticeTopology, scratch: LatticeScratch) -> None:
    """Fill in `extent`, of every node when it enters, and `below`, the node that it then hangs on (-1: none).

    Voxels enter in the order of `places`. Components are numbered by the peak that they start from, few against the
    voxels, so that their union-find forest stays in the first cache; they are joined by size, so that the paths stay
    short, and remember their lowest node, which is the root of their part of the tree. Which neighbours have entered
    is read as 27 bits, and of those that touch each other only one is looked up.
    """
    tree, cube, connectivity = scratch.tree, lattice.cube, lattice.connectivity
    places, extent, below = tree.places, tree.extent, tree.below
    entered, component = scratch.entered, scratch.component
    parent, size, lowest = tree.parent, tree.size, tree.lowest
    entered[:] = 0
    n_components = 0
    touching = _dilate(CENTRE, connectivity) & ~CENTRE
    for node in range(n_nodes):
        place = int(places[node])
        around = _enter(place, entered, cube)
        pending = around & touching
        below[node] = -1
        own = -1
        while pending:
            faces = pending & FACES  # they touch more of the others than edges and corners do
            bit = faces & -faces if faces else pending & -pending
            pending &= ~_dilate(_dilate(bit, connectivity) & around, connectivity)
            other = find(parent, component[place + cube[INDEX_OF_BIT[bit % 37]]])
            if other == own:
                continue
            below[lowest[other]] = node
            if own < 0:
                own = other
                continue
            if size[other] > size[own]:
                own, other = other, own
            parent[other] = own
            size[own] += size[other]
        if own < 0:
            own = n_components
            n_components += 1
            parent[own] = own
            size[own] = 0
        size[own] += 1
        lowest[own] = node
        component[place] = own
        extent[node] = size[own]


@inner
def _enter(place: int, entered: Bytes, cube: Integers) -> int:
    """Enter a voxel; which of the cube around it had entered before, as bits in the order of `LatticeTopology.cube`.

    A byte of `entered` has three bits: whether the voxel before, at and after its place has entered.
    """
    row, plane = cube[16], cube[22]  # one step along j and along i
    around = 0
    for line in range(9):
        around |= int(entered[place + (line // 3 - 1) * plane + (line % 3 - 1) * row]) << (3 * line)
    entered[place - 1] |= 4
    entered[place] |= 2
    entered[place + 1] |= 1
    return around


@inner
def _dilate(bits: int, connectivity: int) -> int:
    """Add to a set of places in the cube what touches it, as bits in the order of `LatticeTopology.cube`."""
    along_k = bits | ((bits << 1) & 0o666666666) | ((bits >> 1) & 0o333333333)
    along_jk = along_k | ((along_k << 3) & 0o770770770) | ((along_k >> 3) & 0o077077077)
    if connectivity == 26:
        return along_jk | (along_jk << 9) | (along_jk >> 9)
    along_j = bits | ((bits << 3) & 0o770770770) | ((bits >> 3) & 0o077077077)
    if connectivity == 18:
        either = along_j | along_k
        return along_jk | (either << 9) | (either >> 9)
    return along_j | along_k | (bits << 9) | (bits >> 9)
