"""What the page says of a contrast's random field: heights by the side that is tested, and what is assumed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bids_app.inference.corrected_map import OfRandomField
from bids_app.report.content import ContrastSection
from bids_app.report.text.random_fields import random_field_rows
from bids_app.statistics.random_fields import FieldOfStatistic
from bids_app.statistics.smoothness import Smoothness
from builders import pages
from builders.drawings import make_contrast

SMOOTH = Smoothness((12.0, 13.0, 14.0), (4.0, 4.3, 4.7), 80.84, 900, 12)
FIELD = FieldOfStatistic("t", (1.0, 11.0), (1.0, 10.0, 30.0, 40.0), 3000)


@pytest.fixture(scope="module")
def section() -> ContrastSection:
    """A contrast with both corrections, in place of those that it was made with."""
    made = pages.make_section(make_contrast("t"), 3.0, shuffled=False)
    first = replace(made.results[0], method="rftFWE", alpha=0.01, random_field=OfRandomField(FIELD, SMOOTH, 6.5))
    clusters = OfRandomField(FIELD, SMOOTH, 4.02, 0.001, 18)
    second = replace(made.results[0], method="rftClusterFWE", threshold="clusters of at least 17 voxels",
                     random_field=clusters)  # fmt: skip
    return replace(made, results=(first, second), df=(1.0, 11.0))


def test_a_contrast_without_random_fields_has_no_rows() -> None:
    assert random_field_rows(pages.make_section(make_contrast("t"), 3.0, shuffled=False)) == []


def test_every_number_is_told(section: ContrastSection) -> None:
    """Of a two-sided t: both sides, each with half."""
    rows = dict(random_field_rows(section))
    assert rows["FWHM"].startswith("12.0 × 13.0 × 14.0 mm (4.0 × 4.3 × 4.7 voxels), from 12 standardised")
    assert (
        rows["Search volume"]
        == "3,000 voxels; resels of 0 to 3 dimensions 1.0, 10.0, 30.0, 40.0; 80.8 voxels per resel"
    )
    assert rows["Critical height"] == "|t| = 6.50, p ≤ 0.01 over the search volume, half of it on each side"
    assert rows["Clusters"] == "above |t| = 4.02, one-tailed p = 0.001; each voxel has 18 neighbours"
    expected, size = float(FIELD.expected_clusters(4.02)), 80.84 * FIELD.resels_per_cluster(4.02)
    assert (
        rows["Expected without any effect"] == f"{expected:.2f} clusters on each side, of {size:.2f} voxels on average"
    )
    assert rows["Critical extent"] == "clusters of at least 17 voxels, p ≤ 0.05, half of it on each side"
    assert rows["Assumed"].endswith("(stationary), on which the p of clusters depend most.")


@pytest.mark.parametrize(("sided", "height"), [("positive", "t = 6.50"), ("negative", "−t = 6.50")])
def test_a_height_is_that_of_the_side(section: ContrastSection, sided: Any, height: str) -> None:  # noqa: ANN401
    rows = dict(random_field_rows(replace(section, contrast=make_contrast("t", sided))))
    assert rows["Critical height"] == f"{height}, p ≤ 0.01 over the search volume"
    assert " on each side" not in str(rows)


def test_what_a_contrast_lacks_is_said_of_it(section: ContrastSection) -> None:
    """Corrected df of F, too few df, no size that is significant; voxels alone do not need stationarity."""
    f = replace(section, contrast=make_contrast("F", "positive"), epsilon=(0.5, 0.7, 0.9))
    rows = dict(random_field_rows(f))
    assert rows["Critical height"].startswith("F = 6.50 (at nominal degrees of freedom)")
    assert "as if it had the F of the same p at the nominal ones" in rows["Assumed"]
    few = replace(section, df=(1.0, 3.0), results=(section.results[0], replace(section.results[1], threshold="")))
    rows = dict(random_field_rows(few))
    assert rows["Critical extent"].startswith("none: no size is significant")
    assert "those of voxels are Bonferroni's" in rows["Assumed"]
    rows = dict(random_field_rows(replace(section, results=section.results[:1])))
    assert rows["Assumed"] == "normal errors, and noise that is smooth on the grid."
    assert "Clusters" not in rows
