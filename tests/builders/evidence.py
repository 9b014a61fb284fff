"""Evidence made by hand: fits of one-sample t values, voxels in a row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bids_app.design.contrasts import Contrast
from bids_app.spaces.volume import VolumeDomain
from bids_app.statistics.distributions import t_to_p, t_to_z
from bids_app.statistics.fit import ContrastFit

DF = 11.0


def make_fit(t: NDArray[np.float64], sided: str = "two") -> ContrastFit:
    """A fit of a one-sample t with 11 degrees of freedom."""
    contrast = Contrast("c", "c", "t", sided, *(np.ones((1, 1)) for _ in range(4)), "partitioned", "none")
    return ContrastFit(contrast, t, t_to_z(t, DF), t_to_p(t, DF, sided), t, t, t, None, None, 1.0, DF)


def line(n_voxels: int) -> VolumeDomain:
    """Voxels in a row."""
    return VolumeDomain.from_mask(np.ones((n_voxels, 1, 1), np.bool_), np.eye(4), 6)
