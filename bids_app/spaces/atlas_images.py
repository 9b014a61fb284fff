"""Atlases that users give as an image of labels, laid on the grid of the maps as the built-in ones are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bids_app.console.text import listed
from bids_app.errors import DataError
from bids_app.spaces.atlases import Atlas, nearest_atlas_voxels
from bids_app.spaces.volume import Grid, read_volume

MAX_NAMES = 8  # of a list in a message
MOST_REGIONS = 10_000  # more are no regions


def load_atlas_image(path: Path, names: Mapping[int, str] | None, grid: Grid, *, has_position: bool) -> Atlas:
    """Lay an image of labels on the grid of the maps, each voxel taking the nearest voxel of the image.

    Parameters
    ----------
    path : image of whole numbers, 0 where there is no region
    names : number -> name; None: regions are named by their numbers
    grid : of the maps
    has_position : whether the headers of the maps say where the voxels are

    Returns
    -------
    Atlas
        Its regions are those that have a name, in the order of the names, or of the numbers.

    Raises
    ------
    DataError
        For an image that cannot be read or holds other than whole numbers, and where nobody knows which of its voxels
        is which of the maps'.
    """
    volume = read_volume(path)
    data = np.nan_to_num(volume.data)
    numbers = np.rint(data)
    if np.any(numbers != data) or np.any(numbers < 0):
        odd = data[(numbers != data) | (numbers < 0)]
        raise DataError(
            f"{path}: is no image of labels: {odd.size} of its voxels hold other than whole numbers from 0, such as "
            f"{odd[0]:g}. Expected the number of a region in each voxel, 0 in none."
        )
    present = [int(number) for number in np.unique(numbers) if number != 0]
    if not present or len(present) > MOST_REGIONS:
        raise DataError(f"{path}: holds {len(present):,} labels; expected those of the regions of an atlas.")
    if not volume.grid.same_as(grid) and not (has_position and volume.has_position):
        raise DataError(
            f"{path}: is not on the grid of the maps, and the headers of the maps or of the image hold no position, so "
            "that nobody knows which voxel is where. Give an atlas on the grid of the maps."
        )
    labels = {number: str(number) for number in present} if names is None else {**names}
    if not {*labels} & {*present}:
        raise DataError(
            f"{path}: none of its labels ({listed([str(number) for number in present], MAX_NAMES)}) has a name in the "
            f"table, whose numbers are {listed([str(number) for number in labels], MAX_NAMES)}."
        )
    flat = np.zeros(int(np.prod(grid.shape)), np.int32)
    targets, sources = nearest_atlas_voxels(grid.shape, grid.affine, volume.grid.shape, volume.grid.affine)
    flat[targets] = numbers.astype(np.int32).reshape(-1, order="F")[sources]
    return Atlas(path.name, labels, flat.reshape(1, *grid.shape), grid.affine, probabilistic=False)
