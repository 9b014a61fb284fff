"""Clusters and peaks of a corrected map, with their atlas labels.

The clusters are formed here, with the connectivity of the inference, so that a table and the p-values in it
speak of the same clusters. Nothing but coordinates, to a millionth of a millimetre, is rounded: how a number is written
is for the writers of files and pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_app.arrays import Floats, Integers
from bids_app.inference import catalogue
from bids_app.inference.corrected_map import ClusterBounds, CorrectedMap
from bids_app.spaces.atlas_catalogue import ATLASES
from bids_app.spaces.atlases import Atlas, label_cluster, label_peak
from bids_app.spaces.clusters import Lattice, label_components
from bids_app.statistics.fit import ContrastFit

DISTANCE_TOLERANCE = 1e-6  # mm: the rounding of an affine must not decide whether a peak is far enough

_CHOSEN_FOR_HEIGHT = "Chosen for its height in these data, and so larger than it would be in independent data."
COLUMNS: dict[str, str] = {
    "cluster_id": "Number of the cluster, 1 having the largest absolute peak statistic.",
    "peak_id": "Number of the cluster and letter of the peak, a having the largest absolute statistic.",
    "peak_x": "x coordinate of the peak voxel, in mm.",
    "peak_y": "y coordinate of the peak voxel, in mm.",
    "peak_z": "z coordinate of the peak voxel, in mm.",
    "cluster_mean": f"Mean of the statistic (t or F) over the voxels of the cluster. {_CHOSEN_FOR_HEIGHT}",
    "extent_voxels": "Size of the cluster, in voxels.",
    "volume_mm3": "Size of the cluster, in mm^3.",
    "peak_statistic": "Statistic (t or F) at the peak voxel.",
    "peak_z_score": "z equivalent of the statistic at the peak voxel.",
    "peak_effect": (
        "Contrast estimate at the peak voxel, in the units of the input maps and of the weights as given; "
        f"only for t. {_CHOSEN_FOR_HEIGHT}"
    ),
}
"""Columns that every table has; corrections and atlases add those of their catalogues."""


def described(column: str) -> str:
    """Return what a column of a table holds, for its sidecar; empty for a column of nobody's."""
    if column in ATLASES:
        return ATLASES[column].column
    added = catalogue.columns()
    return added[column].text if column in added else COLUMNS.get(column, "")


@dataclass(frozen=True, slots=True)
class Brain:
    """Where the voxels are, which of them touch, and what their places are called; one for all tables."""

    ijk: NDArray[np.int64]
    """(n_voxels, 3) voxel indices, in the C order of the mask."""
    xyz: Floats
    """(n_voxels, 3) mm."""
    voxel_mm3: float
    """Volume of one voxel."""
    lattice: Lattice
    """Which voxels touch, by the connectivity of the inference."""
    atlases: tuple[Atlas, ...]
    """Empty where labels are withheld."""

    @classmethod
    def from_mask(
        cls, mask: NDArray[np.bool_], affine: Floats, connectivity: int, atlases: Sequence[Atlas] = ()
    ) -> Brain:
        """Lay out the voxels of an analysis mask.

        Parameters
        ----------
        mask : (i, j, k) bool
        affine : (4, 4) voxel index to mm
        connectivity : 6, 18 or 26, that of the inference
        atlases : on the grid of the mask

        Raises
        ------
        ValueError
            If an atlas is on another grid.
        """
        for atlas in atlases:
            if atlas.values.shape[1:] != mask.shape or not np.allclose(atlas.affine, affine):
                raise ValueError(
                    f"atlas {atlas.name} is on a grid of {atlas.values.shape[1:]}; "
                    f"expected that of the mask, {mask.shape} with the same affine"
                )
        ijk = np.argwhere(mask)
        xyz = ijk @ affine[:3, :3].T + affine[:3, 3]
        voxel_mm3 = float(abs(np.linalg.det(affine[:3, :3])))
        return cls(ijk, xyz, voxel_mm3, Lattice.from_mask(mask, connectivity), tuple(atlases))


@dataclass(frozen=True, slots=True)
class Limits:
    """What is listed."""

    min_extent: int = 1
    """Voxels; smaller clusters are left out, and counted."""
    min_distance_mm: float = 0.0
    """Between any two peaks of a cluster."""


@dataclass(frozen=True, slots=True)
class ResultTables:
    """The clusters and peaks of one corrected map; columns as in `COLUMNS`."""

    clusters: pd.DataFrame
    """One row per cluster."""
    peaks: pd.DataFrame
    """One row per peak, cluster by cluster."""
    n_left_out: int
    """Clusters smaller than the limit."""
    closest: Closest | None = None
    """What came closest, where nothing survives."""


@dataclass(frozen=True, slots=True)
class Closest:
    """The voxel that came closest to surviving."""

    xyz: tuple[float, float, float]
    """mm."""
    statistic: float
    p: float
    """That of the corrected map."""
    label: str
    """Of the first atlas; empty without one."""


@dataclass(frozen=True, slots=True)
class _Cluster:
    """One cluster that is listed."""

    number: int
    members: NDArray[np.intp]  # (n,) voxels
    peaks: NDArray[np.intp]  # (n_peaks,) voxels, the highest first


def tabulate(
    inference: CorrectedMap,
    fit: ContrastFit,
    others: Sequence[CorrectedMap],
    brain: Brain,
    limits: Limits,
    bounds: Sequence[ClusterBounds] = (),
) -> ResultTables:
    """List the clusters and peaks of one corrected map.

    Parameters
    ----------
    inference : the corrected map; its significant voxels form the clusters
    fit : of the same contrast
    others : the other corrected maps of the contrast, for their p-values
    brain : Brain
    limits : Limits
    bounds : for any set of voxels; each adds its columns to the table of clusters

    Returns
    -------
    ResultTables
        Clusters in descending order of their absolute peak statistic. Without any, tables of no rows.

    Notes
    -----
    Clusters are connected voxels of one sign of the statistic, so that a positive and a negative cluster that
    touch stay two. A peak is a local maximum of the absolute statistic within its cluster, over the same
    neighbourhood that makes clusters; a plateau has one, its first voxel. From the highest down, a peak is
    listed if it is far enough from every peak of its cluster listed before.
    """
    clusters, n_left_out = _find_clusters(inference.significant, fit.statistic, brain, limits)
    p_maps = {"p_uncorrected": fit.p}
    for each in (inference, *others):
        # setdefault: the p-value of the uncorrected inference is the fit's own.
        p_maps.setdefault(f"p_{each.method}", each.p)
    return ResultTables(
        _cluster_table(clusters, fit, p_maps, brain).assign(**_bounded(clusters, bounds)),
        _peak_table(clusters, fit, p_maps, brain),
        n_left_out,
        None if inference.significant.any() else closest_voxel(inference, fit, brain),
    )


def closest_voxel(inference: CorrectedMap, fit: ContrastFit, brain: Brain) -> Closest:
    """Find the voxel of the smallest p, and among several the one with the highest statistic towards the tested side.

    Parameters
    ----------
    inference : CorrectedMap
    fit : of the same contrast
    brain : Brain
    """
    side = fit.contrast.sided if fit.contrast.test == "t" else "positive"
    height = {"two": np.abs(fit.statistic), "positive": fit.statistic, "negative": -fit.statistic}[side]
    voxel = int(np.lexsort((-height, inference.p))[0])
    x, y, z = (float(value) for value in brain.xyz[voxel])
    label = label_peak(brain.atlases[0], brain.xyz[voxel]) if brain.atlases else ""
    return Closest((x, y, z), float(fit.statistic[voxel]), float(inference.p[voxel]), label)


def top_voxels(tables: ResultTables | None, fit: ContrastFit, brain: Brain, n_peaks: int = 5) -> NDArray[np.intp]:
    """Return the voxels of the highest peaks, (n,); where none is listed, the one with the smallest p.

    Parameters
    ----------
    tables : of the corrected map that is looked at closely; None where there is none
    fit : of the contrast
    brain : of the voxels
    n_peaks : at most
    """
    if tables is None or tables.peaks.empty:
        # of equally small p the largest statistic: p may have underflowed
        return np.lexsort((-np.abs(fit.statistic), fit.p))[:1]
    peaks = tables.peaks.sort_values("peak_statistic", key=np.abs, ascending=False, kind="stable").head(n_peaks)
    places = peaks[["peak_x", "peak_y", "peak_z"]].to_numpy(np.float64)
    return np.array([((brain.xyz - place) ** 2).sum(axis=1).argmin() for place in places], np.intp)


def _find_clusters(
    significant: NDArray[np.bool_], statistic: Floats, brain: Brain, limits: Limits
) -> tuple[list[_Cluster], int]:
    """Return the clusters to list, the highest peak first, and how many are too small."""
    labels = label_components(significant & (statistic >= 0), brain.lattice)
    negative = label_components(significant & (statistic < 0), brain.lattice)
    labels = np.where(negative > 0, negative + labels.max(initial=0), labels)
    height = np.abs(statistic)
    all_peaks = _local_maxima(height, labels, brain.lattice)
    # Stable: of two equally high clusters the one of the first voxel comes first, on every machine.
    all_peaks = all_peaks[np.argsort(-height[all_peaks], kind="stable")]
    members = _members(labels)
    large = {label for label, voxels in members.items() if voxels.size >= limits.min_extent}
    ranked = [label for label in dict.fromkeys(labels[all_peaks].tolist()) if label in large]
    peaks = {label: all_peaks[labels[all_peaks] == label] for label in ranked}
    clusters = [
        _Cluster(number, members[label], _far_apart(peaks[label], brain.xyz, limits.min_distance_mm))
        for number, label in enumerate(ranked, start=1)
    ]
    return clusters, len(members) - len(clusters)


def _members(labels: Integers) -> dict[int, NDArray[np.intp]]:
    """Return the voxels of every label but 0, in their order."""
    voxels = np.flatnonzero(labels)
    voxels = voxels[np.argsort(labels[voxels], kind="stable")]
    numbers, starts = np.unique(labels[voxels], return_index=True)
    return dict(zip(numbers.tolist(), np.split(voxels, starts[1:]), strict=False))


def _local_maxima(height: Floats, labels: Integers, lattice: Lattice) -> NDArray[np.intp]:
    """Return the voxels that no neighbour of their cluster exceeds, one for each plateau.

    Parameters
    ----------
    height : (n_voxels,)
    labels : (n_voxels,) 0 outside clusters
    lattice : Lattice
    """
    voxels = np.flatnonzero(labels)
    row = np.zeros(labels.size, np.intp)
    row[voxels] = np.arange(voxels.size)
    neighbours = lattice.neighbours()[voxels]
    together = (neighbours >= 0) & (labels[neighbours] == labels[voxels][:, None])
    heights = height[voxels][:, None]
    exceeded = np.any(together & (height[neighbours] > heights), axis=1)
    level = together & (height[neighbours] == heights)

    # Only voxels with an equal neighbour need a closer look. A plateau falls if any of its voxels is
    # exceeded, and its first voxel stands for it; both spread from neighbour to neighbour until
    # nothing changes.
    flat = np.flatnonzero(level.any(axis=1))
    equals = np.where(level[flat], row[neighbours[flat]], flat[:, None])
    first = np.arange(voxels.size)
    while True:
        spread_exceeded = exceeded[flat] | exceeded[equals].any(axis=1)
        spread_first = np.minimum(first[flat], first[equals].min(axis=1, initial=voxels.size))
        if np.array_equal(spread_exceeded, exceeded[flat]) and np.array_equal(spread_first, first[flat]):
            break
        exceeded[flat], first[flat] = spread_exceeded, spread_first
    maxima: NDArray[np.intp] = voxels[~exceeded & (first == np.arange(voxels.size))]
    return maxima


def _far_apart(peaks: NDArray[np.intp], xyz: Floats, min_distance_mm: float) -> NDArray[np.intp]:
    """Keep, in the order given, each peak that is far enough from all those kept before it."""
    places = xyz[peaks]
    free = np.ones(peaks.size, bool)
    kept = []
    for index in range(peaks.size):
        if free[index]:
            kept.append(index)
            distance = np.linalg.norm(places - places[index], axis=1)
            free &= distance >= min_distance_mm - DISTANCE_TOLERANCE
    return peaks[kept]


def _cluster_table(clusters: list[_Cluster], fit: ContrastFit, p_maps: dict[str, Floats], brain: Brain) -> pd.DataFrame:
    """Make the table with one row per cluster."""
    peaks = np.array([cluster.peaks[0] for cluster in clusters], np.intp)
    extent = np.array([cluster.members.size for cluster in clusters], np.int64)
    means = [fit.statistic[cluster.members].mean() for cluster in clusters]
    columns: dict[str, object] = {
        "cluster_id": np.arange(1, len(clusters) + 1),
        **_places(peaks, brain),
        "cluster_mean": np.array(means, float),
        "extent_voxels": extent,
        "volume_mm3": extent * brain.voxel_mm3,
        **_values(peaks, fit, p_maps),
    }
    for atlas in brain.atlases:
        columns[atlas.name] = _texts([label_cluster(atlas, brain.ijk[cluster.members]) for cluster in clusters])
    return pd.DataFrame(columns)


def _peak_table(clusters: list[_Cluster], fit: ContrastFit, p_maps: dict[str, Floats], brain: Brain) -> pd.DataFrame:
    """Make the table with one row per peak."""
    peaks = np.array([peak for cluster in clusters for peak in cluster.peaks], np.intp)
    n_peaks = [cluster.peaks.size for cluster in clusters]
    extent = np.repeat(np.array([cluster.members.size for cluster in clusters], np.int64), n_peaks)
    names = [f"{cluster.number}{_letters(index)}" for cluster in clusters for index in range(cluster.peaks.size)]
    columns: dict[str, object] = {
        "cluster_id": np.repeat(np.arange(1, len(clusters) + 1), n_peaks),
        "peak_id": _texts(names),
        **_places(peaks, brain),
        **_values(peaks, fit, p_maps),
        "extent_voxels": extent,
        "volume_mm3": extent * brain.voxel_mm3,
    }
    for atlas in brain.atlases:
        columns[atlas.name] = _texts([label_peak(atlas, brain.xyz[peak]) for peak in peaks])
    return pd.DataFrame(columns)


def _bounded(clusters: list[_Cluster], bounds: Sequence[ClusterBounds]) -> dict[str, NDArray[np.generic]]:
    """Return the columns that bounds add to the table of clusters."""
    sets = [cluster.members for cluster in clusters]
    return {name: values for each in bounds for name, values in each.of_sets(sets).items()}


def _places(peaks: NDArray[np.intp], brain: Brain) -> dict[str, Floats]:
    """Return the coordinates of the peaks, in mm, without the rounding of the affine: no -0 and no 7e-15."""
    return dict(zip(("peak_x", "peak_y", "peak_z"), np.round(brain.xyz[peaks].T, 6) + 0.0, strict=True))


def _values(peaks: NDArray[np.intp], fit: ContrastFit, p_maps: dict[str, Floats]) -> dict[str, Floats]:
    """Return what the maps say at the peaks."""
    maps = {"peak_statistic": fit.statistic, "peak_z_score": fit.z}
    if fit.effect is not None:
        maps["peak_effect"] = fit.effect
    return {name: np.asarray(values[peaks], float) for name, values in (maps | p_maps).items()}


def _texts(values: list[str]) -> pd.Series[str]:
    """Make a column of text, of the same type where there is no row."""
    return pd.Series(values, dtype=str)


def _letters(index: int) -> str:
    """Count in letters: a to z, aa, ab and so on."""
    letters = ""
    while index >= 0:
        index, last = divmod(index, 26)
        letters = chr(ord("a") + last) + letters
        index -= 1
    return letters
