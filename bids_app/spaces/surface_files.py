"""Files of one hemisphere: maps (GIFTI, mgh), meshes (GIFTI, FreeSurfer's geometry), labels (GIFTI, annot), read once.

What a file says of itself, its hemisphere and its kind, is believed over its name; where the two contradict each other
nothing is read.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import numpy as np
from nibabel.freesurfer.io import read_annot, read_geometry
from nibabel.freesurfer.mghformat import MGHImage
from nibabel.gifti.gifti import GiftiDataArray, GiftiImage
from nibabel.nifti1 import intent_codes
from numpy.typing import NDArray

from bids_app.arrays import Floats, Integers, Stack
from bids_app.errors import DataError
from bids_app.runtime.cpu_and_memory_limits import usable_memory_mb
from bids_app.spaces.frame import MapData, MapPlace
from bids_app.spaces.image_files import UNREADABLE
from bids_app.spaces.surface import HEMISPHERES, Mesh, SurfaceFrame, check_mesh
from bids_app.spaces.surface_labels import NAMELESS, HemisphereLabels

DAMAGED = (*UNREADABLE, ExpatError, AssertionError)
GZIP = b"\x1f\x8b"
STRUCTURE = "AnatomicalStructurePrimary"
MGH = (".mgh", ".mgz")
# Kinds of meshes whose areas are no cortex's; in a name the word stands alone, as sub-flat01 need not be flat
FLATTENED = re.compile(r"inflated|sphere|spherical|flat|ellipsoid", re.I)
FLATTENED_NAME = re.compile(r"(?<![a-z-])(inflated|sphere|spherical|flat|ellipsoid)(?![a-z0-9])", re.I)
ARRAYS_OF_MESHES = ("NIFTI_INTENT_POINTSET", "NIFTI_INTENT_TRIANGLE")


def read_surface_map(place: MapPlace, most_bytes: float | None = None) -> MapData:
    """Read one map from the files of its hemispheres.

    Parameters
    ----------
    place : L, R or both, each with its file
    most_bytes : that the values of one file may take; None: half of the memory that this process may use

    Raises
    ------
    DataError
        For a damaged file, one that is no map of a hemisphere or of the other one, or that holds several maps.
    """
    parts, checksums = [], {}
    for side, path in place.hemispheres:
        content = _content(path, most_bytes)
        checksums[path] = hashlib.sha256(content).hexdigest()
        parts.append(_parsed(path, lambda path=path, side=side, content=content: _rows(path, side, content, place)))  # type: ignore[misc]
    frame = SurfaceFrame(tuple(side for side, _ in place.hemispheres), tuple(part.size for part in parts))
    rows = np.concatenate(parts)
    with np.errstate(over="ignore"):
        single = rows.astype(np.float32)
    exact = np.array_equal(single, rows, equal_nan=True)
    return MapData(place, single if exact else rows, frame, checksums, has_position=True)


def read_mesh(path: Path, side: str) -> Mesh:
    """Read the mesh of a hemisphere, L or R: GIFTI, or a geometry file of FreeSurfer.

    Raises
    ------
    DataError
        For a damaged file, one that is no mesh or that of the other hemisphere, and for an inflated one or a sphere,
        whose triangles have other areas than the cortex.
    """
    content = _content(path, None)
    is_gifti = path.name.lower().endswith((".gii", ".gii.gz"))
    points, faces, kind = _parsed(
        path, lambda: _gifti_mesh(path, side, content) if is_gifti else (*_freesurfer_mesh(path), "")
    )
    if found := FLATTENED.search(kind) or FLATTENED_NAME.search(path.name):
        raise DataError(
            f"--surface: {path} is {found.group().lower()}, and the areas of its triangles are not those of the "
            "cortex; expected a white, pial or midthickness surface."
        )
    mesh = Mesh(side, points.astype(np.float64), faces.astype(np.int32), path.name)
    if problem := check_mesh(mesh):
        raise DataError(f"--surface: {path}: {problem}; expected the mesh of a hemisphere.")
    return mesh


def read_labels(path: Path, side: str) -> HemisphereLabels:
    """Read the labels of the vertices of a hemisphere, L or R: GIFTI (.label.gii), or FreeSurfer's .annot.

    Raises
    ------
    DataError
        For a damaged file, one without labels or with several labels a vertex, and that of the other hemisphere.
    """
    content = _content(path, None)
    if path.name.lower().endswith((".gii", ".gii.gz")):
        numbers, names = _parsed(path, lambda: _gifti_labels(path, side, content))
    elif path.name.lower().endswith(".annot"):
        numbers, names = _parsed(path, lambda: _annotation(path, side, content))
    else:
        raise DataError(f"--surface-labels: {path}: expected the labels of all vertices, .label.gii or .annot.")
    named = {number: name for number, name in names.items() if name.strip().casefold() not in NAMELESS}
    if not named:
        raise DataError(f"--surface-labels: {path} has no name of any region; expected .label.gii or .annot.")
    return HemisphereLabels(side, np.asarray(numbers, np.int64), named, path.name)


def mesh_bytes(mesh: Mesh) -> bytes:
    """Return a mesh as GIFTI, in single precision, without a time stamp."""
    points = GiftiDataArray(mesh.points.astype(np.float32), "NIFTI_INTENT_POINTSET", "NIFTI_TYPE_FLOAT32")
    faces = GiftiDataArray(mesh.faces.astype(np.int32), "NIFTI_INTENT_TRIANGLE", "NIFTI_TYPE_INT32")
    for array in (points, faces):
        array.meta[STRUCTURE] = structure_of(mesh.side)
    image = GiftiImage(darrays=[points, faces])
    image.meta[STRUCTURE] = structure_of(mesh.side)
    return bytes(image.to_bytes())


def structure_of(side: str) -> str:
    """Return what GIFTI calls the cortex of a side: CortexLeft, CortexRight."""
    return f"Cortex{HEMISPHERES[side].capitalize()}"


def _content(path: Path, most_bytes: float | None) -> bytes:
    """Return the bytes of a file, which must be a file and fit into the memory that one map may take."""
    most_bytes = 5e5 * usable_memory_mb() if most_bytes is None else most_bytes
    try:
        if not path.is_file():
            raise DataError(f"{path}: found no file; expected the file of a hemisphere.")
        if path.stat().st_size > most_bytes:
            raise DataError(
                f"{path} has {path.stat().st_size / 1e6:,.0f} MB, and one map may take {most_bytes / 1e6:,.0f} MB of "
                "the memory. Give more memory (--mem-mb)."
            )
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error


def _unpacked(path: Path, content: bytes) -> bytes:
    """Return content unpacked where it is compressed, and never more of it than half of the memory holds."""
    if not content.startswith(GZIP):
        return content
    most_bytes = int(5e5 * usable_memory_mb())
    unpacked = gzip.GzipFile(fileobj=io.BytesIO(content)).read(most_bytes + 1)
    if len(unpacked) > most_bytes:
        raise DataError(f"{path} unpacks to more than {most_bytes / 1e6:,.0f} MB, half of the memory: it is no map.")
    return unpacked


def _parsed(path: Path, parse: Callable[[], Any]) -> Any:  # noqa: ANN401
    """Return what a file holds, or say that it is damaged."""
    try:
        return parse()
    except DAMAGED as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise DataError(
            f"{path}: cannot be read as a file of a hemisphere ({reason}). The file may be truncated or of another "
            "kind; write or fetch it again."
        ) from error


def _rows(path: Path, side: str, content: bytes, place: MapPlace) -> Floats:
    """Return the values of a hemisphere, (n_vertices,)."""
    if path.name.lower().endswith(MGH):
        return _mgh_rows(path, content, place.number)
    image = _gifti(path, side, content)
    arrays = [array for array in image.darrays if array.data is not None]
    if any(array.intent in _codes(ARRAYS_OF_MESHES) for array in arrays):
        raise DataError(f"{path}: holds a mesh (GIFTI, points and triangles); expected a map with a value a vertex.")
    if len(arrays) != 1 and place.number is None:
        named = ", ".join(f"{number} {_name(array)}".strip() for number, array in enumerate(arrays))
        raise DataError(
            f"{path}: holds {len(arrays)} data arrays ({named or 'none'}); expected one map. Write a file for each, or "
            "list the maps in a table for --maps and give the array's number in its column volume."
        )
    number = place.number or 0
    if number >= len(arrays):
        raise DataError(f"{path}: there is no data array {number}: the file has {len(arrays)}, from 0 on.")
    return _one_a_vertex(path, np.asarray(arrays[number].data))


def _mgh_rows(path: Path, content: bytes, number: int | None) -> Floats:
    """Return one map of FreeSurfer's format: its first axis is that of the vertices."""
    image = MGHImage.from_bytes(_unpacked(path, content))
    data = np.asarray(image.dataobj)
    if data.shape[1:3] != (1, 1):
        raise DataError(
            f"{path}: found an image of {' x '.join(map(str, data.shape))}, a volume; expected a map of a hemisphere, "
            "n_vertices x 1 x 1."
        )
    maps = data.reshape(len(data), -1)
    if maps.shape[1] > 1 and number is None:
        raise DataError(
            f"{path}: holds {maps.shape[1]} maps (frames); expected one. Give its number in the column volume of the "
            "table for --maps."
        )
    if (number or 0) >= maps.shape[1]:
        raise DataError(f"{path}: there is no map {number}: the file has {maps.shape[1]}, from 0 on.")
    return _one_a_vertex(path, maps[:, number or 0])


def _one_a_vertex(path: Path, data: NDArray[Any]) -> Floats:
    """Return values as a vector in double precision."""
    if data.dtype.kind not in "biuf" or data.size != max(data.shape, default=0) or not data.size:
        raise DataError(f"{path}: holds {data.dtype} of shape {data.shape}; expected one real number for each vertex.")
    return np.asarray(data.ravel(), np.float64)


def _gifti(path: Path, side: str, content: bytes) -> GiftiImage:
    """Return a GIFTI file, which must not say that it is of another structure than its name."""
    image = GiftiImage.from_bytes(_unpacked(path, content))
    assert isinstance(image, GiftiImage)
    stated = {each.meta.get(STRUCTURE) for each in (image, *image.darrays)} - {None, ""}
    expected = structure_of(side)
    if wrong := sorted(each for each in stated if each.casefold() != expected.casefold()):
        raise DataError(
            f"{path}: the file says that it is of {wrong[0]} ({STRUCTURE}), and by its name or the table it is "
            f"hemi-{side}, {expected}. Correct which file belongs to which hemisphere."
        )
    return image


def _gifti_mesh(path: Path, side: str, content: bytes) -> tuple[Stack, Integers, str]:
    """Return points (n_vertices, 3), triangles (n_faces, 3) and the kind of a mesh."""
    image = _gifti(path, side, content)
    found = [image.get_arrays_from_intent(intent) for intent in ARRAYS_OF_MESHES]
    if [len(arrays) for arrays in found] != [1, 1]:
        raise DataError(f"--surface: {path} is no mesh: expected one array of points and one of triangles (.surf.gii).")
    points, faces = found[0][0], found[1][0]
    return np.asarray(points.data), np.asarray(faces.data), str(points.meta.get("GeometricType") or "")


def _gifti_labels(path: Path, side: str, content: bytes) -> tuple[NDArray[Any], dict[int, str]]:
    """Return the number of each vertex, (n_vertices,), and the names of the numbers."""
    image = _gifti(path, side, content)
    arrays = image.get_arrays_from_intent("NIFTI_INTENT_LABEL")
    if len(arrays) != 1:
        named = ", ".join(f"{number} {_name(array)}".strip() for number, array in enumerate(arrays))
        raise DataError(
            f"--surface-labels: {path} holds {len(arrays)} arrays of labels ({named or 'none'}); expected one. Write "
            "the one that is meant to a file of its own."
        )
    numbers = _one_a_vertex(path, np.asarray(arrays[0].data))
    return numbers, {int(key): str(name or "") for key, name in image.labeltable.get_labels_as_dict().items()}


def _annotation(path: Path, side: str, content: bytes) -> tuple[NDArray[Any], dict[int, str]]:
    """Return the same of FreeSurfer's format, whose name alone tells the hemisphere."""
    if path.name.startswith({"L": "rh.", "R": "lh."}[side]):
        raise DataError(
            f"--surface-labels: {path} is named for the {'right' if side == 'L' else 'left'} hemisphere and given as "
            f"{side}. Correct which file belongs to which hemisphere."
        )
    n_vertices = int.from_bytes(content[:4], "big")
    if len(content) < 4 + 8 * n_vertices:
        raise ValueError(f"{len(content):,} bytes, too few for {n_vertices:,} vertices")
    numbers, _, names = read_annot(path)
    return numbers, {number: name.decode("utf-8", "replace") for number, name in enumerate(names)}


def _freesurfer_mesh(path: Path) -> tuple[Stack, Integers]:
    """Return points and triangles of FreeSurfer's own format."""
    points, faces = read_geometry(path)[:2]
    return np.asarray(points), np.asarray(faces)


def _codes(intents: tuple[str, ...]) -> set[object]:
    """Return the numbers that stand for kinds of arrays in GIFTI."""
    return {intent_codes.code[intent] for intent in intents}


def _name(array: GiftiDataArray) -> str:
    return str(array.meta.get("Name") or "")
