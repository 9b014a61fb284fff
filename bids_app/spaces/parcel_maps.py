"""Maps of parcels: one from its CIFTI file, its table, or its row of a table of all subjects, and their frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bids_app.arrays import Booleans, Integers, Longs
from bids_app.console.text import listed, natural
from bids_app.errors import DataError
from bids_app.spaces.cifti_files import ENDINGS
from bids_app.spaces.domain import Element
from bids_app.spaces.frame import Frame, MapData, MapPlace
from bids_app.spaces.parcels import TABLE, ParcelDomain, Parcels, ParcelTable, read_parcel_table, read_pscalar
from bids_app.spaces.volume import Grid

MAX_NAMES = 8  # of a list in a message


@dataclass(frozen=True, slots=True, eq=False)
class ParcelRegions:
    """The regions of an atlas that maps were averaged over."""

    atlas: str
    """Key of an atlas that comes with the app; otherwise the name of the image's file."""
    grid: Grid
    """Of the maps."""
    labels: Integers
    """(i, j, k) number of the region that each voxel of the grid lies in, 0 in none."""
    numbers: tuple[int, ...]
    """(n_regions,) of the parcels, in their order."""
    n_voxels: Longs
    """(n_regions,) voxels that the mean is over."""
    n_missing: Longs
    """(n_regions,) voxels of the region that were left out, since they are not in the analysis mask."""


@dataclass(frozen=True, slots=True, eq=False)
class ParcelFrame(Frame):
    """The parcels of all maps, in their order."""

    parcels: Parcels
    regions: ParcelRegions | None = None
    """Where the parcels are means of volumes."""

    def __str__(self) -> str:
        return f"{len(self.parcels.names):,} parcels ({listed(self.parcels.names, 3)})"

    @property
    def n_rows(self) -> int:
        """Parcels of a file."""
        return len(self.parcels.names)

    @property
    def element(self) -> Element:
        """A row is a parcel."""
        return "parcel"

    @property
    def zero_is_data(self) -> bool:
        """A mean may be zero; a parcel without data is NaN or n/a."""
        return True

    def difference(self, path: Path, other: Frame, other_path: Path) -> str:
        """Return the first parcel that differs in another map."""
        if not isinstance(other, ParcelFrame):
            return f"The maps are not of one kind.\n  {path}: {self}\n  {other_path}: {other}\nChoose one kind of them."
        if not (found := self.parcels.difference(other.parcels)):
            return ""
        return (
            f"The maps are not of the same parcels.\n  {path}: {self}\n  {other_path}: {found}\n"
            "Parcels are compared by their place in the file: all maps need the same ones, by the same names and in "
            "the same order."
        )

    def domain(self, inside: Booleans, connectivity: int = 0, *, is_mni: bool = False) -> ParcelDomain:  # noqa: ARG002
        """Return the parcels that are inside; none is another's neighbour."""
        return ParcelDomain.from_parcels(self.parcels, inside)


def holds_parcels(path: Path) -> bool:
    """Return whether a file is one of parcels, by its name."""
    return path.name.casefold().endswith((ENDINGS["parcels"], TABLE))


def is_table(path: Path) -> bool:
    """Return whether a file is a table, by its name."""
    return path.name.casefold().endswith(TABLE)


def read_parcel_map(place: MapPlace, most_bytes: float | None = None) -> MapData:
    """Read one map of parcels.

    Parameters
    ----------
    place : its file; of a table with a row a subject, the subject too
    most_bytes : that the values of a file may take; None: half of the memory that this process may use

    Raises
    ------
    DataError
        For a file that is damaged or none of parcels, and for a subject who has no row.
    """
    if not is_table(place.path):
        found, parcels = read_pscalar(place.path, place.volume, most_bytes)
        return MapData(place, found.values, ParcelFrame(parcels), {place.path: found.sha256}, has_position=True)
    about = place.path.stat() if place.path.exists() else None
    table = _table(place.path, (about.st_size, about.st_mtime_ns) if about else ())
    values = table.values[_row(place, table.participants)]
    return MapData(place, values, ParcelFrame(table.parcels), {place.path: table.sha256}, has_position=True)


@lru_cache(maxsize=2)  # a table of all subjects is asked for as many times as it has rows
def _table(path: Path, state: tuple[int, ...]) -> ParcelTable:  # noqa: ARG001
    """Return a table as it was at a state of its file."""
    return read_parcel_table(path)


def _row(place: MapPlace, participants: Sequence[str] | None) -> int:
    """Return the row of a subject; the only one where the table names nobody."""
    if participants is None:
        return 0
    labels = [label.removeprefix("sub-") for label in participants]
    if place.row in labels:
        return labels.index(place.row)
    near = [label for label in labels if label.lstrip("0") == place.row.lstrip("0")]
    hint = f" Did you mean {near[0]}? Labels are compared with their leading zeros." if near else ""
    there = listed(sorted((f"sub-{label}" for label in labels), key=natural), MAX_NAMES)
    raise DataError(
        f"{place.path}: has no row of sub-{place.row}.{hint} It has rows of {there}. Add the row, or leave the subject "
        "out: --participant-label names the others."
    )
