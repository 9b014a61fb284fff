"""Numbers with their spread, and the fits that show how a cost grows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Estimate:
    """One quantity, measured several times in turn with its rivals."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """What is reported."""
        return float(np.median(self.values))

    @property
    def low(self) -> float:
        """Smallest value."""
        return min(self.values)

    @property
    def high(self) -> float:
        """Largest value."""
        return max(self.values)

    def over(self, other: Estimate) -> Estimate:
        """Ratio to a rival, repetition by repetition: what slowed both down at the time cancels."""
        return Estimate(tuple(a / b for a, b in zip(self.values, other.values, strict=True)))

    def times(self, factor: float) -> Estimate:
        """Return the same in another unit."""
        return Estimate(tuple(factor * value for value in self.values))


@dataclass(frozen=True, slots=True)
class Line:
    """cost = fixed + slope * size, by least squares."""

    fixed: float
    slope: float
    r_squared: float


def line(sizes: Sequence[float], costs: Sequence[float]) -> Line:
    """Fit a straight line; R^2 near 1 means that the cost is linear."""
    x, y = np.asarray(sizes, float), np.asarray(costs, float)
    slope, fixed = np.polyfit(x, y, 1)
    left = np.square(y - fixed - slope * x).sum()
    return Line(float(fixed), float(slope), float(1 - left / np.square(y - y.mean()).sum()))


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Slope of log cost on log size: 1 is linear, less is a fixed part, more is worse than linear.

    Not a number where noise has made a cost negative.
    """
    if min(costs) <= 0:
        return math.nan
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])
