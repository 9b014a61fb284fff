"""The statistic of every shuffle, voxel block by voxel block: compiled kernels that never leave the cache.

A shuffle costs, for each product p, the sum over units of w_pu e_u, with e the residual scores of one dimension and w a
shuffled row of the design's basis. Of the sums come the explained and the error sum of squares, of these

    ratio = explained / error    (t: with the sign of the effect),

which rises with t and F. Where all that moves are signs, units are taken four or five at a time: the sums of all their
sign patterns are tabulated once for a block of voxels, and each shuffle only adds up entries. Every number is computed
voxel by voxel in one fixed order, so that it does not depend on how shuffles are shared out.

References
----------
Arlazarov et al. 1970 (the tables, there for Boolean products: the method of the four Russians).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np

from bids_app.arrays import Floats, Integers, Signs, Singles

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

BLOCK = 256  # voxels of a block: longer rows cost less per voxel; tables of 16 units, 64 kB, stay in the L2 cache

# What the square of a product adds to
TESTED, NUISANCE, TOTAL = 0, 1, 2

# Share of the total sum of squares, below which the error is computed again in double precision: rounding of the
# products in single precision, 1e-7, must stay well under the tolerance for ties
SMALL_ERROR = 0.1
LEAST_ERROR = 1e-14  # a shuffle that leaves no error at all would have an infinite t


class Products(NamedTuple):
    """What a shuffle computes at each voxel."""

    dimension: Integers  # (n_products,) which scores a product is made of
    basis: Floats  # (n_products, n_units) its weights under the identity
    kind: Signs  # (n_products,) what its square adds to
    constant: float  # total sum of squares, 1, that no shuffle changes; 0: the TOTAL products are the error
    signed: bool  # whether the ratio takes the sign of the only tested product


class Moves(NamedTuple):
    """A batch of shuffles; with `patterns`, `unit` and `width` where only signs change, otherwise these are empty."""

    place: Integers  # (n_shuffles, n_units) where each unit's scores go
    sign: Signs  # (n_shuffles, n_units)
    unit: Integers  # (n_units,) which units flip together
    patterns: Integers  # (n_shuffles, n_groups) entry of each group's sign table
    width: int  # units of a group


class Scanned(NamedTuple):
    """What one pass over the voxels gives."""

    largest: Singles  # (n_shuffles,) largest ratio, absolute where two-sided
    reached: Integers  # (n_blocks, BLOCK) shuffles that reach the bound
    shuffle: Integers  # (n_listed,) of each voxel above the bar: its shuffle, index and ratio
    voxel: Integers
    ratio: Singles


_compiled = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
# Without the wrappers by which Python calls a function, it compiles faster
_inner: Callable[[Kernel], Kernel] = cast("Any", numba.njit)(
    nogil=True, cache=True, error_model="numpy", fastmath={"contract"}, no_cpython_wrapper=True, no_cfunc_wrapper=True
)


@_inner
def _tabulate(rows: Singles, width: int, table: Singles) -> None:
    """Fill (n_groups * 2^width, BLOCK) with the sums of all sign patterns of each group of units; bit 1 is minus."""
    size = 1 << width
    for start in range(0, table.shape[0], size):
        first = (start // size) * width
        n_units = min(width, rows.shape[0] - first)
        for v in range(BLOCK):
            table[start, v] = 0
        for u in range(max(n_units, 0)):
            for v in range(BLOCK):
                table[start, v] += rows[first + u, v]
        for pattern in range(1, 1 << max(n_units, 0)):
            unit = 0
            while not (pattern >> unit) & 1:
                unit += 1
            before = start + (pattern & (pattern - 1))
            for v in range(BLOCK):
                table[start + pattern, v] = table[before, v] - 2 * rows[first + unit, v]


@_inner
def tabulate_products(
    blocks: Singles, b: int, dimension: Integers, basis: Floats, moves: Moves, rows: Singles, tables: Singles
) -> None:
    """Fill the sign tables of all products at one block of voxels, (n_products, n_groups * 2^width, BLOCK)."""
    for p in range(dimension.size):
        for u in range(rows.shape[0]):
            for v in range(BLOCK):
                rows[u, v] = 0
        for u in range(moves.unit.size):
            weight = np.float32(basis[p, u])
            for v in range(BLOCK):
                rows[moves.unit[u], v] += weight * blocks[b, dimension[p], u, v]
        _tabulate(rows, moves.width, tables[p])


# The inner loops below take whole arrays and indices: a view of a row costs more than the row's arithmetic.


@_inner
def _add_four(tables: Singles, p: int, patterns: Integers, h: int, g: int, product: Singles) -> None:
    """Add four entries of the sign tables to row p of the products, (n_products, BLOCK)."""
    i, j, k, l = patterns[h, g], patterns[h, g + 1], patterns[h, g + 2], patterns[h, g + 3]  # noqa: E741
    for v in range(BLOCK):
        product[p, v] += (tables[p, i, v] + tables[p, j, v]) + (tables[p, k, v] + tables[p, l, v])


@_inner
def _add_weighted(blocks: Singles, b: int, d: int, weights: Singles, p: int, product: Singles) -> None:
    """Add all units' scores, weighted by row p of (n_products, n_units), to row p of (n_products, BLOCK)."""
    n_units = weights.shape[1]
    whole = n_units - n_units % 4
    for u in range(0, whole, 4):
        i, j, k, l = weights[p, u], weights[p, u + 1], weights[p, u + 2], weights[p, u + 3]  # noqa: E741
        for v in range(BLOCK):
            product[p, v] += (i * blocks[b, d, u, v] + j * blocks[b, d, u + 1, v]) + (
                k * blocks[b, d, u + 2, v] + l * blocks[b, d, u + 3, v]
            )
    for u in range(whole, n_units):
        for v in range(BLOCK):
            product[p, v] += weights[p, u] * blocks[b, d, u, v]


@_inner
def _add_three_weighted(blocks: Singles, b: int, d: int, weights: Singles, p: int, product: Singles) -> None:
    """Do the same for three products of one dimension, each score being loaded once."""
    n_units, q, r = weights.shape[1], p + 1, p + 2
    whole = n_units - n_units % 4
    for u in range(0, whole, 4):
        p0, p1, p2, p3 = weights[p, u], weights[p, u + 1], weights[p, u + 2], weights[p, u + 3]
        q0, q1, q2, q3 = weights[q, u], weights[q, u + 1], weights[q, u + 2], weights[q, u + 3]
        r0, r1, r2, r3 = weights[r, u], weights[r, u + 1], weights[r, u + 2], weights[r, u + 3]
        for v in range(BLOCK):
            i, j, k, l = (  # noqa: E741
                blocks[b, d, u, v], blocks[b, d, u + 1, v], blocks[b, d, u + 2, v], blocks[b, d, u + 3, v],
            )  # fmt: skip
            product[p, v] = product[p, v] + p0 * i + p1 * j + p2 * k + p3 * l
            product[q, v] = product[q, v] + q0 * i + q1 * j + q2 * k + q3 * l
            product[r, v] = product[r, v] + r0 * i + r1 * j + r2 * k + r3 * l
    for u in range(whole, n_units):
        for v in range(BLOCK):
            i = blocks[b, d, u, v]
            product[p, v] += weights[p, u] * i
            product[q, v] += weights[q, u] * i
            product[r, v] += weights[r, u] * i


@_inner
def _sum_squares(
    product: Singles,
    kind: Signs,
    signed: bool,  # noqa: FBT001
    constant: np.float32,
    explained: Singles,
    error: Singles,
) -> None:
    """Sum up what the products explain and what is left, (BLOCK,)."""
    for v in range(BLOCK):
        explained[v] = 0
        error[v] = 0
    for p in range(kind.size):
        if kind[p] == TESTED and signed:
            for v in range(BLOCK):
                explained[v] += product[p, v] * abs(product[p, v])
        elif kind[p] == TESTED:
            for v in range(BLOCK):
                explained[v] += product[p, v] * product[p, v]
        else:
            for v in range(BLOCK):
                error[v] += product[p, v] * product[p, v]
    if constant > 0:  # what was summed up is nuisance, else it is the error itself
        for v in range(BLOCK):
            error[v] = constant - (abs(explained[v]) + error[v])


@_inner
def compare(
    explained: Singles,
    error: Singles,
    ratio: Singles,
    bound: Singles,
    reached: Integers,
    b: int,
    bar: np.float32,
    two_sided: bool,  # noqa: FBT001
) -> tuple[np.int32, np.int32]:
    """Divide, and count at each voxel of a block a ratio that reaches its bound.

    Returns how many voxels lie above the bar, and how many have a small error.
    """
    n_above, n_small = np.int32(0), np.int32(0)
    if two_sided:
        for v in range(BLOCK):
            ratio[v] = explained[v] / error[v]
            reached[b, v] += np.int32(abs(ratio[v]) >= bound[b, v])
            n_above += np.int32(abs(ratio[v]) > bar)
            n_small += np.int32(error[v] < np.float32(SMALL_ERROR))
    else:
        for v in range(BLOCK):
            ratio[v] = explained[v] / error[v]
            reached[b, v] += np.int32(ratio[v] >= bound[b, v])
            n_above += np.int32(ratio[v] > bar)
            n_small += np.int32(error[v] < np.float32(SMALL_ERROR))
    return n_above, n_small


@_inner
def _flip_and_compare(
    tables: Singles,
    patterns: Integers,
    h: int,
    product: Singles,
    error: Singles,
    ratio: Singles,
    bound: Singles,
    reached: Integers,
    b: int,
    bar: np.float32,
    two_sided: bool,  # noqa: FBT001
) -> tuple[np.int32, np.int32]:
    """Do all of the above in one go for the commonest case: signs change, and one product makes up a t."""
    for g in range(4, patterns.shape[1], 4):
        _add_four(tables, 0, patterns, h, g, product)
    i, j, k, l = patterns[h, 0], patterns[h, 1], patterns[h, 2], patterns[h, 3]  # noqa: E741
    n_above, n_small = np.int32(0), np.int32(0)
    for v in range(BLOCK):
        s = product[0, v] + ((tables[0, i, v] + tables[0, j, v]) + (tables[0, k, v] + tables[0, l, v]))
        product[0, v] = 0
        error[v] = np.float32(1) - s * s
        ratio[v] = s * abs(s) / error[v]
        size = abs(ratio[v]) if two_sided else ratio[v]
        reached[b, v] += np.int32(size >= bound[b, v])
        n_above += np.int32(size > bar)
        n_small += np.int32(error[v] < np.float32(SMALL_ERROR))
    return n_above, n_small


@_inner
def _compare_t(
    product: Singles,
    error: Singles,
    ratio: Singles,
    bound: Singles,
    reached: Integers,
    b: int,
    bar: np.float32,
    two_sided: bool,  # noqa: FBT001
) -> tuple[np.int32, np.int32]:
    """Sum up and compare in one go for a t of fixed total: the first product is tested, the others are nuisance."""
    for v in range(BLOCK):
        error[v] = 1
    for p in range(1, product.shape[0]):
        for v in range(BLOCK):
            error[v] -= product[p, v] * product[p, v]
    n_above, n_small = np.int32(0), np.int32(0)
    for v in range(BLOCK):
        s = product[0, v]
        error[v] -= s * s
        ratio[v] = s * abs(s) / error[v]
        size = abs(ratio[v]) if two_sided else ratio[v]
        reached[b, v] += np.int32(size >= bound[b, v])
        n_above += np.int32(size > bar)
        n_small += np.int32(error[v] < np.float32(SMALL_ERROR))
    return n_above, n_small


@_inner
def _precise_ratio(block: Singles, v: int, products: Products, place: Integers, sign: Signs) -> float:
    """Ratio of one shuffle at one voxel of a block, in double precision from the same scores."""
    error = 0.0
    if products.constant > 0:
        for d in range(block.shape[0]):
            for u in range(block.shape[1]):
                error += np.float64(block[d, u, v]) ** 2
    explained = 0.0
    for p in range(products.kind.size):
        product = 0.0
        for u in range(place.size):
            weight = products.basis[p, place[u]] * sign[u]
            product += weight * np.float64(block[products.dimension[p], u, v])
        error += product * product * (1.0 if products.kind[p] == TOTAL else -products.constant)
        if products.kind[p] == TESTED:
            explained += product * abs(product) if products.signed else product * product
    return explained / max(error, LEAST_ERROR)


@_inner
def _mend(
    blocks: Singles,
    b: int,
    products: Products,
    place: Integers,
    sign: Signs,
    error: Singles,
    ratio: Singles,
    bound: Singles,
    reached: Integers,
    two_sided: bool,  # noqa: FBT001
) -> None:
    """Compute a shuffle's ratios precisely where its error is small, and count them again."""
    for v in range(BLOCK):
        if error[v] < np.float32(SMALL_ERROR):
            reached[b, v] -= np.int32((abs(ratio[v]) if two_sided else ratio[v]) >= bound[b, v])
            ratio[v] = _precise_ratio(blocks[b], v, products, place, sign)
            reached[b, v] += np.int32((abs(ratio[v]) if two_sided else ratio[v]) >= bound[b, v])


@_inner
def flip(tables: Singles, patterns: Integers, h: int, product: Singles) -> None:
    """Form the products of one shuffle at a block of voxels, (n_products, BLOCK), where only signs change."""
    i, j, k, l = patterns[h, 0], patterns[h, 1], patterns[h, 2], patterns[h, 3]  # noqa: E741
    for p in range(product.shape[0]):
        for v in range(BLOCK):
            product[p, v] = (tables[p, i, v] + tables[p, j, v]) + (tables[p, k, v] + tables[p, l, v])
        for g in range(4, patterns.shape[1], 4):
            _add_four(tables, p, patterns, h, g, product)


@_inner
def move(
    blocks: Singles,
    b: int,
    dimension: Integers,
    basis: Floats,
    place: Integers,
    sign: Signs,
    h: int,
    weights: Singles,
    product: Singles,
) -> None:
    """Do the same where units move; `weights`, (n_products, n_units), is scratch."""
    n_products = dimension.size
    for p in range(n_products):
        for u in range(weights.shape[1]):
            weights[p, u] = basis[p, place[h, u]] * sign[h, u]
        for v in range(BLOCK):
            product[p, v] = 0
    p = 0
    while p < n_products:
        d = dimension[p]
        if p + 2 < n_products and dimension[p + 1] == d and dimension[p + 2] == d:
            _add_three_weighted(blocks, b, d, weights, p, product)
            p += 3
        else:
            _add_weighted(blocks, b, d, weights, p, product)
            p += 1


@_inner
def _doubled(full: Any) -> Any:  # noqa: ANN401 - of any kind of number
    """Return an array of twice the length that begins like the one given."""
    longer = np.empty(2 * full.size, full.dtype)
    for i in range(full.size):
        longer[i] = full[i]
    return longer


@_inner
def list_above(
    ratio: Singles,
    bar: np.float32,
    two_sided: bool,  # noqa: FBT001
    h: int,
    b: int,
    n_voxels: int,
    shuffle: Integers,
    voxel: Integers,
    listed: Singles,
    n_listed: int,
) -> tuple[np.float32, int, Integers, Integers, Singles]:
    """List the voxels of a block above the bar.

    Returns the highest ratio of the block, the length of the list, and its columns, longer ones where they were full.
    """
    if n_listed + BLOCK > listed.size:
        shuffle, voxel, listed = _doubled(shuffle), _doubled(voxel), _doubled(listed)
    highest = np.float32(-np.inf)
    for v in range(min(BLOCK, n_voxels - b * BLOCK)):
        value = abs(ratio[v]) if two_sided else ratio[v]
        highest = max(highest, value)
        if value > bar:
            shuffle[n_listed], voxel[n_listed], listed[n_listed] = h, b * BLOCK + v, ratio[v]
            n_listed += 1
    return highest, n_listed, shuffle, voxel, listed


@_compiled
def scan(
    blocks: Singles,
    n_voxels: int,
    products: Products,
    moves: Moves,
    patterns: Integers | None,
    places: Integers | None,
    bound: Singles,
    bar: float,
    two_sided: bool,  # noqa: FBT001
    maps: Singles,
) -> Scanned:
    """Pass once over the voxels with a batch of shuffles.

    Parameters
    ----------
    blocks : (n_blocks, n_dimensions, n_units, BLOCK) float32
        Scores; the last block is filled up with copies of the last voxel.
    n_voxels : voxels without the copies
    products, moves : what is computed, for which shuffles
    patterns, places : those of `moves`; None for places where only signs change, for patterns where units move, so
        that the kernel is compiled for what it does and nothing else
    bound : (n_blocks, BLOCK) float32
        Ratio that counts as reaching the observed one.
    bar : ratio above which voxels are listed; infinite for none
    two_sided : whether the absolute ratio is compared and maximised
    maps : (n_shuffles, n_blocks * BLOCK) float32
        Receives every ratio; with no rows, none is kept.
    """
    n_blocks, n_shuffles, n_units = blocks.shape[0], moves.sign.shape[0], moves.sign.shape[1]
    # taken out of their tuples once: in the inner loop that would cost more than the arithmetic
    dimension, basis, kind, signed = products.dimension, products.basis, products.kind, products.signed
    sign, constant = moves.sign, np.float32(products.constant)
    # a total that no shuffle changes leaves the tested product, which comes first, and nuisance
    is_t = signed and constant > 0
    at_once = is_t and kind.size == 1 and places is None
    largest = np.full(n_shuffles, -np.inf, np.float32)
    reached = np.zeros((n_blocks, BLOCK), np.int32)
    rows = np.empty((n_units, BLOCK), np.float32)
    tables = np.empty((kind.size, moves.patterns.shape[1] << moves.width, BLOCK), np.float32)
    weights, product = np.empty((kind.size, n_units), np.float32), np.zeros((kind.size, BLOCK), np.float32)
    explained = np.empty(BLOCK, np.float32)
    error, ratio = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    shuffle, voxel, listed = np.empty(1024, np.int32), np.empty(1024, np.int32), np.empty(1024, np.float32)
    n_listed = 0
    for b in range(n_blocks):
        if patterns is not None:
            tabulate_products(blocks, b, dimension, basis, moves, rows, tables)
        for h in range(n_shuffles):
            lowest = min(largest[h], np.float32(bar))
            n_above, n_small = np.int32(0), np.int32(0)
            if places is not None:
                move(blocks, b, dimension, basis, places, sign, h, weights, product)
            if patterns is not None:
                if at_once:
                    n_above, n_small = _flip_and_compare(
                        tables, patterns, h, product, error, ratio, bound, reached, b, lowest, two_sided
                    )
                else:
                    flip(tables, patterns, h, product)
            if is_t and not at_once:
                n_above, n_small = _compare_t(product, error, ratio, bound, reached, b, lowest, two_sided)
            if not is_t:
                _sum_squares(product, kind, signed, constant, explained, error)
                n_above, n_small = compare(explained, error, ratio, bound, reached, b, lowest, two_sided)
            if n_small > 0:
                _mend(blocks, b, products, moves.place[h], moves.sign[h], error, ratio, bound, reached, two_sided)
            if maps.shape[0] > 0:
                for v in range(BLOCK):
                    maps[h, b * BLOCK + v] = ratio[v]
            if n_above + n_small == 0:
                continue
            highest, n_listed, shuffle, voxel, listed = list_above(
                ratio, np.float32(bar), two_sided, h, b, n_voxels, shuffle, voxel, listed, n_listed
            )
            largest[h] = max(largest[h], highest)
    return Scanned(largest, reached, shuffle[:n_listed], voxel[:n_listed], listed[:n_listed])
