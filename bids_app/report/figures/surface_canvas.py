"""What maps on surfaces are drawn on: the hemispheres seen from the sides; and the subjects side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Booleans, Bytes, Floats
from bids_app.report.figures.colour_scale import BAR_MM, Scale, paint_colour_bar
from bids_app.report.figures.cortex_projection import (
    PIXELS_PER_UNIT,
    CorticalMesh,
    View,
    meshes_of,
    views_of,
)
from bids_app.report.figures.figure import Figure
from bids_app.report.figures.style import map_png, map_sheet
from bids_app.report.figures.surfaces import painted, surface_png
from bids_app.spaces.surface import BUILT_IN, HEMISPHERES, Mesh, SurfaceDomain

MOST_SUBJECTS = 60
SHAPES = ("inflated", "pial")
SMALL = 3  # pixels of a view for each that a picture of all subjects shows


@dataclass(frozen=True, slots=True)
class SurfaceCanvas:
    """What all maps of a node on surfaces are drawn on."""

    inside: Booleans
    """(n_rows,) which vertices are elements of the maps."""
    meshes: Mapping[str, CorticalMesh]
    """left, right; what can be turned, and the first shape."""
    shapes: Mapping[str, tuple[View, ...]]
    """Shape of the cortex in words -> side and middle of each hemisphere, and from below where there are both."""
    words: str
    """Which mesh it is, for the captions."""

    @property
    def sides(self) -> str:
        """L, R or LR."""
        return "".join(side for side, name in HEMISPHERES.items() if name in self.meshes)

    def named(self, *shapes: str) -> str:
        """Return which mesh is seen in which shapes, for the captions."""
        return ", ".join(filter(None, [self.words, " and ".join(filter(None, shapes))]))

    def on_vertices(self, values: Floats) -> Floats:
        """Put (n_elements,) values at their vertices, (n_rows,), zero at the others."""
        rows = np.zeros(self.inside.size)
        rows[self.inside] = values
        return rows


def surface_canvas(domain: SurfaceDomain) -> SurfaceCanvas:
    """Return the canvas of a domain: fsaverage5 inflated and pial, other meshes as they are given."""
    return canvas_of_meshes(domain.frame.meshes, domain.inside)


def canvas_of_meshes(given: Sequence[Mesh], inside: Booleans) -> SurfaceCanvas:
    """Return the canvas of meshes, left before right, of whose vertices, (n_rows,), some are inside."""
    if all(mesh.source.startswith(BUILT_IN) for mesh in given):
        shaped = {shape: _hemispheres(meshes_of(shape), [mesh.side for mesh in given]) for shape in SHAPES}
        views = {shape: views_of(meshes) for shape, meshes in shaped.items()}
        return SurfaceCanvas(inside, shaped[SHAPES[0]], views, BUILT_IN)
    meshes = {
        HEMISPHERES[mesh.side]: CorticalMesh(mesh.points, mesh.faces.astype(np.intp), np.zeros(mesh.n_vertices))
        for mesh in given
    }
    words = " and ".join(dict.fromkeys(mesh.source for mesh in given))
    return SurfaceCanvas(inside, meshes, {"": views_of(meshes)}, f"the mesh that was given, {words}")


def _hemispheres(meshes: Mapping[str, CorticalMesh], sides: Sequence[str]) -> dict[str, CorticalMesh]:
    """Return the meshes of some sides, L and R."""
    return {HEMISPHERES[side]: meshes[HEMISPHERES[side]] for side in sides}


def draw_subjects(maps: Iterable[tuple[str, Floats]], canvas: SurfaceCanvas, *, title: str, caption: str) -> Figure:
    """Draw the outer side of one hemisphere for each subject, all in the same colours.

    Parameters
    ----------
    maps : subject label and map, (n_elements,), one after the other
    canvas : of the node
    title : what the maps are, written above them
    caption : a sentence for the report
    """
    rows = {label: canvas.on_vertices(values) for label, values in maps}
    shown = dict(list(rows.items())[:MOST_SUBJECTS])
    pooled = np.abs(np.concatenate([values[values != 0] for values in shown.values()]))
    largest = float(np.percentile(pooled, 99.8)) if pooled.size else 1.0
    scale = Scale(largest, -largest, largest, "", faint_below=largest)
    words, views = next(iter(canvas.shapes.items()))
    chosen = views[: 2 * len(canvas.sides) : 2]  # the outer sides
    pictures = {
        label: _side_by_side([painted(_smaller(view), values, scale) for view in chosen])
        for label, values in shown.items()
    }
    more = f" The first {len(shown)} of {len(rows)} subjects." if len(rows) > len(shown) else ""
    return Figure(
        name="subjects",
        png=_mosaic_png(title, pictures, scale),
        caption=f"{caption} Outer side of each hemisphere on {canvas.named(words)}, one colour scale for all subjects "
        f"(\N{PLUS-MINUS SIGN}{largest:.3g}).{more}",
        alt=f"{title}: the cortex of {len(shown)} subjects, seen from the side.",
    )


def draw_lacking(
    coverage: NDArray[np.uint16], n_subjects: int, canvas: SurfaceCanvas, *, least: float = 1.0
) -> Figure | None:
    """Return the picture of how many subjects lack each vertex that others have; None where nobody lacks any.

    Parameters
    ----------
    coverage : (n_rows,) subjects that have each vertex, 0 outside of the cortex
    n_subjects : int
    canvas : of the node
    least : share of the subjects that must have a vertex for it to be analysed
    """
    lacking = np.where(coverage > 0, n_subjects - coverage.astype(np.float64), 0.0)
    if not lacking.any():
        return None
    n_lost, most = int((lacking > 0).sum()), float(lacking.max())
    rule = "A vertex that one subject lacks is not analysed."
    if least < 1:
        rule = f"A vertex is analysed where at least {100 * least:g} % of the subjects have it, in those."
    lost = f"{n_lost:,} {'vertices' if n_lost > 1 else 'vertex'} that some subject's maps lack"
    everywhere = replace(canvas, inside=np.ones_like(canvas.inside))
    scale = Scale(most, 0.0, most, "subjects")
    return Figure(
        name="coverage",
        png=surface_png("Subjects without data", lacking, scale, everywhere, canvas.sides),
        caption=f"How many of the {n_subjects} subjects lack each vertex: {lost} and others have. {rule}",
        alt=f"The cortex with {lost}, at most {most:.0f} of {n_subjects} subjects at one vertex.",
    )


def _side_by_side(pictures: Sequence[Bytes]) -> Bytes:
    """Put pictures of about the same height next to each other, the lower ones on the background of the others."""
    height = max(len(picture) for picture in pictures)
    padded = [
        np.pad(picture, ((height - len(picture), 0), (0, 0), (0, 0)), mode="edge")  # their corners are background
        for picture in pictures
    ]
    return np.hstack(padded)


def _smaller(view: View) -> View:
    """Return every third pixel of a view, in both directions."""
    step = (slice(None, None, SMALL), slice(None, None, SMALL))
    return View(view.vertices[step], view.weights[step], view.shade[step])


def _mosaic_png(title: str, pictures: Mapping[str, Bytes], scale: Scale) -> bytes:
    """Draw pictures, each under its subject label."""
    first = next(iter(pictures.values()))
    n_columns = min(len(pictures), 5)
    n_rows = -(-len(pictures) // n_columns)
    width, height = (size * SMALL / PIXELS_PER_UNIT / 1.6 for size in (first.shape[1], first.shape[0]))
    shrink = 0.8
    with map_sheet(n_columns * (width + 6) + BAR_MM / shrink, n_rows * (height + 16) + 24, shrink) as (figure, place):
        place.title(title)
        for index, (label, pixels) in enumerate(pictures.items()):
            row, column = divmod(index, n_columns)
            bottom = (n_rows - 1 - row) * (height + 16)
            axes = place.axes(column * (width + 6), bottom, width, height)
            axes.imshow(pixels, interpolation="antialiased", aspect="auto")
            axes.set_axis_off()
            place.text(f"sub-{label}", column * (width + 6) + 3, bottom + height + 2, 7.5, width)
        paint_colour_bar(place, scale, n_columns * (width + 6) + 10, min(n_rows * (height + 16), 260.0))
        return map_png(figure)
