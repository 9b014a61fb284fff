"""JSON written by people, read strictly: no key twice, none unknown, no text for a number.

Every problem is one line that begins with its place in the file, and all the problems of a stage are told together.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_pascal

from bids_app.console.text import duplicates, nearest, shown
from bids_app.errors import ModelError

Result = TypeVar("Result")
Schema = TypeVar("Schema", bound=BaseModel)

# What a schema error expected, by pydantic's name of its kind; unnamed kinds keep pydantic's words.
EXPECTED = {
    "string_type": "text",
    "string_too_short": "text that is not empty",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "too_short": "a list of at least {min_length}",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    **dict.fromkeys(("list_type", "tuple_type"), "a list"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "a JSON object"),
}
# Keys that take several kinds of value, where pydantic would report one error for each kind.
EXPECTED_OF_MIXED = {
    "Weights": 'a list of numbers or fractions such as "1/6", or for F a list of such lists',
    "X": "a name",
    "ConditionList": "a name",
    "Effects": '"all" or a list of names',
}
LONGEST_TEXT = 20_000_000
MOST_DIGITS = 18
MOST_LEVELS = 60
TOO_DEEP = f"lists and objects within each other, more than {MOST_LEVELS} deep; expected a BIDS Stats Model"
MOST_UNKNOWN = 20  # keys of an object that are told, with what they may have meant
LONGEST_KEY = 100  # that may be a known one, misspelt
HINTS = {("ClusterFormingP", "less_than_equal"): '; a lower bar has to be named as a statistic, "ClusterFormingT"'}


def parse(text: str) -> dict[str, Any]:
    """Make objects of JSON text; a key that stands twice is refused, where JSON would keep the last.

    What no person writes is refused before anything is done with it: millions of signs, hundreds of levels, numbers of
    thousands of digits.
    """
    if len(text) > LONGEST_TEXT:
        raise ModelError(f"{len(text):,} signs; expected at most {LONGEST_TEXT:,}. Is this the right file?")

    def as_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if repeated := duplicates(key for key, _ in pairs):
            raise ModelError(f"the key {shown(repeated[0])} stands twice in one object; keep one")
        return dict(pairs)

    try:
        document = json.loads(text, object_pairs_hook=as_object, parse_int=_whole_number)
    except RecursionError as error:
        raise ModelError(f"{TOO_DEEP}. Is this the right file?") from error
    if _is_deep(document):
        raise ModelError(f"{TOO_DEEP}. Is this the right file?")
    if not isinstance(document, dict):
        raise ModelError(f"expected a JSON object; found {shown(document)}")
    return document


def _whole_number(digits: str) -> int:
    """Read a whole number; Python itself gives up, with an error of its own, at 4300 digits."""
    if len(digits.lstrip("-")) > MOST_DIGITS:
        raise ModelError(f"a number of {len(digits)} digits, {digits[:12]}...; expected at most {MOST_DIGITS}")
    return int(digits)


def _is_deep(document: object) -> bool:
    """Tell whether lists and objects lie in each other beyond all use."""
    level = [document]
    for _ in range(MOST_LEVELS):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def refuse(problems: Iterable[str]) -> None:
    """Stop if there is any problem."""
    if lines := list(problems):
        raise ModelError("\n".join(lines))


def gather(tasks: Iterable[Callable[[], Result]]) -> tuple[Result, ...]:
    """Do every task, and only then stop with the problems of all."""
    results: list[Result] = []
    problems: list[str] = []
    for task in tasks:
        try:
            results.append(task())
        except ModelError as error:
            problems += str(error).splitlines()
    refuse(problems)
    return tuple(results)


def _at(place: str, text: str) -> str:
    """Put the place before the message; the top of the file has none."""
    return f"{place}: {text}" if place else text


def dig(value: Any, *keys: str) -> Any:  # noqa: ANN401
    """Follow keys into nested objects; None where one is absent or not an object."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def objects(parent: dict[str, Any], key: str, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Pass through the objects of a list, each with its place; the schema refuses what is none."""
    items = parent.get(key)
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict):
            yield f"{place}{key}[{index}]", item


def unknown_keys(value: Any, schema: type[BaseModel], place: str) -> Iterator[str]:  # noqa: ANN401
    """Compare the keys of an object, or of the objects in a list, with the fields of its schema."""
    for index, item in enumerate(value if isinstance(value, list) else ()):
        yield from unknown_keys(item, schema, f"{place}[{index}]")
    known = {info.alias or name: info.annotation for name, info in schema.model_fields.items()}
    n_unknown = 0
    for key, child in value.items() if isinstance(value, dict) else ():
        if key not in known:
            n_unknown += 1
            if n_unknown > MOST_UNKNOWN:
                continue
            near = nearest(key, known) if len(key) <= LONGEST_KEY else None
            meant = f" did you mean {shown(near)}? Known" if near else " known"
            yield _at(place, f"unknown key {shown(key)};{meant} keys: {', '.join(known)}")
        elif (inner := _object_in(known[key])) is not None:
            yield from unknown_keys(child, inner, f"{place}.{key}" if place else key)
    if n_unknown > MOST_UNKNOWN:
        yield _at(place, f"{n_unknown - MOST_UNKNOWN:,} more unknown keys")


def _object_in(annotation: object) -> type[BaseModel] | None:
    """Find the object that a field may hold, inside Optional, list or tuple."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _object_in(part))), None)


def validated(schema: type[Schema], value: Any, place: str) -> Schema:  # noqa: ANN401
    """Make a schema's object of a JSON value, by JSON's strict rules: no text for numbers, no snake_case."""
    try:
        return schema.model_validate_json(json.dumps(value), strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        lines = [_reworded(dict(detail), value, place) for detail in error.errors()]
    raise ModelError("\n".join(dict.fromkeys(lines)))  # one line for the many errors of a mixed value


def _reworded(detail: dict[str, Any], value: Any, place: str) -> str:  # noqa: ANN401
    """Say one schema error in terms of the file."""
    kind, context, rest, key = detail["type"], detail.get("ctx", {}), list(detail["loc"]), ""
    while rest:
        if isinstance(rest[0], int) and isinstance(value, list):
            place = f"{place}[{rest[0]}]"
        elif isinstance(value, dict) and rest[0] in value:
            key = rest[0]
            place = f"{place}.{key}" if place else key
        else:  # a key that is absent, or pydantic's own name for one of several kinds
            break
        value = value[rest.pop(0)]
    if kind == "missing":
        return _at(place, f"the key {shown(rest[0])} is missing")
    if kind == "value_error":  # of a default it names the attribute, not the key
        return _at(".".join([place, *map(to_pascal, rest)]), str(context["error"]))
    wanted = EXPECTED[kind].format(**context) if kind in EXPECTED else detail["msg"]
    wanted = wanted.removeprefix("Input should be ").replace("'", '"')
    if rest:
        wanted = EXPECTED_OF_MIXED.get(key, wanted)
    return _at(place, f"expected {wanted}; found {shown(value)}{HINTS.get((key, kind), '')}")
