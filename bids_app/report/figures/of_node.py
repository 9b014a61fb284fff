"""Figures of a node: its subjects, its design matrix, its contrasts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import nibabel as nib
import numpy as np

from bids_app.design.design import Design
from bids_app.report.figures.background import Canvas, volume_of
from bids_app.report.figures.charts import contrasts_png, correlation_png, design_png
from bids_app.report.figures.colour_scale import Scale
from bids_app.report.figures.figure import Figure
from bids_app.report.figures.slices import Projection, mosaic_png, projected

SUBJECTS_PER_PICTURE = 60
LEAST_CORRELATION = 1e-6  # what is smaller is rounding


def draw_design(design: Design) -> Figure:
    """Draw the design matrix, a row per map."""
    n_maps, n_regressors = design.matrix.shape
    return Figure(
        name="design",
        png=design_png(design),
        caption=f"Design matrix: {n_maps} maps in rows, {len(design.cells)} of each subject one below the other, and "
        f"{n_regressors} regressor{'' if n_regressors == 1 else 's'} in columns (rank {design.rank}).",
        alt=f"Design matrix of {n_maps} rows and {n_regressors} columns: {', '.join(design.regressors[:12])}"
        f"{' and so on' if n_regressors > 12 else ''}.",
        kind="chart",
    )


def draw_contrasts(design: Design) -> Figure:
    """Draw the weights of every contrast over the cells, a row per weight vector."""
    listed = "; ".join(f"{contrast.name}: {contrast.formula}" for contrast in design.contrasts)
    return Figure(
        name="contrasts",
        png=contrasts_png(design),
        caption="Weights of the contrasts over the conditions (red above zero, blue below). An F contrast has a row "
        "for each comparison that it tests together.",
        alt=f"Contrast weights. {listed}.",
        kind="chart",
    )


def draw_correlation(design: Design) -> Figure:
    """Draw how the regressors are correlated."""
    matrix = correlations(design)
    names = design.regressors
    pairs = [
        (abs(matrix[i, j]), f"{names[i]} and {names[j]} {matrix[i, j]:.2f}")
        for i, j in itertools.combinations(range(len(names)), 2)
    ]
    strongest = max(pairs, default=(0.0, ""))
    none = strongest[0] < LEAST_CORRELATION
    return Figure(
        name="correlation",
        png=correlation_png(design.regressors, matrix),
        caption="Correlation of the regressors over the maps (red above zero, blue below; a regressor that is the same "
        "everywhere has none). Conditions of a complete design all overlap alike, and so do subjects; where covariates "
        "or groups are strongly correlated, an effect of one can hardly be told from one of the other.",
        alt=f"Correlation matrix of {len(names)} regressors. "
        + ("None are correlated." if none else f"The strongest: {strongest[1]}."),
        kind="chart",
    )


def correlations(design: Design) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Correlate the regressors, (n_regressors, n_regressors); 0 where one does not vary."""
    centred = design.matrix - design.matrix.mean(axis=0)
    length = np.linalg.norm(centred, axis=0)
    varies = length > 1e-9
    unit = np.where(varies, centred / np.where(varies, length, 1.0), 0.0)
    return np.asarray(unit.T @ unit)


def draw_mosaics(
    images: Iterable[tuple[str, nib.Nifti1Image]], canvas: Canvas, *, name: str, title: str, caption: str
) -> tuple[Figure, ...]:
    """Draw one glass brain for each subject, seen from the side, all in the same colours; a picture for every sixty.

    Parameters
    ----------
    images : subject label and map, each on a grid of its own; one after the other, as no two have to be in memory
    canvas : Canvas
    name : end of the file's name
    title : what the maps are, written above them
    caption : a sentence for the report; the colour range is added to it
    """
    # copies: a view would keep the volume of every subject
    projections = {label: _owned(projected(volume_of(image), 0)) for label, image in images}
    pooled = np.concatenate([np.abs(flat[flat != 0]) for flat, _ in projections.values()])
    largest = float(np.percentile(pooled, 99.8)) if pooled.size else 1.0
    scale = Scale(largest, -largest, largest, "", faint_below=largest)
    note = "" if canvas.outlines else f" No brain outline: {canvas.reason}"
    caption = (
        f"{caption} Maximum along the line of sight, both signs, one colour scale for all subjects "
        f"(\N{PLUS-MINUS SIGN}{largest:.3g}).{note}"
    )
    pages = _pages(list(projections.items()))
    drawn = []
    for number, page in enumerate(pages, start=1):
        part = f" ({number} of {len(pages)})" if len(pages) > 1 else ""
        figure = Figure(
            name=name if number == 1 else f"{name}{number}",
            png=mosaic_png(f"{title}{part}", dict(page), scale, canvas),
            caption=caption if number == 1 else f"The same, sub-{page[0][0]} to sub-{page[-1][0]}.",
            alt=f"{title}{part}: {len(page)} glass brains seen from the side, one for each subject.",
        )
        drawn.append(figure)
    return tuple(drawn)


def _owned(projection: Projection) -> Projection:
    """Take a projection out of the volume that it may be a view of."""
    return projection[0].copy(), projection[1]


def _pages(items: list[tuple[str, Projection]]) -> list[list[tuple[str, Projection]]]:
    """Share the subjects out over pictures."""
    return [items[start : start + SUBJECTS_PER_PICTURE] for start in range(0, len(items), SUBJECTS_PER_PICTURE)]
