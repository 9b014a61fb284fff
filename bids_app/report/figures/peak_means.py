"""Condition means of each group at the highest peaks of a contrast: what the report draws and lists of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bids_app.arrays import Floats, Stack
from bids_app.design.design import Design
from bids_app.inference.cluster_tables import PLACE, ResultTables, highest_peaks, peak_elements
from bids_app.inference.corrected_map import CorrectedMap
from bids_app.report.figures.charts import means_png
from bids_app.report.figures.figure import Figure, attempt
from bids_app.report.figures.of_contrast import primary
from bids_app.report.wording import MINUS, method_words, place_words
from bids_app.spaces.atlas_catalogue import first_atlas
from bids_app.spaces.domain import SpatialDomain
from bids_app.statistics.condition_means import (
    Group,
    adjustment_words,
    error_words,
    find_groups,
    group_means,
    groups_alike,
)

WITHIN_GROUP = "They serve comparisons of conditions within a group, not of groups."
ALIKE = "Contrasts that average over groups weigh them alike, whatever their sizes."
SAME_DATA = (
    "Means at peaks that were found in the same data are too large: what the contrast compares differs by less than it "
    "seems here."
)


@dataclass(frozen=True, slots=True)
class PeakMeans:
    """Condition means of one contrast at its highest peaks."""

    conditions: tuple[str, ...]
    groups: tuple[str, ...]
    """Of subjects; one without a name where there are no between factors."""
    places: tuple[str, ...]
    """mm."""
    labels: tuple[str, ...]
    """Of the first atlas; empty without one."""
    mean: Floats
    """(n_groups, n_conditions, n_peaks), in the units of the input maps."""
    error: Floats
    """(n_groups, n_conditions, n_peaks) standard error."""
    caption: str
    figure: Figure

    @property
    def heads(self) -> list[str]:
        """What each row is of: a condition, or a group in it."""
        return [", ".join(filter(None, (condition, group))) for condition in self.conditions for group in self.groups]

    @property
    def rows(self) -> list[list[str]]:
        """Mean and standard error in words; conditions slow, groups fast."""
        digits = _digits(self.error)
        return [
            [f"{_number(m, digits)} \N{PLUS-MINUS SIGN} {e:.{digits}f}" for m, e in zip(means, errors, strict=True)]
            for of_condition in zip(self.mean.swapaxes(0, 1), self.error.swapaxes(0, 1), strict=True)
            for means, errors in zip(*of_condition, strict=True)
        ]


def peak_means(
    values: Stack,
    design: Design,
    domain: SpatialDomain,
    inferences: Sequence[CorrectedMap],
    tables: Mapping[str, ResultTables],
) -> PeakMeans | None:
    """Compute and draw the condition means at the highest peaks of the primary corrected map.

    Parameters
    ----------
    values : (n_subjects * n_conditions, n_voxels)
        Subjects slow, conditions fast.
    design : whose conditions and groups of subjects these are
    domain : of the maps
    inferences : the corrected maps of one contrast
    tables : method -> clusters and peaks

    Returns
    -------
    PeakMeans or None
        None where nothing survives, or where too few subjects have a map of every condition.
    """
    first = primary(inferences) if inferences else None
    if first is None or tables[first.method].peaks.empty:
        return None
    peaks = highest_peaks(tables[first.method].peaks)
    xyz = peaks[PLACE].to_numpy(np.float64)
    voxels = peak_elements(peaks, domain)
    conditions, groups = design.cells, find_groups(design) if design.groups else groups_alike(design)
    if not groups:
        return None
    of_groups = [group_means(values[:, voxels], design.row_of_map, group) for group in groups]
    mean, error = np.stack([mean for mean, _ in of_groups]), np.stack([error for _, error in of_groups])
    places = tuple(place_words(place) for place in xyz)
    caption = (
        f"Condition means{' of each group' if design.groups else ''} at the highest peaks ({method_words(first)}), in "
        f"the units of the input maps; bars: \N{PLUS-MINUS SIGN} 1 {error_words(len(conditions))}. "
        f"{_more_words(design, groups)}{SAME_DATA}"
    )
    names = tuple(group.name for group in groups)
    name = f"desc-{first.method}_means"
    figure = attempt(
        name,
        lambda: Figure(
            name=name,
            png=means_png(conditions, names, places, mean, error),
            caption=caption,
            alt=f"Means of {len(conditions)} conditions{f' in {len(names)} groups' if design.groups else ''} with "
            f"error bars at the highest peaks ({len(places)}). At the highest, {places[0]} mm: "
            f"{_in_words(conditions, names, mean[..., 0])}. All are in the table below.",
            kind="chart",
        ),
    )

    return PeakMeans(conditions, names, places, _labels(peaks), mean, error, caption, figure)


def _more_words(design: Design, groups: Sequence[Group]) -> str:
    """Say what bars and means of groups serve for, whom they are without, and what they are not adjusted for."""
    left = sum(group.rows.size for group in groups)
    parts = [WITHIN_GROUP] if design.groups and len(design.cells) > 1 else []
    parts += [ALIKE] if len(groups) > 1 else []
    if left < len(design.subjects):
        parts.append(f"Of the {left} of {len(design.subjects)} subjects who have a map of every condition.")
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
    """Decimals that leave the smallest standard error two digits."""
    smallest = float(error[error > 0].min(initial=np.inf))
    return int(np.clip(1 - np.floor(np.log10(smallest)), 0, 6)) if np.isfinite(smallest) else 2


def _number(value: float, digits: int) -> str:
    return f"{value:z.{digits}f}".replace("-", MINUS)
