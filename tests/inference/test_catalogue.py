"""The catalogue of corrections: complete, in agreement with the model, and the one place where they are chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from bids_app.inference.catalogue import METHODS, asked_for, by_permutation, columns, correct
from bids_app.inference.corrected_map import ClusterBounds, CorrectedMap
from bids_app.inference.evidence import Evidence
from bids_app.inference.familywise_p import joint_family, own_family
from bids_app.inference.method import Column, Method, Use, Wording
from bids_app.model.bound_settings import TrueDiscoveriesSettings
from bids_app.model.parametric_settings import Correction
from bids_app.model.settings import Enhancement, GroupLevelSettings
from bids_app.permutation.enhancements import KEYS
from bids_app.permutation.null_distribution import NullDistribution
from bids_app.permutation.schemes import sign_flips
from bids_app.statistics.smoothness import Smoothness
from builders.evidence import line, make_fit

N_VOXELS = 12
T = np.linspace(-2.0, 9.0, N_VOXELS)


def make_null(rng: np.random.Generator, keys: tuple[str, ...] = tuple(KEYS.values())) -> NullDistribution:
    """Eight flips of four statistics."""
    shuffles = sign_flips(4, 8, np.random.default_rng(0), up_to_sign=True)
    maxima = {key: np.arange(8.0) for key in keys}
    observed = {key: rng.uniform(0, 8, N_VOXELS) for key in keys}
    reached, pivots = np.ones(N_VOXELS, np.int64), np.linspace(0.01, 1, 8)
    p = rng.uniform(size=N_VOXELS)
    return NullDistribution("c", shuffles, maxima, observed, reached, 3.0, 26, pivots=pivots, nominal_p=p)


def make_evidence(null: NullDistribution | None = None) -> Evidence:
    return Evidence(make_fit(T), line(N_VOXELS), null=null, family=own_family(null) if null else None)


def settings(**block: Any) -> GroupLevelSettings:  # noqa: ANN401
    return GroupLevelSettings.model_validate(block)


def test_the_model_and_the_catalogue_name_the_same_corrections() -> None:
    """What a model may ask for is what there is, and the statistics are those of the null distribution."""
    options = {
        kind: {row.option for row in METHODS.values() if row.kind == kind} for kind in ("parametric", "permutation")
    }
    assert options == {"parametric": set(get_args(Correction)), "permutation": set(get_args(Enhancement))}
    bounds = {row.option for row in METHODS.values() if row.kind == "bounds"}
    assert bounds == set(get_args(TrueDiscoveriesSettings.model_fields["method"].annotation))
    permuted = [row for row in METHODS.values() if row.kind == "permutation"]
    assert {row.option: row.statistic for row in permuted} == KEYS


@pytest.mark.parametrize("row", METHODS.values(), ids=lambda row: row.key)
def test_a_row_is_complete(row: Method) -> None:
    """Its need decides whether it has a null distribution to draw; every text is there, and is not another's."""
    assert METHODS[row.key] is row
    assert bool(row.statistic) == (row.kind == "permutation") == bool(row.words.null_title)
    assert not row.statistic or "permutations" in row.needs
    assert bool(row.words.maximised) == bool(row.statistic)
    columns_of = ["true_discoveries", "tdp"] if row.kind == "bounds" else [f"p_{row.key}"]
    assert [column.name for column in row.words.columns] == columns_of
    for name in ("name", "in_sentence", "short", "p"):
        texts = [getattr(other.words, name) for other in METHODS.values()]
        assert texts.count(getattr(row.words, name)) == 1
    assert row.follows_from_fit == (row.kind != "permutation" and not row.needs & {"smoothness", "permutations"})


def test_templates_take_what_they_are_given() -> None:
    """Every unit, threshold and title can be filled in, with and without z."""
    given = {"statistic": "|t|", "relation": ">", "value": 4.51, "whole": 4, "of_z": " of z"}
    filled = {key: row.words.threshold.format(**given) for key, row in METHODS.items()}
    assert filled["voxelFWE"] == filled["bonferroni"] == "|t| > 4.51"
    assert filled["clusterSizeFWE"] == "clusters of more than 4 voxels"
    assert filled["clusterMassFWE"] == "cluster mass of z above 4.5"
    for row in METHODS.values():
        assert row.words.unit.format(statistic="F", of_z="")
        assert not row.statistic or row.words.null_title.format(statistic="F")


def test_every_column_has_one_owner() -> None:
    """Bounds, of which a model asks for one kind, share theirs."""
    names = [column.name for row in METHODS.values() if row.kind != "bounds" for column in row.words.columns]
    assert list(columns()) == [*names, "true_discoveries", "tdp"]
    assert len(set(names)) == len(names)


def test_a_result_carries_the_key_of_its_row(rng: np.random.Generator) -> None:
    """Files, tables and texts find the row by it."""
    field = Smoothness((8.0, 8.0, 8.0), (4.0, 4.0, 4.0), 64.0, N_VOXELS, 12)
    evidence = replace(make_evidence(make_null(rng)), smoothness=field)
    every = settings(Parametric=[{"Correction": option} for option in get_args(Correction)])
    asked = {row.option: each for row, each in asked_for(evidence, every)}
    for row in METHODS.values():
        result = row.correct(evidence, asked.get(row.option, TrueDiscoveriesSettings()))
        assert isinstance(result, ClusterBounds if row.kind == "bounds" else CorrectedMap)
        assert result.method == row.key


def test_the_model_decides_what_is_corrected(rng: np.random.Generator) -> None:
    """Parametric ones as they are listed; permutations in the order of the statistics; nothing else."""
    null = make_null(rng, ("voxel", "tfce"))
    asked = settings(
        Parametric=[{"Correction": "fdr", "Alpha": 0.1}, {"Correction": "bonferroni"}],
        Permutation={"Alpha": 0.2},
        TrueDiscoveries=None,
    )
    maps, bounds = correct(make_evidence(null), asked)
    assert [each.method for each in maps] == ["fdr", "bonferroni", "voxelFWE", "tfceFWE"]
    assert [each.alpha for each in maps] == [0.1, 0.05, 0.2, 0.2]
    assert bounds == ()
    maps, _ = correct(make_evidence(), settings(Parametric=[], Permutation=None))
    assert maps == ()


def test_the_family_is_what_maps_are_ranked_among(rng: np.random.Generator) -> None:
    """Its joint maxima, and the number of families."""
    null = make_null(rng, ("voxel",))
    higher = replace(null, maxima={"voxel": np.full(8, 100.0)})
    evidence = replace(make_evidence(null), family=joint_family([null, higher], None, 2))
    (result,), _ = correct(evidence, settings(Parametric=[]))
    assert (result.across, result.n_families) == (2, 2)
    assert result.p.tolist() == [1.0] * N_VOXELS


def test_statistics_are_listed_in_the_order_of_the_null_distribution() -> None:
    rows = by_permutation(["tfceFWE", "fdr", "voxelFWE", "clusterMassFWE"])
    assert [row.statistic for row in rows] == ["voxel", "clusterMass", "tfce"]


def test_what_a_correction_needs_and_lacks_is_named() -> None:
    """Permutations where none were made, and the smoothness where none could be estimated."""
    with pytest.raises(ValueError, match="voxelFWE needs permutations, and c has none"):
        METHODS["voxelFWE"].correct(make_evidence(), settings().permutation)
    smooth = replace(METHODS["bonferroni"], key="made-up", needs=frozenset({"smoothness"}))
    with pytest.raises(ValueError, match="made-up needs smoothness"):
        smooth.correct(make_evidence(), None)


def share_of_rejected(evidence: Evidence, asked: Any) -> ClusterBounds:  # noqa: ANN401
    """Bound the true discoveries by the voxels that Bonferroni rejects: simultaneous, as no false one is among them."""
    rejected: NDArray[np.bool_] = evidence.fit.p <= asked.alpha / evidence.fit.p.size
    return ClusterBounds("made-up", asked.alpha, lambda members: int(rejected[members].sum()))


def test_bounds_are_a_result_of_their_own(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that yields bounds needs nothing else: it is applied where its settings are there, beside the maps."""
    bounding = Method(
        key="made-up",
        option="made-up",
        kind="bounds",
        level="cluster",
        needs=frozenset({"parametric p"}),
        apply=share_of_rejected,
        asked=lambda block: block.permutation,
        words=Wording("Made up", "made up", "made up", "none", (Column("tdp", "TDP", "Share."),)),
    )
    monkeypatch.setitem(METHODS, "made-up", bounding)
    maps, bounds = correct(make_evidence(make_null(rng)), settings(TrueDiscoveries=None))
    assert [each.method for each in maps] == [
        "bonferroni",
        "fdr",
        "uncorrected",
        *(f"{key}FWE" for key in KEYS.values()),
    ]
    (bound,) = bounds
    found = bound.of_sets([np.arange(N_VOXELS), np.array([0, 1]), np.array([0, 11])])
    assert found["true_discoveries"].tolist() == [int((make_fit(T).p <= 0.05 / N_VOXELS).sum()), 0, 1]
    assert found["tdp"].tolist() == [found["true_discoveries"][0] / N_VOXELS, 0.0, 0.5]
    _, bounds = correct(make_evidence(), settings(Permutation=None, TrueDiscoveries=None))
    assert bounds == ()


def test_bounds_are_there_unless_the_model_forgoes_them() -> None:
    (bound,) = correct(make_evidence(), settings(Permutation=None, TrueDiscoveries={"Alpha": 0.01}))[1]
    assert (bound.method, bound.alpha) == ("ari", 0.01)
    assert correct(make_evidence(), settings(Permutation=None, TrueDiscoveries=None))[1] == ()


def test_sentences_state_the_level_and_the_extent() -> None:
    """Those of the methods text that a row brings along."""
    use = Use(0.01, 20, {"A": make_fit(T).contrast, "B": make_fit(T, "positive").contrast})
    assert "0.01" in METHODS["bonferroni"].words.sentence(use)
    assert METHODS["uncorrected"].words.sentence(use).endswith("0.01 in clusters of at least 20 voxels.")
    assert METHODS["uncorrected"].words.sentence(replace(use, extent=0)).endswith("0.01.")
    fdr = METHODS["fdr"].words.sentence(use)
    assert "two-sided p-values of A." in fdr  # B is one-sided, for which the bound is proved
    assert " B" not in fdr
