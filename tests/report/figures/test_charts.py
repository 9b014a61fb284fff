"""Charts: weights are shown as they were typed."""

from __future__ import annotations

import pytest

from bids_app.report.figures import charts


@pytest.mark.parametrize(
    ("value", "text"), [(1 / 6, "1/6"), (-1 / 3, "−1/3"), (1.0, "1"), (0.123456, "0.12"), (-2.0, "−2")]
)
def test_weights_are_written_as_the_fractions_they_were(value: float, text: str) -> None:
    assert charts._fraction(value) == text
