"""Names of cells: how the levels of factors form the names of conditions, and what is wrong if they do not."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence

from pydantic import ValidationError

from bids_app.console.text import listed, listed_in_order, nearest
from bids_app.errors import DataError, UsageError
from bids_app.inputs.filters import fold, folds
from bids_app.model.settings import CELL_FIELD, FactorSettings, GroupLevelSettings, factor_cells

SEPARATORS = ("", "_", "-", ".")
MAX_FACTORS = 5  # 5! orders are tried within a second; more factors need an explicit pattern


def find_pattern(factors: Sequence[FactorSettings], present: Sequence[str]) -> str:
    """Return how levels form the names of conditions: in some order, joined by nothing, "_", "-" or ".".

    Parameters
    ----------
    factors : sequence of FactorSettings
        Their levels.
    present : sequence of str
        Conditions found.

    Returns
    -------
    str
        The only pattern for which all cells are present; if there is none, the one with the most cells present, so that
        the missing ones can be named.

    Raises
    ------
    DataError
        Several patterns fit equally well, or none has any cell.
    UsageError
        There are too many factors to try their orders.
    """
    if len(factors) > MAX_FACTORS:
        raise UsageError(
            f"{len(factors)} factors have too many orders to try. Give the pattern of the names by --cell."
        )
    expansions = _expansions(factors)
    hits = {pattern: sum(cell in present for cell in cells) for pattern, cells in expansions.items()}
    most = max(hits.values(), default=0)
    best = [pattern for pattern, count in hits.items() if count == most]
    if not most:
        tried = [f"{pattern} ({cells[0]})" for pattern, cells in expansions.items()]
        raise DataError(
            f"--within: no condition consists of levels of {', '.join(factor.name for factor in factors)}. Tried: "
            f"{listed(tried)}. {_found(present)}\nCorrect the levels, or give the pattern of the names by --cell."
        )
    if len(best) > 1:
        share = "the" if most == len(expansions[best[0]]) else "some"
        raise DataError(
            f"--within: several patterns fit {share} conditions found: {', '.join(best)}. {_found(present)}\n"
            f"Choose one: --cell '{best[0]}'"
        )
    return best[0]


def check_cells(settings: GroupLevelSettings, present: Sequence[str]) -> dict[str, str]:
    """Return the condition of every cell.

    Parameters
    ----------
    settings : GroupLevelSettings
        Its factors and ``CellName``.
    present : sequence of str
        Conditions found.

    Returns
    -------
    dict of str to str
        Cell, in the order of the factors, to condition; they differ at most in case and punctuation.

    Raises
    ------
    DataError
        A cell has no map. The message names the misspelled level, the missing cells or, if all are missing, what the
        pattern expands to.
    """
    labels = {cell: _label(cell, present) for cell in factor_cells(settings)}
    lost = [cell for cell, label in labels.items() if label is None]
    if not lost:
        return {cell: label for cell, label in labels.items() if label is not None}
    other = _other_pattern(settings, present) if len(lost) == len(labels) else None
    wrong = [] if other else list(_wrong_levels(settings, lost, present))
    if wrong:
        raise DataError("\n".join([*wrong, _found(present)]))
    if len(lost) == len(labels):
        raise DataError(
            f"--cell: {settings.cell_name} matches no condition. It expands to {_with_nearest(lost, present)}. "
            f"{_found(present)}" + (f"\n--cell '{other}' would match all." if other else "")
        )
    raise DataError(
        f"{len(lost)} of {len(labels)} cells of {settings.cell_name} have no map: {_with_nearest(lost, present)}. "
        f"{_found(present)}\nA design needs maps of every combination of levels: remove the incomplete levels, "
        "or correct --within and --cell."
    )


def _expansions(factors: Sequence[FactorSettings]) -> dict[str, list[str]]:
    """Return the cells of every pattern that gives each its own name."""
    orders = itertools.permutations([factor.name for factor in factors])
    patterns = dict.fromkeys(s.join(f"{{{name}}}" for name in order) for order in orders for s in SEPARATORS)
    expansions = {}
    for pattern in patterns:
        try:
            settings = GroupLevelSettings(factors=tuple(factors), cell_name=pattern)
        except ValidationError:  # two cells would share a name
            continue
        expansions[pattern] = list(factor_cells(settings))
    return expansions


def _label(cell: str, present: Sequence[str]) -> str | None:
    """Return the condition of a cell, as the analysis will: the same, or one that differs in case and punctuation."""
    return cell if cell in present else next((label for label in present if fold(label) in folds(cell)), None)


def _wrong_levels(settings: GroupLevelSettings, lost: Sequence[str], present: Sequence[str]) -> Iterable[str]:
    """Yield a problem for each level that is in none of the conditions, with what is found in its position."""
    cells = factor_cells(settings)
    for index, factor in enumerate(settings.factors):
        others = [level for level in _levels_present(settings, factor, present) if level not in factor.levels]
        for level in factor.levels:
            of_level = [cell for cell, levels in cells.items() if levels[index] == level]
            if not set(of_level) <= set(lost) or (len(lost) == len(cells) and not others):
                continue
            if near := nearest(level, others):
                hint = f"; nearest: {near}"
            else:
                hint = f"; found in its position: {listed_in_order(others)}" if others else ""
            yield f"--within {factor.name}: no condition has the level {level} ({listed(of_level)}{hint})."


def _levels_present(settings: GroupLevelSettings, factor: FactorSettings, present: Sequence[str]) -> list[str]:
    """Return what is found in the position of a factor's level, next to known levels of the other factors."""
    others = {each.name: "|".join(map(re.escape, each.levels)) for each in settings.factors}
    pieces = enumerate(CELL_FIELD.split(settings.cell_name or ""))  # every second piece is the name of a factor
    pattern = "".join(
        re.escape(piece) if not index % 2 else "(.+)" if piece == factor.name else f"(?:{others[piece]})"
        for index, piece in pieces
    )
    matches = (re.fullmatch(pattern, label) for label in present)
    return list(dict.fromkeys(match[1] for match in matches if match))


def _other_pattern(settings: GroupLevelSettings, present: Sequence[str]) -> str | None:
    """Return a pattern all of whose cells are present; None if there is none."""
    if len(settings.factors) > MAX_FACTORS:
        return None
    expansions = _expansions(settings.factors)
    return next((pattern for pattern, cells in expansions.items() if set(cells) <= set(present)), None)


def _with_nearest(cells: Sequence[str], present: Sequence[str]) -> str:
    """Return a list of cells, each with the nearest condition."""
    return listed([f"{cell} (nearest: {near})" if (near := nearest(cell, present)) else cell for cell in cells])


def _found(present: Sequence[str]) -> str:
    """Return the sentence that lists the conditions found."""
    return f"Conditions found: {listed_in_order(present)}."
