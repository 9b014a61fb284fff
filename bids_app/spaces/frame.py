"""What the files of all maps of a node share, row by row: voxels of a grid, vertices of hemispheres, or parcels.

A map is read as rows, one for each place that its files have. A frame says how the rows of another map differ, and
makes the domain of those rows that are inside the analysis mask; what loads and masks maps asks no more.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bids_app.arrays import Booleans, Floats, Stack
from bids_app.spaces.domain import PLURALS, Element, SpatialDomain
from bids_app.spaces.volume import Grid, VolumeDomain


class MapPlace(NamedTuple):
    """Where a map is: its file, or the files of its hemispheres."""

    path: Path
    """The first of its files, by which messages name it."""
    volume: int | str | None = None
    """Its number in files that hold several, from 0; of CIFTI files its name, too."""
    hemispheres: tuple[tuple[str, Path], ...] = ()
    """L, R and their files; empty unless it is a map on surfaces."""
    row: str = ""
    """Subject whose row of a table it is; empty unless it comes from a table."""

    @property
    def number(self) -> int | None:
        """Its number, of files that are not CIFTI."""
        assert not isinstance(self.volume, str)
        return self.volume

    @property
    def files(self) -> tuple[Path, ...]:
        """All its files."""
        return tuple(path for _, path in self.hemispheres) or (self.path,)


class Frame(ABC):
    """What the rows of a map stand for."""

    __slots__ = ()

    @property
    @abstractmethod
    def n_rows(self) -> int:
        """Rows of a map."""

    @property
    @abstractmethod
    def element(self) -> Element:
        """What a row is."""

    @property
    def plural(self) -> str:
        """What several rows are called."""
        return PLURALS[self.element]

    @property
    def zero_is_data(self) -> bool:
        """Whether a value of exactly zero is one; in images it is what lies outside of the brain."""
        return False

    @abstractmethod
    def difference(self, path: Path, other: Frame, other_path: Path) -> str:
        """Return a message on how the frame of another file differs, which names both; empty where they agree."""

    @abstractmethod
    def domain(self, inside: Booleans, connectivity: int, *, is_mni: bool = False) -> SpatialDomain:
        """Return the domain of the rows that are inside, (n_rows,).

        Parameters
        ----------
        inside : (n_rows,) bool
        connectivity : neighbours of a voxel, 6, 18 or 26; other elements have lists of theirs
        is_mni : whether the space is MNI152
        """


@dataclass(frozen=True, slots=True, eq=False)
class VolumeFrame(Frame):
    """The voxels of a grid, in C order."""

    grid: Grid

    @classmethod
    def of(cls, shape: tuple[int, ...], affine: Floats) -> VolumeFrame:
        """Return the frame of a grid of three axes, placed by an affine (4, 4)."""
        i, j, k = shape
        return cls(Grid((i, j, k), affine))

    def __str__(self) -> str:
        return str(self.grid)

    @property
    def n_rows(self) -> int:
        """Voxels of the grid."""
        return math.prod(self.grid.shape)

    @property
    def element(self) -> Element:
        """A row is a voxel."""
        return "voxel"

    def mask(self, inside: Booleans) -> Booleans:
        """Return which voxels are inside, (i, j, k)."""
        return np.asarray(inside.reshape(self.grid.shape))

    def difference(self, path: Path, other: Frame, other_path: Path) -> str:
        """Return how the grid of another map differs."""
        if isinstance(other, VolumeFrame) and other.grid.same_as(self.grid):
            return ""
        if not isinstance(other, VolumeFrame):
            return f"The maps are not of one kind.\n  {path}: {self}\n  {other_path}: {other}\nChoose one kind of them."
        return (
            f"The maps are not on the same grid.\n  {path}: {self}\n  {other_path}: {other}\n"
            "Maps are not resampled here: resample them to one grid, or choose maps with --space or Select.res."
        )

    def domain(self, inside: Booleans, connectivity: int, *, is_mni: bool = False) -> VolumeDomain:
        """Return the voxels that are inside, neighbours over faces, edges or corners."""
        return VolumeDomain.from_mask(self.mask(inside), self.grid.affine, connectivity, is_mni=is_mni)


@dataclass(frozen=True, slots=True)
class MapData:
    """One map as it was read."""

    place: MapPlace
    rows: Stack
    """(n_rows,) NaN kept; in double precision where single does not hold it."""
    frame: Frame
    checksums: Mapping[Path, str]
    """sha256 of each of its files."""
    has_position: bool
    """Whether the files say where the rows are."""
