"""Bounds for sets of voxels, from a row of the catalogue to the tables, the sidecars, the page and the methods text."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bids_app.inference.catalogue import METHODS, correct
from bids_app.inference.corrected_map import ClusterBounds
from bids_app.inference.evidence import Evidence
from bids_app.inference.method import Column, Method, Use, Wording
from bids_app.inference.result_tables import ResultTables, TableOptions, tabulate
from bids_app.report import content
from bids_app.report.page import tables as pagetables
from bids_app.report.text import methods
from bids_app.results.folder import NodeFolder
from bids_app.results.node_writer import NodeWriter
from bids_app.results.read import read_table
from bids_app.results.values import Results
from bids_app.results.write import write_contrast
from bids_app.spaces.volume import VolumeDomain
from bids_app.statistics.fit import fit_contrast
from bids_app.statistics.kinds import contrast_test
from builders import pages
from builders.spaces import map_writer, volume_maps

ALPHA = 0.05


def rejected_by_bonferroni(evidence: Evidence, asked: Any) -> ClusterBounds:  # noqa: ANN401
    """At least the voxels that Bonferroni rejects have an effect, with probability 1 - alpha for all sets at once."""
    rejected = evidence.fit.p <= asked.alpha / evidence.fit.p.size
    return ClusterBounds("byBonferroni", asked.alpha, lambda members: int(rejected[members].sum()))


def sentence(use: Use) -> str:
    return f"True discoveries were bounded at {use.alpha:g} in {', '.join(use.contrasts)}."


BOUNDING = Method(
    key="byBonferroni",
    option="byBonferroni",
    kind="bounds",
    level="cluster",
    needs=frozenset({"parametric p"}),
    apply=rejected_by_bonferroni,
    asked=lambda settings: settings.permutation,
    words=Wording(
        name="True discoveries",
        in_sentence="true discoveries",
        short="true",
        p="lower bound",
        columns=(
            Column("true_discoveries", "true", "Least number of voxels with an effect.", is_whole=True),
            Column("tdp", "TDP", "Least share of voxels with an effect."),
        ),
        sentence=sentence,
    ),
)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[ResultTables, NodeFolder, content.ContrastSection]:
    """One contrast with an effect in eight voxels: its table of clusters, its files, and its part of the page."""
    monkeypatch.setitem(METHODS, BOUNDING.key, BOUNDING)
    contrast = pages.make_contrast("t", "Faces")
    values = np.random.default_rng(3).standard_normal((24, 64)).astype(np.float32)
    values[0::3, :8] += 4
    fit = fit_contrast(values, contrast_test(pages.make_design(contrast), contrast))
    domain = VolumeDomain.from_mask(pages.MASK, pages.AFFINE, 26)
    settings = pages.make_node().spec.settings
    maps, bounds = correct(Evidence(fit, domain), settings)
    first = maps[0]
    tables = tabulate(first, fit, maps, domain, TableOptions(), bounds)
    folder = NodeFolder(tmp_path, "a", {})
    masked = volume_maps(values, pages.MASK, pages.AFFINE)
    write_contrast(map_writer(NodeWriter(folder, {}), masked), masked.before, fit, None, [(first, tables)])
    results = Results(fit, None, (first,), (tables,), None, None, None)
    section = content.contrast_section(results, [], files={})
    return tables, folder, section


def test_the_table_has_the_bounds_of_its_clusters(
    found: tuple[ResultTables, NodeFolder, content.ContrastSection],
) -> None:
    """Between none and all of a cluster's voxels; the peaks, which are no sets, have none."""
    tables, _, _ = found
    clusters = tables.clusters
    assert clusters["true_discoveries"].iloc[0] > 0
    assert (clusters["true_discoveries"] <= clusters["extent_voxels"]).all()
    assert clusters["tdp"].tolist() == (clusters["true_discoveries"] / clusters["extent_voxels"]).tolist()
    assert "tdp" not in tables.peaks


def test_the_files_say_what_they_are_and_are_read_back(
    found: tuple[ResultTables, NodeFolder, content.ContrastSection],
) -> None:
    tables, folder, _ = found
    path = folder.file("contrast-AB_desc-bonferroni_clusters.tsv")
    assert read_table(path)["true_discoveries"].tolist() == tables.clusters["true_discoveries"].tolist()
    assert read_table(path)["true_discoveries"].dtype == np.int64
    sidecar = json.loads(folder.file("contrast-AB_desc-bonferroni_clusters.json").read_text())
    assert sidecar["tdp"]["Description"] == BOUNDING.words.columns[1].text


def test_the_page_and_the_methods_text_tell_them(
    found: tuple[ResultTables, NodeFolder, content.ContrastSection],
) -> None:
    """With their heads and their own level; not in a node without them."""
    _, _, section = found
    table = pagetables.clusters_table(section.results[0], section)
    heads = [head.text for head in table.heads]
    assert {"true", "TDP"} <= set(heads)
    assert table.rows[0][heads.index("true")].text.isdigit()
    node = pages.make_node(section)
    assert "True discoveries were bounded at 0.05 in Faces." in methods.methods_text((node,), "1", {})
    plain = replace(
        section.results[0], tables=replace(section.results[0].tables, clusters=section.results[0].tables.peaks)
    )
    without = pages.make_node(replace(section, results=(plain,)))
    assert "True discoveries" not in methods.methods_text((without,), "1", {})
