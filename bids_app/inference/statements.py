"""What the corrections say of themselves, in the methods text, the sidecars and among the assumptions of a report."""

from __future__ import annotations

from bids_app.design.contrasts import Contrast
from bids_app.inference.dependence import bound_sentences, unproved_clause
from bids_app.inference.method import Use

AT_MOST = "\N{LESS-THAN OR EQUAL TO}"


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
