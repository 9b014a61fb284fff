"""JSON is read to the letter: what is misspelled, twice there or no JSON at all is refused with its place."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import bsmschema.models
import pytest

from bids_app.errors import ModelError
from bids_app.model.map_settings import Settings
from bids_app.model.parametric_settings import ParametricSettings
from bids_app.model.read_model import read_model
from bids_app.model.strict_json import parse, unknown_keys
from builders.models import BLOCK, MODELS, Document, edited, load


def test_what_is_not_json_is_pointed_at() -> None:
    """By line and column."""
    with pytest.raises(ModelError, match=r"bad-json\.json, line 3, column 13: not JSON: Expecting value"):
        read_model(MODELS / "bad-json.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1, column 1: not JSON"),
        (b"[1]", "expected a JSON object; found [1]"),
        (b"\xff\xfe{", "not UTF-8 text, as JSON must be (byte 0)"),
        (b'{"Name": "a", "Name": "b"}', 'the key "Name" is repeated'),
    ],
)
def test_what_is_no_model_at_all_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    """Empty, a list, not text, or ambiguous."""
    path = tmp_path / "model.json"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_model(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


# Keys


def objects(value: object, place: str = "") -> Iterator[tuple[str, Document]]:
    """Walk through every object of a document, leaving out free dictionaries and other people's."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from objects(item, f"{place}[{index}]")
    elif isinstance(value, dict):
        if place.rpartition(".")[2] not in ("Input", "Mask", "Select", "Filter", "Software"):
            yield place, value
        for key, item in value.items():
            if key != "SomeTool":
                yield from objects(item, f"{place}.{key}" if place else key)


FULL = load("full")
KEYS = [
    (place, key)
    for place, value in objects(FULL)
    if not place.startswith("Nodes[0]")
    for key in value
    if key != "Software"
]


def test_the_full_model_has_every_key_of_every_object() -> None:
    """The typo test below thus covers every key there is."""
    sets = [set(value) for _, value in objects(FULL)]
    for model in Settings.__subclasses__():
        assert {info.alias for info in model.model_fields.values()} in sets, model
    bids = ("BIDSStatsModel", "Node", "Model", "Options", "Contrast", "Edge")
    for name in bids:
        assert set(getattr(bsmschema.models, name).model_fields) in sets, name


def test_every_misspelled_key_is_refused_and_the_right_one_named(refusal: Callable[[Document], str]) -> None:
    """At every level: a doubled letter, wrong case, a letter in front; all offenders are listed."""
    assert len(KEYS) > 80
    wrong = []
    for place, key in KEYS:
        for misspelled in (key + key[-1], key.lower(), f"x{key}"):
            document = copy.deepcopy(FULL)
            target = next(value for path, value in objects(document) if path == place)
            target[misspelled] = target.pop(key)
            wrong += [(place, misspelled, fault) for fault in faults(refusal(document), place, key, misspelled)]
    assert wrong == []


def faults(message: str, place: str, key: str, misspelled: str) -> Iterator[str]:
    """Yield what a message about a misspelled key lacks: its place, the key that is meant, and those that are known."""
    head = f"{place}: " if place else ""
    if f'{head}unknown key "{misspelled}";' not in message:
        yield "place"
    if key not in message.rpartition("nown keys: ")[2].split(", "):
        yield "known keys"
    # one letter of two is not near
    if misspelled != "xN" and f'did you mean "{key}"?' not in message:
        yield "suggestion"


def test_python_names_are_not_keys(refusal: Callable[[Document], str]) -> None:
    """``error_term`` works in Python only."""
    message = refusal(edited("faces3x3", f"{BLOCK}.error_term", "pooled"))
    assert message.startswith(f'{BLOCK}: unknown key "error_term"; did you mean "ErrorTerm"? Known keys: Select,')


def test_typos_are_listed_together() -> None:
    """Two typos, two lines, each with its place."""
    with pytest.raises(ModelError) as caught:
        read_model(MODELS / "bad-typos.json")
    head, *lines = str(caught.value).splitlines()
    assert head == f"{MODELS / 'bad-typos.json'}: 2 problems"
    assert lines == [
        '  Nodes[0].Contrasts[0]: unknown key "Weight"; did you mean "Weights"? '
        "Known keys: Description, Name, ConditionList, Weights, Test",
        f'  {BLOCK}.Permutation: unknown key "NumPerm"; known keys: '
        "N, Statistics, ClusterFormingP, ClusterFormingT, Connectivity, TFCE, Shuffle, ExchangeabilityBlocks, "
        "FlipBlocks, Alpha, AcrossContrasts, Tail",
    ]


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, '{"a":' * 500 + "1" + "}" * 500, "[" * 70 + "]" * 70]
)
def test_text_nested_beyond_all_use_is_refused(text: str) -> None:
    """Beyond what Python follows, and beyond what the checks after it would."""
    with pytest.raises(ModelError, match="more than 60 deep"):
        parse(text)


def test_numbers_of_very_many_digits_are_refused() -> None:
    """Python stops reading at 4300 digits; fewer would come to grief later."""
    assert parse('{"N": -999999999999999999}') == {"N": -(10**18 - 1)}
    for n_digits in (19, 400, 5000):
        with pytest.raises(ModelError, match=f"a number of {n_digits} digits, 999999999999") as caught:
            parse(f'{{"N": {"9" * n_digits}}}')
        assert len(str(caught.value)) < 200


def test_very_many_unknown_keys_are_refused_at_once() -> None:
    """The first twenty by name; to look for what each may have meant would take minutes."""
    document = {f"Key{number}": number for number in range(300_000)} | {"k" * 1_000_000: 1}
    start = time.perf_counter()
    problems = list(unknown_keys(document, ParametricSettings, "a"))
    assert time.perf_counter() - start < 5
    assert len(problems) == 21
    assert problems[-1] == "a: 299,981 more unknown keys"


def test_a_text_of_many_millions_of_characters_is_refused() -> None:
    with pytest.raises(ModelError, match="20,000,100 characters; expected at most 20,000,000"):
        parse(" " * 20_000_100)
