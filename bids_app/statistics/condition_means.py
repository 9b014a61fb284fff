"""Means of the conditions, over all subjects and over each group, with standard errors for comparing conditions.

A mean over all subjects weighs the groups alike, whatever their sizes, as effects that average over groups do: it is
the mean of the groups' means, with the standard error sqrt(sum of their squared standard errors) / number of groups. It
is of the maps as they are, not adjusted for covariates.

References
----------
Cousineau 2005, doi 10.20982/tqmp.01.1.p042; Morey 2008, doi 10.20982/tqmp.04.2.p061 (the factor k / (k - 1)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bids_app.arrays import Floats, Stack
from bids_app.console.text import file_label
from bids_app.design.design import Design
from bids_app.errors import Warned
from bids_app.statistics.scores import BLOCK


@dataclass(frozen=True, slots=True)
class Group:
    """Subjects whose means are taken together."""

    name: str
    """Such as group.patient; empty for all subjects."""
    label: str
    """For file names; empty for all subjects."""
    rows: NDArray[np.intp]
    """Places of its subjects in the design."""


@dataclass(frozen=True, slots=True)
class PeakMeans:
    """Condition means at the highest peaks of a contrast."""

    groups: tuple[str, ...]
    """Of subjects; one without a name where there are no between factors."""
    n_subjects: int
    """Of all the groups: those who have a map of every condition."""
    mean: Floats
    """(n_groups, n_conditions, n_peaks), in the units of the input maps; the highest peak first."""
    error: Floats
    """(n_groups, n_conditions, n_peaks) standard error."""


def all_subjects(design: Design) -> Group:
    """Return everybody who has a map of every condition."""
    return Group("", "", np.flatnonzero(np.all(design.row_of_map >= 0, axis=1)))


def find_groups(design: Design) -> tuple[Group, ...]:
    """List the groups of the between factors, in the order of the design's columns; none without such factors.

    Only subjects who have a map of every condition count, and groups with two of them or more.
    """
    return tuple(group for group in _all_groups(design) if group.rows.size > 1)


def groups_alike(design: Design) -> tuple[Group, ...]:
    """List the groups that a mean over all subjects weighs alike; everybody where there are no between factors.

    Empty where one of them has no standard error: fewer than two of its subjects have a map of every condition.
    """
    groups = _all_groups(design) or (all_subjects(design),)
    return groups if all(group.rows.size > 1 for group in groups) else ()


def _all_groups(design: Design) -> tuple[Group, ...]:
    names = [name for name in design.between_names if name in design.groups]
    group_of_subject, complete = np.array(design.groups), np.all(design.row_of_map >= 0, axis=1)
    return tuple(
        Group(name, label, np.flatnonzero((group_of_subject == name) & complete))
        for name, label in zip(names, numbered_labels(names), strict=True)
    )


def left_out(design: Design) -> tuple[Warned, ...]:
    """Return notes on subjects and groups that have no part in the means of conditions; empty where all have."""
    notes = []
    complete = np.all(design.row_of_map >= 0, axis=1)
    if not np.all(complete):
        names = [f"sub-{name}" for name, whole in zip(design.subjects, complete, strict=True) if not whole]
        notes.append(f"means of conditions: without {', '.join(names)}, who lack a map of some condition")
    small = [group.name for group in _all_groups(design) if group.rows.size < 2]
    if small:
        notes.append(
            f"means of conditions: none of {', '.join(small)}, nor over all groups, as fewer than two subjects there "
            "have a map of every condition"
        )
    elif np.sum(complete) < 2:
        notes.append("means of conditions: none, as fewer than two subjects have a map of every condition")
    return tuple(map(Warned, notes))


def condition_means(values: ArrayLike, n_cells: int) -> tuple[Floats, Floats]:
    """Mean and standard error of every condition.

    Parameters
    ----------
    values : (n_subjects * n_cells, n_voxels)
        Subjects slow, conditions fast; at least two subjects. NaN: the subject has no part in that voxel.
    n_cells : k

    Returns
    -------
    mean, standard error : (n_cells, n_voxels) float64
        Within subjects for k > 1: of each map minus its subject's mean plus the mean of all that are given, times
        sqrt(k / (k - 1)). Between subjects for k = 1.
    """
    maps = np.asarray(values, np.float64)
    maps = maps.reshape(-1, n_cells, maps.shape[-1])
    has_voxel = np.asarray(~np.isnan(maps).any(axis=1))  # (n_subjects, n_voxels)
    n_subjects = has_voxel.sum(axis=0)
    maps = np.where(has_voxel[:, None], maps, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):  # NaN where nobody has the voxel
        mean = maps.sum(axis=0) / n_subjects
    spread = maps
    if n_cells > 1:
        # the mean of all is the same for every subject and leaves the standard deviation as it is
        spread = (maps - maps.mean(axis=1, keepdims=True)) * np.sqrt(n_cells / (n_cells - 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        deviations = np.where(has_voxel[:, None], spread - spread.sum(axis=0) / n_subjects, 0.0)
        variance = np.square(deviations).sum(axis=0) / (n_subjects - 1)
        return mean, np.sqrt(variance / n_subjects)


def group_means(values: Stack, row_of_map: NDArray[np.intp], *groups: Group) -> tuple[Floats, Floats]:
    """Mean and standard error of every condition over groups that weigh alike, often a single one.

    Parameters
    ----------
    values : (n_maps, n_voxels)
    row_of_map : of the design, (n_subjects, n_cells)
    groups : whose subjects are independent of each other

    Returns
    -------
    mean, standard error : (n_cells, n_voxels) float64
        NaN where a group has no subject, or for the standard error fewer than two.
    """
    of_groups = [condition_means(values[row_of_map[group.rows].ravel()], row_of_map.shape[1]) for group in groups]
    mean = np.mean([mean for mean, _ in of_groups], axis=0)
    variance = np.sum([np.square(error) for _, error in of_groups], axis=0) / len(groups) ** 2
    return mean, np.sqrt(variance)


def peak_means(values: Stack, design: Design, voxels: NDArray[np.intp]) -> PeakMeans | None:
    """Return the means and standard errors of every condition at a few voxels, of each group where there are any.

    Parameters
    ----------
    values : (n_maps, n_voxels)
    design : whose conditions and groups of subjects these are
    voxels : (n_peaks,) columns of the peaks, the highest first

    Returns
    -------
    PeakMeans or None
        None where too few subjects have a map of every condition.
    """
    groups = find_groups(design) if design.groups else groups_alike(design)
    if not groups:
        return None
    of_groups = [group_means(values[:, voxels], design.row_of_map, group) for group in groups]
    return PeakMeans(
        groups=tuple(group.name for group in groups),
        n_subjects=sum(group.rows.size for group in groups),
        mean=np.stack([mean for mean, _ in of_groups]),
        error=np.stack([error for _, error in of_groups]),
    )


def condition_maps(values: Stack, row_of_map: NDArray[np.intp], *groups: Group) -> tuple[Floats, Floats]:
    """Return `group_means` of all voxels, a block at a time, (n_cells, n_voxels) each."""
    mean, error = (np.empty((row_of_map.shape[1], values.shape[1])) for _ in range(2))
    for start in range(0, values.shape[1], BLOCK):
        here = slice(start, start + BLOCK)
        mean[:, here], error[:, here] = group_means(values[:, here], row_of_map, *groups)
    return mean, error


def numbered_labels(names: Sequence[str]) -> list[str]:
    """Return labels for file names; where two would share one, or one has none, its number follows."""
    labels = [file_label(name) for name in names]
    lower = [label.lower() for label in labels]
    taken = set(lower)
    for number, label in enumerate(labels, start=1):
        if not label or lower.count(label.lower()) > 1:
            numbered = f"{label}{number}"
            while numbered.lower() in taken:  # "a" and "A" beside "a1"
                numbered += "x"
            taken.add(numbered.lower())
            labels[number - 1] = numbered
    return labels


def over_words(groups: Sequence[Group]) -> str:
    """Return over what a mean was taken."""
    if len(groups) > 1:
        return "the groups, which weigh alike whatever their sizes, as in the contrasts"
    return "the group's subjects" if groups[0].name else "subjects"


def adjustment_words(design: Design) -> str:
    """Return a note on the covariates, which do not change the means although effects are adjusted for them."""
    covariates = design.between_names[len(set(design.groups)) or 1 :]  # they follow the groups, or the intercept
    return f"Not adjusted for {', '.join(covariates)}." if covariates else ""


def error_words(n_cells: int) -> str:
    """Return what the standard errors are of."""
    if n_cells == 1:
        return "standard error between subjects"
    return "within-subject standard error (Cousineau-Morey: without what subjects differ by in all conditions alike)"
