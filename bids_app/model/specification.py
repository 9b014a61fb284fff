"""Contrasts, nodes and model, as the model file states them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from bids_app.model.graph import Source
from bids_app.model.read_transformations import Instruction
from bids_app.model.settings import GroupLevelSettings, Sided


@dataclass(frozen=True, slots=True)
class ContrastSpec:
    """One contrast, as the model states it."""

    name: str
    test: Literal["t", "F"]
    conditions: tuple[str, ...]  # those with weights; none: the mean over all cells
    weights: tuple[tuple[float, ...], ...]  # one row for t, one or more for F; a weight per condition
    sided: Sided  # F: always "positive"
    where: str  # path in the file, for messages: Nodes[0].Contrasts[1]
    columns: tuple[str, ...] = ()  # of the between-subject design; none: the mean over subjects
    column_weights: tuple[tuple[float, ...], ...] = ()  # a weight per column
    is_dummy: bool = False  # asked for by DummyContrasts, of one name in X

    def __post_init__(self) -> None:
        """Check that there is one weight per condition and per column."""
        if any(len(row) != len(self.conditions) for row in self.weights):
            raise ValueError("every row of weights needs one weight per condition")
        if any(len(row) != len(self.columns) for row in self.column_weights):
            raise ValueError("every row of weights needs one weight per column")


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One Dataset node of the model."""

    name: str
    conditions: tuple[str, ...]  # the conditions in X, in the order of X
    has_subject: bool  # whether "subject" is in X
    contrasts: tuple[ContrastSpec, ...]  # explicit ones only; see effect_names for the others
    settings: GroupLevelSettings
    mask_filter: dict[str, tuple[str, ...]] | None = None  # Options.Mask
    where: str = "Nodes[0]"
    per_condition: bool = False  # one model for each condition found, rather than one for all
    sources: tuple[Source, ...] = ()  # what hands it its maps; none: nothing is said of that
    dummies: tuple[str, ...] = ()  # conditions that DummyContrasts names; none: no choice
    split_by: tuple[str, ...] = ()  # entities and columns in GroupBy beside contrast: a model for each of their labels
    part: tuple[tuple[str, tuple[str, ...]], ...] = ()  # entities and labels of the maps of one of these models
    part_words: tuple[str, ...] = ()  # what these are, for people: the name of the node, then "session post" and so on
    has_intercept: bool = True
    columns: tuple[str, ...] = ()  # names in X that the block does not mention and that can only be columns
    transformations: tuple[Instruction, ...] = ()  # of columns of participants.tsv, in their order
    formula: str | None = None  # of columns of participants.tsv
    # What the names in X are once the maps and the participants' table are known, see `design.names_in_x`
    cells: tuple[str, ...] = ()  # columns of 0 and 1 that are a group each
    regressors: tuple[str, ...] = ()  # columns that are used as they are, not centred


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The model file."""

    name: str
    input: dict[str, tuple[str, ...]]
    nodes: tuple[NodeSpec, ...]
    document: dict[str, Any]  # the JSON as it is run: spellings corrected, defaults filled in
    notes: tuple[str, ...] = field(default=())  # log lines: corrected spellings, nodes that are not run


def participant_columns(settings: GroupLevelSettings) -> tuple[str, ...]:
    """Return the columns of participants.tsv that the settings name, each once."""
    others = (settings.variance_groups, settings.permutation and settings.permutation.exchangeability_blocks)
    return tuple(dict.fromkeys([*settings.between, *settings.covariates, *(name for name in others if name)]))
