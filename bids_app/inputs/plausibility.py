"""Plausibility of the maps: copies, masks and label images among them, non-zero backgrounds, masks beyond the brain.

None of this is certain, so all of it is a warning; only a non-zero background stops a run, if no mask is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bids_app.arrays import Booleans, Singles
from bids_app.console.text import listed
from bids_app.errors import DataError, Warned

MIN_BACKGROUND = 0.01  # share of the voxels that hold one value in every map; below it, coincidence is possible
SAMPLE = 5000  # voxels, usually enough to see that a map is neither a mask nor a label image
MIN_FILLED_FACES = 5  # of the six; a slab of the brain in a tight box can fill four
MAX_NAMES = 5


def looks_like(data: Singles) -> str:
    """Return what a map, (i, j, k), holds if its values do not look like estimates; otherwise an empty text."""
    flat = data.ravel(order="K")  # copies nothing
    for values in (flat[:: max(1, flat.size // SAMPLE)], flat):  # some are enough for nearly all maps
        distinct = np.unique(values[np.isfinite(values)])
        is_whole = bool(np.all((distinct >= 0) & (distinct == np.rint(distinct))))
        if distinct.size > 2 and not is_whole:
            return ""
    if distinct.size > 2:
        return "whole numbers, like a label image"
    if distinct.size == 2:
        return f"{distinct[0]:g} and {distinct[1]:g}, like a mask"
    return f"{distinct[0]:g}" if distinct.size else "NaN"


def on_looks(maps: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield a warning for each kind of content, of maps given as (name, content), that does not look like estimates."""
    for content in dict.fromkeys(content for _, content in maps if content):
        names = [name for name, looks in maps if looks == content]
        yield Warned(f"maps that hold only {content}: {listed(names, MAX_NAMES)}. Are these the intended maps?")


def on_copies(what: str, maps: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield a warning that names the maps, given as (name, fingerprint), that are identical."""
    groups: dict[str, list[str]] = {}
    for name, fingerprint in maps:
        groups.setdefault(fingerprint, []).append(name)
    identical = [listed(names, MAX_NAMES, " = ") for names in groups.values() if len(names) > 1]
    if identical:
        yield Warned(f"{what} under more than one name: {listed(identical, MAX_NAMES, '; ')}. Each counts separately")


def on_background(same: Singles, n_voxels: int, *, masked: bool) -> Iterator[str]:
    """Yield a warning if the maps seem to have a background that is not zero.

    At the edge of the brain, where maps differ in extent, it marks missing data and would be taken for data.

    Parameters
    ----------
    same : (n,) values of the voxels that hold the same value in all maps
    n_voxels : of the analysis mask
    masked : whether a mask was given

    Raises
    ------
    DataError
        If no mask is given, which alone could tell brain from background.
    """
    distinct, counts = np.unique(same[same != 0], return_counts=True)
    if not counts.size or same.size == n_voxels or counts.max() <= MIN_BACKGROUND * n_voxels:
        return
    voxels = f"{counts.max()} of {n_voxels} voxels hold {distinct[counts.argmax()]:g} in every map"
    if not masked:
        raise DataError(
            f"The maps have a background that is neither 0 nor NaN: {voxels}. At the edge of the brain it would "
            "be taken for data. Give a mask with --mask, or write 0 or NaN outside the brain."
        )
    yield Warned(
        f"{voxels}, inside the given mask, like a background: where only some maps hold it, it is taken for data. "
        "Check the mask and the maps"
    )


def on_faces(mask: Booleans, *, masked: bool) -> Iterator[str]:
    """Yield a warning if an analysis mask, (i, j, k), fills more than half of most faces of its box: no brain does."""
    faces = (mask.take(end, axis) for axis in range(3) for end in (0, -1))
    n_filled = sum(2 * int(face.sum()) > face.size for face in faces)
    if n_filled >= MIN_FILLED_FACES:
        yield Warned(
            f"the analysis mask fills {n_filled} of the six faces of the image box. It probably includes voxels "
            "outside the brain, and corrections for multiple comparisons count them. "
            + ("Check the mask" if masked else "Give a mask with --mask")
        )
