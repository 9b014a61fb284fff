"""The report as a browser shows it: offline, without errors, on a wide and a narrow screen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bids_app.cli import main

HOSTILE = 'A > "B" <script>alert(1)</script> \N{GREEK SMALL LETTER ALPHA}'
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]


@pytest.fixture
def report(make_derivative: Callable[..., Path], tmp_path: Path) -> Path:
    """A small report with a contrast name that a page must not take for markup."""
    contrast = {"Name": HOSTILE, "Test": "t", "ConditionList": ["A", "B"], "Weights": [1, -1]}
    block = {"Permutation": {"N": 32}, "Report": {"Atlases": ["aal"]}, "Parametric": [{"Correction": "fdr"}]}
    node = {
        "Level": "Dataset",
        "Name": "group",
        "GroupBy": [],
        "Model": {"Type": "glm", "X": ["A", "B", "subject"], "Software": {"grouplevel": block}},
        "Contrasts": [contrast],
    }
    model = tmp_path / "model.json"
    model.write_text(json.dumps({"Name": "small", "BIDSModelVersion": "1.0.0", "Input": {}, "Nodes": [node]}))
    out = tmp_path / "out"
    assert main([str(make_derivative(("A", "B"))), str(out), "group", "-m", str(model), "-q"]) == 0
    return out / "report.html"


@pytest.fixture
def browser() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield opened
        opened.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_the_report_opens_offline_and_fits_the_screen(browser: Any, report: Path, width: int) -> None:  # noqa: ANN401
    """No request leaves, no console error, nothing wider than the screen, every image told in words."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.context.set_offline(True)
    errors: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(report.as_uri())
    assert errors == []
    assert [url for url in requests if not url.startswith(("data:", report.as_uri()))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # those that are folded away are loaded only now
    page.evaluate("Promise.all([...document.images].map(i => { i.loading = 'eager'; return i.decode() }))")
    assert page.evaluate("[...document.images].every(i => i.alt && i.naturalWidth > 0)")
    assert page.evaluate("document.images.length") > 4
    targets = "[...document.querySelectorAll('a[href^=\"#\"]')].every(a => document.getElementById(a.hash.slice(1)))"
    assert page.evaluate(targets)
    assert page.evaluate("document.querySelectorAll('a[href^=\"#\"]').length") > 4
    assert HOSTILE in page.inner_text("body")


def test_the_viewer_opens_offline(browser: Any, report: Path) -> None:  # noqa: ANN401
    """The interactive map of the contrast draws itself without the network."""
    (viewer,) = report.parent.rglob("*_viewer.html")
    page = browser.new_page(viewport={"width": 900, "height": 700})
    page.context.set_offline(True)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("requestfailed", lambda request: errors.append(request.url))
    page.goto(viewer.as_uri())
    assert errors == []
    assert page.evaluate("document.querySelectorAll('canvas').length") > 0
