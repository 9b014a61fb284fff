"""Records: what goes in comes out, bit for bit, and what does not fit is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from bids_app.errors import Warned
from bids_app.results.json_record import decode, encode


@dataclass(frozen=True, slots=True)
class Inner:
    name: str
    size: float
    png: bytes = b""


@dataclass(frozen=True, slots=True)
class Outer:
    flag: bool
    number: int
    kind: Literal["a", "b"]
    array: NDArray[np.float64]
    pair: tuple[int, float]
    inners: tuple[Inner, ...]
    maybe: Inner | None = None
    table: pd.DataFrame | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    parts: Mapping[str, Inner] = field(default_factory=dict)


def outer(array: np.ndarray) -> Outer:
    return Outer(
        flag=True,
        number=3,
        kind="b",
        array=array,
        pair=(1, 0.1),
        inners=(Inner("<é>", 1 / 3), Inner("y", np.inf)),
        maybe=Inner("m", -0.0),
        table=pd.DataFrame({"x": [1, 2], "y": ["a", "b"]}, index=["r", "s"]),
        counts={"01": 2},
        parts={"c": Inner("p", 5e-324)},
    )


def through_json(value: Outer) -> Outer:
    """Out and in again, as strict JSON."""
    text = json.dumps(encode(value, {Inner: {"png"}}), allow_nan=False)
    made: Outer = decode(Outer, json.loads(text))
    return made


@pytest.mark.parametrize("shape", [(2, 3), (0, 4), (40, 50)])
def test_what_goes_in_comes_out(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    """Numbers bit for bit, infinities too; types and shapes as they were, of small arrays and of large ones."""
    array = rng.standard_normal(shape)
    if array.size:
        array[0, 0], array[-1, -1] = np.nan, -np.inf
    given = outer(array)
    made = through_json(given)
    assert np.array_equal(made.array, array, equal_nan=True)
    assert (made.array.dtype, made.array.shape) == (array.dtype, array.shape)
    pd.testing.assert_frame_equal(made.table, given.table)
    nothing = np.zeros(0)
    assert replace(made, array=nothing, table=None) == replace(given, array=nothing, table=None)


def test_types_of_arrays_are_kept() -> None:
    for dtype in (np.int8, np.uint16, np.bool_, np.float32):
        array = np.array([[1, 0], [0, 1]], dtype)
        made = decode(NDArray[Any], json.loads(json.dumps(encode(array))))
        assert made.dtype == array.dtype
        assert np.array_equal(made, array)


def test_what_was_left_out_is_given_or_has_its_default() -> None:
    """At any depth."""
    inner = Inner("x", 1.0, b"pixels")
    assert "png" not in encode(inner, {Inner: {"png"}})
    assert decode(Inner, encode(inner, {Inner: {"png"}})) == Inner("x", 1.0)
    (content,) = encode((inner,), {Inner: {"png"}, Outer: {"size"}})
    assert content == {"name": "x", "size": 1.0}
    load = {Inner: lambda kept: {"png": kept["name"].encode()}}
    assert decode(tuple[Inner, ...], [content, content], load) == (Inner("x", 1.0, b"x"),) * 2


def test_a_value_of_no_known_type_is_refused() -> None:
    with pytest.raises(TypeError, match="a set cannot be kept"):
        encode({1, 2})
    with pytest.raises(TypeError, match="bytes"):
        encode(Inner("x", 1.0))


@pytest.mark.parametrize(("key", "value"), [("kind", "c"), ("number", "3"), ("flag", 1.5), ("pair", [1])])
def test_a_record_of_something_else_is_refused(key: str, value: object) -> None:
    """Another choice, a text for a number, a number for yes or no, one for two."""
    content = encode(outer(np.ones(1)), {Inner: {"png"}}) | {key: value}
    with pytest.raises((TypeError, ValueError)):
        decode(Outer, content)


def test_a_record_without_a_field_is_refused() -> None:
    content = encode(outer(np.ones(1)), {Inner: {"png"}})
    del content["number"]
    with pytest.raises(TypeError, match="number"):
        decode(Outer, content)


def test_a_warning_stays_a_warning_and_a_note_a_note() -> None:
    """They are told apart by their type alone, and what stands in them changes nothing."""
    given = ("a note", Warned('"quoted" {"warning": "no"}'), Warned("last"))
    made = decode(tuple[str, ...], json.loads(json.dumps(encode(given))))
    assert made == given
    assert [type(note) for note in made] == [str, Warned, Warned]
    with pytest.raises(TypeError):
        decode(int, {"warning": "3"})
    with pytest.raises(TypeError):
        decode(str, {"warning": 3})
