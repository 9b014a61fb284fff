"""What permutations take for granted, what that costs where it does not hold, and how small p can be."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bids_app.console.text import a_few
from bids_app.design.contrasts import Contrast
from bids_app.report.content import ContrastSection, NodeSection
from bids_app.report.text.assumption import MAX_NAMES, Assumption, Used

SAME_WEIGHT = 1e-3  # of orthonormal rows: 0.333 is a third


def on_permutations(used: Used) -> Iterator[Assumption]:
    """Yield what permutations take for granted, and how small p can be."""
    if "sign-flip" in used.schemes:
        yield Assumption(
            "Sign-flips need symmetric errors",
            "Under the null hypothesis a subject's score must be as likely to lie above what the model expects of it "
            "(zero, where there is nothing but the mean) as equally far below. Scores that are skewed over subjects "
            "are not: with skewness 0.5, 1 and 2, simulated studies of 8 to 30 subjects without an effect found one in "
            "6 to 9 %, 15 to 23 % and over 50 % of cases, where 5 % were wanted, on the side away from the long tail. "
            "A parametric t is no better off. Diagnostics has the skewness of these data.",
        )
        yield Assumption("Which scores are symmetric by their weights", " ".join(_on_symmetry(used)))
    grouped = [node for node in used.nodes if node.spec.settings.variance_groups]
    if any(s.shuffling is not None and s.shuffling.scheme == "sign-flip" for node in grouped for s in node.contrasts):
        yield Assumption(
            "Flipping residuals with unequal variances is approximate",
            "With VarianceGroups the residuals change sign rather than swap places, so that variances need not be "
            "equal. In simulations with unequal groups and variances this found an effect in 3 to 8 % of studies "
            "without any (5 to 9 % for F of two dimensions), where 5 % were wanted.",
        )
    if "permute" in used.schemes:
        yield Assumption(
            "Permutations need exchangeable subjects",
            "Under the null hypothesis subjects of different groups must have the same distribution, their variances "
            "and covariances included." + _group_cost(used),
        )
    if used.schemes & {"within", "free"}:
        yield Assumption(
            "Swaps of maps need effects that do not vary over subjects",
            "Maps were swapped within subjects or freely, as other software does. Where the effect of a condition "
            "varies over subjects, simulated studies without an effect found one in 37 % to 96 % of cases, where 5 % "
            'were wanted. Shuffle "auto" permutes whole subjects and needs no such assumption.',
        )
    yield from _on_residuals(used)
    yield from _on_smallest_p(used)


def _on_residuals(used: Used) -> Iterator[Assumption]:
    """Yield what it costs that residuals are permuted and not errors, scheme by scheme."""
    shuffled = [(s, node) for node in used.nodes for s in node.contrasts if s.shuffling is not None]
    schemes = {s.shuffling.scheme for s, node in shuffled if s.shuffling and _shuffles_residuals(s, node)}
    if schemes:
        words = (
            "Where other columns stand in the model, what they explain is removed first, and the residuals are "
            "permuted (Freedman-Lane). In simulations with two such columns and normal errors, where 5 % were wanted,"
        )
        if "sign-flip" in schemes:
            words += (
                " sign-flips found an effect in 7 % of studies without any for 8 subjects, 6 % for 12, and 5 to 6 % "
                "for 16 and 20; with heavy-tailed covariates or errors in up to 10, 8.5, 8 and 7 %"
            )
        if "permute" in schemes:
            words += f"{';' if 'sign-flip' in schemes else ''} permutations of 12 to 16 subjects found one in 5 to 6 %"
        yield Assumption("Permuting residuals is approximate", f"{words}.")
    if any(s.contrast.error_term == "pooled" and s.shuffling.scheme == "sign-flip" for s, _ in shuffled if s.shuffling):
        yield Assumption(
            "Sign-flips with the pooled error are approximate",
            "The dimensions of the error that are not tested are flipped as residuals. In simulations this found an "
            "effect in 3 to 4 % of studies without any for 16 subjects, and in 1 to 3 % for 8 and 12, where 5 % were "
            "wanted: it errs on the safe side.",
        )


def _on_symmetry(used: Used) -> Iterator[str]:
    """Yield of each contrast with sign-flips whether its weights make scores symmetric, and what it costs if not."""
    kinds: dict[str, list[str]] = {"mirrored": [], "not mirrored": [], "mean": []}
    for name, section in used.named():
        if section.shuffling is not None and section.shuffling.scheme == "sign-flip":
            is_difference = np.allclose(section.contrast.within.sum(axis=1), 0)
            kind = "mean" if not is_difference else "mirrored" if is_mirrored(section.contrast) else "not mirrored"
            kinds[kind].append(name)
    if kinds["mirrored"]:
        yield (
            "Differences between conditions that are alike in all but their means are symmetric where the weights "
            "mirror each other, so that swapped conditions turn each weight into its negative, as in A \N{MINUS SIGN} "
            f"B. Here they do in {', '.join(kinds['mirrored'])}."
        )
    if kinds["not mirrored"]:
        yield (
            f"The weights of {', '.join(kinds['not mirrored'])} do not mirror each other, so that skewed conditions "
            "leave part of their skewness in the differences. How much hangs on the weights. With conditions of "
            "skewness 2, t for one of them minus the mean of eight others found an effect in 30 to 45 % of simulated "
            "studies of 8 to 30 subjects without any, where 5 % were wanted; in single voxels, on the side away from "
            "the long tail, one-sided p were at most 0.05 in 10 % and at most 0.001 in 1.0 %. The mean of six minus "
            "that of three found one in 8 % of studies, F for three levels of three conditions each in 5 %."
        )
    if kinds["mean"]:
        yield (
            f"The scores of {', '.join(kinds['mean'])} are means of maps, not differences between conditions: no "
            "weights make them symmetric where maps are skewed."
        )


def is_mirrored(contrast: Contrast) -> bool:
    """Whether some order of the cells turns the weights of all rows into their negatives.

    Then, and only then, are scores of like cells (exchangeable within a subject) symmetric about zero however the cells
    are distributed: with P the order, M P = -M, and M P y has the distribution of M y. It is so for one basis of the
    rows of M if it is so for any. The columns of M have to come in pairs of v and -v.
    """
    left = list(contrast.within.T)
    while left:
        column = left.pop()
        if np.allclose(column, 0, atol=SAME_WEIGHT):
            continue
        partner = next((i for i, other in enumerate(left) if np.allclose(other, -column, atol=SAME_WEIGHT)), None)
        if partner is None:
            return False
        left.pop(partner)
    return True


def _group_cost(used: Used) -> str:
    """Return the cost of unequal variances where groups are of unequal size."""
    for node in used.nodes:
        sizes = {node.design.groups.count(group) for group in node.design.groups}
        if len(sizes) > 1:
            return (
                " Groups of unequal size suffer most: with 5 and 15 subjects, the smaller group with twice the "
                "standard deviation, an effect was found in 70 % of simulated studies without any (10 and 10: 12 %), "
                "where 5 % were wanted. Diagnostics has the groups' standard deviations."
            )
    return ""


def _shuffles_residuals(section: ContrastSection, node: NodeSection) -> bool:
    """Whether the null hypothesis leaves columns whose removal makes the shuffles approximate."""
    if section.shuffling is None or section.shuffling.scheme not in ("sign-flip", "permute"):
        return False
    tested = len(section.contrast.between)
    left = len(node.design.subjects) - node.design.df_between - tested
    return left > (1 if section.shuffling.scheme == "permute" else 0)


def _on_smallest_p(used: Used) -> Iterator[Assumption]:
    """Yield what p cannot be smaller than, and which are not counted."""
    shufflings = [section.shuffling for section in used.sections if section.shuffling is not None]
    approximate = any(result.is_approximate for result in used.results)
    if shufflings:
        few = [s.contrast.name for s in used.sections if any(not result.can_pass for result in s.results)]
        words = "A permutation p-value cannot be smaller than one over the number of permutations"
        words += " (an approximate p: over the number that exist)" if approximate else ""
        words += ", times the number of families of contrasts" if used.is_across else ""
        words += f", here {min(each.smallest_p for each in shufflings):.2g}."
        if any(each.exhaustive for each in shufflings):
            words += " Where all that exist were used, more cannot be had but by more subjects."
        if any(not each.exhaustive for each in shufflings):
            words += (
                " Where only some of the permutations were drawn, p has a sampling error of about the square root of "
                "p (1 \N{MINUS SIGN} p) / N."
            )
        strong = (
            f"Too few permutations exist for any p-value to reach the level in {a_few(few, MAX_NAMES)}: nothing can be "
            "significant there by permutation."
            if few
            else ""
        )
        yield Assumption("The smallest possible p", words, strong)
    reasons = sorted({result.no_tail for result in used.results} - {""})
    if approximate or reasons:
        words = ""
        if approximate:
            words = (
                "Familywise p below 0.10 that are called approximate were not counted: they are those of a generalised "
                "Pareto distribution fitted to the largest maxima, and so is the critical value. From 500 "
                "permutations, 95 % of such fits make of a true p of 0.05 something between 0.036 and 0.068, of 0.01 "
                "between 0.003 and 0.018; far beyond all maxima p is an extrapolation. The sidecar of each map of p "
                "has the parameters."
            )
        words += "".join(f" Some p were to be approximated and were counted instead: {each}." for each in reasons)
        yield Assumption("Approximate p-values", words.strip())
