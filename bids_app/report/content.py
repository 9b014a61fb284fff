"""What the page shows: nodes, contrasts, corrected maps, as small values that are already computed.

Where a value of the results holds no map, it is referred to. Of a fit and of a corrected map, whose maps would fill the
memory with those of all contrasts, a section keeps counts, peaks and numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

import numpy as np
import pandas as pd

from bids_app.console.text import in_elements
from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.inference.catalogue import METHODS
from bids_app.inference.corrected_map import BoundFacts, CorrectedMap, OfRandomField
from bids_app.inference.pareto_tail import smallest_p
from bids_app.inference.result_tables import PARCEL, PLACE, Closest, ResultTables
from bids_app.model.specification import NodeSpec
from bids_app.permutation.enhancements import EnhancedPart
from bids_app.report.figures.figure import Figure, Viewer
from bids_app.report.figures.peak_means import MeansAtPeaks
from bids_app.report.wording import (
    in_order,
    method_words,
    parcel_or_place,
    threshold_words,
    where_words,
)
from bids_app.results.input_summary import InputSummary
from bids_app.results.values import NodeFacts, Results, RunFacts
from bids_app.spaces.atlas_catalogue import first_atlas
from bids_app.spaces.tree_kernels import Exponents
from bids_app.statistics.fit import ContrastFit
from bids_app.statistics.smoothness import Smoothness
from bids_app.statistics.subject_influence import PeakInfluence
from bids_app.statistics.sums_of_squares import SUMS_OF_SQUARES


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the diagnostics say."""

    title: str
    words: str
    is_warning: bool = False
    """Whether somebody should look at it before believing a result."""


@dataclass(frozen=True, slots=True)
class Checks:
    """The diagnostics of one contrast, as the page shows them."""

    findings: tuple[Finding, ...]
    peaks: tuple[PeakInfluence, ...]
    figures: tuple[Figure, ...]
    outliers: tuple[str, ...] = ()
    """Subjects who stand out."""
    smoothness: Smoothness | None = None
    """Of the noise; None where it cannot be told."""

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Those that should be looked at."""
        return tuple(finding for finding in self.findings if finding.is_warning)


@dataclass(frozen=True, slots=True)
class Shuffling:
    """How the null distribution was made."""

    scheme: str
    moves: str
    """What is relabelled, in words."""
    n_shuffles: int
    """The identity included."""
    possible: str
    """How many exist."""
    exhaustive: bool
    forming_threshold: float
    """t or F."""
    connectivity: int | None
    """Neighbours of a voxel; None where the neighbours come from a list."""
    smallest_p: float
    """No p-value can be smaller."""
    exponents: Exponents
    """Of TFCE."""
    parts: tuple[EnhancedPart, ...] = ()
    """Parts with units of their own, each ranked apart."""

    @property
    def words(self) -> str:
        """How many of how many, in words."""
        if self.exhaustive:
            return f"all {self.possible} {self.moves}"
        return f"{self.n_shuffles:,} of {self.possible} {self.moves}"


@dataclass(frozen=True, slots=True)
class Peak:
    """The highest voxel of a corrected map."""

    place: str
    """In words: the coordinates, or the name of a parcel."""
    xyz: tuple[float, float, float]
    """mm; NaN for parcels."""
    statistic: float
    p: float
    label: str
    """Of the first atlas; empty without one."""
    where: str = ""
    """The place as the end of a sentence."""


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
    """False where the permutations are too few for any p at the level."""
    peak: Peak | None
    tables: ResultTables
    closest: Peak | None = None
    """What came closest, where nothing survives."""
    is_approximate: bool = False
    """Whether small p come from a fitted tail."""
    no_tail: str = ""
    """Why the tail that was asked for was not used."""
    across: int = 1
    """Contrasts that are corrected together."""
    n_families: int = 1
    """Families of contrasts by whose number p was multiplied."""
    random_field: OfRandomField | None = None
    """What it rests on, where that is a random field."""

    @property
    def title(self) -> str:
        """Name of the method."""
        return METHODS[self.method].words.name

    @property
    def is_permutation(self) -> bool:
        """Whether it rests on shuffles."""
        return bool(METHODS[self.method].statistic)


@dataclass(frozen=True, slots=True)
class ContrastSection:
    """One contrast on the page."""

    contrast: Contrast
    df: tuple[float, float]
    epsilon: tuple[float, float, float] | None
    """Smallest, median and largest over the voxels."""
    shuffling: Shuffling | None
    results: tuple[MethodResult, ...]
    """In the order of the catalogue: the primary one first."""
    figures: Mapping[str, Figure]
    """By name."""
    means: MeansAtPeaks | None = None
    """Condition means at the highest peaks."""
    checks: Checks | None = None
    """Diagnostics."""
    effect_size: str = ""
    """hedgesg, partialr or etasq, where the voxels have it."""
    statistic_name: str = ""
    """What t or F it is, where it is not the ordinary one."""
    kind: str = SUMS_OF_SQUARES.key
    """How the statistic was computed: a key of `statistics.kinds.KINDS`."""
    n_subjects: int = 0
    """Subjects of the contrast."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Name of a figure, viewer or table -> link to its file, relative to the report."""
    viewers: Mapping[str, str] = field(default_factory=dict)
    """Name of a viewer -> what the link to it says."""
    parcels: pd.DataFrame | None = None
    """All numbers parcel by parcel; None for other elements, which have clusters and peaks."""
    bounds: BoundFacts | None = None
    """What is said of the bounds for sets of voxels; None where there are none."""

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
    facts: NodeFacts
    figures: tuple[Figure, ...]
    """Design matrix and contrasts."""
    contrasts: tuple[ContrastSection, ...]
    mosaics: tuple[Figure, ...] = ()
    """One map of each subject."""
    coverage: Figure | None = None
    """Where subjects lack voxels; None where nobody does."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Name of a figure -> link to its file, relative to the report."""
    nilearn: str = ""
    """Link to nilearn's own report; empty: none was asked for."""

    @property
    def design(self) -> Design:
        """Of the node."""
        return self.facts.design

    @property
    def inputs(self) -> InputSummary:
        """What the node read."""
        return self.facts.inputs

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines of the log about the model and its tests."""
        return self.facts.notes


@dataclass(frozen=True, slots=True)
class Page:
    """The report: of nodes that one run made, or several, each of which is then named."""

    nodes: tuple[NodeSection, ...]
    made_again: str = ""
    """When and by which version; empty: it is the first, made by the run itself."""

    @property
    def runs(self) -> tuple[RunFacts, ...]:
        """Runs that made the nodes, each once."""
        return tuple({node.facts.run.run: node.facts.run for node in self.nodes}.values())

    @property
    def latest(self) -> RunFacts:
        """The latest run, of which title, version and seed are those of the page."""
        return max(self.runs, key=lambda run: run.run)

    @property
    def command(self) -> str:
        """Commands of the runs, a line each."""
        return "\n".join(dict.fromkeys(run.command for run in self.runs))

    @property
    def datasets(self) -> Mapping[str, str]:
        """Name of an input dataset -> where it is."""
        return {name: place for run in self.runs for name, place in run.datasets.items()}

    @property
    def about(self) -> Mapping[str, str]:
        """What else is to be said of the runs, and of the page itself."""
        runs = self.runs
        about = {"Run": ", ".join(run.run for run in runs), "Started": ", ".join(run.started for run in runs)}
        if images := list(dict.fromkeys(run.image for run in runs if run.image)):
            about["Image"] = ", ".join(images)
        if len(seeds := dict.fromkeys(run.seed for run in runs)) > 1:
            about["Seeds of the runs"] = ", ".join(map(str, seeds))
        return about | ({"Page made again": self.made_again} if self.made_again else {})

    @property
    def space(self) -> str:
        """Sentence on labels and background."""
        return "; ".join(dict.fromkeys(node.facts.space_note for node in self.nodes))

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines of the log about the models."""
        return tuple(dict.fromkeys(note for run in self.runs for note in run.notes))


def in_words_of(nodes: Sequence[NodeSection], text: str) -> str:
    """Return a text about the voxels of nodes as one about vertices or parcels, where all their maps are of these."""
    elements = {node.facts.element for node in nodes}
    return in_elements(text, elements.pop()) if len(elements) == 1 else text


def contrast_section(
    results: Results,
    drawn: Iterable[Figure | Viewer],
    *,
    files: Mapping[str, str],
    means: MeansAtPeaks | None = None,
    checks: Checks | None = None,
) -> ContrastSection:
    """Return what the page shows of a contrast.

    Parameters
    ----------
    results : of the contrast
    drawn : from `draw_contrast`
    files : name of a figure, viewer or table -> its file, relative to the report
    means : at the highest peaks
    checks : what the diagnostics say
    """
    fit, tables, drawn = results.fit, results.by_method, tuple(drawn)
    ordered = in_order(results.inferences)
    permuted = [each for each in ordered if each.null is not None]
    epsilon = None if fit.epsilon is None else tuple(float(np.quantile(fit.epsilon, q)) for q in (0, 0.5, 1))
    return ContrastSection(
        contrast=fit.contrast,
        df=(fit.df_effect, fit.df_error),
        epsilon=epsilon,  # type: ignore[arg-type]
        shuffling=_shuffling(permuted),
        results=tuple(_method_result(each, fit, tables[each.method]) for each in ordered),
        figures={each.name: each for each in drawn if isinstance(each, Figure)},
        means=means,
        checks=checks,
        effect_size="" if fit.effect_size is None else fit.effect_size_name,
        statistic_name=fit.statistic_name,
        kind=fit.kind,
        n_subjects=fit.n_subjects,
        files={name: quote(file) for name, file in files.items()},
        viewers={each.name: each.words for each in drawn if isinstance(each, Viewer)},
        parcels=results.parcels,
        bounds=results.bounds,
    )


def _shuffling(permuted: Sequence[CorrectedMap]) -> Shuffling | None:
    if not permuted or permuted[0].null is None:
        return None
    null, n_families = permuted[0].null, permuted[0].n_families
    shuffles = null.shuffles
    least = smallest_p(shuffles.n_possible) if any(each.tail for each in permuted) else 1 / shuffles.n_shuffles
    return Shuffling(
        shuffles.scheme,
        shuffles.words,
        shuffles.n_shuffles,
        shuffles.possible,
        shuffles.exhaustive,
        null.forming_threshold,
        null.connectivity,
        min(1.0, n_families * least),
        null.exponents,
        null.parts,
    )


def _method_result(inference: CorrectedMap, fit: ContrastFit, tables: ResultTables) -> MethodResult:
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
        can_pass=inference.can_pass,
        peak=_top_peak(inference.method, tables),
        tables=tables,
        closest=None if tables.closest is None else _peak(tables.closest),
        is_approximate=inference.tail is not None,
        no_tail=inference.no_tail,
        across=inference.across,
        n_families=inference.n_families,
        random_field=inference.random_field,
    )


def _top_peak(method: str, tables: ResultTables) -> Peak | None:
    if tables.peaks.empty:
        return None
    rank = np.abs(tables.peaks["peak_statistic"].to_numpy()).argmax()
    row = tables.peaks.iloc[int(rank)]
    atlas = first_atlas(tables.peaks)
    name = str(row[PARCEL]) if PARCEL in row else None
    place = [float(row[axis]) if axis in row else np.nan for axis in PLACE]
    label = "" if atlas is None else str(row[atlas])
    return _peak(Closest((place[0], place[1], place[2]), float(row["peak_statistic"]), float(row[f"p_{method}"]), label,
                         name))  # fmt: skip


def _peak(voxel: Closest) -> Peak:
    place, where = parcel_or_place(voxel.name, voxel.xyz), where_words(voxel.name, voxel.xyz)
    return Peak(place, voxel.xyz, voxel.statistic, voxel.p, voxel.label, where)
