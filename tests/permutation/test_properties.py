"""What must hold for any data: symmetry, invariance, the same bits however the work is shared out or interrupted.

Every scheme x test x error term takes part. scipy's permutation tests are the oracle of the uncorrected p.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.inference.familywise_p import uncorrected_p
from bids_app.inference.over_parts import familywise
from bids_app.permutation import null_distribution as permutation
from bids_app.permutation.checkpoints import Checkpoint
from bids_app.permutation.enhancements import choose_enhancements
from bids_app.permutation.null_distribution import NullDistribution, Work, null_distribution, score_bytes
from bids_app.permutation.schemes import make_shuffles
from bids_app.permutation.shuffles import Scheme, Shuffles
from bids_app.permutation.summaries import SUMMARIES, Batch, PartialNull, Ranges, Size
from bids_app.runtime.execution import Processes, Threads
from bids_app.spaces.volume import VolumeDomain
from bids_app.statistics.kinds import contrast_test
from builders.snapshots import Snapshots

Result = TypeVar("Result")
Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

STATISTICS = ("voxel", "cluster-size", "cluster-mass", "tfce")
SHAPE = (7, 5, 4)  # 140 voxels: more than one block of the kernels, and no whole number of blocks
S = 6
AGE = np.array([-2.0, 0.5, 1.0, -1.5, 0.0, 2.5])
GROUP = np.array([1.0, 1, 0, 0, 0, 0])
BETWEEN = {
    "mean": np.ones((S, 1)),
    "age": np.column_stack([np.ones(S), AGE]),
    "groups": np.column_stack([GROUP, 1 - GROUP]),
    "groups and age": np.column_stack([GROUP, 1 - GROUP, AGE]),
}
CELLS = {
    "mean": [[1 / 3, 1 / 3, 1 / 3]],
    "difference": [[1.0, -1, 0]],
    "effect": [[1.0, -1, 0], [0, 1, -1]],
}


@dataclass(frozen=True)
class Case:
    """A hypothesis, its error and what moves."""

    between: str
    rows: tuple[tuple[float, ...], ...]
    cells: str
    error: str
    scheme: Scheme
    test: str

    def make(self, sided: str = "two", **changes: Any) -> tuple[Design, Contrast]:  # noqa: ANN401
        """A design of six subjects and three cells with this contrast."""
        weights = changes.get("cell_weights", np.array(CELLS[self.cells]))
        within = np.linalg.qr(weights.T)[0].T if len(weights) > 1 else weights / np.linalg.norm(weights)
        contrast = Contrast(
            name="c",
            label="c",
            test=self.test,
            sided=sided if self.test == "t" else "positive",
            weights=weights,
            cell_weights=weights,
            within=within,
            between=changes.get("rows", np.array(self.rows)),
            error_term=self.error,
            sphericity="none",
        )
        b = changes.get("between", BETWEEN[self.between])
        names, cells = tuple(map(str, range(b.shape[1]))), tuple("abc")
        subjects = tuple(map(str, range(S)))
        return Design(np.tile(np.eye(3), (S, 1)), cells, subjects, cells, b, names, (contrast,)), contrast


CASES = [
    Case("mean", ((1.0,),), "mean", "partitioned", "sign-flip", "t"),
    Case("mean", ((1.0,),), "difference", "pooled", "sign-flip", "t"),
    Case("mean", ((1.0,),), "effect", "partitioned", "sign-flip", "F"),
    Case("mean", ((1.0,),), "effect", "pooled", "sign-flip", "F"),
    Case("age", ((1.0, 0.0),), "difference", "partitioned", "sign-flip", "t"),
    Case("groups", ((0.5, 0.5),), "effect", "pooled", "sign-flip", "F"),
    Case("groups", ((1.0, -1.0),), "mean", "partitioned", "permute", "t"),
    Case("age", ((0.0, 1.0),), "difference", "pooled", "permute", "t"),
    Case("groups and age", ((1.0, -1.0, 0.0), (0.0, 0.0, 1.0)), "effect", "partitioned", "permute", "F"),
    Case("groups and age", ((1.0, -1.0, 0.0),), "difference", "pooled", "permute", "F"),
    Case("mean", ((1.0,),), "difference", "partitioned", "within", "t"),
    Case("age", ((1.0, 0.0),), "effect", "pooled", "within", "F"),
    Case("groups", ((1.0, -1.0),), "difference", "pooled", "free", "t"),
    Case("mean", ((1.0,),), "effect", "partitioned", "free", "F"),
]
cases, t_cases = st.sampled_from(CASES), st.sampled_from([case for case in CASES if case.test == "t"])
f_cases = st.sampled_from([case for case in CASES if case.test == "F"])
seeds = st.integers(0, 2**32 - 1)
few = settings(derandomize=True, max_examples=20, deadline=None)
fewer = settings(few, max_examples=10)  # many runs each


def random_maps(seed: int, n_maps: int = 3 * S) -> Singles:
    """Noise with an effect of the first cell and of age, and of single precision."""
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal((n_maps, int(np.prod(SHAPE))))
    noise[::3, :40] += 1
    noise += 0.3 * np.repeat(AGE, n_maps // S)[:, None]
    return noise.astype(np.float32)


def run(
    values: Singles,
    design: Design,
    contrast: Contrast,
    shuffles: Shuffles,
    work: Work | None = None,
    statistics: Sequence[str] = STATISTICS,
) -> NullDistribution:
    """The engine under test, forming clusters at p = 0.05."""
    lattice = VolumeDomain.from_mask(np.ones(SHAPE, np.bool_), np.eye(4), 18)
    enhancements = choose_enhancements(statistics, lattice, contrast_test(design, contrast), (0.05, None))
    return null_distribution(values, contrast_test(design, contrast), shuffles, enhancements, work or Work())


def of_case(case: Case, values: Singles, n_shuffles: int = 21, sided: str = "two") -> NullDistribution:
    """A case with some shuffles."""
    design, contrast = case.make(sided)
    shuffles = make_shuffles(contrast_test(design, contrast), n_shuffles, 3, shuffle=case.scheme, up_to_sign=False)
    return run(values, design, contrast, shuffles)


def assert_same_bits(one: NullDistribution, other: NullDistribution) -> None:
    """Maxima, observed maps and counts."""
    assert one.maxima.keys() == other.maxima.keys()
    for key in one.maxima:
        assert np.array_equal(one.maxima[key], other.maxima[key])
        assert np.array_equal(one.observed[key], other.observed[key])
    assert np.array_equal(one.n_exceeding, other.n_exceeding)


class TestSymmetry:
    """Negated data."""

    @few
    @given(t_cases, seeds)
    def test_the_sides_of_a_t_swap(self, case: Case, seed: int) -> None:
        """The positive side of -y is the negative side of y, bit for bit: rounding is symmetric."""
        values = random_maps(seed)
        assert_same_bits(of_case(case, -values, sided="positive"), of_case(case, values, sided="negative"))

    @few
    @given(cases, seeds)
    def test_what_has_no_sign_stays(self, case: Case, seed: int) -> None:
        """|t| and F, bit for bit."""
        values = random_maps(seed)
        assert_same_bits(of_case(case, -values), of_case(case, values))

    @few
    @given(t_cases, seeds)
    def test_two_sides_are_the_larger_of_the_sides(self, case: Case, seed: int) -> None:
        """Maxima of |t| and of clusters of both signs are the larger of the one-sided maxima of the same shuffle."""
        values = random_maps(seed)
        both, *sides = (of_case(case, values, sided=sided) for sided in ("two", "positive", "negative"))
        for key in both.maxima:
            assert np.array_equal(both.maxima[key], np.maximum(sides[0].maxima[key], sides[1].maxima[key]))


class TestScale:
    """Units of the data and of the weights."""

    @few
    @given(cases, seeds)
    def test_powers_of_two_change_no_bit(self, case: Case, seed: int) -> None:
        """Each voxel multiplied by its own: nothing is rounded, so nothing may change."""
        values = random_maps(seed)
        powers = np.exp2(np.random.default_rng(seed).integers(-20, 20, values.shape[1])).astype(np.float32)
        assert_same_bits(of_case(case, values * powers), of_case(case, values))

    @few
    @given(cases, seeds)
    def test_any_scale_gives_the_same_statistics(self, case: Case, seed: int) -> None:
        """1e-4 and cubes of it: the products are rounded to single precision, 6e-8, more where the error is small."""
        values = random_maps(seed)
        factors = 10 ** np.random.default_rng(seed).uniform(-3, 3, values.shape[1])
        one, other = of_case(case, (values * factors).astype(np.float32)), of_case(case, values)
        for key in ("voxel", "clusterMass", "tfce"):
            assert one.maxima[key] == pytest.approx(other.maxima[key], rel=5e-4, abs=1e-4)

    @few
    @given(cases, seeds, st.floats(0.01, 100))
    def test_weights_have_no_unit(self, case: Case, seed: int, factor: float) -> None:
        """Rows of L and M times a number; an F does not see its sign either."""
        values = random_maps(seed)
        factor = -factor if case.test == "F" else factor
        design, contrast = case.make()
        shuffles = make_shuffles(contrast_test(design, contrast), 21, 3, shuffle=case.scheme)
        changes = {"rows": contrast.between * factor, "cell_weights": contrast.cell_weights * 2 * factor}
        scaled = run(values, *case.make(**changes), shuffles)
        plain = run(values, design, contrast, shuffles)
        for key in ("voxel", "clusterMass", "tfce"):
            assert scaled.maxima[key] == pytest.approx(plain.maxima[key], rel=1e-4, abs=1e-5)

    @few
    @given(f_cases, seeds)
    def test_an_f_belongs_to_the_space_of_its_rows(self, case: Case, seed: int) -> None:
        """Any invertible mixture of the rows of L, and of M, is the same hypothesis."""
        values = random_maps(seed)
        generator = np.random.default_rng(seed)
        design, contrast = case.make()
        mixed = {}
        for name, rows in (("rows", contrast.between), ("cell_weights", contrast.cell_weights)):
            mixture = np.eye(len(rows)) + 0.4 * generator.standard_normal((len(rows), len(rows)))
            assume(np.linalg.cond(mixture) < 20)
            mixed[name] = mixture @ rows
        shuffles = make_shuffles(contrast_test(design, contrast), 21, 3, shuffle=case.scheme)
        one, other = run(values, *case.make(**mixed), shuffles), run(values, design, contrast, shuffles)
        for key in ("voxel", "clusterMass", "tfce"):
            assert one.maxima[key] == pytest.approx(other.maxima[key], rel=1e-4, abs=1e-5)

    @few
    @given(cases, seeds)
    def test_a_change_of_basis_between_subjects_changes_nothing(self, case: Case, seed: int) -> None:
        """B A with L A stands for the same model and hypothesis, say another coding of the groups."""
        design, contrast = case.make()
        mixture = np.eye(design.between.shape[1]) + 0.4 * np.random.default_rng(seed).standard_normal(
            (design.between.shape[1],) * 2
        )
        assume(np.linalg.cond(mixture) < 20)
        shuffles = make_shuffles(contrast_test(design, contrast), 21, 3, shuffle=case.scheme)
        recoded = case.make(between=design.between @ mixture, rows=contrast.between @ mixture)
        values = random_maps(seed)
        one, other = run(values, *recoded, shuffles), run(values, design, contrast, shuffles)
        for key in ("voxel", "clusterMass", "tfce"):
            assert one.maxima[key] == pytest.approx(other.maxima[key], rel=1e-4, abs=1e-5)


WHOLE = [case for case in CASES if case.scheme in ("sign-flip", "permute")]


@few
@given(st.sampled_from(WHOLE), st.permutations(range(S)), seeds)
def test_the_order_of_subjects_changes_no_exhaustive_null(case: Case, order: list[int], seed: int) -> None:
    """All permutations as a set, the observed maps, and the counts of the permutations that reach them."""
    values = random_maps(seed)
    design, contrast = case.make()
    reordered = values.reshape(S, 3, -1)[order].reshape(values.shape)
    others = case.make(between=design.between[order])
    nulls = []
    for maps, (a_design, a_contrast) in ((values, (design, contrast)), (reordered, others)):
        shuffles = make_shuffles(contrast_test(a_design, a_contrast), 720, 0, shuffle=case.scheme)
        assert shuffles.exhaustive
        nulls.append(run(maps, a_design, a_contrast, shuffles, statistics=("voxel", "cluster-size")))
    one, other = nulls
    assert one.shuffles.n_possible == other.shuffles.n_possible
    # 1e-4: sums in another order, in single precision
    assert np.sort(one.maxima["voxel"]) == pytest.approx(np.sort(other.maxima["voxel"]), rel=1e-4)
    assert np.array_equal(np.sort(one.maxima["clusterSize"]), np.sort(other.maxima["clusterSize"]))
    assert one.observed["voxel"] == pytest.approx(other.observed["voxel"], rel=1e-4, abs=1e-5)
    assert np.array_equal(one.n_exceeding, other.n_exceeding)


class TestTheSameBits:
    """However the work is shared out."""

    @fewer
    @given(cases, seeds, st.integers(1, 4), st.sampled_from([1, 2, 3, 7, 64]), st.sampled_from([1.0, 1e4, 4e9]))
    def test_workers_batches_and_memory(
        self, tmp_path_factory: pytest.TempPathFactory,
        case: Case, seed: int, n_jobs: int, batch: int, memory: float,
    ) -> None:  # fmt: skip
        """One number per shuffle, from that shuffle alone; scores in a file where memory is short."""
        values = random_maps(seed)
        design, contrast = case.make()
        shuffles = make_shuffles(contrast_test(design, contrast), 23, seed, shuffle=case.scheme)
        plain = run(values, design, contrast, shuffles)
        folder = tmp_path_factory.mktemp("scratch")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(permutation, "LARGEST_BATCH", batch)
            patch.setattr(permutation, "LARGEST_BATCH_OF_MAPS", batch)
            work = Work(n_jobs, memory, folder)
            assert_same_bits(run(values, design, contrast, shuffles, work), plain)
        assert list(folder.iterdir()) == []

    @few
    @given(cases, seeds)
    def test_statistics_left_out_do_not_change_the_others(self, case: Case, seed: int) -> None:
        """With TFCE whole maps are kept, without it none: the voxels and clusters are the same."""
        values = random_maps(seed)
        design, contrast = case.make()
        shuffles = make_shuffles(contrast_test(design, contrast), 23, seed, shuffle=case.scheme)
        everything = run(values, design, contrast, shuffles)
        for statistic in STATISTICS:
            alone = run(values, design, contrast, shuffles, statistics=[statistic])
            (key,) = alone.maxima
            assert np.array_equal(alone.maxima[key], everything.maxima[key])
            assert np.array_equal(alone.n_exceeding, everything.n_exceeding)

    @few
    @given(cases, seeds)
    def test_a_prefix_of_the_shuffles_gives_a_prefix_of_the_maxima(self, case: Case, seed: int) -> None:
        """A shuffle does not know of the others, unless subjects flip together in all of them: tables are then shared.

        2e-6: units that never part are added up before the others.
        """
        values = random_maps(seed)
        design, contrast = case.make()
        shuffles = make_shuffles(contrast_test(design, contrast), 23, seed, shuffle=case.scheme)
        part = replace(shuffles, order=shuffles.order[:9], sign=shuffles.sign[:9], exhaustive=False)
        whole, first = run(values, design, contrast, shuffles), run(values, design, contrast, part)
        assert first.maxima["voxel"] == pytest.approx(whole.maxima["voxel"][:9], rel=2e-5)

    @fewer
    @given(cases, seeds, st.integers(1, 2))
    def test_every_prefix_can_be_resumed(self, case: Case, seed: int, n_jobs: int) -> None:
        """After 1, 2, ... all shuffles: what was kept and what comes after make the same result."""
        values = random_maps(seed)
        design, contrast = case.make()
        shuffles = make_shuffles(contrast_test(design, contrast), 12, seed, shuffle=case.scheme)
        keeper = Snapshots([])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(permutation, "LARGEST_BATCH_OF_MAPS", 1)
            whole = run(values, design, contrast, shuffles, Work(keeper=keeper))
        assert {len(kept.done) for kept in keeper.kept} == set(range(1, 13))
        for done in keeper.kept:
            assert done.summaries["maxima"].values.shape == (len(done.done), 4)
            assert done.summaries["n_exceeding"].values.max() <= len(done.done)
            assert_same_bits(run(values, design, contrast, shuffles, Work(n_jobs, done=done)), whole)

    @fewer
    @given(cases, seeds, st.integers(0, 2**32 - 1))
    def test_any_order_and_any_gaps(self, case: Case, seed: int, order: int) -> None:
        """Batches that come in a random order, and resuming from what was kept, in batches of another size."""
        values = random_maps(seed)
        design, contrast = case.make()
        shuffles = make_shuffles(contrast_test(design, contrast), 17, seed, shuffle=case.scheme)
        whole = run(values, design, contrast, shuffles)
        rng, keeper = np.random.default_rng(order), Snapshots([])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(permutation, "LARGEST_BATCH_OF_MAPS", int(rng.integers(1, 4)))
            work = Work(keeper=keeper, executor=Scrambled(rng))
            assert_same_bits(run(values, design, contrast, shuffles, work), whole)
            for done in keeper.kept[:: int(rng.integers(1, 4))]:
                patch.setattr(permutation, "LARGEST_BATCH_OF_MAPS", int(rng.integers(1, 6)))
                assert_same_bits(run(values, design, contrast, shuffles, Work(2, done=done)), whole)

    @pytest.mark.parametrize("case", [CASES[1], CASES[7], CASES[13]], ids=str)
    def test_other_processes(self, case: Case) -> None:
        """Batches travel to processes, and their summaries back."""
        values = random_maps(3)
        design, contrast = case.make()
        shuffles = make_shuffles(contrast_test(design, contrast), 23, 3, shuffle=case.scheme)
        elsewhere = run(values, design, contrast, shuffles, Work(executor=Processes(2)))
        assert_same_bits(elsewhere, run(values, design, contrast, shuffles))


@dataclass(frozen=True)
class Scrambled:
    """Runs tasks in a random order."""

    rng: np.random.Generator
    n_workers: int = 2

    def map_ordered(self, tasks: Iterable[Callable[[], Result]]) -> Generator[Result, None, None]:
        yield from Threads(1).map_ordered(tasks)

    def map_unordered(self, tasks: Iterable[Callable[[], Result]]) -> Generator[Result, None, None]:
        everything = list(tasks)
        yield from Threads(1).map_ordered(everything[i] for i in self.rng.permutation(len(everything)))


@dataclass(frozen=True)
class Highest:
    """Another summary: the two largest ratios of each shuffle, wherever they are."""

    needs_maps: ClassVar[bool] = True
    done: Ranges
    values: Singles

    @classmethod
    def start(cls, size: Size) -> Highest:
        return cls(Ranges(), np.empty((0, min(2, size.n_voxels)), np.float32))

    @classmethod
    def restored(cls, done: Ranges, values: NDArray[Any], size: Size | None) -> Highest:
        assert size is None
        return cls(done, values)

    def add(self, batch: Batch) -> Highest:
        return self.merge(Highest(batch.done, np.sort(batch.maps, axis=1)[:, -2:]))

    def merge(self, other: Highest) -> Highest:
        rows = np.concatenate([self.done.rows(), other.done.rows()])
        return Highest(self.done.joined(other.done), np.concatenate([self.values, other.values])[np.argsort(rows)])


@pytest.mark.parametrize("statistics", [["voxel"], STATISTICS])
def test_another_summary_needs_no_other_engine(
    statistics: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that needs whole maps; it is kept in checkpoints too, and resumed. The larger of the two is the maximum."""
    monkeypatch.setitem(SUMMARIES, "highest", Highest)
    names = ("maxima", "n_exceeding", "highest")
    design, contrast = CASES[0].make("positive")
    shuffles = make_shuffles(contrast_test(design, contrast), 23, 3)
    checkpoint = Checkpoint(tmp_path / "c.npz", "abc", every=0, summaries=names)
    start = PartialNull.start(Size(shuffles.n_shuffles, len(statistics), int(np.prod(SHAPE))), names)
    monkeypatch.setattr(permutation, "LARGEST_BATCH_OF_MAPS", 5)
    work = Work(2, done=start, keeper=checkpoint, executor=Scrambled(np.random.default_rng(1)))
    null = run(random_maps(0), design, contrast, shuffles, work, statistics)
    kept = checkpoint.load()
    assert kept is not None
    highest = kept.complete(shuffles.n_shuffles)["highest"]
    as_t = np.sign(highest) * np.sqrt(np.abs(highest, dtype=float) * (S - 1))
    assert as_t[:, 1] == pytest.approx(null.maxima["voxel"], rel=1e-6)
    assert np.all(as_t[:, 0] < as_t[:, 1])


@few
@given(cases, seeds, st.sampled_from(["two", "positive", "negative"]))
def test_familywise_p_are_never_below_uncorrected_ones(case: Case, seed: int, sided: str) -> None:
    """The maximum reaches a voxel's value wherever the voxel does; and no p is below 1 / N."""
    null = of_case(case, random_maps(seed), sided=sided)
    corrected = familywise(null, 0.05)[0].p
    assert np.all(corrected >= uncorrected_p(null))
    assert uncorrected_p(null).min() >= 1 / 21


def test_a_tie_at_zero_is_one_for_familywise_p_too() -> None:
    """A mask of one voxel whose scores sum to zero: 5 of 8 sums of 2, -1, -1 under flips reach that."""
    null = one_voxel([0, 0, 0, 0, 2, -1, -1], np.ones((7, 1)), [1.0], "positive")
    assert uncorrected_p(null)[0] == 0.625
    assert familywise(null, 0.05)[0].p[0] == 0.625


def one_voxel(scores: Sequence[float], between: Floats, row: list[float], sided: str) -> NullDistribution:
    """All permutations of one voxel and one cell."""
    n = len(scores)
    one = np.ones((1, 1))
    contrast = Contrast(
        name="c", label="c", test="t", sided=sided, weights=one, cell_weights=one, within=one,
        between=np.array([row]), error_term="partitioned", sphericity="none",
    )  # fmt: skip
    names, subjects = tuple(map(str, range(len(row)))), tuple(map(str, range(n)))
    design = Design(np.ones((n, 1)), ("a",), subjects, ("a",), between, names, (contrast,))
    lattice = VolumeDomain.from_mask(np.ones((1, 1, 1), np.bool_), np.eye(4), 6)
    enhancements = choose_enhancements(("voxel",), lattice, contrast_test(design, contrast), (0.05, None))
    shuffles = make_shuffles(contrast_test(design, contrast), 5040, 0)
    assert shuffles.exhaustive
    values = np.array(scores, np.float32)[:, None]
    return null_distribution(values, contrast_test(design, contrast), shuffles, enhancements, Work())


class TestScipy:
    """One voxel against `scipy.stats.permutation_test`, all permutations, small integers so that there are ties.

    The sums below rise with t, because the total sum of squares does not change.
    """

    numbers = st.lists(st.integers(-4, 4), min_size=7, max_size=7)

    @staticmethod
    def p(scores: Sequence[float], between: Floats, row: list[float], sided: str) -> float:
        """Uncorrected p of our engine."""
        return float(uncorrected_p(one_voxel(scores, between, row, sided))[0])

    @staticmethod
    def scipy_p(data: Sequence[Sequence[float]], statistic: Any, kind: str, sided: str) -> float:  # noqa: ANN401
        """The same by scipy, |statistic| for two sides."""

        def towards(*samples: Any, axis: int = -1) -> Any:  # noqa: ANN401
            value = statistic(*samples, axis=axis)
            return {"two": np.abs(value), "positive": value, "negative": -value}[sided]

        result = stats.permutation_test(
            data, towards, permutation_type=kind, alternative="greater", n_resamples=np.inf, vectorized=True
        )
        return float(result.pvalue)

    @few
    @given(numbers, st.sampled_from(["two", "positive", "negative"]))
    def test_one_sample(self, scores: list[int], sided: str) -> None:
        """Sign flips: all 2^7, or half of them for |t|."""
        assume(np.ptp(scores) > 0)
        expected = self.scipy_p([scores], lambda x, axis: x.sum(axis=axis), "samples", sided)
        assert self.p(scores, np.ones((7, 1)), [1.0], sided) == pytest.approx(expected, abs=1e-12)

    @few
    @given(numbers, st.sampled_from(["two", "positive", "negative"]))
    def test_two_groups(self, scores: list[int], sided: str) -> None:
        """All 35 ways to choose three of seven."""
        assume(np.ptp(scores[:3]) + np.ptp(scores[3:]) > 0)
        group = np.array([1.0, 1, 1, 0, 0, 0, 0])
        expected = self.scipy_p(
            [scores[:3], scores[3:]],
            lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis),
            "independent",
            sided,
        )
        ours = self.p(scores, np.column_stack([group, 1 - group]), [1.0, -1.0], sided)
        assert ours == pytest.approx(expected, abs=1e-12)

    @few
    @given(numbers, st.sampled_from(["two", "positive", "negative"]))
    def test_a_covariate(self, scores: list[int], sided: str) -> None:
        """All 5040 orders of seven different ages, against all pairings."""
        age = np.array([3.0, 1, 4, 15, 9, 2, 6])
        left = scores - np.polyval(np.polyfit(age, scores, 1), age)
        assume(np.square(left).sum() > 0.1)
        centred = age - age.mean()
        expected = self.scipy_p([scores], lambda x, axis: (x * centred).sum(axis=axis), "pairings", sided)
        ours = self.p(scores, np.column_stack([np.ones(7), age]), [0.0, 1.0], sided)
        assert ours == pytest.approx(expected, abs=1e-12)


class TestMemory:
    """What the engine allocates, by `tracemalloc`, to which numpy and numba report.

    Beside `Work.memory`, which bounds scores and batches, there is the tree of TFCE, 80 bytes per voxel and thread,
    and under 30 MB of what every run has: maps of the mask in double precision, and chunks of scores.
    """

    SHAPE = (42, 42, 40)  # 70,560 voxels, as at 3 mm
    SUBJECTS, CELLS = 16, 9
    FIXED = 30e6

    @pytest.fixture
    def values(self) -> Singles:
        generator = np.random.default_rng(0)
        return generator.standard_normal((self.SUBJECTS * self.CELLS, int(np.prod(self.SHAPE))), np.float32)

    def peak(
        self, values: Singles, test: str, n_jobs: int, n_shuffles: int, folder: Path,
        memory: float = 64e6, forming_t: float | None = None, statistics: Sequence[str] = STATISTICS,
    ) -> int:  # fmt: skip
        """Bytes at the peak, without the data."""
        cells = tuple("abcdefghi")
        weights = np.array([[1.0, -1, 0, 0, 0, 0, 0, 0, 0]]) if test == "t" else np.eye(9)[:8] - np.eye(9)[1:]
        contrast = Contrast(
            name="c", label="c", test=test, sided="two" if test == "t" else "positive", weights=weights,
            cell_weights=weights, within=np.linalg.qr(weights.T)[0].T, between=np.ones((1, 1)),
            error_term="pooled" if test == "t" else "partitioned", sphericity="none",
        )  # fmt: skip
        subjects = tuple(map(str, range(self.SUBJECTS)))
        matrix = np.tile(np.eye(9), (self.SUBJECTS, 1))
        design = Design(matrix, cells, subjects, cells, np.ones((self.SUBJECTS, 1)), ("1",), (contrast,))
        lattice = VolumeDomain.from_mask(np.ones(self.SHAPE, np.bool_), np.eye(4), 26)
        enhancements = choose_enhancements(statistics, lattice, contrast_test(design, contrast), (0.001, forming_t))
        shuffles = make_shuffles(contrast_test(design, contrast), n_shuffles, 0)
        assert score_bytes(values, contrast_test(design, contrast), shuffles) > 32e6  # too much for half of 64 MB
        work = Work(n_jobs, memory, folder)
        tracemalloc.start()
        null_distribution(values, contrast_test(design, contrast), shuffles, enhancements, work)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    @pytest.mark.parametrize("n_jobs", [1, 2])
    @pytest.mark.parametrize("test", ["t", "F"])
    def test_the_peak_is_bounded(self, test: str, n_jobs: int, values: Singles, tmp_path: Path) -> None:
        """All four statistics, eight dimensions of scores in a file."""
        tree = 80 * values.shape[1] * n_jobs
        assert self.peak(values, test, n_jobs, 24, tmp_path) < 64e6 + tree + self.FIXED

    def test_the_number_of_shuffles_adds_next_to_nothing(self, values: Singles, tmp_path: Path) -> None:
        """Three times as many cost no map more: 64 maps would be 18 MB."""
        few, many = (self.peak(values, "t", 2, n, tmp_path) for n in (32, 96))
        assert many - few < 1e6

    def test_a_low_forming_threshold_is_bounded_too(self, values: Singles, tmp_path: Path) -> None:
        """Where nearly every voxel is listed for every shuffle."""
        peak = self.peak(values, "t", 1, 140, tmp_path, 150e6, forming_t=0.05, statistics=STATISTICS[:3])
        assert peak < 150e6 + self.FIXED
