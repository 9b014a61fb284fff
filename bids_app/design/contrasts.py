"""Contrasts: from the weights and effects of a model to hypotheses L (between subjects) x M (within subjects).

M are orthonormal weights over a subject's cells, L weights over the columns of the between-subject design B; the
statistics are made of the scores that M gives each subject (see `statistics.scores`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Floats
from bids_app.console.text import duplicates, file_label
from bids_app.design.between_subject import INTERCEPT, BetweenDesign
from bids_app.design.subspaces import unit_rows
from bids_app.errors import ModelError
from bids_app.model.settings import ErrorTerm, Sided, Sphericity, factor_cells
from bids_app.model.specification import ContrastSpec, NodeSpec

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
        return sum_to_zero(self.cell_weights)

    @property
    def needs(self) -> NDArray[np.bool_]:
        """Cells of a subject that it cannot do without, (n_cells,): all of them where the error is pooled."""
        weighed = np.any(self.within != 0, axis=0)
        return np.ones_like(weighed) if self.error_term == "pooled" else np.asarray(weighed)


def in_words(weights: Floats, names: Sequence[str]) -> str:
    """Return one row of weights in words.

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


@dataclass(frozen=True, slots=True)
class ContrastLayout:
    """What every contrast of a node is made from."""

    node: NodeSpec
    cells: tuple[str, ...]
    between: BetweenDesign
    n_regressors: int


def design_matrix(
    cells: Sequence[str], subjects: Sequence[str], between: BetweenDesign, *, with_subjects: bool
) -> tuple[Floats, tuple[str, ...]]:
    """Return the design matrix and its columns' names: each between-subject column at each condition, then subjects."""
    n_cells = len(cells)
    columns = np.asarray(np.kron(between.matrix, np.eye(n_cells)), np.float64)
    plain = len(between.names) == 1
    names = [cell if plain else f"{name}:{cell}" if n_cells > 1 else name for name in between.names for cell in cells]
    if not with_subjects:
        return columns, tuple(names)
    blocks = np.repeat(np.eye(len(subjects)), n_cells, axis=0)
    return np.hstack([columns, blocks]), (*names, *(f"sub-{subject}" for subject in subjects))


def check_columns_differ(
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


def contrasts_of_spec(spec: ContrastSpec, layout: ContrastLayout) -> Iterator[Contrast]:
    """Yield the contrast that a model states: one, or one for each condition."""
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


def _cell_weights(spec: ContrastSpec, layout: ContrastLayout) -> Iterator[tuple[str, Floats]]:
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


def _mean_over_cells(layout: ContrastLayout) -> Floats:
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


def contrasts_of_effect(effect: tuple[str, ...], layout: ContrastLayout) -> Iterator[Contrast]:
    """Yield a main effect or interaction: differences over its factors, the mean over the others."""
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
    layout: ContrastLayout,
    *,
    generated: bool = True,
) -> Contrast:
    within = _orthonormal(cell_weights)
    zero_sum = sum_to_zero(cell_weights)
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


def _formula(cell_weights: Floats, between: Floats, layout: ContrastLayout) -> str:
    """Return the weights in words: those over the cells, and those between subjects where there is a choice."""
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


def sum_to_zero(rows: Floats) -> bool:
    """Whether every row compares: its sum is rounding of its weights, whatever their scale."""
    return bool(np.all(np.abs(rows.sum(axis=1)) <= TOLERANCE * np.abs(rows).sum(axis=1)))
