"""Charts of the diagnostics, as PNG bytes: subjects and peaks, residuals, parametric against permutation p."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from bids_app.arrays import Floats
from bids_app.report.figures.style import ACCENT, INK, QUIET, WARM, chart_png, chart_sheet, drawable, shortened
from bids_app.report.wording import parcel_or_place
from bids_app.spaces.domain import PLURALS, Element
from bids_app.statistics.p_agreement import PAgreement
from bids_app.statistics.residual_shape import RESIDUAL_EDGES, SKEW_EDGES, ResidualShape
from bids_app.statistics.subject_influence import PeakInfluence, SubjectDistances

PALE, LINE = "#b9c2ce", "#e4e8ed"
MAX_NAMES = 40  # more on an axis would overlap
DASHED = (0, (4, 3))


def subjects_png(
    distances: SubjectDistances, peaks: Sequence[PeakInfluence], symbol: str, element: Element = "voxel"
) -> bytes:
    """Draw each subject's distance, and the statistic at each peak without each subject.

    Parameters
    ----------
    distances : of the subjects
    peaks : the highest ones
    symbol : t or F
    element : what the maps consist of
    """
    n_named = min(len(distances.subjects), MAX_NAMES)
    with chart_sheet(8.4 if peaks else 4.6, max(1.9, 0.8 + 0.13 * n_named)) as figure:
        grid = figure.subplots(1, 2 if peaks else 1, squeeze=False)[0]
        _distances(grid[0], distances, PLURALS[element])
        if peaks:
            _influence(grid[1], peaks, symbol)
        return chart_png(figure)


def residuals_png(shape: ResidualShape, agreement: PAgreement | None, element: Element = "voxel") -> bytes:
    """Draw the skewness over voxels, the residuals against their mirror image, and two kinds of p."""
    n_panels = 2 if agreement is None else 3
    with chart_sheet(2.9 * n_panels, 2.5) as figure:
        grid = figure.subplots(1, n_panels, squeeze=False)[0]
        _skewness(grid[0], shape, PLURALS[element])
        _symmetry(grid[1], shape)
        if agreement is not None:
            _agreement(grid[2], agreement, element)
        return chart_png(figure)


def _distances(axes: Axes, distances: SubjectDistances, plural: str) -> None:
    """Draw a dot for each subject; those that stand out in another colour, with their name."""
    outlying = set(distances.outliers)
    rows = np.arange(len(distances.subjects))
    colours = [WARM if name in outlying else ACCENT for name in distances.subjects]
    axes.axvline(float(np.median(distances.distance)), color=QUIET, linewidth=0.8, linestyle=DASHED)
    axes.scatter(distances.distance, rows, c=colours, s=18, zorder=3)
    axes.set_xlim(0, 1.06 * float(distances.distance.max()))
    axes.set_ylim(len(rows) - 0.3, -0.7)  # the first subject on top
    named = [row for row in rows if len(rows) <= MAX_NAMES or distances.subjects[row] in outlying]
    axes.set_yticks(named, [_subject(distances.subjects[row]) for row in named])
    axes.set_title("Distance of each subject", pad=6, fontsize=8)
    axes.set_xlabel(f"root mean square over {plural} (1: like the others)", fontsize=7)
    _plain(axes, "y")


def _influence(axes: Axes, peaks: Sequence[PeakInfluence], symbol: str) -> None:
    """Draw a row of dots for each peak, one without each subject, and a bar where the statistic of all is."""
    for row, peak in enumerate(peaks):
        axes.scatter(peak.without, np.full(peak.without.size, float(row)), color=ACCENT, s=10, alpha=0.6, linewidth=0)
        axes.plot([peak.statistic] * 2, [row - 0.28, row + 0.28], color=INK, linewidth=1.6)
        if peak.most is not None:
            name, value = peak.most
            axes.scatter([value], [row], color=WARM, s=16, linewidth=0, zorder=3)
            axes.annotate(
                f"without {_subject(name)}",
                (value, row),
                xytext=(0, -6),
                textcoords="offset points",
                ha="left" if peak.statistic > 0 else "right",
                va="top",
                fontsize=6.5,
                color=WARM,
            )
    places = [drawable(shortened(parcel_or_place(peak.name, peak.place), 24)) for peak in peaks]
    axes.set_yticks(np.arange(len(peaks)), places)
    axes.set_ylim(len(peaks) - 0.4, -0.6)
    where = "at the peaks" if peaks[0].name is None else "in the strongest parcels"
    axes.set_title(f"{symbol} {where}, without each subject", pad=6, fontsize=8)
    axes.set_xlabel(f"{symbol} (bar: of all subjects)", fontsize=7)
    axes.margins(x=0.12)
    _plain(axes, "y")


def _skewness(axes: Axes, shape: ResidualShape, plural: str) -> None:
    centres = (SKEW_EDGES[1:] + SKEW_EDGES[:-1]) / 2
    width = float(np.diff(SKEW_EDGES)[0])
    axes.bar(centres, 100 * shape.skewness_counts, width=width, color=PALE, linewidth=0)
    axes.plot(centres, 100 * _smoothed(shape.skewness_normal), color=INK, linewidth=1, linestyle=DASHED)
    seen = np.abs(centres[(shape.skewness_counts > 1e-4) | (shape.skewness_normal > 1e-4)])
    reach = float(seen.max(initial=1.0)) + width
    axes.set_xlim(-reach, reach)
    axes.axvline(0, color=QUIET, linewidth=0.6)
    axes.set_title("Skewness over subjects", pad=6, fontsize=8)
    axes.set_xlabel("skewness (dashed: normal noise)", fontsize=7)
    axes.set_ylabel(f"% of {plural}", fontsize=7)
    _plain(axes)


def _symmetry(axes: Axes, shape: ResidualShape) -> None:
    centres = (RESIDUAL_EDGES[1:] + RESIDUAL_EDGES[:-1]) / 2
    density = shape.residual_counts / np.diff(RESIDUAL_EDGES)
    drawn = density > 1e-6
    axes.semilogy(centres[drawn], density[drawn], color=ACCENT, linewidth=1.4)
    mirrored = density[::-1]
    axes.semilogy(centres[mirrored > 1e-6], mirrored[mirrored > 1e-6], color=WARM, linewidth=1, linestyle=DASHED)
    axes.set_title("Residuals and their mirror image", pad=6, fontsize=8)
    axes.set_xlabel("standardised residual (dashed: mirrored)", fontsize=7)
    axes.set_ylabel("density", fontsize=7)
    axes.yaxis.set_major_formatter(_number)
    axes.minorticks_off()
    _plain(axes)


def _agreement(axes: Axes, agreement: PAgreement, element: Element) -> None:
    """Draw median and spread of the voxels of each bin; a line where the smallest permutation p is."""
    x, (low, middle, high) = 10**agreement.parametric, 10**agreement.permutation
    least = min(float(x.min()), 1 / agreement.n_shuffles)
    axes.loglog([least, 1], [least, 1], color=QUIET, linewidth=0.8, linestyle=DASHED)
    axes.fill_between(x, low, high, color=PALE, alpha=0.7, linewidth=0)
    axes.loglog(x, middle, color=ACCENT, linewidth=1.4, marker="o", markersize=2.5)
    axes.axhline(1 / agreement.n_shuffles, color=WARM, linewidth=0.8)
    axes.set_title("Permutation against parametric p", pad=6, fontsize=8)
    axes.set_xlabel(f"parametric p, one {element} (dashed: equal)", fontsize=7)
    axes.set_ylabel("permutation p", fontsize=7)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(_number)
    axes.minorticks_off()
    _plain(axes)


def _number(value: float, position: float) -> str:  # noqa: ARG001  (matplotlib's order)
    """Write a power of ten without the mathematics that are switched off."""
    return f"{value:g}"


def _smoothed(counts: Floats) -> Floats:
    """Average neighbouring bins: the normal studies are thousands, the voxels tens of thousands."""
    return np.convolve(counts, np.ones(5) / 5, mode="same")


def _subject(label: str) -> str:
    return drawable(shortened(f"sub-{label}", 18))


def _plain(axes: Axes, along: str = "") -> None:
    """Take away what a chart does not need; lines along the rows where there are rows."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=7, length=2)
    if along:
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", color=LINE, linewidth=0.6)
        axes.set_axisbelow(True)
