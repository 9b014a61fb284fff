"""What the sidecars say: of statistics and effect sizes, of a contrast, its permutations and its corrected maps."""

from __future__ import annotations

import numpy as np

from bids_app.design.contrasts import Contrast
from bids_app.inference.catalogue import METHODS
from bids_app.inference.corrected_map import BoundFacts, CorrectedMap, OfRandomField
from bids_app.inference.pareto_tail import APPROXIMATE_BELOW
from bids_app.permutation.null_distribution import NullDistribution
from bids_app.permutation.shuffles import Shuffles
from bids_app.results.files import Json
from bids_app.statistics.fit import ContrastFit
from bids_app.statistics.kinds import KINDS

STATISTICS = {
    "effect": (
        "Contrast estimate, of means over subjects (adjusted for covariates where there are any) or of a covariate's "
        "slope, in the units of the input maps times the contrast weights"
    ),
    "variance": "Squared standard error of the effect: effect / sqrt(variance) = t",
    "t": "t statistic",
    "F": "F statistic",
    "z": "Standard normal deviate of the upper-tail p of the statistic (t: signed, one-tailed; F: one-sided)",
    "p": "Uncorrected parametric p of the contrast's sidedness",
    "hedgesg": (
        "Hedges' g, small-sample corrected: the effect in standard deviations, over subjects, of the contrast's own "
        "scores, or of all within-subject scores where ErrorTerm is pooled"
    ),
    "partialr": "Partial correlation of the subjects' scores with what the contrast weighs, t / sqrt(t^2 + df)",
    "etasq": "Partial eta squared: SSH / (SSH + SSE)",
    "epsilon": "Departure from sphericity; both degrees of freedom of the parametric p and z are multiplied by it",
    "dof": "Error degrees of freedom of the voxel, before any correction by epsilon",
}
INTERVALS = {
    "hedgesg": "limit of the 95 % confidence interval of Hedges' g, from the noncentral t distribution",
    "partialr": "limit of the 95 % confidence interval of the partial correlation, by Fisher's z, variance 1/(df - 1)",
    "etasq": (
        "limit of the 95 % confidence interval of partial eta squared, from the noncentral F distribution at the "
        "degrees of freedom of p. The lower limit is 0 until p < 0.025; the interval that excludes 0 where p < 0.05 is "
        "that of 90 %. Both limits are 0 where F is below the 2.5th percentile that it has without an effect"
    ),
}
OVER_PARTS = (
    "Parts have units of their own: each is ranked among the maxima of its part, and the smallest p over the parts is "
    "corrected by its own distribution over the same shuffles (Westfall-Young)"
)
VOXEL_UNCORRECTED = "uncorrected permutation p of the voxel's statistic"


def about_effect_size(fit: ContrastFit) -> Json:
    """Return what is special about an effect size where groups have variances of their own."""
    standardiser = KINDS[fit.kind].standardisers.get(fit.effect_size_name)
    return {"Standardiser": standardiser} if standardiser else {}


def is_within(contrast: Contrast) -> bool:
    """Whether the scores of a t are differences within subjects, so that Hedges' g is g_z."""
    return contrast.test == "t" and bool(np.allclose(contrast.within.sum(axis=1), 0))


def size_words(contrast: Contrast) -> str:
    """Return of which kind Hedges' g is within subjects; empty otherwise."""
    if not is_within(contrast):
        return ""
    return (
        "Within subjects this is g_z: in standard deviations of differences and not of a condition, so that it cannot "
        "be compared with g between groups."
    )


def of_effect_size(description: str, stat: str, fit: ContrastFit) -> str:
    """Return the description of an effect size, for Hedges' g with its kind."""
    words = size_words(fit.contrast) if stat == "hedgesg" else ""
    return f"{description}. {words}" if words else description


def about_contrast(fit: ContrastFit) -> Json:
    """Return the sidecar fields that all files of a contrast share."""
    contrast = fit.contrast
    kind = {"Statistic": fit.statistic_name} if fit.statistic_name else {}
    weights = contrast.cell_weights.tolist()
    return {
        "ContrastName": contrast.name,
        "ContrastWeights": weights[0] if contrast.test == "t" else weights,
        "ContrastInWords": contrast.formula,
        "Test": contrast.test,
        **kind,
        "DegreesOfFreedom": fit.df_error if contrast.test == "t" else [fit.df_effect, fit.df_error],
        "NumberOfSubjects": fit.n_subjects,
        "ErrorTerm": contrast.error_term,
        "Sphericity": contrast.sphericity,
        "Sided": contrast.sided,
    }


def about_shuffles(null: NullDistribution) -> Json:
    """Return the sidecar fields of what is permuted."""
    shuffles = null.shuffles
    return {
        "Shuffle": shuffles.scheme,
        "ShuffleDescription": shuffles.words,
        "NumberOfShuffles": shuffles.n_shuffles,
        "NumberOfPossibleShuffles": n_possible_words(shuffles),
        "Exhaustive": shuffles.exhaustive,
    }


def n_possible_words(shuffles: Shuffles) -> int | str:
    """Return how many shuffles exist, in words where it is more than other programs read as a whole number."""
    return shuffles.n_possible if shuffles.n_possible < 10**15 else shuffles.possible


def about_forming(null: NullDistribution) -> Json:
    """Return the sidecar fields of how clusters are formed."""
    return {"ClusterFormingThreshold": null.forming_threshold, **about_connectivity(null)}


def about_connectivity(null: NullDistribution) -> Json:
    """Return the sidecar field of which voxels are neighbours."""
    return {} if null.connectivity is None else {"Connectivity": null.connectivity}


def about_method(inference: CorrectedMap, fit: ContrastFit) -> Json:
    """Return the sidecar fields of one corrected map."""
    row, null = METHODS[inference.method], inference.null
    interpretation = row.words.interpretation(fit.contrast)
    return {
        "Correction": row.words.p,
        **({"OverParts": OVER_PARTS} if inference.thresholds is not None else {}),
        "Alpha": inference.alpha,
        "CriticalValue": inference.threshold if inference.thresholds is None else dict(inference.thresholds),
        "CriticalValueOf": _unit(inference, fit),
        **({"Interpretation": interpretation} if interpretation else {}),
        "MinimumExtent": inference.extent,
        "NumberOfSignificantVoxels": int(inference.significant.sum()),
        **(about_shuffles(null) if null else {}),
        **(about_forming(null) if null and row.forms_clusters else {}),
        **(about_connectivity(null) if null and "neighbours" in row.needs and not row.forms_clusters else {}),
        **(_family(inference) if inference.is_across else {}),
        **(_about_field(inference.random_field) if inference.random_field else {}),
    }


def _about_field(about: OfRandomField) -> Json:
    """Return the sidecar fields of the random field that a correction rests on; the file of the smoothness has all."""
    content: Json = {"FWHMmm": list(about.smoothness.fwhm_mm), "Resels": list(about.field.resels)}
    if about.forming_p is not None:
        content |= {"FormingP": about.forming_p, "ClusterFormingThreshold": about.height}
    return content if about.connectivity is None else content | {"Connectivity": about.connectivity}


def about_bounds(bounds: BoundFacts | None) -> Json:
    """Return the sidecar field of the bounds for sets of voxels; empty where there are none."""
    if bounds is None:
        return {}
    about = {"Method": bounds.method, "Description": METHODS[bounds.method].words.p, "Alpha": bounds.alpha}
    return {"TrueDiscoveries": about | {"StepOfP": bounds.step, "InWholeMask": bounds.n_true}}


def exponents_words(null: NullDistribution) -> str:
    """Return the exponents of TFCE, in each part where they differ."""
    if len({part.exponents for part in null.parts}) < 2:
        return "E {:g}, H {:g}".format(*null.exponents)
    return ", ".join(f"E {part.exponents.extent:g}, H {part.exponents.height:g} in {part.name}" for part in null.parts)


def _unit(inference: CorrectedMap, fit: ContrastFit) -> str:
    """Return what the critical value is a value of."""
    tested = {"two": "|t|", "positive": "t", "negative": "-t"}[fit.contrast.sided] if fit.contrast.test == "t" else "F"
    unit = METHODS[inference.method].words.unit
    if unit == "voxels" and inference.thresholds is not None:
        unit = "mm2 in parts that are surfaces, volume voxels in the part VOLUME"
    elif unit == "voxels" and inference.null is not None and inference.null.connectivity is None:
        unit = "mm2"  # the sizes of clusters on surfaces are areas
    return unit.format(statistic="z", of_z=" of z") if inference.is_across else unit.format(statistic=tested, of_z="")


def _family(inference: CorrectedMap) -> Json:
    """Return over how many contrasts the correction reaches."""
    families = {"FamiliesOfContrasts": inference.n_families} if inference.n_families > 1 else {}
    return {"ContrastsCorrectedTogether": inference.across, **families}


def about_tail(inference: CorrectedMap) -> Json:
    """Return which p are approximate, or why none is though it was asked for; empty where it was not."""
    if inference.no_tail:
        words = f"not used: {inference.no_tail}. All p are shares of the shuffles."
        return {"TailApproximation": words}
    fit = inference.tail
    if fit is None:
        return {}
    below = f"p below {APPROXIMATE_BELOW:g}"
    if inference.n_families > 1:
        below += f" (before they were multiplied by {inference.n_families}, the number of families)"
    return {
        "TailApproximation": {
            "Description": f"{below} are approximate: those of a generalised Pareto distribution of the maxima above "
            "Threshold, Share * (1 - Shape * (x - Threshold) / Scale) ^ (1 / Shape)",
            "Threshold": fit.threshold,
            "Scale": fit.scale,
            "Shape": fit.shape,
            "Share": fit.share,
            "AndersonDarlingP": fit.anderson_darling_p,
            "Reference": "Winkler et al. 2016, doi 10.1016/j.neuroimage.2016.05.068",
        }
    }


def about_logp(p: str) -> Json:
    """Return the sidecar fields of a map of -log10 p; `p` is what it is the p of."""
    return {"Description": f"-log10 of the {p}", "Transform": "-log10"}
