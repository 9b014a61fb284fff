"""The report made again from what OUTPUT_DIR holds: no input is read, and no statistic computed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from bids_app import __version__
from bids_app.console.terminal import stage
from bids_app.errors import DataError, MissingPathError
from bids_app.model.read_model import read_model
from bids_app.model.specification import ModelSpec
from bids_app.permutation.plan import plan_permutations
from bids_app.report.content import NodeSection
from bids_app.results.folder import check_layout, check_writable, remove_abandoned
from bids_app.results.read import SavedNode, read_facts, read_mask, read_results
from bids_app.runtime.locks import hold
from bids_app.runtime.options import RunOptions
from bids_app.spaces.volume import VolumeDomain
from bids_app.statistics.kinds import contrast_tests
from bids_app.workflow.make_report import node_folder, open_sheet, report_contrast, report_node, write_page


def rebuild(options: RunOptions, started: datetime) -> ModelSpec:
    """Rebuild the report, its figures and the methods text of an output folder.

    Parameters
    ----------
    options : RunOptions
        OUTPUT_DIR, and the nodes where not all are wanted.
    started : when

    Returns
    -------
    ModelSpec
        The model of the latest run whose results are shown.

    Raises
    ------
    MissingPathError, DataError
        When a file is absent or damaged.
    """
    check_writable(options.output_dir)
    check_layout(options.output_dir, ())
    with stage("Results on disk") as say:
        saved = find_nodes(options)
        say(f"{len(saved)} node{'s' if len(saved) > 1 else ''}, {sum(len(n.contrasts) for n, _ in saved)} contrasts")
    with ExitStack() as held:
        for node, _ in saved:
            held.enter_context(hold(node.folder.path, _report(node)))
        parts = [(node.facts, _report_node(node, options)) for node, _ in saved]
        when = started.astimezone(UTC).isoformat(timespec="seconds")
        write_page(options.output_dir, parts, {"Page made again": f"{when}, by bids-grouplevel {__version__}"})
    remove_abandoned(options.output_dir)
    return max(saved, key=lambda each: each[0].facts.run.run)[1]


def _report(node: SavedNode) -> str:
    """Identify what the report of a node is made of."""
    return hashlib.sha256(f"report of {node.facts.run} {node.facts.name}".encode()).hexdigest()


def find_nodes(options: RunOptions) -> list[tuple[SavedNode, ModelSpec]]:
    """Find the nodes of an output folder, in the order of their runs and of the model, each with its model."""
    group = options.output_dir / "group"
    folders = sorted(group.glob("node-*")) if group.is_dir() else []
    if not folders:
        raise MissingPathError(
            f"--reports-only: {group} has no folder node-<node> with results. Expected the OUTPUT_DIR of an earlier "
            "run."
        )
    records = [read_facts(options.output_dir, folder / "figures" / "report.json") for folder in folders]
    _check_names(options.node, [facts.name for facts, _ in records])
    found = []
    for facts, contrasts in records:
        if options.node and facts.name not in options.node:
            continue
        model = read_model(_existing(options.output_dir / "logs" / facts.run.run / "model.json"))
        names = [node.name for node in model.nodes]
        if facts.name not in names:
            raise DataError(
                f"logs/{facts.run.run}/model.json has no node {facts.name}, whose results are in {group}; expected the "
                "model that made them."
            )
        spec = model.nodes[names.index(facts.name)]
        check_layout(options.output_dir, [facts.name])
        folder = node_folder(spec, facts, options.output_dir)
        folder.written.update(folder.listed)  # they stay what they are: files of the run
        order = (facts.run.run, names.index(facts.name))
        found.append((order, SavedNode(spec, facts, folder, read_mask(folder), contrasts), model))
    return [(node, model) for _, node, model in sorted(found, key=lambda each: each[0])]


def _check_names(wanted: Sequence[str], there: Sequence[str]) -> None:
    for name in wanted:
        if name not in there:
            raise MissingPathError(f'--node: no results of a node "{name}"; there are those of {", ".join(there)}')


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise MissingPathError(
            f"--reports-only: {path} is missing, the model of the run that made the results. Put it back, or run the "
            "analysis again."
        )
    return path


def _report_node(node: SavedNode, options: RunOptions) -> NodeSection:
    """Draw a node again."""
    design = node.facts.design
    domain = VolumeDomain.from_mask(node.mask, node.facts.affine, node.spec.settings.connectivity)
    plans = plan_permutations(node.spec, design, contrast_tests(design), domain, node.facts.run.seed)
    sheet = open_sheet(node.spec, node.facts, node.mask, options, node.folder)
    sections = []
    for contrast, plan in zip(design.contrasts, plans, strict=True):
        with stage(contrast.name):
            sections.append(report_contrast(read_results(node, contrast, plan, domain), sheet))
    return report_node(node.facts, sections, sheet)
