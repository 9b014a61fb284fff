"""One hypothesis with all that testing it takes of the design: the value that every later stage is handed."""

from __future__ import annotations

from dataclasses import dataclass

from bids_app.arrays import Floats
from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.design.subspaces import ColumnSpace, column_space


@dataclass(frozen=True, slots=True)
class ContrastTest:
    """A contrast, the design that it is tested in, and the statistic that tests it.

    Made once by `statistics.kinds.contrast_tests`, which knows the kinds of statistics.
    """

    contrast: Contrast
    design: Design
    """Of the subjects who have what the contrast needs; the design of the node where all have."""
    kind: str
    """How the statistic is computed: a key of `statistics.kinds.KINDS`."""
    df_error: float
    """Nominal error degrees of freedom."""
    statistic_name: str
    """What t or F it is, where it is not the ordinary one; empty: it is."""

    @property
    def name(self) -> str:
        """Name of the contrast."""
        return self.contrast.name

    @property
    def df(self) -> tuple[float, float]:
        """Nominal degrees of freedom of the hypothesis and of the error."""
        return float(self.contrast.rank), self.df_error

    @property
    def n_dimensions(self) -> int:
        """Number r of the scores that each subject has of the contrast."""
        return len(self.contrast.within)

    @property
    def n_subjects(self) -> int:
        """Subjects that the contrast is tested in."""
        return len(self.design.subjects)

    @property
    def between_space(self) -> ColumnSpace:
        """Column space of the between-subject design B."""
        return column_space(self.design.between)

    def split(self) -> tuple[Floats, Floats]:
        """Split the column space of B into what the hypothesis is about and what the null hypothesis leaves.

        Returns
        -------
        tested : (q, n_subjects) orthonormal
            A single row points where L G is positive.
        rest : (n, n_subjects) orthonormal
            Basis of {B g : L g = 0}.
        """
        return self.between_space.split(self.contrast.between)
