"""Wording: how a correction, a threshold, a side or a number is written, in captions, page and methods text alike."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from bids_app.design.contrasts import Contrast
from bids_app.inference.corrections import ContrastInference
from bids_app.statistics.fit import ContrastFit

MINUS = "\N{MINUS SIGN}"
AT_MOST = "\N{LESS-THAN OR EQUAL TO}"

# Best first: the one whose map is looked at closely. Fixed beforehand, never chosen by what survives.
METHODS: dict[str, str] = {
    "voxelFWE": "Voxel-wise FWE",
    "tfceFWE": "TFCE (FWE)",
    "clusterMassFWE": "Cluster mass (FWE)",
    "clusterSizeFWE": "Cluster size (FWE)",
    "bonferroni": "Bonferroni",
    "fdr": "False discovery rate",
    "uncorrected": "Uncorrected",
}
NULL_TITLES = {
    "voxel": "Maximum {}",
    "clusterSize": "Largest cluster (voxels)",
    "clusterMass": "Heaviest cluster (mass)",
    "tfce": "Maximum TFCE",
}
NULL_KEYS = {"voxelFWE": "voxel", "clusterSizeFWE": "clusterSize", "clusterMassFWE": "clusterMass", "tfceFWE": "tfce"}
FDR_BOUND = "The bound holds for independent or positively dependent p-values (PRDS; Benjamini & Yekutieli, 2001)"
NO_REGION = "\N{EN DASH}"  # in place of an atlas label
ATLAS_HEADS = {"aal": "AAL", "desikan_killiany": "Desikan-Killiany", "harvard_oxford": "Harvard-Oxford"}


def in_order(inferences: Iterable[ContrastInference]) -> list[ContrastInference]:
    """Sort corrected maps in the order of METHODS: the primary one first."""
    order = list(METHODS)
    return sorted(inferences, key=lambda each: order.index(each.method))


def method_words(inference: ContrastInference) -> str:
    """Name a correction with its level: Voxel-wise FWE, p <= 0.05."""
    extent = f", at least {inference.extent} voxels" if inference.extent > 1 else ""
    sign = "q" if inference.method == "fdr" else "p"
    words = f"{METHODS[inference.method]}, {sign} {AT_MOST} {inference.alpha:g}{extent}"
    if inference.is_across:
        words += f", {family_words(inference.across, inference.n_families)}"
    return f"{words}, p approximate" if inference.tail else words


def family_words(across: int, n_families: int) -> str:
    """Say over how many contrasts a correction reaches, besides the voxels."""
    over = f"corrected over {across} contrasts too" if across > 1 else ""
    times = f"p multiplied by {n_families} (families of contrasts)" if n_families > 1 else ""
    return ", ".join(part for part in (over, times) if part)


def threshold_words(inference: ContrastInference, fit: ContrastFit) -> str:
    """Say what a value had to reach, in the unit of the method; empty where it differs between voxels."""
    if inference.threshold is None:
        return ""
    key = NULL_KEYS.get(inference.method, "voxel")
    of = " of z" if inference.is_across else ""
    if key == "clusterSize":
        return f"clusters of more than {np.floor(inference.threshold):.0f} voxels"
    if key == "clusterMass":
        return f"cluster mass{of} above {inference.threshold:.1f}"
    if key == "tfce":
        return f"TFCE{of} above {inference.threshold:.1f}"
    symbol = maximised_words(inference, fit.contrast)
    relation = ">" if inference.null is not None else "\N{GREATER-THAN OR EQUAL TO}"
    return f"{symbol} {relation} {inference.threshold:.2f}"


def sided_words(contrast: Contrast) -> str:
    """Say which side of the statistic is tested."""
    if contrast.test == "F":
        return "upper tail of F"
    return {
        "two": "two-sided",
        "positive": "one-sided (positive)",
        "negative": "one-sided (negative)",
    }[contrast.sided]


def reading_words(method: str, contrast: Contrast) -> str:
    """Say what a corrected map is about and rests on; empty where it speaks of single voxels by a familywise p."""
    if method in ("clusterSizeFWE", "clusterMassFWE"):
        return "A result is about a cluster as a whole, not about its voxels."
    if method == "tfceFWE":
        return "The evidence for a voxel comes from the whole region that supports it, which can exceed what is shown."
    if method == "uncorrected":
        return "Not corrected for the number of voxels: for description only."
    return fdr_words(contrast) if method == "fdr" else ""


def fdr_words(contrast: Contrast) -> str:
    """Say under which dependence the false discovery rate is bounded, and whether the contrast's p have it."""
    return f"{FDR_BOUND}; {dependence_words(contrast)}."


def dependence_words(contrast: Contrast) -> str:
    """Say whether the p-values of a contrast are positively dependent in the sense of PRDS.

    Notes
    -----
    It is proved for one-sided p of positively correlated normal statistics, and not for absolute values, of which F is
    the square where it has one dimension.
    """
    if has_one_side(contrast):
        return "one-sided p-values of positively correlated noise are taken to be so"
    which = "p-values of F" if contrast.test == "F" else "two-sided p-values"
    return f"{which} of dependent voxels are not covered, and it is assumed for them"


def is_within(contrast: Contrast) -> bool:
    """Whether the scores of a t are differences within subjects, so that Hedges' g is g_z."""
    return contrast.test == "t" and bool(np.allclose(contrast.within.sum(axis=1), 0))


def size_words(contrast: Contrast) -> str:
    """Say of which kind Hedges' g is within subjects; empty otherwise."""
    if not is_within(contrast):
        return ""
    return (
        "Within subjects this is g_z: in standard deviations of differences and not of a condition, so that it cannot "
        "be compared with g between groups."
    )


def has_one_side(contrast: Contrast) -> bool:
    """Whether p is that of one tail of t; an F has no sign."""
    return contrast.test == "t" and contrast.sided != "two"


def tested_words(contrast: Contrast) -> str:
    """Write the statistic as it is seen from the tested side."""
    if contrast.test == "F":
        return "F"
    return {"two": "|t|", "positive": "t", "negative": f"{MINUS}t"}[contrast.sided]


def maximised_words(inference: ContrastInference, contrast: Contrast) -> str:
    """Write the voxel's statistic whose maximum was taken: z where that was over contrasts too."""
    return "z" if inference.is_across else tested_words(contrast)


def null_title(inference: ContrastInference, contrast: Contrast) -> str:
    """Name what was maximised."""
    return NULL_TITLES[NULL_KEYS[inference.method]].format(maximised_words(inference, contrast))


def number_words(value: float) -> str:
    """Write a statistic, size or mass so that it can be read."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.2f}"


def in_sentence(words: str) -> str:
    """Put the name of a method inside a sentence; TFCE and Bonferroni keep their capitals."""
    return words if words[:2].isupper() or words.startswith("Bonferroni") else words[0].lower() + words[1:]


def p_words(p: float, method: str) -> str:
    """Write p = 0.012, p < 0.001; for the false discovery rate q, which is no p."""
    text = format_p(p)
    return f"{'q' if method == 'fdr' else 'p'} {text if text.startswith(('<', '>')) else f'= {text}'}"


def format_p(p: float) -> str:
    """Write a p-value for people: 0.012, < 0.001, never 0.000."""
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
    """Write a coordinate in tenths of a millimetre, whole where it is whole; halves are rounded as viewer.js does."""
    tenths = math.floor(abs(value) * 10 + 0.5)
    text = f"{tenths / 10:.1f}".removesuffix(".0")
    return f"{MINUS}{text}" if tenths and value < 0 else text


def place_words(xyz: Iterable[float]) -> str:
    """Write a place in mm, (x, y, z): (42, -51, -18)."""
    return f"({', '.join(coordinate(float(value)) for value in xyz)})"


def decimal(value: float) -> str:
    """Write a number with two decimals; what rounds to zero has no sign."""
    return f"{value:z.2f}".replace("-", MINUS)


def short_label(label: str) -> str:
    """Shorten an atlas label: its two largest parts, words in place of codes, a dash for no region."""
    parts = [part for part in label.split("; ") if not part.endswith("in smaller parts")]
    words = [_region(part) for part in parts]
    named = [word for word in words if word]
    if not named:
        return NO_REGION
    rest = len(named) - 2
    return "; ".join(named[:2]) + (f" +{rest}" if rest > 0 else "")


def _region(part: str) -> str:
    """Turn 36.0% ctx-rh-fusiform into 36% R fusiform; empty where it is no region."""
    share, _, name = part.rpartition("% ")
    if name in {"no_label", "Unknown", ""}:
        return ""
    for code, side in (("ctx-rh-", "R "), ("ctx-lh-", "L ")):
        name = name.replace(code, side)
    name = name.replace("_", " ").replace("Right-", "R ").replace("Left-", "L ")
    return f"{float(share):.0f}% {name}" if share else name
