"""Parcels in place of voxels: an atlas on the grid of the maps, and every map's means over its regions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from bids_app.console.text import duplicates, listed
from bids_app.errors import DataError, Warned
from bids_app.inputs.load_maps import keep_voxels
from bids_app.inputs.map_reader import MaskedMaps
from bids_app.inputs.tsv import read_tsv
from bids_app.model.map_settings import ParcelSettings
from bids_app.spaces.atlas_images import load_atlas_image
from bids_app.spaces.atlases import Atlas, load_atlases, space_has_atlases
from bids_app.spaces.frame import VolumeFrame
from bids_app.spaces.parcel_maps import ParcelFrame, ParcelRegions
from bids_app.spaces.parcel_means import LEAST_PERCENT, average_by_label, regions_of
from bids_app.spaces.parcels import Parcels

MAX_NAMES = 12  # of a list in a note
COLUMNS = ("index", "name")  # of a table of regions, as BIDS has it


def average_over_parcels(maps: MaskedMaps, asked: ParcelSettings, space: str | None) -> MaskedMaps:
    """Return the means of maps over the regions of an atlas, in place of their voxels.

    Parameters
    ----------
    maps : volumes inside their mask
    asked : the atlas
    space : that the maps are in

    Returns
    -------
    MaskedMaps
        Of parcels; those without a voxel are outside the mask.

    Raises
    ------
    DataError
        For maps that are no volumes or not in the space of the atlas, an atlas that cannot be read, and where no region
        has a voxel.
    """
    frame = maps.frame
    assert isinstance(frame, VolumeFrame)  # the others have been refused when they were found
    maps = keep_voxels(maps, ~np.all(maps.values == maps.values.dtype.type(-maps.before.against), axis=0),
                       "every map is zero there, as outside the brain")  # fmt: skip
    atlas, notes = _atlas(maps, frame, asked, space)
    labels, names = regions_of(atlas)
    if twice := duplicates(names.values()):
        raise DataError(f"Parcels: several regions of {asked.words} are called {listed(twice, MAX_NAMES)}.")
    in_mask = np.where(frame.mask(maps.inside), labels, -1)
    means = average_by_label(maps.values, labels.ravel()[maps.inside], names)
    whole = np.array([int((labels == number).sum()) for number in names])
    has_voxels = means.n_voxels > 0
    if not has_voxels.any():
        raise DataError(
            f"Parcels: no region of {asked.words} has a voxel in the analysis mask. Are atlas and maps in one space?"
        )
    shift = 1 if 0 in names else 0  # the labels that are written have 0 for no region
    regions = ParcelRegions(
        atlas=atlas.name,
        grid=frame.grid,
        labels=np.where(in_mask >= 0, in_mask + shift, 0).astype(np.int32),
        numbers=tuple(number + shift for number in names),
        n_voxels=means.n_voxels,
        n_missing=whole - means.n_voxels,
    )
    return replace(
        maps,
        values=means.values[:, has_voxels],
        frame=ParcelFrame(Parcels(means.names), regions),
        inside=has_voxels,
        n_lost=dict.fromkeys(maps.n_lost, 0),  # every parcel has the same voxels in all maps
        coverage=None,
        notes=(*maps.notes, *notes, *_notes(regions, means.names, asked, n_mask=int(maps.inside.sum()))),
    )


def with_absent_named(maps: MaskedMaps) -> MaskedMaps:
    """Return maps of parcels with a note that names those that are not analysed; others as they are."""
    if not isinstance(maps.frame, ParcelFrame) or maps.inside.all():
        return maps
    regions = maps.frame.regions
    there = np.ones_like(maps.inside) if regions is None else regions.n_voxels > 0  # the others have been named
    names = [maps.frame.parcels.names[row] for row in np.flatnonzero(there & ~maps.inside)]
    if not names:
        return maps
    note = f"{len(names)} of {len(maps.inside)} parcels are not analysed: {listed(names, MAX_NAMES)}"
    return replace(maps, notes=(*maps.notes, note))


def _atlas(maps: MaskedMaps, frame: VolumeFrame, asked: ParcelSettings, space: str | None) -> tuple[Atlas, list[str]]:
    """Return the atlas on the grid of the maps, and notes."""
    if asked.atlas is not None:
        fits, sentence = space_has_atlases(space, has_position=maps.has_position)
        if not fits:
            raise DataError(
                f"Parcels: the atlas {asked.atlas} is in MNI space. {sentence}\nGive an atlas in the space of the "
                'maps: "Parcels": {"Image": "atlas.nii.gz", "Labels": "atlas.tsv"}.'
            )
        assumed = f"the maps state no space: MNI is assumed, that of the atlas {asked.atlas}"
        notes = [] if space else [Warned(f"{assumed}. If that is wrong, declare their space with --space")]
        return load_atlases([asked.atlas], frame.grid.shape, frame.grid.affine)[0], list[str](notes)
    assert asked.image is not None  # of one of them
    names = _names(Path(asked.labels)) if asked.labels else None
    atlas = load_atlas_image(Path(asked.image), names, frame.grid, has_position=maps.has_position)
    nameless = sorted({*np.unique(atlas.values).tolist()} - {0, *atlas.labels})
    if not nameless:
        return atlas, []
    numbers = listed([str(number) for number in nameless], MAX_NAMES)
    note = f"{asked.words}: the labels {numbers} have no name in the table, and their voxels are in no parcel"
    return atlas, [Warned(note)]


def _names(path: Path) -> Mapping[int, str]:
    """Return number -> name of the regions in a table, in its order, without the background, 0."""
    table = read_tsv(path, COLUMNS, option="Parcels.Labels")
    found: dict[int, str] = {}
    for line, cells in table.rows.items():
        row = table.columns(cells)
        number, name = row["index"], row["name"]
        if not number.isdecimal() or not name:
            raise DataError(f"{path}, line {line}: found the index {number!r} and the name {name!r}; expected a whole "
                            "number and a name.")  # fmt: skip
        if int(number) in found:
            raise DataError(f"{path}, line {line}: the index {number} is there twice; expected a row for each region.")
        found[int(number)] = name
    found.pop(0, None)
    if not found:
        raise DataError(f"{path}: names no region.")
    return found


def _notes(regions: ParcelRegions, names: tuple[str, ...], asked: ParcelSettings, *, n_mask: int) -> list[str]:
    """Return what was averaged, and what has no part in it."""
    empty = [name for name, n in zip(names, regions.n_voxels, strict=True) if n == 0]
    fewest, most = regions.n_voxels[regions.n_voxels > 0].min(), regions.n_voxels.max()
    n_used = int(regions.n_voxels.sum())
    least = f", a voxel belonging to its most probable region, from {LEAST_PERCENT} % on"
    kind = least if asked.atlas == "harvard_oxford" else ""
    notes = [
        f"every map was averaged over the regions of {asked.words}{kind}: {len(names) - len(empty)} parcels of "
        f"{fewest:,} to {most:,} voxels; {n_mask - n_used:,} of {n_mask:,} voxels of the mask are in no region"
    ]
    if empty:
        notes.append(Warned(f"{len(empty)} regions of {asked.words} have no voxel in the mask and are not analysed: "
                            f"{listed(empty, MAX_NAMES)}"))  # fmt: skip
    part = [
        f"{name} {n:,} of {n + lost:,}"
        for name, n, lost in zip(names, regions.n_voxels, regions.n_missing, strict=True)
        if n and lost > n
    ]
    if part:
        notes.append(Warned(f"{len(part)} parcels have less than half of their region's voxels in the mask: "
                            f"{listed(part, MAX_NAMES)}"))  # fmt: skip
    return notes
