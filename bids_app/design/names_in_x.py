"""What the names in X are, settled once the maps and the participants' table are known: conditions or columns.

Text is a factor between subjects, a number a covariate, `column.level` an indicator: all levels of a column make it a
factor, single ones are regressors as they are. Columns of 0 and 1 that divide the subjects into groups are such cells
themselves, and what Transformations or a Formula have computed is used as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bids_app.arrays import Floats
from bids_app.console.text import joined, listed, nearest, shown, suggestion
from bids_app.errors import ModelError
from bids_app.inputs.columns import Participants, column_or_indicator, is_numeric, level_of, levels_column
from bids_app.inputs.formulas import spellings
from bids_app.inputs.handed_over import labels_of_pattern
from bids_app.model.read_contrasts import OF_FORMULA
from bids_app.model.read_transformations import WILDCARDS
from bids_app.model.settings import GroupLevelSettings, effect_names
from bids_app.model.specification import ContrastSpec, NodeSpec


@dataclass(frozen=True, slots=True)
class Known:
    """What there is to name in X."""

    conditions: tuple[str, ...]
    """Labels of the maps that the node may use."""
    participants: Participants | None
    """The table with the columns of Transformations; None where there is none."""
    subjects: tuple[str, ...]
    computed: frozenset[str] = frozenset()
    """Columns of numbers that Transformations have computed."""
    factors: frozenset[str] = frozenset()
    """Columns that Transformations say are factors."""
    formula: tuple[str, ...] = ()
    """Columns of the Formula, in its order; it takes the place of X."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the table."""
        return () if self.participants is None else tuple(map(str, self.participants.table.columns))


@dataclass(frozen=True, slots=True)
class _Roles:
    """The columns in X by their role."""

    factors: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()
    regressors: tuple[str, ...] = ()


def settle_names(node: NodeSpec, known: Known) -> NodeSpec:
    """Return the node with every name in X and in its contrasts as what it is.

    Parameters
    ----------
    node : as it is read
    known : the maps and the table

    Returns
    -------
    NodeSpec
        Its conditions without wildcards, columns of X in Between, Covariates, `cells` and `regressors`.

    Raises
    ------
    ModelError
        A name that is neither, columns that cannot stand together, nothing to test.
    DataError
        A subject has no value in a column.
    """
    conditions, columns = _conditions_and_columns(node, known)
    if known.formula:
        columns = list(known.formula)
    roles = _roles(node, known, columns)
    settings = node.settings.model_copy(
        update={
            "between": (*node.settings.between, *roles.factors),
            "covariates": (*node.settings.covariates, *roles.covariates),
        }
    )
    settled = replace(
        node,
        conditions=tuple(conditions),
        columns=(),
        cells=roles.cells,
        regressors=roles.regressors,
        contrasts=tuple(
            replace(spec, columns=_respelt(spec.columns, known.formula))
            for spec in _settled_contrasts(node, known, conditions, columns, roles)
        ),
    )
    return _with_effects(settled, settings, roles, _dummies_of(node) if columns else set())


def _conditions_and_columns(node: NodeSpec, known: Known) -> tuple[list[str], list[str]]:
    """Return the conditions in X, patterns among them replaced by what they match, and the columns."""
    conditions: list[str] = []
    columns: list[str] = list(node.columns)
    for name in node.conditions:
        if name not in known.conditions and set(name) & WILDCARDS:
            matches = labels_of_pattern(name, known.conditions)
            if not matches:
                raise ModelError(
                    f"{node.where}.Model.X: no map has a condition like {shown(name)}. Conditions found: "
                    f"{listed(known.conditions)}."
                )
            conditions += [label for label in matches if label not in conditions]
        elif name not in known.conditions and _is_column(name, known) and not _stated_as_condition(name, node):
            columns.append(name)
        else:
            _check_not_misspelled(name, node, known)
            conditions.append(name)
    if node.conditions and not conditions:
        raise ModelError(
            f"{node.where}.Model.X: names no condition, only columns of participants.tsv: {listed(columns)}. For one "
            'model per condition write "GroupBy": ["contrast"], and in X 1 and the columns.'
        )
    _check_columns_exist(node, columns, known)
    return conditions, columns


def _check_not_misspelled(name: str, node: NodeSpec, known: Known) -> None:
    """Refuse what no map has as a condition, and what a column is called almost alike."""
    if labels_of_pattern(name, known.conditions) or nearest(name, known.conditions):
        return
    if near := nearest(name, known.columns):
        raise ModelError(
            f"{node.where}.Model.X: {shown(name)} is neither a condition of the maps nor a column of participants.tsv; "
            f"did you mean the column {shown(near)}? Conditions found: {listed(known.conditions)}."
        )


def _stated_as_condition(name: str, node: NodeSpec) -> bool:
    """Return whether a contrast of the block weighs a name as a condition."""
    return any(name in spec.conditions and spec.columns for spec in node.contrasts)


def _is_column(name: str, known: Known) -> bool:
    return name in known.columns or _indicator(name, known) is not None


def _indicator(name: str, known: Known) -> tuple[str, str] | None:
    """Return the column and the level that a name column.level stands for."""
    return None if known.participants is None else level_of(known.participants, name)


def _own_level(name: str, known: Known) -> tuple[str, str] | None:
    """Return column and level as `_indicator`, unless there is a column of that name with other numbers."""
    found = _indicator(name, known)
    if found is None or known.participants is None or name not in known.columns:
        return found
    if not is_numeric(known.participants, name, known.subjects):
        return None
    levels = levels_column(known.participants, found[0], known.subjects)
    own = _numbers(name, known)
    return found if own.tolist() == [float(level == found[1]) for level in levels] else None


def _check_columns_exist(node: NodeSpec, columns: Sequence[str], known: Known) -> None:
    """Refuse names that are no column; a condition among them is told how its map is tested."""
    for name in () if known.formula else columns:
        if _is_column(name, known):
            continue
        where = f"{node.where}.Model.X"
        if labels_of_pattern(name, known.conditions):
            raise ModelError(
                f'{where}: {shown(name)} is a condition; with "GroupBy": ["contrast"] each condition has its own '
                'model, and X holds 1 and columns of participants.tsv. To compare conditions write "GroupBy": [].'
            )
        if known.participants is None:
            raise ModelError(
                f"{where}: {shown(name)} can only be a column of participants.tsv, and there is no such table. Give it "
                "with --participants FILE.tsv."
            )
        column, _, level = name.partition(".")
        if column in known.columns and level:
            levels = sorted({str(value) for value in known.participants.table[column] if value is not None})
            raise ModelError(
                f"{where}: the column {shown(column)} of {known.participants.source} has no level {shown(level)}"
                f"{suggestion(level, levels)}"
            )
        raise ModelError(
            f"{where}: {known.participants.source} has no column {shown(name)}{suggestion(name, known.columns)}"
        )


def _roles(node: NodeSpec, known: Known, columns: Sequence[str]) -> _Roles:
    """Return the columns by their role."""
    if not columns:
        return _Roles()
    assert known.participants is not None  # every column has been found in it
    participants, subjects = known.participants, known.subjects
    indicators = {name: found for name in columns if name not in known.formula and (found := _own_level(name, known))}
    named: dict[str, set[str]] = {}
    for column, level in indicators.values():
        named.setdefault(column, set()).add(level)
    whole = [name for name, levels in named.items() if levels >= {*levels_column(participants, name, subjects)}]
    if len(whole) > 1:
        raise ModelError(
            f"{node.where}.Model.X: has every level of {joined(whole)}; each of these sets adds up to 1, so that they "
            f"cannot be told apart. For a factorial design name the columns themselves ({listed(whole)}); or leave one "
            "level of each out, and put 1 in X."
        )
    factors = [name for name in whole if name not in node.settings.between]
    covariates: list[str] = []
    regressors: list[str] = []
    for name in columns:
        if name in indicators:
            if indicators[name][0] not in {*whole, *node.settings.between}:  # otherwise it is a group's column already
                regressors.append(name)
        elif name in known.computed or name in known.formula:
            regressors.append(name)
        elif name in known.factors or not is_numeric(participants, name, subjects):
            factors.append(name)
        else:
            covariates.append(name)
    has_mean = node.has_intercept or factors or node.settings.between
    cells = () if has_mean else _cells(node, known, [*regressors, *covariates])
    return _Roles(
        factors=tuple(factors),
        covariates=tuple(name for name in covariates if name not in cells),
        cells=cells,
        regressors=tuple(name for name in regressors if name not in cells),
    )


def _cells(node: NodeSpec, known: Known, columns: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that divide the subjects into groups, in a model without intercept."""
    values = {name: _numbers(name, known) for name in columns}
    binary = [name for name, numbers in values.items() if {*numbers.tolist()} <= {0.0, 1.0}]
    total, cells = np.zeros(len(known.subjects)), list[str]()
    for name in binary:  # the first that divide the subjects; another division is of columns beside it
        if np.any(values[name]) and not np.any(values[name] * total):
            total, cells = total + values[name], [*cells, name]
    if np.all(total == 1):
        return tuple(cells)
    what = f"{listed(columns)} {'do' if len(columns) > 1 else 'does'} not divide the subjects into groups"
    if binary:
        who = listed([f"sub-{name}" for name, n in zip(known.subjects, total, strict=True) if n != 1])
        what = f"the columns of 0 and 1 ({listed(binary)}) do not put {who} into exactly one group"
    raise ModelError(
        f"{node.where}.Model: has no intercept, and {what}. Put 1 in X (0 + out of the Formula), or give a column of 0 "
        "and 1 for each group."
    )


def _numbers(name: str, known: Known) -> Floats:
    """Return a column's numbers, or the indicator of the level that it stands for."""
    assert known.participants is not None
    return column_or_indicator(known.participants, name, known.subjects)


def _settled_contrasts(
    node: NodeSpec, known: Known, conditions: Sequence[str], columns: Sequence[str], roles: _Roles
) -> Iterator[ContrastSpec]:
    """Yield the contrasts, with columns where the file could only suppose conditions."""
    patterns = [name for name in node.conditions if name not in conditions and set(name) & WILDCARDS]
    of_effects = {*roles.factors, *node.settings.between}
    for spec in node.contrasts:
        if spec.is_dummy and {*spec.conditions, *spec.columns} & {*of_effects}:
            continue  # the effect of a factor has an F of its own
        if spec.is_dummy and not (spec.conditions or spec.columns or node.has_intercept):
            continue  # the dummy contrast of a column that is not in X
        if spec.is_dummy and spec.columns == OF_FORMULA:
            for name in known.formula:
                yield replace(spec, name=name, columns=(name,))
            continue
        if spec.is_dummy and spec.conditions and spec.conditions[0] in patterns:
            for label in labels_of_pattern(spec.conditions[0], conditions):
                yield replace(spec, name=label, conditions=(label,))
            continue
        are_columns = [
            name not in conditions and (name in columns or _is_level(name, columns)) for name in spec.conditions
        ]
        if spec.conditions and all(are_columns):
            yield replace(spec, conditions=(), weights=(), columns=spec.conditions, column_weights=spec.weights)
            continue
        if any(are_columns):
            raise ModelError(
                f"{spec.where} ({spec.name}): weighs conditions and columns of participants.tsv together: "
                f"{listed(spec.conditions)}. Write what is within subjects and what is between them as Within and "
                "Between of a contrast in Model.Software.grouplevel.Contrasts."
            )
        yield _with_labels(spec, conditions, patterns)


def _is_level(name: str, columns: Sequence[str]) -> bool:
    return name.startswith(tuple(f"{column}." for column in columns))


def _with_labels(spec: ContrastSpec, conditions: Sequence[str], patterns: Sequence[str]) -> ContrastSpec:
    """Return a contrast with its conditions as X has them, which a pattern may have spelled in another way."""
    if not patterns:
        return spec
    names = []
    for name in spec.conditions:
        meant = [name] if name in conditions else labels_of_pattern(name, conditions)
        if len(meant) != 1:
            found = f"may be any of {listed(meant)}" if meant else f"is not in X, which has {listed(conditions)}"
            raise ModelError(f"{spec.where} ({spec.name}): {shown(name)} {found}. Weights belong to single conditions.")
        names += meant
    return replace(spec, conditions=tuple(names))


def _with_effects(node: NodeSpec, settings: GroupLevelSettings, roles: _Roles, dummies: set[str]) -> NodeSpec:
    """Return the node with the effects to test; columns that X alone names are tested by what the node writes out.

    Without a contrast of it, each of their effects is tested; so is a factor that a dummy contrast names.
    """
    own = node.settings
    by_x_alone = not (own.factors or own.between or own.covariates or "effects" in own.model_fields_set)
    if by_x_alone and (node.contrasts or dummies):
        settings = settings.model_copy(update={"effects": tuple(name for name in roles.factors if name in dummies)})
    if not (node.contrasts or effect_names(settings) or node.cells or node.regressors) and node.per_condition:
        # the mean of each condition, and named after it
        node = replace(node, contrasts=(ContrastSpec("", "t", (), (), own.sided, node.where),))
    if not node.contrasts and not effect_names(settings):
        raise ModelError(
            f"{node.where}: nothing to test; write Contrasts or DummyContrasts, or Factors in Model.Software.grouplevel"
        )
    return replace(node, settings=settings)


def _dummies_of(node: NodeSpec) -> set[str]:
    """Return the names that dummy contrasts test."""
    return {name for spec in node.contrasts if spec.is_dummy for name in (*spec.conditions, *spec.columns)}


def _respelt(columns: Sequence[str], of_formula: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of a contrast as the Formula calls them."""
    called = {other: name for name in of_formula for other in spellings(name)}
    return tuple(called.get(name, name) for name in columns)
