"""The report, made from what OUTPUT_DIR holds: no input is read, and no statistic computed.

A run makes its report by it, and `--reports-only` is it: a report made again is the same to the byte but for the line
that says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from bids_app import __version__
from bids_app.console.terminal import log_notice, say_outcomes, stage
from bids_app.console.text import file_label
from bids_app.errors import DataError, MissingPathError
from bids_app.model.read_model import read_model
from bids_app.model.specification import ModelSpec
from bids_app.permutation.plan import plan_permutations
from bids_app.report.content import ContrastSection, NodeSection, Page
from bids_app.report.page.render import render
from bids_app.report.text import methods
from bids_app.report.text.survivors import outcomes, warning_lines
from bids_app.results.files import write_text
from bids_app.results.folder import NodeFolder, check_layout
from bids_app.results.node_writer import NodeWriter
from bids_app.results.read import NodeRecord, SavedNode, read_record, read_results
from bids_app.results.read_domain import read_domain
from bids_app.runtime.locks import hold
from bids_app.statistics.kinds import contrast_tests
from bids_app.workflow.analyse import log_removed
from bids_app.workflow.draw_node import Sheet, draw_contrast, draw_node, open_sheet


def make_report(
    output_dir: Path, names: Sequence[str], limits: tuple[int, float], again: datetime | None = None
) -> ModelSpec:
    """Make the report, its figures and the methods text of an output folder.

    Parameters
    ----------
    output_dir : Path
    names : of the nodes; empty: all that the folder holds
    limits : cores and bytes of memory that drawing may take
    again : when it is made again, after the run; None: the run makes it

    Returns
    -------
    ModelSpec
        The model of the latest run whose results are shown.

    Raises
    ------
    MissingPathError, DataError
        When a file is absent or damaged; the page of an earlier report then stays as it was.
    """
    with stage("Results on disk") as say:
        saved = find_nodes(output_dir, names)
        n_contrasts = sum(len(node.record.contrasts) for node, _ in saved)
        say(f"{len(saved)} node{'s' if len(saved) > 1 else ''}, {n_contrasts} contrasts")
    with ExitStack() as held:
        for node, _ in saved:
            held.enter_context(hold(node.folder.path, node.record.analysis))
        sections = tuple(_report_node(node, limits) for node, _ in saved)
        write_page(output_dir, Page(sections, _when(again) if again else ""))
    return max(saved, key=lambda each: each[0].record.facts.run.run)[1]


def _when(again: datetime) -> str:
    return f"{again.astimezone(UTC).isoformat(timespec='seconds')}, by bids-grouplevel {__version__}"


def find_nodes(output_dir: Path, names: Sequence[str]) -> list[tuple[SavedNode, ModelSpec]]:
    """Return the nodes of an output folder with their models, in the order of their runs and of the model.

    Parameters
    ----------
    output_dir : Path
    names : of the nodes; empty: all
    """
    found = []
    for record in _find_records(output_dir, names):
        facts = record.facts
        model = read_model(_existing(output_dir / "logs" / facts.run.run / "model.json"))
        in_model = [node.name for node in model.nodes]
        if facts.name not in in_model:
            raise DataError(
                f"logs/{facts.run.run}/model.json has no node {facts.name}, whose results are in "
                f"{output_dir / 'group'}; expected the model that made them."
            )
        index = in_model.index(facts.name)
        check_layout(output_dir, [facts.name])
        folder = NodeFolder(output_dir, facts.name, facts.entities)
        spec = model.nodes[index]
        domain = read_domain(folder, facts, spec.settings.connectivity)
        found.append(((facts.run.run, index), SavedNode(spec, record, folder, domain), model))
    return [(node, model) for _, node, model in sorted(found, key=lambda each: each[0])]


def _find_records(output_dir: Path, names: Sequence[str]) -> list[NodeRecord]:
    """Return the records of the nodes that are wanted, or of all."""
    group = output_dir / "group"
    folders = sorted(group.glob("node-*")) if group.is_dir() else []
    if not folders:
        raise MissingPathError(
            f"{group} has no folder node-<node> with results. Expected the OUTPUT_DIR of an earlier run."
        )
    # the folders of parts begin like that of their node, whose other words begin with a capital or a digit
    named = re.compile("|".join(f"node-{file_label(name)}([0-9A-Z].*)?" for name in names))
    records = [read_record(output_dir, folder) for folder in folders if not names or named.fullmatch(folder.name)]
    records = [record for record in records if not names or _called(record) & {*names}]
    for name in names:
        if name not in set[str]().union(*map(_called, records)):
            there = ", ".join(read_record(output_dir, folder).facts.name for folder in folders)
            raise MissingPathError(f'--node: no results of a node "{name}"; there are those of {there}')
    return records


def _called(record: NodeRecord) -> set[str]:
    """Return the names by which results are wanted: of the node or, where they are of a part of one, of both."""
    return {record.facts.name, *record.facts.inputs.part[:1]}


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise MissingPathError(
            f"{path} is missing, the model of the run that made the results. Put it back, or run the analysis again."
        )
    return path


def _report_node(node: SavedNode, limits: tuple[int, float]) -> NodeSection:
    """Draw a node, remove pictures of an earlier report that this one has not, and return its part of the page."""
    folder = NodeWriter(node.folder, {}, _files_of_run(node))
    sheet = open_sheet(node.spec, node.record.facts, node.domain, folder, limits)
    with stage("Figures") as say:
        sections = tuple(_report_contrasts(node, sheet))
        say(f"{len(sections)} contrast{'s' if len(sections) > 1 else ''}")
        section = draw_node(sheet, sections)
    log_removed(folder.remove_leftovers())
    return section


def _files_of_run(node: SavedNode) -> set[Path]:
    """Return what the run wrote: all but the pictures, of which it made only those that the input is needed for."""
    paths, facts = node.folder, node.record.facts
    pictures = {paths.figure("", picture.name) for picture in facts.pictures}
    pages = {paths.figure("", "nilearn", "html")} if facts.has_nilearn else set()
    others = {path for path in paths.listed if path.parent != paths.figures}
    return others | pictures | pages | {paths.record}


def _report_contrasts(node: SavedNode, sheet: Sheet) -> Iterator[ContrastSection]:
    """Read and draw one contrast after the other; no two are in memory."""
    facts = node.record.facts
    plans = plan_permutations(node.spec, facts.design, contrast_tests(facts.design), node.domain, facts.run.seed)
    for contrast, plan in zip(facts.design.contrasts, plans, strict=True):
        yield draw_contrast(read_results(node, contrast, plan), sheet)


def write_page(output_dir: Path, page: Page) -> None:
    """Write the page, the methods text and the references, and say what survived."""
    run = page.latest
    write_text(output_dir / "logs" / "CITATION.md", methods.citation(page.nodes, run.version, run.versions, run.seed))
    write_text(output_dir / "logs" / "CITATION.bib", methods.references(page.nodes))
    report = output_dir / "report.html"
    write_text(report, render(page))
    say_outcomes(outcomes(page.nodes))
    for line in warning_lines(page.nodes):
        log_notice("%s", line)
    log_notice("Report: %s", report)
