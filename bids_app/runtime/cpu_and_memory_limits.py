"""CPU and memory limits of this process (cgroups, affinity, ulimit), and the container image that it runs in."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable, Mapping
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")

CONTAINER_KEYS = ("Type", "Tag", "URI")  # of BIDS; an image sets BIDS_GROUPLEVEL_CONTAINER_TYPE and so on


def usable_cpus(cgroup_root: Path = CGROUP_ROOT, membership: Path = MEMBERSHIP) -> int:
    """Return how many CPUs this process may use: its affinity, bounded by the quota of its control groups.

    A container or a batch scheduler limits either of the two; `os.cpu_count` sees neither.
    """
    # macOS has no affinity
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = (_cpu_quota(folder) for folder in _control_groups("cpu", cgroup_root, membership))
    return max(1, int(min([cpus, *(quota for quota in quotas if quota is not None)])))


def usable_memory_mb(cgroup_root: Path = CGROUP_ROOT, membership: Path = MEMBERSHIP) -> int:
    """Return how much memory this process may use, in MB of 1e6 bytes.

    That is the memory of the machine, bounded by the limits of the control groups and by that of the address space
    (``ulimit -v``). What other processes hold is not subtracted: it changes while we run.
    """
    limits = [_physical_memory(), _address_space()]
    limits += [_memory_limit(folder) for folder in _control_groups("memory", cgroup_root, membership)]
    return max(1, min(limit for limit in limits if limit is not None) // 1_000_000)


def container(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return type, tag and URI of the container image that this runs in, named as in BIDS; empty outside of one."""
    known = {key: environ.get(f"BIDS_GROUPLEVEL_CONTAINER_{key.upper()}") for key in CONTAINER_KEYS}
    return {key: value for key, value in known.items() if value}


def how_to_bind(path: Path, *, mode: str = ":ro", environ: Mapping[str, str] = os.environ) -> str:
    """Return advice on how to make a folder of the host visible at a path; empty outside of a container.

    Parameters
    ----------
    path : inside the container
    mode : what follows the path in the option: ":ro" for input, empty for a folder that is written to
    environ : environment variables, which tell the kind of container
    """
    kind = container(environ).get("Type")
    if kind is None:
        return ""
    option = "--bind" if kind == "apptainer" else "-v"
    what = "A container sees only what is bound into it" if mode else "Results stay only where a folder is bound"
    return f"\n{what}: run it with {option} PLACE_ON_YOUR_MACHINE:{path}{mode}"


def _control_groups(controller: str, cgroup_root: Path, membership: Path) -> Iterable[Path]:
    """Yield the folders of the control groups (version 2 or 1) of this process, each with its parents."""
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:  # no control groups here, as on macOS
        return
    for line in lines:
        hierarchy, controllers, name = line.split(":", 2)
        if hierarchy == "0":
            top = cgroup_root
        elif controller in controllers.split(","):
            top = cgroup_root / controller
        else:
            continue
        folder = top / name.lstrip("/")
        # Inside a container this may be the host's name of the group, which is not there; the top then is.
        yield from (group for group in (folder, *folder.parents) if group.is_relative_to(top))


def _cpu_quota(folder: Path) -> float | None:
    """Return the quota of a control group in CPUs, or None where it has none."""
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text(encoding="utf-8").strip()
            period = (folder / "cpu.cfs_period_us").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return None if quota in {"max", "-1"} else int(quota) / int(period)


def _memory_limit(folder: Path) -> int | None:
    """Return the memory limit of a control group in bytes, or None where it has none."""
    for name in ("memory.max", "memory.limit_in_bytes"):  # version 2, version 1
        try:
            limit = (folder / name).read_text(encoding="utf-8").strip()
        except OSError:
            continue
        return None if limit == "max" else int(limit)  # version 1 says "none" by a number beyond any machine
    return None


def _physical_memory() -> int:
    """Return the memory of the machine in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _address_space() -> int | None:
    """Return the limit of the address space in bytes, or None where there is none."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft
