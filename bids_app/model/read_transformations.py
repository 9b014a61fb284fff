"""Transformations of a Dataset node: those of participants' columns, as pybids defines them; others are refused.

They are read and checked here, and applied to the table in `inputs.transformations`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bids_app.console.text import duplicates, joined, nearest, shown, suggestion
from bids_app.model.strict_json import objects, refuse

# Name of the instruction -> keys that it takes besides Name and Input
KEYS = {
    "Factor": ("Constraint", "RefLevel", "Sep"),
    "Scale": ("Demean", "Rescale", "ReplaceNA"),
    "Demean": (),
    "Product": (),
    "Rename": (),
    "Replace": ("Replace", "Attribute"),
    "Filter": ("Query", "By"),
}
OUTPUT_KEYS = ("Output", "OutputPrefix", "OutputSuffix")
NEEDS_OUTPUT = ("Product", "Rename")
NO_OUTPUT = {
    "Factor": "its columns are named <column>.<level>, with Sep in place of the point",
    "Filter": "it excludes subjects, and makes no column",
}
MISSING_VALUES = (None, "off", "before", "after")  # of ReplaceNA
WILDCARDS = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One step of Transformations."""

    name: str
    """Factor, Scale, Demean, Product, Rename, Replace or Filter."""
    inputs: tuple[str, ...]
    """Columns."""
    outputs: tuple[str, ...]
    """Names of the new columns, as Output gives them; none: those of the columns."""
    options: dict[str, Any]
    """By the keys of the file."""
    where: str
    """Place in the file."""
    prefix: str = ""
    """Before the names of new columns."""
    suffix: str = ""
    """After the names of new columns."""

    def output_of(self, index: int, column: str) -> str:
        """Return what the new column is called that is made of one of the columns; itself if that one is changed."""
        return f"{self.prefix}{self.outputs[index] if self.outputs else column}{self.suffix}"


def read_transformations(transformations: dict[str, Any] | None, json_path: str) -> tuple[Instruction, ...]:
    """Return the instructions in their order.

    Parameters
    ----------
    transformations : in the file; None where there are none
    json_path : its place there

    Raises
    ------
    ModelError
        With a line for each problem: an instruction that is not done here, a key that it does not have, no Input.
    """
    found = list(objects(transformations or {}, "Instructions", f"{json_path}."))
    refuse(problem for where, instruction in found for problem in _wrong(instruction, where))
    return tuple(_instruction(instruction, where) for where, instruction in found)


def _wrong(instruction: dict[str, Any], where: str) -> Iterator[str]:
    """Yield the problems of one instruction."""
    name = instruction.get("Name")
    if not isinstance(name, str) or name not in KEYS:
        near = nearest(str(name), KEYS)
        hint = f"did you mean {shown(near)}?" if near else f"those of columns of participants.tsv are {joined([*KEYS])}"
        yield f"{where}.Name: {shown(name)} is not supported at the group level; {hint}"
        return
    known = ("Name", "Input", *OUTPUT_KEYS, *KEYS[name])
    for key in instruction:
        if key not in known:
            yield f"{where}: {name} has no key {shown(key)}{suggestion(key, known)}"
        elif key in OUTPUT_KEYS and name in NO_OUTPUT:
            yield f"{where}.{key}: {name} takes none: {NO_OUTPUT[name]}. Remove it"
    if not _texts(instruction.get("Input")):
        found = shown(instruction.get("Input"))
        yield f"{where}.Input: expected the name of a column, or a list of names; found {found}"
    yield from _wrong_options(name, instruction, where)
    yield from _wrong_outputs(name, instruction, where)


def _wrong_options(name: str, instruction: dict[str, Any], where: str) -> Iterator[str]:
    """Yield the options of an instruction that have no meaning."""
    if name == "Factor" and instruction.get("Constraint", "none") not in ("none", "drop_one"):
        yield f'{where}.Constraint: expected "none" or "drop_one"; found {shown(instruction["Constraint"])}'
    if name == "Factor" and not isinstance(instruction.get("Sep", "."), str):
        yield f"{where}.Sep: expected a text; found {shown(instruction['Sep'])}"
    if name == "Factor" and not isinstance(instruction.get("RefLevel", ""), str | int | float):
        yield f"{where}.RefLevel: expected one level; found {shown(instruction['RefLevel'])}"
    for key in ("Demean", "Rescale") if name == "Scale" else ():
        if not isinstance(instruction.get(key, True), bool):
            yield f"{where}.{key}: expected true or false; found {shown(instruction[key])}"
    if name == "Scale" and instruction.get("ReplaceNA") not in MISSING_VALUES:
        yield f'{where}.ReplaceNA: expected "off", "before" or "after"; found {shown(instruction["ReplaceNA"])}'
    if name == "Replace" and not isinstance(instruction.get("Replace"), dict):
        found = shown(instruction.get("Replace"))
        yield f'{where}.Replace: expected an object of old and new values, such as {{"M": "male"}}; found {found}'
    elif name == "Replace":
        for old, new in instruction["Replace"].items():
            if not (new is None or isinstance(new, str | int | float)):
                yield f"{where}.Replace.{old}: expected a text or a number; found {shown(new)}"
    if name == "Replace" and instruction.get("Attribute", "value") != "value":
        yield f'{where}.Attribute: expected "value", the only one of a table; found {shown(instruction["Attribute"])}'
    if name == "Filter" and not isinstance(instruction.get("Query"), str):
        yield f'{where}.Query: expected a text such as "age > 18"; found {shown(instruction.get("Query"))}'
    if name == "Filter" and instruction.get("By") and not _texts(instruction["By"]):
        yield f"{where}.By: expected the name of a column, or a list of names; found {shown(instruction['By'])}"


def _wrong_outputs(name: str, instruction: dict[str, Any], where: str) -> Iterator[str]:
    """Yield what is wrong with the names of the new columns."""
    if name in NO_OUTPUT:
        return
    inputs, outputs = _texts(instruction.get("Input")), _texts(instruction.get("Output"))
    if name in NEEDS_OUTPUT and not any(instruction.get(key) for key in OUTPUT_KEYS):
        yield f"{where}: {name} needs Output, the name of the new column"
    elif name == "Product" and not outputs:
        yield f"{where}: Product needs Output, the name of the new column, with OutputPrefix and OutputSuffix too"
    elif instruction.get("Output") and not outputs:
        yield f"{where}.Output: expected a name, or a list of names; found {shown(instruction['Output'])}"
    for key in OUTPUT_KEYS[1:]:
        if not isinstance(instruction.get(key) or "", str):
            yield f"{where}.{key}: expected a text; found {shown(instruction[key])}"
    wanted = 1 if name == "Product" else len(inputs)
    are_patterns = any(set(each) & WILDCARDS for each in inputs) and name != "Product"
    if outputs and not are_patterns and len(outputs) != wanted:
        yield f"{where}.Output: expected {wanted} name{'s' if wanted > 1 else ''}; found {shown(instruction['Output'])}"
    for each in duplicates(outputs):
        yield f"{where}.Output: {shown(each)} is listed twice"


def _texts(value: object) -> tuple[str, ...]:
    """Return a text or a list of texts as a tuple; an empty one for anything else."""
    values: list[object] = value if isinstance(value, list) else [value]
    texts = tuple(each for each in values if isinstance(each, str) and each)
    return texts if len(texts) == len(values) else ()


def _instruction(instruction: dict[str, Any], where: str) -> Instruction:
    """Return one instruction, with the names of its new columns."""
    name = instruction["Name"]
    options = {key: instruction[key] for key in KEYS[name] if key in instruction}
    return Instruction(
        name=name,
        inputs=_texts(instruction["Input"]),
        outputs=_texts(instruction.get("Output")),
        options=options,
        where=where,
        prefix=instruction.get("OutputPrefix") or "",
        suffix=instruction.get("OutputSuffix") or "",
    )
