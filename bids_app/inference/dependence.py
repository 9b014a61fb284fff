"""Under which dependence of the voxels the false discovery rate is bounded, and which contrasts have it.

The bound of Benjamini & Hochberg holds for positive regression dependence on each of a subset (PRDS). That is proved
for one-sided p of positively correlated normal statistics, and not for absolute values, of which F is the square where
it has one dimension.

References
----------
Benjamini & Yekutieli 2001, doi 10.1214/aos/1013699998.
"""

from __future__ import annotations

from collections.abc import Mapping

from bids_app.console.text import joined
from bids_app.design.contrasts import Contrast

BOUND = "The bound holds for independent or positively dependent p-values (PRDS; Benjamini & Yekutieli, 2001)"


def has_one_side(contrast: Contrast) -> bool:
    """Whether p is that of one tail of t; an F has no sign."""
    return contrast.test == "t" and contrast.sided != "two"


def dependence_words(contrast: Contrast) -> str:
    """Return whether the p-values of a contrast are positively dependent, as a clause."""
    if has_one_side(contrast):
        return "one-sided p-values of positively correlated noise are taken to be so"
    which = "p-values of F" if contrast.test == "F" else "two-sided p-values"
    return f"{which} of dependent voxels are not covered, and it is assumed for them"


def bound_words(contrast: Contrast) -> str:
    """Return the condition of the bound, and whether a contrast meets it, as a sentence."""
    return f"{BOUND}; {dependence_words(contrast)}."


def bound_sentences(contrasts: Mapping[str, Contrast]) -> str:
    """Return the condition of the bound, and a sentence for each group of contrasts that meet it alike.

    Parameters
    ----------
    contrasts : name, as the text calls it -> contrast
    """
    kinds: dict[str, list[str]] = {}
    for name, contrast in contrasts.items():
        kinds.setdefault(dependence_words(contrast), []).append(name)
    said = [f"{words[0].upper()}{words[1:]} ({', '.join(names)})." for words, names in kinds.items()]
    return " ".join([f"{BOUND}.", *said])


def unproved_clause(contrasts: Mapping[str, Contrast]) -> str:
    """Return the clause that names the contrasts whose dependence is assumed; empty where it is proved for all."""
    kinds: dict[str, list[str]] = {"two-sided p-values": [], "p-values of F": []}
    for name, contrast in contrasts.items():
        if not has_one_side(contrast):
            kinds["p-values of F" if contrast.test == "F" else "two-sided p-values"].append(name)
    named = joined([f"{kind} of {joined(names)}" for kind, names in kinds.items() if names])
    return f", which was assumed and is not proved for {named}" if named else ""
