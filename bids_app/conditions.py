"""Means of the conditions over subjects, with standard errors that suit comparisons between conditions.

References
----------
Cousineau 2005, doi 10.20982/tqmp.01.1.p042; Morey 2008, doi 10.20982/tqmp.04.2.p061 (the factor k / (k - 1)).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bids_app.design import file_label

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

BLOCK = 4096  # voxels at a time in double precision


def condition_means(values: ArrayLike, n_cells: int) -> tuple[Floats, Floats]:
    """Mean and standard error of every condition.

    Parameters
    ----------
    values : (n_subjects * n_cells, n_voxels)
        Subjects slow, conditions fast; at least two subjects.
    n_cells : k

    Returns
    -------
    mean, standard error : (n_cells, n_voxels) float64
        Within subjects for k > 1: of each map minus its subject's mean plus the mean of all, times sqrt(k / (k - 1)).
        Between subjects for k = 1.
    """
    maps = np.asarray(values, np.float64)
    maps = maps.reshape(-1, n_cells, maps.shape[-1])
    mean = maps.mean(axis=0)
    spread = maps
    if n_cells > 1:
        # the mean of all is the same for every subject and leaves the standard deviation as it is
        spread = (maps - maps.mean(axis=1, keepdims=True)) * np.sqrt(n_cells / (n_cells - 1))
    return mean, spread.std(axis=0, ddof=1) / np.sqrt(len(maps))


def condition_maps(values: Singles, n_cells: int) -> tuple[Singles, Singles]:
    """Do the same for all voxels, a block at a time; returns single precision, (n_cells, n_voxels) each."""
    mean, error = (np.empty((n_cells, values.shape[1]), np.float32) for _ in range(2))
    for start in range(0, values.shape[1], BLOCK):
        here = slice(start, start + BLOCK)
        mean[:, here], error[:, here] = condition_means(values[:, here], n_cells)
    return mean, error


def condition_labels(cells: Sequence[str]) -> list[str]:
    """Label each condition for file names; where two would share one, or one has none, its number follows."""
    labels = [file_label(cell) for cell in cells]
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
