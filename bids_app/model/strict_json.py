"""JSON written by people, read strictly: no repeated or unknown key, no text in place of a number.

Every problem is one line that begins with its path in the file, and all problems of a stage are reported together.
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

# What was expected, by pydantic's name of the kind of error; other kinds keep pydantic's words.
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
# Keys that take several kinds of value, for which pydantic would report one error each.
EXPECTED_OF_MIXED = {
    "Weights": 'a list of numbers or fractions such as "1/6", or for F a list of such lists',
    "X": "a name",
    "ConditionList": "a name",
    "Effects": '"all" or a list of names',
}
MAX_CHARACTERS = 20_000_000
MAX_DIGITS = 18
MAX_DEPTH = 60
TOO_DEEP = f"lists and objects nested more than {MAX_DEPTH} deep; expected a BIDS Stats Model"
MAX_UNKNOWN = 20  # keys of an object that are reported, with what they may have meant
MAX_KEY_LENGTH = 100  # of a key that may be a known one, misspelled
HINTS = {("ClusterFormingP", "less_than_equal"): '; a lower threshold must be given as a statistic, "ClusterFormingT"'}


class Repeated(dict[str, Any]):
    """An object of a JSON text in which a key is repeated; JSON keeps the last."""

    key = ""


def parse(text: str) -> dict[str, Any]:
    """Return the object in a JSON text; one in which a key is repeated is `Repeated`.

    What nobody writes by hand is refused first: millions of characters, hundreds of nested levels, numbers of thousands
    of digits.

    Raises
    ------
    ModelError, json.JSONDecodeError
    """
    if len(text) > MAX_CHARACTERS:
        raise ModelError(f"{len(text):,} characters; expected at most {MAX_CHARACTERS:,}. Is this the right file?")

    def as_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if not (repeated := duplicates(key for key, _ in pairs)):
            return dict(pairs)
        found = Repeated(pairs)
        found.key = repeated[0]
        return found

    try:
        document = json.loads(text, object_pairs_hook=as_object, parse_int=_whole_number)
    except RecursionError as error:
        raise ModelError(f"{TOO_DEEP}. Is this the right file?") from error
    if _is_deep(document):
        raise ModelError(f"{TOO_DEEP}. Is this the right file?")
    if not isinstance(document, dict):
        raise ModelError(f"expected a JSON object; found {shown(document)}")
    return document


def repeated_keys(value: Any, json_path: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401
    """Yield the path of every object in which a key is repeated, with the first such key."""
    if isinstance(value, Repeated):
        yield json_path, value.key
    items: Iterable[tuple[str, Any]] = ()
    if isinstance(value, dict):
        items = ((f"{json_path}.{key}" if json_path else key, child) for key, child in value.items())
    elif isinstance(value, list):
        items = ((f"{json_path}[{index}]", child) for index, child in enumerate(value))
    for path, child in items:
        yield from repeated_keys(child, path)


def _whole_number(digits: str) -> int:
    """Return a whole number; Python itself raises an error of its own above 4300 digits."""
    if len(digits.lstrip("-")) > MAX_DIGITS:
        raise ModelError(f"a number of {len(digits)} digits, {digits[:12]}...; expected at most {MAX_DIGITS}")
    return int(digits)


def _is_deep(document: object) -> bool:
    """Return whether lists and objects are nested more deeply than any model needs."""
    level = [document]
    for _ in range(MAX_DEPTH):
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
    """Raise ModelError with all problems, if there are any."""
    if lines := list(problems):
        raise ModelError("\n".join(lines))


def gather(tasks: Iterable[Callable[[], Result]]) -> tuple[Result, ...]:
    """Return the results of all tasks; raise ModelError with the problems of all of them."""
    results: list[Result] = []
    problems: list[str] = []
    for task in tasks:
        try:
            results.append(task())
        except ModelError as error:
            problems += str(error).splitlines()
    refuse(problems)
    return tuple(results)


def _at(json_path: str, text: str) -> str:
    """Return the message after its path; the top level of the file has none."""
    return f"{json_path}: {text}" if json_path else text


def dig(value: Any, *keys: str) -> Any:  # noqa: ANN401
    """Return the value under nested keys; None if one is absent or not in an object."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def objects(parent: dict[str, Any], key: str, json_path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects of a list, each with its path; the schema refuses what is not an object."""
    items = parent.get(key)
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict):
            yield f"{json_path}{key}[{index}]", item


def unknown_keys(value: Any, schema: type[BaseModel], json_path: str) -> Iterator[str]:  # noqa: ANN401
    """Yield a problem for each key of an object, or of the objects in a list, that its schema does not have."""
    for index, item in enumerate(value if isinstance(value, list) else ()):
        yield from unknown_keys(item, schema, f"{json_path}[{index}]")
    known = {info.alias or name: info.annotation for name, info in schema.model_fields.items()}
    n_unknown = 0
    for key, child in value.items() if isinstance(value, dict) else ():
        if key not in known:
            n_unknown += 1
            if n_unknown > MAX_UNKNOWN:
                continue
            near = nearest(key, known) if len(key) <= MAX_KEY_LENGTH else None
            meant = f" did you mean {shown(near)}? Known" if near else " known"
            yield _at(json_path, f"unknown key {shown(key)};{meant} keys: {', '.join(known)}")
        elif (inner := _object_in(known[key])) is not None:
            yield from unknown_keys(child, inner, f"{json_path}.{key}" if json_path else key)
    if n_unknown > MAX_UNKNOWN:
        yield _at(json_path, f"{n_unknown - MAX_UNKNOWN:,} more unknown keys")


def _object_in(annotation: object) -> type[BaseModel] | None:
    """Return the schema of the object that a field may hold, inside Optional, list or tuple; None if there is none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((schema for part in get_args(annotation) if (schema := _object_in(part))), None)


def validated(schema: type[Schema], value: Any, json_path: str) -> Schema:  # noqa: ANN401
    """Return a JSON value as an object of its schema, by strict rules: no text for numbers, no snake_case.

    Raises
    ------
    ModelError
    """
    try:
        return schema.model_validate_json(json.dumps(value), strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        lines = [_reworded(dict(detail), value, json_path) for detail in error.errors()]
    raise ModelError("\n".join(dict.fromkeys(lines)))  # a mixed value gives the same error several times


def _reworded(detail: dict[str, Any], value: Any, json_path: str) -> str:  # noqa: ANN401
    """Return one schema error in terms of the file."""
    kind, context, rest, key = detail["type"], detail.get("ctx", {}), list(detail["loc"]), ""
    while rest:
        if isinstance(rest[0], int) and isinstance(value, list):
            json_path = f"{json_path}[{rest[0]}]"
        elif isinstance(value, dict) and rest[0] in value:
            key = rest[0]
            json_path = f"{json_path}.{key}" if json_path else key
        else:  # an absent key, or pydantic's name for one of several kinds
            break
        value = value[rest.pop(0)]
    if kind == "missing":
        return _at(json_path, f"the key {shown(rest[0])} is missing")
    if kind == "value_error":  # for a default it names the attribute, not the key
        return _at(".".join([json_path, *map(to_pascal, rest)]), str(context["error"]))
    wanted = EXPECTED[kind].format(**context) if kind in EXPECTED else detail["msg"]
    wanted = wanted.removeprefix("Input should be ").replace("'", '"')
    if rest:
        wanted = EXPECTED_OF_MIXED.get(key, wanted)
    return _at(json_path, f"expected {wanted}; found {shown(value)}{HINTS.get((key, kind), '')}")
