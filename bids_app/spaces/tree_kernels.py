"""What the kernels of all topologies share: union-find, the descending order of heights, the integral of TFCE.

All kernels release the GIL, allocate only their own scratch, and give the same bytes on any number of threads.

References
----------
Smith & Nichols 2009, doi 10.1016/j.neuroimage.2008.03.061 (TFCE); Najman & Couprie 2006, doi 10.1109/TIP.2006.877518
(component tree by union-find).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Floats, Integers, Longs, Singles

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

compiled: Callable[[Kernel], Kernel] = cast("Any", numba.njit)(nogil=True, cache=True)
# Without the wrappers by which Python calls a function, it compiles faster
inner: Callable[[Kernel], Kernel] = cast("Any", numba.njit)(
    nogil=True, cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True
)


class Exponents(NamedTuple):
    """The exponents of TFCE: the integral of e(h)^E h^H dh."""

    extent: float
    """E."""
    height: float
    """H."""


class TreeScratch(NamedTuple):
    """Working memory of one thread for the component tree; what it holds before a map does not matter.

    Each array has a row for each element. A node of the tree is an element that is enhanced; the highest is node 0.
    """

    keys: Longs
    spare: Longs
    places: Integers  # of the nodes, in the scratch of the topology
    heights: Singles  # of the nodes
    extent: NDArray[Any]  # of a node's component when the node enters
    below: Integers  # the node that a node hangs on, -1 at a root
    value: Floats  # TFCE of the nodes
    parent: Integers  # of the components
    size: NDArray[Any]  # int32 on a lattice, otherwise float64
    lowest: Integers

    @classmethod
    def for_elements(cls, n_elements: int, extent_type: type[np.int32 | np.float64]) -> TreeScratch:
        """Return unfilled scratch for one map at a time."""
        keys, spare = np.empty((2, n_elements), np.int64)
        places, below, parent, lowest = np.empty((4, n_elements), np.int32)
        extent, size = np.empty((2, n_elements), extent_type)
        heights, value = np.empty(n_elements, np.float32), np.empty(n_elements, np.float64)
        return cls(keys, spare, places, heights, extent, below, value, parent, size, lowest)


@inner
def find(parent: Integers, node: int) -> int:
    """Root of a node; the path is halved on the way."""
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@inner
def descending(statistic: Singles, sign: np.float32, position: Integers, tree: TreeScratch) -> int:
    """Fill in `places` and `heights` from the highest element down; equal ones keep their order. Number of elements.

    The bits of positive floats sort like integers: three passes of a counting sort over 11 bits each, which carry
    height and place together in one integer, so that no pass has to look anything up.
    """
    keys, spare, places = tree.keys, tree.spare, tree.places
    bits, sorted_bits = statistic.view(np.int32), tree.heights.view(np.int32)
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


@inner
def integrate(n_nodes: int, exponents: Exponents, tree: TreeScratch) -> None:
    """Fill in `value`, the TFCE of each node, from `heights`, `extent` and `below`.

    From a node down to the one that it hangs on, the extent is constant, so that the integral is a finite sum over the
    path from the node to its root.
    """
    heights, extent, below, value = tree.heights, tree.extent, tree.below, tree.value
    for node in range(n_nodes - 1, -1, -1):
        height, base, foot = np.float64(heights[node]), 0.0, 0.0
        if below[node] >= 0:
            base = value[below[node]]
            foot = np.float64(heights[below[node]])
        slab = _height_integral(foot, height, exponents.height)
        value[node] = base + _raised(np.float64(extent[node]), exponents.extent) * slab


@inner
def _raised(extent: float, exponent: float) -> float:
    """extent^E; the usual exponents take no power function."""
    if exponent == 0.5:
        return math.sqrt(extent)
    if exponent == 1.0:
        return extent
    return math.pow(extent, exponent)


@inner
def _height_integral(foot: float, height: float, exponent: float) -> float:
    """Integral of h^H dh from foot to height, without cancellation of nearly equal heights; 0 <= foot <= height."""
    power = exponent + 1.0
    if exponent == 2.0:
        return (height - foot) * (height * height + height * foot + foot * foot) / power
    if exponent == 1.0:
        return (height - foot) * (height + foot) / power
    if foot == 0.0:
        return math.pow(height, power) / power
    # height^p - foot^p = height^p (1 - (foot / height)^p)
    return -math.pow(height, power) * math.expm1(power * math.log1p((foot - height) / height)) / power
