"""Figures of a contrast: which ones there are, and what their captions say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from bids_app.arrays import Floats
from bids_app.design.contrasts import Contrast
from bids_app.inference.catalogue import METHODS
from bids_app.inference.corrected_map import CorrectedMap
from bids_app.inference.result_tables import ResultTables, highest_peaks
from bids_app.report.figures.background import Canvas, Volume, highest, masked_volume
from bids_app.report.figures.colour_scale import Scale, full_opacity
from bids_app.report.figures.figure import Figure, Viewer, attempt, attempt_page
from bids_app.report.figures.grayordinate_canvas import GrayordinateCanvas
from bids_app.report.figures.null_histograms import null_histograms
from bids_app.report.figures.parcel_canvas import ParcelCanvas
from bids_app.report.figures.slices import Layer, clusters_png, sagittal_png, slices_png
from bids_app.report.figures.surface_canvas import SurfaceCanvas
from bids_app.report.figures.surfaces import ON_CORTEX, surface_page, surface_png
from bids_app.report.figures.viewer import Landmark, viewer_page
from bids_app.report.wording import (
    NO_REGION,
    coordinate,
    decimal,
    in_order,
    method_words,
    number_words,
    place_words,
    short_label,
    sided_words,
    threshold_words,
)
from bids_app.spaces.atlas_catalogue import ATLASES
from bids_app.spaces.atlases import Atlas
from bids_app.statistics.fit import ContrastFit

Drawn = Figure | Viewer

N_PEAK_SLICES = 5
N_CLUSTERS = 12
N_LANDMARKS = 12
SAME_DATA = "Values at peaks that were found in the same data are too large."


@dataclass(frozen=True, slots=True)
class Scene:
    """All that the pictures of a contrast are made from."""

    fit: ContrastFit
    inferences: Sequence[CorrectedMap]
    """Its corrected maps."""
    tables: Mapping[str, ResultTables]
    """Method -> clusters and peaks."""
    on: Canvas | SurfaceCanvas | GrayordinateCanvas | ParcelCanvas
    """What the maps of the node are drawn on."""
    interactive: bool = False
    """Whether there are pages to look around in, too."""
    atlases: Sequence[Atlas] = ()
    """On the grid of the maps, for these pages."""
    whole: ContrastFit | None = None
    """Where the scene is of a part of the maps, the fit of all, whose colours it shares."""
    draws_nulls: bool = True
    """Whether the null distributions are drawn here, and not with another part."""
    parcels: pd.DataFrame | None = None
    """All numbers parcel by parcel; None for other elements."""

    @property
    def scaled_by(self) -> ContrastFit:
        """The fit by whose largest statistic the colours go."""
        return self.whole or self.fit

    @property
    def canvas(self) -> Canvas:
        """What volumes are drawn on; `on_surfaces` and `on_parcels` draw the others."""
        assert isinstance(self.on, Canvas)
        return self.on

    @property
    def first(self) -> CorrectedMap | None:
        """The corrected map that the report looks at closely."""
        return primary(self.inferences) if self.inferences else None

    @property
    def name(self) -> str:
        """The contrast, as the model spells it."""
        return self.fit.contrast.name


def draw_contrast(scene: Scene, share: tuple[int, int] = (0, 1)) -> tuple[Drawn, ...]:
    """Draw the pictures of one contrast, or every n-th of them.

    Parameters
    ----------
    scene : Scene
    share : (k, n)
        Draw those numbered k, k + n and so on.

    Returns
    -------
    tuple of Figure and Viewer
        The effect and the statistic everywhere; slices, peaks and cortex of each corrected map in which anything
        survives; the clusters of the primary one; the null distributions where there are any.
    """
    return tuple(draw() for draw in jobs(scene)[share[0] :: share[1]])


def jobs(scene: Scene) -> list[Callable[[], Drawn]]:
    """List what there is to draw, in the order of the page; each costs itself alone where it fails."""
    on_cortex, test = scene.canvas.cortex is not None, scene.fit.contrast.test
    draw: list[Callable[[], Drawn]] = []

    def add(name: str, picture: Callable[..., Figure], *more: CorrectedMap) -> None:
        draw.append(partial(attempt, name, partial(picture, scene, *more)))

    add(f"stat-{test}_slices", _whole_map)
    add("stat-effect_slices" if scene.fit.effect is not None else "stat-etasq_slices", _effect_map)
    for inference in in_order(scene.inferences):
        if not inference.significant.any():
            continue
        stem = f"desc-{inference.method}"
        add(f"{stem}_slices", _corrected_map, inference)
        add(f"{stem}_peaks", _peak_slices, inference)
        if on_cortex:
            add(f"{stem}_surface", _surface, inference)
        if inference is scene.first and not scene.tables[inference.method].clusters.empty:
            add(f"{stem}_clusters", _cluster_pictures, inference)
    if scene.draws_nulls and any(each.null is not None for each in scene.inferences):
        add("desc-null_histogram", _nulls)
    if scene.interactive:
        draw.append(partial(attempt_page, "viewer", partial(_volume_viewer, scene)))
        if on_cortex and np.any(scene.canvas.cortex.on_vertices(what_is_shown(scene)[0])):  # type: ignore[union-attr]
            draw.append(partial(attempt_page, "surface", partial(_surface_viewer, scene)))
    return draw


def primary(inferences: Sequence[CorrectedMap]) -> CorrectedMap:
    """Return the corrected map that the report looks at closely: the first in the order of the catalogue."""
    return in_order(inferences)[0]


def _whole_map(scene: Scene) -> Figure:
    """Draw the statistic everywhere, fainter where it is small, and outline what survives in the primary map."""
    fit, canvas, test = scene.fit, scene.canvas, scene.fit.contrast.test
    cut = _strongest(fit, canvas)
    outlined, contour = _outline(scene)
    layer = Layer(masked_volume(fit.statistic, canvas), outlined=outlined)
    title = f"{scene.name}: {test}, not thresholded"
    return Figure(
        name=f"stat-{test}_slices",
        png=slices_png(title, layer, cut, scale_of(scene.scaled_by, thresholded=False), canvas),
        caption=f"{test} at every voxel, not thresholded; small values are faint.{contour} "
        f"Cut at {_xyz(cut)}, where {'|t|' if test == 't' else 'F'} is largest.{_background_words(canvas)}",
        alt=f"Three slices through the whole {test} map of {scene.name} at {_xyz(cut)}.",
    )


def _effect_map(scene: Scene) -> Figure:
    """Draw the effect (t) or its size (F) everywhere, as faint as its statistic is small."""
    fit, canvas = scene.fit, scene.canvas
    is_t = fit.effect is not None
    values = fit.effect if is_t else fit.effect_size
    assert values is not None  # an F always has partial eta squared
    what, symbol = ("Effect", "effect") if is_t else ("Partial eta squared", "eta\N{SUPERSCRIPT TWO}")
    unit = ", in the units of the input maps and of the weights" if is_t else ""
    largest = max(float(np.percentile(np.abs(values), 99.9)), 1e-12)
    scale = Scale(largest, -largest if is_t else 0.0, largest, symbol, faint_below=full_opacity(scene.scaled_by))
    cut = _strongest(fit, canvas)
    outlined, contour = _outline(scene)
    layer = Layer(masked_volume(values, canvas), masked_volume(fit.statistic, canvas), outlined)
    fainter = f"it is the fainter the smaller {'|t|' if is_t else 'F'} is"
    return Figure(
        name="stat-effect_slices" if is_t else "stat-etasq_slices",
        png=slices_png(f"{scene.name}: {what.lower()}", layer, cut, scale, canvas),
        caption=f"{what}{unit}, not thresholded: colour shows its size{saturated_words(values, largest)}, and "
        f"{fainter}.{contour} {SAME_DATA}{_background_words(canvas)}",
        alt=f"Three slices through the map of {what.lower()} of {scene.name} at {_xyz(cut)}.",
    )


def saturated_words(values: Floats, largest: float) -> str:
    """Return in words where the colours end, where some values lie beyond."""
    n_beyond = int((np.abs(values) > largest).sum())
    if not n_beyond:
        return ""
    lies = "voxel lies" if n_beyond == 1 else "voxels lie"
    return f" up to {number_words(largest)}, beyond which {n_beyond:,} {lies}"


def _corrected_map(scene: Scene, inference: CorrectedMap) -> Figure:
    """Draw what survives: slices through the highest peak, and glass brains below them."""
    fit, canvas = scene.fit, scene.canvas
    volume, cut = _surviving(fit, inference, canvas)
    glass = bool(canvas.outlines)
    n_voxels = int(inference.significant.sum())
    threshold = threshold_words(inference, fit)
    title = f"{scene.name}: {method_words(inference)}"
    return Figure(
        name=f"desc-{inference.method}_slices",
        png=slices_png(title, Layer(volume), cut, scale_of(scene.scaled_by, thresholded=True), canvas, glass=glass),
        caption=f"{method_words(inference)}{f' ({threshold})' if threshold else ''}, {sided_words(fit.contrast)}: "
        f"{n_voxels:,} voxel{'s survive' if n_voxels != 1 else ' survives'}. Cut at {_xyz(cut)}, the highest peak"
        f"{'; below, everything that survives, seen through the brain' if glass else ''}. "
        f"{' '.join(filter(None, (METHODS[inference.method].words.interpretation(fit.contrast), SAME_DATA)))}"
        f"{_background_words(canvas)}",
        alt=f"{scene.name}, {method_words(inference)}: {n_voxels} surviving voxels on a brain, "
        f"the highest at {_xyz(cut)}.",
    )


def _peak_slices(scene: Scene, inference: CorrectedMap) -> Figure:
    """Draw sagittal slices through the highest peaks of a corrected map, from left to right."""
    volume, cut = _surviving(scene.fit, inference, scene.canvas)
    # without peaks, every cluster is smaller than the tables list
    places = _peak_x(scene.tables[inference.method]) or [float(cut[0])]
    title = f"{scene.name}: {method_words(inference)}, highest peaks"
    listed = ", ".join(coordinate(x) for x in places)
    return Figure(
        name=f"desc-{inference.method}_peaks",
        png=sagittal_png(title, volume, places, scale_of(scene.scaled_by, thresholded=True), scene.canvas),
        caption=f"Sagittal slices through the highest peaks, x = {listed} mm.",
        alt=f"Sagittal slices of {scene.name}, {method_words(inference)}, at x = {listed} mm.",
    )


def _surface(scene: Scene, inference: CorrectedMap) -> Figure:
    """Draw what survives on the cortex."""
    assert scene.canvas.cortex is not None
    values = np.where(inference.significant, scene.fit.statistic, 0.0)
    n_places = int((scene.canvas.cortex.on_vertices(values) != 0).sum())
    title = f"{scene.name}: {method_words(inference)}"
    return Figure(
        name=f"desc-{inference.method}_surface",
        png=surface_png(title, values, scale_of(scene.scaled_by, thresholded=True), scene.canvas.cortex),
        caption=ON_CORTEX,
        alt=f"{scene.name}, {method_words(inference)}, on the cortex seen from the sides, the middle and below: "
        f"{n_places:,} of its {len(scene.canvas.cortex.voxels):,} points survive.",
    )


def _cluster_pictures(scene: Scene, inference: CorrectedMap) -> Figure:
    """Draw slices through the peak of each cluster, the highest first."""
    clusters = scene.tables[inference.method].clusters
    volume, _ = _surviving(scene.fit, inference, scene.canvas)
    places = [
        (_cluster_words(row, scene.fit.contrast.test), np.array([row["peak_x"], row["peak_y"], row["peak_z"]], float))
        for row in clusters.head(N_CLUSTERS).to_dict("records")
    ]
    title = f"{scene.name}: {method_words(inference)}, by cluster"
    shown = f"the {len(places)} highest of {len(clusters)} clusters" if len(clusters) > len(places) else "each cluster"
    return Figure(
        name=f"desc-{inference.method}_clusters",
        png=clusters_png(title, volume, places, scale_of(scene.scaled_by, thresholded=True), scene.canvas),
        caption=f"Slices through the peak of {shown}, numbered as in the table.",
        alt=f"{scene.name}: slices through {len(places)} clusters. {'. '.join(words for words, _ in places)}.",
    )


def _cluster_words(row: Mapping[Any, Any], test: str) -> str:
    """Return number, size, height and region of a cluster, in words."""
    n_voxels = int(row["extent_voxels"])
    size = f"{n_voxels:,} voxel{'s' if n_voxels != 1 else ''}"
    return f"{row['cluster_id']}: {size}, {_height_words(row, test)}"


def _height_words(row: Mapping[Any, Any], test: str) -> str:
    """Return in words how high the peak of a row is, and in which region of the first atlas."""
    regions = [short_label(str(row[name])) for name in ATLASES if name in row][:1]
    height = f"{test} = {decimal(row['peak_statistic'])}"
    return ", ".join([height, *(region for region in regions if region != NO_REGION)])


def _nulls(scene: Scene) -> Figure:
    return null_histograms(scene.fit.contrast, scene.inferences)


def _volume_viewer(scene: Scene) -> Viewer:
    """Make the page with a crosshair and a threshold that moves."""
    peaks = scene.tables[scene.first.method].peaks if scene.first else None
    marks = [] if peaks is None else [_landmark(row, scene.fit.contrast) for row in _highest(peaks, N_LANDMARKS)]
    page = viewer_page(scene.fit, scene.inferences, scene.canvas, marks, scene.atlases)
    return Viewer("viewer", page, "Open the interactive map")


def _surface_viewer(scene: Scene) -> Viewer:
    """Make the page with a cortex that can be turned: the primary corrected map, or all where nothing survives."""
    values, what = what_is_shown(scene)
    title = f"{scene.name}: {scene.fit.contrast.test}, {what or 'not thresholded'}"
    page = surface_page(title, values, scale_of(scene.scaled_by, thresholded=bool(what)), scene.canvas)
    return Viewer("surface", page, "Turn it on the cortex (6 MB)")


def what_is_shown(scene: Scene) -> tuple[Floats, str]:
    """Return what survives in the primary map and its name, or the whole statistic and no name where nothing does."""
    first = scene.first
    if first is None or not first.significant.any():
        return scene.fit.statistic, ""
    return np.where(first.significant, scene.fit.statistic, 0.0), method_words(first)


def _highest(peaks: pd.DataFrame, number: int) -> list[dict[Any, Any]]:
    """Take the highest peaks as records."""
    return highest_peaks(peaks, number).to_dict("records")


def _landmark(row: Mapping[Any, Any], contrast: Contrast) -> Landmark:
    """Name a peak for the list of the viewer."""
    place = (float(row["peak_x"]), float(row["peak_y"]), float(row["peak_z"]))
    return Landmark(place, f"{place_words(place)} {_height_words(row, contrast.test)}")


def _outline(scene: Scene) -> tuple[Volume | None, str]:
    """Return what survives in the primary map, to be outlined, and the words for it."""
    first = scene.first
    if first is None or not first.significant.any():
        return None, ""
    outlined = masked_volume(first.significant.astype(float), scene.canvas)
    return outlined, f" Outlined: what survives ({method_words(first)})."


def _strongest(fit: ContrastFit, canvas: Canvas) -> Floats:
    """Return the place of the highest statistic, (3,) mm."""
    return highest(fit.statistic if fit.contrast.test == "t" else np.maximum(fit.statistic, 0), canvas)


def _surviving(fit: ContrastFit, inference: CorrectedMap, canvas: Canvas) -> tuple[Volume, Floats]:
    """Return the statistic where it survives, zero elsewhere, and the place of its highest peak, (3,) mm."""
    values = np.where(inference.significant, fit.statistic, 0.0)
    return masked_volume(values, canvas), highest(values, canvas)


def _peak_x(table: ResultTables) -> list[float]:
    """Return the x of the highest peaks, each once, from left to right."""
    x = dict.fromkeys(float(row["peak_x"]) for row in _highest(table.peaks, len(table.peaks)))
    return sorted(list(x)[:N_PEAK_SLICES])


def scale_of(fit: ContrastFit, *, thresholded: bool) -> Scale:
    """Colours from the largest statistic anywhere, so that all maps of the contrast share them."""
    largest = max(float(np.abs(fit.statistic).max()), 1e-6)
    contrast = fit.contrast
    # an F below zero does not exist, and what is not tested on one side cannot survive there
    lower = 0.0 if contrast.test == "F" or (thresholded and contrast.sided == "positive") else -largest
    upper = 0.0 if contrast.test == "t" and thresholded and contrast.sided == "negative" else largest
    return Scale(largest, lower, upper, contrast.test, faint_below=0.0 if thresholded else full_opacity(fit))


def _xyz(place: Floats) -> str:
    return f"{place_words(place)} mm"


def _background_words(canvas: Canvas) -> str:
    return f" Background: mean of the maps. {canvas.reason}" if canvas.reason else ""
