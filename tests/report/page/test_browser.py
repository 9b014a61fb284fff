"""The pages as a browser shows them: offline, without errors, on wide and narrow screens, to everybody.

A small study is analysed once, with names that a page must not take for markup; pages of many contrasts, or of
none that survives, are rendered from contrasts that were run on noise.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import html5lib
import pandas as pd
import pytest

from bids_app.cli.analyse import main
from bids_app.report import content
from bids_app.report.page import render as html
from builders.pages import make_node, make_page
from builders.studies import CELLS, write_maps

HOSTILE = 'A > "B" <script>alert(1)</script> \N{GREEK SMALL LETTER ALPHA} \N{CJK UNIFIED IDEOGRAPH-8138}'
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]
WIDE, PHONE = 1280, 390
A4 = 688  # pixels between the margins of a printed page
SECTIONS = ["Summary", "Inputs", "Model", "Results", "Diagnostics"]
SECTIONS += ["Assumptions, and how to read the results", "Methods text", "Provenance"]


@dataclass
class Opened:
    """A page, and what went wrong in it so far."""

    page: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


Open = Callable[..., Opened]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a t and an F contrast, in MNI space, with interactive maps."""
    folder = tmp_path_factory.mktemp("study")
    block = {
        "Factors": [{"Name": "cond", "Levels": list(CELLS)}],
        "CellName": "{cond}",
        "Permutation": {"N": 60, "ClusterFormingP": 0.01},
        "Parametric": [{"Correction": "fdr"}],
        "Report": {"Atlases": ["aal"]},
    }
    node = {
        "Level": "Dataset",
        "Name": "anova",
        "GroupBy": [],
        "Model": {"Type": "glm", "X": [*CELLS, "subject"], "Software": {"grouplevel": block}},
        "Contrasts": [{"Name": HOSTILE, "Test": "t", "ConditionList": list(CELLS), "Weights": [1, -0.5, -0.5]}],
    }
    model = folder / "model.json"
    model.write_text(json.dumps({"Name": HOSTILE, "BIDSModelVersion": "1.0.0", "Nodes": [node]}), encoding="utf-8")
    maps = write_maps(folder / "in", "space-MNI152NLin6Asym_")
    assert main([str(maps), str(folder / "out"), "group", "-m", str(model), "-q", "--skip-bids-validation"]) == 0
    return folder / "out" / "report.html"


@pytest.fixture(scope="module")
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


@pytest.fixture
def visit(browser: Any) -> Iterator[Open]:  # noqa: ANN401
    """Return a function that opens a file without a network, and at the end see that nothing went wrong."""
    visits: list[Opened] = []

    def visit(path: Path, width: int = WIDE, scheme: str = "light", fragment: str = "") -> Opened:
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.context.set_offline(True)
        visited = Opened(page)
        visits.append(visited)
        page.on("console", lambda each: visited.errors.append(each.text) if each.type == "error" else None)
        page.on("pageerror", lambda error: visited.errors.append(str(error)))
        page.on("requestfailed", lambda request: visited.errors.append(request.url))
        page.on("dialog", lambda dialog: visited.errors.append(f"a script of a name ran: {dialog.message}"))
        page.on("request", lambda request: visited.requests.append(request.url))
        page.goto(path.as_uri() + fragment)
        return visited

    yield visit
    for visited in visits:
        visited.page.context.close()
        assert visited.errors == []
        assert [url for url in visited.requests if not url.startswith(("data:", "file:", "blob:"))] == []


@pytest.fixture(scope="module")
def rendered(
    strong_t: content.ContrastSection,
    strong_f: content.ContrastSection,
    nothing: content.ContrastSection,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """Pages of one contrast, of forty, and of one where nothing survives."""
    many = tuple(
        dataclasses.replace(section, contrast=dataclasses.replace(section.contrast, name=f"{HOSTILE} {number}"))
        for number, section in enumerate([strong_t, strong_f, nothing, nothing] * 10)
    )
    pages = {"one": (strong_t,), "forty": many, "nothing": (nothing,)}
    folder = tmp_path_factory.mktemp("pages")
    for name, sections in pages.items():
        (folder / f"{name}.html").write_text(html.render(make_page(make_node(*sections))), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in pages}


def headings(page: Any) -> list[tuple[int, str]]:  # noqa: ANN401
    found = page.evaluate(
        "[...document.querySelectorAll('main :is(h1,h2,h3,h4,h5,h6)')].map(h => [+h.tagName[1], h.textContent])"
    )
    return [(level, text) for level, text in found]


def too_wide(page: Any) -> list[str]:  # noqa: ANN401
    """What reaches beyond the screen, except within a box that scrolls."""
    return page.evaluate(
        """() => document.documentElement.scrollWidth <= innerWidth ? [] :
           [...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll') || e.matches('.scroll'))
           .filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 200))"""
    )


def wait(page: Any, expression: str, argument: object = None, seconds: float = 20) -> None:  # noqa: ANN401
    """Wait until it is true; Playwright's own way evaluates a string in the page, which our pages forbid."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression, argument):
        assert time.monotonic() < end, f"not true after {seconds} s: {expression}"
        page.wait_for_timeout(30)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_the_report_fits_the_screen_and_is_whole(visit: Open, report: Path, width: int, scheme: str) -> None:
    """Every section in its order; nothing wider than the screen; every picture told in words; names are text."""
    page = visit(report, width, scheme).page
    found = headings(page)
    assert [text for level, text in found if level == 2] == SECTIONS
    assert [text for level, text in found if level == 1] == [HOSTILE]
    steps = [then - now for (now, _), (then, _) in pairwise(found)]
    assert max(steps) == 1  # no level is left out on the way down
    assert too_wide(page) == []
    # pictures that are folded away are loaded only now
    page.evaluate("Promise.all([...document.images].map(i => { i.loading = 'eager'; return i.decode() }))")
    assert (
        page.evaluate(
            "[...document.images].filter(i => !(i.alt && i.naturalWidth > 0)).map(i => i.outerHTML.slice(0, 99))"
        )
        == []
    )
    assert page.evaluate("document.images.length") > 8
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert too_wide(page) == []
    assert page.inner_text("main").count(HOSTILE) > 3
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).every(c => c < 60)")
    assert dark is (scheme == "dark")


def test_captions_stay_in_sight_on_a_phone(visit: Open, report: Path) -> None:
    """Where a table is wider than the screen, its caption is not, and does not move with it."""
    page = visit(report, PHONE).page
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    page.evaluate("document.querySelectorAll('.scroll').forEach(e => { e.scrollLeft = 40 })")
    beyond = """[...document.querySelectorAll('.scroll caption')].map(e => e.getBoundingClientRect())
                .filter(r => r.left < 0 || r.right > innerWidth).map(r => [r.left, r.right])"""
    assert page.evaluate(beyond) == []
    assert page.evaluate("[...document.querySelectorAll('.scroll')].some(e => e.scrollLeft > 0)")


def test_all_links_lead_somewhere(visit: Open, report: Path) -> None:
    """Anchors have their target, ids are there once, and files that are linked lie beside the page."""
    page = visit(report).page
    targets = page.evaluate("[...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.hash.slice(1))")
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(targets) > 10
    assert set(targets) <= set(ids)
    assert len(set(ids)) == len(ids)
    links = page.evaluate("[...document.querySelectorAll('a:not([href^=\"#\"])')].map(a => a.href)")
    places = {_path(link) for link in links if link.startswith("file:")}
    assert len(places) > 5
    assert [place for place in places if not place.is_file()] == []


def test_where_one_is_can_be_seen_in_the_navigation(visit: Open, report: Path) -> None:
    """The link of the section on the screen is marked; a link into something folded opens it."""
    page = visit(report).page
    page.click("nav.side a[href='#methods']")
    wait(page, "document.querySelector('nav.side [aria-current]')?.hash === '#methods'")
    page.evaluate("document.querySelectorAll('main details').forEach(d => { d.open = false })")
    folded = page.evaluate("document.querySelector('main details [id]').id")
    page.evaluate("id => { location.hash = id }", folded)
    wait(page, "id => document.getElementById(id).closest('details').open", folded)


def test_the_theme_is_chosen_by_a_button(visit: Open, report: Path) -> None:
    page = visit(report).page
    colour = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(colour)
    page.click("nav.side button.theme:has-text('Dark page')")
    assert page.evaluate(colour) != before
    page.click("nav.side button.theme:has-text('Light page')")
    assert page.evaluate(colour) == before


def test_tables_are_sorted_and_copied(visit: Open, report: Path) -> None:
    """By a click on a head, upwards and downwards; the copy is the file's content, all digits of it."""
    page = visit(report).page
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text }")
    tables = page.evaluate("[...document.querySelectorAll('table.sortable')].map(t => t.id)")
    compared = 0
    for name in tables:
        tools = page.locator(f"p.tools:has(button[data-of='{name}'])")
        tools.locator("button.copy").click()
        wait(page, "window.copied !== undefined")
        copied = [
            line.split("\t") for line in page.evaluate("const c = window.copied; delete window.copied; c").splitlines()
        ]
        link = tools.locator("a")
        if not link.count():
            continue  # a table of the page alone
        file = pd.read_csv(_path(link.first.evaluate("a => a.href")), sep="\t", dtype=str, keep_default_na=False)
        assert copied[1:] == file[copied[0]].head(len(copied) - 1).to_numpy().tolist()
        compared += 1
    assert compared >= 4
    name = next(table for table in tables if table.endswith("-peaks"))
    head = page.locator(f"#{name} thead th[data-value='peak_statistic'] button")
    column = f"""[...document.querySelectorAll('#{name} tbody tr')].map(r => r.cells[
        [...document.querySelectorAll('#{name} thead th')].findIndex(h => h.dataset.value === 'peak_statistic')])
        .map(c => parseFloat(c.dataset.value ?? c.textContent))"""
    head.click()
    downwards = page.evaluate(column)
    assert downwards == sorted(downwards, reverse=True)
    head.click()
    assert page.evaluate(column) == sorted(downwards)
    assert page.locator(f"#{name} thead th[aria-sort='ascending']").count() == 1


def test_everything_is_printed(visit: Open, report: Path) -> None:
    """What is folded away on the screen is on paper, the navigation is not; and nothing is cut off at A4's margin."""
    page = visit(report, A4).page
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.evaluate("[...document.querySelectorAll('main details')].every(d => d.open)")
    assert page.evaluate("[...document.querySelectorAll('nav')].every(n => !n.checkVisibility())")
    beyond = "[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1)"
    assert page.evaluate(f"{beyond}.map(e => e.outerHTML.slice(0, 200))") == []
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not page.evaluate("[...document.querySelectorAll('main details')].every(d => d.open)")
    assert page.pdf().count(b"/Type /Page\n") > 5


@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_the_viewer_works_offline(visit: Open, report: Path, width: int) -> None:
    """It opens at the place of its address; the slider hides what is below; keys and numbers move the crosshair."""
    viewer = next(iter(sorted(report.parent.rglob("*_viewer.html"))))
    page = visit(viewer, width, fragment="#-4,-30.3,5").page
    page.wait_for_selector("body[data-ready='yes']")
    assert too_wide(page) == []
    assert "(\N{MINUS SIGN}4, \N{MINUS SIGN}30.3, 5) mm" in page.inner_text("#readout")
    assert HOSTILE in page.inner_text("h1")
    coloured = """() => {
        const c = document.getElementById('axial'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        let n = 0;
        for (let i = 0; i < d.length; i += 4) n += Math.abs(d[i] - d[i + 2]) > 60;
        return n }"""
    page.select_option("#map", "0")
    set_slider(page, 0)
    all_of_it = page.evaluate(coloured)
    set_slider(page, float(page.get_attribute("#threshold", "max") or 0) * 0.8)
    assert 0 <= page.evaluate(coloured) < all_of_it
    page.focus("#axial")
    page.keyboard.press("ArrowRight")
    wait(page, "document.getElementById('readout').textContent.startsWith('(0, ')")
    page.fill("#at-x", "-8")
    page.dispatch_event("#at-x", "change")
    wait(page, "document.getElementById('readout').textContent.startsWith('(\\u22128, ')")


def set_slider(page: Any, value: float) -> None:  # noqa: ANN401
    """Move the threshold and wait until it was drawn."""
    drawn = page.evaluate("+document.body.dataset.drawn || 0")
    page.eval_on_selector("#threshold", "(e, v) => { e.value = v; e.dispatchEvent(new Event('input')) }", value)
    wait(page, "n => +document.body.dataset.drawn > n", drawn)


def test_coordinates_lead_to_their_place_in_the_viewer(visit: Open, report: Path) -> None:
    page = visit(report).page
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    link = page.locator("table.sortable td a[target=viewer]").first
    with page.expect_popup() as popup:
        link.click()
    opened = popup.value
    opened.wait_for_selector("body[data-ready='yes']")
    place = [float(mm) for mm in link.evaluate("a => decodeURIComponent(a.hash.slice(1))").split(",")]
    assert [float(opened.input_value(f"#at-{axis}")) for axis in "xyz"] == pytest.approx(place, abs=0.06)


def test_the_surface_opens_offline(visit: Open, report: Path) -> None:
    """nilearn's page draws the cortex without the network."""
    surface = next(iter(sorted(report.parent.rglob("*_surface.html"))))
    visit(surface).page.wait_for_selector("canvas", state="attached", timeout=60_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_people_out(visit: Open, report: Path, scheme: str) -> None:
    """axe-core finds no violation that it calls serious or critical, in the report with all open, or in the viewer."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    for path in (report, next(iter(sorted(report.parent.rglob("*_viewer.html"))))):
        page = visit(path, scheme=scheme).page
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
        violations = axe.Axe().run(page).response["violations"]
        serious = [
            (each["id"], each["nodes"][0]["html"][:200], each["nodes"][0].get("failureSummary"))
            for each in violations
            if each["impact"] in ("serious", "critical")
        ]
        assert serious == []


@pytest.mark.parametrize("width", [WIDE, PHONE])
@pytest.mark.parametrize("name", ["one", "forty", "nothing"])
def test_pages_of_one_contrast_of_forty_and_of_nothing_fit(
    visit: Open, rendered: dict[str, Path], name: str, width: int
) -> None:
    page = visit(rendered[name], width).page
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert too_wide(page) == []
    text = page.inner_text("main")
    assert ("Nothing survives any correction in any contrast." in text) is (name == "nothing")
    if name == "nothing":
        assert "What came closest" in text
    if name == "forty":
        assert all(f"{HOSTILE} {number}" in text for number in range(40))
        assert page.locator("nav.side ul ul a").count() == 40


def test_the_pages_are_valid_html(report: Path, rendered: dict[str, Path]) -> None:
    """A strict parser of HTML 5 finds no error in them."""
    viewers = sorted(report.parent.rglob("*_viewer.html"))
    assert viewers
    for path in (report, *viewers, *rendered.values()):
        parser = html5lib.HTMLParser(strict=False)
        parser.parse(path.read_text(encoding="utf-8"))
        assert [(place, code, facts) for place, code, facts in parser.errors] == [], path.name


def _path(link: str) -> Path:
    return Path(unquote(urlsplit(link).path))
