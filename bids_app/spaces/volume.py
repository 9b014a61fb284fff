"""Voxels in and out of memory: grid check, mask, stack, unmask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Booleans, Floats, Stack
from bids_app.spaces.image_files import UNREADABLE, open_image, unreadable

Image = nib.Nifti1Image

# Affines are stored in single precision: the same grid written by two programs may differ by this much (mm)
AFFINE_TOLERANCE_MM = 1e-3


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
class VolumeData:
    """One image as it was read."""

    path: Path
    data: Stack  # (i, j, k), NaN kept; in double precision where single does not hold it
    grid: Grid
    sha256: str
    has_position: bool


def unmask(values: NDArray[np.floating], mask: Booleans, outside: float = 0.0) -> NDArray[np.floating]:
    """Put (n_voxels,) values back into an (i, j, k) volume."""
    volume = np.full(mask.shape, outside, values.dtype)
    volume[mask] = values
    return volume


def read_image(path: Path) -> Image:
    """Read one 3-D image of any grid, for looking at; NaN becomes 0."""
    volume = read_volume(path)
    return nib.Nifti1Image(np.nan_to_num(volume.data), volume.grid.affine)


def read_volume(path: Path, most_bytes: float | None = None) -> VolumeData:
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
    return VolumeData(path, data.reshape(i, j, k), grid, opened.sha256, opened.has_position)
