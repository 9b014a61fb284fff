"""Diagnostics of a contrast: which subjects stand out or carry a peak, are residuals symmetric, do two p agree.

None of these is a test: they are numbers and names to look at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Floats, Stack
from bids_app.design.contrast_test import ContrastTest
from bids_app.statistics.fit import ContrastFit
from bids_app.statistics.p_agreement import PAgreement, p_agreement
from bids_app.statistics.residual_shape import GroupSpread, ResidualShape, group_spreads, residual_shape
from bids_app.statistics.subject_influence import PeakInfluence, SubjectDistances, leave_one_out, subject_distances
from bids_app.statistics.subsets import complete_voxels, with_data, with_scores

MAX_VALUES = 4e6  # residual scores looked at: of more, voxels are taken at regular distances


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


def diagnose(
    values: Stack,
    test: ContrastTest,
    fit: ContrastFit,
    peaks: tuple[NDArray[np.intp], Floats],
    permutation: tuple[Floats, int, Floats] | None,
) -> Diagnostics | None:
    """Return all diagnostics of one contrast.

    Parameters
    ----------
    values : (n_maps, n_voxels)
    test : ContrastTest
    fit : of the contrast
    peaks : voxels to leave subjects out at, (n_peaks,), and their places, (n_peaks, 3) mm
    permutation : uncorrected permutation p (n_voxels,), number of shuffles, places of all voxels (n_voxels, 3) mm

    Returns
    -------
    Diagnostics or None
        Of the subjects who have all maps that the contrast weighs, with any voxel, and the voxels that all of these
        have; None where too few are left.
    """
    every = max(1, int(np.ceil(values.size / MAX_VALUES)))
    some = values[:, ::every] if every > 1 else values
    scored = with_data(some, with_scores(test))
    some = complete_voxels(some, scored.design)
    if not some.size or scored.design.df_between < 1:
        return None
    return Diagnostics(
        distances=subject_distances(some, scored),
        peaks=leave_one_out(values, test, *peaks),
        shape=residual_shape(some, scored),
        groups=group_spreads(some, scored),
        agreement=p_agreement(fit, *permutation) if permutation else None,
        every=every,
    )
