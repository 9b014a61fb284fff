"""What the tests of a page assume and how its results are to be read: each said where it applies, and only there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bids_app.design.contrasts import Contrast
from bids_app.report.content import ContrastSection, MethodResult, NodeSection
from bids_app.report.wording import FDR_BOUND, NULL_KEYS, dependence_words

CLUSTER_LEVEL = {"clusterSizeFWE", "clusterMassFWE", "tfceFWE"}
MAX_NAMES = 5
SAME_WEIGHT = 1e-3  # of orthonormal rows: 0.333 is a third


@dataclass(frozen=True, slots=True)
class Assumption:
    """One thing to know before a result is believed."""

    title: str
    words: str
    strong: str = ""
    """What must not be overlooked."""


@dataclass(frozen=True, slots=True)
class _Used:
    """What the page has, from which follows what it must say."""

    nodes: Sequence[NodeSection]
    sections: tuple[ContrastSection, ...]
    results: tuple[MethodResult, ...]
    methods: frozenset[str]
    schemes: frozenset[str]

    @property
    def is_parametric(self) -> bool:
        """Whether any p rests on a distribution."""
        return bool(self.methods - set(NULL_KEYS))

    @property
    def is_across(self) -> bool:
        """Whether any p is corrected over contrasts too."""
        return any(result.across > 1 or result.n_families > 1 for result in self.results)


def assumptions(nodes: Sequence[NodeSection], space: str = "") -> list[Assumption]:
    """List what applies to the results of a page, the most easily overlooked first.

    Parameters
    ----------
    nodes : of the page
    space : sentence on the space of the maps
    """
    sections = tuple(section for node in nodes for section in node.contrasts)
    results = tuple(result for section in sections for result in section.results)
    used = _Used(
        nodes,
        sections,
        results,
        frozenset(result.method for result in results),
        frozenset(section.shuffling.scheme for section in sections if section.shuffling is not None),
    )
    return [*_on_choosing(used), *_on_reading(used), *_on_shuffles(used), *_on_parametric(used), *_on_maps(used, space)]


def _on_choosing(used: _Used) -> Iterator[Assumption]:
    """Say over what is not corrected."""
    if len(used.sections) > 1:
        yield Assumption(
            "Each contrast is corrected on its own",
            "The corrections are for the many voxels of one map. They are not for looking at "
            f"{len(used.sections)} contrasts: the more of them, the likelier that one finds something by chance."
            + (
                " The exceptions are the familywise p from relabellings: these are corrected over the contrasts of a "
                "node too."
                if used.is_across
                else ""
            ),
        )
    if len(used.methods & set(NULL_KEYS)) > 1:
        yield Assumption(
            "Choose the correction before you look",
            "Voxel, cluster size, cluster mass and TFCE results are each corrected on their own. Taking the best of "
            "several finds something too often: with all four, in 8 to 11 % of simulated studies without any effect, "
            "not in 5 %.",
        )


def _on_reading(used: _Used) -> Iterator[Assumption]:
    """Say what a result is about."""
    one_row = any(s.contrast.test == "F" and len(s.contrast.within) == 1 for s in used.sections)
    if one_row and used.methods & CLUSTER_LEVEL:
        yield Assumption(
            "F and t of one difference can differ in clusters",
            "Where an F contrast has one row, F = t\N{SUPERSCRIPT TWO}, and voxel-wise and parametric results agree "
            "with those of the two-sided t. Cluster and TFCE results do not: an F joins both signs, forms clusters "
            "above another height (p one-tailed for t on each side, p of F for F), and is enhanced as z. Decide "
            "beforehand which to report.",
        )
    if used.methods & (CLUSTER_LEVEL - {"tfceFWE"}):
        yield Assumption(
            "A cluster-level result is about the cluster",
            "That a cluster is significant by its size or its mass means that there is an effect somewhere in it. It "
            "does not say that any one of its voxels, or its peak, or each region it touches, has one. Only the "
            "voxel-wise results speak of single voxels.",
        )
    if "tfceFWE" in used.methods:
        yield Assumption(
            "A TFCE result is about all that supports it",
            "The TFCE value of a voxel adds up, at every height from zero to its own, the size of the connected region "
            "that it belongs to there. That it is significant means that there is an effect somewhere in this region, "
            "which at low heights reaches beyond the voxels that are shown as significant. It does not say that "
            "this voxel has one.",
        )
    yield Assumption(
        "Effects at peaks are too large",
        "Peaks and clusters were picked from these data because they are high. Their effect sizes and means are "
        "therefore larger than they would be in new data, and a sample size planned from them would be too small.",
    )
    if "fdr" in used.methods:
        yield Assumption(
            "False discovery rate",
            "It bounds the expected share of false voxels among those shown, not the chance of any false one. A region "
            f"may consist of false ones alone. {' '.join(_on_dependence(used))}",
        )
    if "uncorrected" in used.methods:
        extent = any(result.extent > 1 for result in used.results)
        yield Assumption(
            "Uncorrected maps are descriptive",
            "They show where the statistic is high. With this many voxels some pass without any effect"
            + ("; the smallest cluster size that is asked for has no p-value behind it." if extent else "."),
        )


def _on_dependence(used: _Used) -> Iterator[str]:
    """Say of which contrasts the p-values have the dependence under which the false discovery rate is bounded."""
    kinds: dict[str, list[str]] = {}
    for name, section in _named(used):
        if any(result.method == "fdr" for result in section.results):
            kinds.setdefault(dependence_words(section.contrast), []).append(name)
    yield f"{FDR_BOUND}."
    for words, names in kinds.items():
        yield f"{words[0].upper()}{words[1:]} ({', '.join(names)})."


def _on_shuffles(used: _Used) -> Iterator[Assumption]:
    """Say what relabelling takes for granted, and how small p can be."""
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
            "Flipped residuals with unequal variances are an approximation",
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
            'were wanted. Shuffle "auto" relabels whole subjects and needs no such assumption.',
        )
    yield from _on_residuals(used)
    yield from _on_smallest_p(used)


def _on_residuals(used: _Used) -> Iterator[Assumption]:
    """Say what it costs that residuals are relabelled and not errors, scheme by scheme."""
    shuffled = [(s, node) for node in used.nodes for s in node.contrasts if s.shuffling is not None]
    schemes = {s.shuffling.scheme for s, node in shuffled if s.shuffling and _shuffles_residuals(s, node)}
    if schemes:
        words = (
            "Where other columns stand in the model, what they explain is taken out first, and the residuals are "
            "relabelled. In simulations with two such columns and normal errors, where 5 % were wanted,"
        )
        if "sign-flip" in schemes:
            words += (
                " sign-flips found an effect in 7 % of studies without any for 8 subjects, 6 % for 12, and 5 to 6 % "
                "for 16 and 20; with heavy-tailed covariates or errors in up to 10, 8.5, 8 and 7 %"
            )
        if "permute" in schemes:
            words += f"{';' if 'sign-flip' in schemes else ''} permutations of 12 to 16 subjects found one in 5 to 6 %"
        yield Assumption("Relabelled residuals are an approximation", f"{words}.")
    if any(s.contrast.error_term == "pooled" and s.shuffling.scheme == "sign-flip" for s, _ in shuffled if s.shuffling):
        yield Assumption(
            "Sign-flips with the pooled error are an approximation",
            "The dimensions of the error that are not tested are flipped as residuals. In simulations this found an "
            "effect in 3 to 4 % of studies without any for 16 subjects, and in 1 to 3 % for 8 and 12, where 5 % were "
            "wanted: it errs on the safe side.",
        )


def _on_symmetry(used: _Used) -> Iterator[str]:
    """Say of each contrast that flips signs whether its weights make scores symmetric, and what it costs if not."""
    kinds: dict[str, list[str]] = {"mirrored": [], "not mirrored": [], "mean": []}
    for name, section in _named(used):
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


def _named(used: _Used) -> Iterator[tuple[str, ContrastSection]]:
    """Give every contrast with its name, and its node's where there are several."""
    for node in used.nodes:
        where = f" ({node.spec.name})" if len(used.nodes) > 1 else ""
        yield from ((f"{section.contrast.name}{where}", section) for section in node.contrasts)


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


def _group_cost(used: _Used) -> str:
    """Give the cost of unequal variances where groups are of unequal size."""
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


def _on_smallest_p(used: _Used) -> Iterator[Assumption]:
    """Say what p cannot be smaller than, and which are not counted."""
    shufflings = [section.shuffling for section in used.sections if section.shuffling is not None]
    approximate = any(result.is_approximate for result in used.results)
    if shufflings:
        few = [s.contrast.name for s in used.sections if any(not result.can_pass for result in s.results)]
        words = "A p-value from relabellings cannot be smaller than one over their number"
        words += " (an approximate p: over the number that exist)" if approximate else ""
        words += ", times the number of families of contrasts" if used.is_across else ""
        words += f", here {min(each.smallest_p for each in shufflings):.2g}."
        if any(each.exhaustive for each in shufflings):
            words += " Where all that exist were used, more cannot be had but by more subjects."
        if any(not each.exhaustive for each in shufflings):
            words += (
                " Where only some of the relabellings were drawn, p has a sampling error of about the square root of "
                "p (1 \N{MINUS SIGN} p) / N."
            )
        strong = (
            f"Too few exist for any p to reach the level in {_some(few)}: nothing can be significant there by "
            "permutation."
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
                "relabellings, 95 % of such fits make of a true p of 0.05 something between 0.036 and 0.068, of 0.01 "
                "between 0.003 and 0.018; far beyond all maxima p is an extrapolation. The sidecar of each map of p "
                "has the parameters."
            )
        words += "".join(f" Some p were to be approximated and were counted instead: {each}." for each in reasons)
        yield Assumption("Approximate p-values", words.strip())


def _on_parametric(used: _Used) -> Iterator[Assumption]:
    """Say what the t and F distributions take for granted."""
    if not used.is_parametric:
        return
    if any(section.contrast.error_term == "pooled" for section in used.sections):
        yield Assumption(
            "The pooled error assumes sphericity over all conditions",
            "It takes every within-subject effect to vary equally between subjects. Where they do not, the parametric "
            "p-values of some effects are too small and those of others too large, and the Bonferroni and false "
            "discovery rate results inherit it: in simulations where subjects differed in one factor of a 3 "
            "\N{MULTIPLICATION SIGN} 3 design by half and by once the noise, t over that factor's levels had p "
            "\N{LESS-THAN OR EQUAL TO} 0.05 in 11 % and 20 % of voxels without an effect, F in 13 % and 27 %. "
            "Relabellings of whole subjects do not need this assumption.",
        )
    several = [s.contrast for s in used.sections if len(s.contrast.within) > 1 and s.contrast.error_term != "pooled"]
    if any(contrast.sphericity == "none" for contrast in several):
        yield Assumption(
            "Parametric F tests assume sphericity",
            "Where an effect has several numerator degrees of freedom, the differences that it compares are taken to "
            "vary equally between subjects, as no correction was asked for. Otherwise the parametric p and z are too "
            "extreme; p-values from relabellings do not need it.",
        )
    if any(contrast.sphericity in ("greenhouse-geisser", "huynh-feldt") for contrast in several):
        yield Assumption(
            "Parametric F tests are corrected for a lack of sphericity",
            "Where an effect has several numerator degrees of freedom, the differences that it compares should vary "
            "equally between subjects. The correction, listed with each contrast, is an estimate at each voxel. It "
            "changes the parametric p and z, but neither F nor the p-values from relabellings, which do not need it.",
        )
    yield from _on_other_statistics(used)
    relabelled = used.schemes & {"sign-flip", "permute"}
    yield Assumption(
        "Parametric p-values assume normal errors",
        "Bonferroni, false discovery rate and uncorrected results rest on the t and F distributions"
        + ("; the familywise ones from relabellings do not." if relabelled else "."),
    )
    if any(node.design.blocks for node in used.nodes):
        yield Assumption(
            "Parametric p-values ignore the exchangeability blocks",
            "They take all subjects to be independent. In simulations of 16 twins correlated by 0.5, parametric p were "
            "at most 0.05 in 11 % of voxels without an effect.",
        )


def _on_other_statistics(used: _Used) -> Iterator[Assumption]:
    """Say what multivariate tests, variance groups and partial coverage take for granted."""
    if any(section.contrast.sphericity == "multivariate" for section in used.sections):
        yield Assumption(
            "Multivariate F tests need no sphericity",
            "They estimate the whole covariance of the scores at each voxel, which takes many more subjects than "
            "dimensions to have power, and is taken to be the same in all groups.",
        )
    grouped = [node for node in used.nodes if node.spec.settings.variance_groups]
    plain = [s.contrast.name for node in grouped for s in node.contrasts if len(s.contrast.within) > 1]
    if plain:
        yield Assumption(
            "Parametric F tests of several dimensions assume equal covariances",
            f"VarianceGroups changes the statistic of one dimension only. The parametric p of {_some(plain)} take the "
            "groups to have equal covariances; their relabellings do not.",
        )
    if any(node.spec.settings.voxel_coverage < 1 for node in used.nodes):
        yield Assumption(
            "Subjects differ from voxel to voxel",
            "Where some subjects lack a voxel it is tested in the others, with fewer degrees of freedom (stat-dof). "
            "Such voxels take it that who lacks them has nothing to do with the effect." + _on_centring(used),
        )


def _on_centring(used: _Used) -> str:
    """Say over whom covariates are centred, where not every voxel has the same subjects."""
    partial = [node.spec.settings for node in used.nodes if node.spec.settings.voxel_coverage < 1]
    if not any(settings.covariates and settings.center != "none" for settings in partial):
        return ""
    return (
        " Covariates are centred over the subjects of the contrast, not over those of the voxel: everywhere a mean is "
        "that at one and the same value of the covariate."
    )


def _on_maps(used: _Used, space: str) -> Iterator[Assumption]:
    """Say what is taken for granted of subjects and maps."""
    if not any(node.design.blocks for node in used.nodes):
        yield Assumption(
            "Subjects are independent",
            "Nobody is in the data twice, and families or sites in which subjects are alike would have to be named "
            "(ExchangeabilityBlocks).",
        )
    words = (
        "Voxels are compared as they are: maps must be in one space, and their values in one unit across subjects (the "
        f"same scaling in the first-level models). {space}"
    )
    lost = [(subject, n) for node in used.nodes for subject, n in node.inputs.n_lost.items() if n]
    if lost:
        worst = sorted(lost, key=lambda each: -each[1])
        named = [f"sub-{subject} ({n:,})" for subject, n in worst]
        partial = any(node.spec.settings.voxel_coverage < 1 for node in used.nodes)
        fate = "tested in the others where these are enough" if partial else "not tested"
        words = f"{words.strip()} Voxels that a subject's maps miss are {fate}; they are missed by {_some(named)}."
    yield Assumption("All maps share one space and one unit", words.strip())
    averaged = any(node.inputs.averages_runs for node in used.nodes)
    yield Assumption(
        "All maps count equally",
        "The precision of the first-level estimates is not used"
        + (", and several runs of a condition are averaged without weights." if averaged else "."),
    )


def _some(names: Sequence[str]) -> str:
    """List a few names, and how many more there are."""
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
