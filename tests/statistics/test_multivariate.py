"""Wilks' lambda and Hotelling's T2 against statsmodels, scipy's formulas and a case worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from statsmodels.multivariate.manova import MANOVA

from bids_app.statistics.multivariate import is_regular, rao_df, rao_root, wilks_ratio


@pytest.mark.parametrize(("n_groups", "r", "n"), [(2, 2, 9), (3, 2, 12), (3, 4, 15), (4, 3, 20), (2, 5, 14)])
def test_wilks_equals_statsmodels(n_groups: int, r: int, n: int, rng: np.random.Generator) -> None:
    """Lambda's F with both degrees of freedom, of a one-way MANOVA."""
    group = np.arange(n) % n_groups
    y = rng.standard_normal((n, r)) + 0.6 * group[:, None] * np.arange(r)
    table = pd.DataFrame(y, columns=[f"y{i}" for i in range(r)]).assign(group=group)
    formula = f"{' + '.join(f'y{i}' for i in range(r))} ~ C(group)"
    expected = MANOVA.from_formula(formula, table).mv_test().results["C(group)"]["stat"].loc["Wilks' lambda"]
    full = np.eye(n_groups)[group]
    residuals = y - full @ (np.linalg.pinv(full) @ y)
    error, total = residuals.T @ residuals, (y - y.mean(0)).T @ (y - y.mean(0))
    q = n_groups - 1
    df = rao_df(q, r, n - n_groups)
    f = wilks_ratio(error[None], (total - error)[None], q) * df[1] / df[0]
    assert df == pytest.approx((expected["Num DF"], expected["Den DF"]))
    assert f[0] == pytest.approx(expected["F Value"], rel=1e-9)


def test_one_row_is_hotelling(rng: np.random.Generator) -> None:
    """T2 (v - r + 1) / (v r) from the mean and its inverse covariance, and its degrees of freedom."""
    d = rng.standard_normal((10, 3)) + 0.4
    t2 = 10 * d.mean(0) @ np.linalg.inv(np.cov(d.T)) @ d.mean(0)
    v, r = 9, 3
    error = (d - d.mean(0)).T @ (d - d.mean(0))
    ratio = wilks_ratio(error[None], 10 * np.outer(d.mean(0), d.mean(0))[None], 1)
    df = rao_df(1, r, v)
    assert df == (3, 7)
    assert ratio[0] * df[1] / df[0] == pytest.approx(t2 * (v - r + 1) / (v * r), rel=1e-12)


def test_one_dimension_is_the_ordinary_f() -> None:
    """With r = 1, s is 1 and the degrees of freedom are q and v, whatever q."""
    for q in (1, 2, 5):
        assert rao_root(q, 1) == 1
        assert rao_df(q, 1, 20) == (q, 20)
    # 6 / 3 by hand: lambda = 3 / 9
    assert wilks_ratio(np.array([[[3.0]]]), np.array([[[6.0]]]), 1)[0] == pytest.approx(2)


def test_rank_is_judged_whatever_the_units(rng: np.random.Generator) -> None:
    """Dimensions of very different size are regular, a copy of another dimension is not, nor is a constant one."""
    d = rng.standard_normal((12, 3)) * [1e-6, 1, 1e6]
    copied = np.column_stack([d[:, 0], d[:, 1], 3 * d[:, 1] + 1e-9 * rng.standard_normal(12)])
    constant = np.column_stack([d[:, :2], np.zeros(12)])
    error = np.array([each.T @ each for each in (d, copied, constant)])
    assert is_regular(error).tolist() == [True, False, False]
