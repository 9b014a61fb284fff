"""Design matrix and contrasts, rank and estimability checks.

A complete within-subject design is one linear model on scores (see `glm`): each contrast is a product L x M of weights
L over the columns of the between-subject design B and orthonormal weights M over a subject's cells.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Literal

import numpy as np
from numpy.typing import NDArray

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

    def __post_init__(self) -> None:
        expected = (len(self.subjects) * len(self.cells), len(self.regressors))
        if self.matrix.shape != expected:
            raise ValueError(f"design matrix is {self.matrix.shape}; expected {expected}")
        if len(self.blocks) not in (0, len(self.subjects)):
            raise ValueError(f"{len(self.blocks)} block labels; expected one for each of {len(self.subjects)} subjects")

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
    matrix, regressors = _matrix(maps.subjects, maps.conditions, with_subjects=node.has_subject)
    explicit = [_from_spec(spec, node, maps.conditions, len(regressors)) for spec in node.contrasts]
    taken = {contrast.name for contrast in explicit}
    replaced = [":".join(effect) for effect in effect_names(node.settings) if ":".join(effect) in taken]
    generated = [
        contrast
        for effect in effect_names(node.settings)
        if (contrast := _from_effect(effect, node, maps.conditions, len(regressors))).name not in taken
    ]
    contrasts = (*explicit, *generated)
    _check_labels(contrasts, node)
    blocks, block_notes = _blocks(maps.subjects, node, participants)
    return Design(
        matrix=matrix,
        regressors=regressors,
        subjects=maps.subjects,
        cells=maps.conditions,
        between=np.ones((len(maps.subjects), 1)),
        between_names=("intercept",),
        contrasts=contrasts,
        notes=(*_notes(contrasts, node, replaced), *block_notes),
        blocks=blocks,
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


def _matrix(subjects: Sequence[str], cells: Sequence[str], *, with_subjects: bool) -> tuple[Floats, tuple[str, ...]]:
    """Lay out indicator columns: conditions, then subjects."""
    conditions = np.tile(np.eye(len(cells)), (len(subjects), 1))
    if not with_subjects:
        return conditions, tuple(cells)
    blocks = np.repeat(np.eye(len(subjects)), len(cells), axis=0)
    return np.hstack([conditions, blocks]), (*cells, *(f"sub-{subject}" for subject in subjects))


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
    return blocks, (note, *left_out(participants, subjects))


def _from_spec(spec: ContrastSpec, node: NodeSpec, cells: tuple[str, ...], n_regressors: int) -> Contrast:
    cell_weights = np.zeros((len(spec.weights), len(cells)))
    cell_weights[:, [cells.index(name) for name in spec.conditions]] = spec.weights
    _check_sum(cell_weights, spec.name, spec.where)
    rank = int(np.linalg.matrix_rank(cell_weights))
    if rank < len(cell_weights):
        raise ModelError(
            f"{spec.where} ({spec.name}): its {len(cell_weights)} rows of weights have rank {rank}. Expected rows "
            "that do not follow from each other: leave out the dependent ones."
        )
    return _contrast(spec.name, spec.test, spec.sided, cell_weights, node, n_regressors, generated=False)


def _check_sum(weights: Floats, name: str, where: str) -> None:
    """Refuse weights whose sum is zero to the eye and a baseline to the computer."""
    for row in weights:
        total, size = abs(row.sum()), np.abs(row).sum()
        if TOLERANCE < total < 0.01 * size:
            raise ModelError(
                f"{where} ({name}): the weights sum to {row.sum():.3g}, which is neither zero nor a mean: the contrast "
                'would mix a difference of conditions with their mean. Write fractions as text, such as "1/3".'
            )


def _from_effect(effect: tuple[str, ...], node: NodeSpec, cells: tuple[str, ...], n_regressors: int) -> Contrast:
    """Weights of a main effect or interaction: differences over its factors, the mean over the others."""
    blocks = []
    for factor in node.settings.factors:
        n_levels = len(factor.levels)
        differences = np.eye(n_levels)[:-1] - np.eye(n_levels)[1:]
        blocks.append(differences if factor.name in effect else np.full((1, n_levels), 1 / n_levels))
    over_product = reduce(np.kron, blocks)
    cell_weights = np.zeros((len(over_product), len(cells)))
    cell_weights[:, [cells.index(name) for name in factor_cells(node.settings)]] = over_product
    return _contrast(":".join(effect), "F", "positive", cell_weights, node, n_regressors)


def _contrast(
    name: str,
    test: Literal["t", "F"],
    sided: Sided,
    cell_weights: Floats,
    node: NodeSpec,
    n_regressors: int,
    *,
    generated: bool = True,
) -> Contrast:
    within = _orthonormal(cell_weights)
    zero_sum = bool(np.all(np.abs(cell_weights.sum(axis=1)) < TOLERANCE))
    pooled = node.settings.error_term == "pooled" and zero_sum
    return Contrast(
        name=name,
        label=file_label(name),
        test=test,
        sided=sided,
        weights=np.pad(cell_weights, ((0, 0), (0, n_regressors - cell_weights.shape[1]))),
        cell_weights=cell_weights,
        within=within,
        between=np.ones((1, 1)),
        error_term="pooled" if pooled else "partitioned",
        sphericity="none" if pooled or len(within) == 1 else node.settings.sphericity,
        generated=generated,
        formula="; ".join(in_words(row, node.conditions) for row in cell_weights),
    )


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


def _notes(contrasts: Sequence[Contrast], node: NodeSpec, replaced: Sequence[str]) -> tuple[str, ...]:
    notes = []
    if replaced:
        notes.append(f"explicit contrasts replace the effects of the same name: {', '.join(replaced)}")
    means = [contrast.name for contrast in contrasts if not contrast.sums_to_zero]
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
