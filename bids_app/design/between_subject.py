"""The between-subject design: groups as cell means, covariates, and the weights over its columns.

Each combination of the between factors' levels has a column (the mean of its subjects), so that what averages over
groups weighs them equally whatever their sizes (Type III). Without between factors the first column is the intercept.
Numeric covariates follow, centred; a covariate of text is a factor that is added to the model without interactions,
coded by deviations from the equally weighted mean of its levels, which leaves the other columns their meaning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product

import numpy as np

from bids_app.arrays import Floats
from bids_app.console.text import duplicates, shown, suggestion
from bids_app.design.subspaces import column_space, unit_rows
from bids_app.errors import DataError, ModelError, Warned
from bids_app.inputs.columns import (
    Participants,
    column_or_indicator,
    is_number,
    is_numeric,
    levels_column,
    nines,
    numbers_in_disguise,
    numeric_column,
    text_column,
)
from bids_app.model.settings import GroupLevelSettings, has_slope_of_each_group

INTERCEPT = "intercept"
CELLS = "X"  # the factor whose levels are columns of X
DEPENDENT = 1e-6  # share of a column's variation that no others explain, below which its effect is rounding
LEAST_SPREAD = 1e-10  # of the size of a covariate's numbers: what varies less does not, in double precision
MANY_NUMBERS = 5  # levels that are numbers from which on a factor may be a covariate
FEW_CODES = 5  # consecutive whole numbers up to which a covariate may be codes of groups


@dataclass(frozen=True, slots=True)
class BetweenDesign:
    """Which subject is in which group, and what else is known of the subjects."""

    matrix: Floats
    """B (n_subjects, n_columns)."""
    names: tuple[str, ...]
    """Columns: intercept or group.level (group.level:sex.level), then covariates."""
    factors: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Between factors with their levels."""
    covariates: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """Covariates with their columns, several where the covariate is text, or has a slope of its own in each cell."""
    slopes: frozenset[str] = frozenset()
    """Covariates with a slope in each cell of the factors, in their order."""
    notes: tuple[str, ...] = ()
    """Lines for the log."""

    @property
    def n_cells(self) -> int:
        """Columns that are means: combinations of the factors' levels, or the intercept."""
        return int(np.prod([len(levels) for _, levels in self.factors], dtype=int))

    @property
    def groups(self) -> tuple[str, ...]:
        """Name of each subject's group, (n_subjects,); empty without between factors."""
        return tuple(self.names[column] for column in self.matrix[:, : self.n_cells].argmax(1)) if self.factors else ()

    @property
    def average(self) -> Floats:
        """Weights of the mean over subjects, each group alike, (1, n_columns)."""
        return self._padded(np.full((1, self.n_cells), 1 / self.n_cells))

    def of_effect(self, effect: Sequence[str]) -> Floats:
        """L of an effect, (q, n_columns): differences over the factors it names, the mean over the others."""
        for name, columns in self.covariates:
            if name in effect:
                of_name = np.eye(len(self.names))[list(columns)]
                return np.asarray(self._over_cells(effect) @ of_name if name in self.slopes else of_name)
        return self._padded(self._over_cells(effect)) if self.factors else self.average

    def _over_cells(self, effect: Sequence[str]) -> Floats:
        """Differences over the factors that an effect names, the mean over the others, (q, n_cells)."""
        blocks: list[Floats] = []
        for name, levels in self.factors:
            n_levels = len(levels)
            differences = np.eye(n_levels)[:-1] - np.eye(n_levels)[1:]
            blocks.append(differences if name in effect else np.full((1, n_levels), 1 / n_levels))
        return reduce(lambda a, b: np.asarray(np.kron(a, b)), blocks)

    def of_names(self, names: Sequence[str], weights: Floats, where: str) -> Floats:
        """L of weights that a model states, (q, n_columns); group.level is the mean of all cells of that level.

        Raises
        ------
        ModelError
            For a name that is no column and no level.
        """
        return np.asarray(weights @ np.vstack([self._row(name, where) for name in names]))

    def _row(self, name: str, where: str) -> Floats:
        if name in ("1", INTERCEPT):
            return np.asarray(self.average[0])
        if name in self.names:
            return np.asarray(np.eye(len(self.names))[self.names.index(name)])
        for covariate, columns in self.covariates:
            if name == covariate and covariate in self.slopes:
                return np.asarray(np.eye(len(self.names))[list(columns)].mean(axis=0))
        cells = list(product(*(levels for _, levels in self.factors)))
        for index, (factor, levels) in enumerate(self.factors):
            for level in levels:
                if name == f"{factor}.{level}":
                    member = np.array([float(cell[index] == level) for cell in cells])
                    return np.asarray(self._padded((member / member.sum())[None])[0])
        raise ModelError(f"{where}: no between-subject column is called {shown(name)}{self._hint(name)}")

    def _hint(self, name: str) -> str:
        """Return the end of a message about an unknown name."""
        covariates = [covariate for covariate, _ in self.covariates]
        column, _, level = name.rpartition(":")
        if level in covariates and level not in self.slopes and column:
            factor = column.partition(".")[0]
            return (
                f"; {level} has one slope for all groups. For one in each group name {factor} in Between and {level} "
                f'in Covariates, with "Effects": ["{factor}:{level}"]'
            )
        column, _, level = name.partition(".")
        if column in covariates and column in self.names and level:
            return (
                f": {shown(column)} holds numbers and is a covariate here. To compare its values as groups write "
                f'"Between": [{shown(column)}] in Model.Software.grouplevel.'
            )
        of_formula = [f"{start}[{end}]" for start in (column, f"C({column})") for end in (level, f"T.{level}")]
        if same := [other for other in of_formula if other in self.names]:
            return f"; the Formula calls it {shown(same[0])}"
        of_levels = [f"{factor}.{level}" for factor, levels in self.factors for level in levels if factor != CELLS]
        return suggestion(name, dict.fromkeys([*self.names, *of_levels]))

    def _padded(self, rows: Floats) -> Floats:
        return np.pad(rows, ((0, 0), (0, len(self.names) - self.n_cells)))


def build_between(
    subjects: Sequence[str],
    settings: GroupLevelSettings,
    participants: Participants | None,
    where: str,
    *,
    of_x: tuple[Sequence[str], Sequence[str]] = ((), ()),
) -> BetweenDesign:
    """Lay out the between-subject design.

    Parameters
    ----------
    subjects : in the order of the maps
    settings : Between, Covariates and Center are used
    participants : needed where these name columns
    where : place of the node in the model file
    of_x : columns of 0 and 1 that are a group each, and columns that are used as they are

    Raises
    ------
    DataError
        A group with one member or none, a column that does not vary or follows from others, too many columns.
    """
    of_cells, regressors = of_x
    if participants is None or not (settings.between or settings.covariates or of_cells or regressors):
        return BetweenDesign(np.ones((len(subjects), 1)), (INTERCEPT,))
    groups = {name: levels_column(participants, name, subjects) for name in settings.between}
    if of_cells:
        groups = {CELLS: _cell_of_each(of_cells, participants, subjects)}
    factors = tuple((name, tuple(sorted(set(values)))) for name, values in groups.items())
    factors = ((CELLS, tuple(of_cells)),) if of_cells else factors
    cells = list(product(*(levels for _, levels in factors)))
    of_subject = list(zip(*groups.values(), strict=True)) if groups else [()] * len(subjects)
    _check_groups(factors, cells, of_subject, subjects, participants)
    names = [":".join(f"{factor}.{level}" for (factor, _), level in zip(factors, cell, strict=True)) for cell in cells]
    names = list(of_cells) or names
    columns = [np.array([float(own == cell) for own in of_subject]) for cell in cells]
    notes = [f"between subjects: {_sizes(names, columns)}", *_level_notes(factors)] if factors else []
    covariates, slopes, of_each_cell = [], set[str](), list(zip(names, columns, strict=True))
    for name in settings.covariates:
        added, values, said = _covariate(name, participants, subjects, of_subject, settings.center)
        if has_slope_of_each_group(settings, name):
            added, values = _slopes(name, added, values, of_each_cell, participants)
            slopes.add(name)
        covariates.append((name, tuple(range(len(names), len(names) + len(added)))))
        names, columns = [*names, *added], [*columns, *values]
        notes += said
    for name in regressors:
        covariates.append((name, (len(names),)))
        names, columns = [*names, name], [*columns, column_or_indicator(participants, name, subjects)]
        notes.append(f"{name}: from {columns[-1].min():g} to {columns[-1].max():g}, as it is")
    names[0] = names[0] or INTERCEPT
    _check_names(names, factors, participants)
    matrix = np.column_stack(columns)
    _check_columns(matrix, names, participants, where)
    return BetweenDesign(matrix, tuple(names), factors, tuple(covariates), frozenset(slopes), tuple(notes))


def _cell_of_each(names: Sequence[str], participants: Participants, subjects: Sequence[str]) -> tuple[str, ...]:
    """Return for each subject which of some columns of 0 and 1 is 1."""
    indicators = np.column_stack([column_or_indicator(participants, name, subjects) for name in names])
    return tuple(names[index] for index in indicators.argmax(axis=1))


def _slopes(
    name: str,
    added: Sequence[str],
    values: Sequence[Floats],
    cells: Sequence[tuple[str, Floats]],
    participants: Participants,
) -> tuple[list[str], list[Floats]]:
    """Return the columns of a covariate's slope in each cell."""
    if list(added) != [name]:
        raise ModelError(
            f"{participants.source}: {shown(name)} is text, and has no slope that could differ between groups. Name it "
            "in Between."
        )
    return [f"{cell}:{name}" for cell, _ in cells], [np.where(member > 0, values[0], 0.0) for _, member in cells]


def _sizes(names: Sequence[str], columns: Sequence[Floats]) -> str:
    return ", ".join(f"{name} {int(values.sum())} subjects" for name, values in zip(names, columns, strict=True))


def _check_groups(
    factors: Sequence[tuple[str, tuple[str, ...]]],
    cells: Sequence[tuple[str, ...]],
    of_subject: Sequence[tuple[str, ...]],
    subjects: Sequence[str],
    participants: Participants,
) -> None:
    """Refuse factors without a choice, and cells in which no variance can be estimated."""
    for name, levels in factors:
        if len(levels) < 2:
            raise DataError(
                f"{participants.source}: all {len(subjects)} subjects have {shown(levels[0])} in the column "
                f"{shown(name)}. A factor needs two levels or more: take it out of Between or X."
            )
    sizes = Counter(of_subject)
    for cell in cells if factors else ():
        if sizes[cell] < 2:
            called = " and ".join(f"{name} {shown(level)}" for (name, _), level in zip(factors, cell, strict=True))
            who = "nobody" if not sizes[cell] else f"only sub-{subjects[list(of_subject).index(cell)]}"
            raise DataError(
                f"{participants.source}: of the {len(subjects)} subjects analysed, {who} has {called}. Expected two "
                "members or more in each group: leave the group out with --participant-label, or join groups."
                + "".join(f" {note}." for note in _level_notes(factors))
            )


def _level_notes(factors: Sequence[tuple[str, tuple[str, ...]]]) -> list[str]:
    """Warn of factors that may be covariates, and of levels that may be marks of missing values."""
    notes: list[str] = []
    for name, levels in factors:
        if len(levels) >= MANY_NUMBERS and (all(map(is_number, levels)) or numbers_in_disguise(levels)):
            notes.append(
                Warned(
                    f"the column {shown(name)} in Between holds {len(levels)} different numbers, each of which is a "
                    "group of its own; a covariate stands in Covariates"
                )
            )
        if marks := nines([float(level) for level in levels if is_number(level)]):
            said = ", ".join(f"{mark:g}" for mark in marks)
            notes.append(
                Warned(f"the level {said} of {shown(name)} looks like a mark of missing values: write n/a for it")
            )
    return notes


def _check_names(
    names: Sequence[str], factors: Sequence[tuple[str, tuple[str, ...]]], participants: Participants
) -> None:
    """Refuse columns that a contrast could not tell apart: a point or colon in a name makes it that of a level."""
    levels = [f"{factor}.{level}" for factor, levels in factors for level in levels] if len(factors) > 1 else []
    if repeated := duplicates([*names, *levels]):
        raise DataError(
            f"{participants.source}: two between-subject columns would be called {shown(repeated[0])}, by the names of "
            "columns and levels with points or colons. Rename one in the table."
        )


def _covariate(
    name: str,
    participants: Participants,
    subjects: Sequence[str],
    of_subject: Sequence[tuple[str, ...]],
    center: str,
) -> tuple[list[str], list[Floats], list[str]]:
    """Names and values of a covariate's columns, and what was done to it."""
    if not is_numeric(participants, name, subjects):
        text = text_column(participants, name, subjects)
        levels = sorted(set(text))
        if len(levels) == 1:  # refused with all columns that do not vary
            return [name], [np.zeros(len(subjects))], []
        last = np.array([float(value == levels[-1]) for value in text])
        values = [np.array([float(value == level) for value in text]) - last for level in levels[:-1]]
        note = f"covariate {name}: text, hence a factor of {len(levels)} levels ({', '.join(levels)})"
        many = 2 * len(levels) > len(subjects)  # names or dates rather than groups
        return [f"{name}.{level}" for level in levels[:-1]], values, [Warned(note) if many else note]
    numbers = numeric_column(participants, name, subjects)
    if np.ptp(numbers) < LEAST_SPREAD * np.abs(numbers).max():
        numbers = np.full_like(numbers, numbers[0])
    spread, notes = f"from {numbers.min():g} to {numbers.max():g}", _number_notes(name, numbers, subjects)
    if center == "none":
        return [name], [numbers], [f"covariate {name}: {spread}, not centred", *notes]
    if center == "grand":
        note = f"covariate {name}: {spread}, centred on its mean {numbers.mean():g}"
        return [name], [_centred(numbers)], [note, *notes]
    means = {cell: numbers[[own == cell for own in of_subject]].mean() for cell in set(of_subject)}
    said = ", ".join(f"{' '.join(cell) or 'all'} {mean:g}" for cell, mean in sorted(means.items()))
    centred = np.empty_like(numbers)
    for cell in means:
        members = [own == cell for own in of_subject]
        centred[members] = _centred(numbers[members])
    return [name], [centred], [f"covariate {name}: {spread}, centred on the mean of each group ({said})", *notes]


def _number_notes(name: str, numbers: Floats, subjects: Sequence[str]) -> list[str]:
    """Warn of values that look like marks of missing ones; note what looks like codes of groups."""
    notes: list[str] = []
    for mark in nines(numbers.tolist()):
        who = [f"sub-{subject}" for subject, number in zip(subjects, numbers, strict=True) if number == mark]
        notes.append(
            Warned(
                f"covariate {name}: {mark:g} ({', '.join(who)}) looks like a mark of a missing value, and is analysed "
                "as a number. Where it is none, write n/a, and leave the subjects out"
            )
        )
    values, counts = np.unique(numbers, return_counts=True)
    if len(values) == 2 or (
        2 < len(values) <= FEW_CODES and np.array_equal(values - values[0], np.arange(len(values)))
    ):
        said = ", ".join(f"{value:g} ({count} subjects)" for value, count in zip(values, counts, strict=True))
        notes.append(
            f"covariate {name}: {len(values)} values only, {said}, of which the model takes the slope; codes of groups "
            "belong in Between"
        )
    return notes


def _centred(values: Floats) -> Floats:
    """Take the mean off columns; values that are all alike leave exactly zero."""
    deviations = values - values[0]
    return np.asarray(deviations - deviations.mean(axis=0))


def _check_columns(matrix: Floats, names: Sequence[str], participants: Participants, where: str) -> None:
    """Refuse columns that do not vary, or follow from others, or leave no degrees of freedom."""
    n_subjects, n_columns = matrix.shape
    deviations = _centred(matrix)  # an offset is no dependence
    for index, name in enumerate(names):
        if index >= n_subjects:  # any further column would follow from all others, which is not what is wrong
            break
        left = column_space(matrix[:, :index]).residuals(matrix[:, index, None])
        if index and np.linalg.norm(left) <= DEPENDENT * np.linalg.norm(deviations[:, index]):
            unit = unit_rows(deviations.T).T
            weights = np.linalg.lstsq(unit[:, :index], unit[:, index], rcond=None)[0]
            others = [other for other, weight in zip(names, weights, strict=False) if abs(weight) > 1e-6]
            reason = f"follows from {', '.join(others)}" if others else "does not vary over the subjects analysed"
            raise DataError(
                f"{participants.source}: the column {shown(name)} {reason}, so that the model ({where}) cannot tell "
                "its effect. Take it out of Between or Covariates."
            )
    if n_columns >= n_subjects:
        raise DataError(
            f"{where}: {n_columns} between-subject columns ({', '.join(names)}) for {n_subjects} subjects leave no "
            "degrees of freedom for the error. Take columns out, or add subjects."
        )
