"""Contrasts and complete designs, of a few cells within subjects."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bids_app.design.contrast_test import ContrastTest
from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.model.settings import ErrorTerm, Sided, Sphericity
from bids_app.statistics.kinds import contrast_test

CELLS = ("A", "B", "C")


def make_contrast(
    test: Literal["t", "F"],
    name: str = "A > B",
    *,
    weights: NDArray[np.float64] | None = None,
    sided: Sided | None = None,
    error_term: ErrorTerm = "partitioned",
    sphericity: Sphericity = "none",
) -> Contrast:
    """Return a contrast of cells in one group: by default A minus B for t, the effect of three cells for F.

    `weights` is (n_rows, n_cells); t is two-sided unless stated.
    """
    rows = np.array([[1.0, -1, 0], [0, 1, -1]])[: 1 if test == "t" else 2] if weights is None else weights
    within = rows / np.linalg.norm(rows) if len(rows) == 1 else np.linalg.qr(rows.T)[0].T
    return Contrast(
        name=name,
        label="AB",
        test=test,
        sided=sided or ("two" if test == "t" else "positive"),
        weights=rows,
        cell_weights=rows,
        within=within,
        between=np.ones((1, 1)),
        error_term=error_term,
        sphericity=sphericity,
        formula="A minus B",
    )


def make_design(*contrasts: Contrast, n_subjects: int, cells: tuple[str, ...] = CELLS) -> Design:
    """Return the design of one group with a map for each subject and cell, without columns for subjects."""
    return Design(
        matrix=np.tile(np.eye(len(cells)), (n_subjects, 1)),
        regressors=cells,
        subjects=tuple(f"{number:02d}" for number in range(1, n_subjects + 1)),
        cells=cells,
        between=np.ones((n_subjects, 1)),
        between_names=("intercept",),
        contrasts=contrasts,
    )


def one_sample(n_subjects: int, sided: Sided) -> ContrastTest:
    """Return the one-sample t test of one map for each subject."""
    contrast = make_contrast("t", "a", weights=np.ones((1, 1)), sided=sided)
    return contrast_test(make_design(contrast, n_subjects=n_subjects, cells=("a",)), contrast)
