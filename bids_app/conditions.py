"""Means of the conditions, over all subjects and over each group, with standard errors for comparing conditions.

References
----------
Cousineau 2005, doi 10.20982/tqmp.01.1.p042; Morey 2008, doi 10.20982/tqmp.04.2.p061 (the factor k / (k - 1)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bids_app.design import Design, file_label

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

BLOCK = 4096  # voxels at a time in double precision


@dataclass(frozen=True, slots=True)
class Group:
    """Subjects whose means are taken together."""

    name: str
    """Such as group.patient; empty for all subjects."""
    label: str
    """For file names; empty for all subjects."""
    rows: NDArray[np.intp]
    """Places of its subjects in the design."""


def all_subjects(design: Design) -> Group:
    """Everybody who has a map of every condition."""
    return Group("", "", np.flatnonzero(np.all(design.place >= 0, axis=1)))


def find_groups(design: Design) -> tuple[Group, ...]:
    """List the groups of the between factors, in the order of the design's columns; none without such factors.

    Only subjects who have a map of every condition count, and groups with two of them or more.
    """
    names = [name for name in design.between_names if name in design.groups]
    own, complete = np.array(design.groups), np.all(design.place >= 0, axis=1)
    groups = (
        Group(name, label, np.flatnonzero((own == name) & complete))
        for name, label in zip(names, numbered_labels(names), strict=True)
    )
    return tuple(group for group in groups if group.rows.size > 1)


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
    there = np.asarray(~np.isnan(maps).any(axis=1))  # (n_subjects, n_voxels)
    n_subjects = there.sum(axis=0)
    maps = np.where(there[:, None], maps, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):  # NaN where nobody has the voxel
        mean = maps.sum(axis=0) / n_subjects
    spread = maps
    if n_cells > 1:
        # the mean of all is the same for every subject and leaves the standard deviation as it is
        spread = (maps - maps.mean(axis=1, keepdims=True)) * np.sqrt(n_cells / (n_cells - 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        deviations = np.where(there[:, None], spread - spread.sum(axis=0) / n_subjects, 0.0)
        variance = np.square(deviations).sum(axis=0) / (n_subjects - 1)
        return mean, np.sqrt(variance / n_subjects)


def group_means(values: Singles, place: NDArray[np.intp], group: Group) -> tuple[Floats, Floats]:
    """Do the same for the subjects of a group, (n_cells, n_voxels) each; `place` is that of the design."""
    return condition_means(values[place[group.rows].ravel()], place.shape[1])


def condition_maps(values: Singles, place: NDArray[np.intp], group: Group) -> tuple[Singles, Singles]:
    """Do the same for all voxels, a block at a time; returns single precision, (n_cells, n_voxels) each."""
    mean, error = (np.empty((place.shape[1], values.shape[1]), np.float32) for _ in range(2))
    for start in range(0, values.shape[1], BLOCK):
        here = slice(start, start + BLOCK)
        mean[:, here], error[:, here] = group_means(values[:, here], place, group)
    return mean, error


def numbered_labels(names: Sequence[str]) -> list[str]:
    """Label conditions or groups for file names; where two would share one, or one has none, its number follows."""
    labels = [file_label(name) for name in names]
    lower = [label.lower() for label in labels]
    return [
        f"{label}{number}" if not label or lower.count(label.lower()) > 1 else label
        for number, label in enumerate(labels, start=1)
    ]


def error_words(n_cells: int) -> str:
    """Say what the standard errors are of."""
    if n_cells == 1:
        return "standard error between subjects"
    return "within-subject standard error (Cousineau-Morey: without what subjects differ by in all conditions alike)"
