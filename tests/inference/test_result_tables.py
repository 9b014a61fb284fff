"""Clusters and peaks are those that one finds by hand, and their labels those of atlasreader."""

from __future__ import annotations

import warnings

import nibabel
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import ndimage, stats

from bids_app.design.contrasts import Contrast
from bids_app.inference.catalogue import METHODS
from bids_app.inference.corrected_map import CorrectedMap
from bids_app.inference.result_tables import ResultTables, TableOptions, described, tabulate, top_elements
from bids_app.spaces import atlases
from bids_app.spaces.adjacency import Adjacency
from bids_app.spaces.atlases import Atlas, load_atlases
from bids_app.spaces.domain import Element, SizeUnit
from bids_app.spaces.graph import GraphDomain
from bids_app.spaces.volume import VolumeDomain
from bids_app.statistics.fit import ContrastFit

Floats = NDArray[np.float64]

# 2 x 3 x 4 mm voxels; the voxel (0, 0, 0) is at (10, -20, 30) mm.
AFFINE = np.array([[2.0, 0, 0, 10], [0, 3.0, 0, -20], [0, 0, 4.0, 30], [0, 0, 0, 1]])


def test_coordinates_are_those_of_the_grid_and_not_of_its_rounding() -> None:
    """0.7 mm voxels: 3 x 0.7 - 2.1 is 4e-16 in double precision; -0.0 comes of an origin of -0.0."""
    affine = np.array([[0.7, 0, 0, -2.1], [0, -0.1, 0, -0.0], [0, 0, 0.3, 0.1], [0, 0, 0, 1]])
    statistic = np.zeros(5**3)
    statistic[np.ravel_multi_index((3, 0, 2), (5, 5, 5))] = 9.0
    domain = VolumeDomain.from_mask(np.ones((5, 5, 5), bool), affine, 26)
    inference = inference_of(statistic > 5)
    peaks = tabulate(inference, fit_of(statistic), [inference], domain, TableOptions()).peaks
    assert [f"{peaks[f'peak_{axis}'][0]:.9g}" for axis in "xyz"] == ["0", "0", "0.7"]


def fit_of(statistic: Floats, *, test: str = "t") -> ContrastFit:
    """Return a fit with 100 degrees of freedom whose effect is a tenth of the statistic."""
    nothing = np.zeros((0, 0))
    is_t = test == "t"
    contrast = Contrast(
        name="faces",
        label="faces",
        test="t" if is_t else "F",
        sided="two" if is_t else "positive",
        weights=nothing,
        cell_weights=nothing,
        within=nothing,
        between=nothing,
        error_term="partitioned",
        sphericity="none",
    )
    return ContrastFit(
        contrast=contrast,
        statistic=statistic,
        z=statistic * 0.9,
        p=2 * stats.t.sf(np.abs(statistic), 100),
        effect=statistic / 10 if is_t else None,
        variance=np.ones_like(statistic) if is_t else None,
        effect_size=statistic / 5,
        effect_size_interval=None,
        epsilon=None,
        df_effect=1,
        df_error=100,
    )


def inference_of(significant: NDArray[np.bool_], *, method: str = "voxelFWE", p: float = 0.01) -> CorrectedMap:
    """Return an inference with one p-value inside and 1 outside."""
    return CorrectedMap(method, np.where(significant, p, 1.0), 0.05, significant, 3.0, 0, None)


def tables_of(
    volume: Floats, *, connectivity: int = 26, min_extent: int = 1, min_distance_mm: float = 0
) -> ResultTables:
    """Tabulate a volume whose voxels beyond +-3 are significant, in a mask of all voxels."""
    statistic = volume.reshape(-1)
    domain = VolumeDomain.from_mask(np.ones(volume.shape, bool), AFFINE, connectivity)
    options = TableOptions(min_extent, min_distance_mm)
    return tabulate(inference_of(np.abs(statistic) > 3), fit_of(statistic), (), domain, options)


def line(*values: float) -> Floats:
    """Return a volume of one row of voxels along x, 2 mm apart."""
    return np.array(values, float).reshape(-1, 1, 1)


def peak_x(tables: ResultTables) -> list[tuple[str, float]]:
    """Return name and x, in voxels, of every peak of a row of voxels."""
    x = (tables.peaks["peak_x"] - 10) / 2
    return list(zip(tables.peaks["peak_id"], x, strict=True))


def test_a_cluster_is_described_by_its_voxels_and_its_peak() -> None:
    """Worked by hand: three voxels 4, 6, 5 along y."""
    volume = np.zeros((3, 5, 3))
    volume[1, 1:4, 2] = 4, 6, 5
    row = tables_of(volume).clusters.iloc[0]
    assert (row["peak_x"], row["peak_y"], row["peak_z"]) == (12, -14, 38)
    assert row["cluster_mean"] == 5
    assert row["extent_voxels"] == 3
    assert row["volume_mm3"] == pytest.approx(3 * 24)
    assert (row["peak_statistic"], row["peak_z_score"], row["peak_effect"]) == pytest.approx((6, 5.4, 0.6))
    assert row["p_uncorrected"] == 2 * stats.t.sf(6, 100)
    assert row["p_voxelFWE"] == 0.01


def test_clusters_are_ordered_by_absolute_peak_and_keep_their_sign() -> None:
    tables = tables_of(line(4, 5, 0, -7, -6, -5, 0, 6))
    assert tables.clusters["cluster_id"].tolist() == [1, 2, 3]
    assert tables.clusters["peak_statistic"].tolist() == [-7, 6, 5]
    assert tables.clusters["extent_voxels"].tolist() == [3, 1, 2]
    assert tables.clusters["cluster_mean"].tolist() == [-6, 6, 4.5]


def test_equally_high_clusters_come_in_the_order_of_their_voxels() -> None:
    """Enough of them that an unstable sort would mix them up."""
    tables = tables_of(line(*([5, 0, -6, 0] * 40)))
    assert tables.clusters["peak_x"].tolist() == [14 + 8 * n for n in range(40)] + [10 + 8 * n for n in range(40)]


def test_touching_clusters_of_opposite_sign_stay_apart() -> None:
    tables = tables_of(line(4, 5, -6, -4))
    assert tables.clusters["peak_statistic"].tolist() == [-6, 5]
    assert tables.clusters["extent_voxels"].tolist() == [2, 2]


@pytest.mark.parametrize(("connectivity", "extents"), [(6, [1, 1, 1]), (18, [2, 1]), (26, [3])])
def test_clusters_have_the_connectivity_of_the_inference(connectivity: int, extents: list[int]) -> None:
    """Voxels that share an edge, then a corner."""
    volume = np.zeros((4, 4, 4))
    volume[0, 0, 0], volume[0, 1, 1], volume[1, 2, 2] = 6, 5, 4
    assert tables_of(volume, connectivity=connectivity).clusters["extent_voxels"].tolist() == extents


def test_clusters_do_not_grow_through_voxels_outside_the_mask() -> None:
    mask = line(1, 1, 0, 1) > 0
    statistic = np.array([4.0, 5, 6])
    domain = VolumeDomain.from_mask(mask, AFFINE, 26)
    tables = tabulate(inference_of(statistic > 3), fit_of(statistic), (), domain, TableOptions())
    assert tables.clusters["extent_voxels"].tolist() == [1, 2]
    assert tables.clusters["peak_x"].tolist() == [16, 12]


@pytest.mark.parametrize(("min_extent", "extents", "n_left_out"), [(1, [1, 3, 2], 0), (2, [3, 2], 1), (3, [3], 2)])
def test_small_clusters_are_left_out_and_counted(min_extent: int, extents: list[int], n_left_out: int) -> None:
    tables = tables_of(line(9, 0, 4, 5, 4, 0, 4, 4), min_extent=min_extent)
    assert tables.clusters["extent_voxels"].tolist() == extents
    assert tables.clusters["cluster_id"].tolist() == list(range(1, len(extents) + 1))
    assert sorted(set(tables.peaks["cluster_id"])) == tables.clusters["cluster_id"].tolist()
    assert tables.n_left_out == n_left_out


def test_peaks_are_the_local_maxima_of_each_cluster() -> None:
    tables = tables_of(line(4, 6, 5, 7, 4, 0, -4, -8, -5, -6))
    assert peak_x(tables) == [("1a", 7), ("1b", 9), ("2a", 3), ("2b", 1)]
    assert tables.peaks["peak_statistic"].tolist() == [-8, -6, 7, 6]
    assert tables.peaks["extent_voxels"].tolist() == [4, 4, 5, 5]
    assert tables.peaks["volume_mm3"].tolist() == pytest.approx([96, 96, 120, 120])


def test_peaks_nearer_than_the_distance_to_a_higher_kept_peak_are_dropped() -> None:
    """Maxima at x = 0, 4, 8 and 12 mm, of heights 6, 9, 8 and 7.

    From the highest: 4 mm is kept; 8 mm is too near to it; 12 mm is far enough from 4 mm, and the dropped
    8 mm does not count; 0 mm is too near to 4 mm.
    """
    volume = line(6, 4, 9, 4, 8, 4, 7)
    assert peak_x(tables_of(volume, min_distance_mm=5)) == [("1a", 2), ("1b", 6)]


def test_peaks_at_exactly_the_distance_are_kept() -> None:
    volume = line(6, 4, 9, 4, 8, 4, 7)
    assert peak_x(tables_of(volume, min_distance_mm=4)) == [("1a", 2), ("1b", 4), ("1c", 6), ("1d", 0)]


def test_distance_does_not_reach_over_to_another_cluster() -> None:
    assert peak_x(tables_of(line(6, 0, 9), min_distance_mm=20)) == [("1a", 2), ("2a", 0)]


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        pytest.param(line(4, 5, 5, 5, 4), [("1a", 1)], id="one peak, its first voxel"),
        pytest.param(line(5, 5, 4, 5, 5), [("1a", 0), ("1b", 3)], id="two plateaus"),
        pytest.param(line(4, 5, 5, 5, 6), [("1a", 4)], id="a shoulder is no peak"),
        pytest.param(line(6, 5, 5, 5, 4, 5), [("1a", 0), ("1b", 5)], id="exceeded at its far end"),
        pytest.param(line(5, 5, 5, -5, -5), [("1a", 0), ("2a", 3)], id="equal height, other sign"),
    ],
)
def test_a_plateau_is_one_peak_unless_exceeded(volume: Floats, expected: list[tuple[str, float]]) -> None:
    assert peak_x(tables_of(volume)) == expected


def test_a_bent_plateau_is_one_peak() -> None:
    """A U of equal voxels: its two arms meet only at the last row."""
    volume = np.zeros((4, 3, 1))
    volume[:, 0, 0] = volume[:, 2, 0] = volume[3, 1, 0] = 5
    tables = tables_of(volume, connectivity=6)
    assert tables.peaks[["peak_x", "peak_y", "peak_z"]].to_numpy().tolist() == [[10, -20, 30]]


def test_local_maxima_agree_with_a_maximum_filter() -> None:
    """Oracle: scipy's maximum filter on a smooth random field without ties, one sign."""
    noise = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(20, 22, 24)), 1.2)
    volume = 4 * noise / noise.std()
    supra = volume > 3
    inside = np.where(supra, volume, -np.inf)
    expected = np.argwhere(supra & (ndimage.maximum_filter(inside, size=3, mode="constant", cval=-np.inf) == inside))
    tables = tables_of(np.where(supra, volume, 0))
    found = tables.peaks[["peak_x", "peak_y", "peak_z"]].to_numpy()
    expected_mm = expected * [2, 3, 4] + [10, -20, 30]
    assert len(expected) > 50
    assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, expected_mm.astype(float).tolist()))


def test_kept_peaks_are_far_apart_and_every_dropped_one_is_near_a_higher_one() -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(2).normal(size=(16, 16, 16)), 1.0)
    volume = np.maximum(3.5 + noise / noise.std(), 3.1)
    every = tables_of(volume).peaks
    kept = tables_of(volume, min_distance_mm=12).peaks
    places = ["peak_x", "peak_y", "peak_z"]
    between = np.linalg.norm(kept[places].to_numpy()[:, None] - kept[places].to_numpy()[None], axis=2)
    assert between[~np.eye(len(kept), dtype=bool)].min() >= 12
    dropped = every.merge(kept[places], how="left", on=places, indicator=True).query("_merge == 'left_only'")
    assert len(dropped) > 10
    for row in dropped.itertuples():
        higher = kept[kept["peak_statistic"] >= row.peak_statistic][places].to_numpy()
        assert np.linalg.norm(higher - [row.peak_x, row.peak_y, row.peak_z], axis=1).min() < 12


def test_more_than_26_peaks_are_lettered_on() -> None:
    names = [name for name, _ in peak_x(tables_of(line(*(4 + (i % 2) for i in range(60)))))]
    assert names[:2] == ["1a", "1b"]
    assert names[25:30] == ["1z", "1aa", "1ab", "1ac", "1ad"]
    assert len(names) == 30


def test_the_p_of_every_method_stands_beside_the_peak() -> None:
    statistic = np.array([4.0, 6, 0, 5])
    significant = statistic > 3
    own = inference_of(significant, method="clusterSizeFWE", p=0.02)
    others = [
        inference_of(statistic > 5, method="voxelFWE", p=0.03),
        inference_of(significant, method="uncorrected", p=0.001),
    ]
    fit = fit_of(statistic)
    domain = VolumeDomain.from_mask(np.ones((4, 1, 1), bool), AFFINE, 26)
    tables = tabulate(own, fit, others, domain, TableOptions())
    for table in (tables.clusters, tables.peaks):
        assert table["p_clusterSizeFWE"].tolist() == [0.02, 0.02]
        assert table["p_voxelFWE"].tolist() == [0.03, 1]
        assert table["p_uncorrected"].tolist() == fit.p[[1, 3]].tolist()
        assert [name for name in table if str(name).startswith("p_")] == [
            "p_uncorrected",
            "p_clusterSizeFWE",
            "p_voxelFWE",
        ]


def test_an_f_contrast_has_no_effect_column() -> None:
    statistic = np.array([4.0, 6, 0])
    domain = VolumeDomain.from_mask(np.ones((3, 1, 1), bool), AFFINE, 26)
    tables = tabulate(inference_of(statistic > 3), fit_of(statistic, test="F"), (), domain, TableOptions())
    assert "peak_effect" not in tables.clusters
    assert "peak_effect" not in tables.peaks
    assert tables.clusters["peak_statistic"].tolist() == [6]


def test_without_significant_voxels_the_columns_remain() -> None:
    full, empty = tables_of(line(4, 5)), tables_of(line(1, 2))
    assert (len(empty.clusters), len(empty.peaks), empty.n_left_out) == (0, 0, 0)
    assert empty.clusters.dtypes.to_dict() == full.clusters.dtypes.to_dict()
    assert empty.peaks.dtypes.to_dict() == full.peaks.dtypes.to_dict()


def test_all_clusters_may_be_too_small() -> None:
    tables = tables_of(line(4, 0, 5), min_extent=2)
    assert (len(tables.clusters), len(tables.peaks), tables.n_left_out) == (0, 0, 2)


def test_an_atlas_on_another_grid_is_refused() -> None:
    atlas = Atlas("aal", {}, np.zeros((1, 3, 1, 1), np.uint16), AFFINE, probabilistic=False)
    for mask, affine, message in (
        (np.ones((4, 1, 1), bool), AFFINE, "atlas aal is on a grid of"),
        (np.ones((3, 1, 1), bool), np.eye(4), "same affine"),
    ):
        statistic = np.zeros(mask.size)
        domain = VolumeDomain.from_mask(mask, affine, 26)
        with pytest.raises(ValueError, match=message):
            tabulate(inference_of(statistic > 3), fit_of(statistic), (), domain, TableOptions(atlases=(atlas,)))


@pytest.fixture(scope="module")
def activation() -> tuple[Floats, Floats]:
    """Return a 4 mm map over the MNI box with smooth blobs of both signs, and its affine."""
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = [-90, -126, -72]
    noise = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=(46, 55, 46)), 1.6)
    # Float32, as nilearn would make it: the same numbers on both sides.
    return (noise / noise.std()).astype(np.float32).astype(float), affine


@pytest.fixture(scope="module")
def labelled(activation: tuple[Floats, Floats]) -> ResultTables:
    """Return the tables of the map beyond +-2.5, from 20 voxels on, one peak per cluster."""
    volume, affine = activation
    shape = (volume.shape[0], volume.shape[1], volume.shape[2])
    found = load_atlases(["aal", "desikan_killiany", "harvard_oxford"], shape, affine)
    domain = VolumeDomain.from_mask(np.ones(shape, bool), affine, 6)
    statistic = volume.reshape(-1)
    return tabulate(
        inference_of(np.abs(statistic) > 2.5), fit_of(statistic), (), domain, TableOptions(20, 1000.0, found)
    )


def test_every_column_is_described(labelled: ResultTables) -> None:
    assert [name for name in (*labelled.clusters, *labelled.peaks) if not described(name)] == []
    assert {"aal", "desikan_killiany", "harvard_oxford"} <= set(labelled.clusters)


@pytest.mark.parametrize("method", [row.key for row in METHODS.values() if row.kind != "bounds"])
def test_the_p_of_every_method_is_described(method: str) -> None:
    assert "p-value" in described(f"p_{method}")


# Its own atlas loading takes 4 GB for the probabilistic one, so the two others stand for the comparison; what
# test_atlases.py shows about probabilities needs no table.
ORACLE_ATLASES = ["aal", "desikan_killiany"]


@pytest.fixture(scope="module")
def by_atlasreader(activation: tuple[Floats, Floats]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the cluster and the peak table of atlasreader for the same map."""
    volume, affine = activation
    image = nibabel.Nifti1Image(volume.astype(np.float32), affine)
    reader = atlases._atlasreader()
    with warnings.catch_warnings():
        # Its table of strings is filled with numbers, which the string type of pandas 3 refuses.
        warnings.filterwarnings("ignore", "The 'future.infer_string' option is deprecated")
        with pd.option_context("future.infer_string", False):  # noqa: FBT003
            # An extent of k - 0.5 keeps clusters of exactly k, whatever the rounding.
            clusters, peaks = reader.get_statmap_info(
                image, cluster_extent=19.5, atlas=ORACLE_ATLASES, voxel_thresh=2.5, min_distance=None
            )
    return clusters, peaks


def places(table: pd.DataFrame) -> list[tuple[float, float, float]]:
    """Return the coordinates of a table's rows."""
    return [tuple(row) for row in table[["peak_x", "peak_y", "peak_z"]].to_numpy(float).tolist()]


def test_clusters_are_those_of_atlasreader(
    labelled: ResultTables, by_atlasreader: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    theirs, _ = by_atlasreader
    ours = labelled.clusters.set_index(pd.Index(places(labelled.clusters), tupleize_cols=False))
    theirs = theirs.set_index(pd.Index(places(theirs), tupleize_cols=False)).loc[ours.index]
    assert len(ours) > 20
    assert (ours["peak_statistic"] < 0).any()
    assert (ours["peak_statistic"] > 0).any()
    np.testing.assert_allclose(ours["volume_mm3"], theirs["volume_mm"].astype(float))
    # They keep six digits or so of the float32 mean in a table of strings.
    np.testing.assert_allclose(ours["cluster_mean"], theirs["cluster_mean"].astype(float), rtol=1e-5)
    for name in ORACLE_ATLASES:
        for mine, other in zip(ours[name], theirs[name], strict=True):
            regions = [part.split("% ") for part in mine.split("; ") if not part.endswith("in smaller parts")]
            expected = [part.split("% ") for part in other.split("; ")]
            if regions == [["no_label"]]:
                regions = [["100.0", "no_label"]]
            assert {region: float(share) for share, region in regions} == pytest.approx(
                {region: float(share) for share, region in expected}, abs=0.06
            )


def test_peaks_are_those_of_atlasreader(
    labelled: ResultTables, by_atlasreader: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    _, theirs = by_atlasreader
    ours = labelled.peaks.set_index(pd.Index(places(labelled.peaks), tupleize_cols=False))
    theirs = theirs.set_index(pd.Index(places(theirs), tupleize_cols=False)).loc[ours.index]
    assert len(ours) == len(theirs) == len(labelled.clusters)
    np.testing.assert_allclose(ours["peak_statistic"], theirs["peak_value"].astype(float), rtol=1e-5)
    for name in ORACLE_ATLASES:
        assert ours[name].tolist() == theirs[name].tolist()


def test_top_voxels_are_those_of_the_highest_peaks() -> None:
    """By absolute statistic, over all clusters, at most as many as asked for."""
    volume = np.zeros((7, 7, 7))
    volume[1, 1, 1], volume[3, 5, 1], volume[5, 3, 5] = 4.0, -6.0, 5.0
    statistic = volume.reshape(-1)
    domain = VolumeDomain.from_mask(np.ones(volume.shape, bool), AFFINE, 26)
    voxels = top_elements(tables_of(volume), fit_of(statistic), domain, 2)
    assert statistic[voxels].tolist() == [-6.0, 5.0]


@pytest.mark.parametrize("height", [2.5, 1e5])
def test_without_peaks_the_top_voxel_is_the_one_that_came_closest(height: float) -> None:
    """The smallest p, and of those that are zero to the computer the largest statistic."""
    volume = np.zeros((4, 4, 4))
    volume[2, 1, 3], volume[0, 0, 0] = -height, 0.9 * height
    fit = fit_of(volume.reshape(-1))
    domain = VolumeDomain.from_mask(np.ones(volume.shape, bool), AFFINE, 26)
    nothing = ResultTables(pd.DataFrame(), pd.DataFrame(), 0)
    for tables in (None, nothing):
        assert fit.statistic[top_elements(tables, fit, domain)].tolist() == [-height]


def test_where_nothing_survives_the_voxel_that_came_closest_is_kept() -> None:
    """The smallest p of the method; of equal ones the highest statistic. Otherwise there is none."""
    volume = np.zeros((4, 4, 4))
    volume[1, 1, 1], volume[2, 2, 2] = 2.0, -2.5
    fit, domain = fit_of(volume.reshape(-1)), VolumeDomain.from_mask(np.ones(volume.shape, bool), AFFINE, 26)
    nothing = inference_of(np.zeros(64, bool))
    closest = tabulate(nothing, fit, (), domain, TableOptions()).closest
    assert closest is not None
    assert (closest.xyz, closest.statistic, closest.p) == ((14.0, -14.0, 38.0), -2.5, 1.0)
    assert tabulate(inference_of(np.abs(fit.statistic) > 1), fit, (), domain, TableOptions()).closest is None


def mesh(*, with_places: bool = True) -> GraphDomain:
    """Return a strip of four triangles, vertices 0 to 5, a third of whose areas are 1, 2, 3, 3, 2 and 1 mm2."""
    faces = np.array([[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]])
    areas, places = np.array([1.0, 2, 3, 3, 2, 1]), np.array([[x, x % 2, 7] for x in range(6)], float)
    unit: tuple[Element, SizeUnit] = ("vertex", "mm2") if with_places else ("parcel", "1")
    return GraphDomain.from_adjacency(Adjacency.from_faces(6, faces), areas, unit, places if with_places else None)


def test_clusters_of_a_mesh_have_areas_and_places() -> None:
    """All but vertex 2: one cluster, because 1 touches 3; its maximum is 3, which touches 1 and 5."""
    statistic = np.array([4.0, 5.0, 0.0, 6.0, 4.0, 5.5])
    tables = tabulate(inference_of(statistic > 3), fit_of(statistic), (), mesh(), TableOptions())
    assert tables.clusters["peak_statistic"].tolist() == [6.0]
    assert tables.clusters["extent_vertices"].tolist() == [5]
    assert tables.clusters["area_mm2"].tolist() == [9.0]
    assert tables.peaks[["peak_x", "peak_y", "peak_z"]].to_numpy().tolist() == [[3, 1, 7]]
    assert "extent_voxels" not in tables.clusters
    assert "volume_mm3" not in tables.clusters
    assert all(described(name) for name in {*tables.clusters, *tables.peaks})


def test_clusters_of_a_mesh_are_ranked_and_limited_like_those_of_voxels() -> None:
    """Vertices 0 and 1 are negative, 3 to 5 positive: two clusters, the smaller of which has two vertices."""
    statistic = np.array([-4.0, -7.0, 0.0, 6.0, 4.0, 5.5])
    significant = inference_of(np.abs(statistic) > 3)
    tables = tabulate(significant, fit_of(statistic), (), mesh(), TableOptions())
    assert tables.clusters["peak_statistic"].tolist() == [-7.0, 6.0]
    assert tables.clusters["area_mm2"].tolist() == [3.0, 6.0]
    tables = tabulate(significant, fit_of(statistic), (), mesh(), TableOptions(min_extent=3))
    assert tables.clusters["peak_statistic"].tolist() == [6.0]
    assert tables.n_left_out == 1


def test_elements_without_places_are_named_by_their_number() -> None:
    """Parcels: no coordinates, no size but their number."""
    statistic = np.array([-4.0, -7.0, 0.0, 6.0, 4.0, 5.5])
    parcels = mesh(with_places=False)
    tables = tabulate(inference_of(np.abs(statistic) > 3), fit_of(statistic), (), parcels, TableOptions(1, 9.0))
    assert tables.clusters["peak_element"].tolist() == [1, 3]
    assert tables.clusters["extent_parcels"].tolist() == [2, 3]
    assert not {"peak_x", "area_mm2", "volume_mm3"} & set(tables.clusters)
    assert all(described(name) for name in {*tables.clusters, *tables.peaks})
    assert top_elements(tables, fit_of(statistic), parcels).tolist() == [1, 3]
    nothing = tabulate(inference_of(statistic > 9), fit_of(statistic), (), parcels, TableOptions()).closest
    assert nothing is not None
    assert np.isnan(nothing.xyz).all()
    assert nothing.statistic == -7.0
