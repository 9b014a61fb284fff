"""The colours of maps: blue below zero, red above, and from which value on they are not faint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colors
from numpy.typing import NDArray

from bids_app.report.figures.style import LIGHT, Place
from bids_app.statistics.fit import ContrastFit

BAR_MM = 72.0  # room for the colour scale and its numbers, on a sheet that is not shrunk

# Blue to cyan below zero, red to yellow above; made for a black background.
BOTH_SIGNS = colors.LinearSegmentedColormap.from_list(
    "both",
    [
        (0.0, "#d4f7ff"),
        (0.17, "#5cc3ff"),
        (0.34, "#2a74ee"),
        (0.499, "#1b3a9c"),
        (0.501, "#a3150f"),
        (0.66, "#e8431b"),
        (0.83, "#ff9f2e"),
        (1.0, "#fff2a8"),
    ],
)
ONE_SIGN = colors.ListedColormap(BOTH_SIGNS(np.linspace(0.501, 1, 256)), name="one")  # the half of it above zero


@dataclass(frozen=True, slots=True)
class Scale:
    """Colours of a map; those of a statistic are the same in all figures of a contrast."""

    largest: float
    lower: float
    upper: float
    symbol: str
    faint_below: float = 0.0
    """Smaller absolute values are drawn fainter; with 0 all are drawn alike."""

    def colour(self, values: NDArray[Any]) -> NDArray[Any]:
        """Turn values into red, green and blue, (..., 3); the colour map always spans both signs."""
        norm = colors.Normalize(-self.largest, self.largest)
        return np.asarray(BOTH_SIGNS(norm(values)))[..., :3]


def full_opacity(fit: ContrastFit) -> float:
    """Return the statistic at p = 0.001, from which on the unthresholded map is opaque."""
    strong = np.abs(fit.statistic[fit.p <= 0.001])
    return float(strong.min()) if strong.size else max(float(np.abs(fit.statistic).max()), 1e-6)


def paint_colour_bar(place: Place, scale: Scale, left: float, height: float) -> None:
    """Draw the colour scale, only the part of it that is in use."""
    axes = place.axes(left, height * 0.14, 8.0, height * 0.72)
    values = np.linspace(scale.lower, scale.upper, 200)
    axes.imshow(
        scale.colour(values)[:, None],
        extent=(0, 1, scale.lower, scale.upper),
        origin="lower",
        aspect="auto",
    )
    ticks = sorted({scale.lower, 0.0, scale.upper})
    axes.yaxis.tick_right()
    axes.set_yticks(ticks, [f"{tick:.3g}".replace("-", "\N{MINUS SIGN}") for tick in ticks])
    axes.set_xticks([])
    axes.tick_params(colors=LIGHT, length=0, labelsize=8)
    axes.spines[:].set_visible(False)
    place.text(scale.symbol, left, height * 0.86 + 9)
