"""Methods text, the model: what the data were, which contrasts were tested, and against which error."""

from __future__ import annotations

from collections.abc import Sequence

from bids_app.console.text import joined
from bids_app.design.contrasts import Contrast
from bids_app.model.settings import has_slope_of_each_group
from bids_app.report.content import ContrastSection, NodeSection
from bids_app.report.text.overview import averaged_words, columns_as_they_are
from bids_app.report.wording import sided_words
from bids_app.spaces.atlas_catalogue import ATLASES
from bids_app.spaces.parcel_means import LEAST_PERCENT
from bids_app.statistics.kinds import KINDS

SPHERICITY = {"greenhouse-geisser": "Greenhouse\N{EN DASH}Geisser", "huynh-feldt": "Huynh\N{EN DASH}Feldt"}


def model_text(node: NodeSection, *, several: bool) -> str:
    """Return what the data were and how they were modelled.

    Parameters
    ----------
    node : NodeSection
    several : whether the text has other nodes, so that this one is named
    """
    design, factors = node.design, node.spec.settings.factors
    levels = [f"{factor.name} ({len(factor.levels)} levels: {', '.join(factor.levels)})" for factor in factors]
    conditions = len(design.cells)
    part = f" ({', '.join(node.inputs.part[1:])})" if node.inputs.part else ""
    opening = f'Node "{node.spec.name}"{part}. ' if several or part else ""
    source = "one map per subject" if conditions == 1 else f"{conditions} conditions ({', '.join(design.cells)})"
    layout = (
        f" in a within-subject design with the factor{'s' if len(levels) > 1 else ''} {joined(levels)}"
        if levels
        else ""
    )
    layout += _between_words(node)
    several_maps = averaged_words(node).capitalize()
    averaged = f"{several_maps} of a condition were averaged without weights. " if node.inputs.averages_runs else ""
    given = f" ({'; '.join(node.inputs.masks)})" if node.inputs.masks else ""
    held = f"the analysis mask{given} held {node.inputs.n_voxels:,} voxels"
    if node.facts.parcels:
        held = f"{node.inputs.n_voxels:,} parcels were analysed"
    return (
        f"{opening}First-level maps of {len(design.subjects)} subjects, {source}{layout}, entered a general "
        f"linear model in which subjects are a random effect; {held}. {averaged}{_before_words(node)}"
        f"{_parcel_words(node, given)}First-level variances were not used. For every contrast, the maps of each "
        "subject were combined into contrast scores, and these were tested over subjects."
    )


def _before_words(node: NodeSection) -> str:
    """Return what was done to the maps before the model; empty where nothing was."""
    settings, words = node.spec.settings, ""
    if settings.against:
        words += f"The value {settings.against:g} was subtracted from every map. "
    if settings.smoothing:
        words += (
            f"Every map was smoothed inside the analysis mask by a Gaussian of {settings.smoothing.fwhm:g} mm full "
            "width at half maximum, normalised at the edge of the mask. "
        )
    return words


def _parcel_words(node: NodeSection, mask: str) -> str:
    """Return where parcels come from; empty for other maps."""
    about, asked = node.facts.parcels, node.spec.settings.parcels
    if about is None:
        return ""
    if asked is not None:
        built_in = ATLASES.get(about.atlas)
        atlas = f"{built_in.in_text} atlas" if built_in else f"atlas image {about.atlas}"
        probable = (
            f", a place belonging to its most probable region, from {LEAST_PERCENT} % on"
            if built_in and built_in.is_probabilistic
            else ""
        )
        return (
            f"Parcels are the regions of the {atlas}{probable}: every map was averaged over the part of each region "
            f"that lies in the analysis mask{mask}, the same part in all maps. "
        )
    kind = "parcellated CIFTI files" if about.source == "CIFTI" else "tables with a value for each parcel"
    atlas = f" of the atlas {about.atlas}" if about.atlas else ""
    return f"The maps were {kind}{atlas}, as they had been averaged before. "


def _between_words(node: NodeSection) -> str:
    """Return by what the subjects differ; empty where the mean over them is all there is."""
    settings, said = node.spec.settings, []
    centred = {"grand": "centred on the mean", "group": "centred on the mean of each group", "none": "not centred"}
    if settings.between:
        noun = "factor" if len(settings.between) == 1 else "factors"
        said.append(
            f"the between-subject {noun} {joined(settings.between)} (groups weighted equally, whatever their sizes)"
        )
    if settings.covariates:
        noun = "covariate" if len(settings.covariates) == 1 else "covariates"
        said.append(f"the {noun} {joined(settings.covariates)} ({centred[settings.center]})")
    if slopes := [name for name in settings.covariates if has_slope_of_each_group(settings, name)]:
        said.append(f"slopes of {joined(slopes)} in each group")
    if not settings.between and node.design.groups:
        said.append(
            f"a column for each of the groups {joined(list(dict.fromkeys(node.design.groups)))} (weighted equally)"
        )
    if others := columns_as_they_are(node):
        said.append(f"the column{'s' if len(others) > 1 else ''} {joined(others)} (not centred)")
    return f", with {joined(said)}" if said else ""


def contrast_text(node: NodeSection) -> str:
    """Return which contrasts were tested, against which error, and what is special about their statistics."""
    t_tests = [s for s in node.contrasts if s.contrast.test == "t"]
    f_tests = [s for s in node.contrasts if s.contrast.test == "F"]
    sentences = []
    if t_tests:
        named = [f"{s.contrast.name} ({s.contrast.formula}; {s.statistic}, {sided_words(s.contrast)})" for s in t_tests]
        sentences.append(f"t contrasts: {'; '.join(named)}.")
    if f_tests:
        named = [f"{s.contrast.name} ({_effect_words(s, node)}{s.statistic})" for s in f_tests]
        sentences.append(f"F contrasts: {'; '.join(named)}.")
    sentences += _error_sentences([s.contrast for s in node.contrasts])
    for name, cited in (("greenhouse-geisser", "Greenhouse & Geisser, 1959"), ("huynh-feldt", "Lecoutre, 1991")):
        if any(s.contrast.sphericity == name for s in node.contrasts):
            sentences.append(
                f"For effects with several numerator degrees of freedom, the degrees of freedom of the parametric "
                f"p-values were corrected for non-sphericity at each voxel ({SPHERICITY[name]}; {cited})."
            )
    return " ".join([*sentences, *_special_sentences(node), *_absence_sentences(node)])


def _special_sentences(node: NodeSection, *, of_missing_maps: bool = False) -> list[str]:
    """Return which tests are not the ordinary t and F of scores."""
    sentences = []
    for kind, statistic in KINDS.items():
        of_kind = [s for s in node.contrasts if s.kind == kind and statistic.is_of_missing_maps == of_missing_maps]
        for sentence in dict.fromkeys(statistic.sentences.values()):
            names = [s.contrast.name for s in of_kind if statistic.sentences[s.statistic_name] == sentence]
            words = {"were": "was" if len(names) == 1 else "were", "groups": node.spec.settings.variance_groups}
            sentences += [sentence.format(names=joined(names), **words)] if names else []
    return sentences


def _absence_sentences(node: NodeSection) -> list[str]:
    """Return which contrasts lack maps, and how voxels that some subjects lack were analysed."""
    design, settings = node.design, node.spec.settings
    n_absent = len(design.subjects) * len(design.cells) - design.n_maps
    sentences = []
    if n_absent:
        fewer = [
            s for s in node.contrasts if s.n_subjects < len(design.subjects) and not KINDS[s.kind].is_of_missing_maps
        ]
        sentences.append("One map was missing." if n_absent == 1 else f"{n_absent} maps were missing.")
        if fewer:
            numbers = [f"{s.contrast.name} in {s.n_subjects} subjects" for s in fewer]
            sentences.append(f"Contrasts were tested in the subjects who had what they need: {joined(numbers)}.")
        sentences += _special_sentences(node, of_missing_maps=True)
    if settings.voxel_coverage < 1:
        sentences.append(
            f"Voxels that at least {100 * settings.voxel_coverage:g} % of the subjects had were analysed, each in the "
            "subjects who had it and with their degrees of freedom."
        )
    return sentences


def _effect_words(section: ContrastSection, node: NodeSection) -> str:
    """Return what an F contrast tests: the kind of effect, or its weights in words."""
    contrast, settings = section.contrast, node.spec.settings
    parts = contrast.name.split(":")
    factors = {*settings.between, *(factor.name for factor in settings.factors)}
    if not contrast.generated or not set(parts) <= factors:
        return f"{contrast.formula}; " if contrast.formula and not contrast.generated else ""
    if len(parts) > 1:
        return "interaction; "
    return "main effect; " if len(factors) > 1 else ""


def _error_sentences(contrasts: Sequence[Contrast]) -> list[str]:
    """Return against which error each contrast was tested; names only where they differ."""
    kinds = {
        "The error was pooled over all within-subject effects": [c for c in contrasts if c.error_term == "pooled"],
        "The error was the interaction of the effect with subjects": [
            c for c in contrasts if c.error_term != "pooled" and c.sums_to_zero
        ],
        "The error was the variance of the scores over subjects": [
            c for c in contrasts if c.error_term != "pooled" and not c.sums_to_zero
        ],
    }
    used = {words: found for words, found in kinds.items() if found}
    if len(used) == 1:
        return [f"{words}." for words in used]
    return [f"{words} for {joined([c.name for c in found])}." for words, found in used.items()]
