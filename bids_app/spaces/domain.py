"""The space of a map as a value: its elements, their sizes and places, and which of them are neighbours.

What forms clusters, searches peaks or writes maps takes a domain and does not ask whether its elements are voxels,
vertices or parcels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Booleans, Floats, Integers, Longs
from bids_app.spaces.adjacency import Adjacency
from bids_app.spaces.topology import Topology

Element = Literal["voxel", "vertex", "parcel", "grayordinate"]
SizeUnit = Literal["mm3", "mm2", "1"]

PLURALS: dict[Element, str] = {
    "voxel": "voxels",
    "vertex": "vertices",
    "parcel": "parcels",
    "grayordinate": "grayordinates",
}
ENDINGS: dict[Element, str] = {
    "voxel": ".nii.gz",
    "vertex": ".func.gii",
    "parcel": ".tsv",
    "grayordinate": ".dscalar.nii",
}


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """One of the files that a map is written as."""

    entities: Mapping[str, str]
    """What its name says beside that of the map, such as the hemisphere."""
    ending: str
    """Of its name, such as .nii.gz."""
    elements: slice
    """Which elements of the map it holds."""
    domain: SpatialDomain
    """Of these elements, which writes and reads the file."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The elements of a domain that share a unit."""

    name: str
    """CORTEX_LEFT, CORTEX_RIGHT or another surface; `VOLUME_PART`."""
    members: Longs
    """(n,) elements of the whole domain, ascending."""
    domain: SpatialDomain
    """Of these elements alone."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SpatialDomain(ABC):
    """The elements of all maps of an analysis, in the order of the maps."""

    topology: Topology
    """Which elements are neighbours, as `clusters` and `tfce` take it."""
    sizes: Floats
    """(n_elements,) size of each element, in `size_unit`."""
    size_unit: SizeUnit
    """1: elements without a size of their own are counted."""
    element: Element
    xyz_mm: Floats | None
    """(n_elements, 3) centre of each element; None where it has none."""

    @property
    def n_elements(self) -> int:
        """Elements of a map."""
        return int(self.sizes.size)

    @property
    def plural(self) -> str:
        """What several elements are called."""
        return PLURALS[self.element]

    @property
    def connectivity(self) -> int | None:
        """Neighbours of a voxel inside the mask; None where the neighbours come from a list."""
        return None

    @property
    @abstractmethod
    def adjacency(self) -> Adjacency:
        """The same neighbours as compressed rows."""

    @abstractmethod
    def neighbours(self, elements: NDArray[np.integer]) -> Integers:
        """Return the neighbours of elements, (n, most), -1 where there is none."""

    @abstractmethod
    def measure(self, members: NDArray[np.integer]) -> float:
        """Return the size of a set of elements, in `size_unit`."""

    @abstractmethod
    def fingerprint(self) -> tuple[NDArray[Any], ...]:
        """Return the arrays on which clusters and TFCE depend, for the checkpoints of a run."""

    @abstractmethod
    def describe(self) -> dict[str, object]:
        """Return the facts about the neighbours that a sidecar states."""

    @abstractmethod
    def on_grid(self, shape: tuple[int, ...], affine: Floats) -> Longs:
        """Return the voxel (i, j, k) of a grid that each element lies in, (n_elements, 3).

        Parameters
        ----------
        shape : of the grid
        affine : (4, 4) voxel index to mm

        Raises
        ------
        ValueError
            If the elements cannot be placed on this grid.
        """

    @abstractmethod
    def read(self, path: Path) -> Floats:
        """Return one map, (n_elements,), in double precision.

        Raises
        ------
        DataError
            If the file is missing, damaged, or not of this domain.
        """

    @abstractmethod
    def write(self, path: Path, values: NDArray[np.floating], *, outside: float = 0.0) -> None:
        """Write one map, (n_elements,), in the type of the values and without a time stamp.

        Parameters
        ----------
        path : whose parent exists
        values : (n_elements,)
        outside : value of what the file holds beside the elements
        """

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The files that a map is written as: one, unless the kind of space has more."""
        return (Piece({}, ENDINGS[self.element], slice(None), self),)

    @property
    def ranked_parts(self) -> tuple[Part, ...]:
        """Parts whose sizes have no common unit, so that each is ranked on its own; none where there is one unit."""
        return ()

    @property
    def label_sources(self) -> tuple[str, ...]:
        """Files that name the regions of the elements themselves; most kinds have none."""
        return ()

    def known_places(self, elements: NDArray[np.integer]) -> Booleans:
        """Return of which elements the atlases know the places, (n,), where they know any: most often of all."""
        return np.ones(elements.shape, np.bool_)

    @property
    def measures(self) -> tuple[tuple[Element, SizeUnit], ...]:
        """What clusters consist of, and the unit of their sizes: one pair, unless parts differ in it."""
        return ((self.element, self.size_unit),)

    def measure_of(self, elements: NDArray[np.integer]) -> Integers:
        """Return which of the `measures` is that of each element, (n,)."""
        return np.zeros(elements.shape, np.int32)

    def names_of(self, elements: NDArray[np.integer]) -> dict[str, NDArray[np.generic]]:  # noqa: ARG002
        """Return what tables say of elements beside their places: column -> (n,); most kinds have nothing to add."""
        return {}

    def nearest(self, place_mm: Floats) -> int:
        """Return the element whose centre is nearest to a place, (3,); of equally near ones the first.

        Raises
        ------
        ValueError
            If the elements have no coordinates.
        """
        if self.xyz_mm is None:
            raise ValueError(f"the {self.plural} have no coordinates")
        return int(((self.xyz_mm - place_mm) ** 2).sum(axis=1).argmin())
