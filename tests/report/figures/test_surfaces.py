"""Surfaces: what survives is seen on its side, in its colour, and the page that turns asks for nothing."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from bids_app.report.figures import background as canvases
from bids_app.report.figures.colour_scale import Scale
from bids_app.report.figures.figure import Figure
from bids_app.report.figures.surface_canvas import SurfaceCanvas, surface_canvas
from bids_app.report.figures.surfaces import surface_page, surface_png
from bids_app.spaces.surface import SurfaceFrame, built_in_meshes
from builders.drawings import AFFINE, MASK, make_contrast, make_fit, n_blue, n_red
from builders.surfaces import ellipsoids

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


def fsaverage5(sides: str = "LR") -> SurfaceCanvas:
    meshes = tuple(mesh for mesh in built_in_meshes() if mesh.side in sides)
    bare = SurfaceFrame(tuple(sides), tuple(mesh.n_vertices for mesh in meshes))
    frame = bare.with_meshes(meshes, in_mni305=True)
    return surface_canvas(frame.domain(np.ones(frame.n_rows, np.bool_)))


def test_maps_on_fsaverage5_are_seen_inflated_and_pial() -> None:
    """What survives is red in the picture of each shape alone and more so where both are shown; sulci are dark."""
    canvas = fsaverage5()
    values = np.zeros(20484)
    values[:2000] = 7.0
    assert list(canvas.shapes) == ["inflated", "pial"]
    assert canvas.named(*canvas.shapes) == "fsaverage5, inflated and pial"
    alone = [replace(canvas, shapes={shape: canvas.shapes[shape]}) for shape in canvas.shapes]
    red = [n_red(Figure("x", surface_png("t", values, SCALE, on), "", "")) for on in (*alone, canvas)]
    assert min(red[:2]) > 1000
    assert red[2] > max(red[:2]) + 1000
    depth = np.concatenate([mesh.depth for mesh in canvas.meshes.values()])
    for views in canvas.shapes.values():
        side = views[0]
        seen = side.vertices[..., 0] >= 0
        shade, sulcal = side.shade[seen], depth[side.vertices[..., 0][seen]]
        gyri, sulci = np.quantile(sulcal, [0.2, 0.8])
        assert shade[sulcal > sulci].mean() < shade[sulcal < gyri].mean() - 0.1


def test_one_hemisphere_is_seen_from_two_sides() -> None:
    canvas = fsaverage5("R")
    assert [len(views) for views in canvas.shapes.values()] == [2, 2]
    assert surface_png("t", np.full(10242, 7.0), SCALE, canvas, canvas.sides)


def test_a_mesh_that_was_given_is_drawn_as_it_is() -> None:
    frame = ellipsoids()
    canvas = surface_canvas(frame.domain(np.ones(frame.n_rows, np.bool_)))
    assert list(canvas.shapes) == [""]
    assert canvas.named(*canvas.shapes) == "the mesh that was given, ellipsoid L and ellipsoid R"
