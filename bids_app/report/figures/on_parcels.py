"""Figures of a contrast of parcels: effects with their intervals, the atlas in slices, and what the captions say."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from bids_app.console.text import in_elements
from bids_app.inference.parcel_table import SIGNIFICANT
from bids_app.inference.result_tables import PARCEL
from bids_app.report.figures.background import masked_volume
from bids_app.report.figures.figure import Figure, attempt
from bids_app.report.figures.null_histograms import null_histograms
from bids_app.report.figures.of_contrast import Drawn, Scene, scale_of
from bids_app.report.figures.parcel_canvas import MAX_ROWS, ParcelCanvas
from bids_app.report.figures.parcel_charts import forest_png
from bids_app.report.figures.slices import Layer, slices_png
from bids_app.report.wording import method_words, place_words

LARGER = "Values of parcels that were chosen because they are significant in the same data are too large."


def draw_contrast(scene: Scene, share: tuple[int, int] = (0, 1)) -> tuple[Drawn, ...]:
    """Draw the pictures of one contrast, or those numbered k, k + n and so on by the share (k, n).

    Returns
    -------
    tuple of Figure
        Effects with their intervals; the statistic in slices where voxels were averaged; the null distributions where
        there are any.
    """
    return tuple(draw() for draw in jobs(scene)[share[0] :: share[1]])


def jobs(scene: Scene) -> list[Callable[[], Drawn]]:
    """List what there is to draw, in the order of the page; each costs itself alone where it fails."""
    test, is_t = scene.fit.contrast.test, scene.fit.effect is not None
    name = "stat-effect_forest" if is_t else "stat-etasq_forest"
    draw: list[Callable[[], Drawn]] = [partial(attempt, name, partial(_forest, scene, name))]
    if _canvas(scene).slices is not None:
        draw.append(partial(attempt, f"stat-{test}_slices", partial(_slices, scene)))
    if any(each.null is not None for each in scene.inferences):
        draw.append(
            partial(attempt, "desc-null_histogram", partial(null_histograms, scene.fit.contrast, scene.inferences))
        )
    return draw


def _canvas(scene: Scene) -> ParcelCanvas:
    assert isinstance(scene.on, ParcelCanvas)
    return scene.on


def _forest(scene: Scene, name: str) -> Figure:
    """Draw effect (t) or partial eta squared (F) with its interval, those of the largest statistic."""
    assert scene.parcels is not None
    table, is_t, test = scene.parcels, scene.fit.effect is not None, scene.fit.contrast.test
    column, what = ("effect", "Effect") if is_t else ("etasq", "Partial eta squared")
    size = np.abs(table["statistic"].to_numpy(np.float64))
    shown = table.iloc[np.argsort(-size, kind="stable")[:MAX_ROWS]]
    shown = shown.iloc[np.argsort(-shown["statistic"].to_numpy(np.float64), kind="stable")]
    values, lower, upper = (shown[each].to_numpy(np.float64) for each in (column, f"{column}_lower95",
                                                                         f"{column}_upper95"))  # fmt: skip
    marked = _is_marked(scene, shown)
    unit = ", in the units of the input maps and of the weights" if is_t else ""
    most = f"|{test}|" if is_t else test
    some = f" Shown are the {len(shown)} of {len(table)} parcels with the largest {most}; the table has all." * (
        len(shown) < len(table)
    )
    first = scene.first
    said = in_elements(method_words(first), "parcel") if first else ""
    marks = f" Filled, in bold: significant ({said})." if first else ""
    names = [str(each) for each in shown[PARCEL]]
    return Figure(
        name=name,
        png=forest_png(names, values, (lower, upper), marked, f"{scene.name}: {what.lower()}"),
        caption=f"{what}{unit}, with 95 % confidence intervals that are not corrected for the number of parcels, from "
        f"the largest {test} to the smallest.{marks}{some} {LARGER}",
        alt=f"{what} of {scene.name} in {len(shown)} parcels with intervals; {int(marked.sum())} are significant.",
        kind="chart",
    )


def _is_marked(scene: Scene, shown: pd.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which parcels of a table are significant in the primary corrected map."""
    if scene.first is None:
        return np.zeros(len(shown), np.bool_)
    return np.asarray(shown[f"{SIGNIFICANT}{scene.first.method}"].to_numpy() == 1)


def _slices(scene: Scene) -> Figure:
    """Draw the statistic in the regions that were averaged, fainter where it is small."""
    canvas, fit, test = _canvas(scene), scene.fit, scene.fit.contrast.test
    assert canvas.slices is not None
    values = canvas.in_voxels(fit.statistic)
    cut = canvas.middle_of(int(np.abs(fit.statistic).argmax()))
    first, outlined, contour = scene.first, None, ""
    if first is not None and first.significant.any():
        outlined = masked_volume(canvas.in_voxels(first.significant.astype(np.float64)), canvas.slices)
        contour = f" Outlined: significant parcels ({in_elements(method_words(first), 'parcel')})."
    layer = Layer(masked_volume(values, canvas.slices), None, outlined)
    where = f"{place_words(cut)} mm"
    return Figure(
        name=f"stat-{test}_slices",
        png=slices_png(
            f"{scene.name}: {test}, not thresholded", layer, cut, scale_of(fit, thresholded=False), canvas.slices
        ),
        caption=f"{test} of each parcel in all of its region, not thresholded; small values are faint.{contour} Cut at "
        f"{where}, in the parcel whose {'|t|' if test == 't' else 'F'} is largest.",
        alt=f"Three slices through the atlas, each region in the colour of its {test} in {scene.name}, at {where}.",
    )
