"""What the shuffles of a contrast gave so far, kept in the work folder, so that a run that was stopped carries on.

A checkpoint is a file of its own for each contrast: which ranges of shuffles are done and the summaries of them, with
the fingerprint of everything that they depend on and the version of the app. Where either differs it is not used. It is
written beside its place, flushed to the disk and then renamed, so that whenever the machine stops the old one or the
new one is there.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import logging
import math
import os
import secrets
import signal
import threading
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_app import __version__
from bids_app.errors import OutputError
from bids_app.permutation.summaries import NEEDED, SUMMARIES, PartialNull, Ranges, Size

log = logging.getLogger("bids_app")

SUFFIX = "_checkpoint.npz"

# What reading a damaged or truncated npz file may raise, found by damaging every byte of one
DAMAGE = (
    OSError, EOFError, KeyError, NotImplementedError, OverflowError, RuntimeError, TypeError, ValueError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
OVERHEAD = 100_000  # bytes of a file beside its arrays, at most
PARTS = ("version", "fingerprint", "ranges", "digest")
"""Arrays of a file, beside one for each summary; ranges: (n_ranges, 2) first shuffle and the one after the last."""
EARLIER_PART = "n_done"  # what files had in place of ranges, when shuffles were done in one order only


@dataclass(slots=True)
class Checkpoint:
    """The saved state of one contrast's shuffles; keeps the time of the last save, and so is not frozen."""

    path: Path
    """As `checkpoint_path` gives it."""
    fingerprint: str
    """Of data, design, contrast, shuffles and settings, by `fingerprint`."""
    size: tuple[int, int, int] | None = None
    """Shuffles in all, maxima of each, voxels: what is saved has to fit; None: not known."""
    every: float = 60.0
    """Seconds between saves."""
    summaries: tuple[str, ...] = NEEDED
    """Names of those that are kept."""
    _last: float = field(init=False)
    _has_warned: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._last = time.monotonic()

    def load(self) -> PartialNull | None:
        """Return what an earlier run saved; None, with a warning, where it cannot be used, and where there is none."""
        try:
            saved = _unpack(self.path, self._largest(), (*PARTS, *self.summaries))
        except FileNotFoundError:
            return None
        except DAMAGE:
            self._refuse("is damaged or cannot be read")
            return None
        version = str(saved["version"])[:40]
        if version != __version__:
            self._refuse(f"was written by version {version} of this app, and this is {__version__}")
            return None
        if "ranges" not in saved:
            self._refuse("has the format of an earlier version of this app")
            return None
        if str(saved["fingerprint"]) != self.fingerprint:
            self._refuse("is of other data, another model or another seed")
            return None
        try:
            partial = self._restored(saved)
        except ValueError as problem:
            self._refuse(f"holds what no run saves ({problem})")
            return None
        log.info("carrying on from a checkpoint after %d shuffles: %s", len(partial.done), self.path)
        return partial

    def _largest(self) -> float:
        """Bytes that the file can have at most."""
        if self.size is None or self.summaries != NEEDED:
            return math.inf
        n_shuffles, n_keys, n_voxels = self.size
        return 8 * (n_shuffles * n_keys + n_voxels + n_shuffles + 1) + OVERHEAD

    def _restored(self, saved: Mapping[str, NDArray[Any]]) -> PartialNull:
        """Return the state of which a file holds the arrays.

        Raises
        ------
        ValueError
            Where they are not what some of the shuffles can give.
        """
        ranges, size = saved["ranges"], Size(*self.size) if self.size else None
        if ranges.dtype != np.int64 or ranges.ndim != 2 or ranges.shape[1:] != (2,) or not len(ranges):
            raise ValueError("no ranges of shuffles")
        done = Ranges(tuple((int(start), int(stop)) for start, stop in ranges))
        if size and done.spans[-1][1] > size.n_shuffles:
            raise ValueError(f"shuffles up to {done.spans[-1][1]} of {size.n_shuffles}")
        parts = {name: SUMMARIES[name].restored(done, saved[name], size) for name in self.summaries}
        if str(saved["digest"]) != _digest(self.fingerprint, ranges, {name: saved[name] for name in parts}):
            raise ValueError("another checksum")
        return PartialNull(parts)

    def save(self, partial: PartialNull) -> None:
        """Write the state in place of the one before; where the disk has no room, warn once and go on without."""
        try:
            with _uninterrupted():
                content = io.BytesIO()
                ranges = np.array(partial.done.spans, np.int64).reshape(-1, 2)
                values: dict[str, Any] = {name: summary.values for name, summary in partial.summaries.items()}
                np.savez(
                    content,
                    version=np.array(__version__),
                    fingerprint=np.array(self.fingerprint),
                    ranges=ranges,
                    digest=np.array(_digest(self.fingerprint, ranges, values)),
                    **values,
                )
                _replace(self.path, content.getbuffer())
        except OSError as error:
            if not self._has_warned:
                reason = error.strerror or error
                log.warning("no checkpoint at %s (%s); the run goes on without", self.path, reason)
            self._has_warned = True
        self._last = time.monotonic()

    def due(self) -> bool:
        """Return whether it is time for a save."""
        return time.monotonic() - self._last >= self.every

    def _refuse(self, reason: str) -> None:
        log.warning("the checkpoint %s %s: it is not used, and the shuffles start afresh", self.path, reason)


def fingerprint(*parts: object) -> str:
    """Return a checksum (SHA-256, hexadecimal) of arrays and plain values, in their order.

    Parts may be arrays (their type, shape and values count, their layout in memory does not), None, truth values,
    numbers, text, bytes, paths, and sequences, mappings and dataclasses of all these. Arrays are read in pieces, never
    copied whole.

    Raises
    ------
    TypeError
        For anything else: an object's text may leave out what matters, or differ from run to run.
    """
    hasher = hashlib.sha256()
    for piece in _pieces(parts):
        hasher.update(piece)
    return hasher.hexdigest()


def checkpoint_path(work_dir: Path, node: str, contrast: str) -> Path:
    """Return where the checkpoint of a contrast is; both are labels as in the names of the outputs, letters and digits.

    Nodes that run at the same time as jobs of their own may share the folder.
    """
    return work_dir / f"node-{node}_contrast-{contrast}{SUFFIX}"


def open_work_dir(work_dir: Path) -> None:
    """Make the folder and try to write into it, before hours of work rely on it.

    Raises
    ------
    OutputError
    """
    probe = work_dir / f".{secrets.token_hex(4)}.part"
    try:
        work_dir.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"the work folder {work_dir}, where checkpoints go, cannot be written: {error.strerror or error}. "
            "Name another one with --work-dir; in a container, bind a folder that your user may write to."
        ) from error


def has_checkpoints(work_dir: Path) -> bool:
    """Return whether a run could carry on from here."""
    return next(work_dir.glob(f"*{SUFFIX}"), None) is not None


def clear(work_dir: Path, nodes: Iterable[str]) -> None:
    """Remove the checkpoints of some nodes, given by label, and the folder where nothing else is in it."""
    for node in nodes:
        name = f"node-{node}_contrast-*{SUFFIX}"
        for path in (*work_dir.glob(name), *work_dir.glob(f".{name}.*.part")):
            try:
                path.unlink(missing_ok=True)  # another job may be at it
            except OSError as error:
                log.warning("the checkpoint %s cannot be removed (%s), and is of no use any more", path, error.strerror)
    try:
        work_dir.rmdir()
    except OSError:
        # not empty, or not there, or a link, or a mount: nothing is lost by leaving it
        log.debug("the work folder %s stays", work_dir)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold back Ctrl-C and the scheduler's signal for the moment that a save takes, and heed them then.

    An interruption in the middle of the archive would come out as an error of the archive.
    """
    if threading.current_thread() is not threading.main_thread():  # only there Python hears signals
        yield
        return
    received: list[int] = []
    earlier = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in earlier:
            signal.signal(number, lambda number, _: received.append(number))
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
    for heard in received:
        signal.raise_signal(heard)


def _digest(analysis: str, ranges: NDArray[Any], values: Mapping[str, NDArray[Any]]) -> str:
    """Checksum of a state with the analysis that it is of."""
    return fingerprint(__version__, analysis, ranges, values)


def _unpack(path: Path, largest: float, parts: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return the arrays of an npz file whose checksums hold; no more memory is taken than the file has bytes.

    Parameters
    ----------
    path : Path
    largest : bytes that it can have
    parts : names of the arrays; of a file of the earlier format only the version is read
    """
    size = path.stat().st_size
    if not path.is_file() or size > largest:
        raise ValueError(f"no file, or {size} bytes; expected {largest} at most")
    content = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = ("version",) if f"{EARLIER_PART}.npy" in archive.namelist() else parts
        for name in names:
            _check_member(archive, archive.getinfo(f"{name}.npy"))
        if archive.testzip() is not None:
            raise zipfile.BadZipFile
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in names}


def _check_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Stop where an array is compressed, or claims another size than it has: either might fill the memory."""
    if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
        raise ValueError("compressed")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError("another version of the format")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if dtype.hasobject or math.prod(shape) * dtype.itemsize != member.file_size - file.tell():
            raise ValueError("another size")


def _replace(path: Path, content: memoryview) -> None:
    """Write a file so that at any moment the old or the new one is there, also if the machine goes down."""
    # A random part, because in containers on different machines the process ids are often the same
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _pieces(part: object) -> Iterator[bytes | memoryview]:
    """Yield what identifies a value, each with its kind and length before it, so that no two values read alike."""
    match part:
        case np.ndarray() | np.generic():
            yield from _array_pieces(np.asarray(part))
        case None | bool() | int() | float() | str() | bytes() | Path():
            kind = "path" if isinstance(part, Path) else type(part).__name__
            content = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogateescape")
            yield f"{kind} {len(content)} ".encode()
            yield content
        case Mapping():
            yield f"mapping {len(part)} ".encode()
            for key, value in part.items():
                yield from _pieces(key)
                yield from _pieces(value)
        case Sequence():
            yield f"sequence {len(part)} ".encode()
            for each in part:
                yield from _pieces(each)
        case _ if dataclasses.is_dataclass(part) and not isinstance(part, type):
            yield from _pieces({each.name: getattr(part, each.name) for each in dataclasses.fields(part)})
        case _:
            raise TypeError(f"{type(part).__name__} has no fingerprint: expected arrays and plain values")


def _array_pieces(array: NDArray[Any]) -> Iterator[bytes | memoryview]:
    """Yield type, shape and values of an array, the values in C order, a megabyte or so at a time."""
    if array.dtype.hasobject:
        raise TypeError(f"an array of {array.dtype} has no fingerprint: expected numbers or text")
    yield f"array {array.dtype.str} {array.shape} ".encode()
    for piece in np.nditer(array, ("external_loop", "buffered", "zerosize_ok"), order="C", buffersize=1 << 18):
        yield np.ascontiguousarray(piece).view(np.uint8).data
