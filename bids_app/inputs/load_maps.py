"""Loading of a node's maps: the analysis mask, and the values of its elements in all maps."""

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
from bids_app.console.text import in_elements, listed
from bids_app.errors import DataError
from bids_app.inputs.analysis_mask import MaskChoice, intersect_masks
from bids_app.inputs.choose_and_order_maps import InputMaps
from bids_app.inputs.map_notes import (
    FEW,
    MAX_NAMES,
    before_notes,
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
    BeforeModel,
    Bits,
    MapReader,
    MapRow,
    MaskedMaps,
    checksums,
    count_rounded,
    places,
    unpack_bits,
)
from bids_app.runtime.execution import Threads
from bids_app.runtime.memory import MapStorage
from bids_app.spaces.frame import MapData, VolumeFrame
from bids_app.spaces.image_pairs import image_parts
from bids_app.spaces.map_files import read_map
from bids_app.spaces.smoothing import MaskSmoother
from bids_app.spaces.volume import Image, unmask

NO_MASK_CHOICE, NOTHING_BEFORE = MaskChoice(), BeforeModel()


def load_maps(
    maps: InputMaps,
    mask_paths: Sequence[Path],
    n_jobs: int = 1,
    room: MapStorage | None = None,
    *,
    coverage: float = 1.0,
    mask_choice: MaskChoice = NO_MASK_CHOICE,
    before: BeforeModel = NOTHING_BEFORE,
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
    mask_choice : which voxels of the masks are inside
    before : what is subtracted from the maps, and how they are smoothed

    Raises
    ------
    DataError
        For an unreadable file, a grid other than that of the first map, one file for two maps, a mask file that is not
        a mask, a background that is not zero, or an empty mask.

    Notes
    -----
    A voxel is missing in a map where it is not finite or, unless masks are given, exactly zero; it is excluded from the
    mask if any map lacks it. Without a mask it counts as lost to a subject if any other map has it. With full coverage,
    voxels that the first map lacks are never kept; with coverage below 1 the maps are read twice. None of this depends
    on what is subtracted and how maps are smoothed, which concerns the voxels of the mask only.
    """
    _check_paths_differ(maps.table)
    room = room or MapStorage()
    placed = places(maps.table)
    first = read_map(placed[0][0], room.of_one_map)
    _check_asked(first, mask_paths, before)
    given = intersect_masks(mask_paths, first, mask_choice, room.of_one_map)
    reader = MapReader(maps.table, placed, first, given.inside, given.names, given.notes, room, {}, {}, set(), before)
    load = partial(_load_covered, coverage=coverage) if coverage < 1 else _load_complete
    # parcels are few, and tables of them hold all digits
    loaded = load(reader, n_jobs, np.float64 if first.frame.zero_is_data else np.float32)
    n_rounded = count_rounded(loaded.values, reader.zero_in_all(loaded.values)) if reader.rounded else 0
    if n_rounded:
        loaded = load(reader, n_jobs, np.float64)
    notes = (*before_notes(loaded, reader), *on_files(reader), *on_values(loaded, reader))
    if before.fwhm_mm:
        loaded = _smoothed(loaded, reader, n_jobs)
        if not n_rounded and (n_rounded := count_rounded(loaded.values)):
            loaded = _smoothed(load(reader, n_jobs, np.float64), reader, n_jobs)
    precision = (
        f"the maps are held in double precision, because in {n_rounded} {reader.plural} their values are large and "
        "differ too little for single precision"
    )
    said = (*loaded.notes, *([precision] if n_rounded else []), *notes)
    return replace(loaded, notes=tuple(type(note)(in_elements(note, loaded.frame.element)) for note in said))


def _smoothed(loaded: MaskedMaps, reader: MapReader, n_jobs: int) -> MaskedMaps:
    """Return the maps smoothed inside their mask, in place, a map at a time in each thread."""
    if reader.masks and len(loaded.values) > 1:
        loaded = keep_voxels(
            loaded, ~reader.zero_in_all(loaded.values), "every map is zero there, as outside the brain", reader.room
        )
    assert isinstance(loaded.frame, VolumeFrame)  # for others smoothing is refused
    grid = loaded.frame.grid
    smoother = MaskSmoother.from_mask(loaded.frame.mask(loaded.inside), grid.affine, reader.before.fwhm_mm)

    def smooth(row: int) -> None:
        reader.keep(smoother.smooth(loaded.values[row]), loaded.values, row)

    for _ in Threads(n_jobs).map_ordered(partial(smooth, row) for row in range(len(loaded.values))):
        pass  # each smooths its own row
    return loaded


def _load_complete(reader: MapReader, n_jobs: int, dtype: type[np.floating]) -> MaskedMaps:
    """Return the maps in the voxels that all of them have."""
    inside = np.flatnonzero(reader.given & reader.has(reader.first.rows))
    values = reader.room.array((len(reader.places), inside.size), dtype)

    def fill(row: int) -> MapRow:
        """Store the mean of the files of a row."""
        total = np.zeros(inside.size)

        def add(data: Stack) -> None:
            np.add(total, data[inside], out=total)

        surveyed = reader.survey(row, add)
        reader.keep(total / len(reader.places[row]) - reader.before.against, values, row)
        return surveyed

    rows = list(Threads(n_jobs).map_ordered(partial(fill, row) for row in range(len(reader.places))))
    n_rows, plural = reader.given.size, reader.plural
    of_subject = _by_subject(reader.subjects, [row.present for row in rows])
    mask = unpack_bits(np.bitwise_and.reduce([row.present for row in rows]), n_rows)
    start = reader.given if reader.masks else unpack_bits(np.bitwise_or.reduce([row.present for row in rows]), n_rows)
    lost = _lost(start, of_subject)
    if not mask.any():
        raise DataError(nothing_left(int(start.sum()), lost, "every map", reader))
    non_zero = "" if reader.zero_is_data else " and non-zero"
    source = "; ".join(reader.masks) or f"{plural} finite{non_zero} in every map"
    notes = [f"analysis mask: {int(mask.sum())} {plural} ({source})"]
    if n_lost := int(start.sum()) - int(mask.sum()):
        named = ", ".join(f"sub-{subject} {n}" for subject, n in lost.items() if n)
        much = bool(reader.masks) and n_lost > FEW * int(start.sum())  # without one, most of it is background
        notes.append(warned_if(much, f"{n_lost} {plural} left the mask because a map lacks them; by subject: {named}"))
    missing = () if reader.masks else on_few_missing(rows, start, mask, "left the mask")
    return MaskedMaps(
        values=reader.room.columns(values, mask[inside]),
        frame=reader.first.frame,
        inside=mask,
        checksums=checksums(reader),
        n_lost=lost,
        notes=(*notes, *reader.notes, *missing, *on_zeros(reader, rows, mask)),
        coverage=_coverage(start, of_subject.values()),
        has_position=all(file.has_position for file in reader.files.values()),
        masks=reader.masks,
        before=reader.before,
    )


def _load_covered(reader: MapReader, n_jobs: int, dtype: type[np.floating], coverage: float) -> MaskedMaps:
    """Return the maps in the voxels that enough subjects have, reading them first for the mask, then for the values."""
    n_maps, n_rows, plural = len(reader.places), reader.given.size, reader.plural
    rows = list(Threads(n_jobs).map_ordered(partial(reader.survey, row) for row in range(n_maps)))
    of_subject = _by_subject(reader.subjects, [row.present for row in rows])
    count = np.zeros(n_rows, np.int32)
    for bits in of_subject.values():
        count += unpack_bits(bits, n_rows)
    start = reader.given if reader.masks else count > 0
    n_least = max(2, math.ceil(coverage * len(of_subject) - 1e-9))
    mask = start & (count >= n_least)
    lost = _lost(start, of_subject)
    if not mask.any():
        where = f"the maps of at least {n_least} of {len(of_subject)} subjects (VoxelCoverage {coverage:g})"
        raise DataError(nothing_left(int(start.sum()), lost, where, reader))
    values = reader.room.array((n_maps, int(mask.sum())), dtype)

    def fill(row: int) -> None:
        present = unpack_bits(rows[row].present, n_rows)[mask]
        maps = (read_map(place, reader.room.of_one_map) for place in reader.places[row])
        total = sum(np.where(present, each.rows[mask], np.nan).astype(np.float64) for each in maps)
        reader.keep(np.asarray(total / len(reader.places[row]) - reader.before.against), values, row)

    for _ in Threads(n_jobs).map_ordered(partial(fill, row) for row in range(n_maps)):
        pass  # each fills its own row
    n_partial = int((count[mask] < len(of_subject)).sum())
    masked = f"{'; '.join(reader.masks)}, " if reader.masks else ""
    note = (
        f"analysis mask: {int(mask.sum())} {plural} that at least {n_least} of {len(of_subject)} subjects have "
        f"({masked}VoxelCoverage {coverage:g}); in {n_partial} of them some subjects have no data, and the others are "
        "tested, with fewer degrees of freedom (stat-dof)"
    )
    notes = [note, *on_too_few(reader, start, mask, n_least)]
    empty = [subject for subject, bits in of_subject.items() if not (unpack_bits(bits, n_rows) & mask).any()]
    filled = [row for row, subject in zip(rows, reader.subjects, strict=True) if subject not in empty]
    complete = mask & (count == len(of_subject) - len(empty))
    missing = () if reader.masks else on_few_missing(filled, start, complete, "are not tested in all subjects")
    return MaskedMaps(
        values=values,
        frame=reader.first.frame,
        inside=mask,
        checksums=checksums(reader),
        n_lost=lost,
        notes=(*notes, *reader.notes, *on_empty(empty), *missing, *on_zeros(reader, rows, mask)),
        coverage=_coverage(start, of_subject.values()),
        has_position=all(file.has_position for file in reader.files.values()),
        masks=reader.masks,
        before=reader.before,
    )


def keep_voxels(maps: MaskedMaps, keep: Booleans, reason: str, room: MapStorage | None = None) -> MaskedMaps:
    """Return the maps without some voxels; `keep` is (n_voxels,), `reason` completes "N voxels left the mask: ..."."""
    if keep.all():
        return maps
    plural = maps.frame.plural
    if not keep.any():
        raise DataError(
            f"No {maps.frame.element} remains in the analysis mask: {reason}. Check that every condition of every "
            "subject has its own map."
        )
    inside = maps.inside.copy()
    inside[maps.inside] = keep
    n_gone = int((~keep).sum())
    said = in_elements(f"{n_gone} {plural} left the mask: {reason}", maps.frame.element)
    note = warned_if(n_gone > FEW * keep.size, said)
    values = (room or MapStorage()).columns(maps.values, keep)
    return replace(maps, values=values, inside=inside, notes=(*maps.notes, note))


def as_image(values: NDArray[np.floating], frame: VolumeFrame, inside: Booleans) -> Image:
    """Return an image in memory of (n_voxels,) values, in single precision, 0 outside the mask."""
    return nib.Nifti1Image(unmask(values.astype(np.float32), frame.mask(inside)), frame.grid.affine)


def _check_asked(first: MapData, mask_paths: Sequence[Path], before: BeforeModel) -> None:
    """Stop where maps on surfaces or of parcels are to be smoothed or masked, which is done for volumes only."""
    if isinstance(first.frame, VolumeFrame):
        return
    what = f"the maps are of {first.frame.plural} ({first.place.path.name} and others)"
    if before.fwhm_mm:
        before_that = f"Smooth the maps along the surface before (for example with {_smoothers(first)}), and take"
        how = "Take" if first.frame.element == "parcel" else before_that
        raise DataError(f"Smoothing: {what}, and only volumes are smoothed here. {how} Smoothing out of the model.")
    if mask_paths:
        raise DataError(
            f"The mask {mask_paths[0]} is an image of voxels, or is read as one, and {what}. Write NaN into the maps "
            "where they are not to be analysed, and leave out --mask and Options.Mask."
        )


def _smoothers(first: MapData) -> str:
    """Return programs that smooth maps of a kind."""
    if first.frame.element == "grayordinate":
        return "wb_command -cifti-smoothing"
    return "wb_command -metric-smoothing or mri_surf2surf --fwhm"


def _check_paths_differ(table: pd.DataFrame) -> None:
    """Raise DataError if one file is used for two maps, by which a subject would count twice or a difference vanish.

    Volumes of a file are maps of their own, and so are the rows of a table; a pair is one file, by the name of either
    half.
    """
    owners: dict[tuple[Path, int | str | None, str], list[str]] = {}
    for subject, condition, row in zip(table["subject"], table["condition"], places(table), strict=True):
        for path, volume, of_table in ((path, place.volume, place.row) for place in row for path in place.files):
            key = (image_parts(path.absolute())[0], volume, of_table)
            owners.setdefault(key, []).append(f"sub-{subject} {condition}")
    shared = [
        f"{path}{'' if number is None else f', volume {number}'}: {listed(names, MAX_NAMES)}"
        for (path, number, _), names in owners.items()
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
        counts += unpack_bits(bits, start.size)
    return np.where(start, counts, np.uint16(0))


def _lost(start: Booleans, of_subject: Mapping[str, Bits]) -> dict[str, int]:
    """Return the number of voxels of the starting mask that each subject lacks."""
    return {subject: int((start & ~unpack_bits(bits, start.size)).sum()) for subject, bits in of_subject.items()}
