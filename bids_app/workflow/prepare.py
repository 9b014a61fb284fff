"""What precedes the statistics: nodes, designs, maps in their mask, what is permuted, and how much memory there is."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bids_app.console.logs import log_assumption, log_notes
from bids_app.console.terminal import stage
from bids_app.console.text import file_label, listed, nearest, shown
from bids_app.design.design import Design, build_design
from bids_app.errors import DataError, ModelError
from bids_app.inference.cluster_tables import Brain
from bids_app.inputs.load_maps import keep_voxels, load_maps
from bids_app.inputs.map_reader import MaskedMaps
from bids_app.inputs.participants import find_participants
from bids_app.inputs.select_maps import InputMaps
from bids_app.model.specification import ModelSpec, NodeSpec, participant_columns
from bids_app.permutation.plan import Plan, plan_permutations
from bids_app.runtime.limits import usable_memory_mb
from bids_app.runtime.memory import BASE_MEMORY, BYTES_PER_VOXEL, LEAST_MEMORY, Means, Room
from bids_app.runtime.options import RunOptions
from bids_app.spaces.atlases import load_atlases, space_has_atlases
from bids_app.spaces.volume import read_image
from bids_app.statistics.fit import has_error

log = logging.getLogger("bids_app")


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


def choose_nodes(model: ModelSpec, wanted: Sequence[str]) -> tuple[NodeSpec, ...]:
    """Return the Dataset nodes that are wanted by name, or all.

    Raises
    ------
    ModelError
        For a name that no node has, or nodes that cannot have a folder each.
    """
    names = [node.name for node in model.nodes]
    for name in wanted:
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
    return tuple(node for node in model.nodes if not wanted or node.name in wanted)


def lay_out_design(node: NodeSpec, inputs: InputMaps, options: RunOptions) -> Design:
    """Return the design of a node, with the participants' table where the node names a column of it."""
    columns = participant_columns(node.settings)
    if options.participants and not columns:
        log.warning("--participants %s is not used: the node %s names no column of it", options.participants, node.name)
    participants = find_participants(options, inputs.datasets, columns) if columns else None
    return build_design(inputs, node, participants)


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
    maps = _load(node, inputs, design, options)
    log_notes(maps.notes)
    uses_mni, space_note = space_has_atlases(inputs.entities.get("space"), has_position=maps.has_position)
    log_assumption(space_note, is_assumed="space" not in inputs.entities or not uses_mni)
    settings = node.settings
    atlases = load_atlases(settings.report.atlases, maps.grid.shape, maps.affine) if uses_mni else ()
    connectivity = settings.permutation.connectivity if settings.permutation else 26
    brain = Brain.from_mask(maps.mask, maps.affine, connectivity, atlases)
    plans = plan_permutations(node, design, brain.lattice, options.random_seed)
    for plan in plans:
        log_notes(plan.shuffles.notes if plan else ())
    return Study(node, inputs, maps, design, plans, brain, uses_mni, space_note)


def _load(node: NodeSpec, inputs: InputMaps, design: Design, options: RunOptions) -> MaskedMaps:
    """Return the maps in the mask of the voxels that every test has an error for."""
    memory = usable_bytes(options)
    room = Room(memory / 3, _data_folder(options), memory / 2)
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
    return maps


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
    return max(1e6 * (options.mem_mb or usable_memory_mb()) - BASE_MEMORY, LEAST_MEMORY)


def permutation_means(maps: MaskedMaps, options: RunOptions) -> Means:
    """Return how many threads and how much memory the permutation test may use beside data and results."""
    in_memory = 0 if isinstance(maps.values, np.memmap) else maps.values.nbytes
    of_contrast = BYTES_PER_VOXEL * maps.values.shape[1]
    memory = max(usable_bytes(options) - in_memory - of_contrast, LEAST_MEMORY)
    return Means(options.n_jobs, memory, options.scratch, quiet=options.verbosity < 0)
