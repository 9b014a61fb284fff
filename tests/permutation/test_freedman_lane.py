"""Every scheme x test x error term by brute force: residuals shuffled, the full model refitted from its matrices.

The refit below knows nothing of scores, bases or sums of squares that do not change: it builds the design over all
maps with Kronecker products, fits nuisance by `lstsq`, shuffles residual maps, and takes SSH and SSE from two fits.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.permutation.enhancements import choose_enhancements
from bids_app.permutation.freedman_lane import PLANNERS
from bids_app.permutation.null_distribution import Work, null_distribution
from bids_app.permutation.schemes import make_shuffles
from bids_app.permutation.shuffles import Scheme, Shuffles
from bids_app.spaces.volume import VolumeDomain
from bids_app.statistics.kinds import KINDS, contrast_test

Floats = NDArray[np.float64]

S, K, V = 8, 3, 70
GROUP = np.repeat([1.0, 0.0], [3, 5])
AGE = np.array([-2.0, 0.5, 1.0, -1.5, 0.0, 2.5, -0.5, 0.3])
BETWEEN = {
    "mean": np.ones((S, 1)),
    "age": np.column_stack([np.ones(S), AGE]),
    "groups": np.column_stack([GROUP, 1 - GROUP]),
    "groups and age": np.column_stack([GROUP, 1 - GROUP, AGE]),
}
WITHIN = {
    "mean": np.full((1, K), 1 / K),
    "difference": np.array([[1.0, -1, 0]]),
    "effect": np.array([[1.0, -1, 0], [0, 1, -1]]),
}
# between, L, within, error, schemes
CASES: list[tuple[str, list[list[float]], str, str, tuple[Scheme, ...]]] = [
    ("mean", [[1]], "mean", "partitioned", ("sign-flip",)),
    ("mean", [[1]], "difference", "partitioned", ("sign-flip", "within", "free")),
    ("mean", [[1]], "difference", "pooled", ("sign-flip", "within", "free")),
    ("mean", [[1]], "effect", "partitioned", ("sign-flip", "within", "free")),
    ("mean", [[1]], "effect", "pooled", ("sign-flip", "within", "free")),
    ("age", [[0, 1]], "mean", "partitioned", ("permute", "sign-flip", "free")),
    ("age", [[1, 0]], "difference", "partitioned", ("sign-flip", "within")),
    ("age", [[1, 0]], "difference", "pooled", ("sign-flip", "within", "free")),
    ("groups", [[1, -1]], "mean", "partitioned", ("permute", "sign-flip", "free")),
    ("groups", [[0.5, 0.5]], "effect", "partitioned", ("sign-flip", "within", "free")),
    ("groups", [[1, -1]], "effect", "pooled", ("permute", "sign-flip", "within", "free")),
    ("groups", [[1, -1]], "difference", "partitioned", ("permute", "sign-flip", "within")),
    ("groups", [[1, 0], [0, 1]], "effect", "partitioned", ("sign-flip", "within", "free")),
    ("groups and age", [[1, -1, 0]], "effect", "partitioned", ("permute", "sign-flip")),
    ("groups and age", [[1, -1, 0], [0, 0, 1]], "difference", "pooled", ("permute", "sign-flip", "within")),
    ("groups and age", [[0.5, 0.5, 0]], "mean", "partitioned", ("sign-flip",)),
]
EVERY = [
    pytest.param(between, rows, within, error, scheme, test, id=f"{between} {rows} {within} {error} {scheme} {test}")
    for between, rows, within, error, schemes in CASES
    for scheme in schemes
    for test in (("t", "F") if len(rows) == 1 and within != "effect" else ("F",))
]


def make(
    between: str, rows: list[list[float]], within: str, error: str, test: str, blocks: tuple[str, ...] = ()
) -> tuple[Design, Contrast]:
    """A design of eight subjects and three cells with one contrast."""
    weights = WITHIN[within]
    contrast = Contrast(
        name="c",
        label="c",
        test=test,
        sided="two" if test == "t" else "positive",
        weights=weights,
        cell_weights=weights,
        within=weights / np.linalg.norm(weights) if len(weights) == 1 else np.linalg.qr(weights.T)[0].T,
        between=np.array(rows, float),
        error_term=error,
        sphericity="none",
    )
    cells, subjects = tuple("abc"), tuple("12345678")
    b = BETWEEN[between]
    names = tuple(map(str, range(b.shape[1])))
    return Design(np.tile(np.eye(K), (S, 1)), cells, subjects, cells, b, names, (contrast,), blocks=blocks), contrast


def spanned(columns: Floats) -> Floats:
    """Projection onto a column space."""
    return np.asarray(columns @ np.linalg.pinv(columns))


def signed_permutation(order: NDArray[np.int16], sign: NDArray[np.int8]) -> Floats:
    """P with (P y)[order[u]] = sign[u] y[u]."""
    matrix = np.zeros((order.size, order.size))
    matrix[order, np.arange(order.size)] = sign
    return matrix


def by_refit(values: Floats, design: Design, contrast: Contrast, scheme: Scheme, p: Floats) -> Floats:
    """F (or t) of one shuffle by least squares on all maps, (V,)."""
    b, m = design.between, contrast.within
    hypothesis_rows = contrast.between
    null = b @ np.linalg.svd(hypothesis_rows)[2][np.linalg.matrix_rank(hypothesis_rows) :].T
    ones = np.full((1, K), K**-0.5)
    zero_sum = contrast.sums_to_zero
    # the space of the error: over cells, the contrast's own dimensions, or all that sum to zero
    rest = np.linalg.svd(np.vstack([ones, m]))[2][len(m) + 1 :] if zero_sum else np.zeros((0, K))
    own = m if contrast.error_term == "partitioned" else np.vstack([m, rest])
    full, reduced = np.kron(b, own.T), np.hstack([np.kron(null, m.T), np.kron(b, own[len(m) :].T)])
    if scheme in ("sign-flip", "permute"):
        # Freedman-Lane in the space of the error: whole subjects move
        space = spanned(np.kron(np.eye(S), own.T))
        data = space @ values
        residuals = data - spanned(reduced) @ data
        shuffled = np.kron(p, np.eye(K)) @ residuals
    else:
        everything = np.kron(b, np.eye(K))
        nuisance = everything - np.kron(spanned(b) - spanned(null), m.T @ m) @ everything
        if zero_sum:
            nuisance = np.hstack([nuisance, np.kron(np.eye(S), ones.T)])
        shuffled = p @ (values - spanned(nuisance) @ values)
    data = spanned(np.kron(np.eye(S), own.T)) @ shuffled
    sse = np.square(data - spanned(full) @ data).sum(0)
    ssh = np.square(data - spanned(reduced) @ data).sum(0) - sse
    v = S - np.linalg.matrix_rank(b)
    f = (ssh / contrast.rank) / (sse / (len(own) * v))
    if contrast.test == "F":
        return np.asarray(f)
    scores = np.einsum("k,skv->sv", m[0], data.reshape(S, K, -1))
    effect = hypothesis_rows[0] @ np.linalg.pinv(b) @ scores
    return np.asarray(np.sign(effect) * np.sqrt(np.maximum(f, 0)))


@pytest.fixture
def values(rng: np.random.Generator) -> NDArray[np.float32]:
    """Maps with effects of everything, so that nuisance left in by mistake would show."""
    noise = rng.standard_normal((S, K, V))
    noise += 0.8 * rng.standard_normal((S, 1, V)) + np.array([0.5, 0, -0.5])[:, None] + 0.4 * AGE[:, None, None]
    noise += GROUP[:, None, None] * rng.standard_normal((1, K, V))
    return noise.reshape(S * K, V).astype(np.float32)


@pytest.mark.parametrize(("between", "rows", "within", "error", "scheme", "test"), EVERY)
def test_every_scheme_equals_refitting_the_full_model(
    between: str, rows: list[list[float]], within: str, error: str, scheme: Scheme, test: str,
    values: NDArray[np.float32],
) -> None:  # fmt: skip
    """Maxima and exceedances of 40 shuffles; 3e-5: products of single-precision scores, more where little error is."""
    design, contrast = make(between, rows, within, error, test)
    shuffles = make_shuffles(contrast_test(design, contrast), 40, seed=1, shuffle=scheme)
    expected = np.array(
        [
            by_refit(values.astype(float), design, contrast, scheme, signed_permutation(order, sign))
            for order, sign in zip(shuffles.order, shuffles.sign, strict=True)
        ]
    )
    towards = np.abs(expected) if test == "t" else expected
    lattice = VolumeDomain.from_mask(np.ones((V, 1, 1), np.bool_), np.eye(4), 6)
    enhancements = choose_enhancements(("voxel",), lattice, contrast_test(design, contrast), (0.05, None))
    null = null_distribution(values, contrast_test(design, contrast), shuffles, enhancements, Work())
    assert null.observed["voxel"] == pytest.approx(towards[0], rel=3e-5, abs=1e-5)
    assert null.maxima["voxel"] == pytest.approx(towards.max(axis=1), rel=3e-5)
    # all values but those within rounding of a tie are on the right side
    gap = np.abs(towards - towards[0]) > 1e-4 * np.maximum(towards[0], 1)
    least, most = ((towards > towards[0]) & gap).sum(0), ((towards > towards[0]) | ~gap).sum(0)
    assert np.all((least <= null.n_exceeding) & (null.n_exceeding <= most))
    assert np.ptp(null.maxima["voxel"]) > 0


def test_one_sided_t_has_the_sign_of_the_effect(values: NDArray[np.float32]) -> None:
    """Positive side: t itself; negative side: -t; the observed values of the two sides are opposite."""
    sides = {}
    for sided in ("positive", "negative"):
        design, contrast = make("groups and age", [[0, 0, 1]], "mean", "partitioned", "t")
        contrast = Contrast(**{name: getattr(contrast, name) for name in contrast.__slots__} | {"sided": sided})
        shuffles = make_shuffles(contrast_test(design, contrast), 30, seed=2)
        lattice = VolumeDomain.from_mask(np.ones((V, 1, 1), np.bool_), np.eye(4), 6)
        enhancements = choose_enhancements(("voxel",), lattice, contrast_test(design, contrast), (0.05, None))
        sides[sided] = null_distribution(values, contrast_test(design, contrast), shuffles, enhancements, Work())
    assert np.array_equal(sides["positive"].observed["voxel"], -sides["negative"].observed["voxel"])
    expected = by_refit(values.astype(float), design, contrast, "permute", np.eye(S))
    assert sides["positive"].observed["voxel"] == pytest.approx(expected, rel=3e-5, abs=1e-5)


def test_a_row_of_the_basis_points_where_the_effect_is_positive() -> None:
    """X D has the sign of L G, and X is orthonormal and leaves nothing of B out."""
    design, contrast = make("groups and age", [[1, -1, 0]], "mean", "partitioned", "t")
    tested, rest = contrast_test(design, contrast).split()
    whole = np.vstack([tested, rest])
    assert whole @ whole.T == pytest.approx(np.eye(3), abs=1e-12)
    assert whole.T @ (whole @ design.between) == pytest.approx(design.between, abs=1e-12)
    assert tested[0] @ GROUP > 0


@pytest.mark.parametrize("scheme", ["sign-flip", "permute"])
def test_blocks_flip_together_or_bound_the_swaps(scheme: Scheme, values: NDArray[np.float32]) -> None:
    """With twins as blocks every permutation respects the pairs, and the statistics are those of the refit."""
    blocks = tuple("aabbccdd")
    design, contrast = make("age", [[0, 1]] if scheme == "permute" else [[1, 0]], "mean", "partitioned", "t", blocks)
    shuffles: Shuffles = make_shuffles(contrast_test(design, contrast), 1000, seed=3, shuffle=scheme)
    # two ways for each of four pairs; flips of all at once are not told apart by |t|
    assert shuffles.exhaustive
    assert shuffles.n_possible == shuffles.n_shuffles == (16 if scheme == "permute" else 8)
    members = np.array([ord(block) for block in blocks])
    assert np.array_equal(members[shuffles.order], np.broadcast_to(members, shuffles.order.shape))
    assert np.array_equal(shuffles.sign[:, ::2], shuffles.sign[:, 1::2])
    lattice = VolumeDomain.from_mask(np.ones((V, 1, 1), np.bool_), np.eye(4), 6)
    enhancements = choose_enhancements(("voxel",), lattice, contrast_test(design, contrast), (0.05, None))
    null = null_distribution(values, contrast_test(design, contrast), shuffles, enhancements, Work())
    expected = [
        np.abs(by_refit(values.astype(float), design, contrast, scheme, signed_permutation(order, sign))).max()
        for order, sign in zip(shuffles.order, shuffles.sign, strict=True)
    ]
    assert null.maxima["voxel"] == pytest.approx(expected, rel=3e-5)


def test_every_kind_of_statistic_has_a_plan() -> None:
    """The table of plans has the rows of the table of statistics."""
    assert set(PLANNERS) == set(KINDS)
