"""The compiled kernel against plain numpy: ratios, lists, counts; the same bits however shuffles are batched."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bids_app.permutation.freedman_lane import moves, part_of, what_moves
from bids_app.permutation.kernels_univariate import NUISANCE, TESTED, TOTAL, Products, Scanned, scan
from bids_app.permutation.shuffled_sums import BLOCK, Moves
from bids_app.permutation.shuffles import Shuffles

N_BLOCKS, V, H = 3, 2 * BLOCK + 17, 37


def make_blocks(n_dimensions: int, n_units: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Scores scaled to a sum of squares of 1, the last block filled up with the last voxel."""
    scores = rng.standard_normal((N_BLOCKS * BLOCK, n_dimensions, n_units))
    scores[V:] = scores[V - 1]
    scores /= np.sqrt(np.square(scores).sum((1, 2), keepdims=True))
    return np.ascontiguousarray(np.moveaxis(scores.reshape(N_BLOCKS, BLOCK, n_dimensions, n_units), 1, 3), np.float32)


def make_moves(n_units: int, rng: np.random.Generator, *, permuted: bool) -> Moves:
    order = np.array([rng.permutation(n_units) for _ in range(H)]) if permuted else np.tile(np.arange(n_units), (H, 1))
    sign = 1 - 2 * rng.integers(0, 2, (H, n_units))
    order[0], sign[0] = np.arange(n_units), 1
    scheme = "permute" if permuted else "sign-flip"
    shuffles = Shuffles(scheme, order.astype(np.int32), sign.astype(np.int8), exhaustive=False, n_possible=10**9)
    return moves(shuffles)


def by_numpy(blocks: NDArray[np.float32], products: Products, batch: Moves) -> NDArray[np.float64]:
    """explained / error, (H, V), in double precision."""
    scores = np.moveaxis(blocks.astype(float), 3, 1).reshape(-1, *blocks.shape[1:3])[:V]
    explained = np.zeros((H, V))
    error = products.constant * np.square(scores).sum((1, 2)) * np.ones((H, 1))
    for dimension, basis, kind in zip(products.dimension, products.basis, products.kind, strict=True):
        weights = basis[batch.place] * batch.sign
        product = weights @ scores[:, dimension].T
        square = product**2
        if kind == TESTED:
            explained += np.sign(product) * square if products.signed else square
        error += square if kind == TOTAL else -products.constant * square
    return explained / error


def make_products(n_units: int, constant: float, rng: np.random.Generator, *, signed: bool) -> Products:
    """One or two tested products, and nuisance of two dimensions, or products that make up the error."""
    basis = np.linalg.qr(rng.standard_normal((n_units, 4)))[0].T
    n_tested = 1 if signed else 2
    kind = [TESTED] * n_tested + [NUISANCE if constant else TOTAL] * (4 - n_tested)
    dimension = [0, 0, 1, 1] if constant else [0] * 4
    return Products(np.array(dimension, np.int32), basis, np.array(kind, np.int8), constant, signed)


def run(
    blocks: NDArray[np.float32],
    products: Products,
    batch: Moves,
    bound: float = 0.1,
    list_threshold: float = 0.3,
    *,
    two_sided: bool = False,
) -> tuple[Scanned, NDArray[np.float32]]:
    maps = np.empty((len(batch.sign), N_BLOCKS * BLOCK), np.float32)
    bounds = np.full((N_BLOCKS, BLOCK), bound, np.float32)
    return scan(blocks, V, products, batch, *what_moves(batch), bounds, list_threshold, two_sided, maps), maps[:, :V]


@pytest.mark.parametrize("permuted", [False, True])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("constant", [1.0, 0.0])
@pytest.mark.parametrize("n_units", [5, 8, 13, 17, 30])
def test_ratios_counts_and_lists_equal_numpy(
    n_units: int, constant: float, rng: np.random.Generator, *, signed: bool, permuted: bool
) -> None:
    """Every output of a pass, for numbers of units that fill the sign tables and that do not.

    2e-5: products in single precision against an error of a tenth at the least.
    """
    blocks = make_blocks(2 if constant else 1, n_units, rng)
    products, batch = make_products(n_units, constant, rng, signed=signed), make_moves(n_units, rng, permuted=permuted)
    expected = by_numpy(blocks, products, batch)
    for two_sided in (False, True):
        scanned, maps = run(blocks, products, batch, two_sided=two_sided)
        assert maps == pytest.approx(expected, rel=2e-5, abs=2e-6)
        towards = np.abs(maps) if two_sided else maps
        assert np.array_equal(scanned.largest, towards.max(axis=1))
        assert np.array_equal(scanned.reached.ravel()[:V], (towards >= np.float32(0.1)).sum(axis=0))
        above = np.argwhere(towards > np.float32(0.3))
        order = np.lexsort((scanned.voxel, scanned.shuffle))
        assert np.array_equal(np.column_stack([scanned.shuffle, scanned.voxel])[order], above)
        assert np.array_equal(scanned.ratio[order], maps[tuple(above.T)])


@pytest.mark.parametrize("permuted", [False, True])
def test_a_shuffle_gives_the_same_bits_in_any_batch(rng: np.random.Generator, *, permuted: bool) -> None:
    """Alone, in the middle of others, and last of all."""
    blocks, products = make_blocks(2, 14, rng), make_products(14, 1.0, rng, signed=True)
    batch = make_moves(14, rng, permuted=permuted)
    _, whole = run(blocks, products, batch)
    for start, stop in [(0, 1), (3, 4), (5, 21), (36, 37)]:
        _, part = run(blocks, products, part_of(batch, start, stop))
        assert np.array_equal(part, whole[start:stop])


def test_small_errors_are_computed_in_double_precision(rng: np.random.Generator) -> None:
    """Scores equal but for a thousandth: ratios of 1e6 are right to five digits; without any error large and finite."""
    n_units = 8
    scores = np.ones((N_BLOCKS * BLOCK, n_units)) + 1e-3 * rng.standard_normal((N_BLOCKS * BLOCK, n_units))
    scores[0] = 1
    scores[V:] = scores[V - 1]
    scores /= np.linalg.norm(scores, axis=1, keepdims=True)
    blocks = np.ascontiguousarray(scores.reshape(N_BLOCKS, 1, BLOCK, n_units).swapaxes(2, 3), np.float32)
    basis = np.full((1, n_units), n_units**-0.5)
    products = Products(np.zeros(1, np.int32), basis, np.zeros(1, np.int8), constant=1.0, signed=True)
    batch = make_moves(n_units, rng, permuted=False)
    _, maps = run(blocks, products, batch)
    expected = by_numpy(blocks, products, batch)
    assert expected[0, 1:].min() > 1e5
    assert maps[0, 1:] == pytest.approx(expected[0, 1:], rel=1e-5)
    assert 1e10 < maps[0, 0] < np.inf
