"""What the columns of a design span, whatever their units.

X (n, b) may hold an intracranial volume in mm3 beside a score of 1e-6. Every rank, inverse and projection is therefore
made of the columns at unit length, U = X diag(1 / |x|), and nothing is ever squared: U = P diag(s) W' by singular
values, those below `RANK_TOLERANCE` being rounding. Least squares is then beta = diag(1 / |x|) W diag(1 / s) P' y, and
the squared standard error of L beta, in units of the error's variance, |L X+|^2.

References
----------
Golub & Van Loan 2013, Matrix Computations, sections 2.6 (scaling) and 5.5 (least squares of deficient rank).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_app.arrays import Floats

# Singular values of unit columns: equal ones leave 1e-16 times sqrt(n); an offset of 1e10 standard deviations, 1e-10
RANK_TOLERANCE = 1e-12
ESTIMABLE_TOLERANCE = 1e-8  # share of a hypothesis that may lie outside of the row space


@dataclass(frozen=True, slots=True)
class ColumnSpace:
    """The space that the columns of X (n, b) span."""

    basis: Floats
    """(rank, n) orthonormal rows."""
    inverse: Floats
    """X+ (b, n): X+ y solves least squares; the pseudo-inverse where X has full column rank."""
    length: Floats
    """(b,) of the columns."""
    row_basis: Floats
    """(rank, b) orthonormal basis of the row space of the unit columns."""

    @property
    def rank(self) -> int:
        """Rank of X."""
        return len(self.basis)

    @property
    def leverages(self) -> Floats:
        """Diagonal of the projection on the space, (n,)."""
        return np.asarray(np.square(self.basis).sum(axis=0))

    def residuals(self, values: Floats) -> Floats:
        """Return what the space leaves of values (..., n, n_voxels)."""
        return residuals_of(values, self.basis)

    def is_estimable(self, hypothesis: Floats) -> bool:
        """Whether the rows of L (q, b) lie in the row space of X, so that L beta is the same for all solutions."""
        rows = unit_rows(hypothesis / self.length)
        return bool(np.all(np.abs(rows @ self.row_basis.T @ self.row_basis - rows) < ESTIMABLE_TOLERANCE))

    def split(self, hypothesis: Floats) -> tuple[Floats, Floats]:
        """Split the space into what a hypothesis is about and the rest, {X g: L g = 0}.

        Parameters
        ----------
        hypothesis : L (q, b), estimable and of full row rank

        Returns
        -------
        tested : (q, n) orthonormal
            A single row points where L beta is positive: L beta = `effect_length` * tested @ y.
        rest : (rank - q, n) orthonormal
        """
        rows = unit_rows(hypothesis @ self.inverse)
        tested = rows if len(rows) == 1 else np.asarray(np.linalg.qr(rows.T)[0].T)
        left = self.basis - (self.basis @ tested.T) @ tested
        _, values, vectors = np.linalg.svd(left, full_matrices=False)  # the singular values are 0 and 1
        return tested, np.asarray(vectors[values > 0.5])

    def effect_length(self, hypothesis: Floats) -> float:
        """Return |L X+| for L (1, b): the standard error of L beta in units of the error's standard deviation."""
        return float(np.linalg.norm(hypothesis[0] @ self.inverse))


def column_space(columns: Floats) -> ColumnSpace:
    """Analyse the columns of X (n, b)."""
    length = np.linalg.norm(columns, axis=0)
    length = np.where(length > 0, length, 1.0)
    left, values, right = np.linalg.svd(columns / length, full_matrices=False)
    kept = values > RANK_TOLERANCE
    inverse = (right[kept].T / values[kept]) @ left[:, kept].T / length[:, None]
    return ColumnSpace(np.ascontiguousarray(left[:, kept].T), inverse, length, right[kept])


def residuals_of(values: Floats, basis: Floats) -> Floats:
    """Return what orthonormal rows (m, n) leave of values (..., n, n_voxels)."""
    return np.asarray(values - basis.T @ (basis @ values))


def unit_rows(rows: Floats) -> Floats:
    """Bring rows to unit length, however small or large their entries; a row of zeros stays."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    rows = rows / np.where(largest > 0, largest, 1.0)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1.0))
