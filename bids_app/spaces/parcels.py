"""Parcels: values by name, of a CIFTI file or of a table, and the domain in which each parcel stands alone.

Tables are as XCP-D and HALFpipe write them, with a column a parcel and its name at the top: a file a subject with one
row, or one file with a row a subject, whose label stands in a column of a known name.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.cifti2.cifti2_axes import ParcelsAxis
from numpy.typing import NDArray

from bids_app.arrays import Booleans, Floats
from bids_app.console.text import duplicates, listed
from bids_app.errors import DataError
from bids_app.spaces.adjacency import Adjacency
from bids_app.spaces.cifti_files import DAMAGED, ENDINGS, CiftiMap, cifti_bytes, read_cifti
from bids_app.spaces.domain import Piece
from bids_app.spaces.graph import GraphDomain
from bids_app.spaces.topology import GraphTopology
from bids_app.spaces.volume import AFFINE_TOLERANCE_MM

SUBJECT_COLUMNS = ("participant_id", "subject_id", "subject", "sub")
"""Columns that hold the label of a subject, in a table with a row a subject."""
TABLE = ".tsv"
MISSING = ("n/a", "nan", "")
"""What stands for a value that is not there, in any case."""


@dataclass(frozen=True, slots=True, eq=False)
class Parcels:
    """What the values of a map stand for, in their order."""

    names: tuple[str, ...]
    axis: ParcelsAxis | None = None
    """nibabel's, with vertices and voxels of each parcel; None where a table gives the names alone."""

    def __post_init__(self) -> None:
        """Raise ValueError for parcels without names of their own."""
        if not self.names:
            raise ValueError("there is no parcel")
        if "" in self.names:
            raise ValueError(f"parcel {self.names.index('') + 1} has no name")
        if twice := duplicates(self.names):
            raise ValueError(f"several parcels are called {listed(twice)}")

    def difference(self, other: Parcels) -> str:
        """Return the first difference of the parcels of another file, in words; empty where there is none."""
        mine, its = frozenset(self.names), frozenset(other.names)
        unknown = [name for name in other.names if name not in mine]
        absent = [name for name in self.names if name not in its]
        if unknown:
            return f"found the parcel {unknown[0]}, {_and_others(unknown)}of which the others know nothing"
        if absent:
            return f"found no parcel {absent[0]}, {_and_others(absent)}which the others have"
        for place, (expected, found) in enumerate(zip(self.names, other.names, strict=True), start=1):
            if expected != found:
                return f"found the same parcels in another order: {found} in place {place}; expected {expected}"
        if self.axis is None or other.axis is None:
            return ""
        return _content_difference(self.axis, other.axis)


@dataclass(frozen=True, slots=True, eq=False)
class ParcelTable:
    """A table of parcels as it was read."""

    parcels: Parcels
    values: Floats
    """(n_rows, n_parcels) NaN where a value is missing."""
    participants: tuple[str, ...] | None
    """(n_rows,) as they are written; None: the one row of the file's own subject."""
    sha256: str = ""
    """Of the file."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ParcelDomain(GraphDomain):
    """The parcels of an analysis; none is another's neighbour, so that there are no clusters of several."""

    parcels: Parcels
    """Of a file, those that are not inside among them."""

    @classmethod
    def from_parcels(cls, parcels: Parcels, inside: Booleans | None = None) -> ParcelDomain:
        """Return the domain of the parcels that are inside, (n_rows,) bool; None: all."""
        inside = np.ones(len(parcels.names), np.bool_) if inside is None else inside
        if inside.shape != (len(parcels.names),):
            raise ValueError(f"a mask of shape {inside.shape}; expected one for {len(parcels.names)} parcels")
        n = int(inside.sum())
        graph = Adjacency.from_edges(n, np.empty((0, 2), np.int64))
        sizes = np.ones(n)
        return cls(
            topology=GraphTopology(graph.indptr, graph.indices, sizes),
            graph=graph,
            sizes=sizes,
            size_unit="1",
            element="parcel",
            xyz_mm=None,
            inside=inside,
            parcels=parcels,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """(n_elements,) of the parcels that are inside."""
        return tuple(name for name, kept in zip(self.parcels.names, self.inside, strict=True) if kept)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """One file: CIFTI where the parcels come from it, otherwise a table."""
        return (Piece({}, ENDINGS["parcels"] if self.parcels.axis else TABLE, slice(None), self),)

    def names_of(self, elements: NDArray[np.integer]) -> dict[str, NDArray[np.generic]]:
        """Return the names of parcels."""
        return {"parcel": np.array(self.names, object)[elements]}

    def describe(self) -> dict[str, object]:
        """Return how many parcels there are."""
        return {"NumberOfParcels": self.n_elements}

    def read(self, path: Path) -> Floats:
        """Return one map, (n_elements,), from a CIFTI file or a table of one row with the same parcels."""
        if path.name.endswith(".nii"):
            found, parcels = read_pscalar(path)
            values = found.values.astype(np.float64)
        else:
            table = read_parcel_table(path)
            if len(table.values) != 1:
                raise DataError(f"{path}: found {len(table.values)} rows; expected the one row of a map.")
            parcels, values = table.parcels, table.values[0]
        if difference := self.parcels.difference(parcels):
            raise DataError(f"{path}: {difference}.")
        return values[self.inside]

    def write(self, path: Path, values: NDArray[np.floating], *, outside: float = 0.0) -> None:
        """Write one map as CIFTI where the name has .nii, which needs the axis; otherwise as a table.

        A parcel beside the elements is missing, not `outside`, where the type of the values has a word for it: in a
        table, zero would be a value.
        """
        whole = np.full(self.inside.shape, np.nan if values.dtype.kind == "f" else outside, values.dtype)
        whole[self.inside] = values
        if ".nii" not in path.suffixes:  # behind which a file that is being written may have more
            path.write_text(table_text(self.parcels.names, whole[None]), encoding="utf-8")
            return
        if self.parcels.axis is None:
            raise ValueError("only parcels that come from CIFTI files can be written as one")
        name = path.name.partition(ENDINGS["parcels"])[0]
        path.write_bytes(cifti_bytes(whole[None], [name], self.parcels.axis.to_mapping(1), "parcels"))


def read_pscalar(
    path: Path, chosen: int | str | None = None, most_bytes: float | None = None
) -> tuple[CiftiMap, Parcels]:
    """Return one map of a .pscalar.nii file and its parcels; parameters and errors as of `read_cifti`."""
    found = read_cifti(path, "parcels", chosen, most_bytes)
    try:
        axis = ParcelsAxis.from_index_mapping(found.elements)
        parcels = Parcels(tuple(str(name) for name in axis.name), axis)
        if len(parcels.names) != found.values.size:
            raise ValueError(f"{found.values.size} values of {len(parcels.names)} parcels")
    except DAMAGED as error:
        raise DataError(f"{path}: its parcels cannot be used ({error}). Write or fetch the file again.") from error
    return found, parcels


def read_parcel_table(path: Path) -> ParcelTable:
    """Return a table of parcels: one row a subject, or the one row of the file's own subject.

    Raises
    ------
    DataError
        For a file that is no such table, with the line or the column where it is not.
    """
    content = _content(path)
    header, rows = _cells(path, content)
    subject_columns = [column for column, name in enumerate(header) if name.lower() in SUBJECT_COLUMNS]
    names = [name for column, name in enumerate(header) if column not in subject_columns]
    try:
        parcels = Parcels(tuple(names))
    except ValueError as error:
        raise DataError(f"{path}: {error}; expected the names of the parcels in its first line.") from error
    if _are_values(names):
        raise DataError(f"{path}: its first line holds numbers ({listed(names)}); expected the names of the parcels.")
    if len(subject_columns) > 1:
        raise DataError(f"{path}: found the columns {listed([header[c] for c in subject_columns])}; expected one.")
    participants = tuple(row[subject_columns[0]].strip() for row in rows) if subject_columns else None
    if participants is None and len(rows) != 1:
        raise DataError(
            f"{path}: found {len(rows)} rows and no column {SUBJECT_COLUMNS[0]}; expected one row, or a row for each "
            "subject with that column. A time series has to be summarised before."
        )
    if participants is not None and ("" in participants or duplicates(participants)):
        twice = "rows without a subject" if "" in participants else f"two rows of {listed(duplicates(participants))}"
        raise DataError(f"{path}: found {twice}; expected one row for each subject.")
    columns = [column for column in range(len(header)) if column not in subject_columns]
    values = [[_number(path, line, header[c], row[c]) for c in columns] for line, row in enumerate(rows, start=2)]
    table = np.array(values, np.float64).reshape(len(rows), len(names))
    return ParcelTable(parcels, table, participants, hashlib.sha256(content).hexdigest())


def table_text(names: Sequence[str], values: NDArray[np.floating], participants: Sequence[str] | None = None) -> str:
    """Return a table that `read_parcel_table` reads back, bit for bit.

    Parameters
    ----------
    names : (n_parcels,)
    values : (n_rows, n_parcels)
    participants : (n_rows,) label of each row; None: there is one row, of no subject by name
    """
    header = [*([SUBJECT_COLUMNS[0]] if participants is not None else []), *names]
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(header)
    for number, row in enumerate(values):
        label = [participants[number]] if participants is not None else []
        writer.writerow([*label, *("n/a" if np.isnan(value) else str(value) for value in row)])
    return text.getvalue()


def _content(path: Path) -> bytes:
    """Return the bytes of a file."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read as a table ({error}).") from error


def _cells(path: Path, content: bytes) -> tuple[list[str], list[list[str]]]:
    """Return the names of the columns, and the rows, as text; all rows have as many cells as the header."""
    try:
        text = io.StringIO(content.decode("utf-8-sig"), newline="")
        lines = [line for line in csv.reader(text, delimiter="\t") if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a table ({error}).") from error
    if not lines:
        raise DataError(f"{path}: is empty; expected a table with the names of parcels in its first line.")
    header = [name.strip() for name in lines[0]]
    if len(header) == 1 and "," in header[0]:
        raise DataError(f"{path}: its columns are separated by commas; expected tabs.")
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(header):
            raise DataError(f"{path}: row {number} has {len(line)} cells; expected {len(header)}, as in the first.")
    return header, lines[1:]


def _number(path: Path, row: int, name: str, text: str) -> float:
    """Return a cell as a number, NaN where a value is missing."""
    if text.strip().lower() in MISSING:
        return np.nan
    try:
        if "_" not in text:  # Python reads 1_000
            return float(text)
    except ValueError:
        pass
    raise DataError(f"{path}: row {row} of the column {name} holds {text!r}; expected a number, or n/a.")


def _are_values(names: Sequence[str]) -> bool:
    """Return whether what should be names are values: numbers, some of them with a fraction, which no label has."""
    try:
        return not all(float(name).is_integer() for name in names)
    except (ValueError, OverflowError):
        return False


def _and_others(names: Sequence[str]) -> str:
    return f"and {len(names) - 1} more, " if len(names) > 1 else ""


def _content_difference(mine: ParcelsAxis, its: ParcelsAxis) -> str:
    """Return the first parcel whose vertices or voxels differ, and how; empty where none does."""
    for structure, n in mine.nvertices.items():
        if its.nvertices.get(structure) != n:
            return f"found {structure} on a mesh of {its.nvertices.get(structure, 0):,} vertices; expected one of {n:,}"
    if mine.volume_shape != its.volume_shape or not _same_affine(mine.affine, its.affine):
        return f"found voxels on a grid of {its.volume_shape}; expected {mine.volume_shape}, at the same places"
    for number, name in enumerate(mine.name):
        voxels, others = mine.voxels[number], its.voxels[number]
        if not np.array_equal(voxels, others):
            return f"found other voxels in the parcel {name} ({len(others)}; expected {len(voxels)})"
        for structure in sorted({*mine.vertices[number], *its.vertices[number]}):
            own, other = (axis.vertices[number].get(structure, ()) for axis in (mine, its))
            if not np.array_equal(own, other):
                return f"found other vertices of {structure} in the parcel {name} ({len(other)}; expected {len(own)})"
    return ""


def _same_affine(one: Floats | None, other: Floats | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.allclose(one, other, rtol=0, atol=AFFINE_TOLERANCE_MM)
