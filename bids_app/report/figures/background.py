"""What maps are drawn on: background, brain outlines, places.

Background and outlines are nilearn's, loaded once per process, into the `Canvas` of each node. Places are in mm
throughout, so that maps and background each keep their own grid and neither is resampled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import matplotlib as mpl
import nibabel as nib
import numpy as np
from matplotlib import figure as mpl_figure
from matplotlib.backends.backend_agg import FigureCanvasAgg
from nilearn.datasets import load_mni152_template
from nilearn.image import reorder_img
from nilearn.plotting import plot_glass_brain
from numpy.typing import NDArray

from bids_app.arrays import Booleans, Floats
from bids_app.report.figures.cortex_projection import Cortex, load_cortex
from bids_app.report.figures.style import DPI, STYLE
from bids_app.spaces.volume import unmask

Extent = tuple[float, float, float, float]

MNI_WINDOW = ((-77.0, 77.0), (-113.0, 82.0), (-77.0, 88.0))  # what nilearn's brain outlines take up


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
    """Grey values from 0 to 255."""
    outlines: Mapping[str, Outline]
    """x, y, z; empty where the maps are not in MNI space."""
    window: tuple[tuple[float, float], ...]
    """(3, 2) mm of x, y, z that are shown."""
    reason: str
    """Why there is no MNI background; empty where there is."""
    cortex: Cortex | None = None
    """None where the maps are not in MNI space."""


def load_canvas(
    mask: Booleans, affine: Floats, mean: Floats | None = None, *, use_mni: bool, reason: str = ""
) -> Canvas:
    """Load what the maps of a node are drawn on.

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
        return Canvas(mask, affine, _template(), _outlines(), MNI_WINDOW, "", load_cortex(mask, affine))
    values = np.ones(int(mask.sum())) if mean is None else mean
    low, high = np.percentile(values, [2, 98])
    shades = 0.25 + 0.6 * np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    background = volume_of(nib.Nifti1Image(unmask(shades.astype(np.float32), mask), affine))
    return Canvas(
        mask, affine, _grey(background), {}, _window(mask, affine), reason or "The maps are not in MNI space."
    )


def highest(values: Floats, canvas: Canvas) -> Floats:
    """Return the place of the largest absolute value, (3,) mm."""
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


def _grey(volume: Volume) -> Volume:
    """Store shades of 0 to 1 in a byte each: the background goes to every process that draws."""
    return Volume(np.rint(255 * np.clip(volume.data, 0, 1)).astype(np.uint8), volume.origin, volume.step)


def _window(mask: Booleans, affine: Floats) -> tuple[tuple[float, float], ...]:
    """Box around the mask in mm, with a margin."""
    places = np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]
    margin = 6.0
    return tuple(
        (float(low) - margin, float(high) + margin) for low, high in zip(places.min(0), places.max(0), strict=True)
    )


@cache
def _template() -> Volume:
    """Load the MNI background, once per process."""
    return _grey(volume_of(load_mni152_template(resolution=1)))


@cache
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
