"""Tests of a contrast in some of its subjects: those who have the maps, those who have any voxel, all but one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Floats, Stack
from bids_app.design.contrast_test import ContrastTest
from bids_app.design.design import Design
from bids_app.statistics.kinds import contrast_test
from bids_app.statistics.scores import contrast_scores, maps_of, voxel_blocks


def in_subjects(test: ContrastTest, keep: NDArray[np.bool_]) -> ContrastTest:
    """Return the test of the same contrast in some of its subjects, (n_subjects,).

    Its statistic may be of another kind: without the only subject who lacks a map, the maps are complete.
    """
    return test if np.all(keep) else contrast_test(test.design.restricted(keep), test.contrast)


def with_scores(test: ContrastTest, within: Floats | None = None) -> ContrastTest:
    """Return a test without the subjects who lack a map that the contrast weighs.

    Parameters
    ----------
    test : ContrastTest
    within : (n, n_cells) weights over the cells; None: the contrast's own
    """
    weighed = np.any((test.contrast.within if within is None else within) != 0, axis=0)
    return in_subjects(test, np.all(test.design.row_of_map[:, weighed] >= 0, axis=1))


def with_data(values: Stack, test: ContrastTest) -> ContrastTest:
    """Return a test without the subjects of whom no voxel is in all maps; (n_maps, n_voxels), NaN where missing."""
    is_missing = (np.isnan(values[rows[rows >= 0]]).any(axis=0) for rows in test.design.row_of_map)
    return in_subjects(test, np.array([not np.all(missing) for missing in is_missing]))


def complete_voxels(values: Stack, design: Design) -> Stack:
    """Return the voxels that all maps of a design's subjects have, (n_maps, n_voxels)."""
    is_complete = ~np.isnan(maps_of(values, design)).any(axis=0)
    return values if np.all(is_complete) else values[:, is_complete]


def subject_effects(values: Stack, test: ContrastTest) -> Floats:
    """Return what one contrast is in each of its subjects, for looking at, (n_subjects, n_voxels).

    A single row of weights gives the subject's effect in the user's units; several rows give the length of the
    subject's scores, which has no sign. A contrast that is fitted to incomplete maps has the subjects who have all that
    it weighs.
    """
    test = with_scores(test)
    contrast, parts = test.contrast, []
    for block in voxel_blocks(values, test.design):
        scores = contrast_scores(block, test.design, contrast.within)
        one_row = len(contrast.cell_weights) == 1
        parts.append(scores[0] * np.linalg.norm(contrast.cell_weights) if one_row else np.linalg.norm(scores, axis=0))
    return np.concatenate(parts, axis=1)
