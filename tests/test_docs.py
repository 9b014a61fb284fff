"""The pages agree with the code: keys, defaults, options, exit codes, files, links, the architecture."""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pandas as pd
import pytest

import bids_app.errors
from bids_app.cli import self_test
from bids_app.cli.parser import build_parser
from bids_app.console.text import file_label
from bids_app.errors import GroupLevelError
from bids_app.inputs.naming import MEASURES, SourceDataset, read_name
from bids_app.model.read_model import read_model
from bids_app.runtime.options import RunOptions
from bids_app.workflow.prepare import select_from
from bids_app.workflow.settle import lay_out
from builders.models import write_model
from test_architecture import MAY_IMPORT, MODULES, package_of, parse, split_imports

REPOSITORY = Path(__file__).parent.parent
DOCS = REPOSITORY / "docs"
PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(DOCS.glob("*.md")),
    REPOSITORY / "benchmarks" / "README.md",
    REPOSITORY / "fuzz" / "README.md",
]
SCHEMA = json.loads((REPOSITORY / "bids_app" / "model" / "grouplevel.schema.json").read_text(encoding="utf-8"))
STALE = ("relabelling", "parted by", "for want of", "weigh alike", "weighs alike", "hang on", "stands there twice")


def read(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("architecture_script", REPOSITORY / ".ci" / "architecture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ARCHITECTURE = load_script()


def without_code(text: str) -> str:
    """Leave out indented blocks and inline code, in which brackets and parentheses are no links."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^    .*$", "", text, flags=re.MULTILINE))


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """Return the names that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def rows(text: str) -> Iterator[list[str]]:
    """Yield the cells of every row of every table, an escaped bar being part of its cell."""
    for line in text.splitlines():
        if line.startswith("| ") and not line.startswith("| ---"):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


# --- pages and links --------------------------------------------------------------------------------------------------


def test_the_readme_is_short_and_shows_the_report() -> None:
    """At most 120 lines, one picture that exists."""
    text = read("README.md")
    assert len(text.splitlines()) <= 120
    assert re.findall(r"!\[[^]]+\]\(([^)]+)\)", text) == ["docs/images/report.png"]
    assert (DOCS / "images" / "report.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_a_link_leads_to_a_file_and_a_heading_that_exist(page: Path) -> None:
    """Within the repository; an address of the web is not asked for."""
    broken = []
    for link in links(page):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    """A page that nothing leads to is lost."""
    reached, new = {PAGES[0]}, [PAGES[0]]
    while new:
        page = new.pop()
        targets = {(page.parent / link.partition("#")[0]).resolve() for link in links(page) if "://" not in link}
        more = {target for target in targets if target.suffix == ".md" and target not in reached}
        reached |= more
        new += more
    assert {page for page in PAGES if page.resolve() not in reached} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_prose_uses_the_terms_of_the_glossary(page: Path) -> None:
    """What the glossary replaced does not come back, but for itself and what is written by a target."""
    text = re.sub(r"<!-- (\w+): written.*?<!-- end of \1 -->", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    if page.name not in ("glossary.md", "validation.md"):
        assert [words for words in STALE if words in text.lower()] == []


# --- names of maps ----------------------------------------------------------------------------------------------------


def test_the_examples_of_programs_are_read_as_the_page_says() -> None:
    """Condition and statistic of each; every one is a map."""
    text = read("docs/programs.md").split("<!-- examples")[1].split("<!-- end of examples")[0]
    examples = [[cell.strip("`") for cell in row[1:]] for row in rows(text)][1:]
    assert len(examples) >= 12
    for name, condition, stat in examples:
        image = read_name(SourceDataset("d", DOCS, {}), name)
        assert (image.condition, image.stat, image.is_map) == (condition, stat, True)
        assert not image.cut_labels
    named = re.search(r"measures of the signal \((.*?), and\s", read("docs/programs.md"), re.DOTALL)
    assert named is not None
    assert set(re.findall(r"`(\w+)`", named[1])) == MEASURES


# --- the model file ---------------------------------------------------------------------------------------------------


def documented_keys() -> dict[tuple[str, str], str]:
    """Map section and key of the settings' tables to the default that stands beside it.

    A section is the definition in the schema whose keys a table lists: what introduces the table says of which key.
    """
    text = read("docs/model.md").split("## Settings: the block `grouplevel`")[1]
    introduced = {
        "Keys of a factor": "FactorSettings",
        "Keys of `Smoothing`": "SmoothingSettings",
        "Keys of `Parcels`": "ParcelSettings",
        "Keys of a threshold": "ParametricSettings",
        "Keys of `Permutation`": "PermutationSettings",
        "Keys of `TFCE`": "TfceSettings",
        "Keys of `TrueDiscoveries`": "TrueDiscoveriesSettings",
        "Keys of an entry": "ContrastSettings",
        "Keys of `Within` and `Between`": "WeightSettings",
        "Keys of `Report`": "ReportSettings",
    }
    found, section = {}, ""
    for line in text.splitlines():
        if line.startswith("#"):
            section = ""
        section = next((name for words, name in introduced.items() if line.startswith(words)), section)
        for key, default, *_ in rows(line):
            if key != "key":
                found[section, key.strip("`")] = default
    return found


def schema_keys() -> dict[tuple[str, str], Any]:
    """Map section and key of the schema to the default; None stands for null, and for no default a missing one."""
    sections = {"": SCHEMA} | SCHEMA["$defs"]
    return {
        (name, key): about.get("default", "required")
        for name, section in sections.items()
        for key, about in section["properties"].items()
    }


def test_every_key_of_the_settings_is_documented_and_no_other() -> None:
    assert set(documented_keys()) == set(schema_keys())


def test_the_documented_defaults_are_those_of_the_schema() -> None:
    """Where a default is a whole table of its own, the page refers to it in words."""
    in_words = {("", "Parametric"), ("", "Permutation"), ("", "TrueDiscoveries"), ("", "Report")}
    wrong = {}
    for key, default in schema_keys().items():
        words = documented_keys()[key]
        written = words if words == "required" else json.loads(words.strip("`")) if key not in in_words else default
        if written != default:
            wrong[key] = (written, default)
    assert wrong == {}
    levels = {entry["Correction"]: (entry["Alpha"], entry["Extent"]) for entry in schema_keys()["", "Parametric"]}
    assert levels == {"bonferroni": (0.05, 0), "fdr": (0.05, 0), "uncorrected": (0.001, 20)}
    assert documented_keys()["", "Parametric"] == "Bonferroni 0.05; FDR 0.05; uncorrected 0.001 with extent 20"


def test_the_complete_example_is_a_model(tmp_path: Path) -> None:
    """It is read without a complaint, and gives the effects that the page names."""
    blocks = re.findall(r"(?:^    .*\n)+", read("docs/model.md"), re.MULTILINE)
    (example,) = (block for block in blocks if '"BIDSModelVersion"' in block)
    (tmp_path / "model.json").write_text(example, encoding="utf-8")
    model = read_model(tmp_path / "model.json")
    assert model.notes == ()
    assert [factor.name for factor in model.nodes[0].settings.factors] == ["fame", "time"]
    assert [contrast.name for contrast in model.nodes[0].contrasts] == ["FamousUnfamiliar"]


# Example -> models that it becomes, with the columns between subjects and the contrasts of the conditions named there
EXAMPLES = {
    "groups": {
        "groups": ("group.control group.patient", "PatientsMinusControlsInFaces PatientsMinusControlsInHouses"),
    },
    "sessions": {"training": ("intercept", "FacesPostMinusPre cond ses cond:ses")},
    "parts": {"task.post": ("intercept", "faces houses"), "task.pre": ("intercept", "faces houses")},
    "slopes": {
        "slopes": (
            "group.control group.patient group.control:age group.patient:age",
            "SlopeOfPatientsInFaces SlopeOfPatientsInHouses group:ageInFaces group:ageInHouses",
        )
    },
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_example_of_a_node_gives_the_models_that_the_page_says(
    name: str, make_derivative: Callable[..., Path], tmp_path: Path
) -> None:
    """With the maps of a small study, which has sessions where the example is of sessions; no example is untested."""
    text = read("docs/model.md")
    assert re.findall(r"<!-- example: (\w+) -->", text) == list(EXAMPLES)
    block = re.search(rf"<!-- example: {name} -->\n\n((?:    .*\n)+)", text)
    assert block is not None
    root = make_derivative(("faces", "houses"))
    people = [f"sub-{i + 1:02d}\t{('control', 'patient')[i % 2]}\t{20 + i * i}" for i in range(6)]
    (root / "participants.tsv").write_text("\n".join(["participant_id\tgroup\tage", *people]) + "\n")
    for path in sorted(root.glob("*/*.nii.gz")) if name in ("sessions", "parts") else ():
        for session in ("pre", "post"):
            shutil.copy(path, path.with_name(path.name.replace("_task", f"_ses-{session}_task")))
        path.unlink()
    model = write_model(tmp_path / "model.json", json.loads(block[1]))
    options = RunOptions(root, tmp_path / "out", model)
    specs = read_model(model)
    _, laid = lay_out(specs, specs.nodes, select_from(options), options)
    found = {
        node.name: (" ".join(design.between_names), " ".join(contrast.name for contrast in design.contrasts))
        for node, _, design in laid
    }
    assert found == EXAMPLES[name]
    parts = [f"`node-{file_label(node)}`" for node in found if node != json.loads(block[1])["Name"]]
    assert [folder for folder in parts if folder not in text] == []


def test_short_examples_are_settings() -> None:
    """Each `"Key": value` of the pages that is a setting has a value that the schema allows."""
    checked = 0
    for name in ("docs/model.md", "docs/input.md", "docs/statistics.md"):
        for inline in re.findall(r"`(\"[A-Z]\w+\": [^`]+)`", read(name)):
            setting = json.loads("{" + inline + "}")
            for section in (SCHEMA, SCHEMA["$defs"]["PermutationSettings"]):
                if setting.keys() <= section["properties"].keys():
                    jsonschema.validate(setting, {**SCHEMA, **section, "required": []})
                    checked += 1
    assert checked > 10


# --- command line and exit codes --------------------------------------------------------------------------------------


def test_every_option_is_documented_and_no_other() -> None:
    """Those of the parser, in all their spellings but the underscores."""
    parser: argparse.ArgumentParser = build_parser()
    options = {option for action in parser._actions for option in action.option_strings}
    table = [cells[0] for cells in rows(read("docs/command-line.md"))]
    documented = {option for cell in table for option in re.findall(r"(?<![\w-])--?[a-z][\w-]*", cell)}
    assert documented == options


def test_every_exit_code_is_documented_and_no_other() -> None:
    """Those of the error classes, success, and what a signal leaves."""
    table = read("docs/outputs.md").split("## Exit codes")[1]
    documented = {int(code) for code, _ in rows(table) if code.isdecimal()}
    classes = [each for each in vars(bids_app.errors).values() if isinstance(each, type)]
    codes = {each.exit_code for each in classes if issubclass(each, GroupLevelError)}
    assert documented == codes | {0, 130, 143}


# --- outputs ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a study of random maps with factors, groups, multivariate and Welch's tests."""
    folder = tmp_path_factory.mktemp("documented")
    assert self_test.try_out(folder) == 0
    return folder / "output"


def named(page: str) -> set[str]:
    """Return every word that stands in code on a page, of names with several parts each part too."""
    code = " ".join(re.findall(r"`([^`\n]+)`", page) + re.findall(r"^    .*$", page, re.MULTILINE))
    return {*re.findall(r"\w+", code), *re.findall(r"[0-9A-Za-z]+", code)}


@pytest.mark.slow
def test_every_file_of_a_run_is_documented(results: Path) -> None:
    """Its kind (stat, desc, suffix) and, at the top and in the logs, its name."""
    known, unknown = named(read("docs/outputs.md")), set()
    for path in results.rglob("*"):
        place = path.relative_to(results).parts
        if path.is_dir() or "figures" in place or path.name.startswith(".written") or path.suffix == ".json":
            continue
        if place[0] == "group":
            suffix = path.name.split(".")[0].split("_")[-1]
            words = [*re.findall(r"_(?:stat|desc)-([0-9a-zA-Z]+)", path.name), suffix]
            words = [word for word in words if word not in ("groupX", "groupY")]  # labels of groups
        else:
            words = [path.name.split(".")[0] or path.name.removeprefix(".")]
        unknown |= {word for word in words if word.removesuffix("Thresh").removesuffix("95") not in known}
    assert unknown == set()


@pytest.mark.slow
def test_every_column_and_every_key_of_a_sidecar_is_documented(results: Path) -> None:
    """But for the columns of the design matrix, which are the model's own."""
    known, columns, keys = named(read("docs/outputs.md")), set[str](), set[str]()
    for table in results.glob("group/*/*.tsv*"):
        own = set(pd.read_csv(table, sep="\t").columns)
        if not table.name.endswith("design.tsv"):
            columns |= {column for column in own if not column.startswith("p_")}
        sidecar = json.loads(table.with_name(table.name.split(".")[0] + ".json").read_text(encoding="utf-8"))
        keys |= set(sidecar) - own
    for image in results.glob("group/*/*.nii.gz"):
        keys |= set(json.loads(image.with_name(image.name.split(".")[0] + ".json").read_text(encoding="utf-8")))
    assert len(columns) > 30
    assert len(keys) > 30
    assert (columns | keys) - known == set()


# --- architecture -----------------------------------------------------------------------------------------------------


def test_the_figure_and_the_lists_are_what_their_target_would_write() -> None:
    """`make architecture` changes nothing."""
    figure = ARCHITECTURE.FIGURE.read_text(encoding="utf-8")
    assert figure == ARCHITECTURE.figure(ARCHITECTURE.package_edges()), "run `make architecture`"
    page = ARCHITECTURE.PAGE.read_text(encoding="utf-8")
    assert page == ARCHITECTURE.page(page), "run `make architecture`"


def test_the_figure_has_the_imports_that_the_rules_are_held_against() -> None:
    """Found by another reading of the same files; a dot or an arrow for each."""
    edges = set()
    for module, path in MODULES.items():
        own = package_of(module)
        for other in map(package_of, split_imports(parse(path), module)[0]):
            if own != other and own in ARCHITECTURE.FLOW:
                edges.add((other, own))
    assert ARCHITECTURE.package_edges() == edges
    assert ARCHITECTURE.figure(edges).count("<circle") == len(edges)


def test_the_order_of_the_figure_is_that_of_the_rules() -> None:
    ranks = [name for name in MAY_IMPORT if not name.startswith("__")]
    assert sorted(ranks) == sorted(ARCHITECTURE.FLOW)
    assert not ARCHITECTURE.against_flow(
        (earlier, package) for package, row in MAY_IMPORT.items() for earlier in row.inside if package in ranks
    )


def test_every_module_is_listed_once_and_nothing_else() -> None:
    """With a word on what it is for; a package is its own module."""
    text = read("docs/architecture.md").split("<!-- packages")[1]
    listed = [
        re.search(r"\(\.\./(.*?)\)", cells[0]) for cells in rows(text.split("<!-- end")[0]) if cells[0] != "module"
    ]
    paths = sorted(found.group(1) for found in listed if found)
    expected = {f"bids_app/{path.relative_to(REPOSITORY / 'bids_app').as_posix()}" for path in MODULES.values()}
    folders = {f"bids_app/{name}/__init__.py" for name in ARCHITECTURE.FLOW}
    assert paths == sorted(expected - folders)
    for name in ARCHITECTURE.FLOW:
        assert f"bids_app/{name}.py" in paths or f"### `{name}`" in text
    assert all(len(cells[1]) > 10 for cells in rows(text) if cells[0].startswith("["))


def test_an_arrow_that_follows_from_others_is_not_drawn_and_one_against_the_flow_is_found() -> None:
    edges = {("model", "inputs"), ("inputs", "design"), ("model", "design"), ("errors", "model")}
    assert ARCHITECTURE.shown_arrows(edges) == {("model", "inputs"), ("inputs", "design")}
    assert ARCHITECTURE.against_flow(edges) == set()
    wrong = ("statistics", "design")
    assert ARCHITECTURE.against_flow({*edges, wrong}) == {wrong}
    assert ARCHITECTURE.figure({*edges, wrong}).count('marker-end="url(#against)"') == 1
    assert ARCHITECTURE.figure(edges).count('marker-end="url(#along)"') == 2


def test_an_answer_is_looked_up_where_it_is_defined_and_refused_where_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "from x import borrowed\nSIZE: int = 3\nplain = 2\n\ndef act() -> None:\n    inner = 1\n\nclass It: ...\n"
    )
    assert [name for name in ("SIZE", "plain", "act", "It") if not ARCHITECTURE.defines(module, name)] == []
    assert [name for name in ("borrowed", "inner", "SI", "int") if ARCHITECTURE.defines(module, name)] == []
    assert [path.name for path in ARCHITECTURE.find_homes("errors", "GroupLevelError")] == ["errors.py"]
    monkeypatch.setattr(ARCHITECTURE, "QUESTIONS", (("Where?", "errors:gone errors:DataError model:also_gone"),))
    with pytest.raises(SystemExit, match=r"one module: errors:gone \(0 modules\), model:also_gone \(0 modules\)$"):
        list(ARCHITECTURE.question_list())
    with pytest.raises(SystemExit, match="expected the marks"):
        ARCHITECTURE.page("no marks here")
