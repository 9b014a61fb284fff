"""Wording: numbers are written for people, and never look like another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bids_app.inference.corrected_map import CorrectedMap
from bids_app.inference.pareto_tail import TailFit
from bids_app.report import wording as words
from bids_app.statistics.fit import ContrastFit
from builders.pages import make_contrast


@pytest.mark.parametrize(("value", "text"), [
    (-21.0, "−21"), (-0.0, "0"), (-0.04, "0"), (-0.06, "−0.1"),
    (41.96, "42"), (1.25, "1.3"), (-1.25, "−1.3"), (2.25, "2.3"), (2.9999999, "3"), (-9.96, "−10")])  # fmt: skip
def test_coordinates_are_whole_where_they_can_be(value: float, text: str) -> None:
    assert words.coordinate(value) == text


def test_a_false_discovery_rate_is_no_p_and_names_keep_their_capitals() -> None:
    """Nor does a name of a person become a common noun."""
    assert words.p_words(0.012, "fdr") == "q = 0.012"
    assert words.p_words(0.0001, "bonferroni") == "p < 0.001"
    assert words.in_sentence("Bonferroni, p") == "Bonferroni, p"
    assert words.in_sentence("TFCE (FWE)") == "TFCE (FWE)"
    assert words.in_sentence("Voxel-wise FWE") == "voxel-wise FWE"
    assert words.in_sentence("False discovery rate, q ≤ 0.05") == "false discovery rate, q ≤ 0.05"
    assert words.in_sentence("Something else") == "Something else"


@pytest.mark.parametrize(("value", "text"), [(-0.004, "0.00"), (-0.006, "−0.01"), (-0.0, "0.00"), (17.318, "17.32")])
def test_what_rounds_to_zero_has_no_sign(value: float, text: str) -> None:
    assert words.decimal(value) == text


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


def test_what_is_corrected_over_contrasts_or_approximate_says_so() -> None:
    """The level with what else was corrected for; thresholds are then of z, and whole where sizes are."""
    t = np.zeros(3)
    fit = ContrastFit(make_contrast("t", "Faces"), t, t, t, t, t, t, None, None, 1.0, 7.0)
    alone = CorrectedMap("voxelFWE", t + 1, 0.05, t > 0, 4.5, 0, None)
    assert words.method_words(alone) == "Voxel-wise FWE, p ≤ 0.05"
    assert words.threshold_words(alone, fit).startswith("|t| ")
    joint = replace(alone, across=3, n_families=2, tail=TailFit(3.0, 1.0, 0.1, 0.5, 0.2))
    said = words.method_words(joint).removeprefix(f"{words.method_words(alone)}, ").split(", ")
    assert [next(fact for fact in ("3 contrasts", "2 (families", "approximate") if fact in part) for part in said] == [
        "3 contrasts",
        "2 (families",
        "approximate",
    ]
    assert words.threshold_words(joint, fit).startswith("z ")
    assert words.null_title(joint, fit.contrast) == "Maximum z"
    assert words.threshold_words(replace(joint, method="clusterMassFWE"), fit) == "cluster mass of z above 4.5"
    assert words.threshold_words(replace(joint, method="clusterSizeFWE"), fit) == "clusters of more than 4 voxels"
