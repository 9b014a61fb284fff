"""The page that people send to each other: its sentences, its tables, and how they are put into template.html.

The page needs nothing from anywhere else.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
import pandas as pd

from bids_app.report.assumptions import assumptions
from bids_app.report.checks import influence_rows
from bids_app.report.content import ContrastSection, MethodResult, NodeSection, Page, Peak, exact_coordinate
from bids_app.report.figures import Figure
from bids_app.report.methods import SPHERICITY, cited_works, methods_text, references
from bids_app.report.overview import model_facts, overview_words
from bids_app.report.tables import COLUMNS
from bids_app.report.words import ATLAS_HEADS, METHODS, MINUS, format_p, sided_words

MAX_ROWS = 20  # of a table on the page; the file has them all
P_HEADS = {
    "p_voxelFWE": "p voxel",
    "p_tfceFWE": "p TFCE",
    "p_clusterMassFWE": "p mass",
    "p_clusterSizeFWE": "p size",
    "p_bonferroni": "p Bonf.",
    "p_fdr": "p FDR",
    "p_uncorrected": "p unc.",
}
HEADS = {
    "cluster_id": "#",
    "peak_id": "Peak",
    "peak_x": "x",
    "peak_y": "y",
    "peak_z": "z",
    "cluster_mean": "mean",
    "peak_statistic": "peak",
    "peak_z_score": "z score",
    "peak_effect": "effect",
    "extent_voxels": "voxels",
    "volume_mm3": "mm\N{SUPERSCRIPT THREE}",
}


@dataclass(frozen=True, slots=True)
class _Cell:
    text: str
    kind: str = "number"  # or text
    full: str = ""  # what was shortened


@dataclass(frozen=True, slots=True)
class _Table:
    caption: str
    heads: tuple[_Cell, ...]
    rows: tuple[tuple[_Cell, ...], ...]
    n_hidden: int


def render(page: Page) -> str:
    """Write the page as one self-contained HTML document."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "p": format_p,
        "count": lambda number: f"{number:,}",
        "image": _as_data,
        "decimal": _decimal,
        "smallest": lambda p: f"{p:.2g}",
    }
    environment.globals |= {
        "clusters_table": _clusters_table,
        "peaks_table": _peaks_table,
        "found": found_words,
        "lower": _lower,
        "asked": asked_words,
        "used_methods": _used_methods,
        "sided": sided_words,
        "error_words": _error_words,
        "short": _short_label,
        "methods": METHODS,
        "influence_rows": influence_rows,
        "overview": overview_words,
        "model_facts": model_facts,
    }
    return environment.get_template("template.html").render(
        page=page,
        nodes=page.nodes,
        assumptions=assumptions(page.nodes, page.space),
        methods_text=methods_text(page.nodes, page.version, page.provenance.versions, page.provenance.seed),
        cited=cited_works(page.nodes),
        bibtex=references(page.nodes),
    )


def _template(name: str) -> str:
    """Read a template that the package ships."""
    return resources.files("bids_app.report").joinpath(name).read_text(encoding="utf-8")


def asked_words(section: ContrastSection, node: NodeSection) -> str:
    """Say in a sentence what a contrast tests."""
    contrast, factors = section.contrast, {factor.name: factor for factor in node.spec.settings.factors}
    parts = contrast.name.split(":")
    if not contrast.generated or not set(parts) <= set(factors):
        if len(contrast.cell_weights) > 1:
            return f"Any of these differs from zero: {contrast.formula}."
        return f"{contrast.formula}."
    levels = [f"{factors[part].name} ({', '.join(factors[part].levels)})" for part in parts]
    if len(levels) == len(factors) == 1:
        return f"The levels of {levels[0]} differ."
    if len(levels) == 1:
        return f"Main effect: the levels of {levels[0]} differ, averaged over the other factors."
    return f"Interaction: the effect of {levels[0]} depends on {' and '.join(levels[1:])}."


def found_words(section: ContrastSection) -> str:
    """Say in a sentence what survived in the primary corrected map, and where."""
    if not section.results:
        return "No threshold was asked for."
    result = section.results[0]
    if not result.n_voxels:
        would = f" (it would take {result.threshold})" if result.threshold else ""
        if not result.can_pass:
            would = ": there are too few relabellings for any p at this level"
        near = f" {_strongest('Closest', section, result.closest)}" if result.closest else ""
        return f"Nothing survives {_lower(result.words)}{would}.{near}"
    voxels = "1 voxel survives" if result.n_voxels == 1 else f"{result.n_voxels:,} voxels survive"
    clusters = "1 cluster" if result.n_clusters == 1 else f"{result.n_clusters} clusters"
    sentence = f"{voxels} {_lower(result.words)}, in {clusters}"
    if section.contrast.test == "t" and section.contrast.sided == "two":
        sentence += _direction(result)
    return f"{sentence}. {_strongest('Strongest', section, result.peak)}" if result.peak else f"{sentence}."


def _strongest(head: str, section: ContrastSection, where: Peak) -> str:
    """Say of one voxel statistic, place, region and p."""
    region, p = _short_label(where.label), format_p(where.p)
    label = f", {region}" if region != "\N{EN DASH}" else ""
    return (
        f"{head}: {section.statistic} = {_decimal(where.statistic)} at {where.place} mm{label}, "
        f"p {p if p.startswith(('<', '>')) else f'= {p}'}."
    )


def _direction(result: MethodResult) -> str:
    n_negative = result.n_voxels - result.n_positive
    if not n_negative:
        return ", all positive"
    return ", all negative" if not result.n_positive else f" ({result.n_positive:,} positive, {n_negative:,} negative)"


def _lower(words: str) -> str:
    """Put a name inside a sentence; TFCE keeps its capitals."""
    return words if words[:2].isupper() else words[0].lower() + words[1:]


def _decimal(value: float) -> str:
    return f"{value:.2f}".replace("-", MINUS)


def _short_label(label: str) -> str:
    """Shorten an atlas label: its two largest parts, words in place of codes, a dash for no region."""
    parts = [part for part in label.split("; ") if not part.endswith("in smaller parts")]
    words = [_region(part) for part in parts]
    named = [word for word in words if word]
    if not named:
        return "\N{EN DASH}"
    rest = len(named) - 2
    return "; ".join(named[:2]) + (f" +{rest}" if rest > 0 else "")


def _region(part: str) -> str:
    """Turn 36.0% ctx-rh-fusiform into 36% R fusiform; empty where it is no region."""
    share, _, name = part.rpartition("% ")
    if name in {"no_label", "Unknown", ""}:
        return ""
    for code, side in (("ctx-rh-", "R "), ("ctx-lh-", "L ")):
        name = name.replace(code, side)
    name = name.replace("_", " ").replace("Right-", "R ").replace("Left-", "L ")
    return f"{float(share):.0f}% {name}" if share else name


def _error_words(section: ContrastSection) -> str:
    """Name the error term and what is done about sphericity."""
    contrast = section.contrast
    if section.statistic_name:
        return f"{_kind_words(section)}: {section.statistic_name}"
    if contrast.error_term == "pooled":
        return "pooled over all within-subject effects; sphericity over all conditions assumed"
    if len(contrast.within) == 1:
        return "the contrast's own (partitioned); no sphericity needed"
    if contrast.sphericity == "none" or section.epsilon is None:
        return "the effect's own (partitioned); sphericity assumed"
    low, middle, high = section.epsilon
    return (
        f"the effect's own (partitioned); {SPHERICITY[contrast.sphericity]}, \N{GREEK SMALL LETTER EPSILON} "
        f"{middle:.2f} at the median voxel ({low:.2f} to {high:.2f})"
    )


def _kind_words(section: ContrastSection) -> str:
    """Say what is particular about a t or F that is not the ordinary one."""
    contrast = section.contrast
    if contrast.sphericity == "multivariate":
        return "the effect's own (partitioned), multivariate: no sphericity needed"
    if contrast.error_term == "pooled":
        return "pooled over all within-subject effects, some maps missing; sphericity over all conditions assumed"
    return "the contrast's own, with a variance for each group; no equal variances needed"


def _clusters_table(result: MethodResult, section: ContrastSection) -> _Table:
    shown = ["cluster_id", "peak_x", "peak_y", "peak_z", "extent_voxels", "volume_mm3", "cluster_mean"]
    shown += ["peak_statistic", "peak_z_score", "peak_effect", f"p_{result.method}", *ATLAS_HEADS]
    return _page_table(result.tables.clusters, [*shown, *P_HEADS], f"Clusters: {result.words}", section)


def _peaks_table(result: MethodResult, section: ContrastSection) -> _Table:
    shown = ["peak_id", "peak_x", "peak_y", "peak_z", "peak_statistic", "peak_z_score", "peak_effect"]
    shown += [f"p_{result.method}", "extent_voxels", *ATLAS_HEADS]
    return _page_table(result.tables.peaks, [*shown, *P_HEADS], f"Peaks: {result.words}", section)


def _page_table(table: pd.DataFrame, wanted: Sequence[str], caption: str, section: ContrastSection) -> _Table:
    """Choose, order and write the columns that there are."""
    names = [name for name in dict.fromkeys(wanted) if name in table]
    heads = []
    for name in names:
        text = {**HEADS, **P_HEADS, **ATLAS_HEADS}[name]
        if name in {"peak_statistic", "cluster_mean"}:
            text = section.contrast.test if name == "peak_statistic" else f"mean {section.contrast.test}"
        heads.append(_Cell(text, "text" if name in ATLAS_HEADS else "number", COLUMNS.get(name, "")))
    rows = tuple(
        tuple(_cell(name, value) for name, value in zip(names, row, strict=True))
        for row in table[names].head(MAX_ROWS).itertuples(index=False)
    )
    return _Table(caption, tuple(heads), rows, max(0, len(table) - MAX_ROWS))


def _cell(name: str, value: Any) -> _Cell:  # noqa: ANN401
    if name in ATLAS_HEADS:
        return _Cell(_short_label(str(value)), "text", str(value))
    if name.startswith("p_"):
        return _Cell(format_p(float(value)), full=f"{float(value):.3g}")
    if name in {"peak_x", "peak_y", "peak_z"}:
        return _Cell(exact_coordinate(float(value)))
    if name in {"cluster_id", "peak_id"}:
        return _Cell(str(value), "text")
    if name in {"extent_voxels", "volume_mm3"}:
        return _Cell(f"{float(value):,.0f}")
    return _Cell(_decimal(float(value)))


def _as_data(figure: Figure) -> str:
    """Put a picture into its own address."""
    return f"data:image/png;base64,{base64.b64encode(figure.png).decode('ascii')}"


def _used_methods(node: NodeSection) -> list[str]:
    """List the corrections of a node, the primary one first."""
    used = {result.method for section in node.contrasts for result in section.results}
    return [method for method in METHODS if method in used]
