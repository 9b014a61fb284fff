"""What precedes the statistics: nodes, designs, maps in their mask, what is permuted, and how much memory there is."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bids_app.console.logs import log_assumption, log_notes
from bids_app.console.terminal import stage
from bids_app.console.text import file_label, listed, shown, suggestion
from bids_app.design.contrast_test import ContrastTest
from bids_app.design.design import Design
from bids_app.errors import DataError, ModelError
from bids_app.inference.random_field import check_random_fields
from bids_app.inputs.analysis_mask import MaskChoice
from bids_app.inputs.choose_and_order_maps import InputMaps
from bids_app.inputs.load_maps import keep_voxels, load_maps
from bids_app.inputs.map_reader import BeforeModel, MaskedMaps
from bids_app.inputs.selection import Selection
from bids_app.model.lenient_forms import TOOL
from bids_app.model.settings import GroupLevelSettings
from bids_app.model.specification import ModelSpec, NodeSpec
from bids_app.permutation.plan import Plan, plan_permutations
from bids_app.results.write import is_mni152
from bids_app.runtime.memory import ResourceBudget, map_storage, memory_for_data, memory_for_permutations
from bids_app.runtime.options import RunOptions
from bids_app.spaces.atlases import Atlas, load_atlases
from bids_app.spaces.domain import SpatialDomain
from bids_app.spaces.grayordinate_frame import GrayordinateFrame
from bids_app.spaces.surface import SurfaceFrame
from bids_app.spaces.volume import read_image
from bids_app.statistics.fit import has_error
from bids_app.statistics.kinds import contrast_tests
from bids_app.workflow.meshes import atlas_grid, known_places, with_meshes
from bids_app.workflow.parcels import average_over_parcels, with_absent_named

log = logging.getLogger("bids_app")


@dataclass(frozen=True, slots=True)
class Study:
    """One node with its data: all that the statistics need."""

    node: NodeSpec
    inputs: InputMaps
    maps: MaskedMaps
    design: Design
    tests: tuple[ContrastTest, ...]
    """Of all contrasts of the design."""
    plans: tuple[Plan | None, ...]
    """What is shuffled and maximised for each contrast; None where no permutation is asked for."""
    domain: SpatialDomain
    """Where the elements of the maps are, and which of them are neighbours."""
    atlases: tuple[Atlas, ...]
    """Empty where labels are withheld."""
    uses_mni: bool
    """Whether labels and MNI background are used."""
    space_note: str


def choose_nodes(model: ModelSpec, wanted: Sequence[str]) -> tuple[NodeSpec, ...]:
    """Return the Dataset nodes that are wanted by name, or all.

    Raises
    ------
    ModelError
        For a name that no node has, or nodes that cannot have a folder each.
    """
    names = [node.name for node in model.nodes]
    split = tuple(f"{node.name}." for node in model.nodes if node.split_by)
    for name in wanted:
        if name not in names and not name.startswith(split):
            raise ModelError(f'--node: the model has no Dataset node "{name}"{suggestion(name, names)}')
    check_names(names)

    def is_wanted(node: NodeSpec) -> bool:
        parts = (f"{node.name}.",) if node.split_by else ()
        return not wanted or any(name == node.name or name.startswith(parts) for name in wanted)

    return tuple(node for node in model.nodes if is_wanted(node))


def check_names(names: Sequence[str]) -> None:
    """Raise ModelError for nodes that cannot have a folder each."""
    labels = {file_label(name).lower(): name for name in names}
    if "" in labels:
        raise ModelError(
            f'the node "{labels[""]}" has no letter or digit (a to z, 0 to 9) to name its folder by; rename it'
        )
    if len(labels) < len(names):
        twins = [name for name in names if labels[file_label(name).lower()] != name]
        both = [labels[file_label(twins[0]).lower()], twins[0]] if twins else names
        raise ModelError(
            f"{' and '.join(map(shown, both))} would share a folder, whose name holds letters and digits only; rename "
            "a node, or a label that GroupBy takes from participants.tsv"
        )


def select_from(options: RunOptions) -> Selection:
    """Return what the options say about where the maps are and which of them are wanted."""
    return Selection(
        bids_dir=options.bids_dir,
        derivatives=options.derivatives,
        maps_table=options.maps,
        maps_content=options.maps_content,
        subjects=options.participant_label,
        sessions=options.session_label,
        tasks=options.task_id,
        space=options.space,
        filter_file=options.bids_filter_file,
        has_mask=options.mask is not None,
    )


def prepare(node: NodeSpec, inputs: InputMaps, design: Design, options: RunOptions) -> Study:
    """Load the maps of a node and lay out all that is decided before the statistics.

    Parameters
    ----------
    node, inputs, design : of the node
    options : mask, memory, threads and seed

    Raises
    ------
    DataError
        For maps that cannot be read or do not share a grid, or an empty mask.
    ModelError
        Where a contrast cannot be permuted as the model asks.
    """
    inputs = _without_unreadable(inputs)
    log_notes((*inputs.notes, *design.notes))
    tests = contrast_tests(design)
    where = f"{node.where}.Model.Software.{TOOL}"
    check_random_fields(where, node.settings, tests, "parcels" if node.settings.parcels else inputs.kind)
    maps = _load(node, inputs, tests, options)
    log_notes(maps.notes)
    uses_mni, space_note = known_places(maps, inputs.entities.get("space"))
    log_assumption(space_note, is_assumed="space" not in inputs.entities or not uses_mni)
    settings = node.settings
    grid = atlas_grid(maps.frame)
    # parcels have names of their own
    has_labels = uses_mni and maps.frame.element != "parcel"
    atlases = load_atlases(settings.report.atlases, grid.shape, grid.affine) if has_labels else ()
    if isinstance(maps.frame, SurfaceFrame | GrayordinateFrame) and maps.frame.labels:
        atlases = (maps.frame.labels.as_atlas(maps.inside), *atlases)
    in_mni152 = is_mni152(inputs.entities, has_position=maps.has_position)
    domain = maps.frame.domain(maps.inside, settings.connectivity, is_mni=in_mni152)
    plans = plan_permutations(node, design, tests, domain, options.random_seed)
    for plan in plans:
        log_notes(plan.shuffles.notes if plan else ())
    return Study(node, inputs, maps, design, tests, plans, domain, atlases, uses_mni, space_note)


def _load(node: NodeSpec, inputs: InputMaps, tests: Sequence[ContrastTest], options: RunOptions) -> MaskedMaps:
    """Return the maps in the mask of the voxels that every test has an error for."""
    room = map_storage(usable_bytes(options), _data_folder(options))
    masks = (options.mask,) if options.mask else inputs.masks
    with stage("Maps") as say:
        maps = load_maps(
            inputs,
            masks,
            options.n_jobs,
            room,
            coverage=node.settings.voxel_coverage,
            mask_choice=MaskChoice(options.mask_threshold, options.mask_label, options.resample_mask),
            before=_before_model(node.settings),
        )
        if asked := node.settings.parcels:
            maps = average_over_parcels(maps, asked, inputs.entities.get("space"))
        maps = keep_voxels(
            maps,
            has_error(maps.values, tests),
            "there, some contrast does not vary over subjects at all, or too few of them have the voxel, so that no t "
            "or F exists",
            room,
        )
        space = inputs.entities.get("space")
        maps = with_absent_named(with_meshes(maps, space, options.surface, options.surface_labels))
        say(f"{maps.values.shape[1]:,} {maps.frame.plural} in the mask")
    return maps


def _before_model(settings: GroupLevelSettings) -> BeforeModel:
    """Return what the settings ask to be done to every map."""
    return BeforeModel(settings.against or 0.0, settings.smoothing.fwhm if settings.smoothing else 0.0)


def _without_unreadable(inputs: InputMaps) -> InputMaps:
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


def _data_folder(options: RunOptions) -> Path | None:
    """Return in which folder a file without a name may hold the data; a dry run makes no folder, and leaves no file."""
    if not options.dry_run:
        return options.scratch
    there = next(folder for folder in (options.scratch, *options.scratch.absolute().parents) if folder.is_dir())
    return there if os.access(there, os.W_OK | os.X_OK) else None


def usable_bytes(options: RunOptions) -> float:
    """Return the bytes that data and computations may take."""
    return memory_for_data(options.mem_mb)


def permutation_budget(maps: MaskedMaps, options: RunOptions) -> ResourceBudget:
    """Return how many threads and how much memory the permutation test may use beside data and results."""
    memory = memory_for_permutations(usable_bytes(options), maps.values)
    return ResourceBudget(options.n_jobs, memory, options.scratch, quiet=options.verbosity < 0)
