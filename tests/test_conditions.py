"""Condition means and their standard errors, by definition and against t."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bids_app.conditions import (
    BLOCK,
    Group,
    all_subjects,
    condition_maps,
    condition_means,
    error_words,
    find_groups,
    group_means,
    numbered_labels,
)
from bids_app.design import Design


def make_design(groups: tuple[str, ...], names: tuple[str, ...]) -> Design:
    """Subjects of these groups with two conditions, and a covariate beside the groups' columns."""
    n_subjects = len(groups)
    between = np.array([[*(float(own == name) for name in names), 0.5] for own in groups])
    subjects = tuple(f"{number:02d}" for number in range(1, n_subjects + 1))
    matrix = np.tile(np.eye(2), (n_subjects, 1))
    return Design(matrix, ("A", "B"), subjects, ("A", "B"), between, (*names, "age"), (), groups=groups)


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
    everybody = Group("", "", np.arange(4))
    for whole, parts in zip(
        condition_means(values, 3), condition_maps(values, np.arange(12).reshape(4, 3), everybody), strict=True
    ):
        assert parts.dtype == np.float32
        assert np.array_equal(parts, whole.astype(np.float32))


def test_missing_maps_and_voxels_leave_subjects_out(rng: np.random.Generator) -> None:
    """A subject without a condition counts in no mean, one without a voxel in none there."""
    values = rng.normal(size=(11, 4)).astype(np.float32)
    values[3, 1] = np.nan  # of the second subject
    place = np.array([[0, 1], [2, 3], [4, -1], [5, 6], [7, 8], [9, 10]])
    design = Design(np.ones((11, 1)), ("1",), tuple("123456"), ("A", "B"), np.ones((6, 1)), ("1",), (), rows=place)
    everybody = all_subjects(design)
    assert everybody.rows.tolist() == [0, 1, 3, 4, 5]
    found = group_means(values, place, everybody)
    for voxel, subjects in ((0, [0, 1, 3, 4, 5]), (1, [0, 3, 4, 5])):
        expected = condition_means(values[place[subjects].ravel()], 2)
        for ours, alone in zip(found, expected, strict=True):
            assert ours[:, voxel] == pytest.approx(alone[:, voxel], rel=1e-12)


def test_every_condition_has_a_label_of_its_own() -> None:
    """Also on disks that do not tell a from A; plain names stay."""
    assert numbered_labels(["IniFF", "a_b", "a-b", "AB", "顔"]) == ["IniFF", "aB2", "aB3", "AB4", "5"]


def test_groups_are_those_of_the_design_in_its_order() -> None:
    """Not of the subjects; the covariate's column is none; labels as file names have them."""
    groups = find_groups(make_design(("g.p:s.F", "g.c:s.F", "g.p:s.F", "g.c:s.F"), ("g.c:s.F", "g.p:s.F")))
    assert [(group.name, group.label, group.rows.tolist()) for group in groups] == [
        ("g.c:s.F", "gCBySF", [1, 3]),
        ("g.p:s.F", "gPBySF", [0, 2]),
    ]


def test_without_between_factors_everybody_is_one_group(rng: np.random.Generator) -> None:
    """There are no groups, and all subjects together give the means of all maps."""
    values = rng.normal(size=(8, 3)).astype(np.float32)
    design = Design(np.tile(np.eye(2), (4, 1)), ("A", "B"), tuple("1234"), ("A", "B"), np.ones((4, 1)), ("1",), ())
    assert find_groups(design) == ()
    found = group_means(values, design.place, all_subjects(design))
    for ours, expected in zip(found, condition_means(values, 2), strict=True):
        assert np.array_equal(ours, expected)


def test_means_of_a_group_are_those_of_its_subjects_alone(rng: np.random.Generator) -> None:
    """Errors as if the others had never been measured: minus the subject's mean plus the group's; in loops."""
    n, k = 9, 3
    values = (rng.normal(size=(n * k, 2)) + np.repeat(rng.normal(0, 9, (n, 2)), k, axis=0)).astype(np.float32)
    rows = np.array([1, 4, 5, 8])
    mean, error = group_means(values, np.arange(n * k).reshape(n, k), Group("g", "g", rows))
    for voxel in range(2):
        y = values[:, voxel].astype(float).reshape(n, k)[rows]
        normalised = np.array([[y[s, c] - y[s].mean() + y.mean() for c in range(k)] for s in range(4)])
        for c in range(k):
            assert mean[c, voxel] == pytest.approx(y[:, c].mean(), rel=1e-12)
            expected = np.std(normalised[:, c], ddof=1) * np.sqrt(k / (k - 1)) / np.sqrt(4)
            assert error[c, voxel] == pytest.approx(expected, rel=1e-10)
