"""What a figure is: a picture with its words, or a page to look around in; one that fails costs itself alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Literal, TypeVar

from bids_app.report.figures.style import missing_png

Drawn = TypeVar("Drawn", bound="Figure | None")


@dataclass(frozen=True, slots=True)
class Figure:
    """One picture."""

    name: str
    """End of the file's name, such as desc-voxelFWE_slices."""
    png: bytes
    caption: str
    alt: str
    """What it shows, for those who do not see it."""
    kind: Literal["map", "chart"] = "map"
    """A map is drawn on black, a chart on white."""
    failure: str = ""
    """Why it could not be drawn; the picture and its words then say so."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """One page to look around in, kept beside the report because of its size."""

    name: str
    """End of the file's name."""
    page: str
    words: str
    """What the link to it says."""
    failure: str = ""
    """Why it could not be made; the page then says so."""


def attempt(name: str, draw: Callable[[], Drawn]) -> Drawn | Figure:
    """Draw a picture; where that fails, whatever the reason, it costs this picture and no result beside it.

    Parameters
    ----------
    name : of the picture, so that something stands in its place
    draw : makes it, or finds that there is nothing to draw
    """
    try:
        return draw()
    except Exception as error:
        failure = _reason(error)
    words = f"{name} could not be drawn ({failure}). Maps, tables and all numbers are as they should be."
    return Figure(name, missing_png(), words, words, "chart", failure)


def attempt_page(name: str, make: Callable[[], Viewer]) -> Viewer:
    """Make a page to look around in; as `attempt`."""
    try:
        return make()
    except Exception as error:
        failure = _reason(error)
    page = f"<!DOCTYPE html><meta charset=utf-8><title>{name}</title><p>This page could not be made: {escape(failure)}."
    return Viewer(name, page, f"{name}: could not be made ({failure})", failure)


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
