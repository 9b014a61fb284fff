"""Clusters and component trees of elements with any neighbours and any sizes: vertices of a mesh, parcels, voxels.

They do what `lattice_kernels` do, in the same order, so that a lattice given by its neighbour list, all sizes 1, has
the same bytes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bids_app.arrays import Booleans, Integers, Singles
from bids_app.spaces.topology import GraphTopology
from bids_app.spaces.tree_kernels import Exponents, TreeScratch, compiled, descending, find, inner, integrate


class GraphScratch(NamedTuple):
    """Working memory of one thread for TFCE, about 80 bytes per element; what it holds before a map does not matter."""

    tree: TreeScratch
    position: Integers  # (n_elements,) 0, 1, ...: an element's place is its own number
    component: Integers  # (n_elements,)
    around: Integers  # (most neighbours of an element,)

    @classmethod
    def for_topology(cls, graph: GraphTopology) -> GraphScratch:
        """Return unfilled scratch for one map at a time of this graph."""
        n = graph.n_elements
        tree = TreeScratch.for_elements(n, np.float64)
        around = np.empty(np.diff(graph.indptr).max(initial=1), np.int32)
        return cls(tree, np.arange(n, dtype=np.int32), np.empty(n, np.int32), around)


@compiled
def label(supra: Booleans, graph: GraphTopology) -> Integers:
    """Label the connected sets of elements; see `clusters.label_components`."""
    parent = np.empty(supra.size, np.int32)
    for element in range(supra.size):
        parent[element] = element
        if supra[element]:
            _join_earlier(element, supra, graph, parent)
    labels = np.zeros(supra.size, np.int32)
    n_labels = 0
    for element in range(supra.size):
        if supra[element]:
            root = find(parent, element)  # the first element of its set
            if root == element:
                n_labels += 1
                labels[element] = n_labels
            labels[element] = labels[root]
    return labels


@inner
def _join_earlier(element: int, supra: Booleans, graph: GraphTopology, parent: Integers) -> None:
    """Join an element to the sets of its earlier neighbours; the first element of a set is its root."""
    own = element
    for e in range(graph.indptr[element], graph.indptr[element + 1]):
        neighbour = graph.indices[e]
        if neighbour > element:
            break
        if supra[neighbour]:
            other = find(parent, neighbour)
            first, last = min(own, other), max(own, other)
            parent[last] = first
            own = first


@compiled
def list_maxima(
    elements: Integers, heights: Singles, threshold: float, graph: GraphTopology, node_at: Integers
) -> tuple[float, float]:
    """Largest size and largest mass over the clusters of a list of elements; see `clusters.list_maxima`."""
    n_listed = elements.size
    parent = np.empty(n_listed, np.int32)
    for node in range(n_listed):
        element = elements[node]
        positive = heights[node] > 0
        own = node
        parent[node] = node
        for e in range(graph.indptr[element], graph.indptr[element + 1]):
            if graph.indices[e] > element:  # later elements look back at this one
                break
            neighbour = node_at[graph.indices[e]]
            if neighbour < 0 or (heights[neighbour] > 0) != positive:
                continue
            other = find(parent, neighbour)
            first, last = min(own, other), max(own, other)
            parent[last] = first
            own = first
        node_at[element] = node
    size, mass = np.zeros(n_listed), np.zeros(n_listed)
    largest, heaviest = 0.0, 0.0
    for node in range(n_listed):
        root, weight = find(parent, node), graph.sizes[elements[node]]
        size[root] += weight
        mass[root] += weight * (abs(np.float64(heights[node])) - threshold)
        largest = max(largest, size[root])
        heaviest = max(heaviest, mass[root])
        node_at[elements[node]] = -1
    return largest, heaviest


@compiled
def fill_tree(
    statistic: Singles, sign: np.float32, exponents: Exponents, graph: GraphTopology, scratch: GraphScratch
) -> int:
    """Fill in `places` and `value`, the highest element first, for the elements of one sign; how many they are."""
    n_nodes = descending(statistic, sign, scratch.position, scratch.tree)
    _component_tree(n_nodes, graph, scratch)
    integrate(n_nodes, exponents, scratch.tree)
    return n_nodes


@inner
def _component_tree(n_nodes: int, graph: GraphTopology, scratch: GraphScratch) -> None:
    """Fill in `extent`, of every node when it enters, and `below`, the node that it then hangs on (-1: none).

    Components are numbered by the peak that they start from and joined by size, as on a lattice; their sizes are sums
    of the sizes of their elements.
    """
    tree, component, around = scratch.tree, scratch.component, scratch.around
    places, extent, below = tree.places, tree.extent, tree.below
    parent, size, lowest = tree.parent, tree.size, tree.lowest
    component[:] = -1
    n_components = 0
    for node in range(n_nodes):
        element = int(places[node])
        below[node] = -1
        own = -1
        for a in range(_entered_beside(element, graph, component, around)):
            other = find(parent, around[a])
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
            size[own] = 0.0
        size[own] += graph.sizes[element]
        lowest[own] = node
        component[element] = own
        extent[node] = size[own]


@inner
def _entered_beside(element: int, graph: GraphTopology, component: Integers, around: Integers) -> int:
    """List the components of the neighbours that have entered before, in `around`; how many they are.

    Whether a neighbour has entered is as good as random, so that a branch on it would be mispredicted every other
    time: each is written, and counted only if it has entered.
    """
    n_around = 0
    for e in range(graph.indptr[element], graph.indptr[element + 1]):
        entered = component[graph.indices[e]]
        around[n_around] = entered
        n_around += entered >= 0
    return n_around
