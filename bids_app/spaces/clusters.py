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
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_app.arrays import Bytes, Floats, Integers, Longs, Singles

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

EXTENT_EXPONENT = 0.5
HEIGHT_EXPONENT = 2.0

# The 3 x 3 x 3 cube around a voxel as 27 bits, in C order.
CENTRE = 1 << 13
FACES = 1 << 4 | 1 << 10 | 1 << 12 | 1 << 14 | 1 << 16 | 1 << 22
# 2^0 to 2^35 all leave different remainders modulo 37, so that the remainder tells the bit.
INDEX_OF_BIT = np.zeros(37, np.int32)
INDEX_OF_BIT[[(1 << index) % 37 for index in range(27)]] = range(27)

# Steps along the axes that lead to a neighbour
REACH = {6: 1, 18: 2, 26: 3}

_compiled = numba.njit(nogil=True, cache=True)
# Without the wrappers by which Python calls a function, it compiles faster
_inner: Callable[[Kernel], Kernel] = cast("Any", numba.njit)(
    nogil=True, cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True
)


@dataclass(frozen=True, slots=True)
class Lattice:
    """Which voxels of a mask touch each other.

    The mask is laid into a grid with an empty border, so that a neighbour is a fixed offset away and no kernel has
    to look at the edges.
    """

    position: Integers  # (n_voxels,) flat index of each voxel in the bordered grid
    voxel: Integers  # (n_grid,) voxel at each place of the bordered grid, -1 where none
    offsets: Integers  # (connectivity,) flat offsets of the neighbours
    cube: Integers  # (27,) flat offsets of the 3 x 3 x 3 places around a voxel, itself included, in C order
    connectivity: int  # 6 (faces), 18 (and edges) or 26 (and corners)
    shape: tuple[int, int, int]  # of the bordered grid

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
        if connectivity not in REACH:
            raise ValueError(f"connectivity is {connectivity}; expected 6, 18 or 26")
        bordered = np.pad(mask, 1)
        position = np.flatnonzero(bordered).astype(np.int32)
        voxel = np.full(bordered.size, -1, np.int32)
        voxel[position] = np.arange(position.size, dtype=np.int32)
        _, n_j, n_k = bordered.shape
        steps = np.array(list(product((-1, 0, 1), repeat=3)))
        cube = ((steps[:, 0] * n_j + steps[:, 1]) * n_k + steps[:, 2]).astype(np.int32)
        distance = np.abs(steps).sum(axis=1)
        offsets = cube[(distance > 0) & (distance <= REACH[connectivity])]
        return cls(position, voxel, offsets, cube, connectivity, bordered.shape)

    @property
    def n_voxels(self) -> int:
        """Voxels of the mask."""
        return int(self.position.size)

    def neighbours(self) -> Integers:
        """Neighbours of every voxel, (n_voxels, connectivity), -1 where there is none."""
        return np.asarray(self.voxel[self.position[:, None] + self.offsets[None, :]])


class Scratch(NamedTuple):
    """Working memory of one thread for TFCE, about 80 bytes per voxel; what it holds before a map does not matter."""

    keys: Longs  # (n_voxels,) and so on, but for the two grids
    spare: Longs
    places: Integers  # in the bordered grid, of the nodes of the component tree: the voxels, the highest first
    heights: Singles
    extent: Integers
    below: Integers
    value: Floats  # TFCE of the nodes
    parent: Integers  # of the components
    size: Integers
    lowest: Integers
    entered: Bytes  # (n_grid,)
    component: Integers  # (n_grid,)

    @classmethod
    def for_lattice(cls, lattice: Lattice) -> Scratch:
        """Allocate what one map at a time of this lattice needs."""
        n = lattice.n_voxels
        keys, spare = np.empty((2, n), np.int64)
        places, extent, below, parent, size, lowest = np.empty((6, n), np.int32)
        heights, value = np.empty(n, np.float32), np.empty(n, np.float64)
        entered, component = np.empty(lattice.voxel.size, np.uint8), np.empty(lattice.voxel.size, np.int32)
        return cls(keys, spare, places, heights, extent, below, value, parent, size, lowest, entered, component)


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
    volume = np.zeros(lattice.shape, np.bool_)
    volume.ravel()[lattice.position] = supra
    labels, _ = ndimage.label(volume, ndimage.generate_binary_structure(3, REACH[lattice.connectivity]))
    return np.asarray(labels.ravel()[lattice.position], np.int32)


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
    supra = np.flatnonzero(statistic > np.float32(threshold)).astype(np.int32)
    node_at = np.full(lattice.voxel.size, -1, np.int32)
    size, mass = list_maxima(supra, statistic[supra], float(threshold), lattice.position, lattice.offsets, node_at)
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
    scratch = Scratch.for_lattice(lattice)
    n_nodes = _enhance(statistic, np.float32(1), lattice.position, lattice.cube, lattice.connectivity, scratch)
    enhanced = np.zeros(statistic.size, np.float64)
    enhanced[lattice.voxel[scratch.places[:n_nodes]]] = scratch.value[:n_nodes]
    return enhanced


def max_tfce(statistic: Singles, lattice: Lattice, *, two_sided: bool = False, scratch: Scratch | None = None) -> float:
    """Return the largest TFCE value of a map, of either sign where two-sided; 0 where nothing is enhanced.

    `scratch` is for many maps, one per thread: with it nothing of the size of the map is allocated.
    """
    scratch = scratch or Scratch.for_lattice(lattice)
    return float(largest_tfce(statistic, 1 + two_sided, lattice.position, lattice.cube, lattice.connectivity, scratch))


@_inner
def _find(parent: Integers, node: int) -> int:
    """Root of a node; the path is halved on the way."""
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@_inner
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


@_compiled
def list_maxima(
    voxels: Integers, heights: Singles, threshold: float, position: Integers, offsets: Integers, node_at: Integers
) -> tuple[int, float]:
    """Largest size and largest mass over the clusters of a list of voxels; 0, 0 for an empty list.

    Parameters
    ----------
    voxels : (n_listed,) int32
        The voxels beyond the threshold, ascending.
    heights : (n_listed,) float32
        Their values; only voxels of equal sign join, so that positive and negative clusters are formed apart.
    threshold : forming height, above which mass counts
    position, offsets : those of the lattice
    node_at : (n_grid,) int32
        Scratch for the bordered grid, all -1 before and after.

    Returns
    -------
    size : int
    mass : float
        Sum of |height| - threshold, added up in double precision in the order of the list.

    Notes
    -----
    The cost is that of the list, not of the mask. For use inside other kernels.
    """
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
            own, steps = _find(parent, node - 1), fresh
        parent[node] = own
        for s in range(steps.size):
            neighbour = node_at[place + steps[s]]
            if neighbour < 0 or (heights[neighbour] > 0) != positive or parent[neighbour] == own:
                continue
            other = _find(parent, neighbour)
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
        root = _find(parent, node)
        size[root] += 1
        mass[root] += abs(np.float64(heights[node])) - threshold
        largest = max(largest, size[root])
        heaviest = max(heaviest, mass[root])
        node_at[position[voxels[node]]] = -1
    return largest, heaviest


@_compiled
def largest_tfce(
    statistic: Singles, n_sides: int, position: Integers, cube: Integers, connectivity: int, scratch: Scratch
) -> float:
    """Largest TFCE value of a map; 0 where nothing is enhanced.

    Parameters
    ----------
    statistic : (n_voxels,) float32
    n_sides : 1 for the positive part; 2 for the negative part too, enhanced apart from the positive one
    position, cube, connectivity : those of the lattice
    scratch : working memory of this thread

    Notes
    -----
    For use inside other kernels; nothing of the size of the map is allocated. It is the maximum of `tfce`, bit by bit.
    """
    largest = 0.0
    for side in range(n_sides):
        sign = np.float32(1 - 2 * side)
        for node in range(_enhance(statistic, sign, position, cube, connectivity, scratch)):
            largest = max(largest, scratch.value[node])
    return largest


@_compiled
def _enhance(
    statistic: Singles, sign: np.float32, position: Integers, cube: Integers, connectivity: int, scratch: Scratch
) -> int:
    """Fill in `places` and `value`, the highest voxel first, for the voxels of one sign; how many they are."""
    n_nodes = _descending(statistic, sign, position, scratch)
    _component_tree(n_nodes, cube, connectivity, scratch)
    heights, extent, below, value = scratch.heights, scratch.extent, scratch.below, scratch.value
    for node in range(n_nodes - 1, -1, -1):
        height, base, foot = np.float64(heights[node]), 0.0, 0.0
        if below[node] >= 0:
            base = value[below[node]]
            foot = np.float64(heights[below[node]])
        # height^3 - foot^3 without cancellation of nearly equal heights
        slab = (height - foot) * (height * height + height * foot + foot * foot) / (HEIGHT_EXPONENT + 1.0)
        value[node] = base + math.sqrt(np.float64(extent[node])) * slab
    return n_nodes


@_inner
def _descending(statistic: Singles, sign: np.float32, position: Integers, scratch: Scratch) -> int:
    """Fill in `places` and `heights` from the highest voxel down; equal ones keep their order. Number of voxels.

    The bits of positive floats sort like integers: three passes of a counting sort over 11 bits each, which carry
    height and place together in one integer, so that no pass has to look anything up.
    """
    keys, spare, places = scratch.keys, scratch.spare, scratch.places
    bits, sorted_bits = statistic.view(np.int32), scratch.heights.view(np.int32)
    start = np.zeros((3, 2048), np.int32)
    n = 0
    for v in range(statistic.size):
        if sign * statistic[v] > 0:
            height = np.int64(bits[v] & 0x7FFFFFFF)
            start[0, height & 2047] += 1
            start[1, (height >> 11) & 2047] += 1
            start[2, height >> 22] += 1
            keys[n] = (height << 32) | position[v]
            n += 1
    for digit in range(3):
        total = 0
        for bucket in range(2047, -1, -1):
            total += start[digit, bucket]
            start[digit, bucket] = total - start[digit, bucket]
    for digit in range(2):
        shift = 32 + 11 * digit
        for i in range(n):
            bucket = (keys[i] >> shift) & 2047
            spare[start[digit, bucket]] = keys[i]
            start[digit, bucket] += 1
        keys, spare = spare, keys
    for i in range(n):
        bucket = keys[i] >> 54
        places[start[2, bucket]] = keys[i] & 0xFFFFFFFF
        sorted_bits[start[2, bucket]] = keys[i] >> 32
        start[2, bucket] += 1
    return n


@_inner
def _component_tree(n_nodes: int, cube: Integers, connectivity: int, scratch: Scratch) -> None:
    """Fill in `extent`, of every node when it enters, and `below`, the node that it then hangs on (-1: none).

    Voxels enter in the order of `places`. Components are numbered by the peak that they start from, few against the
    voxels, so that their union-find forest stays in the first cache; they are joined by size, so that the paths stay
    short, and remember their lowest node, which is the root of their part of the tree. Which neighbours have entered
    is read as 27 bits, and of those that touch each other only one is looked up.
    """
    places, extent, below = scratch.places, scratch.extent, scratch.below
    entered, component = scratch.entered, scratch.component
    parent, size, lowest = scratch.parent, scratch.size, scratch.lowest
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
            other = _find(parent, component[place + cube[INDEX_OF_BIT[bit % 37]]])
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


@_inner
def _enter(place: int, entered: Bytes, cube: Integers) -> int:
    """Enter a voxel; which of the cube around it had entered before, as bits in the order of `Lattice.cube`.

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


@_inner
def _dilate(bits: int, connectivity: int) -> int:
    """Add to a set of places in the cube what touches it, as bits in the order of `Lattice.cube`."""
    along_k = bits | ((bits << 1) & 0o666666666) | ((bits >> 1) & 0o333333333)
    along_jk = along_k | ((along_k << 3) & 0o770770770) | ((along_k >> 3) & 0o077077077)
    if connectivity == 26:
        return along_jk | (along_jk << 9) | (along_jk >> 9)
    along_j = bits | ((bits << 3) & 0o770770770) | ((bits >> 3) & 0o077077077)
    if connectivity == 18:
        either = along_j | along_k
        return along_jk | (either << 9) | (either >> 9)
    return along_j | along_k | (bits << 9) | (bits >> 9)
