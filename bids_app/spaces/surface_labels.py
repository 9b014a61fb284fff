"""Labels of vertices that come with a mesh: the regions of a parcellation, as an atlas of the elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bids_app.arrays import Booleans, Integers
from bids_app.errors import DataError
from bids_app.spaces.atlas_catalogue import SURFACE_LABELS
from bids_app.spaces.atlases import Atlas

NAMELESS = ("", "???", "unknown")  # what FreeSurfer and Workbench call vertices in no region


@dataclass(frozen=True, slots=True, eq=False)
class HemisphereLabels:
    """The labels of the vertices of one hemisphere, as its file has them."""

    side: str
    """L or R."""
    numbers: Integers
    """(n_vertices,) region of each vertex."""
    names: dict[int, str]
    """Region number to name; a number without one is no region."""
    source: str
    """Name of the file."""


@dataclass(frozen=True, slots=True, eq=False)
class SurfaceLabels:
    """The labels of the rows of all hemispheres."""

    numbers: Integers
    """(n_rows,) index of the region's name, -1 where there is none."""
    names: tuple[str, ...]
    """Regions; one of the left and one of the right hemisphere may have the same name."""
    sources: tuple[str, ...]
    """Names of the files."""

    def as_atlas(self, inside: Booleans) -> Atlas:
        """Return an atlas whose only axis is that of the elements, those of the rows that are inside, (n_rows,)."""
        values = self.numbers[inside].reshape(1, -1, 1, 1)
        return Atlas(
            SURFACE_LABELS, dict(enumerate(self.names)), values, np.eye(4), probabilistic=False, by_element=True
        )


def labels_of_rows(sides: Sequence[str], n_vertices: Sequence[int], given: Sequence[HemisphereLabels]) -> SurfaceLabels:
    """Return the labels of hemispheres in the order of the rows of maps.

    Parameters
    ----------
    sides : L, R of the maps
    n_vertices : of each
    given : labels; those of a hemisphere that no map is of are not used

    Raises
    ------
    DataError
        For labels of another number of vertices, or of no hemisphere of the maps.
    """
    of_side = {each.side: each for each in given}
    if not {*sides} & {*of_side}:
        raise DataError(
            f"--surface-labels: found labels of the hemisphere {' and '.join(of_side)}, and the maps are of "
            f"{' and '.join(sides)}. Name the file of a hemisphere of the maps."
        )
    names = sorted({name for each in given if each.side in sides for name in each.names.values()})
    index = {name: number for number, name in enumerate(names)}
    parts = []
    for side, n in zip(sides, n_vertices, strict=True):
        own = of_side.get(side)
        if own is None:
            parts.append(np.full(n, -1, np.int32))
            continue
        if own.numbers.size != n:
            raise DataError(
                f"The labels {own.source} are of {own.numbers.size:,} vertices in the hemisphere {side}, and the maps "
                f"have {n:,}. Give the labels of the mesh that the maps are on: --surface-labels {side}=FILE."
            )
        numbers, place = np.unique(own.numbers, return_inverse=True)
        found = [index.get(own.names.get(int(number), ""), -1) for number in numbers]
        parts.append(np.array(found, np.int32)[place.reshape(-1)])
    return SurfaceLabels(
        np.concatenate(parts), tuple(names), tuple(of_side[side].source for side in sides if side in of_side)
    )
