"""Names of cells: how levels of factors make the names of conditions, and what is wrong where they do not."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence

from pydantic import ValidationError

from bids_app.console.text import listed, listed_in_order, nearest
from bids_app.errors import DataError, UsageError
from bids_app.inputs.filters import fold, folds
from bids_app.model.settings import CELL_FIELD, FactorSettings, GroupLevelSettings, factor_cells

SEPARATORS = ("", "_", "-")
MAX_FACTORS = 5  # 5! orders are tried in a second; more factors than this need their pattern in any case


def find_pattern(factors: Sequence[FactorSettings], there: Sequence[str]) -> str:
    """Find how levels make the names of conditions: in some order, joined by nothing, "_" or "-".

    Parameters
    ----------
    factors : sequence of FactorSettings
        Their levels.
    there : sequence of str
        Conditions found.

    Returns
    -------
    str
        The only pattern whose cells are all there; where there is none, the one with the most cells there, so
        that the missing ones can be told.

    Raises
    ------
    DataError
        If several patterns fit alike, or none has any cell.
    UsageError
        If there are too many factors to try their orders.
    """
    if len(factors) > MAX_FACTORS:
        raise UsageError(f"{len(factors)} factors have too many orders to try. Say by --cell how they make names.")
    expansions = _expansions(factors)
    hits = {pattern: sum(cell in there for cell in cells) for pattern, cells in expansions.items()}
    most = max(hits.values(), default=0)
    best = [pattern for pattern, count in hits.items() if count == most]
    if not most:
        tried = [f"{pattern} ({cells[0]})" for pattern, cells in expansions.items()]
        raise DataError(
            f"--within: no condition is made of the levels of {', '.join(factor.name for factor in factors)}. Tried: "
            f"{listed(tried)}. {_there(there)}\nPut right the levels, or say by --cell how they make the names."
        )
    if len(best) > 1:
        share = "the" if most == len(expansions[best[0]]) else "some"
        raise DataError(
            f"--within: several patterns fit {share} conditions found: {', '.join(best)}. {_there(there)}\n"
            f"Say which is meant: --cell '{best[0]}'"
        )
    return best[0]


def check_cells(settings: GroupLevelSettings, there: Sequence[str]) -> dict[str, str]:
    """Find the condition of every cell.

    Parameters
    ----------
    settings : GroupLevelSettings
        Its factors and ``CellName``.
    there : sequence of str
        Conditions found.

    Returns
    -------
    dict of str to str
        Cell, in the order of the factors, to condition; they differ in case and punctuation at most.

    Raises
    ------
    DataError
        If a cell has no map: names the level that is misspelt, the cells that are missing, or, where not a
        single one is there, what the pattern expands to.
    """
    labels = {cell: _label(cell, there) for cell in factor_cells(settings)}
    lost = [cell for cell, label in labels.items() if label is None]
    if not lost:
        return {cell: label for cell, label in labels.items() if label is not None}
    other = _other_pattern(settings, there) if len(lost) == len(labels) else None
    wrong = [] if other else list(_wrong_levels(settings, lost, there))
    if wrong:
        raise DataError("\n".join([*wrong, _there(there)]))
    if len(lost) == len(labels):
        raise DataError(
            f"--cell: {settings.cell_name} matches no condition. It expands to {_with_nearest(lost, there)}. "
            f"{_there(there)}" + (f"\n--cell '{other}' would match all." if other else "")
        )
    raise DataError(
        f"{len(lost)} of {len(labels)} cells of {settings.cell_name} have no map: {_with_nearest(lost, there)}. "
        f"{_there(there)}\nA design needs maps of every combination of levels: take out the levels that are not "
        "complete, or put right --within and --cell."
    )


def _expansions(factors: Sequence[FactorSettings]) -> dict[str, list[str]]:
    """Form the cells of every pattern that gives each a name of its own."""
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


def _label(cell: str, there: Sequence[str]) -> str | None:
    """Find a cell among the conditions, as `dataset` will: as it is, else but for case and punctuation."""
    return cell if cell in there else next((label for label in there if fold(label) in folds(cell)), None)


def _wrong_levels(settings: GroupLevelSettings, lost: Sequence[str], there: Sequence[str]) -> Iterable[str]:
    """Name the levels that are in none of the conditions, each with what stands in its place."""
    cells = factor_cells(settings)
    for index, factor in enumerate(settings.factors):
        found = [level for level in _levels_there(settings, factor, there) if level not in factor.levels]
        for level in factor.levels:
            of_level = [cell for cell, levels in cells.items() if levels[index] == level]
            if not set(of_level) <= set(lost) or (len(lost) == len(cells) and not found):
                continue
            if near := nearest(level, found):
                hint = f"; nearest: {near}"
            else:
                hint = f"; in its place there are {listed_in_order(found)}" if found else ""
            yield f"--within {factor.name}: no condition has the level {level} ({listed(of_level)}{hint})."


def _levels_there(settings: GroupLevelSettings, factor: FactorSettings, there: Sequence[str]) -> list[str]:
    """List what stands in the place of a factor's level, beside known levels of the others."""
    others = {each.name: "|".join(map(re.escape, each.levels)) for each in settings.factors}
    pieces = enumerate(CELL_FIELD.split(settings.cell_name or ""))  # every second piece is the name of a factor
    pattern = "".join(
        re.escape(piece) if not index % 2 else "(.+)" if piece == factor.name else f"(?:{others[piece]})"
        for index, piece in pieces
    )
    matches = (re.fullmatch(pattern, label) for label in there)
    return list(dict.fromkeys(match[1] for match in matches if match))


def _other_pattern(settings: GroupLevelSettings, there: Sequence[str]) -> str | None:
    """Find a pattern all of whose cells are there."""
    if len(settings.factors) > MAX_FACTORS:
        return None
    expansions = _expansions(settings.factors)
    return next((pattern for pattern, cells in expansions.items() if set(cells) <= set(there)), None)


def _with_nearest(cells: Sequence[str], there: Sequence[str]) -> str:
    """List cells, each with the nearest condition."""
    return listed([f"{cell} (nearest: {near})" if (near := nearest(cell, there)) else cell for cell in cells])


def _there(there: Sequence[str]) -> str:
    """Say which conditions there are."""
    return f"Conditions found: {listed_in_order(there)}."
