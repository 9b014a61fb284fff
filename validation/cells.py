"""What the false-positive study simulates: one `Cell` is one kind of data set and one way to test it."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Literal

VOXEL = ("voxel",)
ALL_FOUR = ("voxel", "cluster-size", "cluster-mass", "tfce")

FLIPS = "Sign-flips without nuisance (default of within effects and one-sample tests)"
POOLED = "Sign-flips with the pooled error"
PERMUTATIONS = "Permutations without nuisance (default of group differences and covariates)"
VARIANCES = "Permutations with unequal group variances (the assumption of equal covariance does not hold)"
WELCH = "Sign-flips with a variance for each group (`VarianceGroups`)"
MULTIVARIATE = 'Hotelling\'s T2 and Wilks\' lambda (`"Sphericity": "multivariate"`)'
SURFACES = "Maps on surfaces (fsaverage5)"
NUISANCE = "Freedman-Lane: two nuisance covariates, or a group difference as nuisance"
SKEWED = "Sign-flips of asymmetric errors (the assumption of symmetry does not hold)"
BLOCKS = "Twins correlated 0.5"
NOT_DEFAULTS = "`within` and `free`: why they are never a default"
NOTES = {
    FLIPS: (
        "All scores of a subject change sign together: exact for symmetric errors, whatever the covariance between "
        "cells and the variance of a subject. Differences of like cells are symmetric, however skewed the cells are, "
        "where the weights mirror each other, as those of A - B do."
    ),
    POOLED: (
        "The error's dimensions that are not tested enter as residuals. Fitting takes nothing from them as they were "
        "observed, and something after every other flip, so that the null statistics are a little too large: "
        "approximate, on the safe side."
    ),
    PERMUTATIONS: (
        "Exact where subjects are exchangeable, whatever the distribution of their errors. With the pooled error it is "
        "approximate, as above."
    ),
    VARIANCES: "Subjects are not exchangeable here. The next section has the remedy.",
    WELCH: (
        "The same data, and other hypotheses. Residuals change sign, which leaves every group its variance, and the "
        "statistic is that of Welch and James. Group means are nuisance to each other, so that it is approximate, as "
        "with nuisance covariates."
    ),
    MULTIVARIATE: (
        "The cells' covariance is estimated and not assumed. The statistic hangs on all scores of a subject at once, "
        "which flip or swap as one: exact where the flips and permutations of the other statistics are."
    ),
    SURFACES: (
        "Both hemispheres, 20,484 vertices, with noise that is smooth along the mesh: each vertex is replaced four "
        "times by the mean of itself and its neighbours, and brought back to variance 1. Clusters are formed at "
        "p = 0.001; sizes, masses and TFCE (E = 1, H = 2) are made of areas, and the maximum is over both hemispheres."
    ),
    NUISANCE: "Residuals are shuffled, which are dependent even where the errors are not: approximate.",
    SKEWED: (
        "The null hypothesis is about the mean, and flips need symmetry about it. A difference of like cells has it "
        "only where the weights mirror each other."
    ),
    BLOCKS: "Subjects that are not independent have to be named as blocks, and flip or swap as such.",
    NOT_DEFAULTS: (
        "Both mix the cells of a subject. Where the effect of a level varies over subjects its cells belong together; "
        "once they are mixed, the null distribution no longer has the variation that the tested means have. That is "
        "seen with the pooled error, which has little of it; the partitioned statistic divides by it."
    ),
}

SWAPS: tuple[Literal["within", "free"], ...] = ("within", "free")

Claim = Literal["exact", "approximate", "invalid"]
Noise = Literal["normal", "t(3)", "skewness 0.5", "skewness 1", "skewness 2"]
Within = Literal[
    "one map", "two cells", "one against eight", "six against three", "A, r = 1", "A, r = 2", "A x B, r = 4"
]
Between = Literal[
    "mean", "groups", "covariate", "mean, nuisance", "groups, nuisance", "mean over groups", "first group", "2 x 2"
]


@dataclass(frozen=True, slots=True)
class Cell:
    """One row of the table."""

    section: str
    """Title, with a key in NOTES."""
    words: str
    """What is special about it."""
    within: Within
    """`A` and `B` are the factors of a 3 x 3 design with its nine maps per subject."""
    between: Between
    """Nuisance: two covariates; first group: its mean; 2 x 2: a main effect of four groups."""
    sizes: tuple[int, ...]
    """Subjects of each group; one group where there are none."""
    test: Literal["t", "F"] = "t"
    sided: Literal["two", "positive"] = "two"
    """For t."""
    error_term: Literal["partitioned", "pooled"] = "partitioned"
    scheme: Literal["auto", "within", "free"] = "auto"
    statistics: tuple[str, ...] = VOXEL
    claim: Claim = "exact"
    """What theory says: exact, at or a little about the level, or without any bound."""
    known: tuple[float, float] | None = None
    """Rates measured before by other programs."""
    noise: Noise = "normal"
    covariates: Literal["normal", "t(3)"] = "normal"
    level_sd: float = 0.0
    """SD over subjects of the effects of A's levels, shared by the three cells of a level; the noise has 1."""
    group_sd: tuple[float, ...] = ()
    subject_sd: bool = False
    """Whether each subject has a noise SD of its own, 0.5 to 2."""
    twins: Literal["", "named", "unnamed"] = ""
    """Pairs of subjects correlated 0.5, named to the engine as exchangeability blocks or not."""
    variance_groups: bool = False
    """Whether the groups are named as having variances of their own."""
    multivariate: bool = False
    """Whether F is Hotelling's or Wilks'."""
    on: Literal["lattice", "fsaverage5"] = "lattice"
    n_shuffles: int = 200
    n_datasets: int = 1000

    @property
    def n_subjects(self) -> int:
        """Subjects."""
        return sum(self.sizes)

    @property
    def key(self) -> int:
        """A number that only what is simulated and tested decides: it seeds the cell, wherever it stands in the list.

        Words, claims and the number of data sets do not count, nor does what is not asked for.
        """
        aside = {"section", "words", "claim", "known", "n_datasets"}
        aside |= {name for name in ("variance_groups", "multivariate") if not getattr(self, name)}
        aside |= {"on"} if self.on == "lattice" else set()
        parts = [f"{field.name}={getattr(self, field.name)}" for field in fields(self) if field.name not in aside]
        return zlib.crc32("; ".join(parts).encode())


def all_cells() -> tuple[Cell, ...]:
    """Every cell, section by section."""
    sections = (
        _flips,
        _pooled,
        _multivariate,
        _permutations,
        _surfaces,
        _variances,
        _welch,
        _nuisance,
        _skewed,
        _blocks,
        _not_defaults,
    )
    return tuple(cell for section in sections for cell in section())


def digest(cells: tuple[Cell, ...]) -> str:
    """Eight hexadecimal digits of a list of cells."""
    return f"{zlib.crc32(repr(cells).encode()):08x}"


def _flips() -> Iterator[Cell]:
    one = Cell(FLIPS, "one-sample", "one map", "mean", (16,))
    for n in (8, 12, 16, 30):
        yield replace(one, sizes=(n,))
    yield replace(one, sizes=(8,), sided="positive", words="one-sample, 200 of 256 flips")
    yield replace(one, sided="positive")
    for n in (8, 16, 30):
        yield replace(one, sizes=(n,), noise="t(3)")
    yield replace(one, subject_sd=True, words="one-sample, SD of a subject 0.5 to 2")
    yield replace(one, within="two cells", noise="skewness 2", words="difference of two skewed cells")
    for level_sd in (0.0, 0.5, 1.0):
        yield replace(one, words="main effect", within="A, r = 2", test="F", level_sd=level_sd)
    for n in (8, 12, 30):
        yield replace(one, words="main effect", sizes=(n,), within="A, r = 2", test="F", level_sd=1.0)
    for level_sd in (0.0, 0.5, 1.0):
        yield replace(one, words="two levels", within="A, r = 1", level_sd=level_sd)
    for n in (8, 16, 30):
        yield replace(one, words="interaction", sizes=(n,), within="A x B, r = 4", test="F", level_sd=0.5)
    four = replace(one, statistics=ALL_FOUR)
    for n in (8, 16, 30):
        yield replace(four, sizes=(n,))
    yield replace(four, sided="positive")
    yield replace(four, noise="t(3)")
    yield replace(four, words="main effect", within="A, r = 2", test="F", level_sd=0.5)
    yield replace(four, words="interaction", sizes=(12,), within="A x B, r = 4", test="F")


def _pooled() -> Iterator[Cell]:
    mean = Cell(POOLED, "main effect", "A, r = 2", "mean", (16,), "F", error_term="pooled", claim="approximate")
    mean = replace(mean, known=(0.03, 0.04))
    for level_sd in (0.0, 0.5, 1.0):
        yield replace(mean, level_sd=level_sd)
    for level_sd in (0.0, 0.5, 1.0):
        yield replace(mean, words="two levels", within="A, r = 1", test="t", level_sd=level_sd)
    for n in (8, 12):
        yield replace(mean, sizes=(n,), level_sd=0.5, known=(0.01, 0.03))
    yield replace(mean, sizes=(30,), level_sd=0.5, known=None)
    yield replace(mean, words="interaction", within="A x B, r = 4", level_sd=0.5)
    yield replace(mean, words="two levels", within="A, r = 1", test="t", level_sd=0.5, statistics=ALL_FOUR)
    yield replace(mean, level_sd=0.5, statistics=ALL_FOUR)


def _permutations() -> Iterator[Cell]:
    groups = Cell(PERMUTATIONS, "two groups", "one map", "groups", (8, 8))
    for sizes in ((4, 4), (3, 5), (6, 6), (8, 8), (5, 11), (15, 15), (8, 22)):
        yield replace(groups, sizes=sizes)
    for noise in ("skewness 2", "t(3)"):
        yield replace(groups, sizes=(5, 11), noise=noise)
    yield replace(groups, words="three groups", sizes=(4, 5, 7), test="F")
    covariate = replace(groups, words="covariate", between="covariate", sizes=(16,))
    for n in (8, 12, 16, 30):
        yield replace(covariate, sizes=(n,))
    yield replace(covariate, noise="t(3)", covariates="t(3)")
    mixed = replace(groups, words="group x main effect", sizes=(6, 10), within="A, r = 2", test="F")
    for level_sd in (0.0, 0.5, 1.0):
        yield replace(mixed, level_sd=level_sd)
    pooled = replace(mixed, error_term="pooled", claim="approximate")
    for level_sd in (0.0, 0.5, 1.0):
        yield replace(pooled, level_sd=level_sd)
    yield replace(groups, statistics=ALL_FOUR)
    yield replace(covariate, sizes=(12,), statistics=ALL_FOUR)
    yield replace(mixed, statistics=ALL_FOUR, level_sd=0.5)


def _surfaces() -> Iterator[Cell]:
    one = Cell(SURFACES, "one-sample", "one map", "mean", (16,), on="fsaverage5", statistics=ALL_FOUR, n_datasets=500)
    yield one
    yield replace(one, words="two groups", between="groups", sizes=(6, 10))


def _variances() -> Iterator[Cell]:
    cell = Cell(VARIANCES, "two groups, equal SD", "one map", "groups", (5, 15))
    yield replace(cell, known=(0.05, 0.05))
    unequal = replace(cell, words="SD 2 to 1", group_sd=(2.0, 1.0), claim="invalid")
    yield replace(unequal, known=(0.70, 0.70))
    yield replace(unequal, sizes=(10, 10), known=(0.12, 0.12))
    yield replace(unequal, sizes=(15, 5), words="SD 2 to 1, the larger group with more")
    yield replace(unequal, within="A, r = 2", test="F", words="SD 2 to 1, group x main effect")
    yield replace(unequal, statistics=ALL_FOUR)


def _welch() -> Iterator[Cell]:
    cell = Cell(WELCH, "two groups, equal SD", "one map", "groups", (5, 15), claim="approximate", variance_groups=True)
    yield cell
    unequal = replace(cell, words="SD 2 to 1", group_sd=(2.0, 1.0))
    for sizes in ((5, 15), (10, 10), (15, 5), (10, 30)):
        yield replace(unequal, sizes=sizes)
    yield replace(unequal, sizes=(8, 12), group_sd=(3.0, 1.0), words="SD 3 to 1")
    yield replace(unequal, within="A, r = 1", words="SD 2 to 1, group x two levels")
    yield from _welch_kinds(unequal)
    yield replace(unequal, statistics=ALL_FOUR)


def _welch_kinds(cell: Cell) -> Iterator[Cell]:
    """Hypotheses other than that two groups are equal: a slope, one group's mean, a main effect, all groups."""
    slope = replace(cell, between="covariate", group_sd=(4.0, 1.0))
    yield replace(slope, words="SD 4 to 1, slope beside the groups", sizes=(20, 20))
    mean = replace(cell, between="first group", group_sd=(1.0, 3.0))
    yield replace(mean, words="SD 1 to 3, mean of the first group", sizes=(5, 30))
    four = replace(cell, sizes=(10, 10, 10, 10), group_sd=(4.0, 1.0, 1.0, 1.0))
    yield replace(four, words="SD 4 to 1, main effect of 2 x 2 groups", between="2 x 2")
    yield replace(four, words="SD 4 to 1, all of four groups", test="F")


def _multivariate() -> Iterator[Cell]:
    flips = Cell(MULTIVARIATE, "main effect", "A, r = 2", "mean", (16,), "F", multivariate=True)
    for level_sd in (0.0, 1.0):
        yield replace(flips, level_sd=level_sd)
    yield replace(flips, sizes=(8,), level_sd=0.5)
    yield replace(flips, words="interaction", within="A x B, r = 4", sizes=(12,), level_sd=0.5)
    yield replace(flips, noise="t(3)", level_sd=0.5)
    groups = replace(flips, words="group x main effect", between="groups", sizes=(6, 10))
    for level_sd in (0.0, 1.0):
        yield replace(groups, level_sd=level_sd)
    yield replace(groups, words="three groups x main effect", sizes=(4, 5, 7), level_sd=0.5)
    yield replace(flips, level_sd=0.5, statistics=ALL_FOUR)


def _nuisance() -> Iterator[Cell]:
    flips = Cell(NUISANCE, "one-sample", "one map", "mean, nuisance", (16,), claim="approximate")
    before = {8: (0.07, 0.07), 12: (0.06, 0.06), 16: (0.05, 0.06), 20: (0.05, 0.06), 30: None}
    for n, known in before.items():
        yield replace(flips, sizes=(n,), known=known)
    for n, most in ((8, 0.10), (12, 0.085), (16, 0.08), (20, 0.07)):
        yield replace(flips, sizes=(n,), covariates="t(3)", known=(0.05, most))
        yield replace(flips, sizes=(n,), noise="t(3)", known=(0.05, most))
    yield replace(flips, words="main effect", within="A, r = 2", test="F", level_sd=0.5)
    pooled = replace(flips, within="A, r = 1", words="two levels", error_term="pooled", known=(0.0, 0.05))
    for n in (8, 12, 16):
        yield replace(pooled, sizes=(n,), level_sd=0.5)
    yield replace(pooled, within="A, r = 2", words="main effect", test="F", level_sd=0.5)
    yield replace(flips, between="mean over groups", sizes=(6, 10), words="mean of two groups")
    yield replace(flips, between="mean over groups", sizes=(3, 5), words="mean of two groups")
    permute = replace(flips, between="groups, nuisance", words="two groups", known=(0.05, 0.06))
    for sizes in ((4, 4), (6, 6), (8, 8), (15, 15)):
        yield replace(permute, sizes=sizes, known=(0.05, 0.06) if sum(sizes) in (12, 16) else None)
    yield replace(permute, sizes=(6, 6), covariates="t(3)", noise="t(3)", known=None)
    yield replace(flips, statistics=ALL_FOUR)
    yield replace(permute, sizes=(8, 8), statistics=ALL_FOUR)


def _skewed() -> Iterator[Cell]:
    cell = Cell(SKEWED, "one-sample", "one map", "mean", (16,), claim="invalid")
    before: dict[Noise, tuple[float, float]] = {
        "skewness 0.5": (0.06, 0.09),
        "skewness 1": (0.15, 0.23),
        "skewness 2": (0.5, 1.0),
    }
    for noise, known in before.items():
        for n in (8, 16, 30):
            yield replace(cell, sizes=(n,), noise=noise, known=known)
    yield replace(cell, words="main effect of skewed cells", within="A, r = 2", test="F", noise="skewness 2")
    for n in (8, 16, 30):
        yield replace(
            cell, words="difference of skewed cells", sizes=(n,), within="one against eight", noise="skewness 2"
        )
    yield replace(cell, words="difference of skewed cells", within="six against three", noise="skewness 2")
    yield replace(cell, noise="skewness 1", statistics=ALL_FOUR)


def _blocks() -> Iterator[Cell]:
    twins = Cell(BLOCKS, "one-sample, flipped in pairs", "one map", "mean", (16,), twins="named", known=(0.04, 0.04))
    yield twins
    one_by_one = replace(twins, words="one-sample, flipped one by one", twins="unnamed", claim="invalid")
    yield replace(one_by_one, known=(0.31, 0.31))
    yield replace(twins, words="covariate, swapped in pairs", between="covariate", known=None)


def _not_defaults() -> Iterator[Cell]:
    main = Cell(NOT_DEFAULTS, "main effect", "A, r = 2", "mean", (16,), "F", claim="invalid", n_datasets=500)
    pooled = replace(main, error_term="pooled")
    known = {"within": (0.05, 0.37, 0.94), "free": (0.05, 0.40, 0.96)}
    for scheme in SWAPS:
        for level_sd, rate in zip((0.0, 0.5, 1.0), known[scheme], strict=True):
            claim: Claim = "invalid" if level_sd else "approximate"  # the means of the other cells are nuisance
            n = 500 if level_sd else 1000
            yield replace(pooled, scheme=scheme, level_sd=level_sd, known=(rate, rate), claim=claim, n_datasets=n)
        yield replace(pooled, scheme=scheme, level_sd=0.5, statistics=ALL_FOUR)
        yield replace(pooled, words="two levels", within="A, r = 1", test="t", scheme=scheme, level_sd=0.5)
    for scheme in SWAPS:
        for level_sd in (0.5, 1.0):
            yield replace(main, scheme=scheme, level_sd=level_sd)
        yield replace(main, words="two levels", within="A, r = 1", test="t", scheme=scheme, level_sd=1.0)


def parametric_cells() -> tuple[Cell, ...]:
    """Cells whose parametric p are looked at voxel by voxel."""
    section = "Parametric p, per voxel"
    cell = Cell(section, "main effect", "A, r = 2", "mean", (16,), "F", claim="exact", n_datasets=200)
    pooled = replace(cell, error_term="pooled", claim="invalid")
    levels = replace(pooled, words="two levels", within="A, r = 1", test="t")
    twins = replace(cell, words="one-sample", within="one map", test="t", twins="unnamed", claim="invalid")
    groups = replace(twins, words="two groups", between="groups", sizes=(5, 15), group_sd=(2.0, 1.0), twins="")
    return (
        replace(cell, level_sd=1.0),
        replace(pooled, level_sd=0.0, claim="exact"),
        replace(pooled, level_sd=1.0),
        replace(levels, level_sd=0.5, known=(0.11, 0.11)),
        replace(levels, level_sd=1.0, known=(0.20, 0.20)),
        replace(twins, known=(0.11, 0.11)),
        groups,
        replace(groups, claim="approximate", variance_groups=True),
        *_welch_kinds(replace(groups, claim="approximate", variance_groups=True)),
        replace(cell, level_sd=1.0, multivariate=True),
        replace(cell, words="group x main effect", between="groups", sizes=(6, 10), level_sd=1.0, multivariate=True),
    )
