"""The table of statistics: each contrast gets the one that applies, made once with the degrees of freedom it has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bids_app.design.contrast_test import ContrastTest
from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.statistics.kinds import KINDS, contrast_test, contrast_tests, is_testable
from bids_app.statistics.subsets import in_subjects

S, K = 10, 3
EFFECT = np.linalg.qr(np.array([[1.0, -1, 0], [0, 1, -1]]).T)[0].T
DIFFERENCE = np.array([[1.0, -1, 0]]) / np.sqrt(2)


def make(within: np.ndarray, error: str = "partitioned", sphericity: str = "none") -> Contrast:
    test = "t" if len(within) == 1 else "F"
    sided = "two" if test == "t" else "positive"
    return Contrast("c", "c", test, sided, within, within, within, np.ones((1, 1)), error, sphericity)  # type: ignore[arg-type]


def make_design(contrast: Contrast, rows: np.ndarray | None = None, groups: tuple[str, ...] = ()) -> Design:
    n_maps = S * K if rows is None else int((rows >= 0).sum())
    cells, subjects = tuple("abc"), tuple("0123456789")
    return Design(
        np.ones((n_maps, K)), cells, subjects, cells, np.ones((S, 1)), ("intercept",), (contrast,), rows=rows,
        variance_groups=groups,
    )  # fmt: skip


def with_missing(*missing: tuple[int, int]) -> np.ndarray:
    """Rows of the maps in the stack where some (subject, cell) are missing."""
    has_map = np.ones((S, K), bool)
    for at in missing:
        has_map[at] = False
    return np.where(has_map, np.cumsum(has_map).reshape(S, K) - 1, -1)


# within, error, sphericity, missing maps, variance groups; kind, error df by hand
CASES = [
    (DIFFERENCE, "partitioned", "none", (), "", "sums-of-squares", 9.0),
    (EFFECT, "partitioned", "greenhouse-geisser", (), "", "sums-of-squares", 18.0),
    (EFFECT, "pooled", "none", (), "", "sums-of-squares", 18.0),
    (EFFECT, "pooled", "none", ((0, 0), (4, 2)), "", "incomplete", 28.0 - 10 - 2),
    (EFFECT, "partitioned", "multivariate", (), "", "multivariate", 8.0),  # Hotelling: v - r + 1
    (DIFFERENCE, "partitioned", "none", (), "aaaaabbbbb", "unequal-variances", 9.0),
    (EFFECT, "partitioned", "none", (), "aaaaabbbbb", "sums-of-squares", 18.0),
    (DIFFERENCE, "pooled", "none", (), "aaaaabbbbb", "sums-of-squares", 18.0),
]


@pytest.mark.parametrize(("within", "error", "sphericity", "missing", "grouped", "kind", "df"), CASES)
def test_a_contrast_is_tested_by_the_kind_that_applies(
    within: np.ndarray, error: str, sphericity: str, missing: tuple[tuple[int, int], ...], grouped: str, kind: str,
    df: float,
) -> None:  # fmt: skip
    """With the degrees of freedom that a count of maps, subjects and dimensions leaves."""
    rows = with_missing(*missing) if missing else None
    contrast = make(within, error, sphericity)
    (test,) = contrast_tests(make_design(contrast, rows, tuple(grouped)))
    assert (test.kind, test.df_error) == (kind, pytest.approx(df))
    assert test.df == (contrast.rank, test.df_error)
    assert is_testable(test)


def test_every_row_says_what_it_is_called_and_how() -> None:
    """Keys are those of the rows; names that are not the ordinary t and F have a sentence and words on the error."""
    contrasts = [replace(make(DIFFERENCE), test="t"), make(EFFECT), replace(make(EFFECT), between=np.eye(2))]
    for key, statistic in KINDS.items():
        assert statistic.key == key
        names = {statistic.name(contrast) for contrast in contrasts} - {""}
        assert names <= set(statistic.sentences)
        assert bool(names) == bool(statistic.error_words)
    assert list(KINDS)[-1] == "sums-of-squares"  # it applies to all, so that it has to be the last


def test_without_the_only_subject_who_lacks_a_map_the_statistic_is_the_ordinary_one() -> None:
    """The kind is chosen again for some of the subjects, with their degrees of freedom."""
    contrast = make(EFFECT, "pooled")
    test = contrast_test(make_design(contrast, with_missing((3, 1))), contrast)
    assert test.kind == "incomplete"
    fewer = in_subjects(test, np.arange(S) != 3)
    assert (fewer.kind, fewer.df_error, fewer.n_subjects) == ("sums-of-squares", 16.0, 9)
    assert in_subjects(test, np.ones(S, bool)) is test


@pytest.mark.parametrize("n_kept", [0, 1])
def test_nobody_and_a_single_subject_make_a_test_that_cannot_be_done(n_kept: int) -> None:
    """Rather than an error: voxels may have no more."""
    for sphericity in ("none", "multivariate"):
        contrast = make(EFFECT, sphericity=sphericity)
        test: ContrastTest = in_subjects(contrast_test(make_design(contrast), contrast), np.arange(S) < n_kept)
        assert test.n_subjects == n_kept
        assert not is_testable(test)
