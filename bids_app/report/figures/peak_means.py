"""Condition means of each group at the highest peaks of a contrast: their picture, and their table in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bids_app.arrays import Floats
from bids_app.design.design import Design
from bids_app.inference.corrected_map import CorrectedMap
from bids_app.inference.result_tables import PARCEL, PLACE, highest_peaks
from bids_app.report.figures.charts import means_png
from bids_app.report.figures.figure import Figure, attempt
from bids_app.report.wording import MINUS, method_words, place_words
from bids_app.spaces.atlas_catalogue import first_atlas
from bids_app.statistics.condition_means import PeakMeans, adjustment_words, error_words

WITHIN_GROUP = "They serve comparisons of conditions within a group, not of groups."
ALIKE = "Contrasts that average over groups weigh them alike, whatever their sizes."
SAME_DATA = (
    "Means at peaks that were found in the same data are too large: what the contrast compares differs by less than it "
    "seems here."
)


@dataclass(frozen=True, slots=True)
class MeansAtPeaks:
    """Condition means at peaks, as the page shows them."""

    conditions: tuple[str, ...]
    means: PeakMeans
    places: tuple[str, ...]
    """mm, or names of parcels."""
    labels: tuple[str, ...]
    """Of the first atlas; empty without one."""
    caption: str
    figure: Figure

    @property
    def heads(self) -> list[str]:
        """What each row is of: a condition, or a group in it."""
        groups = self.means.groups
        return [", ".join(filter(None, (condition, group))) for condition in self.conditions for group in groups]

    @property
    def rows(self) -> list[list[str]]:
        """Mean and standard error in words; conditions slow, groups fast."""
        digits = _digits(self.means.error)
        by_condition = zip(self.means.mean.swapaxes(0, 1), self.means.error.swapaxes(0, 1), strict=True)
        return [
            [f"{_number(m, digits)} \N{PLUS-MINUS SIGN} {e:.{digits}f}" for m, e in zip(means, errors, strict=True)]
            for of_condition in by_condition
            for means, errors in zip(*of_condition, strict=True)
        ]


def draw_peak_means(means: PeakMeans, design: Design, first: CorrectedMap, peaks: pd.DataFrame) -> MeansAtPeaks:
    """Draw the condition means at the highest peaks of the primary corrected map.

    Parameters
    ----------
    means : at the highest peaks
    design : whose conditions these are
    first : the primary corrected map
    peaks : its table of peaks, of which the highest are those of `means`
    """
    highest = highest_peaks(peaks, means.mean.shape[-1])
    is_of_parcels = PARCEL in highest and PLACE[0] not in highest
    places = (
        tuple(str(name) for name in highest[PARCEL])
        if is_of_parcels
        else tuple(place_words(xyz) for xyz in highest[PLACE].to_numpy(np.float64))
    )
    conditions, groups = design.cells, means.groups
    of_groups = "of each group " if design.groups else ""
    where = "in the parcels of the largest statistic" if is_of_parcels else "at the highest peaks"
    at_first = f"In {places[0]}" if is_of_parcels else f"At the highest, {places[0]} mm"
    same_data = SAME_DATA.replace("at peaks", "in parcels") if is_of_parcels else SAME_DATA
    caption = (
        f"Condition means {of_groups}{where} ({method_words(first)}), in the units of the input maps; "
        f"bars: \N{PLUS-MINUS SIGN} 1 {error_words(len(conditions))}. {_more_words(design, means)}{same_data}"
    )
    name = f"desc-{first.method}_means"
    figure = attempt(
        name,
        lambda: Figure(
            name=name,
            png=means_png(conditions, groups, places, means.mean, means.error),
            caption=caption,
            alt=f"Means of {len(conditions)} conditions{f' in {len(groups)} groups' if design.groups else ''} with "
            f"error bars {where} ({len(places)}). {at_first}: "
            f"{_in_words(conditions, groups, means.mean[..., 0])}. All are in the table below.",
            kind="chart",
        ),
    )
    return MeansAtPeaks(conditions, means, places, _labels(highest), caption, figure)


def _more_words(design: Design, means: PeakMeans) -> str:
    """Return what bars and means of groups serve for, whom they are without, and what they are not adjusted for."""
    parts = [WITHIN_GROUP] if design.groups and len(design.cells) > 1 else []
    parts += [ALIKE] if len(means.groups) > 1 else []
    if means.n_subjects < len(design.subjects):
        of_all = f"{means.n_subjects} of {len(design.subjects)} subjects"
        parts.append(f"Of the {of_all} who have a map of every condition.")
    parts.append(adjustment_words(design))
    return "".join(f"{part} " for part in parts if part)


def _in_words(conditions: Sequence[str], groups: Sequence[str], mean: Floats) -> str:
    """List means (n_groups, n_conditions) of one peak."""
    parts = []
    for group, own in zip(groups, mean, strict=True):
        listed = ", ".join(f"{name} {m:.3g}" for name, m in zip(conditions, own, strict=True))
        parts.append(f"{group}: {listed}" if group else listed)
    return "; ".join(parts)


def _labels(peaks: pd.DataFrame) -> tuple[str, ...]:
    atlas = first_atlas(peaks)
    return tuple("" for _ in range(len(peaks))) if atlas is None else tuple(str(label) for label in peaks[atlas])


def _digits(error: Floats) -> int:
    """Return the decimals that leave the smallest standard error two digits."""
    smallest = float(error[error > 0].min(initial=np.inf))
    return int(np.clip(1 - np.floor(np.log10(smallest)), 0, 6)) if np.isfinite(smallest) else 2


def _number(value: float, digits: int) -> str:
    return f"{value:z.{digits}f}".replace("-", MINUS)
