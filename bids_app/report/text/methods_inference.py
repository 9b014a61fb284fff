"""Methods text, the inference: permutations, corrections for multiple testing, approximate p."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bids_app.console.text import joined
from bids_app.inference.catalogue import METHODS, by_permutation
from bids_app.inference.method import Method, Use
from bids_app.report.content import NodeSection, Shuffling
from bids_app.report.text.assumption import Used
from bids_app.report.wording import AT_MOST

SURFACES, VOLUME = "on surfaces", "in the volume"


def inference_text(node: NodeSection, seed: int | None) -> str:
    """Return how p was corrected for multiple testing: by permutations first, then by the other corrections.

    Parameters
    ----------
    node : NodeSection
    seed : of the permutations; told where they were drawn
    """
    used = uses(node)
    shuffled = by_permutation(used)
    sentences = _permutation_sentences(node, shuffled) if shuffled else []
    if seed is not None and any(s.shuffling and not s.shuffling.exhaustive for s in node.contrasts):
        sentences.append(f"The random seed was {seed}.")
    sentences += [METHODS[key].words.sentence(use) for key, use in used.items()]
    return " ".join(filter(None, sentences))


def uses(node: NodeSection) -> dict[str, Use]:
    """Return the keys of the corrections that a node used, in the order of the catalogue, and where each was used.

    Bounds for sets of voxels have no map of their own: what is known of them stands in the contrast.
    """
    used = Used.by((node,))
    return {key: replace(used.use(key), clusters=_formed(node, METHODS[key])) for key in used.methods}


def _formed(node: NodeSection, row: Method) -> tuple[float, int] | None:
    """Return the forming p and the neighbours of a voxel of a parametric correction of clusters; None of others."""
    settings = node.spec.settings
    asked = [each for each in settings.parametric if each.correction == row.option]
    return (asked[0].forms_at, settings.connectivity) if asked and row.forms_clusters else None


def _permutation_sentences(node: NodeSection, rows: Sequence[Method]) -> list[str]:
    """Return what was permuted, what was maximised, and what that assumes."""
    section = next(s for s in node.contrasts if s.shuffling is not None)
    shuffling = section.shuffling
    assert shuffling is not None
    alpha = next(result.alpha for result in section.results if result.is_permutation)
    maximised = joined([row.words.maximised.format(exponents=_exponents_words(shuffling)) for row in rows])
    sentences = [
        f"Inference was non-parametric, by {_drawn_words(node)} "
        "(Winkler et al., 2014; Phipson & Smyth, 2010), and p-values were corrected for the familywise error over "
        "voxels with the distribution of the maximum (Nichols & Holmes, 2002) of "
        f"{maximised}, each at p {AT_MOST} {alpha:g}."
    ]
    sentences += _part_sentences(shuffling, rows) + _reach_sentences(node) + _tail_sentences(node)
    sentences += _neighbour_sentences(node, rows, shuffling.connectivity)
    sentences += _statistic_sentences(node, rows)
    risky = [s for s in node.contrasts if s.shuffling and s.shuffling.scheme in ("within", "free")]
    if risky:
        sentences.append(
            f"For {joined([s.contrast.name for s in risky])} this assumes that effects do not vary across subjects; "
            "where they do, the rate of false positives exceeds the level."
        )
    if node.design.between.shape[1] > 1:
        sentences.append(
            "Between-subject terms that were not tested were regressed out first, and the residuals were permuted and "
            "fitted with the full model (Freedman & Lane, 1983)."
        )
    if any(s.contrast.error_term == "pooled" for s in node.contrasts):
        sentences.append(
            "The dimensions of the pooled error that were not tested were residualised first (Freedman & Lane, 1983)."
        )
    return sentences


def _neighbour_sentences(node: NodeSection, rows: Sequence[Method], connectivity: int | None) -> list[str]:
    """Return how clusters were formed, and which voxels were neighbours."""
    settings = node.spec.settings.permutation
    neighbours = f"each voxel having {connectivity} neighbours" if connectivity else _mesh_words(node)
    if not connectivity and settings is not None and _has_parts(node):
        n = settings.connectivity
        neighbours += f"; in the volume, where sizes are numbers of volume voxels, each had {n} neighbours"
    others = [row.words.short for row in rows if "neighbours" in row.needs and not row.forms_clusters]
    if settings is not None and any(row.forms_clusters for row in rows):
        named = settings.cluster_forming_t
        level = f"an uncorrected one-tailed p of {settings.cluster_forming_p:g}"
        if named is not None:
            level = f"a statistic of {named:g}"
        formed = f"Clusters were formed at {level}, {neighbours}."
        return [formed, *([f"{joined(others)} used the same neighbours."] if others else [])]
    if not connectivity:
        return [f"{joined(others)} went {_mesh_words(node)}."] if others else []
    return [f"For {joined(others)} each voxel had {connectivity} neighbours."] if others else []


def _mesh_words(node: NodeSection) -> str:
    """Return what neighbours and sizes are on surfaces."""
    facts = node.facts.grayordinates.surfaces if node.facts.grayordinates else node.facts.surface
    meshes = " and ".join(dict.fromkeys(facts.meshes)) if facts else "the mesh"
    return (
        f"over the edges of the triangles ({meshes}), the two hemispheres apart; sizes are areas, where a vertex has a "
        "third of the area of each of its triangles"
    )


def _has_parts(node: NodeSection) -> bool:
    """Return whether some of the parts are counted in voxels, and others are surfaces."""
    return any(part.unit == "1" for s in node.contrasts if s.shuffling for part in s.shuffling.parts)


def _exponents_words(shuffling: Shuffling) -> str:
    """Return the exponents of TFCE, by the kind of part where they differ."""
    found = {part.exponents: SURFACES if part.unit == "mm2" else VOLUME for part in shuffling.parts}
    if len(found) < 2:
        return "E = {:g}, H = {:g}".format(*shuffling.exponents)
    return " and ".join(f"E = {each.extent:g}, H = {each.height:g} {where}" for each, where in found.items())


def _part_sentences(shuffling: Shuffling, rows: Sequence[Method]) -> list[str]:
    """Return how parts with units of their own were corrected together."""
    apart = [row.words.maximised for row in rows if row.statistic != "voxel"]
    if not shuffling.parts or not apart:
        return []
    parts = joined([f"{part.name} ({'areas' if part.unit == 'mm2' else 'volume voxels'})" for part in shuffling.parts])
    over = "The statistic of single voxels had one maximum over all parts. " if len(apart) < len(rows) else ""
    return [
        f"The maps consist of parts with units of their own: {parts}. {over}All else was ranked among the maxima "
        "of its part, and the smallest p over the parts was corrected by its own distribution over the same "
        "permutations (the minimum p of Westfall and Young; Winkler, Webster, et al., 2016)."
    ]


def _statistic_sentences(node: NodeSection, rows: Sequence[Method]) -> list[str]:
    """Return from which statistic cluster mass and TFCE of F contrasts are computed."""
    used = [row.words.of_f for row in rows if row.words.of_f]
    if not used or not any(s.contrast.test == "F" and s.shuffling is not None for s in node.contrasts):
        return []
    return [f"For F, {joined(used)} {'were' if len(used) > 1 else 'was'} computed on its z."]


def _reach_sentences(node: NodeSection) -> list[str]:
    """Return over what the familywise correction reaches besides the voxels."""
    results = [result for section in node.contrasts for result in section.results if result.is_permutation]
    n_families = max(result.n_families for result in results)
    sentences = []
    if any(result.across > 1 for result in results):
        sentences.append(
            "The maximum was also taken across contrasts sharing the same permutations, after converting statistics to "
            "z with nominal degrees of freedom."
        )
    if n_families > 1:
        sentences.append(
            f"The contrasts formed {n_families} families with permutations of their own; familywise p-values "
            "were multiplied by that number (Bonferroni)."
        )
    return sentences


def _tail_sentences(node: NodeSection) -> list[str]:
    """Return which p-values are approximate; nothing where all are ranks."""
    permuted = [(s, result) for s in node.contrasts for result in s.results if result.is_permutation]
    kept = [
        f"{METHODS[result.method].words.name} of {s.contrast.name}"
        for s, result in permuted
        if not result.is_approximate
    ]
    if len(kept) == len(permuted):
        return []
    but = f"; no tail was used, and p-values were counted, for {joined(kept)}" if kept else ""
    return [
        "Familywise p-values below 0.10 are approximate: they are those of a generalised Pareto distribution that was "
        f"fitted to the upper tail of the maxima (Winkler et al., 2016){but}."
    ]


def _drawn_words(node: NodeSection) -> str:
    """Return what was permuted, and how often; one- and two-sided tests may differ in it."""
    words: dict[str, list[str]] = {}
    for section in node.contrasts:
        if section.shuffling is not None:
            number, possible = f"{section.shuffling.n_shuffles:,}", section.shuffling.possible
            drawn = (
                f"{number} of {possible} distinct ones (the observed labelling and others drawn without replacement)"
            )
            said = f"all {number} distinct ones" if section.shuffling.exhaustive else drawn
            said = f"{section.shuffling.moves}, {said}"
            words.setdefault(said, []).append(section.contrast.name)
    if len(words) == 1:
        return next(iter(words))
    return joined([f"{said} for {joined(names)}" for said, names in words.items()])
