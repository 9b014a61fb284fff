"""Wording: how a correction, a threshold, a side or a number is written, in captions, page and methods text alike."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from bids_app.design.contrasts import Contrast
from bids_app.inference.catalogue import METHODS
from bids_app.inference.corrected_map import CorrectedMap
from bids_app.spaces.domain import SizeUnit
from bids_app.statistics.fit import ContrastFit

MM2 = "mm\N{SUPERSCRIPT TWO}"
MINUS = "\N{MINUS SIGN}"
AT_MOST = "\N{LESS-THAN OR EQUAL TO}"

NO_REGION = "\N{EN DASH}"  # in place of an atlas label


def in_order(inferences: Iterable[CorrectedMap]) -> list[CorrectedMap]:
    """Return corrected maps in the order of the catalogue: the primary one first."""
    order = list(METHODS)
    return sorted(inferences, key=lambda each: order.index(each.method))


def method_words(inference: CorrectedMap) -> str:
    """Return the name of a correction with its level: Voxel-wise FWE, p <= 0.05."""
    words = METHODS[inference.method].words
    extent = f", at least {inference.extent} voxels" if inference.extent > 1 else ""
    said = f"{words.name}, {words.symbol} {AT_MOST} {inference.alpha:g}{extent}"
    if inference.is_across:
        said += f", {family_words(inference.across, inference.n_families)}"
    return f"{said}, p approximate" if inference.tail else said


def family_words(across: int, n_families: int) -> str:
    """Return over how many contrasts a correction reaches, besides the voxels."""
    over = f"corrected over {across} contrasts too" if across > 1 else ""
    times = f"p multiplied by {n_families} (families of contrasts)" if n_families > 1 else ""
    return ", ".join(part for part in (over, times) if part)


def threshold_words(inference: CorrectedMap, fit: ContrastFit) -> str:
    """Return what a value had to reach, in the unit of the correction; empty where it differs between voxels."""
    words = METHODS[inference.method].words.threshold
    if inference.thresholds is not None and inference.null is not None:
        of_parts = [(part, inference.thresholds[part.name]) for part in inference.null.parts]
        said = [
            f"{part.name}: {_reached(_in_unit(words, part.unit), value, inference, fit)}"
            for part, value in of_parts
            if value is not None
        ]
        return "; ".join(said)
    if inference.threshold is None:
        return ""
    return _reached(of_sizes(words, inference), inference.threshold, inference, fit)


def _reached(words: str, value: float, inference: CorrectedMap, fit: ContrastFit) -> str:
    """Return a template on what had to be reached, filled in."""
    return words.format(
        statistic=maximised_words(inference, fit.contrast),
        relation=">" if inference.null is not None else "\N{GREATER-THAN OR EQUAL TO}",
        value=value,
        whole=math.floor(value),
        of_z=" of z" if inference.is_across else "",
    )


def _in_unit(words: str, unit: SizeUnit) -> str:
    """Return words on the sizes of clusters in the unit of a part."""
    if unit == "mm2":
        return words.replace("{whole:.0f} voxels", f"{{value:,.4g}} {MM2}")
    return words.replace(" voxels", " volume voxels")


def of_sizes(words: str, inference: CorrectedMap) -> str:
    """Return words on the sizes of clusters in their unit: voxels are counted, on surfaces they are areas."""
    if inference.null is None or inference.null.connectivity is not None:
        return words
    return words.replace("{whole:.0f} voxels", f"{{value:,.4g}} {MM2}").replace("(voxels)", f"({MM2})")


def sided_words(contrast: Contrast) -> str:
    """Return which side of the statistic is tested."""
    if contrast.test == "F":
        return "upper tail of F"
    return {
        "two": "two-sided",
        "positive": "one-sided (positive)",
        "negative": "one-sided (negative)",
    }[contrast.sided]


def tested_words(contrast: Contrast) -> str:
    """Return the statistic as it is seen from the tested side."""
    if contrast.test == "F":
        return "F"
    return {"two": "|t|", "positive": "t", "negative": f"{MINUS}t"}[contrast.sided]


def maximised_words(inference: CorrectedMap, contrast: Contrast) -> str:
    """Return the voxel's statistic whose maximum was taken: z where that was over contrasts too."""
    return "z" if inference.is_across else tested_words(contrast)


def null_title(inference: CorrectedMap, contrast: Contrast) -> str:
    """Return the name of what was maximised."""
    if inference.thresholds is not None:
        return f"{METHODS[inference.method].words.short}: {MINUS}log10 smallest p"
    return of_sizes(METHODS[inference.method].words.null_title, inference).format(
        statistic=maximised_words(inference, contrast)
    )


def number_words(value: float) -> str:
    """Return a statistic, size or mass with as many digits as can be read."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.2f}"


def in_sentence(words: str) -> str:
    """Return words that begin with the name of a correction as they stand inside a sentence."""
    for row in METHODS.values():
        if words.startswith(row.words.name):
            return row.words.in_sentence + words.removeprefix(row.words.name)
    return words


def p_words(p: float, method: str) -> str:
    """Return p = 0.012, p < 0.001; for the false discovery rate q, which is no p."""
    text = format_p(p)
    return f"{METHODS[method].words.symbol} {text if text.startswith(('<', '>')) else f'= {text}'}"


def format_p(p: float) -> str:
    """Return a p-value for people: 0.012, < 0.001, never 0.000."""
    if np.isnan(p):
        return "n/a"
    if p < 0.001:
        return "< 0.001"
    if p >= 1:
        return "1"
    if p > 0.9995:
        return "> 0.999"
    text = f"{p:.3f}"
    # 0.0504 must not look like 0.050 where the level is 0.05
    return f"{p:.4f}" if text == "0.050" and p > 0.05 else text


def coordinate(value: float) -> str:
    """Return a coordinate in tenths of a millimetre, whole where it is whole; halves are rounded as viewer.js does."""
    tenths = math.floor(abs(value) * 10 + 0.5)
    text = f"{tenths / 10:.1f}".removesuffix(".0")
    return f"{MINUS}{text}" if tenths and value < 0 else text


def place_words(xyz: Iterable[float]) -> str:
    """Return a place in mm, (x, y, z): (42, -51, -18)."""
    return f"({', '.join(coordinate(float(value)) for value in xyz)})"


def parcel_or_place(name: str | None, xyz: Iterable[float]) -> str:
    """Return where something is: the name of a parcel, or a place in mm."""
    return place_words(xyz) if name is None else name


def where_words(name: str | None, xyz: Iterable[float]) -> str:
    """Return the same as the end of a sentence: at (42, -51, -18) mm, in Fusiform_R."""
    return f"at {place_words(xyz)} mm" if name is None else f"in {name}"


def decimal(value: float) -> str:
    """Return a number with two decimals; what rounds to zero has no sign."""
    return f"{value:z.2f}".replace("-", MINUS)


def short_label(label: str) -> str:
    """Return an atlas label shortened: its two largest parts, words in place of codes, a dash for no region."""
    parts = [part for part in label.split("; ") if not part.endswith("in smaller parts")]
    words = [_region(part) for part in parts]
    named = [word for word in words if word and word != "n/a"]  # n/a: atlases do not know the place
    if not named:
        return NO_REGION
    rest = len(named) - 2
    return "; ".join(named[:2]) + (f" +{rest}" if rest > 0 else "")


def _region(part: str) -> str:
    """Return 36% R fusiform for 36.0% ctx-rh-fusiform; empty where it is no region."""
    share, _, name = part.rpartition("% ")
    if name in {"no_label", "Unknown", ""}:
        return ""
    for code, side in (("ctx-rh-", "R "), ("ctx-lh-", "L ")):
        name = name.replace(code, side)
    name = name.replace("_", " ").replace("Right-", "R ").replace("Left-", "L ")
    return f"{float(share):.0f}% {name}" if share else name
