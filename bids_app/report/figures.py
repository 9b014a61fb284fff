"""Figures: which ones a contrast and a design have, and what their captions say."""

from __future__ import annotations

import html
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import nibabel as nib
import numpy as np
from nilearn.plotting import view_img
from numpy.typing import NDArray

from bids_app.design import Contrast, Design
from bids_app.glm import ContrastFit
from bids_app.images import unmask
from bids_app.inference.correction import ContrastInference
from bids_app.report.charts import contrasts_png, design_png, nulls_png
from bids_app.report.slices import (
    BOTH_SIGNS,
    ONE_SIGN,
    Canvas,
    Scale,
    Volume,
    highest,
    masked_volume,
    mosaic_png,
    projected,
    sagittal_png,
    slices_png,
    volume_of,
)
from bids_app.report.words import (
    NULL_KEYS,
    coordinate,
    in_order,
    method_words,
    null_title,
    number_words,
    sided_words,
    threshold_words,
)

Floats = NDArray[np.float64]

N_PEAK_SLICES = 5


class PeakTable(Protocol):
    """What the figures take from the tables of a corrected map."""

    @property
    def peaks(self) -> Any:  # noqa: ANN401
        """A data frame with peak_x, peak_y, peak_z and peak_statistic."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One picture."""

    name: str
    """End of the file's name, such as desc-voxelFWE_slices."""
    png: bytes
    caption: str
    alt: str
    """What it shows, for those who do not see it."""
    kind: Literal["map", "chart"] = "map"
    """A map is drawn on black, a chart on white."""


def draw_design(design: Design) -> Figure:
    """Draw the design matrix, a row per map."""
    n_maps, n_regressors = design.matrix.shape
    return Figure(
        name="design",
        png=design_png(design),
        caption=f"Design matrix: {n_maps} maps in rows, {len(design.cells)} of each subject one below the other, and "
        f"{n_regressors} regressors in columns (rank {design.rank}).",
        alt=f"Design matrix of {n_maps} rows and {n_regressors} columns: {', '.join(design.regressors[:12])}"
        f"{' and so on' if n_regressors > 12 else ''}.",
        kind="chart",
    )


def draw_contrasts(design: Design) -> Figure:
    """Draw the weights of every contrast over the cells, a row per weight vector."""
    listed = "; ".join(f"{contrast.name}: {contrast.formula}" for contrast in design.contrasts)
    return Figure(
        name="contrasts",
        png=contrasts_png(design),
        caption="Weights of the contrasts over the conditions (red above zero, blue below). An F contrast has a row "
        "for each comparison that it tests together.",
        alt=f"Contrast weights. {listed}.",
        kind="chart",
    )


def draw_mosaic(
    images: Mapping[str, nib.Nifti1Image], canvas: Canvas, *, name: str, title: str, caption: str
) -> Figure:
    """Draw one glass brain for each subject, seen from the side, all in the same colours.

    Parameters
    ----------
    images : subject label -> map, each on a grid of its own
    canvas : Canvas
    name : end of the file's name
    title : what the maps are, written above them
    caption : a sentence for the report; the colour range is added to it
    """
    projections = {label: projected(volume_of(image), 0) for label, image in images.items()}
    pooled = np.concatenate([np.abs(flat[flat != 0]) for flat, _ in projections.values()])
    largest = float(np.percentile(pooled, 99.8)) if pooled.size else 1.0
    scale = Scale(largest, -largest, largest, "", faint_below=largest)
    note = "" if canvas.outlines else f" No brain outline: {canvas.reason}"
    return Figure(
        name=name,
        png=mosaic_png(title, projections, scale, canvas),
        caption=f"{caption} Maximum along the line of sight, both signs, one colour scale for all subjects "
        f"(\N{PLUS-MINUS SIGN}{largest:.3g}).{note}",
        alt=f"{title}: {len(images)} glass brains seen from the side, one for each subject.",
    )


def draw_contrast(
    fit: ContrastFit, inferences: Sequence[ContrastInference], tables: Mapping[str, PeakTable], canvas: Canvas
) -> tuple[Figure, ...]:
    """Draw the maps of one contrast.

    Parameters
    ----------
    fit : ContrastFit
    inferences : the corrected maps
    tables : method -> clusters and peaks
    canvas : of the node

    Returns
    -------
    tuple of Figure
        The statistic everywhere; each corrected map in which anything survives; the highest peaks of the primary one;
        the null distributions where there are any.
    """
    first = primary(inferences) if inferences else None
    drawn = [_whole_map(fit, first, canvas)]
    for inference in in_order(inferences):
        if inference.significant.any():
            drawn.append(_corrected_map(fit, inference, canvas))
            if inference is first:
                drawn.append(_peak_slices(fit, inference, tables[inference.method], canvas))
    nulls = [each for each in inferences if each.null is not None]
    if nulls:
        drawn.append(_null_histograms(fit.contrast, nulls))
    return tuple(drawn)


def view_contrast(fit: ContrastFit, inferences: Sequence[ContrastInference], canvas: Canvas) -> str:
    """Make the page with the map that can be turned and scrolled, without any request to the network.

    It shows the primary corrected map, or the whole statistic where nothing survives.
    """
    first = primary(inferences) if inferences else None
    survives = first is not None and bool(first.significant.any())
    values = np.where(first.significant, fit.statistic, 0.0) if first is not None and survives else fit.statistic
    scale = _scale(fit, thresholded=survives)
    what = method_words(first) if first is not None and survives else "not thresholded"
    image = nib.Nifti1Image(unmask(values.astype(np.float32), canvas.mask), canvas.affine)
    with warnings.catch_warnings():
        # a map of one sign is no mistake, whatever the threshold says of the other
        warnings.filterwarnings("ignore", message="Threshold given was", category=UserWarning)
        view = _view(image, values, scale, canvas, title=f"{fit.contrast.name}: {fit.contrast.test}, {what}")
    # nilearn's page asks a code host for its icon
    return re.sub(r"<link\b[^>]*\bhttps?://[^>]*>", '<link rel="icon" href="data:,">', view.get_standalone())


def _view(image: nib.Nifti1Image, values: Floats, scale: Scale, canvas: Canvas, *, title: str) -> Any:  # noqa: ANN401
    """Let nilearn make its page; it ships no types."""
    return view_img(
        image,
        bg_img="MNI152" if canvas.outlines else canvas.background.image,
        threshold=1e-6,
        vmax=scale.largest,
        vmin=None if scale.lower < 0 else 0.0,
        symmetric_cmap=scale.lower < 0,
        cmap=BOTH_SIGNS if scale.lower < 0 else ONE_SIGN,
        black_bg=True,
        cut_coords=tuple(highest(values, canvas)),
        resampling_interpolation="nearest",
        title=html.escape(title),
    )


def primary(inferences: Sequence[ContrastInference]) -> ContrastInference:
    """Return the corrected map that the report looks at closely: the first in the order of METHODS."""
    return in_order(inferences)[0]


def _whole_map(fit: ContrastFit, first: ContrastInference | None, canvas: Canvas) -> Figure:
    """Draw the statistic everywhere, fainter where it is small, and outline what survives in the primary map."""
    test = fit.contrast.test
    cut = highest(fit.statistic if test == "t" else np.maximum(fit.statistic, 0), canvas)
    outlined, contour = None, ""
    if first is not None and first.significant.any():
        outlined = masked_volume(first.significant.astype(float), canvas)
        contour = f" Outlined: what survives ({method_words(first)})."
    volume, scale = masked_volume(fit.statistic, canvas), _scale(fit, thresholded=False)
    title = f"{fit.contrast.name}: {test}, not thresholded"
    return Figure(
        name=f"stat-{test}_slices",
        png=slices_png(title, volume, cut, scale, canvas, outlined=outlined),
        caption=f"{test} at every voxel, not thresholded; small values are faint.{contour} "
        f"Cut at {_xyz(cut)}, where it is largest.{_background_words(canvas)}",
        alt=f"Three slices through the whole {test} map of {fit.contrast.name} at {_xyz(cut)}.",
    )


def _corrected_map(fit: ContrastFit, inference: ContrastInference, canvas: Canvas) -> Figure:
    """Draw what survives: slices through the highest peak, and glass brains below them."""
    volume, cut = _surviving(fit, inference, canvas)
    title = f"{fit.contrast.name}: {method_words(inference)}"
    glass = bool(canvas.outlines)
    n_voxels = int(inference.significant.sum())
    threshold = threshold_words(inference, fit)
    return Figure(
        name=f"desc-{inference.method}_slices",
        png=slices_png(title, volume, cut, _scale(fit, thresholded=True), canvas, glass=glass),
        caption=f"{method_words(inference)}{f' ({threshold})' if threshold else ''}, {sided_words(fit.contrast)}: "
        f"{n_voxels:,} voxel{'s survive' if n_voxels != 1 else ' survives'}. Cut at {_xyz(cut)}, the highest peak"
        f"{'; below, everything that survives, seen through the brain' if glass else ''}."
        f"{_background_words(canvas)}",
        alt=f"{fit.contrast.name}, {method_words(inference)}: {n_voxels} surviving voxels on a brain, "
        f"the highest at {_xyz(cut)}.",
    )


def _peak_slices(fit: ContrastFit, inference: ContrastInference, table: PeakTable, canvas: Canvas) -> Figure:
    """Draw sagittal slices through the highest peaks of the primary map, from left to right."""
    volume, cut = _surviving(fit, inference, canvas)
    places = _peak_x(table) or [float(cut[0])]  # without peaks, every cluster is smaller than the tables list
    title = f"{fit.contrast.name}: {method_words(inference)}, highest peaks"
    listed = ", ".join(coordinate(x) for x in places)
    return Figure(
        name=f"desc-{inference.method}_peaks",
        png=sagittal_png(title, volume, places, _scale(fit, thresholded=True), canvas),
        caption=f"{method_words(inference)}: sagittal slices through the highest peaks, x = {listed} mm.",
        alt=f"Sagittal slices of {fit.contrast.name} at x = {listed} mm.",
    )


def _surviving(fit: ContrastFit, inference: ContrastInference, canvas: Canvas) -> tuple[Volume, Floats]:
    """Give the statistic where it survives, zero elsewhere, and the place of its highest peak, (3,) mm."""
    values = np.where(inference.significant, fit.statistic, 0.0)
    return masked_volume(values, canvas), highest(values, canvas)


def _null_histograms(contrast: Contrast, inferences: Sequence[ContrastInference]) -> Figure:
    """Draw the distribution of each maximum over the shuffles, with the observed one and the critical value."""
    ordered = sorted(inferences, key=lambda each: list(NULL_KEYS).index(each.method))
    null = ordered[0].null
    assert null is not None
    shuffles = null.shuffles
    kind = f"all {shuffles.possible}" if shuffles.exhaustive else f"{shuffles.n_shuffles:,} of {shuffles.possible}"
    said = "; ".join(
        f"{null_title(each, contrast)}: observed "
        f"{number_words(null.maxima[NULL_KEYS[each.method]][0])}, critical value {_critical_words(each)}"
        for each in ordered
    )
    return Figure(
        name="desc-null_histogram",
        png=nulls_png(contrast, null, ordered),
        caption=f"Largest values over the brain in {kind} {shuffles.words}, the observed labelling among them. Red: "
        f"observed; dashed: critical value at p = {ordered[0].alpha:g}. What lies beyond the dashed line is "
        f"significant.{_family_words(ordered[0])}",
        alt=f"Null distributions of {contrast.name}: {said}.",
        kind="chart",
    )


def _family_words(inference: ContrastInference) -> str:
    """Say whose maximum the critical value is of, where it is not that of the bars."""
    if inference.across == 1:
        return ""
    return f" The critical value is that of the maximum over {inference.across} contrasts; the bars show this one."


def _critical_words(inference: ContrastInference) -> str:
    return "none (too few relabellings)" if inference.threshold is None else number_words(inference.threshold)


def _peak_x(table: PeakTable) -> list[float]:
    """Give the x of the highest peaks, each once, from left to right."""
    peaks = table.peaks.sort_values("peak_statistic", key=np.abs, ascending=False, kind="stable")
    return sorted(list(dict.fromkeys(float(x) for x in peaks["peak_x"]))[:N_PEAK_SLICES])


def _full_opacity(fit: ContrastFit) -> float:
    """Give the statistic at p = 0.001, from which on the unthresholded map is opaque."""
    strong = np.abs(fit.statistic[fit.p <= 0.001])
    return float(strong.min()) if strong.size else max(float(np.abs(fit.statistic).max()), 1e-6)


def _scale(fit: ContrastFit, *, thresholded: bool) -> Scale:
    """Colours from the largest statistic anywhere, so that all maps of the contrast share them."""
    largest = max(float(np.abs(fit.statistic).max()), 1e-6)
    contrast = fit.contrast
    # an F below zero does not exist, and what is not tested on one side cannot survive there
    lower = 0.0 if contrast.test == "F" or (thresholded and contrast.sided == "positive") else -largest
    upper = 0.0 if contrast.test == "t" and thresholded and contrast.sided == "negative" else largest
    return Scale(largest, lower, upper, contrast.test, faint_below=0.0 if thresholded else _full_opacity(fit))


def _xyz(place: Floats) -> str:
    return f"({', '.join(coordinate(float(value)) for value in place)}) mm"


def _background_words(canvas: Canvas) -> str:
    return f" Background: mean of the maps. {canvas.reason}" if canvas.reason else ""
