"""The benchmark: its arithmetic, its tables, and one small measurement of every contestant, so that it cannot rot."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))  # its modules find each other as a script's do

import bench  # noqa: E402
import pagespeed  # noqa: E402
import startup  # noqa: E402
import study as whole  # noqa: E402
import surfaces  # noqa: E402
from contestants import Contestant, as_argument, between_of, make_data  # noqa: E402
from estimates import Estimate, exponent, line  # noqa: E402
from graphs import grayordinates, make_graph_data  # noqa: E402
from measuring import Measured, Timed, choose_length, in_turn  # noqa: E402
from scaling import floor_cells  # noqa: E402
from tables import COLUMNS, Row, Target, digits, table  # noqa: E402

MM = 10  # resolution at which a shuffle is nothing


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of maps of 1,876 voxels."""
    return make_data(tmp_path_factory.mktemp("bench"), MM)


def measured(*seconds: float, peak_mb: float = 100.0, **facts: float) -> Measured:
    return Measured(Estimate(seconds), peak_mb, facts)


def row(work: str, resolution: int, **seconds: tuple[float, ...]) -> Row:
    return Row(work, resolution, {who: measured(*own) for who, own in seconds.items()})


def test_groups_swap_and_means_flip_as_the_rows_say() -> None:
    """The engine's own choice for B and L of each design, by whether the vector of ones is left to the null."""
    for design, swaps in (("groups", True), ("mixed", True), ("mixed-F", True), ("beside-groups", False)):
        between, tested = between_of(design, 16)
        assert between.shape == (16, 4)
        null = between @ np.linalg.svd(tested)[2][1:].T  # what H0 leaves of the model
        ones = np.ones(16)
        assert np.allclose(null @ np.linalg.lstsq(null, ones, rcond=None)[0], ones) is swaps


def test_a_ratio_is_taken_within_each_repetition() -> None:
    """A machine that is twice as slow in one repetition changes no ratio."""
    ours, theirs = Estimate((1.0, 2.0, 1.0)), Estimate((10.0, 20.0, 12.0))
    ratio = theirs.over(ours)
    assert ratio.values == (10.0, 10.0, 12.0)
    assert (ratio.median, ratio.low, ratio.high) == (10.0, 10.0, 12.0)


def test_a_straight_line_gives_back_its_fixed_part_and_slope() -> None:
    """R^2 is 1 for a linear cost, and lower for a quadratic one."""
    sizes = np.array([12, 16, 25, 50, 100, 200])
    fit = line(sizes, 3 + 0.5 * sizes)
    assert (fit.fixed, fit.slope, fit.r_squared) == pytest.approx((3, 0.5, 1))  # rounding of least squares
    assert line(sizes, sizes**2.0).r_squared < 0.96


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_exponent_of_a_power_is_found(power: float) -> None:
    """Cost = 7 size^power has that exponent."""
    sizes = np.array([29398.0, 69765, 235375])
    assert exponent(sizes, 7 * sizes**power) == pytest.approx(power)


def test_a_run_has_the_length_that_its_time_asks_for() -> None:
    """1 ms per shuffle and a second wanted: 1000 shuffles, rounded to whole units; cheap work is repeated instead."""
    assert choose_length(0.1, 0.001, 1.0, (8, 4096)) == (1000, 1)
    assert choose_length(0.0, 0.0001, 2.048, (8, 4096)) == (4096, 5)
    assert choose_length(1.0, 1.0, 1.5, (8, 4096)) == (8, 1)
    assert choose_length(0.5, -0.001, 1.5, (8, 4096)) == (4096, 3)  # lost in noise: as long as may be
    assert choose_length(0.0, 0.001, 1.848, (8, 924)) == (924, 2)  # two groups of six have no more swaps


def test_a_row_has_a_cell_for_every_column() -> None:
    """Whoever did not take part has a dash."""
    cells = dict(zip(COLUMNS, row("one-sample t", 2, ours=(0.001, 0.002), nilearn=(0.1, 0.2)).cells(), strict=True))
    assert cells["ours, ms"] == "1.50 (1.00–2.00)"
    assert cells["nilearn / ours"] == "100 x (100–100)"
    assert cells["tfce, ms"] == cells["tfce / ours"] == cells["tfce"] == "–"


def test_an_f_is_compared_with_our_own_t() -> None:
    """Its ratio is its cost over that of the t, where 2 is allowed."""
    rows = [row("F", 2, ours=(0.003,), t=(0.002,))]
    assert "1.50 x (1.50–1.50) the cost of our t" in rows[0].cells()
    assert Target("F", "t", 2).cells(rows)[-1] == "pass"
    assert Target("F", "t", 1.4).cells(rows)[-1] == "FAIL"
    rows = [row("groups", 2, ours=(0.004,), flips=(0.002,))]
    assert "2.00 x (2.00–2.00) the cost of our sign-flips of one group" in rows[0].cells()
    assert [Target("groups", "flips", limit).cells(rows)[-1] for limit in (3, 1.9)] == ["pass", "FAIL"]
    assert not Target("groups", "flips", 3).is_met(-0.3)  # a busy machine: measure again


def test_targets_hold_at_the_finest_resolution_measured() -> None:
    """At 2 mm without a remark, otherwise with one; what was not measured is not passed."""
    coarse, fine = row("t", 4, ours=(1.0,), nilearn=(200.0,)), row("t", 2, ours=(1.0,), nilearn=(100.0,))
    target = Target("t", "nilearn", 150)
    assert target.cells([coarse, fine])[-1] == "FAIL"
    assert target.cells([coarse])[-1] == "pass (at 4 mm; the target is for 2 mm)"
    assert target.cells([])[-1] == "not measured"


def test_every_target_is_about_a_work_that_is_measured() -> None:
    """The names in the two lists agree, and the rival takes part."""
    works = {work.name: work.contestants(Path(), 2) for work in bench.WORKS}
    assert [target for target in bench.TARGETS if target.against not in works[target.work]] == []


def test_a_table_refuses_a_row_that_does_not_fit() -> None:
    """A row of one cell under a head of two is an error of the program."""
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
    with pytest.raises(ValueError, match="1 cells under a head of 2"):
        table(["a", "b"], [["1"]])


def test_numbers_have_three_digits() -> None:
    """No exponent, whatever the size."""
    assert [digits(value) for value in (0.0123, 1.234, 12.34, 123.4)] == ["0.012", "1.23", "12.3", "123"]


def test_the_share_of_a_floor_is_its_time_over_the_time_taken() -> None:
    """37 flops at 37 Gflop/s take 1 ns, half of 2 ns; 4 bytes at 10 GB/s 0.4 ns, a fifth."""
    kernel = measured(2e-6, n_voxels=1000.0, flops=37.0, bytes=4.0)
    assert floor_cells("t", kernel, 10e9, 37e9) == ["t", "2.00", "37", "50 %", "4.00", "20 %"]


def test_compilation_is_what_a_cold_start_costs_beyond_a_cached_one() -> None:
    """5 + 2 s cold and 0.5 + 0.25 s cached leave 6.25 s."""
    cold = {"t": Estimate((4.0, 5.0, 6.0)), "F": Estimate((2.0,))}
    cached = {"t": Estimate((0.5,)), "F": Estimate((0.25,))}
    measured = startup.StartUp(cold, cached)
    assert measured.compilation() == pytest.approx(6.25)
    assert measured.cells()[-1] == ["together", "7.00", "0.75"]


@pytest.mark.parametrize(
    ("who", "design", "statistics"),
    [
        ("ours", "one-sample", ("voxel", "cluster-size", "cluster-mass", "tfce")),
        ("ours", "pooled", ("voxel",)),
        ("ours", "F", ("voxel",)),
        ("ours", "rank-1", ("voxel",)),
        ("ours", "two-sample", ("voxel",)),
        ("ours", "groups", ("voxel",)),
        ("ours", "mixed", ("voxel",)),
        ("ours", "mixed-F", ("voxel",)),
        ("ours", "beside-groups", ("voxel",)),
        ("kernel", "one-sample", ()),
        ("tfce-kernel", "one-sample", ()),
        ("tfce", "one-sample", ()),
        ("copy", "", ()),
    ],
)
def test_every_contestant_runs(data: Path, who: str, design: str, statistics: tuple[str, ...]) -> None:
    """Each can be set up and run, here in this process."""
    from contestants import SET_UP

    run, facts = SET_UP[who](Contestant(who, str(data), design, statistics))
    run(2)
    assert facts.get("n_voxels", 1876) == 1876  # MNI brain mask at 10 mm


@pytest.mark.parametrize(
    ("who", "statistics"), [("ours", surfaces.ALL_FOUR), ("mne", ("cluster-mass",)), ("mne", ("tfce",))]
)
def test_every_contestant_on_a_mesh_runs(tmp_path: Path, who: str, statistics: tuple[str, ...]) -> None:
    """Both hemispheres of fsaverage5; the statistics arrive as the list that JSON makes of them."""
    if who == "mne":
        pytest.importorskip("mne", reason="MNE is not installed")
    from contestants import SET_UP

    data = str(make_graph_data(tmp_path, "fsaverage5"))
    asked = Contestant(**json.loads(as_argument(Contestant(who, data, statistics=statistics))))
    run, _ = SET_UP[who](asked)
    result = run(2)
    if who == "mne":
        observed, clusters, _, _ = result
        assert observed.shape == (20484,)
        assert (len(clusters) == 20484) == (statistics == ("tfce",))  # TFCE: each vertex by itself


def test_the_large_graph_is_as_large_as_files_of_91k() -> None:
    """Two closed surfaces of triangles, 6 neighbours on the average, and a ball; areas are those of the spheres."""
    graph, sizes = grayordinates()
    assert graph.n_elements == 91_379
    n_vertices = 29_696 + 29_716
    assert np.diff(graph.indptr)[:n_vertices].mean() == pytest.approx(6, abs=0.001)
    assert sizes[:n_vertices].sum() == pytest.approx(180_000, rel=0.001)  # flat triangles under a sphere
    assert np.all(sizes[n_vertices:] == 1)


def test_a_row_of_surfaces_says_whether_its_target_is_met() -> None:
    """The cost of a shuffle against its limit, and MNE's cost over ours."""
    work = surfaces.Work("fsaverage5", "all four", surfaces.ALL_FOUR, ("cluster-mass",), 2.0)
    ours, mne = measured(0.001, 0.002, 0.0015, n_voxels=20484.0), measured(0.003, 0.004, 0.006)
    cells = dict(zip(surfaces.COLUMNS, work.cells(ours, mne), strict=True))
    assert cells["maps"] == "fsaverage5, 20,484"
    assert cells["MNE / ours"] == "3.00 x (2.00–4.00)"
    assert cells["target, ms"] == "2.00"
    assert cells[""] == "pass"
    assert work.cells(measured(0.0021, n_voxels=20484.0), None)[-1] == "FAIL"


def test_a_whole_study_is_timed_to_its_last_map(tmp_path: Path) -> None:
    """The command line runs on the files; the maps are there before the report is."""
    plain = {"Effects": ["stimulus"], "Report": {"Atlases": [], "Interactive": False}}
    times = whole.measure(whole.write_study(tmp_path, MM, **plain), 1, 1)
    assert 0 < times.maps.median <= times.report.median
    assert len(list((tmp_path / f"study-{MM}mm" / "input").rglob("*.nii.gz"))) == 144
    # some ten of t and F, means and errors of nine conditions, the mask
    assert times.n_maps == len(list((tmp_path / f"study-{MM}mm" / "out0").rglob("*.nii.gz"))) > 30


def test_the_report_is_drawn_again_from_the_files(tmp_path: Path) -> None:
    """Only the report: no map is written again."""
    plain = {"Effects": ["stimulus"], "Report": {"Atlases": [], "Interactive": False}}
    study = whole.write_study(tmp_path, MM, **plain)
    whole.measure(study, 1, 1)
    maps = {path: path.stat().st_mtime_ns for path in (study / "out0").rglob("*.nii.gz")}
    page = (study / "out0" / "report.html").stat().st_mtime_ns
    times = pagespeed.measure(study / "out0", 1, 1)
    assert times.wall.median > 0.5  # loading the program alone
    assert times.cpu.median > 0.5
    assert 0.05 < times.page_mb < 15
    assert times.folder_mb > 0
    assert (study / "out0" / "report.html").stat().st_mtime_ns > page
    assert {path: path.stat().st_mtime_ns for path in maps} == maps


def test_a_cell_is_measured_in_its_own_process(data: Path) -> None:
    """Two processes take turns, and each has a positive peak of memory."""
    works = bench.WORKS[1].contestants(data, 1)
    own = in_turn([works["ours"], Contestant("copy")], 0.02, 2)
    assert [len(one.seconds.values) for one in own] == [2, 2]
    if Path("/proc/self/status").exists():
        assert own[0].peak_mb > 50  # an interpreter with numpy and numba
        assert own[1].peak_mb > 256  # two arrays of 128 MB and more


def test_nilearn_takes_the_same_data(data: Path) -> None:
    """Two groups and clusters, by its own engine."""
    with Timed(Contestant("nilearn", str(data), "two-sample", ("cluster-size",), 1)) as timed:
        timed.wait()
        assert timed.run(2) > 0


def test_a_contestant_that_fails_says_why() -> None:
    """The error of the process is in the error here."""
    with Timed(Contestant("nobody")) as timed, pytest.raises(RuntimeError, match="KeyError: 'nobody'"):
        timed.wait()
