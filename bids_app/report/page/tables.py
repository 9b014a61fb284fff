"""The tables of the page: which columns, in which words, and exactly what the files hold, to be copied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bids_app.inference.catalogue import METHODS, columns
from bids_app.inference.parcel_table import LIMITS, SIGNIFICANT, UNCORRECTED_BY_PERMUTATION, described_in_parcels
from bids_app.inference.result_tables import PARCEL, described
from bids_app.report.content import ContrastSection, MethodResult
from bids_app.report.figures.viewer import place_hash
from bids_app.report.wording import MINUS, NO_REGION, decimal, format_p, place_words, short_label
from bids_app.results.names import PARCEL_TABLE
from bids_app.spaces.atlas_catalogue import ATLASES

MAX_ROWS = 50  # of a table on the page; the file has them all
PLACE = ("peak_x", "peak_y", "peak_z")  # one column on the page
HEADS = {
    "cluster_id": "#",
    "peak_id": "Peak",
    "cluster_mean": "mean",
    "peak_statistic": "peak",
    "peak_z_score": "z score",
    "peak_effect": "effect",
    "extent_voxels": "voxels",
    "volume_mm3": "mm\N{SUPERSCRIPT THREE}",
    "extent_vertices": "vertices",
    "area_mm2": "mm\N{SUPERSCRIPT TWO}",
    "structure": "structure",
    "hemi": "hemi",
    "peak_vertex": "vertex",
}
ABSENT = "n/a"
VOLUME_VOXELS = "volume voxels"  # head of the sizes of clusters of grayordinates that are in the volume
SIZES = ("extent_voxels", "volume_mm3", "extent_vertices", "area_mm2")
PARCEL_HEADS = {
    PARCEL: "Parcel",
    "effect": "effect",
    "standard_error": "SE",
    "df_effect": "df effect",
    "df": "df",
    "epsilon": "\N{GREEK SMALL LETTER EPSILON}",
    "hedgesg": "Hedges' g",
    "partialr": "partial r",
    "etasq": "\N{GREEK SMALL LETTER ETA}\N{SUPERSCRIPT TWO}",
    "p_uncorrected": "p unc.",
    "p_voxelFWE": "p FWE",
    UNCORRECTED_BY_PERMUTATION: "p unc. (perm.)",
}
VERTEX = ("structure", "hemi", "peak_vertex")


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell."""

    text: str
    kind: str = "number"
    """Or text."""
    full: str = ""
    """What was shortened, or what a column is."""
    value: str = ""
    """What the file has there; several columns are separated by tabs."""
    link: str = ""
    """Address that opens the viewer at this place."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table."""

    caption: str
    heads: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]
    n_hidden: int
    file: str
    """Link to the file with all rows; may be empty."""


def clusters_table(result: MethodResult, section: ContrastSection) -> Table:
    """Return the clusters of a corrected map."""
    shown = ["cluster_id", *PLACE, *VERTEX, *SIZES, "cluster_mean"]
    shown += ["peak_statistic", "peak_z_score", "peak_effect", f"p_{result.method}", *ATLASES]
    file = section.files.get(f"desc-{result.method}_clusters.tsv", "")
    return _table(result.tables.clusters, [*shown, *columns()], (f"Clusters: {result.words}", file), section)


def peaks_table(result: MethodResult, section: ContrastSection) -> Table:
    """Return the peaks of a corrected map."""
    shown = ["peak_id", *PLACE, *VERTEX, "peak_statistic", "peak_z_score", "peak_effect"]
    shown += [f"p_{result.method}", "extent_voxels", "extent_vertices", *ATLASES]
    file = section.files.get(f"desc-{result.method}_peaks.tsv", "")
    return _table(result.tables.peaks, [*shown, *columns()], (f"Peaks: {result.words}", file), section)


def parcels_table(section: ContrastSection) -> Table:
    """Return all parcels of a contrast: those that are significant by the primary correction first, then by p."""
    assert section.parcels is not None
    table = section.parcels
    rank = [table["p_uncorrected"].to_numpy(np.float64)]
    for result in reversed(section.results):
        rank += [1 - table[f"{SIGNIFICANT}{result.method}"].to_numpy(np.int64)]
    ordered = table.iloc[np.lexsort(rank)]
    marks = {f"{SIGNIFICANT}{result.method}": METHODS[result.method].words for result in section.results}
    others = [str(name) for name in ordered if name not in marks]
    # every p beside the statistic, effect sizes behind
    end = others.index("df") + 1
    names = [*others[:end], *(name for name in others if name.startswith("p_")),
             *(name for name in others[end:] if not name.startswith("p_"))]  # fmt: skip
    heads = [
        Cell(_parcel_head(str(name), section), "text" if name == PARCEL else "number",
             described_in_parcels(str(name)), str(name))
        for name in names
    ]  # fmt: skip
    shown = ordered.head(MAX_ROWS)
    rows = []
    for row in shown.to_dict("records"):
        by = ["FWE" if name == f"{SIGNIFICANT}voxelFWE" else words.short
              for name, words in marks.items() if row[name] == 1]  # fmt: skip
        cells = [_parcel_cell(str(name), row[name]) for name in names]
        mark = Cell(", ".join(by) or NO_REGION, "text", value=", ".join(by) or "none")
        rows.append((cells[0], mark, *cells[1:]))
    said = "Corrections by which the parcel is significant; in the file a column of 0 and 1 for each."
    heads.insert(1, Cell("significant by", "text", said, "significant_by"))
    caption = "Parcels: those that are significant first, then by p"
    return Table(caption, tuple(heads), tuple(rows), max(0, len(table) - MAX_ROWS), section.files.get(PARCEL_TABLE, ""))


def _parcel_head(name: str, section: ContrastSection) -> str:
    """Return the head of a column of the table of parcels."""
    for limit, side in zip(LIMITS, ("from", "to"), strict=True):
        if name.endswith(f"_{limit}"):
            return f"95 % {side}"
    heads = {"statistic": section.contrast.test, **PARCEL_HEADS}
    return heads[name] if name in heads else columns()[name].head


def _parcel_cell(name: str, value: Any) -> Cell:  # noqa: ANN401
    exact = file_text(value)
    if name == PARCEL:
        return Cell(str(value), "text", value=exact)
    if name.startswith("p_"):
        return Cell(format_p(float(value)), full=f"{float(value):.3g}", value=exact)
    if np.isnan(value):
        return Cell("n/a", value=exact)
    if name in {"df", "df_effect"}:
        return Cell(f"{float(value):.4g}", value=exact)
    small = name in {"effect", "standard_error", *(f"effect_{limit}" for limit in LIMITS)} and 0 < abs(value) < 0.1
    return Cell(f"{float(value):.3g}".replace("-", MINUS) if small else decimal(float(value)), value=exact)


def place_link(section: ContrastSection, xyz: Sequence[float]) -> str:
    """Return the address that opens the contrast's viewer at a place; empty without a viewer."""
    viewer = section.files.get("viewer", "")
    return f"{viewer}#{place_hash(xyz)}" if viewer else ""


def _table(table: pd.DataFrame, wanted: Sequence[str], about: tuple[str, str], section: ContrastSection) -> Table:
    """Return a table of those of the wanted columns that there are, in their order."""
    names = [name for name in dict.fromkeys(wanted) if name in table]
    heads = []
    for name in names:
        if name not in PLACE:
            text = VOLUME_VOXELS if name == SIZES[0] and VERTEX[0] in names else _head(name)
            if name in {"peak_statistic", "cluster_mean"}:
                text = section.contrast.test if name == "peak_statistic" else f"mean {section.contrast.test}"
            heads.append(Cell(text, "text" if name in ATLASES else "number", described(name), name))
        elif name == PLACE[0]:
            heads.append(Cell("x, y, z (mm)", "text", "Coordinates of the peak voxel, in mm.", "\t".join(PLACE)))
    rows = tuple(
        _row(dict(zip(names, row, strict=True)), section) for row in table[names].head(MAX_ROWS).itertuples(index=False)
    )
    caption, file = about
    return Table(caption, tuple(heads), rows, max(0, len(table) - MAX_ROWS), file)


def _head(name: str) -> str:
    """Return the head of a column."""
    if name in ATLASES:
        return ATLASES[name].heading
    added = columns()
    return added[name].head if name in added else HEADS[name]


def _row(values: dict[str, Any], section: ContrastSection) -> tuple[Cell, ...]:
    """Return one row, its coordinates in one cell."""
    cells = []
    for name, value in values.items():
        if name == PLACE[0]:
            xyz = [float(values[axis]) for axis in PLACE]
            exact = "\t".join(file_text(values[axis]) for axis in PLACE)
            link = place_link(section, xyz) if values.get("hemi", ABSENT) == ABSENT else ""  # the viewer has no cortex
            cells.append(Cell(place_words(xyz), "text", value=exact, link=link))
        elif name not in PLACE:
            cells.append(_cell(name, value))
    return tuple(cells)


def file_text(value: Any) -> str:  # noqa: ANN401
    """Return a value as `results.files.write_table` spells it."""
    if isinstance(value, float | np.floating):
        return "n/a" if np.isnan(value) else f"{value:.9g}"
    return str(value)


def _name(value: Any) -> str:  # noqa: ANN401
    """Return a name or a number that counts nothing; a dash where there is none."""
    text = f"{value:.0f}" if isinstance(value, float) else str(value)
    return NO_REGION if text in {"nan", ABSENT} else text


def _cell(name: str, value: Any) -> Cell:  # noqa: ANN401
    exact = file_text(value)
    if name in ATLASES:
        return Cell(short_label(str(value)), "text", str(value), exact)
    if name.startswith("p_"):
        return Cell(format_p(float(value)), full=f"{float(value):.3g}", value=exact)
    if name in {"cluster_id", "peak_id", *VERTEX}:
        return Cell(_name(value), "text", value=exact)
    added = columns()
    if exact == ABSENT:
        return Cell(NO_REGION, value=exact)
    if name in SIZES or (name in added and added[name].is_whole):
        return Cell(f"{float(value):,.0f}", value=exact)
    return Cell(decimal(float(value)), value=exact)
