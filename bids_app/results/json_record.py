"""Values as JSON and back: how what no map or table holds is kept for the report.

A frozen dataclass becomes an object of its fields, and is made again by its type hints. Numbers come back bit for bit.
What a file beside the record holds is left out of it.
"""

from __future__ import annotations

import base64
import dataclasses
import math
import types
import typing
import zlib
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np
import pandas as pd

from bids_app.errors import Warned

Json = Any
Loaders = Mapping[type, Callable[[Json], Mapping[str, Any]]]

IF_PRESENT = {"kept": "if present"}  # metadata of a field that is left out of a record where it is None
SMALL = 64  # entries of an array up to which people can read it


def encode(value: object, leave_out: Mapping[type, Collection[str]] = MappingProxyType({})) -> Json:
    """Turn a value into what JSON can hold.

    Parameters
    ----------
    value : dataclass, array, table, tuple, mapping, number, text or None
    leave_out : dataclass -> fields of it that are not kept, at any depth

    Raises
    ------
    TypeError
        For a value of any other type.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if np.isfinite(value) else str(value)
    if isinstance(value, Warned):
        return {"warning": str(value)}
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, np.ndarray):
        return _encode_array(value)
    if isinstance(value, pd.DataFrame):
        rows = [[encode(entry) for entry in row] for row in value.itertuples(index=False, name=None)]
        return {"columns": list(value.columns), "index": list(value.index), "rows": rows}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        left_out = leave_out.get(type(value), ())
        kept = (
            field.name
            for field in dataclasses.fields(value)
            if field.name not in left_out and not (field.metadata == IF_PRESENT and getattr(value, field.name) is None)
        )
        return {name: encode(getattr(value, name), leave_out) for name in kept}
    if isinstance(value, Mapping):
        return {str(key): encode(entry, leave_out) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [encode(entry, leave_out) for entry in value]
    raise TypeError(f"a {type(value).__name__} cannot be kept in a record")


def decode(hint: Any, content: Json, load: Loaders = MappingProxyType({})) -> Any:  # noqa: ANN401
    """Make a value again from what `encode` made of it.

    Parameters
    ----------
    hint : its type, or type hint
    content : Json
    load : dataclass -> function that gives, from what is kept of one, the fields that were left out

    Raises
    ------
    KeyError, TypeError, ValueError
        When the content is not of that type.
    """
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        (inner,) = (part for part in parts if part is not type(None))
        return None if content is None else decode(inner, content, load)
    if dataclasses.is_dataclass(hint):
        return _decode_dataclass(hint, content, load)
    if origin is np.ndarray or hint is np.ndarray:
        return _decode_array(content)
    if hint is pd.DataFrame:
        return pd.DataFrame(content["rows"], columns=content["columns"], index=content["index"])
    if origin is tuple:
        if len(parts) == 2 and parts[1] is Ellipsis:
            return tuple(decode(parts[0], entry, load) for entry in content)
        return tuple(decode(part, entry, load) for part, entry in zip(parts, content, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: decode(parts[1], entry, load) for key, entry in content.items()}
    return _decode_plain(hint, origin, parts, content)


def _decode_plain(hint: Any, origin: Any, parts: tuple[Any, ...], content: Json) -> Any:  # noqa: ANN401
    """Numbers, texts and choices; a number that JSON does not know is a text."""
    if origin is Literal:
        if content not in parts:
            raise ValueError(f"{content!r} is none of {parts}")
        return content
    if hint is float and isinstance(content, int | float | str):
        return float(content)
    if hint is str and isinstance(content, dict) and isinstance(content.get("warning"), str):
        return Warned(content["warning"])
    if isinstance(hint, type) and hint in (int, str, bool) and isinstance(content, hint):
        return content
    raise TypeError(f"{content!r} is no {hint}")


def _decode_dataclass(hint: Any, content: Json, load: Loaders) -> Any:  # noqa: ANN401
    hints = typing.get_type_hints(hint)
    given = load[hint](content) if hint in load else {}
    made = {
        field.name: decode(hints[field.name], content[field.name], load)
        for field in dataclasses.fields(hint)
        if field.name in content and field.name not in given
    }
    return hint(**made, **given)


def _encode_array(array: np.ndarray[Any, Any]) -> Json:
    about = {"dtype": array.dtype.str, "shape": list(array.shape)}
    if array.size <= SMALL:
        return {**about, "values": [encode(entry) for entry in array.ravel()]}
    packed = zlib.compress(np.ascontiguousarray(array).tobytes(), 6)
    return {**about, "zlib": base64.b64encode(packed).decode("ascii")}


def _decode_array(content: Json) -> np.ndarray[Any, Any]:
    dtype = np.dtype(content["dtype"])
    if "values" in content:
        values = [float(entry) if isinstance(entry, str) else entry for entry in content["values"]]
        return np.array(values, dtype).reshape(content["shape"])
    packed, n_bytes = base64.b64decode(content["zlib"]), math.prod(content["shape"]) * dtype.itemsize
    # no more than the array takes is unpacked: a few damaged bytes might stand for all the memory there is
    raw = zlib.decompressobj().decompress(packed, max(0, n_bytes) + 1)
    return np.frombuffer(raw, dtype).reshape(content["shape"]).copy()
