"""The stages of a run in their order: the model, the maps, the design, the statistics, the report."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime

from threadpoolctl import threadpool_limits

from bids_app.console.logs import log_notes, open_log
from bids_app.console.terminal import stage
from bids_app.console.text import file_label
from bids_app.design.design import Design
from bids_app.errors import printable
from bids_app.inputs.validator import advisory_validation
from bids_app.model.read_model import read_model
from bids_app.model.specification import ModelSpec, NodeSpec
from bids_app.permutation.checkpoints import clear
from bids_app.results.dataset_description import write_dataset
from bids_app.results.folder import NodeFolder, check_layout, check_writable, remove_abandoned, stays_in_container
from bids_app.runtime.cpu_and_memory_limits import how_to_bind, usable_memory_mb
from bids_app.runtime.locks import hold, refuse_if_held
from bids_app.runtime.options import RunOptions
from bids_app.workflow import dry_run
from bids_app.workflow.analyse import analyse_node
from bids_app.workflow.prepare import Study, check_names, choose_nodes, permutation_budget, prepare, select_from
from bids_app.workflow.provenance import (
    describe_run,
    find_datasets,
    identify_analysis,
    log_file,
    log_folder,
    write_run,
)
from bids_app.workflow.settle import Laid, lay_out

log = logging.getLogger("bids_app")


def run(options: RunOptions) -> None:
    """Do the whole analysis that the command line and the model ask for.

    Parameters
    ----------
    options : RunOptions

    Raises
    ------
    GroupLevelError
        Any error that the user can fix. Nothing is written when input or model of the first node are to blame.
    """
    with ExitStack() as stack:
        lines = stack.enter_context(open_log(options.verbosity))
        if options.reports_only:
            _report_again(options, lines)
            return
        model = read_model(options.model)
        log_notes(model.notes)
        nodes = _check(model, options)
        with stage("Input and design") as say:
            model, laid = lay_out(model, nodes, select_from(options), options)
            check_names([node.name for node, _, _ in laid])
            check_layout(options.output_dir, [node.name for node, _, _ in laid])
            say(_layout_words([design for _, _, design in laid]))
        # BLAS on one thread: how it shares out a product, and so how it rounds, may depend on the number of threads
        stack.enter_context(threadpool_limits(1, user_api="blas"))
        if options.dry_run:
            for node, inputs, design in laid:
                _preview(prepare(node, inputs, design, options), options)
        else:
            _analyse(options, model, laid, lines)


def _check(model: ModelSpec, options: RunOptions) -> tuple[NodeSpec, ...]:
    """Return the nodes to run, after everything that would stop them at the end has been looked at."""
    check_writable(options.output_dir)
    nodes = choose_nodes(model, options.node)
    check_layout(options.output_dir, [node.name for node in nodes])
    if stays_in_container(options.output_dir):
        log.warning("OUTPUT_DIR is lost with the container.%s", how_to_bind(options.output_dir, mode=""))
    if not (options.skip_bids_validation or options.maps):  # a table needs no valid dataset
        log_notes(f"input, advisory: {line}" for line in advisory_validation(options.bids_dir))
    return nodes


def _analyse(options: RunOptions, model: ModelSpec, laid: Sequence[Laid], lines: Sequence[str]) -> None:
    """Run the nodes one after the other, then make the report of all."""
    started = datetime.now(UTC)
    run_folder = log_folder(options.output_dir, started)
    datasets = find_datasets([(node, inputs) for node, inputs, _ in laid])
    facts = describe_run(options, model, datasets, started)
    with log_file(run_folder, lines), ExitStack() as held:
        for node, inputs, design in laid:
            folder = NodeFolder(options.output_dir, node.name, inputs.entities).path
            analysis = identify_analysis(model, node, inputs, design, options)
            refuse_if_held(folder, analysis)  # which is said before the maps are read
            study = prepare(node, inputs, design, options)
            held.enter_context(hold(folder, analysis))  # until the page is written, which has the pictures of all
            write_run(run_folder, options, model)
            analyse_node(study, facts, analysis, options)
            del study  # or its maps would stay in memory beside the next node's
        write_dataset(options.output_dir, tuple(datasets.values()), facts.versions)
        names = [node.name for node, _, _ in laid]
        _make_report(options, names)
        clear(options.scratch, [file_label(name) for name in names])
        remove_abandoned(options.output_dir)


def _report_again(options: RunOptions, lines: Sequence[str]) -> None:
    """Make the report again, and leave word of it in the logs."""
    started = datetime.now(UTC)
    check_writable(options.output_dir)
    check_layout(options.output_dir, ())
    model = _make_report(options, options.node, started)
    remove_abandoned(options.output_dir)
    run_folder = log_folder(options.output_dir, started)
    write_run(run_folder, options, model)
    with log_file(run_folder, lines):
        pass


def _make_report(options: RunOptions, names: Sequence[str], again: datetime | None = None) -> ModelSpec:
    """Make the report of nodes; returns the model of the latest run among them."""
    # what draws is loaded now, and not where somebody waits for a dry run or a message about the input
    from bids_app.workflow.make_report import make_report

    limits = (options.n_jobs, 1e6 * (options.mem_mb or usable_memory_mb()))
    return make_report(options.output_dir, names, limits, again)


def _preview(study: Study, options: RunOptions) -> None:
    """Show what would be done with a node, at what cost."""
    node, inputs, maps = study.node, study.inputs, study.maps
    sys.stdout.write(printable(dry_run.describe(node, inputs, maps, study.design, study.tests, study.plans)))
    sys.stdout.write(dry_run.cost(maps, study.tests, study.plans, permutation_budget(maps, options)))
    folder = NodeFolder(options.output_dir, node.name, inputs.entities)
    sys.stdout.write(printable(dry_run.replacement(folder)))


def _layout_words(designs: Sequence[Design]) -> str:
    """Return how many maps of how many subjects there are."""
    return "; ".join(
        f"{len(design.subjects) * len(design.cells)} maps, {len(design.subjects)} subjects x {len(design.cells)} "
        f"condition{'s' if len(design.cells) > 1 else ''}"
        for design in designs
    )
