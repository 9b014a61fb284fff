"""Clusters and peaks of a corrected map, with their atlas labels.

The clusters are formed here, with the connectivity of the inference, so that a table and the p-values in it
speak of the same clusters. Nothing but coordinates, to a millionth of a millimetre, is rounded: how a number is written
is for the writers of files and pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_app.arrays import Floats
from bids_app.inference import catalogue
from bids_app.inference.corrected_map import ClusterBounds, CorrectedMap
from bids_app.inference.peaks import Cluster, find_clusters
from bids_app.spaces.atlas_catalogue import ATLASES
from bids_app.spaces.atlases import Atlas, label_cluster, label_peak
from bids_app.spaces.domain import PLURALS, SpatialDomain
from bids_app.statistics.fit import ContrastFit

N_PEAKS = 5  # that are looked at closely: means of conditions, influence of single subjects
NOT_KNOWN = "n/a"  # in place of a label, where atlases do not know the place
PLACE = ["peak_x", "peak_y", "peak_z"]
PARCEL = "parcel"  # column of names
SIZE_COLUMNS = {"mm3": "volume_mm3", "mm2": "area_mm2"}  # elements without a size of their own are counted only

_CHOSEN_FOR_HEIGHT = "Chosen for its height in these data, and so larger than it would be in independent data."
COLUMNS: dict[str, str] = {
    "cluster_id": "Number of the cluster, 1 having the largest absolute peak statistic.",
    "peak_id": "Number of the cluster and letter of the peak, a having the largest absolute statistic.",
    "peak_x": "x coordinate of the peak voxel, in mm.",
    "peak_y": "y coordinate of the peak voxel, in mm.",
    "peak_z": "z coordinate of the peak voxel, in mm.",
    "peak_element": "Number of the peak's element in its map, from 0.",
    "structure": "Brain model of CIFTI that the peak belongs to.",
    PARCEL: "Name of the parcel.",
    "hemi": "Hemisphere of the peak vertex, L or R.",
    "peak_vertex": "Number of the peak vertex in its hemisphere, from 0.",
    "cluster_mean": f"Mean of the statistic (t or F) over the voxels of the cluster. {_CHOSEN_FOR_HEIGHT}",
    "extent_voxels": "Size of the cluster, in voxels.",
    "volume_mm3": "Size of the cluster, in mm^3.",
    "extent_vertices": "Size of the cluster, in vertices.",
    "area_mm2": "Size of the cluster, in mm^2.",
    "extent_parcels": "Size of the cluster, in parcels.",
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
class TableOptions:
    """What is listed, and by which names."""

    min_extent: int = 1
    """Voxels, vertices or parcels; smaller clusters are excluded, and counted."""
    min_distance_mm: float = 0.0
    """Between any two peaks of a cluster."""
    atlases: tuple[Atlas, ...] = ()
    """Empty where labels are withheld."""


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
    """The element that came closest to surviving."""

    xyz: tuple[float, float, float]
    """mm; NaN where the elements have no coordinates."""
    statistic: float
    p: float
    """That of the corrected map."""
    label: str
    """Of the first atlas; empty without one."""
    name: str | None = field(default=None, metadata={"kept": "if present"})  # in records, see results.json_record
    """Of a parcel; None for elements that have none."""


def tabulate(
    inference: CorrectedMap,
    fit: ContrastFit,
    others: Sequence[CorrectedMap],
    domain: SpatialDomain,
    options: TableOptions,
    bounds: Sequence[ClusterBounds] = (),
) -> ResultTables:
    """Return the clusters and peaks of one corrected map.

    Parameters
    ----------
    inference : the corrected map; its significant elements form the clusters
    fit : of the same contrast
    others : the other corrected maps of the contrast, for their p-values
    domain : of the maps
    options : what is listed
    bounds : for any set of elements; each adds its columns to the table of clusters

    Returns
    -------
    ResultTables
        Clusters in descending order of their absolute peak statistic. Without any, tables of no rows.

    Raises
    ------
    ValueError
        If an atlas is on a grid in which the elements cannot be found.

    Notes
    -----
    Clusters are connected elements of one sign of the statistic, so that a positive and a negative cluster that
    touch stay two. A peak is a local maximum of the absolute statistic within its cluster, over the same
    neighbourhood that makes clusters; a plateau has one, its first element. From the highest down, a peak is
    listed if it is far enough from every peak of its cluster listed before.
    """
    clusters, n_left_out = find_clusters(
        inference.significant, fit.statistic, domain, options.min_extent, options.min_distance_mm
    )
    p_maps = {"p_uncorrected": fit.p}
    for each in (inference, *others):
        # setdefault: the p-value of the uncorrected inference is the fit's own.
        p_maps.setdefault(f"p_{each.method}", each.p)
    values = _Values(fit, p_maps, domain, options.atlases)
    return ResultTables(
        _cluster_table(clusters, values).assign(**_bounded(clusters, bounds)),
        _peak_table(clusters, values),
        n_left_out,
        None if inference.significant.any() else closest_element(inference, fit, domain, options.atlases),
    )


def closest_element(
    inference: CorrectedMap, fit: ContrastFit, domain: SpatialDomain, atlases: Sequence[Atlas] = ()
) -> Closest:
    """Return the element of the smallest p, and among several the one with the highest statistic on the tested side.

    Parameters
    ----------
    inference : CorrectedMap
    fit : of the same contrast
    domain : of the maps
    atlases : the first one labels it
    """
    side = fit.contrast.sided if fit.contrast.test == "t" else "positive"
    height = {"two": np.abs(fit.statistic), "positive": fit.statistic, "negative": -fit.statistic}[side]
    element = int(np.lexsort((-height, inference.p))[0])
    place = np.full(3, np.nan) if domain.xyz_mm is None else domain.xyz_mm[element]
    x, y, z = (float(value) for value in place)
    label = _label(atlases[0], domain, element) if atlases and domain.xyz_mm is not None else ""
    names = domain.names_of(np.array([element])).get(PARCEL)
    name = None if names is None else str(names[0])
    is_known = label != NOT_KNOWN
    return Closest(
        (x, y, z), float(fit.statistic[element]), float(inference.p[element]), label if is_known else "", name
    )


def highest_peaks(peaks: pd.DataFrame, n_peaks: int = N_PEAKS) -> pd.DataFrame:
    """Return the rows of the highest peaks, by the absolute statistic; equally high ones keep their order."""
    return peaks.sort_values("peak_statistic", key=np.abs, ascending=False, kind="stable").head(n_peaks)


def peak_elements(peaks: pd.DataFrame, domain: SpatialDomain) -> NDArray[np.intp]:
    """Return the elements of listed peaks, (n,)."""
    if domain.xyz_mm is None:
        return peaks["peak_element"].to_numpy(np.intp)
    return np.array([domain.nearest(place) for place in peaks[PLACE].to_numpy(np.float64)], np.intp)


def top_elements(
    tables: ResultTables | None, fit: ContrastFit, domain: SpatialDomain, n_peaks: int = N_PEAKS
) -> NDArray[np.intp]:
    """Return the elements of the highest peaks, (n,); where none is listed, the one with the smallest p.

    Parameters
    ----------
    tables : of the corrected map that is looked at closely; None where there is none
    fit : of the contrast
    domain : of the maps
    n_peaks : at most
    """
    if tables is None or tables.peaks.empty:
        # of equally small p the largest statistic: p may have underflowed
        return np.lexsort((-np.abs(fit.statistic), fit.p))[:1]
    return peak_elements(highest_peaks(tables.peaks, n_peaks), domain)


@dataclass(frozen=True, slots=True)
class _Values:
    """What the columns of both tables are read from."""

    fit: ContrastFit
    p_maps: dict[str, Floats]
    domain: SpatialDomain
    atlases: tuple[Atlas, ...]

    def places(self, peaks: NDArray[np.intp]) -> dict[str, object]:
        """Return the coordinates of peaks, in mm, without the rounding of the affine: no -0 and no 7e-15."""
        if self.domain.xyz_mm is None:
            return {"peak_element": peaks, **self.domain.names_of(peaks)}
        places = zip(PLACE, np.round(self.domain.xyz_mm[peaks].T, 6) + 0.0, strict=True)
        return {**dict(places), **self.domain.names_of(peaks)}

    def sizes(self, clusters: Sequence[Cluster]) -> dict[str, NDArray[Any]]:
        """Return the sizes of clusters, as numbers of elements and in the unit of the domain."""
        columns: dict[str, NDArray[Any]] = {}
        counts = np.array([cluster.members.size for cluster in clusters], np.int64)
        sizes = np.array([self.domain.measure(cluster.members) for cluster in clusters], np.float64)
        measure = self.domain.measure_of(np.array([cluster.peaks[0] for cluster in clusters], np.intp))
        for number, (element, unit) in enumerate(self.domain.measures):
            own = measure == number
            only = len(self.domain.measures) == 1
            columns[f"extent_{PLURALS[element]}"] = counts if only else np.where(own, counts, np.nan)
            if unit in SIZE_COLUMNS:
                columns[SIZE_COLUMNS[unit]] = sizes if only else np.where(own, sizes, np.nan)
        return columns

    def at(self, peaks: NDArray[np.intp]) -> dict[str, Floats]:
        """Return what the maps say at peaks."""
        maps = {"peak_statistic": self.fit.statistic, "peak_z_score": self.fit.z}
        if self.fit.effect is not None:
            maps["peak_effect"] = self.fit.effect
        return {name: np.asarray(values[peaks], float) for name, values in (maps | self.p_maps).items()}


def _cluster_table(clusters: list[Cluster], values: _Values) -> pd.DataFrame:
    """Return the table with one row per cluster."""
    peaks = np.array([cluster.peaks[0] for cluster in clusters], np.intp)
    means = [values.fit.statistic[cluster.members].mean() for cluster in clusters]
    columns: dict[str, object] = {
        "cluster_id": np.arange(1, len(clusters) + 1),
        **values.places(peaks),
        "cluster_mean": np.array(means, float),
        **values.sizes(clusters),
        **values.at(peaks),
    }
    known = values.domain.known_places(peaks)
    for atlas in values.atlases:
        voxels, placed = _atlas_voxels(atlas, values.domain), zip(clusters, known | atlas.by_element, strict=True)
        labels = (label_cluster(atlas, voxels[each.members]) if is_known else NOT_KNOWN for each, is_known in placed)
        columns[atlas.name] = _texts([*labels])
    return pd.DataFrame(columns)


def _peak_table(clusters: list[Cluster], values: _Values) -> pd.DataFrame:
    """Return the table with one row per peak."""
    peaks = np.array([peak for cluster in clusters for peak in cluster.peaks], np.intp)
    n_peaks = [cluster.peaks.size for cluster in clusters]
    names = [f"{cluster.number}{_letters(index)}" for cluster in clusters for index in range(cluster.peaks.size)]
    columns: dict[str, object] = {
        "cluster_id": np.repeat(np.arange(1, len(clusters) + 1), n_peaks),
        "peak_id": _texts(names),
        **values.places(peaks),
        **values.at(peaks),
        **{name: np.repeat(column, n_peaks) for name, column in values.sizes(clusters).items()},
    }
    if values.domain.xyz_mm is not None:
        for atlas in values.atlases:
            columns[atlas.name] = _texts([_label(atlas, values.domain, int(peak)) for peak in peaks])
    return pd.DataFrame(columns)


def _label(atlas: Atlas, domain: SpatialDomain, element: int) -> str:
    """Return the label of an element that has a place, or that atlases do not know the place."""
    assert domain.xyz_mm is not None
    if atlas.by_element:
        return label_peak(atlas, (element, 0, 0))
    is_known = domain.known_places(np.array([element]))[0]
    return label_peak(atlas, domain.xyz_mm[element]) if is_known else NOT_KNOWN


def _atlas_voxels(atlas: Atlas, domain: SpatialDomain) -> NDArray[np.int64]:
    """Return the voxel of an atlas that each element lies in, (n_elements, 3)."""
    if atlas.by_element:
        return np.pad(np.arange(domain.n_elements)[:, None], ((0, 0), (0, 2)))
    try:
        return domain.on_grid(atlas.values.shape[1:], atlas.affine)
    except ValueError as error:
        raise ValueError(f"atlas {atlas.name} is on {error}") from error


def _bounded(clusters: list[Cluster], bounds: Sequence[ClusterBounds]) -> dict[str, NDArray[np.generic]]:
    """Return the columns that bounds add to the table of clusters."""
    sets = [cluster.members for cluster in clusters]
    return {name: values for each in bounds for name, values in each.of_sets(sets).items()}


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
