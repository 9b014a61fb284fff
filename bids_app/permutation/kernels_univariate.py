"""The statistic of every shuffle, voxel block by voxel block: compiled kernels that never leave the cache.

A shuffle forms sums over units of the residual scores, the products (see `shuffled_sums`). Of these come the explained
and the error sum of squares, and of them

    ratio = explained / error    (t: with the sign of the effect),

which rises with t and F. Single precision does, but where the error is a small part of the total: there the ratio is
computed again in double precision.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bids_app.arrays import Floats, Integers, Signs, Singles
from bids_app.permutation.shuffled_sums import (
    BLOCK,
    Moves,
    add_four,
    compiled,
    compiled_inner,
    flip,
    move,
    tabulate_products,
)

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


class Scanned(NamedTuple):
    """What one pass over the voxels gives."""

    largest: Singles  # (n_shuffles,) largest ratio, absolute where two-sided
    reached: Integers  # (n_blocks, BLOCK) shuffles that reach the bound
    shuffle: Integers  # (n_listed,) of each voxel above the list threshold: its shuffle, index and ratio
    voxel: Integers
    ratio: Singles


@compiled_inner
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


@compiled_inner
def compare(
    explained: Singles,
    error: Singles,
    ratio: Singles,
    bound: Singles,
    reached: Integers,
    b: int,
    list_threshold: np.float32,
    two_sided: bool,  # noqa: FBT001
) -> tuple[np.int32, np.int32]:
    """Divide, and count at each voxel of a block a ratio that reaches its bound.

    Returns how many voxels lie above the list threshold, and how many have a small error.
    """
    n_above, n_small = np.int32(0), np.int32(0)
    if two_sided:
        for v in range(BLOCK):
            ratio[v] = explained[v] / error[v]
            reached[b, v] += np.int32(abs(ratio[v]) >= bound[b, v])
            n_above += np.int32(abs(ratio[v]) > list_threshold)
            n_small += np.int32(error[v] < np.float32(SMALL_ERROR))
    else:
        for v in range(BLOCK):
            ratio[v] = explained[v] / error[v]
            reached[b, v] += np.int32(ratio[v] >= bound[b, v])
            n_above += np.int32(ratio[v] > list_threshold)
            n_small += np.int32(error[v] < np.float32(SMALL_ERROR))
    return n_above, n_small


@compiled_inner
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
    list_threshold: np.float32,
    two_sided: bool,  # noqa: FBT001
) -> tuple[np.int32, np.int32]:
    """Form the product, divide and count in one loop for the commonest case: signs change, one product makes up a t.

    Returns how many voxels lie above the list threshold, and how many have a small error.
    """
    for g in range(4, patterns.shape[1], 4):
        add_four(tables, 0, patterns, h, g, product)
    i, j, k, l = patterns[h, 0], patterns[h, 1], patterns[h, 2], patterns[h, 3]  # noqa: E741
    n_above, n_small = np.int32(0), np.int32(0)
    for v in range(BLOCK):
        s = product[0, v] + ((tables[0, i, v] + tables[0, j, v]) + (tables[0, k, v] + tables[0, l, v]))
        product[0, v] = 0
        error[v] = np.float32(1) - s * s
        ratio[v] = s * abs(s) / error[v]
        size = abs(ratio[v]) if two_sided else ratio[v]
        reached[b, v] += np.int32(size >= bound[b, v])
        n_above += np.int32(size > list_threshold)
        n_small += np.int32(error[v] < np.float32(SMALL_ERROR))
    return n_above, n_small


@compiled_inner
def _compare_t(
    product: Singles,
    error: Singles,
    ratio: Singles,
    bound: Singles,
    reached: Integers,
    b: int,
    list_threshold: np.float32,
    two_sided: bool,  # noqa: FBT001
) -> tuple[np.int32, np.int32]:
    """Sum up, divide and count in one loop for a t of fixed total: the first product is tested, others are nuisance.

    Returns how many voxels lie above the list threshold, and how many have a small error.
    """
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
        n_above += np.int32(size > list_threshold)
        n_small += np.int32(error[v] < np.float32(SMALL_ERROR))
    return n_above, n_small


@compiled_inner
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


@compiled_inner
def _recompute_small_errors(
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
    """Compute a shuffle's ratios in double precision where its error is small, and count them again."""
    for v in range(BLOCK):
        if error[v] < np.float32(SMALL_ERROR):
            reached[b, v] -= np.int32((abs(ratio[v]) if two_sided else ratio[v]) >= bound[b, v])
            ratio[v] = _precise_ratio(blocks[b], v, products, place, sign)
            reached[b, v] += np.int32((abs(ratio[v]) if two_sided else ratio[v]) >= bound[b, v])


@compiled_inner
def _doubled(full: Any) -> Any:  # noqa: ANN401 - of any kind of number
    """Return an array of twice the length that begins like the one given."""
    longer = np.empty(2 * full.size, full.dtype)
    for i in range(full.size):
        longer[i] = full[i]
    return longer


@compiled_inner
def list_above(
    ratio: Singles,
    list_threshold: np.float32,
    two_sided: bool,  # noqa: FBT001
    h: int,
    b: int,
    n_voxels: int,
    shuffle: Integers,
    voxel: Integers,
    listed: Singles,
    n_listed: int,
) -> tuple[np.float32, int, Integers, Integers, Singles]:
    """List the voxels of a block above the list threshold.

    Returns the highest ratio of the block, the length of the list, and its columns, longer ones where they were full.
    """
    if n_listed + BLOCK > listed.size:
        shuffle, voxel, listed = _doubled(shuffle), _doubled(voxel), _doubled(listed)
    highest = np.float32(-np.inf)
    for v in range(min(BLOCK, n_voxels - b * BLOCK)):
        value = abs(ratio[v]) if two_sided else ratio[v]
        highest = max(highest, value)
        if value > list_threshold:
            shuffle[n_listed], voxel[n_listed], listed[n_listed] = h, b * BLOCK + v, ratio[v]
            n_listed += 1
    return highest, n_listed, shuffle, voxel, listed


@compiled
def scan(
    blocks: Singles,
    n_voxels: int,
    products: Products,
    moves: Moves,
    patterns: Integers | None,
    places: Integers | None,
    bound: Singles,
    list_threshold: float,
    two_sided: bool,  # noqa: FBT001
    maps: Singles,
) -> Scanned:
    """Pass once over the voxels with a batch of shuffles; returns what that gives.

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
    list_threshold : ratio above which voxels are listed; infinite for none
    two_sided : whether the absolute ratio is compared and maximised
    maps : (n_shuffles, n_blocks * BLOCK) float32
        Receives every ratio; with no rows, none is kept.
    """
    n_blocks, n_shuffles, n_units = blocks.shape[0], moves.sign.shape[0], moves.sign.shape[1]
    # taken out of their tuples once: in the compiled_inner loop that would cost more than the arithmetic
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
            lowest = min(largest[h], np.float32(list_threshold))
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
                _recompute_small_errors(
                    blocks, b, products, moves.place[h], moves.sign[h], error, ratio, bound, reached, two_sided
                )
            # `scan_matrices` ends with the same lines: a function of both, which hands over the columns of the list for
            # each shuffle and block, takes a tenth longer (2 mm, 64 shuffles of 20 units), with maps a quarter
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
