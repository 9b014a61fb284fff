"""Lists, sort keys, durations and labels, as messages and file names need them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_app.console.text import duration, file_label, indented, listed, listed_in_order, natural, shown

NAMES = [f"sub-{number}" for number in range(1, 31)]


def test_a_short_list_is_written_out_and_an_empty_one_is_none() -> None:
    """Up to as many as are asked for, with any separator."""
    assert listed(NAMES[:3]) == "sub-1, sub-2, sub-3"
    assert listed(NAMES[:2], 2, " = ") == "sub-1 = sub-2"
    assert listed([]) == "none"


@given(st.integers(0, 60), st.integers(1, 25))
def test_a_long_list_says_how_many_more_there_are(n_items: int, most: int) -> None:
    """Those that are named and those that are counted add up to all."""
    text = listed([str(number) for number in range(n_items)], most)
    named, _, counted = text.partition(" and ")
    n_named = 0 if named == "none" else len(named.split(", "))
    assert n_named == min(n_items, most)
    assert n_named + int(counted.removesuffix(" more") or 0) == n_items


def test_labels_are_listed_in_natural_order() -> None:
    """2 before 10, whatever their case; every order gives the same text."""
    expected = "a2, A10, b1"
    for labels in itertools.permutations(["A10", "b1", "a2"]):
        assert listed_in_order(labels) == expected
    assert sorted(["sub-10", "sub-2", "sub-1a", "sub-1"], key=natural) == ["sub-1", "sub-1a", "sub-2", "sub-10"]


def test_lines_are_indented_and_the_rest_is_counted() -> None:
    """Eight lines, then how many more."""
    assert indented(["a", "b"]) == "  a\n  b"
    lines = indented(NAMES).splitlines()
    assert lines == [*(f"  {name}" for name in NAMES[:8]), "  ... and 22 more"]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.2, "less than 1 s"),
        (1.2, "1 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 0 min"),
        (7500, "2 h 5 min"),
        (360_000, "100 h 0 min"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, expected: str) -> None:
    """Seconds, minutes and hours."""
    assert duration(seconds) == expected


def test_values_are_shown_as_json_and_cut() -> None:
    """With letters of any script as they are."""
    assert shown({"a": None, "b": "é"}) == '{"a": null, "b": "é"}'
    assert len(shown("x" * 100)) == 60


@pytest.mark.parametrize(
    ("name", "label"), [("a:b", "aByB"), ("a > b", "aB"), ("IniFF - ImmFF", "IniFFImmFF"), ("+", "")]
)
def test_a_contrast_name_becomes_a_label(name: str, label: str) -> None:
    assert file_label(name) == label
