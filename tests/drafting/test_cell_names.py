"""Names of cells: which pattern fits, and what is said where none does."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from bids_app.drafting.cell_names import MAX_FACTORS, check_cells, find_pattern
from bids_app.errors import DataError, UsageError
from bids_app.model.settings import FactorSettings, GroupLevelSettings
from builders.datasets import NINE

STIMULUS = FactorSettings(name="stimulus", levels=("FF", "UF", "SF"))
PRESENTATION = FactorSettings(name="presentation", levels=("Ini", "Imm", "Del"))
FACTORS = (STIMULUS, PRESENTATION)


def settings(pattern: str, *factors: FactorSettings) -> GroupLevelSettings:
    return GroupLevelSettings(factors=factors or FACTORS, cell_name=pattern)


def factor(name: str, *levels: str) -> FactorSettings:
    return FactorSettings(name=name, levels=levels)


def complaint(pattern: str, there: Sequence[str], *factors: FactorSettings) -> str:
    with pytest.raises(DataError) as caught:
        check_cells(settings(pattern, *factors), there)
    return str(caught.value)


@pytest.mark.parametrize("separator", ["", "_", "-"])
@pytest.mark.parametrize("order", list(itertools.permutations(["a", "b", "c"])))
def test_the_pattern_is_found_whatever_the_order_and_the_sign(order: tuple[str, ...], separator: str) -> None:
    """Names made in any order of three factors give back the pattern that made them, other conditions beside."""
    levels = {"a": ("p", "q"), "b": ("R", "S"), "c": ("t", "u", "v")}
    names = [separator.join(cell) for cell in itertools.product(*(levels[name] for name in order))]
    pattern = find_pattern([factor(name, *levels[name]) for name in "abc"], [*names, "baseline", "pRx"])
    assert pattern == separator.join(f"{{{name}}}" for name in order)


def test_a_single_factor_needs_no_sign() -> None:
    """The levels are the conditions."""
    assert find_pattern([factor("side", "left", "right")], ["right", "left"]) == "{side}"


def test_patterns_that_fit_alike_are_named() -> None:
    """Two factors with the same levels can stand in either order."""
    with pytest.raises(DataError, match=r"several patterns fit the conditions found: \{one\}_\{two\}, \{two\}_\{one\}"):
        find_pattern([factor("one", "A", "B"), factor("two", "A", "B")], ["A_A", "A_B", "B_A", "B_B"])


def test_no_pattern_is_an_error_that_shows_what_was_tried() -> None:
    """It names the patterns, what they would have found and what there is."""
    with pytest.raises(DataError) as caught:
        find_pattern(FACTORS, ["rest", "XFFIniY"])
    message = str(caught.value)
    assert "stimulus, presentation" in message
    assert "{presentation}-{stimulus} (Ini-FF)" in message
    assert "Conditions found: rest, XFFIniY" in message
    assert "--cell" in message


def test_the_pattern_with_most_cells_is_taken_where_some_are_missing() -> None:
    """So that what is missing can be named, by the next step."""
    assert find_pattern(FACTORS, NINE[:-1]) == "{presentation}{stimulus}"


def test_too_many_factors_need_their_pattern() -> None:
    """The number of orders grows faster than patience."""
    with pytest.raises(UsageError, match="6 factors"):
        find_pattern([factor(f"f{i}", f"{i}a", f"{i}b") for i in range(MAX_FACTORS + 1)], NINE)


def test_every_cell_finds_its_condition() -> None:
    """Cells stand in the order of the factors, and differ from conditions in case and punctuation at most."""
    there = ("Ini_FF", "ini-uf", *NINE)
    expected = [p + s for s in STIMULUS.levels for p in PRESENTATION.levels]
    labels = check_cells(settings("{presentation}{stimulus}"), there)
    assert list(labels.items()) == [(cell, cell) for cell in expected]
    spelt = check_cells(settings("{presentation}_{stimulus}"), [name.lower() for name in NINE])
    assert spelt["Del_SF"] == "delsf"


def test_a_misspelled_level_is_named_with_the_nearest() -> None:
    """One wrong level does not become three wrong conditions."""
    message = complaint("{presentation}{stimulus}", NINE, STIMULUS, factor("presentation", "Ini", "Inm", "Del"))
    assert "--within presentation: no condition has the level Inm (InmFF, InmUF, InmSF; nearest: Imm)" in message
    assert "--within stimulus" not in message


def test_a_factor_without_any_right_level_is_named_with_what_is_found_in_its_position() -> None:
    """No level of it is near, so all that are there are listed."""
    message = complaint("{presentation}{stimulus}", NINE, STIMULUS, factor("presentation", "x1", "x2"))
    assert "the level x1 (x1FF, x1UF, x1SF; found in its position: Del, Imm, Ini)" in message
    assert "the level x2" in message


def test_a_pattern_that_matches_nothing_is_expanded_beside_the_one_that_would() -> None:
    """The cells are listed with the nearest conditions; the right order is offered."""
    message = complaint("{stimulus}{presentation}", NINE)
    assert "{stimulus}{presentation} matches no condition. It expands to FFIni" in message
    assert "Conditions found: DelFF" in message
    assert "--cell '{presentation}{stimulus}' would match all" in message


def test_a_pattern_that_matches_nothing_offers_no_other_where_none_fits() -> None:
    """Then the nearest conditions are the help there is."""
    message = complaint("{side}Hand", ["leftHead", "rest"], factor("side", "left", "right"))
    assert message == (
        "--cell: {side}Hand matches no condition. It expands to leftHand (nearest: leftHead), rightHand. "
        "Conditions found: leftHead, rest."
    )


def test_missing_cells_are_listed() -> None:
    """Every level is there, but not in every combination."""
    message = complaint("{presentation}{stimulus}", [name for name in NINE if name not in ("DelSF", "IniUF")])
    assert message.startswith("2 of 9 cells of {presentation}{stimulus} have no map: IniUF")
    assert "DelSF" in message
    assert "--within stimulus:" not in message
