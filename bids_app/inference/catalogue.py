"""The catalogue of corrections for multiple testing: one row each, from which everything said of them is derived.

To add a correction: its function in a file of its own, its row here, its name in the model (`model.settings`).
"""

from __future__ import annotations

from collections.abc import Iterable

from bids_app.inference import parametric, random_field, statements, true_discoveries
from bids_app.inference.corrected_map import ClusterBounds, CorrectedMap
from bids_app.inference.dependence import bound_words
from bids_app.inference.evidence import Evidence
from bids_app.inference.method import Column, Method, Wording
from bids_app.inference.over_parts import by_maximum
from bids_app.model.bound_settings import TrueDiscoveriesSettings
from bids_app.model.settings import GroupLevelSettings
from bids_app.permutation.enhancements import KEYS

_OF_ITS_CLUSTER = (
    "It belongs to the cluster that the cluster-forming threshold makes around the peak voxel, not to the voxel; 1 "
    "where there is no such cluster."
)

_TRUE_DISCOVERIES = (
    Column(
        "true_discoveries",
        "true",
        "Lower bound on the number of the cluster's voxels that have an effect; it holds for all sets of voxels at "
        "once, with the confidence 1 - Alpha of TrueDiscoveries.",
        is_whole=True,
    ),
    Column("tdp", "TDP", "The same bound as a share of the cluster's voxels: the true discovery proportion."),
)


def _bounds_by(settings: GroupLevelSettings, method: str) -> TrueDiscoveriesSettings | None:
    """Return the settings of bounds where a model asks for those of a method."""
    asked = settings.true_discoveries
    return asked if asked is not None and asked.method == method else None


_ROWS = (
    # Best first: the first that was used is looked at closely. Fixed beforehand, never chosen by what survives.
    Method(
        key="voxelFWE",
        option="voxel",
        kind="permutation",
        level="voxel",
        needs=frozenset({"permutations"}),
        apply=by_maximum("voxel"),
        statistic="voxel",
        words=Wording(
            name="Voxel-wise FWE",
            in_sentence="voxel-wise FWE",
            short="voxel",
            p="familywise-error corrected p of the voxel's statistic, by permutation",
            columns=(
                Column(
                    "p_voxelFWE",
                    "p voxel",
                    "Permutation p-value at the peak voxel, familywise corrected by the maximum statistic.",
                ),
            ),
            null_title="Maximum {statistic}",
            maximised="the statistic of single voxels",
        ),
    ),
    Method(
        key="tfceFWE",
        option="tfce",
        kind="permutation",
        level="cluster",
        needs=frozenset({"permutations", "neighbours"}),
        apply=by_maximum("tfce"),
        statistic="tfce",
        words=Wording(
            name="TFCE (FWE)",
            in_sentence="TFCE (FWE)",
            short="TFCE",
            p="familywise-error corrected p of threshold-free cluster enhancement, by permutation",
            columns=(
                Column(
                    "p_tfceFWE",
                    "p TFCE",
                    "Permutation p-value at the peak voxel by threshold-free cluster enhancement, familywise "
                    "corrected. The evidence comes from the whole region that supports the voxel, which can exceed "
                    "what is significant, and not from the voxel alone.",
                ),
            ),
            unit="TFCE{of_z}",
            threshold="TFCE{of_z} above {value:.1f}",
            null_title="Maximum TFCE",
            maximised="threshold-free cluster enhancement (TFCE, {exponents}; Smith & Nichols, 2009)",
            of_f="TFCE",
            interpretation=statements.about_support,
            assumption=statements.tfce_level,
            citations=("smith2009",),
        ),
    ),
    Method(
        key="clusterMassFWE",
        option="cluster-mass",
        kind="permutation",
        level="cluster",
        needs=frozenset({"permutations", "neighbours", "cluster-forming threshold"}),
        apply=by_maximum("clusterMass"),
        statistic="clusterMass",
        words=Wording(
            name="Cluster mass (FWE)",
            in_sentence="cluster mass (FWE)",
            short="mass",
            p="familywise-error corrected p of the cluster's mass, by permutation",
            columns=(
                Column(
                    "p_clusterMassFWE",
                    "p mass",
                    f"Permutation p-value of the cluster mass, familywise corrected. {_OF_ITS_CLUSTER}",
                ),
            ),
            unit="cluster mass{of_z}",
            threshold="cluster mass{of_z} above {value:.1f}",
            null_title="Heaviest cluster (mass)",
            maximised="cluster mass (Bullmore et al., 1999)",
            of_f="cluster mass",
            interpretation=statements.about_a_cluster,
            assumption=statements.cluster_level,
            citations=("bullmore1999",),
        ),
    ),
    Method(
        key="clusterSizeFWE",
        option="cluster-size",
        kind="permutation",
        level="cluster",
        needs=frozenset({"permutations", "neighbours", "cluster-forming threshold"}),
        apply=by_maximum("clusterSize"),
        statistic="clusterSize",
        words=Wording(
            name="Cluster size (FWE)",
            in_sentence="cluster size (FWE)",
            short="size",
            p="familywise-error corrected p of the cluster's size, by permutation",
            columns=(
                Column(
                    "p_clusterSizeFWE",
                    "p size",
                    f"Permutation p-value of the cluster size, familywise corrected. {_OF_ITS_CLUSTER}",
                ),
            ),
            unit="voxels",
            threshold="clusters of more than {whole:.0f} voxels",
            null_title="Largest cluster (voxels)",
            maximised="cluster size",
            interpretation=statements.about_a_cluster,
            assumption=statements.cluster_level,
        ),
    ),
    Method(
        key="rftFWE",
        option="rft",
        kind="parametric",
        level="voxel",
        needs=frozenset({"parametric p", "smoothness"}),
        apply=random_field.rft,
        words=Wording(
            name="Random field, voxels (FWE)",
            in_sentence="random field theory of voxels (FWE)",
            short="RFT",
            p="familywise-error corrected p of the voxel's statistic, by random field theory",
            columns=(
                Column(
                    "p_rftFWE",
                    "p RFT",
                    "p-value at the peak voxel, familywise corrected by random field theory, or by Bonferroni where "
                    "that is smaller.",
                ),
            ),
            sentence=statements.rft_sentence,
            interpretation=statements.about_a_random_field,
            assumption=statements.random_fields,
            citations=("worsley1996", "kiebel1999"),
        ),
    ),
    Method(
        key="rftClusterFWE",
        option="rft-cluster",
        kind="parametric",
        level="cluster",
        needs=frozenset({"parametric p", "smoothness", "neighbours", "cluster-forming threshold"}),
        apply=random_field.rft_cluster,
        words=Wording(
            name="Random field, cluster size (FWE)",
            in_sentence="random field theory of cluster size (FWE)",
            short="RFT size",
            p="familywise-error corrected p of the cluster's size, by random field theory",
            columns=(
                Column(
                    "p_rftClusterFWE",
                    "p RFT size",
                    f"p-value of the cluster size, familywise corrected by random field theory. {_OF_ITS_CLUSTER}",
                ),
            ),
            unit="voxels",
            threshold="clusters of at least {whole:.0f} voxels",
            sentence=statements.rft_cluster_sentence,
            interpretation=statements.about_clusters_of_a_field,
            assumption=statements.random_fields,
            citations=("friston1994", "worsley1996", "kiebel1999", "eklund2016"),
        ),
    ),
    Method(
        key="bonferroni",
        option="bonferroni",
        kind="parametric",
        level="voxel",
        needs=frozenset({"parametric p"}),
        apply=parametric.bonferroni,
        words=Wording(
            name="Bonferroni",
            in_sentence="Bonferroni",
            short="Bonferroni",
            p="Bonferroni-corrected parametric p",
            columns=(
                Column(
                    "p_bonferroni",
                    "p Bonf.",
                    "p-value at the peak voxel, Bonferroni corrected over the voxels of the analysis mask.",
                ),
            ),
            sentence=statements.bonferroni_sentence,
        ),
    ),
    Method(
        key="fdr",
        option="fdr",
        kind="parametric",
        level="voxel",
        needs=frozenset({"parametric p"}),
        apply=parametric.fdr,
        words=Wording(
            name="False discovery rate",
            in_sentence="false discovery rate",
            short="FDR",
            p="false discovery rate (Benjamini-Hochberg) of the parametric p",
            columns=(
                Column(
                    "p_fdr",
                    "p FDR",
                    "p-value at the peak voxel, adjusted for the false discovery rate over the voxels of the analysis "
                    "mask (Benjamini-Hochberg), for independent or positively dependent p-values.",
                ),
            ),
            symbol="q",
            sentence=statements.fdr_sentence,
            interpretation=bound_words,
            assumption=statements.fdr_level,
            citations=("benjamini1995", "benjamini2001"),
        ),
    ),
    Method(
        key="uncorrected",
        option="uncorrected",
        kind="parametric",
        level="voxel",
        needs=frozenset({"parametric p"}),
        apply=parametric.uncorrected,
        is_descriptive=True,
        words=Wording(
            name="Uncorrected",
            in_sentence="uncorrected",
            short="uncorrected",
            p="uncorrected parametric p",
            columns=(
                Column(
                    "p_uncorrected",
                    "p unc.",
                    "Parametric p-value at the peak voxel, not corrected for the number of voxels.",
                ),
            ),
            sentence=statements.uncorrected_sentence,
            interpretation=statements.about_no_correction,
            assumption=statements.uncorrected_level,
        ),
    ),
    Method(
        key="ari",
        option="ari",
        kind="bounds",
        level="voxel",
        needs=frozenset({"parametric p"}),
        apply=true_discoveries.by_simes,
        asked=lambda settings: _bounds_by(settings, "ari"),
        words=Wording(
            name="True discoveries by ARI",
            in_sentence="true discoveries by ARI",
            short="ARI",
            p="lower bound on the number of voxels with an effect, for all sets of voxels at once, by closed testing "
            "of the parametric p (all-resolutions inference)",
            columns=_TRUE_DISCOVERIES,
            sentence=statements.ari_sentence,
            assumption=statements.ari_level,
            citations=("goeman2019", "rosenblatt2018"),
        ),
    ),
    Method(
        key="permutation",
        option="permutation",
        kind="bounds",
        level="voxel",
        needs=frozenset({"permutations"}),
        apply=true_discoveries.by_permutation,
        asked=lambda settings: _bounds_by(settings, "permutation"),
        words=Wording(
            name="True discoveries by permutation",
            in_sentence="true discoveries by permutation",
            short="bounds",
            p="lower bound on the number of voxels with an effect, for all sets of voxels at once, by permutation: the "
            "p are nominal parametric ones, and their steps are calibrated on the permutations",
            columns=_TRUE_DISCOVERIES,
            sentence=statements.calibrated_sentence,
            assumption=statements.calibrated_level,
            citations=("andreella2023", "blanchard2020"),
        ),
    ),
)

METHODS: dict[str, Method] = {row.key: row for row in _ROWS}
"""Key -> correction, in the order of reports."""


def columns() -> dict[str, Column]:
    """Return the columns that the corrections add to tables, by name, in the order of reports."""
    return {column.name: column for row in METHODS.values() for column in row.words.columns}


def by_permutation(keys: Iterable[str]) -> list[Method]:
    """Return those of some corrections that rest on permutations, in the order in which the statistics are kept."""
    order, wanted = list(KEYS.values()), set(keys)
    rows = [row for row in METHODS.values() if row.statistic and row.key in wanted]
    return sorted(rows, key=lambda row: order.index(row.statistic))


def asked_for(evidence: Evidence, settings: GroupLevelSettings) -> list[tuple[Method, object]]:
    """Return the corrections that a model asks for, each with the settings that ask for it.

    Parameters
    ----------
    evidence : of a contrast; its null distribution has the statistics that were maximised
    settings : GroupLevelSettings
    """
    by_option = {row.option: row for row in METHODS.values() if row.kind == "parametric"}
    maximised = evidence.null.observed if evidence.null else {}
    found: list[tuple[Method, object]] = [(by_option[each.correction], each) for each in settings.parametric]
    found += [(row, settings.permutation) for row in by_permutation(METHODS) if row.statistic in maximised]
    bounds = [(row, row.asked(settings)) for row in METHODS.values() if row.kind == "bounds"]
    return found + [(row, asked) for row, asked in bounds if asked is not None]


def correct(
    evidence: Evidence, settings: GroupLevelSettings
) -> tuple[tuple[CorrectedMap, ...], tuple[ClusterBounds, ...]]:
    """Apply the corrections that a model asks for.

    Parameters
    ----------
    evidence : of a contrast
    settings : GroupLevelSettings

    Returns
    -------
    maps, bounds
        The corrected maps, those that are parametric first, and the bounds for sets of voxels.
    """
    results = [row.correct(evidence, asked) for row, asked in asked_for(evidence, settings)]
    maps = tuple(each for each in results if isinstance(each, CorrectedMap))
    return maps, tuple(each for each in results if isinstance(each, ClusterBounds))
