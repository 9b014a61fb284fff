"""Tables, descriptions and filters, and what else may lie in a dataset."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fuzz.change import Change, Expected, Recipe, Recipes
from fuzz.changes.models import EVIL, unreadable_json
from fuzz.study import Sandbox, model, write_json

MANY, MANY_MAPS = 300_000, 30_000  # rows


def _edit(path: Path, make: Callable[[str], str | bytes]) -> None:
    content = make(path.read_text(encoding="utf-8"))
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))


def _people(make: Callable[[str], str | bytes], expected: Expected = "refused", **block: object) -> Recipe:
    """Change participants.tsv, of which the model takes the age."""

    def recipe(rng: np.random.Generator, sandbox: Sandbox) -> Change:  # noqa: ARG001  (a recipe like others)
        write_json(sandbox.file("model.json"), model(**(block or {"Covariates": ["age"]})))
        _edit(sandbox.data / "participants.tsv", make)
        return Change("", expected, ("participants.tsv",))

    return recipe


def _first_age(value: str) -> Callable[[str], str]:
    return lambda text: text.replace("\t21\t", f"\t{value}\t")


def _group(value: str) -> Callable[[str], str]:
    return lambda text: text.replace("\ta\n", f"\t{value}\n")


PARTICIPANTS: Recipes = {
    "as it is": _people(str, "accepted"),
    "no file": lambda _, sandbox: _without_people(sandbox),
    "empty": _people(lambda _: ""),
    "only a header": _people(lambda text: text.split("\n")[0] + "\n"),
    "a column twice": _people(lambda text: text.replace("group", "age")),
    "a subject twice": _people(lambda text: text + "sub-01\t99\ta\n"),
    "a subject missing": _people(lambda text: text.replace("sub-03", "sub-33")),
    "commas": _people(lambda text: text.replace("\t", ","), "told"),
    "a value missing": _people(_first_age("n/a")),
    "text in a column of numbers": _people(_first_age("old")),
    "a number that is infinite": _people(_first_age("inf")),
    "a number that is none": _people(_first_age("nan")),
    "a number of 5,000 digits": _people(_first_age("9" * 5000)),
    "a number of 1e308": _people(_first_age("1e308"), "either"),
    "a decimal comma": _people(_first_age("21,5")),
    "a cell missing": _people(lambda text: text.replace("\t21\ta", "\t21"), "either"),
    "a cell too many": _people(lambda text: text.replace("\t21\ta", "\t21\ta\tb\tc"), "either"),
    "a cell of a megabyte": _people(_first_age("x" * 1_000_000)),
    "UTF-16": _people(lambda text: text.encode("utf-16")),
    "Latin 1": _people(lambda text: text.replace("group", "größe").encode("latin-1"), "either"),
    "NUL": _people(_first_age("\0")),
    "binary": _people(lambda _: bytes(range(256)) * 20),
    "an open quote": _people(_first_age('"21'), "either"),
    "carriage returns": _people(lambda text: text.replace("\n", "\r"), "either"),
    "300,000 rows": _people(lambda text: text + "".join(f"sub-x{n}\t{n}\ta\n" for n in range(MANY)), "either"),
    "20,000 columns": _people(
        lambda text: "\n".join(line + "".join(f"\t{n}" for n in range(20_000)) for line in text.splitlines()), "either"
    ),
    "a group with markup": _people(_group("<script>alert(1)</script>"), "either", Between=["group"]),
    "a group for the terminal": _people(_group("\x1b[2J"), "either", Between=["group"]),
    "a group with slashes": _people(_group("../../../../mine"), "either", Between=["group"]),
    "a group of 5,000 letters": _people(_group("x" * 5000), "either", Between=["group"]),
    "a column for the terminal": _people(lambda text: text.replace("age", "\x1b[2Jage")),
}


def _without_people(sandbox: Sandbox) -> Change:
    write_json(sandbox.file("model.json"), model(Covariates=["age"]))
    (sandbox.data / "participants.tsv").unlink()
    return Change("", "refused", ("participants.tsv",))


def _rows(make: Callable[[str], str | bytes], expected: Expected = "refused", *, numbers: bool = False) -> Recipe:
    """Change the table of --maps."""

    def recipe(rng: np.random.Generator, sandbox: Sandbox) -> Change:  # noqa: ARG001  (a recipe like others)
        path = sandbox.file("maps.tsv")
        _edit(path, make)
        return Change("", expected, ("maps.tsv", "--maps", "sub-"), ("--maps", str(path)), numbers=numbers)

    return recipe


def _evil_row(place: int) -> Recipe:
    """Give a subject, a condition or a path of the table a name that is not meant for a path or a page."""

    def recipe(rng: np.random.Generator, sandbox: Sandbox) -> Change:
        name = EVIL[rng.integers(len(EVIL))]
        path = sandbox.file("maps.tsv")

        def with_name(text: str) -> str:
            lines = text.split("\n")
            cells = lines[1].split("\t")
            cells[place] = name
            return "\n".join([lines[0], "\t".join(cells), *lines[2:]])

        _edit(path, with_name)
        names = ("maps.tsv", "--maps", "ondition", "sub-")
        return Change(ascii(name)[:60], "either", names, ("--maps", str(path)))

    return recipe


def _path_of_first(path: str) -> Callable[[str], str]:
    def edit(text: str) -> str:
        lines = text.split("\n")
        cells = lines[1].split("\t")
        return "\n".join([lines[0], "\t".join([*cells[:2], path]), *lines[2:]])

    return edit


def _copied(text: str) -> str:
    """Give the first subject the same file twice, as a slip in copying does."""
    lines = text.split("\n")
    return "\n".join([lines[0], lines[1], lines[2].split("\t")[0] + "\tB\t" + lines[1].split("\t")[2], *lines[3:]])


MAPS: Recipes = {
    "as it is": _rows(str, "accepted", numbers=True),
    "empty": _rows(lambda _: ""),
    "only a header": _rows(lambda text: text.split("\n")[0]),
    "no column path": _rows(lambda text: text.replace("path", "file")),
    "a column twice": _rows(lambda text: text.replace("condition", "path")),
    "a row twice": _rows(lambda text: text + text.split("\n")[1]),
    "one file in two rows": _rows(_copied, "told"),
    "rows in reverse": _rows(
        lambda text: "\n".join([text.split("\n")[0], *reversed(text.strip().split("\n")[1:])]), "accepted", numbers=True
    ),
    "a path of 300 letters": _rows(_path_of_first("x" * 300)),
    "a path of 5,000 letters": _rows(_path_of_first("x" * 5000)),
    "a path with NUL": _rows(_path_of_first("a\0b")),
    "a path to a folder": _rows(_path_of_first("data")),
    "a path to a device": _rows(_path_of_first("/dev/zero")),
    "a path to a device that is empty": _rows(_path_of_first("/dev/null")),
    "a path to the table": _rows(_path_of_first("maps.tsv")),
    "a cell missing": _rows(lambda text: text.replace("sub-01\tA", "sub-01")),
    "UTF-16": _rows(lambda text: text.encode("utf-16")),
    "binary": _rows(lambda _: bytes(range(256)) * 20),
    "a cell of a megabyte": _rows(_path_of_first("x" * 1_000_000)),
    "an open quote": _rows(lambda text: text.replace("sub-01", '"sub-01', 1)),
    "30,000 rows": _rows(lambda text: text + "".join(f"sub-x{n}\tA\tmaps.tsv\n" for n in range(MANY_MAPS))),
    "name of a subject": _evil_row(0),
    "name of a condition": _evil_row(1),
    "name of a path": _evil_row(2),
}


def _description(make: Callable[[dict[str, object]], object], expected: Expected = "either") -> Recipe:
    """Change dataset_description.json."""

    def recipe(rng: np.random.Generator, sandbox: Sandbox) -> Change:  # noqa: ARG001  (a recipe like others)
        path = sandbox.data / "dataset_description.json"
        write_json(path, make(json.loads(path.read_text(encoding="utf-8"))))
        return Change("", expected, ("dataset_description.json",))

    return recipe


def _described_by(text: str | bytes) -> Recipe:
    def recipe(rng: np.random.Generator, sandbox: Sandbox) -> Change:  # noqa: ARG001  (a recipe like others)
        path = sandbox.data / "dataset_description.json"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return Change("", "refused", ("dataset_description.json",))

    return recipe


def _evil_description(rng: np.random.Generator, sandbox: Sandbox) -> Change:
    name = EVIL[rng.integers(len(EVIL))]
    key = ("Name", "DatasetDOI", "DatasetURL", "BIDSVersion", "DatasetType")[rng.integers(5)]
    path = sandbox.data / "dataset_description.json"
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | {key: name})
    return Change(f"{key} {ascii(name)[:60]}", "either", ("dataset_description.json",))


def _undescribed(rng: np.random.Generator, sandbox: Sandbox) -> Change:  # noqa: ARG001  (a recipe like others)
    (sandbox.data / "dataset_description.json").unlink()
    return Change("", "refused", ("dataset_description.json",))


DESCRIPTION: Recipes = {f"unreadable, {n}": _described_by(text) for n, text in enumerate(unreadable_json()) if n < 4}
DESCRIPTION |= {
    "no file": _undescribed,
    "UTF-16": _described_by("{}".encode("utf-16")),
    "binary": _described_by(bytes(range(256))),
    "an empty object": _description(lambda _: {}),
    "a list": _description(lambda each: [each]),
    "a name that is a list": _description(lambda each: each | {"Name": ["a"]}),
    "pipelines that are text": _description(lambda each: each | {"GeneratedBy": "nilearn"}),
    "pipelines without a name": _description(lambda each: each | {"GeneratedBy": [{}]}),
    "links that lead outside": _description(lambda each: each | {"DatasetLinks": {"x": "../../../.."}}),
    "sources that are numbers": _description(lambda each: each | {"SourceDatasets": [1, 2]}),
    "a name of 5,000 letters": _description(lambda each: each | {"Name": "x" * 5000}),
    "a name for a page or a path": _evil_description,
    "another name for a page or a path": _evil_description,
}


def _filter(text: str | bytes, expected: Expected = "either") -> Recipe:
    """Give another filter file."""

    def recipe(rng: np.random.Generator, sandbox: Sandbox) -> Change:  # noqa: ARG001  (a recipe like others)
        path = sandbox.file("filter.json")
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return Change("", expected, ("filter.json", "--bids-filter-file"), ("--bids-filter-file", str(path)))

    return recipe


FILTER: Recipes = {f"unreadable, {n}": _filter(text, "refused") for n, text in enumerate(unreadable_json()) if n < 6}
FILTER |= {
    "as it is": _filter('{"statmap": {"task": "x"}}', "accepted"),
    "binary": _filter(bytes(range(256)), "refused"),
    "an unknown query": _filter('{"bold": {"task": "x"}}'),
    "a query that is a list": _filter('{"statmap": ["x"]}', "refused"),
    "an entity that is an object": _filter('{"statmap": {"task": {"a": 1}}}', "refused"),
    "an unknown entity": _filter('{"statmap": {"colour": "red"}}', "refused"),
    "an entity with NaN": _filter('{"statmap": {"run": NaN}}'),
    "a pattern that takes for ever": _filter(json.dumps({"statmap": {"task": "(x+x+)+y", "regex_search": True}})),
    "a label of 5,000 letters": _filter(json.dumps({"statmap": {"task": "x" * 5000}}), "refused"),
    "a label for the terminal": _filter(json.dumps({"statmap": {"task": "\x1b[2J"}}), "refused"),
    "a key twice": _filter('{"statmap": {"task": "x"}, "statmap": {"task": "y"}}'),
}


def _beside(make: Callable[[Path], object], expected: Expected = "accepted") -> Recipe:
    """Put something into the dataset that is no map of the study."""

    def recipe(rng: np.random.Generator, sandbox: Sandbox) -> Change:  # noqa: ARG001  (a recipe like others)
        make(sandbox.data)
        return Change("", expected, ("sub-", "data", "map"), numbers=expected == "accepted")

    return recipe


def _strange_bytes(data: Path) -> None:
    Path(os.fsdecode(os.fsencode(data / "sub-01") + b"/notes-\xff\xfe.txt")).write_text("x", encoding="utf-8")


def _deep(data: Path) -> None:
    folder = data
    for _ in range(60):
        folder = folder / "folder"
    folder.mkdir(parents=True)


def _many(data: Path) -> None:
    folder = data / "sub-01" / "func"
    folder.mkdir()
    for number in range(3000):
        (folder / f"sub-01_task-x_run-{number}_bold.json").touch()


def _without(data: Path, pattern: str) -> None:
    for path in list(data.glob(pattern)):
        path.unlink()


def _another_stat(data: Path) -> None:
    for path in list(data.glob("sub-01/*A*effect*")):
        path.with_name(path.name.replace("effect", "z")).write_bytes(b"no image")


FILES: Recipes = {
    "a name that is not UTF-8": _beside(_strange_bytes),
    "a name with a line break": _beside(lambda data: (data / "sub-01" / "a\nb.txt").touch()),
    "a name for the terminal": _beside(lambda data: (data / "sub-01" / "\x1b[2J.nii.gz").touch()),
    "a folder that is a link to itself": _beside(lambda data: (data / "loop").symlink_to(data), "either"),
    "a subject that is a link to the dataset": _beside(lambda data: (data / "sub-99").symlink_to(data), "either"),
    "a link to the root of the system": _beside(lambda data: (data / "code").symlink_to("/"), "either"),
    "60 folders deep": _beside(_deep),
    "3,000 other files": _beside(_many),
    "a pipe": _beside(lambda data: os.mkfifo(data / "sub-01" / "sub-01_notes.json"), "either"),
    "another statistic that is damaged": _beside(_another_stat, "either"),
    "a subject without maps": _beside(lambda data: (data / "sub-77").mkdir()),
    "a subject that is a file": _beside(lambda data: (data / "sub-88").touch()),
    "a map missing": _beside(lambda data: _without(data, "sub-03/*A*"), "refused"),
    "no maps": _beside(lambda data: _without(data, "sub-*/*"), "refused"),
    "effects of interest that are damaged": _beside(
        lambda data: [
            (folder / f"{folder.name}_task-x_contrast-effectsOfInterest_stat-z_statmap.nii.gz").write_bytes(b"no image")
            for folder in data.glob("sub-*")
        ],
        "either",
    ),
}
