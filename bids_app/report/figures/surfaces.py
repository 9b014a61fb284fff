"""Maps on the cortex: pictures of it, and a page on which it can be turned."""

from __future__ import annotations

import html
import re
import warnings
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Protocol

import nibabel as nib
import numpy as np
from nilearn.plotting import view_img_on_surf, view_surf
from nilearn.surface import InMemoryMesh
from numpy.typing import NDArray

from bids_app.arrays import Floats
from bids_app.report.figures.background import Canvas
from bids_app.report.figures.colour_scale import BAR_MM, BOTH_SIGNS, ONE_SIGN, Scale, paint_colour_bar
from bids_app.report.figures.cortex_projection import MESH, PIXELS_PER_UNIT, CorticalMesh, View, side_by_side
from bids_app.report.figures.style import NIGHT, map_png, map_sheet
from bids_app.spaces.volume import unmask

GAP = 8.0
SHRINK = 0.72
ON_CORTEX = (
    "On the cortex (fsaverage5, inflated): for each place the largest absolute value between white matter and pial "
    "surface. What lies deeper, or in the cerebellum, is not seen here."
)


class OnCortex(Protocol):
    """What a map is drawn on: volumes are laid below the cortex, maps on surfaces are there already."""

    @property
    def views(self) -> tuple[View, ...]:
        """Side and middle of each hemisphere, left before right, and from below where there are both."""

    def on_vertices(self, values: Floats) -> Floats:
        """Take the values of a map to the vertices that the views show, zero where there is none."""


def surface_png(title: str, values: Floats, scale: Scale, cortex: OnCortex, sides: str = "LR") -> bytes:
    """Draw a map on the side and the middle of each hemisphere, of both on the cortex from below too."""
    on_vertices = cortex.on_vertices(values)
    panels = [painted(view, on_vertices, scale) for view in cortex.views]
    sizes = [(panel.shape[1] / PIXELS_PER_UNIT, panel.shape[0] / PIXELS_PER_UNIT) for panel in panels]
    width, height = (max(size[axis] for size in sizes[:4]) for axis in (0, 1))
    tall, both = 2 * height + GAP, len(sides) > 1
    places = [(0.0, tall - height), (0.0, 0.0), (width + GAP, tall - height), (width + GAP, 0.0)][: len(panels)]
    total = width + GAP + BAR_MM / SHRINK
    if both:
        places.append((2 * (width + GAP), (tall - sizes[4][1]) / 2))
        total = 2 * (width + GAP) + sizes[4][0] + GAP + BAR_MM / SHRINK
    with map_sheet(total, tall + 24, SHRINK) as (figure, place):
        place.title(title)
        for (left, bottom), (wide, high), panel in zip(places, sizes, panels, strict=True):
            axes = place.axes(left, bottom, wide, high)
            axes.imshow(panel, interpolation="antialiased", aspect="auto")
            axes.set_axis_off()
        place.text(sides[0], 2.0, tall - 10)
        if both:
            place.text("R", 2 * width + GAP - 8, tall - 10)
            place.text("R", places[4][0] + 2, tall - 10)  # from below, right is left
            place.text("L", places[4][0] + sizes[4][0] - 8, tall - 10)
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
