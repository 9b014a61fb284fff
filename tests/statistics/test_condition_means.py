"""Condition means and their standard errors, by definition and against t."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.errors import Warned
from bids_app.statistics.condition_means import (
    Group,
    adjustment_words,
    all_subjects,
    condition_maps,
    condition_means,
    error_words,
    find_groups,
    group_means,
    groups_alike,
    left_out,
    numbered_labels,
    over_words,
)
from bids_app.statistics.fit import fit_contrast
from bids_app.statistics.kinds import contrast_test
from bids_app.statistics.scores import BLOCK


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
    """More voxels than a block."""
    values = rng.normal(100, 1, (12, BLOCK + 5)).astype(np.float32)
    everybody = Group("", "", np.arange(4))
    for whole, parts in zip(
        condition_means(values, 3), condition_maps(values, np.arange(12).reshape(4, 3), everybody), strict=True
    ):
        assert np.array_equal(parts, whole)


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
    assert numbered_labels(["a", "A", "a1"]) == ["a1x", "A2", "a1"]  # case-insensitive disks have one a1


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
    found = group_means(values, design.row_of_map, all_subjects(design))
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


UNEQUAL = ("g.a",) * 3 + ("g.b",) * 7 + ("g.c",) * 4  # groups of unequal size


def unequal_study(rng: np.random.Generator, n_cells: int) -> tuple[Design, np.ndarray]:
    """Groups whose means and spreads differ, and whose effects of conditions do."""
    names = tuple(sorted(set(UNEQUAL)))
    between = np.array([[float(own == name) for name in names] for own in UNEQUAL])
    n, cells = len(UNEQUAL), tuple("ABCD"[:n_cells])
    subjects = tuple(f"{number:02d}" for number in range(n))
    design = Design(np.tile(np.eye(n_cells), (n, 1)), cells, subjects, cells, between, names, (), groups=UNEQUAL)
    number = between @ np.arange(3)
    values = rng.normal(size=(n, n_cells, 4)) * (1 + number)[:, None, None] + rng.normal(0, 5, (n, 1, 4))
    values[:, 0] += 10 * number[:, None]
    return design, values.reshape(n * n_cells, 4).astype(np.float32)


def test_a_mean_over_all_weighs_groups_of_unequal_size_alike(rng: np.random.Generator) -> None:
    """In loops: the mean of the groups' means, and the standard error of a mean of independent means."""
    k = 3
    design, values = unequal_study(rng, k)
    mean, error = group_means(values, design.row_of_map, *groups_alike(design))
    for voxel in range(4):
        y = values[:, voxel].astype(float).reshape(-1, k)
        for c in range(k):
            means, squares = [], []
            for name in ("g.a", "g.b", "g.c"):
                own = y[[group == name for group in UNEQUAL]]
                normalised = own - own.mean(axis=1, keepdims=True) + own.mean()
                means.append(own[:, c].mean())
                squares.append(np.var(normalised[:, c], ddof=1) * k / (k - 1) / len(own))
            assert mean[c, voxel] == pytest.approx(sum(means) / 3, rel=1e-12)
            assert error[c, voxel] == pytest.approx(np.sqrt(sum(squares)) / 3, rel=1e-10)
    by_subject = condition_means(values, k)[0]
    assert np.abs(mean[0] - by_subject[0]).min() > 0.5  # the groups' sizes matter here


def test_differences_of_drawn_means_are_the_effects_that_are_tested(rng: np.random.Generator) -> None:
    """The contrast A - B averages over groups alike; so do the means, and their difference is the effect on disk."""
    design, values = unequal_study(rng, 2)
    row, within = np.array([[1.0, -1.0]]), np.array([[1.0, -1.0]]) / np.sqrt(2)
    average = np.full((1, 3), 1 / 3)
    contrast = Contrast("c", "c", "t", "two", row, row, within, average, "partitioned", "none")
    mean, error = condition_maps(values, design.row_of_map, *groups_alike(design))
    effect = fit_contrast(values, contrast_test(design, contrast)).effect
    assert effect is not None
    assert mean[0] - mean[1] == pytest.approx(effect, rel=1e-4)
    assert error[0] == pytest.approx(error[1], rel=1e-5)


def test_bars_over_two_groups_give_welchs_t(rng: np.random.Generator) -> None:
    """The mean of two groups' differences against zero is Welch's comparison of one group with the negative other."""
    d = [rng.normal(1, 1, (5, 6)), rng.normal(1, 3, (9, 6))]
    values = np.stack([np.vstack(d), np.zeros((14, 6))], axis=1) + rng.normal(0, 4, (14, 1, 6))
    groups = (Group("g.a", "a", np.arange(5)), Group("g.b", "b", np.arange(5, 14)))
    mean, error = group_means(values.reshape(28, 6), np.arange(28).reshape(14, 2), *groups)
    t = stats.ttest_ind(d[0], -d[1], equal_var=False).statistic
    assert (mean[0] - mean[1]) / (np.sqrt(2) * error[0]) == pytest.approx(t, rel=1e-9)


def test_one_group_is_its_own_mean(rng: np.random.Generator) -> None:
    """Weighing a single group alike changes nothing; nor do groups of one size change the mean over subjects."""
    design, values = unequal_study(rng, 2)
    first = find_groups(design)[0]
    rows = values[design.row_of_map[first.rows].ravel()]
    for ours, expected in zip(group_means(values, design.row_of_map, first), condition_means(rows, 2), strict=True):
        assert ours == pytest.approx(expected, rel=1e-12)
    halves = (Group("x", "x", np.array([0, 1, 2])), Group("y", "y", np.array([3, 4, 5])))
    expected = condition_means(values[:12], 2)[0]
    assert group_means(values, design.row_of_map, *halves)[0] == pytest.approx(expected, rel=1e-12)


def test_what_the_means_are_of_is_said(rng: np.random.Generator) -> None:
    """Groups that weigh alike, the subjects of one, or all; and covariates, for which nothing is adjusted."""
    design = make_design(("g.a", "g.a", "g.b", "g.b"), ("g.a", "g.b"))
    assert "weigh alike" in over_words(groups_alike(design))
    assert over_words(find_groups(design)[:1]) == "the group's subjects"
    assert over_words((Group("", "", np.arange(4)),)) == "subjects"
    assert adjustment_words(design) == "Not adjusted for age."
    assert adjustment_words(unequal_study(rng, 2)[0]) == ""


def test_who_has_no_part_in_the_means_is_told() -> None:
    """Subjects without all conditions, and groups that are left with fewer than two; nothing where all have a part."""
    design = make_design(("g.a", "g.a", "g.b", "g.b", "g.b"), ("g.a", "g.b"))
    assert left_out(design) == ()
    place = design.row_of_map.copy()
    place[4, 1] = -1
    one = replace(design, matrix=design.matrix[:9], rows=place)
    assert left_out(one) == ("means of conditions: without sub-05, who lack a map of some condition",)
    assert len(groups_alike(one)) == 2
    place[0, 0] = -1
    small = replace(design, matrix=design.matrix[:8], rows=place)
    assert "none of g.a, nor over all groups" in left_out(small)[1]
    assert all(isinstance(note, Warned) for note in left_out(small))
    assert groups_alike(small) == ()
    assert [group.name for group in find_groups(small)] == ["g.b"]
