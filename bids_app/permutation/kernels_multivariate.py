"""The statistics of a shuffle that small matrices make: Wilks' lambda, Hotelling's T2 among it, and Welch's t and F.

As in `kernels_univariate`, the sums over units are formed block of voxels by block; what differs is how a statistic
comes of them. Where that is a formula (Hotelling's T2 without nuisance, Welch's t of groups) it is evaluated for a
whole block, otherwise voxel by voxel in double precision.

Wilks: the scores are whitened, so that their sums of squares and products are the identity, which no shuffle changes.
With the rows a of products s_a (r,), tested ones first,

    lambda = det(I - sum over all a of s_a s_a') / det(I - sum over the nuisance rows of s_a s_a').

Welch: with u_gk the sum over the members of group g of column k of an orthonormal basis Q of the design, and a_k the
sum of these over the groups, SSE_g = |e_g|^2 - 2 a' u_g + a' Q_g'Q_g a, and |e_g|^2 is what no flip changes.

References
----------
See `statistics.multivariate` and `statistics.unequal_variances`, which do the same once, for the observed maps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bids_app.arrays import Floats, Integers, Signs, Singles
from bids_app.permutation.kernels_univariate import LEAST_ERROR, SMALL_ERROR, Scanned, compare, list_above
from bids_app.permutation.shuffled_sums import BLOCK, Moves, compiled, flip, move, tabulate_products


class Sums(NamedTuple):
    """The sums over units that a shuffle forms at each voxel."""

    dimension: Integers  # (n_products,) which scores a product is made of
    basis: Floats  # (n_products, n_units) its weights under the identity


class Wilks(NamedTuple):
    """How lambda is made of the products, which are ordered by dimension, then by row."""

    n_dimensions: int
    n_tested: int
    n_rows: int  # tested and nuisance rows of each dimension
    root: float  # s of Rao's F


class Welch(NamedTuple):
    """How Welch's t and F are made of the products."""

    member: Integers  # (n_units,) group of each unit
    product: Integers  # (n_groups, n_columns) which product is u_gk; -1: it is zero
    squares: Floats  # (n_groups, n_columns, n_columns) Q_g'Q_g
    hypothesis: Floats  # (q, n_columns) times a: the scores along the tested directions
    shares: Floats  # (n_groups, q, q) of their covariance, for a variance of 1
    df_residual: Floats  # (n_groups,) r_g
    df_error: float  # nominal: the ratio is F q / df
    signed: bool
    is_plain: bool  # one column for each group and one row: Welch's t


@compiled
def _determinant(matrix: Floats) -> tuple[float, float]:
    """Return the determinant of a symmetric positive matrix, which is overwritten, and its smallest pivot."""
    n = matrix.shape[0]
    determinant, smallest = 1.0, 1.0
    for i in range(n):
        pivot = matrix[i, i]
        smallest = min(smallest, pivot)
        pivot = max(pivot, LEAST_ERROR)
        determinant *= pivot
        for j in range(i + 1, n):
            factor = matrix[j, i] / pivot
            for k in range(i + 1, n):
                matrix[j, k] -= factor * matrix[i, k]
    return determinant, smallest


@compiled
def _solve(matrix: Floats, right: Floats) -> None:
    """Put the solution of a symmetric positive system, (n, n) and (n, m), in the place of its right side."""
    n, m = right.shape
    for i in range(n):
        pivot = max(matrix[i, i], 1e-300)
        for j in range(i + 1, n):
            factor = matrix[j, i] / pivot
            for k in range(i + 1, n):
                matrix[j, k] -= factor * matrix[i, k]
            for k in range(m):
                right[j, k] -= factor * right[i, k]
    for i in range(n - 1, -1, -1):
        for k in range(m):
            for j in range(i + 1, n):
                right[i, k] -= matrix[i, j] * right[j, k]
            right[i, k] /= max(matrix[i, i], 1e-300)


@compiled
def _wilks_ratio(products: Floats, total: Floats, wilks: Wilks) -> tuple[float, float]:
    """(1 - lambda^(1/s)) / lambda^(1/s) of one voxel, and the smallest pivot on the way.

    Parameters
    ----------
    products : (n_dimensions * n_rows,)
    total : (n_dimensions, n_dimensions) sums of squares and products of the scores
    """
    r, rows = wilks.n_dimensions, wilks.n_rows
    null = total.copy()
    for a in range(wilks.n_tested, rows):
        for i in range(r):
            for j in range(r):
                null[i, j] -= products[i * rows + a] * products[j * rows + a]
    full = null.copy()
    for a in range(wilks.n_tested):
        for i in range(r):
            for j in range(r):
                full[i, j] -= products[i * rows + a] * products[j * rows + a]
    without, _ = _determinant(null)
    left, smallest = _determinant(full)
    return (without / left) ** (1 / wilks.root) - 1, smallest


@compiled
def _welch_ratio(products: Floats, total: Floats, welch: Welch) -> tuple[float, float]:
    """F q / df of one voxel, and the smallest share of a group's sum of squares that is error.

    Parameters
    ----------
    products : (n_products,)
    total : (n_groups,) |e_g|^2
    """
    n_groups, n_columns = welch.product.shape
    q = welch.hypothesis.shape[0]
    own = np.zeros((n_groups, n_columns))
    every = np.zeros(n_columns)
    for g in range(n_groups):
        for k in range(n_columns):
            if welch.product[g, k] >= 0:
                own[g, k] = products[welch.product[g, k]]
                every[k] += own[g, k]
    covariance = np.zeros((q, q))
    variance = np.empty(n_groups)
    smallest = 1.0
    for g in range(n_groups):
        error = total[g]
        for k in range(n_columns):
            error -= 2 * every[k] * own[g, k]
            for l in range(n_columns):  # noqa: E741
                error += every[k] * every[l] * welch.squares[g, k, l]
        smallest = min(smallest, error / total[g])
        variance[g] = max(error, LEAST_ERROR * total[g]) / welch.df_residual[g]
        covariance += variance[g] * welch.shares[g]
    difference = np.zeros((q, 1))
    for i in range(q):
        for k in range(n_columns):
            difference[i, 0] += welch.hypothesis[i, k] * every[k]
    whitened = difference.copy()
    _solve(covariance.copy(), whitened)
    form = 0.0
    for i in range(q):
        form += difference[i, 0] * whitened[i, 0]
    scale = float(q)  # one row: q + 2 A - 6 A / (q + 2) is 1
    if q > 1:
        scale += 2 * (q - 1) / (q + 2) * _james_term(covariance, variance, welch)
    ratio = form * q / (scale * welch.df_error)
    return (-ratio if welch.signed and difference[0, 0] < 0 else ratio), smallest


@compiled
def _james_term(covariance: Floats, variance: Floats, welch: Welch) -> float:
    """Return A, of the covariance (q, q) of the tested directions and the groups' variances (n_groups,)."""
    q = covariance.shape[0]
    a = 0.0
    for g in range(variance.size):
        part = variance[g] * welch.shares[g]
        _solve(covariance.copy(), part)
        trace, squares = 0.0, 0.0
        for i in range(q):
            trace += part[i, i]
            for j in range(q):
                squares += part[i, j] * part[j, i]
        a += (squares + trace**2) / (2 * welch.df_residual[g])
    return a


@compiled
def _block_of_wilks(products: Singles, wilks: Wilks, explained: Singles, error: Singles) -> None:
    """Fill in, (BLOCK,), what makes up the ratio; the error is small where single precision does not do."""
    if wilks.n_rows == 1:
        for v in range(BLOCK):
            explained[v] = 0
        for j in range(wilks.n_dimensions):
            for v in range(BLOCK):
                explained[v] += products[j, v] * products[j, v]
        for v in range(BLOCK):
            error[v] = np.float32(1) - explained[v]
        return
    total = np.eye(wilks.n_dimensions)
    own = np.empty(products.shape[0])
    for v in range(BLOCK):
        for p in range(products.shape[0]):
            own[p] = products[p, v]
        ratio, smallest = _wilks_ratio(own, total, wilks)
        explained[v], error[v] = ratio * smallest, smallest


@compiled
def _block_of_welch(products: Singles, totals: Floats, welch: Welch, explained: Singles, error: Singles) -> None:
    """Fill in, (BLOCK,), what makes up the ratio of Welch's t and F; totals (n_groups, BLOCK) are |e_g|^2."""
    n_groups = welch.df_residual.size
    if welch.is_plain:
        for v in range(BLOCK):
            difference, variance, smallest = 0.0, 0.0, 1.0
            for g in range(n_groups):
                sum_of_group = np.float64(products[welch.product[g, g], v])
                left = totals[g, v] - sum_of_group * sum_of_group
                smallest = min(smallest, left / totals[g, v])
                difference += welch.hypothesis[0, g] * sum_of_group
                variance += welch.hypothesis[0, g] ** 2 * left / welch.df_residual[g]
            ratio = difference * difference / (max(variance, LEAST_ERROR) * welch.df_error)
            explained[v] = (-ratio if welch.signed and difference < 0 else ratio) * smallest
            error[v] = smallest
        return
    own, total = np.empty(products.shape[0]), np.empty(n_groups)
    for v in range(BLOCK):
        for p in range(products.shape[0]):
            own[p] = products[p, v]
        for g in range(n_groups):
            total[g] = totals[g, v]
        ratio, smallest = _welch_ratio(own, total, welch)
        explained[v], error[v] = ratio * smallest, smallest


@compiled
def _precise_products(block: Singles, v: int, sums: Sums, place: Integers, sign: Signs, products: Floats) -> None:
    """Form the products of one shuffle at one voxel in double precision."""
    for p in range(products.size):
        products[p] = 0
        for u in range(place.size):
            weight = sums.basis[p, place[u]] * sign[u]
            products[p] += weight * np.float64(block[sums.dimension[p], u, v])


@compiled
def _gram(block: Singles, v: int, total: Floats) -> None:
    """Form the sums of squares and products of the scores at one voxel, (n_dimensions, n_dimensions)."""
    for i in range(total.shape[0]):
        for j in range(total.shape[0]):
            total[i, j] = 0
            for u in range(block.shape[1]):
                total[i, j] += np.float64(block[i, u, v]) * np.float64(block[j, u, v])


@compiled
def _totals(block: Singles, member: Integers, totals: Floats) -> None:
    """Sum of squares of each group's scores at each voxel, (n_groups, BLOCK)."""
    totals[:] = 0
    for u in range(member.size):
        for v in range(BLOCK):
            totals[member[u], v] += np.float64(block[0, u, v]) ** 2


@compiled
def _recompute_small_errors(
    block: Singles,
    b: int,
    sums: Sums,
    wilks: Wilks | None,
    welch: Welch | None,
    place: Integers,
    sign: Signs,
    totals: Floats,
    error: Singles,
    ratio: Singles,
    bound: Singles,
    reached: Integers,
    two_sided: bool,  # noqa: FBT001
) -> None:
    """Compute a shuffle's ratios in double precision where its error is small, and count them again."""
    products = np.empty(sums.dimension.size)
    gram = np.empty((block.shape[0], block.shape[0]))
    total = np.empty(totals.shape[0])
    for v in range(BLOCK):
        if not error[v] < np.float32(SMALL_ERROR):
            continue
        reached[b, v] -= np.int32((abs(ratio[v]) if two_sided else ratio[v]) >= bound[b, v])
        _precise_products(block, v, sums, place, sign, products)
        if wilks is not None:
            _gram(block, v, gram)
            ratio[v] = _wilks_ratio(products, gram, wilks)[0]
        if welch is not None:
            for g in range(total.size):
                total[g] = totals[g, v]
            ratio[v] = _welch_ratio(products, total, welch)[0]
        reached[b, v] += np.int32((abs(ratio[v]) if two_sided else ratio[v]) >= bound[b, v])


@compiled
def scan_matrices(
    blocks: Singles,
    n_voxels: int,
    sums: Sums,
    wilks: Wilks | None,
    welch: Welch | None,
    moves: Moves,
    patterns: Integers | None,
    places: Integers | None,
    bound: Singles,
    list_threshold: float,
    two_sided: bool,  # noqa: FBT001
    maps: Singles,
) -> Scanned:
    """Pass once over the voxels with a batch of shuffles, as `kernels_univariate.scan`; returns what that gives.

    Of `wilks` and `welch` one is None, and the kernel is compiled for the other.
    """
    n_blocks, n_shuffles, n_units = blocks.shape[0], moves.sign.shape[0], moves.sign.shape[1]
    n_products = sums.dimension.size
    largest = np.full(n_shuffles, -np.inf, np.float32)
    reached = np.zeros((n_blocks, BLOCK), np.int32)
    rows = np.empty((n_units, BLOCK), np.float32)
    tables = np.empty((n_products, moves.patterns.shape[1] << moves.width, BLOCK), np.float32)
    weights, products = np.empty((n_products, n_units), np.float32), np.empty((n_products, BLOCK), np.float32)
    explained, error = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    ratio = np.empty(BLOCK, np.float32)
    shuffle, voxel, listed = np.empty(1024, np.int32), np.empty(1024, np.int32), np.empty(1024, np.float32)
    n_listed = 0
    n_totals = 1
    if welch is not None:
        n_totals = welch.df_residual.size
    totals = np.zeros((n_totals, BLOCK))
    for b in range(n_blocks):
        if patterns is not None:
            tabulate_products(blocks, b, sums.dimension, sums.basis, moves, rows, tables)
        if welch is not None:
            _totals(blocks[b], welch.member, totals)
        for h in range(n_shuffles):
            if places is not None:
                move(blocks, b, sums.dimension, sums.basis, places, moves.sign, h, weights, products)
            if patterns is not None:
                flip(tables, patterns, h, products)
            if wilks is not None:
                _block_of_wilks(products, wilks, explained, error)
            if welch is not None:
                _block_of_welch(products, totals, welch, explained, error)
            lowest = min(largest[h], np.float32(list_threshold))
            n_above, n_small = compare(explained, error, ratio, bound, reached, b, lowest, two_sided)
            if n_small > 0:
                _recompute_small_errors(
                    blocks[b], b, sums, wilks, welch, moves.place[h], moves.sign[h],
                    totals, error, ratio, bound, reached, two_sided,
                )  # fmt: skip
            if maps.shape[0] > 0:
                for v in range(BLOCK):
                    maps[h, b * BLOCK + v] = ratio[v]
            if n_above + n_small == 0:
                continue
            highest, n_listed, shuffle, voxel, listed = list_above(
                ratio, np.float32(list_threshold), two_sided, h, b, n_voxels, shuffle, voxel, listed, n_listed
            )
            largest[h] = max(largest[h], highest)
    return Scanned(largest, reached, shuffle[:n_listed], voxel[:n_listed], listed[:n_listed])
