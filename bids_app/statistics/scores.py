"""Scores of subjects, and what least squares on them leaves: what all kinds of statistics are made of.

Letters: S subjects, k cells of a subject, V voxels; B (S, b) the between-subject design; M (r, k) orthonormal weights
over the cells, L (q, b) weights over the columns of B; v = S - rank B. A contrast looks at the maps y through its
scores D_j = M_j y (S, V), for which

    D_j = B G_j + E_j,    H0: L G_j = 0 for j = 1..r

Functions take as many voxels at a time as they are given: `BLOCK` of them are in double precision at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bids_app.arrays import Floats, Stack
from bids_app.design.contrast_test import ContrastTest
from bids_app.design.design import Design
from bids_app.design.subspaces import ColumnSpace

BLOCK = 4096  # voxels at a time: double precision for a few, whatever the size of the mask


class ScoreFit(NamedTuple):
    """Least squares on the scores of a contrast."""

    space: ColumnSpace
    """Of B."""
    along: Floats
    """(r, q, V) scores along the directions that the hypothesis is about: SSH is their sum of squares."""
    residuals: Floats
    """(r, S, V)."""
    total: Floats
    """(V,) sum of squares of the scores."""


def contrast_scores(values: ArrayLike, design: Design, within: Floats) -> Floats:
    """Return the scores D_j = M_j y of every subject of a design.

    Parameters
    ----------
    values : (n_maps, n_voxels)
        The stack of maps; only those are looked at whose cells have a weight.
    design : Design
    within : M (r, n_cells)

    Returns
    -------
    (r, n_subjects, n_voxels) float64
    """
    weighed = np.any(within != 0, axis=0)
    rows = design.row_of_map[:, weighed]
    maps = np.asarray(np.asarray(values)[rows], np.float64)  # (n_subjects, cells weighed, n_voxels)
    return np.asarray(np.einsum("rk,skv->rsv", within[:, weighed], maps, optimize=True), np.float64)


def error_space(test: ContrastTest) -> Floats:
    """Return orthonormal dimensions of the error beyond the tested ones, (n, n_cells): none unless it is pooled."""
    contrast, n_cells = test.contrast, len(test.design.cells)
    if contrast.error_term == "partitioned":
        return np.zeros((0, n_cells))
    taken = np.vstack([np.full((1, n_cells), n_cells**-0.5), contrast.within])
    _, _, basis = np.linalg.svd(taken)
    return np.asarray(basis[len(taken) :])


def fit_scores(values: Stack, test: ContrastTest) -> ScoreFit:
    """Return least squares on the scores of a contrast; (n_maps, n_voxels), which all its subjects have."""
    space = test.between_space
    tested, _ = space.split(test.contrast.between)
    scores = contrast_scores(values, test.design, test.contrast.within)
    return ScoreFit(space, tested @ scores, space.residuals(scores), squares(scores))


def residual_scores(values: Stack, test: ContrastTest) -> Iterator[Floats]:
    """Yield the residual scores of the contrast's own dimensions, (r, S, a block of voxels)."""
    forming = residual_forming(test)
    for start in range(0, values.shape[1], BLOCK):
        yield forming @ contrast_scores(values[:, start : start + BLOCK], test.design, test.contrast.within)


def residual_forming(test: ContrastTest) -> Floats:
    """Return the matrix I - B B+ that makes residuals of the scores of one dimension, (S, S)."""
    return test.between_space.residuals(np.eye(test.n_subjects))


def voxel_blocks(values: Stack, design: Design) -> Iterator[Stack]:
    """Yield the voxels, `BLOCK` at a time.

    Raises
    ------
    ValueError
        When `values` (n_maps, n_voxels) has another number of maps than the design.
    """
    last = int(design.row_of_map.max())
    if len(values) <= last or (design.rows is None and len(values) != last + 1):
        raise ValueError(f"{len(values)} maps for a design of {last + 1} rows")
    for start in range(0, values.shape[1], BLOCK):
        yield values[:, start : start + BLOCK]


def maps_of(values: Stack, design: Design) -> Stack:
    """Return the maps of a design's subjects, (n_maps, n_voxels), subjects slow and cells fast."""
    return values[design.row_of_map[design.row_of_map >= 0]]


def squares(scores: Floats) -> Floats:
    """Return the sum of squares over dimensions and subjects, (r, S, V) to (V,)."""
    return np.asarray(np.einsum("rsv,rsv->v", scores, scores))


def is_more_than_rounding(error: Floats, total: Floats, maps: Stack) -> NDArray[np.bool_]:
    """Whether an error sum of squares (V,) is more than rounding of all scores' (V,) and of the maps (n_maps, V).

    Notes
    -----
    Maps that are equal over the cells leave scores of pure rounding, about 1e-32 of the data's sum of squares, which
    can have the same sign in all subjects and pass for an effect; the smallest difference that single-precision data
    can hold leaves 1e-17. Hence the comparison with the data themselves, beside the one with the scores.
    """
    data = np.nansum(np.square(maps, dtype=np.float64), axis=0)
    return np.asarray((error > 1e-20 * data) & (error > 1e-12 * total))
