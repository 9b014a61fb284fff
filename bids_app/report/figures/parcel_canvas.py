"""What maps of parcels are drawn on: their names and, where voxels were averaged, the regions in slices."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Floats, Longs
from bids_app.console.text import a_few
from bids_app.report.figures.background import Canvas
from bids_app.report.figures.figure import Figure
from bids_app.report.figures.parcel_charts import lacking_png, subjects_by_parcel_png

MAX_ROWS = 40  # of a chart; the table has all parcels
MAX_NAMES = 5


@dataclass(frozen=True, slots=True)
class ParcelCanvas:
    """What all maps of a node of parcels are drawn on."""

    names: tuple[str, ...]
    """(n_elements,)."""
    slices: Canvas | None = None
    """Of the voxels that were averaged; None where the parcels are read as they are."""
    element_of_voxel: Longs | None = None
    """(n_voxels,) of those in `slices`."""

    def in_voxels(self, values: Floats) -> Floats:
        """Put (n_elements,) values into the voxels of `slices`, (n_voxels,)."""
        assert self.element_of_voxel is not None
        return np.asarray(values[self.element_of_voxel])

    def middle_of(self, element: int) -> Floats:
        """Return the place of the voxel of a parcel that is nearest to the middle of its voxels, (3,) mm."""
        assert self.slices is not None
        voxels = np.argwhere(self.slices.mask)[self.element_of_voxel == element]
        places = voxels @ self.slices.affine[:3, :3].T + self.slices.affine[:3, 3]
        return np.asarray(places[((places - places.mean(axis=0)) ** 2).sum(axis=1).argmin()])


def draw_subjects_by_parcel(
    maps: Iterable[tuple[str, Floats]], canvas: ParcelCanvas, *, title: str, caption: str, are_sizes: bool
) -> Figure:
    """Draw a row for each subject and a column for each parcel.

    Parameters
    ----------
    maps : subject label and map, (n_elements,), one after the other
    canvas : of the node
    title : what the maps are
    caption : a sentence for the report
    are_sizes : whether the values have no sign
    """
    rows = dict(maps)
    values = np.array(list(rows.values()))
    colours = "the darker the larger" if are_sizes else "red above zero, blue below"
    return Figure(
        name="subjects",
        png=subjects_by_parcel_png(list(rows), canvas.names, values, title),
        caption=f"{caption} A row for each subject, a column for each parcel; {colours}.",
        alt=f"{title}: {len(rows)} subjects by {len(canvas.names)} parcels.",
        kind="chart",
    )


def draw_lacking_parcels(
    names: tuple[str, ...], coverage: NDArray[np.uint16], n_subjects: int, *, least: float = 1.0
) -> Figure | None:
    """Return the picture of how many subjects lack each parcel that others have; None where nobody lacks any.

    Parameters
    ----------
    names : (n_rows,) of all parcels of a file
    coverage : (n_rows,) subjects that have each parcel, 0 where nobody has it
    n_subjects : int
    least : share of the subjects that must have a parcel for it to be analysed
    """
    lacking = np.where(coverage > 0, n_subjects - coverage.astype(np.float64), 0.0)
    if not lacking.any():
        return None
    order = np.argsort(-lacking, kind="stable")[: min(MAX_ROWS, int((lacking > 0).sum()))]
    n_lost = int((lacking > 0).sum())
    rule = "A parcel that one subject lacks is not analysed."
    if least < 1:
        rule = f"A parcel is analysed where at least {100 * least:g} % of the subjects have it, in those."
    lost = f"{n_lost:,} parcel{'s' if n_lost > 1 else ''} that some subject's maps lack"
    shown = f" The {len(order)} that most subjects lack." if n_lost > len(order) else ""
    named = [names[row] for row in order]
    return Figure(
        name="coverage",
        png=lacking_png(named, lacking[order], n_subjects),
        caption=f"How many of the {n_subjects} subjects lack each parcel: {lost} and others have. {rule}{shown}",
        alt=f"{lost}: {a_few(named, MAX_NAMES)}.",
        kind="chart",
    )
