"""Names of images: the entities in them, and the condition, statistic and space that they stand for.

All entities are in entities.json, which is also what pybids is given: a new version of its own lists changes nothing.
Programs differ in which entity tells the maps of a subject apart; docs/programs.md has a row for each.
"""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from bids_app.console.text import listed, natural

ENTITIES_FILE = Path(__file__).with_name("entities.json")
# Suffixes that name a statistic, as in sub-01_desc-IniFF_effect.nii.gz.
ESTIMATES = ("effect", "cope", "beta")  # names of the map of a contrast's estimate, preferred first
STAT_SUFFIXES = frozenset({"effect", "variance", "t", "F", "z", "p", "stat", "dof", "cope", "varcope", "beta"})
# Of maps of parcels in tables, besides those of a statistic: sub-01_task-rest_atlas-Gordon_stat-reho_bold.tsv
MAP_SUFFIXES = frozenset({"statmap", "boldmap", "bold"})
# Measures of the signal itself, which no model was fitted for, as in sub-01_task-rest_desc-sm4Zstd_reho.nii.gz
MEASURES = frozenset({"alff", "falff", "reho", "vmhc", "dcb", "dcw", "ecb", "ecw", "lfcdb", "lfcdw"})
# What says which map it is, the first one that is there; HALFpipe's own `contrast` is that of a model over runs
WHAT_IT_SHOWS = ("contrast", "taskcontrast", "seed", "component")
OF_HALFPIPE = ("taskcontrast", "seed", "component", "contrast")
# The extensions of images, in any case: those of CIFTI end like a volume's
CIFTI = r"\.[a-z]*(conn|series|scalar|label|fan|fibersamp|fibertemp)\.nii"
SURFACES = re.compile(rf"({CIFTI}|(\.[a-z]+)?\.gii)(\.gz)?$", re.I)
# Maps of one hemisphere, among the files of surfaces: not its mesh, its labels or a time series
HEMISPHERE_MAPS = (".gii", ".func.gii", ".shape.gii", ".gii.gz", ".func.gii.gz", ".shape.gii.gz")
FREESURFER_MAPS = (".mgh", ".mgz")  # of a volume, or of a hemisphere where that is said
GRAYORDINATES, PARCELS = ".dscalar.nii", ".pscalar.nii"  # maps by name, in CIFTI
Kind = Literal["volume", "surface", "grayordinates", "parcels"]
KIND_WORDS: dict[Kind, str] = {
    "volume": "volumes",
    "surface": "on surfaces",
    "grayordinates": "of grayordinates",
    "parcels": "of parcels",
}
VOLUMES = re.compile(r"\.nii(\.gz)?$", re.I)
TABLES = re.compile(r"\.tsv$", re.I)
PAIR = re.compile(r"([0-9a-zA-Z]+)-(.+)")
# Entities that no key of a name stands for: they are found otherwise, or mean something else in a filter.
NOT_A_KEY = frozenset({"condition", "subject", "suffix", "extension", "datatype", "scans", "fmap"})


@dataclass(frozen=True, slots=True)
class SourceDataset:
    """A dataset that holds maps."""

    name: str  # link name in BIDS URIs: bids:<name>:path
    root: Path
    description: dict[str, object]  # its dataset_description.json; empty for a --maps table


class HemisphereFile(NamedTuple):
    """The file of one hemisphere."""

    side: str
    """L or R."""
    path: Path
    relative_path: str


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file, or the two files of a map on surfaces, and what the names say about it."""

    path: Path
    relative_path: str  # posix, from the root of its dataset
    dataset: str  # link name of its dataset
    entities: dict[str, str]
    condition: str | None
    stat: str | None
    space: str | None  # from the name, with its cohort; if the name has none, as declared by --space
    volume: int | str | None = None  # its number in a file that holds several, from 0; of CIFTI files its name, too
    hemispheres: tuple[HemisphereFile, ...] = ()  # of a map on surfaces, left before right; path is the first of them

    @property
    def is_on_surface(self) -> bool:
        """Whether it is a map of a hemisphere or of both."""
        return self.kind == "surface"

    @property
    def kind(self) -> Kind:
        """What its values stand for; FreeSurfer's files hold a volume unless a hemisphere is said."""
        of_freesurfer = "hemi" in self.entities and self.path.name.lower().endswith(FREESURFER_MAPS)
        return "surface" if self.hemispheres or of_freesurfer else kind_of(self.path.name) or "volume"

    @property
    def files(self) -> tuple[HemisphereFile, ...]:
        """All its files; of a volume one, of no hemisphere."""
        return self.hemispheres or (HemisphereFile("", self.path, self.relative_path),)

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

    @property
    def is_measure(self) -> bool:
        """Whether it shows a measure of the signal, which is condition and statistic at once (reho, alff)."""
        if self.condition != self.stat or _what_it_shows(self.entities):  # a contrast may be called z
            return False
        return self.stat is not None and self.stat not in STAT_SUFFIXES


@functools.cache
def entity_patterns() -> dict[str, re.Pattern[str]]:
    """Return the pattern of every entity that names may have."""
    entities = json.loads(ENTITIES_FILE.read_text(encoding="utf-8"))["entities"]
    return {entity["name"]: re.compile(entity["pattern"]) for entity in entities}


def read_entities(relative_path: str) -> dict[str, str]:
    """Return the entities in a path.

    pybids searches the absolute path, so that every map of a dataset in /data/sub-99/ would belong to subject 99: here
    the file name comes first, and the folders inside the dataset second. A label ends at a separator, so that `a-b` is
    not cut to `a`. A pair of the file name whose key is not in entities.json is an entity named by its key.
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
    return entities | {entity_of_key().get(pair[1], pair[1]): pair[2] for pair in reversed(pairs)}


@functools.cache
def entity_of_key() -> dict[str, str]:
    """Return the entity of each key of file names, such as acquisition for acq."""
    patterns = entity_patterns().items()
    return {key: entity for entity, pattern in patterns for key in re.findall(r"([a-zA-Z]+)-\(", pattern.pattern)}


def is_surface(path: str) -> bool:
    """Return whether a file is a surface or grayordinate image (GIFTI, CIFTI), by its name."""
    return SURFACES.search(path) is not None


def is_hemisphere_map(path: str) -> bool:
    """Return whether a file may be the map of one hemisphere (GIFTI), by its name."""
    found = SURFACES.search(path)
    return found is not None and found.group().casefold() in HEMISPHERE_MAPS


def kind_of(path: str) -> Kind | None:
    """Return what the values of a file stand for, by its name; None where no map is read from such files."""
    name = path.casefold()
    if name.endswith(GRAYORDINATES):
        return "grayordinates"
    if name.endswith(PARCELS) or TABLES.search(path):
        return "parcels"
    if is_hemisphere_map(path):
        return "surface"
    return "volume" if is_volume(path) else None


def is_volume(path: str) -> bool:
    """Return whether a file is a volume (NIfTI), by its name."""
    return VOLUMES.search(path) is not None and not is_surface(path)


def is_table_of_map(path: str) -> bool:
    """Return whether a table is a map of parcels, by its name: most tables of a dataset are something else.

    Its suffix is one that maps have, so that it is neither a time series nor a table of clusters or of events.
    """
    if not TABLES.search(path):
        return False
    entities = read_entities(path)
    suffix = entities.get("suffix", "")
    has_suffix = suffix in {*MAP_SUFFIXES, *STAT_SUFFIXES} or suffix.casefold() in MEASURES
    return has_suffix and read_name(SourceDataset("", Path(), {}), path).is_map


def _pieces(name: str) -> list[str]:
    """Return the parts of a file's name between underscores, without its extension."""
    ending = SURFACES if is_surface(name) else TABLES if TABLES.search(name) else VOLUMES
    return ending.sub("", name).split("_")


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
    named = suffix if suffix in STAT_SUFFIXES or suffix.casefold() in MEASURES else None
    stat = entities.get("stat") or named
    return ImageFile(
        path=dataset.root / relative_path,
        relative_path=relative_path,
        dataset=dataset.name,
        entities=entities,
        condition=_what_it_shows(entities) or _measure(suffix, stat) or (entities.get("desc") if named else None),
        stat=stat,
        space=space_of(entities),
    )


def _what_it_shows(entities: Mapping[str, str]) -> str | None:
    """Return the label of contrast or seed, or the component of a dual regression together with its map."""
    labels = {entity.casefold(): label for entity, label in reversed(list(entities.items()))}  # Seed-pcc is a seed too
    entity = next((each for each in (OF_HALFPIPE if "feature" in labels else WHAT_IT_SHOWS) if each in labels), None)
    if entity != "component":
        return labels[entity] if entity else None
    # a component is a number, which without the name of its map tells nothing
    return f"{labels['map']}Component{labels[entity]}" if "map" in labels else f"component{labels[entity]}"


def _measure(suffix: str, stat: str | None) -> str | None:
    """Return the measure that a map shows, by its suffix or its statistic; None if it shows something else."""
    if stat is None or stat in STAT_SUFFIXES or stat.casefold() == "coverage":  # the share of a parcel with data
        return None
    return stat if suffix == "boldmap" or stat.casefold() in MEASURES else None


def conditions_of(images: Iterable[ImageFile]) -> list[str]:
    """Return the conditions of images, each once, in natural order."""
    return sorted({image.condition for image in images if image.condition is not None}, key=natural)


def tally(images: Iterable[ImageFile], entity: str) -> str:
    """Return how many images have each label of an entity, as text for a message."""
    counts = Counter(image.label(entity) for image in images)
    absent = counts.pop(None, 0)
    parts = [f"{label} ({counts[label]})" for label in sorted(filter(None, counts), key=natural)]
    return ", ".join(
        [*([listed(parts)] if parts else []), *([f"no {entity} in the name ({absent})"] if absent else [])]
    )
