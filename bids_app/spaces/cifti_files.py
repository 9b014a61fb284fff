"""CIFTI-2 files of maps with names: one map and the index of its elements, in and out.

What the elements are, grayordinates or parcels, is for the modules of that name. Like images, files are read once, and
no header is believed beyond what the file bears out.

References
----------
CIFTI-2 specification, https://www.nitrc.org/projects/cifti/.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.parsers.expat import ExpatError

import nibabel as nib
import numpy as np
from nibabel.cifti2.cifti2 import (
    Cifti2Header,
    Cifti2HeaderError,
    Cifti2Image,
    Cifti2Matrix,
    Cifti2MatrixIndicesMap,
)
from nibabel.cifti2.cifti2_axes import ScalarAxis
from nibabel.nifti1 import intent_codes
from numpy.typing import NDArray

from bids_app.arrays import Stack
from bids_app.errors import DataError
from bids_app.runtime.cpu_and_memory_limits import usable_memory_mb
from bids_app.spaces.image_files import UNREADABLE

Kind = Literal["grayordinates", "parcels"]

# What nibabel raises on a damaged header, besides what all images do
DAMAGED = (*UNREADABLE, Cifti2HeaderError, ExpatError, AttributeError, AssertionError, RecursionError)

HEADER_BYTES = 540  # of NIfTI-2
INDEX_OF: dict[Kind, str] = {"grayordinates": "CIFTI_INDEX_TYPE_BRAIN_MODELS", "parcels": "CIFTI_INDEX_TYPE_PARCELS"}
ENDINGS: dict[Kind, str] = {"grayordinates": ".dscalar.nii", "parcels": ".pscalar.nii"}
_INTENTS: dict[Kind, str] = {
    "grayordinates": "NIFTI_INTENT_CONNECTIVITY_DENSE_SCALARS",
    "parcels": "NIFTI_INTENT_CONNECTIVITY_PARCELLATED_SCALAR",
}
_INDEX_WORDS = {
    "CIFTI_INDEX_TYPE_SCALARS": "named maps",
    "CIFTI_INDEX_TYPE_BRAIN_MODELS": "grayordinates",
    "CIFTI_INDEX_TYPE_PARCELS": "parcels",
    "CIFTI_INDEX_TYPE_SERIES": "points of time",
    "CIFTI_INDEX_TYPE_LABELS": "maps of labels",
}


@dataclass(frozen=True, slots=True, eq=False)
class CiftiMap:
    """One map of a CIFTI file as it was read."""

    values: Stack
    """(n_elements,) NaN kept; in double precision where single does not hold it."""
    elements: Cifti2MatrixIndicesMap
    """What the elements are, as nibabel read it."""
    name: str
    """Of the map, as the file has it."""
    sha256: str


def read_cifti(path: Path, kind: Kind, chosen: int | str | None = None, most_bytes: float | None = None) -> CiftiMap:
    """Read one map of a CIFTI-2 file.

    Parameters
    ----------
    path : .dscalar.nii or .pscalar.nii
    kind : what its elements have to be
    chosen : number (from 0) or name of the map in a file that holds several; None: the file holds one
    most_bytes : that the file may take in memory; None: half of what this process may use

    Raises
    ------
    DataError
        For a file that is damaged, of another kind, or does not hold the map.
    """
    most_bytes = 5e5 * usable_memory_mb() if most_bytes is None else most_bytes
    try:
        content = _content(path, most_bytes)
        _check_length(content)
        image = Cifti2Image.from_bytes(content)
        header: Cifti2Header = image.header
        _check_indices(path, header, kind)
        names = [str(each.map_name) for each in header.matrix.get_index_map(0).named_maps]
        row = _row(path, names, chosen)
        data = np.asarray(image.dataobj[row : row + 1])[0]
        with np.errstate(over="ignore"):
            single = data.astype(np.float32)
        values = single if np.array_equal(single, data, equal_nan=True) else data.astype(np.float64)
    except DAMAGED as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise DataError(
            f"{path}: cannot be read as a CIFTI-2 file ({reason}). The file may be truncated or not a CIFTI-2 file; "
            "write or fetch it again."
        ) from error
    return CiftiMap(values, header.matrix.get_index_map(1), names[row], hashlib.sha256(content).hexdigest())


def cifti_bytes(
    maps: NDArray[np.floating], names: Sequence[str], elements: Cifti2MatrixIndicesMap, kind: Kind
) -> bytes:
    """Return maps as a CIFTI-2 file, in their own type and without a time stamp.

    Parameters
    ----------
    maps : (n_maps, n_elements)
    names : (n_maps,) of the maps
    elements : what the elements are
    kind : the same in a word

    Raises
    ------
    ValueError
        Where there is not a name for each map.
    """
    if len(maps) != len(names):
        raise ValueError(f"{len(names)} names of {len(maps)} maps")
    matrix = Cifti2Matrix()
    matrix.append(ScalarAxis(list(names)).to_mapping(0))
    matrix.append(elements)
    image = Cifti2Image(np.ascontiguousarray(maps), Cifti2Header(matrix))
    code = intent_codes.code[_INTENTS[kind]]
    image.nifti_header.set_intent(code, name=intent_codes.label[code])
    content: bytes = image.to_bytes()
    return content


def _content(path: Path, most_bytes: float) -> bytes:
    """Return the bytes of a file that is one, and not too large a one."""
    size = path.stat().st_size
    if not path.is_file():
        raise DataError(f"{path}: found no regular file; expected a CIFTI-2 file.")
    if size > most_bytes:
        raise DataError(
            f"{path}: has {size / 1e6:,.0f} MB, and one map may take {most_bytes / 1e6:,.0f} MB of the memory. If the "
            "map is that large, give more memory (--mem-mb)."
        )
    return path.read_bytes()


def _check_length(content: bytes) -> None:
    """Raise ValueError where the header asks for more than there is: nibabel would allocate it before it looks."""
    header = nib.Nifti2Header(content[:HEADER_BYTES], check=False)
    n_values = math.prod(int(length) for length in header.get_data_shape())
    n_asked = int(header["vox_offset"]) + n_values * header.get_data_dtype().itemsize
    if not 0 <= n_asked <= len(content):
        raise ValueError(f"its header asks for {n_asked:,} bytes, and there are {len(content):,}")


def _check_indices(path: Path, header: Any, kind: Kind) -> None:  # noqa: ANN401
    """Stop unless the rows are maps with names, and the columns the elements."""
    found = [str(header.matrix.get_index_map(dimension).indices_map_to_data_type) for dimension in (0, 1)]
    expected = ["CIFTI_INDEX_TYPE_SCALARS", INDEX_OF[kind]]
    if found == expected and header.number_of_mapped_indices == 2:
        return
    words = " of ".join(_INDEX_WORDS.get(each, each) for each in found)
    raise DataError(f"{path}: found {words}; expected named maps of {kind}, as in a {ENDINGS[kind]} file.")


def _row(path: Path, names: Sequence[str], chosen: int | str | None) -> int:
    """Return which of the maps of a file is meant."""
    listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    if chosen is None:
        if len(names) == 1:
            return 0
        raise DataError(
            f"{path}: holds {len(names)} maps ({listed}); expected one. To use one of them, list the maps in a table "
            "for --maps, and give the map's number (0 is the first) or its name in its column volume."
        )
    if isinstance(chosen, str):
        if names.count(chosen) == 1:
            return names.index(chosen)
        raise DataError(f"{path}: {names.count(chosen)} maps are called {chosen}; expected one. It holds {listed}.")
    if not 0 <= chosen < len(names):
        raise DataError(f"{path}: there is no map {chosen}: the file has {len(names)}, from 0 to {len(names) - 1}.")
    return chosen
