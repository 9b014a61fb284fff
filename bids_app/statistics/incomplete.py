"""Pooled errors where maps are missing: ordinary least squares on the maps that there are.

The model has a column for each cell and for each subject, so that the subjects' means are taken off first. There is no
column between subjects but the intercept: with any other, subjects who lack a map are excluded instead.

References
----------
Winer 1971, Statistical principles in experimental design; Searle 1987, Linear models for unbalanced data.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bids_app.arrays import Floats, Stack
from bids_app.design.contrast_test import ContrastTest
from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.design.missing_maps import cell_columns, is_fitted_to_maps
from bids_app.design.subspaces import column_space, unit_rows
from bids_app.statistics.kind_protocol import Estimates, Statistic
from bids_app.statistics.scores import is_more_than_rounding, maps_of, squares
from bids_app.statistics.sums_of_squares import t_and_f

NAME = "least squares on incomplete maps"


def map_space(test: ContrastTest) -> tuple[Floats, Floats]:
    """Return the two parts of what the cells explain of incomplete maps, beyond the subjects' means.

    Returns
    -------
    tested : (r, n_maps) orthonormal
        What the hypothesis is about; a single row points where the effect is positive.
    rest : (n, n_maps) orthonormal
        What the null hypothesis leaves.
    """
    return column_space(cell_columns(test.design)).split(test.contrast.cell_weights)


def centred_maps(values: ArrayLike, design: Design) -> Floats:
    """Return the maps that there are, each minus the mean of its subject's, (n_maps, n_voxels) float64."""
    has_map = design.row_of_map >= 0
    maps = np.asarray(np.asarray(values)[design.row_of_map[has_map]], np.float64)
    ends = np.cumsum(has_map.sum(axis=1))
    return np.concatenate([of_subject - of_subject.mean(axis=0) for of_subject in np.split(maps, ends[:-1])])


def _df_error(design: Design, contrast: Contrast) -> float:  # noqa: ARG001
    return float(design.n_maps - len(design.subjects) - column_space(cell_columns(design)).rank)


def _is_testable(test: ContrastTest) -> bool:
    space = column_space(cell_columns(test.design))
    return space.is_estimable(test.contrast.cell_weights) and test.df_error >= 1


def _estimate(values: Stack, test: ContrastTest) -> Estimates:
    maps = centred_maps(values, test.design)
    tested, rest = map_space(test)
    explained = np.square(tested @ maps).sum(axis=0)
    total = squares(maps[None])
    error = total - explained - np.square(rest @ maps).sum(axis=0)
    return t_and_f(
        (tested @ maps)[0],
        (explained, error),
        test.df,
        column_space(cell_columns(test.design)).effect_length(unit_rows(test.contrast.cell_weights)),
        has_error=is_more_than_rounding(error, total, maps_of(values, test.design)),
    )


INCOMPLETE = Statistic(
    key="incomplete",
    applies=is_fitted_to_maps,
    df_error=_df_error,
    name=lambda contrast: NAME,  # noqa: ARG005
    is_testable=_is_testable,
    estimate=_estimate,
    is_of_missing_maps=True,
    error_words="pooled over all within-subject effects, some maps missing; sphericity over all conditions assumed",
    sentences={
        NAME: "{names} {were} fitted to the incomplete maps by ordinary least squares, with a column for each "
        "condition and each subject."
    },
)
