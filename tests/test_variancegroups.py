"""Welch's t and F against scipy and pingouin, and what VarianceGroups asks of groups."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pingouin
import pytest
from scipy import stats

from bids_app.design import Contrast, Design
from bids_app.glm import fit_contrast
from bids_app.variancegroups import variance_model, welch_test

GROUP = np.repeat(["a", "b", "c"], [4, 6, 9])


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
    fit = fit_contrast(y.astype(np.float32), design, contrast)
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
    hypothesis = np.array([[1.0, -1, 0], [0, 1, -1]])
    estimates = np.linalg.pinv(b) @ scores
    model = variance_model(tuple(GROUP), b, hypothesis)
    assert model.room == pytest.approx([3, 5, 8])
    found = welch_test(model, hypothesis @ estimates, scores - b @ estimates)
    for voxel in range(scores.shape[1]):
        frame = pd.DataFrame({"y": scores[:, voxel], "group": GROUP})
        row = pingouin.welch_anova(frame, dv="y", between="group").iloc[0]
        assert found.g[voxel] == pytest.approx(row["F"], rel=1e-9)
        assert found.df_error[voxel] == pytest.approx(row["ddof2"], rel=1e-9)


def test_equal_weights_give_the_ordinary_t(scores: np.ndarray) -> None:
    """Where two groups of equal size have the same sum of squares, Welch's t is Student's, and so is its df."""
    y = scores[:5] - scores[:5].mean(0)
    y = np.vstack([y + 1, -y])
    b = np.kron(np.eye(2), np.ones((5, 1)))
    model = variance_model(tuple("aaaaabbbbb"), b, np.array([[1.0, -1]]))
    estimates = np.linalg.pinv(b) @ y
    found = welch_test(model, np.array([[1.0, -1]]) @ estimates, y - b @ estimates)
    assert np.sqrt(found.g) == pytest.approx(np.abs(stats.ttest_ind(y[:5], y[5:]).statistic), rel=1e-10)
    assert found.df_error == pytest.approx(np.full(y.shape[1], 8.0))
