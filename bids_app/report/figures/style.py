"""Sheets: what every picture is drawn on, in which style, and how it becomes PNG bytes.

Nothing of matplotlib's global state is used or left changed, and the same values give the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import figure as mpl_figure
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image, ImageDraw

DPI = 120
INCH_PER_MM = 0.0104  # of brain: three slices and their scale are 720 pixels wide

NIGHT, FAINT, LIGHT = "#0c0d0f", "#8b93a1", "#e8eaee"  # behind maps; cross hairs; words on them
INK, QUIET, ACCENT, WARM = "#1d2530", "#8a94a3", "#2f6fb3", "#c8452d"  # charts, on white

# Typed as anything: matplotlib names its many keys one by one.
STYLE: Any = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8.0,
    "text.usetex": False,
    "axes.unicode_minus": True,
    "axes.linewidth": 0.6,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 9.0,
    "axes.titlelocation": "left",
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "path.simplify": True,
}

NO_STAMP: Any = {"Software": None}  # no version in the files, so that equal figures are equal bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Puts things onto a sheet whose unit is a mm of brain."""

    figure: mpl_figure.Figure
    width: float
    height: float

    def axes(self, left: float, bottom: float, width: float, height: float) -> Axes:
        """Add axes with their lower left corner there."""
        margin = 4.0
        box = (
            (left + margin) / self.width,
            (bottom + margin) / self.height,
            width / self.width,
            height / self.height,
        )
        return self.figure.add_axes(box)

    def text(self, text: str, left: float, bottom: float, size: float = 8.0, width: float = np.inf) -> None:
        """Write a few light words, and no more of them than fit into a width."""
        x, y = (left + 4.0) / self.width, (bottom + 4.0) / self.height
        self._fit(self.figure.text(x, y, drawable(text), color=LIGHT, fontsize=size), width)

    def title(self, text: str) -> None:
        """Write a line at the top, and no more of it than fits."""
        x, y = 7.0 / self.width, 1 - 13.0 / self.height
        line = self.figure.text(x, y, drawable(text), color=LIGHT, fontsize=9, va="center_baseline", weight="bold")
        self._fit(line, self.width - 10.0)

    def _fit(self, written: Text, width: float) -> None:
        """Cut what is wider, and show it."""
        text, pixels = written.get_text(), width / self.width * self.figure.bbox.width
        n_signs = len(text)
        while n_signs > 1 and written.get_window_extent().width > pixels:
            n_signs -= 1
            written.set_text(shortened(text, n_signs))


@contextmanager
def map_sheet(width_mm: float, height_mm: float, shrink: float = 1.0) -> Iterator[tuple[mpl_figure.Figure, Place]]:
    """Open a black sheet measured in mm of brain."""
    width, height = width_mm + 8.0, height_mm + 8.0
    inch = INCH_PER_MM * shrink
    with mpl.rc_context(STYLE):
        figure = mpl_figure.Figure(figsize=(width * inch, height * inch), dpi=DPI, facecolor=NIGHT)
        FigureCanvasAgg(figure)
        yield figure, Place(figure, width, height)


def map_png(figure: mpl_figure.Figure) -> bytes:
    """Write a map as PNG with a palette of 256 colours: a third of the size, and no difference to be seen."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]
    colours, index = _palette(pixels // 8)
    picture = Image.fromarray(index, mode="P")
    picture.putpalette(colours.ravel().tolist())
    buffer = io.BytesIO()
    picture.save(buffer, format="png", compress_level=9)
    return buffer.getvalue()


def _palette(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Keep the 256 most frequent colours, and give every other pixel the nearest of them.

    Parameters
    ----------
    pixels : (rows, columns, 3) of 32 steps: so few colours are counted without sorting

    Returns
    -------
    colours : (n_colours, 3) of 256 steps
    index : (rows, columns) number of each pixel's colour
    """
    packed = pixels.astype(np.int32) @ np.array([1024, 32, 1], np.int32)
    counts = np.bincount(packed.ravel(), minlength=32**3)
    found = np.flatnonzero(counts)
    rgb = np.stack([found >> 10, found >> 5 & 31, found & 31], axis=1).astype(np.int32)
    kept = np.sort(np.argsort(-counts[found], kind="stable")[:256])
    nearest = np.zeros(32**3, np.uint8)
    nearest[found] = ((rgb[:, None] - rgb[kept]) ** 2).sum(axis=2).argmin(axis=1)
    return (rgb[kept] * 8 + 4).astype(np.uint8), nearest[packed]


@contextmanager
def chart_sheet(width: float, height: float) -> Iterator[mpl_figure.Figure]:
    """Open a white sheet, in inches, for a chart."""
    with mpl.rc_context(STYLE):
        figure = mpl_figure.Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def chart_png(figure: mpl_figure.Figure) -> bytes:
    """Write a chart as PNG; no time and no version in it, so that equal figures are equal files."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata=NO_STAMP, pil_kwargs={"compress_level": 9})
    return buffer.getvalue()


def drawable(text: str) -> str:
    """Replace the signs that the font does not have; matplotlib would warn of each."""
    known = get_font(findfont(FontProperties(family=["DejaVu Sans"]))).get_charmap()
    return "".join(sign if ord(sign) in known else "\N{WHITE SQUARE}" for sign in text)


def shortened(text: str, n_signs: int) -> str:
    """Cut a text that is too long, and show it."""
    return text if len(text) <= n_signs else f"{text[: n_signs - 1]}\N{HORIZONTAL ELLIPSIS}"


def missing_png() -> bytes:
    """Draw what stands in the place of a picture that could not be drawn, without anything that may fail again."""
    image = Image.new("RGB", (720, 90), "white")
    ImageDraw.Draw(image).text((20, 38), "This picture could not be drawn: its caption says why.", fill=INK)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
