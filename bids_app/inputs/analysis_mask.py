"""The masks that are given: which of their voxels are inside, and on which grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bids_app.arrays import Booleans, Stack
from bids_app.console.text import listed
from bids_app.errors import DataError, Warned
from bids_app.spaces.frame import MapData, VolumeFrame
from bids_app.spaces.volume import Grid, VolumeData, nearest_on_grid, read_volume, share_beyond

MASK_ROUNDING = 1e-3  # deviations from 0 and 1, or from a whole label, that interpolation and scaling leave in a mask
FEW = 0.05  # share of a mask; beyond the maps' field of view fewer voxels are nothing unusual
MAX_LABELS = 20


@dataclass(frozen=True, slots=True)
class MaskChoice:
    """Which voxels of a mask image are inside, and what becomes of a mask on another grid."""

    threshold: float | None = None
    """Values above it are inside; None: of a mask with two values, the larger one."""
    labels: tuple[int, ...] = ()
    """Values that are inside; empty: as `threshold` says."""
    resample: bool = False
    """Whether a mask on another grid is brought to that of the maps; otherwise it is refused."""

    def __post_init__(self) -> None:
        if self.labels and self.threshold is not None:
            raise ValueError("a threshold and labels; expected one of them, or neither")

    @property
    def words(self) -> str:
        """What of an image is inside, for a sentence; empty where that need not be said."""
        if self.labels:
            return f"label{'s' if len(self.labels) > 1 else ''} {listed(list(map(str, self.labels)), MAX_LABELS)}"
        return "" if self.threshold is None else f"values above {self.threshold:g}"


@dataclass(frozen=True, slots=True)
class GivenMask:
    """The intersection of the masks that are given, on the grid of the maps."""

    inside: Booleans
    """(n_rows,) in the rows of the maps; without any mask, all of them."""
    names: tuple[str, ...] = ()
    """Of the files, each with what of it is inside and whether it was brought to the grid of the maps."""
    notes: tuple[str, ...] = ()


def intersect_masks(paths: Sequence[Path], maps: MapData, choice: MaskChoice, most_bytes: float | None) -> GivenMask:
    """Return the intersection of the given masks on the grid of the maps; without any, all rows of the maps.

    Parameters
    ----------
    paths : mask files
    maps : the first of the maps, for the grid; masks are given for volumes only
    choice : which voxels of the images are inside
    most_bytes : that the voxels of one mask may take

    Raises
    ------
    DataError
        For an image that is not a mask and of which nothing says what is inside, a grid other than that of the maps,
        or an empty mask.
    """
    inside = np.ones(maps.frame.n_rows, np.bool_)
    names: list[str] = []
    notes: list[str] = []
    if not paths and (choice.words or choice.resample):
        notes.append(
            Warned("--mask-threshold, --mask-label and --resample-mask are not used: neither --mask nor the model's "
                   "Options.Mask names a mask")
        )  # fmt: skip
    for path in paths:
        volume, grid = read_volume(path, most_bytes), _grid_of(maps)
        own, said = _inside(volume, choice)
        notes += said
        name = f"{path.name}, {choice.words}" if choice.words else path.name
        if not volume.grid.same_as(grid):
            own, said = _on_grid_of_maps(own, volume, maps, choice)
            notes += said
            name += ", by nearest neighbour on the grid of the maps"
        names.append(name)
        inside &= own.ravel()
        if n_nan := int(np.isnan(volume.data).sum()):
            notes.append(Warned(f"the mask {path.name} is NaN in {n_nan} voxels, which are treated as outside"))
    if not inside.any():
        inner = choice.words or "voxel above zero"
        raise DataError(f"The analysis mask is empty: {', '.join(map(str, paths))} have no {inner} in common.")
    return GivenMask(inside, tuple(names), tuple(notes))


def _inside(volume: VolumeData, choice: MaskChoice) -> tuple[Booleans, list[str]]:
    """Return the inside of a mask as the choice says, or that of an image which holds zero and one value above it."""
    binary = _larger_of_two(volume.data)
    if choice.labels:
        inside = _with_labels(volume, choice.labels)
    elif choice.threshold is not None:
        inside = _above(volume, choice.threshold)
    elif binary is not None:
        return binary, []
    else:
        raise DataError(_no_mask(volume))
    if binary is None:
        return inside, []
    same = bool(np.array_equal(inside, binary))
    what = "the threshold" if choice.threshold is not None else "the label"
    said = f"{volume.path.name} holds two values, like a mask; {what} "
    return inside, [said + "changes nothing" if same else Warned(said + "takes other voxels than the larger of them")]


def _larger_of_two(data: Stack) -> Booleans | None:
    """Return where a mask is inside: at the larger of its two values, as nilearn requires too; None for another image.

    A probability map or an atlas is not a mask: it does not say where to cut it, or which region is meant.
    """
    values = data[~np.isnan(data)].astype(np.float64)
    top = float(values.max(initial=0))
    if math.isfinite(top) and np.all(np.minimum(np.abs(values), np.abs(values - top)) <= MASK_ROUNDING * top):
        return np.asarray(data > top / 2)
    return None


def _above(volume: VolumeData, threshold: float) -> Booleans:
    """Return the voxels above a threshold, of which there must be some."""
    inside = volume.data > threshold  # false where NaN
    if not inside.any():
        raise DataError(
            f"--mask-threshold {threshold:g}: no voxel of {volume.path} lies above it; its values go from "
            f"{np.nanmin(volume.data):g} to {np.nanmax(volume.data):g}. Expected a threshold within them, such as 0.5 "
            "for probabilities from 0 to 1, or 50 where they are in percent."
            if not np.isnan(volume.data).all()
            else f"--mask-threshold {threshold:g}: the mask {volume.path} holds nothing but NaN."
        )
    return np.asarray(inside)


def _with_labels(volume: VolumeData, labels: Sequence[int]) -> Booleans:
    """Return the voxels that hold one of the labels, each of which must occur, in an image of whole numbers."""
    data = volume.data
    rounded, finite = np.rint(data), np.isfinite(data)
    values = data[finite]
    parts = values[np.abs(values - rounded[finite]) > MASK_ROUNDING]
    if parts.size:
        raise DataError(
            f"--mask-label: {volume.path} is not an image of labels: {parts.size} of its voxels hold other than whole "
            f"numbers, such as {parts[0]:g}. A probability map takes a threshold: --mask-threshold P."
        )
    held = [int(value) for value in np.unique(rounded[finite]) if value != 0]
    if absent := [str(label) for label in labels if label not in held]:
        raise DataError(
            f"--mask-label: {volume.path} has no label {listed(absent)}. Its labels are "
            f"{listed(list(map(str, held)), MAX_LABELS)}."
        )
    return np.asarray(np.isin(rounded, labels) & finite)


def _no_mask(volume: VolumeData) -> str:
    """Return the message for an image of which nothing says what is inside."""
    distinct = np.unique(volume.data[~np.isnan(volume.data)].astype(np.float64))
    return (
        f"The mask {volume.path} is not a mask: it holds {distinct.size} different values from {distinct[0]:g} to "
        f"{distinct[-1]:g}; expected 0 outside and one value above it inside. Say what is inside: of a probability map "
        "the voxels above a threshold, --mask-threshold 0.5; of an atlas its labels, --mask-label 3 4."
    )


def _grid_of(maps: MapData) -> Grid:
    """Return the grid of maps that are volumes."""
    assert isinstance(maps.frame, VolumeFrame)
    return maps.frame.grid


def _on_grid_of_maps(
    own: Booleans, volume: VolumeData, maps: MapData, choice: MaskChoice
) -> tuple[Booleans, list[str]]:
    """Return a mask on the grid of the maps by nearest neighbour, where that is asked for, and notes."""
    path, grid, onto = volume.path, volume.grid, _grid_of(maps)
    if not choice.resample:
        raise DataError(
            f"The mask {path} is not on the grid of the maps.\n  mask: {grid}\n  maps: {onto}\n"
            "Give a mask on the grid of the maps, or have it brought there by nearest neighbour: --resample-mask."
        )
    positions = {volume.path: volume.has_position, maps.place.path: maps.has_position}
    if lost := [each for each, has_position in positions.items() if not has_position]:
        raise DataError(
            f"--resample-mask: the header of {lost[0]} holds no position (qform_code and sform_code are 0), so that "
            "nobody knows which voxels of the mask belong to which of the maps. Give a mask on the grid of the maps."
        )
    brought = nearest_on_grid(own, grid, onto)
    if not brought.any():
        raise DataError(
            f"--resample-mask: no voxel of the mask {path} lies on the grid of the maps.\n  mask: {grid}\n  maps: "
            f"{onto}\nAre both in one space?"
        )
    notes = [
        f"the mask {path.name} was brought from its grid ({grid.words}) to that of the maps ({onto.words}) by "
        f"nearest neighbour: from {int(own.sum())} voxels to {int(brought.sum())}"
    ]
    if (share := share_beyond(own, grid, onto)) > FEW:
        notes.append(Warned(f"{100 * share:.0f} % of the mask {path.name} lie beyond the field of view of the maps"))
    return brought, notes
