"""The model file: its text, the kinds of its values, its settings, weights and names."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fuzz.change import Change, Expected, Recipe, Recipes
from fuzz.study import Json, Sandbox, model, settings_of, write_json

DEEP = 10_000
EVIL = (
    "..", ".", "-", "/", "../../../../mine", "a/b", "a\\b", "Лица", "面", "😀", "\u202eabc", "a\x00b", "a\nb", "a\rb",
    "\x1b[31mred\x1b[2J", "x" * 300, "x" * 5000, "<script>alert(1)</script>", "'\"&<>", "{{7*7}}", "$(touch mine)",
    "%s%n", " ", "\t", "a\u0301" * 200, "\ud800", "__class__", "-rf", "~", "nan", "--help", "*", "a:b", "con",
)  # fmt: skip
"""Names that mean something to a path, a shell, a terminal, a page or a template."""
ODD: tuple[object, ...] = (
    None, True, False, -1, 0, 1, 3.5, 1e308, 1e-320, float("nan"), float("inf"), 10**30, 2**63, "", "x", " ", "1", [],
    [[]], [None], ["A", "A"], [1, "A"], {}, {"Name": "A"}, {"": None}, "\x00", "1/0", [[[[1]]]],
)  # fmt: skip
"""Values for places that expect another kind."""


def _text(make: Callable[[str], str | bytes], expected: Expected = "refused") -> Recipe:
    """Change the text of the model."""

    def recipe(rng: np.random.Generator, sandbox: Sandbox) -> Change:  # noqa: ARG001  (a recipe like others)
        path = sandbox.file("model.json")
        content = make(path.read_text(encoding="utf-8"))
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        return Change("", expected, ("model.json",))

    return recipe


def _cut(rng: np.random.Generator, sandbox: Sandbox) -> Change:
    path = sandbox.file("model.json")
    content = path.read_bytes()
    n = int(rng.integers(len(content) - 1))
    path.write_bytes(content[:n])
    return Change(f"{n} of {len(content)} bytes", "refused", ("model.json",))


def _garbled(rng: np.random.Generator, sandbox: Sandbox) -> Change:
    path = sandbox.file("model.json")
    content = bytearray(path.read_bytes())
    for place in rng.integers(0, len(content), 3):
        content[place] = int(rng.integers(256))
    path.write_bytes(content)
    return Change("three bytes", "either", ("model.json",))


def nested(opening: str, closing: str, middle: str = "1") -> str:
    """Give JSON that is nested deeper than any parser's stack."""
    return opening * DEEP + middle + closing * DEEP


def _with_key(key: str) -> Callable[[str], str]:
    return lambda text: text.replace("{", "{" + key + ", ", 1)


TEXT: Recipes = {
    "cut off": _cut,
    "three random bytes": _garbled,
    "nothing": _text(lambda _: ""),
    "a list": _text(lambda text: f"[{text}]"),
    "a number": _text(lambda _: "3"),
    "lists, 10,000 deep": _text(lambda _: nested("[", "]")),
    "objects, 10,000 deep": _text(lambda _: nested('{"a":', "}")),
    "a value, 10,000 deep": _text(_with_key(f'"Description": {nested("[", "]")}')),
    "a number of 5,000 digits": _text(lambda text: text.replace('"N": 32', f'"N": {"9" * 5000}')),
    "a number of 300,000 digits": _text(lambda text: text.replace('"N": 32', f'"N": {"9" * 300_000}')),
    "a number beyond floating point": _text(lambda text: text.replace('"N": 32', '"N": 1e999')),
    "a key twice": _text(_with_key('"Name": "other"')),
    "an unknown key": _text(_with_key('"Nmae": "other"')),
    "200,000 unknown keys": _text(lambda text: _with_key(", ".join(f'"k{n}": 1' for n in range(200_000)))(text)),
    "an unknown key of 5,000 letters": _text(_with_key(f'"{"k" * 5000}": 1')),
    "an unknown key for the terminal": _text(_with_key('"\\u001b[2Jred": 1')),
    "UTF-16": _text(lambda text: text.encode("utf-16")),
    "Latin 1": _text(lambda text: text.replace("small", "größe").encode("latin-1")),
    "a byte-order mark": _text(lambda text: "\ufeff" + text, "either"),
    "NUL at the end": _text(lambda text: text + "\0"),
    "a comment": _text(lambda text: "// model\n" + text),
    "a comma too much": _text(lambda text: text.rstrip()[:-1] + ",}"),
    "NaN": _text(lambda text: text.replace('"N": 32', '"N": NaN')),
    "twice": _text(lambda text: text + text),
    "a lone surrogate": _text(lambda text: text.replace('"small"', '"\\ud800"'), "either"),
    "20 MB of blanks": _text(lambda text: " " * 20_000_000 + text, "either"),
    "YAML": _text(lambda _: "Name: small\nNodes: []\n"),
}


def _places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the place of every value in a document."""
    items: Sequence[tuple[str | int, object]] = ()
    if isinstance(value, dict):
        items = tuple(value.items())
    elif isinstance(value, list):
        items = tuple(enumerate(value))
    for key, each in items:
        yield (*path, key)
        yield from _places(each, (*path, key))


def _put(document: Json, place: Sequence[str | int], value: object) -> None:
    target: Any = document
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value


def _odd_value(rng: np.random.Generator, sandbox: Sandbox) -> Change:
    document = model()
    places = list(_places(document))
    place, value = places[rng.integers(len(places))], ODD[rng.integers(len(ODD))]
    _put(document, place, value)
    write_json(sandbox.file("model.json"), document)
    return Change(f"{'.'.join(map(str, place))} is {value!r}", "either", ("model.json",))


def _removed(rng: np.random.Generator, sandbox: Sandbox) -> Change:
    document = model()
    places = [place for place in _places(document) if isinstance(place[-1], str)]
    place = places[rng.integers(len(places))]
    target: Any = document
    for key in place[:-1]:
        target = target[key]
    del target[place[-1]]
    write_json(sandbox.file("model.json"), document)
    return Change(f"no {'.'.join(map(str, place))}", "either", ("model.json", "condition"))


def _misspelt(rng: np.random.Generator, sandbox: Sandbox) -> Change:
    document = model()
    places = [place for place in _places(document) if isinstance(place[-1], str) and place[-1] != "grouplevel"]
    place = places[rng.integers(len(places))]
    target: Any = document
    for key in place[:-1]:
        target = target[key]
    word = str(place[-1])
    target[word[1:] + word[0]] = target.pop(word)
    write_json(sandbox.file("model.json"), document)
    return Change(".".join(map(str, place)), "either" if "Input" in place[:-1] else "refused", ("model.json", "Input"))


# The same recipe several times: what it changes is drawn
TYPES: Recipes = {f"a value of another kind, {n}": _odd_value for n in range(8)}
TYPES |= {f"a key removed, {n}": _removed for n in range(3)} | {f"a key misspelt, {n}": _misspelt for n in range(2)}

_SETTINGS: dict[str, Sequence[object]] = {
    "Permutation": (
        {"N": 1}, {"N": 0}, {"N": -5}, {"N": 2**63}, {"N": 32, "ClusterFormingP": 1e-300},
        {"N": 32, "ClusterFormingP": 2}, {"N": 32, "ClusterFormingT": 1e30}, {"N": 32, "Connectivity": 7},
        {"N": 32, "Alpha": 1e-12}, {"N": 32, "Statistics": []}, {"N": 32, "Statistics": ["voxel"] * 50},
        {"N": 32, "Shuffle": "permute"}, {"N": 32, "ExchangeabilityBlocks": "group"}, {"N": 32, "Tail": "gpd"},
        {"N": 1e3}, {"N": 32.5},
    ),
    "Parametric": (
        [{"Correction": "uncorrected", "Alpha": 1e-300}], [{"Correction": "fdr", "Alpha": 1}], [], "fdr",
        [{"Correction": "fdr"}] * 3, [{"Correction": "uncorrected", "Extent": 10**18}],
        [{"Correction": "uncorrected", "Extent": -1}], [{"Correction": "x" * 4000}],
    ),
    "Report": (
        {"MinDistance": 1e300, "Interactive": False, "Atlases": []}, {"MinDistance": -8}, {"Atlases": ["../../mine"]},
        {"MinExtent": 10**18, "Interactive": False, "Atlases": []}, {"Atlases": ["aal"] * 3}, {"Interactive": "yes"},
    ),
    "Effects": ("all", ["A"], ["A:A"], [""], ["x" * 3000], 3),
    "Between": (["group"], ["age"], ["nobody"], ["participant_id"], ["group", "group"], [""], ["\x1b[2J"]),
    "Covariates": (["age"], ["group"], ["age", "age"], ["nobody"], ["participant_id"], "age"),
    "Factors": (
        [{"Name": "f", "Levels": ["A", "B"]}], [{"Name": "f", "Levels": []}], [{"Name": "", "Levels": ["A"]}],
        [{"Name": "f", "Levels": ["A", "B"]}] * 12, [{"Name": "f", "Levels": [str(n) for n in range(20_000)]}],
    ),
    "CellName": ("{f}", "{", "{}", "{0}", "{f.__class__}", "{f!r:>9999999999}", "%s", "", "{f}" * 2000),
    "VoxelCoverage": (0, 1, 0.5, -1, 2, "half", 1e-300), "Center": ("none", "group", "x"),
    "Missing": ("drop", "error", "x"), "Runs": ("average", "x"), "Sided": ("positive", "x", 2),
    "ErrorTerm": ("pooled", "x"), "Sphericity": ("none", "x"), "VarianceGroups": ("group", "age", "nobody", ""),
    "Select": ({"stat": ["effect"]}, {"stat": []}, {"nothing": ["x"]}, {"stat": "*"}, {"x" * 3000: ["y"]}, {"": ["a"]}),
    "Contrasts": ([{"Name": "nobody", "Sided": "positive"}], [{"Name": "AvsB", "Sided": "up"}], [{}], {}),
}  # fmt: skip


def _setting(key: str) -> Recipe:
    """Give one setting of the block an unusual or a wrong value."""

    def recipe(rng: np.random.Generator, sandbox: Sandbox) -> Change:
        values = _SETTINGS[key]
        value = values[int(rng.integers(len(values)))]
        write_json(sandbox.file("model.json"), model(**{key: value}))
        return Change(repr(value)[:60], "either", ("model.json", key, "participants.tsv", "X", "Contrasts", "sub-"))

    return recipe


SETTINGS: Recipes = {key: _setting(key) for key in _SETTINGS}

_WEIGHTS: tuple[tuple[object, Expected], ...] = (
    ([1e308, -1e308], "either"), ([1e-320, -1e-320], "either"), ([1e-10, 0.5e-10], "either"), ([1, -1, 0], "refused"),
    ([1], "refused"), ([], "refused"), ([0, 0], "refused"), (["1/0", "-1"], "refused"), (["1/3", "-1/3"], "either"),
    (["nan", "-1"], "refused"), (["inf", "-inf"], "refused"), (["1e999", "-1"], "refused"), ([[1, -1]], "either"),
    ([[1, -1], [1, -1]], "refused"), ([True, False], "refused"), (["__import__('os')", "1"], "refused"),
    (["9**9**9", "1"], "refused"), (["1" * 5000, "-1"], "either"), ([None, 1], "refused"), ({"A": 1}, "refused"),
    (["1/" + "9" * 5000, "-1"], "either"), ([10**400, -1], "refused"), ([1, 1 - 1e-12], "either"), ("1 -1", "refused"),
)  # fmt: skip


def _weights(value: object, expected: Expected) -> Recipe:
    def recipe(rng: np.random.Generator, sandbox: Sandbox) -> Change:  # noqa: ARG001  (a recipe like others)
        document = model()
        document["Nodes"][0]["Contrasts"][0]["Weights"] = value
        write_json(sandbox.file("model.json"), document)
        return Change("", expected, ("model.json", "AvsB", "eights"))

    return recipe


WEIGHTS: Recipes = {f"weights {repr(value)[:40]} ({n})": _weights(value, e) for n, (value, e) in enumerate(_WEIGHTS)}


def _named(change: Callable[[Json, str], None]) -> Recipe:
    """Give something in the model a name that is not meant for a path or a page."""

    def recipe(rng: np.random.Generator, sandbox: Sandbox) -> Change:
        name = EVIL[rng.integers(len(EVIL))]
        document = model()
        change(document, name)
        write_json(sandbox.file("model.json"), document)
        return Change(ascii(name)[:60], "either", ("model.json", "node", "contrast", "ondition"))

    return recipe


def _node(document: Json, name: str) -> None:
    document["Nodes"][0]["Name"] = name


def _contrast(document: Json, name: str) -> None:
    document["Nodes"][0]["Contrasts"][0]["Name"] = name


def _title(document: Json, name: str) -> None:
    document["Name"] = name


def _described(document: Json, name: str) -> None:
    document["Description"] = document["Nodes"][0]["Contrasts"][0]["Description"] = name


def _condition(document: Json, name: str) -> None:
    document["Nodes"][0]["Model"]["X"][0] = document["Nodes"][0]["Contrasts"][0]["ConditionList"][0] = name


def _two_nodes(document: Json, name: str) -> None:
    document["Nodes"].append(document["Nodes"][0] | {"Name": name})
    document["Nodes"][0] = document["Nodes"][0] | {"Name": name + "-"}


def _factor(document: Json, name: str) -> None:
    settings_of(document)["Factors"] = [{"Name": name, "Levels": ["A", "B"]}]


NAMES: Recipes = {
    "name of a node": _named(_node),
    "another name of a node": _named(_node),
    "name of a contrast": _named(_contrast),
    "another name of a contrast": _named(_contrast),
    "name of the model": _named(_title),
    "descriptions": _named(_described),
    "name of a condition": _named(_condition),
    "names of two nodes": _named(_two_nodes),
    "name of a factor": _named(_factor),
}


def unreadable_json() -> tuple[str, ...]:
    """Give texts that are no JSON, or too deep, for other files than the model."""
    return ("", "{", nested("[", "]"), nested('{"a":', "}"), "[1]", "3", json.dumps("x" * 5000), '{"a": NaN}', "\0\0")
