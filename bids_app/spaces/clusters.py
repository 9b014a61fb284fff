"""Clusters of a map in any space: connected sets, their sizes and masses, and the largest of each.

A size counts what the topology says: voxels on a lattice, otherwise the sum of the sizes of the elements, such as mm2.
A mass is the sum of the heights above the threshold, each weighted by the size of its element.

References
----------
Bullmore et al. 1999, doi 10.1109/42.750253 (cluster mass).
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, cast

import numpy as np
from numba.extending import overload
from scipy import ndimage

from bids_app.arrays import Booleans, Floats, Integers, Singles
from bids_app.spaces import graph_kernels, lattice_kernels
from bids_app.spaces.topology import REACH, LatticeTopology, Topology


def label_components(supra: Booleans, topology: Topology) -> Integers:
    """Return the number of the connected set that each element belongs to.

    Parameters
    ----------
    supra : (n_elements,) bool
    topology : of the elements

    Returns
    -------
    (n_elements,) int32
        0 where `supra` is false, otherwise 1, 2, ... in the order of each set's first element.
    """
    if not isinstance(topology, LatticeTopology):
        return graph_kernels.label(supra, topology)
    volume = np.zeros(topology.shape, np.bool_)
    volume.ravel()[topology.position] = supra
    labels, _ = ndimage.label(volume, ndimage.generate_binary_structure(3, REACH[topology.connectivity]))
    return np.asarray(labels.ravel()[topology.position], np.int32)


def cluster_values(statistic: Singles, threshold: float, topology: Topology) -> tuple[Floats, Floats]:
    """Return size and mass of the cluster that each element belongs to.

    Parameters
    ----------
    statistic : (n_elements,) float32
    threshold : elements strictly above it form clusters
    topology : of the elements

    Returns
    -------
    size, mass : (n_elements,) float64
        Size, and sum of statistic - threshold, of the element's cluster; 0 below the threshold.
    """
    labels = label_components(statistic > np.float32(threshold), topology)
    excess = np.where(labels > 0, statistic.astype(np.float64) - threshold, 0.0)
    if isinstance(topology, LatticeTopology):
        size = np.bincount(labels).astype(np.float64)
    else:
        size = np.asarray(np.bincount(labels, weights=topology.sizes), np.float64)
        excess *= topology.sizes
    mass = np.asarray(np.bincount(labels, weights=excess), np.float64)
    size[0] = mass[0] = 0.0
    return size[labels], mass[labels]


def list_maxima(
    elements: Integers, heights: Singles, threshold: float, topology: Topology, node_at: Integers
) -> tuple[float, float]:
    """Return the largest size and the largest mass over the clusters of a list of elements; 0, 0 for an empty list.

    Parameters
    ----------
    elements : (n_listed,) int32
        The elements beyond the threshold, ascending.
    heights : (n_listed,) float32
        Their values; only elements of equal sign join, so that positive and negative clusters are formed apart.
    threshold : forming height, above which mass counts
    topology : of all elements
    node_at : (topology.n_places,) int32
        Scratch, all -1 before and after.

    Returns
    -------
    size : float
    mass : float
        Sum of |height| - threshold, added up in double precision in the order of the list.

    Notes
    -----
    The cost is that of the list, not of the map. It may be called from compiled code, which takes the kernel of the
    topology's type.
    """
    kernel = kernels_for(type(topology)).list_maxima
    maxima: tuple[float, float] = kernel(elements, heights, threshold, topology, node_at)
    return maxima


# not strict: numba would compare the names of the arguments
@overload(list_maxima, strict=False)
def _compiled_list_maxima(*types: object) -> Callable[..., Any]:
    """Return what a compiled caller calls, for numba's types of the arguments."""
    kernel = kernels_for(python_type(types[3])).list_maxima
    return lambda elements, heights, threshold, topology, node_at: kernel(
        elements, heights, threshold, topology, node_at
    )


def kernels_for(topology: type) -> ModuleType:
    """Return the kernels for a type of topology."""
    return lattice_kernels if topology is LatticeTopology else graph_kernels


def python_type(numba_type: object) -> type:
    """Return the class of a named tuple that numba has given a type of its own."""
    found: type = cast("Any", numba_type).instance_class
    return found
