"""What survived and what to look at, of all contrasts of a run, for the end of the log."""

from __future__ import annotations

from collections.abc import Sequence

from bids_app.console.terminal import Outcome, Survival
from bids_app.report.content import ContrastSection, NodeSection
from bids_app.report.wording import MINUS, p_words

MAX_NAMES = 3
SHORT = {
    "voxelFWE": "voxel",
    "tfceFWE": "TFCE",
    "clusterMassFWE": "mass",
    "clusterSizeFWE": "size",
    "bonferroni": "Bonferroni",
    "fdr": "FDR",
    "uncorrected": "uncorrected",
}


def outcomes(nodes: Sequence[NodeSection]) -> list[Outcome]:
    """Say of every contrast what each correction left, or what came closest."""
    return [_outcome(section) for node in nodes for section in node.contrasts]


def warning_lines(nodes: Sequence[NodeSection]) -> list[str]:
    """Say once of each kind of warning in which contrasts the diagnostics have it."""
    found: dict[str, list[str]] = {}
    for section in (section for node in nodes for section in node.contrasts):
        for finding in section.checks.warnings if section.checks else ():
            found.setdefault(finding.title, []).append(section.contrast.name)
    return [f"To look at under Diagnostics in the report: {title.lower()} ({_some(names)})"
            for title, names in found.items()]  # fmt: skip


def _outcome(section: ContrastSection) -> Outcome:
    survivals = []
    for result in section.results:
        where, said = result.peak or result.closest, ""
        if where is not None:
            place = where.place.replace(MINUS, "-")  # a sign that every terminal has
            said = f"{section.contrast.test} = {where.statistic:.2f}, {p_words(where.p, result.method)} at {place} mm"
        survivals.append(Survival(SHORT[result.method], result.words, result.n_voxels, result.n_clusters, said))
    return Outcome(section.contrast.name, section.statistic, tuple(survivals))


def _some(names: Sequence[str]) -> str:
    """List a few names, and how many more there are."""
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
