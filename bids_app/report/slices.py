"""Slices and glass brains: what maps are drawn on, their colours, and the drawings as PNG bytes.

Slices are drawn here and not by nilearn's plotting functions: a contrast has up to fifteen figures, which share one
background and one brain outline (both nilearn's), and these are loaded once, into a `Canvas`. Places are in mm
throughout, so that maps and background each keep their own grid and neither is resampled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import nibabel as nib
import numpy as np
from matplotlib import colors
from matplotlib import figure as mpl_figure
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from nilearn.datasets import load_mni152_template
from nilearn.image import reorder_img
from nilearn.plotting import plot_glass_brain
from numpy.typing import NDArray

from bids_app.images import unmask
from bids_app.report.sheets import DPI, FAINT, LIGHT, NIGHT, STYLE, Place, drawable, map_png, map_sheet, shortened
from bids_app.report.words import coordinate

Booleans = NDArray[np.bool_]
Floats = NDArray[np.float64]
Extent = tuple[float, float, float, float]
Projection = tuple[NDArray[Any], Extent]

GAP_MM = 6.0
BAR_MM = 54.0  # room for the colour scale
MNI_WINDOW = ((-77.0, 77.0), (-113.0, 82.0), (-77.0, 88.0))  # what nilearn's brain outlines take up
GREYS = 40  # shades of the background: more are not seen, and make the files larger

# Blue to cyan below zero, red to yellow above; made for a black background.
BOTH_SIGNS = colors.LinearSegmentedColormap.from_list(
    "both",
    [
        (0.0, "#d4f7ff"),
        (0.17, "#5cc3ff"),
        (0.34, "#2a74ee"),
        (0.499, "#1b3a9c"),
        (0.501, "#a3150f"),
        (0.66, "#e8431b"),
        (0.83, "#ff9f2e"),
        (1.0, "#fff2a8"),
    ],
)
ONE_SIGN = colors.ListedColormap(BOTH_SIGNS(np.linspace(0.501, 1, 256)), name="one")  # the half of it above zero


@dataclass(frozen=True, slots=True)
class Outline:
    """A brain outline seen along one axis."""

    pixels: NDArray[np.uint8]
    """(rows, columns, 4) red, green, blue, opacity."""
    extent: Extent
    """Left, right, bottom, top in mm."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A map whose axes run along x, y and z."""

    data: NDArray[Any]  # (i, j, k)
    origin: Floats  # (3,) mm of the first voxel
    step: Floats  # (3,) mm

    @property
    def image(self) -> nib.Nifti1Image:
        """The same as an image."""
        affine = np.diag([*self.step, 1.0])
        affine[:3, 3] = self.origin
        return nib.Nifti1Image(self.data, affine)


@dataclass(frozen=True, slots=True)
class Canvas:
    """What all maps of a node are drawn on."""

    mask: Booleans
    """(i, j, k) analysis mask."""
    affine: Floats
    """(4, 4) voxel index of the mask to mm."""
    background: Volume
    """Grey values from 0 to 1."""
    outlines: Mapping[str, Outline]
    """x, y, z; empty where the maps are not in MNI space."""
    window: tuple[tuple[float, float], ...]
    """(3, 2) mm of x, y, z that are shown."""
    reason: str
    """Why there is no MNI background; empty where there is."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Colours of a statistic, the same in all figures of a contrast."""

    largest: float
    lower: float
    upper: float
    symbol: str
    faint_below: float = 0.0
    """Smaller absolute values are drawn fainter; with 0 all are drawn alike."""

    def colour(self, values: NDArray[Any]) -> NDArray[Any]:
        """Turn values into red, green and blue, (..., 3); the colour map always spans both signs."""
        norm = colors.Normalize(-self.largest, self.largest)
        return np.asarray(BOTH_SIGNS(norm(values)))[..., :3]


def load_canvas(
    mask: Booleans, affine: Floats, mean: Floats | None = None, *, use_mni: bool, reason: str = ""
) -> Canvas:
    """Load what the maps are drawn on, once per node.

    Parameters
    ----------
    mask : (i, j, k) bool
    affine : (4, 4) voxel index to mm
    mean : (n_voxels,), optional
        Mean of all maps, the background where MNI must not be used; without it the mask is.
    use_mni : whether the maps are in MNI space
    reason : why they are not, for the captions
    """
    if use_mni:
        template = load_mni152_template(resolution=1)
        return Canvas(mask, affine, volume_of(template), _outlines(), MNI_WINDOW, "")
    values = np.ones(int(mask.sum())) if mean is None else mean
    low, high = np.percentile(values, [2, 98])
    shades = 0.25 + 0.6 * np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    background = volume_of(nib.Nifti1Image(unmask(shades.astype(np.float32), mask), affine))
    return Canvas(mask, affine, background, {}, _window(mask, affine), reason or "The maps are not in MNI space.")


def slices_png(
    title: str,
    volume: Volume,
    cut: Floats,
    scale: Scale,
    canvas: Canvas,
    *,
    outlined: Volume | None = None,
    glass: bool = False,
) -> bytes:
    """Draw a sagittal, a coronal and an axial slice through one place.

    Parameters
    ----------
    title : line above them
    volume : the map
    cut : (3,) mm
    scale : Scale
    canvas : Canvas
    outlined : what is not zero in it gets an outline
    glass : whether glass brains stand below the slices
    """
    widths, height = _three(canvas)
    below = height + GAP_MM if glass else 0.0
    with map_sheet(sum(widths) + 2 * GAP_MM + BAR_MM, height + below + 24) as (figure, place):
        place.title(title)
        _ortho_row(place, below, volume, cut, scale, canvas, outlined)
        if glass:
            _glass_row(place, volume, scale, canvas)
        _colour_bar(place, scale, sum(widths) + 2 * GAP_MM + 10, height + below)
        return map_png(figure)


def sagittal_png(title: str, volume: Volume, places: Sequence[float], scale: Scale, canvas: Canvas) -> bytes:
    """Draw sagittal slices, each at an x in mm."""
    (y0, y1), (z0, z1) = canvas.window[1:]
    width = y1 - y0
    with map_sheet(len(places) * width + BAR_MM / 0.75, z1 - z0 + 24, 0.75) as (figure, place):
        place.title(title)
        for column, x in enumerate(places):
            axes = place.axes(column * width, 0.0, width, z1 - z0)
            _paint_slice(axes, volume, 0, x, scale, canvas)
            _frame(axes, (y0, y1), (z0, z1))
            place.text(f"x = {coordinate(x)}", column * width + 8, 3.0)
        _colour_bar(place, scale, len(places) * width + 10, z1 - z0)
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
            text = drawable(shortened(f"sub-{label}", 16))
            place.text(text, column * width + 5, bottom + z1 - z0 + 2, size=7.5)
        _colour_bar(place, scale, n_columns * width + 10, min(n_rows * height, 260.0))
        return map_png(figure)


def highest(values: Floats, canvas: Canvas) -> Floats:
    """Give the place of the largest absolute value, (3,) mm."""
    voxel = np.argwhere(canvas.mask)[int(np.abs(values).argmax())]
    return np.asarray(canvas.affine[:3, :3] @ voxel + canvas.affine[:3, 3])


def masked_volume(values: Floats, canvas: Canvas) -> Volume:
    """Put (n_voxels,) values into space."""
    return volume_of(nib.Nifti1Image(unmask(values.astype(np.float32), canvas.mask), canvas.affine))


def volume_of(image: nib.Nifti1Image) -> Volume:
    """Turn an image so that its axes run along x, y and z; what is not finite becomes zero."""
    # the axes are only reordered, unless the image is tilted against them: then it takes the nearest voxels
    upright = reorder_img(image, resample="nearest", copy_header=True)
    data = np.nan_to_num(np.asarray(upright.dataobj), nan=0.0, posinf=0.0, neginf=0.0)
    return Volume(data.reshape(data.shape[:3]), upright.affine[:3, 3], np.diag(upright.affine)[:3])


def _window(mask: Booleans, affine: Floats) -> tuple[tuple[float, float], ...]:
    """Box around the mask in mm, with a margin."""
    places = np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]
    margin = 6.0
    return tuple(
        (float(low) - margin, float(high) + margin) for low, high in zip(places.min(0), places.max(0), strict=True)
    )


def _outlines() -> dict[str, Outline]:
    """Take nilearn's brain outlines as pixels: drawing their curves anew would take a second for each figure."""
    found = {}
    for direction in "xyz":
        with mpl.rc_context(STYLE):
            figure = mpl_figure.Figure(figsize=(3, 3), dpi=DPI)
            sheet = FigureCanvasAgg(figure)
            display = plot_glass_brain(None, display_mode=direction, figure=figure, black_bg=True, annotate=False)
            axes = display.axes[direction].ax
            axes.set_position((0, 0, 1, 1))
            axes.set_aspect("auto")
            sheet.draw()  # type: ignore[no-untyped-call]
        brightness = np.asarray(sheet.buffer_rgba())  # type: ignore[no-untyped-call]
        brightness = brightness[..., 0]  # white lines on black
        pixels = np.full((*brightness.shape, 4), 255, np.uint8)
        pixels[..., 3] = brightness // 16 * 14
        found[direction] = Outline(pixels, (*axes.get_xlim(), *axes.get_ylim()))
    return found


def _three(canvas: Canvas) -> tuple[list[float], float]:
    """Widths of the sagittal, coronal and axial panels, and the height of their row, in mm."""
    x, y, z = (high - low for low, high in canvas.window)
    return [y, x, x], max(y, z)


def _across(axis: int) -> tuple[int, int]:
    """Axes that a view along one axis shows to the right and upwards."""
    return {0: (1, 2), 1: (0, 2), 2: (0, 1)}[axis]


def _ortho_row(
    place: Place,
    bottom: float,
    volume: Volume,
    cut: Floats,
    scale: Scale,
    canvas: Canvas,
    outlined: Volume | None,
) -> None:
    """Draw a sagittal, a coronal and an axial slice through one place."""
    left = 0.0
    widths, height = _three(canvas)
    for axis, width in enumerate(widths):
        right, up = _across(axis)
        panel = canvas.window[up][1] - canvas.window[up][0]
        axes = place.axes(left, bottom + (height - panel) / 2, width, panel)
        _paint_slice(axes, volume, axis, float(cut[axis]), scale, canvas)
        if outlined is not None:
            flat, extent = _slice(outlined, axis, float(cut[axis]))
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


def _paint_slice(axes: Axes, volume: Volume, axis: int, at: float, scale: Scale, canvas: Canvas) -> None:
    """Draw one slice of the map over the background."""
    behind, extent = _slice(canvas.background, axis, at)
    shades = colors.LinearSegmentedColormap.from_list("grey", [NIGHT, "#a4a9b3"], N=GREYS)
    axes.imshow(
        behind,
        cmap=shades,
        vmin=0,
        vmax=1,
        extent=extent,
        origin="lower",
        interpolation="bilinear",
        interpolation_stage="data",  # before the shades are chosen, so that no others arise
    )
    flat, extent = _slice(volume, axis, at)
    opacity = (flat != 0).astype(float)
    if scale.faint_below > 0:
        opacity = np.minimum(1.0, np.abs(flat) / scale.faint_below) ** 1.5 * 0.95
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


def _colour_bar(place: Place, scale: Scale, left: float, height: float) -> None:
    """Draw the colour scale, only the part of it that is in use."""
    axes = place.axes(left, height * 0.14, 8.0, height * 0.72)
    values = np.linspace(scale.lower, scale.upper, 200)
    axes.imshow(
        scale.colour(values)[:, None],
        extent=(0, 1, scale.lower, scale.upper),
        origin="lower",
        aspect="auto",
    )
    ticks = sorted({scale.lower, 0.0, scale.upper})
    axes.yaxis.tick_right()
    axes.set_yticks(ticks, [f"{tick:.3g}".replace("-", "\N{MINUS SIGN}") for tick in ticks])
    axes.set_xticks([])
    axes.tick_params(colors=LIGHT, length=0, labelsize=8)
    axes.spines[:].set_visible(False)
    place.text(scale.symbol, left, height * 0.86 + 4)
