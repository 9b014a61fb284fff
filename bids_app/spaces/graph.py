"""A domain whose neighbours come from a list: the vertices of a mesh, parcels, or any other elements.

A map is a column of a TSV file or a data array of a GIFTI file, with a row for each element of the whole space; the
domain may leave rows out, as a surface does with its medial wall.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import nibabel as nib
import numpy as np
from nibabel.gifti.gifti import GiftiDataArray, GiftiImage
from numpy.typing import NDArray

from bids_app.arrays import Booleans, Floats, Integers, Longs
from bids_app.errors import DataError
from bids_app.spaces.adjacency import Adjacency
from bids_app.spaces.domain import Element, SizeUnit, SpatialDomain
from bids_app.spaces.image_files import UNREADABLE
from bids_app.spaces.topology import GraphTopology

COLUMN = "value"  # of a TSV file


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class GraphDomain(SpatialDomain):
    """Elements with a list of neighbours and sizes of their own."""

    topology: GraphTopology
    graph: Adjacency
    """The same neighbours as compressed rows."""
    inside: Booleans
    """(n_rows,) which rows of a file are the elements."""
    about: tuple[tuple[str, str], ...] = ()
    """What GIFTI files say of themselves: keys and values."""

    @classmethod
    def from_adjacency(
        cls,
        adjacency: Adjacency,
        sizes: Floats,
        unit: tuple[Element, SizeUnit],
        xyz_mm: Floats | None = None,
        inside: Booleans | None = None,
    ) -> GraphDomain:
        """Return the domain of a graph.

        Parameters
        ----------
        adjacency : of the elements
        sizes : (n_elements,) each finite and not negative
        unit : what the elements are, and the unit of their sizes
        xyz_mm : (n_elements, 3) their centres; None where they have none
        inside : (n_rows,) bool, which rows of a file the elements are; None: all

        Raises
        ------
        ValueError
            Where these do not fit each other.
        """
        n = adjacency.n_elements
        inside = np.ones(n, np.bool_) if inside is None else inside
        if sizes.shape != (n,) or not np.all(np.isfinite(sizes) & (sizes >= 0)):
            raise ValueError(f"sizes of shape {sizes.shape}; expected {n} finite numbers of at least 0")
        if xyz_mm is not None and (xyz_mm.shape != (n, 3) or not np.isfinite(xyz_mm).all()):
            raise ValueError(f"coordinates of shape {xyz_mm.shape}; expected {(n, 3)}, all finite")
        if int(inside.sum()) != n:
            raise ValueError(f"{int(inside.sum())} rows of a file belong to the domain; expected {n}")
        sizes = np.asarray(sizes, np.float64)
        return cls(
            topology=GraphTopology(adjacency.indptr, adjacency.indices, sizes),
            graph=adjacency,
            sizes=sizes,
            size_unit=unit[1],
            element=unit[0],
            xyz_mm=xyz_mm,
            inside=inside,
        )

    @property
    def adjacency(self) -> Adjacency:
        """The neighbours as compressed rows."""
        return self.graph

    def neighbours(self, elements: NDArray[np.integer]) -> Integers:
        """Return the neighbours of elements, (n, most), -1 behind those that have fewer."""
        return self.graph.neighbours(elements)

    def measure(self, members: NDArray[np.integer]) -> float:
        """Return the sum of the sizes of a set of elements."""
        return float(self.sizes[members].sum())

    def fingerprint(self) -> tuple[NDArray[Any], ...]:
        """Return neighbours and sizes."""
        return tuple(self.topology)

    def describe(self) -> dict[str, object]:
        """Return how many pairs of elements are neighbours."""
        return {"NumberOfEdges": self.graph.n_edges}

    def on_grid(self, shape: tuple[int, ...], affine: Floats) -> Longs:
        """Return the voxel (i, j, k) of a grid that each element's centre lies in, (n_elements, 3)."""
        if self.xyz_mm is None:
            raise ValueError(f"the {self.plural} have no coordinates")
        inverse = np.linalg.inv(affine)
        ijk = np.rint(self.xyz_mm @ inverse[:3, :3].T + inverse[:3, 3]).astype(np.int64)
        if np.any((ijk < 0) | (ijk >= shape)):
            raise ValueError(f"a grid of {shape}; expected one that holds all {self.plural}")
        return np.asarray(ijk)

    def read(self, path: Path) -> Floats:
        """Return one map, (n_elements,), from a GIFTI or a TSV file."""
        try:
            rows = _read_gifti(path) if path.suffix == ".gii" else _read_column(path)
        except (*UNREADABLE, ExpatError) as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise DataError(f"{path}: cannot be read as a map of {self.plural} ({reason}).") from error
        if rows.shape != self.inside.shape:
            raise DataError(f"{path}: {rows.shape} values; expected one for each of {self.inside.size} {self.plural}.")
        return rows[self.inside]

    def write(self, path: Path, values: NDArray[np.floating], *, outside: float = 0.0) -> None:
        """Write one map as GIFTI where the name has .gii, otherwise as TSV.

        GIFTI knows no double precision: there values are rounded to single precision.
        """
        rows = np.full(self.inside.shape, outside, values.dtype)
        rows[self.inside] = values
        if ".gii" in path.suffixes:  # behind which a file that is being written has more
            array = GiftiDataArray(rows.astype(np.float32), "NIFTI_INTENT_NONE", "NIFTI_TYPE_FLOAT32")
            image = GiftiImage(darrays=[array])
            for key, value in self.about:
                image.meta[key] = value
            path.write_bytes(image.to_bytes())
        else:
            path.write_text("".join(f"{row}\n" for row in [COLUMN, *(str(value) for value in rows)]), encoding="utf-8")


def _read_gifti(path: Path) -> Floats:
    """Return the one data array of a GIFTI file."""
    image = nib.load(path)
    arrays = image.darrays if isinstance(image, GiftiImage) else []
    if len(arrays) != 1:
        raise ValueError(f"{len(arrays)} data arrays; expected one")
    return np.asarray(arrays[0].data, np.float64)


def _read_column(path: Path) -> Floats:
    """Return the column of values of a TSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return np.array([float(row[COLUMN]) for row in rows], np.float64)
