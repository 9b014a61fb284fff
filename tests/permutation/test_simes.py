"""The pivotal statistic of every shuffle: from all sorted p, by brute force on all flips, whoever does the work."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.inference.evidence import Evidence
from bids_app.inference.true_discoveries import by_permutation
from bids_app.model.bound_settings import TrueDiscoveriesSettings
from bids_app.permutation import null_distribution as engine
from bids_app.permutation.checkpoints import Checkpoint
from bids_app.permutation.enhancements import choose_enhancements
from bids_app.permutation.null_distribution import NullDistribution, Work, null_distribution
from bids_app.permutation.schemes import make_shuffles
from bids_app.permutation.simes import NominalP, simes_pivots
from bids_app.statistics.kinds import contrast_test
from builders.evidence import line, make_fit
from builders.snapshots import Snapshots

Floats = NDArray[np.float64]


def design_of(n_subjects: int, test: str, sided: str) -> Design:
    """One-sample t, or F of three cells."""
    k = 1 if test == "t" else 3
    weights = np.ones((1, 1)) if test == "t" else np.array([[1, -1, 0], [0, 1, -1.0]])
    within = weights if test == "t" else np.linalg.qr(weights.T)[0].T
    contrast = Contrast("c", "c", test, sided, weights, weights, within, np.ones((1, 1)), "partitioned", "none")
    cells, subjects = tuple("abc"[:k]), tuple(map(str, range(n_subjects)))
    matrix = np.tile(np.eye(k), (n_subjects, 1))
    return Design(matrix, cells, subjects, cells, np.ones((n_subjects, 1)), ("intercept",), (contrast,))


def shuffled(
    values: NDArray[np.float32],
    test: str = "t",
    sided: str = "two",
    work: Work | None = None,
    n: int = 1000,
    statistics: tuple[str, ...] = ("voxel",),
) -> NullDistribution:
    """All flips, or n of them."""
    design = design_of(len(values) // (1 if test == "t" else 3), test, sided)
    of = contrast_test(design, design.contrasts[0])
    enhancements = choose_enhancements(statistics, line(values.shape[1]), of, (0.01, None))
    enhancements = replace(enhancements, with_pivots=True)
    return null_distribution(values, of, make_shuffles(of, n, 0), enhancements, work or Work())


def smallest(p: Floats) -> float:
    """By definition: of p_(k) m / k over all k."""
    return float((np.sort(p) * p.size / np.arange(1, p.size + 1)).min())


@pytest.mark.parametrize("nominal", [NominalP("t", (1, 11), two_sided=True), NominalP("t", (1, 11), two_sided=False),
                                     NominalP("F", (2, 22), two_sided=False)])  # fmt: skip
def test_few_p_tell_what_all_of_them_would(nominal: NominalP, rng: np.random.Generator) -> None:
    """From all p sorted, with effects and without, for 1 to 20,000 voxels; 1e-12: exp and log of other vectors."""
    for n_voxels in (1, 2, 63, 700, 20_000):
        ratios = rng.standard_normal((12, n_voxels)) * rng.choice([0.05, 0.3, 2], (12, 1)) + rng.normal(0, 0.2, (12, 1))
        maps = (np.abs(ratios) if nominal.test == "F" else ratios).astype(np.float32)
        size = np.abs(maps, dtype=float)
        if nominal.test == "F":
            p = stats.f.sf(size * 11, 2, 22)
        else:
            t = np.sign(maps) * np.sqrt(size * 11)
            p = 2 * stats.t.sf(np.abs(t), 11) if nominal.two_sided else stats.t.sf(t, 11)
        assert nominal.of(maps) == pytest.approx(p, rel=1e-9)
        expected = [smallest(nominal.of(row)) for row in maps]
        assert simes_pivots(maps, nominal) == pytest.approx(expected, rel=1e-12)


CASES = [("t", "two"), ("t", "positive"), ("t", "negative"), ("F", "positive")]
S, V = 6, 9


def by_brute_force(values: Floats, test: str, sided: str) -> tuple[Floats, Floats]:
    """p of every voxel and the pivotal statistic of each of the 64 flips of whole subjects, by scipy."""
    cells = values.reshape(S, -1, values.shape[1])
    every = []
    for flip in product((1, -1), repeat=S):
        flipped = np.array(flip)[:, None, None] * (cells - (cells.mean(1, keepdims=True) if test == "F" else 0))
        if test == "t":
            side = {"two": "two-sided", "positive": "greater", "negative": "less"}[sided]
            every.append(stats.ttest_1samp(flipped[:, 0], 0, alternative=side).pvalue)
        else:
            means = flipped.mean(0)
            ssh = S * np.square(means).sum(0)
            sse = np.square(flipped - means - flipped.mean(1, keepdims=True) + flipped.mean((0, 1))).sum((0, 1))
            every.append(stats.f.sf(ssh / 2 / (sse / (2 * (S - 1))), 2, 2 * (S - 1)))
    return every[0], np.array([smallest(p) for p in every])


@pytest.mark.parametrize(("test", "sided"), CASES)
@pytest.mark.parametrize("alpha", [0.04, 0.1, 0.3])
def test_bounds_equal_brute_force_over_all_flips(test: str, sided: str, alpha: float, rng: np.random.Generator) -> None:
    """All 511 sets of nine voxels, each the largest 1 - u + #{p < u lambda / m}; pivots to single precision of t."""
    k = 1 if test == "t" else 3
    values = rng.standard_normal((S * k, V)).astype(np.float32)
    values[::k, :5] += -3 if sided == "negative" else 3
    null = shuffled(values, test, sided)
    p, pivots = by_brute_force(values.astype(float), test, sided)
    assert null.pivots is not None
    assert null.pivots[0] == pytest.approx(pivots[0], rel=1e-4)
    n = len(null.pivots)  # half of 64 for F and for both sides of t, where f and -f coincide
    assert np.sort(np.repeat(null.pivots, 64 // n)) == pytest.approx(np.sort(pivots), rel=1e-4)
    critical = np.sort(pivots)[int(alpha * n) * (64 // n)]
    bound = by_permutation(Evidence(make_fit(np.zeros(V)), line(V), null=null), TrueDiscoveriesSettings(
        method="permutation", alpha=alpha))  # fmt: skip
    found = set()
    for size in range(1, V + 1):
        for members in combinations(range(V), size):
            own = p[list(members)]
            # what is within rounding of its step ties with it, and does not count
            expected = max(0, *(1 - u + int((own < u * critical / V * (1 - 1e-4)).sum()) for u in range(1, V + 1)))
            assert bound.lower(np.array(members)) == expected
            found.add(expected)
    assert len(found) > 1


def test_where_no_permutation_may_be_smaller_nothing_is_found() -> None:
    """Three subjects have four flips: the observed one itself is the smallest, and none of its voxels is below."""
    values = np.array([[3, 4, 5.0], [4, 5, 4], [5, 3, 3]], np.float32)
    null = shuffled(values)
    bound = by_permutation(
        Evidence(make_fit(np.zeros(3)), line(3), null=null), TrueDiscoveriesSettings(method="permutation")
    )
    assert bound.lower(np.arange(3)) == 0


def test_nothing_is_kept_that_is_not_asked_for(rng: np.random.Generator) -> None:
    """And the maxima are the same bytes with it as without."""
    values = rng.standard_normal((8, 40)).astype(np.float32)
    design = design_of(8, "t", "two")
    of = contrast_test(design, design.contrasts[0])
    enhancements = choose_enhancements(("voxel", "cluster-size", "tfce"), line(40), of, (0.01, None))
    without = null_distribution(values, of, make_shuffles(of, 100, 0), enhancements, Work())
    null = shuffled(values, n=100, statistics=("voxel", "cluster-size", "tfce"))
    assert without.pivots is None
    assert without.nominal_p is None
    assert {key: each.tobytes() for key, each in without.maxima.items()} == {
        key: each.tobytes() for key, each in null.maxima.items()
    }


def test_workers_and_interruptions_change_no_bit(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thread or three, batches of other sizes, and from a checkpoint of a part of the shuffles."""
    values = rng.standard_normal((10, 300)).astype(np.float32)
    values[:, :40] += 1
    expected = shuffled(values, n=200)
    assert expected.pivots is not None
    assert shuffled(values, n=200, work=Work(3)).pivots.tobytes() == expected.pivots.tobytes()  # type: ignore[union-attr]
    monkeypatch.setattr(engine, "LARGEST_BATCH_OF_MAPS", 7)
    states = Snapshots([])
    shuffled(values, n=200, work=Work(keeper=states))
    partial = states.kept[3]
    checkpoint = Checkpoint(tmp_path / "c.npz", "abc", size=(200, 1, 300), summaries=tuple(partial.summaries))
    checkpoint.save(partial)
    kept = checkpoint.load()
    assert kept is not None
    assert 0 < len(kept.done) < 200
    resumed = shuffled(values, n=200, work=Work(done=kept))
    assert resumed.pivots is not None
    assert resumed.pivots.tobytes() == expected.pivots.tobytes()
    of_others = Checkpoint(tmp_path / "c.npz", "abc", size=(200, 1, 300))
    assert of_others.load() is None  # of the same analysis without pivotal statistics


def study(rng: np.random.Generator, n_subjects: int, n_voxels: int, n_active: int) -> NDArray[np.float32]:
    """Noise that neighbours in a row share, with an effect in the first voxels."""
    white = rng.standard_normal((n_subjects, n_voxels + 4))
    values = np.lib.stride_tricks.sliding_window_view(white, 5, axis=1).sum(axis=2) / np.sqrt(5)
    values[:, :n_active] += 0.9
    return values.astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("n_active", [0, 20])
def test_the_chance_that_any_bound_is_too_high_is_at_most_alpha(n_active: int) -> None:
    """400 studies of 12 subjects and 100 voxels. Some bound is too high where that of all inactive voxels is not 0.

    0.05 plus three standard errors of 400 draws, 0.083 (found: 0.055 and 0.053; twice lambda would give 0.10 without
    effects). That bounds find some of what is there shows that they are of use.
    """
    rng, n_studies, too_high, found = np.random.default_rng(1), 400, 0, []
    for _ in range(n_studies):
        null = shuffled(study(rng, 12, 100, n_active), n=200)
        asked = TrueDiscoveriesSettings(method="permutation")
        bound = by_permutation(Evidence(make_fit(np.zeros(100)), line(100), null=null), asked)
        too_high += bound.lower(np.arange(n_active, 100)) > 0
        found.append(bound.lower(np.arange(20)))
    assert too_high / n_studies <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / n_studies)
    assert n_active == 0 or np.mean(found) > 2


def test_sanssouci_found_the_same() -> None:
    """Its get_pivotal_stats and min_tp (version 0.1.5, linear template) on p of the same 300 flips by scipy.

    14 subjects, 400 voxels. Pivots differed by 3e-6 at most, as t is in single precision. It takes lambda by
    interpolation (np.quantile), so that it was given ours, the 16th, 31st and 61st smallest of its own pivots.
    """
    values = study(np.random.default_rng(7), 14, 400, 60)
    null = shuffled(values, n=300)
    published = {
        0.05: (0.06123084136485389, [7, 7, 3, 0]),
        0.1: (0.10425466592646178, [10, 10, 6, 0]),
        0.2: (0.19601861472439452, [16, 18, 10, 0]),
    }
    sets = [np.arange(60), np.arange(400), np.arange(30, 200), np.arange(60, 400)]
    for alpha, (critical, bounds) in published.items():
        asked = TrueDiscoveriesSettings(method="permutation", alpha=alpha)
        bound = by_permutation(Evidence(make_fit(np.zeros(400)), line(400), null=null), asked)
        assert bound.step is not None
        assert bound.step * 400 == pytest.approx(critical, rel=1e-5)
        assert [bound.lower(members) for members in sets] == bounds
