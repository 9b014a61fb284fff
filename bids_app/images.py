"""Voxels in and out of memory: grid check, mask, stack, unmask."""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray

from bids_app import doubts
from bids_app.dataset import InputMaps
from bids_app.errors import DataError, Warned
from bids_app.imagefiles import UNREADABLE, open_image, unreadable

Booleans = NDArray[np.bool_]
Bits = NDArray[np.uint8]
Floats = NDArray[np.float64]
Stack = NDArray[np.floating]
Image = nib.Nifti1Image

# Affines are stored in single precision: the same grid written by two programs may differ by this much (mm)
AFFINE_TOLERANCE_MM = 1e-3
LEAST_PRECISION = 1e-4  # what rounding to single precision may be of a voxel's spread over the maps
BLOCK = 4096  # voxels that are sorted at a time
FEW = 0.05  # share of the mask up to which voxels that go missing are nothing unusual
MASK_ROUNDING = 1e-3  # what interpolation and scaling leave of 0 and 1 in a mask


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the voxels of an image are."""

    shape: tuple[int, int, int]
    affine: Floats
    """(4, 4) voxel index to mm."""

    def __str__(self) -> str:
        rows = "; ".join(" ".join(f"{value:g}" for value in row) for row in self.affine[:3])
        return f"{' x '.join(map(str, self.shape))} voxels, affine [{rows}]"

    def same_as(self, other: Grid) -> bool:
        """Whether voxel (i, j, k) lies at the same place in both."""
        return self.shape == other.shape and np.allclose(self.affine, other.affine, rtol=0, atol=AFFINE_TOLERANCE_MM)

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of a voxel."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))


@dataclass(frozen=True, slots=True)
class MaskedMaps:
    """All maps inside the analysis mask."""

    values: Stack
    """(n_maps, n_voxels), voxels in C order of the mask; in double precision where single would round what varies."""
    mask: Booleans
    """(i, j, k)."""
    affine: Floats
    """(4, 4) voxel index to mm."""
    checksums: dict[Path, str]
    """sha256 of every file read."""
    n_lost: dict[str, int]
    """Subject -> voxels of the starting mask that at least one of its maps misses."""
    notes: tuple[str, ...] = ()
    """Lines for the log."""
    coverage: NDArray[np.uint16] | None = None
    """(i, j, k) how many subjects have each voxel of the starting mask in all their maps; None: not counted."""
    has_position: bool = True
    """Whether the headers of all maps say where the voxels are."""

    def __post_init__(self) -> None:
        n_voxels = int(self.mask.sum())
        if self.values.shape[1] != n_voxels:
            raise ValueError(f"values hold {self.values.shape[1]} voxels, the mask {n_voxels}")

    @property
    def grid(self) -> Grid:
        """The grid that all maps share."""
        return Grid(self.mask.shape, self.affine)


@dataclass(frozen=True, slots=True)
class Room:
    """Where the values of all maps are held: in memory, or in a file that is mapped where they would take too much."""

    memory: float = math.inf
    """Bytes that they may take."""
    scratch: Path | None = None
    """Folder of the file; None: memory in any case."""
    of_one_map: float | None = None
    """Bytes that the voxels of one map may take in its file; None: half of the memory that this process may use."""

    def array(self, shape: tuple[int, int], dtype: type[np.floating]) -> Stack:
        """Make room for (n_maps, n_voxels) values."""
        if self.scratch is None or np.dtype(dtype).itemsize * shape[0] * shape[1] <= self.memory:
            return np.empty(shape, dtype)
        self.scratch.mkdir(parents=True, exist_ok=True)
        # without a name: whatever happens, nothing stays behind
        with tempfile.TemporaryFile(dir=self.scratch) as file:
            return np.memmap(file, dtype, "w+", shape=shape)

    def columns(self, values: Stack, keep: Booleans) -> Stack:
        """Take columns out of (n_maps, n_voxels), row by row, so that no more than a row is in memory twice."""
        if keep.all():
            return values
        kept = self.array((len(values), int(keep.sum())), values.dtype.type)
        for row, source in zip(kept, values, strict=True):
            row[:] = source[keep]
        return kept


@dataclass(frozen=True, slots=True)
class _Volume:
    path: Path
    data: Stack  # (i, j, k), NaN kept; in double precision where single does not hold it
    grid: Grid
    sha256: str
    has_position: bool


@dataclass(frozen=True, slots=True)
class _File:
    """What is kept of a file that was read."""

    sha256: str
    has_position: bool
    looks_like: str
    """What its values look like, where not like estimates; otherwise empty."""


@dataclass(frozen=True, slots=True)
class _Row:
    """Voxels of the grid that a row of the table has in all its files, and those that are exactly zero in one."""

    present: Bits
    zero: Bits


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the files of a node's maps, and compares them with the first."""

    table: pd.DataFrame
    first: _Volume
    given: Booleans
    """(i, j, k) the masks that are given; without any all of the grid."""
    masks: tuple[str, ...]
    """Names of their files."""
    notes: tuple[str, ...]
    """About the masks."""
    room: Room
    files: dict[Path, _File]
    """Filled by reading."""
    rounded: set[int]
    """Rows whose array did not hold what was read; filled by reading."""

    @property
    def paths(self) -> list[tuple[Path, ...]]:
        """Files of each row."""
        return list(self.table["paths"])

    @property
    def subjects(self) -> list[str]:
        """Subject of each row."""
        return list(self.table["subject"])

    @property
    def labels(self) -> list[str]:
        """What a row is called."""
        return [f"sub-{subject} {condition}" for subject, condition in self.table[["subject", "condition"]].to_numpy()]

    def has(self, data: Stack) -> Booleans:
        """Find the voxels that a map has: without a mask zeros are background, inside a given one they are data."""
        finite = np.isfinite(data)
        return finite if self.masks else finite & (data != 0)

    def keep(self, values: Floats, stack: Stack, row: int) -> None:
        """Put values into a row of the stack, and remember whether that rounded them."""
        with np.errstate(over="ignore"):
            stack[row] = values
        if not np.array_equal(stack[row], values, equal_nan=True):
            self.rounded.add(row)

    def survey(self, row: int, take: Callable[[_Volume], None] | None = None) -> _Row:
        """Read the files of a row; each is handed to `take`."""
        present, zero = self.given.copy(), np.zeros_like(self.given)
        for path in self.paths[row]:
            volume = self.first if path == self.first.path else _read(path, self.room.of_one_map)
            _check_grid(path, volume.grid, self.first.path, self.first.grid)
            self.files[path] = _File(volume.sha256, volume.has_position, doubts.looks_like(volume.data))
            present &= self.has(volume.data)
            zero |= volume.data == 0
            if take:
                take(volume)
        return _Row(np.packbits(present), np.packbits(zero))


def load_maps(
    maps: InputMaps,
    mask_paths: Sequence[Path],
    n_jobs: int = 1,
    room: Room | None = None,
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
    room = room or Room()
    first = _read(maps.table["paths"].iloc[0][0], room.of_one_map)
    given, notes = _intersect(mask_paths, first.grid, room)
    reader = _Reader(maps.table, first, given, tuple(path.name for path in mask_paths), notes, room, {}, set())
    load = partial(_load_covered, coverage=coverage) if coverage < 1 else _load_complete
    loaded = load(reader, n_jobs, np.float32)
    precision: tuple[str, ...] = ()
    if reader.rounded and (n_rounded := _count_rounded(loaded.values)):
        loaded = load(reader, n_jobs, np.float64)
        precision = (
            f"the maps are held in double precision: single precision would round what varies between them in "
            f"{n_rounded} voxels, whose values are large and differ little",
        )
    return replace(loaded, notes=(*loaded.notes, *precision, *_on_files(reader), *_on_values(loaded, reader)))


def _count_rounded(values: Stack) -> int:
    """Count the voxels of (n_maps, n_voxels) that single precision rounds by more than `LEAST_PRECISION` of a spread.

    The spread is that within the narrowest groups of maps, whatever groups or conditions they are: of the sorted
    values, the gap that a quarter of the gaps are below, times their number. It is rather too small than too large.
    """
    n_rounded = 0
    for start in range(0, values.shape[1], BLOCK):
        block = np.sort(values[:, start : start + BLOCK].astype(np.float64), axis=0)  # NaN goes to the end
        gaps = np.sort(np.diff(block, axis=0), axis=0)
        n_gaps = np.sum(~np.isnan(gaps), axis=0)
        gap = np.take_along_axis(gaps, (n_gaps // 4)[None], axis=0)[0]
        rounding = 2.0**-24 * np.nanmax(np.abs(block), axis=0)
        n_rounded += int(np.sum((n_gaps > 0) & (rounding > LEAST_PRECISION * gap * n_gaps)))
    return n_rounded


def _load_complete(reader: _Reader, n_jobs: int, dtype: type[np.floating]) -> MaskedMaps:
    """Keep the voxels that all maps have."""
    inside = np.flatnonzero(reader.given & reader.has(reader.first.data))
    values = reader.room.array((len(reader.paths), inside.size), dtype)

    def fill(row: int) -> _Row:
        """Average the files of a row into place."""
        total = np.zeros(inside.size)

        def add(volume: _Volume) -> None:
            np.add(total, volume.data.ravel()[inside], out=total)

        found = reader.survey(row, add)
        reader.keep(total / len(reader.paths[row]), values, row)
        return found

    rows = Parallel(n_jobs, backend="threading")(delayed(fill)(row) for row in range(len(reader.paths)))
    shape = reader.given.shape
    of_subject = _by_subject(reader.subjects, [row.present for row in rows])
    mask = _unpack(np.bitwise_and.reduce([row.present for row in rows]), shape)
    start = reader.given if reader.masks else _unpack(np.bitwise_or.reduce([row.present for row in rows]), shape)
    lost = _lost(start, of_subject)
    if not mask.any():
        raise DataError(_nothing_left(int(start.sum()), lost, "every map", reader))
    source = ", ".join(reader.masks) or "voxels finite and non-zero in every map"
    notes = [f"analysis mask: {int(mask.sum())} voxels ({source})"]
    if n_lost := int(start.sum()) - int(mask.sum()):
        named = ", ".join(f"sub-{subject} {n}" for subject, n in lost.items() if n)
        much = bool(reader.masks) and n_lost > FEW * int(start.sum())  # without one, most of it is background
        notes.append(_warned_if(much, f"{n_lost} voxels left the mask because a map misses them; by subject: {named}"))
    missing = () if reader.masks else _missing_in_few(rows, start, mask, "left the mask")
    return MaskedMaps(
        values=reader.room.columns(values, mask.ravel()[inside]),
        mask=mask,
        affine=reader.first.grid.affine,
        checksums=_checksums(reader),
        n_lost=lost,
        notes=(*notes, *reader.notes, *missing, *_on_zeros(reader, rows, mask)),
        coverage=_coverage(start, of_subject.values()),
        has_position=all(file.has_position for file in reader.files.values()),
    )


def _load_covered(reader: _Reader, n_jobs: int, dtype: type[np.floating], coverage: float) -> MaskedMaps:
    """Read the maps once for the mask of the voxels that enough subjects have, and once for their values there."""
    paths, shape = reader.paths, reader.given.shape
    rows = Parallel(n_jobs, backend="threading")(delayed(reader.survey)(row) for row in range(len(paths)))
    of_subject = _by_subject(reader.subjects, [row.present for row in rows])
    count = np.zeros(shape, np.int32)
    for own in of_subject.values():
        count += _unpack(own, shape)
    start = reader.given if reader.masks else count > 0
    n_least = max(2, math.ceil(coverage * len(of_subject) - 1e-9))
    mask = start & (count >= n_least)
    lost = _lost(start, of_subject)
    if not mask.any():
        where = f"the maps of at least {n_least} of {len(of_subject)} subjects (VoxelCoverage {coverage:g})"
        raise DataError(_nothing_left(int(start.sum()), lost, where, reader))
    values = reader.room.array((len(paths), int(mask.sum())), dtype)

    def fill(row: int) -> None:
        there = _unpack(rows[row].present, shape)[mask]
        volumes = (_read(path, reader.room.of_one_map) for path in paths[row])
        total = sum(np.where(there, volume.data[mask], np.nan).astype(np.float64) for volume in volumes)
        reader.keep(np.asarray(total / len(paths[row])), values, row)

    Parallel(n_jobs, backend="threading")(delayed(fill)(row) for row in range(len(paths)))
    n_partial = int((count[mask] < len(of_subject)).sum())
    masked = f"{', '.join(reader.masks)}, " if reader.masks else ""
    note = (
        f"analysis mask: {int(mask.sum())} voxels that at least {n_least} of {len(of_subject)} subjects have "
        f"({masked}VoxelCoverage {coverage:g}); {n_partial} of them miss some subjects, and are tested in the "
        "others, with fewer degrees of freedom (stat-dof)"
    )
    notes = [note, *_too_few(reader, start, mask, n_least)]
    empty = [subject for subject, bits in of_subject.items() if not (_unpack(bits, shape) & mask).any()]
    filled = [row for row, subject in zip(rows, reader.subjects, strict=True) if subject not in empty]
    complete = mask & (count == len(of_subject) - len(empty))
    missing = () if reader.masks else _missing_in_few(filled, start, complete, "are not tested in all subjects")
    return MaskedMaps(
        values=values,
        mask=mask,
        affine=reader.first.grid.affine,
        checksums=_checksums(reader),
        n_lost=lost,
        notes=(*notes, *reader.notes, *_on_empty(empty), *missing, *_on_zeros(reader, rows, mask)),
        coverage=_coverage(start, of_subject.values()),
        has_position=all(file.has_position for file in reader.files.values()),
    )


def keep_voxels(maps: MaskedMaps, keep: Booleans, reason: str, room: Room | None = None) -> MaskedMaps:
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
    note = _warned_if(n_gone > FEW * keep.size, f"{n_gone} voxels left the mask: {reason}")
    values = (room or Room()).columns(maps.values, keep)
    return replace(maps, values=values, mask=mask, notes=(*maps.notes, note))


def unmask(values: NDArray[np.floating], mask: Booleans, outside: float = 0.0) -> NDArray[np.floating]:
    """Put (n_voxels,) values back into an (i, j, k) volume."""
    volume = np.full(mask.shape, outside, values.dtype)
    volume[mask] = values
    return volume


def as_image(values: NDArray[np.floating], maps: MaskedMaps) -> Image:
    """Make an image in memory of (n_voxels,) values, single precision, 0 outside the mask."""
    return nib.Nifti1Image(unmask(values.astype(np.float32), maps.mask), maps.affine)


def read_image(path: Path) -> Image:
    """Read one 3-D image of any grid, for looking at; NaN becomes 0."""
    volume = _read(path)
    return nib.Nifti1Image(np.nan_to_num(volume.data), volume.grid.affine)


def _read(path: Path, most_bytes: float | None = None) -> _Volume:
    """Read one 3-D image from the disk, once."""
    opened = open_image(path, most_bytes)
    try:
        data = np.asarray(opened.image.dataobj)  # in double precision where there is a scale factor
        with np.errstate(over="ignore"):
            single = data.astype(np.float32)
        data = single if np.array_equal(single, data, equal_nan=True) else data.astype(np.float64)
    except UNREADABLE as error:
        raise unreadable(path, error) from error
    i, j, k = data.shape[:3]
    grid = Grid((i, j, k), opened.affine)
    return _Volume(path, data.reshape(i, j, k), grid, opened.sha256, opened.has_position)


def _unpack(bits: Bits, shape: tuple[int, ...]) -> Booleans:
    n_voxels = int(np.prod(shape))
    return np.unpackbits(bits, count=n_voxels).astype(np.bool_).reshape(shape)


def _intersect(mask_paths: Sequence[Path], grid: Grid, room: Room) -> tuple[Booleans, tuple[str, ...]]:
    """Intersect the masks given, on the grid of the maps, with what is to be said; without any, all of the grid."""
    mask = np.ones(grid.shape, np.bool_)
    notes: list[str] = []
    for path in mask_paths:
        volume = _read(path, room.of_one_map)
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


def _check_grid(path: Path, grid: Grid, first_path: Path, first: Grid) -> None:
    if not grid.same_as(first):
        raise DataError(
            f"The maps are not on one grid.\n  {first_path}: {first}\n  {path}: {grid}\n"
            "Nothing is resampled: bring all the maps to one grid, or choose with --space or Select.res."
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
        counts += _unpack(bits, start.shape)
    return np.where(start, counts, np.uint16(0))


def _checksums(reader: _Reader) -> dict[Path, str]:
    """Checksums in the order of the rows, whichever thread was first."""
    return {path: reader.files[path].sha256 for row in reader.paths for path in row}


def _lost(start: Booleans, of_subject: Mapping[str, Bits]) -> dict[str, int]:
    """Count the voxels of the starting mask that each subject misses."""
    return {subject: int((start & ~_unpack(bits, start.shape)).sum()) for subject, bits in of_subject.items()}


def _nothing_left(n_start: int, lost: dict[str, int], where: str, reader: _Reader) -> str:
    worst = sorted(lost, key=lambda subject: -lost[subject])[:3]
    named = ", ".join(f"sub-{subject} misses {lost[subject]}" for subject in worst)
    return (
        f"The analysis mask is empty: none of its {n_start} voxels has a finite{'' if reader.masks else ', non-zero'} "
        f"value in {where} ({named}). "
        "Check these subjects' maps; to leave subjects out, name the others with --participant-label."
    )


def _on_empty(subjects: Sequence[str]) -> Iterator[str]:
    """Name the subjects of whom nothing is in the analysis."""
    names = [f"sub-{subject}" for subject in subjects]
    if names:
        yield Warned(
            f"no voxel of the analysis mask is in all maps of {doubts.listed(names)}, so that no test has any data of "
            "such a subject. Check the maps; to leave subjects out, name the others with --participant-label"
        )


def _too_few(reader: _Reader, start: Booleans, mask: Booleans, n_least: int) -> Iterator[str]:
    if n_gone := int((start & ~mask).sum()):
        much = bool(reader.masks) and n_gone > FEW * int(start.sum())
        yield _warned_if(much, f"{n_gone} voxels left the mask because fewer than {n_least} subjects have them")


def _warned_if(much: bool, note: str) -> str:  # noqa: FBT001
    return Warned(note) if much else note


def _missing_in_few(rows: Sequence[_Row], start: Booleans, complete: Booleans, fate: str) -> Iterator[str]:
    """Warn where many voxels are missing in less than half of the maps, so that they are no common background."""
    count = np.zeros(start.shape, np.int32)
    for row in rows:
        count += _unpack(row.present, start.shape)
    few = start & ~complete & (2 * count > len(rows))
    n_few, n_most = int(few.sum()), int(few.sum() + complete.sum())
    if n_few <= FEW * n_most:
        return
    by_zeros = np.zeros_like(few)
    for row in rows:
        by_zeros |= _unpack(row.zero, few.shape)
    words = f"{n_few} of {n_most} voxels that most maps have {fate} because the other maps miss them"
    if n_zero := int((few & by_zeros).sum()):
        words += (
            f", {n_zero} of them by an exact zero. Without a mask zeros are taken to be missing: if they are values, "
            "give a mask (--mask), inside which they count"
        )
    yield Warned(words)


def _on_zeros(reader: _Reader, rows: Sequence[_Row], mask: Booleans) -> Iterator[str]:
    """Say how many zeros inside a given mask are data; those of the common background leave it later."""
    if not reader.masks:
        return
    common = _unpack(np.bitwise_and.reduce([row.zero for row in rows]), mask.shape)
    counts = [int((_unpack(row.zero, mask.shape) & mask & ~common).sum()) for row in rows]
    if not any(counts):
        return
    share = max(counts) / int(mask.sum())
    named = doubts.listed([f"{label} {n}" for label, n in zip(reader.labels, counts, strict=True) if n])
    words = f"exact zeros inside the mask that is given are data; voxels: {named}"
    if share <= FEW:
        yield words
        return
    yield Warned(f"{words}, up to {100 * share:.0f} % of the mask. If they stand for missing values, write NaN there")


def _on_files(reader: _Reader) -> Iterator[str]:
    """Say of the files what makes them doubtful as maps."""
    named = [
        (label, reader.files[path]) for label, row in zip(reader.labels, reader.paths, strict=True) for path in row
    ]
    if lost := [path for path in _checksums(reader) if not reader.files[path].has_position]:
        yield Warned(
            f"the headers of {len(lost)} of {len(reader.files)} maps hold no position (both codes of NIfTI are 0, or "
            f"an Analyze image has no .mat file), such as {lost[0]}: coordinates in mm are a guess, left and right may "
            "be swapped"
        )
    yield from doubts.on_looks([(label, file.looks_like) for label, file in named])
    yield from doubts.on_copies("files with the same content", [(label, file.sha256) for label, file in named])


def _on_values(maps: MaskedMaps, reader: _Reader) -> Iterator[str]:
    """Say of the values what makes them doubtful as those of a brain."""
    low, high = maps.values[0].copy(), maps.values[0].copy()
    prints = []
    for row in maps.values:
        np.fmin(low, row, out=low)
        np.fmax(high, row, out=high)
        prints.append("" if np.isnan(row).all() else hashlib.sha256(row.tobytes()).hexdigest())
    # copies of a file are named as such
    of_row = [tuple(reader.files[path].sha256 for path in paths) for paths in reader.paths]
    first = dict(zip(reversed(of_row), reversed(reader.labels), strict=True))
    yield from doubts.on_copies(
        "maps with the same values",
        [
            (label, same)
            for label, files, same in zip(reader.labels, of_row, prints, strict=True)
            if same and first[files] == label
        ],
    )
    if len(maps.values) > 1:
        yield from doubts.on_background(low[low == high], low.size, masked=bool(reader.masks))
    yield from doubts.on_faces(maps.mask, masked=bool(reader.masks))
