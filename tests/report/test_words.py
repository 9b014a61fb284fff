"""Wording: numbers are written for people, and never look like another."""

from __future__ import annotations

import pytest

from bids_app.report import words


@pytest.mark.parametrize(("value", "text"), [(-21.0, "−21"), (-0.0, "0"), (1.25, "1.2"), (2.9999999, "3")])
def test_coordinates_are_whole_where_they_can_be(value: float, text: str) -> None:
    assert words.coordinate(value) == text


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0, "< 0.001"),
        (0.00099, "< 0.001"),
        (0.001, "0.001"),
        (0.0123, "0.012"),
        (0.05, "0.050"),
        (0.0504, "0.0504"),
        (0.9999, "> 0.999"),
        (1.0, "1"),
        (float("nan"), "n/a"),
    ],
)
def test_p_values_are_written_for_people(p: float, text: str) -> None:
    assert words.format_p(p) == text
