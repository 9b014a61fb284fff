"""Image files: what no map can be is named in time, whatever its header asks for; the others are read as they are."""

from __future__ import annotations

import gzip
import hashlib
import os
import socket
import struct
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_app.errors import DataError
from bids_app.spaces.image_files import open_image

SHAPE = (4, 3, 2)
AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])
DIM, DATATYPE, PIXDIM, VOX_OFFSET, CODES, SROW = 40, 70, 76, 108, 252, 280  # places in a NIfTI-1 header


def save(path: Path, data: np.ndarray | None = None, affine: np.ndarray | None = AFFINE) -> Path:
    data = np.arange(24, dtype=np.float32).reshape(SHAPE) + 0.5 if data is None else data
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


def patch(path: Path, *edits: tuple[int, bytes]) -> Path:
    """Overwrite bytes of an image, packed or not."""
    packed = path.name.endswith(".gz")
    content = bytearray(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    for place, new in edits:
        content[place : place + len(new)] = new
    path.write_bytes(gzip.compress(bytes(content)) if packed else bytes(content))
    return path


def dims(*lengths: int) -> tuple[int, bytes]:
    return DIM, struct.pack(f"<{len(lengths) + 1}h", len(lengths), *lengths)


@pytest.fixture(params=["map.nii", "map.nii.gz"])
def single(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return save(tmp_path / request.param)


def refusal(path: Path, most_bytes: float | None = None) -> str:
    """What is said of a file that cannot be a map; its path is, and nothing takes long."""
    start = time.perf_counter()
    with pytest.raises(DataError) as error:
        np.asarray(open_image(path, most_bytes).image.dataobj)
    assert time.perf_counter() - start < 5
    assert str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_what_nibabel_reads_comes_back_with_the_checksum_of_the_file(
    kind: type, order: str, name: str, tmp_path: Path
) -> None:
    """Both versions, both orders of bytes, packed or not, with an extension in the header."""
    data = np.random.default_rng(0).standard_normal(SHAPE)
    header = kind.header_class(endianness=order)
    header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * 1000))
    nib.save(kind(data, AFFINE, header, dtype=np.dtype(np.float64)), tmp_path / name)
    opened = open_image(tmp_path / name)
    assert np.array_equal(np.asarray(opened.image.dataobj), np.asarray(nib.load(tmp_path / name).dataobj))
    assert np.array_equal(np.asarray(opened.image.dataobj), data)
    assert opened.sha256 == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    assert np.array_equal(opened.affine, AFFINE)
    assert opened.has_position


def test_a_file_packed_in_parts_is_read_whole(tmp_path: Path) -> None:
    """As bgzip packs it."""
    plain = save(tmp_path / "a.nii").read_bytes()
    parts = [gzip.compress(plain[i : i + 100]) for i in range(0, len(plain), 100)]
    for padding in (b"", bytes(512)):  # as on tapes
        (tmp_path / "b.nii.gz").write_bytes(b"".join(parts) + padding)
        assert np.array_equal(open_image(tmp_path / "b.nii.gz").image.get_fdata()[0, 0], [0.5, 1.5])
    (tmp_path / "b.nii.gz").write_bytes(b"".join(parts[:-1]))
    assert "and there are" in refusal(tmp_path / "b.nii.gz")


def test_a_large_packed_file_is_read_whole_and_its_damage_is_seen(tmp_path: Path) -> None:
    """Of more than one step, with noise that does not pack; cut, and with a bit turned near its end."""
    data = np.random.default_rng(0).standard_normal((80, 80, 80)).astype(np.float32)
    path = save(tmp_path / "a.nii.gz", data)
    assert np.array_equal(np.asarray(open_image(path).image.dataobj), data)
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:-9], whole[: len(whole) // 2], whole[:-20] + b"\x00" + whole[-19:], whole[:12]):
        path.write_bytes(damaged)
        assert "cannot be read" in refusal(path)


@pytest.mark.parametrize("lengths", [(30000, 30000, 30000), (2000, 2000, 2000), (32767,) * 3, (300, 300, 300)])
def test_a_header_is_not_believed_beyond_the_file_or_the_memory(single: Path, lengths: tuple[int, ...]) -> None:
    assert "its header asks for" in refusal(patch(single, dims(*lengths)), 1e9)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="a process's own peak is told by Linux alone")
def test_nothing_is_allocated_that_a_header_asks_for_in_vain(single: Path) -> None:
    """In a process that may not have the 6.9 GB that the header speaks of."""
    patch(single, dims(1200, 1200, 1200))
    code = (
        "import resource, sys; from pathlib import Path; from bids_app.spaces.image_files import open_image\n"
        "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n"
        "try: open_image(Path(sys.argv[1]), 1e11)\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"  # ru_maxrss has the parent's
    )
    done = subprocess.run([sys.executable, "-c", code, str(single)], capture_output=True, text=True, check=True)
    said, peak_kb = done.stdout.splitlines()
    assert said.startswith(f"DataError {single}: cannot be read as a NIfTI image: its header asks for 6,912,000,352 ")
    assert int(peak_kb) < 400_000


def test_a_small_file_that_unpacks_to_much_is_not_unpacked(tmp_path: Path) -> None:
    """Behind a small image, and as a large one."""
    path = save(tmp_path / "bomb.nii")
    head, zeros = path.read_bytes(), gzip.compress(bytes(50_000_000))
    path = tmp_path / "bomb.nii.gz"
    path.write_bytes(gzip.compress(head) + zeros * 60)  # 3 GB
    assert "more than 1,000,000 follow" in refusal(path)
    large = bytearray(head)
    large[DIM : DIM + 8] = dims(1000, 1000, 750)[1]
    path.write_bytes(gzip.compress(bytes(large)) + zeros * 60)
    assert "one map may take 100 MB" in refusal(path, 1e8)


@pytest.mark.parametrize("lengths", [(), (0, 3, 2), (-4, 3, 2), (4, 3), (4, 3, 2, 2), (4, 3, 2, 1, 2)])
def test_a_shape_that_is_no_map_is_named(single: Path, lengths: tuple[int, ...]) -> None:
    assert "expected one 3-D map" in refusal(patch(single, dims(*lengths)))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.ones(SHAPE, np.complex64), "complex numbers"),
        (np.ones(SHAPE, np.complex128), "complex numbers"),
        (np.ones(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")]), "colours"),
        (np.ones(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1"), ("A", "u1")]), "colours"),
    ],
)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.img"])
def test_numbers_of_more_than_one_part_are_refused(data: np.ndarray, words: str, name: str, tmp_path: Path) -> None:
    """Half of them would be thrown away."""
    nib.save((nib.Nifti1Pair if name == "a.img" else nib.Nifti1Image)(data, AFFINE), tmp_path / name)
    assert f"holds {words}" in refusal(tmp_path / name)


@pytest.mark.parametrize("offset", [np.inf, -np.inf, np.nan, 1e30, -352.0, 0.0, 100.0, 352.5, 1e5])
def test_voxels_begin_behind_the_header_and_in_the_file(single: Path, offset: float) -> None:
    """A 0 would make voxels of the header's own bytes."""
    said = refusal(patch(single, (VOX_OFFSET, struct.pack("<f", offset))))
    assert "voxels begin at byte" in said or "its header asks for" in said


@pytest.mark.parametrize("datatype", [0, 1, 3, 255, 9999])
def test_an_unknown_type_of_values_is_damage(single: Path, datatype: int) -> None:
    said = refusal(patch(single, (DATATYPE, struct.pack("<h", datatype))))
    assert "cannot be read" in said or "expected one real number for each voxel" in said


@pytest.mark.parametrize(
    "rows",
    [
        np.zeros((3, 4)),
        np.array([[3, 0, 0, 0], [0, 3, 0, 0], [0, 0, 0, 0]]),
        np.array([[3, 3, 0, 0], [3, 3, 0, 0], [0, 0, 3, 0]]),
        np.array([[np.nan, 0, 0, 0], [0, 3, 0, 0], [0, 0, 3, 0]]),
        np.array([[3, 0, 0, np.inf], [0, 3, 0, 0], [0, 0, 3, 0]]),
    ],
)
def test_an_affine_that_spans_no_space_is_named(single: Path, rows: np.ndarray) -> None:
    said = refusal(patch(single, (CODES, struct.pack("<2h", 0, 1)), (SROW, rows.astype("<f4").tobytes())))
    assert "affine that no voxels can have" in said


def test_oblique_and_sheared_axes_are_none_of_that(tmp_path: Path) -> None:
    affine = np.array([[0.5, 0.2, 0, 1], [-0.2, 4, 1, 2], [0, -1, 0.3, 3], [0, 0, 0, 1.0]])
    assert np.allclose(open_image(save(tmp_path / "a.nii", affine=affine)).affine, affine, atol=1e-6)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as own:
        own.bind(str(path))


SPECIAL: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "a named pipe"),
    "folder": (Path.mkdir, "a folder"),
    "endless device": (lambda path: path.symlink_to("/dev/zero"), "a device"),
    "empty device": (lambda path: path.symlink_to("/dev/null"), "a device"),
    "socket": (make_socket, "a socket"),
    "loop": (lambda path: path.symlink_to(path), "cannot be read"),
}


@pytest.mark.parametrize("kind", list(SPECIAL))
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.img", "a.hdr"])
def test_what_is_no_file_is_named_and_not_waited_for(
    kind: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, words = SPECIAL[kind]
    monkeypatch.chdir(tmp_path)  # the paths of sockets are short
    make(Path(name))
    assert words in refusal(Path(name))


def test_both_halves_of_a_pair_are_looked_at(tmp_path: Path) -> None:
    """A pipe for a header, a header that asks for more than the image has, an image that is not there."""
    path = tmp_path / "con.img"
    nib.save(nib.Nifti1Pair(np.ones(SHAPE, np.float32), AFFINE), path)
    assert open_image(path).image.get_fdata().sum() == 24
    header = path.with_suffix(".hdr")
    whole = header.read_bytes()
    patch(header, dims(3000, 3000, 3000))
    assert "one map may take 1,000 MB" in refusal(path, 1e9)
    assert "and there are 96" in refusal(path, 1e12)
    header.unlink()
    os.mkfifo(header)
    assert "con.hdr: found a named pipe" in refusal(header)
    header.unlink()
    header.write_bytes(whole)
    path.unlink()
    assert "cannot be read" in refusal(header)


@pytest.mark.parametrize(("codes", "known"), [((0, 0), False), ((1, 0), True), ((0, 4), True), ((2, 1), True)])
def test_codes_say_whether_the_position_is_known(single: Path, codes: tuple[int, int], known: bool) -> None:  # noqa: FBT001
    assert open_image(patch(single, (CODES, struct.pack("<2h", *codes)))).has_position is known


def test_an_analyze_image_has_a_position_where_a_mat_file_lies_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "con.img"
    nib.save(nib.Spm99AnalyzeImage(np.ones(SHAPE, np.float32), AFFINE), path)
    assert open_image(path).has_position
    path.with_suffix(".mat").unlink()
    assert not open_image(path).has_position


def test_files_of_other_kinds_are_named(tmp_path: Path) -> None:
    """A surface, a text, nothing at all."""
    nib.save(nib.GiftiImage(), tmp_path / "a.gii")
    (tmp_path / "a.txt").write_text("text")
    assert "expected an image of voxels" in refusal(tmp_path / "a.gii")
    assert "cannot be read" in refusal(tmp_path / "a.txt")
    assert "cannot be read" in refusal(tmp_path / "nothing.nii")


def test_damage_anywhere_in_the_header_is_read_or_named(tmp_path: Path) -> None:
    """500 files with a few bytes at random: an array of the shape of the header, or a message, and nothing else."""
    rng, n_read = np.random.default_rng(1), 0
    whole = save(tmp_path / "whole.nii").read_bytes()
    path = tmp_path / "a.nii"
    for _ in range(500):
        content = bytearray(whole)
        for place in rng.integers(0, 352, rng.integers(1, 5)):
            content[place] = rng.integers(256)
        path.write_bytes(content)
        try:
            opened = open_image(path, 1e8)
        except DataError:
            continue
        n_read += 1
        assert opened.image.shape[:3] == tuple(np.frombuffer(content, "<i2", 3, DIM + 2))
        assert np.asarray(opened.image.dataobj).dtype.kind in "iuf"
    assert 50 < n_read < 450


def test_a_packed_file_larger_than_its_header_asks_for_is_not_read(tmp_path: Path) -> None:
    """Four gigabytes of nothing, which take no room on the disk: after a packed image, and under the name of one."""
    path = save(tmp_path / "a.nii.gz")
    with path.open("r+b") as file:
        file.truncate(4 << 30)
    tracemalloc.start()
    try:
        message = refusal(path, 1e9)
        assert "its header asks for" in message
        assert "more than 1,000,000 follow" in message
        empty = tmp_path / "b.nii.gz"
        with empty.open("wb") as file:
            file.truncate(4 << 30)
        assert "is compressed, and its content is not" in refusal(empty, 1e10)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()
