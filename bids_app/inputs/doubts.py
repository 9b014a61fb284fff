"""Do the maps look like what is meant? Copies, masks and labels among them, backgrounds, masks that fill the box.

None of this is certain, so all of it is a warning; but a background that is not zero stops a run that has no mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bids_app.arrays import Booleans, Singles
from bids_app.errors import DataError, Warned

LEAST_BACKGROUND = 0.01  # share of the voxels with one value in every map from which that is no chance
SAMPLE = 5000  # voxels that are enough to see that a map is no mask and no label image
LEAST_FACES = 5  # of the six; a slab of the brain can fill four, where its box is tight
MOST_NAMED = 5


def looks_like(data: Singles) -> str:
    """Say what a map is by its values, (i, j, k), where these are not those of estimates; otherwise empty."""
    flat = data.ravel(order="K")  # copies nothing
    for values in (flat[:: max(1, flat.size // SAMPLE)], flat):  # some are enough for nearly all maps
        distinct = np.unique(values[np.isfinite(values)])
        is_whole = bool(np.all((distinct >= 0) & (distinct == np.rint(distinct))))
        if distinct.size > 2 and not is_whole:
            return ""
    if distinct.size > 2:
        return "whole numbers, as label images do"
    if distinct.size == 2:
        return f"{distinct[0]:g} and {distinct[1]:g}, as masks do"
    return f"{distinct[0]:g}" if distinct.size else "NaN"


def on_looks(found: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Name the maps, (name, looks), that look like something else."""
    for looks in dict.fromkeys(looks for _, looks in found if looks):
        names = [name for name, own in found if own == looks]
        yield Warned(f"maps that hold only {looks}: {listed(names)}. Are these the maps that are meant?")


def on_copies(what: str, found: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Name the maps, (name, fingerprint), that are the same."""
    groups: dict[str, list[str]] = {}
    for name, fingerprint in found:
        groups.setdefault(fingerprint, []).append(name)
    same = [listed(names, between=" = ") for names in groups.values() if len(names) > 1]
    if same:
        yield Warned(f"{what} under more than one name: {listed(same, between='; ')}. Each is counted as it is named")


def on_background(same: Singles, n_voxels: int, *, masked: bool) -> Iterator[str]:
    """Look for a background that is not zero.

    Where brains differ at their edge it stands in some maps for what is missing, and would be taken for data.

    Parameters
    ----------
    same : (n,) values of the voxels that hold one value in all maps
    n_voxels : of the analysis mask
    masked : whether the mask was given

    Raises
    ------
    DataError
        Without a mask, which alone would tell brain from background.
    """
    distinct, counts = np.unique(same[same != 0], return_counts=True)
    if not counts.size or same.size == n_voxels or counts.max() <= LEAST_BACKGROUND * n_voxels:
        return
    found = f"{counts.max()} of {n_voxels} voxels hold {distinct[counts.argmax()]:g} in every map"
    if not masked:
        raise DataError(
            f"The maps have a background that is neither 0 nor NaN: {found}. At the edge of the brain it would be "
            "taken for data. Give a mask with --mask, or write 0 or NaN outside the brain."
        )
    yield Warned(
        f"{found}, inside the mask that is given, as a background does: where only some maps hold it, it is taken for "
        "data. Check mask and maps"
    )


def on_faces(mask: Booleans, *, masked: bool) -> Iterator[str]:
    """Look for an analysis mask, (i, j, k), that holds more than half of most faces of its box, as no brain does."""
    faces = (mask.take(end, axis) for axis in range(3) for end in (0, -1))
    n_filled = sum(2 * int(face.sum()) > face.size for face in faces)
    if n_filled >= LEAST_FACES:
        yield Warned(
            f"the analysis mask fills {n_filled} of the six faces of the box of the images, so that it is likely to "
            "hold more than the brain, and corrections count the voxels outside of it. "
            + ("Check the mask" if masked else "Give a mask with --mask")
        )


def listed(names: Sequence[str], *, between: str = ", ") -> str:
    """List a few names, and how many more there are."""
    more = f"{between}and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return between.join(names[:MOST_NAMED]) + more
