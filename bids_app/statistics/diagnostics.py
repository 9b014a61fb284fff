"""Diagnostics of a contrast: which subjects stand out or carry a peak, are residuals symmetric, do two p agree.

Letters as in `glm`: S subjects, D_j (S, V) the scores of r dimensions, E_j = D_j - B G_j their residuals,
v = S - rank B, h_s the leverage of subject s in B. None of these is a test: they are numbers and
names to look at.

References
----------
Mahalanobis 1936, doi 10.1007/s13171-019-00164-5 (reprint); Iglewicz & Hoaglin 1993, How to detect and handle outliers
(3.5 robust standard deviations); Cook & Weisberg 1982, Residuals and influence in regression.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Floats, Stack
from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.design.subspaces import column_space
from bids_app.statistics.fit import ContrastFit, can_be_tested, contrast_scores, fit_contrast, with_data, with_scores

BLOCK = 4096  # voxels at a time in double precision
MAX_VALUES = 4e6  # residual scores looked at: of more, voxels are taken at regular distances
ROBUST_LIMIT = 3.5  # robust standard deviations beyond which a subject is named
LEAST_EXCESS = 1.2  # times the median that it must also reach: with many subjects alike, trifles are many deviations
ROBUST_SD = 1.4826  # median absolute deviation to standard deviation, for normal values
LEAST_PER_DIMENSION = 3  # degrees of freedom for each dimension, or covariances say nothing about single subjects
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SKEWNESSES = (0.5, 1.0, 2.0)  # the sizes of which it is known what they do to sign-flips
TAILS = (0.01, 0.05)
N_NORMAL = 4000  # studies of normal noise that skewness is compared with
SKEW_EDGES = np.linspace(-4, 4, 81)
RESIDUAL_EDGES = np.linspace(-6, 6, 241)
FEW = 10  # shuffles that must reach a voxel's statistic before its permutation p says much
BIN = 0.25  # width of a bin of p, in powers of ten


@dataclass(frozen=True, slots=True)
class SubjectDistances:
    """How far each subject's scores lie from what the model says of them, over all voxels."""

    subjects: tuple[str, ...]
    distance: Floats
    """(n_subjects,) root mean square over voxels; about 1 where subjects are alike."""
    by_covariance: bool
    """Mahalanobis distance; otherwise, with too few subjects for a covariance, all dimensions weigh alike."""

    @property
    def outliers(self) -> tuple[str, ...]:
        """Subjects far beyond the others."""
        middle = float(np.median(self.distance))
        spread = ROBUST_SD * float(np.median(np.abs(self.distance - middle)))
        limit = max(middle + ROBUST_LIMIT * spread, LEAST_EXCESS * middle)
        return tuple(name for name, value in zip(self.subjects, self.distance, strict=True) if value > limit)


@dataclass(frozen=True, slots=True)
class PeakInfluence:
    """What the statistic at a peak becomes when one subject is left out."""

    place: tuple[float, float, float]
    """mm."""
    statistic: float
    """Of all subjects."""
    subjects: tuple[str, ...]
    without: Floats
    """(n_subjects,) the statistic without each; NaN where the contrast cannot be tested without the subject."""

    @property
    def most(self) -> tuple[str, float] | None:
        """The subject without whom it is weakest, and what it is then; None where it cannot be told."""
        if np.all(np.isnan(self.without)):
            return None
        towards = self.without if self.statistic >= 0 else -self.without
        index = int(np.nanargmin(towards))
        return self.subjects[index], float(self.without[index])


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


@dataclass(frozen=True, slots=True)
class PAgreement:
    """Parametric against permutation p of single voxels, not corrected."""

    n_shuffles: int
    parametric: Floats
    """(n_bins,) middle of each bin of parametric p, as log10."""
    n_voxels: NDArray[np.int64]
    """(n_bins,)."""
    permutation: Floats
    """(3, n_bins) 5th percentile, median and 95th percentile of the permutation p of a bin's voxels, as log10."""
    largest: tuple[float, float] | None
    """Parametric and permutation p of the voxel in which they differ most, as a ratio, among those whose permutation p
    is at least `FEW` / N; None where there is none."""
    place: tuple[float, float, float] | None
    """mm of that voxel."""
    median_ratio: float | None
    """Median of permutation p / parametric p over the voxels whose parametric p lies from `FEW` / N to 0.05; None where
    there is none. Choosing by the permutation p as well would choose those where it is the larger."""


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """All that is said about one contrast's assumptions, besides its smoothness."""

    distances: SubjectDistances
    peaks: tuple[PeakInfluence, ...]
    shape: ResidualShape
    groups: tuple[GroupSpread, ...]
    """Empty where subjects are of one group."""
    agreement: PAgreement | None
    """None where nothing was shuffled."""
    every: int
    """1: residuals of all voxels were looked at; n: of every nth."""


def subject_distances(values: Stack, design: Design, contrast: Contrast) -> SubjectDistances:
    """Distance of each subject's scores from the model's, over all voxels.

    At a voxel it is d_s^2 = e_s' W^-1 e_s / (r (1 - h_s)), with W = E'E / v of all subjects, whose mean over subjects
    is about 1; with less than `LEAST_PER_DIMENSION` degrees of freedom for each dimension W is tr(W) / r times the
    identity.

    Parameters
    ----------
    values : (n_maps, n_voxels)
    design : Design
    contrast : Contrast
    """
    r, v = len(contrast.within), design.df_between
    by_covariance = r > 1 and v >= LEAST_PER_DIMENSION * r
    total, n_voxels = np.zeros(len(design.subjects)), 0
    for residuals in _residuals(values, design, contrast):
        if by_covariance:
            covariance = np.einsum("rsv,psv->vrp", residuals, residuals, optimize=True) / v
            squared = np.einsum("rsv,vrp,psv->sv", residuals, np.linalg.pinv(covariance, hermitian=True), residuals,
                                optimize=True)  # fmt: skip
        else:
            squares = np.square(residuals)
            squared = squares.sum(axis=0) / (squares.sum(axis=(0, 1)) / (r * v))
        total += squared.sum(axis=1)
        n_voxels += squared.shape[1]
    free = np.maximum(1 - leverages(design), 1e-12)
    return SubjectDistances(design.subjects, np.sqrt(total / (n_voxels * r * free)), by_covariance or r == 1)


def leave_one_out(
    values: Stack, design: Design, contrast: Contrast, voxels: NDArray[np.intp], xyz: Floats
) -> tuple[PeakInfluence, ...]:
    """Fit the contrast at a few voxels without each subject in turn.

    Parameters
    ----------
    values : (n_maps, n_voxels)
    design : Design
    contrast : Contrast
    voxels : (n_peaks,) columns of `values`
    xyz : (n_peaks, 3) their places in mm
    """
    if not len(voxels):
        return ()
    here, design = np.ascontiguousarray(values[:, voxels]), design.of(contrast)
    whole = fit_contrast(here, design, contrast, with_size=False).statistic
    without = np.full((len(design.subjects), len(voxels)), np.nan)
    for subject in range(len(design.subjects)):
        fewer = design.restricted(np.arange(len(design.subjects)) != subject)
        if can_be_tested(fewer, contrast):
            with np.errstate(divide="ignore", invalid="ignore"):  # one subject may be all the variance there is
                without[subject] = fit_contrast(here, fewer, contrast, with_size=False).statistic
    return tuple(
        PeakInfluence(_xyz(place), float(statistic), design.subjects, column)
        for place, statistic, column in zip(xyz, whole, without.T, strict=True)
    )


def residual_shape(values: Stack, design: Design, contrast: Contrast) -> ResidualShape:
    """Describe the skewness and the symmetry of a contrast's residual scores.

    Skewness is m3 / m2^1.5 over the subjects. A contrast of several dimensions has residuals along the direction in
    which its estimated effect points at each voxel: what decides whether flips of the whole score are balanced there.

    Parameters
    ----------
    values : (n_maps, n_voxels)
    design : Design
    contrast : Contrast
    """
    scale = np.sqrt(np.maximum(1 - leverages(design), 1e-12))[:, None]
    skewness, counts = [], np.zeros(RESIDUAL_EDGES.size - 1)
    for residuals in _residuals_along(values, design, contrast):
        skewness.append(skewness_of(residuals))
        sd = np.sqrt(np.square(residuals).sum(axis=0) / design.df_between)
        counts += _histogram(residuals / (scale * np.maximum(sd, np.finfo(float).tiny)), RESIDUAL_EDGES)
    found = np.concatenate(skewness)
    normal = skewness_of(_residual_forming(design) @ _normal(len(design.subjects)))
    return ResidualShape(
        n_dimensions=len(contrast.within),
        skewness=tuple(float(q) for q in np.quantile(found, QUANTILES)),
        beyond=tuple(float(np.mean(np.abs(found) >= size)) for size in SKEWNESSES),
        beyond_normal=tuple(float(np.mean(np.abs(normal) >= size)) for size in SKEWNESSES),
        skewness_counts=_histogram(found, SKEW_EDGES) / found.size,
        skewness_normal=_histogram(normal, SKEW_EDGES) / normal.size,
        residual_counts=counts / counts.sum(),
        tails=tuple((-_quantile(counts, share), _quantile(counts, 1 - share)) for share in TAILS),
    )


def skewness_of(values: Floats) -> Floats:
    """Skewness m3 / m2^1.5 over the rows, (n, V) to (V,); 0 where nothing varies."""
    centred = values - values.mean(axis=0)
    squares = np.square(centred)
    second, third = squares.mean(axis=0), (squares * centred).mean(axis=0)
    return np.asarray(third / np.where(second > 0, second, 1.0) ** 1.5)


def group_spreads(values: Stack, design: Design, contrast: Contrast) -> tuple[GroupSpread, ...]:
    """Residual standard deviation of each group, sqrt(SSE_g / (r r_g)), r_g the trace of its residual-forming matrix.

    Parameters
    ----------
    values : (n_maps, n_voxels)
    design : Design
    contrast : Contrast
    """
    names = tuple(dict.fromkeys(design.groups))
    if not names:
        return ()
    member = np.array([[float(own == name) for own in design.groups] for name in names])
    r, free = len(contrast.within), member @ (1 - leverages(design))
    found = []
    for residuals in _residuals(values, design, contrast):
        squares = np.einsum("gs,rsv->gv", member, np.square(residuals))
        found.append(np.sqrt(squares / (r * np.maximum(free, 1e-12)[:, None])))
    sd = np.concatenate(found, axis=1)
    quartiles = np.quantile(sd, (0.25, 0.5, 0.75), axis=1).T
    return tuple(
        GroupSpread(name, int(who.sum()), _xyz(each)) for name, who, each in zip(names, member, quartiles, strict=True)
    )


def p_agreement(fit: ContrastFit, permutation_p: Floats, n_shuffles: int, xyz: Floats) -> PAgreement:
    """Compare the parametric p of single voxels with those of the shuffles.

    Parameters
    ----------
    fit : ContrastFit
    permutation_p : (n_voxels,) share of the shuffles, the observed one among them, that reach a voxel's statistic
    n_shuffles : int
    xyz : (n_voxels, 3) mm
    """
    parametric = np.log10(np.maximum(fit.p, 1e-300))
    permuted = np.log10(permutation_p)
    # beyond the smallest permutation p there is nothing to compare
    number = np.floor(np.maximum(parametric, -np.log10(n_shuffles) - 1) / BIN).astype(int)
    bins = np.unique(number)
    rows = [permuted[number == each] for each in bins]
    enough = np.flatnonzero((permutation_p >= FEW / n_shuffles) & (permutation_p < 1))
    apart = permuted[enough] - parametric[enough]
    worst = int(enough[np.abs(apart).argmax()]) if enough.size else None
    small = (permuted - parametric)[(fit.p >= FEW / n_shuffles) & (fit.p <= 0.05)]
    return PAgreement(
        n_shuffles=n_shuffles,
        parametric=(bins + 0.5) * BIN,
        n_voxels=np.array([row.size for row in rows], np.int64),
        permutation=np.array([np.quantile(row, (0.05, 0.5, 0.95)) for row in rows]).T,
        largest=None if worst is None else (float(fit.p[worst]), float(permutation_p[worst])),
        place=None if worst is None else _xyz(xyz[worst]),
        median_ratio=float(10 ** np.median(small)) if small.size else None,
    )


def diagnose(
    values: Stack,
    design: Design,
    fit: ContrastFit,
    peaks: tuple[NDArray[np.intp], Floats],
    permutation: tuple[Floats, int, Floats] | None,
) -> Diagnostics | None:
    """Compute all diagnostics of one contrast.

    Parameters
    ----------
    values : (n_maps, n_voxels)
    design : Design
    fit : of the contrast
    peaks : voxels to leave subjects out at, (n_peaks,), and their places, (n_peaks, 3) mm
    permutation : uncorrected permutation p (n_voxels,), number of shuffles, places of all voxels (n_voxels, 3) mm

    Returns
    -------
    Diagnostics or None
        Of the subjects who have all maps that the contrast weighs, with any voxel, and the voxels that all of these
        have; None where too few are left.
    """
    contrast = fit.contrast
    scored = with_scores(design, contrast)
    every = max(1, int(np.ceil(values.size / MAX_VALUES)))
    some = values[:, ::every] if every > 1 else values
    scored = with_data(some, scored)
    some = complete_voxels(some, scored)
    if not some.size or scored.df_between < 1:
        return None
    return Diagnostics(
        distances=subject_distances(some, scored, contrast),
        peaks=leave_one_out(values, design, contrast, *peaks),
        shape=residual_shape(some, scored, contrast),
        groups=group_spreads(some, scored, contrast),
        agreement=p_agreement(fit, *permutation) if permutation else None,
        every=every,
    )


def complete_voxels(values: Stack, design: Design) -> Stack:
    """Keep the voxels that all maps of a design's subjects have, (n_maps, n_voxels)."""
    whole = ~np.isnan(values[design.place[design.place >= 0]]).any(axis=0)
    return values if np.all(whole) else values[:, whole]


def leverages(design: Design) -> Floats:
    """Leverage of each subject, the diagonal of B B+, (n_subjects,)."""
    return column_space(design.between).leverages


def _residual_forming(design: Design) -> Floats:
    return column_space(design.between).residuals(np.eye(len(design.subjects)))


def _residuals(values: Stack, design: Design, contrast: Contrast) -> Iterator[Floats]:
    """Residual scores of the contrast's own dimensions, (r, S, a block of voxels)."""
    forming = _residual_forming(design)
    for start in range(0, values.shape[1], BLOCK):
        yield forming @ contrast_scores(values[:, start : start + BLOCK], design, contrast.within)


def _residuals_along(values: Stack, design: Design, contrast: Contrast) -> Iterator[Floats]:
    """Residual scores along one direction at each voxel, that of the estimated effect, (S, a block of voxels)."""
    if len(contrast.within) == 1:
        yield from (residuals[0] for residuals in _residuals(values, design, contrast))  # M has the sign of the weights
        return
    forming, (tested, _) = _residual_forming(design), column_space(design.between).split(contrast.between)
    for start in range(0, values.shape[1], BLOCK):
        scores = contrast_scores(values[:, start : start + BLOCK], design, contrast.within)
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
