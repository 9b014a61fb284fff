"""Familywise p by random field theory: of single voxels, and of clusters by their size.

The field is that of t or F over the mask, as smooth as the residual scores of the contrast's own error. A two-sided t
has two fields, t and -t, and half of alpha for each. Where the degrees of freedom of F are corrected by epsilon, voxel
by voxel, F is replaced by that of the same p at the nominal ones, so that all voxels are of one field.

References
----------
Worsley et al. 1996, doi 10.1002/(SICI)1097-0193(1996)4:1<58::AID-HBM4>3.0.CO;2-O; Friston et al. 1994, doi
10.1002/hbm.460010306; Eklund et al. 2016, doi 10.1073/pnas.1602413113 (the forming height).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import special

from bids_app.arrays import Floats
from bids_app.design.contrast_test import ContrastTest
from bids_app.errors import DataError, ModelError
from bids_app.inference.corrected_map import CorrectedMap, OfRandomField
from bids_app.inference.evidence import Evidence
from bids_app.inference.parametric import of_extent
from bids_app.model.parametric_settings import ParametricSettings, asked_by_random_fields
from bids_app.model.settings import GroupLevelSettings
from bids_app.spaces.clusters import label_components
from bids_app.spaces.volume import VolumeDomain
from bids_app.statistics.fit import ContrastFit
from bids_app.statistics.random_fields import FieldOfStatistic, resel_counts
from bids_app.statistics.smoothness import Smoothness
from bids_app.statistics.sums_of_squares import SUMS_OF_SQUARES

LEAST_FWHM = 3.0  # voxels; of rougher maps the grid shows too little for the theory of continuous fields
_NO_FIELD = {
    "incomplete": "some subjects lack maps, and a pooled error of unequal numbers of maps leaves residuals that vary "
    'differently; write "Missing": "drop" with "ErrorTerm": "partitioned"',
    "multivariate": "its F is a transformed T2 or lambda, whose random field is another than that of F; choose another "
    "Sphericity",
    "unequal-variances": "with VarianceGroups the degrees of freedom of its statistic differ from voxel to voxel, as "
    "they do in no field of t or F; remove VarianceGroups",
}


def uses_random_fields(settings: GroupLevelSettings) -> bool:
    """Return whether a model asks for a correction by random field theory."""
    return bool(asked_by_random_fields(settings.parametric))


def check_random_fields(where: str, settings: GroupLevelSettings, tests: Sequence[ContrastTest], kind: str) -> None:
    """Stop where random field theory is asked for and some contrast has no field.

    Parameters
    ----------
    where : place of the settings in the model file
    settings : GroupLevelSettings
    tests : of all contrasts
    kind : of the maps, such as volume; parcels where voxels are averaged

    Raises
    ------
    ModelError
        With the reason.
    """
    asked = asked_by_random_fields(settings.parametric)
    if problem := next(_without_field(settings, tests, kind), None) if asked else None:
        others = "remove it: bonferroni, fdr and Permutation do without"
        raise ModelError(f"{where}.Parametric: {asked[0]} cannot be used: {problem}, or {others}.")


def _without_field(settings: GroupLevelSettings, tests: Sequence[ContrastTest], kind: str) -> Iterator[str]:
    """Yield why there is no field over the mask."""
    if kind != "volume":
        yield f"random field theory is for voxels of a volume, and the maps are of kind {kind}; analyse volumes"
    if settings.voxel_coverage < 1:
        yield (
            f"with VoxelCoverage {settings.voxel_coverage:g} subjects differ from voxel to voxel, and there are no "
            "whole maps of residuals, of which the smoothness could be estimated; write 1"
        )
    for test in tests:
        if test.kind != SUMS_OF_SQUARES.key:
            yield f"{test.contrast.name}: {_NO_FIELD[test.kind]}"


def checked_smoothness(smoothness: Smoothness | None, name: str) -> Smoothness:
    """Return the smoothness of a contrast's noise, which random field theory cannot do without.

    Parameters
    ----------
    smoothness : of the noise
    name : of the contrast

    Raises
    ------
    DataError
        Where it could not be estimated.
    """
    if smoothness is None:
        raise DataError(
            f"{name}: random field theory needs the smoothness of the noise, which cannot be estimated: no voxel has a "
            "neighbour along each of the three axes in the mask, or the residuals do not vary from voxel to voxel. Use "
            "a mask of several slices, or remove rft and rft-cluster from Parametric."
        )
    return smoothness


def roughness_words(smoothness: Smoothness) -> str:
    """Return a warning where maps are too rough for random field theory; empty where they are not."""
    if min(smoothness.fwhm_voxels) >= LEAST_FWHM:
        return ""
    fwhm = ", ".join(f"{value:.1f}" for value in smoothness.fwhm_voxels)
    return (
        f"the noise has a FWHM of {fwhm} voxels, and random field theory takes it to be smooth, of at least "
        f"{LEAST_FWHM:g} voxels along each axis. Below that its p-values of voxels are too large, and those of "
        "clusters cannot be trusted: smooth the maps, or rely on permutations"
    )


def rft(evidence: Evidence, asked: ParametricSettings) -> CorrectedMap:
    """Return the contrast thresholded at the familywise p of its height in a random field."""
    fit, sides = evidence.fit, _heights(evidence.fit)
    field, smoothness = _field_of(evidence)
    p = np.minimum(1.0, len(sides) * field.height_p(np.max(sides, axis=0)))
    height = field.critical_height(asked.alpha / len(sides))
    significant = of_extent(p <= asked.alpha, fit, asked.extent, evidence.domain)
    return CorrectedMap(
        "rftFWE",
        p,
        asked.alpha,
        significant,
        None if fit.epsilon is not None else height,  # it differs from voxel to voxel
        asked.extent,
        None,
        random_field=OfRandomField(field, smoothness, height),
    )


def rft_cluster(evidence: Evidence, asked: ParametricSettings) -> CorrectedMap:
    """Return the contrast thresholded at the familywise p of the size of each cluster above a height."""
    sides = _heights(evidence.fit)
    field, smoothness = _field_of(evidence)
    height = field.critical_height_at(asked.forms_at)
    p = np.ones(evidence.fit.p.shape)
    for heights in sides:
        labels = label_components(heights > height, evidence.domain.topology)
        resels = np.bincount(labels) / smoothness.voxels_per_resel
        of_clusters = np.minimum(1.0, len(sides) * field.cluster_p(resels, height))
        of_clusters[0] = 1.0  # what is in no cluster
        p = np.minimum(p, of_clusters[labels])
    critical = field.critical_extent(asked.alpha / len(sides), height) * smoothness.voxels_per_resel
    return CorrectedMap(
        "rftClusterFWE",
        p,
        asked.alpha,
        p <= asked.alpha,
        max(1.0, float(np.ceil(critical))) if np.isfinite(critical) else None,
        0,
        None,
        random_field=OfRandomField(field, smoothness, height, asked.forms_at, evidence.domain.connectivity),
    )


def _field_of(evidence: Evidence) -> tuple[FieldOfStatistic, Smoothness]:
    """Return the field of a contrast over the mask, and the smoothness by which its resels are counted."""
    fit, domain, smoothness = evidence.fit, evidence.domain, evidence.smoothness
    assert isinstance(domain, VolumeDomain)
    assert smoothness is not None
    r0, r1, r2, r3 = map(float, resel_counts(domain.mask, smoothness.fwhm_voxels))
    df = (float(fit.df_effect), float(fit.df_error))
    return FieldOfStatistic(fit.contrast.test, df, (r0, r1, r2, r3), fit.p.size), smoothness


def _heights(fit: ContrastFit) -> tuple[Floats, ...]:
    """Return how high each field lies that is tested: of a two-sided t two, t and -t; (n_voxels,) each."""
    t = fit.statistic
    if fit.contrast.test == "t":
        return {"two": (t, -t), "positive": (t,), "negative": (-t,)}[fit.contrast.sided]
    if fit.epsilon is None:
        return (fit.statistic,)
    df1, df2 = fit.df_effect, fit.df_error
    share = special.betaincinv(df2 / 2, df1 / 2, np.maximum(fit.p, np.finfo(np.float64).tiny))
    return (np.asarray(df2 * (1 - share) / (df1 * share)),)
