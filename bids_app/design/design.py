"""The design of a node: which map is which cell of which subject, the columns between subjects, and the contrasts.

A complete within-subject design is one linear model on scores (see `statistics.scores`): each contrast is a product
L x M of weights L over the columns of the between-subject design B and orthonormal weights M over a subject's cells.
Where maps are missing a contrast has a design of its own, of the subjects who have what it needs (`missing_maps`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Floats
from bids_app.design.contrasts import Contrast
from bids_app.design.subspaces import column_space


@dataclass(frozen=True, slots=True)
class Design:
    """Which map is which cell of which subject, and what is tested."""

    matrix: Floats
    """(n_maps, n_regressors) conditions, then subjects where `subject` stands in X."""
    regressors: tuple[str, ...]
    subjects: tuple[str, ...]
    """The slow index of the maps."""
    cells: tuple[str, ...]
    """Conditions, the fast index of the maps."""
    between: Floats
    """B (n_subjects, n_between)."""
    between_names: tuple[str, ...]
    contrasts: tuple[Contrast, ...]
    notes: tuple[str, ...] = ()
    """Lines for the log."""
    blocks: tuple[str, ...] = ()
    """(n_subjects,) exchangeability block of each subject; empty: none are named."""
    groups: tuple[str, ...] = ()
    """(n_subjects,) combination of between factors' levels of each subject; empty: there are no such factors."""
    variance_groups: tuple[str, ...] = ()
    """(n_subjects,) group of subjects whose scores have a variance of their own; empty: all have the same."""
    rows: NDArray[np.intp] | None = None
    """(n_subjects, n_cells) row of each map in the stack of maps, -1 where there is none; None: all are there."""
    parts: Mapping[str, Design] = field(default_factory=dict)
    """Name of a contrast -> its own design, where not all subjects have what it needs; see `contrast_test`."""

    def __post_init__(self) -> None:
        expected = (self.n_maps, len(self.regressors))
        if self.matrix.shape != expected:
            raise ValueError(f"design matrix is {self.matrix.shape}; expected {expected}")
        if self.rows is not None and self.rows.shape != (len(self.subjects), len(self.cells)):
            raise ValueError(f"rows are {self.rows.shape}; expected one for each subject and cell")
        labelled = {"block": self.blocks, "group": self.groups, "variance group": self.variance_groups}
        for what, labels in labelled.items():
            if len(labels) not in (0, len(self.subjects)):
                raise ValueError(f"{len(labels)} {what} labels; expected one for each of {len(self.subjects)} subjects")

    @property
    def n_maps(self) -> int:
        """Maps that there are of these subjects."""
        return len(self.subjects) * len(self.cells) if self.rows is None else int(np.sum(self.rows >= 0))

    @property
    def row_of_map(self) -> NDArray[np.intp]:
        """Row of each map in the stack of maps, (n_subjects, n_cells), -1 where there is none."""
        if self.rows is not None:
            return self.rows
        return np.arange(self.n_maps).reshape(len(self.subjects), len(self.cells))

    @property
    def is_complete(self) -> bool:
        """Whether every subject has a map of every cell."""
        return self.rows is None or bool(np.all(self.rows >= 0))

    def restricted(self, keep: NDArray[np.bool_]) -> Design:
        """Return the same design, columns and all, of some of the subjects, (n_subjects,)."""

        def kept(labels: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(label for label, chosen in zip(labels, keep, strict=True) if chosen) if labels else ()

        has_map = self.row_of_map >= 0
        return replace(
            self,
            matrix=self.matrix[np.repeat(keep, len(self.cells)).reshape(has_map.shape)[has_map]],
            subjects=kept(self.subjects),
            between=self.between[keep],
            blocks=kept(self.blocks),
            groups=kept(self.groups),
            variance_groups=kept(self.variance_groups),
            rows=self.row_of_map[keep],
            parts={},
        )

    @property
    def rank(self) -> int:
        """Rank of the design matrix."""
        return column_space(self.matrix).rank

    @property
    def df_between(self) -> int:
        """v, what B leaves of the subjects' degrees of freedom."""
        return len(self.subjects) - column_space(self.between).rank
