"""A node in a few sentences, and its model as a list of facts: what was tested, on whom, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bids_app.console.text import a_few
from bids_app.design.between_subject import INTERCEPT
from bids_app.inference.catalogue import METHODS
from bids_app.model.settings import has_slope_of_each_group
from bids_app.report.content import ContrastSection, NodeSection
from bids_app.report.wording import in_sentence

MAX_NAMES = 6
CENTRED = {"grand": "centred on its mean", "group": "centred on the mean of each group", "none": "not centred"}


def overview_words(node: NodeSection) -> str:
    """Return what was tested, in which contrasts anything survives the primary correction, and in which nothing.

    Parameters
    ----------
    node : NodeSection
    """
    design, sections = node.design, node.contrasts
    n_subjects, n_cells = len(design.subjects), len(design.cells)
    conditions = f", {n_cells} conditions each" if n_cells > 1 else ""
    tested = f"{_number(len(sections), 'contrast')} of {_number(n_subjects, 'subject')}{conditions}, "
    tested += f"in {node.inputs.n_voxels:,} voxels."
    results = [(section, section.results[0]) for section in sections if section.results]
    if not results:
        return f"{tested} No threshold was asked for."
    words = {result.words for _, result in results}
    by = f" by {in_sentence(next(iter(words)))}" if len(words) == 1 else " by the first correction of each"
    how = _how(sections)
    hits = [section.contrast.name for section, result in results if result.n_voxels]
    none = [section for section, result in results if not result.n_voxels]
    if not hits:
        among = " in any of them" if len(none) > 1 else " in it"
        return f"{tested} Nothing survives{by}{how}{among}{_elsewhere(none)}"
    if not none:
        return f"{tested} Something survives{by}{how} in {_all(len(hits))}."
    return (
        f"{tested} Something survives{by}{how} in {len(hits)} of {len(results)}: {a_few(hits, MAX_NAMES)}. Nothing in "
        f"{a_few([section.contrast.name for section in none], MAX_NAMES)}{_elsewhere(none)}"
    )


def model_facts(node: NodeSection) -> list[tuple[str, str]]:
    """Return factors, groups, covariates and degrees of freedom, each as a term and its words."""
    settings, design = node.spec.settings, node.design
    facts = [
        (f"Within-subject factor {factor.name}", f"{len(factor.levels)} levels: {', '.join(factor.levels)}")
        for factor in settings.factors
    ]
    if settings.factors and settings.cell_name:
        facts.append(("Names of conditions", settings.cell_name))
    if not settings.factors and len(design.cells) > 1:
        facts.append(("Conditions", f"{a_few(design.cells, MAX_NAMES)}; no factors"))
    if settings.between:
        sizes = Counter(design.groups)
        listed = ", ".join(f"{name} {_number(size, 'subject')}" for name, size in sizes.items())
        facts.append(
            (f"Groups by {' and '.join(settings.between)}", f"{listed}; weighted equally, whatever their sizes")
        )
    elif design.groups:
        sizes = Counter(design.groups)
        listed = ", ".join(f"{name} {_number(size, 'subject')}" for name, size in sizes.items())
        facts.append(("Groups", f"{listed}; each a column, weighted equally, whatever their sizes"))
    for name in settings.covariates:
        has_slopes = has_slope_of_each_group(settings, name)
        numeric = f"{CENTRED[settings.center]}{', with a slope in each group' if has_slopes else ''}"
        is_numeric = has_slopes or name in design.between_names
        facts.append((f"Covariate {name}", numeric if is_numeric else "text, hence a factor"))
    facts += [(f"Column {name}", "as it is, not centred") for name in columns_as_they_are(node)]
    columns = f"{len(design.between_names)} column{'s' if len(design.between_names) > 1 else ''}"
    facts.append(
        (
            "Between subjects",
            f"{_number(len(design.subjects), 'subject')}, {columns} ({a_few(design.between_names, MAX_NAMES)}): "
            f"{design.df_between} degrees of freedom are left",
        )
    )
    if design.blocks:
        facts.append(("Exchangeability blocks", f"{len(set(design.blocks))} of {len(design.subjects)} subjects"))
    return facts


def columns_as_they_are(node: NodeSection) -> list[str]:
    """Return the columns between subjects that are neither groups nor covariates, and are used as they are."""
    settings, design = node.spec.settings, node.design
    others = [name for name in design.between_names if name not in {*design.groups, INTERCEPT, *settings.covariates}]
    of_covariates = [name for name in others for covariate in settings.covariates
                     if name.startswith(f"{covariate}.") or name.endswith(f":{covariate}")]  # fmt: skip
    return [name for name in others if name not in of_covariates]


def averaged_words(node: NodeSection) -> str:
    """Return which maps of a condition are averaged where a subject has several."""
    return "several sessions or runs" if node.spec.settings.sessions == "average" else "several runs"


def _how(sections: Sequence[ContrastSection]) -> str:
    """Return what was permuted for the primary p; empty where it is parametric."""
    moves = {
        s.shuffling.moves for s in sections if s.shuffling is not None and s.results[:1] and s.results[0].is_permutation
    }
    return f" ({', '.join(sorted(moves))})" if moves else ""


def _elsewhere(sections: Sequence[ContrastSection]) -> str:
    """Return which other corrections leave something where the primary one leaves nothing."""
    others = {
        result.method
        for section in sections
        for result in section.results[1:]
        if result.n_voxels and not METHODS[result.method].is_descriptive
    }
    if not others:
        return "."
    named = ", ".join(row.words.name for key, row in METHODS.items() if key in others)
    return (
        f"; other corrections leave something ({named}), which should not be reported unless that correction was "
        "chosen in advance."
    )


def _all(number: int) -> str:
    return "it" if number == 1 else f"all {number}"


def _number(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
