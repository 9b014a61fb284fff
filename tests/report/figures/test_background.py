"""Canvas: the background stays where it was, and only MNI maps get a brain outline and a cortex."""

from __future__ import annotations

import numpy as np

from bids_app.report.figures import background as canvases
from bids_app.report.figures.colour_scale import full_opacity
from builders.drawings import AFFINE, MASK, N_VOXELS, make_contrast, make_fit


def test_maps_outside_mni_space_get_neither_outline_nor_cortex(own: canvases.Canvas, mni: canvases.Canvas) -> None:
    assert not own.outlines
    assert own.cortex is None
    assert own.reason == "Not in MNI."
    assert set(mni.outlines) == {"x", "y", "z"}
    assert mni.cortex is not None
    assert mni.reason == ""


def test_the_background_is_a_byte_per_voxel_and_uses_them(mni: canvases.Canvas, own: canvases.Canvas) -> None:
    for canvas in (mni, own):
        assert canvas.background.data.dtype == np.uint8
        assert canvas.background.data.max() > 150


def test_the_highest_place_is_that_of_the_largest_absolute_value(own: canvases.Canvas) -> None:
    values = np.zeros(N_VOXELS)
    values[[10, 40]] = 3, -4
    voxel = np.argwhere(MASK)[40]
    assert canvases.highest(values, own).tolist() == (voxel @ AFFINE[:3, :3].T + AFFINE[:3, 3]).tolist()


def test_small_values_are_faint_below_an_uncorrected_p_of_a_thousandth() -> None:
    fit = make_fit(make_contrast("t"))
    strong = full_opacity(fit)
    assert ((np.abs(fit.statistic) >= strong) == (fit.p <= 0.001)).all()
