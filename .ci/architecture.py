"""Draw the architecture from the imports: ``make architecture`` writes docs/images/architecture.svg and two lists.

The lists stand between marks in docs/architecture.md: every package with its modules, in the words of their own
docstrings, and the questions of a newcomer, whose answers are looked up where the names are defined. Nothing here is
written twice; what moves is found again, and what is gone is an error that names it.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from xml.sax.saxutils import escape

REPOSITORY = Path(__file__).parent.parent
SOURCE = REPOSITORY / "bids_app"
PAGE = REPOSITORY / "docs" / "architecture.md"
FIGURE = REPOSITORY / "docs" / "images" / "architecture.svg"

Edge = tuple[str, str]  # what is imported, and the package that imports it

# The order of the flow; the same as that of the rules in tests/test_architecture.py
FLOW = (
    *("errors", "arrays", "runtime", "console", "model", "spaces", "inputs", "drafting", "design", "statistics"),
    *("permutation", "inference", "results", "report", "workflow", "demo", "cli"),
)
BASE = FLOW[:4]  # used everywhere, so that their arrows would say nothing
# Column and row of a box; what flows goes to the right in the first row and to the left in the last
PLACES = {
    **{"spaces": (1, 0), "model": (0, 1), "inputs": (1, 1), "design": (2, 1), "statistics": (3, 1)},
    **{"permutation": (4, 1), "drafting": (0, 2), "demo": (2, 2), "cli": (0, 3), "workflow": (1, 3)},
    **{"report": (2, 3), "results": (3, 3), "inference": (4, 3)},
}

# Question, and the names that answer it: package:name, or a path of the repository. A name is looked up in the package.
QUESTIONS = (
    ("Where are the defaults of the model file?", "model:GroupLevelSettings"),
    ("Which file names does a first-level program use?", "bids_app/inputs/entities.json inputs:read_name"),
    ("Where is GIFTI read?", "spaces:read_surface_map inputs:pair_by_name"),
    ("Where would another kind of map be read?", "spaces:Frame spaces:read_map spaces:Piece inputs:kind_of"),
    ("Where is the message about missing maps?", "inputs:incomplete_message"),
    ("Where is the order of the maps fixed?", "inputs:find_maps"),
    ("How is a factor coded?", "model:factor_cells design:contrasts_of_effect design:build_between"),
    ("Where are t, F and their degrees of freedom?", "statistics:fit_contrast"),
    ("Where are sign-flips drawn?", "permutation:sign_flips"),
    ("Where is Freedman-Lane?", "permutation:shuffled_scores"),
    ("Where are the checkpoints written?", "permutation:Checkpoint"),
    ("Where are the exponents of TFCE?", "spaces:DEFAULT_EXPONENTS"),
    ("Where is the p of a cluster computed?", "inference:ranked inference:rank_p"),
    ("Where does a new correction go?", "model:Correction inference:METHODS"),
    ("Where does a new atlas go?", "model:AtlasName spaces:ATLASES"),
    ("Where is a sidecar key named?", "results:about_contrast results:about_method"),
    ("Where are the page's sentences on sphericity?", "report:on_parametric report:_error_words"),
    ("Where is the colour scale?", "report:BOTH_SIGNS"),
    ("Where is an error class defined, and its exit code set?", "bids_app/errors.py"),
    ("Where is the memory limit read?", "runtime:usable_memory_mb"),
    ("Where are the caches of a container filled?", "cli:fill_caches runtime:unpack"),
    ("Where are false positives simulated?", "validation/simulate.py validation/cells.py"),
)  # fmt: skip


def main() -> int:
    """Write the figure and the lists; return the exit code."""
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    FIGURE.write_text(figure(package_edges()), encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


def modules() -> dict[str, Path]:
    """Return every module, by its dotted name without ``bids_app``; a package is named like its folder."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def package_edges() -> set[Edge]:
    """Return which package imports which, lazy imports and those for the type checker included."""
    known = modules()
    edges = set()
    for module, path in known.items():
        own = module.split(".")[0]
        for name in _imported(ast.parse(path.read_text(encoding="utf-8"))):
            other = name.split(".")[1] if name.startswith("bids_app.") else own
            if own in FLOW and other in FLOW and other != own:
                edges.add((other, own))
    if strangers := {module.split(".")[0] for module in known} - {*FLOW, "", "__main__"}:
        raise SystemExit(f"{__file__}: no place in FLOW for {', '.join(sorted(strangers))}")
    return edges


def _imported(tree: ast.AST) -> Iterator[str]:
    """Yield the full names of what a module imports; within the package imports are absolute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def against_flow(edges: Iterable[Edge]) -> set[Edge]:
    """Return the imports from packages that come later."""
    return {(imported, importer) for imported, importer in edges if FLOW.index(imported) > FLOW.index(importer)}


def shown_arrows(edges: set[Edge]) -> set[Edge]:
    """Return the imports along the flow that do not follow from others by way of a third package."""
    forward = {edge for edge in edges - against_flow(edges) if edge[0] not in BASE}
    return {edge for edge in forward if not _follows(edge, forward - {edge})}


def _follows(edge: Edge, others: set[Edge]) -> bool:
    """Whether the importer is reached from the imported by other imports."""
    reached, new = {edge[0]}, {edge[0]}
    while new:
        new = {importer for imported, importer in others if imported in new} - reached
        reached |= new
    return edge[1] in reached


WIDTH, BOX, STEP, TOP = 860, (124, 36), (170, 74), 58
CELL, MATRIX_TOP, MATRIX_LEFT = 22, 470, 150
INK, LINE, FILL, WRONG = "#1f2933", "#5b7083", "#e8f0f7", "#c0392b"


def figure(edges: set[Edge]) -> str:
    """Return the figure as SVG: the flow of packages, and below it who imports whom."""
    height = MATRIX_TOP + CELL * len(FLOW) + 30
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        f' font-family="sans-serif" font-size="14" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<defs>{_arrow_head("along", LINE)}{_arrow_head("against", WRONG)}</defs>',
        _text(20, 30, "The flow of packages: an arrow leads from a package to one that imports it", bold=True),
        *(_arrow(edge, LINE, "along") for edge in sorted(shown_arrows(edges))),
        *(_arrow(edge, WRONG, "against") for edge in sorted(against_flow(edges)) if not {*edge} & {*BASE}),
        *(_box(name, *_corner(name), BOX[0]) for name in PLACES),
        *_base_boxes(),
        *_matrix(edges),
        "</svg>",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _arrow_head(name: str, colour: str) -> str:
    return (
        f'<marker id="{name}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L10 5L0 10z" fill="{colour}"/></marker>'
    )


def _corner(name: str) -> tuple[int, int]:
    """Return the upper left corner of a box."""
    column, row = PLACES[name]
    return 20 + column * STEP[0], TOP + row * STEP[1]


def _box(name: str, x: int, y: int, width: int) -> str:
    return f'<rect x="{x}" y="{y}" width="{width}" height="{BOX[1]}" rx="6" fill="{FILL}" stroke="{LINE}"/>' + _text(
        x + width // 2, y + 23, name, anchor="middle"
    )


def _base_boxes() -> Iterator[str]:
    """Yield the packages that all others may use."""
    y = TOP + 4 * STEP[1]
    yield _text(20, y + 23, "used by all:")
    for number, name in enumerate(BASE):
        yield _box(name, 20 + STEP[0] * (number + 1), y, BOX[0])


def _arrow(edge: Edge, colour: str, kind: str) -> str:
    """Return a line from the border of one box to that of another."""
    (x0, y0), (x1, y1) = (
        (x + BOX[0] / 2, y + BOX[1] / 2) for x, y in (_corner(edge[0]), _corner(edge[1]))
    )  # fmt: skip
    dx, dy = x1 - x0, y1 - y0
    share = min(BOX[0] / 2 / abs(dx) if dx else 1, BOX[1] / 2 / abs(dy) if dy else 1)
    dash = ' stroke-dasharray="5 4"' if kind == "against" else ""
    return (
        f'<line x1="{x0 + share * dx:.1f}" y1="{y0 + share * dy:.1f}" x2="{x1 - share * dx:.1f}"'
        f' y2="{y1 - share * dy:.1f}" stroke="{colour}" stroke-width="1.6"{dash} marker-end="url(#{kind})"/>'
    )


def _matrix(edges: set[Edge]) -> Iterator[str]:
    """Yield a table of dots: a row for each package, a column for each that it may import."""
    yield _text(20, MATRIX_TOP - 22, "All imports: the package of a row imports those with a dot", bold=True)
    wrong = against_flow(edges)
    for number, name in enumerate(FLOW):
        y = MATRIX_TOP + number * CELL
        yield _text(MATRIX_LEFT - 10, y + 16, name, anchor="end")
        yield f'<rect x="{MATRIX_LEFT}" y="{y}" width="{CELL * (number + 1)}" height="{CELL}" fill="{FILL}"/>'
        yield _text(MATRIX_LEFT + CELL * (number + 1) + 8, y + 16, name, grey=True)
        for column, other in enumerate(FLOW):
            if (other, name) in edges:
                colour = WRONG if (other, name) in wrong else LINE
                x = MATRIX_LEFT + column * CELL + CELL / 2
                yield f'<circle cx="{x:g}" cy="{y + CELL / 2:g}" r="5" fill="{colour}"/>'


def _text(x: int, y: int, words: str, *, anchor: str = "start", bold: bool = False, grey: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    colour = f' fill="{LINE}"' if grey else ""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}"{weight}{colour}>{escape(words)}</text>'


def page(text: str) -> str:
    """Return the page with its lists made anew; the rest stays."""
    for mark, lines in (("packages", package_list()), ("questions", question_list())):
        begin, end = f"<!-- {mark}: written by make architecture -->", f"<!-- end of {mark} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise SystemExit(f"{PAGE}: expected the marks {begin} and {end} once each")
        before, rest = text.split(begin)
        text = before + "\n".join([begin, "", *lines, "", end]) + rest.split(end)[1]
    return text


def package_list() -> Iterator[str]:
    """Yield a section for each package: its question, its modules and theirs, its other files."""
    known = modules()
    yield "### At the top"
    yield ""
    yield from _rows({name: path for name, path in known.items() if "." not in name and path.parent == SOURCE})
    for package in (name for name in FLOW if (SOURCE / name).is_dir()):
        yield ""
        yield f"### `{package}`"
        yield ""
        yield _first_words(known[package])
        yield ""
        yield from _rows({name: path for name, path in known.items() if name.startswith(f"{package}.")})
        if others := sorted(_other_files(SOURCE / package)):
            yield ""
            yield f"Other files: {', '.join(_link(path) for path in others)}."


def _rows(of_package: Mapping[str, Path]) -> Iterator[str]:
    yield "| module | what it is for |"
    yield "| --- | --- |"
    for path in of_package.values():
        yield f"| {_link(path)} | {_first_words(path)} |"


def _other_files(folder: Path) -> list[Path]:
    there = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".py")
    return [path for path in there if "__pycache__" not in path.parts]


def _link(path: Path) -> str:
    """Return a link from the page, named by the place within the package."""
    relative = path.relative_to(REPOSITORY).as_posix()
    return f"[{relative.removeprefix('bids_app/')}](../{relative})"


def _first_words(path: Path) -> str:
    """Return the first paragraph of a module's docstring, on one line of a table."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    words = " ".join(docstring.split("\n\n")[0].split()).removesuffix("::")
    return words.replace("``", "`").replace("|", "\\|")


def question_list() -> Iterator[str]:
    """Yield the questions with links to where the answers are defined."""
    wanted = {tuple(each.split(":")) for _, answers in QUESTIONS for each in answers.split() if ":" in each}
    homes = {(package, name): find_homes(package, name) for package, name in sorted(wanted)}
    if lost := [f"{':'.join(key)} ({len(paths)} modules)" for key, paths in homes.items() if len(paths) != 1]:
        raise SystemExit(f"{__file__}: names of QUESTIONS, each expected in one module: {', '.join(lost)}")
    yield "| question | answer |"
    yield "| --- | --- |"
    for question, answers in QUESTIONS:
        names: dict[Path, list[str]] = {}
        for answer in answers.split():
            package, _, name = answer.partition(":")
            path = homes[package, name][0] if name else REPOSITORY / answer
            names.setdefault(path, []).extend([f"`{name}`"] if name else [])
        cells = (
            f"{', '.join(of_path)} in {_link(path)}" if of_path else _link(path) for path, of_path in names.items()
        )
        yield f"| {question} | {'; '.join(cells)} |"


def find_homes(package: str, name: str) -> list[Path]:
    """Return the modules of a package that define a name."""
    return [path for module, path in modules().items() if module.split(".")[0] == package and defines(path, name)]


def defines(path: Path, name: str) -> bool:
    """Whether a module defines a function, class or constant at its top."""
    text = path.read_text(encoding="utf-8")
    return bool(re.search(rf"^(?:(?:async )?def|class) {name}\b|^{name}\b *(?::[^\n=]*)?= ", text, re.MULTILINE))


if __name__ == "__main__":
    sys.exit(main())
