"""Loading of a node's maps: the analysis mask, and the values of its voxels in all maps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_app.arrays import Booleans, Stack
from bids_app.console.text import listed
from bids_app.errors import DataError, Warned
from bids_app.inputs.choose_and_order_maps import InputMaps
from bids_app.inputs.map_notes import (
    FEW,
    MAX_NAMES,
    nothing_left,
    on_empty,
    on_few_missing,
    on_files,
    on_too_few,
    on_values,
    on_zeros,
    warned_if,
)
from bids_app.inputs.map_reader import (
    Bits,
    MapReader,
    MapRow,
    MaskedMaps,
    Place,
    checksums,
    count_rounded,
    places,
    unpack_bits,
)
from bids_app.runtime.execution import Threads
from bids_app.runtime.memory import MapStorage
from bids_app.spaces.image_pairs import image_parts
from bids_app.spaces.volume import Grid, Image, VolumeData, read_volume, unmask

MASK_ROUNDING = 1e-3  # deviations from 0 and 1 that interpolation and scaling leave in a mask


def load_maps(
    maps: InputMaps,
    mask_paths: Sequence[Path],
    n_jobs: int = 1,
    room: MapStorage | None = None,
    *,
    coverage: float = 1.0,
) -> MaskedMaps:
    """Read the maps of a node and return the values of the voxels of the analysis mask.

    Parameters
    ----------
    maps : InputMaps
    mask_paths : masks to intersect; without any, the mask consists of the voxels that every map has
    n_jobs : reading threads
    room : where the values are held; None: in memory
    coverage : smallest share of the subjects who must have a voxel in all their maps for it to be in the mask; where a
        map lacks the voxel, its value is NaN

    Raises
    ------
    DataError
        For an unreadable file, a grid other than that of the first map, one file for two maps, a mask file that is not
        a mask, a background that is not zero, or an empty mask.

    Notes
    -----
    A voxel is missing in a map where it is not finite or, unless masks are given, exactly zero; it is excluded from the
    mask if any map lacks it. Without a mask it counts as lost to a subject if any other map has it. With full coverage,
    voxels that the first map lacks are never kept; with coverage below 1 the maps are read twice.
    """
    _check_paths_differ(maps.table)
    room = room or MapStorage()
    placed = places(maps.table)
    path, number = placed[0][0]
    first = read_volume(path, room.of_one_map, number)
    given, notes = _intersect(mask_paths, first.grid, room)
    names = tuple(path.name for path in mask_paths)
    reader = MapReader(maps.table, placed, first, given, names, notes, room, {}, set())
    load = partial(_load_covered, coverage=coverage) if coverage < 1 else _load_complete
    loaded = load(reader, n_jobs, np.float32)
    precision: tuple[str, ...] = ()
    if reader.rounded and (n_rounded := count_rounded(loaded.values)):
        loaded = load(reader, n_jobs, np.float64)
        precision = (
            f"the maps are held in double precision, because in {n_rounded} voxels their values are large and differ "
            "too little for single precision",
        )
    return replace(loaded, notes=(*loaded.notes, *precision, *on_files(reader), *on_values(loaded, reader)))


def _load_complete(reader: MapReader, n_jobs: int, dtype: type[np.floating]) -> MaskedMaps:
    """Return the maps in the voxels that all of them have."""
    inside = np.flatnonzero(reader.given & reader.has(reader.first.data))
    values = reader.room.array((len(reader.places), inside.size), dtype)

    def fill(row: int) -> MapRow:
        """Store the mean of the files of a row."""
        total = np.zeros(inside.size)

        def add(volume: VolumeData) -> None:
            np.add(total, volume.data.ravel()[inside], out=total)

        surveyed = reader.survey(row, add)
        reader.keep(total / len(reader.places[row]), values, row)
        return surveyed

    rows = list(Threads(n_jobs).map_ordered(partial(fill, row) for row in range(len(reader.places))))
    shape = reader.given.shape
    of_subject = _by_subject(reader.subjects, [row.present for row in rows])
    mask = unpack_bits(np.bitwise_and.reduce([row.present for row in rows]), shape)
    start = reader.given if reader.masks else unpack_bits(np.bitwise_or.reduce([row.present for row in rows]), shape)
    lost = _lost(start, of_subject)
    if not mask.any():
        raise DataError(nothing_left(int(start.sum()), lost, "every map", reader))
    source = ", ".join(reader.masks) or "voxels finite and non-zero in every map"
    notes = [f"analysis mask: {int(mask.sum())} voxels ({source})"]
    if n_lost := int(start.sum()) - int(mask.sum()):
        named = ", ".join(f"sub-{subject} {n}" for subject, n in lost.items() if n)
        much = bool(reader.masks) and n_lost > FEW * int(start.sum())  # without one, most of it is background
        notes.append(warned_if(much, f"{n_lost} voxels left the mask because a map lacks them; by subject: {named}"))
    missing = () if reader.masks else on_few_missing(rows, start, mask, "left the mask")
    return MaskedMaps(
        values=reader.room.columns(values, mask.ravel()[inside]),
        mask=mask,
        affine=reader.first.grid.affine,
        checksums=checksums(reader),
        n_lost=lost,
        notes=(*notes, *reader.notes, *missing, *on_zeros(reader, rows, mask)),
        coverage=_coverage(start, of_subject.values()),
        has_position=all(file.has_position for file in reader.files.values()),
    )


def _load_covered(reader: MapReader, n_jobs: int, dtype: type[np.floating], coverage: float) -> MaskedMaps:
    """Return the maps in the voxels that enough subjects have, reading them first for the mask, then for the values."""
    n_maps, shape = len(reader.places), reader.given.shape
    rows = list(Threads(n_jobs).map_ordered(partial(reader.survey, row) for row in range(n_maps)))
    of_subject = _by_subject(reader.subjects, [row.present for row in rows])
    count = np.zeros(shape, np.int32)
    for bits in of_subject.values():
        count += unpack_bits(bits, shape)
    start = reader.given if reader.masks else count > 0
    n_least = max(2, math.ceil(coverage * len(of_subject) - 1e-9))
    mask = start & (count >= n_least)
    lost = _lost(start, of_subject)
    if not mask.any():
        where = f"the maps of at least {n_least} of {len(of_subject)} subjects (VoxelCoverage {coverage:g})"
        raise DataError(nothing_left(int(start.sum()), lost, where, reader))
    values = reader.room.array((n_maps, int(mask.sum())), dtype)

    def fill(row: int) -> None:
        present = unpack_bits(rows[row].present, shape)[mask]
        volumes = (read_volume(path, reader.room.of_one_map, number) for path, number in reader.places[row])
        total = sum(np.where(present, volume.data[mask], np.nan).astype(np.float64) for volume in volumes)
        reader.keep(np.asarray(total / len(reader.places[row])), values, row)

    for _ in Threads(n_jobs).map_ordered(partial(fill, row) for row in range(n_maps)):
        pass  # each fills its own row
    n_partial = int((count[mask] < len(of_subject)).sum())
    masked = f"{', '.join(reader.masks)}, " if reader.masks else ""
    note = (
        f"analysis mask: {int(mask.sum())} voxels that at least {n_least} of {len(of_subject)} subjects have "
        f"({masked}VoxelCoverage {coverage:g}); in {n_partial} of them some subjects have no data, and the others are "
        "tested, with fewer degrees of freedom (stat-dof)"
    )
    notes = [note, *on_too_few(reader, start, mask, n_least)]
    empty = [subject for subject, bits in of_subject.items() if not (unpack_bits(bits, shape) & mask).any()]
    filled = [row for row, subject in zip(rows, reader.subjects, strict=True) if subject not in empty]
    complete = mask & (count == len(of_subject) - len(empty))
    missing = () if reader.masks else on_few_missing(filled, start, complete, "are not tested in all subjects")
    return MaskedMaps(
        values=values,
        mask=mask,
        affine=reader.first.grid.affine,
        checksums=checksums(reader),
        n_lost=lost,
        notes=(*notes, *reader.notes, *on_empty(empty), *missing, *on_zeros(reader, rows, mask)),
        coverage=_coverage(start, of_subject.values()),
        has_position=all(file.has_position for file in reader.files.values()),
    )


def keep_voxels(maps: MaskedMaps, keep: Booleans, reason: str, room: MapStorage | None = None) -> MaskedMaps:
    """Return the maps without some voxels; `keep` is (n_voxels,), `reason` completes "N voxels left the mask: ..."."""
    if keep.all():
        return maps
    if not keep.any():
        raise DataError(
            f"No voxel remains in the analysis mask: {reason}. Check that every condition of every subject has "
            "its own map."
        )
    mask = maps.mask.copy()
    mask[maps.mask] = keep
    n_gone = int((~keep).sum())
    note = warned_if(n_gone > FEW * keep.size, f"{n_gone} voxels left the mask: {reason}")
    values = (room or MapStorage()).columns(maps.values, keep)
    return replace(maps, values=values, mask=mask, notes=(*maps.notes, note))


def as_image(values: NDArray[np.floating], maps: MaskedMaps) -> Image:
    """Return an image in memory of (n_voxels,) values, in single precision, 0 outside the mask."""
    return nib.Nifti1Image(unmask(values.astype(np.float32), maps.mask), maps.affine)


def _intersect(mask_paths: Sequence[Path], grid: Grid, room: MapStorage) -> tuple[Booleans, tuple[str, ...]]:
    """Return the intersection of the given masks on the grid of the maps, and notes; without any, the whole grid."""
    mask = np.ones(grid.shape, np.bool_)
    notes: list[str] = []
    for path in mask_paths:
        volume = read_volume(path, room.of_one_map)
        if not volume.grid.same_as(grid):
            raise DataError(
                f"The mask {path} is not on the grid of the maps.\n  mask: {volume.grid}\n  maps: {grid}\n"
                "Masks are not resampled here: give a mask on the grid of the maps."
            )
        mask &= _inside(path, volume.data)
        if n_nan := int(np.isnan(volume.data).sum()):
            notes.append(Warned(f"the mask {path.name} is NaN in {n_nan} voxels, which are treated as outside"))
    if not mask.any():
        raise DataError(
            f"The analysis mask is empty: {', '.join(map(str, mask_paths))} have no voxel above zero in common."
        )
    return mask, tuple(notes)


def _inside(path: Path, data: Stack) -> Booleans:
    """Return the inside of a mask, which must hold zero and one value above it, as nilearn requires too.

    A probability map or an atlas is not a mask: it does not say where to cut it, or which region is meant.
    """
    values = data[~np.isnan(data)].astype(np.float64)
    top = float(values.max(initial=0))
    if math.isfinite(top) and np.all(np.minimum(np.abs(values), np.abs(values - top)) <= MASK_ROUNDING * top):
        return np.asarray(data > top / 2)
    distinct = np.unique(values)
    raise DataError(
        f"The mask {path} is not a mask: it holds {distinct.size} different values from {distinct[0]:g} to "
        f"{distinct[-1]:g}; expected 0 outside and one value above it inside. A probability map needs a threshold, and "
        "an atlas a choice of regions: make a mask first (for example: fslmaths IN -thr 0.5 -bin OUT)."
    )


def _check_paths_differ(table: pd.DataFrame) -> None:
    """Raise DataError if one file is used for two maps, by which a subject would count twice or a difference vanish.

    Volumes of a file are maps of their own; a pair is one file, by the name of either half.
    """
    owners: dict[Place, list[str]] = {}
    for subject, condition, row in zip(table["subject"], table["condition"], places(table), strict=True):
        for path, number in row:
            owners.setdefault((image_parts(path.absolute())[0], number), []).append(f"sub-{subject} {condition}")
    shared = [
        f"{path}{'' if number is None else f', volume {number}'}: {listed(names, MAX_NAMES)}"
        for (path, number), names in owners.items()
        if len(names) > 1
    ]
    if shared:
        raise DataError(
            f"Files used for more than one map ({len(shared)}):\n{listed(shared, MAX_NAMES, chr(10))}\n"
            "Every condition of every subject needs its own map: correct which file belongs to which."
        )


def _by_subject(subjects: Sequence[str], present: Sequence[Bits]) -> dict[str, Bits]:
    """Return the voxels that all maps of a subject have, as bits."""
    of_subject: dict[str, Bits] = {}
    for subject, bits in zip(subjects, present, strict=True):
        of_subject[subject] = of_subject[subject] & bits if subject in of_subject else bits
    return of_subject


def _coverage(start: Booleans, of_subject: Iterable[Bits]) -> NDArray[np.uint16]:
    """Return the number of subjects who have each voxel of the starting mask."""
    counts = np.zeros(start.shape, np.uint16)
    for bits in of_subject:
        counts += unpack_bits(bits, start.shape)
    return np.where(start, counts, np.uint16(0))


def _lost(start: Booleans, of_subject: Mapping[str, Bits]) -> dict[str, int]:
    """Return the number of voxels of the starting mask that each subject lacks."""
    return {subject: int((start & ~unpack_bits(bits, start.shape)).sum()) for subject, bits in of_subject.items()}
