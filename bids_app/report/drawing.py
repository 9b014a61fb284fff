"""Where the pictures are drawn: here, or shared out over processes where there are many.

Matplotlib keeps one core busy. A contrast's pictures are independent of each other, so that every process takes each
n-th of them and the answer is the same whatever n is.
"""

from __future__ import annotations

import itertools

from joblib import Parallel, delayed

from bids_app.report.contrastfigures import Drawn, Scene, draw_contrast

PROCESS_BYTES = 0.4e9  # of one that draws: Python with its packages, and the maps of a contrast
MOST_PROCESSES = 8
SHARE_OF_MEMORY = 0.25
WORTH_IT = 60  # pictures: starting processes takes as long as drawing a dozen or two


def count_processes(n_pictures: int, n_jobs: int, memory: float) -> int:
    """Say in how many processes to draw.

    Parameters
    ----------
    n_pictures : in all
    n_jobs : cores that may be used
    memory : bytes that may be used, by everything
    """
    if n_pictures < WORTH_IT:
        return 1
    return max(1, min(n_jobs, MOST_PROCESSES, int(SHARE_OF_MEMORY * memory / PROCESS_BYTES)))


def draw(scene: Scene, n_processes: int) -> tuple[Drawn, ...]:
    """Draw all the pictures of a contrast, in the order of the page."""
    if n_processes < 2:
        return draw_contrast(scene)
    # max_nbytes: through pipes and not through files, for which a container may have no room
    work = Parallel(n_processes, backend="loky", max_nbytes=None)
    shares = work(delayed(draw_contrast)(scene, (number, n_processes)) for number in range(n_processes))
    in_turn = itertools.chain.from_iterable(itertools.zip_longest(*shares))
    return tuple(each for each in in_turn if each is not None)
