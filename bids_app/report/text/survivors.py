"""What survived, or that nothing did and what it would have taken; for the page, and for the end of the log."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bids_app.console.terminal import Outcome, Survival
from bids_app.console.text import a_few
from bids_app.inference.catalogue import METHODS
from bids_app.report.content import ContrastSection, NodeSection
from bids_app.report.wording import MINUS, in_sentence, p_words

MAX_NAMES = 3
ONE = {"voxels": "voxel", "volume voxels": "volume voxel", "vertices": "vertex", "parcels": "parcel"}


def outcomes(nodes: Sequence[NodeSection]) -> list[Outcome]:
    """Return for every contrast what each correction left, or what came closest."""
    return [
        _outcome(section, _named(section, node, nodes), node.facts.element)
        for node in nodes
        for section in node.contrasts
    ]


def warning_lines(nodes: Sequence[NodeSection]) -> list[str]:
    """Return a line for each kind of diagnostic warning, with the contrasts that have it."""
    found: dict[str, list[str]] = {}
    for node, section in ((each, section) for each in nodes for section in each.contrasts):
        for finding in section.checks.warnings if section.checks else ():
            found.setdefault(finding.title, []).append(_named(section, node, nodes))
    return [f"Diagnostic warning (see the report): {title.lower()} ({a_few(names, MAX_NAMES)})"
            for title, names in found.items()]  # fmt: skip


def nothing_survives(words: str, alpha: float, threshold: str, *, can_pass: bool) -> str:
    """Return that nothing survives a correction and what it would have taken, without a full stop.

    Parameters
    ----------
    words : name and level of the correction
    alpha : its level
    threshold : what a value had to reach; may be empty
    can_pass : whether there are enough permutations for a p at the level
    """
    why = f" (threshold: {threshold})" if threshold else ""
    if not can_pass:
        why = f": too few permutations exist for any p-value to reach {alpha:g}"
    return f"Nothing survives {in_sentence(words)}{why}"


def bound_words(section: ContrastSection) -> str:
    """Return in a sentence how many voxels of the strongest cluster have an effect at the least; of parcels, of all.

    Parameters
    ----------
    section : the clusters are those of its primary corrected map

    Returns
    -------
    str
        Empty where there are no bounds, or no clusters.
    """
    bounds, table = section.bounds, pd.DataFrame()
    if bounds is None:
        return ""
    if section.parcels is not None:
        least = _at_least(bounds.n_true, len(section.parcels), "parcels", "")
    else:
        table = section.results[0].tables.clusters if section.results else table
        if "true_discoveries" not in table or table.empty:
            return ""
        first = {str(name): value for name, value in table.iloc[0].items()}
        # of grayordinates, clusters on surfaces have vertices and the others voxels
        extent = next(name for name, value in first.items() if name.startswith("extent_") and value > 0)
        noun = extent.removeprefix("extent_")
        if noun == "voxels" and "extent_vertices" in first:
            noun = "volume voxels"
        least = _at_least(int(first["true_discoveries"]), int(first[extent]), noun, " in the strongest cluster")
    return f"{least} ({METHODS[bounds.method].words.in_sentence}, {100 * (1 - bounds.alpha):g} % confidence)."


def _at_least(n_true: int, number: int, noun: str, where: str) -> str:
    """Return a lower bound in words, its share rounded down."""
    of = f"{number:,} {noun}{where}"
    if n_true == 0:
        return f"The lower bound on the number of active ones among the {of} is 0"
    if n_true == number:
        return f"All {of} are active" if number > 1 else f"The only {ONE[noun]}{where} is active"
    share = 100 * n_true // number
    return f"At least {f'{share} %' if share else f'{n_true:,}'} of the {of} are active"


def _named(section: ContrastSection, node: NodeSection, nodes: Sequence[NodeSection]) -> str:
    """Return the name of a contrast, with its node where there are several, which may have contrasts of one name."""
    return f"{section.contrast.name} ({node.spec.name})" if len(nodes) > 1 else section.contrast.name


def _outcome(section: ContrastSection, name: str, element: str) -> Outcome:
    survivals = []
    for result in section.results:
        where, said = result.peak or result.closest, ""
        if where is not None:
            place = where.where.replace(MINUS, "-")  # a sign that every terminal has
            said = f"{section.contrast.test} = {where.statistic:.2f}, {p_words(where.p, result.method)} {place}"
        short, n_clusters = METHODS[result.method].words.short, result.n_clusters if section.parcels is None else None
        survivals.append(Survival(short, result.words, result.n_voxels, n_clusters, said))
    return Outcome(name, section.statistic, tuple(survivals), element)
