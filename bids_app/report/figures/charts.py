"""Charts: design matrix, contrast weights, null distributions and condition means, as PNG bytes."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from matplotlib import colors
from matplotlib.axes import Axes

from bids_app.arrays import Floats
from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.inference.catalogue import METHODS
from bids_app.inference.corrected_map import CorrectedMap
from bids_app.inference.familywise_p import critical_value
from bids_app.report.figures.style import ACCENT, INK, QUIET, WARM, chart_png, chart_sheet, drawable, shortened
from bids_app.report.wording import null_title, number_words

# Groups differ by shape too: on paper without colours, and for eyes that tell no red from green
GROUP_COLORS = (ACCENT, WARM, "#2c8a57", "#8655a8", "#b07d12", INK)
GROUP_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def design_png(design: Design) -> bytes:
    """Draw the design matrix, a row per map."""
    n_regressors = design.matrix.shape[1]
    n_cells, n_subjects = len(design.cells), len(design.subjects)
    width = min(9.0, max(3.6, 1.4 + 0.2 * n_regressors))
    with chart_sheet(width, min(7.5, 1.6 + 0.24 * min(n_subjects, 24))) as figure:
        axes = figure.subplots()
        limit = max(1.0, float(np.abs(design.matrix).max()))
        axes.imshow(
            design.matrix,
            cmap=ink_map("#2b4465"),
            norm=colors.Normalize(-limit, limit),
            aspect="auto",
            interpolation="nearest",
        )
        for edge in np.arange(1, n_subjects if n_subjects <= 60 else 0) * n_cells:  # more would be all that is seen
            axes.axhline(edge - 0.5, color="#d8dde4", linewidth=0.5)
        _label_regressors(axes, design.regressors)
        every = _spacing(n_subjects)
        axes.set_yticks(
            (np.arange(n_subjects) * n_cells + (n_cells - 1) / 2)[::every],
            [drawable(f"sub-{label}") for label in design.subjects[::every]],
        )
        axes.tick_params(length=0, labelsize=7, pad=2)
        return chart_png(figure)


def correlation_png(names: Sequence[str], correlations: Floats) -> bytes:
    """Draw the correlations of the regressors, (n_regressors, n_regressors)."""
    n_regressors = len(names)
    side = min(7.0, 1.6 + 0.2 * n_regressors)
    with chart_sheet(side + 0.7, side) as figure:
        axes = figure.subplots()
        image = axes.imshow(
            correlations, cmap=ink_map(), norm=colors.Normalize(-1, 1), aspect="equal", interpolation="nearest"
        )
        every = _spacing(n_regressors)
        places = np.arange(n_regressors)[::every]
        labels = [drawable(shortened(name, 20)) for name in names[::every]]
        axes.xaxis.tick_top()
        axes.set_xticks(places, labels, rotation=55, ha="left", rotation_mode="anchor")
        axes.set_yticks(places, labels)
        axes.tick_params(length=0, labelsize=7, pad=2)
        bar = figure.colorbar(image, ax=axes, shrink=0.6, aspect=18)
        bar.set_ticks([-1, 0, 1], labels=["\N{MINUS SIGN}1", "0", "1"])
        bar.outline.set_visible(False)
        return chart_png(figure)


def contrasts_png(design: Design) -> bytes:
    """Draw the weights of every contrast over the cells, a row per weight vector."""
    rows = [(contrast, row) for contrast in design.contrasts for row in contrast.cell_weights]
    names = [contrast.name for contrast, _ in rows]
    labels = [
        name if index == 0 or names[index - 1] != name else ""  # the further rows of an F carry no name
        for index, name in enumerate(names)
    ]
    n_cells = len(design.cells)
    with chart_sheet(min(9.0, 3.2 + 0.5 * n_cells), 1.2 + 0.27 * len(rows)) as figure:
        axes = figure.subplots()
        weights = np.array([row for _, row in rows])
        limit = max(1e-12, float(np.abs(weights).max()))
        axes.imshow(
            weights, cmap=ink_map(), norm=colors.Normalize(-limit, limit), aspect="auto", interpolation="nearest"
        )
        if n_cells <= 16:
            _write_weights(axes, weights, limit)
        for index in range(1, len(rows)):
            if labels[index]:
                axes.axhline(index - 0.5, color=QUIET, linewidth=0.7)
        _label_regressors(axes, design.cells)
        axes.set_yticks(np.arange(len(rows)), [drawable(shortened(label, 36)) for label in labels])
        axes.tick_params(length=0, labelsize=8)
        return chart_png(figure)


def nulls_png(contrast: Contrast, inferences: Sequence[CorrectedMap]) -> bytes:
    """Draw the distribution of each maximum over the shuffles, with the observed one and the critical value."""
    with chart_sheet(1.95 * max(2, len(inferences)), 1.8) as figure:
        grid = figure.subplots(1, len(inferences), squeeze=False)[0]
        for axes, inference in zip(grid, inferences, strict=True):
            _histogram(axes, inference, contrast)
        return chart_png(figure)


def means_png(
    conditions: Sequence[str], groups: Sequence[str], places: Sequence[str], mean: Floats, error: Floats
) -> bytes:
    """Draw the condition means of each group at each peak, with bars of one standard error to each side.

    Parameters
    ----------
    conditions, groups, places : names; a single group needs none
    mean, error : (n_groups, n_conditions, n_peaks)
    """
    n_conditions, n_groups = len(conditions), len(groups)
    rows = np.arange(n_conditions)
    height = 0.9 + max(0.21, 0.07 + 0.11 * n_groups) * n_conditions
    with chart_sheet(2.2 + 1.5 * len(places), min(14.0, height + (0.3 if n_groups > 1 else 0))) as figure:
        grid = figure.subplots(1, len(places), sharey=True, squeeze=False)[0]
        for index, axes in enumerate(grid):
            axes.axvline(0.0, color=QUIET, linewidth=0.6)
            for number in range(n_groups):
                offset = (number - (n_groups - 1) / 2) * 0.72 / n_groups
                color, marker = GROUP_COLORS[number % len(GROUP_COLORS)], GROUP_MARKERS[number % len(GROUP_MARKERS)]
                axes.errorbar(
                    mean[number, :, index],
                    rows + offset,
                    xerr=error[number, :, index],
                    fmt=marker,
                    color=color,
                    markersize=4,
                    elinewidth=1.2,
                    capsize=2,
                    label=drawable(shortened(groups[number], 40)),
                )
            _quiet_frame(axes, places[index])
        every = max(1, -(-n_conditions // 50))  # more labels would overlap
        grid[0].set_yticks(rows[::every], [drawable(shortened(name, 24)) for name in conditions[::every]])
        grid[0].set_ylim(n_conditions - 0.5, -0.5)  # the first condition on top
        if n_groups > 1:
            handles, labels = grid[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=min(n_groups, 4), frameon=False)
        return chart_png(figure)


def _quiet_frame(axes: Axes, title: str) -> None:
    """Leave of the frame what reading values along x takes."""
    axes.set_title(title, fontsize=8, pad=5)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(labelsize=7, length=2)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=4)
    axes.grid(axis="y", color="#e4e8ed", linewidth=0.6)
    axes.set_axisbelow(True)


def ranked_values(inference: CorrectedMap) -> tuple[Floats, float | None]:
    """Return what was ranked in every shuffle, (n_shuffles,), and its critical value; None where there is none.

    Maxima, or where parts have units of their own -log10 of the smallest p over them, as the file of the null
    distribution has it.
    """
    assert inference.null is not None
    values = inference.null.maxima[METHODS[inference.method].statistic]
    if inference.thresholds is None:
        return values, inference.threshold
    score = -np.log10(values)
    # corrected over contrasts, p is ranked among those of all of them, which are not shown
    return score, None if inference.is_across else critical_value(score, inference.alpha)


def _histogram(axes: Axes, inference: CorrectedMap, contrast: Contrast) -> None:
    """Draw one of them."""
    maxima, critical = ranked_values(inference)
    observed = float(maxima[0])
    top = float(max(maxima.max(), critical or 0.0))
    axes.hist(maxima, bins=_bins(maxima).tolist(), color="#b9c2ce", linewidth=0)
    if critical is not None:
        axes.axvline(critical, color=INK, linestyle=(0, (4, 3)), linewidth=1)
    axes.axvline(observed, color=WARM, linewidth=1.8)
    right = observed > (float(maxima.min()) + top) / 2
    p = float(inference.p.min())  # that of the largest value
    axes.annotate(
        f"{number_words(observed)}\np = {p:.3g}",
        (observed, 0.96),
        xycoords=("data", "axes fraction"),
        xytext=(-4 if right else 4, 0),
        textcoords="offset points",
        ha="right" if right else "left",
        va="top",
        color=WARM,
        fontsize=7.5,
    )
    axes.set_title(null_title(inference, contrast), fontsize=8, pad=5)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_yticks([])
    axes.tick_params(labelsize=7, length=2)
    axes.locator_params(axis="x", nbins=4)


def _bins(maxima: Floats) -> Floats:
    """Edges that suit the bulk of the values; a far outlier, often the observed one, gets empty bins before it."""
    low, bulk, high = float(maxima.min()), float(np.percentile(maxima, 95)), float(maxima.max())
    width = max((bulk - low) / 12, (high - low) / 150, 1e-9)
    return low + width * np.arange(np.ceil((high - low) / width) + 2)


def ink_map(above: str = WARM) -> colors.LinearSegmentedColormap:
    """Blue to white to another colour, for numbers on white paper."""
    return colors.LinearSegmentedColormap.from_list("ink", [ACCENT, "#ffffff", above])


def _label_regressors(axes: Axes, names: Sequence[str]) -> None:
    """Write the names of the columns above them."""
    axes.xaxis.tick_top()
    every = _spacing(len(names))
    labels = [drawable(shortened(name, 20)) for name in names[::every]]
    axes.set_xticks(np.arange(len(names))[::every], labels, rotation=55, ha="left", rotation_mode="anchor")


def _spacing(n_labels: int) -> int:
    """Return which labels along a side are written, every first, second or third: more than 40 would overlap."""
    return max(1, -(-n_labels // 40))


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
