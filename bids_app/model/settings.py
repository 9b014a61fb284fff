"""The settings of a node, the block Model.Software.grouplevel of the model file, with their defaults."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from bids_app.console.text import duplicates, nearest, shown, suggestion
from bids_app.model.bound_settings import TrueDiscoveriesSettings, has_what_it_needs
from bids_app.model.map_settings import AtlasName, ParcelSettings, Settings, SmoothingSettings, Text
from bids_app.model.parametric_settings import Alpha, ParametricSettings

Sided = Literal["two", "positive", "negative"]
ErrorTerm = Literal["partitioned", "pooled"]
Sphericity = Literal["none", "greenhouse-geisser", "huynh-feldt", "multivariate"]
Enhancement = Literal["voxel", "cluster-size", "cluster-mass", "tfce"]
EVERY_STATISTIC: tuple[Enhancement, ...] = ("voxel", "cluster-size", "cluster-mass", "tfce")

CELL_FIELD = re.compile(r"\{([^{}]*)\}")


def _distinct(key: Callable[[Any], str] = str) -> AfterValidator:
    """Return a validator that refuses a list in which two values share a key."""

    def check(values: tuple[Any, ...]) -> tuple[Any, ...]:
        if repeated := duplicates(key(value) for value in values):
            raise ValueError(f"{shown(repeated[0])} is listed twice; remove the duplicate")
        return values

    return AfterValidator(check)


def _is_no_operator(column: str) -> str:
    """Refuse names of columns that have another meaning in a contrast or an effect."""
    if ":" in column or column in ("1", "intercept"):
        what = 'holds ":", which joins factors' if ":" in column else "is the name of the intercept"
        raise ValueError(f"{shown(column)} {what}; rename the column in the participants table and here")
    return column


ColumnName = Annotated[Text, AfterValidator(_is_no_operator)]
Filters = dict[str, Annotated[tuple[Text, ...], Field(min_length=1)]]
Effects = Literal["all"] | tuple[Text, ...]


class FactorSettings(Settings):
    """A within-subject factor."""

    name: Text
    """Name of the factor, as used in CellName and in the names of effects."""
    levels: Annotated[tuple[Text, ...], Field(min_length=2), _distinct()]
    """Levels, spelled as in the names of the conditions."""

    @field_validator("name")
    @classmethod
    def _fits_into_effects(cls, name: str) -> str:
        """Refuse names with the characters that mark interactions and fields."""
        if set(name) & set(":{}"):
            raise ValueError(f'the name of a factor may not hold ":", "{{" or "}}"; found {shown(name)}')
        return name


class TfceSettings(Settings):
    """Exponents of threshold-free cluster enhancement."""

    e: Annotated[float, Field(gt=0, le=10)]
    """Of the extent."""
    h: Annotated[float, Field(gt=0, le=10)]
    """Of the height."""


class PermutationSettings(Settings):
    """Familywise correction by permutation (including sign-flips)."""

    n: Annotated[int, Field(ge=1)] = 5000
    """Number of permutations, including the observed one; fewer if fewer are distinct."""
    statistics: Annotated[tuple[Enhancement, ...], Field(min_length=1), _distinct()] = EVERY_STATISTIC
    """Statistics whose maximum over the mask is taken; each is corrected separately."""
    cluster_forming_p: Annotated[float, Field(gt=0, le=0.05)] = 0.001
    """Cluster-forming threshold, as an uncorrected one-tailed p-value of t or F."""
    cluster_forming_t: Annotated[float, Field(gt=0)] | None = None
    """Cluster-forming threshold as a t or F; if given, ClusterFormingP is not used."""
    connectivity: Literal[6, 18, 26] = 26
    """Neighbours of a voxel: those that share a face (6), also an edge (18), also a corner (26)."""
    tfce: Annotated[TfceSettings | None, Field(alias="TFCE", title="TFCE")] = None
    """Exponents of TFCE; null: E 0.5 and H 2 for voxels, whose extents are counted, E 1 and H 2 on surfaces."""
    shuffle: Literal["auto", "sign-flip", "permute", "within", "free"] = "auto"
    """What is permuted: signs, whole subjects, cells within subjects, all maps; "auto" follows from the hypothesis."""
    exchangeability_blocks: Text | None = None
    """Column of participants.tsv with families or sites: subjects are permuted within a block only; null: one block."""
    flip_blocks: bool | None = None
    """Whether whole blocks (families) are sign-flipped, or single subjects (sites); null: blocks, if they are named."""
    alpha: Alpha = 0.05
    """Level of the familywise p-value."""
    across_contrasts: bool = False
    """Whether the maximum is also taken across the contrasts of the node."""
    tail: Literal["gpd"] | None = None
    """Approximation of p-values below 0.10: "gpd", by a generalised Pareto tail of the maxima; null: none."""

    @field_validator("flip_blocks")
    @classmethod
    def _has_blocks(cls, flip_blocks: bool | None, info: ValidationInfo) -> bool | None:  # noqa: FBT001
        """Refuse FlipBlocks without blocks."""
        if flip_blocks is not None and info.data.get("exchangeability_blocks", "") is None:
            raise ValueError("there are no blocks; name their column of participants.tsv by ExchangeabilityBlocks")
        return flip_blocks

    @property
    def flips_whole_blocks(self) -> bool:
        """Whether all subjects of a block change sign together."""
        return self.exchangeability_blocks is not None and self.flip_blocks is not False


class ReportSettings(Settings):
    """Tables and figures."""

    atlases: Annotated[tuple[AtlasName, ...], _distinct()] = ("aal", "desikan_killiany", "harvard_oxford")
    """Atlases that label peaks and clusters."""
    min_extent: Annotated[int, Field(ge=1)] = 1
    """Smallest cluster in the tables, in voxels; smaller ones are only counted."""
    min_distance: Annotated[float, Field(ge=0)] = 8.0
    """Smallest distance between two peaks of a cluster, in mm."""
    interactive: bool = True
    """Whether the report has interactive maps."""
    nilearn: bool = False
    """Whether nilearn's own report of the same design is added."""


class WeightSettings(Settings):
    """Weights over conditions, or over columns of the between-subject design."""

    condition_list: Annotated[tuple[Text, ...], Field(min_length=1), _distinct()]
    """Conditions of X, or columns such as group.patient and age."""
    weights: tuple[float | str, ...] | tuple[tuple[float | str, ...], ...]
    """A weight for each, as a number or a fraction such as "1/3"; for F a list of rows."""


class ContrastSettings(Settings):
    """Settings of one contrast, or a contrast between and within subjects."""

    name: Text
    """Name of a contrast of the node, or of an effect; of this contrast, if it has Within or Between."""
    sided: Sided | None = None
    """Sidedness of this contrast; null: the node's. F is always "positive"."""
    test: Literal["t", "F"] | None = None
    """With Within or Between: t has one row of weights each, F any number."""
    within: WeightSettings | None = None
    """Weights over the conditions; null: their mean."""
    between: WeightSettings | None = None
    """Weights over the columns of the between-subject design; null: the mean over subjects, groups equally weighted."""

    @property
    def is_contrast(self) -> bool:
        """Whether it defines a contrast rather than settings of one defined elsewhere."""
        return self.within is not None or self.between is not None

    @field_validator("between")
    @classmethod
    def _has_a_test(cls, between: WeightSettings | None, info: ValidationInfo) -> WeightSettings | None:
        """Refuse weights without a test."""
        if (between or info.data.get("within")) and "test" in info.data and info.data["test"] is None:
            raise ValueError('a contrast with Within or Between needs "Test": "t" or "F"')
        return between


class GroupLevelSettings(Settings):
    """Settings of bids-grouplevel: the block Model.Software.grouplevel of a Dataset node."""

    select: Filters = {"stat": ("effect",)}  # noqa: RUF012 (pydantic copies it)
    """Selects maps by entities of their names, condition or stat; stat is ["effect"] unless named here."""
    factors: Annotated[tuple[FactorSettings, ...], _distinct(attrgetter("name"))] = ()
    """Within-subject factors, the slowest-varying first."""
    cell_name: Annotated[str | None, Field(validate_default=True)] = None
    """How levels form the name of a condition in X, such as "{presentation}{stimulus}"; needed with Factors."""
    between: Annotated[tuple[ColumnName, ...], _distinct()] = ()
    """Columns of participants.tsv that are between-subject factors, the slowest-varying first."""
    covariates: Annotated[tuple[ColumnName, ...], _distinct()] = ()
    """Columns of participants.tsv that are covariates; text becomes a factor without between-subject interactions."""
    center: Literal["grand", "group", "none"] = "grand"
    """What is subtracted from numeric covariates: their mean, the mean of each group of Between, or nothing."""
    effects: Annotated[Effects, Field(validate_default=True)] = "all"
    """Effects tested by F: "all" main effects and interactions, or a list such as ["a", "a:b"]."""
    error_term: ErrorTerm = "partitioned"
    """Error of within-subject effects: that of the effect itself, or pooled over all of them."""
    sphericity: Sphericity = "greenhouse-geisser"
    """Correction of the df of F with several dimensions; "multivariate": Hotelling's T2 or Wilks' lambda instead."""
    variance_groups: Text | None = None
    """Column of participants.tsv whose groups have separate variances: Welch's t and F, and sign-flipped residuals."""
    missing: Literal["error", "drop"] = "error"
    """Subjects without all conditions: an error, or excluded from the contrasts that need the missing maps."""
    voxel_coverage: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Smallest share of the subjects who must have a voxel; below 1, subjects differ by voxel: no permutation."""
    runs: Literal["average"] = "average"
    """How several runs of a condition are combined: averaged."""
    sessions: Literal["error", "average", "condition"] = "error"
    """Several sessions of a condition: an error, averaged, or conditions of their own, named condition.session."""
    against: float | None = None
    """Subtracted from every map, such as the chance level of a decoding accuracy; null: nothing."""
    smoothing: SmoothingSettings | None = None
    """Smoothing of every map inside the mask, normalised at its edge; null: none."""
    parcels: ParcelSettings | None = None
    """Averages every map over the regions of an atlas, which are then analysed in place of voxels; null: none."""
    sided: Sided = "two"
    """Sidedness of t, for parametric and permutation results."""
    parametric: Annotated[tuple[ParametricSettings, ...], _distinct(attrgetter("correction"))] = (
        ParametricSettings(correction="bonferroni"),
        ParametricSettings(correction="fdr"),
        ParametricSettings(correction="uncorrected", alpha=0.001, extent=20),
    )
    """Parametric thresholds, one for each correction."""
    permutation: PermutationSettings | None = PermutationSettings()
    """Familywise correction by permutation; null: none."""
    true_discoveries: Annotated[TrueDiscoveriesSettings | None, AfterValidator(has_what_it_needs)] = (
        TrueDiscoveriesSettings()
    )
    """Lower bounds on how many voxels of each cluster have an effect; null: none."""
    report: ReportSettings = ReportSettings()
    """What the tables and figures show."""
    contrasts: Annotated[tuple[ContrastSettings, ...], _distinct(attrgetter("name"))] = ()
    """Settings of single contrasts."""

    @property
    def connectivity(self) -> int:
        """Neighbours of a voxel, that of the permutation test; its default where there is none."""
        return (self.permutation or PermutationSettings()).connectivity

    @field_validator("select")
    @classmethod
    def _reads_effects(cls, select: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        """Keep to effect maps unless another kind is asked for by name."""
        return {"stat": ("effect",)} | select

    @field_validator("cell_name")
    @classmethod
    def _names_each_cell(cls, cell_name: str | None, info: ValidationInfo) -> str | None:
        """Check the pattern against the factors, if these are valid."""
        if "factors" in info.data:
            _check_cell_name(cell_name, info.data["factors"])
        return cell_name

    @field_validator("effects")
    @classmethod
    def _in_factor_order(cls, effects: Effects, info: ValidationInfo) -> Effects:
        """Write each effect in the order of the factors."""
        if not {"factors", "between", "covariates"} <= info.data.keys():
            return effects
        known = _effect_parts(info.data["factors"], info.data["between"], info.data["covariates"])
        if repeated := duplicates(known):
            raise ValueError(_name_twice(repeated[0], info.data["factors"], info.data["between"]))
        if effects == "all":
            return effects
        ordered = tuple(":".join(_effect(name, known, info.data["covariates"])) for name in effects)
        if repeated := duplicates(ordered):
            raise ValueError(f"the effect {shown(repeated[0])} is listed twice; remove the duplicate")
        return ordered


def factor_cells(settings: GroupLevelSettings) -> dict[str, tuple[str, ...]]:
    """Return the level of each factor, in factor order, for each condition that is a cell of the factors.

    The last factor varies fastest; without factors there are no cells.
    """
    if not settings.factors or settings.cell_name is None:
        return {}
    return dict(_cells(settings.cell_name, settings.factors))


def effect_names(settings: GroupLevelSettings) -> tuple[tuple[str, ...], ...]:
    """Return the effects to test, each as the factors that it involves, between-subject factors first.

    "all" gives main effects first, then interactions of two, three and more factors, then each covariate, by itself and
    with the within-subject factors.
    """
    parts = _effect_parts(settings.factors, settings.between, settings.covariates)
    if settings.effects != "all":
        return tuple(_effect(name, parts, settings.covariates) for name in settings.effects)
    within = [factor.name for factor in settings.factors]
    effects = _combinations([*settings.between, *within])
    for name in settings.covariates:  # interacts with every within-subject effect, and with a group where asked to
        effects += [(name,), *((name, *effect) for effect in _combinations(within))]
    return tuple(effects)


def has_slope_of_each_group(settings: GroupLevelSettings, covariate: str) -> bool:
    """Return whether an effect compares the slope of a covariate between groups, such as group:age."""
    return any(covariate in effect and {*effect} & {*settings.between} for effect in effect_names(settings))


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the block Model.Software.grouplevel, for editors."""
    schema = GroupLevelSettings.model_json_schema(by_alias=True)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {**head, **schema, "title": "bids-grouplevel settings"}


def _cells(cell_name: str, factors: Sequence[FactorSettings]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the name of every combination of levels, with the levels."""
    for levels in itertools.product(*(factor.levels for factor in factors)):
        level_of = {factor.name: level for factor, level in zip(factors, levels, strict=True)}
        # Every second piece is the name of a factor.
        pieces = enumerate(CELL_FIELD.split(cell_name))
        yield "".join(level_of[piece] if index % 2 else piece for index, piece in pieces), levels


def _check_cell_name(cell_name: str | None, factors: Sequence[FactorSettings]) -> None:
    """Raise ValueError for a pattern that lacks or repeats a factor, has other fields, or gives two cells one name."""
    wanted = [factor.name for factor in factors]
    if cell_name is None or not wanted:
        if wanted:
            raise ValueError(f"needed with Factors, such as {shown(''.join(f'{{{name}}}' for name in wanted))}")
        if cell_name is not None:
            raise ValueError("there are no Factors for it to name")
        return
    found = CELL_FIELD.findall(cell_name)
    for name in found:
        if name not in wanted:
            raise ValueError(f"{shown(f'{{{name}}}')} is not a factor{suggestion(name, wanted)}")
    if sorted(found) != sorted(wanted) or set("{}") & set(CELL_FIELD.sub("", cell_name)):
        raise ValueError(f"expected each of {', '.join(f'{{{name}}}' for name in wanted)} once")
    if repeated := duplicates(name for name, _ in _cells(cell_name, factors)):
        raise ValueError(f"two cells get the name {shown(repeated[0])}; put a separator between the levels")


def _effect_parts(factors: Sequence[FactorSettings], between: Sequence[str], covariates: Sequence[str]) -> list[str]:
    """Return the names that an effect may consist of, in their order."""
    return [*between, *covariates, *(factor.name for factor in factors)]


def _name_twice(name: str, factors: Sequence[FactorSettings], between: Sequence[str]) -> str:
    """Return the message for a name that two effects would share."""
    if name not in {factor.name for factor in factors}:
        return f"{shown(name)} is in both Between and Covariates; remove it from one"
    column = "Between" if name in between else "Covariates"
    return f"{shown(name)} is a factor in Factors and a column in {column}; give the factor in Factors another name"


def _combinations(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return single names, pairs and so on."""
    return [effect for size in range(1, len(names) + 1) for effect in itertools.combinations(names, size)]


def _effect(name: str, known: Sequence[str], covariates: Sequence[str]) -> tuple[str, ...]:
    """Return the factors in the name of an effect, in order."""
    parts = name.split(":")
    if not known:
        raise ValueError(
            f"{shown(name)}: effects are made of names in Factors, Between and Covariates, and none is there"
        )
    for part in parts:
        if part not in known:
            hint = (
                f"; did you mean {shown(near)}?"
                if (near := nearest(part, known))
                else f", which have {', '.join(known)}"
            )
            raise ValueError(f"{shown(name)}: {shown(part)} is in none of Factors, Between and Covariates{hint}")
    if duplicates(parts):
        raise ValueError(f"{shown(name)} names a factor twice")
    slopes = [part for part in parts if part in covariates]
    if len(slopes) > 1:
        raise ValueError(
            f"{shown(name)}: two covariates do not interact in this model; put their product into participants.tsv, "
            "as a covariate of its own"
        )
    return tuple(sorted(parts, key=known.index))
