"""The figures of a node: drawn from its results, written beside them, and put into its part of the page."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from bids_app.model.specification import NodeSpec
from bids_app.report.content import Checks, ContrastSection, NodeSection, contrast_section
from bids_app.report.figures.background import Canvas, load_canvas
from bids_app.report.figures.drawing import count_processes, draw
from bids_app.report.figures.figure import Figure, Viewer, attempt
from bids_app.report.figures.grayordinate_canvas import GrayordinateCanvas, grayordinate_canvas
from bids_app.report.figures.of_contrast import Scene, primary
from bids_app.report.figures.of_node import draw_contrasts, draw_correlation, draw_design
from bids_app.report.figures.parcel_canvas import ParcelCanvas
from bids_app.report.figures.peak_means import MeansAtPeaks, draw_peak_means
from bids_app.report.figures.surface_canvas import SurfaceCanvas, surface_canvas
from bids_app.report.text.findings import contrast_checks
from bids_app.results.names import PARCEL_TABLE
from bids_app.results.node_writer import NodeWriter
from bids_app.results.read import read_picture
from bids_app.results.read_domain import read_regions
from bids_app.results.values import NodeFacts, Results
from bids_app.spaces.atlases import Atlas, load_atlases
from bids_app.spaces.domain import SpatialDomain
from bids_app.spaces.grayordinate_domain import GrayordinateDomain
from bids_app.spaces.parcels import ParcelDomain
from bids_app.spaces.surface import SurfaceDomain
from bids_app.spaces.volume import Grid, VolumeDomain

log = logging.getLogger("bids_app")

NodeCanvas = Canvas | SurfaceCanvas | GrayordinateCanvas


@dataclass(frozen=True, slots=True)
class Sheet:
    """What all the contrasts of a node are drawn on, and where the pictures go."""

    node: NodeSpec
    facts: NodeFacts
    canvas: NodeCanvas | ParcelCanvas
    folder: NodeWriter
    n_processes: int = 1
    """That draw."""
    atlases: tuple[Atlas, ...] = ()
    """On the grid of the maps, for the interactive maps."""


def open_sheet(
    node: NodeSpec, facts: NodeFacts, domain: SpatialDomain, folder: NodeWriter, limits: tuple[int, float]
) -> Sheet:
    """Load what a node is drawn on.

    Parameters
    ----------
    node : NodeSpec
    facts : of the node
    domain : of its maps
    folder : where the pictures go
    limits : cores and bytes of memory that drawing may take
    """
    settings = node.settings
    used = settings.report.atlases if facts.uses_mni and settings.report.interactive else ()
    grid = _grid_in_mni(facts, domain)
    n_methods = len(settings.parametric) + (len(settings.permutation.statistics) if settings.permutation else 0)
    n_pictures = 3 * n_methods * len(facts.design.contrasts)
    return Sheet(
        node,
        facts,
        _parcel_canvas(facts, domain, folder) if isinstance(domain, ParcelDomain) else load_node_canvas(facts, domain),
        folder,
        count_processes(n_pictures, *limits),
        load_atlases(used, grid.shape, grid.affine) if grid else (),
    )


def _grid_in_mni(facts: NodeFacts, domain: SpatialDomain) -> Grid | None:
    """Return the grid of voxels whose regions can be named: of volumes, and of grayordinates that are in MNI."""
    if isinstance(domain, VolumeDomain):
        return domain.grid
    is_known = facts.grayordinates is not None and facts.grayordinates.in_mni152
    return domain.rows.grid if isinstance(domain, GrayordinateDomain) and is_known else None


def _parcel_canvas(facts: NodeFacts, domain: ParcelDomain, folder: NodeWriter) -> ParcelCanvas:
    """Return what parcels are drawn on, with slices through their regions where voxels were averaged."""
    if facts.parcels is None or facts.parcels.source != "average":
        return ParcelCanvas(domain.names)
    labels, affine, numbers = read_regions(folder.paths, domain)
    mask = np.isin(labels, numbers)
    order = np.argsort(numbers)
    element = order[np.searchsorted(numbers[order], labels[mask])]
    slices = load_canvas(mask, affine, use_mni=facts.uses_mni, reason=facts.space_note)
    return ParcelCanvas(domain.names, slices, element)


def load_node_canvas(facts: NodeFacts, domain: SpatialDomain) -> NodeCanvas:
    """Return what a node's figures are drawn on: background and outlines, or the cortex.

    Parameters
    ----------
    facts : of the node
    domain : of its maps
    """
    if isinstance(domain, SurfaceDomain):
        return surface_canvas(domain)
    if isinstance(domain, GrayordinateDomain):
        in_mni = facts.grayordinates is not None and facts.grayordinates.in_mni152
        mean = None if facts.background is None else facts.background.astype(np.float64)
        return grayordinate_canvas(domain, mean, use_mni=in_mni)
    if not isinstance(domain, VolumeDomain):
        raise TypeError(f"there are no figures of {domain.plural}")
    return load_canvas(
        domain.mask,
        domain.grid.affine,
        None if facts.background is None else facts.background.astype(np.float64),
        use_mni=facts.uses_mni,
        reason=facts.space_note,
    )


def draw_contrast(results: Results, sheet: Sheet) -> ContrastSection:
    """Draw a contrast, write its pictures and its viewers, and return its part of the page."""
    stem = f"contrast-{results.fit.contrast.label}"
    interactive = sheet.node.settings.report.interactive
    scene = Scene(
        results.fit,
        results.inferences,
        results.by_method,
        sheet.canvas,
        interactive,
        sheet.atlases,
        parcels=results.parcels,
    )
    drawn = draw(scene, sheet.n_processes)
    checks, means = _draw_checks(results, sheet), _draw_means(results, sheet)
    more = (*(checks.figures if checks else ()), *([means.figure] if means else []))
    files = {each.name: save_figure(sheet.folder, stem, each) for each in (*drawn, *more)}
    paths = sheet.folder.paths
    listed = [f"desc-{method}_{kind}.tsv" for method in results.by_method for kind in ("clusters", "peaks")]
    for name in listed if results.parcels is None else [PARCEL_TABLE]:
        files[name] = paths.relative(paths.file(f"{stem}_{name}"))
    return contrast_section(results, drawn, files=files, means=means, checks=checks)


def _draw_checks(results: Results, sheet: Sheet) -> Checks | None:
    """Draw the diagnostics and put them into words; None where there are none."""
    if results.diagnostics is None:
        return None
    scheme = results.null.shuffles.scheme if results.null else None
    in_fields = any(each.random_field is not None for each in results.inferences)
    facts = sheet.facts
    return contrast_checks(
        results.fit.contrast, results.diagnostics, results.smoothness, scheme, facts.element, in_fields=in_fields
    )


def _draw_means(results: Results, sheet: Sheet) -> MeansAtPeaks | None:
    """Draw the condition means at the highest peaks; None where there are none."""
    if results.means is None:
        return None
    first = primary(results.inferences)
    return draw_peak_means(results.means, sheet.facts.design, first, results.by_method[first.method].peaks)


def draw_node(sheet: Sheet, contrasts: Sequence[ContrastSection]) -> NodeSection:
    """Draw what a node has besides its contrasts, write it, and return the node's part of the page."""
    facts, paths = sheet.facts, sheet.folder.paths
    drawn = (
        attempt("design", lambda: draw_design(facts.design)),
        attempt("correlation", lambda: draw_correlation(facts.design)),
        attempt("contrasts", lambda: draw_contrasts(facts.design)),
    )
    files = {figure.name: save_figure(sheet.folder, "", figure) for figure in drawn}
    kept = [Figure(png=read_picture(paths, picture), **asdict(picture)) for picture in facts.pictures]
    return NodeSection(
        spec=sheet.node,
        facts=facts,
        figures=drawn,
        contrasts=tuple(contrasts),
        mosaics=tuple(figure for figure in kept if figure.name.startswith("subjects")),
        coverage=next((figure for figure in kept if figure.name == "coverage"), None),
        files={figure.name: paths.relative(paths.figure("", figure.name)) for figure in kept} | files,
        nilearn=paths.relative(paths.figure("", "nilearn", "html")) if facts.has_nilearn else "",
    )


def save_figure(folder: NodeWriter, stem: str, figure: Figure | Viewer) -> str:
    """Write a picture, or a page to look around in; returns its path relative to OUTPUT_DIR.

    Parameters
    ----------
    folder : of the node
    stem : contrast-<C>, or empty for those of the node
    figure : one that could not be drawn is written too, and the log says why
    """
    if figure.failure:
        what = " ".join([stem, figure.name]).strip()
        log.warning(
            "%s could not be drawn (%s); the report says so in its place, and no number is affected",
            what,
            figure.failure,
        )
    if isinstance(figure, Figure):
        return folder.write_figure(folder.paths.figure(stem, figure.name), figure.png)
    return folder.write_figure(folder.paths.figure(stem, figure.name, "html"), figure.page.encode())
