"""Names of images: the entities in them, and the condition, statistic and space that they stand for.

The keys that pybids does not know are in entities.json.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bids.layout import Config

from bids_app.console.text import listed, natural

ENTITIES_FILE = Path(__file__).with_name("entities.json")
# Suffixes that name a statistic, as in sub-01_desc-IniFF_effect.nii.gz.
STAT_SUFFIXES = frozenset({"effect", "variance", "t", "F", "z", "p", "stat", "dof", "cope", "varcope", "beta"})
VOLUMES = (".nii", ".nii.gz")
SURFACES = (".gii", ".func.gii", ".shape.gii", ".dscalar.nii", ".pscalar.nii", ".dtseries.nii", ".ptseries.nii")
PAIR = re.compile(r"([0-9a-zA-Z]+)-(.+)")
# Entities that no key of a name stands for: they are found otherwise, or mean something else in a filter.
NOT_A_KEY = frozenset({"condition", "subject", "suffix", "extension", "datatype", "scans", "fmap"})


@dataclass(frozen=True, slots=True)
class SourceDataset:
    """A dataset that holds maps."""

    name: str  # link name in BIDS URIs: bids:<name>:path
    root: Path
    description: dict[str, object]  # its dataset_description.json; empty for a --maps table


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file and what its name says about it."""

    path: Path
    relative_path: str  # posix, from the root of its dataset
    dataset: str  # link name of its dataset
    entities: dict[str, str]
    condition: str | None
    stat: str | None
    space: str | None  # from the name, with its cohort; if the name has none, as declared by --space
    volume: int | None = None  # its number in a file that holds several, from 0

    def label(self, entity: str) -> str | None:
        """Return the label of an entity, condition or stat; None if the name has none."""
        if entity in ("condition", "stat", "space"):
            return str(value) if (value := getattr(self, entity)) is not None else None
        return self.entities.get(entity)

    @property
    def subject(self) -> str:
        """The subject's label without sub-."""
        return self.entities["subject"]

    @property
    def cut_labels(self) -> tuple[str, ...]:
        """Pairs of the name whose label is cut at an underscore, with what follows it."""
        return _cut_labels(self.path.name)

    @property
    def is_map(self) -> bool:
        """Whether it is a map: the name gives a subject, a condition and a statistic."""
        return None not in (self.condition, self.stat, self.entities.get("subject"))


@functools.cache
def entity_patterns() -> dict[str, re.Pattern[str]]:
    """Return the pattern of every entity known to pybids and to our own configuration."""
    configs = [Config.load(config) for config in ("bids", "derivatives", str(ENTITIES_FILE))]
    return {name: entity.regex for config in configs for name, entity in config.entities.items()}


def read_entities(relative_path: str) -> dict[str, str]:
    """Return the entities in a path.

    pybids searches the absolute path, so that every map of a dataset in /data/sub-99/ would belong to subject 99: here
    the file name comes first, and the folders inside the dataset second. A label ends at a separator, so that `a-b` is
    not cut to `a`. A pair of the file name whose key pybids does not know is an entity named by its key.
    """
    path = f"/{relative_path}"
    name = path[path.rindex("/") :]
    entities = {}
    for entity, pattern in entity_patterns().items():
        for text in (name, path):
            if match := pattern.search(text):
                rest = re.split(r"[_./\\]", text[match.end(1) :], maxsplit=1)[0]
                entities[entity] = match[1] + rest
                break
    pairs = [pair for piece in _pieces(name[1:]) if (pair := PAIR.fullmatch(piece)) and pair[1] not in NOT_A_KEY]
    # of two pairs with the same key the first counts, as in pybids
    return entities | {_entity_of_key().get(pair[1], pair[1]): pair[2] for pair in reversed(pairs)}


@functools.cache
def _entity_of_key() -> dict[str, str]:
    """Return the entity of each key of file names, such as acquisition for acq."""
    patterns = entity_patterns().items()
    return {key: entity for entity, pattern in patterns for key in re.findall(r"([a-zA-Z]+)-\(", pattern.pattern)}


def _pieces(name: str) -> list[str]:
    """Return the parts of a file's name between underscores, without its extension."""
    extension = max((end for end in VOLUMES + SURFACES if name.endswith(end)), key=len, default="")
    return name.removesuffix(extension).split("_")


def _cut_labels(name: str) -> tuple[str, ...]:
    """Return the pairs of a file's name that are followed by what is neither a pair nor the suffix."""
    pieces = _pieces(name)
    suffix = [] if PAIR.fullmatch(pieces[-1]) else pieces[-1:]
    pairs: list[list[str]] = []
    for piece in pieces[: len(pieces) - len(suffix)]:
        if PAIR.fullmatch(piece):
            pairs.append([piece])
        elif pairs:
            pairs[-1].append(piece)
    return tuple("_".join(pair) for pair in pairs if len(pair) > 1)


def space_of(entities: Mapping[str, str]) -> str | None:
    """Return the space with its cohort, as in TemplateFlow: each cohort of a template is a space of its own."""
    space, cohort = entities.get("space"), entities.get("cohort")
    return f"{space}+{cohort}" if space and cohort and "+" not in space else space


def read_name(dataset: SourceDataset, relative_path: str) -> ImageFile:
    """Return what the name of a file says about it."""
    entities = read_entities(relative_path)
    suffix = entities.get("suffix", "")
    named_stat = suffix if suffix in STAT_SUFFIXES else None
    return ImageFile(
        path=dataset.root / relative_path,
        relative_path=relative_path,
        dataset=dataset.name,
        entities=entities,
        condition=entities.get("contrast")
        or entities.get("taskcontrast")
        or (entities.get("desc") if named_stat else None),
        stat=entities.get("stat") or named_stat,
        space=space_of(entities),
    )


def tally(images: Iterable[ImageFile], entity: str) -> str:
    """Return how many images have each label of an entity, as text for a message."""
    counts = Counter(image.label(entity) for image in images)
    absent = counts.pop(None, 0)
    parts = [f"{label} ({counts[label]})" for label in sorted(filter(None, counts), key=natural)]
    return ", ".join(
        [*([listed(parts)] if parts else []), *([f"no {entity} in the name ({absent})"] if absent else [])]
    )
