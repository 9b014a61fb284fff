"""A small part of the false-positive study: the engine on data without effects, against binomial bounds.

The bounds leave out a rate that is right once in 10,000 seeds. 400 data sets at a level of 0.05 let 5 to 39 through,
so that a true rate of 0.15 is found out with a probability over 0.99, and one of 0 always.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bids_app.permutation.schemes import null_space
from bids_app.spaces.surface import built_in_meshes
from bids_app.statistics.kinds import contrast_test
from validation.cells import ALL_FOUR, Cell, all_cells, digest, parametric_cells
from validation.random_fields import Rates, run_fields, run_random_fields, section
from validation.simulate import TWIN_CORRELATION, Counts, attainable, make_design, make_values, run
from validation.table import has_fault, interval, judge, page

REPOSITORY = Path(__file__).parent.parent

FALSE_ALARM = 1e-4

MAIN_EFFECT = Cell("s", "main effect", "A, r = 2", "mean", (12,), "F", level_sd=1.0)
GROUPS = Cell("s", "two groups", "one map", "groups", (5, 11), noise="skewness 2")


def bounds(n: int, level: float) -> tuple[int, int]:
    """Fewest and most false positives in n data sets that are not surprising."""
    return int(stats.binom.ppf(FALSE_ALARM / 2, n, level)), int(stats.binom.isf(FALSE_ALARM / 2, n, level))


@pytest.mark.parametrize("cell", [MAIN_EFFECT, GROUPS], ids=["sign-flip", "permute"])
def test_default_schemes_hold_the_familywise_level(cell: Cell) -> None:
    """Flips under effects of levels that vary over subjects, permutations of skewed errors in unequal groups."""
    n = 400
    fewest, most = bounds(n, attainable(cell)[1])
    assert fewest <= run(cell, 0, n).hits["voxel"] <= most


def test_all_four_statistics_hold_the_familywise_level() -> None:
    """On a smooth lattice; sizes tie and clusters may be absent, which can only lower the rate."""
    cell, n = replace(GROUPS, noise="normal", statistics=ALL_FOUR), 200
    fewest, most = bounds(n, attainable(cell)[1])
    hits = run(cell, 0, n).hits
    assert fewest <= hits["voxel"] <= most
    assert fewest <= hits["tfce"] <= most
    assert hits["clusterSize"] <= most
    assert hits["clusterMass"] <= most
    assert max(hits[key] for key in hits if key != "any") <= hits["any"] <= sum(hits.values()) - hits["any"]


def test_free_shuffling_does_not_hold_it() -> None:
    """The same data as the sign-flips', pooled: nearly every data set is a false positive, and the bounds see it."""
    cell, n = replace(MAIN_EFFECT, scheme="free", error_term="pooled", sizes=(16,)), 60
    hits = run(cell, 0, n).hits["voxel"]
    assert hits > bounds(n, attainable(cell)[1])[1]
    assert hits > 0.7 * n


def test_a_data_set_hangs_on_its_number_alone() -> None:
    """However a cell is shared out, the same data sets are tested with the same shuffles."""
    whole, parts = run(GROUPS, 0, 30), run(GROUPS, 0, 11) + run(GROUPS, 11, 30)
    assert parts.hits == whole.hits
    assert parts.voxels == pytest.approx(whole.voxels, rel=1e-12)  # sums in another order


def test_maps_are_what_the_page_says() -> None:
    """Variance of scores, of groups and of smooth maps, skewness, correlation of twins: within 5 standard errors."""

    def maps(cell: Cell) -> np.ndarray:
        design, contrast = make_design(cell, np.random.default_rng(1))
        values = make_values(cell, design, contrast, np.random.default_rng(2))
        scores = np.einsum("rk,skv->rsv", contrast.within, values.reshape(cell.n_subjects, -1, values.shape[1]))
        nuisance = null_space(contrast_test(design, contrast)).sum(axis=1)[:, None]
        return scores - contrast.within.sum(axis=1)[:, None, None] * nuisance

    def tolerance(n: int) -> float:
        return 5 * np.sqrt(2 / n)

    many = (200,)
    # each level effect stands on three cells: orthonormal scores have variance 1 + 3 SD^2
    assert maps(replace(MAIN_EFFECT, sizes=many)).var() == pytest.approx(4, rel=tolerance(2 * 200 * 128))
    groups = maps(replace(GROUPS, sizes=(100, 100), noise="normal", group_sd=(2.0, 1.0)))[0]
    assert groups[:100].var() == pytest.approx(4, rel=tolerance(12_800))
    assert groups[100:].var() == pytest.approx(1, rel=tolerance(12_800))
    smooth = maps(replace(GROUPS, sizes=(100, 100), noise="normal", statistics=ALL_FOUR))[0]
    assert smooth.var() == pytest.approx(1, rel=tolerance(200 * 180 // 10))  # neighbours are correlated
    twins = maps(Cell("s", "twins", "one map", "mean", many, twins="unnamed"))[0]
    assert np.corrcoef(twins[::2].ravel(), twins[1::2].ravel())[0, 1] == pytest.approx(TWIN_CORRELATION, abs=0.05)
    skewed = maps(Cell("s", "skewed", "one map", "mean", many, noise="skewness 1"))[0]
    assert stats.skew(skewed, axis=None) == pytest.approx(1, abs=0.15)
    assert skewed.mean() == pytest.approx(0, abs=5 / np.sqrt(skewed.size))


def test_noise_on_a_mesh_is_smooth_and_has_variance_one_at_every_vertex() -> None:
    """Over 200 maps, within 6 standard errors of 20,484 vertices; where triangles meet, maps are alike."""
    cell = Cell("s", "mesh", "one map", "mean", (200,), on="fsaverage5", statistics=ALL_FOUR)
    design, contrast = make_design(cell, np.random.default_rng(1))
    maps = make_values(cell, design, contrast, np.random.default_rng(2)).astype(np.float64)
    assert maps.shape == (200, 20484)
    assert np.abs(maps.var(axis=0) - 1).max() < 6 * np.sqrt(2 / 200)
    a, b = built_in_meshes()[0].faces[::50, :2].T
    alike = [np.corrcoef(maps[:, i], maps[:, j])[0, 1] for i, j in zip(a, b, strict=True)]
    far = [np.corrcoef(maps[:, i], maps[:, i + 10242])[0, 1] for i in a]  # on the other hemisphere
    assert min(alike) > 0.5
    assert abs(np.mean(far)) < 0.02


@pytest.mark.parametrize(
    ("cell", "level"),
    [
        (Cell("s", "all 128 flips", "one map", "mean", (8,)), 6 / 128),
        (Cell("s", "all 256 flips", "one map", "mean", (8,), sided="positive", n_shuffles=1000), 12 / 256),
        (Cell("s", "equal groups: |t| comes twice", "one map", "groups", (4, 4)), 2 / 70),
        (Cell("s", "unequal groups", "one map", "groups", (3, 5)), 2 / 56),
        (Cell("s", "8 pairs", "one map", "mean", (16,), twins="named"), 6 / 128),
        (MAIN_EFFECT, 0.05),
    ],
    ids=lambda value: value.words if isinstance(value, Cell) else "",
)
def test_attainable_levels(cell: Cell, level: float) -> None:
    """Counted by hand."""
    assert attainable(cell)[1] == pytest.approx(level)


def test_intervals_are_clopper_and_pearson() -> None:
    """The rate at one end makes the count, or one more extreme, as likely as 0.025."""
    low, high = interval(31, 400)
    assert stats.binom.sf(30, 400, low) == pytest.approx(0.025, rel=1e-6)
    assert stats.binom.cdf(31, 400, high) == pytest.approx(0.025, rel=1e-6)


def test_verdicts() -> None:
    """An exact case may miss by chance but not by much; an approximate one is compared with what was known."""

    def verdict(cell: Cell, hits: int, key: str = "voxel") -> str:
        return judge(cell, key, hits, 1000, 0.05).verdict

    assert verdict(GROUPS, 50) == "holds"
    assert verdict(GROUPS, 66) == "holds, by the wider interval"
    assert verdict(GROUPS, 90) == verdict(GROUPS, 20) == "FAULT"
    assert verdict(GROUPS, 20, "clusterSize") == "holds"
    assert verdict(GROUPS, 90, "clusterSize") == "FAULT"
    assert verdict(GROUPS, 90, "any") == "above"
    free = replace(GROUPS, claim="invalid")
    assert [verdict(free, hits) for hits in (20, 50, 90)] == ["below", "at the level", "above"]
    before = replace(free, known=(0.4, 0.4))
    assert [verdict(before, hits) for hits in (320, 380, 430, 480)] == ["differs", "as before", "as before", "differs"]
    assert has_fault([(GROUPS, Counts(1000, {"voxel": 90}, 0.05))])
    assert not has_fault([(GROUPS, Counts(1000, {"voxel": 50}, 0.05)), (free, Counts(1000, {"voxel": 900}, 0.5))])


def test_every_cell_has_its_own_random_numbers_and_row() -> None:
    """No two cells are the same, none is lost on the page, and each of the defaults is there at each size."""
    cells = all_cells()
    assert len({cell.key for cell in cells}) == len(cells)
    counts = [(cell, Counts(100, dict.fromkeys(_keys(cell), 5), 0.05)) for cell in cells]
    parametric = [(cell, (50, 1, 1000)) for cell in parametric_cells()]
    rows = [line for line in page(counts, parametric).splitlines() if line.startswith("| ")]
    assert sum("---" not in row and not row.startswith("| effect") for row in rows) == len(cells) + len(parametric)
    exact = [cell for cell in cells if cell.claim == "exact"]
    for between in ("mean", "covariate", "groups"):
        assert {cell.n_subjects for cell in exact if cell.between == between} >= {8, 12, 16, 30}
    assert {cell.error_term for cell in cells if cell.scheme == "auto"} == {"partitioned", "pooled"}


def _keys(cell: Cell) -> tuple[str, ...]:
    return ("voxel",) if len(cell.statistics) == 1 else ("voxel", "clusterSize", "clusterMass", "tfce", "any")


def test_the_page_in_the_repository_is_of_these_cells() -> None:
    """After a change of the list the study has to be run again: `make validate`."""
    text = (REPOSITORY / "docs" / "validation.md").read_text(encoding="utf-8")
    assert f"(list {digest(all_cells())})" in text


@pytest.mark.slow
def test_random_field_theory_holds_the_familywise_level() -> None:
    """Of smooth volumes without effects; on a grid it is conservative, but not so that nothing is ever found."""
    n = 300
    hits = run_fields(12, 0, n).hits
    for key in ("rftFWE", "rftClusterFWE"):
        assert 0 < hits[key] <= bounds(n, 0.05)[1]
    assert hits["bonferroni"] <= hits["rftFWE"]


def test_the_section_on_random_fields_has_a_row_for_each_number_of_subjects() -> None:
    """Rates with their intervals; one above the level is named."""
    hits = {"rftFWE": 40, "rftClusterFWE": 45, "bonferroni": 30}
    text = section([Rates(12, 1000, hits, 4.1), Rates(24, 1000, hits | {"rftClusterFWE": 90}, 4.0)])
    assert "| 12 | 4.10 | 0.040 [0.029, 0.054] | 0.045 [0.033, 0.060] | 0.030 [0.020, 0.043] | not above" in text
    assert "| 24 |" in text.splitlines()[-1]
    assert text.splitlines()[-1].endswith("| above the level |")


def test_parts_of_the_study_of_random_fields_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three tasks of two data sets are six."""
    monkeypatch.setattr("validation.random_fields.SIZES", (6,))
    monkeypatch.setattr("validation.random_fields.CHUNK", 2)
    (parts,), whole = run_random_fields(6, 1), run_fields(6, 0, 6)
    assert (parts.n_datasets, parts.hits) == (6, whole.hits)
    assert parts.fwhm_voxels == pytest.approx(whole.fwhm_voxels)
