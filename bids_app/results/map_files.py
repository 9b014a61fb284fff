"""Maps of a node on the disk, in the kind of its input: a file, or one for each hemisphere, each with its sidecar."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Floats
from bids_app.console.text import in_elements
from bids_app.errors import DataError, MissingPathError
from bids_app.results.files import Json, replacing
from bids_app.results.folder import NodeFolder
from bids_app.results.node_writer import NodeWriter
from bids_app.spaces.domain import SpatialDomain

log = logging.getLogger("bids_app")

UNIT = "CriticalValueOf"
IN_WORDS = ("Description", "Interpretation", "Correction", UNIT)  # fields of sidecars that are sentences
OF_VOXELS = "Voxels"  # how fields end that count voxels


@dataclass(frozen=True, slots=True)
class MapWriter:
    """Writes the maps of a node through their domain, and sidecars in words that fit it."""

    folder: NodeWriter
    domain: SpatialDomain

    def write(self, name: str, values: NDArray[Any], content: Json, outside: float = 0.0) -> None:
        """Write one map in the type of its values, with a sidecar beside each of its files.

        Parameters
        ----------
        name : of the map, such as contrast-A_stat-t_statmap
        values : (n_elements,)
        content : of the sidecars
        outside : value of what the files hold beside the elements
        """
        if values.dtype == np.float64 and self.domain.element == "vertex" and "_stat-p_" not in name:
            log.warning(
                "%s holds values beyond single precision, and GIFTI has no other: the smallest are written as 0, the "
                "largest as infinite. Give maps or covariates in another unit",
                name,
            )
        for piece in self.domain.pieces:
            path = self.folder.keep(self.folder.file(f"{name}{piece.ending}", **piece.entities))
            with replacing(path) as temporary:
                piece.domain.write(temporary, values[piece.elements], outside=outside)
            self.sidecar(path, content)

    def sidecar(self, path: Path, content: Json) -> None:
        """Write the JSON sidecar of a file, in the words of the domain."""
        self.folder.sidecar(path, content if self.domain.element == "voxel" else self._in_words(content))

    def _in_words(self, content: Json) -> Json:
        """Return what is said of voxels, said of the elements of the domain."""
        element, said = self.domain.element, Json()
        for key, value in content.items():
            name = key.replace(OF_VOXELS, self.domain.plural.capitalize())
            if isinstance(value, dict):
                said[name if key.endswith(OF_VOXELS) else key] = self._in_words(value)
            elif key == UNIT and element == "grayordinate":
                said[key] = value  # sizes are areas, or numbers of voxels
            elif key in IN_WORDS and isinstance(value, str):
                said[key] = in_elements(value, element)
            else:
                said[name if key.endswith(OF_VOXELS) else key] = value
        return said


@dataclass(frozen=True, slots=True)
class MapFolder:
    """Reads the maps of a node that a run wrote."""

    paths: NodeFolder
    domain: SpatialDomain

    def has(self, name: str) -> bool:
        """Whether a map is there."""
        return any(path.exists() for path in self.files(name))

    def files(self, name: str) -> tuple[Path, ...]:
        """Return the files of a map, such as contrast-A_stat-t_statmap."""
        return tuple(self.paths.file(f"{name}{piece.ending}", **piece.entities) for piece in self.domain.pieces)

    def read(self, name: str) -> Floats:
        """Read one map, (n_elements,), in double precision.

        Raises
        ------
        MissingPathError, DataError
            When a file is absent or damaged.
        """
        values = np.empty(self.domain.n_elements)
        for piece, path in zip(self.domain.pieces, self.files(name), strict=True):
            values[piece.elements] = reading(path, piece.domain.read)
        return values


def reading(path: Path, read: Callable[[Path], Any]) -> Any:  # noqa: ANN401
    """Return what a file holds; what is missing is named, what is damaged too."""
    if not path.is_file():
        read_bytes(path)  # says what is missing
    try:
        return read(path)
    except DataError as error:
        raise damaged(path, error) from error


def read_bytes(path: Path) -> bytes:
    """Read a file that a run wrote; what is missing is named."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise MissingPathError(
            f"{path} is missing, which the report is made from. Put it back, or run the analysis again."
        ) from error
    except OSError as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> DataError:
    """Return the error for a file that a run wrote and that cannot be read."""
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return DataError(f"{path}: cannot be read ({reason}). The file is damaged: run the analysis again.")
