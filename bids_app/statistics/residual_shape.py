"""Whether residuals are symmetric, as sign-flips assume, and whether groups vary alike.

Letters as in `scores`: E_j (S, V) the residual scores of r dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bids_app.arrays import Floats, Stack
from bids_app.design.contrast_test import ContrastTest
from bids_app.statistics.scores import BLOCK, contrast_scores, residual_forming, residual_scores

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SKEWNESSES = (0.5, 1.0, 2.0)  # the sizes of which it is known what they do to sign-flips
TAILS = (0.01, 0.05)
N_NORMAL = 4000  # studies of normal noise that skewness is compared with
SKEW_EDGES = np.linspace(-4, 4, 81)
RESIDUAL_EDGES = np.linspace(-6, 6, 241)


@dataclass(frozen=True, slots=True)
class ResidualShape:
    """Skewness and symmetry of the residual scores over subjects."""

    n_dimensions: int
    """Dimensions of the contrast; with several, residuals are taken along the estimated effect of each voxel."""
    skewness: tuple[float, ...]
    """Its `QUANTILES` over voxels."""
    beyond: tuple[float, ...]
    """Share of voxels whose absolute skewness is at least each of `SKEWNESSES`."""
    beyond_normal: tuple[float, ...]
    """The same for normal noise in this design."""
    skewness_counts: Floats
    """(n_bins,) share of voxels in each bin of `SKEW_EDGES`."""
    skewness_normal: Floats
    """(n_bins,) the same for normal noise."""
    residual_counts: Floats
    """(n_bins,) share of all standardised residuals in each bin of `RESIDUAL_EDGES`."""
    tails: tuple[tuple[float, float], ...]
    """For each of `TAILS`, how far the lower and the upper quantile of standardised residuals lie from zero."""


@dataclass(frozen=True, slots=True)
class GroupSpread:
    """Residual standard deviation of one group."""

    group: str
    n_subjects: int
    sd: tuple[float, float, float]
    """Quartiles over voxels, in the units of the contrast's orthonormal scores."""


def residual_shape(values: Stack, test: ContrastTest) -> ResidualShape:
    """Return the skewness and the symmetry of a contrast's residual scores.

    Skewness is m3 / m2^1.5 over the subjects. A contrast of several dimensions has residuals along the direction in
    which its estimated effect points at each voxel: what decides whether flips of the whole score are balanced there.

    Parameters
    ----------
    values : (n_maps, n_voxels)
    test : ContrastTest
    """
    scale = np.sqrt(np.maximum(1 - test.between_space.leverages, 1e-12))[:, None]
    blocks, counts = [], np.zeros(RESIDUAL_EDGES.size - 1)
    for residuals in _residuals_along(values, test):
        blocks.append(skewness_of(residuals))
        sd = np.sqrt(np.square(residuals).sum(axis=0) / test.design.df_between)
        counts += _histogram(residuals / (scale * np.maximum(sd, np.finfo(float).tiny)), RESIDUAL_EDGES)
    skew = np.concatenate(blocks)
    normal = skewness_of(residual_forming(test) @ _normal(test.n_subjects))
    return ResidualShape(
        n_dimensions=test.n_dimensions,
        skewness=tuple(float(q) for q in np.quantile(skew, QUANTILES)),
        beyond=tuple(float(np.mean(np.abs(skew) >= size)) for size in SKEWNESSES),
        beyond_normal=tuple(float(np.mean(np.abs(normal) >= size)) for size in SKEWNESSES),
        skewness_counts=_histogram(skew, SKEW_EDGES) / skew.size,
        skewness_normal=_histogram(normal, SKEW_EDGES) / normal.size,
        residual_counts=counts / counts.sum(),
        tails=tuple((-_quantile(counts, share), _quantile(counts, 1 - share)) for share in TAILS),
    )


def skewness_of(values: Floats) -> Floats:
    """Return the skewness m3 / m2^1.5 over the rows, (n, V) to (V,); 0 where nothing varies."""
    centred = values - values.mean(axis=0)
    squares = np.square(centred)
    second, third = squares.mean(axis=0), (squares * centred).mean(axis=0)
    return np.asarray(third / np.where(second > 0, second, 1.0) ** 1.5)


def group_spreads(values: Stack, test: ContrastTest) -> tuple[GroupSpread, ...]:
    """Return the residual standard deviation of each group, sqrt(SSE_g / (r r_g)).

    r_g is the trace of the group's part of the residual-forming matrix.

    Parameters
    ----------
    values : (n_maps, n_voxels)
    test : ContrastTest
    """
    names = tuple(dict.fromkeys(test.design.groups))
    if not names:
        return ()
    member = np.array([[float(group == name) for group in test.design.groups] for name in names])
    r, df_residual = test.n_dimensions, member @ (1 - test.between_space.leverages)
    blocks = []
    for residuals in residual_scores(values, test):
        squares = np.einsum("gs,rsv->gv", member, np.square(residuals))
        blocks.append(np.sqrt(squares / (r * np.maximum(df_residual, 1e-12)[:, None])))
    sd = np.concatenate(blocks, axis=1)
    quartiles = np.quantile(sd, (0.25, 0.5, 0.75), axis=1).T
    return tuple(
        GroupSpread(name, int(who.sum()), _xyz(each)) for name, who, each in zip(names, member, quartiles, strict=True)
    )


def _residuals_along(values: Stack, test: ContrastTest) -> Iterator[Floats]:
    """Residual scores along one direction at each voxel, that of the estimated effect, (S, a block of voxels)."""
    if test.n_dimensions == 1:
        yield from (residuals[0] for residuals in residual_scores(values, test))  # M has the sign of the weights
        return
    forming, (tested, _) = residual_forming(test), test.split()
    for start in range(0, values.shape[1], BLOCK):
        scores = contrast_scores(values[:, start : start + BLOCK], test.design, test.contrast.within)
        effect = tested @ scores  # (r, q, V)
        if effect.shape[1] == 1:
            direction = effect[:, 0].T  # (V, r)
        else:
            left, _, _ = np.linalg.svd(np.moveaxis(effect, -1, 0), full_matrices=False)
            direction = left[..., 0]
        length = np.linalg.norm(direction, axis=1, keepdims=True)
        direction = direction / np.maximum(length, np.finfo(float).tiny)
        yield np.einsum("vr,rsv->sv", direction, forming @ scores, optimize=True)


def _normal(n_subjects: int) -> Floats:
    """Return normal noise, the same in every run, (n_subjects, N_NORMAL)."""
    return np.random.default_rng(0).standard_normal((n_subjects, N_NORMAL))


def _histogram(values: Floats, edges: Floats) -> Floats:
    """Count values in bins; what lies outside goes to the first and the last."""
    return np.histogram(np.clip(values, edges[0], edges[-1]), bins=edges)[0].astype(np.float64)


def _quantile(counts: Floats, share: float) -> float:
    """Quantile of binned standardised residuals, linear within a bin."""
    return float(np.interp(share, np.concatenate([[0.0], np.cumsum(counts) / counts.sum()]), RESIDUAL_EDGES))


def _xyz(place: Floats) -> tuple[float, float, float]:
    x, y, z = map(float, place)
    return x, y, z
