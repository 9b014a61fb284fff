"""Column spaces against numpy's pseudo-inverse where units are alike, and by hand where they are not."""

from __future__ import annotations

import numpy as np
import pytest

from bids_app.design.subspaces import column_space, unit_rows


@pytest.fixture
def columns(rng: np.random.Generator) -> np.ndarray:
    """Two groups and two covariates of twelve subjects."""
    return np.column_stack([np.kron(np.eye(2), np.ones((6, 1))), rng.normal(size=(12, 2))])


@pytest.mark.parametrize("units", [(1, 1, 1, 1), (1, 1, 1e-12, 1e12), (1e6, 1e6, 3e-9, 1), (1e-7, 1e-7, 1e-7, 1e-7)])
def test_units_change_nothing_but_the_coefficients(units: tuple[float, ...], columns: np.ndarray) -> None:
    """Projection, leverages and rank of the unscaled columns; coefficients, times the units, those of numpy's pinv."""
    space = column_space(columns * units)
    assert space.rank == 4
    projection = columns @ np.linalg.pinv(columns)
    assert space.basis.T @ space.basis == pytest.approx(projection, abs=1e-13)
    assert space.leverages == pytest.approx(np.diag(projection), abs=1e-13)
    assert space.inverse * np.array(units)[:, None] == pytest.approx(np.linalg.pinv(columns), rel=1e-10, abs=1e-14)
    y = np.arange(24.0).reshape(12, 2) ** 2
    assert space.residuals(y) == pytest.approx(y - projection @ y, abs=1e-9)


def test_a_hypothesis_splits_the_space(columns: np.ndarray) -> None:
    """What is tested is what the columns lose by L g = 0: the difference of two projections."""
    hypothesis = np.array([[1.0, -1, 0, 0], [0, 0, 0, 1]])
    free = np.array([[1.0, 1, 0, 0], [0, 0, 1, 0]]).T
    null = columns @ free @ np.linalg.pinv(columns @ free)
    expected = columns @ np.linalg.pinv(columns) - null
    for units in (np.ones(4), np.array([1, 1, 1e-9, 1e8])):
        tested, rest = column_space(columns * units).split(hypothesis / units)
        assert tested.T @ tested == pytest.approx(expected, abs=1e-12)
        assert rest.T @ rest == pytest.approx(null, abs=1e-12)


def test_a_single_row_points_where_its_effect_is_positive(columns: np.ndarray) -> None:
    """L beta is its length times the scores along the direction."""
    hypothesis = np.array([[0.0, 0, -2e-8, 0]])
    space = column_space(columns)
    y = np.arange(12.0) ** 2
    beta = np.linalg.lstsq(columns, y, rcond=None)[0]
    tested, _ = space.split(hypothesis)
    assert space.effect_length(hypothesis) * tested[0] @ y == pytest.approx(-2e-8 * beta[2], rel=1e-10)


def test_dependent_columns_leave_some_hypotheses_estimable() -> None:
    """Intercept and two groups: their difference can be told, one group's own column cannot, in any unit."""
    columns = np.column_stack([np.ones(6), np.kron(np.eye(2), np.ones((3, 1)))]) * [1, 1e9, 1e9]
    space = column_space(columns)
    assert space.rank == 2
    assert space.is_estimable(np.array([[0, 1.0, -1]]))
    assert not space.is_estimable(np.array([[0, 1.0, 0]]))
    assert not space.is_estimable(np.array([[0, 1.0, -1], [1, 0, 0]]))
    columns = np.column_stack([columns, np.zeros(6)])
    assert column_space(columns).rank == 2


def test_an_offset_of_a_billion_spreads_keeps_its_column() -> None:
    """A number that is 1e9 +- 1 beside the intercept: the slope of its deviations, to the 1e-7 that are left of it."""
    x = np.array([1.0, 4, 2, 8, 5, 7])
    y = np.array([0.3, 1.1, 0.2, 2.5, 0.9, 2.2])
    slope = column_space(np.column_stack([np.ones(6), 1e9 + x])).inverse[1] @ y
    assert slope == pytest.approx(np.polyfit(x, y, 1)[0], rel=1e-6)


def test_rows_of_any_size_come_to_unit_length() -> None:
    """Also where their squares would underflow or overflow; a row of zeros stays."""
    rows = unit_rows(np.array([[3e-300, 4e-300], [3e200, -4e200], [0, 0]]))
    assert rows == pytest.approx(np.array([[0.6, 0.8], [0.6, -0.8], [0, 0]]), rel=1e-15)
