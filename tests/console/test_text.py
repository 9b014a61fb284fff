"""Lists, sort keys, durations and labels, as messages and file names need them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_app.console.text import (
    duration,
    file_label,
    in_elements,
    indented,
    listed,
    listed_in_order,
    natural,
    nearest,
    shown,
    suggestion,
)

NAMES = [f"sub-{number}" for number in range(1, 31)]


def test_a_short_list_is_written_out_and_an_empty_one_is_none() -> None:
    """Up to as many as are asked for, with any separator."""
    assert listed(NAMES[:3]) == "sub-1, sub-2, sub-3"
    assert listed(NAMES[:2], 2, " = ") == "sub-1 = sub-2"
    assert listed([]) == "none"


@given(st.integers(0, 60), st.integers(1, 25))
def test_a_long_list_says_how_many_more_there_are(n_items: int, most: int) -> None:
    """Those that are named and those that are counted add up to all."""
    text = listed([str(number) for number in range(n_items)], most)
    named, _, counted = text.partition(" and ")
    n_named = 0 if named == "none" else len(named.split(", "))
    assert n_named == min(n_items, most)
    assert n_named + int(counted.removesuffix(" more") or 0) == n_items


def test_labels_are_listed_in_natural_order() -> None:
    """2 before 10, whatever their case; every order gives the same text."""
    expected = "a2, A10, b1"
    for labels in itertools.permutations(["A10", "b1", "a2"]):
        assert listed_in_order(labels) == expected
    assert sorted(["sub-10", "sub-2", "sub-1a", "sub-1"], key=natural) == ["sub-1", "sub-1a", "sub-2", "sub-10"]


def test_lines_are_indented_and_the_rest_is_counted() -> None:
    """Eight lines, then how many more."""
    assert indented(["a", "b"]) == "  a\n  b"
    lines = indented(NAMES).splitlines()
    assert lines == [*(f"  {name}" for name in NAMES[:8]), "  ... and 22 more"]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.2, "less than 1 s"),
        (1.2, "1 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 0 min"),
        (7500, "2 h 5 min"),
        (360_000, "100 h 0 min"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, expected: str) -> None:
    """Seconds, minutes and hours."""
    assert duration(seconds) == expected


def test_values_are_shown_as_json_and_cut() -> None:
    """With letters of any script as they are."""
    assert shown({"a": None, "b": "é"}) == '{"a": null, "b": "é"}'
    assert len(shown("x" * 100)) == 60


@pytest.mark.parametrize(
    ("name", "label"), [("a:b", "aByB"), ("a > b", "aB"), ("IniFF - ImmFF", "IniFFImmFF"), ("+", "")]
)
def test_a_contrast_name_becomes_a_label(name: str, label: str) -> None:
    assert file_label(name) == label


@pytest.mark.parametrize(
    ("word", "known", "near"),
    [
        # slips of the pen
        ("scrabled", "scrambled", True),
        ("Colour", "Color", True),
        ("sesion", "session", True),
        ("hiC", "hiB", True),
        ("Imn", "Imm", True),
        ("group.patients", "group.patient", True),
        ("grouo.patinet", "group.patient", True),
        ("faces_gt_hauses", "faces_gt_houses", True),
        # case and punctuation
        ("iniff", "IniFF", True),
        ("Ini_FF", "IniFF", True),
        ("a-b", "a_b", True),
        # abbreviations
        ("Perm", "Permutation", True),
        ("acq", "acquisition", True),
        ("group.pat", "group.patient", True),
        ("f", "faces", False),
        ("Pe", "Permutation", False),
        # other names that begin or end alike
        ("group.patient", "group.2", False),
        ("group.patient", "group.control", False),
        ("grouo.patinet", "group.control", False),
        ("group.patient", "group", False),
        ("group", "group.patient", False),
        ("faces_gt_houses", "faces", False),
        ("age:group", "sex:group", False),
        ("run-1", "run-2", False),
        ("group.10", "group.1", False),
        ("faces", "f", False),
        # nothing alike
        ("Colour", "Alpha", False),
        ("Colour", "N", False),
        ("", "N", False),
        ("...", "-", False),
    ],
)
def test_a_name_is_suggested_only_where_it_may_be_meant(word: str, known: str, near: bool) -> None:  # noqa: FBT001
    """A far-fetched suggestion would mislead."""
    assert nearest(word, [known]) == (known if near else None)


def test_of_several_near_names_the_nearest_is_suggested() -> None:
    """Whatever their order."""
    for names in itertools.permutations(["ImmFF", "IniFF", "IniUF"]):
        assert nearest("inifff", names) == "IniFF"


def test_a_suggestion_is_the_nearest_name_or_the_list_of_all_and_never_an_empty_list() -> None:
    """Long lists are cut."""
    assert suggestion("fcaes", ["faces", "houses"]) == '; did you mean "faces"?'
    assert suggestion("tools", ["faces", "houses"]) == "; expected one of faces, houses"
    assert suggestion("tools", iter(NAMES)).endswith("sub-19, sub-20 and 10 more")
    assert suggestion("tools", []) == "; there is none, so leave it out"


@pytest.mark.parametrize(
    ("text", "vertex"),
    [
        ("1 voxel of 2 voxels", "1 vertex of 2 vertices"),
        ("Voxels: the voxel's p, voxel-wise", "Vertices: the vertex's p, vertex-wise"),
        ("Voxel-wise FWE", "Vertex-wise FWE"),
        ("desc-voxelFWE, VoxelCoverage, extent_voxels", "desc-voxelFWE, VoxelCoverage, extent_voxels"),
    ],
)
def test_sentences_about_voxels_become_those_about_vertices(text: str, vertex: str) -> None:
    """Names of files, columns and settings stay."""
    assert in_elements(text, "vertex") == vertex
    assert in_elements(text, "voxel") == text
