"""Bounds for sets of voxels, from the settings to the tables, the sidecars, the page and the methods text."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bids_app.inference.catalogue import METHODS, correct
from bids_app.inference.corrected_map import BoundFacts
from bids_app.inference.evidence import Evidence
from bids_app.inference.result_tables import ResultTables, TableOptions, tabulate
from bids_app.report import content
from bids_app.report.page import tables as pagetables
from bids_app.report.page.render import found_words
from bids_app.report.text import methods
from bids_app.report.text.assumptions import assumptions
from bids_app.report.text.survivors import bound_words
from bids_app.results.folder import NodeFolder
from bids_app.results.json_record import decode
from bids_app.results.node_writer import NodeWriter
from bids_app.results.read import read_table
from bids_app.results.record import encode_results
from bids_app.results.values import Results
from bids_app.results.write import write_contrast
from bids_app.spaces.volume import VolumeDomain
from bids_app.statistics.fit import fit_contrast
from bids_app.statistics.kinds import contrast_test
from builders import pages
from builders.spaces import map_writer, volume_maps


@dataclass(frozen=True)
class Found:
    """One contrast with an effect in eight voxels: its results, its files, and its part of the page."""

    results: Results
    folder: NodeFolder
    section: content.ContrastSection

    @property
    def tables(self) -> ResultTables:
        return self.results.tables[0]


@pytest.fixture
def found(tmp_path: Path) -> Found:
    contrast = pages.make_contrast("t", "Faces")
    values = np.random.default_rng(3).standard_normal((24, 64)).astype(np.float32)
    values[0::3, :8] += 4
    fit = fit_contrast(values, contrast_test(pages.make_design(contrast), contrast))
    domain = VolumeDomain.from_mask(pages.MASK, pages.AFFINE, 26)
    maps, bounds = correct(Evidence(fit, domain), pages.make_node().spec.settings)
    first, facts = maps[0], bounds[0].facts(domain.n_elements)
    tables = tabulate(first, fit, maps, domain, TableOptions(), bounds)
    folder = NodeFolder(tmp_path, "a", {})
    masked = volume_maps(values, pages.MASK, pages.AFFINE)
    out = map_writer(NodeWriter(folder, {}), masked)
    write_contrast(out, masked.before, fit, None, [(first, tables)], bounds=facts)
    results = Results(fit, None, (first,), (tables,), None, None, None, bounds=facts)
    return Found(results, folder, content.contrast_section(results, [], files={}))


def test_the_table_has_the_bounds_of_its_clusters(found: Found) -> None:
    """Between none and all of a cluster's voxels; the peaks, which are no sets, have none."""
    clusters = found.tables.clusters
    assert clusters["true_discoveries"].iloc[0] > 0
    assert (clusters["true_discoveries"] <= clusters["extent_voxels"]).all()
    assert clusters["tdp"].tolist() == (clusters["true_discoveries"] / clusters["extent_voxels"]).tolist()
    assert "tdp" not in found.tables.peaks


def test_the_files_say_what_they_are_and_are_read_back(found: Found) -> None:
    """The sidecar of the clusters has the method; that of the peaks, which have no bounds, has not."""
    path = found.folder.file("contrast-AB_desc-bonferroni_clusters.tsv")
    assert read_table(path)["true_discoveries"].tolist() == found.tables.clusters["true_discoveries"].tolist()
    assert read_table(path)["true_discoveries"].dtype == np.int64
    sidecar = json.loads(found.folder.file("contrast-AB_desc-bonferroni_clusters.json").read_text())
    assert sidecar["tdp"]["Description"] == METHODS["ari"].words.columns[1].text
    bounds = found.results.bounds
    assert bounds is not None
    said = sidecar["TrueDiscoveries"]
    assert (said["Method"], said["Alpha"], said["InWholeMask"]) == ("ari", 0.05, bounds.n_true)
    assert said["InWholeMask"] >= found.tables.clusters["true_discoveries"].sum()
    p = np.sort(found.results.fit.p)
    # from the step alone everybody can compute them: largest of 1 - u + number of p <= u steps
    assert max(1 - u + (p <= u * said["StepOfP"]).sum() for u in range(1, p.size + 1)) == said["InWholeMask"]
    peaks = json.loads(found.folder.file("contrast-AB_desc-bonferroni_peaks.json").read_text())
    assert "TrueDiscoveries" not in peaks


def test_the_record_keeps_them_where_there_are_any(found: Found) -> None:
    """The report is made from it; a record without them is as it was before they existed."""
    kept = json.loads(json.dumps(encode_results(found.results)))
    assert decode(BoundFacts, kept["bounds"]) == found.results.bounds
    assert "bounds" not in encode_results(replace(found.results, bounds=None))


def test_the_page_and_the_methods_text_tell_them(found: Found) -> None:
    """With their heads, their level, and for which p they are valid; not in a node without them."""
    table = pagetables.clusters_table(found.section.results[0], found.section)
    heads = [head.text for head in table.heads]
    assert {"true", "TDP"} <= set(heads)
    assert table.rows[0][heads.index("true")].text.isdigit()
    node = pages.make_node(found.section)
    text = methods.methods_text((node,), "1", {})
    assert "all-resolutions inference (Rosenblatt et al., 2018; Goeman et al., 2019)" in text
    assert "with 95 % confidence" in text
    assert {"goeman2019", "rosenblatt2018"} <= {work.key for work in methods.cited_works((node,))}
    (said,) = (each.words for each in assumptions((node,)) if each.title.startswith("True discoveries"))
    assert "Simes' inequality" in said
    without = pages.make_node(replace(found.section, bounds=None))
    assert "all-resolutions" not in methods.methods_text((without,), "1", {})
    assert not any(each.title.startswith("True discoveries") for each in assumptions((without,)))


def test_the_summary_has_the_bound_of_the_strongest_cluster(found: Found) -> None:
    """After what survived and where; nothing where there are no bounds."""
    first = found.tables.clusters.iloc[0]
    share = 100 * first["true_discoveries"] // first["extent_voxels"]
    least = "All" if share == 100 else f"At least {share:.0f} % of the"
    size = f"{first['extent_voxels']:.0f} voxels in the strongest cluster"
    ends = f"{least} {size} are active (true discoveries by ARI, 95 % confidence)."
    assert ends in found_words(found.section)
    assert "active" not in found_words(replace(found.section, bounds=None))


BOUNDS = BoundFacts("ari", 0.05, 1e-4, 7)


@pytest.mark.parametrize(
    ("clusters", "words"),
    [
        ({"extent_voxels": [341], "true_discoveries": [214]}, "At least 62 % of the 341 voxels in the strongest"),
        ({"extent_voxels": [3410], "true_discoveries": [21]}, "At least 21 of the 3,410 voxels in the strongest"),
        ({"extent_voxels": [34], "true_discoveries": [0]}, "number of active ones among the 34 voxels in the"),
        ({"extent_voxels": [34], "true_discoveries": [34]}, "All 34 voxels in the strongest cluster are active ("),
        ({"extent_voxels": [1], "true_discoveries": [1]}, "The only voxel in the strongest cluster is"),
        (
            {"extent_voxels": [np.nan], "extent_vertices": [200.0], "true_discoveries": [99]},
            "At least 49 % of the 200 vertices in",
        ),
        (
            {"extent_voxels": [200.0], "extent_vertices": [np.nan], "true_discoveries": [100]},
            "At least 50 % of the 200 volume voxels in",
        ),
        ({"extent_voxels": [], "true_discoveries": []}, ""),
        ({"extent_voxels": [4]}, ""),
    ],
)
def test_shares_are_rounded_down(clusters: dict[str, list[float]], words: str) -> None:
    """A lower bound must not become higher by being written down."""
    tables = SimpleNamespace(clusters=pd.DataFrame(clusters))
    section = SimpleNamespace(bounds=BOUNDS, parcels=None, results=[SimpleNamespace(tables=tables)])
    said = bound_words(section)  # type: ignore[arg-type]
    assert words in said
    assert bool(words) == bool(said)


def test_of_parcels_all_are_bounded_together() -> None:
    """They form no clusters."""
    section = SimpleNamespace(bounds=BOUNDS, parcels=pd.DataFrame({"parcel": list("abcdefghij")}), results=[])
    said = bound_words(section)  # type: ignore[arg-type]
    assert said == "At least 70 % of the 10 parcels are active (true discoveries by ARI, 95 % confidence)."
