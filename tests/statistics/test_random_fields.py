"""Random field theory: as SPM printed it, as resels are defined, and as densities follow from one another."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import integrate, stats

from bids_app.statistics.random_fields import FieldOfStatistic, f_densities, resel_counts, t_densities

HALF = 5.1e-4  # half of the last printed digit of a p, and rounding
RESELS = (3.0, 40.0, 400.0, 1200.0)


def spm_pages(folder: Path) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Name, SPM.mat and result page of everything that SPM printed."""
    path = folder / "reference_results" / "nidmresults_examples" / "spm.json.gz"
    studies = json.loads(gzip.decompress(path.read_bytes()))
    return [(name, study["SPM.mat"], page) for name, study in studies.items() for page in study["results_pages"]]


def field_of(mat: dict[str, Any], page: dict[str, Any]) -> FieldOfStatistic:
    """The field of a page, from the numbers in full precision."""
    df = (page["df"][0], mat["erdf"])
    return FieldOfStatistic("t" if page["stat"] == "T" else "F", df, tuple(mat["resels_R0_R3"]), mat["voxels_S"])


def test_every_number_that_spm_printed_is_ours_to_the_printed_digits(shared_data: Path) -> None:
    """31 pages of t and F: critical heights, expected clusters and sizes, p of peaks and clusters.

    A printed height has two digits, so that the p of a peak lies between those of both ends of what it may have been.
    """
    n_compared = 0
    for name, mat, page in spm_pages(shared_data):
        field, height = field_of(mat, page), page["height_threshold_full"]
        per_resel = float(np.prod(mat["fwhm_vox"]))
        assert field.critical_height(0.05) == pytest.approx(page["FWEp"], abs=HALF), name
        size = field.resels_per_cluster(height) * per_resel
        assert size == pytest.approx(page["expected_voxels_per_cluster"], abs=HALF), name
        critical = field.critical_extent(0.05, height) * per_resel
        sizes = {row["cluster"]["k"] for row in page["rows"] if "cluster" in row}
        # SPM's FWEc is the smallest cluster of its own that is significant
        assert page["FWEc"] >= critical, name
        assert not any(critical <= k < page["FWEc"] for k in sizes), name
        if page["extent"]["k"] == 0:
            assert float(field.expected_clusters(height)) == pytest.approx(page["expected_clusters"], abs=0.0051), name
        for row in page["rows"]:
            highest, lowest = field.height_p([row["stat"] + 0.0051, row["stat"] - 0.0051])
            if row["p_FWE"] is not None:
                assert highest - HALF <= row["p_FWE"] <= lowest + HALF, (name, row)
                n_compared += 1
            if "cluster" in row:
                found = float(field.cluster_p(row["cluster"]["k"] / per_resel, height))
                assert found == pytest.approx(row["cluster"]["p_FWE"], abs=HALF), (name, row)
                n_compared += 1
    assert n_compared > 1000


def test_the_critical_heights_of_the_face_group_are_those_of_spm(shared_data: Path) -> None:
    """Nine contrasts of three models, where Bonferroni is lower and where it is not, to the digits that were printed.

    The resels are those of the mask, by the printed FWHM brought to the printed voxels per resel, whose four digits
    leave 3e-6 of the height.
    """
    pages = json.loads((shared_data / "reference_results" / "spm12_face_rfx.json").read_text())
    maps = sorted((shared_data / "spm_face_rfx").glob("sub-*/*_contrast-canonical_stat-effect_statmap.nii.gz"))
    data = np.array([nib.load(path).get_fdata(dtype=np.float32) for path in maps])
    mask = np.all(np.isfinite(data) & (data != 0), axis=0)
    n_compared = 0
    for key in ("canonical", "informed", "fir"):
        page = pages[key]
        fwhm = np.array(page["fwhm_vox"])
        fwhm *= (page["voxels_per_resel"] / fwhm.prod()) ** (1 / 3)
        resels = tuple(resel_counts(mask, fwhm))
        assert resels[3] == pytest.approx(page["resels"], abs=0.06)
        others = pages.get(f"{key}_other_contrasts", {})
        heights = [(page["df"], page["height_threshold_F"])]
        heights += [(other["df"], other["height_threshold"]) for other in others.values()]
        for df, height in heights:
            of = ("F", tuple(df)) if isinstance(df, list) else ("t", (1, df))
            found = FieldOfStatistic(*of, resels, int(mask.sum())).critical_height(0.05)
            assert found == pytest.approx(height, rel=1e-5), (key, df)
            n_compared += 1
    assert n_compared == 9


def test_resels_of_a_box_are_those_of_its_sides() -> None:
    """A box of voxel centres with sides a, b, c (in FWHM): 1, a + b + c, ab + ac + bc, abc."""
    mask = np.zeros((9, 8, 7), bool)
    mask[1:7, 1:6, 2:6] = True
    fwhm = np.array([2.0, 3.0, 4.0])
    a, b, c = np.array([5, 4, 3]) / fwhm
    assert resel_counts(mask, fwhm) == pytest.approx([1, a + b + c, a * b + a * c + b * c, a * b * c])


def test_resels_are_the_points_edges_faces_and_cubes_of_the_definition(rng: np.random.Generator) -> None:
    """Worsley (1996), equations 2 to 5, counted cell by cell in a mask full of holes."""
    mask = rng.random((5, 6, 4)) < 0.8
    counts = {}
    for dims in itertools.product((0, 1), repeat=3):
        corners = [np.array(corner) for corner in itertools.product(*(range(d + 1) for d in dims))]
        counts[dims] = sum(
            all((voxel + corner < mask.shape).all() and mask[tuple(voxel + corner)] for corner in corners)
            for voxel in np.argwhere(mask)
        )
    x, y, z = 1 / np.array([2.0, 3.0, 4.0])
    ex, ey, ez = counts[1, 0, 0], counts[0, 1, 0], counts[0, 0, 1]
    fxy, fxz, fyz, cubes = counts[1, 1, 0], counts[1, 0, 1], counts[0, 1, 1], counts[1, 1, 1]
    assert resel_counts(mask, (2.0, 3.0, 4.0)) == pytest.approx(
        [
            counts[0, 0, 0] - ex - ey - ez + fxy + fxz + fyz - cubes,
            x * (ex - fxy - fxz + cubes) + y * (ey - fxy - fyz + cubes) + z * (ez - fxz - fyz + cubes),
            x * y * (fxy - cubes) + x * z * (fxz - cubes) + y * z * (fyz - cubes),
            x * y * z * cubes,
        ]
    )


def test_the_mask_of_a_ring_has_no_euler_characteristic() -> None:
    """One piece with one hole: 0. A hollow cube has 2."""
    ring = np.ones((3, 3, 1), bool)
    ring[1, 1] = False
    assert resel_counts(ring, np.ones(3))[0] == 0
    hollow = np.ones((3, 3, 3), bool)
    hollow[1, 1, 1] = False
    assert resel_counts(hollow, np.ones(3))[0] == 2


def test_densities_of_many_df_are_those_of_a_normal_field() -> None:
    """Worsley (1996), table II; df 1e7 leave 1e-6."""
    z = np.array([2.5, 3.5, 4.5])
    a, e = 4 * np.log(2), np.exp(-(z**2) / 2)
    normal = [
        stats.norm.sf(z),
        a**0.5 / (2 * np.pi) * e,
        a / (2 * np.pi) ** 1.5 * z * e,
        a**1.5 / (2 * np.pi) ** 2 * (z**2 - 1) * e,
    ]
    assert t_densities(z, 1e7) == pytest.approx(np.array(normal), rel=3e-5)


@pytest.mark.parametrize("df", [4.0, 11.0, 98.0])
def test_an_f_of_one_dimension_has_the_densities_of_both_sides_of_t(df: float) -> None:
    t = np.array([1.5, 3.0, 6.0, 15.0])
    assert f_densities(t**2, (1.0, df)) == pytest.approx(2 * t_densities(t, df), rel=1e-9)


@pytest.mark.parametrize("df", [(1.0, 4.0), (1.0, 11.0), (2.0, 30.0), (3.0, 33.0), (8.0, 120.0), (2.5, 20.5)])
def test_densities_are_those_of_the_gaussian_kinematic_formula(df: tuple[float, float]) -> None:
    """Where U (k) and W (v) are normal, F > f is a cone about the axis of U, and tubes round it give the densities.

    P(distance to the cone <= r) = sum over d of (2 pi)^(d/2) rho_d r^d / d! (Taylor 2006, doi
    10.1214/009117905000000594). The angle psi from the axis, tan psi = |W| / |U|, has a density h proportional to
    cos^(k-1) sin^(v-1), the length R is that of k + v normal numbers, and the distance R sin(psi - theta). Hence the
    derivatives at r = 0 are h E[1/R], h' E[1/R^2] and (h'' + h) E[1/R^3]: h' and h'' by differences, the moments by
    quadrature, which together leave 1e-5.
    """
    k, v = df
    f = np.array([2.0, 5.0, 12.0, 60.0])
    theta, step = np.arctan(np.sqrt(v / (k * f))), 2e-4

    def shape(psi: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.exp((k - 1) * np.log(np.cos(psi)) + (v - 1) * np.log(np.sin(psi)))

    whole, _ = integrate.quad(shape, 0, np.pi / 2)
    h, ahead, behind = (shape(theta + shift) / whole for shift in (0, step, -step))
    first, second = (ahead - behind) / (2 * step), (ahead - 2 * h + behind) / step**2
    moments = [integrate.quad(lambda r, d=d: stats.chi.pdf(r, k + v) * r**-d, 0, np.inf)[0] for d in (1, 2, 3)]
    per_resel = np.sqrt(4 * np.log(2) / (2 * np.pi)) ** np.array([[1], [2], [3]])
    expected = per_resel * np.array(moments)[:, None] * np.array([h, first, second + h])
    found = f_densities(f, df)
    assert found[0] == pytest.approx(stats.f.sf(f, k, v), rel=1e-9)
    assert found[1:] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("test", "df", "height", "densities"),
    [
        ("t", (1.0, 11.0), 5.0176, (0.0001957599531, 0.0004136778228, 0.0008094899781, 0.001441051852)),
        ("t", (1.0, 98.0), 4.0, (6.149877401e-05, 0.000103848329, 0.000165295753, 0.0002452211786)),
        ("F", (3.0, 33.0), 8.95745041, (0.0001748582661, 0.0003420152274, 0.0006284536694, 0.001070944795)),
        ("F", (8.0, 120.0), 5.0625, (1.957918011e-05, 4.172579144e-05, 8.482061889e-05, 0.0001632388311)),
    ],
)
def test_densities_are_those_of_brainstat(
    test: Any,  # noqa: ANN401
    df: tuple[float, float],
    height: float,
    densities: tuple[float, ...],
) -> None:
    """`stat_threshold` of brainstat 0.7.0, fwhm 1, its densities per FWHM^d once (4 ln 2)^(d/2) is multiplied in.

    Ten digits are written down here; its tail probability is a sum over steps of 0.2 to 0.4, which is 1e-4 off.
    """
    found = FieldOfStatistic(test, df, RESELS, 5000).densities(height)
    expected = np.array(densities) * (4 * np.log(2)) ** (np.arange(4) / 2)
    assert found[0] == pytest.approx(expected[0], rel=1e-4)
    assert found[1:] == pytest.approx(expected[1:], rel=1e-9)


@pytest.mark.parametrize(
    ("test", "df"), [("t", (1.0, 4.0)), ("t", (1.0, 15.0)), ("F", (1.0, 11.0)), ("F", (8.0, 30.0))]
)
@pytest.mark.parametrize("resels", [RESELS, (1.0, 3.0, 3.0, 1.0), (2.0, 10.0, 5.0, 0.1)])
def test_p_falls_with_the_height_and_the_critical_height_has_alpha(
    test: Any,  # noqa: ANN401
    df: tuple[float, float],
    resels: tuple[float, float, float, float],
) -> None:
    """From 1 or nearly so on, never below the uncorrected p nor above Bonferroni's."""
    field = FieldOfStatistic(test, df, resels, 5000)
    heights = np.linspace(0 if test == "F" else -5, 40, 4001)
    p = field.height_p(heights)
    assert np.all(np.diff(p) <= 1e-12)
    alone = field.densities(heights)[0]
    assert np.all((p >= alone) & (p <= np.minimum(1, 5000 * alone) + 1e-15))
    for alpha in (0.05, 0.025, 0.001):
        critical = field.critical_height(alpha)
        assert float(field.height_p(critical * (1 - 1e-9))) == pytest.approx(alpha, rel=1e-6)


def test_few_degrees_of_freedom_leave_bonferroni() -> None:
    """A field of t with 3 df is infinite somewhere: E[EC] does not fall to zero."""
    field = FieldOfStatistic("t", (1.0, 3.0), RESELS, 5000)
    assert float(field.expected_clusters(1e6)) > 1
    assert field.height_p([20.0, 500.0]) == pytest.approx(5000 * stats.t.sf([20.0, 500.0], 3).clip(0, 1 / 5000))
    assert field.critical_height(0.05) == pytest.approx(stats.t.isf(1e-5, 3))
    assert field.cluster_p([100.0], 10.0).tolist() == [1.0]
    assert field.critical_extent(0.05, 10.0) == np.inf


def test_the_critical_extent_has_alpha_and_larger_clusters_less() -> None:
    field = FieldOfStatistic("t", (1.0, 15.0), RESELS, 50000)
    height = field.critical_height_at(0.001)
    critical = field.critical_extent(0.05, height)
    p = field.cluster_p([critical / 2, critical, 2 * critical], height)
    assert p[1] == pytest.approx(0.05, rel=1e-9)
    assert p[0] > p[1] > p[2]
    assert field.critical_extent(0.05, 30.0) == 0.0  # a cluster at all is as rare


def test_the_largest_heights_have_a_p() -> None:
    """Of noise-free voxels, and zero of F."""
    for test, df in (("t", (1.0, 15.0)), ("F", (3.0, 20.0))):
        p = FieldOfStatistic(test, df, RESELS, 5000).height_p([0.0, 1e10, 1e200, np.inf])  # type: ignore[arg-type]
        assert p[0] > 0.9
        assert np.all(p[1:] < 1e-60)
