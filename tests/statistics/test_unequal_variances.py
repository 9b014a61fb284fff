"""Welch's t and F against scipy and pingouin, and what VarianceGroups asks of groups."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pingouin
import pytest
from scipy import stats

from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.design.subspaces import column_space
from bids_app.statistics.effect_sizes import hedges_correction
from bids_app.statistics.fit import fit_contrast
from bids_app.statistics.kinds import contrast_test
from bids_app.statistics.unequal_variances import WelchTest, variance_model, welch_test

GROUP = np.repeat(["a", "b", "c"], [4, 6, 9])


def welch(groups: tuple[str, ...], b: np.ndarray, hypothesis: list[list[float]], y: np.ndarray) -> WelchTest:
    """The test of a hypothesis."""
    space = column_space(b)
    tested, _ = space.split(np.array(hypothesis, float))
    return welch_test(variance_model(groups, space, tested), tested @ y, space.residuals(y))


@pytest.fixture
def scores(rng: np.random.Generator) -> np.ndarray:
    """Scores of three groups with SDs 3, 1 and 0.5."""
    spread = np.array([3.0, 1.0, 0.5])[np.repeat([0, 1, 2], [4, 6, 9])]
    return spread[:, None] * rng.standard_normal((19, 30)) + np.repeat([1.0, 0, 0.4], [4, 6, 9])[:, None]


def test_two_groups_give_welchs_t(scores: np.ndarray) -> None:
    """T, df and p of scipy's ttest_ind with unequal variances, through the whole fit."""
    y = scores[:10]
    b = np.array([GROUP[:10] == label for label in "ab"], float).T
    contrast = Contrast("c", "c", "t", "two", np.ones((1, 2)), np.ones((1, 1)), np.ones((1, 1)),
                        np.array([[1.0, -1]]), "partitioned", "none")  # fmt: skip
    subjects = tuple("abcdefghij")
    design = Design(b, ("a", "b"), subjects, ("x",), b, ("a", "b"), (contrast,), variance_groups=tuple(GROUP[:10]))
    fit = fit_contrast(y.astype(np.float32), contrast_test(design, contrast))
    y = y.astype(np.float32).astype(float)
    expected = stats.ttest_ind(y[:4], y[4:], equal_var=False)
    assert fit.statistic == pytest.approx(expected.statistic, rel=1e-10)
    assert fit.df_of_voxel == pytest.approx(expected.df, rel=1e-10)
    assert fit.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert fit.effect is not None
    assert fit.variance is not None
    assert fit.effect == pytest.approx(y[:4].mean(0) - y[4:].mean(0), rel=1e-9)
    assert fit.effect / np.sqrt(fit.variance) == pytest.approx(fit.statistic, rel=1e-10)
    assert fit.df_error == 8  # nominal


def test_three_groups_give_welchs_anova(scores: np.ndarray) -> None:
    """F and both df of pingouin's welch_anova at every voxel."""
    b = np.array([label == GROUP for label in "abc"], float).T
    found = welch(tuple(GROUP), b, [[1, -1, 0], [0, 1, -1]], scores)
    for voxel in range(scores.shape[1]):
        frame = pd.DataFrame({"y": scores[:, voxel], "group": GROUP})
        row = pingouin.welch_anova(frame, dv="y", between="group").iloc[0]
        assert found.f[voxel] == pytest.approx(row["F"], rel=1e-9)
        assert found.df_error[voxel] == pytest.approx(row["ddof2"], rel=1e-9)


def test_oneway_test_of_r() -> None:
    """R 4.2: oneway.test(count ~ spray, InsectSprays), printed as F = 36.065, num df = 5, denom df = 30.043."""
    counts = {
        "A": [10, 7, 20, 14, 14, 12, 10, 23, 17, 20, 14, 13],
        "B": [11, 17, 21, 11, 16, 14, 17, 17, 19, 21, 7, 13],
        "C": [0, 1, 7, 2, 3, 1, 2, 1, 3, 0, 1, 4],
        "D": [3, 5, 12, 6, 4, 3, 5, 5, 5, 5, 2, 4],
        "E": [3, 5, 3, 5, 3, 6, 1, 1, 3, 2, 6, 4],
        "F": [11, 9, 15, 22, 15, 16, 13, 10, 26, 26, 24, 13],
    }
    groups = tuple(label for label in counts for _ in range(12))
    b = np.kron(np.eye(6), np.ones((12, 1)))
    found = welch(groups, b, (np.eye(6)[:-1] - np.eye(6)[1:]).tolist(), np.concatenate([*counts.values()])[:, None])
    assert found.f[0] == pytest.approx(36.065, abs=5e-4)
    assert found.df_error[0] == pytest.approx(30.043, abs=5e-4)


def test_one_groups_mean_has_that_groups_t(scores: np.ndarray) -> None:
    """The mean of one group among three: scipy's one-sample t of its members, on their own df."""
    b = np.array([label == GROUP for label in "abc"], float).T
    found = welch(tuple(GROUP), b, [[0, 1, 0]], scores)
    assert found.f == pytest.approx(stats.ttest_1samp(scores[4:10], 0).statistic ** 2, rel=1e-10)
    assert found.df_error == pytest.approx(np.full(scores.shape[1], 5.0))


def test_a_slope_has_the_sandwich_of_its_groups_variances(scores: np.ndarray) -> None:
    """HC by hand: the slope is sum w_s y_s; its variance sum over groups of s2_g |w_g|^2, Satterthwaite's df."""
    groups = GROUP[:10]
    x = np.arange(10.0) ** 1.5
    y = scores[:10]
    b = np.column_stack([groups == "a", groups == "b", x - x.mean()]).astype(float)
    found = welch(tuple(groups), b, [[0, 0, 1]], y)
    weights = np.linalg.inv(b.T @ b)[2] @ b.T
    hat = b @ np.linalg.inv(b.T @ b) @ b.T
    residuals = y - hat @ y
    variance, denominator = 0.0, 0.0
    for label in "ab":
        own = groups == label
        r = np.sum(1 - np.diag(hat)[own])
        share = np.square(residuals[own]).sum(0) / r * np.square(weights[own]).sum()
        variance, denominator = variance + share, denominator + share**2 / r
    assert found.f == pytest.approx((weights @ y) ** 2 / variance, rel=1e-9)
    assert found.df_error == pytest.approx(variance**2 / denominator, rel=1e-9)


def test_equal_weights_give_the_ordinary_t(scores: np.ndarray) -> None:
    """Where two groups of equal size have the same sum of squares, Welch's t is Student's, and so is its df."""
    y = scores[:5] - scores[:5].mean(0)
    y = np.vstack([y + 1, -y])
    found = welch(tuple("aaaaabbbbb"), np.kron(np.eye(2), np.ones((5, 1))), [[1, -1]], y)
    assert np.sqrt(found.f) == pytest.approx(np.abs(stats.ttest_ind(y[:5], y[5:]).statistic), rel=1e-10)
    assert found.df_error == pytest.approx(np.full(y.shape[1], 8.0))


def test_g_is_standardised_by_the_mean_of_the_groups_variances(scores: np.ndarray) -> None:
    """J (mean difference) / sqrt(mean of the two variances), and limits that exclude 0 exactly where p < 0.05."""
    y = scores[:10].astype(np.float32)
    b = np.array([GROUP[:10] == label for label in "ab"], float).T
    one = np.ones((1, 1))
    contrast = Contrast("c", "c", "t", "two", np.ones((1, 2)), one, one, np.array([[1.0, -1]]), "partitioned", "none")
    design = Design(b, ("a", "b"), tuple("abcdefghij"), ("x",), b, ("a", "b"), (contrast,),
                    variance_groups=tuple(GROUP[:10]))  # fmt: skip
    fit = fit_contrast(y, contrast_test(design, contrast))
    y = y.astype(float)
    sd = np.sqrt((y[:4].var(0, ddof=1) + y[4:].var(0, ddof=1)) / 2)
    assert fit.effect_size == pytest.approx(hedges_correction(8) * (y[:4].mean(0) - y[4:].mean(0)) / sd, rel=1e-9)
    assert fit.effect_size_interval is not None
    lower, upper = fit.effect_size_interval
    assert np.array_equal((lower > 0) | (upper < 0), fit.p < 0.05)
    assert np.any(fit.p < 0.05)
    assert np.any(fit.p > 0.05)


@pytest.mark.parametrize("case", ["slope", "one mean", "main effect", "all means", "two means"])
def test_p_is_calibrated_whatever_the_hypothesis(case: str) -> None:
    """20 000 voxels without effects, 3 to 4 times the SD in one group: p < 0.05 in 4.2 to 5.8 %, p < 0.001 in 0.35.

    Of 100 000: 4.6 % and 0.04 % for the slope, 5.1 and 0.11 for one mean, 5.1 and 0.15 for the main effect, 5.1 and
    0.13 for all means, 5.4 and 0.29 for two, which are Welch's own (scipy's are the same numbers). Winkler's G, which
    is calibrated for all means alone, gave 31 % and 3.3 % for the slope.
    """
    small, large = np.repeat(np.eye(2), (5, 30), axis=0), np.repeat(np.eye(2), (20, 20), axis=0)
    x = np.random.default_rng(3).normal(size=40)
    four = np.kron(np.eye(4), np.ones((10, 1)))
    layouts = {
        "slope": (np.column_stack([large, x - x.mean()]), [[0, 0, 1]], (20, 20), (4, 1)),
        "one mean": (small, [[1, 0]], (5, 30), (1, 3)),
        "main effect": (four, [[0.5, 0.5, -0.5, -0.5]], (10, 10, 10, 10), (4, 1, 1, 1)),
        "all means": (four, (np.eye(4)[:3] - np.eye(4)[1:]).tolist(), (10, 10, 10, 10), (4, 1, 2, 1)),
        "two means": (small, [[1, -1]], (5, 30), (3, 1)),
    }
    b, hypothesis, sizes, spreads = layouts[case]
    groups = np.repeat([f"g{n}" for n in range(len(sizes))], sizes)
    noise = np.random.default_rng(4).normal(size=(len(b), 20000)) * np.repeat(spreads, sizes)[:, None]
    found = welch(tuple(groups), b, hypothesis, noise)
    p = stats.f.sf(found.f, len(hypothesis), found.df_error)
    assert 0.042 < np.mean(p < 0.05) < 0.058
    assert np.mean(p < 0.001) < 0.0035
