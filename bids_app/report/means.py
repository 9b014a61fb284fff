"""Condition means at the highest peaks of a contrast: what the report draws and lists of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_app.conditions import condition_means, error_words
from bids_app.inference.correction import ContrastInference
from bids_app.report.charts import means_png
from bids_app.report.figures import Figure, primary
from bids_app.report.tables import Brain, ResultTables
from bids_app.report.words import ATLAS_HEADS, MINUS, coordinate, method_words

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

N_PEAKS = 5
SAME_DATA = (
    "Means at peaks that were found in the same data are too large: what the contrast compares differs by less than it "
    "seems here."
)


@dataclass(frozen=True, slots=True)
class PeakMeans:
    """Condition means of one contrast at its highest peaks."""

    conditions: tuple[str, ...]
    places: tuple[str, ...]
    """mm."""
    labels: tuple[str, ...]
    """Of the first atlas; empty without one."""
    mean: Floats
    """(n_conditions, n_peaks), in the units of the input maps."""
    error: Floats
    """(n_conditions, n_peaks) standard error."""
    caption: str
    figure: Figure

    @property
    def rows(self) -> list[list[str]]:
        """Mean and standard error in words, a row per condition."""
        digits = _digits(self.error)
        return [
            [f"{_number(m, digits)} \N{PLUS-MINUS SIGN} {e:.{digits}f}" for m, e in zip(means, errors, strict=True)]
            for means, errors in zip(self.mean, self.error, strict=True)
        ]


def peak_means(
    values: Singles,
    conditions: Sequence[str],
    brain: Brain,
    inferences: Sequence[ContrastInference],
    tables: Mapping[str, ResultTables],
) -> PeakMeans | None:
    """Compute and draw the condition means at the highest peaks of the primary corrected map.

    Parameters
    ----------
    values : (n_subjects * n_conditions, n_voxels)
        Subjects slow, conditions fast.
    conditions : k names
    brain : of the voxels
    inferences : the corrected maps of one contrast
    tables : method -> clusters and peaks

    Returns
    -------
    PeakMeans or None
        None where nothing survives.
    """
    first = primary(inferences) if inferences else None
    if first is None or tables[first.method].peaks.empty:
        return None
    peaks = tables[first.method].peaks
    peaks = peaks.sort_values("peak_statistic", key=np.abs, ascending=False, kind="stable").head(N_PEAKS)
    xyz = peaks[["peak_x", "peak_y", "peak_z"]].to_numpy(np.float64)
    voxels = [int(((brain.xyz - place) ** 2).sum(axis=1).argmin()) for place in xyz]
    mean, error = condition_means(values[:, voxels], len(conditions))
    places = tuple(f"({', '.join(coordinate(float(x)) for x in place)})" for place in xyz)
    caption = (
        f"Condition means at the highest peaks ({method_words(first)}), in the units of the input maps; "
        f"bars: \N{PLUS-MINUS SIGN} 1 {error_words(len(conditions))}. {SAME_DATA}"
    )
    highest = ", ".join(f"{name} {m:.3g}" for name, m in zip(conditions, mean[:, 0], strict=True))
    figure = Figure(
        name=f"desc-{first.method}_means",
        png=means_png(conditions, places, mean, error),
        caption=caption,
        alt=f"Means of {len(conditions)} conditions with error bars at the highest peaks ({len(places)}). "
        f"At the highest, {places[0]} mm: {highest}. All are in the table below.",
        kind="chart",
    )
    return PeakMeans(tuple(conditions), places, _labels(peaks), mean, error, caption, figure)


def _labels(peaks: pd.DataFrame) -> tuple[str, ...]:
    atlas = next((name for name in ATLAS_HEADS if name in peaks), None)
    return tuple("" for _ in range(len(peaks))) if atlas is None else tuple(str(label) for label in peaks[atlas])


def _digits(error: Floats) -> int:
    """Decimals that leave the smallest standard error two digits."""
    smallest = float(error[error > 0].min(initial=np.inf))
    return int(np.clip(1 - np.floor(np.log10(smallest)), 0, 6)) if np.isfinite(smallest) else 2


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", MINUS)
