"""Charts of parcels, as PNG bytes: effects with their intervals, subjects side by side, who lacks what."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colors

from bids_app.arrays import Booleans, Floats
from bids_app.report.figures.charts import ink_map
from bids_app.report.figures.style import ACCENT, INK, QUIET, WARM, chart_png, chart_sheet, drawable, shortened

NAME = 34  # signs of a parcel's name
MAX_NAMED = 60  # names that fit along an axis
LINE = "#e4e8ed"


def forest_png(
    names: Sequence[str], values: Floats, limits: tuple[Floats, Floats], marked: Booleans, label: str
) -> bytes:
    """Draw a value with its interval for each parcel, the first on top.

    Parameters
    ----------
    names : (n_parcels,)
    values : (n_parcels,)
    limits : lower and upper, (n_parcels,) each
    marked : (n_parcels,) which are filled and in another colour
    label : of the values
    """
    rows = np.arange(len(names))
    reach = np.abs([values - limits[0], limits[1] - values])
    with chart_sheet(7.2, 0.9 + 0.19 * len(names)) as figure:
        axes = figure.subplots()
        axes.axvline(0.0, color=QUIET, linewidth=0.8)
        for which, colour, face in ((~marked, ACCENT, "white"), (marked, WARM, WARM)):
            axes.errorbar(
                values[which],
                rows[which],
                xerr=reach[:, which],
                fmt="o",
                color=colour,
                markerfacecolor=face,
                markersize=4.5,
                elinewidth=1.2,
                capsize=2,
            )
        axes.set_yticks(rows, [drawable(shortened(name, NAME)) for name in names])
        for tick, is_marked in zip(axes.get_yticklabels(), marked, strict=True):
            tick.set_fontweight("bold" if is_marked else "normal")
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlabel(drawable(label), fontsize=8)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(labelsize=7, length=2)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", color=LINE, linewidth=0.6)
        axes.set_axisbelow(True)
        return chart_png(figure)


def subjects_by_parcel_png(subjects: Sequence[str], names: Sequence[str], values: Floats, label: str) -> bytes:
    """Draw a row for each subject and a column for each parcel, (n_subjects, n_parcels); NaN stays white."""
    largest = max(float(np.nanpercentile(np.abs(values), 99.5)), 1e-12) if np.isfinite(values).any() else 1.0
    n_subjects, n_parcels = values.shape
    height = 1.5 + min(6.0, 0.16 * n_subjects)
    with chart_sheet(min(9.0, 2.2 + 0.12 * n_parcels), height) as figure:
        axes = figure.subplots()
        image = axes.imshow(
            values, cmap=ink_map(), norm=colors.Normalize(-largest, largest), aspect="auto", interpolation="nearest"
        )
        every = max(1, -(-n_parcels // MAX_NAMED))
        labels = [drawable(shortened(name, 18)) for name in names[::every]]
        axes.set_xticks(np.arange(n_parcels)[::every], labels, rotation=90)
        step = max(1, -(-n_subjects // MAX_NAMED))
        axes.set_yticks(np.arange(n_subjects)[::step], [drawable(f"sub-{name}") for name in subjects[::step]])
        axes.tick_params(length=0, labelsize=6, pad=2)
        bar = figure.colorbar(image, ax=axes, shrink=0.7, aspect=18)
        bar.set_label(drawable(label), fontsize=7)
        bar.ax.tick_params(labelsize=6, length=2)
        bar.outline.set_visible(False)
        return chart_png(figure)


def lacking_png(names: Sequence[str], n_lacking: Floats, n_subjects: int) -> bytes:
    """Draw in how many subjects each of some parcels lacks a value."""
    rows = np.arange(len(names))
    with chart_sheet(6.4, 0.8 + 0.19 * len(names)) as figure:
        axes = figure.subplots()
        axes.barh(rows, n_lacking, color=ACCENT, height=0.6)
        axes.set_yticks(rows, [drawable(shortened(name, NAME)) for name in names])
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlim(0, n_subjects)
        axes.set_xlabel(f"subjects of {n_subjects} without a value", fontsize=8, color=INK)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(labelsize=7, length=2)
        axes.tick_params(axis="y", length=0)
        return chart_png(figure)
