"""The page that people send to each other: its sentences, its tables, and how they are put into template.html.

The page needs nothing from anywhere else.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Sequence
from importlib import resources

import jinja2

from bids_app.errors import Warned
from bids_app.inference.catalogue import METHODS
from bids_app.report.content import ContrastSection, MethodResult, NodeSection, Page, Peak, in_words_of
from bids_app.report.figures.figure import Figure
from bids_app.report.figures.viewer import script_hash
from bids_app.report.page.tables import clusters_table, parcels_table, peaks_table, place_link
from bids_app.report.text.assumptions import assumptions
from bids_app.report.text.findings import influence_rows
from bids_app.report.text.methods import cited_works, methods_text, references
from bids_app.report.text.methods_model import SPHERICITY
from bids_app.report.text.overview import averaged_words, model_facts, overview_words
from bids_app.report.text.random_fields import random_field_rows
from bids_app.report.text.survivors import bound_words, nothing_survives
from bids_app.report.wording import (
    NO_REGION,
    decimal,
    format_p,
    in_sentence,
    p_words,
    short_label,
    sided_words,
)
from bids_app.statistics.kinds import KINDS

MOST_PICTURES = 11_500_000  # signs that the pictures of a page may take: what can be mailed is 15 MB with all the rest
AS_WRITTEN = (  # of a page, whatever its maps consist of
    r"(<script.*?</script>|<style.*?</style>|<pre\b.*?</pre>|<ul class=\"sources\">.*?</ul>|"
    r"<span class=\"as-read\">.*?</span>|(?:src|href|id)=\"[^\"]*\")"
)
MANY_CONTRASTS = 8  # beyond it, what is not of the primary correction is folded away


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
        "decimal": decimal,
        "smallest": lambda p: f"{p:.2g}",
    }
    environment.tests["warned"] = lambda note: isinstance(note, Warned)
    environment.globals |= {
        "clusters_table": clusters_table,
        "peaks_table": peaks_table,
        "parcels_table": parcels_table,
        "place_link": place_link,
        "closest": closest_words,
        "embedded": _embedding(page.nodes),
        "found": found_words,
        "asked": asked_words,
        "used_methods": _used_methods,
        "sided": sided_words,
        "error_words": _error_words,
        "short": short_label,
        "methods": {key: row.words.name for key, row in METHODS.items()},
        "nothing_survives": nothing_survives,
        "influence_rows": influence_rows,
        "random_field_rows": random_field_rows,
        "overview": overview_words,
        "model_facts": model_facts,
        "averaged": averaged_words,
    }
    script = _template("page.js")
    sections = [section for node in page.nodes for section in node.contrasts]
    written = environment.get_template("template.html").render(
        page=page,
        style=_template("page.css"),
        script=script,
        script_hash=script_hash(script),
        many=len(sections) > MANY_CONTRASTS,
        several_elements=len({node.facts.element for node in page.nodes}) > 1,
        nothing_anywhere=bool(sections)
        and not any(result.n_voxels for section in sections for result in section.results),
        nodes=page.nodes,
        assumptions=assumptions(page.nodes, page.space),
        methods_text=methods_text(page.nodes, page.latest.version, page.latest.versions, page.latest.seed),
        cited=cited_works(page.nodes),
        bibtex=references(page.nodes),
    )
    return _in_elements(written, page.nodes)


def _in_elements(written: str, nodes: Sequence[NodeSection]) -> str:
    """Return a page about voxels as one about vertices or parcels, where its maps are of these.

    Nodes that differ in this are marked. Scripts, styles, pictures, links, the command and the works that are cited
    stay as they are.
    """
    of_element: dict[str, NodeSection] = {node.facts.element: node for node in nodes}
    if len(of_element) == 1:
        return _in_words_of(nodes, written)
    head, *marked = re.split(r"<!--of (\w+)-->\n?", written)
    found = [head]
    for mark, part in zip(marked[::2], marked[1::2], strict=True):
        node = of_element.get(mark)
        found.append(_in_words_of((node,), part) if node else part)
    return "".join(found)


def _in_words_of(nodes: Sequence[NodeSection], written: str) -> str:
    """Return a part of a page in the words of nodes of one kind."""
    parts = re.split(AS_WRITTEN, written, flags=re.DOTALL)  # what stays is every second part
    return "".join(part if number % 2 else in_words_of(nodes, part) for number, part in enumerate(parts))


def _template(name: str) -> str:
    """Read a template that the package ships."""
    return resources.files("bids_app.report.page").joinpath(name).read_text(encoding="utf-8")


def asked_words(section: ContrastSection, node: NodeSection) -> str:
    """Return in a sentence what a contrast tests."""
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
    """Return in a sentence what survived in the primary corrected map, and where."""
    if not section.results:
        return "No threshold was asked for."
    result = section.results[0]
    if not result.n_voxels:
        near = f" {_strongest('Closest', section, result, result.closest)}" if result.closest else ""
        nothing = nothing_survives(result.words, result.alpha, result.threshold, can_pass=result.can_pass)
        return f"{nothing}.{near}"
    voxels = "1 voxel survives" if result.n_voxels == 1 else f"{result.n_voxels:,} voxels survive"
    sentence = f"{voxels} {in_sentence(result.words)}"
    if section.parcels is None:
        sentence += ", in 1 cluster" if result.n_clusters == 1 else f", in {result.n_clusters} clusters"
    if section.contrast.test == "t" and section.contrast.sided == "two":
        sentence += _direction(result)
    strongest = _strongest("Strongest", section, result, result.peak) if result.peak else ""
    return " ".join(filter(None, (f"{sentence}.", strongest, bound_words(section))))


def _strongest(head: str, section: ContrastSection, result: MethodResult, where: Peak) -> str:
    """Return statistic, place, region and p of one voxel, in words."""
    region = short_label(where.label)
    label = f", {region}" if region != NO_REGION else ""
    return (
        f"{head}: {section.statistic} = {decimal(where.statistic)} {where.where}{label}, "
        f"{p_words(where.p, result.method)}."
    )


def closest_words(section: ContrastSection, result: MethodResult) -> str:
    """Return in words what came closest where nothing survives; empty where something does."""
    if result.closest is None:
        return ""
    return f"{_strongest('Closest', section, result, result.closest)[:-1]} by {in_sentence(result.title)}."


def _direction(result: MethodResult) -> str:
    n_negative = result.n_voxels - result.n_positive
    if not n_negative:
        return ", all positive"
    return ", all negative" if not result.n_positive else f" ({result.n_positive:,} positive, {n_negative:,} negative)"


def _error_words(section: ContrastSection) -> str:
    """Name the error term and what is done about sphericity."""
    contrast = section.contrast
    if words := KINDS[section.kind].error_words:
        return f"{words}: {section.statistic_name}"
    if contrast.error_term == "pooled":
        return "pooled over all within-subject effects; sphericity over all conditions assumed"
    if len(contrast.within) == 1:
        return "the contrast's own (partitioned); of one dimension, so that sphericity does not arise"
    if contrast.sphericity == "none" or section.epsilon is None:
        return "the effect's own (partitioned); sphericity assumed"
    low, middle, high = section.epsilon
    return (
        f"the effect's own (partitioned); {SPHERICITY[contrast.sphericity]}, \N{GREEK SMALL LETTER EPSILON} "
        f"{middle:.2f} at the median voxel ({low:.2f} to {high:.2f})"
    )


def _embedding(nodes: Sequence[NodeSection]) -> Callable[[Figure], bool]:
    """Decide which pictures are in the page itself; the others are linked to.

    What is looked at first comes first, for all contrasts alike, so that no contrast is told better than another.
    """
    ranked: dict[int, list[Figure]] = {}
    for rank, figure in _ranked(nodes):
        ranked.setdefault(rank, []).append(figure)
    taken, inside = 0, set()
    for rank in sorted(ranked):
        taken += sum(len(figure.png) * 4 // 3 for figure in ranked[rank])
        if rank and taken > MOST_PICTURES:
            break
        inside |= {id(figure) for figure in ranked[rank]}
    return lambda figure: id(figure) in inside


def _ranked(nodes: Sequence[NodeSection]) -> Iterator[tuple[int, Figure]]:
    """Rank the pictures: 0 is always in the page."""
    for node in nodes:
        coverage = [node.coverage] if node.coverage else []
        yield from ((0, figure) for figure in (*node.figures, *node.mosaics, *coverage))
        for section in node.contrasts:
            first = f"desc-{section.results[0].method}_" if section.results else "none"
            if section.checks:
                yield from ((4, figure) for figure in section.checks.figures)
            if section.means:
                yield 1, section.means.figure
            for name, figure in section.figures.items():
                kind = name.rsplit("_", 1)[-1]
                if name.startswith(first):
                    yield {"slices": 1, "surface": 2, "clusters": 3}.get(kind, 5), figure
                elif name.startswith("stat-"):
                    yield 0 if name.startswith(("stat-t_", "stat-F_")) else 3, figure
                else:
                    yield {"histogram": 2, "slices": 4, "surface": 6}.get(kind, 7), figure


def _as_data(figure: Figure) -> str:
    """Put a picture into its own address."""
    return f"data:image/png;base64,{base64.b64encode(figure.png).decode('ascii')}"


def _used_methods(node: NodeSection) -> list[str]:
    """List the corrections of a node, the primary one first."""
    used = {result.method for section in node.contrasts for result in section.results}
    return [method for method in METHODS if method in used]
