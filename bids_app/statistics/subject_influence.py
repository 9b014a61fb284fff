"""Which subjects stand out from the model, and which carry a peak.

Letters as in `scores`: S subjects, D_j (S, V) the scores of r dimensions, E_j = D_j - B G_j their residuals,
v = S - rank B, h_s the leverage of subject s in B.

References
----------
Mahalanobis 1936, doi 10.1007/s13171-019-00164-5 (reprint); Iglewicz & Hoaglin 1993, How to detect and handle outliers
(3.5 robust standard deviations); Cook & Weisberg 1982, Residuals and influence in regression.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Floats, Stack
from bids_app.design.contrast_test import ContrastTest
from bids_app.statistics.fit import fit_contrast
from bids_app.statistics.kinds import is_testable
from bids_app.statistics.scores import residual_scores
from bids_app.statistics.subsets import in_subjects

ROBUST_LIMIT = 3.5  # robust standard deviations beyond which a subject is named
LEAST_EXCESS = 1.2  # times the median that it must also reach: with many subjects alike, trifles are many deviations
ROBUST_SD = 1.4826  # median absolute deviation to standard deviation, for normal values
LEAST_PER_DIMENSION = 3  # degrees of freedom for each dimension, or covariances say nothing about single subjects


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
    name: str | None = field(default=None, metadata={"kept": "if present"})  # in records, see results.json_record
    """Of a parcel; None for elements that have a place."""

    @property
    def most(self) -> tuple[str, float] | None:
        """The subject without whom it is weakest, and what it is then; None where it cannot be told."""
        if np.all(np.isnan(self.without)):
            return None
        towards = self.without if self.statistic >= 0 else -self.without
        index = int(np.nanargmin(towards))
        return self.subjects[index], float(self.without[index])


def subject_distances(values: Stack, test: ContrastTest) -> SubjectDistances:
    """Return the distance of each subject's scores from the model's, over all voxels.

    At a voxel it is d_s^2 = e_s' W^-1 e_s / (r (1 - h_s)), with W = E'E / v of all subjects, whose mean over subjects
    is about 1; with less than `LEAST_PER_DIMENSION` degrees of freedom for each dimension W is tr(W) / r times the
    identity.

    Parameters
    ----------
    values : (n_maps, n_voxels)
    test : ContrastTest
    """
    r, v = test.n_dimensions, test.design.df_between
    by_covariance = r > 1 and v >= LEAST_PER_DIMENSION * r
    total, n_voxels = np.zeros(test.n_subjects), 0
    for residuals in residual_scores(values, test):
        if by_covariance:
            covariance = np.einsum("rsv,psv->vrp", residuals, residuals, optimize=True) / v
            squared = np.einsum("rsv,vrp,psv->sv", residuals, np.linalg.pinv(covariance, hermitian=True), residuals,
                                optimize=True)  # fmt: skip
        else:
            squares = np.square(residuals)
            squared = squares.sum(axis=0) / (squares.sum(axis=(0, 1)) / (r * v))
        total += squared.sum(axis=1)
        n_voxels += squared.shape[1]
    free = np.maximum(1 - test.between_space.leverages, 1e-12)
    return SubjectDistances(test.design.subjects, np.sqrt(total / (n_voxels * r * free)), by_covariance or r == 1)


def leave_one_out(
    values: Stack, test: ContrastTest, voxels: NDArray[np.intp], xyz: Floats
) -> tuple[PeakInfluence, ...]:
    """Return the statistic at a few voxels without each subject in turn.

    Parameters
    ----------
    values : (n_maps, n_voxels)
    test : ContrastTest
    voxels : (n_peaks,) columns of `values`
    xyz : (n_peaks, 3) their places in mm
    """
    if not len(voxels):
        return ()
    here, subjects = np.ascontiguousarray(values[:, voxels]), test.design.subjects
    observed = fit_contrast(here, test, with_size=False).statistic
    without = np.full((len(subjects), len(voxels)), np.nan)
    for subject in range(len(subjects)):
        fewer = in_subjects(test, np.arange(len(subjects)) != subject)
        if is_testable(fewer):
            with np.errstate(divide="ignore", invalid="ignore"):  # one subject may be all the variance there is
                without[subject] = fit_contrast(here, fewer, with_size=False).statistic
    return tuple(
        PeakInfluence(_xyz(at), float(statistic), subjects, column)
        for at, statistic, column in zip(xyz, observed, without.T, strict=True)
    )


def _xyz(place: Floats) -> tuple[float, float, float]:
    x, y, z = map(float, place)
    return x, y, z
