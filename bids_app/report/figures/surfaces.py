"""Maps on the cortex: pictures of it, and a page on which it can be turned."""

from __future__ import annotations

import html
import re
import warnings
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

import nibabel as nib
import numpy as np
from nilearn.plotting import view_img_on_surf, view_surf
from nilearn.surface import InMemoryMesh
from numpy.typing import NDArray

from bids_app.arrays import Bytes, Floats
from bids_app.report.figures.background import Canvas
from bids_app.report.figures.colour_scale import BAR_MM, BOTH_SIGNS, ONE_SIGN, Scale, paint_colour_bar
from bids_app.report.figures.cortex_projection import MESH, PIXELS_PER_UNIT, CorticalMesh, View, side_by_side
from bids_app.report.figures.style import NIGHT, Place, map_png, map_sheet
from bids_app.spaces.volume import unmask

GAP = 8.0
HEADING = 16.0  # above each shape where there are several
SHRINK = 0.72
ON_CORTEX = (
    "On the cortex (fsaverage5, inflated): for each place the largest absolute value between white matter and pial "
    "surface. What lies deeper, or in the cerebellum, is not seen here."
)


class OnCortex(Protocol):
    """What a map is drawn on: volumes are laid below the cortex, maps on surfaces are there already."""

    @property
    def shapes(self) -> Mapping[str, tuple[View, ...]]:
        """The cortex inflated, as the pial surface or as it was given, by what is written beside it.

        Of each the side and the middle of each hemisphere, left before right, and from below where there are both.
        """

    def on_vertices(self, values: Floats) -> Floats:
        """Take the values of a map to the vertices that the views show, zero where there is none."""


@dataclass(frozen=True, slots=True)
class Block:
    """The views of one shape of the cortex: a column for each hemisphere, and one for what is seen from below."""

    words: str
    """What shape it is; empty where there is one only."""
    panels: tuple[Bytes, ...]
    """Painted views."""

    @property
    def sizes(self) -> list[tuple[float, float]]:
        """Width and height of each view, in units of the mesh."""
        return [(panel.shape[1] / PIXELS_PER_UNIT, panel.shape[0] / PIXELS_PER_UNIT) for panel in self.panels]

    @property
    def column(self) -> tuple[float, float]:
        """Width of a column of one hemisphere, and height of one view in it."""
        width, height = (max(size[axis] for size in self.sizes[:4]) for axis in (0, 1))
        return width, height

    @property
    def has_both(self) -> bool:
        """Whether there are both hemispheres."""
        return len(self.panels) > 2

    @property
    def height(self) -> float:
        """Of the whole."""
        return 2 * self.column[1] + GAP

    @property
    def width(self) -> float:
        """Of the whole."""
        own = self.column[0] + GAP
        return 2 * own + self.sizes[4][0] + GAP if self.has_both else own

    def places(self) -> list[tuple[float, float]]:
        """Left and bottom of each view."""
        (width, height), tall = self.column, self.height
        places = [(0.0, tall - height), (0.0, 0.0), (width + GAP, tall - height), (width + GAP, 0.0)]
        if not self.has_both:
            return places[:2]
        return [*places, (2 * (width + GAP), (tall - self.sizes[4][1]) / 2)]

    def draw(self, place: Place, bottom: float, sides: str) -> None:
        """Put the views onto a sheet, from a height on."""
        for (left, low), (wide, high), panel in zip(self.places(), self.sizes, self.panels, strict=True):
            axes = place.axes(left, bottom + low, wide, high)
            axes.imshow(panel, interpolation="antialiased", aspect="auto")
            axes.set_axis_off()
        width, top = self.column[0], bottom + self.height
        place.text(sides[0], 2.0, top - 10)
        if self.has_both:
            place.text("R", 2 * width + GAP - 8, top - 10)
            below = self.places()[4][0]
            place.text("R", below + 2, top - 10)  # from below, right is left
            place.text("L", below + self.sizes[4][0] - 8, top - 10)
        if self.words:
            place.text(self.words, 0.0, top + 2)


def surface_png(title: str, values: Floats, scale: Scale, cortex: OnCortex, sides: str = "LR") -> bytes:
    """Draw a map on each shape of the cortex: every hemisphere from its side and its middle, both from below too."""
    on_vertices = cortex.on_vertices(values)
    blocks = [
        Block(words, tuple(painted(view, on_vertices, scale) for view in views))
        for words, views in cortex.shapes.items()
    ]
    width, headings = max(block.width for block in blocks), HEADING * (len(blocks) - 1)
    tall = sum(block.height for block in blocks) + headings
    total = width + BAR_MM / SHRINK
    with map_sheet(total, tall + 24 + (HEADING if headings else 0), SHRINK) as (figure, place):
        place.title(title)
        top = tall
        for block in blocks:
            block.draw(place, top - block.height, sides)
            top -= block.height + HEADING
        paint_colour_bar(place, scale, total - BAR_MM / SHRINK + 8, tall)
        return map_png(figure)


def surface_page(title: str, values: Floats, scale: Scale, canvas: Canvas) -> str:
    """Make nilearn's page with the cortex that can be turned, without any request to the network.

    Parameters
    ----------
    title : line above it
    values : (n_voxels,) zero where nothing is shown
    scale : Scale
    canvas : Canvas
    """
    image = nib.Nifti1Image(unmask(values.astype(np.float32), canvas.mask), canvas.affine)
    both = scale.lower < 0
    smallest = float(np.abs(values[values != 0]).min(initial=scale.largest))
    with warnings.catch_warnings():
        # neither a map of one sign nor a place on the cortex outside of the maps is a mistake
        warnings.simplefilter("ignore")
        view: Any = view_img_on_surf(
            image,
            surf_mesh=MESH,
            threshold=smallest / 2,  # it interpolates: half way between what survives and nothing
            vmax=scale.largest,
            symmetric_cmap=both,
            cmap=BOTH_SIGNS if both else ONE_SIGN,
            black_bg=True,
            title=html.escape(title),
        )
    return _offline(view)


def hemispheres_page(title: str, values: Floats, scale: Scale, meshes: Mapping[str, CorticalMesh]) -> str:
    """Make nilearn's page with the hemispheres of maps that are on surfaces, left and right apart from each other.

    Parameters
    ----------
    title : line above them
    values : (n_rows,) left hemisphere first, zero where nothing is shown
    scale : Scale
    meshes : left, right
    """
    whole = side_by_side(meshes["left"], meshes["right"]) if len(meshes) > 1 else next(iter(meshes.values()))
    smallest = float(np.abs(values[values != 0]).min(initial=scale.largest))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        view: Any = view_surf(
            InMemoryMesh(whole.points, whole.faces),
            values,
            bg_map=whole.depth if np.ptp(whole.depth) else None,
            threshold=smallest / 2,
            vmax=scale.largest,
            symmetric_cmap=scale.lower < 0,
            cmap=BOTH_SIGNS if scale.lower < 0 else ONE_SIGN,
            black_bg=True,
            title=html.escape(title),
        )
    return _offline(view)


def _offline(view: Any) -> str:  # noqa: ANN401
    """Return a page of nilearn that asks nobody for anything: it asks a code host for its icon."""
    page = re.sub(r"<link\b[^>]*\bhttps?://[^>]*>", '<link rel="icon" href="data:,">', view.get_standalone())
    return _with_policy(page)


def _with_policy(page: str) -> str:
    """Let a page load nothing from anywhere and run no script but its own, named by their checksums."""
    scripts = re.findall(r"<script\b[^>]*>(.*?)</script\s*>", page, flags=re.DOTALL | re.IGNORECASE)
    # browsers take a line break for a checksum as it is read: one sign
    texts = dict.fromkeys(script.replace("\r\n", "\n").replace("\r", "\n") for script in scripts)
    allowed = " ".join(f"'sha256-{b64encode(sha256(text.encode()).digest()).decode('ascii')}'" for text in texts)
    policy = f"default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-eval' {allowed}"
    # plotly makes some of its own functions of text
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    return re.sub(r"<head\b[^>]*>", lambda head: head.group() + meta, page, count=1)


def painted(view: View, on_vertices: Floats, scale: Scale) -> NDArray[np.uint8]:
    """Colour the pixels of a view, (rows, columns, 3)."""
    night = np.array([int(NIGHT[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    brain = view.vertices[..., 0] >= 0
    picture = np.empty((*brain.shape, 3))
    picture[:] = night
    corners = on_vertices[view.vertices[brain]]  # (n, 3)
    weights, shade = view.weights[brain], view.shade[brain]
    filled = weights * (corners != 0)
    share = filled.sum(axis=1)
    values = (corners * filled).sum(axis=1) / np.maximum(share, 1e-12)
    opacity = (share > 0.5).astype(float)  # edges run between the vertices
    if scale.faint_below > 0:
        opacity = np.minimum(1.0, np.abs(values) / scale.faint_below) ** 1.5
    lit = scale.colour(values) * (0.72 + 0.5 * shade)[:, None]
    grey = shade[:, None] * np.ones(3)
    picture[brain] = grey * (1 - opacity[:, None]) + np.clip(lit, 0, 1) * opacity[:, None]
    return np.asarray(np.rint(255 * np.clip(picture, 0, 1)), np.uint8)
