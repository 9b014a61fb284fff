"""Threshold-free cluster enhancement of a map in any space, exactly: no step size enters.

Elements enter from the highest to the lowest. Each becomes a node of the component tree: its extent stays constant
from its own height down to that of the element that joins its component next, so that the integral is a finite sum
over the path from the element to the root.

References
----------
Smith & Nichols 2009, doi 10.1016/j.neuroimage.2008.03.061.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.extending import overload

from bids_app.arrays import Floats, Singles
from bids_app.spaces.clusters import kernels_for, python_type
from bids_app.spaces.graph_kernels import GraphScratch
from bids_app.spaces.lattice_kernels import LatticeScratch
from bids_app.spaces.topology import LatticeTopology, Topology
from bids_app.spaces.tree_kernels import Exponents, compiled

Scratch = LatticeScratch | GraphScratch

DEFAULT_EXPONENTS = Exponents(extent=0.5, height=2.0)
"""Of Smith & Nichols, for extents in voxels."""
ON_SURFACES = Exponents(extent=1.0, height=2.0)
"""Of PALM, for extents that are areas: in two dimensions an extent grows with the square of a width, not its cube."""


def default_exponents(unit: str) -> Exponents:
    """Return the exponents for sizes in a unit: mm2 on surfaces, otherwise those of voxels."""
    return ON_SURFACES if unit == "mm2" else DEFAULT_EXPONENTS


def enhance(statistic: Singles, topology: Topology, exponents: Exponents = DEFAULT_EXPONENTS) -> Floats:
    """Return the TFCE of the positive part of a map.

    Parameters
    ----------
    statistic : (n_elements,) float32
        Values at or below zero get 0.
    topology : of the elements
    exponents : E and H, as `check_exponents` returns them

    Returns
    -------
    (n_elements,) float64
        The integral from 0 to the element's height of e(h)^E h^H dh, with e(h) the size of its component above h.
    """
    scratch = scratch_for(topology)
    n_nodes = fill_tree(statistic, np.float32(1), exponents, topology, scratch)
    places = scratch.tree.places[:n_nodes]
    elements = topology.voxel[places] if isinstance(topology, LatticeTopology) else places
    enhanced = np.zeros(statistic.size, np.float64)
    enhanced[elements] = scratch.tree.value[:n_nodes]
    return enhanced


def scratch_for(topology: Topology) -> Scratch:
    """Return the working memory of one thread, for one map at a time."""
    if isinstance(topology, LatticeTopology):
        return LatticeScratch.for_topology(topology)
    return GraphScratch.for_topology(topology)


def check_exponents(exponents: Exponents) -> Exponents:
    """Return exponents for which the integral exists.

    Raises
    ------
    ValueError
        If E or H is negative or not finite.
    """
    if not all(np.isfinite(value) and value >= 0 for value in exponents):
        raise ValueError(
            f"the exponents of TFCE are E = {exponents.extent:g}, H = {exponents.height:g}; "
            "expected two finite numbers of at least 0"
        )
    return Exponents(float(exponents.extent), float(exponents.height))


def fill_tree(statistic: Singles, sign: np.float32, exponents: Exponents, topology: Topology, scratch: Scratch) -> int:
    """Fill in `places` and `value` of the tree, the highest element first, and return the number of nodes.

    Parameters
    ----------
    statistic : (n_elements,) float32
    sign : 1 for the positive elements, -1 for the negative ones
    exponents, topology : as for `enhance`
    scratch : of this topology
    """
    n_nodes: int = kernels_for(type(topology)).fill_tree(statistic, sign, exponents, topology, scratch)
    return n_nodes


@overload(fill_tree, strict=False)
def _compiled_fill_tree(*types: object) -> Callable[..., Any]:
    """Return what a compiled caller calls, for numba's types of the arguments."""
    fill = kernels_for(python_type(types[3])).fill_tree
    return lambda statistic, sign, exponents, topology, scratch: fill(statistic, sign, exponents, topology, scratch)


@compiled
def largest_tfce(statistic: Singles, n_sides: int, exponents: Exponents, topology: Topology, scratch: Scratch) -> float:
    """Return the largest TFCE value of a map; 0 where nothing is enhanced.

    Parameters
    ----------
    statistic : (n_elements,) float32
    n_sides : 1 for the positive part; 2 for the negative part too, enhanced apart from the positive one
    exponents, topology : as for `enhance`
    scratch : working memory of this thread

    Notes
    -----
    For use inside other kernels too; nothing of the size of the map is allocated. It is the maximum of `enhance`, bit
    by bit.
    """
    largest = 0.0
    for side in range(n_sides):
        sign = np.float32(1 - 2 * side)
        for node in range(fill_tree(statistic, sign, exponents, topology, scratch)):
            largest = max(largest, scratch.tree.value[node])
    return largest
