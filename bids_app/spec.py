"""What the user asked: command-line options and model file, validated, with their defaults."""

from __future__ import annotations

import difflib
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.alias_generators import to_pascal

from bids_app.errors import MissingPathError, ModelError

Sided = Literal["two", "positive", "negative"]
ErrorTerm = Literal["partitioned", "pooled"]
Sphericity = Literal["none", "greenhouse-geisser", "huynh-feldt"]
Enhancement = Literal["voxel", "cluster-size", "cluster-mass", "tfce"]
Correction = Literal["uncorrected", "bonferroni", "fdr"]
AtlasName = Literal["aal", "desikan_killiany", "harvard_oxford"]

Result = TypeVar("Result")
Schema = TypeVar("Schema", bound=BaseModel)

LEVELS = ("Run", "Session", "Subject", "Dataset")
TOOL = "grouplevel"
MAX_PROBLEMS = 8
CELL_FIELD = re.compile(r"\{([^{}]*)\}")
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
}
EXPECTED |= dict.fromkeys(("list_type", "tuple_type"), "a list")
EXPECTED |= dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "a JSON object")
# Keys that take several kinds of value, where pydantic would report one error for each kind.
EXPECTED_OF_MIXED = {
    "Weights": 'a list of numbers or fractions such as "1/6", or for F a list of such lists',
    "X": "a name",
    "ConditionList": "a name",
    "Effects": '"all" or a list of names',
}
HINTS = {("ClusterFormingP", "less_than_equal"): '; name a lower bar as a statistic: "ClusterFormingT": 1.5'}


def _shown(value: object) -> str:
    """Write a value as it would stand in the file, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _at(place: str, text: str) -> str:
    """Put the place before the message; the top of the file has none."""
    return f"{place}: {text}" if place else text


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Find the known name that the word was probably meant to be, or None when nothing is near."""
    names = {name.casefold(): name for name in known}
    folded = word.casefold()
    close = difflib.get_close_matches(folded, names, n=1, cutoff=0.6)
    starts = [name for name in names if folded and (folded.startswith(name) or name.startswith(folded))]
    return next((names[name] for name in [*close, *starts]), None)


def _instead(word: str, known: Iterable[str]) -> str:
    """End a message about an unknown name with the nearest one, or else with all."""
    names = list(known)
    near = nearest(word, names)
    return f"; did you mean {_shown(near)}?" if near else f"; expected one of {', '.join(names)}"


def _repeated(values: Iterable[str]) -> list[str]:
    """List the values that occur more than once."""
    return [value for value, count in Counter(values).items() if count > 1]


def _distinct(key: Callable[[Any], str] = str) -> AfterValidator:
    """Make a validator that refuses a list in which two values share a key."""

    def check(values: tuple[Any, ...]) -> tuple[Any, ...]:
        if repeated := _repeated(key(value) for value in values):
            raise ValueError(f"{_shown(repeated[0])} stands there twice; once is enough")
        return values

    return AfterValidator(check)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line asked for."""

    bids_dir: Path
    output_dir: Path
    model: Path
    derivatives: tuple[tuple[str | None, Path], ...] = ()  # name, folder
    maps: Path | None = None  # table that takes the place of discovery
    participant_label: tuple[str, ...] = ()  # without sub-; here and below, empty means all
    session_label: tuple[str, ...] = ()
    task_id: tuple[str, ...] = ()
    space: str | None = None  # keeps the maps of this space, or declares it where names have none
    bids_filter_file: Path | None = None
    mask: Path | None = None  # goes before the model's own
    n_jobs: int = 1
    node: tuple[str, ...] = ()
    random_seed: int = 0
    dry_run: bool = False
    skip_bids_validation: bool = False
    verbosity: int = 0  # -1 quiet, 0 normal, 1 and above: verbose


class Settings(BaseModel):
    """Base of the JSON objects below: frozen, no unknown keys, keys in PascalCase."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_pascal,
        populate_by_name=True,
        use_attribute_docstrings=True,
        field_title_generator=lambda name, _: to_pascal(name),
        allow_inf_nan=False,
    )


Text = Annotated[str, Field(min_length=1)]
Filters = dict[str, Annotated[tuple[Text, ...], Field(min_length=1)]]
Effects = Literal["all"] | tuple[Text, ...]
Alpha = Annotated[float, Field(gt=0, lt=1)]


class FactorSettings(Settings):
    """A within-subject factor."""

    name: Text
    """Name of the factor, as it stands in CellName and in the names of effects."""
    levels: Annotated[tuple[Text, ...], Field(min_length=2), _distinct()]
    """Levels, spelt as they stand in the names of the conditions."""

    @field_validator("name")
    @classmethod
    def _fits_into_effects(cls, name: str) -> str:
        """Keep the signs that mark interactions and fields out of factor names."""
        if set(name) & set(":{}"):
            raise ValueError(f'the name of a factor holds no ":", "{{" or "}}"; found {_shown(name)}')
        return name


class ParametricSettings(Settings):
    """A parametric threshold."""

    correction: Correction
    """Correction for many voxels: none, Bonferroni, or the false discovery rate (Benjamini-Hochberg)."""
    alpha: Alpha = 0.05
    """Level of the corrected p-value."""
    extent: Annotated[int, Field(ge=0)] = 0
    """Smallest cluster that is kept, in voxels; descriptive, it has no p-value."""


class PermutationSettings(Settings):
    """Familywise correction by shuffling."""

    n: Annotated[int, Field(ge=1)] = 5000
    """Number of shuffles, the observed one included; fewer where fewer are distinct."""
    statistics: Annotated[tuple[Enhancement, ...], Field(min_length=1), _distinct()] = (
        "voxel",
        "cluster-size",
        "cluster-mass",
        "tfce",
    )
    """What is maximised over the mask; each is corrected on its own."""
    cluster_forming_p: Annotated[float, Field(gt=0, le=0.05)] = 0.001
    """Voxels form clusters where t or F lies beyond that of this uncorrected one-tailed p."""
    cluster_forming_t: Annotated[float, Field(gt=0)] | None = None
    """The same bar as a t or F; where it is given, ClusterFormingP is not used."""
    connectivity: Literal[6, 18, 26] = 26
    """Neighbours of a voxel: over faces; and edges; and corners."""
    shuffle: Literal["auto", "sign-flip"] = "auto"
    """What moves; "auto" follows from the hypothesis."""
    alpha: Alpha = 0.05
    """Level of the familywise p-value."""


class ReportSettings(Settings):
    """Tables and figures."""

    atlases: Annotated[tuple[AtlasName, ...], _distinct()] = ("aal", "desikan_killiany", "harvard_oxford")
    """Atlases that label peaks and clusters."""
    min_extent: Annotated[int, Field(ge=1)] = 1
    """Smallest cluster in the tables, in voxels; the others are counted."""
    min_distance: Annotated[float, Field(ge=0)] = 8.0
    """Least distance between two peaks of a cluster, in mm."""
    interactive: bool = True
    """Whether the report has maps that can be turned and scrolled."""


class ContrastSettings(Settings):
    """Settings of one contrast."""

    name: Text
    """Name of a contrast of the node, or of an effect."""
    sided: Sided | None = None
    """Sidedness of this contrast; null: the node's. F is always "positive"."""


class GroupLevelSettings(Settings):
    """Settings of bids-grouplevel: the block Model.Software.grouplevel of a Dataset node."""

    select: Filters = {"stat": ("effect",)}
    """Keeps maps by entities of their names, condition or stat; stat is ["effect"] unless named here."""
    factors: Annotated[tuple[FactorSettings, ...], _distinct(attrgetter("name"))] = ()
    """Within-subject factors, the slowest first."""
    cell_name: Annotated[str | None, Field(validate_default=True)] = None
    """How levels make the name of a condition in X: "{presentation}{stimulus}", say; needed with Factors."""
    effects: Effects = "all"
    """Effects tested by F: "all" main effects and interactions, or a list such as ["a", "a:b"]."""
    error_term: ErrorTerm = "partitioned"
    """Error of within-subject effects: of their own scores, or pooled over all of them."""
    sphericity: Sphericity = "greenhouse-geisser"
    """Correction of the degrees of freedom of F with several dimensions."""
    missing: Literal["error"] = "error"
    """What a subject without all conditions does: it stops the run."""
    runs: Literal["average"] = "average"
    """What several runs of a condition become: their average."""
    sided: Sided = "two"
    """Sidedness of t, for parametric and permutation results alike."""
    parametric: Annotated[tuple[ParametricSettings, ...], _distinct(attrgetter("correction"))] = (
        ParametricSettings(correction="bonferroni"),
        ParametricSettings(correction="fdr"),
        ParametricSettings(correction="uncorrected", alpha=0.001, extent=20),
    )
    """Parametric thresholds, one for each correction."""
    permutation: PermutationSettings | None = PermutationSettings()
    """Familywise correction by shuffling; null: none."""
    report: ReportSettings = ReportSettings()
    """What the tables and figures show."""
    contrasts: Annotated[tuple[ContrastSettings, ...], _distinct(attrgetter("name"))] = ()
    """Settings of single contrasts."""

    @field_validator("select")
    @classmethod
    def _reads_effects(cls, select: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        """Keep to effect maps unless another kind is asked for by name."""
        return {"stat": ("effect",)} | select

    @field_validator("cell_name")
    @classmethod
    def _names_each_cell(cls, cell_name: str | None, info: ValidationInfo) -> str | None:
        """Check the pattern against the factors, where these are sound."""
        if "factors" in info.data:
            _check_cell_name(cell_name, info.data["factors"])
        return cell_name

    @field_validator("effects")
    @classmethod
    def _in_factor_order(cls, effects: Effects, info: ValidationInfo) -> Effects:
        """Write each effect in the order of the factors."""
        if effects == "all" or "factors" not in info.data:
            return effects
        ordered = tuple(":".join(_effect(name, info.data["factors"])) for name in effects)
        if repeated := _repeated(ordered):
            raise ValueError(f"the effect {_shown(repeated[0])} stands there twice; once is enough")
        return ordered


@dataclass(frozen=True, slots=True)
class ContrastSpec:
    """One contrast as the model states it."""

    name: str
    test: Literal["t", "F"]
    conditions: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]  # one row for t, one or more for F; a weight per condition
    sided: Sided  # F: always "positive"
    where: str  # place in the file, for messages: Nodes[0].Contrasts[1]

    def __post_init__(self) -> None:
        """Hold weights and conditions together."""
        if any(len(row) != len(self.conditions) for row in self.weights):
            raise ValueError("every row of weights needs one weight per condition")


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One Dataset node of the model."""

    name: str
    conditions: tuple[str, ...]  # the conditions in X, in the order of X
    has_subject: bool  # whether "subject" stands in X
    contrasts: tuple[ContrastSpec, ...]  # explicit ones only; see effect_names for the others
    settings: GroupLevelSettings
    mask_filter: dict[str, tuple[str, ...]] | None = None  # Options.Mask
    where: str = "Nodes[0]"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The model file."""

    name: str
    input: dict[str, tuple[str, ...]]
    nodes: tuple[NodeSpec, ...]
    document: dict[str, Any]  # the JSON as it was run: spellings put right, our defaults filled in
    notes: tuple[str, ...] = field(default=())  # log lines: spellings put right, nodes not run


def read_model(path: Path) -> ModelSpec:
    """Read and check a BIDS Stats Model.

    Parameters
    ----------
    path : Path
        The JSON file.

    Returns
    -------
    ModelSpec
        Its Dataset nodes, with every default filled in.

    Raises
    ------
    MissingPathError
        If there is no such file.
    ModelError
        If it is not JSON, not a BIDS Stats Model, or asks for what is wrong or not done here. The message
        has a line for each problem, led by its place in the file.
    """
    text = _read_text(path)
    try:
        return _model(_parse(text))
    except json.JSONDecodeError as error:
        raise ModelError(f"{path}, line {error.lineno}, column {error.colno}: not JSON: {error.msg}.") from error
    except ModelError as error:
        raise ModelError(_listed(path, str(error).splitlines())) from error


def factor_cells(settings: GroupLevelSettings) -> dict[str, tuple[str, ...]]:
    """Map each condition that is a cell of the factors to its level of each factor, in factor order.

    The last factor changes fastest; without factors there are no cells.
    """
    if not settings.factors or settings.cell_name is None:
        return {}
    return dict(_cells(settings.cell_name, settings.factors))


def effect_names(settings: GroupLevelSettings) -> tuple[tuple[str, ...], ...]:
    """List the effects to generate, each as the factors that it involves, in factor order.

    "all" is main effects first, then interactions of two, three and more factors.
    """
    if settings.effects != "all":
        return tuple(_effect(name, settings.factors) for name in settings.effects)
    names = [factor.name for factor in settings.factors]
    sizes = range(1, len(names) + 1)
    return tuple(effect for size in sizes for effect in itertools.combinations(names, size))


def json_schema() -> dict[str, Any]:
    """Give the JSON Schema of the block Model.Software.grouplevel, for editors."""
    schema = GroupLevelSettings.model_json_schema(by_alias=True)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {**head, **schema, "title": "bids-grouplevel settings"}


def _cells(cell_name: str, factors: Sequence[FactorSettings]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Form the name of every combination of levels."""
    for levels in itertools.product(*(factor.levels for factor in factors)):
        level_of = {factor.name: level for factor, level in zip(factors, levels, strict=True)}
        # Every second piece is the name of a factor.
        pieces = enumerate(CELL_FIELD.split(cell_name))
        yield "".join(level_of[piece] if index % 2 else piece for index, piece in pieces), levels


def _check_cell_name(cell_name: str | None, factors: Sequence[FactorSettings]) -> None:
    """Refuse a pattern without every factor once, with anything else, or with one name for two cells."""
    wanted = [factor.name for factor in factors]
    if cell_name is None or not wanted:
        if wanted:
            raise ValueError(f"needed with Factors, such as {_shown(''.join(f'{{{name}}}' for name in wanted))}")
        if cell_name is not None:
            raise ValueError("there are no Factors for it to name")
        return
    found = CELL_FIELD.findall(cell_name)
    for name in found:
        if name not in wanted:
            raise ValueError(f"{_shown(f'{{{name}}}')} is not a factor{_instead(name, wanted)}")
    if sorted(found) != sorted(wanted) or set("{}") & set(CELL_FIELD.sub("", cell_name)):
        raise ValueError(f"expected each of {', '.join(f'{{{name}}}' for name in wanted)} once")
    if repeated := _repeated(name for name, _ in _cells(cell_name, factors)):
        raise ValueError(f"two cells get the name {_shown(repeated[0])}; put a sign between the levels")


def _effect(name: str, factors: Sequence[FactorSettings]) -> tuple[str, ...]:
    """Split the name of an effect into its factors and put them in order."""
    known = [factor.name for factor in factors]
    parts = name.split(":")
    if not known:
        raise ValueError(f"{_shown(name)} needs Factors, and there are none")
    for part in parts:
        if part not in known:
            raise ValueError(f"{_shown(name)}: no factor is called {_shown(part)}{_instead(part, known)}")
    if _repeated(parts):
        raise ValueError(f"{_shown(name)} names a factor twice")
    return tuple(sorted(parts, key=known.index))


def _read_text(path: Path) -> str:
    """Read the file, with or without a byte order mark."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        state = "a link to content that is not here (fetch it)" if path.is_symlink() else "no such file"
        raise MissingPathError(f"{path}: {state}; expected a BIDS Stats Model (JSON)") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: not UTF-8 text, which JSON is (byte {error.start})") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error


def _parse(text: str) -> dict[str, Any]:
    """Make objects of JSON text; a key that stands twice is refused, where JSON would keep the last."""

    def as_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if repeated := _repeated(key for key, _ in pairs):
            raise ModelError(f"the key {_shown(repeated[0])} stands twice in one object; keep one")
        return dict(pairs)

    document = json.loads(text, object_pairs_hook=as_object)
    if not isinstance(document, dict):
        raise ModelError(f"expected a JSON object; found {_shown(document)}")
    return document


def _listed(path: Path, problems: list[str]) -> str:
    """Write problems under the name of the file."""
    if len(problems) == 1:
        return f"{path}: {problems[0]}"
    more = [f"and {len(problems) - MAX_PROBLEMS} more"] if len(problems) > MAX_PROBLEMS else []
    return "\n  ".join([f"{path}: {len(problems)} problems", *problems[:MAX_PROBLEMS], *more])


def _refuse(problems: Iterable[str]) -> None:
    """Stop if there is any problem."""
    if lines := list(problems):
        raise ModelError("\n".join(lines))


def _gather(tasks: Iterable[Callable[[], Result]]) -> tuple[Result, ...]:
    """Do every task, and only then stop with the problems of all."""
    results: list[Result] = []
    problems: list[str] = []
    for task in tasks:
        try:
            results.append(task())
        except ModelError as error:
            problems += str(error).splitlines()
    _refuse(problems)
    return tuple(results)


def _model(document: dict[str, Any]) -> ModelSpec:
    """Check the document stage by stage: spelling, keys, kinds of values, meaning."""
    from bsmschema.models import BIDSStatsModel  # costs 0.3 s, which --help must not pay

    notes = _put_right(document)
    strict = _without_other_levels(document)
    _refuse([*_unknown_keys(strict, BIDSStatsModel, ""), *_wrong_blocks(strict)])
    _validated(BIDSStatsModel, strict, "")
    _refuse([*_wrong_filters(document.get("Input"), "Input"), *_wrong_graph(document)])
    nodes = [(place, node) for place, node in _objects(document, "Nodes") if node["Level"] == "Dataset"]
    settings = _gather(partial(_settings, node, place) for place, node in nodes)
    specs = _gather(partial(_node, *pair, block) for pair, block in zip(nodes, settings, strict=True))
    for (_, node), block in zip(nodes, settings, strict=True):
        software = node["Model"].get("Software") or {}
        node["Model"]["Software"] = {**software, TOOL: block.model_dump(by_alias=True, mode="json")}
    notes += [*_graph_notes(document), *itertools.chain.from_iterable(map(_node_notes, specs))]
    return ModelSpec(document["Name"], _filters(document.get("Input")), specs, document, tuple(notes))


def _dig(value: Any, *keys: str) -> Any:  # noqa: ANN401
    """Follow keys into nested objects; None where one is absent or not an object."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _objects(parent: dict[str, Any], key: str, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Pass through the objects of a list, each with its place; the schema refuses what is none."""
    items = parent.get(key)
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict):
            yield f"{place}{key}[{index}]", item


def _put_right(document: dict[str, Any]) -> list[str]:
    """Change lenient spellings to strict ones, in place, and say so."""
    notes = _as_filters(document.get("Input"), "Input")
    for place, edge in _objects(document, "Edges"):
        notes += _as_filters(edge.get("Filter"), f"{place}.Filter")
    for place, node in _objects(document, "Nodes"):
        notes += _respelt(node, "Level", LEVELS, place)
        if node.get("Level") != "Dataset":
            continue
        model = node.get("Model")
        notes += _respelt(model, "Type", ("glm", "meta"), f"{place}.Model")
        notes += _as_filters(_dig(model, "Options", "Mask"), f"{place}.Model.Options.Mask")
        notes += _as_filters(_dig(model, "Software", TOOL, "Select"), f"{place}.Model.Software.{TOOL}.Select")
        for where, contrast in _objects(node, "Contrasts", f"{place}."):
            notes += _as_one_row(contrast, where)
    return notes


def _respelt(parent: Any, key: str, words: Sequence[str], place: str) -> list[str]:  # noqa: ANN401
    """Give a word its proper case."""
    found = _dig(parent, key)
    for word in words:
        if isinstance(found, str) and found != word and found.casefold() == word.casefold():
            parent[key] = word
            return [f"{place}.{key}: {_shown(found)} read as {_shown(word)}"]
    return []


def _as_filters(filters: Any, place: str) -> list[str]:  # noqa: ANN401
    """Make every value a list of texts."""
    notes = []
    for entity, found in filters.items() if isinstance(filters, dict) else ():
        values = found if isinstance(found, list) else [found]
        proper = [str(v) if isinstance(v, int | float) and not isinstance(v, bool) else v for v in values]
        if found != proper:
            filters[entity] = proper
            notes.append(f"{place}.{entity}: {_shown(found)} read as {_shown(proper)}")
    return notes


def _as_one_row(contrast: dict[str, Any], place: str) -> list[str]:
    """Take the only row of a t contrast out of its list."""
    weights = contrast.get("Weights")
    rows = weights if isinstance(weights, list) else []
    if contrast.get("Test") != "t" or len(rows) != 1 or not isinstance(rows[0], list):
        return []
    contrast["Weights"] = rows[0]
    return [f"{place}.Weights: a list of one row read as that row"]


def _without_other_levels(document: dict[str, Any]) -> dict[str, Any]:
    """Replace nodes that are not run by the least that is valid: how they are written is not our business."""
    if not isinstance(document.get("Nodes"), list):
        return document
    least = {"GroupBy": [], "Model": {"Type": "glm", "X": []}}
    nodes = [
        least | {key: node[key] for key in ("Level", "Name") if key in node}
        if _dig(node, "Level") in LEVELS[:-1]
        else node
        for node in document["Nodes"]
    ]
    return {**document, "Nodes": nodes}


def _unknown_keys(value: Any, schema: type[BaseModel], place: str) -> Iterator[str]:  # noqa: ANN401
    """Compare the keys of an object, or of the objects in a list, with the fields of its schema."""
    for index, item in enumerate(value if isinstance(value, list) else ()):
        yield from _unknown_keys(item, schema, f"{place}[{index}]")
    known = {info.alias or name: info.annotation for name, info in schema.model_fields.items()}
    for key, child in value.items() if isinstance(value, dict) else ():
        if key not in known:
            near = nearest(key, known)
            meant = f" did you mean {_shown(near)}? Known" if near else " known"
            yield _at(place, f"unknown key {_shown(key)};{meant} keys: {', '.join(known)}")
        elif (inner := _object_in(known[key])) is not None:
            yield from _unknown_keys(child, inner, f"{place}.{key}" if place else key)


def _object_in(annotation: object) -> type[BaseModel] | None:
    """Find the object that a field may hold, inside Optional, list or tuple."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _object_in(part))), None)


def _wrong_blocks(document: dict[str, Any]) -> Iterator[str]:
    """Check the keys of our own blocks, and find blocks that were meant to be ours."""
    for node_place, node in _objects(document, "Nodes"):
        place = f"{node_place}.Model.Software"
        software = _dig(node, "Model", "Software")
        for tool in software if isinstance(software, dict) else ():
            folded = re.sub(r"[^a-z]|bids", "", tool.casefold())
            if tool == TOOL:
                yield from _unknown_keys(software[tool], GroupLevelSettings, f"{place}.{tool}")
            elif difflib.get_close_matches(folded, [TOOL], cutoff=0.8):
                yield f"{place}: unknown key {_shown(tool)}; did you mean {_shown(TOOL)}?"


def _validated(schema: type[Schema], value: Any, place: str) -> Schema:  # noqa: ANN401
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
        return _at(place, f"the key {_shown(rest[0])} is missing")
    if kind == "value_error":  # of a default it names the attribute, not the key
        return _at(".".join([place, *map(to_pascal, rest)]), str(context["error"]))
    wanted = EXPECTED[kind].format(**context) if kind in EXPECTED else detail["msg"]
    wanted = wanted.removeprefix("Input should be ").replace("'", '"')
    if rest:
        wanted = EXPECTED_OF_MIXED.get(key, wanted)
    return _at(place, f"expected {wanted}; found {_shown(value)}{HINTS.get((key, kind), '')}")


def _wrong_graph(document: dict[str, Any]) -> Iterator[str]:
    """Check what holds the nodes together: names, levels, edges."""
    nodes = [node for _, node in _objects(document, "Nodes")]
    levels = {node["Name"]: node["Level"] for node in nodes}
    for place, node in _objects(document, "Nodes"):
        if not node["Name"].strip():
            yield f"{place}.Name: empty; results are filed under the name of their node"
    for name in _repeated(node["Name"] for node in nodes):
        yield f"Nodes: two nodes are called {_shown(name)}; give each its own name"
    if "Dataset" not in levels.values():
        found = ", ".join(sorted(set(levels.values()))) or "none"
        yield f'Nodes: no node of level "Dataset", which is what this app runs; levels found: {found}'
    for place, edge in _objects(document, "Edges"):
        for end in ("Source", "Destination"):
            if edge[end] not in levels:
                yield f"{place}.{end}: no node is called {_shown(edge[end])}{_instead(edge[end], levels)}"
        if levels.get(edge["Source"]) == levels.get(edge["Destination"]) == "Dataset":
            yield f"{place}: Dataset nodes read first-level maps, not each other's results; take the edge out"


def _graph_notes(document: dict[str, Any]) -> Iterator[str]:
    """Tell what of the file is not run or not used."""
    version = document["BIDSModelVersion"]
    if not version.startswith("1.0"):
        yield f"BIDSModelVersion: {_shown(version)} is taken for 1.0.0"
    run = []
    for place, node in _objects(document, "Nodes"):
        if node["Level"] == "Dataset":
            run.append(node["Name"])
        else:
            yield f"{place}: {_shown(node['Name'])} is of level {node['Level']} and is not run"
    for place, edge in _objects(document, "Edges"):
        for entity in edge.get("Filter") or () if edge["Destination"] in run else ():
            chooser = "X chooses the conditions" if entity == "contrast" else f"Software.{TOOL}.Select does that"
            yield f"{place}.Filter.{entity}: not used; {chooser}"


def _settings(node: dict[str, Any], place: str) -> GroupLevelSettings:
    """Read the node's block; every setting has a default, so it may be absent."""
    block = _dig(node, "Model", "Software", TOOL)
    return _validated(GroupLevelSettings, {} if block is None else block, f"{place}.Model.Software.{TOOL}")


def _node(place: str, node: dict[str, Any], settings: GroupLevelSettings) -> NodeSpec:
    """Read one Dataset node."""
    x = node["Model"]["X"]
    mask = _dig(node, "Model", "Options", "Mask")
    wrong_mask = _wrong_filters(mask, f"{place}.Model.Options.Mask")
    _refuse([*_not_done(node, place), *_wrong_x(x, f"{place}.Model.X"), *wrong_mask])
    conditions = tuple(name for name in x if name != "subject")
    entries = _objects(node, "Contrasts", f"{place}.")
    contrasts = _gather(partial(_contrast, entry, where, conditions, settings) for where, entry in entries)
    _refuse(_wrong_names(place, conditions, contrasts, settings))
    return NodeSpec(
        name=node["Name"],
        conditions=conditions,
        has_subject="subject" in x,
        contrasts=contrasts,
        settings=settings,
        mask_filter=_filters(mask) if mask else None,
        where=place,
    )


def _not_done(node: dict[str, Any], place: str) -> Iterator[str]:
    """Refuse what would change the numbers and is not done here."""
    each = "name the conditions in X and write one t contrast each"
    if node["GroupBy"]:
        instead = each if node["GroupBy"] == ["contrast"] else "choose the maps of each group by Select"
        yield f"{place}.GroupBy: this version fits all maps of a node together; write [], and {instead}"
    if node["Model"]["Type"] != "glm":
        yield f'{place}.Model.Type: this version does no meta-analysis; write "glm" if a GLM is meant'
    advice = {
        "Transformations": "take them out; X names conditions, and their maps are used as they are",
        "DummyContrasts": each,
        "Model.Formula": "take it out; X and Factors describe the design",
        "Model.HRF": "take it out; it belongs to the run level",
    }
    for keys, instead in advice.items():
        if _dig(node, *keys.split(".")) is not None:
            yield f"{place}.{keys}: not done by this version; {instead}"
    for key, value in (node["Model"].get("Options") or {}).items():
        if key not in ("Mask", "Description") and value not in (None, "none"):
            yield f"{place}.Model.Options.{key}: not done at the group level; take it out (Mask may stay)"


def _wrong_x(x: list[Any], place: str) -> Iterator[str]:
    """Check the names in X."""
    for index, name in enumerate(x):
        if not isinstance(name, str):
            yield f"{place}[{index}]: this version has no intercept; name the condition instead of 1"
        elif not name.strip() or set(name) & set("*?"):
            yield f'{place}[{index}]: expected the name of a condition, or "subject"; found {_shown(name)}'
    for name in _repeated(map(str, x)):
        yield f"{place}: {_shown(name)} stands there twice; once is enough"
    if set(x) <= {"subject"}:
        yield f"{place}: expected the names of conditions; found {_shown(x)}"


def _contrast(
    entry: dict[str, Any], place: str, conditions: Sequence[str], settings: GroupLevelSettings
) -> ContrastSpec:
    """Read one explicit contrast."""
    _refuse([*_wrong_test(entry, place), *_wrong_conditions(entry["ConditionList"], conditions, place)])
    names, weights = tuple(entry["ConditionList"]), entry["Weights"]
    rows = {f"{place}.Weights": weights}
    if weights and isinstance(weights[0], list):
        rows = {f"{place}.Weights[{index}]": row for index, row in enumerate(weights)}
    if entry["Test"] == "t" and len(rows) > 1:
        raise ModelError(f'{place}.Weights: a t has one row; found {len(rows)}; write "Test": "F" for them all')
    numbers = _gather(partial(_row, row, len(names), where) for where, row in rows.items())
    own = {contrast.name: contrast.sided for contrast in settings.contrasts}
    sided = "positive" if entry["Test"] == "F" else own.get(entry["Name"]) or settings.sided
    return ContrastSpec(entry["Name"], entry["Test"], names, numbers, sided, place)


def _wrong_test(entry: dict[str, Any], place: str) -> Iterator[str]:
    """Check name and test of a contrast."""
    if not entry["Name"].strip():
        yield f"{place}.Name: empty; results are filed under the name of their contrast"
    if entry["Test"] == "pass":
        yield f'{place}.Test: "pass" tests nothing, and nothing follows the group level; write "t" or "F"'


def _wrong_conditions(names: list[Any], conditions: Sequence[str], place: str) -> Iterator[str]:
    """Check the names that the weights belong to."""
    if not names:
        yield f"{place}.ConditionList: empty; expected names from X"
    for index, name in enumerate(names):
        where = f"{place}.ConditionList[{index}]"
        if name == "subject":
            yield f'{where}: "subject" is no condition and takes no weight; take it out'
        elif name not in conditions:
            yield f"{where}: {_shown(name)} is not a condition in X{_instead(str(name), conditions)}"
    for name in _repeated(map(str, names)):
        yield f"{place}.ConditionList: {_shown(name)} stands there twice; add up its weights"


def _row(row: list[Any], length: int, place: str) -> tuple[float, ...]:
    """Read the weights of one row."""
    if len(row) != length:
        raise ModelError(f"{place}: expected {length} weights, one for each name in ConditionList; found {len(row)}")
    numbers = _gather(partial(_number, value, f"{place}[{index}]") for index, value in enumerate(row))
    if not any(numbers):
        raise ModelError(f"{place}: all weights are zero, which tests nothing")
    return numbers


def _number(value: float | str, place: str) -> float:
    """Read a weight, which may be a fraction in text."""
    try:
        number = float(Fraction(value)) if isinstance(value, str) else float(value)
    except (ValueError, ZeroDivisionError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ModelError(f'{place}: expected a number or a fraction such as "1/6"; found {_shown(value)}')
    return number


def _wrong_names(
    place: str, conditions: Sequence[str], contrasts: Sequence[ContrastSpec], settings: GroupLevelSettings
) -> Iterator[str]:
    """Check names that stand in one part of a node and must fit another."""
    block = f"{place}.Model.Software.{TOOL}"
    for name in _repeated(contrast.name for contrast in contrasts):
        yield f"{place}.Contrasts: two contrasts are called {_shown(name)}; give each its own name"
    cells = list(factor_cells(settings))
    if lost := [cell for cell in cells if cell not in conditions]:
        found = f"{len(lost)} of {len(cells)} cells are not in X, first {_shown(lost[0])}"
        yield f"{block}.CellName: {found}{_instead(lost[0], conditions)}"
    effects = effect_names(settings)
    if not contrasts and not effects:
        yield f"{place}: nothing to test; write Contrasts, or Factors in {block.removeprefix(place + '.')}"
    tests = {":".join(effect): "F" for effect in effects} | {each.name: each.test for each in contrasts}
    for index, own in enumerate(settings.contrasts):
        where, name = f"{block}.Contrasts[{index}]", _shown(own.name)
        if own.name not in tests:
            yield f"{where}.Name: no contrast or effect is called {name}{_instead(own.name, tests)}"
        elif tests[own.name] == "F" and own.sided not in (None, "positive"):
            yield f'{where}.Sided: {name} is an F, which is always "positive"; found {_shown(own.sided)}'


def _wrong_filters(filters: dict[str, list[Any]] | None, place: str) -> Iterator[str]:
    """Check lists of entity values."""
    for entity, values in (filters or {}).items():
        if not values or not all(isinstance(value, str) and value for value in values):
            yield f"{place}.{entity}: expected a list of labels; found {_shown(values)}"


def _filters(filters: dict[str, list[str]] | None) -> dict[str, tuple[str, ...]]:
    """Freeze lists of entity values."""
    return {entity: tuple(values) for entity, values in (filters or {}).items()}


def _node_notes(spec: NodeSpec) -> list[str]:
    """Tell which conditions stand outside the factors."""
    cells = factor_cells(spec.settings)
    outside = [name for name in spec.conditions if name not in cells] if cells else []
    return [f"{spec.where}: not a cell of the factors: {', '.join(outside)}"] if outside else []
