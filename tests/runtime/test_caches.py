"""What an image was built with reaches numba and matplotlib, and a machine without an image is left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bids_app.errors import OutputError
from bids_app.runtime import caches

REPOSITORY = Path(__file__).parents[2]
V2 = "cx16 lahf_lm pni popcnt sse4_1 sse4_2 ssse3"
V3 = f"{V2} abm avx avx2 bmi1 bmi2 f16c fma movbe xsave"


def cpuinfo(tmp_path: Path, flags: str) -> Path:
    """Write what Linux says of a processor with these flags."""
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nflags\t\t: fpu {flags} sse\n\nprocessor\t: 1\nflags\t\t: fpu\n", encoding="utf-8")
    return path


@pytest.fixture
def baked(tmp_path: Path) -> Path:
    """Return the caches of an image, which can be read and no more."""
    folder = tmp_path / "baked"
    for name in ("numba/x86-64-v2/kernels_1/a.nbi", "numba/x86-64-v3/kernels_1/a.nbi", "matplotlib/fontlist.json"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(name, encoding="utf-8")
        (folder / name).chmod(0o444)
    return folder


@pytest.mark.parametrize(
    ("flags", "best"),
    [
        (V3, "x86-64-v3"),
        (f"{V3} avx512f avx512bw", "x86-64-v3"),
        (V2, "x86-64-v2"),
        (V3.replace(" fma", ""), "x86-64-v2"),
        (V3.replace(" popcnt", ""), None),
        ("sse2", None),
    ],
)
def test_the_processor_is_the_best_level_whose_flags_are_all_there(
    tmp_path: Path, flags: str, best: str | None
) -> None:
    """One flag less, also of a lower level, and it is not taken."""
    assert caches.target(cpuinfo(tmp_path, flags), "x86_64") == best


def test_another_architecture_has_one_target(tmp_path: Path) -> None:
    """Its flags are called otherwise, and are not looked at."""
    assert caches.target(tmp_path / "nowhere", "aarch64") == "generic"
    assert caches.targets("aarch64") == ("generic",)


@pytest.mark.parametrize(("flags", "name"), [(V3, "x86-64-v3"), (V2, "x86-64-v2")])
def test_what_was_compiled_for_the_processor_is_copied_where_it_can_be_written(
    tmp_path: Path, baked: Path, flags: str, name: str
) -> None:
    """The copy can be written although the original cannot, and numba is told the processor that it was made for."""
    environ = {caches.BAKED: str(baked)}
    folder = caches.unpack(environ, cpuinfo(tmp_path, flags))
    assert folder is not None
    assert environ == {
        caches.BAKED: str(baked),
        "MPLCONFIGDIR": str(folder / "matplotlib"),
        "NUMBA_CACHE_DIR": str(folder / "numba"),
        "NUMBA_CPU_NAME": name,
        "NUMBA_CPU_FEATURES": "",
    }
    assert (folder / "matplotlib" / "fontlist.json").read_text() == "matplotlib/fontlist.json"
    kernel = folder / "numba" / "kernels_1" / "a.nbi"
    assert kernel.read_text() == f"numba/{name}/kernels_1/a.nbi"
    assert kernel.stat().st_mode & 0o200


def test_a_processor_older_than_all_compiles_for_itself(tmp_path: Path, baked: Path) -> None:
    """It gets an empty folder, and numba looks at the processor."""
    environ = {caches.BAKED: str(baked)}
    folder = caches.unpack(environ, cpuinfo(tmp_path, "sse2"))
    assert folder is not None
    assert environ["NUMBA_CACHE_DIR"] == str(folder / "numba")
    assert "NUMBA_CPU_NAME" not in environ
    assert not (folder / "numba").exists()


def test_what_the_user_set_stays(tmp_path: Path, baked: Path) -> None:
    """A processor that is named is taken, and folders that are named are left alone."""
    named = {caches.BAKED: str(baked), "NUMBA_CPU_NAME": "x86-64-v2"}
    folder = caches.unpack(named, cpuinfo(tmp_path, V3))
    assert folder is not None
    assert (folder / "numba" / "kernels_1" / "a.nbi").read_text().startswith("numba/x86-64-v2")
    own = {caches.BAKED: str(baked), "NUMBA_CACHE_DIR": "/mine", "MPLCONFIGDIR": "/mine"}
    before = dict(own)
    caches.unpack(own, cpuinfo(tmp_path, V3))
    assert own == before


def test_the_copy_is_removed_when_the_process_ends(baked: Path, tmp_path: Path) -> None:
    """Also a temporary folder is not littered, run after run."""
    program = "from bids_app.runtime import caches; print(caches.unpack(), flush=True); raise SystemExit(3)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": os.environ["PATH"], caches.BAKED: str(baked), "TMPDIR": str(tmp_path)},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 3, done.stderr
    assert Path(done.stdout.strip()).parent == tmp_path
    assert list(tmp_path.glob("bids-grouplevel-*")) == []


def test_outside_of_an_image_nothing_is_done_where_numba_finds_a_place(tmp_path: Path) -> None:
    """The home folder can be written, or a cache folder is named."""
    for environ in ({"HOME": str(tmp_path)}, {"NUMBA_CACHE_DIR": str(tmp_path), "HOME": "/proc"}):
        before = dict(environ)
        assert caches.unpack(environ) is None
        assert environ == before


def test_without_a_place_numba_is_given_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither package nor home can be written numba would stop with an error about locators."""
    (tmp_path / "file").touch()
    monkeypatch.setattr(caches, "__file__", str(tmp_path / "file" / "runtime" / "caches.py"))
    environ = {"HOME": str(tmp_path / "file")}
    folder = caches.unpack(environ)
    assert folder is not None
    assert environ["NUMBA_CACHE_DIR"] == str(folder / "numba")
    assert environ["MPLCONFIGDIR"] == str(folder / "matplotlib")


def test_without_a_temporary_folder_the_message_says_how_to_mount_one(
    baked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container with a read-only root and no /tmp."""

    def fail(prefix: str) -> str:
        raise FileNotFoundError(2, f"No usable temporary directory found for {prefix}")

    monkeypatch.setattr("tempfile.mkdtemp", fail)
    with pytest.raises(OutputError, match="add --tmpfs /tmp"):
        caches.unpack({caches.BAKED: str(baked)})


def test_a_user_without_any_home_is_given_a_temporary_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`docker run --user` with HOME unset: libraries that ask for the home folder find one, and it is removed."""

    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.delenv("HOME")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    with pytest.raises(RuntimeError):
        Path.home()
    folder = caches.unpack()
    assert folder is not None
    assert Path.home() == folder
    assert os.environ["NUMBA_CACHE_DIR"] == str(tmp_path)
