"""Figures of a contrast whose maps are on surfaces: which ones there are, and what their captions say."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from bids_app.arrays import Floats
from bids_app.console.text import in_elements
from bids_app.inference.catalogue import METHODS
from bids_app.inference.corrected_map import CorrectedMap
from bids_app.report.figures.colour_scale import Scale, full_opacity
from bids_app.report.figures.figure import Figure, Viewer, attempt, attempt_page
from bids_app.report.figures.null_histograms import null_histograms
from bids_app.report.figures.of_contrast import (
    SAME_DATA,
    Drawn,
    Scene,
    saturated_words,
    scale_of,
    what_is_shown,
)
from bids_app.report.figures.surface_canvas import SurfaceCanvas
from bids_app.report.figures.surfaces import hemispheres_page, surface_png
from bids_app.report.wording import in_order, method_words, sided_words, threshold_words


def draw_contrast(scene: Scene, share: tuple[int, int] = (0, 1)) -> tuple[Drawn, ...]:
    """Draw the pictures of one contrast, or those numbered k, k + n and so on by the share (k, n).

    Returns
    -------
    tuple of Figure and Viewer
        The statistic and the effect everywhere; each corrected map in which anything survives; the null distributions
        where there are any; a page on which the cortex can be turned.
    """
    return tuple(draw() for draw in jobs(scene)[share[0] :: share[1]])


def jobs(scene: Scene) -> list[Callable[[], Drawn]]:
    """List what there is to draw, in the order of the page; each costs itself alone where it fails."""
    test, is_t = scene.fit.contrast.test, scene.fit.effect is not None
    draw: list[Callable[[], Drawn]] = [
        partial(attempt, f"stat-{test}_surface", partial(_whole_map, scene)),
        partial(attempt, "stat-effect_surface" if is_t else "stat-etasq_surface", partial(_effect_map, scene)),
    ]
    for inference in in_order(scene.inferences):
        if inference.significant.any():
            name = f"desc-{inference.method}_surface"
            draw.append(partial(attempt, name, partial(_corrected_map, scene, inference)))
    if scene.draws_nulls and any(each.null is not None for each in scene.inferences):
        draw.append(
            partial(attempt, "desc-null_histogram", partial(null_histograms, scene.fit.contrast, scene.inferences))
        )
    if scene.interactive:
        draw.append(partial(attempt_page, "surface", partial(_page, scene)))
    return draw


def _canvas(scene: Scene) -> SurfaceCanvas:
    assert isinstance(scene.on, SurfaceCanvas)
    return scene.on


def _picture(scene: Scene, title: str, values: Floats, scale: Scale) -> bytes:
    canvas = _canvas(scene)
    return surface_png(in_elements(title, "vertex"), values, scale, canvas, canvas.sides)


def _views_words(canvas: SurfaceCanvas) -> str:
    """Return from where the cortex is seen, in words."""
    whole = (
        "each hemisphere" if len(canvas.sides) > 1 else f"the hemisphere {canvas.sides}, the only one that was read,"
    )
    below = ", and both from below" if len(canvas.sides) > 1 else ""
    return f"{whole} from its outer side and its middle{below}, on {canvas.named(*canvas.shapes)}"


def _whole_map(scene: Scene) -> Figure:
    """Draw the statistic everywhere, fainter where it is small."""
    fit, test = scene.fit, scene.fit.contrast.test
    title = f"{scene.name}: {test}, not thresholded"
    return Figure(
        name=f"stat-{test}_surface",
        png=_picture(scene, title, fit.statistic, scale_of(scene.scaled_by, thresholded=False)),
        caption=f"{test} at every vertex, not thresholded; small values are faint. Seen is "
        f"{_views_words(_canvas(scene))}.",
        alt=f"The whole {test} map of {scene.name} on the cortex.",
    )


def _effect_map(scene: Scene) -> Figure:
    """Draw the effect (t) or its size (F) everywhere."""
    fit, is_t = scene.fit, scene.fit.effect is not None
    values = fit.effect if is_t else fit.effect_size
    assert values is not None  # an F always has partial eta squared
    what, symbol = ("Effect", "effect") if is_t else ("Partial eta squared", "eta\N{SUPERSCRIPT TWO}")
    unit = ", in the units of the input maps and of the weights" if is_t else ""
    largest = max(float(np.percentile(np.abs(values), 99.9)), 1e-12)
    scale = Scale(largest, -largest if is_t else 0.0, largest, symbol, faint_below=full_opacity(fit) and largest / 2)
    beyond = in_elements(saturated_words(values, largest), "vertex")
    return Figure(
        name="stat-effect_surface" if is_t else "stat-etasq_surface",
        png=_picture(scene, f"{scene.name}: {what.lower()}", values, scale),
        caption=f"{what}{unit}, not thresholded: colour shows its size{beyond}; small values are faint. {SAME_DATA}",
        alt=f"The map of {what.lower()} of {scene.name} on the cortex.",
    )


def _corrected_map(scene: Scene, inference: CorrectedMap) -> Figure:
    """Draw what survives."""
    fit = scene.fit
    n_vertices, threshold = int(inference.significant.sum()), threshold_words(inference, fit)
    survive = "vertices survive" if n_vertices != 1 else "vertex survives"
    values = np.where(inference.significant, fit.statistic, 0.0)
    words = METHODS[inference.method].words.interpretation(fit.contrast)
    scale = scale_of(scene.scaled_by, thresholded=True)
    return Figure(
        name=f"desc-{inference.method}_surface",
        png=_picture(scene, f"{scene.name}: {method_words(inference)}", values, scale),
        caption=f"{method_words(inference)}{f' ({threshold})' if threshold else ''}, {sided_words(fit.contrast)}: "
        f"{n_vertices:,} {survive}. {' '.join(filter(None, (words, SAME_DATA)))}",
        alt=f"{scene.name}, {method_words(inference)}: {n_vertices:,} {survive}, on the cortex.",
    )


def _page(scene: Scene) -> Viewer:
    """Make the page with a cortex that can be turned: the primary corrected map, or all where nothing survives."""
    values, what = what_is_shown(scene)
    title = in_elements(f"{scene.name}: {scene.fit.contrast.test}, {what or 'not thresholded'}", "vertex")
    canvas = _canvas(scene)
    page = hemispheres_page(
        title, canvas.on_vertices(values), scale_of(scene.scaled_by, thresholded=bool(what)), canvas.meshes
    )
    return Viewer("surface", page, "Turn it on the cortex")
