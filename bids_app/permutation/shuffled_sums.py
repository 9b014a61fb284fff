"""The sums over units that a shuffle forms at each voxel, voxel block by voxel block.

A shuffle costs, for each product p, the sum over units of w_pu e_u, with e the residual scores of one dimension and w a
shuffled row of the design's basis. Where all that moves are signs, units are taken a few at a time: the sums of all
their sign patterns are tabulated once for a block of voxels, and each shuffle only adds up entries. Where units move,
their scores are weighted and added. Every number is computed voxel by voxel in one fixed order, so that it does not
depend on how shuffles are shared out.

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


class Moves(NamedTuple):
    """A batch of shuffles as the kernels take it.

    Where only signs change, `patterns`, `unit` and `width` describe them too; otherwise these are empty.
    """

    place: Integers  # (n_shuffles, n_units) where each unit's scores go
    sign: Signs  # (n_shuffles, n_units)
    unit: Integers  # (n_units,) which units flip together
    patterns: Integers  # (n_shuffles, n_groups) entry of each group's sign table
    width: int  # units of a group


compiled = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
# Without the wrappers by which Python calls a function, it compiles faster
compiled_inner: Callable[[Kernel], Kernel] = cast("Any", numba.njit)(
    nogil=True, cache=True, error_model="numpy", fastmath={"contract"}, no_cpython_wrapper=True, no_cfunc_wrapper=True
)


@compiled_inner
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


@compiled_inner
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


# The compiled_inner loops below take whole arrays and indices: a view of a row costs more than the row's arithmetic.


@compiled_inner
def add_four(tables: Singles, p: int, patterns: Integers, h: int, g: int, product: Singles) -> None:
    """Add four entries of the sign tables to row p of the products, (n_products, BLOCK)."""
    i, j, k, l = patterns[h, g], patterns[h, g + 1], patterns[h, g + 2], patterns[h, g + 3]  # noqa: E741
    for v in range(BLOCK):
        product[p, v] += (tables[p, i, v] + tables[p, j, v]) + (tables[p, k, v] + tables[p, l, v])


@compiled_inner
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


@compiled_inner
def _add_three_weighted(blocks: Singles, b: int, d: int, weights: Singles, p: int, product: Singles) -> None:
    """Add all units' scores, weighted by rows p to p + 2, to these rows of the products; each score is loaded once."""
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


@compiled_inner
def flip(tables: Singles, patterns: Integers, h: int, product: Singles) -> None:
    """Form the products of one shuffle at a block of voxels, (n_products, BLOCK), where only signs change."""
    i, j, k, l = patterns[h, 0], patterns[h, 1], patterns[h, 2], patterns[h, 3]  # noqa: E741
    for p in range(product.shape[0]):
        for v in range(BLOCK):
            product[p, v] = (tables[p, i, v] + tables[p, j, v]) + (tables[p, k, v] + tables[p, l, v])
        for g in range(4, patterns.shape[1], 4):
            add_four(tables, p, patterns, h, g, product)


@compiled_inner
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
    """Form the products of one shuffle at a block of voxels, (n_products, BLOCK), where units move.

    `weights`, (n_products, n_units), is scratch.
    """
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
