"""What the diagnostics say: sentences, figures and the table of peaks of a contrast, and where subjects lack voxels."""

from __future__ import annotations

from collections.abc import Sequence

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Floats
from bids_app.console.text import a_few
from bids_app.design.contrasts import Contrast
from bids_app.inference.random_field import roughness_words
from bids_app.report.content import Checks, Finding
from bids_app.report.figures.background import Canvas, volume_of
from bids_app.report.figures.colour_scale import Scale
from bids_app.report.figures.diagnostic_charts import residuals_png, subjects_png
from bids_app.report.figures.figure import Figure, attempt
from bids_app.report.figures.slices import Layer, slices_png
from bids_app.report.wording import MINUS, decimal, format_p, parcel_or_place, place_words, where_words
from bids_app.spaces.domain import Element
from bids_app.statistics.diagnostics import Diagnostics
from bids_app.statistics.p_agreement import FEW, PAgreement
from bids_app.statistics.residual_shape import GroupSpread, ResidualShape
from bids_app.statistics.smoothness import METHOD, Smoothness
from bids_app.statistics.subject_influence import ROBUST_LIMIT, PeakInfluence, SubjectDistances

TIMES = "\N{MULTIPLICATION SIGN}"
CARRIES = 2 / 3  # a peak whose statistic falls below this share without one subject is driven by that subject
MORE_SKEWED = 0.1  # share of voxels with a skewness of 1 beyond that of normal noise, from which it is worth a warning
UNLIKE = 1.5  # ratio of two groups' standard deviations, from which it is worth a warning
APART = 2.0  # ratio of two p; parametric ones that are corrected for non-sphericity are often 1.5 times too large
MAX_LISTED = 5


def contrast_checks(
    contrast: Contrast,
    diagnostics: Diagnostics,
    smoothness: Smoothness | None,
    scheme: str | None,
    element: Element = "voxel",
    *,
    in_fields: bool = False,
) -> Checks:
    """Return what the diagnostics of a contrast found, in words and pictures.

    Parameters
    ----------
    contrast : Contrast
    diagnostics : of its scores and residuals
    smoothness : of its noise; None where it cannot be told
    scheme : of its shuffles; None without any
    element : what the maps consist of
    in_fields : whether p-values of random field theory rest on the smoothness
    """
    found = [_outlier_words(diagnostics.distances)]
    if diagnostics.peaks:
        found.append(_influence_words(diagnostics.peaks, contrast.test))
    found += [_skewness_words(diagnostics.shape, len(diagnostics.distances.subjects), scheme)]
    if diagnostics.groups:
        found.append(_group_words(diagnostics.groups, scheme))
    if element == "voxel":  # the estimate is that of grids
        found.append(_smoothness_words(smoothness, in_fields=in_fields))
    if diagnostics.agreement is not None:
        found.append(_agreement_words(diagnostics.agreement))
    drawn = _figures(contrast, diagnostics, found, element)
    return Checks(tuple(found), diagnostics.peaks, drawn, diagnostics.distances.outliers, smoothness)


def influence_rows(peaks: Sequence[PeakInfluence]) -> list[tuple[str, ...]]:
    """Return a row for each peak: place, statistic of all, the weakest without one, without whom, the median."""
    rows = []
    for peak in peaks:
        name, value = peak.most or ("", np.nan)
        left = peak.without[~np.isnan(peak.without)]
        middle = float(np.median(left)) if left.size else np.nan
        place = parcel_or_place(peak.name, peak.place)
        rows.append((place, *map(_number, (peak.statistic, value)), f"sub-{name}" if name else "n/a",
                     _number(middle)))  # fmt: skip
    return rows


def draw_coverage(
    coverage: NDArray[np.uint16], affine: Floats, n_subjects: int, canvas: Canvas, *, least: float = 1.0
) -> Figure | None:
    """Return the picture of how many subjects lack each voxel that others have; None where nobody lacks any.

    Parameters
    ----------
    coverage : (i, j, k) subjects that have each voxel, 0 outside of the brain
    affine : (4, 4) voxel index to mm
    n_subjects : int
    canvas : of the node
    least : share of the subjects that must have a voxel for it to be analysed
    """
    lacking = np.where(coverage > 0, n_subjects - coverage.astype(np.int32), 0)
    if not lacking.any():
        return None
    voxels = np.argwhere(lacking)
    worst = voxels[int(lacking[tuple(voxels.T)].argmax())]
    cut = affine[:3, :3] @ worst + affine[:3, 3]
    most, glass = int(lacking.max()), bool(canvas.outlines)
    volume = volume_of(nib.Nifti1Image(lacking.astype(np.float32), affine))
    scale = Scale(float(most), 0.0, float(most), "subjects")
    place = f"{place_words(cut)} mm"
    rule = "A voxel that one subject lacks is not analysed."
    if least < 1:
        rule = f"A voxel is analysed where at least {100 * least:g} % of the subjects have it, in those."
    lost = f"{len(voxels):,} voxel{'s' if len(voxels) > 1 else ''} that some subject's maps lack"
    return Figure(
        name="coverage",
        png=slices_png("Subjects without data", Layer(volume), cut, scale, canvas, glass=glass),
        caption=f"How many of the {n_subjects} subjects lack each voxel: {lost} and others have. Slices through "
        f"{place}, where {most} lack{'s' if most == 1 else ''} it. {rule}",
        alt=f"Slices{' and glass brain' if glass else ''} of {lost}, at most {most} of {n_subjects} subjects at one "
        "voxel.",
    )


def _outlier_words(distances: SubjectDistances) -> Finding:
    values, who = distances.distance, distances.outliers
    kind = "Mahalanobis distance of the scores" if distances.by_covariance else "distance of the scores"
    of_all = f"from {values.min():.2f} to {values.max():.2f}, where 1 is to be expected"
    rule = f"{ROBUST_LIMIT:g} robust standard deviations above the median"
    if not who:
        return Finding("Outlying subjects", f"None stands out: {kind}, over all voxels, {of_all}; none is {rule}.")
    size = dict(zip(distances.subjects, values, strict=True))
    ordered = sorted(who, key=lambda name: -size[name])
    named = a_few([f"sub-{name} ({size[name]:.2f})" for name in ordered], MAX_LISTED)
    return Finding(
        "Outlying subjects",
        f"{named}: {kind}, over all voxels, more than {rule} (all subjects {of_all}). Inspect the maps before "
        "excluding anybody, and report it in the paper.",
        is_warning=True,
    )


def _influence_words(peaks: Sequence[PeakInfluence], symbol: str) -> Finding:
    """Return the influence on the highest peak, and the peaks that are driven by a single subject."""
    first = peaks[0]
    words = f"{symbol} = {_number(first.statistic)} {where_words(first.name, first.place)}"
    if first.most is None:
        return Finding("Influence of single subjects", f"{words}; it cannot be estimated without any one subject.")
    name, value = first.most
    words += f" would be {_number(value)} without sub-{name}, the lowest that excluding one subject gives."
    carried = [peak for peak in peaks if peak.most is not None and _share(peak) < CARRIES]
    if carried:
        listed = "; ".join(
            f"{parcel_or_place(peak.name, peak.place)} on sub-{peak.most[0]}"
            for peak in carried
            if peak.most is not None
        )
        which = "Peaks" if first.name is None else "Parcels"
        words += f" {which} that lose over a third of their {symbol} without one subject: {listed}."
    return Finding("Influence of single subjects", words, bool(carried))


def _share(peak: PeakInfluence) -> float:
    """Return what is left of the statistic without the subject that matters most."""
    assert peak.most is not None
    return peak.most[1] / peak.statistic if peak.statistic else 1.0


def _skewness_words(shape: ResidualShape, n_subjects: int, scheme: str | None) -> Finding:
    """Return the skewness beside that of normal noise, and the two tails."""
    low, _, middle, _, high = shape.skewness
    along = " along the estimated effect" if shape.n_dimensions > 1 else ""
    excess = shape.beyond[1] - shape.beyond_normal[1]
    (far_below, far_above), _ = shape.tails
    words = (
        f"Skewness over subjects{along}: median {_number(middle)}, 90 % of voxels from {_number(low)} to "
        f"{_number(high)}; beyond \N{PLUS-MINUS SIGN}1 in {_percent(shape.beyond[1])} of voxels (normal noise of "
        f"{n_subjects} subjects: {_percent(shape.beyond_normal[1])}). One in a hundred standardised residuals lies "
        f"below {MINUS}{far_below:.2f}, and one above {far_above:.2f}."
    )
    if excess <= MORE_SKEWED:
        return Finding("Symmetry of residuals", words)
    if scheme == "sign-flip":
        words += (
            " More than normal noise would show: where the skewness is 1, sign-flips of 8 to 30 subjects found an "
            "effect in 15 to 23 % of simulated studies without any, on the side away from the long tail, where 5 % "
            "were wanted, and a parametric t did no better."
        )
    else:
        words += " More than normal noise would show, on which the parametric p rest."
    return Finding("Symmetry of residuals", words, is_warning=True)


def _group_words(groups: Sequence[GroupSpread], scheme: str | None) -> Finding:
    """Return each group's spread; a warning where equal ones are assumed."""
    named = ", ".join(f"{each.group} {each.sd[1]:.3g} ({each.n_subjects} subjects)" for each in groups)
    medians = [each.sd[1] for each in groups]
    ratio = max(medians) / min(medians) if min(medians) > 0 else np.inf
    words = f"Residual standard deviation at the median voxel: {named}."
    if ratio < UNLIKE:
        return Finding("Spread of the groups", words)
    words += f" The largest is {ratio:.1f} times the smallest."
    if scheme == "permute":
        words += (
            " Permutations take them to be equal: in simulations of 5 and 15 subjects, the smaller group with twice "
            "the spread, they found an effect in 70 % of studies without any (10 and 10: 12 %), where 5 % were wanted."
        )
    return Finding("Spread of the groups", words, is_warning=True)


def _smoothness_words(smoothness: Smoothness | None, *, in_fields: bool) -> Finding:
    title = "Smoothness of the noise"
    if smoothness is None:
        return Finding(title, "Cannot be estimated: no voxel has neighbours along all three axes in the mask.")
    mm, voxels = (
        f" {TIMES} ".join(f"{value:.1f}" for value in values) for values in (smoothness.fwhm_mm, smoothness.fwhm_voxels)
    )
    rough = roughness_words(smoothness) if in_fields else ""
    use = "The p-values of random field theory rest on it." if in_fields else "No p-value on this page uses it."
    return Finding(
        title,
        f"FWHM {mm} mm ({voxels} voxels) along the axes of the grid; {smoothness.voxels_per_resel:.1f} voxels per "
        f"resel. From the gradients of {smoothness.n_images} standardised residual images over "
        f"{smoothness.n_voxels:,} voxels ({METHOD}). {use}{f' But {rough}.' if rough else ''}",
        bool(rough),
    )


def _agreement_words(agreement: PAgreement) -> Finding:
    """Return how the two p of single voxels compare, where there are enough permutations."""
    title = "Agreement of permutation and parametric p"
    if agreement.largest is None:
        return Finding(
            title,
            f"Cannot be compared: no voxel's permutation p lies from {FEW}/{agreement.n_shuffles} on and below 1.",
        )
    parametric, permuted = agreement.largest
    assert agreement.place is not None
    where = where_words(agreement.name, agreement.place)
    few = f"{FEW}/{agreement.n_shuffles:,}"
    words = (
        f"Of single voxels, uncorrected. Where the permutation p is at least {few} they differ most {where}, "
        f"permutation p = {_p(permuted)}, parametric p = {_p(parametric)}."
    )
    ratio = agreement.median_ratio
    if ratio is None:
        return Finding(title, words)
    words += (
        f" Where the parametric p lies from {few} to 0.05, the permutation p is {ratio:.2f} times it at the median "
        "voxel."
    )
    return Finding(title, words, not 1 / APART <= ratio <= APART)


def _figures(
    contrast: Contrast, diagnostics: Diagnostics, found: Sequence[Finding], element: Element
) -> tuple[Figure, ...]:
    """Two charts, whose words are those of the findings."""
    said = {finding.title: finding.words for finding in found}
    first = [said[title] for title in ("Outlying subjects", "Influence of single subjects") if title in said]
    titles = ("Symmetry of residuals", "Agreement of permutation and parametric p")
    second = [said[title] for title in titles if title in said]
    part = f" Residuals of one voxel in {diagnostics.every}." if diagnostics.every > 1 else ""
    where = "in the strongest parcels" if element == "parcel" else "at the highest peaks"
    left_out = f" Right: {contrast.test} {where} with each subject left out in turn." if diagnostics.peaks else ""
    agree = (
        " Right: median permutation p of the voxels of each parametric p, and the range of 90 % of them; the line is "
        "the smallest p that the permutations can give."
        if diagnostics.agreement
        else ""
    )
    return (
        attempt(
            "desc-subjects_checks",
            lambda: Figure(
                name="desc-subjects_checks",
                png=subjects_png(diagnostics.distances, diagnostics.peaks, contrast.test, element),
                caption=f"Left: how far each subject's scores lie from what the model says of them.{left_out}{part}",
                alt=f"{contrast.name}. {' '.join(first)}",
                kind="chart",
            ),
        ),
        attempt(
            "desc-residuals_checks",
            lambda: Figure(
                name="desc-residuals_checks",
                png=residuals_png(diagnostics.shape, diagnostics.agreement, element),
                caption="Left: skewness of the residuals over subjects at each voxel. Second: all standardised "
                f"residuals; where they are symmetric, both curves are one.{agree}{part}",
                alt=f"{contrast.name}. {' '.join(second)}",
                kind="chart",
            ),
        ),
    )


def _number(value: float) -> str:
    return "n/a" if np.isnan(value) else decimal(value)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"


def _p(p: float) -> str:
    return f"{p:.2g}" if p < 0.001 else format_p(p)
