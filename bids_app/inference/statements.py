"""What the corrections say of themselves, in the methods text, the sidecars and among the assumptions of a report."""

from __future__ import annotations

from bids_app.design.contrasts import Contrast
from bids_app.inference.dependence import bound_sentences, unproved_clause
from bids_app.inference.method import Use

AT_MOST = "\N{LESS-THAN OR EQUAL TO}"
TRUE_DISCOVERIES = "True discoveries count voxels and name none"


def about_a_cluster(_: Contrast) -> str:
    """Return what a cluster-level result is about."""
    return "A result is about a cluster as a whole, not about its voxels."


def cluster_level(_: Use) -> tuple[str, str]:
    """Return what cluster-level inference cannot say."""
    return (
        "A cluster-level result is about the cluster",
        "That a cluster is significant by its size or its mass means that there is an effect somewhere in it. It does "
        "not say that any one of its voxels, or its peak, or each region it touches, has one. Only the voxel-wise "
        "results are about single voxels.",
    )


def about_support(_: Contrast) -> str:
    """Return what a TFCE result is about."""
    return "The evidence for a voxel comes from the whole region that supports it, which can exceed what is shown."


def tfce_level(_: Use) -> tuple[str, str]:
    """Return what TFCE cannot say."""
    return (
        "A TFCE result is about all that supports it",
        "The TFCE value of a voxel adds up, at every height from zero to its own, the size of the connected region "
        "that it belongs to there. That it is significant means that there is an effect somewhere in this region, "
        "which at low heights reaches beyond the voxels that are shown as significant. It does not say that this "
        "voxel has one.",
    )


def bonferroni_sentence(use: Use) -> str:
    """Return the sentence of the methods text."""
    return f"Parametric p-values were Bonferroni-corrected over voxels (p {AT_MOST} {use.alpha:g})."


def fdr_sentence(use: Use) -> str:
    """Return the sentence of the methods text, with the contrasts whose dependence is assumed."""
    return (
        f"The false discovery rate was controlled over voxels at {use.alpha:g} (Benjamini & Hochberg, 1995), for "
        "independent or positively dependent p-values (Benjamini & Yekutieli, 2001)"
        f"{unproved_clause(use.contrasts)}."
    )


def fdr_level(use: Use) -> tuple[str, str]:
    """Return what the false discovery rate bounds, and for which p."""
    return (
        "False discovery rate",
        "It bounds the expected share of false voxels among those shown, not the chance of any false one. A region may "
        f"consist of false ones alone. {bound_sentences(use.contrasts)}",
    )


def rft_sentence(use: Use) -> str:
    """Return the sentence of the methods text."""
    sides = ", half of it for each side of two-sided t" if _has_two_sides(use) else ""
    return (
        "Voxels were corrected for the familywise error by random field theory (Worsley et al., 1996), or by "
        f"Bonferroni where that gave the smaller p (p {AT_MOST} {use.alpha:g}{sides}); the smoothness was that of the "
        "standardised residuals (Kiebel et al., 1999)."
    )


def rft_cluster_sentence(use: Use) -> str:
    """Return the sentence of the methods text."""
    sides = ", half of it for each side of two-sided t" if _has_two_sides(use) else ""
    formed = ""
    if use.clusters is not None:
        formed = (
            f" Clusters were formed at an uncorrected one-tailed p of {use.clusters[0]:g} (not above 0.001: Eklund et "
            f"al., 2016), each voxel having {use.clusters[1]} neighbours."
        )
    return (
        "The size of clusters was corrected for the familywise error by random field theory (Friston et al., 1994; "
        f"Worsley et al., 1996; p {AT_MOST} {use.alpha:g}{sides}), with the smoothness of the standardised residuals "
        f"(Kiebel et al., 1999), which was assumed to be the same everywhere.{formed}"
    )


def _has_two_sides(use: Use) -> bool:
    return any(each.test == "t" and each.sided == "two" for each in use.contrasts.values())


def random_fields(_: Use) -> tuple[str, str]:
    """Return what random field theory takes for granted."""
    return (
        "Random field theory assumes smooth, stationary normal noise",
        "It takes the residuals to be a normal field, much smoother than the grid (at least three voxels FWHM along "
        "each axis), and its p-values of clusters take them to be equally smooth everywhere: where the noise is "
        "smoother, large clusters are found too easily. Its approximation holds for high thresholds: for voxels that "
        "of a familywise p, for clusters a forming p of at most 0.001, above which real data gave far more false "
        "clusters than 5 % (Eklund et al., 2016). Permutations do without all of this.",
    )


def about_a_random_field(_: Contrast) -> str:
    """Return what a voxel's p by random field theory rests on."""
    return "Familywise p of the voxel in a smooth random field, or Bonferroni's where that is smaller."


def about_clusters_of_a_field(contrast: Contrast) -> str:
    """Return what a cluster's p by random field theory is about and rests on."""
    return f"{about_a_cluster(contrast)} The noise is assumed to be equally smooth everywhere."


def ari_sentence(use: Use) -> str:
    """Return the sentence of the methods text."""
    return (
        "Lower bounds on how many voxels of a set have an effect were computed by all-resolutions inference "
        "(Rosenblatt et al., 2018; Goeman et al., 2019) from the parametric p-values, with "
        f"{_confidence(use)} confidence for all sets of voxels at once; they are valid where Simes' inequality holds, "
        "as it does under positive dependence."
    )


def ari_level(use: Use) -> tuple[str, str]:
    """Return what true discoveries bound, and for which p."""
    return (
        TRUE_DISCOVERIES,
        f"{_what_is_bounded(use)} They rest on parametric p-values, and are valid where Simes' inequality holds, as it "
        "does for independent and for positively dependent ones. The noise of neighbouring voxels is taken to be so; "
        "for two-sided p-values and for those of F this is assumed and not proved.",
    )


def calibrated_sentence(use: Use) -> str:
    """Return the sentence of the methods text."""
    return (
        "Lower bounds on how many voxels of a set have an effect were computed, with "
        f"{_confidence(use)} confidence for all sets of voxels at once (Blanchard et al., 2020), from critical values "
        "in the form of Simes' that were calibrated on the same permutations (Andreella et al., 2023)."
    )


def calibrated_level(use: Use) -> tuple[str, str]:
    """Return what true discoveries bound, and what they rest on."""
    return (
        TRUE_DISCOVERIES,
        f"{_what_is_bounded(use)} They rest on the permutations, and are valid where these are, whatever the "
        "dependence between voxels.",
    )


def _what_is_bounded(use: Use) -> str:
    """Return what the bounds say, and what they do not."""
    return (
        f"With {_confidence(use)} confidence, no bound of a contrast is too high, whichever set of voxels it is for, "
        "and however that was chosen. A bound says how many voxels of the set have an effect at the least, and not "
        "which; one of 0 says nothing. Each contrast is bounded on its own."
    )


def _confidence(use: Use) -> str:
    """Return the confidence of bounds: 95 %."""
    return f"{100 * (1 - use.alpha):g} %"


def uncorrected_sentence(use: Use) -> str:
    """Return the sentence of the methods text."""
    extent = f" in clusters of at least {use.extent} voxels" if use.extent > 1 else ""
    return f"For description only, maps were also thresholded at an uncorrected p {AT_MOST} {use.alpha:g}{extent}."


def about_no_correction(_: Contrast) -> str:
    """Return what an uncorrected map is for."""
    return "Not corrected for the number of voxels: for description only."


def uncorrected_level(use: Use) -> tuple[str, str]:
    """Return what an uncorrected map cannot say."""
    extent = "; the smallest cluster size that is asked for has no p-value behind it." if use.extent > 1 else "."
    return (
        "Uncorrected maps are descriptive",
        f"They show where the statistic is high. With this many voxels some pass without any effect{extent}",
    )
