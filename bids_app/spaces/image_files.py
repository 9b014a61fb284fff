"""One image file, opened from bytes that are read once; what no map can be is refused before it costs time or memory.

A header may ask for anything, and a small file may unpack to anything. So the header is read first, and believed only
as far as the file bears it out and the memory that one map may take allows; never more is read than it asks for and a
little.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import stat
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
from nibabel.analyze import AnalyzeHeader
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError, ImageDataError, SpatialImage
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from bids_app.errors import DataError
from bids_app.runtime.cpu_and_memory_limits import usable_memory_mb
from bids_app.spaces.image_pairs import check_halves, image_parts, is_afni, is_pair

# What damaged files raise, somewhere between the disk and the array
UNREADABLE = (
    ImageFileError, HeaderDataError, ImageDataError, WrapStructError, OSError, EOFError, zlib.error, struct.error,
    MemoryError, ArithmeticError, LookupError, TypeError, ValueError,
)  # fmt: skip

GZIP = b"\x1f\x8b"  # how a packed file begins
HEAD_BYTES = 540  # the larger header of the two
SLACK_BYTES = 1_000_000  # after the last voxel: padding of some programs, but no second image
CHUNK_BYTES = 1 << 24
STEP_BYTES = 1 << 20
FLATTEST = 1e-6  # volume of a voxel, as share of the product of its edges, below which its axes lie in a plane
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True, slots=True)
class OpenImage:
    """One 3-D image whose voxels are still to be made into an array."""

    image: SpatialImage
    """Of three dimensions, or more of length one."""
    affine: NDArray[np.float64]
    """(4, 4) voxel index to mm, finite and invertible."""
    sha256: str
    """Of the file; of a pair, of its files one after the other, the header first."""
    has_position: bool
    """Whether the header says where the voxels are; otherwise the affine is a guess."""


def open_image(path: Path, most_bytes: float | None = None, volume: int | None = None) -> OpenImage:
    """Open an image of one real number for each voxel.

    Parameters
    ----------
    path : NIfTI-1 or -2, single or a pair, compressed or not, or another format that nibabel reads
    most_bytes : that its voxels may take; None: half of the memory that this process may use
    volume : which of the volumes of a file that holds several, from 0; None: the file holds one

    Raises
    ------
    DataError
        For anything else, and for a header that asks for more than the file or the memory holds.
    """
    most_bytes = 5e5 * usable_memory_mb() if most_bytes is None else most_bytes
    try:
        _check_regular(path)
        if path.name.endswith((".nii", ".nii.gz")):
            content, sha256 = _read_single(path, most_bytes) if volume is None else _cut(path, most_bytes, volume)
            kind = nib.Nifti2Image if _header_size(content) == 540 else nib.Nifti1Image
            image: SpatialImage = kind.from_bytes(content)
        else:
            image, sha256 = _open_other(path, most_bytes, volume), _checksum(image_parts(path))
        affine = np.asarray(image.affine, np.float64)
        has_position = _has_position(path, image)
        image = _chosen(image, volume)
    except UNREADABLE as error:
        raise unreadable(path, error) from error
    _check_affine(path, affine)
    return OpenImage(image, affine, sha256, has_position)


def unreadable(path: Path, error: BaseException) -> DataError:
    """Return the error for a damaged file."""
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    article, kind = ("an", "AFNI") if is_afni(path) else ("a", "NIfTI")
    return DataError(
        f"{path}: cannot be read as {article} {kind} image ({reason}). The file may be truncated or not {article} "
        f"{kind} file; write or fetch it again."
    )


def _check_regular(path: Path) -> None:
    """Stop on what never ends or never begins, and on half a pair."""
    for each in dict.fromkeys((path, *image_parts(path))):
        mode = each.stat().st_mode
        if not stat.S_ISREG(mode):
            what = KINDS.get(stat.S_IFMT(mode), "no regular file")
            raise DataError(f"{each}: found {what}; expected the file of an image.")
    check_halves(path)


def _read_single(path: Path, most_bytes: float) -> tuple[bytes, str]:
    """Read header and voxels, unpacked where they are compressed, with the checksum of the file as it is."""
    n_bytes = path.stat().st_size
    with path.open("rb") as file:
        if not path.name.endswith(".gz"):
            content = _read_bounded(path, file, n_bytes, most_bytes)
            return content, hashlib.sha256(content).hexdigest()
        packed = file.read(STEP_BYTES)
        if not packed.startswith(GZIP):
            raise DataError(
                f"{path}: cannot be read as a NIfTI image: its name says that it is compressed, and its content is "
                "not. Write or fetch the file again, or take .gz off its name."
            )
        head = gzip.GzipFile(fileobj=io.BytesIO(packed)).read(HEAD_BYTES)
        n_asked = _asked_bytes(path, head)
        _check_memory(path, n_asked, most_bytes)
        _check_length(path, n_bytes, int(1.01 * n_asked), least=0)  # noise grows a little when it is packed
        packed += file.read(n_bytes - len(packed))
    content = _read_bounded(path, _Unpacked(packed), None, most_bytes)
    return content, hashlib.sha256(packed).hexdigest()


class _Unpacked:
    """Unpacks gzip as far as it is read, in large steps: GzipFile takes 8 kB at a time up to Python 3.11."""

    def __init__(self, packed: bytes) -> None:
        """Take the content of the file."""
        self._packed, self._place = memoryview(packed), 0
        self._first = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._others: gzip.GzipFile | None = None

    def read(self, n_bytes: int) -> bytes:
        """Return at most so many bytes, none at the end."""
        while not self._first.eof:
            step = self._packed[self._place : self._place + STEP_BYTES]
            content = self._first.decompress(step, n_bytes)
            self._place += len(step) - len(self._first.unconsumed_tail) - len(self._first.unused_data)
            if content:
                return content
            if not step:
                raise EOFError("what is packed ends too early")
        if self._others is None:  # few programs write several parts
            rest = bytes(self._packed[self._place :]).lstrip(b"\0")
            self._others = gzip.GzipFile(fileobj=io.BytesIO(rest))
        return self._others.read(n_bytes)


def _read_up_to(stream: BinaryIO | gzip.GzipFile | _Unpacked, n_bytes: int) -> bytes:
    """Read so many bytes, or as many as there are, and allocate no more than these."""
    chunks, n_read = [], 0
    while n_read < n_bytes and (chunk := stream.read(min(CHUNK_BYTES, n_bytes - n_read))):
        chunks.append(chunk)
        n_read += len(chunk)
    return b"".join(chunks)


def _read_bounded(path: Path, stream: BinaryIO | _Unpacked, n_there: int | None, most_bytes: float) -> bytes:
    """Read as much as the header asks for, and a little; `n_there` is the number of bytes, where it is known."""
    head = _read_up_to(stream, HEAD_BYTES)
    n_asked = _asked_bytes(path, head)
    if n_there is not None:
        _check_length(path, n_there, n_asked)
    _check_memory(path, n_asked, most_bytes)
    content = head + _read_up_to(stream, n_asked + SLACK_BYTES + 1 - len(head))
    _check_length(path, len(content), n_asked)
    return content


def _read_header(head: bytes) -> AnalyzeHeader:
    """Return the header at the beginning of a file, not checked yet."""
    size = _header_size(head)
    kind = nib.Nifti2Header if size == 540 else nib.Nifti1Header
    header: AnalyzeHeader = kind(head[:size], check=False)  # type: ignore[no-untyped-call]
    return header


def _asked_bytes(path: Path, head: bytes) -> int:
    """Count the bytes that a header asks for, up to the last voxel."""
    header = _read_header(head)
    return _offset(path, header) + _voxel_bytes(path, header.get_data_shape(), header.get_data_dtype())


def _cut(path: Path, most_bytes: float, volume: int) -> tuple[bytes, str]:
    """Return one volume of a single file as an image of its own, with the checksum of the file as it is.

    All of the file is read, so that damage behind the volume is seen, and no more than the volume is held.
    """
    packed = path.name.endswith(".gz")
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    with gzip.open(path) if packed else path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
        header = _read_header(head)
        shape = tuple(int(length) for length in header.get_data_shape())
        n_bytes = _voxel_bytes(path, shape, header.get_data_dtype(), volume)
        _check_memory(path, n_bytes, most_bytes)
        start = _offset(path, header) + volume * n_bytes
        n_asked = _offset(path, header) + n_bytes * math.prod(shape[3:])
        n_there = len(head) + _pass_over(stream, start - len(head))
        voxels = head[start:] + _read_up_to(stream, n_bytes - len(head[start:]))
        n_there += len(voxels) - len(head[start:])
        _check_length(path, n_there + _pass_over(stream, n_asked + SLACK_BYTES + 1 - n_there), n_asked)
    header.set_data_shape(shape[:3])
    header["vox_offset"] = _header_size(head) + 4
    return header.binaryblock + bytes(4) + voxels, sha256


def _pass_over(stream: BinaryIO | gzip.GzipFile, n_bytes: int) -> int:
    """Read so many bytes or as many as there are, keep none of them, and return their number."""
    n_read = 0
    while n_read < n_bytes and (chunk := stream.read(min(STEP_BYTES, n_bytes - n_read))):
        n_read += len(chunk)
    return n_read


def _header_size(content: bytes) -> int:
    """Return the size of the header, which tells NIfTI-2 from NIfTI-1 in any byte order."""
    sizes = {int.from_bytes(content[:4], order) for order in ("little", "big")}
    return 540 if 540 in sizes else 348


def _offset(path: Path, header: AnalyzeHeader) -> int:
    """Return the byte at which the voxels begin."""
    offset = float(header["vox_offset"])
    least = _header_size(header.binaryblock)
    if not (least <= offset < math.inf and offset.is_integer()):
        raise DataError(
            f"{path}: the header says that the voxels begin at byte {offset:g}; expected a whole number from {least}. "
            "The header is damaged: write or fetch the file again."
        )
    return int(offset)


def _voxel_bytes(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], volume: int | None = None) -> int:
    """Count what the voxels of one volume take; the product of whole numbers of Python has no overflow."""
    shape = tuple(int(length) for length in shape)
    n_volumes = math.prod(shape[3:])
    if len(shape) < 3 or min(shape) < 1 or sum(length > 1 for length in shape[3:]) > 1:
        raise DataError(f"{path}: found an image of shape {shape}; expected one 3-D map.")
    if volume is None and n_volumes > 1:
        raise DataError(
            f"{path}: found an image of shape {shape}; expected one 3-D map. To use one of its {n_volumes} volumes, "
            "list the maps in a table for --maps, and give the volume's number (0 is the first) in its column volume."
        )
    if volume is not None and volume >= n_volumes:
        raise DataError(f"{path}: there is no volume {volume}: the file has {n_volumes}, from 0 to {n_volumes - 1}.")
    if dtype.kind not in "biuf":
        what = "complex numbers" if dtype.kind == "c" else "colours (RGB)" if dtype.names else f"values of type {dtype}"
        raise DataError(f"{path}: holds {what}; expected one real number for each voxel. Name a map of estimates.")
    return math.prod(shape[:3]) * dtype.itemsize


def _check_length(path: Path, n_there: int, n_asked: int, least: int | None = None) -> None:
    if n_there < (n_asked if least is None else least):
        raise DataError(
            f"{path}: cannot be read as a NIfTI image: its header asks for {n_asked:,} bytes, and there are "
            f"{n_there:,}. The file is truncated or its header damaged: write or fetch it again."
        )
    if n_there > n_asked + SLACK_BYTES:
        raise DataError(
            f"{path}: cannot be read as a NIfTI image: its header asks for {n_asked:,} bytes, and more than "
            f"{SLACK_BYTES:,} follow them. The header is damaged, or the file is no single map: write or fetch it "
            "again."
        )


def _check_memory(path: Path, n_asked: int, most_bytes: float) -> None:
    if n_asked > most_bytes:
        raise DataError(
            f"{path}: its header asks for {n_asked / 1e6:,.0f} MB, and one map may take {most_bytes / 1e6:,.0f} MB of "
            "the memory. If the map is that large, give more memory (--mem-mb); otherwise the file is damaged: write "
            "or fetch it again."
        )


def _open_other(path: Path, most_bytes: float, volume: int | None) -> SpatialImage:
    """Open pairs and what else nibabel knows, with all its volumes; the voxels stay on the disk for now."""
    image = nib.load(path)
    if not isinstance(image, SpatialImage):
        raise DataError(f"{path}: found {type(image).__name__}; expected an image of voxels.")
    n_bytes = _voxel_bytes(path, image.shape, image.get_data_dtype(), volume)
    _check_memory(path, n_bytes, most_bytes)
    voxels = image_parts(path)[1] if is_pair(path) else path
    offset = float(image.header["vox_offset"]) if isinstance(image.header, AnalyzeHeader) else 0.0
    if not (0 <= offset < math.inf):
        raise DataError(f"{path}: the header says that the voxels begin at byte {offset:g}; it is damaged.")
    if is_pair(path) and voxels.suffix in (".img", ".BRIK"):
        _check_length(path, voxels.stat().st_size, int(offset) + n_bytes * math.prod(image.shape[3:]))
    return image


def _chosen(image: SpatialImage, volume: int | None) -> SpatialImage:
    """Return one volume of what nibabel opened, with the voxels in memory; the image itself where it has but one."""
    if volume is None or math.prod(image.shape[3:]) == 1:
        return image
    place = np.unravel_index(volume, image.shape[3:], order="F")
    return SpatialImage(image.dataobj[(..., *(int(i) for i in place))], image.affine)


def _checksum(parts: tuple[Path, ...]) -> str:
    """Return the sha256 of files one after the other."""
    total = hashlib.sha256()
    for part in parts:
        with part.open("rb") as file:
            while chunk := file.read(STEP_BYTES):
                total.update(chunk)
    return total.hexdigest()


def _has_position(path: Path, image: SpatialImage) -> bool:
    """Return whether anything says where the voxels are: a code of NIfTI, or the .mat file beside an Analyze image."""
    header = image.header
    if isinstance(header, nib.Nifti1Header):
        return bool(header["sform_code"] > 0 or header["qform_code"] > 0)
    return not isinstance(header, AnalyzeHeader) or path.with_suffix(".mat").exists()


def _check_affine(path: Path, affine: NDArray[np.float64]) -> None:
    """Stop on axes that do not span a space."""
    axes = affine[:3, :3]
    edges = np.linalg.norm(axes, axis=0)
    if np.isfinite(affine).all() and edges.all() and abs(np.linalg.det(axes / edges)) > FLATTEST:
        return
    rows = "; ".join(" ".join(f"{value:g}" for value in row) for row in affine[:3])
    raise DataError(
        f"{path}: the header holds an affine that no voxels can have, [{rows}]; expected three axes of voxels with "
        "lengths in mm. Write the file again."
    )


def image_bytes(volume: NDArray[Any], affine: NDArray[np.float64], *, mni: bool) -> bytes:
    """Return an (i, j, k) volume as compressed NIfTI-1, in the volume's own type, without a time stamp."""
    image = nib.Nifti1Image(volume, affine)
    image.header.set_xyzt_units("mm", "sec")
    code = "mni" if mni else "aligned"
    image.set_sform(affine, code=code)
    image.set_qform(affine, code=code)
    # level 6 takes twice the time of level 3 for 2 % of the size
    return compress(image.to_bytes(), level=3)


def compress(content: bytes, level: int = 9) -> bytes:
    """Return content as gzip without a time stamp, with one header under every Python: gzip.compress changed it."""
    packer = zlib.compressobj(level, wbits=zlib.MAX_WBITS | 16)
    return packer.compress(content) + packer.flush()
