"""Design matrix and contrasts, rank and estimability checks.

A complete within-subject design is one linear model on scores (see `glm`): each contrast is a product L x M of weights
L over the columns of the between-subject design B and orthonormal weights M over a subject's cells.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bids_app.between import INTERCEPT, BetweenDesign, build_between
from bids_app.dataset import InputMaps
from bids_app.errors import ModelError
from bids_app.participants import Participants, column, left_out
from bids_app.spec import (
    ContrastSpec,
    ErrorTerm,
    NodeSpec,
    Sided,
    Sphericity,
    effect_names,
    factor_cells,
)

Floats = NDArray[np.float64]

TOLERANCE = 1e-9  # weights are typed by people; anything smaller is rounding of their fractions


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
    """The correction in use; none where r = 1 or the error is pooled."""
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
        return bool(np.all(np.abs(self.cell_weights.sum(axis=1)) < TOLERANCE))


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

    def __post_init__(self) -> None:
        expected = (len(self.subjects) * len(self.cells), len(self.regressors))
        if self.matrix.shape != expected:
            raise ValueError(f"design matrix is {self.matrix.shape}; expected {expected}")
        if len(self.blocks) not in (0, len(self.subjects)):
            raise ValueError(f"{len(self.blocks)} block labels; expected one for each of {len(self.subjects)} subjects")
        if len(self.groups) not in (0, len(self.subjects)):
            raise ValueError(f"{len(self.groups)} groups; expected one for each of {len(self.subjects)} subjects")

    @property
    def rank(self) -> int:
        """Rank of the design matrix."""
        return int(np.linalg.matrix_rank(self.matrix))

    @property
    def df_between(self) -> int:
        """v, what B leaves of the subjects' degrees of freedom."""
        return len(self.subjects) - int(np.linalg.matrix_rank(self.between))


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
    between = build_between(maps.subjects, node.settings, participants, node.where)
    matrix, regressors = _matrix(maps, between, with_subjects=node.has_subject)
    layout = _Layout(node, maps.conditions, between, len(regressors))
    explicit = [contrast for spec in node.contrasts for contrast in _from_spec(spec, layout)]
    taken = {contrast.name for contrast in explicit}
    generated = [contrast for effect in effect_names(node.settings) for contrast in _from_effect(effect, layout)]
    replaced = [contrast.name for contrast in generated if contrast.name in taken]
    contrasts = (*explicit, *(contrast for contrast in generated if contrast.name not in taken))
    _check_labels(contrasts, node)
    blocks, block_notes = _blocks(maps.subjects, node, participants)
    return Design(
        matrix=matrix,
        regressors=regressors,
        subjects=maps.subjects,
        cells=maps.conditions,
        between=between.matrix,
        between_names=between.names,
        contrasts=contrasts,
        notes=(
            *between.notes,
            *_notes(contrasts, node, replaced, between.n_cells),
            *block_notes,
            *(left_out(participants, maps.subjects) if participants else ()),
        ),
        blocks=blocks,
        groups=between.groups,
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
    chosen = [(w, name) for w, name in zip(sign * weights, names, strict=True) if w > TOLERANCE]
    if not chosen:
        return ""
    equal = max(w for w, _ in chosen) - min(w for w, _ in chosen) < TOLERANCE
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
    blocks = column(participants, name, subjects)
    sizes = Counter(Counter(blocks).values())
    listed = ", ".join(f"{count} of {size} subject{'s' if size > 1 else ''}" for size, count in sorted(sizes.items()))
    flipped = "whole blocks" if permutation.flips_whole_blocks else "single subjects"
    note = (
        f'exchangeability blocks: column "{name}" of {participants.source}, {sizes.total()} in all ({listed}); '
        f"sign-flips act on {flipped}; parametric p-values ignore the blocks"
    )
    return blocks, (note,)


@dataclass(frozen=True, slots=True)
class _Layout:
    """What every contrast of a node is made from."""

    node: NodeSpec
    cells: tuple[str, ...]
    between: BetweenDesign
    n_regressors: int


def _matrix(maps: InputMaps, between: BetweenDesign, *, with_subjects: bool) -> tuple[Floats, tuple[str, ...]]:
    """Lay out the columns: each between-subject column at each condition, then subjects."""
    cells, n_cells = maps.conditions, len(maps.conditions)
    columns = np.asarray(np.kron(between.matrix, np.eye(n_cells)), np.float64)
    plain = len(between.names) == 1
    names = [cell if plain else f"{name}:{cell}" if n_cells > 1 else name for name in between.names for cell in cells]
    if not with_subjects:
        return columns, tuple(names)
    blocks = np.repeat(np.eye(len(maps.subjects)), n_cells, axis=0)
    return np.hstack([columns, blocks]), (*names, *(f"sub-{subject}" for subject in maps.subjects))


def _from_spec(spec: ContrastSpec, layout: _Layout) -> Iterator[Contrast]:
    """Make the contrast that a model states: one, or one for each condition."""
    columns = np.array(spec.column_weights) if spec.columns else None
    between = layout.between.average
    if columns is not None:
        _check_sum(columns, spec.name, spec.where)
        between = layout.between.of_names(spec.columns, columns, spec.where)
        _check_rank(between, spec)
    for name, cell_weights in _cell_weights(spec, layout):
        if not layout.node.per_condition:
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


def _check_rank(rows: Floats, spec: ContrastSpec) -> None:
    rank = int(np.linalg.matrix_rank(rows))
    if rank < len(rows):
        raise ModelError(
            f"{spec.where} ({spec.name}): its {len(rows)} rows of weights have rank {rank}. Expected rows "
            "that do not follow from each other: leave out the dependent ones."
        )


def _check_sum(weights: Floats, name: str, where: str) -> None:
    """Refuse weights whose sum is zero to the eye and a baseline to the computer."""
    for row in weights:
        total, size = abs(row.sum()), np.abs(row).sum()
        if TOLERANCE < total < 0.01 * size:
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
    zero_sum = bool(np.all(np.abs(cell_weights.sum(axis=1)) < TOLERANCE))
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
    if len(rows) == 1:
        return np.asarray(rows / np.linalg.norm(rows))
    return np.asarray(np.linalg.qr(rows.T)[0].T)


def _check_labels(contrasts: Sequence[Contrast], node: NodeSpec) -> None:
    """Every contrast needs a file name of its own, on case-insensitive disks too."""
    seen: dict[str, str] = {}
    for contrast in contrasts:
        if not contrast.label:
            raise ModelError(
                f'{node.where}: the contrast name "{contrast.name}" has no Latin letter or digit, so no file can be '
                "named after it. Give it a name with at least one."
            )
        other = seen.setdefault(contrast.label.lower(), contrast.name)
        if other != contrast.name:
            raise ModelError(
                f'{node.where}: contrasts "{other}" and "{contrast.name}" would share the file label '
                f'"{contrast.label}". Rename one of them.'
            )


def _is_mean(contrast: Contrast, n_groups: int) -> bool:
    """Whether L averages over subjects, rather than comparing groups or taking a slope; group columns come first."""
    groups, others = contrast.between[:, :n_groups], contrast.between[:, n_groups:]
    return len(groups) == 1 and abs(float(groups.sum()) - 1) < TOLERANCE and not np.any(others)


def _notes(contrasts: Sequence[Contrast], node: NodeSpec, replaced: Sequence[str], n_groups: int) -> tuple[str, ...]:
    notes = []
    if replaced:
        notes.append(f"explicit contrasts replace the effects of the same name: {', '.join(replaced)}")
    means = [contrast.name for contrast in contrasts if not contrast.sums_to_zero and _is_mean(contrast, n_groups)]
    if means:
        notes.append(
            "weights do not sum to zero, so these test whether the mean over subjects differs from zero, with their "
            f"own error: {', '.join(means)}"
        )
    if not node.has_subject and len(node.conditions) > 1:
        notes.append(
            '"subject" is not in X; the maps of a subject are treated as repeated measures all the same, never as '
            "independent"
        )
    return tuple(notes)
