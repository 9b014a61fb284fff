"""What is asked of the images: the selection that the command line makes, and the queries of the filter file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bids_app.errors import DataError, MissingPathError

Query = Mapping[str, tuple[str, ...] | None]  # entity -> labels, None where the entity must be absent

EXAMPLE = 'Expected {"statmap": {"desc": ["smooth"], "run": null}, "mask": {...}}.'


@dataclass(frozen=True, slots=True)
class Selection:
    """Where the first-level maps are, and which of them are wanted; an empty tuple means all."""

    bids_dir: Path
    derivatives: tuple[tuple[str | None, Path], ...] = ()  # name, folder; none: the maps are in bids_dir
    maps_table: Path | None = None  # lists the maps, so that no folder is searched
    maps_content: bytes | None = None  # of the table where it came through standard input
    subjects: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    space: str | None = None  # keeps the maps of this space, or declares it where names have none
    filter_file: Path | None = None
    has_mask: bool = False  # an analysis mask is given, so that the model's own is not searched for

    def __post_init__(self) -> None:
        """Strip the BIDS prefixes from the labels."""
        for name, prefix in (("subjects", "sub-"), ("sessions", "ses-"), ("tasks", "task-")):
            object.__setattr__(self, name, _without_prefix(getattr(self, name), prefix))


def _without_prefix(labels: Iterable[str], prefix: str) -> tuple[str, ...]:
    return tuple(label.removeprefix(prefix) for label in labels)


def read_filter_file(path: Path | None) -> dict[str, Query]:
    """Return the queries of the filter file; an empty dictionary if there is no file.

    Raises
    ------
    DataError, MissingPathError
    """
    if path is None:
        return {}
    if not path.is_file():
        raise MissingPathError(f"--bids-filter-file: {path} does not exist.")
    source = f"--bids-filter-file {path}"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as err:
        raise DataError(f"{source} cannot be read as JSON: {err}.") from err
    if not isinstance(document, dict) or not all(isinstance(query, dict) for query in document.values()):
        raise DataError(f"{source} must hold an object of objects. {EXAMPLE}")
    for query in document:
        if query not in ("statmap", "mask"):
            raise DataError(f"{source}: unknown query {query}; known are statmap and mask. {EXAMPLE}")
    return {
        query: {entity: _read_labels(entity, value, f"{source}: {query}") for entity, value in wishes.items()}
        for query, wishes in document.items()
    }


def _read_labels(entity: str, value: object, source: str) -> tuple[str, ...] | None:
    """Return the labels of one entity of a query; None if the entity must be absent."""
    labels = value if isinstance(value, list) else [value]
    if value is None:
        return None
    if not labels or not all(isinstance(label, str | int) and not isinstance(label, bool) for label in labels):
        raise DataError(
            f"{source}.{entity} is {json.dumps(value)}. Expected a label, a list of labels, null (absent) or "
            '"*" (present).'
        )
    return tuple(str(label) for label in labels)
