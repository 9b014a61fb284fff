"""The CPUs and the memory that may be used, in made-up trees of control groups and under real limits."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bids_app.runtime.cpu_and_memory_limits import _cpu_quota, container, how_to_bind, usable_cpus, usable_memory_mb

REPOSITORY = Path(__file__).parents[2]

Usable = Callable[[Path, Path], int]


def usable(of: Usable, tmp_path: Path, membership: str, files: dict[str, str]) -> int:
    """Return what is usable in a made-up tree of control groups."""
    for name, text in files.items():
        (tmp_path / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cgroup" / name).write_text(text, encoding="utf-8")
    (tmp_path / "membership").write_text(membership, encoding="utf-8")
    return of(tmp_path / "cgroup", tmp_path / "membership")


def printed_by(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY, check=True, timeout=60
    )
    return done.stdout


@pytest.mark.parametrize(
    ("membership", "files"),
    [
        ("0::/\n", {"cpu.max": "100000 100000\n"}),
        ("0::/job\n", {"job/cpu.max": "100000 100000\n"}),
        ("0::/slice/job\n", {"slice/cpu.max": "150000 100000\n", "slice/job/cpu.max": "max 100000\n"}),
        ("0::/name/on/the/host\n", {"cpu.max": "50000 100000\n"}),
        (
            "5:memory:/job\n4:cpu,cpuacct:/job\n",
            {"cpu/job/cpu.cfs_quota_us": "100000\n", "cpu/job/cpu.cfs_period_us": "100000\n"},
        ),
    ],
)
def test_a_quota_of_the_control_group_bounds_the_cpus(tmp_path: Path, membership: str, files: dict[str, str]) -> None:
    """Version 2 and 1, the group itself, a parent of it, a part of a CPU: each of these leaves one."""
    assert usable(usable_cpus, tmp_path, membership, files) == 1


@pytest.mark.parametrize(
    ("membership", "files"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}),
        ("0::/\n", {"cpu.max": "99900000 100000\n"}),
        ("0::/\n", {}),
    ],
)
def test_without_a_quota_the_affinity_counts(tmp_path: Path, membership: str, files: dict[str, str]) -> None:
    """No limit, and one above what the process has, change nothing."""
    assert usable(usable_cpus, tmp_path, membership, files) == len(os.sched_getaffinity(0))


def test_the_affinity_bounds_the_cpus() -> None:
    """A batch scheduler pins a job to some of the CPUs."""
    program = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from bids_app.runtime.cpu_and_memory_limits import usable_cpus; print(usable_cpus())"
    )
    assert printed_by(program) == "1\n"


def test_a_quota_is_measured_in_cpus(tmp_path: Path) -> None:
    """150 ms of every 100 ms are one and a half."""
    (tmp_path / "cpu.max").write_text("150000 100000\n", encoding="utf-8")
    assert _cpu_quota(tmp_path) == 1.5


@pytest.mark.parametrize(
    ("membership", "files"),
    [
        ("0::/\n", {"memory.max": "64000000\n"}),
        ("0::/job\n", {"job/memory.max": "64000000\n"}),
        ("0::/slice/job\n", {"slice/memory.max": "64000000\n", "slice/job/memory.max": "max\n"}),
        ("0::/slice/job\n", {"slice/memory.max": "99000000\n", "slice/job/memory.max": "64000000\n"}),
        ("0::/name/on/the/host\n", {"memory.max": "64000000\n"}),
        ("4:memory:/job\n1:cpu:/\n0::/\n", {"memory/job/memory.limit_in_bytes": "64000000\n"}),
        (
            "4:memory:/job\n",
            {
                "memory/memory.limit_in_bytes": "64000000\n",
                "memory/job/memory.limit_in_bytes": "9223372036854771712\n",
            },
        ),
    ],
)
def test_a_limit_of_the_control_group_bounds_the_memory(tmp_path: Path, membership: str, files: dict[str, str]) -> None:
    """Version 2 and 1 of control groups, the group itself, a parent of it, the smaller of two: 64 MB in each."""
    assert usable(usable_memory_mb, tmp_path, membership, files) == 64


@pytest.mark.parametrize(
    ("membership", "files"),
    [
        ("0::/\n", {"memory.max": "max\n"}),
        ("4:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712\n"}),
        ("4:memory:/\n", {"memory.max": "64000000\n"}),  # version 2's file, which version 1 does not look at
        ("0::/\n", {}),
        ("", {}),
    ],
)
def test_without_a_limit_the_memory_of_the_machine_counts(
    tmp_path: Path, membership: str, files: dict[str, str]
) -> None:
    """As Linux tells it in /proc/meminfo, in units of 1024 bytes."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        pytest.skip("no /proc/meminfo")
    total = int(meminfo.read_text(encoding="utf-8").split()[1])
    assert usable(usable_memory_mb, tmp_path, membership, files) == total * 1024 // 1_000_000


def test_a_limit_of_the_address_space_bounds_the_memory() -> None:
    """As `ulimit -v` sets it."""
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (700_000_000, resource.RLIM_INFINITY))\n"
        "from bids_app.runtime.cpu_and_memory_limits import usable_memory_mb; print(usable_memory_mb())"
    )
    assert int(printed_by(program)) <= 700


def test_no_limit_is_too_small_to_be_a_number_of_megabytes(tmp_path: Path) -> None:
    """An empty share of a CPU and less than a megabyte are still one."""
    assert usable(usable_memory_mb, tmp_path, "0::/\n", {"memory.max": "0\n"}) == 1
    assert usable(usable_cpus, tmp_path, "0::/\n", {"cpu.max": "1000 100000\n"}) == 1


def test_an_image_says_what_it_is_as_bids_names_it() -> None:
    """Only what is set and not empty."""
    environ = {"BIDS_GROUPLEVEL_CONTAINER_TYPE": "docker", "BIDS_GROUPLEVEL_CONTAINER_TAG": "a:1"}
    assert container(environ) == {"Type": "docker", "Tag": "a:1"}
    assert container({**environ, "BIDS_GROUPLEVEL_CONTAINER_URI": ""}) == {"Type": "docker", "Tag": "a:1"}
    assert container({}) == {}


def test_binding_is_explained_in_the_words_of_the_engine_and_nowhere_else() -> None:
    """Docker and Podman say -v, Apptainer --bind, and outside of a container there is nothing to say."""
    docker, apptainer = ({"BIDS_GROUPLEVEL_CONTAINER_TYPE": kind} for kind in ("docker", "apptainer"))
    assert how_to_bind(Path("/data"), environ=docker).endswith("run it with -v PLACE_ON_YOUR_MACHINE:/data:ro")
    assert how_to_bind(Path("/out"), mode="", environ=apptainer).endswith("--bind PLACE_ON_YOUR_MACHINE:/out")
    assert how_to_bind(Path("/data"), environ={}) == ""
