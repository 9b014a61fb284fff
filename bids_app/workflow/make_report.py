"""From results to figures, files and the page: what a run and a rebuild of its report have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bids_app.arrays import Booleans
from bids_app.console.terminal import log_notice, say_outcomes
from bids_app.model.specification import NodeSpec
from bids_app.report import content
from bids_app.report.figures import background as canvases
from bids_app.report.figures import drawing
from bids_app.report.figures import figure as figure_module
from bids_app.report.figures import of_contrast as contrastfigures
from bids_app.report.figures import of_node as figures
from bids_app.report.page import render as html
from bids_app.report.text import findings as checks
from bids_app.report.text import methods
from bids_app.report.text import survivors as outcomes
from bids_app.results.files import write_text
from bids_app.results.folder import NodeFolder
from bids_app.results.values import NodeFacts, Results
from bids_app.results.write import figure_path, write_figure
from bids_app.runtime.limits import usable_memory_mb
from bids_app.runtime.options import RunOptions
from bids_app.spaces.atlases import Atlas, load_atlases


@dataclass(frozen=True, slots=True)
class Sheet:
    """What all the contrasts of a node are drawn on, and where the pictures go."""

    node: NodeSpec
    canvas: canvases.Canvas
    folder: NodeFolder
    n_processes: int = 1
    """That draw."""
    atlases: tuple[Atlas, ...] = ()
    """On the grid of the maps, for the interactive maps."""


def open_sheet(
    node: NodeSpec,
    facts: NodeFacts,
    mask: Booleans,
    options: RunOptions,
    folder: NodeFolder,
    atlases: tuple[Atlas, ...] | None = None,
) -> Sheet:
    """Load what a node is drawn on.

    Parameters
    ----------
    node : NodeSpec
    facts : of the node
    mask : (i, j, k) analysis mask
    options : RunOptions
    folder : where the pictures go
    atlases : on the grid of the maps; None: those that the node names are loaded where they are needed
    """
    settings = node.settings
    if atlases is None:
        used = settings.report.atlases if facts.uses_mni and settings.report.interactive else ()
        atlases = load_atlases(used, mask.shape, facts.affine)
    canvas = canvases.load_canvas(
        mask,
        facts.affine,
        None if facts.background is None else facts.background.astype(np.float64),
        use_mni=facts.uses_mni,
        reason=facts.space_note,
    )
    n_methods = len(settings.parametric) + (len(settings.permutation.statistics) if settings.permutation else 0)
    n_pictures = 3 * n_methods * len(facts.design.contrasts)
    n_processes = drawing.count_processes(n_pictures, options.n_jobs, 1e6 * (options.mem_mb or usable_memory_mb()))
    return Sheet(node, canvas, folder, n_processes, atlases)


def node_folder(node: NodeSpec, facts: NodeFacts, output_dir: Path) -> NodeFolder:
    """Say where the files of a node go, and what all their sidecars share."""
    about = {
        "ConditionList": facts.design.cells,
        "RandomSeed": facts.run.seed,
        "SoftwareVersion": facts.run.version,
    }
    return NodeFolder(output_dir, node.name, facts.entities, about)


def report_contrast(results: Results, sheet: Sheet) -> content.ContrastSection:
    """Draw a contrast, write its pictures and its viewers, and return its part of the page."""
    stem = f"contrast-{results.fit.contrast.label}"
    interactive = sheet.node.settings.report.interactive
    scene = contrastfigures.Scene(
        results.fit, results.inferences, results.by_method, sheet.canvas, interactive, sheet.atlases
    )
    drawn = drawing.draw(scene, sheet.n_processes)
    scheme = results.null.shuffles.scheme if results.null else None
    checked = None
    if results.diagnostics is not None:
        checked = checks.contrast_checks(results.fit.contrast, results.diagnostics, results.smoothness, scheme)
    more = (*(checked.figures if checked else ()), *([results.means.figure] if results.means else []))
    files = {each.name: write_figure(sheet.folder, stem, each) for each in (*drawn, *more)}
    for name in (f"desc-{method}_{kind}.tsv" for method in results.by_method for kind in ("clusters", "peaks")):
        files[name] = sheet.folder.relative(sheet.folder.file(f"{stem}_{name}"))
    section = content.contrast_section(
        results.fit, results.inferences, results.by_method, drawn, results.means, files=files
    )
    return replace(section, checks=checked)


def report_node(facts: NodeFacts, sections: Sequence[content.ContrastSection], sheet: Sheet) -> content.NodeSection:
    """Draw what a node has besides its contrasts, write it, and return the node's part of the page."""
    design = facts.design
    drawn = (
        figure_module.attempt("design", lambda: figures.draw_design(design)),
        figure_module.attempt("correlation", lambda: figures.draw_correlation(design)),
        figure_module.attempt("contrasts", lambda: figures.draw_contrasts(design)),
    )
    files = {figure.name: write_figure(sheet.folder, "", figure) for figure in (*facts.pictures, *drawn)}
    named = {figure.name: figure for figure in facts.pictures}
    nilearn = figure_path(sheet.folder, "", "nilearn", "html")  # made by the run: it needs the input
    return content.NodeSection(
        spec=sheet.node,
        design=facts.design,
        inputs=facts.inputs,
        figures=drawn,
        contrasts=tuple(sections),
        mosaics=tuple(figure for figure in facts.pictures if figure.name.startswith("subjects")),
        coverage=named.get("coverage"),
        files=files,
        nilearn=sheet.folder.relative(nilearn) if nilearn in sheet.folder.written else "",
        notes=facts.notes,
    )


def write_page(
    output_dir: Path, nodes: Sequence[tuple[NodeFacts, content.NodeSection]], more: Mapping[str, str] | None = None
) -> None:
    """Write the page, the methods text and the references, and say what survived.

    Parameters
    ----------
    output_dir : Path
    nodes : facts and part of the page of each
    more : facts of the page itself, beside those of the runs
    """
    page = make_page(nodes, more or {})
    versions, seed = page.provenance.versions, page.provenance.seed
    cited = methods.citation(page.nodes, page.version, versions, seed)
    write_text(output_dir / "logs" / "CITATION.md", cited)
    write_text(output_dir / "logs" / "CITATION.bib", methods.references(page.nodes))
    report = output_dir / "report.html"
    write_text(report, html.render(page))
    say_outcomes(outcomes.outcomes(page.nodes))
    for line in outcomes.warning_lines(page.nodes):
        log_notice("%s", line)
    log_notice("Report: %s", report)


def make_page(nodes: Sequence[tuple[NodeFacts, content.NodeSection]], more: Mapping[str, str]) -> content.Page:
    """Put the nodes together; where they come from several runs, each is named.

    Parameters
    ----------
    nodes : facts and part of the page of each
    more : facts of the page itself
    """
    runs = list({facts.run.run: facts.run for facts, _ in nodes}.values())
    latest = max(runs, key=lambda run: run.run)
    seeds = dict.fromkeys(run.seed for run in runs)
    facts = {"Run": ", ".join(run.run for run in runs), "Started": ", ".join(run.started for run in runs)}
    if images := list(dict.fromkeys(run.image for run in runs if run.image)):
        facts["Image"] = ", ".join(images)
    if len(seeds) > 1:
        facts["Seeds of the runs"] = ", ".join(map(str, seeds))
    return content.Page(
        title=latest.title,
        version=latest.version,
        nodes=tuple(section for _, section in nodes),
        provenance=content.Provenance(
            command="\n".join(dict.fromkeys(run.command for run in runs)),
            seed=latest.seed,
            versions=latest.versions,
            datasets={name: place for run in runs for name, place in run.datasets.items()},
            facts=facts | dict(more),
        ),
        space="; ".join(dict.fromkeys(facts.space_note for facts, _ in nodes)),
        notes=tuple(dict.fromkeys(note for run in runs for note in run.notes)),
    )
