"""The table of z: its error bound over the whole range of df, signs, both ends."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bids_app.permutation.z_tables import FAR, NEAR, as_statistic, as_z, height, heights_of, nodes
from bids_app.statistics.distributions import f_to_z, t_to_z

DF = [(1, 1), (1, 15), (2, 4), (2, 22), (4, 60), (8, 120), (11, 121), (24, 5000), (2, 1e5)]


def ratios_at(roots: np.ndarray, factor: float) -> np.ndarray:
    return np.asarray(np.square(roots) / factor, np.float32)


@pytest.mark.parametrize("df", DF)
@pytest.mark.parametrize("test", ["t", "F"])
def test_z_is_within_its_bound(test: str, df: tuple[float, float]) -> None:
    """Within 1e-6 max(1, z) of the special functions at the middle of intervals, where a straight line errs most."""
    heights = as_z(test, df)
    near, far = nodes(heights.start)
    middles = np.concatenate([(near[:-1] + near[1:])[::7] / 2, np.sqrt(far[:-1] * far[1:])[::7]])
    ratios = ratios_at(middles, heights.factor)
    roots = np.sqrt(ratios.astype(float) * heights.factor)  # what single precision made of them
    exact = t_to_z(roots, df[1]) if test == "t" else f_to_z(np.square(roots), *df)
    exact = np.maximum(exact, 0)
    error = np.abs(heights_of(ratios, heights) - exact)
    # single precision of the nodes and of the result adds 2^-24 each, relative
    assert np.max(error / (1e-6 * np.maximum(1, exact) + 2.0**-23 * exact)) < 1


@pytest.mark.parametrize("df", [(2.0, 22.0), (8.0, 120.0)])
def test_the_bound_of_a_straight_line_holds_by_its_second_derivative(df: tuple[float, float]) -> None:
    """step^2 / 8 max |z''| by differences of the nodes themselves is below 1e-6 max(1, z) in both halves."""
    for roots in nodes(as_z("F", df).start):
        z = f_to_z(np.square(roots), *df)
        # step^2 z'' = the second difference; the first nodes, at the median, have a steeper one and count too
        bound = np.abs(np.diff(z, 2)) / 8
        assert np.max(bound / np.maximum(1, z[1:-1])) < 1e-6


def test_z_rises_with_the_ratio_and_keeps_the_sign_of_t() -> None:
    """Monotone over 14 orders of magnitude across the joint of the two halves; odd; 0 at and below the start."""
    ratios = np.geomspace(1e-6, 1e8, 200_001).astype(np.float32)
    for test in ("t", "F"):
        assert np.all(np.diff(heights_of(ratios, as_z(test, (3.0, 40.0)))) >= 0)
    for heights in (as_z("t", (1.0, 12.0)), as_statistic(12.0)):
        assert np.array_equal(heights_of(-ratios, heights), -heights_of(ratios, heights))
    median = stats.f.median(3, 40) * 3 / 40
    assert height(np.float32(median * 0.99), as_z("F", (3.0, 40.0))) == 0
    assert NEAR < FAR


def test_without_a_table_the_height_is_t() -> None:
    """t = sign sqrt(ratio df)."""
    ratios = np.array([-4, 0, 0.25, 9], np.float32)
    assert heights_of(ratios, as_statistic(16.0)).tolist() == [-8, 0, 2, 12]


def test_a_ratio_without_error_stays_finite() -> None:
    """The largest ratio that the kernels let through, 1e14, has a z at any df."""
    for df in DF:
        assert np.isfinite(height(np.float32(1e14), as_z("F", df)))
        assert np.isfinite(height(np.float32(1e14), as_z("t", (1.0, df[1]))))


def test_heights_of_a_map_are_those_of_its_elements_to_the_last_bit(rng: np.random.Generator) -> None:
    """A map without tables is computed several elements at a time."""
    odd = [0, -0.0, np.nan, np.inf, -np.inf, 1e-45, -1e-45, 3e38]
    ratios = np.concatenate([rng.standard_cauchy(1003), odd]).astype(np.float32)
    for to_height in (as_statistic(11.0), as_z("t", (1.0, 11.0))):
        finite = ratios if to_height.near.size == 0 else ratios[np.isfinite(ratios)]
        expected = np.array([height(ratio, to_height) for ratio in finite], np.float32)
        assert np.array_equal(heights_of(finite, to_height).view(np.uint32), expected.view(np.uint32))
