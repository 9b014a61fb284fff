"""Voxels in and out of memory: grid check, mask, stack, unmask."""

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
from bids_app.errors import DataError, Warned
from bids_app.inputs import doubts
from bids_app.inputs.map_notes import (
    FEW,
    nothing_left,
    on_empty,
    on_few_missing,
    on_files,
    on_too_few,
    on_values,
    on_zeros,
    warned_if,
)
from bids_app.inputs.map_reader import Bits, MapReader, MapRow, MaskedMaps, checksums, count_rounded, unpack_bits
from bids_app.inputs.select_maps import InputMaps
from bids_app.runtime.execution import Threads
from bids_app.runtime.memory import MapStorage
from bids_app.spaces.volume import Grid, Image, VolumeData, read_volume, unmask

MASK_ROUNDING = 1e-3  # what interpolation and scaling leave of 0 and 1 in a mask


def load_maps(
    maps: InputMaps,
    mask_paths: Sequence[Path],
    n_jobs: int = 1,
    room: MapStorage | None = None,
    *,
    coverage: float = 1.0,
) -> MaskedMaps:
    """Read every map once, compare the grids, and stack the voxels of the analysis mask.

    Parameters
    ----------
    maps : InputMaps
    mask_paths : masks to intersect; where there are none, the mask is the voxels that every map has
    n_jobs : threads that read
    room : where the values are held; None: in memory
    coverage : least share of the subjects that a voxel of the mask needs, with all maps that they have; where a subject
        has a map without the voxel, the value is NaN

    Raises
    ------
    DataError
        For an unreadable file, another grid than that of the first map, one file for two maps, a mask that is none, a
        background that is not zero, or an empty mask.

    Notes
    -----
    A voxel counts as missing in a map where it is not finite or, unless masks are given, exactly zero, and leaves the
    mask when any map misses it. Without a mask it is lost to a subject if any other map has it. Values of voxels that
    the first map misses cannot be needed and are never kept; but for a coverage below 1, where the maps are read twice.
    """
    _check_paths_differ(maps.table)
    room = room or MapStorage()
    first = read_volume(maps.table["paths"].iloc[0][0], room.of_one_map)
    given, notes = _intersect(mask_paths, first.grid, room)
    reader = MapReader(maps.table, first, given, tuple(path.name for path in mask_paths), notes, room, {}, set())
    load = partial(_load_covered, coverage=coverage) if coverage < 1 else _load_complete
    loaded = load(reader, n_jobs, np.float32)
    precision: tuple[str, ...] = ()
    if reader.rounded and (n_rounded := count_rounded(loaded.values)):
        loaded = load(reader, n_jobs, np.float64)
        precision = (
            f"the maps are held in double precision: single precision would round what varies between them in "
            f"{n_rounded} voxels, whose values are large and differ little",
        )
    return replace(loaded, notes=(*loaded.notes, *precision, *on_files(reader), *on_values(loaded, reader)))


def _load_complete(reader: MapReader, n_jobs: int, dtype: type[np.floating]) -> MaskedMaps:
    """Keep the voxels that all maps have."""
    inside = np.flatnonzero(reader.given & reader.has(reader.first.data))
    values = reader.room.array((len(reader.paths), inside.size), dtype)

    def fill(row: int) -> MapRow:
        """Average the files of a row into place."""
        total = np.zeros(inside.size)

        def add(volume: VolumeData) -> None:
            np.add(total, volume.data.ravel()[inside], out=total)

        found = reader.survey(row, add)
        reader.keep(total / len(reader.paths[row]), values, row)
        return found

    rows = list(Threads(n_jobs).map_ordered(partial(fill, row) for row in range(len(reader.paths))))
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
        notes.append(warned_if(much, f"{n_lost} voxels left the mask because a map misses them; by subject: {named}"))
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
    """Read the maps once for the mask of the voxels that enough subjects have, and once for their values there."""
    paths, shape = reader.paths, reader.given.shape
    rows = list(Threads(n_jobs).map_ordered(partial(reader.survey, row) for row in range(len(paths))))
    of_subject = _by_subject(reader.subjects, [row.present for row in rows])
    count = np.zeros(shape, np.int32)
    for own in of_subject.values():
        count += unpack_bits(own, shape)
    start = reader.given if reader.masks else count > 0
    n_least = max(2, math.ceil(coverage * len(of_subject) - 1e-9))
    mask = start & (count >= n_least)
    lost = _lost(start, of_subject)
    if not mask.any():
        where = f"the maps of at least {n_least} of {len(of_subject)} subjects (VoxelCoverage {coverage:g})"
        raise DataError(nothing_left(int(start.sum()), lost, where, reader))
    values = reader.room.array((len(paths), int(mask.sum())), dtype)

    def fill(row: int) -> None:
        there = unpack_bits(rows[row].present, shape)[mask]
        volumes = (read_volume(path, reader.room.of_one_map) for path in paths[row])
        total = sum(np.where(there, volume.data[mask], np.nan).astype(np.float64) for volume in volumes)
        reader.keep(np.asarray(total / len(paths[row])), values, row)

    for _ in Threads(n_jobs).map_ordered(partial(fill, row) for row in range(len(paths))):
        pass  # each fills its own row
    n_partial = int((count[mask] < len(of_subject)).sum())
    masked = f"{', '.join(reader.masks)}, " if reader.masks else ""
    note = (
        f"analysis mask: {int(mask.sum())} voxels that at least {n_least} of {len(of_subject)} subjects have "
        f"({masked}VoxelCoverage {coverage:g}); {n_partial} of them miss some subjects, and are tested in the "
        "others, with fewer degrees of freedom (stat-dof)"
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
    """Take voxels out of the mask; `keep` is (n_voxels,), `reason` completes "N voxels left the mask: ..."."""
    if keep.all():
        return maps
    if not keep.any():
        raise DataError(
            f"No voxel is left in the analysis mask: {reason}. Check that every condition of every subject has a map "
            "of its own."
        )
    mask = maps.mask.copy()
    mask[maps.mask] = keep
    n_gone = int((~keep).sum())
    note = warned_if(n_gone > FEW * keep.size, f"{n_gone} voxels left the mask: {reason}")
    values = (room or MapStorage()).columns(maps.values, keep)
    return replace(maps, values=values, mask=mask, notes=(*maps.notes, note))


def as_image(values: NDArray[np.floating], maps: MaskedMaps) -> Image:
    """Make an image in memory of (n_voxels,) values, single precision, 0 outside the mask."""
    return nib.Nifti1Image(unmask(values.astype(np.float32), maps.mask), maps.affine)


def _intersect(mask_paths: Sequence[Path], grid: Grid, room: MapStorage) -> tuple[Booleans, tuple[str, ...]]:
    """Intersect the masks given, on the grid of the maps, with what is to be said; without any, all of the grid."""
    mask = np.ones(grid.shape, np.bool_)
    notes: list[str] = []
    for path in mask_paths:
        volume = read_volume(path, room.of_one_map)
        if not volume.grid.same_as(grid):
            raise DataError(
                f"The mask {path} is on another grid than the maps.\n  mask: {volume.grid}\n  maps: {grid}\n"
                "Nothing is resampled: give a mask on the grid of the maps."
            )
        mask &= _inside(path, volume.data)
        if n_nan := int(np.isnan(volume.data).sum()):
            notes.append(Warned(f"the mask {path.name} is NaN in {n_nan} voxels; they are taken to be outside of it"))
    if not mask.any():
        raise DataError(f"The analysis mask is empty: {', '.join(map(str, mask_paths))} share no voxel above zero.")
    return mask, tuple(notes)


def _inside(path: Path, data: Stack) -> Booleans:
    """Find the inside of a mask, which holds zero and one value above it; nilearn refuses others, too.

    A probability map or an atlas is no mask: where it is cut, or which region is meant, nobody has said.
    """
    values = data[~np.isnan(data)].astype(np.float64)
    top = float(values.max(initial=0))
    if math.isfinite(top) and np.all(np.minimum(np.abs(values), np.abs(values - top)) <= MASK_ROUNDING * top):
        return np.asarray(data > top / 2)
    distinct = np.unique(values)
    raise DataError(
        f"The mask {path} is no mask: it holds {distinct.size} different values from {distinct[0]:g} to "
        f"{distinct[-1]:g}; expected 0 outside and one value above it inside. A probability map needs a threshold, and "
        "an atlas a choice of regions: make a mask of it first (such as: fslmaths IN -thr 0.5 -bin OUT)."
    )


def _check_paths_differ(table: pd.DataFrame) -> None:
    """Stop on one file for two maps: a slip in a table, by which a subject would count twice or a difference vanish."""
    owners: dict[Path, list[str]] = {}
    for subject, condition, paths in table[["subject", "condition", "paths"]].itertuples(index=False):
        for path in paths:
            owners.setdefault(path.absolute(), []).append(f"sub-{subject} {condition}")
    shared = [f"{path}: {doubts.listed(names)}" for path, names in owners.items() if len(names) > 1]
    if shared:
        raise DataError(
            f"Files that are named as more than one map ({len(shared)}):\n{doubts.listed(shared, between=chr(10))}\n"
            "Every condition of every subject needs a map of its own: put right which file belongs to which."
        )


def _by_subject(subjects: Sequence[str], present: Sequence[Bits]) -> dict[str, Bits]:
    """Voxels that all maps of a subject have, as bits."""
    of_subject: dict[str, Bits] = {}
    for subject, bits in zip(subjects, present, strict=True):
        of_subject[subject] = of_subject[subject] & bits if subject in of_subject else bits
    return of_subject


def _coverage(start: Booleans, of_subject: Iterable[Bits]) -> NDArray[np.uint16]:
    """Count the subjects that have each voxel of the starting mask."""
    counts = np.zeros(start.shape, np.uint16)
    for bits in of_subject:
        counts += unpack_bits(bits, start.shape)
    return np.where(start, counts, np.uint16(0))


def _lost(start: Booleans, of_subject: Mapping[str, Bits]) -> dict[str, int]:
    """Count the voxels of the starting mask that each subject misses."""
    return {subject: int((start & ~unpack_bits(bits, start.shape)).sum()) for subject, bits in of_subject.items()}
