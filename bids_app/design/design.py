"""Design matrix and contrasts, rank and estimability checks.

A complete within-subject design is one linear model on scores (see `glm`): each contrast is a product L x M of weights
L over the columns of the between-subject design B and orthonormal weights M over a subject's cells. Where maps are
missing a contrast has a design of its own, of the subjects who have what it needs: `Design.of`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Floats
from bids_app.design.between_subject import INTERCEPT, BetweenDesign, build_between
from bids_app.design.contrasts import (
    Contrast,
    ContrastLayout,
    check_columns_differ,
    contrasts_of_effect,
    contrasts_of_spec,
    design_matrix,
    sum_to_zero,
)
from bids_app.design.labels import check_labels, check_lengths
from bids_app.design.subspaces import column_space
from bids_app.errors import DataError, Warned
from bids_app.inputs.columns import Participants, levels_column
from bids_app.inputs.participants import not_analysed
from bids_app.inputs.select_maps import InputMaps
from bids_app.model.settings import effect_names
from bids_app.model.specification import NodeSpec
from bids_app.statistics.unequal_variances import LEAST_RESIDUAL_DF

"""Maps (n_maps, n_voxels), of single precision, or of double where that would round them: see `images`."""


@dataclass(frozen=True, slots=True)
class Design:
    """Which map is which cell of which subject, and what is tested."""

    matrix: Floats
    """(n_maps, n_regressors) conditions, then subjects where `subject` stands in X."""
    regressors: tuple[str, ...]
    subjects: tuple[str, ...]
    """The slow index of the maps."""
    cells: tuple[str, ...]
    """Conditions, the fast index of the maps."""
    between: Floats
    """B (n_subjects, n_between)."""
    between_names: tuple[str, ...]
    contrasts: tuple[Contrast, ...]
    notes: tuple[str, ...] = ()
    """Lines for the log."""
    blocks: tuple[str, ...] = ()
    """(n_subjects,) exchangeability block of each subject; empty: none are named."""
    groups: tuple[str, ...] = ()
    """(n_subjects,) combination of between factors' levels of each subject; empty: there are no such factors."""
    variance_groups: tuple[str, ...] = ()
    """(n_subjects,) group of subjects whose scores have a variance of their own; empty: all have the same."""
    rows: NDArray[np.intp] | None = None
    """(n_subjects, n_cells) row of each map in the stack of maps, -1 where there is none; None: all are there."""
    parts: Mapping[str, Design] = field(default_factory=dict)
    """Name of a contrast -> its own design, where not all subjects have what it needs."""

    def __post_init__(self) -> None:
        expected = (self.n_maps, len(self.regressors))
        if self.matrix.shape != expected:
            raise ValueError(f"design matrix is {self.matrix.shape}; expected {expected}")
        if self.rows is not None and self.rows.shape != (len(self.subjects), len(self.cells)):
            raise ValueError(f"rows are {self.rows.shape}; expected one for each subject and cell")
        labelled = {"block": self.blocks, "group": self.groups, "variance group": self.variance_groups}
        for what, labels in labelled.items():
            if len(labels) not in (0, len(self.subjects)):
                raise ValueError(f"{len(labels)} {what} labels; expected one for each of {len(self.subjects)} subjects")

    @property
    def n_maps(self) -> int:
        """Maps that there are of these subjects."""
        return len(self.subjects) * len(self.cells) if self.rows is None else int(np.sum(self.rows >= 0))

    @property
    def place(self) -> NDArray[np.intp]:
        """Row of each map in the stack of maps, (n_subjects, n_cells), -1 where there is none."""
        if self.rows is not None:
            return self.rows
        return np.arange(self.n_maps).reshape(len(self.subjects), len(self.cells))

    @property
    def is_complete(self) -> bool:
        """Whether every subject has a map of every cell."""
        return self.rows is None or bool(np.all(self.rows >= 0))

    def of(self, contrast: Contrast) -> Design:
        """Return the design that a contrast is tested in: that of the subjects who have what it needs."""
        return self.parts.get(contrast.name, self)

    def by_maps(self, contrast: Contrast) -> bool:
        """Whether a contrast is fitted to single maps, by least squares: its error is pooled, and maps are missing."""
        return contrast.error_term == "pooled" and not self.is_complete

    def restricted(self, keep: NDArray[np.bool_]) -> Design:
        """Return the same design, columns and all, of some of the subjects, (n_subjects,)."""

        def kept(labels: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(label for label, chosen in zip(labels, keep, strict=True) if chosen) if labels else ()

        there = self.place >= 0
        return replace(
            self,
            matrix=self.matrix[np.repeat(keep, len(self.cells)).reshape(there.shape)[there]],
            subjects=kept(self.subjects),
            between=self.between[keep],
            blocks=kept(self.blocks),
            groups=kept(self.groups),
            variance_groups=kept(self.variance_groups),
            rows=self.place[keep],
            parts={},
        )

    @property
    def rank(self) -> int:
        """Rank of the design matrix."""
        return column_space(self.matrix).rank

    @property
    def df_between(self) -> int:
        """v, what B leaves of the subjects' degrees of freedom."""
        return len(self.subjects) - column_space(self.between).rank


def build_design(maps: InputMaps, node: NodeSpec, participants: Participants | None = None) -> Design:
    """Lay out the maps' design matrix and the contrasts of a node.

    Parameters
    ----------
    maps : InputMaps
        Complete: every subject has every condition.
    node : NodeSpec
    participants : Participants, optional
        Needed where the node names a column of it.

    Raises
    ------
    ModelError
        When a contrast has dependent rows, or two contrasts give one file name.
    DataError
        When a column of the participants is absent, or a subject has no value in it.
    """
    place = _place(maps)
    whole = _design_of(maps, maps.subjects, node, participants)
    if np.all(place >= 0):
        return whole
    parts = dict(_parts(whole, maps, node, participants))
    own = {name: next(each for each in part.contrasts if each.name == name) for name, part in parts.items()}
    contrasts = [
        replace(own[each.name], weights=each.weights) if each.name in own else each for each in whole.contrasts
    ]
    notes = [
        Warned(_absence(contrast, whole, parts[contrast.name])) for contrast in contrasts if contrast.name in parts
    ]
    return replace(whole, contrasts=tuple(contrasts), parts=parts, notes=(*whole.notes, *dict.fromkeys(notes)))


def _place(maps: InputMaps) -> NDArray[np.intp]:
    """Row of each subject's and condition's map, (n_subjects, n_cells), -1 where there is none."""
    number = {cell: row for row, cell in enumerate(zip(maps.table["subject"], maps.table["condition"], strict=True))}
    return np.array([[number.get((s, c), -1) for c in maps.conditions] for s in maps.subjects], np.intp)


def _design_of(maps: InputMaps, subjects: tuple[str, ...], node: NodeSpec, participants: Participants | None) -> Design:
    """Lay out the design of some of the subjects."""
    place = _place(maps)[[maps.subjects.index(subject) for subject in subjects]]
    between = build_between(subjects, node.settings, participants, node.where)
    matrix, regressors = design_matrix(maps.conditions, subjects, between, with_subjects=node.has_subject)
    check_columns_differ(maps.conditions, between, regressors, node)
    layout = ContrastLayout(node, maps.conditions, between, len(regressors))
    explicit = [contrast for spec in node.contrasts for contrast in contrasts_of_spec(spec, layout)]
    taken = {contrast.name for contrast in explicit}
    generated = [contrast for effect in effect_names(node.settings) for contrast in contrasts_of_effect(effect, layout)]
    replaced = [contrast.name for contrast in generated if contrast.name in taken]
    contrasts = (*explicit, *(contrast for contrast in generated if contrast.name not in taken))
    check_labels(contrasts, node)
    check_lengths(contrasts, node, maps, between)
    blocks, block_notes = _blocks(subjects, node, participants)
    groups, group_notes = _variance_groups(subjects, node, participants, between)
    design = Design(
        matrix=matrix[place.ravel() >= 0],
        regressors=regressors,
        subjects=subjects,
        cells=maps.conditions,
        between=between.matrix,
        between_names=between.names,
        contrasts=contrasts,
        notes=(
            *between.notes,
            *_notes(contrasts, node, replaced, between.n_cells),
            *block_notes,
            *group_notes,
            *((*participants.notes, *not_analysed(participants, maps.subjects)) if participants else ()),
        ),
        blocks=blocks,
        groups=between.groups,
        variance_groups=groups,
        # None where the maps lie in the stack in just this order, which saves a copy of every block
        rows=None if np.array_equal(place.ravel(), np.arange(len(maps.table))) else place,
    )
    _check_multivariate(design, node)
    return design


def _parts(
    whole: Design, maps: InputMaps, node: NodeSpec, participants: Participants | None
) -> Iterator[tuple[str, Design]]:
    """Make the design of each contrast that some subjects lack a map for."""
    there = whole.place >= 0
    made: dict[tuple[str, ...], Design] = {}
    for contrast in whole.contrasts:
        if contrast.error_term == "pooled" and whole.between_names == (INTERCEPT,):
            part = whole.restricted(there.sum(axis=1) > 1)  # a single map of a subject says nothing about differences
            _check_estimable(contrast, part, node)
            yield contrast.name, part
            continue
        keep = np.all(there[:, contrast.needs], axis=1)
        if np.all(keep):
            continue
        subjects = tuple(subject for subject, kept in zip(whole.subjects, keep, strict=True) if kept)
        if len(subjects) < 2:
            needed = ", ".join(cell for cell, need in zip(whole.cells, contrast.needs, strict=True) if need)
            raise DataError(
                f"{node.where}: {contrast.name} needs {needed}, and {len(subjects)} of {len(whole.subjects)} subjects "
                'have all of these. Expected two or more: add the missing maps, or leave the contrast out ("Effects").'
            )
        if subjects not in made:
            made[subjects] = _design_of(maps, subjects, node, participants)
        yield contrast.name, made[subjects]


def _check_estimable(contrast: Contrast, part: Design, node: NodeSpec) -> None:
    """Refuse a comparison of cells that no chain of subjects connects, or that leaves no error."""
    space = column_space(cell_columns(part))
    if not space.is_estimable(contrast.cell_weights):
        raise DataError(
            f"{node.where}: too many maps are missing for {contrast.name}: no subjects connect the conditions that it "
            "compares. Add maps, or leave the contrast out."
        )
    if part.n_maps - len(part.subjects) - space.rank < 1:
        raise DataError(
            f"{node.where}: too many maps are missing for {contrast.name}: {part.n_maps} maps of {len(part.subjects)} "
            "subjects leave no degrees of freedom for the error. Add maps."
        )


def cell_columns(design: Design) -> Floats:
    """Return indicators of the cells over the maps that there are, each minus its subject's mean, (n_maps, n_cells)."""
    there = design.place >= 0
    indicators = np.eye(len(design.cells))
    return np.concatenate([indicators[own] - indicators[own].mean(axis=0) for own in there])


def _absence(contrast: Contrast, whole: Design, part: Design) -> str:
    """Say whom a contrast goes without, or which maps."""
    missing = [f"sub-{subject}" for subject in whole.subjects if subject not in part.subjects]
    dropped = f"dropped for want of a map: {', '.join(missing)}" if missing else ""
    if not part.by_maps(contrast):
        return f"{contrast.name}: {len(part.subjects)} subjects; {dropped}"
    n_absent = len(part.subjects) * len(part.cells) - part.n_maps
    found = f"{part.n_maps} maps of {len(part.subjects)} subjects, {n_absent} missing"
    return (
        f"{contrast.name}: {found}: unbalanced, by "
        "ordinary least squares on the maps; all residual maps of a subject change sign together"
        + (f"; {dropped}" if dropped else "")
    )


def _blocks(
    subjects: Sequence[str], node: NodeSpec, participants: Participants | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Look up the exchangeability block of each subject, and say in notes what was found."""
    permutation = node.settings.permutation
    if permutation is None or permutation.exchangeability_blocks is None:
        return (), ()
    if participants is None:
        raise ValueError(f"node {node.name} names exchangeability blocks; expected the table of the participants")
    name = permutation.exchangeability_blocks
    blocks = levels_column(participants, name, subjects)
    sizes = Counter(Counter(blocks).values())
    listed = ", ".join(f"{count} of {size} subject{'s' if size > 1 else ''}" for size, count in sorted(sizes.items()))
    flipped = "whole blocks" if permutation.flips_whole_blocks else "single subjects"
    note = Warned(
        f'exchangeability blocks: column "{name}" of {participants.source}, {sizes.total()} in all ({listed}); '
        f"sign-flips act on {flipped}; parametric p-values ignore the blocks"
    )
    return blocks, (note,)


def _variance_groups(
    subjects: Sequence[str], node: NodeSpec, participants: Participants | None, between: BetweenDesign
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Look up the variance group of each subject, and say in notes what was found.

    Raises
    ------
    DataError
        There is one group only, or one in which the model leaves no residual.
    """
    name = node.settings.variance_groups
    if name is None:
        return (), ()
    if participants is None:
        raise ValueError(f"node {node.name} names variance groups; expected the table of the participants")
    groups = levels_column(participants, name, subjects)
    sizes = Counter(groups)
    listed = ", ".join(f"{label} {size} subjects" for label, size in sorted(sizes.items()))
    if len(sizes) < 2:
        raise DataError(
            f'{participants.source}: all {len(subjects)} subjects have the same value in the column "{name}", which '
            f"VarianceGroups names ({listed}). Expected two groups or more: take VarianceGroups out."
        )
    free = 1 - column_space(between.matrix).leverages
    for label in sizes:
        members = np.array([own == label for own in groups])
        if sizes[label] < 2 or np.sum(free[members]) < LEAST_RESIDUAL_DF:
            raise DataError(
                f'{participants.source}: the variance of the group "{label}" in the column "{name}" cannot '
                f"be estimated ({listed}): expected two members or more, and fewer columns in the model than members. "
                "Join groups, or take VarianceGroups out."
            )
    note = (
        f'variance groups: column "{name}" of {participants.source} ({listed}); Welch\'s t and the Welch-James F where '
        "a contrast has one dimension within subjects; the ordinary F, whose parametric p assumes equal covariances, "
        "where it has more; residuals change sign"
    )
    return groups, (note,)


def _check_multivariate(design: Design, node: NodeSpec) -> None:
    """Refuse a multivariate test with too few subjects for its dimensions."""
    for contrast in design.contrasts:
        r, v = len(contrast.within), design.df_between
        if contrast.sphericity == "multivariate" and v < r:
            raise DataError(
                f'{node.where}: "Sphericity": "multivariate" needs as many residual degrees of freedom as '
                f"{contrast.name} has dimensions, {r}; {len(design.subjects)} subjects and a model of rank "
                f'{len(design.subjects) - v} between them leave {v}. Use "greenhouse-geisser", or add subjects.'
            )


def _is_mean(contrast: Contrast, n_groups: int) -> bool:
    """Whether L averages over subjects, rather than comparing groups or taking a slope; group columns come first."""
    groups, others = contrast.between[:, :n_groups], contrast.between[:, n_groups:]
    return len(groups) == 1 and not sum_to_zero(groups) and not np.any(others)


def _notes(contrasts: Sequence[Contrast], node: NodeSpec, replaced: Sequence[str], n_groups: int) -> tuple[str, ...]:
    notes: list[str] = []
    if replaced:
        notes.append(f"explicit contrasts replace the effects of the same name: {', '.join(replaced)}")
    means = [contrast.name for contrast in contrasts if not contrast.sums_to_zero and _is_mean(contrast, n_groups)]
    if node.settings.voxel_coverage < 1:
        notes.append(
            Warned(
                f"VoxelCoverage {node.settings.voxel_coverage:g}: parametric results only; nothing is shuffled, "
                "because each voxel may have other subjects"
            )
        )
    if means:
        notes.append(
            "weights do not sum to zero, so these test whether the mean over subjects differs from zero, with their "
            f"own error: {', '.join(means)}"
        )
    if not node.has_subject and len(node.conditions) > 1 and len(contrasts[0].within[0]) > 1:
        notes.append(
            Warned(
                '"subject" is not in X; the maps of a subject are treated as repeated measures all the same, never as '
                "independent"
            )
        )
    return tuple(notes)
