"""What the page shows: nodes, contrasts, corrected maps, provenance, as small values that are already computed.

A `ContrastSection` keeps counts, peaks and pictures, never a map.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

import numpy as np
import pandas as pd

from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.inference.catalogue import METHODS
from bids_app.inference.cluster_tables import Closest, ResultTables
from bids_app.inference.corrected_map import CorrectedMap
from bids_app.inference.pareto_tail import smallest_p
from bids_app.model.specification import NodeSpec
from bids_app.report.figures.figure import Figure, Viewer
from bids_app.report.figures.peak_means import PeakMeans
from bids_app.report.text.findings import Checks
from bids_app.report.wording import (
    in_order,
    method_words,
    place_words,
    threshold_words,
)
from bids_app.spaces.atlas_catalogue import first_atlas
from bids_app.spaces.tree_kernels import Exponents
from bids_app.statistics.fit import ContrastFit
from bids_app.statistics.sums_of_squares import SUMS_OF_SQUARES


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

    @property
    def averages_runs(self) -> bool:
        """Whether a condition of a subject had several files."""
        return bool((self.counts > 1).any(axis=None))


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

    @property
    def words(self) -> str:
        """Say how many."""
        if self.exhaustive:
            return f"all {self.possible} {self.moves}"
        return f"{self.n_shuffles:,} of {self.possible} {self.moves}"


@dataclass(frozen=True, slots=True)
class Peak:
    """The highest voxel of a corrected map."""

    place: str
    """In words."""
    xyz: tuple[float, float, float]
    """mm."""
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
    means: PeakMeans | None = None
    """Condition means at the highest peaks."""
    checks: Checks | None = None
    """Diagnostics."""
    effect_size: str = ""
    """hedgesg, partialr or etasq, where the voxels have it."""
    """Whether there are maps of an effect size with its confidence interval."""
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
    mosaics: tuple[Figure, ...] = ()
    """One map of each subject."""
    coverage: Figure | None = None
    """Where subjects lack voxels; None where nobody does."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Name of a figure -> link to its file, relative to the report."""
    nilearn: str = ""
    """Link to nilearn's own report; empty: none was asked for."""
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
    inferences: Sequence[CorrectedMap],
    tables: Mapping[str, ResultTables],
    drawn: Iterable[Figure | Viewer],
    means: PeakMeans | None = None,
    *,
    files: Mapping[str, str] | None = None,
) -> ContrastSection:
    """Keep of a contrast what the page shows.

    Parameters
    ----------
    fit : ContrastFit
    inferences : its corrected maps
    tables : method -> clusters and peaks
    drawn : from `draw_contrast`
    means : at the highest peaks
    files : name of a figure, viewer or table -> its file, relative to the report
    """
    ordered, drawn = in_order(inferences), tuple(drawn)
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
        effect_size="" if fit.effect_size is None else fit.effect_size_name,
        statistic_name=fit.statistic_name,
        kind=fit.kind,
        n_subjects=fit.n_subjects,
        files={name: quote(file) for name, file in (files or {}).items()},
        viewers={each.name: each.words for each in drawn if isinstance(each, Viewer)},
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
        can_pass=inference.null is None or inference.threshold is not None,
        peak=_top_peak(inference.method, tables),
        tables=tables,
        closest=None if tables.closest is None else _peak(tables.closest),
        is_approximate=inference.tail is not None,
        no_tail=inference.no_tail,
        across=inference.across,
        n_families=inference.n_families,
    )


def _top_peak(method: str, tables: ResultTables) -> Peak | None:
    if tables.peaks.empty:
        return None
    rank = np.abs(tables.peaks["peak_statistic"].to_numpy()).argmax()
    row = tables.peaks.iloc[int(rank)]
    atlas = first_atlas(tables.peaks)
    xyz = (float(row["peak_x"]), float(row["peak_y"]), float(row["peak_z"]))
    label = "" if atlas is None else str(row[atlas])
    return _peak(Closest(xyz, float(row["peak_statistic"]), float(row[f"p_{method}"]), label))


def _peak(voxel: Closest) -> Peak:
    return Peak(place_words(voxel.xyz), voxel.xyz, voxel.statistic, voxel.p, voxel.label)
