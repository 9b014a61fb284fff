"""Transformations of a Dataset node: those of participants' columns, as pybids defines them; others are refused.

They are read and checked here, and applied to the table in `inputs.transformations`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bids_app.console.text import joined, nearest, shown, suggestion
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


@dataclass(frozen=True, slots=True)
class Instruction:
    """One step of Transformations."""

    name: str
    """Factor, Scale, Demean, Product, Rename, Replace or Filter."""
    inputs: tuple[str, ...]
    """Columns."""
    outputs: tuple[str, ...]
    """Names of the new columns, as Output gives them; none: the columns themselves are changed."""
    options: dict[str, Any]
    """By the keys of the file."""
    where: str
    """Place in the file."""


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
    if name not in KEYS:
        near = nearest(str(name), KEYS)
        hint = f"did you mean {shown(near)}?" if near else f"those of columns of participants.tsv are {joined([*KEYS])}"
        yield f"{where}.Name: {shown(name)} is not supported at the group level; {hint}"
        return
    known = ("Name", "Input", *OUTPUT_KEYS, *KEYS[name])
    for key in instruction:
        if key not in known:
            yield f"{where}: {name} has no key {shown(key)}{suggestion(key, known)}"
    if not _texts(instruction.get("Input")):
        found = shown(instruction.get("Input"))
        yield f"{where}.Input: expected the name of a column, or a list of names; found {found}"
    if name in NEEDS_OUTPUT and not any(instruction.get(key) for key in OUTPUT_KEYS):
        yield f"{where}: {name} needs Output, the name of the new column"
    if name == "Factor" and instruction.get("Constraint", "none") not in ("none", "drop_one"):
        yield f'{where}.Constraint: expected "none" or "drop_one"; found {shown(instruction["Constraint"])}'
    if name == "Replace" and not isinstance(instruction.get("Replace"), dict):
        found = shown(instruction.get("Replace"))
        yield f'{where}.Replace: expected an object of old and new values, such as {{"M": "male"}}; found {found}'
    if name == "Replace" and instruction.get("Attribute", "value") != "value":
        yield f'{where}.Attribute: expected "value", the only one of a table; found {shown(instruction["Attribute"])}'
    if name == "Filter" and not isinstance(instruction.get("Query"), str):
        yield f'{where}.Query: expected a text such as "age > 18"; found {shown(instruction.get("Query"))}'
    outputs, n_inputs = _texts(instruction.get("Output")), len(_texts(instruction.get("Input")))
    wanted = 1 if name == "Product" else n_inputs
    if outputs and len(outputs) != wanted:
        yield f"{where}.Output: expected {wanted} name{'s' if wanted > 1 else ''}; found {shown(instruction['Output'])}"


def _texts(value: object) -> tuple[str, ...]:
    """Return a text or a list of texts as a tuple; an empty one for anything else."""
    values: list[object] = value if isinstance(value, list) else [value]
    texts = tuple(each for each in values if isinstance(each, str) and each)
    return texts if len(texts) == len(values) else ()


def _instruction(instruction: dict[str, Any], where: str) -> Instruction:
    """Return one instruction, with the names of its new columns."""
    name, inputs = instruction["Name"], _texts(instruction["Input"])
    outputs = _texts(instruction.get("Output"))
    prefix, suffix = instruction.get("OutputPrefix") or "", instruction.get("OutputSuffix") or ""
    if prefix or suffix:
        outputs = tuple(f"{prefix}{each}{suffix}" for each in outputs or inputs)
    options = {key: instruction[key] for key in KEYS[name] if key in instruction}
    return Instruction(name, inputs, outputs, options, where)
