"""Hotelling's T2, Wilks' lambda and Welch's t and F of every shuffle by brute force: shuffle, refit, small matrices.

The refit below goes by the definitions, voxel by voxel with numpy's own determinants and inverses; it knows nothing of
whitened scores, sums by group, or sums of squares that do not change.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.errors import ModelError
from bids_app.permutation.enhancements import choose_enhancements
from bids_app.permutation.null_distribution import NullDistribution, Work, null_distribution
from bids_app.permutation.schemes import make_shuffles
from bids_app.permutation.shuffles import Shuffles
from bids_app.spaces.volume import VolumeDomain
from bids_app.statistics.fit import fit_contrast, has_error
from bids_app.statistics.kinds import contrast_test, contrast_tests

Floats = NDArray[np.float64]

S, K, V = 12, 4, 40
GROUP = np.repeat(["a", "b", "c"], [3, 4, 5])
AGE = np.array([-2.0, 0.5, 1.0, -1.5, 0.0, 2.5, -0.5, 0.3, 1.2, -0.7, 0.9, -1.1])
INDICATORS = np.array([label == GROUP for label in "abc"], float).T
BETWEEN = {
    "mean": np.ones((S, 1)),
    "groups": INDICATORS,
    "groups and age": np.column_stack([INDICATORS, AGE]),
}
ROWS = {
    "one": np.array([[1.0, 0, 0, -1]]),
    "three": np.eye(4)[:3] - np.eye(4)[1:],
    "two": np.array([[1.0, -1, 0, 0], [0, 1, -1, 0]]),
}


def make(between: str, rows: list[list[float]], within: str, test: str = "F", **settings: object) -> Design:
    """A design of twelve subjects in three groups, four cells each, with one contrast."""
    weights = ROWS[within]
    contrast = Contrast(
        name="c",
        label="c",
        test=test,
        sided="two" if test == "t" else "positive",
        weights=weights,
        cell_weights=weights,
        within=weights / np.linalg.norm(weights) if len(weights) == 1 else np.linalg.qr(weights.T)[0].T,
        between=np.array(rows, float),
        error_term="partitioned",
        sphericity=settings.pop("sphericity", "none"),
    )
    b = BETWEEN[between]
    names, cells, subjects = tuple(map(str, range(b.shape[1]))), tuple("wxyz"), tuple("abcdefghijkl")
    return Design(np.tile(np.eye(K), (S, 1)), cells, subjects, cells, b, names, (contrast,), **settings)


@pytest.fixture
def values(rng: np.random.Generator) -> NDArray[np.float32]:
    """Maps with effects of everything, cells that covary, and groups of unequal spread."""
    noise = rng.standard_normal((S, K, V)) * np.array([1.0, 2.0, 0.5])[np.repeat([0, 1, 2], [3, 4, 5])][:, None, None]
    noise += 0.8 * rng.standard_normal((S, 1, V)) + np.array([0.5, 0, -0.5, 0.2])[:, None]
    noise += 0.4 * AGE[:, None, None] * np.array([1, 0.5, -1, 0])[:, None]
    return noise.reshape(S * K, V).astype(np.float32)


def run(values: NDArray[np.float32], design: Design, shuffles: Shuffles, n_jobs: int = 1) -> NullDistribution:
    """The engine under test."""
    lattice = VolumeDomain.from_mask(np.ones((values.shape[1], 1, 1), np.bool_), np.eye(4), 6)
    enhancements = choose_enhancements(
        ("voxel", "cluster-size", "tfce"), lattice, contrast_test(design, design.contrasts[0]), (0.05, None)
    )
    return null_distribution(values, contrast_test(design, design.contrasts[0]), shuffles, enhancements, Work(n_jobs))


def null_residuals(values: Floats, design: Design) -> tuple[Floats, Contrast]:
    """Residuals of the null model, (r, S, V)."""
    contrast = design.contrasts[0]
    scores = np.einsum("rk,skv->rsv", contrast.within, values.reshape(S, K, -1))
    null = design.between @ np.linalg.svd(contrast.between)[2][np.linalg.matrix_rank(contrast.between) :].T
    return scores - null @ (np.linalg.pinv(null) @ scores), contrast


def relabelled(residuals: Floats, order: NDArray[np.int16], sign: NDArray[np.int8]) -> Floats:
    """Put the residuals of subject u, with its sign, where subject order[u] was."""
    moved = np.empty_like(residuals)
    moved[:, order] = sign[:, None] * residuals
    return moved


def wilks_by_refit(scores: Floats, design: Design, contrast: Contrast) -> Floats:
    """Rao's F from the determinants of residuals under the full and the reduced model, (V,)."""
    b, hypothesis = design.between, contrast.between
    null = b @ np.linalg.svd(hypothesis)[2][np.linalg.matrix_rank(hypothesis) :].T
    r, q, v = len(scores), len(hypothesis), S - np.linalg.matrix_rank(b)
    squares = []
    for columns in (b, null):
        residuals = scores - columns @ (np.linalg.pinv(columns) @ scores)
        squares.append(np.einsum("rsv,psv->vrp", residuals, residuals))
    lam = np.linalg.det(squares[0]) / np.linalg.det(squares[1])
    s = np.sqrt((q**2 * r**2 - 4) / (q**2 + r**2 - 5)) if q**2 + r**2 > 5 else 1
    df2 = (v - (r - q + 1) / 2) * s - (q * r - 2) / 2
    return np.asarray((1 - lam ** (1 / s)) / lam ** (1 / s) * df2 / (q * r))


def welch_by_refit(scores: Floats, design: Design, contrast: Contrast) -> Floats:
    """The test of Welch and James as Johansen has it, one voxel after the other; t where there is one row, (V,)."""
    b, hypothesis = design.between, contrast.between
    q, groups = len(hypothesis), np.array(design.variance_groups)
    inverse = np.linalg.pinv(b)
    leftover = np.eye(S) - b @ inverse
    found = []
    for y in scores[0].T:
        difference, residuals = hypothesis @ inverse @ y, leftover @ y
        shares, df = [], []
        for label in np.unique(groups):
            own = groups == label
            df.append(np.diag(leftover)[own].sum())
            rows = hypothesis @ inverse[:, own]
            shares.append(np.square(residuals[own]).sum() / df[-1] * rows @ rows.T)
        total = np.linalg.inv(sum(shares))
        parts = [(total @ c, r) for c, r in zip(shares, df, strict=True)]
        a = sum((np.trace(part @ part) + np.trace(part) ** 2) / r for part, r in parts) / 2
        f = difference @ total @ difference / (q + 2 * a - 6 * a / (q + 2))
        found.append(np.sign(difference[0]) * np.sqrt(f) if contrast.test == "t" else f)
    return np.array(found)


def check(values: NDArray[np.float32], design: Design, shuffles: Shuffles, expected: Floats) -> None:
    """Hold observed values, maxima and exceedances against the refit."""
    null = run(values, design, shuffles)
    towards = np.abs(expected) if design.contrasts[0].test == "t" else expected
    # products of single-precision scores; more where the smallest pivot is small
    assert null.observed["voxel"] == pytest.approx(towards[0], rel=1e-4, abs=1e-4)
    assert null.maxima["voxel"] == pytest.approx(towards.max(axis=1), rel=1e-4)
    gap = np.abs(towards - towards[0]) > 1e-3 * np.maximum(towards[0], 1)
    least, most = ((towards > towards[0]) & gap).sum(0), ((towards > towards[0]) | ~gap).sum(0)
    assert np.all((least <= null.n_exceeding) & (null.n_exceeding <= most))
    assert np.ptp(null.maxima["voxel"]) > 0
    several = run(values, design, shuffles, n_jobs=3)
    assert all(np.array_equal(several.maxima[key], null.maxima[key]) for key in null.maxima)


@pytest.mark.parametrize("shuffle", ["sign-flip", "permute"])
@pytest.mark.parametrize(
    ("between", "rows", "within"),
    [
        ("mean", [[1]], "three"),
        ("groups", [[1 / 3, 1 / 3, 1 / 3]], "three"),
        ("groups", [[1, -1, 0]], "two"),
        ("groups", [[1, -1, 0], [0, 1, -1]], "three"),
        ("groups and age", [[1, -1, 0, 0], [0, 1, -1, 0]], "two"),
        ("groups and age", [[0, 0, 0, 1]], "three"),
    ],
)
def test_the_multivariate_f_equals_refitting(
    between: str, rows: list[list[float]], within: str, shuffle: str, values: NDArray[np.float32]
) -> None:
    """Hotelling's and Wilks' F of 30 shuffles, and the observed one against that of the parametric fit."""
    design = make(between, rows, within, sphericity="multivariate")
    about_mean = between == "mean" or (abs(sum(rows[0]) - 1) < 1e-9 and rows[0][-1] != 1)
    if shuffle == "permute" and about_mean:
        with pytest.raises(ModelError, match="leaves their mean as it is"):
            make_shuffles(contrast_test(design, design.contrasts[0]), 30, seed=1, shuffle=shuffle)
        return
    contrast = design.contrasts[0]
    assert contrast_test(design, contrast).kind == "multivariate"
    shuffles = make_shuffles(contrast_test(design, contrast), 30, seed=1, shuffle=shuffle)
    residuals, _ = null_residuals(values.astype(float), design)
    expected = np.array(
        [
            wilks_by_refit(relabelled(residuals, order, sign), design, contrast)
            for order, sign in zip(shuffles.order, shuffles.sign, strict=True)
        ]
    )
    check(values, design, shuffles, expected)
    fit = fit_contrast(values, contrast_test(design, contrast))
    assert fit.statistic == pytest.approx(expected[0], rel=1e-9)
    assert fit.p == pytest.approx(
        stats.f.sf(expected[0], contrast.rank, contrast_test(design, contrast).df_error), rel=1e-9
    )


@pytest.mark.parametrize(
    ("between", "rows", "test"),
    [
        ("mean", [[1]], "t"),
        ("groups", [[1, -1, 0]], "t"),
        ("groups", [[0.5, 0, 0.5]], "t"),
        ("groups", [[1, -1, 0], [0, 1, -1]], "F"),
        ("groups and age", [[1, 0, -1, 0]], "t"),
        ("groups and age", [[0, 0, 0, 1]], "t"),
        ("groups and age", [[1, -1, 0, 0], [0, 1, -1, 0]], "F"),
    ],
)
def test_welchs_t_and_f_equal_refitting(
    between: str, rows: list[list[float]], test: str, values: NDArray[np.float32]
) -> None:
    """The F, or the t, of 30 flips of the residuals, and the observed one against that of the parametric fit."""
    design = make(between, rows, "one", test, variance_groups=tuple(GROUP))
    contrast = design.contrasts[0]
    assert contrast_test(design, contrast).kind == "unequal-variances"
    shuffles = make_shuffles(contrast_test(design, contrast), 30, seed=1)
    assert shuffles.scheme == "sign-flip"
    residuals, _ = null_residuals(values.astype(float), design)
    expected = np.array([welch_by_refit(sign[:, None] * residuals, design, contrast) for sign in shuffles.sign])
    check(values, design, shuffles, expected)
    assert fit_contrast(values, contrast_test(design, contrast)).statistic == pytest.approx(expected[0], rel=1e-9)


def test_one_sided_welch_has_the_sign_of_the_effect(values: NDArray[np.float32]) -> None:
    """The observed values of the two sides are opposite."""
    observed = {}
    for sided in ("positive", "negative"):
        design = make("groups", [[1, -1, 0]], "one", "t", variance_groups=tuple(GROUP))
        design = replace(design, contrasts=(replace(design.contrasts[0], sided=sided),))
        shuffles = make_shuffles(contrast_test(design, design.contrasts[0]), 20, seed=2)
        observed[sided] = run(values, design, shuffles).observed["voxel"]
    assert np.array_equal(observed["positive"], -observed["negative"])
    assert np.any(observed["positive"] > 0)
    assert np.any(observed["positive"] < 0)


def test_a_large_statistic_is_precise(values: NDArray[np.float32]) -> None:
    """T2 and t in the thousands, where single precision keeps nothing of the error."""
    values = values.reshape(S, K, V).copy()
    values[:, :, :3] = 1e-3 * values[:, :, :3] + np.array([30, 20, 10, -40], np.float32)[:, None]
    values[:3, :, 3] = 1e-3 * values[:3, :, 3] + np.array([30, 20, 10, -40], np.float32)
    values = values.reshape(S * K, V)
    design = make("mean", [[1]], "three", sphericity="multivariate")
    contrast = design.contrasts[0]
    null = run(values, design, make_shuffles(contrast_test(design, contrast), 5, seed=0))
    expected = fit_contrast(values, contrast_test(design, contrast)).statistic
    assert expected[:3].min() > 1e5
    # whitened scores in single precision: 1e-7 of a unit vector against an error of 1e-6 of it
    assert null.observed["voxel"] == pytest.approx(expected, rel=0.1)
    design = make("groups", [[1, -1, 0]], "one", "t", variance_groups=tuple(GROUP))
    contrast = design.contrasts[0]
    null = run(values, design, make_shuffles(contrast_test(design, contrast), 5, seed=0))
    assert null.observed["voxel"] == pytest.approx(
        np.abs(fit_contrast(values, contrast_test(design, contrast)).statistic), rel=1e-3
    )


def test_voxels_without_full_rank_or_without_spread_in_a_group_are_found(values: NDArray[np.float32]) -> None:
    """Two equal dimensions have no T2, a group of equal scores no Welch's t."""
    values = values.reshape(S, K, V).copy()
    values[:, 2, 5] = 2 * values[:, 1, 5] - values[:, 0, 5]
    values[:, 3, 5] = 3 * values[:, 1, 5] - 2 * values[:, 0, 5]
    values[:3, :, 7] = np.array([3, 2, 1, 0], np.float32)
    values = values.reshape(S * K, V)
    expected = np.arange(V) != 5
    assert np.array_equal(
        has_error(values, contrast_tests(make("mean", [[1]], "three", sphericity="multivariate"))), expected
    )
    welch = make("groups", [[1, -1, 0]], "one", "t", variance_groups=tuple(GROUP))
    assert np.array_equal(has_error(values, contrast_tests(welch)), np.arange(V) != 7)
