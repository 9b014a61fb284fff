"""Voxels in and out of memory: grid, mask, and the domain that both make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Booleans, Floats, Integers, Longs, Stack
from bids_app.errors import DataError
from bids_app.spaces.adjacency import Adjacency
from bids_app.spaces.domain import SpatialDomain
from bids_app.spaces.image_files import UNREADABLE, image_bytes, open_image, unreadable
from bids_app.spaces.topology import LatticeTopology

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

    @property
    def words(self) -> str:
        """Its size and that of its voxels, for a sentence."""
        sizes = " x ".join(f"{size:.4g}" for size in voxel_sizes_mm(self.affine))
        return f"{' x '.join(map(str, self.shape))} voxels of {sizes} mm"


@dataclass(frozen=True, slots=True)
class VolumeData:
    """One image as it was read."""

    path: Path
    data: Stack  # (i, j, k), NaN kept; in double precision where single does not hold it
    grid: Grid
    sha256: str
    has_position: bool
    volume: int | None = None
    """Its number in a file that holds several, from 0."""


def voxel_sizes_mm(affine: Floats) -> Floats:
    """Return the distance between neighbouring voxels along each axis, (3,), of an affine (4, 4)."""
    return np.asarray(np.linalg.norm(affine[:3, :3], axis=0))


def nearest_on_grid(inside: Booleans, grid: Grid, onto: Grid) -> Booleans:
    """Return a mask, (i, j, k) on a grid, on another one: each voxel takes the value of the nearest, false beyond."""
    from nilearn.image import resample_img

    # a border of zeros: scipy, by which nilearn resamples, ends an image at the centres of its outermost voxels
    affine = grid.affine @ np.array([[1, 0, 0, -1], [0, 1, 0, -1], [0, 0, 1, -1], [0, 0, 0, 1]])
    image = Image(np.pad(inside, 1).astype(np.uint8), affine)
    found = resample_img(
        image,
        target_affine=onto.affine,
        target_shape=onto.shape,
        interpolation="nearest",
        fill_value=0,
        force_resample=True,
        copy_header=True,
    )
    return np.asarray(np.asanyarray(found.dataobj) > 0)


def share_beyond(inside: Booleans, grid: Grid, field: Grid) -> float:
    """Return which share of the voxels of a mask, (i, j, k) on a grid, lies beyond the field of view of another."""
    mm = np.argwhere(inside) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    index = np.linalg.solve(field.affine[:3, :3], (mm - field.affine[:3, 3]).T).T
    within = np.all((index >= -0.5) & (index <= np.array(field.shape) - 0.5), axis=1)
    return float(1 - within.mean()) if within.size else 0.0


def unmask(values: NDArray[np.floating], mask: Booleans, outside: float = 0.0) -> NDArray[np.floating]:
    """Put (n_voxels,) values back into an (i, j, k) volume."""
    volume = np.full(mask.shape, outside, values.dtype)
    volume[mask] = values
    return volume


def read_image(path: Path) -> Image:
    """Read one 3-D image of any grid, for looking at; NaN becomes 0."""
    volume = read_volume(path)
    return nib.Nifti1Image(np.nan_to_num(volume.data), volume.grid.affine)


def read_volume(path: Path, most_bytes: float | None = None, volume: int | None = None) -> VolumeData:
    """Read one 3-D image from the disk, once; `volume` is its number in a file that holds several."""
    opened = open_image(path, most_bytes, volume)
    try:
        data = np.asarray(opened.image.dataobj)  # in double precision where there is a scale factor
        with np.errstate(over="ignore"):
            single = data.astype(np.float32)
        data = single if np.array_equal(single, data, equal_nan=True) else data.astype(np.float64)
    except UNREADABLE as error:
        raise unreadable(path, error) from error
    i, j, k = data.shape[:3]
    grid = Grid((i, j, k), opened.affine)
    return VolumeData(path, data.reshape(i, j, k), grid, opened.sha256, opened.has_position, volume)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class VolumeDomain(SpatialDomain):
    """The voxels of an analysis mask, in C order."""

    topology: LatticeTopology
    xyz_mm: Floats
    grid: Grid
    mask: Booleans
    """(i, j, k)."""
    ijk: Longs
    """(n_voxels, 3) voxel indices."""
    is_mni: bool
    """Whether the headers of written maps say that the space is MNI152."""

    @classmethod
    def from_mask(cls, mask: Booleans, affine: Floats, connectivity: int, *, is_mni: bool = False) -> VolumeDomain:
        """Return the domain of an analysis mask.

        Parameters
        ----------
        mask : (i, j, k) bool
        affine : (4, 4) voxel index to mm
        connectivity : 6, 18 or 26, that of the inference
        is_mni : whether the space is MNI152

        Raises
        ------
        ValueError
            For another connectivity.
        """
        i, j, k = mask.shape
        grid = Grid((i, j, k), affine)
        ijk = np.argwhere(mask)
        return cls(
            topology=LatticeTopology.from_mask(mask, connectivity),
            sizes=np.full(len(ijk), grid.voxel_volume_mm3),
            size_unit="mm3",
            element="voxel",
            xyz_mm=ijk @ affine[:3, :3].T + affine[:3, 3],
            grid=grid,
            mask=mask,
            ijk=ijk,
            is_mni=is_mni,
        )

    @property
    def connectivity(self) -> int:
        """Neighbours of a voxel inside the mask: over faces (6), edges (18) and corners (26)."""
        return self.topology.connectivity

    @property
    def adjacency(self) -> Adjacency:
        """The same neighbours as compressed rows."""
        return Adjacency.from_lattice(self.topology)

    def neighbours(self, elements: NDArray[np.integer]) -> Integers:
        """Return the neighbours of voxels, (n, connectivity), -1 where there is none."""
        return self.topology.neighbours(elements)

    def measure(self, members: NDArray[np.integer]) -> float:
        """Return the volume of a set of voxels, in mm3."""
        return members.size * self.grid.voxel_volume_mm3

    def fingerprint(self) -> tuple[NDArray[Any], ...]:
        """Return where the voxels lie in the bordered grid, and where their neighbours are from there."""
        return self.topology.position, self.topology.offsets

    def describe(self) -> dict[str, object]:
        """Return the connectivity."""
        return {"Connectivity": self.connectivity}

    def on_grid(self, shape: tuple[int, ...], affine: Floats) -> Longs:
        """Return the voxel indices, (n_voxels, 3), of a grid that must be the domain's own."""
        if shape != self.grid.shape or not np.allclose(affine, self.grid.affine):
            raise ValueError(f"a grid of {shape}; expected that of the mask, {self.grid.shape} with the same affine")
        return self.ijk

    def read(self, path: Path) -> Floats:
        """Return the voxels of one map, (n_voxels,), in double precision."""
        volume = read_volume(path)
        if not volume.grid.same_as(self.grid):
            raise DataError(f"{path}: {volume.grid}; expected the grid of the analysis mask, {self.grid}.")
        return volume.data[self.mask].astype(np.float64)

    def write(self, path: Path, values: NDArray[np.floating], *, outside: float = 0.0) -> None:
        """Write one map as compressed NIfTI-1, in the type of the values and without a time stamp."""
        path.write_bytes(image_bytes(unmask(values, self.mask, outside), self.grid.affine, mni=self.is_mni))
