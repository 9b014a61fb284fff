"""Lower bounds on true discoveries: closed testing over all subsets, R's hommel, nilearn, and the definitions."""

from __future__ import annotations

import json
import time
from itertools import combinations
from pathlib import Path

import nibabel as nib
import numpy as np
from nilearn.glm.thresholding import _compute_hommel_value, _true_positive_fraction
from numpy.typing import NDArray
from scipy import ndimage, stats

from bids_app.inference.evidence import Evidence
from bids_app.inference.true_discoveries import by_simes, hommel_value, true_discoveries
from bids_app.model.bound_settings import TrueDiscoveriesSettings
from builders.evidence import line, make_fit

N = 12
SUBSETS = np.array([[number >> bit & 1 for bit in range(N)] for number in range(2**N)], np.bool_)


def not_rejected_by_simes(p: NDArray[np.float64], alpha: float) -> NDArray[np.bool_]:
    """Whether the test of Simes keeps each of all 4096 intersection hypotheses; that of no voxel is true."""
    kept = []
    for subset in SUBSETS:
        ordered = np.sort(p[subset])
        kept.append(not any(ordered.size * each <= rank * alpha for rank, each in enumerate(ordered, 1)))
    return np.array(kept)


def draws(n_draws: int, rng: np.random.Generator) -> list[tuple[NDArray[np.float64], float]]:
    """p with more and less effect in them, every other time multiples of 1/512, so that ties and edges occur."""
    found = []
    for number in range(n_draws):
        p = rng.uniform(size=N) ** rng.choice([1, 2, 5], size=N)
        found.append((np.rint(p * 512) / 512, 1 / 16) if number % 2 else (p, rng.choice([0.01, 0.05, 0.2, 0.5])))
    return found


def test_bounds_are_those_of_closed_testing_by_brute_force(rng: np.random.Generator) -> None:
    """12 p-values, 200 draws: a set's bound is its size less its largest part that closed testing does not reject.

    A hypothesis is not rejected where any that it is part of is kept by its own test; exactly equal, as multiples of
    1/512 and whole numbers are compared without rounding.
    """
    n_positive = 0
    for p, alpha in draws(200, rng):
        kept = SUBSETS[not_rejected_by_simes(p, alpha)]
        h = hommel_value(p, alpha)
        assert h == kept.sum(axis=1).max()
        for members in SUBSETS[rng.integers(1, len(SUBSETS), 60)]:
            expected = members.sum() - (kept & members).sum(axis=1).max()
            assert true_discoveries(p[members], alpha, h) == expected
            n_positive += expected > 0
    assert n_positive > 1000


def test_hommel_value_is_that_of_the_definition(rng: np.random.Generator) -> None:
    """Largest i for which no j has i p_(n-i+j) <= j alpha, tried one by one; with zeros and ones among them."""
    for n in (1, 2, 7, 50):
        for _ in range(50):
            p = np.sort(np.clip(rng.uniform(-0.05, 1.02, n) ** 3, 0, 1))
            sizes = [
                i for i in range(n + 1) if all(i * p[n - i + j - 1] > j * 0.05 for j in range(1, i + 1))
            ]  # fmt: skip
            assert hommel_value(rng.permutation(p), 0.05) == max(sizes)


def test_bounds_are_largest_over_their_definition(rng: np.random.Generator) -> None:
    """Any u at all may be put in."""
    p = rng.uniform(size=40) ** 4
    for h in (1, 5, 40):
        every = [1 - u + int((h * p <= u * 0.05).sum()) for u in range(1, 41)]
        assert true_discoveries(p, 0.05, h) == max(every)


def test_where_all_is_rejected_everything_is_true() -> None:
    p = np.array([1e-9, 1e-8, 0.02])
    assert hommel_value(p, 0.05) == 0
    assert true_discoveries(p, 0.05, 0) == 3
    assert true_discoveries(p[:0], 0.05, 0) == 0


def test_nilearn_has_the_same_bounds(rng: np.random.Generator) -> None:
    """One-sided p of z with an effect in some; nilearn takes its p from z as well."""
    z = rng.standard_normal(2000)
    z[:300] += 3.5
    p = stats.norm.sf(z)
    h = hommel_value(p, 0.05)
    assert h == _compute_hommel_value(z, 0.05)
    for members in (np.arange(300), np.arange(250, 600), np.flatnonzero(z > 3), np.arange(2000)):
        share = _true_positive_fraction(z[members], h, 0.05)
        assert true_discoveries(p[members], 0.05, h) == round(share * members.size)
        assert share > 0


def test_bounds_of_larger_sets_are_no_smaller(rng: np.random.Generator) -> None:
    """And those of disjoint sets add up to no more than that of both."""
    p = rng.uniform(size=500) ** 3
    h = hommel_value(p, 0.05)
    bounds = [true_discoveries(p[:size], 0.05, h) for size in range(1, 501, 20)]
    assert bounds == sorted(bounds)
    assert bounds[-1] > 0
    for one, other in combinations((p[:100], p[100:250], p[250:]), 2):
        both = true_discoveries(np.concatenate([one, other]), 0.05, h)
        assert true_discoveries(one, 0.05, h) + true_discoveries(other, 0.05, h) <= both


def test_p_have_the_side_of_the_contrast() -> None:
    """A high negative t counts where both sides are tested, and not where the positive one is."""
    t = np.linspace(-9.0, 1.0, 12)
    found = {
        sided: by_simes(Evidence(make_fit(t, sided), line(12)), TrueDiscoveriesSettings()).lower(np.arange(12))
        for sided in ("two", "negative", "positive")
    }
    assert found["negative"] >= found["two"] > 0
    assert found["positive"] == 0


def test_r_found_the_same_in_the_face_group(shared_data: Path) -> None:
    """R's hommel on the canonical contrast of SPM's face group: 248 and 7745, and the bounds of four clusters."""
    published = json.loads((shared_data / "reference_results" / "r_face_rfx.json").read_text())
    files = sorted((shared_data / "spm_face_rfx").rglob("*canonical*_stat-effect_statmap.nii*"))
    assert len(files) == 12
    maps = np.array([np.asanyarray(nib.load(file).dataobj) for file in files], np.float64)
    inside = np.all(np.isfinite(maps) & (maps != 0), axis=0)
    p = stats.ttest_1samp(maps[:, inside], 0).pvalue
    h = hommel_value(p, 0.05)
    assert (p * h <= 0.05).sum() == published["hommel_0.05"]
    assert true_discoveries(p, 0.05, h) == published["hommel_discoveries_at_0.05"]
    f = np.zeros(inside.shape)
    f[inside] = stats.f.isf(p, 1, 11)
    for cluster in published["ARI_true_discovery_lower_bound"]:
        labels, _ = ndimage.label(f > cluster["F_above"], np.ones((3, 3, 3)))
        sizes = np.bincount(labels.ravel())
        (number,) = np.flatnonzero(sizes == cluster["k"])
        assert true_discoveries(p[labels[inside] == number], 0.05, h) == cluster["true_discoveries"]


def test_a_map_of_2_mm_takes_less_than_a_second(rng: np.random.Generator) -> None:
    """230,000 voxels and a hundred clusters; sorting takes most of it."""
    p = rng.uniform(size=230_000) ** 1.5
    start = time.perf_counter()
    h = hommel_value(p, 0.05)
    for _ in range(100):
        true_discoveries(p[:2000], 0.05, h)
    assert time.perf_counter() - start < 1
