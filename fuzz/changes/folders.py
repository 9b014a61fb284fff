"""What a run finds in OUTPUT_DIR: links, folders in place of files, lists and records that were tampered with."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fuzz.change import Change, Expected, Mode, Recipe, Recipes
from fuzz.changes.models import ODD, nested
from fuzz.study import Sandbox

Make = Callable[[Sandbox], object]


def _state(make: Make, expected: Expected = "either", *, mode: Mode = "full", names: tuple[str, ...] = ()) -> Recipe:
    """Change the folder of a finished run, and run again, or make its report again."""

    def recipe(rng: np.random.Generator, sandbox: Sandbox) -> Change:  # noqa: ARG001  (a recipe like others)
        make(sandbox)
        return Change("", expected, names, mode=mode, same=True)

    return recipe


def _led_elsewhere(place: Callable[[Sandbox], Path]) -> Recipe:
    """Put a link to another disk in the place of a folder: new files may come there, what is there stays."""

    def recipe(rng: np.random.Generator, sandbox: Sandbox) -> Change:  # noqa: ARG001  (a recipe like others)
        elsewhere = sandbox.root / "elsewhere"
        _link(place(sandbox), elsewhere)
        return Change("", mode="full", same=True, grows=elsewhere)

    return recipe


def _link(path: Path, target: Path) -> None:
    """Put a link where there was a file or a folder."""
    _remove(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def _folder(path: Path) -> None:
    _remove(path)
    path.mkdir()
    (path / "mine.txt").write_text("mine\n", encoding="utf-8")


def _file(path: Path) -> None:
    _remove(path)
    path.write_text("mine\n", encoding="utf-8")


def _pipe(path: Path) -> None:
    _remove(path)
    os.mkfifo(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _map_of(sandbox: Sandbox) -> Path:
    return next(sandbox.node.glob("*contrast-AvsB_stat-t_statmap.nii.gz"))


def _manifest(sandbox: Sandbox) -> Path:
    return sandbox.node / ".written.txt"


def _below(sandbox: Sandbox) -> str:
    return os.path.relpath(sandbox.file("mine.txt"), sandbox.node)


OUTPUT: Recipes = {
    "group leads into the input": _state(lambda box: _link(box.output / "group", box.data)),
    "group leads elsewhere": _led_elsewhere(lambda box: box.output / "group"),
    "group is a file": _state(lambda box: _file(box.output / "group"), "refused", names=("group",)),
    "the node's folder leads into the input": _state(lambda box: _link(box.node, box.data)),
    "the node's folder leads elsewhere": _led_elsewhere(lambda box: box.node),
    "the node's folder is a file": _state(lambda box: _file(box.node), "refused", names=("node-n",)),
    "figures lead elsewhere": _led_elsewhere(lambda box: box.node / "figures"),
    "figures are a file": _state(lambda box: _file(box.node / "figures"), "refused", names=("figures",)),
    "a map leads elsewhere": _state(lambda box: _link(_map_of(box), box.file("mine.txt"))),
    "a map leads into the input": _state(lambda box: _link(_map_of(box), box.maps[0])),
    "a map is a folder": _state(lambda box: _folder(_map_of(box))),
    "the report leads elsewhere": _state(lambda box: _link(box.output / "report.html", box.file("mine.txt"))),
    "the report is a folder": _state(
        lambda box: _folder(box.output / "report.html"), "refused", names=("report.html",)
    ),
    "the description leads into the input": _state(
        lambda box: _link(box.output / "dataset_description.json", box.data / "dataset_description.json")
    ),
    "logs lead into the input": _state(lambda box: _link(box.output / "logs", box.data)),
    "logs are a file": _state(lambda box: _file(box.output / "logs"), "refused", names=("logs",)),
    "the work folder leads into the input": _state(lambda box: _link(box.output / ".work", box.data)),
    "the work folder is a file": _state(lambda box: _file(box.output / ".work"), "refused", names=(".work",)),
    "OUTPUT_DIR leads into the input": _state(
        lambda box: _link(box.output, box.data), "refused", names=("OUTPUT_DIR",)
    ),
    "OUTPUT_DIR leads into itself": _state(lambda box: _link(box.output, box.output), "refused", names=("out",)),
    "OUTPUT_DIR is a pipe": _state(lambda box: _pipe(box.output), "refused", names=("out",)),
    "a pipe in place of a map": _state(lambda box: _pipe(_map_of(box))),
    "old halves of files": _state(lambda box: _halves(box), "accepted"),
    "maps of another run": _state(lambda box: _file(box.node / "contrast-old_stat-t_statmap.nii.gz")),
}


def _halves(box: Sandbox) -> None:
    """Leave what a killed run left long ago, on whatever machine: halves beside files that it was writing."""
    for path in (box.output / "report.html", _map_of(box), box.output / "logs" / "CITATION.md"):
        half = path.with_name(f".{path.name}.12345.part")
        half.write_text("half", encoding="utf-8")
        os.utime(half, (1.6e9, 1.6e9))


# The list of the files that runs wrote


def _listed(lines: Callable[[Sandbox], str | bytes]) -> Recipe:
    """Add to the list of the files that runs of this app wrote into the node's folder."""

    def add(sandbox: Sandbox) -> None:
        content = lines(sandbox)
        with _manifest(sandbox).open("ab") as file:
            file.write(content if isinstance(content, bytes) else content.encode())

    return _state(add)


def _behind_a_link(sandbox: Sandbox) -> str:
    _link(sandbox.node / "linked", sandbox.root / "elsewhere")
    return "linked/mine.txt\n"


MANIFEST: Recipes = {
    "names a file above": _listed(lambda box: f"{_below(box)}\n"),
    "names a file by its whole path": _listed(lambda box: f"{box.root / 'elsewhere' / 'mine.txt'}\n"),
    "names a map of the input": _listed(lambda box: f"{os.path.relpath(box.maps[0], box.node)}\n"),
    "names the user's file in OUTPUT_DIR": _listed(lambda _: "../../notes.txt\n"),
    "names the user's file in the node's folder": _listed(lambda _: "notes.txt\n"),
    "names a file over a detour": _listed(lambda box: f"figures/../{_below(box)}\n"),
    "names a file behind a link": _listed(_behind_a_link),
    "names a folder": _listed(lambda _: "figures\n.\n..\n/\n"),
    "is not UTF-8": _listed(lambda _: b"\xff\xfe\xfd\n"),
    "holds NUL": _listed(lambda _: b"a\0b\n"),
    "holds a line of 5,000 letters": _listed(lambda _: "x" * 5000 + "\n"),
    "holds a line for the terminal": _listed(lambda _: "\x1b[2J\n"),
    "holds 200,000 lines": _listed(lambda _: "".join(f"x{n}\n" for n in range(200_000))),
    "leads elsewhere": _state(lambda box: _link(_manifest(box), box.file("mine.txt"))),
    "leads into the input": _state(lambda box: _link(_manifest(box), box.data / "participants.tsv")),
    "is a folder": _state(lambda box: _folder(_manifest(box)), names=(".written.txt",)),
    "is a pipe": _state(lambda box: _pipe(_manifest(box)), names=(".written.txt",)),
    "is missing": _state(lambda box: _remove(_manifest(box))),
    "is empty": _state(lambda box: _manifest(box).write_text("", encoding="utf-8")),
}


# The record that --reports-only reads


def _record(sandbox: Sandbox) -> Path:
    return sandbox.node / "figures" / "report.json"


def _recorded(make: Callable[[str], str | bytes], expected: Expected = "either") -> Recipe:
    """Change the text of the record, and make the report again."""

    def change(sandbox: Sandbox) -> None:
        path = _record(sandbox)
        content = make(path.read_text(encoding="utf-8"))
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))

    return _state(change, expected, mode="again", names=("report.json", "node-n", "out"))


def _renamed(make: Callable[[Sandbox], str]) -> Recipe:
    """Give all that has a name in the record one that is a path."""

    def change(sandbox: Sandbox) -> None:
        name, path = make(sandbox), _record(sandbox)

        def renamed(value: object) -> object:
            if isinstance(value, dict):
                return {key: name if key == "name" else renamed(each) for key, each in value.items()}
            return [renamed(each) for each in value] if isinstance(value, list) else value

        path.write_text(json.dumps(renamed(json.loads(path.read_text(encoding="utf-8")))), encoding="utf-8")

    return _state(change, mode="again", names=("report", "node-", "out"))


def _odd_record(rng: np.random.Generator, sandbox: Sandbox) -> Change:
    """Replace a value somewhere in the record by one of another kind."""
    document = json.loads(_record(sandbox).read_text(encoding="utf-8"))
    target: Any = document
    words: list[str] = []
    while True:
        keys = list(target) if isinstance(target, dict) else list(range(len(target)))
        key = keys[rng.integers(len(keys))]
        words.append(str(key))
        if not isinstance(target[key], dict | list) or not target[key] or rng.random() < 0.15:
            break
        target = target[key]
    value = ODD[rng.integers(len(ODD))]
    target[key] = value
    _record(sandbox).write_text(json.dumps(document), encoding="utf-8")
    return Change(f"{'.'.join(words)[:80]} is {value!r}", "either", ("report.json", "node-n"), mode="again")


def _file_lost(rng: np.random.Generator, sandbox: Sandbox) -> Change:
    files = sorted(path for path in sandbox.node.rglob("*") if path.is_file() and path.name != "notes.txt")
    path = files[rng.integers(len(files))]
    path.unlink()
    return Change(path.name, "either", (path.name, path.name.split(".")[0], "node-n"), mode="again")


def _file_cut(rng: np.random.Generator, sandbox: Sandbox) -> Change:
    files = sorted(path for path in sandbox.node.rglob("*.*z") if path.is_file())
    path = files[rng.integers(len(files))]
    content = path.read_bytes()
    path.write_bytes(content[: int(rng.integers(len(content)))])
    return Change(path.name, "either", (path.name,), mode="again")


RECORD: Recipes = {
    "names that lead above": _renamed(lambda _: "../../../../../evil"),
    "names that are whole paths": _renamed(lambda box: str(box.root / "elsewhere" / "evil")),
    "names with markup": _renamed(lambda _: "<script>alert(1)</script>"),
    "nested 10,000 deep": _recorded(lambda _: nested('{"a":', "}"), "refused"),
    "lists 10,000 deep": _recorded(lambda _: nested("[", "]"), "refused"),
    "empty": _recorded(lambda _: "", "refused"),
    "cut off": _recorded(lambda text: text[: len(text) // 2], "refused"),
    "a list": _recorded(lambda text: f"[{text}]", "refused"),
    "binary": _recorded(lambda _: bytes(range(256)), "refused"),
    "another format": _recorded(lambda text: text.replace('"Format": 1', '"Format": 99'), "refused"),
    "an odd value": _odd_record,
    "another odd value": _odd_record,
    "a third odd value": _odd_record,
    "a file lost": _file_lost,
    "a file cut off": _file_cut,
    "no record": _state(lambda box: _remove(_record(box)), "refused", mode="again", names=("report.json", "node-n")),
    "nothing at all": _state(lambda box: _remove(box.output), "refused", mode="again", names=("out",)),
    "a record that leads elsewhere": _state(lambda box: _link(_record(box), box.file("mine.txt")), mode="again"),
    "a record that is a pipe": _state(
        lambda box: _pipe(_record(box)), "refused", mode="again", names=("report.json", "node-n")
    ),
}


# Checkpoints of a run that was stopped: whatever they hold, the results are those of a run without any


def _checkpoint(make: Callable[[Path], object]) -> Recipe:
    """Change the checkpoint of a stopped run, and run again."""

    def recipe(rng: np.random.Generator, sandbox: Sandbox) -> Change:  # noqa: ARG001  (a recipe like others)
        stopped = sandbox.root / "stopped"
        _remove(sandbox.output)
        shutil.move(stopped, sandbox.output)
        (path,) = (sandbox.output / ".work").glob("*.npz")
        make(path)
        return Change("", "accepted", mode="full", same=True)

    return recipe


def _arrays(**other: object) -> Callable[[Path], None]:
    """Put other arrays into a checkpoint, under its own fingerprint."""

    def make(path: Path) -> None:
        with np.load(path) as saved:
            arrays: Mapping[str, object] = {name: saved[name] for name in saved.files}
        new = {name: value(arrays[name]) if callable(value) else value for name, value in other.items()}
        content = io.BytesIO()
        every: Mapping[str, Any] = {name: np.asarray(each) for name, each in (dict(arrays) | new).items()}
        np.savez(content, **every)
        path.write_bytes(content.getvalue())

    return make


def _cut_checkpoint(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _checkpoint_bomb(path: Path) -> None:
    """Pack a gigabyte of zeros."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("maxima.npy", "w") as file:
        for _ in range(64):
            file.write(bytes(1 << 24))


CHECKPOINT: Recipes = {
    "as it is": _checkpoint(lambda _: None),
    "cut off": _checkpoint(_cut_checkpoint),
    "random bytes": _checkpoint(lambda path: path.write_bytes(b"PK\3\4" + bytes(500))),
    "three rows of maxima": _checkpoint(_arrays(maxima=lambda array: array[:3])),
    "more shuffles than there are": _checkpoint(_arrays(n_done=10**6)),
    "fewer shuffles than none": _checkpoint(_arrays(n_done=-5)),
    "a number of shuffles that is text": _checkpoint(_arrays(n_done="many")),
    "maxima that are text": _checkpoint(_arrays(maxima=np.array(["a", "b"]))),
    "maxima that are NaN": _checkpoint(_arrays(maxima=lambda array: np.full_like(array, np.nan))),
    "maxima of other kind": _checkpoint(_arrays(maxima=lambda array: array.astype(complex))),
    "maxima a hundred times larger": _checkpoint(_arrays(maxima=lambda array: 100 * array)),
    "counts of too few voxels": _checkpoint(_arrays(n_exceeding=lambda array: array[:3])),
    "counts beyond the number of shuffles": _checkpoint(_arrays(n_exceeding=lambda array: array + 10**6)),
    "counts below zero": _checkpoint(_arrays(n_exceeding=lambda array: array * 0 - 3)),
    "the code of a pickle": _checkpoint(lambda path: path.write_bytes(b"cos\nsystem\n(S'touch mine'\ntR.")),
    "gzip that unpacks to gigabytes": _checkpoint(_checkpoint_bomb),
    "a folder": _checkpoint(_folder),
    "a link to a device": _checkpoint(lambda path: _link(path, Path("/dev/zero"))),
    "a pipe": _checkpoint(_pipe),
    "a link to the user's file": _checkpoint(lambda path: _link(path, path.parents[2] / "mine.txt")),
}
