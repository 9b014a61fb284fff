"""What a kind of statistic has to know: the protocol of `statistics.kinds`.

A kind is a module with one `Statistic` in it, and a row of the table in `kinds`; its shuffling plan is a row of the
table in `permutation.freedman_lane`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Floats, Stack
from bids_app.design.contrast_test import ContrastTest
from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design


@dataclass(frozen=True, slots=True)
class Estimates:
    """What is estimated in a block of voxels, each (V,); NaN where the voxel's subjects do not allow it."""

    statistic: Floats
    """F; of a t its square."""
    effect: Floats
    """L G of the first score, in orthonormal units: meaningful for t."""
    variance: Floats
    """Its squared standard error."""
    df_error: Floats
    """Error degrees of freedom of the parametric p."""
    df_nominal: Floats
    """The same before any approximation: Welch's are smaller."""
    epsilon: Floats
    """Departure from sphericity by which degrees of freedom are multiplied; NaN: they are not."""
    standard_error_units: Floats
    """Standard error of L G in standard deviations of the score."""
    correlation: Floats
    """Partial correlation of the score with what L G is about, signed like the effect."""
    has_error: NDArray[np.bool_]
    """Whether the residuals are more than rounding."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """One way to test a contrast."""

    key: str
    """Value of `ContrastTest.kind`."""
    applies: Callable[[Design, Contrast], bool]
    """Whether a contrast of a design is tested this way; of all kinds, the first in the table that applies is taken."""
    df_error: Callable[[Design, Contrast], float]
    """Nominal error degrees of freedom."""
    name: Callable[[Contrast], str]
    """What t or F it is, where it is not the ordinary one."""
    is_testable: Callable[[ContrastTest], bool]
    """Whether two subjects or more, whose between-subject model leaves a residual, can tell what the contrast asks."""
    estimate: Callable[[Stack, ContrastTest], Estimates]
    """Test a block of voxels, (n_maps, V), that all subjects of the test have."""
    has_df_of_voxel: bool = False
    """Whether each voxel has degrees of freedom of its own."""
    is_of_missing_maps: bool = False
    """Whether it exists because maps are missing: the methods text then says it after which these are."""
    error_words: str = ""
    """What the report says of the error term; empty: what it says of the ordinary t and F."""
    sentences: Mapping[str, str] = field(default_factory=dict)
    """Name of the statistic -> sentence of the methods text, with {names} of contrasts, {were}, and the column {groups}
    that names variance groups."""
    standardisers: Mapping[str, str] = field(default_factory=dict)
    """Effect size -> what a sidecar says of the standard deviation that it is expressed in; empty: the ordinary one."""
