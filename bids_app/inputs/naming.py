"""Discovery: which images there are, by searching folders with pybids, and what each one shows.

Nothing is chosen here: every image of the datasets becomes one value, which says what its name says about it.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bids.layout import Config

from bids_app.console.text import SHOWN, natural

ENTITIES_FILE = Path(__file__).with_name("entities.json")
# Suffixes that name a statistic by themselves, as in sub-01_desc-IniFF_effect.nii.gz.
STAT_SUFFIXES = frozenset({"effect", "variance", "t", "F", "z", "p", "stat", "dof", "cope", "varcope", "beta"})
VOLUMES = (".nii", ".nii.gz")
SURFACES = (".gii", ".func.gii", ".shape.gii", ".dscalar.nii", ".pscalar.nii", ".dtseries.nii", ".ptseries.nii")
PAIR = re.compile(r"([0-9a-zA-Z]+)-(.+)")
# What no key of a name may be taken for: it comes from elsewhere, or stands for something else in a filter.
NOT_A_KEY = frozenset({"condition", "subject", "suffix", "extension", "datatype", "scans", "fmap"})


@dataclass(frozen=True, slots=True)
class SourceDataset:
    """A dataset that maps were read from, for provenance."""

    name: str  # link name in BIDS URIs: bids:<name>:path
    root: Path
    description: dict[str, object]  # its dataset_description.json; empty for a --maps table


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A NIfTI file and what its name says about it."""

    path: Path
    relative_path: str  # posix, from the root of its dataset
    dataset: str  # link name of its dataset
    entities: dict[str, str]
    condition: str | None
    stat: str | None
    space: str | None  # of the name, with its cohort, or as declared by --space where the name has none

    def label(self, entity: str) -> str | None:
        """Label of an entity, a condition or a stat."""
        if entity in ("condition", "stat", "space"):
            return str(value) if (value := getattr(self, entity)) is not None else None
        return self.entities.get(entity)

    @property
    def subject(self) -> str:
        """Label without sub-."""
        return self.entities["subject"]

    @property
    def cut_labels(self) -> tuple[str, ...]:
        """Pairs of its name that go on after their label has ended, as it does at an underscore."""
        return _cut_labels(self.path.name)

    @property
    def is_map(self) -> bool:
        """Whether it can be a row: a condition and a stat of a subject."""
        return None not in (self.condition, self.stat, self.entities.get("subject"))


@functools.cache
def entity_patterns() -> dict[str, re.Pattern[str]]:
    """Load every entity that pybids and our own configuration know."""
    configs = [Config.load(config) for config in ("bids", "derivatives", str(ENTITIES_FILE))]
    return {name: entity.regex for config in configs for name, entity in config.entities.items()}


def read_entities(relative_path: str) -> dict[str, str]:
    """Read the entities of a path.

    pybids searches the absolute path, so that a dataset in /data/sub-99/ would consist of subject 99: here
    the file name comes first and the folders inside the dataset second. A label ends at a separator, so that
    `a-b` is not taken for `a`. A pair of the file name whose key pybids does not know is an entity named by its key.
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
    # of two pairs with one key the first counts, as for pybids
    return entities | {_entity_of_key().get(pair[1], pair[1]): pair[2] for pair in reversed(pairs)}


@functools.cache
def _entity_of_key() -> dict[str, str]:
    """Map the keys of file names to entities, as acq to acquisition."""
    patterns = entity_patterns().items()
    return {key: entity for entity, pattern in patterns for key in re.findall(r"([a-zA-Z]+)-\(", pattern.pattern)}


def _pieces(name: str) -> list[str]:
    """Split a file's name at its underscores, without its extension."""
    extension = max((end for end in VOLUMES + SURFACES if name.endswith(end)), key=len, default="")
    return name.removesuffix(extension).split("_")


def _cut_labels(name: str) -> tuple[str, ...]:
    """List the pairs of a file's name that are followed by what is neither a pair nor the suffix."""
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
    """Name the space with its cohort, as TemplateFlow does: each cohort of a template is a space of its own."""
    space, cohort = entities.get("space"), entities.get("cohort")
    return f"{space}+{cohort}" if space and cohort and "+" not in space else space


def read_name(dataset: SourceDataset, relative_path: str) -> ImageFile:
    """Describe a file by its name."""
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
    """Count the images of each label of an entity."""
    counts = Counter(image.label(entity) for image in images)
    absent = counts.pop(None, 0)
    parts = [f"{label} ({counts[label]})" for label in sorted(filter(None, counts), key=natural)]
    more = [f"{len(parts) - SHOWN} more"] if len(parts) > SHOWN else []
    return ", ".join(parts[:SHOWN] + more + ([f"no {entity} in the name ({absent})"] if absent else []))
