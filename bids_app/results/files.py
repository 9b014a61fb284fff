"""Files that appear whole or not at all: each is written beside its place and then renamed.

None holds a time stamp, so that the same values give the same bytes.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_app.errors import OutputError
from bids_app.runtime.locks import part_name
from bids_app.spaces.image_files import compress, image_bytes

Json = dict[str, Any]


def write_image(path: Path, volume: NDArray[Any], affine: NDArray[np.float64], *, mni: bool) -> None:
    """Write an (i, j, k) volume as compressed NIfTI-1, in the volume's own type, without a time stamp."""
    with replacing(path) as temporary:
        temporary.write_bytes(image_bytes(volume, affine, mni=mni))


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a TSV file, compressed where its name ends in .gz; missing values are n/a."""
    text = table.to_csv(sep="\t", index=False, na_rep="n/a", lineterminator="\n", float_format="%.9g")
    content = text.encode()
    with replacing(path) as temporary:
        temporary.write_bytes(compress(content) if path.name.endswith(".gz") else content)


def write_json(path: Path, content: Json) -> Path:
    """Write a JSON file; returns its path."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, default=_plain) + "\n")
    return path


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside the file to write to; what is written takes its place only when all went well."""
    temporary = path.with_name(part_name(path.name))
    try:
        with explaining(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
    except BaseException:
        with suppress(OSError):  # a disk that takes nothing may refuse this too; what failed first is being told
            temporary.unlink(missing_ok=True)
        raise


@contextmanager
def explaining(path: Path) -> Iterator[None]:
    """Turn the failure of a write into an error that says what to do."""
    try:
        yield
    except OSError as error:
        advice = "Free space or choose another OUTPUT_DIR."
        if error.errno == errno.ENAMETOOLONG:
            advice = "Choose a shorter OUTPUT_DIR, or shorter names of nodes and contrasts."
        raise OutputError(f"{path} cannot be written: {error.strerror or error}. {advice}") from error


def _plain(value: object) -> object:
    """Turn into JSON what it does not know: paths, numpy scalars and arrays, sets."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Iterable):
        return list(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
