"""Reading of single maps: their frame, missing values, checksums and precision; and the maps inside the mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_app.arrays import Booleans, Floats, Stack
from bids_app.errors import DataError
from bids_app.inputs import plausibility
from bids_app.runtime.memory import MapStorage
from bids_app.spaces.frame import Frame, MapData, MapPlace
from bids_app.spaces.map_files import read_map
from bids_app.spaces.parcel_maps import is_table

Bits = NDArray[np.uint8]
MAX_ROUNDING = 1e-4  # rounding to single precision, as a share of a voxel's spread over the maps
BLOCK = 4096  # voxels sorted at a time


@dataclass(frozen=True, slots=True)
class BeforeModel:
    """What is done to every map before the model."""

    against: float = 0.0
    """Subtracted from every voxel, such as the chance level of a decoding accuracy."""
    fwhm_mm: float = 0.0
    """Full width at half maximum of a Gaussian by which the maps are smoothed inside the mask; 0: not at all."""


@dataclass(frozen=True, slots=True)
class MaskedMaps:
    """All maps inside the analysis mask."""

    values: Stack
    """(n_maps, n_elements), in the order of the rows; in double precision if single would round away what varies."""
    frame: Frame
    """What the rows of all the files stand for."""
    inside: Booleans
    """(n_rows,) which of the rows are inside the mask: these are the elements."""
    checksums: dict[Path, str]
    """sha256 of every file read."""
    n_lost: dict[str, int]
    """Subject -> elements of the starting mask missing in at least one of its maps."""
    notes: tuple[str, ...] = ()
    """Lines for the log."""
    coverage: NDArray[np.uint16] | None = None
    """(n_rows,) number of subjects who have a row of the starting mask in all their maps; None: not counted."""
    has_position: bool = True
    """Whether the headers of all maps give the position of the voxels."""
    masks: tuple[str, ...] = ()
    """Masks that were given, each with what of it is inside."""
    before: BeforeModel = BeforeModel()
    """What was done to the values after they were read."""

    def __post_init__(self) -> None:
        n_elements = int(self.inside.sum())
        if self.inside.shape != (self.frame.n_rows,) or self.values.shape[1] != n_elements:
            raise ValueError(
                f"values hold {self.values.shape[1]} {self.frame.plural}, the mask {n_elements} of {self.frame.n_rows}"
            )


@dataclass(frozen=True, slots=True)
class MapFile:
    """Facts about a map that was read."""

    sha256: str
    """Of the file; of several files, theirs one after the other."""
    has_position: bool
    looks_like: str
    """What it holds, if its values do not look like estimates; otherwise empty."""
    volume: int | str | None = None
    """Its number or name in a file that holds several."""
    row: str = ""
    """Whose row of a table it is."""

    @property
    def content(self) -> str:
        """What is the same for copies; rows of one table are none."""
        return " ".join([self.sha256, *([] if self.volume is None else [str(self.volume)]), *filter(None, [self.row])])


@dataclass(frozen=True, slots=True)
class MapRow:
    """What is present in all maps of a row of the table, and what is exactly zero in one of them, as bits."""

    present: Bits
    zero: Bits


@dataclass(frozen=True, slots=True)
class MapReader:
    """Reads the map files of a node and compares each with the first."""

    table: pd.DataFrame
    places: Sequence[tuple[MapPlace, ...]]
    """Where the maps of each row are."""
    first: MapData
    given: Booleans
    """(n_rows,) intersection of the given masks; without any, all rows."""
    masks: tuple[str, ...]
    """Names of the mask files."""
    notes: tuple[str, ...]
    """About the masks."""
    room: MapStorage
    files: dict[MapPlace, MapFile]
    """Filled by reading."""
    checksums: dict[Path, str]
    """sha256 of each file; filled by reading."""
    rounded: set[int]
    """Rows that were rounded when stored; filled by reading."""
    before: BeforeModel = BeforeModel()

    @property
    def subjects(self) -> list[str]:
        """Subject of each row."""
        return list(self.table["subject"])

    @property
    def plural(self) -> str:
        """What the rows of a map are called."""
        return self.first.frame.plural

    @property
    def zero_is_data(self) -> bool:
        """Whether a value of exactly zero is one, and not background."""
        return bool(self.masks) or self.first.frame.zero_is_data

    @property
    def labels(self) -> list[str]:
        """Name of each row in messages."""
        return [f"sub-{subject} {condition}" for subject, condition in self.table[["subject", "condition"]].to_numpy()]

    def has(self, data: Stack) -> Booleans:
        """Return the voxels that a map has: without a mask zeros are background, inside a given one they are data.

        Zeros of parcels are data.
        """
        finite = np.isfinite(data)
        return finite if self.zero_is_data else finite & (data != 0)

    def keep(self, values: Floats, stack: Stack, row: int) -> None:
        """Store values in a row of the stack, and record whether that rounded them."""
        with np.errstate(over="ignore"):
            stack[row] = values
        if not np.array_equal(stack[row], values, equal_nan=True):
            self.rounded.add(row)

    def was_zero(self, values: Stack) -> Booleans:
        """Return where stored values are those of voxels that were exactly zero in their file."""
        return np.asarray(values == values.dtype.type(-self.before.against))

    def zero_in_all(self, values: Stack) -> Booleans:
        """Return the voxels of (n_maps, n_voxels) stored values that were zero in every map that has them."""
        common = np.ones(values.shape[1], np.bool_)
        for row in values:
            common &= self.was_zero(row) | np.isnan(row)
        return common

    def survey(self, row: int, take: Callable[[Stack], None] | None = None) -> MapRow:
        """Read the maps of a row, pass each to `take`, and return which values are present and which are zero."""
        present, zero = self.given.copy(), np.zeros_like(self.given)
        for place in self.places[row]:
            data = self.first if place == self.first.place else read_map(place, self.room.of_one_map)
            if message := self.first.frame.difference(self.first.place.path, data.frame, place.path):
                raise DataError(message)
            looks_like = plausibility.looks_like(data.rows)
            self.files[place] = MapFile(
                " ".join(data.checksums.values()), data.has_position, looks_like, place.volume, place.row
            )
            self.checksums.update(data.checksums)
            present &= self.has(data.rows)
            if not data.frame.zero_is_data:
                zero |= data.rows == 0
            if take:
                take(data.rows)
        return MapRow(np.packbits(present), np.packbits(zero))


def places(table: pd.DataFrame) -> list[tuple[MapPlace, ...]]:
    """Return where the maps of each row of a table are.

    It has a column of volumes if any map is one of several in its file, and one of hemispheres for maps on surfaces. A
    map in a table of parcels is its subject's row.
    """
    n_maps = [len(paths) for paths in table["paths"]]
    volumes = table["volumes"] if "volumes" in table else [(None,) * n for n in n_maps]
    hemispheres = table["hemispheres"] if "hemispheres" in table else [((),) * n for n in n_maps]
    of_rows = zip(table["subject"], table["paths"], volumes, hemispheres, strict=True)
    return [
        tuple(
            MapPlace(path, volume, sides, subject if is_table(path) else "")
            for path, volume, sides in zip(*row, strict=True)
        )
        for subject, *row in of_rows
    ]


def count_rounded(values: Stack, ignore: Booleans | None = None) -> int:
    """Return how many voxels of (n_maps, n_voxels) single precision rounds by more than `MAX_ROUNDING` of their spread.

    Voxels to be ignored, (n_voxels,), have no spread to be lost.

    The spread is that within the narrowest groups of maps, whichever groups or conditions they are: the lower quartile
    of the gaps between sorted values, times their number. It errs on the small side.
    """
    n_rounded = 0
    for start in range(0, values.shape[1], BLOCK):
        block = np.sort(values[:, start : start + BLOCK].astype(np.float64), axis=0)  # NaN goes to the end
        gaps = np.sort(np.diff(block, axis=0), axis=0)
        n_gaps = np.sum(~np.isnan(gaps), axis=0)
        gap = np.take_along_axis(gaps, (n_gaps // 4)[None], axis=0)[0]
        rounding = 2.0**-24 * np.nanmax(np.abs(block), axis=0)
        lost = (n_gaps > 0) & (rounding > MAX_ROUNDING * gap * n_gaps)
        n_rounded += int(np.sum(lost if ignore is None else lost & ~ignore[start : start + BLOCK]))
    return n_rounded


def unpack_bits(bits: Bits, n_rows: int) -> Booleans:
    """Return one bit per row unpacked into booleans, (n_rows,)."""
    return np.unpackbits(bits, count=n_rows).astype(np.bool_)


def checksums(reader: MapReader) -> dict[Path, str]:
    """Return the checksums in the order of the rows, regardless of the order in which threads read them."""
    return {path: reader.checksums[path] for row in reader.places for place in row for path in place.files}
