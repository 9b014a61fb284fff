"""Sheets: the same values give the same bytes, whatever the style and the signs in the names."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot

from bids_app.report.figures import background as canvases
from bids_app.report.figures import of_node as figures
from bids_app.report.figures import style as sheets
from builders.drawings import (
    draw,
    make_contrast,
    make_design,
    make_fit,
)


def test_the_same_values_give_the_same_bytes(mni: canvases.Canvas) -> None:
    fit = make_fit(make_contrast("t"))
    first, second = (draw(fit, {"voxelFWE": 5, "fdr": 9}, mni) for _ in range(2))
    assert {name: figure.png for name, figure in first.items()} == {name: f.png for name, f in second.items()}


def test_nothing_of_matplotlib_is_left_changed(own: canvases.Canvas) -> None:
    before, open_before = dict(mpl.rcParams), pyplot.get_fignums()  # nilearn leaves figures of its own open
    draw(make_fit(make_contrast("t")), {"voxelFWE": 5}, own)
    assert dict(mpl.rcParams) == before
    assert pyplot.get_fignums() == open_before


def test_the_users_own_matplotlib_style_does_not_change_the_pictures(own: canvases.Canvas) -> None:
    fit = make_fit(make_contrast("t"))
    plain = draw(fit, {"voxelFWE": 5}, own)
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "yellow", "font.family": ["monospace"]}):
        styled = draw(fit, {"voxelFWE": 5}, own)
    assert plain["desc-voxelFWE_slices"].png == styled["desc-voxelFWE_slices"].png


def test_names_are_drawn_as_they_are_whatever_their_signs(own: canvases.Canvas) -> None:
    """A dollar sign is no formula, and a sign that the font lacks gives no warning (which would fail this test)."""
    contrast = make_contrast("t", name="$x_1^ > 面孔 <b>")
    draw(make_fit(contrast), {"voxelFWE": 5}, own)
    design = make_design(contrast)
    assert figures.draw_contrasts(design).png.startswith(b"\x89PNG")
    assert figures.draw_design(design).png.startswith(b"\x89PNG")


def test_a_map_keeps_its_most_frequent_colours(rng: np.random.Generator) -> None:
    """The 256 most frequent of 32 steps each stay as they are, the others become the nearest of them."""
    colours = np.array([(r, g, b) for r in range(0, 32, 4) for g in range(0, 32, 4) for b in range(0, 32, 4)], np.uint8)
    times = 1 + rng.permutation(len(colours))  # no two are equally frequent
    pixels = rng.permutation(np.repeat(colours, times, axis=0))[:, None]
    kept, index = sheets._palette(pixels)
    frequent = colours[np.argsort(-times)[:256]]
    assert {tuple(colour) for colour in kept} == {tuple(colour * 8 + 4) for colour in frequent}
    wanted, found = pixels[:, 0].astype(int) * 8 + 4, kept[index[:, 0]].astype(int)
    distances = ((wanted[:, None] - kept[None].astype(int)) ** 2).sum(axis=2)
    assert np.array_equal(((wanted - found) ** 2).sum(axis=1), distances.min(axis=1))
