"""The residual scores that are shuffled, and the products of them that make up a statistic.

Whole subjects move (sign-flip, permute). With Z = {B g : L g = 0}, X an orthonormal basis of what B has beyond Z, and
Q = [X, basis of Z] one of B,

    tested dimensions:  e_j = R_Z D_j,    the error's other dimensions:  e_j = R_B D_j,
    SSH* = sum over tested j of |X' P e_j|^2,    SSE* = sum |e_j|^2 - sum |Q' P e_j|^2 over the error's dimensions,

and sum |e_j|^2 never changes. For Wilks' lambda the e_j are whitened, and for Welch's tests the sums are formed group
by group (see `matrices`). Where maps are missing and the error is pooled, the same holds of the residual maps, all of a
subject's flipped together. Single maps move (within, free): with E what the nuisance part of the full model over
maps leaves, the same sums of squares are those of products of P E with Kronecker products of rows of Q and M.

References
----------
Freedman & Lane 1983, doi 10.1080/07350015.1983.10509354; Winkler et al. 2014, doi 10.1016/j.neuroimage.2014.01.060
(appendix A: partition of the model by Guttman and Beckmann).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Floats, Singles, Stack
from bids_app.design.contrast_test import ContrastTest
from bids_app.design.contrasts import Contrast
from bids_app.design.subspaces import residuals_of, unit_rows
from bids_app.permutation.kernels_multivariate import Sums, Welch, Wilks
from bids_app.permutation.kernels_univariate import NUISANCE, TESTED, TOTAL, Products
from bids_app.permutation.schemes import SCHEMES
from bids_app.permutation.shuffled_sums import BLOCK, Moves
from bids_app.permutation.shuffles import Scheme, Shuffles
from bids_app.statistics.incomplete import INCOMPLETE, centred_maps, map_space
from bids_app.statistics.multivariate import MULTIVARIATE, rao_root
from bids_app.statistics.scores import contrast_scores, error_space
from bids_app.statistics.sums_of_squares import SUMS_OF_SQUARES
from bids_app.statistics.unequal_variances import UNEQUAL_VARIANCES, variance_model_of

CHUNK = 32 * BLOCK  # voxels that are held in double precision at a time


@dataclass(frozen=True, slots=True)
class ShuffledScores:
    """The scores of one contrast, ready to be shuffled."""

    blocks: Singles
    """(n_blocks, n_dimensions, n_units, BLOCK), scaled so that their sum of squares is 1 at each voxel; whitened for
    Wilks' lambda."""
    n_voxels: int
    """The last block is filled up with copies of the last voxel."""
    products: Products | Sums
    form: Wilks | Welch | None
    """How the statistic is made of the products where these are `Sums`."""
    test: str
    df: tuple[float, float]
    sign: int
    """-1 where the negative side is tested alone: the ratio then has the sign turned round."""
    subject_of_unit: NDArray[np.intp] | None = None
    """(n_units,) where units are maps that flip with their subject."""

    def statistic(self, ratio: Singles) -> Floats:
        """t or F, as seen from the tested side where one is, of explained / error."""
        size = np.abs(ratio, dtype=np.float64)
        if self.test == "F":
            return np.asarray(size * (self.df[1] / self.df[0]))
        return np.asarray(np.sign(ratio) * np.sqrt(size * self.df[1]))

    def ratio(self, statistic: Floats) -> Singles:
        """Return what the kernels compute, explained / error, for a t or F."""
        if self.test == "F":
            return np.asarray(statistic * (self.df[0] / self.df[1]), np.float32)
        return np.asarray(np.sign(statistic) * np.square(statistic) / self.df[1], np.float32)


def shuffled_scores(values: Stack, test: ContrastTest, scheme: Scheme, file: IO[bytes] | None = None) -> ShuffledScores:
    """Return the residual scores of one contrast, computed chunk by chunk in double precision.

    Parameters
    ----------
    values : (n_maps, n_voxels)
        May be memory-mapped.
    test : of these maps
    scheme : what will move
    file : holds the scores in place of memory
    """
    plan = _plan(test, scheme)
    residuals = plan.residuals
    n_voxels = values.shape[1]
    n_blocks = -(-n_voxels // BLOCK)
    first = residuals(values[:, :1])
    size = (n_blocks, *first.shape[:2], BLOCK)
    blocks: Singles = np.memmap(file, np.float32, "w+", shape=size) if file is not None else np.empty(size, np.float32)
    for start in range(0, n_voxels, CHUNK):
        scores = residuals(values[:, start : start + CHUNK])
        if isinstance(plan.form, Wilks):
            scores = _whitened(scores)
        else:
            scale = np.sqrt(np.square(scores).sum((0, 1)))
            scores = np.divide(scores, scale, out=np.zeros_like(scores), where=scale > 0)
        missing = -scores.shape[-1] % BLOCK
        if missing:
            scores = np.concatenate([scores, np.repeat(scores[..., -1:], missing, axis=-1)], axis=-1)
        parts = scores.reshape(*scores.shape[:2], -1, BLOCK)
        blocks[start // BLOCK : start // BLOCK + parts.shape[2]] = np.moveaxis(parts, 2, 0)
    contrast = test.contrast
    sign = -1 if contrast.test == "t" and contrast.sided == "negative" else 1
    return ShuffledScores(
        blocks, n_voxels, plan.products, plan.form, contrast.test, test.df, sign, plan.subject_of_unit
    )


def score_shape(test: ContrastTest, shuffles: Shuffles) -> tuple[int, int]:
    """Return how many dimensions and units the scores of a contrast have, before they are computed."""
    n_units = shuffles.order.shape[1]
    if not SCHEMES[shuffles.scheme].moves_subjects:
        return 1, n_units
    if test.kind == INCOMPLETE.key:
        return 1, test.design.n_maps
    pooled = test.contrast.error_term == "pooled"
    return (len(test.design.cells) - 1 if pooled else test.n_dimensions), n_units


def _whitened(scores: Floats) -> Floats:
    """Make the sums of squares and products of scores (r, n_units, V) the identity at each voxel."""
    across = np.moveaxis(scores, -1, 0)  # (V, r, n_units)
    factor = np.linalg.cholesky(across @ np.swapaxes(across, 1, 2))
    return np.asarray(np.moveaxis(np.linalg.solve(factor, across), 0, -1))


def moves(shuffles: Shuffles, subject_of_unit: NDArray[np.intp] | None = None) -> Moves:
    """Prepare shuffles for the kernels; units may be maps that flip with their subject."""
    # one layout for all: kernels are compiled for each
    order, sign = np.ascontiguousarray(shuffles.order, np.int32), np.ascontiguousarray(shuffles.sign)
    if subject_of_unit is not None:
        sign = np.ascontiguousarray(sign[:, subject_of_unit])
        order = np.tile(np.arange(subject_of_unit.size, dtype=np.int32), (len(sign), 1))
    if shuffles.scheme != "sign-flip":
        return Moves(order, sign, np.empty(0, np.int32), np.empty((len(order), 0), np.int32), 0)
    leader = unit = np.arange(sign.shape[1])
    if shuffles.blocks or subject_of_unit is not None:  # subjects that have the same sign in every shuffle are one unit
        _, leader, unit = np.unique(sign, axis=1, return_index=True, return_inverse=True)
    return Moves(order, sign, unit.ravel().astype(np.int32), *_patterns(sign[:, leader]))


def part_of(everything: Moves, start: int, stop: int) -> Moves:
    """Take a batch out of all shuffles."""
    part = slice(start, stop)
    return everything._replace(
        place=everything.place[part], sign=everything.sign[part], patterns=everything.patterns[part]
    )


def what_moves(batch: Moves) -> tuple[NDArray[np.int32] | None, NDArray[np.int32] | None]:
    """Return the entries of the sign tables and None where only signs change, None and the places otherwise."""
    return (batch.patterns, None) if batch.patterns.shape[1] > 0 else (None, batch.place)


def _patterns(sign: NDArray[np.int8]) -> tuple[NDArray[np.int32], int]:
    """Rows of the sign tables that make up each shuffle, four at a time, and the number of units in a group."""
    n_units = sign.shape[1]
    # additions per shuffle, then entries to tabulate
    costs = {width: (-(-n_units // (4 * width)), width) for width in (3, 4, 5, 6)}
    width = min(costs, key=lambda width: costs[width])
    n_groups = 4 * costs[width][0]
    bits = np.zeros((len(sign), n_groups * width), np.int32)
    bits[:, :n_units] = sign < 0
    entry = (bits.reshape(len(sign), n_groups, width) << np.arange(width)).sum(axis=2)
    return np.ascontiguousarray(entry + (np.arange(n_groups) << width), np.int32), width


Residuals = Callable[[Stack], Floats]


class _Plan(NamedTuple):
    residuals: Residuals  # what is shuffled, (n_dimensions, n_units, n_voxels), from (n_maps, n_voxels)
    products: Products | Sums
    form: Wilks | Welch | None = None
    subject_of_unit: NDArray[np.intp] | None = None  # where units are maps that flip with their subject


def _plan(test: ContrastTest, scheme: Scheme) -> _Plan:
    """Choose what is shuffled, and what is computed from it."""
    return PLANNERS[test.kind](test, scheme) if SCHEMES[scheme].moves_subjects else _plan_for_maps(test, scheme)


def _plan_for_incomplete(test: ContrastTest, scheme: Scheme) -> _Plan:  # noqa: ARG001
    """Whole subjects change sign, each with the maps that it has: a unit is a map, and there is one dimension."""
    tested, rest = map_space(test)
    design = test.design

    def residuals(values: Stack) -> Floats:
        return residuals_of(centred_maps(values, design), rest)[None]

    entries = [(0, row, TESTED) for row in tested] + [(0, row, NUISANCE) for row in rest]
    subject_of_unit = np.flatnonzero(design.row_of_map.ravel() >= 0) // len(design.cells)
    return _Plan(residuals, _products(entries, test.contrast, constant=1.0), subject_of_unit=subject_of_unit)


def _null_residuals(test: ContrastTest, rest: Floats) -> Residuals:
    """Make what the null hypothesis leaves of the scores."""

    def residuals(values: Stack) -> Floats:
        return residuals_of(contrast_scores(values, test.design, test.contrast.within), rest)

    return residuals


def _sums(entries: list[tuple[int, Floats]]) -> Sums:
    dimension = np.array([dimension for dimension, _ in entries], np.int32)
    return Sums(dimension, np.array([row for _, row in entries]))


def _plan_for_wilks(test: ContrastTest, scheme: Scheme) -> _Plan:
    """Whole subjects move: a unit is a subject, a dimension one of the whitened scores."""
    tested, rest = test.split()
    nuisance = _without_mean(rest) if scheme == "permute" else rest
    rows = [*tested, *nuisance]
    n_dimensions = test.n_dimensions
    sums = _sums([(j, row) for j in range(n_dimensions) for row in rows])
    form = Wilks(n_dimensions, len(tested), len(rows), rao_root(len(tested), n_dimensions))
    return _Plan(_null_residuals(test, rest), sums, form)


def _plan_for_welch(test: ContrastTest, scheme: Scheme) -> _Plan:  # noqa: ARG001
    """Whole subjects change sign, and sums are formed in each variance group."""
    tested, rest = test.split()
    model, contrast = variance_model_of(test), test.contrast
    n_groups = len(model.df_residual)
    basis = unit_rows(test.design.between.T)
    if not np.allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-12):
        basis = np.vstack([tested, rest])  # otherwise groups: a column each, which has no part in the others
    entries: list[tuple[int, Floats]] = []
    product = np.full((n_groups, len(basis)), -1, np.int32)
    for g in range(n_groups):
        for k, row in enumerate(basis * model.member[g]):
            if np.any(np.abs(row) > 1e-12):
                product[g, k] = len(entries)
                entries.append((0, row))
    hypothesis = tested @ basis.T
    signed = contrast.test == "t"
    form = Welch(
        member=np.argmax(model.member, axis=0).astype(np.int32),
        product=product,
        squares=np.einsum("gs,ks,ls->gkl", model.member, basis, basis, optimize=True),
        hypothesis=np.ascontiguousarray(-hypothesis if signed and contrast.sided == "negative" else hypothesis),
        shares=model.shares,
        df_residual=model.df_residual,
        df_error=test.df_error,
        signed=signed,
        is_plain=len(hypothesis) == 1 and np.array_equal(product >= 0, np.eye(n_groups, len(basis), dtype=bool)),
    )
    return _Plan(_null_residuals(test, rest), _sums(entries), form)


def _plan_for_subjects(test: ContrastTest, scheme: Scheme) -> _Plan:
    """Whole subjects move: a unit is a subject, a dimension one of the scores."""
    tested, rest = test.split()
    others, contrast, design = error_space(test), test.contrast, test.design

    def residuals(values: Stack) -> Floats:
        scores = contrast_scores(values, design, contrast.within)
        beyond = contrast_scores(values, design, others)
        return np.concatenate([residuals_of(scores, rest), residuals_of(beyond, np.vstack([tested, rest]))])

    nuisance, of_others = rest, np.vstack([tested, rest])
    if scheme == "permute":  # the residuals' mean over subjects is zero, and stays so
        nuisance, of_others = _without_mean(nuisance), _without_mean(of_others)
    of_tested = [(row, TESTED) for row in tested] + [(row, NUISANCE) for row in nuisance]
    entries = [(j, row, kind) for j in range(len(contrast.within)) for row, kind in of_tested]
    first = len(contrast.within)
    entries += [(first + j, row, NUISANCE) for j in range(len(others)) for row in of_others]
    return _Plan(residuals, _products(entries, contrast, constant=1.0))


def _without_mean(rows: Floats) -> Floats:
    """Orthonormal basis of what rows span beyond the mean over subjects."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    _, values, basis = np.linalg.svd(centred, full_matrices=False)
    return np.asarray(basis[values > 1e-6])  # rows of unit length: what is smaller is rounding


def _plan_for_maps(test: ContrastTest, scheme: Scheme) -> _Plan:
    """Single maps move: a unit is a map, and there is one dimension."""
    tested, rest = test.split()
    contrast, design = test.contrast, test.design
    n_subjects, n_cells = len(design.subjects), len(design.cells)
    others = error_space(test)
    hypothesis = np.kron(tested, contrast.within)  # (q r, n_maps)
    zero_sum = contrast.sums_to_zero

    def residuals(values: Stack) -> Floats:
        maps = np.asarray(np.asarray(values)[design.row_of_map], np.float64)
        if zero_sum:  # the subjects' means are nuisance
            maps = maps - maps.mean(axis=1, keepdims=True)
        whole = np.vstack([tested, rest])
        fitted = np.einsum("bs,bt,tkv->skv", whole, whole, maps, optimize=True)
        left = (maps - fitted).reshape(n_subjects * n_cells, -1)
        return np.asarray(left + hypothesis.T @ (hypothesis @ maps.reshape(left.shape)))[None]

    entries = [(0, row, TESTED) for row in hypothesis]
    if contrast.error_term == "pooled":
        whole = np.vstack([tested, rest])
        nuisance = [np.kron(rest, contrast.within), np.kron(whole, others)]
        if scheme == "free":  # shuffled residuals have subject means again
            nuisance.append(np.kron(np.eye(n_subjects), np.full((1, n_cells), n_cells**-0.5)))
        entries += [(0, row, NUISANCE) for rows in nuisance for row in rows]
        return _Plan(residuals, _products(entries, contrast, constant=1.0))
    _, _, basis = np.linalg.svd(np.vstack([tested, rest]))
    error = np.kron(basis[len(tested) + len(rest) :], contrast.within)
    entries += [(0, row, TOTAL) for row in error]
    return _Plan(residuals, _products(entries, contrast, constant=0.0))


PLANNERS: Mapping[str, Callable[[ContrastTest, Scheme], _Plan]] = {
    SUMS_OF_SQUARES.key: _plan_for_subjects,
    INCOMPLETE.key: _plan_for_incomplete,
    MULTIVARIATE.key: _plan_for_wilks,
    UNEQUAL_VARIANCES.key: _plan_for_welch,
}
"""Kind of statistic -> what is computed where whole subjects move, and from what."""


def _products(entries: list[tuple[int, Floats, int]], contrast: Contrast, constant: float) -> Products:
    basis = np.array([row for _, row, _ in entries])
    kinds = np.array([kind for _, _, kind in entries], np.int8)
    dimension = np.array([dimension for dimension, _, _ in entries], np.int32)
    if contrast.test == "t" and contrast.sided == "negative":
        basis[kinds == TESTED] *= -1
    return Products(dimension, basis, kinds, constant, contrast.test == "t")
