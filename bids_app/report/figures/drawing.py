"""Where the pictures are drawn: here, or shared out over processes where there are many.

Matplotlib keeps one core busy. A contrast's pictures are independent of each other, so that every process takes each
n-th of them and the answer is the same whatever n is.
"""

from __future__ import annotations

import itertools
import logging
from concurrent.futures import BrokenExecutor
from functools import partial

from bids_app.report.figures import of_contrast, on_grayordinates, on_parcels, on_surfaces
from bids_app.report.figures.grayordinate_canvas import GrayordinateCanvas
from bids_app.report.figures.of_contrast import Drawn, Scene
from bids_app.report.figures.parcel_canvas import ParcelCanvas
from bids_app.report.figures.surface_canvas import SurfaceCanvas
from bids_app.runtime.execution import Processes

log = logging.getLogger("bids_app")

PROCESS_BYTES = 0.4e9  # of one that draws: Python with its packages, and the maps of a contrast
MOST_PROCESSES = 8
SHARE_OF_MEMORY = 0.25
WORTH_IT = 60  # pictures: starting processes takes as long as drawing a dozen or two


def count_processes(n_pictures: int, n_jobs: int, memory: float) -> int:
    """Return in how many processes to draw, 1 where more are not worth their start.

    Parameters
    ----------
    n_pictures : in all
    n_jobs : cores that may be used
    memory : bytes that may be used, by everything
    """
    if n_pictures < WORTH_IT:
        return 1
    return max(1, min(n_jobs, MOST_PROCESSES, int(SHARE_OF_MEMORY * memory / PROCESS_BYTES)))


def draw_contrast(scene: Scene, share: tuple[int, int] = (0, 1)) -> tuple[Drawn, ...]:
    """Draw the pictures of one contrast, or those numbered k, k + n and so on by the share (k, n)."""
    if isinstance(scene.on, GrayordinateCanvas):
        return on_grayordinates.draw_contrast(scene, share)
    if isinstance(scene.on, SurfaceCanvas):
        return on_surfaces.draw_contrast(scene, share)
    if isinstance(scene.on, ParcelCanvas):
        return on_parcels.draw_contrast(scene, share)
    return of_contrast.draw_contrast(scene, share)


def draw(scene: Scene, n_processes: int) -> tuple[Drawn, ...]:
    """Return all the pictures of a contrast, in the order of the page, the same whatever the number of processes."""
    if n_processes < 2:
        return draw_contrast(scene)
    try:
        tasks = [partial(draw_contrast, scene, (k, n_processes)) for k in range(n_processes)]
        shares = list(Processes(n_processes).map_ordered(tasks))
    except BrokenExecutor:
        log.warning(
            "a process that drew pictures was ended from outside, perhaps for want of memory; the pictures are drawn "
            "without it, one after the other"
        )
        return draw_contrast(scene)
    in_turn = itertools.chain.from_iterable(itertools.zip_longest(*shares))
    return tuple(each for each in in_turn if each is not None)
