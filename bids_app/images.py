"""Voxels in and out of memory: grid check, mask, stack, unmask."""

from __future__ import annotations

import gzip
import hashlib
import math
import tempfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
from joblib import Parallel, delayed
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError, SpatialImage
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from bids_app.dataset import InputMaps
from bids_app.errors import DataError

Booleans = NDArray[np.bool_]
Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Image = nib.Nifti1Image

# Affines are stored in single precision: the same grid written by two programs may differ by this much (mm)
AFFINE_TOLERANCE_MM = 1e-3

# What damaged files raise, somewhere between the disk and the array
UNREADABLE = (ImageFileError, HeaderDataError, WrapStructError, OSError, EOFError, zlib.error, ValueError)


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

    values: Singles
    """(n_maps, n_voxels), voxels in C order of the mask."""
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

    def array(self, shape: tuple[int, int]) -> Singles:
        """Make room for (n_maps, n_voxels) values."""
        if self.scratch is None or 4 * shape[0] * shape[1] <= self.memory:
            return np.empty(shape, np.float32)
        self.scratch.mkdir(parents=True, exist_ok=True)
        # without a name: whatever happens, nothing stays behind
        with tempfile.TemporaryFile(dir=self.scratch) as file:
            return np.memmap(file, np.float32, "w+", shape=shape)

    def columns(self, values: Singles, keep: Booleans) -> Singles:
        """Take columns out of (n_maps, n_voxels), row by row, so that no more than a row is in memory twice."""
        if keep.all():
            return values
        kept = self.array((len(values), int(keep.sum())))
        for row, source in zip(kept, values, strict=True):
            row[:] = source[keep]
        return kept


@dataclass(frozen=True, slots=True)
class _Volume:
    data: Singles  # (i, j, k), NaN kept
    grid: Grid
    sha256: str


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
        For an unreadable file, another grid than that of the first map, or an empty mask.

    Notes
    -----
    A voxel counts as missing in a map where it is not finite or exactly zero, and leaves the mask when any map misses
    it. Without a mask it is lost to a subject if any other map has it. Values of voxels that the first map misses
    cannot be needed and are never kept; but for a coverage below 1, where the maps are read twice.
    """
    if coverage < 1:
        return _load_covered(maps, mask_paths, n_jobs, room or Room(), coverage)
    paths: list[tuple[Path, ...]] = list(maps.table["paths"])
    first = _read(paths[0][0])
    given = _intersect(mask_paths, first.grid)
    inside = np.flatnonzero(given & _present(first.data))
    room = room or Room()
    values = room.array((len(paths), inside.size))
    checksums: dict[Path, str] = {}

    def fill(row: int) -> NDArray[np.uint8]:
        """Average the files of a row into place; returns the voxels of the grid that all of them have, as bits."""
        total = np.zeros(inside.size)
        present = given.copy()
        for path in paths[row]:
            volume = first if path == paths[0][0] else _read(path)
            _check_grid(path, volume.grid, paths[0][0], first.grid)
            checksums[path] = volume.sha256
            present &= _present(volume.data)
            total += volume.data.ravel()[inside]
        values[row] = total / len(paths[row])
        return np.packbits(present)

    present = Parallel(n_jobs, backend="threading")(delayed(fill)(row) for row in range(len(paths)))
    start = given if mask_paths else _unpack(np.bitwise_or.reduce(present), given.shape)
    mask = _unpack(np.bitwise_and.reduce(present), given.shape)
    of_subject = _by_subject(list(maps.table["subject"]), present)
    lost = {subject: int((start & ~_unpack(bits, start.shape)).sum()) for subject, bits in of_subject.items()}
    if not mask.any():
        raise DataError(_nothing_left(int(start.sum()), lost))
    complete = mask.ravel()[inside]
    return MaskedMaps(
        values=room.columns(values, complete),
        mask=mask,
        affine=first.grid.affine,
        checksums={path: checksums[path] for path in (p for row in paths for p in row)},
        n_lost=lost,
        notes=_notes(start, mask, lost, mask_paths),
        coverage=_coverage(start, of_subject.values()),
    )


def _load_covered(maps: InputMaps, mask_paths: Sequence[Path], n_jobs: int, room: Room, coverage: float) -> MaskedMaps:
    """Read the maps once for the mask of the voxels that enough subjects have, and once for their values there."""
    paths: list[tuple[Path, ...]] = list(maps.table["paths"])
    first = _read(paths[0][0])
    given = _intersect(mask_paths, first.grid)
    checksums: dict[Path, str] = {}

    def presence(row: int) -> NDArray[np.uint8]:
        present = given.copy()
        for path in paths[row]:
            volume = _read(path)
            _check_grid(path, volume.grid, paths[0][0], first.grid)
            checksums[path] = volume.sha256
            present &= _present(volume.data)
        return np.packbits(present)

    bits = Parallel(n_jobs, backend="threading")(delayed(presence)(row) for row in range(len(paths)))
    of_subject = _by_subject(list(maps.table["subject"]), bits)
    count = np.zeros(given.shape, np.int32)
    for own in of_subject.values():
        count += _unpack(own, given.shape)
    start = given if mask_paths else count > 0
    n_least = max(2, math.ceil(coverage * len(of_subject) - 1e-9))
    mask = start & (count >= n_least)
    lost = {subject: int((start & ~_unpack(own, start.shape)).sum()) for subject, own in of_subject.items()}
    if not (mask & (count == len(of_subject))).any():  # the diagnostics look at what all subjects have
        raise DataError(_nothing_left(int(start.sum()), lost))
    values = room.array((len(paths), int(mask.sum())))

    def fill(row: int) -> None:
        there = _unpack(bits[row], given.shape)[mask]
        total = sum(np.where(there, _read(path).data[mask], np.nan).astype(np.float64) for path in paths[row])
        values[row] = total / len(paths[row])

    Parallel(n_jobs, backend="threading")(delayed(fill)(row) for row in range(len(paths)))
    n_partial = int((count[mask] < len(of_subject)).sum())
    note = (
        f"analysis mask: {int(mask.sum())} voxels that at least {n_least} of {len(of_subject)} subjects have "
        f"(VoxelCoverage {coverage:g}); {n_partial} of them miss some subjects, and are tested in the others, with "
        "fewer degrees of freedom (stat-dof)"
    )
    ordered = {path: checksums[path] for path in (p for row in paths for p in row)}
    return MaskedMaps(
        values, mask, first.grid.affine, ordered, lost, (note,), coverage=_coverage(start, of_subject.values())
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
    note = f"{int((~keep).sum())} voxels left the mask: {reason}"
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


def _read(path: Path) -> _Volume:
    """Read one 3-D image from the disk, once."""
    try:
        image, sha256 = _open(path)
        # float64 first where there is a scale factor: float32 would round it twice
        data = np.asarray(image.dataobj, np.float32)
    except UNREADABLE as error:
        raise DataError(
            f"{path}: cannot be read as a NIfTI image ({error}). The file may be truncated or not a NIfTI file; "
            "write or fetch it again."
        ) from error
    if data.ndim == 4 and data.shape[3] == 1:
        data = data[..., 0]
    if data.ndim != 3:
        raise DataError(f"{path}: found an image of shape {data.shape}; expected one 3-D map.")
    return _Volume(data, Grid(data.shape, np.asarray(image.affine, np.float64)), sha256)


def _open(path: Path) -> tuple[SpatialImage, str]:
    """Open an image from its bytes, which the checksum is made of as well."""
    if not path.name.endswith((".nii", ".nii.gz")):  # pairs of files: SPM's .img and .hdr
        image = nib.load(path)
        assert isinstance(image, SpatialImage)
        return image, hashlib.sha256(path.read_bytes()).hexdigest()
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    if path.name.endswith(".gz"):
        content = gzip.decompress(content)
    if content[:4] == b"\x1c\x02\x00\x00":
        return nib.Nifti2Image.from_bytes(content), sha256
    return nib.Nifti1Image.from_bytes(content), sha256


def _present(data: Singles) -> Booleans:
    """Voxels that a map has."""
    return np.asarray(np.isfinite(data) & (data != 0))


def _unpack(bits: NDArray[np.uint8], shape: tuple[int, ...]) -> Booleans:
    n_voxels = int(np.prod(shape))
    return np.unpackbits(bits, count=n_voxels).astype(np.bool_).reshape(shape)


def _intersect(mask_paths: Sequence[Path], grid: Grid) -> Booleans:
    """Intersect the masks given, on the grid of the maps; without any, all of the grid."""
    mask = np.ones(grid.shape, np.bool_)
    for path in mask_paths:
        volume = _read(path)
        if not volume.grid.same_as(grid):
            raise DataError(
                f"The mask {path} is on another grid than the maps.\n  mask: {volume.grid}\n  maps: {grid}\n"
                "Nothing is resampled: give a mask on the grid of the maps."
            )
        mask &= np.nan_to_num(volume.data) > 0
    if not mask.any():
        raise DataError(f"The analysis mask is empty: {', '.join(map(str, mask_paths))} share no voxel above zero.")
    return mask


def _check_grid(path: Path, grid: Grid, first_path: Path, first: Grid) -> None:
    if not grid.same_as(first):
        raise DataError(
            f"The maps are not on one grid.\n  {first_path}: {first}\n  {path}: {grid}\n"
            "Nothing is resampled: bring all the maps to one grid, or choose with --space or Select.res."
        )


def _by_subject(subjects: Sequence[str], present: Sequence[NDArray[np.uint8]]) -> dict[str, NDArray[np.uint8]]:
    """Voxels that all maps of a subject have, as bits."""
    of_subject: dict[str, NDArray[np.uint8]] = {}
    for subject, bits in zip(subjects, present, strict=True):
        of_subject[subject] = of_subject[subject] & bits if subject in of_subject else bits
    return of_subject


def _coverage(start: Booleans, of_subject: Iterable[NDArray[np.uint8]]) -> NDArray[np.uint16]:
    """Count the subjects that have each voxel of the starting mask."""
    counts = np.zeros(start.shape, np.uint16)
    for bits in of_subject:
        counts += _unpack(bits, start.shape)
    return np.where(start, counts, np.uint16(0))


def _nothing_left(n_start: int, lost: dict[str, int]) -> str:
    worst = sorted(lost, key=lambda subject: -lost[subject])[:3]
    named = ", ".join(f"sub-{subject} misses {lost[subject]}" for subject in worst)
    return (
        f"The analysis mask is empty: none of its {n_start} voxels has a finite, non-zero value in every map "
        f"({named}). Check these subjects' maps."
    )


def _notes(start: Booleans, mask: Booleans, lost: dict[str, int], mask_paths: Sequence[Path]) -> tuple[str, ...]:
    source = ", ".join(path.name for path in mask_paths) or "voxels finite and non-zero in every map"
    notes = [f"analysis mask: {int(mask.sum())} voxels ({source})"]
    if n_lost := int(start.sum()) - int(mask.sum()):
        named = ", ".join(f"sub-{subject} {n}" for subject, n in lost.items() if n)
        notes.append(f"{n_lost} voxels left the mask because a map misses them; by subject: {named}")
    return tuple(notes)
