"""Clusters of a thresholded map, and the peaks in them that are far enough apart to be listed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Booleans, Floats, Integers
from bids_app.spaces.clusters import label_components
from bids_app.spaces.domain import SpatialDomain

DISTANCE_TOLERANCE = 1e-6  # mm: the rounding of an affine must not decide whether a peak is far enough


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster that is listed."""

    number: int
    members: NDArray[np.intp]  # (n,) elements
    peaks: NDArray[np.intp]  # (n_peaks,) elements, the highest first


def find_clusters(
    significant: Booleans, statistic: Floats, domain: SpatialDomain, min_extent: int, min_distance_mm: float
) -> tuple[list[Cluster], int]:
    """Return the clusters to list, the highest peak first, and how many are too small.

    Parameters
    ----------
    significant : (n_elements,)
    statistic : (n_elements,) of which both signs form clusters of their own
    domain : of the maps
    min_extent : elements that a cluster has at least
    min_distance_mm : between the peaks of a cluster
    """
    labels = label_components(significant & (statistic >= 0), domain.topology)
    negative = label_components(significant & (statistic < 0), domain.topology)
    labels = np.where(negative > 0, negative + labels.max(initial=0), labels)
    height = np.abs(statistic)
    all_peaks = _local_maxima(height, labels, domain)
    # Stable: of two equally high clusters the one of the first element comes first, on every machine.
    all_peaks = all_peaks[np.argsort(-height[all_peaks], kind="stable")]
    members = _members(labels)
    large = {label for label, elements in members.items() if elements.size >= min_extent}
    ranked = [label for label in dict.fromkeys(labels[all_peaks].tolist()) if label in large]
    peaks = {label: all_peaks[labels[all_peaks] == label] for label in ranked}
    clusters = [
        Cluster(number, members[label], _far_apart(peaks[label], domain.xyz_mm, min_distance_mm))
        for number, label in enumerate(ranked, start=1)
    ]
    return clusters, len(members) - len(clusters)


def _members(labels: Integers) -> dict[int, NDArray[np.intp]]:
    """Return the elements of every label but 0, in their order."""
    elements = np.flatnonzero(labels)
    elements = elements[np.argsort(labels[elements], kind="stable")]
    numbers, starts = np.unique(labels[elements], return_index=True)
    return dict(zip(numbers.tolist(), np.split(elements, starts[1:]), strict=False))


def _local_maxima(height: Floats, labels: Integers, domain: SpatialDomain) -> NDArray[np.intp]:
    """Return the elements that no neighbour of their cluster exceeds, one for each plateau.

    Parameters
    ----------
    height : (n_elements,)
    labels : (n_elements,) 0 outside clusters
    domain : of the maps
    """
    elements = np.flatnonzero(labels)
    row = np.zeros(labels.size, np.intp)
    row[elements] = np.arange(elements.size)
    neighbours = domain.neighbours(elements)
    together = (neighbours >= 0) & (labels[neighbours] == labels[elements][:, None])
    heights = height[elements][:, None]
    exceeded = np.any(together & (height[neighbours] > heights), axis=1)
    level = together & (height[neighbours] == heights)

    # Only elements with an equal neighbour need a closer look. A plateau falls if any of its elements is
    # exceeded, and its first element stands for it; both spread from neighbour to neighbour until
    # nothing changes.
    flat = np.flatnonzero(level.any(axis=1))
    equals = np.where(level[flat], row[neighbours[flat]], flat[:, None])
    first = np.arange(elements.size)
    while True:
        spread_exceeded = exceeded[flat] | exceeded[equals].any(axis=1)
        spread_first = np.minimum(first[flat], first[equals].min(axis=1, initial=elements.size))
        if np.array_equal(spread_exceeded, exceeded[flat]) and np.array_equal(spread_first, first[flat]):
            break
        exceeded[flat], first[flat] = spread_exceeded, spread_first
    maxima: NDArray[np.intp] = elements[~exceeded & (first == np.arange(elements.size))]
    return maxima


def _far_apart(peaks: NDArray[np.intp], xyz_mm: Floats | None, min_distance_mm: float) -> NDArray[np.intp]:
    """Return, in the order given, each peak that is far enough from all those kept before it."""
    if xyz_mm is None:
        return peaks
    places = xyz_mm[peaks]
    free = np.ones(peaks.size, bool)
    kept = []
    for index in range(peaks.size):
        if free[index]:
            kept.append(index)
            distance = np.linalg.norm(places - places[index], axis=1)
            free &= distance >= min_distance_mm - DISTANCE_TOLERANCE
    return peaks[kept]
