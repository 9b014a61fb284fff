"""Unpack the numba and matplotlib caches baked into a container image.

numba compiles the kernels for the processor that it detects, and reads compiled ones only from a folder that it can
write to; matplotlib keeps its list of fonts in the same way. An image is read-only, so that both would repeat their
work in every container. Caches are therefore filled once, when an image is built (`cli.self_test`), for named
processors instead of the one detected, and copied to a temporary folder before numba and matplotlib are imported.
"""

from __future__ import annotations

import atexit
import os
import platform
import shutil
import tempfile
from collections.abc import MutableMapping
from pathlib import Path

from bids_app.errors import OutputError

BAKED = "BIDS_GROUPLEVEL_CACHES"  # the variable that names the folder of an image's caches
CPUINFO = Path("/proc/cpuinfo")

# The levels of the x86-64 psABI, the better one first, by LLVM's names; with the flags that Linux shows for them. The
# libraries in the image need the second level themselves. Processors of the fourth run the third, so that they and
# all others of the last ten years compute by the same instructions.
LEVELS = {
    "x86-64-v3": frozenset(["abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"]),
    "x86-64-v2": frozenset(["cx16", "lahf_lm", "pni", "popcnt", "sse4_1", "sse4_2", "ssse3"]),
}
OTHER = "generic"  # what every processor of another architecture runs


def targets(machine: str | None = None) -> tuple[str, ...]:
    """Return the names (LLVM's) of the processors that an image is built for, the better one first."""
    is_x86 = (machine or platform.machine()) in {"x86_64", "AMD64"}
    return tuple(LEVELS) if is_x86 else (OTHER,)


def target(cpuinfo: Path = CPUINFO, machine: str | None = None) -> str | None:
    """Return the best of the `targets` that this machine can run, or None where it is older than all of them."""
    names = targets(machine)
    if names == (OTHER,):
        return OTHER
    flags: set[str] = set()
    needed: frozenset[str] = frozenset()
    for line in cpuinfo.read_text(encoding="utf-8").splitlines():
        if line.startswith("flags"):
            flags = set(line.split(":", 1)[1].split())
            break
    best = None
    for name in reversed(names):
        needed |= LEVELS[name]  # each level holds the ones below it
        if needed <= flags:
            best = name
    return best


def compile_for(name: str, folder: Path, environ: MutableMapping[str, str]) -> None:
    """Make numba compile for a processor by name, and keep what it compiles in a folder.

    The key of a compiled kernel holds the processor's name and the features found; without the second it is the same
    everywhere.
    """
    environ.update(NUMBA_CPU_NAME=name, NUMBA_CPU_FEATURES="", NUMBA_CACHE_DIR=str(folder))


def unpack(environ: MutableMapping[str, str] = os.environ, cpuinfo: Path = CPUINFO) -> Path | None:
    """Unpack the caches of the image into a temporary folder for numba and matplotlib, where this is an image.

    To be called before they are imported. Outside of an image they look after themselves, unless neither the package
    nor the home folder can be written: numba then stops, and is given an empty folder. What the user set stays: with a
    NUMBA_CACHE_DIR numba's cache is not touched, with a NUMBA_CPU_NAME the kernels are those of that processor.

    A user whom the system does not know, as `docker run --user` may have them, has no home folder where HOME is unset,
    and libraries that ask for one stop: the temporary folder is then their HOME.

    Returns
    -------
    Path or None
        The temporary folder, which is removed when the process ends; None where nothing had to be done.

    Raises
    ------
    OutputError
        When there is no folder for temporary files.
    """
    folder = None
    if "HOME" not in environ and os.path.expanduser("~") == "~":  # noqa: PTH111 - Path.home() fails without a home
        folder = _temporary_folder()
        environ["HOME"] = str(folder)
    baked = Path(environ[BAKED]) if environ.get(BAKED) else None
    if baked is None and ("NUMBA_CACHE_DIR" in environ or _numba_finds_a_place(environ)):
        return folder
    folder = folder or _temporary_folder()
    if "MPLCONFIGDIR" not in environ:
        environ["MPLCONFIGDIR"] = str(folder / "matplotlib")
        if baked:
            _copy(baked / "matplotlib", folder / "matplotlib")
    if "NUMBA_CACHE_DIR" in environ:
        return folder
    name = environ.get("NUMBA_CPU_NAME") or target(cpuinfo)
    if baked and name and (baked / "numba" / name).is_dir():
        compile_for(name, folder / "numba", environ)
        _copy(baked / "numba" / name, folder / "numba")
    else:
        environ["NUMBA_CACHE_DIR"] = str(folder / "numba")
    return folder


def _numba_finds_a_place(environ: MutableMapping[str, str]) -> bool:
    """Return whether numba can keep compiled kernels beside the package or in the user's cache folder."""
    home = Path(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111 - Path.home() fails without a home
    user = Path(environ.get("XDG_CACHE_HOME") or home / ".cache")
    package = Path(__file__).parents[1] / "permutation"
    for folder in (package / "__pycache__", user / "numba"):
        while not folder.exists():
            folder = folder.parent
        if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
            return True
    return False


def _temporary_folder() -> Path:
    """Return a new folder that is removed when the process ends."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="bids-grouplevel-"))
    except OSError as error:
        raise OutputError(
            f"no folder for temporary files can be written ({error.strerror or error}), expected 10 MB in /tmp or in "
            "the folder that TMPDIR names. In a container with a read-only root, add --tmpfs /tmp."
        ) from error
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _copy(source: Path, destination: Path) -> None:
    """Copy a folder, with permissions of its own: those in the image may be for reading only."""
    try:
        for file in (path for path in source.rglob("*") if path.is_file()):
            place = destination / file.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)
    except OSError as error:
        raise OutputError(
            f"{error.filename2 or error.filename}: the kernels of the image cannot be copied there "
            f"({error.strerror}), expected 10 MB for temporary files. Free space, or name another folder by TMPDIR."
        ) from error
