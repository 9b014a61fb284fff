"""Design matrix and contrasts, rank and estimability checks.

A complete within-subject design is one linear model on scores (see `glm`): each contrast is a product L x M of weights
L over the columns of the between-subject design B and orthonormal weights M over a subject's cells. Where maps are
missing a contrast has a design of its own, of the subjects who have what it needs: `Design.of`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bids_app.between import INTERCEPT, BetweenDesign, build_between
from bids_app.dataset import InputMaps
from bids_app.errors import DataError, ModelError, Warned
from bids_app.participants import Participants, left_out, levels_column
from bids_app.spec import (
    ContrastSpec,
    ErrorTerm,
    NodeSpec,
    Sided,
    Sphericity,
    duplicates,
    effect_names,
    factor_cells,
    shown,
)
from bids_app.subspaces import column_space, unit_rows
from bids_app.variancegroups import LEAST_RESIDUAL_DF

Floats = NDArray[np.float64]
Stack = NDArray[np.floating]
"""Maps (n_maps, n_voxels), of single precision, or of double where that would round them: see `images`."""

FILE_NAME_BYTES = 255  # of Linux, macOS and Windows alike
PART = 32  # bytes that are put around a name while the file is written, see `locks.part_name`
AFTER_LABEL = 64  # bytes kept for what follows a contrast or condition in the names of files, the longest has 48
CHECKPOINT = 64  # bytes kept for the name of a checkpoint besides the labels of node and contrast
LONGEST_NODE = 120  # which leaves a contrast some

TOLERANCE = 1e-9  # weights are typed by people; what is smaller, of a row's largest or their sum, is rounding
EXTREME_WEIGHT = 1e100  # nobody's weights: their squares would leave the range of numbers


@dataclass(frozen=True, slots=True)
class Contrast:
    """One hypothesis: L (between subjects) times M (within subjects)."""

    name: str
    """As the model spells it."""
    label: str
    """Alphanumeric, for file names."""
    test: Literal["t", "F"]
    sided: Sided
    """F: always positive."""
    weights: Floats
    """(n_rows, n_regressors) over the columns of `Design.matrix`, in the user's units."""
    cell_weights: Floats
    """(n_rows, n_cells) the same over the cells."""
    within: Floats
    """M (r, n_cells), orthonormal rows."""
    between: Floats
    """L (q, n_between)."""
    error_term: ErrorTerm
    """The one in use, whatever was asked for."""
    sphericity: Sphericity
    """The correction in use; none where r = 1 or the error is pooled; multivariate: Hotelling's T2 or Wilks' lambda."""
    generated: bool = False
    """From `Effects`, not from an explicit contrast."""
    formula: str = ""
    """The weights in words, one row after the other."""

    def __post_init__(self) -> None:
        r, n_cells = self.within.shape
        if not np.allclose(self.within @ self.within.T, np.eye(r), atol=1e-8):
            raise ValueError(f"contrast {self.name}: the rows of M are not orthonormal")
        if self.cell_weights.shape[1] != n_cells:
            raise ValueError(f"contrast {self.name}: weights over {self.cell_weights.shape[1]} cells, M over {n_cells}")

    @property
    def rank(self) -> int:
        """Rank of the hypothesis, q r: the numerator's df."""
        return int(self.within.shape[0] * self.between.shape[0])

    @property
    def sums_to_zero(self) -> bool:
        """Whether it compares cells; otherwise it tests a mean against the baseline."""
        return _sum_to_zero(self.cell_weights)

    @property
    def needs(self) -> NDArray[np.bool_]:
        """Cells of a subject that it cannot do without, (n_cells,): all of them where the error is pooled."""
        weighed = np.any(self.within != 0, axis=0)
        return np.ones_like(weighed) if self.error_term == "pooled" else np.asarray(weighed)


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
    matrix, regressors = _matrix(maps.conditions, subjects, between, with_subjects=node.has_subject)
    _check_columns_differ(maps.conditions, between, regressors, node)
    layout = _Layout(node, maps.conditions, between, len(regressors))
    explicit = [contrast for spec in node.contrasts for contrast in _from_spec(spec, layout)]
    taken = {contrast.name for contrast in explicit}
    generated = [contrast for effect in effect_names(node.settings) for contrast in _from_effect(effect, layout)]
    replaced = [contrast.name for contrast in generated if contrast.name in taken]
    contrasts = (*explicit, *(contrast for contrast in generated if contrast.name not in taken))
    _check_labels(contrasts, node)
    _check_lengths(contrasts, node, maps, between)
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
            *((*participants.notes, *left_out(participants, maps.subjects)) if participants else ()),
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


def file_label(name: str) -> str:
    """Turn a contrast's name into an alphanumeric label: a:b becomes aByB, "a > b" becomes aB."""
    words = re.split(r"[^0-9a-zA-Z]+", name.replace(":", " By "))
    first, *others = [word for word in words if word] or [""]
    return first + "".join(word[0].upper() + word[1:] for word in others)


def in_words(weights: Floats, names: Sequence[str]) -> str:
    """Say one row of weights as a sentence.

    Parameters
    ----------
    weights : (n,)
    names : n labels

    Examples
    --------
    >>> in_words(np.array([0.5, 0.5, -1]), ["A", "B", "C"])
    'mean of A, B minus C'
    """
    sides = [_side(weights, names, sign) for sign in (1, -1)]
    if sides[0] and sides[1]:
        return f"{sides[0]} minus {sides[1]}"
    return sides[0] or f"minus {sides[1]}"


def _side(weights: Floats, names: Sequence[str], sign: int) -> str:
    """One side of a comparison: a mean where the weights are equal and sum to one, otherwise a weighted sum."""
    least = TOLERANCE * float(np.abs(weights).max())
    chosen = [(w, name) for w, name in zip(sign * weights, names, strict=True) if w > least]
    if not chosen:
        return ""
    equal = max(w for w, _ in chosen) - min(w for w, _ in chosen) <= least
    total = sum(w for w, _ in chosen)
    if equal and abs(total - 1) < 1e-6:
        listed = ", ".join(name for _, name in chosen)
        return f"mean of {listed}" if len(chosen) > 1 else listed
    terms = [name if abs(w - 1) < 1e-6 else f"{w:.4g} {name}" for w, name in chosen]
    return f"({' + '.join(terms)})" if len(terms) > 1 else terms[0]


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


@dataclass(frozen=True, slots=True)
class _Layout:
    """What every contrast of a node is made from."""

    node: NodeSpec
    cells: tuple[str, ...]
    between: BetweenDesign
    n_regressors: int


def _matrix(
    cells: Sequence[str], subjects: Sequence[str], between: BetweenDesign, *, with_subjects: bool
) -> tuple[Floats, tuple[str, ...]]:
    """Lay out the columns: each between-subject column at each condition, then subjects."""
    n_cells = len(cells)
    columns = np.asarray(np.kron(between.matrix, np.eye(n_cells)), np.float64)
    plain = len(between.names) == 1
    names = [cell if plain else f"{name}:{cell}" if n_cells > 1 else name for name in between.names for cell in cells]
    if not with_subjects:
        return columns, tuple(names)
    blocks = np.repeat(np.eye(len(subjects)), n_cells, axis=0)
    return np.hstack([columns, blocks]), (*names, *(f"sub-{subject}" for subject in subjects))


def _check_columns_differ(
    cells: Sequence[str], between: BetweenDesign, regressors: Sequence[str], node: NodeSpec
) -> None:
    """Refuse conditions that are called like a column between subjects, or make two columns of one name."""
    levels = [f"{factor}.{level}" for factor, levels in between.factors for level in levels]
    called = {*between.names, *levels} if between.names != (INTERCEPT,) else set()
    if both := [cell for cell in cells if cell in called]:
        raise ModelError(
            f'{node.where}: "{both[0]}" is a condition, and a column between subjects is called so too. Rename the '
            "column or its level in the participants' table."
        )
    if repeated := duplicates(regressors):
        raise ModelError(
            f'{node.where}: two columns of the design would be called "{repeated[0]}", by the names of conditions, '
            "groups or subjects. Rename one of them."
        )


def _from_spec(spec: ContrastSpec, layout: _Layout) -> Iterator[Contrast]:
    """Make the contrast that a model states: one, or one for each condition."""
    columns = np.array(spec.column_weights) if spec.columns else None
    between = layout.between.average
    if columns is not None:
        _check_size(columns, spec)
        _check_sum(columns, spec.name, spec.where)
        between = layout.between.of_names(spec.columns, columns, spec.where)
        _check_rank(between, spec)
    for name, cell_weights in _cell_weights(spec, layout):
        if not layout.node.per_condition:
            _check_size(cell_weights, spec)
            _check_sum(cell_weights, spec.name, spec.where)
            _check_rank(cell_weights, spec)
        yield _contrast(name, spec.test, spec.sided, cell_weights, between, layout, generated=False)


def _cell_weights(spec: ContrastSpec, layout: _Layout) -> Iterator[tuple[str, Floats]]:
    """Name a stated contrast and lay out its weights over the cells."""
    if layout.node.per_condition:
        for row, cell in zip(np.eye(len(layout.cells)), layout.cells, strict=True):
            yield _name_in(spec.name, cell), row[None]
        return
    if not spec.conditions:
        yield spec.name, _mean_over_cells(layout)
        return
    cell_weights = np.zeros((len(spec.weights), len(layout.cells)))
    cell_weights[:, [layout.cells.index(name) for name in spec.conditions]] = spec.weights
    yield spec.name, cell_weights


def _name_in(contrast: str, condition: str) -> str:
    """Name a contrast of one condition's model; that of the mean is named after the condition."""
    return f"{contrast}In{condition[:1].upper()}{condition[1:]}" if contrast else condition


def _mean_over_cells(layout: _Layout) -> Floats:
    """Weights of the mean over the cells of the factors, or over all conditions where there are none."""
    chosen = list(factor_cells(layout.node.settings)) or list(layout.cells)
    row = np.zeros((1, len(layout.cells)))
    row[0, [layout.cells.index(name) for name in chosen]] = 1 / len(chosen)
    return row


def _check_size(rows: Floats, spec: ContrastSpec) -> None:
    """Refuse weights whose squares leave the range of numbers."""
    largest = np.abs(rows).max(axis=1)
    if wrong := [size for size in largest if not 1 / EXTREME_WEIGHT < size < EXTREME_WEIGHT]:
        raise ModelError(
            f"{spec.where} ({spec.name}): found weights of up to {wrong[0]:.3g} in a row. Expected numbers such as "
            '1, -1 or "1/3", of any scale from 1e-100 to 1e100.'
        )


def _check_rank(rows: Floats, spec: ContrastSpec) -> None:
    rank = int(np.linalg.matrix_rank(unit_rows(rows), tol=1e-6))
    if rank < len(rows):
        raise ModelError(
            f"{spec.where} ({spec.name}): its {len(rows)} rows of weights have rank {rank}. Expected rows "
            "that do not follow from each other: leave out the dependent ones."
        )


def _check_sum(weights: Floats, name: str, where: str) -> None:
    """Refuse weights whose sum is zero to the eye and a baseline to the computer."""
    for row in weights:
        total, size = abs(row.sum()), np.abs(row).sum()
        if TOLERANCE * size < total < 0.01 * size:
            raise ModelError(
                f"{where} ({name}): the weights sum to {row.sum():.3g}, which is neither zero nor a mean: the contrast "
                'would mix a difference of conditions with their mean. Write fractions as text, such as "1/3".'
            )


def _from_effect(effect: tuple[str, ...], layout: _Layout) -> Iterator[Contrast]:
    """Make a main effect or interaction: differences over its factors, the mean over the others."""
    between = layout.between.of_effect(effect)
    if layout.node.per_condition:
        for row, cell in zip(np.eye(len(layout.cells)), layout.cells, strict=True):
            yield _contrast(_name_in(":".join(effect), cell), "F", "positive", row[None], between, layout)
        return
    blocks: list[Floats] = []
    for factor in layout.node.settings.factors:
        n_levels = len(factor.levels)
        differences = np.eye(n_levels)[:-1] - np.eye(n_levels)[1:]
        blocks.append(differences if factor.name in effect else np.full((1, n_levels), 1 / n_levels))
    if not blocks:
        cell_weights = _mean_over_cells(layout)
    else:
        over_product = reduce(lambda a, b: np.asarray(np.kron(a, b)), blocks)
        cell_weights = np.zeros((len(over_product), len(layout.cells)))
        cell_weights[:, [layout.cells.index(name) for name in factor_cells(layout.node.settings)]] = over_product
    yield _contrast(":".join(effect), "F", "positive", cell_weights, between, layout)


def _contrast(
    name: str,
    test: Literal["t", "F"],
    sided: Sided,
    cell_weights: Floats,
    between: Floats,
    layout: _Layout,
    *,
    generated: bool = True,
) -> Contrast:
    within = _orthonormal(cell_weights)
    zero_sum = _sum_to_zero(cell_weights)
    settings = layout.node.settings
    pooled = settings.error_term == "pooled" and zero_sum
    weights = np.kron(between, cell_weights)
    return Contrast(
        name=name,
        label=file_label(name),
        test=test,
        sided=sided,
        weights=np.pad(weights, ((0, 0), (0, layout.n_regressors - weights.shape[1]))),
        cell_weights=cell_weights,
        within=within,
        between=between,
        error_term="pooled" if pooled else "partitioned",
        sphericity="none" if pooled or len(within) == 1 else settings.sphericity,
        generated=generated,
        formula=_formula(cell_weights, between, layout),
    )


def _formula(cell_weights: Floats, between: Floats, layout: _Layout) -> str:
    """Say the weights in words: those over the cells, and those between subjects where there is a choice."""
    over_cells = "; ".join(in_words(row, layout.cells) for row in cell_weights)
    if len(layout.between.names) == 1 and layout.between.names == (INTERCEPT,):
        return over_cells
    over_subjects = "; ".join(in_words(row, layout.between.names) for row in between)
    return f"({over_subjects}) x ({over_cells})" if len(layout.cells) > 1 else over_subjects


def _orthonormal(rows: Floats) -> Floats:
    """Orthonormal basis of the row space; a single row keeps its sign, which the sign of t hangs on."""
    unit = unit_rows(rows)
    if len(rows) == 1:
        return unit
    basis = np.asarray(np.linalg.qr(unit.T)[0].T)
    basis[:, np.all(rows == 0, axis=0)] = 0  # exactly: a cell without weight may have no map
    return basis


def _sum_to_zero(rows: Floats) -> bool:
    """Whether every row compares: its sum is rounding of its weights, whatever their scale."""
    return bool(np.all(np.abs(rows.sum(axis=1)) <= TOLERANCE * np.abs(rows).sum(axis=1)))


def _check_labels(contrasts: Sequence[Contrast], node: NodeSpec) -> None:
    """Every contrast needs a file name of its own, on case-insensitive disks too."""
    seen: dict[str, str] = {}
    for contrast in contrasts:
        if not contrast.label:
            raise ModelError(
                f'{node.where}: the contrast name "{contrast.name}" has no Latin letter or digit, so no file can be '
                "named after it. Give it a name with at least one."
            )
        if (other := seen.get(contrast.label.lower())) is not None:
            raise ModelError(
                f'{node.where}: contrasts "{other}" and "{contrast.name}" would share the file label '
                f'"{contrast.label}". Rename one of them.'
            )
        seen[contrast.label.lower()] = contrast.name


def _check_lengths(contrasts: Sequence[Contrast], node: NodeSpec, maps: InputMaps, between: BetweenDesign) -> None:
    """Refuse names that would make the name of a file longer than a file system takes, before anything is computed.

    Files have a longer name while they are written, and a checkpoint is named after node and contrast.
    """
    node_label = file_label(node.name)
    if not node_label:
        raise ModelError(
            f'{node.where}: the node name "{node.name}" has no Latin letter or digit, so no folder can be named after '
            "it. Give it a name with at least one."
        )
    _check_length("node", node.name, LONGEST_NODE, node)
    prefix = sum(len(f"{entity}-{label}_".encode()) for entity, label in maps.entities.items())
    room = FILE_NAME_BYTES - PART - prefix
    of_contrast = min(room - len("contrast-") - AFTER_LABEL, FILE_NAME_BYTES - CHECKPOINT - len(node_label))
    for contrast in contrasts:
        _check_length("contrast", contrast.name, of_contrast, node)
    longest = max((len(file_label(group)) for group in between.groups), default=0)
    of_condition = room - len("condition-") - AFTER_LABEL - longest
    for condition in maps.conditions:
        _check_length("condition", condition, of_condition, node)


def _check_length(what: str, name: str, longest: int, node: NodeSpec) -> None:
    label = file_label(name)
    if len(label) > longest:
        raise ModelError(
            f"{node.where}: the {what} {shown(name)} is too long to name files after it: it has {len(label)} letters "
            f"and digits, and {max(longest, 0)} fit into a file name, of {FILE_NAME_BYTES} bytes, beside what else it "
            "holds. Shorten the name."
        )


def _is_mean(contrast: Contrast, n_groups: int) -> bool:
    """Whether L averages over subjects, rather than comparing groups or taking a slope; group columns come first."""
    groups, others = contrast.between[:, :n_groups], contrast.between[:, n_groups:]
    return len(groups) == 1 and not _sum_to_zero(groups) and not np.any(others)


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
