"""The pictures that only the input has: subjects side by side, where voxels are lacking, nilearn's own report.

They are drawn while the maps are there, and kept as files that the report is made of.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bids_app.arrays import Floats
from bids_app.console.terminal import stage
from bids_app.console.text import listed
from bids_app.design.contrast_test import ContrastTest
from bids_app.inputs.load_maps import as_image
from bids_app.report.figures.background import Canvas
from bids_app.report.figures.figure import Figure, attempt, attempt_page
from bids_app.report.figures.grayordinate_canvas import GrayordinateCanvas
from bids_app.report.figures.nilearn_report import Maps, draw_report, memory_needed
from bids_app.report.figures.of_node import draw_mosaics
from bids_app.report.figures.on_grayordinates import about_volume_part
from bids_app.report.figures.parcel_canvas import ParcelCanvas, draw_lacking_parcels, draw_subjects_by_parcel
from bids_app.report.figures.surface_canvas import SurfaceCanvas, draw_lacking, draw_subjects
from bids_app.report.text.findings import draw_coverage
from bids_app.results.node_writer import NodeWriter
from bids_app.results.values import NodeFacts, Picture
from bids_app.spaces.frame import VolumeFrame
from bids_app.spaces.parcel_maps import ParcelFrame
from bids_app.spaces.parcels import ParcelDomain
from bids_app.spaces.volume import read_image
from bids_app.statistics.subsets import in_subjects, subject_effects, with_scores
from bids_app.workflow.draw_node import NodeCanvas, load_node_canvas, save_figure
from bids_app.workflow.prepare import Study

log = logging.getLogger("bids_app")

SUBJECTS_AT_ONCE = 8  # whose effects are in memory for the picture of all


def draw_input(study: Study, facts: NodeFacts, folder: NodeWriter, memory: float) -> NodeFacts:
    """Draw and write what only the input has.

    Parameters
    ----------
    study : the node with its data
    facts : of the node
    folder : where the pictures go
    memory : bytes that nilearn's report may take

    Returns
    -------
    NodeFacts
        With the names and words of the pictures, and a note where nilearn's report that was asked for is absent.
    """
    if isinstance(study.domain, ParcelDomain):
        figures = _draw_parcels(study, ParcelCanvas(study.domain.names))
    else:
        figures = _draw_maps(study, facts, load_node_canvas(facts, study.domain))
    for figure in figures:
        save_figure(folder, "", figure)
    facts = replace(facts, pictures=tuple(_words_of(figure) for figure in figures))
    if not study.node.settings.report.nilearn:
        return facts
    failure = _draw_nilearn(study, folder, memory)
    if failure:
        log.warning("%s", failure)
        return replace(facts, notes=(*facts.notes, failure))
    return replace(facts, has_nilearn=True)


def _words_of(figure: Figure) -> Picture:
    return Picture(figure.name, figure.caption, figure.alt, figure.kind, figure.failure)


def _draw_maps(study: Study, facts: NodeFacts, canvas: NodeCanvas) -> tuple[Figure, ...]:
    """Draw the subjects side by side, and where voxels are lacking."""
    if isinstance(canvas, SurfaceCanvas):
        return _draw_surfaces(study, canvas)
    if isinstance(canvas, GrayordinateCanvas):
        return _draw_grayordinates(study, facts, canvas)
    frame, least = study.maps.frame, study.node.settings.voxel_coverage
    assert isinstance(frame, VolumeFrame)
    n_subjects = len(study.design.subjects)
    if study.maps.coverage is None:
        return _draw_subjects(study, canvas)
    found = study.maps.coverage.reshape(frame.grid.shape)

    def draw() -> Figure | None:
        return draw_coverage(found, frame.grid.affine, n_subjects, canvas, least=least)

    coverage = attempt("coverage", draw)
    return (*_draw_subjects(study, canvas), *([coverage] if coverage else []))


def _draw_subjects(study: Study, canvas: Canvas) -> tuple[Figure, ...]:
    """Draw one map of each subject side by side: effects of interest where the dataset has them."""
    drawn: list[Figure] = []

    def draw() -> Figure:
        drawn.extend(_draw_overview(study, canvas) if study.inputs.overview else _draw_effects(study, canvas))
        return drawn[0]

    first = attempt("subjects", draw)
    return tuple(drawn) or (first,)


def _draw_overview(study: Study, canvas: Canvas) -> tuple[Figure, ...]:
    """Draw the subjects' effects of interest, as far as their maps can be read."""
    images = ((subject, read_image(path)) for subject, path in study.inputs.overview.items())
    absent = [f"sub-{subject}" for subject in study.inputs.subjects if subject not in study.inputs.overview]
    without = f" Without {listed(absent)}, who have no such map or none that can be read." if absent else ""
    caption = f"z maps of all effects of interest, not thresholded.{without}"
    return draw_mosaics(images, canvas, name="subjects", title="Effects of interest", caption=caption)


def _draw_effects(study: Study, canvas: Canvas) -> tuple[Figure, ...]:
    """Draw the first contrast in each subject."""
    first, caption = _first_contrast(study)
    frame, inside = study.maps.frame, study.maps.inside
    assert isinstance(frame, VolumeFrame)
    images = ((subject, as_image(row, frame, inside)) for subject, row in _effects(study, first))
    return draw_mosaics(images, canvas, name="subjects", title=first.name, caption=caption)


def _draw_surfaces(study: Study, canvas: SurfaceCanvas) -> tuple[Figure, ...]:
    """Draw the first contrast in each subject on the cortex, and where vertices are lacking."""
    first, caption = _first_contrast(study)

    def draw() -> Figure:
        return draw_subjects(_effects(study, first), canvas, title=first.name, caption=caption)

    coverage, least = study.maps.coverage, study.node.settings.voxel_coverage
    n_subjects = len(study.design.subjects)

    def lacking() -> Figure | None:
        return None if coverage is None else draw_lacking(coverage, n_subjects, canvas, least=least)

    found = attempt("coverage", lacking)
    return (attempt("subjects", draw), *([found] if found else []))


def _draw_grayordinates(study: Study, facts: NodeFacts, canvas: GrayordinateCanvas) -> tuple[Figure, ...]:
    """Draw the first contrast in each subject, on the cortex and in the volume part."""
    first, caption = _first_contrast(study)
    surface, volume, drawn = canvas.surface, canvas.volume, []

    def on_cortex() -> Figure:
        assert surface is not None
        assert isinstance(surface.on, SurfaceCanvas)
        rows = ((subject, row[surface.elements]) for subject, row in _effects(study, first))
        return draw_subjects(rows, surface.on, title=first.name, caption=caption)

    def in_volume() -> Figure:
        assert volume is not None
        assert isinstance(volume.on, Canvas)
        frame = VolumeFrame.of(volume.on.mask.shape, volume.on.affine)
        images = (
            (subject, as_image(row[volume.elements], frame, volume.on.mask.ravel()))
            for subject, row in _effects(study, first)
        )
        more.extend(draw_mosaics(images, volume.on, name="subjects_volume", title=first.name, caption=caption))
        return more[0]

    more: list[Figure] = []
    if surface:
        drawn.append(attempt("subjects", on_cortex))
    if volume:
        found = attempt("subjects_volume", in_volume)
        drawn += more or [found]
    lacking = attempt("coverage", lambda: _draw_lacking_grayordinates(study, facts))
    return (*drawn, *([lacking] if lacking else []))


def _draw_lacking_grayordinates(study: Study, facts: NodeFacts) -> Figure | None:
    """Draw where subjects lack vertices that others have; where they lack none, the same of the volume part."""
    coverage, frame, least = study.maps.coverage, study.maps.frame, study.node.settings.voxel_coverage
    if coverage is None:
        return None
    everywhere = frame.domain(np.ones(frame.n_rows, np.bool_), study.node.settings.connectivity)
    canvas, n_subjects = load_node_canvas(replace(facts, background=None), everywhere), len(study.design.subjects)
    assert isinstance(canvas, GrayordinateCanvas)
    if canvas.surface and isinstance(canvas.surface.on, SurfaceCanvas):
        vertices = canvas.surface.on.on_vertices(coverage[canvas.surface.elements].astype(np.float64))
        found = draw_lacking(vertices.astype(np.uint16), n_subjects, canvas.surface.on, least=least)
        if found:
            return found
    if canvas.volume and isinstance(canvas.volume.on, Canvas):
        on = canvas.volume.on
        voxels = np.zeros(on.mask.shape, np.uint16)
        voxels[on.mask] = coverage[canvas.volume.elements]
        found = draw_coverage(voxels, on.affine, n_subjects, on, least=least)
        return found and about_volume_part(found)
    return None


def _draw_parcels(study: Study, canvas: ParcelCanvas) -> tuple[Figure, ...]:
    """Draw the first contrast in each subject and parcel, and which subjects lack parcels."""
    first, caption = _first_contrast(study)
    are_sizes = len(first.contrast.cell_weights) > 1

    def draw() -> Figure:
        rows = _effects(study, first)
        return draw_subjects_by_parcel(rows, canvas, title=first.name, caption=caption, are_sizes=are_sizes)

    frame, coverage, least = study.maps.frame, study.maps.coverage, study.node.settings.voxel_coverage
    assert isinstance(frame, ParcelFrame)
    n_subjects = len(study.design.subjects)

    def lacking() -> Figure | None:
        names = frame.parcels.names
        return None if coverage is None else draw_lacking_parcels(names, coverage, n_subjects, least=least)

    found = attempt("coverage", lacking)
    return (attempt("subjects", draw), *([found] if found else []))


def _first_contrast(study: Study) -> tuple[ContrastTest, str]:
    """Return the contrast that is shown in each subject, and words for it."""
    first = sorted(study.tests, key=lambda test: test.contrast.test == "F")[0]
    signed = len(first.contrast.cell_weights) == 1
    what = "Effect in each subject" if signed else "Size of the effect in each subject, without sign"
    return first, f"{what}: {first.name}, not thresholded."


def _effects(study: Study, test: ContrastTest) -> Iterator[tuple[str, Floats]]:
    """Yield what a contrast is in each subject, of few subjects at a time: those of many would fill the memory."""
    test = with_scores(test)
    numbers = np.arange(test.n_subjects)
    for start in range(0, len(numbers), SUBJECTS_AT_ONCE):
        some = in_subjects(test, (numbers >= start) & (numbers < start + SUBJECTS_AT_ONCE))
        effects = subject_effects(study.maps.values, some)
        for subject, row in zip(some.design.subjects, effects, strict=True):
            yield subject, np.nan_to_num(row)


def _draw_nilearn(study: Study, folder: NodeWriter, memory: float) -> str:
    """Let nilearn make its report and write it; returns why it could not, in words for the page, or nothing."""
    frame = study.maps.frame
    if not isinstance(frame, VolumeFrame):
        return f"nilearn's own report is made of volumes only, and the maps are of {frame.plural}"
    maps = Maps(study.maps.values, frame.mask(study.maps.inside), frame.grid.affine)
    needed = memory_needed(maps)
    if needed > memory:
        return (
            f"nilearn's own report was left out: it would hold all maps in memory, {needed / 1e9:.1f} GB, and "
            f"{memory / 1e9:.1f} GB are left of what the run may use (--mem-mb)"
        )
    with stage("nilearn's report"):
        page = attempt_page("nilearn", lambda: draw_report(maps, study.design, study.node.name, mni=study.uses_mni))
    if page.failure:
        return f"nilearn's own report could not be made ({page.failure}); nothing else is affected"
    save_figure(folder, "", page)
    return ""
