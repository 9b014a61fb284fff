"""Images: bytes, headers, sizes, values, and what is no image at all."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from fuzz.change import Change, Expected, Recipe, Recipes
from fuzz.study import AFFINE, CONDITIONS, SHAPE, SUBJECTS, Array, Sandbox, read, save

HEADER_BYTES = 348
DIM, DATATYPE_AT, VOX_OFFSET, SLOPE, MAGIC = 40, 70, 108, 112, 344  # places in a NIfTI-1 header
Edit = Callable[[np.random.Generator, bytearray], str]


def _one(rng: np.random.Generator, sandbox: Sandbox) -> Path:
    return sandbox.map(str(rng.choice(SUBJECTS)), str(rng.choice(CONDITIONS)))


def _content(path: Path) -> bytearray:
    return bytearray(gzip.decompress(path.read_bytes()))


def _write(path: Path, content: bytes | bytearray) -> None:
    path.write_bytes(gzip.compress(content, mtime=0) if path.name.endswith(".gz") else content)


def _naming(path: Path) -> tuple[str, str]:
    return path.name, path.name.split("_")[0]  # the subject will do


def _image(expected: Expected, words: str, path: Path, *, everywhere: bool = False) -> Change:
    return Change(words, expected, ("sub-", "statmap", "voxel") if everywhere else _naming(path), numbers=True)


def edited(edit: Edit, expected: Expected = "either", *, everywhere: bool = False) -> Recipe:
    """Change the bytes of one map, or those of every map alike."""

    def recipe(rng: np.random.Generator, sandbox: Sandbox) -> Change:
        seed = int(rng.integers(2**32))
        chosen = _one(rng, sandbox)
        words = ""
        for path in sandbox.maps if everywhere else (chosen,):
            content = _content(path)
            words = edit(np.random.default_rng(seed), content)
            _write(path, content)
        return _image(expected, words, chosen, everywhere=everywhere)

    return recipe


def put(place: int, layout: str, *choices: Sequence[float]) -> Edit:
    """Write numbers into the header, as struct lays them out."""

    def edit(rng: np.random.Generator, content: bytearray) -> str:
        values = choices[rng.integers(len(choices))]
        struct.pack_into(layout, content, place, *values)
        return f"{', '.join(map(str, values))} at byte {place}"

    return edit


# Bytes of the file as it lies there


def _cut(rng: np.random.Generator, sandbox: Sandbox) -> Change:
    path = _one(rng, sandbox)
    content = path.read_bytes()
    n = int(rng.integers(len(content)))
    path.write_bytes(content[:n])
    return _image("refused", f"{n} of {len(content)} bytes", path)


def _flipped(rng: np.random.Generator, sandbox: Sandbox) -> Change:
    path = _one(rng, sandbox)
    content = bytearray(path.read_bytes())
    place = int(rng.integers(10, len(content)))  # the header of gzip holds a time, which nobody reads
    content[place] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)
    return _image("refused", f"a bit of byte {place}", path)


def _wrong_sum(rng: np.random.Generator, sandbox: Sandbox) -> Change:
    path = _one(rng, sandbox)
    content = bytearray(path.read_bytes())
    content[-8] ^= 0xFF
    path.write_bytes(content)
    return _image("refused", "", path)


def _noise(rng: np.random.Generator, sandbox: Sandbox) -> Change:
    path = _one(rng, sandbox)
    path.write_bytes(rng.bytes(int(rng.integers(1, 5000))))
    return _image("refused", "", path)


def _tail(rng: np.random.Generator, sandbox: Sandbox) -> Change:
    path = _one(rng, sandbox)
    with path.open("ab") as file:
        file.write(rng.bytes(50))
    return _image("either", "", path)


def _not_packed(rng: np.random.Generator, sandbox: Sandbox) -> Change:
    path = _one(rng, sandbox)
    path.write_bytes(_content(path))
    return _image("either", "", path)


def _text(rng: np.random.Generator, sandbox: Sandbox) -> Change:
    path = _one(rng, sandbox)
    words = ("version https://git-lfs.github.com/spec/v1\n", "<html><body>404</body></html>", "", "\0" * 400)
    text = words[rng.integers(len(words))]
    path.write_text(text, encoding="utf-8")
    return _image("refused", repr(text[:20]), path)


def _short(rng: np.random.Generator, content: bytearray) -> str:
    n = int(rng.integers(HEADER_BYTES + 4, len(content)))
    del content[n:]
    return f"{n} bytes unpacked"


BYTES: Recipes = {
    "file cut off": _cut,
    "a bit turned": _flipped,
    "checksum wrong": _wrong_sum,
    "random bytes": _noise,
    "bytes after the end": _tail,
    "not packed in spite of its name": _not_packed,
    "text in place of an image": _text,
    "data cut off before packing": edited(_short, "refused"),
}


# The header


def _scattered(rng: np.random.Generator, content: bytearray) -> str:
    places = sorted(int(place) for place in rng.integers(0, HEADER_BYTES, rng.integers(1, 6)))
    for place in places:
        content[place] = int(rng.integers(256))
    return f"bytes {', '.join(map(str, places))}"


def _swapped(rng: np.random.Generator, content: bytearray) -> str:  # noqa: ARG001  (one of several edits)
    content[:4] = content[3::-1]
    return ""


NAN, INF = float("nan"), float("inf")
_SINGULAR = ([0.0] * 12, [1.0] * 12, [INF] * 12, [NAN] * 12, [1e38] * 12, [1e-38] * 12)


def _affine(rng: np.random.Generator, content: bytearray) -> str:
    values = _SINGULAR[rng.integers(len(_SINGULAR))]
    struct.pack_into("<hh", content, 252, 0, 4)  # no quaternion, an affine
    struct.pack_into("<12f", content, 280, *values)
    return f"all of it {values[0]}"


HEADER: Recipes = {
    "random bytes in one header": edited(_scattered),
    "random bytes in every header": edited(_scattered, everywhere=True),
    "more random bytes in every header": edited(_scattered, everywhere=True),
    "size of the header": edited(put(0, "<i", [0], [349], [540], [-1], [2**31 - 1])),
    "size of the header in the other byte order": edited(_swapped),
    "magic": edited(put(MAGIC, "<4s", [b"n+2\0"], [b"ni1\0"], [b"\0\0\0\0"], [b"n+9\0"])),  # type: ignore[list-item]
    "affine that turns nothing into nothing": edited(_affine, "refused", everywhere=True),
    "affine of one map": edited(_affine, "refused"),
    "size of voxels": edited(put(76, "<4f", [0, 0, 0, 0], [1, NAN, 2, 2], [1, -2, 2, 2], [1, INF, 1, 1])),
    "quaternion": edited(put(252, "<hhfff", [1, 0, NAN, 0, 0], [1, 0, 5, 5, 5], [9, 9, 0, 0, 0], [1, 0, INF, 0, 0])),
    "slope of values": edited(put(SLOPE, "<ff", [INF, 0], [NAN, 1], [1e38, 0], [2, 3], [0, 0], [1e-45, 0])),
    "slope of values in all": edited(
        put(SLOPE, "<ff", [INF, 0], [NAN, NAN], [1e38, 0], [2, 3], [1, 1e6], [1e-40, 0]), everywhere=True
    ),
}

DIMS: Recipes = {
    "sizes beyond any memory": edited(
        put(DIM, "<4h", [3, 30000, 30000, 30000], [3, 2000, 2000, 2000], [3, 32767, 32767, 3]), "refused"
    ),
    "sizes beyond any memory in all": edited(
        put(DIM, "<8h", [7] + [32767] * 7, [3, 2000, 2000, 2000, 1, 1, 1, 1]), "refused", everywhere=True
    ),
    "seven dimensions of the largest": edited(put(DIM, "<8h", [7] + [32767] * 7), "refused"),
    "sizes that fit into memory and not into the file": edited(
        put(DIM, "<4h", [3, 1200, 1200, 1200], [3, 700, 700, 700]), "refused"
    ),
    "sizes below one": edited(put(DIM, "<4h", [3, 0, 9, 7], [3, -8, 9, 7], [3, -8, -9, 7]), "refused"),
    "number of dimensions": edited(put(DIM, "<h", [0], [1], [2], [5], [8], [-1], [32767])),
    "one voxel less": edited(put(DIM, "<4h", [3, 7, 9, 7], [3, 8, 8, 7]), "refused"),
    "one voxel more": edited(put(DIM, "<4h", [3, 9, 9, 7], [3, 8, 9, 8]), "refused"),
    "several volumes": edited(put(DIM, "<5h", [4, 8, 9, 7, 2], [4, 8, 9, 7, 0], [4, 8, 9, 7, 30000]), "refused"),
    "axes swapped": edited(put(DIM, "<4h", [3, 9, 8, 7], [3, 7, 9, 8]), "refused"),
}

_TYPES = (0, 1, 3, 255, 1024, 1536, 2048, 4097, -1)
DATATYPE: Recipes = {
    "unknown type": edited(put(DATATYPE_AT, "<hh", *([each, 32] for each in _TYPES))),
    "type of other size": edited(put(DATATYPE_AT, "<hh", [64, 64], [2, 8], [4, 16], [8, 32], [512, 16], [1280, 64])),
    "colours in a header": edited(put(DATATYPE_AT, "<hh", [128, 24], [2304, 32])),
}


def _typed(kind: str, expected: Expected, *, everywhere: bool) -> Recipe:
    """Write maps as another type of number."""

    def recipe(rng: np.random.Generator, sandbox: Sandbox) -> Change:
        chosen = _one(rng, sandbox)
        for path in sandbox.maps if everywhere else (chosen,):
            values = read(path)
            if kind.startswith("c"):
                values = values + 1j * rng.standard_normal(values.shape)
            elif kind.startswith(("i", "u")):
                values = np.round(100 * np.abs(values) + 1)
            save(path, values.astype(kind))
        return _image(expected, "in every map" if everywhere else "", chosen, everywhere=everywhere)

    return recipe


for _kind, _expected in (("c8", "refused"), ("c16", "refused"), ("f8", "either"), ("i2", "either"), ("u2", "either")):
    for _everywhere in (False, True):
        _name = f"numbers of the type {_kind}{' in all' if _everywhere else ''}"
        DATATYPE[_name] = _typed(_kind, _expected, everywhere=_everywhere)  # type: ignore[arg-type]


def _coloured(rng: np.random.Generator, sandbox: Sandbox) -> Change:
    chosen = _one(rng, sandbox)
    kind = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    for path in sandbox.maps:
        values = rng.integers(0, 256, (*SHAPE, 3)).astype(np.uint8)
        save(path, np.ascontiguousarray(values).view(kind)[..., 0])
    return _image("refused", "", chosen, everywhere=True)


DATATYPE["colours"] = _coloured

OFFSET: Recipes = {
    "data that start nowhere": edited(put(VOX_OFFSET, "<f", [INF], [-INF], [NAN], [1e30], [3e9]), "refused"),
    "data that start nowhere in all": edited(put(VOX_OFFSET, "<f", [INF], [1e30]), "refused", everywhere=True),
    "data that start in the header": edited(put(VOX_OFFSET, "<f", [0], [-352], [100], [-1e30])),
    "data that start late": edited(put(VOX_OFFSET, "<f", [356], [1000], [353.5], [1e6])),
}


# Values


def _values(change: Callable[[np.random.Generator, Array], Array], expected: Expected = "either") -> Recipe:
    """Change the values of one map."""

    def recipe(rng: np.random.Generator, sandbox: Sandbox) -> Change:
        path = _one(rng, sandbox)
        save(path, change(rng, read(path)))
        return _image(expected, "", path)

    return recipe


def _all_values(change: Callable[[Array], Array]) -> Recipe:
    """Change the values of every map, in double precision."""

    def recipe(rng: np.random.Generator, sandbox: Sandbox) -> Change:
        for path in sandbox.maps:
            save(path, change(read(path).astype(float)))
        return _image("either", "", _one(rng, sandbox), everywhere=True)

    return recipe


def _some(value: float) -> Callable[[np.random.Generator, Array], Array]:
    return lambda rng, values: np.where(rng.random(values.shape) < 0.2, np.float32(value), values)


def _throughout(value: float) -> Callable[[np.random.Generator, Array], Array]:
    return lambda _, values: np.full_like(values, value)


VALUES: Recipes = {
    "NaN here and there": _values(_some(NAN)),
    "infinite here and there": _values(_some(INF)),
    "zero here and there": _values(_some(0)),
    "NaN throughout": _values(_throughout(NAN), "refused"),
    "zero throughout": _values(_throughout(0), "refused"),
    "one number throughout": _values(_throughout(3)),
    "the largest numbers": _values(_some(3e38)),
    "the smallest numbers": _values(_some(1e-42)),
    "a map a thousand times larger": _values(lambda _, values: 1000 * values),
    "a flipped map": _values(lambda _, values: np.ascontiguousarray(values[::-1])),
    "an offset of a million in double precision": _all_values(lambda values: values + 1e6),
    "units a billion times smaller": _all_values(lambda values: values * 1e-9),
    "units so small that squares vanish": _all_values(lambda values: values * 1e-200),
    "units so large that squares overflow": _all_values(lambda values: values * 1e200),
    "all maps alike": _all_values(np.ones_like),
}


# What is no file with an image


def _replaced(make: Callable[[Path], object], expected: Expected = "refused") -> Recipe:
    """Put something else in the place of one map."""

    def recipe(rng: np.random.Generator, sandbox: Sandbox) -> Change:
        path = _one(rng, sandbox)
        path.unlink()
        make(path)
        return Change("", expected, _naming(path), numbers=expected != "refused")

    return recipe


def bomb(path: Path) -> None:
    """Write 3 GB of zeros in 3 MB, after an image that is whole."""
    save(path, np.ones(SHAPE, np.float32))
    packer = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    member = packer.compress(bytes(1 << 24)) + packer.flush()
    with path.open("ab") as file:
        for _ in range(180):
            file.write(member)


def _hole(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(4 << 30)


SPECIAL: Recipes = {
    "a pipe": _replaced(os.mkfifo),
    "a link to a device without an end": _replaced(lambda path: path.symlink_to("/dev/zero")),
    "a link to a terminal": _replaced(lambda path: path.symlink_to("/dev/tty")),
    "a link to nothing": _replaced(lambda path: path.symlink_to("nothing")),
    "a link to itself": _replaced(lambda path: path.symlink_to(path.name)),
    "a folder": _replaced(Path.mkdir),
    "an empty file": _replaced(Path.touch),
    "gzip that unpacks to gigabytes": _replaced(bomb, "either"),
    "a file of zeros with a hole of 4 GB": _replaced(_hole),
}


# The mask


def _mask(values: Array, expected: Expected, affine: Array = AFFINE) -> Recipe:
    """Give another --mask."""

    def recipe(rng: np.random.Generator, sandbox: Sandbox) -> Change:  # noqa: ARG001  (a recipe like others)
        path = sandbox.file("mask.nii.gz")
        save(path, values, affine)
        return Change("", expected, ("mask",), ("--mask", str(path)))

    return recipe


def _mask_bytes(edit: Edit, expected: Expected = "refused") -> Recipe:
    def recipe(rng: np.random.Generator, sandbox: Sandbox) -> Change:
        path = sandbox.file("mask.nii.gz")
        content = _content(path)
        words = edit(rng, content)
        _write(path, content)
        return Change(words, expected, ("mask",), ("--mask", str(path)))

    return recipe


def _mask_special(make: Callable[[Path], object], expected: Expected = "refused") -> Recipe:
    def recipe(rng: np.random.Generator, sandbox: Sandbox) -> Change:  # noqa: ARG001  (a recipe like others)
        path = sandbox.file("mask.nii.gz")
        path.unlink()
        make(path)
        return Change("", expected, ("mask",), ("--mask", str(path)))

    return recipe


_BALL = np.ones(SHAPE, np.uint8)
_BALL[:2] = 0
MASK: Recipes = {
    "a mask of all but an edge": _mask(_BALL, "accepted"),
    "an empty mask": _mask(np.zeros(SHAPE, np.uint8), "refused"),
    "a mask on another grid": _mask(np.ones((7, 9, 7), np.uint8), "refused"),
    "a mask that lies elsewhere": _mask(np.ones(SHAPE, np.uint8), "refused", AFFINE + 4),
    "a mask of NaN": _mask(np.full(SHAPE, np.nan, np.float32), "refused"),
    "a mask of probabilities": _mask(np.full(SHAPE, 0.4, np.float32), "told"),
    "a mask of complex numbers": _mask(np.ones(SHAPE, np.complex64), "refused"),
    "a mask of one voxel": _mask((np.arange(504) == 9).reshape(SHAPE).astype(np.uint8), "either"),
    "a mask of sizes beyond any memory": _mask_bytes(put(DIM, "<4h", [3, 30000, 30000, 30000])),
    "a mask whose data start nowhere": _mask_bytes(put(VOX_OFFSET, "<f", [INF], [1e30])),
    "a mask with random bytes in its header": _mask_bytes(_scattered, "either"),
    "a mask that is cut off": _mask_bytes(_short),
    "a mask that is a pipe": _mask_special(os.mkfifo),
    "a mask that is a device": _mask_special(lambda path: path.symlink_to("/dev/zero")),
    "a mask that unpacks to gigabytes": _mask_special(bomb, "either"),
}
