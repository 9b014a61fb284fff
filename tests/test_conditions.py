"""Condition means and their standard errors, by definition and against t."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bids_app.conditions import BLOCK, condition_labels, condition_maps, condition_means, error_words


def test_errors_are_those_of_cousineau_and_morey(rng: np.random.Generator) -> None:
    """Each map minus its subject's mean plus the mean of all, SD times sqrt(k / (k - 1)), over sqrt n; in loops."""
    n, k = 7, 4
    values = rng.normal(size=(n * k, 3)) + np.repeat(rng.normal(0, 9, (n, 3)), k, axis=0)
    mean, error = condition_means(values, k)
    for voxel in range(3):
        y = values[:, voxel].reshape(n, k)
        normalised = np.array([[y[s, c] - y[s].mean() + y.mean() for c in range(k)] for s in range(n)])
        for c in range(k):
            assert mean[c, voxel] == pytest.approx(y[:, c].mean(), rel=1e-12)
            expected = np.std(normalised[:, c], ddof=1) * np.sqrt(k / (k - 1)) / np.sqrt(n)
            assert error[c, voxel] == pytest.approx(expected, rel=1e-10)


def test_bars_of_two_conditions_give_the_paired_t(rng: np.random.Generator) -> None:
    """Both bars are the standard error of the difference over sqrt 2, so that t = difference / (sqrt 2 bar)."""
    values = rng.normal(size=(20, 5)) + np.repeat(rng.normal(0, 5, (10, 5)), 2, axis=0)
    mean, error = condition_means(values, 2)
    t = stats.ttest_rel(values[::2], values[1::2]).statistic
    assert error[0] == pytest.approx(error[1], rel=1e-10)
    assert (mean[0] - mean[1]) / (np.sqrt(2) * error[0]) == pytest.approx(t, rel=1e-9)


def test_a_single_condition_has_the_error_between_subjects(rng: np.random.Generator) -> None:
    """scipy's standard error of the mean; the words say which it is."""
    values = rng.normal(size=(9, 4))
    assert condition_means(values, 1)[1][0] == pytest.approx(stats.sem(values), rel=1e-12)
    assert "between subjects" in error_words(1)
    assert "Cousineau-Morey" in error_words(2)


def test_blocks_of_voxels_change_nothing(rng: np.random.Generator) -> None:
    """More voxels than a block, in single precision."""
    values = rng.normal(100, 1, (12, BLOCK + 5)).astype(np.float32)
    for whole, parts in zip(condition_means(values, 3), condition_maps(values, 3), strict=True):
        assert parts.dtype == np.float32
        assert np.array_equal(parts, whole.astype(np.float32))


def test_every_condition_has_a_label_of_its_own() -> None:
    """Also on disks that do not tell a from A; plain names stay."""
    assert condition_labels(["IniFF", "a_b", "a-b", "AB", "顔"]) == ["IniFF", "aB2", "aB3", "AB4", "5"]
