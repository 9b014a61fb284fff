"""Surfaces: what survives is seen on its side, in its colour, and the page that turns asks for nothing."""

from __future__ import annotations

import re

import numpy as np

from bids_app.report.figures import background as canvases
from bids_app.report.figures.colour_scale import Scale
from bids_app.report.figures.figure import Figure
from bids_app.report.figures.surfaces import surface_page, surface_png
from builders.drawings import AFFINE, MASK, make_contrast, make_fit, n_blue, n_red

SCALE = Scale(8, -8, 8, "t")


def one_side(sign: int) -> np.ndarray:
    """7 on one side of the brain, x above or below zero, and 0 elsewhere."""
    x = (np.argwhere(MASK) @ AFFINE[:3, :3].T + AFFINE[:3, 3])[:, 0]
    return np.where(np.sign(x) == sign, 7.0, 0.0)


def as_figure(values: np.ndarray, canvas: canvases.Canvas) -> Figure:
    assert canvas.cortex is not None
    return Figure("x", surface_png("t", values, SCALE, canvas.cortex), "", "")


def test_the_colours_are_those_of_the_sign(mni: canvases.Canvas) -> None:
    nothing, high, low = (as_figure(values, mni) for values in (one_side(2), one_side(1), -one_side(1)))
    assert n_red(high) > n_red(nothing) + 1000
    assert n_blue(low) > n_blue(nothing) + 1000
    assert n_blue(high) <= n_blue(nothing) + 50


def test_the_same_values_give_the_same_bytes(mni: canvases.Canvas) -> None:
    assert as_figure(one_side(-1), mni).png == as_figure(one_side(-1), mni).png


def test_the_page_asks_nothing_of_the_network_and_shows_names_as_text(mni: canvases.Canvas) -> None:
    fit = make_fit(make_contrast("t"))
    page = surface_page("<script>alert(1)</script>", fit.statistic, SCALE, mni)
    assert "<script>alert(1)" not in page
    assert not re.search(r"<(link|script|img|iframe)\b[^>]*(src|href)\s*=\s*[\"']?(https?:)?//", page)
