"""The permutation test of a node, through the command line and by hand: families, blocks, refusals, odd data.

The oracles are scipy's t, F and normal distributions and `ndimage.label`: scores are flipped, refitted and enhanced
here by their definitions, and p counted in the joint maxima.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import ndimage, stats

from bids_app.cli.analyse import main
from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.errors import ModelError
from bids_app.inference.corrected_map import CorrectedMap
from bids_app.inference.over_parts import familywise
from bids_app.model.settings import GroupLevelSettings, PermutationSettings
from bids_app.model.specification import NodeSpec
from bids_app.permutation.null_distribution import NullDistribution
from bids_app.permutation.plan import plan_permutations, seconds_per_shuffle
from bids_app.runtime.memory import LEAST_MEMORY, ResourceBudget
from bids_app.spaces.volume import VolumeDomain
from bids_app.statistics.kinds import contrast_tests
from bids_app.workflow.permute import permute

Floats = NDArray[np.float64]

SHAPE = (5, 5, 5)
STEM = "task-faces_space-MNI152NLin2009cAsym_"
STATISTICS = ("voxel", "cluster-size", "cluster-mass", "tfce")
METHODS = {"voxel": "voxelFWE", "clusterSize": "clusterSizeFWE", "clusterMass": "clusterMassFWE", "tfce": "tfceFWE"}
A_MINUS_B = {"Name": "AvsB", "Test": "t", "ConditionList": ["A", "B"], "Weights": [1, -1]}
MEAN = {"Name": "mean", "Test": "t", "ConditionList": ["A", "B"], "Weights": ["1/2", "1/2"]}


@dataclass(frozen=True)
class Study:
    """A dataset, and where its model and its results go."""

    dataset: Path
    folder: Path

    def run(
        self,
        permutation: dict[str, Any],
        *options: str,
        contrasts: Sequence[dict[str, Any]] = (A_MINUS_B,),
        conditions: Sequence[str] = ("A", "B"),
        out: str = "out",
        **block: Any,  # noqa: ANN401
    ) -> int:
        """Run the app with one node; returns its exit code."""
        settings = {
            "Parametric": [{"Correction": "uncorrected"}],
            "Report": {"Interactive": False, "Atlases": []},
            "Permutation": permutation,
            **block,
        }
        node = {
            "Level": "Dataset",
            "Name": "group",
            "GroupBy": [],
            "Model": {"Type": "glm", "X": [*conditions, "subject"], "Software": {"grouplevel": settings}},
            "Contrasts": list(contrasts),
        }
        model = {"Name": "test", "BIDSModelVersion": "1.0.0", "Input": {}, "Nodes": [node]}
        path = self.folder / "model.json"
        path.write_text(json.dumps(model))
        arguments = [self.dataset, self.folder / out, "group", "-m", path, "--skip-bids-validation", *options]
        return main([str(argument) for argument in arguments])

    def path(self, name: str, out: str = "out") -> Path:
        """A file of the node."""
        return self.folder / out / "group" / "node-group" / (STEM + name)

    def mask(self, out: str = "out") -> NDArray[np.bool_]:
        """The analysis mask."""
        return np.asarray(nib.load(self.path("desc-analysis_mask.nii.gz", out)).get_fdata() > 0)

    def p(self, contrast: str, method: str, out: str = "out") -> Floats:
        """A corrected p inside the mask, (n_voxels,)."""
        image = nib.load(self.path(f"contrast-{contrast}_stat-logp_desc-{method}_statmap.nii.gz", out))
        return np.asarray(10 ** -image.get_fdata()[self.mask(out)])

    def maxima(self, contrast: str, out: str = "out") -> pd.DataFrame:
        """The null maxima of a contrast."""
        return pd.read_csv(self.path(f"contrast-{contrast}_desc-null_maxima.tsv.gz", out), sep="\t")

    def sidecar(self, name: str, out: str = "out") -> dict[str, Any]:
        """A JSON file of the node."""
        content: dict[str, Any] = json.loads(self.path(name, out).read_text())
        return content

    def log(self, out: str = "out") -> str:
        """The log files of all runs."""
        return "".join(path.read_text() for path in sorted((self.folder / out / "logs").rglob("log.txt")))


@pytest.fixture
def make_study(make_derivative: Callable[..., Path], tmp_path: Path) -> Callable[..., Study]:
    """Build a study of random maps, or of maps that a function of subject and condition gives."""

    def make(conditions: Sequence[str] = ("A", "B"), **options: Any) -> Study:  # noqa: ANN401
        return Study(make_derivative(conditions, **{"value": smooth_map} | options), tmp_path)

    return make


def smooth_map(subject: int, condition: int) -> NDArray[np.float32]:
    """Smooth noise with an effect of the first condition in a corner."""
    noise = ndimage.gaussian_filter(np.random.default_rng([subject, condition]).standard_normal(SHAPE), 0.8)
    noise[:3, :3, :3] += noise.std() * (condition == 0)
    return np.asarray(noise, np.float32)


def enhance(heights: Floats, threshold: float) -> dict[str, Floats]:
    """Size, mass and TFCE of each voxel by their definitions, on one side, with 26 neighbours."""
    everything = np.ones((3, 3, 3))
    volume = heights.reshape(SHAPE)
    labels, _ = ndimage.label(volume > threshold, everything)
    size = np.bincount(labels.ravel())[labels] * (labels > 0)
    excess = np.where(labels > 0, volume - threshold, 0)
    mass = np.bincount(labels.ravel(), weights=excess.ravel())[labels] * (labels > 0)
    tfce = np.zeros(SHAPE)
    for low, high in pairwise(np.unique(np.concatenate([[0.0], volume[volume > 0]]))):
        at, _ = ndimage.label(volume >= high, everything)
        tfce += np.where(at > 0, np.sqrt(np.bincount(at.ravel())[at]) * (high**3 - low**3) / 3, 0)
    return {"clusterSize": size.ravel(), "clusterMass": mass.ravel(), "tfce": tfce.ravel()}


def z_by_hand(scores: Floats, test: str, threshold: float) -> dict[str, Floats]:
    """What each voxel has on the scale of z, from scores (r, S, V); `test` is F, or the side of t."""
    r, n, _ = scores.shape
    means = scores.mean(axis=1, keepdims=True)
    f = n * np.square(means).sum((0, 1)) / r / (np.square(scores - means).sum((0, 1)) / (r * (n - 1)))
    if test == "F":
        z = stats.norm.isf(stats.f.sf(f, r, r * (n - 1)))
        return enhance(np.maximum(z, 0), threshold) | {"voxel": z}
    t = np.sign(means[0, 0]) * np.sqrt(f)
    z = stats.norm.isf(stats.t.sf(t, n - 1))
    if test == "positive":
        return enhance(z, threshold) | {"voxel": z}
    sides = enhance(z, threshold), enhance(-z, threshold)
    two_sided = stats.norm.isf(2 * stats.t.sf(np.abs(t), n - 1))
    return {key: sides[0][key] + sides[1][key] for key in sides[0]} | {"voxel": two_sided}


def reached(observed: Floats, maxima: Floats) -> Floats:
    """Share of maxima that reach each observed value; 1e-5 as the definition of ties has it in single precision."""
    return np.asarray((maxima[:, None] >= observed - 1e-5 * np.abs(observed)).mean(axis=0))


TOGETHER = (
    {"Name": "one", "Test": "t", "ConditionList": ["A", "B"], "Weights": [1, -1]},
    {"Name": "two", "Test": "t", "ConditionList": ["A", "C"], "Weights": [1, -1]},
    {"Name": "any", "Test": "F", "ConditionList": ["A", "B", "C"], "Weights": [[1, -1, 0], [0, 1, -1]]},
)
FORMING_P = 0.05


class TestAcrossContrasts:
    """A node with a one-sided t, a two-sided t and an F, corrected together over all 64 flips of six subjects."""

    @staticmethod
    def run(study: Study, out: str, *, across: bool) -> None:
        settings = {"N": 5000, "ClusterFormingP": FORMING_P, "AcrossContrasts": across}
        sided = [{"Name": "one", "Sided": "positive"}]
        assert study.run(settings, "--quiet", contrasts=TOGETHER, conditions="ABC", Contrasts=sided, out=out) == 0

    def test_p_are_ranks_in_the_joint_maxima_of_z(self, make_study: Callable[..., Study]) -> None:
        """All four statistics; 2e-4 on the maxima of mass and TFCE, which are cubes of single-precision values."""
        study = make_study("ABC")
        self.run(study, "out", across=True)
        maps = np.array([[smooth_map(i, j).ravel() for j in range(3)] for i in range(6)], float)
        within = {
            "one": np.array([[1, -1, 0]]) / np.sqrt(2),
            "two": np.array([[1, 0, -1]]) / np.sqrt(2),
            "any": np.linalg.qr(np.array([[1, -1, 0], [0, 1, -1]]).T)[0].T,
        }
        tests = {"one": "positive", "two": "two", "any": "F"}
        scores = {name: np.einsum("rk,skv->rsv", m, maps) for name, m in within.items()}
        flips = list(product((1, -1), repeat=6))
        threshold = float(stats.norm.isf(FORMING_P))
        values = [
            {name: z_by_hand(np.array(flip)[:, None] * scores[name], tests[name], threshold) for name in tests}
            for flip in flips
        ]
        for key, method in METHODS.items():
            joint = np.array([max(each[name][key].max() for name in tests) for each in values])
            for name in tests:
                own = np.sort([each[name][key].max() for each in values])
                tolerance = 3e-5 if key in ("voxel", "clusterSize") else 2e-4
                assert np.sort(study.maxima(name)[key]) == pytest.approx(own, rel=tolerance, abs=1e-5)
                expected = reached(values[0][name][key], joint)
                if key != "voxel":
                    expected[values[0][name][key] <= 0] = 1
                assert study.p(name, method) == pytest.approx(expected, rel=1e-6)

    def test_compared_with_each_contrast_on_its_own(self, make_study: Callable[..., Study]) -> None:
        """All take all flips, which the one-sided t needs; p only grow; uncorrected p and fits stay.

        Mass and TFCE are left out: of t they have another order than of z. 1e-6: -log10 p is kept in single precision.
        """
        study = make_study("ABC")
        self.run(study, "out", across=True)
        self.run(study, "own", across=False)
        for name, stat, n_alone in (("one", "t", 64), ("two", "t", 32), ("any", "F", 32)):
            assert (len(study.maxima(name)), len(study.maxima(name, "own"))) == (64, n_alone)
            sidecar = study.sidecar(f"contrast-{name}_stat-logp_desc-tfceFWE_statmap.json")
            assert (sidecar["NumberOfShuffles"], sidecar["NumberOfPossibleShuffles"]) == (64, 64)
            assert sidecar["Exhaustive"] is True
            assert sidecar["ContrastsCorrectedTogether"] == 3
            for method in ("voxelFWE", "clusterSizeFWE"):
                assert np.all(study.p(name, method) >= study.p(name, method, "own") * (1 - 1e-6))
            images = [study.path(f"contrast-{name}_stat-{stat}_statmap.nii.gz", out) for out in ("out", "own")]
            assert images[0].read_bytes() == images[1].read_bytes()
            both = [study.p(name, "voxelUncorrected", out) for out in ("out", "own")]
            assert both[0] == pytest.approx(both[1], rel=1e-6)


S, K, V = 8, 2, 125
GROUP = np.repeat([1.0, 0.0], [3, 5])
AGE = np.array([-2.0, 0.5, 1.0, -1.5, 0.0, 2.5, -0.5, 0.3])


def a_contrast(name: str, within: list[list[float]], between: list[list[float]], **fields: Any) -> Contrast:  # noqa: ANN401
    """A contrast of two cells, two groups and age."""
    weights = np.array(within, float)
    return Contrast(
        **{
            "name": name,
            "label": name,
            "test": "t",
            "sided": "two",
            "weights": weights,
            "cell_weights": weights,
            "within": np.linalg.qr(weights.T)[0].T if len(weights) > 1 else weights / np.linalg.norm(weights),
            "between": np.array(between, float),
            "error_term": "partitioned",
            "sphericity": "none",
        }
        | fields
    )


def by_hand(
    contrasts: Sequence[Contrast], settings: dict[str, Any], between: Floats, blocks: str = ""
) -> tuple[NodeSpec, Design]:
    """A node and a design of eight subjects and two cells with the columns of B that are given."""
    names = tuple(map(str, range(between.shape[1])))
    cells, subjects = ("A", "B"), tuple("12345678")
    matrix = np.tile(np.eye(K), (S, 1))
    design = Design(matrix, cells, subjects, cells, between, names, tuple(contrasts), blocks=tuple(blocks))
    permutation = PermutationSettings(**{"cluster_forming_p": 0.05} | settings)
    return NodeSpec("n", cells, True, (), GroupLevelSettings(permutation=permutation)), design  # noqa: FBT003


def permuted(
    values: NDArray[np.float32], node: NodeSpec, design: Design, work_dir: Path, seed: int = 0
) -> list[tuple[NullDistribution, tuple[CorrectedMap, ...]]]:
    """Plan, permute and correct everything."""
    lattice = VolumeDomain.from_mask(np.ones(SHAPE, np.bool_), np.eye(4), 26)
    plans = plan_permutations(node, design, contrast_tests(design), lattice, seed)
    means = ResourceBudget(2, LEAST_MEMORY, work_dir, quiet=True)
    alpha = node.settings.permutation.alpha if node.settings.permutation else 0.0
    return [
        (null, familywise(null, alpha, family))
        for null, family in permute(values, node, design, plans, means)
        if null is not None
    ]


GROUPS_AND_AGE = np.column_stack([GROUP, 1 - GROUP, AGE])
MEANS, DIFFERENCE = [[0.5, 0.5]], [[1.0, -1.0]]
FAMILIES = {
    "flipped t": a_contrast("within", DIFFERENCE, [[0.5, 0.5, 0]], sided="positive"),
    "flipped F": a_contrast("mean", MEANS, [[0.5, 0.5, 0]], test="F", sided="positive"),
    "permuted t": a_contrast("group", MEANS, [[1, -1, 0]], sided="negative"),
    "permuted F": a_contrast("age", MEANS, [[0, 0, 1]], test="F", sided="positive"),
}


@pytest.fixture
def values(rng: np.random.Generator) -> NDArray[np.float32]:
    """Maps of eight subjects x two cells, the first subject far off."""
    noise = rng.standard_normal((S, K, V))
    noise[:3, 0, :20] += 1.5
    return noise.reshape(S * K, V).astype(np.float32)


def test_families_of_two_schemes_share_by_bonferroni(values: NDArray[np.float32], tmp_path: Path) -> None:
    """Each family has its own joint maxima, p is twice the rank in them, and 1 at most; alpha is halved for values."""
    node, design = by_hand(tuple(FAMILIES.values()), {"n": 400, "across_contrasts": True}, GROUPS_AND_AGE)
    results = permuted(values, node, design, tmp_path)
    schemes = [null.shuffles.scheme for null, _ in results]
    assert schemes == ["sign-flip", "sign-flip", "permute", "permute"]
    for family in (results[:2], results[2:]):
        (one, _), (other, _) = family
        assert np.array_equal(one.shuffles.sign, other.shuffles.sign)
        assert np.array_equal(one.shuffles.order, other.shuffles.order)
        for null, inferences in family:
            for inference, key in zip(inferences, METHODS, strict=True):
                joint = np.maximum(one.maxima[key], other.maxima[key])
                expected = np.minimum(1, 2 * reached(null.observed[key], joint))
                if key != "voxel":
                    expected[null.observed[key] <= 0] = 1
                assert inference.p == pytest.approx(expected, rel=1e-12)
                assert (inference.n_families, inference.across) == (2, 2)
                n_beyond = int(np.sum(joint > inference.threshold))
                n_allowed = int(0.025 * len(joint))
                assert n_beyond <= n_allowed < n_beyond + np.sum(joint == inference.threshold)


def test_a_family_of_one_is_on_z_and_pays_for_the_other(values: NDArray[np.float32], tmp_path: Path) -> None:
    """One flipped and one permuted contrast: twice the p of the contrast alone, for the voxels."""
    pair = (FAMILIES["flipped t"], FAMILIES["permuted t"])
    node, design = by_hand(pair, {"n": 300, "across_contrasts": True}, GROUPS_AND_AGE)
    together = permuted(values, node, design, tmp_path / "1")
    node, design = by_hand(pair, {"n": 300}, GROUPS_AND_AGE)
    alone = permuted(values, node, design, tmp_path / "2")
    for (null, across), (_, own) in zip(together, alone, strict=True):
        assert null.on_z
        assert across[0].p == pytest.approx(np.minimum(1, 2 * own[0].p))
        assert across[1].p == pytest.approx(np.where(own[1].p < 1, np.minimum(1, 2 * own[1].p), 1))


def test_one_contrast_has_nothing_to_be_corrected_with(values: NDArray[np.float32], tmp_path: Path) -> None:
    """AcrossContrasts changes nothing in a node of one contrast."""
    results = []
    for across in (True, False):
        node, design = by_hand([FAMILIES["flipped t"]], {"n": 50, "across_contrasts": across}, GROUPS_AND_AGE)
        ((null, inferences),) = permuted(values, node, design, tmp_path / str(across))
        assert not null.on_z
        results.append(inferences)
    for one, other in zip(*results, strict=True):
        assert np.array_equal(one.p, other.p)
        assert not one.is_across


def test_the_joint_p_of_permuted_contrasts_is_that_of_scipy(values: NDArray[np.float32], tmp_path: Path) -> None:
    """All 56 ways to choose the group of three: two-sample t of two cells on z, the larger of the two maxima."""
    contrasts = [a_contrast(name, [row], [[1, -1]]) for name, row in (("A", [1.0, 0]), ("B", [0, 1.0]))]
    node, design = by_hand(contrasts, {"n": 1000, "across_contrasts": True}, GROUPS_AND_AGE[:, :2])
    results = permuted(values, node, design, tmp_path)
    cells = values.reshape(S, K, V).astype(float)
    z = []
    for member in product((False, True), repeat=S):
        if sum(member) == 3:
            chosen = np.array(member)
            t = stats.ttest_ind(cells[chosen], cells[~chosen]).statistic  # (K, V)
            z.append(stats.norm.isf(2 * stats.t.sf(np.abs(t), S - 2)))
    joint = np.array([each.max() for each in z])
    (observed,) = [each for each, member in zip(z, _threes(), strict=True) if member == (0, 1, 2)]
    for (null, inferences), z_observed in zip(results, observed, strict=True):
        assert null.shuffles.exhaustive
        assert null.shuffles.n_possible == 56
        assert inferences[0].p == pytest.approx(reached(z_observed, joint), abs=1e-12)


def _threes() -> list[tuple[int, ...]]:
    """The members of each choice of three, in the order of `product` over memberships."""
    every = (tuple(np.flatnonzero(member)) for member in product((False, True), repeat=S))
    return [tuple(int(i) for i in member) for member in every if len(member) == 3]


class TestBlocks:
    """Families from participants.tsv, through the command line."""

    @pytest.fixture
    def study(self, make_study: Callable[..., Study]) -> Study:
        study = make_study()
        rows = (f"sub-{i + 1:02}\t{family}\n" for i, family in enumerate("xyzzyx"))
        (study.dataset / "participants.tsv").write_text("participant_id\tfamily\n" + "".join(rows))
        return study

    def test_flips_act_on_pairs(self, study: Study) -> None:
        """Three pairs leave four flips of |t|; their maxima are those of scipy, and every p is a multiple of 1/4."""
        assert study.run({"N": 5000, "ExchangeabilityBlocks": "family"}) == 0
        differences = np.array([(smooth_map(i, 0) - smooth_map(i, 1)).ravel() for i in range(6)], float)
        flips = [np.array([x, y, z, z, y, x])[:, None] for x, y, z in product((1, -1), repeat=3) if x == 1]
        expected = [np.abs(stats.ttest_1samp(flip * differences, 0).statistic).max() for flip in flips]
        assert np.sort(study.maxima("AvsB")["voxel"]) == pytest.approx(np.sort(expected), rel=3e-5)
        for method in ("voxelFWE", "voxelUncorrected"):
            quarters = 4 * study.p("AvsB", method)
            assert quarters == pytest.approx(np.round(quarters), rel=1e-6)
            assert quarters.min() > 0.99

    def test_log_and_sidecars_say_so(self, study: Study) -> None:
        """The blocks, what flips, and how many flips there are."""
        assert study.run({"N": 5000, "ExchangeabilityBlocks": "family"}) == 0
        assert 'column "family"' in study.log()
        assert "sign-flips act on whole blocks" in study.log()
        assert "5000 shuffles asked for, 4 distinct ones exist; all are used" in study.log()
        families = study.sidecar("design.json")["Blocks"]
        assert families == {f"sub-{i + 1:02}": family for i, family in enumerate("xyzzyx")}
        sidecar = study.sidecar("contrast-AvsB_stat-logp_desc-voxelFWE_statmap.json")
        assert (sidecar["NumberOfShuffles"], sidecar["NumberOfPossibleShuffles"]) == (4, 4)

    def test_members_that_are_independent_flip_one_by_one(self, study: Study) -> None:
        """FlipBlocks false: sites, not families."""
        settings = {"N": 5000, "ExchangeabilityBlocks": "family", "FlipBlocks": False}
        assert study.run(settings) == 0
        assert len(study.maxima("AvsB")) == 32
        assert "sign-flips act on single subjects" in study.log()

    @pytest.mark.parametrize("scheme", ["within", "free"])
    def test_blocks_and_swaps_of_maps_do_not_go_together(
        self, study: Study, scheme: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The message names the setting, and what to use."""
        assert study.run({"ExchangeabilityBlocks": "family", "Shuffle": scheme}, "--quiet") == 65
        said = capsys.readouterr().err
        assert f'Nodes[0]: Permutation: Shuffle "{scheme}" knows no ExchangeabilityBlocks' in said
        assert 'use "sign-flip" or "permute", or no blocks' in said
        assert not (study.folder / "out").exists()

    def test_one_family_leaves_nothing_to_flip(self, study: Study, capsys: pytest.CaptureFixture[str]) -> None:
        """|t| does not see all signs change at once; one-sided, two flips are left."""
        rows = "".join(f"sub-{i + 1:02}\tx\n" for i in range(6))
        (study.dataset / "participants.tsv").write_text("participant_id\tfamily\n" + rows)
        assert study.run({"ExchangeabilityBlocks": "family"}, "--quiet") == 65
        said = capsys.readouterr().err
        assert "AvsB: no permutation but the observed one exists (sign-flip)" in said
        assert study.run({"ExchangeabilityBlocks": "family"}, "--quiet", Sided="positive") == 0
        assert study.p("AvsB", "voxelFWE").min() == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize(
    ("scheme", "contrast", "expected"),
    [
        ("permute", A_MINUS_B, 'Shuffle "permute" swaps subjects, which leaves their mean as it is; AvsB'),
        ("permute", MEAN, 'Shuffle "permute" swaps subjects, which leaves their mean as it is; mean'),
        ("within", MEAN, 'Shuffle "within" swaps the cells of a subject, which leaves their mean as it is, and mean'),
        ("free", MEAN, 'Shuffle "free" swaps subjects, which leaves their mean as it is; mean'),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_a_scheme_that_cannot_test_a_mean_is_an_error_of_the_model(
    scheme: str, contrast: dict[str, Any], expected: str,
    make_study: Callable[..., Study], capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Exit code 65, the place in the model, the contrast and what to use; nothing is written."""
    study = make_study()
    assert study.run({"Shuffle": scheme}, "--quiet", contrasts=[contrast]) == 65
    said = capsys.readouterr().err
    assert f"Nodes[0]: Permutation: {expected}" in said
    assert 'Use "auto"' in said
    assert not (study.folder / "out").exists()


def test_groups_that_are_their_own_blocks_cannot_be_permuted() -> None:
    """Everybody who may swap places is alike: ModelError, exit code 65, with the number of blocks."""
    node, design = by_hand([FAMILIES["permuted t"]], {"exchangeability_blocks": "site"}, GROUPS_AND_AGE[:, :2])
    contrast = a_contrast("group", MEANS, [[1, -1]])
    node, design = by_hand([contrast], {"exchangeability_blocks": "site"}, GROUPS_AND_AGE[:, :2], "xxxyyyyy")
    with pytest.raises(ModelError, match="group: no permutation but the observed one") as caught:
        plan_permutations(
            node, design, contrast_tests(design), VolumeDomain.from_mask(np.ones(SHAPE, np.bool_), np.eye(4), 26), 0
        )
    assert caught.value.exit_code == 65
    assert "within its 2 ExchangeabilityBlocks are alike in the design" in str(caught.value)


def test_no_permutation_means_no_plan(values: NDArray[np.float32], tmp_path: Path) -> None:
    """Nothing is planned, done or written."""
    node, design = by_hand([FAMILIES["flipped t"]], {}, GROUPS_AND_AGE)
    node = NodeSpec("n", node.conditions, True, (), GroupLevelSettings(permutation=None))  # noqa: FBT003
    assert plan_permutations(
        node, design, contrast_tests(design), VolumeDomain.from_mask(np.ones(SHAPE, np.bool_), np.eye(4), 26), 0
    ) == (None,)
    assert permuted(values, node, design, tmp_path / "work") == []
    assert not (tmp_path / "work").exists()


def test_more_shuffles_asked_than_exist(make_study: Callable[..., Study]) -> None:
    """The log says how many there are, that all are used, and what the smallest p is; so does the sidecar."""
    study = make_study()
    assert study.run({"N": 1000, "Tail": "gpd"}) == 0
    assert "AvsB: 1000 shuffles asked for, 32 distinct ones exist; all are used" in study.log()
    assert "no p-value can be below 1/32" in study.log()
    assert len(study.maxima("AvsB")) == 32
    sidecar = study.sidecar("contrast-AvsB_stat-logp_desc-tfceFWE_statmap.json")
    assert (sidecar["NumberOfShuffles"], sidecar["NumberOfPossibleShuffles"], sidecar["Exhaustive"]) == (32, 32, True)


def test_an_exhaustive_null_needs_no_tail(make_study: Callable[..., Study]) -> None:
    """512 flips of ten subjects, all used: p are their ranks, though 500 would be enough for a fit."""
    study = make_study(n_subjects=10)
    assert study.run({"N": 5000, "Tail": "gpd"}, "--quiet") == 0
    assert study.run({"N": 5000}, "--quiet", out="plain") == 0
    for method in METHODS.values():
        name = f"contrast-AvsB_stat-logp_desc-{method}_statmap"
        assert study.path(f"{name}.nii.gz").read_bytes() == study.path(f"{name}.nii.gz", "plain").read_bytes()
        assert study.sidecar(f"{name}.json")["TailApproximation"].startswith("not used: ")
    ranks = study.p("AvsB", "voxelFWE") * 512
    assert ranks == pytest.approx(np.round(ranks), rel=1e-5)


def test_a_sampled_null_may_have_a_tail(make_study: Callable[..., Study]) -> None:
    """The same study with 500 of the 512: what is below 0.10 is no rank any more, and what is above is one."""
    study = make_study(n_subjects=10)
    assert study.run({"N": 500, "Tail": "gpd", "Statistics": ["voxel"]}, "--quiet") == 0
    assert study.run({"N": 500, "Statistics": ["voxel"]}, "--quiet", out="plain") == 0
    approximate, ranks = study.p("AvsB", "voxelFWE"), study.p("AvsB", "voxelFWE", "plain")
    above = ranks >= 0.1001
    assert approximate[above] == pytest.approx(ranks[above], rel=1e-6)
    assert approximate.min() >= (1 / 512) * (1 - 1e-6)
    assert study.maxima("AvsB").equals(study.maxima("AvsB", "plain"))


class TestOneShuffle:
    """N = 1 is the observed labelling alone: everything has p = 1."""

    def test_every_p_is_one(self, make_study: Callable[..., Study]) -> None:
        study = make_study()
        assert study.run({"N": 1, "AcrossContrasts": True}, "--quiet", contrasts=[A_MINUS_B, MEAN]) == 0
        for contrast in ("AvsB", "mean"):
            assert len(study.maxima(contrast)) == 1
            for method in (*METHODS.values(), "voxelUncorrected"):
                assert np.all(study.p(contrast, method) == 1)
        sidecar = study.sidecar("contrast-AvsB_stat-logp_desc-voxelFWE_statmap.json")
        assert sidecar["CriticalValue"] is None

    @pytest.mark.parametrize("n", [1, 2, 3])
    def test_a_dry_run_needs_no_more(self, n: int, make_study: Callable[..., Study]) -> None:
        """It times shuffles, however few there are."""
        assert make_study().run({"N": n}, "--quiet", "--dry-run") == 0

    @pytest.mark.parametrize("n", [1, 2, 3, 50])
    def test_a_shuffle_takes_some_time(self, n: int, values: NDArray[np.float32]) -> None:
        node, design = by_hand([FAMILIES["flipped t"]], {"n": n}, GROUPS_AND_AGE)
        (plan,) = plan_permutations(
            node, design, contrast_tests(design), VolumeDomain.from_mask(np.ones(SHAPE, np.bool_), np.eye(4), 26), 0
        )
        assert plan is not None
        assert 0 <= seconds_per_shuffle(values, plan) < 1


def test_fewer_than_one_shuffle_is_refused(
    make_study: Callable[..., Study], capsys: pytest.CaptureFixture[str]
) -> None:
    """With the key and what was expected."""
    assert make_study().run({"N": 0}, "--quiet") == 65
    assert "Permutation.N: expected at least 1; found 0" in capsys.readouterr().err


def test_a_forming_p_over_0_05_is_refused(make_study: Callable[..., Study], capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the other way to say it."""
    assert make_study().run({"ClusterFormingP": 0.0501}, "--quiet") == 65
    said = capsys.readouterr().err
    assert "ClusterFormingP: expected at most 0.05; found 0.0501" in said
    assert '"ClusterFormingT"' in said


def test_a_mask_of_one_voxel(make_study: Callable[..., Study]) -> None:
    """Familywise and uncorrected p are the same there, and a cluster is that voxel."""
    study = make_study()
    mask = np.zeros(SHAPE, np.uint8)
    mask[1, 1, 1] = 1
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = -8
    path = study.folder / "mask.nii.gz"
    nib.save(nib.Nifti1Image(mask, affine), path)
    assert study.run({"N": 64, "ClusterFormingP": 0.05}, "--quiet", "--mask", str(path)) == 0
    assert study.mask().sum() == 1
    differences = np.array([smooth_map(i, 0)[1, 1, 1] - smooth_map(i, 1)[1, 1, 1] for i in range(6)], float)
    flips = np.array([flip for flip in product((1, -1), repeat=6) if flip[0] == 1])
    sums = np.abs(flips @ differences)  # |t| rises with |sum|: the sum of squares does not change
    expected = np.mean(sums >= sums[0] * (1 - 1e-9))
    assert study.p("AvsB", "voxelFWE")[0] == pytest.approx(expected, rel=1e-6)
    assert study.p("AvsB", "voxelUncorrected")[0] == pytest.approx(expected, rel=1e-6)
    assert study.p("AvsB", "tfceFWE")[0] == pytest.approx(expected, rel=1e-6)
    assert set(study.maxima("AvsB")["clusterSize"]) <= {0, 1}


def test_a_study_where_nothing_survives(make_study: Callable[..., Study]) -> None:
    """Tables have no rows, thresholded maps are empty, and the report says which p would be possible."""
    study = make_study(value=lambda i, j: np.random.default_rng([i, j, 5]).standard_normal(SHAPE).astype(np.float32))
    assert study.run({"N": 32, "Alpha": 0.01}, "--quiet") == 0
    for method in METHODS.values():
        assert study.path(f"contrast-AvsB_desc-{method}_clusters.tsv").read_text().count("\n") == 1
        image = nib.load(study.path(f"contrast-AvsB_stat-t_desc-{method}Thresh_statmap.nii.gz"))
        assert not np.any(image.get_fdata())
        sidecar = study.sidecar(f"contrast-AvsB_stat-logp_desc-{method}_statmap.json")
        assert sidecar["NumberOfSignificantVoxels"] == 0
    assert "0.031" in (study.folder / "out" / "report.html").read_text()  # 1/32, above alpha


def odd_map(subject: int, condition: int) -> NDArray[np.float32]:
    """Noise with an infinite, a missing and two constant voxels."""
    values = smooth_map(subject, condition)
    values[0, 0, 0] = np.inf if (subject, condition) == (2, 0) else 1
    values[0, 0, 1] = np.nan if (subject, condition) == (4, 1) else 1
    values[1, 1, 1] = 7.5 + condition  # the same in all subjects
    values[2, 2, 2] = 0.3 * (subject + 1)  # the same in both conditions
    return values


def test_infinite_missing_and_constant_voxels_leave_the_mask(make_study: Callable[..., Study]) -> None:
    """They are counted in the log, and the others' p are those of a study that never had them."""
    study = make_study(value=odd_map)
    assert study.run({"N": 5000, "ClusterFormingP": 0.05}) == 0
    gone = np.zeros(SHAPE, np.bool_)
    for voxel in ((0, 0, 0), (0, 0, 1), (1, 1, 1), (2, 2, 2)):
        gone[voxel] = True
    assert np.array_equal(study.mask(), ~gone)
    assert "2 voxels left the mask because a map lacks them; by subject: sub-03 1, sub-05 1" in study.log()
    assert "2 voxels left the mask: there, some contrast does not vary over subjects" in study.log()
    differences = np.array([(smooth_map(i, 0) - smooth_map(i, 1))[~gone] for i in range(6)], float)
    flips = [np.array(flip)[:, None] for flip in product((1, -1), repeat=6) if flip[0] == 1]
    t = np.array([np.abs(stats.ttest_1samp(flip * differences, 0).statistic) for flip in flips])
    (observed,) = [row for row, flip in zip(t, flips, strict=True) if np.all(flip == 1)]
    assert study.p("AvsB", "voxelFWE") == pytest.approx(reached(observed, t.max(axis=1)), rel=1e-6)


def test_a_subject_of_zeros_is_named(make_study: Callable[..., Study], capsys: pytest.CaptureFixture[str]) -> None:
    """No voxel has a value in every map: exit code 65 and the subject to look at."""
    study = make_study(value=lambda i, j: smooth_map(i, j) * (i != 3))
    assert study.run({"N": 10}, "--quiet") == 65
    assert "sub-04 lacks 125" in capsys.readouterr().err
    assert not (study.folder / "out").exists()


def test_a_seed_decides_which_shuffles_are_drawn(values: NDArray[np.float32], tmp_path: Path) -> None:
    """The same seed gives the same maxima, another one others; the observed labelling is the first in both."""
    node, design = by_hand([FAMILIES["permuted t"]], {"n": 40}, GROUPS_AND_AGE)
    logging.getLogger("bids_app").setLevel(logging.ERROR)  # of the checkpoints that are refused
    runs = [
        permuted(values, node, design, tmp_path / name, seed)[0][0] for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    for key in METHODS:
        assert np.array_equal(runs[0].maxima[key], runs[1].maxima[key])
        assert not np.array_equal(runs[0].maxima[key], runs[2].maxima[key])
        assert runs[0].maxima[key][0] == runs[2].maxima[key][0]
