"""The end of the log: what each correction left of each contrast, and what the diagnostics found."""

from __future__ import annotations

from dataclasses import replace

from bids_app.report import content
from bids_app.report.content import Checks, Finding
from bids_app.report.text.survivors import nothing_survives, outcomes, warning_lines
from builders.pages import make_node


def test_every_correction_has_its_counts_and_its_strongest_peak(strong_t: content.ContrastSection) -> None:
    """In the order of the page, with the p that the correction gives; the sign of minus is the plain one."""
    (outcome,) = outcomes([make_node(strong_t)])
    assert (outcome.contrast, outcome.statistic) == ("Faces", "t(7)")
    assert [survival.method for survival in outcome.survivals] == ["voxel", "size", "Bonferroni", "uncorrected"]
    first, result = outcome.survivals[0], strong_t.results[0]
    assert (first.n_voxels, first.n_clusters) == (result.n_voxels, result.n_clusters)
    assert result.n_voxels > 0
    assert result.peak is not None
    assert first.peak.startswith(f"t = {result.peak.statistic:.2f}, p = 0.025 at (")
    assert "≤ 0.05" in first.words


def test_where_nothing_survives_what_came_closest_is_named(nothing: content.ContrastSection) -> None:
    """The smallest p of that correction, which is above the level."""
    (outcome,) = outcomes([make_node(nothing)])
    first, result = outcome.survivals[0], nothing.results[0]
    assert first.n_voxels == 0
    assert result.closest is not None
    assert result.closest.p > 0.05
    assert f"t = {result.closest.statistic:.2f}, p = {result.closest.p:.3f}" in first.peak


def test_why_nothing_survives_is_told_once_and_with_the_reason_that_applies() -> None:
    """The value that was needed; nothing where it differs between voxels; or the permutations."""
    words = "Voxel-wise FWE, p ≤ 0.05"
    assert nothing_survives(words, 0.05, "|t| > 5.20", can_pass=True).endswith(
        "voxel-wise FWE, p ≤ 0.05 (threshold: |t| > 5.20)"
    )
    assert nothing_survives(words, 0.05, "", can_pass=True).endswith("voxel-wise FWE, p ≤ 0.05")
    hopeless = nothing_survives(words, 0.01, "|t| > 5.20", can_pass=False)
    assert "5.20" not in hopeless
    assert "too few permutations" in hopeless
    assert hopeless.endswith("0.01")


def test_each_kind_of_warning_is_one_line(strong_t: content.ContrastSection) -> None:
    """However many contrasts have it; what is no warning is not said."""
    checks = Checks((Finding("Outlying subjects", "w", is_warning=True), Finding("Smoothness", "w")), (), ())
    sections = [
        replace(strong_t, contrast=replace(strong_t.contrast, name=name), checks=checks)
        for name in ("a", "b", "c", "d", "e")
    ]
    (line,) = warning_lines([make_node(*sections)])
    assert line.endswith("outlying subjects (a, b, c and 2 more)")
    assert warning_lines([make_node(strong_t)]) == []


def test_of_several_nodes_each_contrast_is_named_with_its_own(strong_t: content.ContrastSection) -> None:
    """The parts of a node have contrasts of the same names."""
    checks = Checks((Finding("Outlying subjects", "w", is_warning=True),), (), ())
    node = make_node(replace(strong_t, checks=checks))
    nodes = [replace(node, spec=replace(node.spec, name=name)) for name in ("group.post", "group.pre")]
    assert [outcome.contrast for outcome in outcomes(nodes)] == ["Faces (group.post)", "Faces (group.pre)"]
    (line,) = warning_lines(nodes)
    assert line.endswith("outlying subjects (Faces (group.post), Faces (group.pre))")
