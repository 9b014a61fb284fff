"""Fits and corrected maps of a small brain, their figures, and how red or blue these are."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib import image as mpl_image

from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.inference.corrected_map import CorrectedMap
from bids_app.inference.result_tables import ResultTables
from bids_app.model.settings import Sided
from bids_app.report.figures import background as canvases
from bids_app.report.figures import figure as figure_module
from bids_app.report.figures import of_contrast as contrastfigures
from bids_app.statistics.fit import ContrastFit, fit_contrast
from bids_app.statistics.kinds import contrast_test
from builders import designs

RNG_SEED = 20
SHAPE = (9, 11, 9)
AFFINE = np.array([[18.0, 0, 0, -72], [0, 18, 0, -108], [0, 0, 18, -66], [0, 0, 0, 1]])
MASK = np.zeros(SHAPE, bool)
MASK[1:-1, 1:-1, 1:-1] = True
N_VOXELS = int(MASK.sum())


def make_contrast(test: Literal["t", "F"], sided: Sided = "two", name: str = "A > B") -> Contrast:
    return designs.make_contrast(test, name, sided=sided)


def make_design(*contrasts: Contrast, n_subjects: int = 6) -> Design:
    return designs.make_design(*contrasts, n_subjects=n_subjects)


def make_fit(contrast: Contrast) -> ContrastFit:
    values = np.random.default_rng(RNG_SEED).standard_normal((18, N_VOXELS)).astype(np.float32)
    values[0::3, :3] += 5  # A is high in three voxels,
    values[1::3, 60:62] += 5  # and B in two others
    return fit_contrast(values, contrast_test(make_design(contrast), contrast))


def make_inference(fit: ContrastFit, method: str, n_voxels: int) -> CorrectedMap:
    height = np.abs(fit.statistic) if fit.contrast.sided == "two" else fit.statistic
    if fit.contrast.sided == "negative":
        height = -height
    significant = np.zeros(N_VOXELS, bool)
    significant[np.argsort(-height)[:n_voxels]] = True
    return CorrectedMap(method, np.where(significant, 0.01, 1.0), 0.05, significant, 4.0, 0, None)


def make_tables(fit: ContrastFit, inference: CorrectedMap) -> ResultTables:
    """Take every surviving voxel for a cluster with one peak."""
    voxels = np.flatnonzero(inference.significant)
    voxels = voxels[np.argsort(-np.abs(fit.statistic[voxels]), kind="stable")]
    x, y, z = (np.argwhere(MASK)[voxels] @ AFFINE[:3, :3].T + AFFINE[:3, 3]).T
    places = {"peak_x": x, "peak_y": y, "peak_z": z, "peak_statistic": fit.statistic[voxels]}
    numbers = np.arange(1, len(voxels) + 1)
    clusters = pd.DataFrame({"cluster_id": numbers, **places, "extent_voxels": 1})
    peaks = pd.DataFrame({"peak_id": [f"{number}a" for number in numbers], **places})
    return ResultTables(clusters, peaks, 0)


def make_scene(
    fit: ContrastFit, n_voxels: dict[str, int], canvas: canvases.Canvas, *, interactive: bool = False
) -> contrastfigures.Scene:
    inferences = [make_inference(fit, method, number) for method, number in n_voxels.items()]
    tables = {each.method: make_tables(fit, each) for each in inferences}
    return contrastfigures.Scene(fit, inferences, tables, canvas, interactive)


def draw(fit: ContrastFit, n_voxels: dict[str, int], canvas: canvases.Canvas) -> dict[str, figure_module.Figure]:
    drawn = contrastfigures.draw_contrast(make_scene(fit, n_voxels, canvas))
    return {figure.name: figure for figure in drawn if isinstance(figure, figure_module.Figure)}


def pixels(figure: figure_module.Figure) -> np.ndarray:
    return mpl_image.imread(io.BytesIO(figure.png))


def n_blue(figure: figure_module.Figure) -> int:
    red, blue = pixels(figure)[..., 0], pixels(figure)[..., 2]
    return int((blue > red + 0.25).sum())


def n_red(figure: figure_module.Figure) -> int:
    red, blue = pixels(figure)[..., 0], pixels(figure)[..., 2]
    return int((red > blue + 0.25).sum())
