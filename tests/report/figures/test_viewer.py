"""The interactive map: what is packed into the page is what the statistics gave, and the page is closed to all else."""

from __future__ import annotations

import base64
import gzip
import json
import re

import numpy as np

from bids_app.report.figures import background as canvases
from bids_app.report.figures.of_contrast import draw_contrast
from bids_app.report.figures.viewer import LEVELS, _named, place_hash, script_hash, viewer_page
from bids_app.report.wording import place_words
from builders.drawings import MASK, SHAPE, make_contrast, make_fit, make_inference, make_scene


def unpacked(page: str, name: str, dtype: str) -> np.ndarray:
    found = re.search(rf'id="data-{name}">([^<]*)</script>', page)
    assert found
    return np.frombuffer(gzip.decompress(base64.b64decode(found.group(1))), dtype).reshape(SHAPE)


def facts_of(page: str) -> dict:
    found = re.search(r'id="facts">(.*?)</script>', page, flags=re.S)
    assert found
    return json.loads(found.group(1))


def test_the_statistic_and_the_survivors_are_in_the_page(own: canvases.Canvas) -> None:
    fit = make_fit(make_contrast("t"))
    inferences = [make_inference(fit, "fdr", 9), make_inference(fit, "voxelFWE", 3)]
    page = viewer_page(fit, inferences, own)
    facts = facts_of(page)
    shown = unpacked(page, "statistic", "<i2")[MASK] * facts["largest"] / LEVELS
    assert np.abs(shown - fit.statistic).max() <= 0.5 * facts["largest"] / LEVELS + 1e-6
    bits = unpacked(page, "survives", "u1")[MASK]
    # in the order of METHODS, whatever the order that they are given in
    assert [words.split(",")[0] for words in facts["maps"][1:]] == ["Voxel-wise FWE", "False discovery rate"]
    assert np.array_equal(bits & 1 > 0, inferences[1].significant)
    assert np.array_equal(bits & 2 > 0, inferences[0].significant)


def test_it_starts_with_the_primary_map_or_with_everything_where_nothing_survives(own: canvases.Canvas) -> None:
    fit = make_fit(make_contrast("t"))
    assert facts_of(viewer_page(fit, [make_inference(fit, "voxelFWE", 3)], own))["first"] == 1
    assert facts_of(viewer_page(fit, [make_inference(fit, "voxelFWE", 0)], own))["first"] == 0
    assert facts_of(viewer_page(fit, [], own))["maps"] == ["t, not thresholded"]


def test_an_f_has_no_negative_colours(own: canvases.Canvas) -> None:
    facts = facts_of(viewer_page(make_fit(make_contrast("F", "positive")), [], own))
    assert facts["lower"] == 0
    assert facts["upper"] == facts["largest"]


def test_no_other_script_can_run_and_names_are_text(own: canvases.Canvas) -> None:
    name = "</script><script>alert(1)</script> \N{GREEK SMALL LETTER ALPHA}"
    fit = make_fit(make_contrast("t", name=name))
    page = viewer_page(fit, [make_inference(fit, "voxelFWE", 3)], own)
    assert "<script>alert(1)" not in page
    script = page[page.rindex("<script>") + len("<script>") : page.rindex("</script>")]
    assert f"script-src '{script_hash(script)}'" in page.replace("&#39;", "'")
    assert "default-src 'none'" in page
    assert not re.search(r"https?://", page)


def test_the_highest_peaks_can_be_jumped_to(own: canvases.Canvas) -> None:
    fit = make_fit(make_contrast("t"))
    scene = make_scene(fit, {"voxelFWE": 3}, own, interactive=True)
    (viewer,) = (each for each in draw_contrast(scene) if each.name == "viewer")
    places = re.findall(r'data-place="([^"]*)"', viewer.page)  # type: ignore[union-attr]
    peaks = scene.tables["voxelFWE"].peaks
    assert places == [place_hash(row) for row in peaks[["peak_x", "peak_y", "peak_z"]].to_numpy()] or len(places) == 3


def test_places_are_written_for_addresses_and_for_people() -> None:
    assert place_hash((42, -51.5, 0)) == "42,-51.5,0"
    assert place_hash((-0.0, 7.1e-15, -120.1234567)) == "0,0,-120.123"
    assert place_words((42, -51.5, 0)) == "(42, \N{MINUS SIGN}51.5, 0)"


def test_regions_are_called_as_in_the_tables() -> None:
    labels = {0: "Background", 1: "Fusiform_R", 2: "ctx-lh-fusiform", 3: "Unknown"}
    assert _named(labels) == {1: "Fusiform R", 2: "L fusiform"}
