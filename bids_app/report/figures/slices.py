"""Slices and glass brains as PNG bytes.

They are drawn here and not by nilearn's plotting functions: a contrast has some thirty figures, which share one
background and one brain outline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colors
from matplotlib.axes import Axes
from numpy.typing import NDArray

from bids_app.arrays import Floats
from bids_app.report.figures.background import Canvas, Extent, Outline, Volume
from bids_app.report.figures.colour_scale import BAR_MM, Scale, paint_colour_bar
from bids_app.report.figures.style import FAINT, LIGHT, NIGHT, Place, map_png, map_sheet
from bids_app.report.wording import coordinate

Projection = tuple[NDArray[Any], Extent]

GAP_MM = 6.0
GREYS = 40  # shades of the background: more are not seen, and make the files larger


@dataclass(frozen=True, slots=True)
class Layer:
    """What is painted over the background."""

    volume: Volume
    """The map; zero is not drawn."""
    certain: Volume | None = None
    """What the opacity follows where that is not the map itself."""
    outlined: Volume | None = None
    """What is not zero in it gets an outline."""


def slices_png(title: str, layer: Layer, cut: Floats, scale: Scale, canvas: Canvas, *, glass: bool = False) -> bytes:
    """Draw a sagittal, a coronal and an axial slice through one place.

    Parameters
    ----------
    title : line above them
    layer : the map
    cut : (3,) mm
    scale : Scale
    canvas : Canvas
    glass : whether glass brains stand below the slices
    """
    widths, height = _three(canvas)
    below = height + GAP_MM if glass else 0.0
    with map_sheet(sum(widths) + 2 * GAP_MM + BAR_MM, height + below + 24) as (figure, place):
        place.title(title)
        _ortho_row(place, (0.0, below), layer, cut, scale, canvas)
        if glass:
            _glass_row(place, layer.volume, scale, canvas)
        paint_colour_bar(place, scale, sum(widths) + 2 * GAP_MM + 10, height + below)
        return map_png(figure)


def clusters_png(
    title: str, volume: Volume, places: Sequence[tuple[str, Floats]], scale: Scale, canvas: Canvas
) -> bytes:
    """Draw three slices through each of some places, (words, (3,) mm), two places in a row."""
    widths, height = _three(canvas)
    wide, high = sum(widths) + 2 * GAP_MM, height + 26
    n_columns = min(2, len(places))
    n_rows = -(-len(places) // n_columns)
    with map_sheet(n_columns * (wide + 14) + BAR_MM / 0.56, n_rows * high + 34, 0.56) as (figure, place):
        place.title(title)
        for index, (words, cut) in enumerate(places):
            row, column = divmod(index, n_columns)
            left, bottom = column * (wide + 14), (n_rows - 1 - row) * high
            _ortho_row(place, (left, bottom), Layer(volume), cut, scale, canvas)
            place.text(words, left + 3, bottom + height + 4, 7.5, wide)
        paint_colour_bar(place, scale, n_columns * (wide + 14) + 14, min(n_rows * high, 320.0))
        return map_png(figure)


def sagittal_png(title: str, volume: Volume, places: Sequence[float], scale: Scale, canvas: Canvas) -> bytes:
    """Draw sagittal slices, each at an x in mm."""
    (y0, y1), (z0, z1) = canvas.window[1:]
    width = y1 - y0
    with map_sheet(len(places) * width + BAR_MM / 0.75, z1 - z0 + 24, 0.75) as (figure, place):
        place.title(title)
        for column, x in enumerate(places):
            axes = place.axes(column * width, 0.0, width, z1 - z0)
            _paint_slice(axes, Layer(volume), (0, x), scale, canvas)
            _frame(axes, (y0, y1), (z0, z1))
            place.text(f"x = {coordinate(x)}", column * width + 8, 3.0)
        paint_colour_bar(place, scale, len(places) * width + 10, z1 - z0)
        return map_png(figure)


def mosaic_png(title: str, projections: Mapping[str, Projection], scale: Scale, canvas: Canvas) -> bytes:
    """Draw glass brains seen from the side, each under its subject label."""
    n_columns = min(len(projections), 10, max(4, int(np.ceil(np.sqrt(len(projections))))))
    n_rows = -(-len(projections) // n_columns)
    (y0, y1), (z0, z1) = canvas.window[1:]
    width, height = y1 - y0, z1 - z0 + 20
    shrink = min(1.0, 4.4 / n_columns) * 0.8
    with map_sheet(n_columns * width + BAR_MM / shrink, n_rows * height + 24, shrink) as (figure, place):
        place.title(title)
        for index, (label, projection) in enumerate(projections.items()):
            row, column = divmod(index, n_columns)
            bottom = (n_rows - 1 - row) * height
            axes = place.axes(column * width, bottom, width, z1 - z0)
            _paint_projection(axes, projection, canvas.outlines.get("x"), scale)
            _frame(axes, canvas.window[1], canvas.window[2])
            place.text(f"sub-{label}", column * width + 5, bottom + z1 - z0 + 2, 7.5, width - 8)
        paint_colour_bar(place, scale, n_columns * width + 10, min(n_rows * height, 260.0))
        return map_png(figure)


def _three(canvas: Canvas) -> tuple[list[float], float]:
    """Widths of the sagittal, coronal and axial panels, and the height of their row, in mm."""
    x, y, z = (high - low for low, high in canvas.window)
    return [y, x, x], max(y, z)


def _across(axis: int) -> tuple[int, int]:
    """Axes that a view along one axis shows to the right and upwards."""
    return {0: (1, 2), 1: (0, 2), 2: (0, 1)}[axis]


def _ortho_row(
    place: Place, corner: tuple[float, float], layer: Layer, cut: Floats, scale: Scale, canvas: Canvas
) -> None:
    """Draw a sagittal, a coronal and an axial slice through one place, from a lower left corner on."""
    left, bottom = corner
    widths, height = _three(canvas)
    for axis, width in enumerate(widths):
        right, up = _across(axis)
        panel = canvas.window[up][1] - canvas.window[up][0]
        axes = place.axes(left, bottom + (height - panel) / 2, width, panel)
        _paint_slice(axes, layer, (axis, float(cut[axis])), scale, canvas)
        if layer.outlined is not None:
            flat, extent = _slice(layer.outlined, axis, float(cut[axis]))
            if flat.any():
                axes.contour(flat, levels=[0.5], extent=extent, origin="lower", colors=[LIGHT], linewidths=0.8)
        axes.axvline(cut[right], color=FAINT, linewidth=0.5, alpha=0.8)
        axes.axhline(cut[up], color=FAINT, linewidth=0.5, alpha=0.8)
        _frame(axes, canvas.window[right], canvas.window[up])
        place.text(f"{'xyz'[axis]} = {coordinate(float(cut[axis]))}", left + 3, bottom + 3)
        if axis > 0:
            place.text("L", left + 3, bottom + height - 12)
            place.text("R", left + width - 10, bottom + height - 12)
        left += width + GAP_MM


def _glass_row(place: Place, volume: Volume, scale: Scale, canvas: Canvas) -> None:
    """Draw the brain seen through, from the side, the back and above."""
    left = 0.0
    widths, height = _three(canvas)
    for axis, width in enumerate(widths):
        right, up = _across(axis)
        panel = canvas.window[up][1] - canvas.window[up][0]
        axes = place.axes(left, (height - panel) / 2, width, panel)
        _paint_projection(axes, projected(volume, axis), canvas.outlines["xyz"[axis]], scale)
        _frame(axes, canvas.window[right], canvas.window[up])
        left += width + GAP_MM


def _slice(volume: Volume, axis: int, at: float) -> tuple[NDArray[Any], Extent]:
    """Take the slice nearest to a place, its rows going up; zeros outside the image."""
    index = round((at - volume.origin[axis]) / volume.step[axis])
    inside = 0 <= index < volume.data.shape[axis]
    flat = np.moveaxis(volume.data, axis, 0)[index if inside else 0].T  # a view: np.take would go through the volume
    return (flat if inside else np.zeros_like(flat)), _extent(volume, axis)


def projected(volume: Volume, axis: int) -> Projection:
    """Largest absolute value along the line of sight, with its sign."""
    place = np.abs(volume.data).argmax(axis=axis)
    flat = np.take_along_axis(volume.data, np.expand_dims(place, axis), axis).squeeze(axis)
    return flat.T, _extent(volume, axis)


def _extent(volume: Volume, axis: int) -> Extent:
    """Outer edges of the voxels in mm: left, right, bottom, top."""
    right, up = _across(axis)
    edges = []
    for side in (right, up):
        low = volume.origin[side] - volume.step[side] / 2
        edges += [float(low), float(low + volume.step[side] * volume.data.shape[side])]
    return edges[0], edges[1], edges[2], edges[3]


def _paint_slice(axes: Axes, layer: Layer, at: tuple[int, float], scale: Scale, canvas: Canvas) -> None:
    """Draw one slice of the map, along an axis at a place, over the background."""
    behind, extent = _slice(canvas.background, *at)
    shades = colors.LinearSegmentedColormap.from_list("grey", [NIGHT, "#a4a9b3"], N=GREYS)
    axes.imshow(
        behind,
        cmap=shades,
        vmin=0,
        vmax=255,
        extent=extent,
        origin="lower",
        interpolation="bilinear",
        interpolation_stage="data",  # before the shades are chosen, so that no others arise
    )
    flat, extent = _slice(layer.volume, *at)
    opacity = (flat != 0).astype(float)
    if scale.faint_below > 0:
        certain = flat if layer.certain is None else _slice(layer.certain, *at)[0]
        opacity = np.minimum(1.0, np.abs(certain) / scale.faint_below) ** 1.5 * 0.95
    _paint_map(axes, flat, extent, scale, opacity)


def _paint_map(axes: Axes, flat: NDArray[Any], extent: Extent, scale: Scale, opacity: NDArray[Any]) -> None:
    """Draw the voxels of a slice or projection in their colours."""
    axes.imshow(scale.colour(flat), alpha=opacity, extent=extent, origin="lower", interpolation="nearest")


def _paint_projection(axes: Axes, projection: Projection, outline: Outline | None, scale: Scale) -> None:
    """Draw a projection of the map, and the brain outline over it."""
    flat, extent = projection
    opacity = (flat != 0) * 0.92
    if scale.faint_below > 0:
        opacity = np.minimum(1.0, np.abs(flat) / scale.faint_below) ** 2
    _paint_map(axes, flat, extent, scale, opacity)
    if outline is not None:
        axes.imshow(outline.pixels, extent=outline.extent, origin="upper", interpolation="antialiased")


def _frame(axes: Axes, across: tuple[float, float], upwards: tuple[float, float]) -> None:
    """Show a window in mm and nothing of the axes."""
    axes.set_xlim(*across)
    axes.set_ylim(*upwards)
    axes.set_aspect("auto")  # the panel already has the shape of the window
    axes.set_axis_off()
