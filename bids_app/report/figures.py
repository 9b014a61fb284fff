"""Maps, design, contrast and null-distribution figures, as PNG bytes.

Slices are drawn here and not by nilearn's plotting functions: a contrast has up to fifteen figures, which share one
background and one brain outline (both nilearn's), and these are loaded once, into a `Canvas`. Places are in mm
throughout, so that maps and background each keep their own grid and neither is resampled.

Nothing of matplotlib's global state is used or left changed, and the same values give the same bytes.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, Protocol

import matplotlib as mpl
import nibabel as nib
import numpy as np
from matplotlib import colors
from matplotlib import figure as mpl_figure
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.image import imsave
from nilearn.datasets import load_mni152_template
from nilearn.image import reorder_img
from nilearn.plotting import plot_glass_brain, view_img
from numpy.typing import NDArray

from bids_app.design import Contrast, Design
from bids_app.glm import ContrastFit
from bids_app.images import unmask
from bids_app.inference.correction import ContrastInference, rank_p
from bids_app.inference.permutation import TIE_TOLERANCE, NullDistribution

Booleans = NDArray[np.bool_]
Floats = NDArray[np.float64]
Extent = tuple[float, float, float, float]

DPI = 120
INCH_PER_MM = 0.0104  # of brain: three slices and their scale are 720 pixels wide
GAP_MM = 6.0
BAR_MM = 54.0  # room for the colour scale
N_PEAK_SLICES = 5
MNI_WINDOW = ((-77.0, 77.0), (-113.0, 82.0), (-77.0, 88.0))  # what nilearn's brain outlines take up

NIGHT, FAINT, LIGHT = "#0c0d0f", "#8b93a1", "#e8eaee"  # behind maps; cross hairs; words on them
INK, QUIET, ACCENT, WARM = "#1d2530", "#8a94a3", "#2f6fb3", "#c8452d"  # charts, on white
GREYS = 40  # shades of the background: more are not seen, and make the files larger

# Typed as anything: matplotlib names its many keys one by one.
STYLE: Any = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8.0,
    "text.usetex": False,
    "axes.unicode_minus": True,
    "axes.linewidth": 0.6,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 9.0,
    "axes.titlelocation": "left",
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "path.simplify": True,
}

NO_STAMP: Any = {"Software": None}  # no version in the files, so that equal figures are equal bytes

# Best first: the one whose map is looked at closely. Fixed beforehand, never chosen by what survives.
METHODS: dict[str, str] = {
    "voxelFWE": "Voxel-wise FWE",
    "tfceFWE": "TFCE (FWE)",
    "clusterMassFWE": "Cluster mass (FWE)",
    "clusterSizeFWE": "Cluster size (FWE)",
    "bonferroni": "Bonferroni",
    "fdr": "False discovery rate",
    "uncorrected": "Uncorrected",
}
NULL_TITLES = {
    "voxel": "Maximum {}",
    "clusterSize": "Largest cluster (voxels)",
    "clusterMass": "Heaviest cluster (mass)",
    "tfce": "Maximum TFCE",
}
NULL_KEYS = {"voxelFWE": "voxel", "clusterSizeFWE": "clusterSize", "clusterMassFWE": "clusterMass", "tfceFWE": "tfce"}


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


@dataclass(frozen=True, slots=True)
class Outline:
    """A brain outline seen along one axis."""

    pixels: NDArray[np.uint8]
    """(rows, columns, 4) red, green, blue, opacity."""
    extent: Extent
    """Left, right, bottom, top in mm."""


@dataclass(frozen=True, slots=True)
class _Volume:
    """A map whose axes run along x, y and z."""

    data: NDArray[Any]  # (i, j, k)
    origin: Floats  # (3,) mm of the first voxel
    step: Floats  # (3,) mm


@dataclass(frozen=True, slots=True)
class Canvas:
    """What all maps of a node are drawn on."""

    mask: Booleans
    """(i, j, k) analysis mask."""
    affine: Floats
    """(4, 4) voxel index of the mask to mm."""
    background: _Volume
    """Grey values from 0 to 1."""
    outlines: Mapping[str, Outline]
    """x, y, z; empty where the maps are not in MNI space."""
    window: tuple[tuple[float, float], ...]
    """(3, 2) mm of x, y, z that are shown."""
    reason: str
    """Why there is no MNI background; empty where there is."""


@dataclass(frozen=True, slots=True)
class _Scale:
    """Colours of a statistic, the same in all figures of a contrast."""

    largest: float
    lower: float
    upper: float
    colours: colors.Colormap
    symbol: str

    @property
    def norm(self) -> colors.Normalize:
        """Values to shares of the colour map, which always spans both signs."""
        return colors.Normalize(-self.largest, self.largest)


def load_canvas(
    mask: Booleans, affine: Floats, mean: Floats | None = None, *, use_mni: bool, reason: str = ""
) -> Canvas:
    """Load what the maps are drawn on, once per node.

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
        template = load_mni152_template(resolution=1)
        return Canvas(mask, affine, _volume(template), _outlines(), MNI_WINDOW, "")
    values = np.ones(int(mask.sum())) if mean is None else mean
    low, high = np.percentile(values, [2, 98])
    shades = 0.25 + 0.6 * np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    background = _volume(nib.Nifti1Image(unmask(shades.astype(np.float32), mask), affine))
    return Canvas(mask, affine, background, {}, _window(mask, affine), reason or "The maps are not in MNI space.")


def primary(inferences: Sequence[ContrastInference]) -> ContrastInference:
    """Return the corrected map that the report looks at closely: the first in the order of METHODS."""
    order = list(METHODS)
    return min(inferences, key=lambda each: order.index(each.method))


def draw_design(design: Design) -> Figure:
    """Draw the design matrix, a row per map."""
    n_maps, n_regressors = design.matrix.shape
    n_cells, n_subjects = len(design.cells), len(design.subjects)
    width = min(9.0, max(3.6, 1.4 + 0.2 * n_regressors))
    with _sheet(width, min(7.5, 1.6 + 0.24 * min(n_subjects, 24))) as figure:
        axes = figure.subplots()
        limit = max(1.0, float(np.abs(design.matrix).max()))
        axes.imshow(
            design.matrix,
            cmap=_ink_map("#2b4465"),
            norm=colors.Normalize(-limit, limit),
            aspect="auto",
            interpolation="nearest",
        )
        for edge in np.arange(1, n_subjects) * n_cells:
            axes.axhline(edge - 0.5, color="#d8dde4", linewidth=0.5)
        _label_regressors(axes, design.regressors)
        every = max(1, -(-n_subjects // 40))  # more labels would overlap
        axes.set_yticks(
            (np.arange(n_subjects) * n_cells + (n_cells - 1) / 2)[::every],
            [_drawable(f"sub-{label}") for label in design.subjects[::every]],
        )
        axes.tick_params(length=0, labelsize=7, pad=2)
        png = _png(figure)
    return Figure(
        name="design",
        png=png,
        caption=f"Design matrix: {n_maps} maps in rows, {n_cells} of each subject one below the other, and "
        f"{n_regressors} regressors in columns (rank {design.rank}).",
        alt=f"Design matrix of {n_maps} rows and {n_regressors} columns: {', '.join(design.regressors[:12])}"
        f"{' and so on' if n_regressors > 12 else ''}.",
        kind="chart",
    )


def draw_contrasts(design: Design) -> Figure:
    """Draw the weights of every contrast over the cells, a row per weight vector."""
    rows = [(contrast, row) for contrast in design.contrasts for row in contrast.cell_weights]
    names = [contrast.name for contrast, _ in rows]
    labels = [
        name if index == 0 or names[index - 1] != name else ""  # the further rows of an F carry no name
        for index, name in enumerate(names)
    ]
    n_cells = len(design.cells)
    with _sheet(min(9.0, 3.2 + 0.5 * n_cells), 1.2 + 0.27 * len(rows)) as figure:
        axes = figure.subplots()
        weights = np.array([row for _, row in rows])
        limit = max(1e-12, float(np.abs(weights).max()))
        axes.imshow(
            weights, cmap=_ink_map(), norm=colors.Normalize(-limit, limit), aspect="auto", interpolation="nearest"
        )
        if n_cells <= 16:
            _write_weights(axes, weights, limit)
        for index in range(1, len(rows)):
            if labels[index]:
                axes.axhline(index - 0.5, color=QUIET, linewidth=0.7)
        _label_regressors(axes, design.cells)
        axes.set_yticks(np.arange(len(rows)), [_drawable(_shortened(label, 36)) for label in labels])
        axes.tick_params(length=0, labelsize=8)
        png = _png(figure)
    listed = "; ".join(f"{contrast.name}: {contrast.formula}" for contrast in design.contrasts)
    return Figure(
        name="contrasts",
        png=png,
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
    projections = {label: _projected(_volume(image), 0) for label, image in images.items()}
    pooled = np.concatenate([np.abs(flat[flat != 0]) for flat, _ in projections.values()])
    largest = float(np.percentile(pooled, 99.8)) if pooled.size else 1.0
    scale = _Scale(largest, -largest, largest, _both_signs(), "")
    n_columns = min(len(images), 10, max(4, int(np.ceil(np.sqrt(len(images))))))
    n_rows = -(-len(images) // n_columns)
    (y0, y1), (z0, z1) = canvas.window[1:]
    width, height = y1 - y0, z1 - z0 + 20
    shrink = min(1.0, 4.4 / n_columns) * 0.8
    with _map_sheet(n_columns * width + BAR_MM / shrink, n_rows * height + 24, shrink) as (figure, place):
        place.title(title)
        for index, (label, (flat, extent)) in enumerate(projections.items()):
            row, column = divmod(index, n_columns)
            axes = place.axes(column * width, (n_rows - 1 - row) * height, width, z1 - z0)
            _paint_projection(axes, flat, extent, canvas.outlines.get("x"), scale, faint=True)
            _frame(axes, canvas.window[1], canvas.window[2])
            text = _drawable(_shortened(f"sub-{label}", 16))
            place.text(text, column * width + 5, (n_rows - 1 - row) * height + z1 - z0 + 2, size=7.5)
        _colour_bar(place, scale, n_columns * width + 10, min(n_rows * height, 260.0))
        png = _map_png(figure)
    note = "" if canvas.outlines else f" No brain outline: {canvas.reason}"
    return Figure(
        name=name,
        png=png,
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
    statistic = _masked_volume(fit.statistic, canvas)
    first = primary(inferences) if inferences else None
    drawn = [_whole_map(fit, statistic, first, canvas)]
    for inference in sorted(inferences, key=lambda each: list(METHODS).index(each.method)):
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
    view = view_img(
        image,
        bg_img="MNI152" if canvas.outlines else _as_image(canvas.background),
        threshold=1e-6,
        vmax=scale.largest,
        vmin=None if scale.lower < 0 else 0.0,
        symmetric_cmap=scale.lower < 0,
        cmap=_both_signs() if scale.lower < 0 else _one_sign(),
        black_bg=True,
        cut_coords=tuple(_highest(values, canvas)),
        resampling_interpolation="nearest",
        title=html.escape(f"{fit.contrast.name}: {fit.contrast.test}, {what}"),
    )
    # nilearn's page asks a code host for its icon
    return re.sub(r"<link\b[^>]*\bhttps?://[^>]*>", '<link rel="icon" href="data:,">', view.get_standalone())


def _as_image(volume: _Volume) -> nib.Nifti1Image:
    affine = np.diag([*volume.step, 1.0])
    affine[:3, 3] = volume.origin
    return nib.Nifti1Image(volume.data, affine)


def method_words(inference: ContrastInference) -> str:
    """Name a correction with its level: Voxel-wise FWE, p <= 0.05."""
    extent = f", at least {inference.extent} voxels" if inference.extent > 1 else ""
    sign = "q" if inference.method == "fdr" else "p"
    return f"{METHODS[inference.method]}, {sign} \N{LESS-THAN OR EQUAL TO} {inference.alpha:g}{extent}"


def threshold_words(inference: ContrastInference, fit: ContrastFit) -> str:
    """Say what a value had to reach, in the unit of the method; empty where it differs between voxels."""
    if inference.threshold is None:
        return ""
    key = NULL_KEYS.get(inference.method, "voxel")
    if key == "clusterSize":
        return f"clusters of more than {inference.threshold:.0f} voxels"
    if key == "clusterMass":
        return f"cluster mass above {inference.threshold:.1f}"
    if key == "tfce":
        return f"TFCE above {inference.threshold:.1f}"
    symbol = _tested(fit.contrast)
    relation = ">" if inference.null is not None else "\N{GREATER-THAN OR EQUAL TO}"
    return f"{symbol} {relation} {inference.threshold:.2f}"


def sided_words(contrast: Contrast) -> str:
    """Say which side of the statistic is tested."""
    if contrast.test == "F":
        return "upper tail of F"
    return {
        "two": "two-sided",
        "positive": "one-sided (positive)",
        "negative": "one-sided (negative)",
    }[contrast.sided]


def _tested(contrast: Contrast) -> str:
    """Write the statistic as it is seen from the tested side."""
    if contrast.test == "F":
        return "F"
    return {"two": "|t|", "positive": "t", "negative": "\N{MINUS SIGN}t"}[contrast.sided]


def _whole_map(fit: ContrastFit, statistic: _Volume, first: ContrastInference | None, canvas: Canvas) -> Figure:
    """Draw the statistic everywhere, fainter where it is small, and outline what survives in the primary map."""
    scale = _scale(fit, thresholded=False)
    cut = _highest(fit.statistic if fit.contrast.test == "t" else np.maximum(fit.statistic, 0), canvas)
    survives = first is not None and bool(first.significant.any())
    outlined = _masked_volume(first.significant.astype(float), canvas) if first is not None and survives else None
    widths, height = _three(canvas)
    with _map_sheet(sum(widths) + 2 * GAP_MM + BAR_MM, height + 24) as (figure, place):
        place.title(f"{fit.contrast.name}: {fit.contrast.test}, not thresholded")
        _ortho_row(place, 0.0, statistic, cut, scale, canvas, faint=_full_opacity(fit), outlined=outlined)
        _colour_bar(place, scale, sum(widths) + 2 * GAP_MM + 10, height)
        png = _map_png(figure)
    contour = f" Outlined: what survives ({method_words(first)})." if first is not None and survives else ""
    return Figure(
        name=f"stat-{fit.contrast.test}_slices",
        png=png,
        caption=f"{fit.contrast.test} at every voxel, not thresholded; small values are faint.{contour} "
        f"Cut at {_xyz(cut)}, where it is largest.{_background_words(canvas)}",
        alt=f"Three slices through the whole {fit.contrast.test} map of {fit.contrast.name} at {_xyz(cut)}.",
    )


def _full_opacity(fit: ContrastFit) -> float:
    """Give the statistic at p = 0.001, from which on the unthresholded map is opaque."""
    strong = np.abs(fit.statistic[fit.p <= 0.001])
    return float(strong.min()) if strong.size else max(float(np.abs(fit.statistic).max()), 1e-6)


def _corrected_map(fit: ContrastFit, inference: ContrastInference, canvas: Canvas) -> Figure:
    """Draw what survives: slices through the highest peak, and glass brains below them."""
    values = np.where(inference.significant, fit.statistic, 0.0)
    volume, cut, scale = _masked_volume(values, canvas), _highest(values, canvas), _scale(fit, thresholded=True)
    widths, height = _three(canvas)
    glass = height + GAP_MM if canvas.outlines else 0.0
    with _map_sheet(sum(widths) + 2 * GAP_MM + BAR_MM, height + glass + 24) as (figure, place):
        place.title(f"{fit.contrast.name}: {method_words(inference)}")
        _ortho_row(place, glass, volume, cut, scale, canvas)
        if canvas.outlines:
            _glass_row(place, volume, scale, canvas)
        _colour_bar(place, scale, sum(widths) + 2 * GAP_MM + 10, height + glass)
        png = _map_png(figure)
    n_voxels = int(inference.significant.sum())
    threshold = threshold_words(inference, fit)
    return Figure(
        name=f"desc-{inference.method}_slices",
        png=png,
        caption=f"{method_words(inference)}{f' ({threshold})' if threshold else ''}, {sided_words(fit.contrast)}: "
        f"{n_voxels:,} voxel{'s survive' if n_voxels != 1 else ' survives'}. Cut at {_xyz(cut)}, the highest peak"
        f"{'; below, everything that survives, seen through the brain' if canvas.outlines else ''}."
        f"{_background_words(canvas)}",
        alt=f"{fit.contrast.name}, {method_words(inference)}: {n_voxels} surviving voxels on a brain, "
        f"the highest at {_xyz(cut)}.",
    )


def _peak_slices(fit: ContrastFit, inference: ContrastInference, table: PeakTable, canvas: Canvas) -> Figure:
    """Draw sagittal slices through the highest peaks of the primary map, from left to right."""
    volume = _masked_volume(np.where(inference.significant, fit.statistic, 0.0), canvas)
    scale, places = _scale(fit, thresholded=True), _peak_x(table)
    if not places:  # every cluster is smaller than the tables list
        places = [float(_highest(np.where(inference.significant, fit.statistic, 0.0), canvas)[0])]
    (y0, y1), (z0, z1) = canvas.window[1:]
    width = y1 - y0
    with _map_sheet(len(places) * width + BAR_MM / 0.75, z1 - z0 + 24, 0.75) as (figure, place):
        place.title(f"{fit.contrast.name}: {method_words(inference)}, highest peaks")
        for column, x in enumerate(places):
            axes = place.axes(column * width, 0.0, width, z1 - z0)
            _paint_slice(axes, volume, 0, x, scale, canvas)
            _frame(axes, (y0, y1), (z0, z1))
            place.text(f"x = {_coordinate(x)}", column * width + 8, 3.0)
        _colour_bar(place, scale, len(places) * width + 10, z1 - z0)
        png = _map_png(figure)
    listed = ", ".join(_coordinate(x) for x in places)
    return Figure(
        name=f"desc-{inference.method}_peaks",
        png=png,
        caption=f"{method_words(inference)}: sagittal slices through the highest peaks, x = {listed} mm.",
        alt=f"Sagittal slices of {fit.contrast.name} at x = {listed} mm.",
    )


def _null_histograms(contrast: Contrast, inferences: Sequence[ContrastInference]) -> Figure:
    """Draw the distribution of each maximum over the shuffles, with the observed one and the critical value."""
    ordered = sorted(inferences, key=lambda each: list(NULL_KEYS).index(each.method))
    null = ordered[0].null
    assert null is not None
    with _sheet(1.95 * max(2, len(ordered)), 1.8) as figure:
        grid = figure.subplots(1, len(ordered), squeeze=False)[0]
        for axes, inference in zip(grid, ordered, strict=True):
            _histogram(axes, null, inference, contrast)
        png = _png(figure)
    shuffles = null.shuffles
    kind = (
        f"all {shuffles.n_possible:,}" if shuffles.exhaustive else f"{shuffles.n_shuffles:,} of {shuffles.n_possible:,}"
    )
    said = "; ".join(
        f"{NULL_TITLES[NULL_KEYS[each.method]].format(_tested(contrast))}: observed "
        f"{_number(null.maxima[NULL_KEYS[each.method]][0])}, critical value {_critical_words(each)}"
        for each in ordered
    )
    return Figure(
        name="desc-null_histogram",
        png=png,
        caption=f"Largest values over the brain in {kind} sign-flips, the observed labelling among them. Red: "
        f"observed; dashed: critical value at p = {ordered[0].alpha:g}. What lies beyond the dashed line is "
        f"significant.",
        alt=f"Null distributions of {contrast.name}: {said}.",
        kind="chart",
    )


def _histogram(axes: Axes, null: NullDistribution, inference: ContrastInference, contrast: Contrast) -> None:
    """Draw one of them."""
    key = NULL_KEYS[inference.method]
    maxima = null.maxima[key]
    observed = float(maxima[0])
    top = float(max(maxima.max(), inference.threshold or 0.0))
    axes.hist(maxima, bins=_bins(maxima).tolist(), color="#b9c2ce", linewidth=0)
    if inference.threshold is not None:
        axes.axvline(inference.threshold, color=INK, linestyle=(0, (4, 3)), linewidth=1)
    axes.axvline(observed, color=WARM, linewidth=1.8)
    right = observed > (float(maxima.min()) + top) / 2
    share = float(rank_p(np.array([observed]), maxima, 0.0 if key == "clusterSize" else TIE_TOLERANCE)[0])
    axes.annotate(
        f"{_number(observed)}\np = {share:.3g}",
        (observed, 0.96),
        xycoords=("data", "axes fraction"),
        xytext=(-4 if right else 4, 0),
        textcoords="offset points",
        ha="right" if right else "left",
        va="top",
        color=WARM,
        fontsize=7.5,
    )
    axes.set_title(NULL_TITLES[key].format(_tested(contrast)), fontsize=8, pad=5)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_yticks([])
    axes.tick_params(labelsize=7, length=2)
    axes.locator_params(axis="x", nbins=4)


def _bins(maxima: Floats) -> Floats:
    """Edges that suit the bulk of the values; a far outlier, often the observed one, gets empty bins before it."""
    low, bulk, high = float(maxima.min()), float(np.percentile(maxima, 95)), float(maxima.max())
    width = max((bulk - low) / 12, (high - low) / 150, 1e-9)
    return low + width * np.arange(np.ceil((high - low) / width) + 2)


def _critical_words(inference: ContrastInference) -> str:
    return "none (too few relabellings)" if inference.threshold is None else _number(inference.threshold)


def _number(value: float) -> str:
    """Write a statistic, size or mass so that it can be read."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.2f}"


def _peak_x(table: PeakTable) -> list[float]:
    """Give the x of the highest peaks, each once, from left to right."""
    peaks = table.peaks.sort_values("peak_statistic", key=np.abs, ascending=False, kind="stable")
    return sorted(list(dict.fromkeys(float(x) for x in peaks["peak_x"]))[:N_PEAK_SLICES])


def _highest(values: Floats, canvas: Canvas) -> Floats:
    """Give the place of the largest absolute value, (3,) mm."""
    voxel = np.argwhere(canvas.mask)[int(np.abs(values).argmax())]
    return np.asarray(canvas.affine[:3, :3] @ voxel + canvas.affine[:3, 3])


def _scale(fit: ContrastFit, *, thresholded: bool) -> _Scale:
    """Colours from the largest statistic anywhere, so that all maps of the contrast share them."""
    largest = max(float(np.abs(fit.statistic).max()), 1e-6)
    contrast = fit.contrast
    # an F below zero does not exist, and what is not tested on one side cannot survive there
    lower = 0.0 if contrast.test == "F" or (thresholded and contrast.sided == "positive") else -largest
    upper = 0.0 if contrast.test == "t" and thresholded and contrast.sided == "negative" else largest
    return _Scale(largest, lower, upper, _both_signs(), contrast.test)


def _both_signs() -> colors.LinearSegmentedColormap:
    """Blue to cyan below zero, red to yellow above; made for a black background."""
    cold = ["#d4f7ff", "#5cc3ff", "#2a74ee", "#1b3a9c"]
    hot = ["#a3150f", "#e8431b", "#ff9f2e", "#fff2a8"]
    places = [0.0, 0.17, 0.34, 0.499, 0.501, 0.66, 0.83, 1.0]
    return colors.LinearSegmentedColormap.from_list("both", list(zip(places, cold + hot, strict=True)))


def _one_sign() -> colors.ListedColormap:
    """Give the half of it above zero."""
    return colors.ListedColormap(_both_signs()(np.linspace(0.501, 1, 256)), name="one")


def _ink_map(above: str = WARM) -> colors.LinearSegmentedColormap:
    """Blue to white to another colour, for numbers on white paper."""
    return colors.LinearSegmentedColormap.from_list("ink", [ACCENT, "#ffffff", above])


def _masked_volume(values: Floats, canvas: Canvas) -> _Volume:
    """Put (n_voxels,) values into space."""
    return _volume(nib.Nifti1Image(unmask(values.astype(np.float32), canvas.mask), canvas.affine))


def _volume(image: nib.Nifti1Image) -> _Volume:
    """Turn an image so that its axes run along x, y and z; what is not finite becomes zero."""
    # the axes are only reordered, unless the image is tilted against them: then it takes the nearest voxels
    upright = reorder_img(image, resample="nearest", copy_header=True)
    data = np.nan_to_num(np.asarray(upright.dataobj), nan=0.0, posinf=0.0, neginf=0.0)
    return _Volume(data.reshape(data.shape[:3]), upright.affine[:3, 3], np.diag(upright.affine)[:3])


def _window(mask: Booleans, affine: Floats) -> tuple[tuple[float, float], ...]:
    """Box around the mask in mm, with a margin."""
    places = np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]
    margin = 6.0
    return tuple(
        (float(low) - margin, float(high) + margin) for low, high in zip(places.min(0), places.max(0), strict=True)
    )


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


def _three(canvas: Canvas) -> tuple[list[float], float]:
    """Widths of the sagittal, coronal and axial panels, and the height of their row, in mm."""
    x, y, z = (high - low for low, high in canvas.window)
    return [y, x, x], max(y, z)


def _across(axis: int) -> tuple[int, int]:
    """Axes that a view along one axis shows to the right and upwards."""
    return {0: (1, 2), 1: (0, 2), 2: (0, 1)}[axis]


def _ortho_row(
    place: _Place,
    bottom: float,
    volume: _Volume,
    cut: Floats,
    scale: _Scale,
    canvas: Canvas,
    *,
    faint: float = 0.0,
    outlined: _Volume | None = None,
) -> None:
    """Draw a sagittal, a coronal and an axial slice through one place."""
    left = 0.0
    widths, height = _three(canvas)
    for axis, width in enumerate(widths):
        right, up = _across(axis)
        panel = canvas.window[up][1] - canvas.window[up][0]
        axes = place.axes(left, bottom + (height - panel) / 2, width, panel)
        _paint_slice(axes, volume, axis, float(cut[axis]), scale, canvas, faint=faint)
        if outlined is not None:
            flat, extent = _slice(outlined, axis, float(cut[axis]))
            if flat.any():
                axes.contour(flat, levels=[0.5], extent=extent, origin="lower", colors=[LIGHT], linewidths=0.8)
        axes.axvline(cut[right], color=FAINT, linewidth=0.5, alpha=0.8)
        axes.axhline(cut[up], color=FAINT, linewidth=0.5, alpha=0.8)
        _frame(axes, canvas.window[right], canvas.window[up])
        place.text(f"{'xyz'[axis]} = {_coordinate(float(cut[axis]))}", left + 3, bottom + 3)
        if axis > 0:
            place.text("L", left + 3, bottom + height - 12)
            place.text("R", left + width - 10, bottom + height - 12)
        left += width + GAP_MM


def _glass_row(place: _Place, volume: _Volume, scale: _Scale, canvas: Canvas) -> None:
    """Draw the brain seen through, from the side, the back and above."""
    left = 0.0
    widths, height = _three(canvas)
    for axis, width in enumerate(widths):
        right, up = _across(axis)
        panel = canvas.window[up][1] - canvas.window[up][0]
        axes = place.axes(left, (height - panel) / 2, width, panel)
        flat, extent = _projected(volume, axis)
        _paint_projection(axes, flat, extent, canvas.outlines["xyz"[axis]], scale)
        _frame(axes, canvas.window[right], canvas.window[up])
        left += width + GAP_MM


def _slice(volume: _Volume, axis: int, at: float) -> tuple[NDArray[Any], Extent]:
    """Take the slice nearest to a place, its rows going up; zeros outside the image."""
    index = round((at - volume.origin[axis]) / volume.step[axis])
    inside = 0 <= index < volume.data.shape[axis]
    flat = np.moveaxis(volume.data, axis, 0)[index if inside else 0].T  # a view: np.take would go through the volume
    return (flat if inside else np.zeros_like(flat)), _extent(volume, axis)


def _projected(volume: _Volume, axis: int) -> tuple[NDArray[Any], Extent]:
    """Largest absolute value along the line of sight, with its sign."""
    place = np.abs(volume.data).argmax(axis=axis)
    flat = np.take_along_axis(volume.data, np.expand_dims(place, axis), axis).squeeze(axis)
    return flat.T, _extent(volume, axis)


def _extent(volume: _Volume, axis: int) -> Extent:
    """Outer edges of the voxels in mm: left, right, bottom, top."""
    right, up = _across(axis)
    edges = []
    for side in (right, up):
        low = volume.origin[side] - volume.step[side] / 2
        edges += [float(low), float(low + volume.step[side] * volume.data.shape[side])]
    return edges[0], edges[1], edges[2], edges[3]


def _paint_slice(
    axes: Axes, volume: _Volume, axis: int, at: float, scale: _Scale, canvas: Canvas, *, faint: float = 0.0
) -> None:
    """Draw one slice of the map over the background."""
    behind, extent = _slice(canvas.background, axis, at)
    shades = colors.LinearSegmentedColormap.from_list("grey", [NIGHT, "#a4a9b3"], N=GREYS)
    axes.imshow(
        behind,
        cmap=shades,
        vmin=0,
        vmax=1,
        extent=extent,
        origin="lower",
        interpolation="bilinear",
        interpolation_stage="data",  # before the shades are chosen, so that no others arise
    )
    flat, extent = _slice(volume, axis, at)
    opacity = (flat != 0).astype(float)
    if faint > 0:
        opacity = np.minimum(1.0, np.abs(flat) / faint) ** 1.5 * 0.95
    axes.imshow(
        scale.colours(scale.norm(flat))[..., :3],
        alpha=opacity,
        extent=extent,
        origin="lower",
        interpolation="nearest",
    )


def _paint_projection(
    axes: Axes,
    flat: NDArray[Any],
    extent: Extent,
    outline: Outline | None,
    scale: _Scale,
    *,
    faint: bool = False,
) -> None:
    """Draw a projection of the map, and the brain outline over it."""
    opacity = np.minimum(1.0, np.abs(flat) / scale.largest) ** 2 if faint else (flat != 0) * 0.92
    axes.imshow(
        scale.colours(scale.norm(flat))[..., :3],
        alpha=opacity,
        extent=extent,
        origin="lower",
        interpolation="nearest",
    )
    if outline is not None:
        axes.imshow(outline.pixels, extent=outline.extent, origin="upper", interpolation="antialiased")


def _frame(axes: Axes, across: tuple[float, float], upwards: tuple[float, float]) -> None:
    """Show a window in mm and nothing of the axes."""
    axes.set_xlim(*across)
    axes.set_ylim(*upwards)
    axes.set_aspect("auto")  # the panel already has the shape of the window
    axes.set_axis_off()


def _colour_bar(place: _Place, scale: _Scale, left: float, height: float) -> None:
    """Draw the colour scale, only the part of it that is in use."""
    axes = place.axes(left, height * 0.14, 8.0, height * 0.72)
    values = np.linspace(scale.lower, scale.upper, 200)
    axes.imshow(
        scale.colours(scale.norm(values))[:, None, :3],
        extent=(0, 1, scale.lower, scale.upper),
        origin="lower",
        aspect="auto",
    )
    ticks = sorted({scale.lower, 0.0, scale.upper})
    axes.yaxis.tick_right()
    axes.set_yticks(ticks, [f"{tick:.3g}".replace("-", "\N{MINUS SIGN}") for tick in ticks])
    axes.set_xticks([])
    axes.tick_params(colors=LIGHT, length=0, labelsize=8)
    axes.spines[:].set_visible(False)
    place.text(scale.symbol, left, height * 0.86 + 4)


@dataclass(frozen=True, slots=True)
class _Place:
    """Puts things onto a sheet whose unit is a mm of brain."""

    figure: mpl_figure.Figure
    width: float
    height: float

    def axes(self, left: float, bottom: float, width: float, height: float) -> Axes:
        """Add axes with their lower left corner there."""
        margin = 4.0
        box = (
            (left + margin) / self.width,
            (bottom + margin) / self.height,
            width / self.width,
            height / self.height,
        )
        return self.figure.add_axes(box)

    def text(self, text: str, left: float, bottom: float, size: float = 8.0) -> None:
        """Write a few light words."""
        self.figure.text((left + 4.0) / self.width, (bottom + 4.0) / self.height, text, color=LIGHT, fontsize=size)

    def title(self, text: str) -> None:
        """Write a line at the top."""
        fitting = _drawable(_shortened(text, int(self.width / 5.2)))
        y = 1 - 13.0 / self.height
        self.figure.text(7.0 / self.width, y, fitting, color=LIGHT, fontsize=9, va="center_baseline", weight="bold")


@contextmanager
def _map_sheet(width_mm: float, height_mm: float, shrink: float = 1.0) -> Iterator[tuple[mpl_figure.Figure, _Place]]:
    """Open a black sheet measured in mm of brain."""
    width, height = width_mm + 8.0, height_mm + 8.0
    inch = INCH_PER_MM * shrink
    with mpl.rc_context(STYLE):
        figure = mpl_figure.Figure(figsize=(width * inch, height * inch), dpi=DPI, facecolor=NIGHT)
        FigureCanvasAgg(figure)
        yield figure, _Place(figure, width, height)


@contextmanager
def _sheet(width: float, height: float) -> Iterator[mpl_figure.Figure]:
    """Open a white sheet, in inches, for a chart."""
    with mpl.rc_context(STYLE):
        figure = mpl_figure.Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def _png(figure: mpl_figure.Figure) -> bytes:
    """Write a chart as PNG; no time and no version in it, so that equal figures are equal files."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata=NO_STAMP, pil_kwargs={"compress_level": 9})
    return buffer.getvalue()


def _map_png(figure: mpl_figure.Figure) -> bytes:
    """Write a map as PNG in 32 shades of each colour: half the size, and no difference to be seen."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba()).copy()  # type: ignore[no-untyped-call]
    pixels[..., :3] = pixels[..., :3] // 8 * 8 + 4
    buffer = io.BytesIO()
    imsave(buffer, pixels, format="png", metadata=NO_STAMP, pil_kwargs={"compress_level": 7})
    return buffer.getvalue()


def _label_regressors(axes: Axes, names: Sequence[str]) -> None:
    """Write the names of the columns above them."""
    axes.xaxis.tick_top()
    labels = [_drawable(_shortened(name, 20)) for name in names]
    axes.set_xticks(np.arange(len(names)), labels, rotation=55, ha="left", rotation_mode="anchor")


def _write_weights(axes: Axes, weights: Floats, limit: float) -> None:
    """Write each weight that is not zero into its cell."""
    for (row, column), weight in np.ndenumerate(weights):
        if abs(weight) > 1e-9:
            shade = "white" if abs(weight) > 0.65 * limit else INK
            axes.text(column, row, _fraction(float(weight)), ha="center", va="center", color=shade, fontsize=7)


def _fraction(value: float) -> str:
    """Write a weight as the simple fraction that it was meant to be, or else in decimals."""
    near = Fraction(value).limit_denominator(60)
    text = str(near) if abs(value - float(near)) < 1e-9 else f"{value:.2g}"
    return text.replace("-", "\N{MINUS SIGN}")


def _drawable(text: str) -> str:
    """Replace the signs that the font does not have; matplotlib would warn of each."""
    known = get_font(findfont(FontProperties(family=["DejaVu Sans"]))).get_charmap()
    return "".join(sign if ord(sign) in known else "\N{WHITE SQUARE}" for sign in text)


def _shortened(text: str, n_signs: int) -> str:
    return text if len(text) <= n_signs else f"{text[: n_signs - 1]}\N{HORIZONTAL ELLIPSIS}"


def _coordinate(value: float) -> str:
    """Write a coordinate, whole where it is whole."""
    rounded = round(value, 1)
    text = f"{rounded:.0f}" if rounded == int(rounded) else f"{rounded:.1f}"
    return text.replace("-", "\N{MINUS SIGN}") if rounded else "0"


def _xyz(place: Floats) -> str:
    return f"({', '.join(_coordinate(float(value)) for value in place)}) mm"


def _background_words(canvas: Canvas) -> str:
    return f" Background: mean of the maps. {canvas.reason}" if canvas.reason else ""
