"""Tables of the page: they equal the files, whatever is rounded for the eye."""

from __future__ import annotations

import dataclasses
import io
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd

from bids_app.inference.result_tables import Closest
from bids_app.report import content
from bids_app.report import wording as words
from bids_app.report.page import render as html
from bids_app.report.page import tables as pagetables
from bids_app.results import files
from builders.pages import make_node, make_page


class Tables(HTMLParser):
    """Reads each sortable table as the copy button does: data-value, or else the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.rows: list[list[str]] | None = None
        self.cell: str | None = None
        self.exact: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "table" and found.get("class") == "sortable":
            self.rows = self.tables.setdefault(str(found["id"]), [])
        elif tag == "tr" and self.rows is not None:
            self.rows.append([])
        elif tag in ("th", "td") and self.rows is not None:
            self.cell, self.exact = "", found.get("data-value")

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self.rows = None
        elif tag in ("th", "td") and self.rows is not None and self.cell is not None:
            self.rows[-1].append(self.cell.strip() if self.exact is None else self.exact)
            self.cell = None

    def handle_data(self, data: str) -> None:
        if self.cell is not None:
            self.cell += data


def test_the_tables_of_the_page_equal_the_files(
    strong_t: content.ContrastSection, strong_f: content.ContrastSection, tmp_path: Path
) -> None:
    """Every column that the page has is the file's, letter by letter, in the file's order of rows."""
    found = Tables(html.render(make_page(make_node(strong_t, strong_f)))).tables
    compared = 0
    for number, section in enumerate((strong_t, strong_f), start=1):
        for result in (each for each in section.results if each.n_voxels):
            for kind, table in (("clusters", result.tables.clusters), ("peaks", result.tables.peaks)):
                path = tmp_path / "table.tsv"
                files.write_table(path, table)
                file = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
                text = "\n".join("\t".join(row) for row in found[f"n1-c{number}-{result.method}-{kind}"])
                page = pd.read_csv(io.StringIO(text), sep="\t", dtype=str, keep_default_na=False)
                assert {"peak_x", "peak_y", "peak_z", "peak_statistic", f"p_{result.method}"} <= set(page)
                pd.testing.assert_frame_equal(page, file[list(page)].head(pagetables.MAX_ROWS))
                compared += len(page)
    assert compared > 6


def test_coordinates_open_the_viewer_at_the_place(strong_t: content.ContrastSection) -> None:
    result = strong_t.results[0]
    table = pagetables.peaks_table(result, strong_t)
    (place,) = (cell for cell in table.rows[0] if cell.link)
    peak = result.tables.peaks.iloc[0]
    assert place.link == f"figures/a%20b.html#{peak['peak_x']:g},{peak['peak_y']:g},{peak['peak_z']:g}"
    without = dataclasses.replace(strong_t, files={})
    assert not [cell for row in pagetables.peaks_table(result, without).rows for cell in row if cell.link]


def test_a_place_is_written_in_one_way_wherever_it_stands(strong_t: content.ContrastSection) -> None:
    """In a table, a sentence and a caption alike, and the link leads there; beside a whole number, almost zero."""
    xyz = (41.96, -0.04, 2.9999999)
    result = strong_t.results[0]
    peaks = result.tables.peaks.assign(peak_x=xyz[0], peak_y=xyz[1], peak_z=xyz[2])
    moved = dataclasses.replace(result, tables=dataclasses.replace(result.tables, peaks=peaks))
    (place,) = (cell for cell in pagetables.peaks_table(moved, strong_t).rows[0] if cell.link)
    assert place.text == words.place_words(xyz) == "(42, 0, 3)"
    assert place.link.endswith("#41.96,-0.04,3")
    assert content._peak(Closest(xyz, 5.0, 0.01, "")).place == place.text


def test_long_tables_are_cut_and_say_so(strong_t: content.ContrastSection) -> None:
    result = strong_t.results[0]
    peaks = pd.concat([result.tables.peaks.iloc[:1]] * (pagetables.MAX_ROWS + 3), ignore_index=True)
    longer = dataclasses.replace(result, tables=dataclasses.replace(result.tables, peaks=peaks))
    table = pagetables.peaks_table(longer, strong_t)
    assert (len(table.rows), table.n_hidden) == (pagetables.MAX_ROWS, 3)
    assert table.file == f"group/{result.method}_peaks.tsv"
