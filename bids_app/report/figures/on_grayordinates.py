"""Figures of a contrast whose maps are of grayordinates: its surfaces on the cortex, its volume part in slices.

Each part is drawn as a map of its kind is: from here on a picture is of vertices alone, or of voxels alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_app.arrays import Booleans, Longs
from bids_app.inference.corrected_map import CorrectedMap
from bids_app.inference.result_tables import ResultTables
from bids_app.report.figures import of_contrast, on_surfaces
from bids_app.report.figures.background import Canvas
from bids_app.report.figures.figure import Figure
from bids_app.report.figures.grayordinate_canvas import GrayordinateCanvas, PartCanvas
from bids_app.report.figures.of_contrast import Drawn, Scene
from bids_app.statistics.fit import ContrastFit

OF_VOXELS = re.compile(r"(?<![-\w])(?<!volume )voxel(s?)\b")  # as captions count them; not the name of a correction


def draw_contrast(scene: Scene, share: tuple[int, int] = (0, 1)) -> tuple[Drawn, ...]:
    """Draw the pictures of one contrast, or those numbered k, k + n and so on by the share (k, n)."""
    return tuple(draw() for draw in jobs(scene)[share[0] :: share[1]])


def jobs(scene: Scene) -> list[Callable[[], Drawn]]:
    """List what there is to draw: what is on the cortex, what is in slices, the null distributions of both together."""
    assert isinstance(scene.on, GrayordinateCanvas)
    draw: list[Callable[[], Drawn]] = []
    if scene.on.surface:
        draw += on_surfaces.jobs(_part(scene, scene.on.surface))
    if scene.on.volume:
        part = _part(scene, scene.on.volume, draws_nulls=not scene.on.surface)
        draw += [partial(_of_volume_part, job) for job in of_contrast.jobs(part)]
    return draw


def _of_volume_part(draw: Callable[[], Drawn]) -> Drawn:
    """Draw a picture or a page of the volume part; null distributions are those of all parts."""
    drawn = draw()
    return about_volume_part(drawn) if isinstance(drawn, Figure) and drawn.name != "desc-null_histogram" else drawn


def about_volume_part(figure: Figure) -> Figure:
    """Return a picture whose words count voxels with words that say that they are those of the volume part."""
    caption, alt = (OF_VOXELS.sub(r"volume voxel\1", words) for words in (figure.caption, figure.alt))
    return replace(figure, caption=caption, alt=alt)


def _part(scene: Scene, part: PartCanvas, *, draws_nulls: bool = True) -> Scene:
    """Return the scene of a part: maps and tables of its elements alone, in the colours of the whole contrast."""
    is_volume = isinstance(part.on, Canvas)
    return replace(
        scene,
        fit=_fit_in(scene.fit, part.elements),
        inferences=[_inference_in(each, part.elements) for each in scene.inferences],
        tables={method: _tables_in(tables, is_volume=is_volume) for method, tables in scene.tables.items()},
        on=part.on,
        whole=scene.fit,
        draws_nulls=draws_nulls,
    )


def _fit_in(fit: ContrastFit, elements: Longs) -> ContrastFit:
    """Return a fit at some of its elements."""
    maps: dict[str, Any] = {
        field.name: getattr(fit, field.name)[elements]
        for field in fields(fit)
        if isinstance(getattr(fit, field.name), np.ndarray)
    }
    if fit.effect_size_interval is not None:
        maps["effect_size_interval"] = tuple(limit[elements] for limit in fit.effect_size_interval)
    return replace(fit, **maps)


def _inference_in(inference: CorrectedMap, elements: Longs) -> CorrectedMap:
    return replace(inference, p=inference.p[elements], significant=inference.significant[elements])


def _tables_in(tables: ResultTables, *, is_volume: bool) -> ResultTables:
    """Return the rows of clusters and peaks that are in the volume, or on the cortex."""

    def own(table: pd.DataFrame) -> pd.DataFrame:
        kept: NDArray[np.bool_] | Booleans = (table["hemi"] == "n/a").to_numpy() == is_volume
        return table[kept].reset_index(drop=True)

    return replace(tables, clusters=own(tables.clusters), peaks=own(tables.peaks))
