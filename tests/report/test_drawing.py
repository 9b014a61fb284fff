"""Drawing: several processes draw the same pictures in the same order, and only where it pays."""

from __future__ import annotations

import pytest

from bids_app.report import canvas as canvases
from bids_app.report import drawing
from builders.drawings import make_contrast, make_fit, make_scene


def test_the_pictures_do_not_depend_on_the_number_of_processes(own: canvases.Canvas) -> None:
    scene = make_scene(make_fit(make_contrast("t")), {"voxelFWE": 3, "fdr": 9}, own, interactive=True)
    one, two = drawing.draw(scene, 1), drawing.draw(scene, 2)
    assert len(one) > 5
    assert one == two


@pytest.mark.parametrize(
    ("n_pictures", "n_jobs", "memory", "n_processes"),
    [
        (20, 8, 64e9, 1),  # too few to be worth it
        (200, 1, 64e9, 1),
        (200, 2, 64e9, 2),
        (200, 64, 64e9, drawing.MOST_PROCESSES),
        (200, 8, 4e9, 2),  # a quarter of the memory holds two
        (200, 8, 0.5e9, 1),
    ],
)
def test_processes_are_bounded_by_work_cores_and_memory(
    n_pictures: int, n_jobs: int, memory: float, n_processes: int
) -> None:
    assert drawing.count_processes(n_pictures, n_jobs, memory) == n_processes
