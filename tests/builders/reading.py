"""What a model asks for, of maps that are known: an independent reading, with numpy's least squares.

It is written from the BIDS Stats Models specification, from what FitLins does where that is silent, and from
docs/model.md. It shares no code with the app and reads no file: maps come as a dictionary by what they are.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from builders.trees import Map, Maps, least_squares

ENTITIES = ("subject", "session", "run", "node", "task", "desc", "stat", "space")
Columns = Mapping[str, Mapping[str, str | None]]  # column of participants.tsv -> subject -> cell


class Refused(Exception):
    """The app must refuse; the argument is the name of the class of the error."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One contrast as it should be tested."""

    statistic: np.ndarray
    df: float
    subjects: tuple[str, ...]
    is_average: bool
    """Whether a map of some subject is the mean of several, which must be said."""


@dataclass(slots=True)
class Reading:
    """All that is asked for."""

    of: dict[tuple[str, str], Wanted] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    """Words that a warning must hold."""


def read(document: Mapping[str, Any], maps: Maps, table: Columns | None = None) -> Reading:
    """Return what every Dataset node should test.

    Raises
    ------
    Refused
        With the class of the error.
    """
    reading = Reading()
    for node in document["Nodes"]:
        if node["Level"].lower() == "dataset":
            _Node(document, node, maps, table or {}, reading).read()
    return reading


def fold(name: str) -> str:
    """Return a name without case and punctuation, as names of contrasts become labels of files; wildcards stay."""
    return "".join(
        letter for letter in name.removeprefix("trial_type.") if letter.isalnum() or letter in "*?"
    ).casefold()


def sources(document: Mapping[str, Any], name: str) -> list[tuple[str, dict[str, list[str]]]]:
    """Return the nodes that lead to a node, each with the edge's filter; without Edges the one before it."""
    if document.get("Edges"):
        return [
            (edge["Source"], {entity: _list(labels) for entity, labels in (edge.get("Filter") or {}).items()})
            for edge in document["Edges"]
            if edge["Destination"] == name
        ]
    names = [node["Name"] for node in document["Nodes"]]
    levels = {node["Name"]: node["Level"].lower() for node in document["Nodes"]}
    before = [other for other in names[: names.index(name)] if levels[other] != "dataset"]
    return [(before[-1], {})] if before else []


def handed_over(document: Mapping[str, Any], name: str) -> set[str] | None:
    """Return the folded names of the contrasts of a node that is not run; None where it passes on whatever comes."""
    (node,) = (each for each in document["Nodes"] if each["Name"] == name)
    contrasts = {fold(each["Name"]) for each in node.get("Contrasts") or []}
    dummies = node.get("DummyContrasts")
    if not dummies:
        return contrasts or None
    x = [fold(each) for each in node["Model"].get("X") or [] if each not in (1, "1", "intercept")]
    chosen = [fold(each) for each in dummies.get("Contrasts") or [] if each not in (1, "1", "intercept")]
    if x or chosen or node["Level"].lower() == "run":
        return contrasts | {*(chosen or x)} or None
    for source, chosen_by_edge in sources(document, name):
        filtered = chosen_by_edge.get("contrast")
        below = {fold(each) for each in filtered} if filtered else handed_over(document, source)
        if below is None:
            return None
        contrasts |= below
    return contrasts or None


def _list(labels: object) -> list[str]:
    values = labels if isinstance(labels, list) else [labels]
    return [str(value) for value in values if value not in (None, "")]


def _has(key: Map, entity: str, labels: Sequence[str]) -> bool:
    if entity in ("contrast", "condition"):
        return fold(key.condition) in {fold(label) for label in labels}
    own = getattr(key, entity, "")  # no map that these tests write has another entity
    if entity == "node":
        return fold(own) in {fold(label) for label in labels}
    if entity == "run" and own:
        return int(own) in {int(label) for label in labels if label.isdecimal()}
    return own in labels


class _Node:
    """One Dataset node, from its maps to its tests."""

    def __init__(
        self, document: Mapping[str, Any], node: Mapping[str, Any], maps: Maps, table: Columns, reading: Reading
    ) -> None:
        self.document, self.node, self.maps, self.reading = document, node, maps, reading
        self.table: dict[str, dict[str, str | None]] = {name: dict(cells) for name, cells in table.items()}
        self.block = ((node["Model"].get("Software") or {}).get("grouplevel")) or {}
        self.group_by = list(node["GroupBy"])
        self.per_condition = "contrast" in self.group_by
        self.x = list(node["Model"]["X"])

    def read(self) -> None:
        self.check_names()
        in_design = {str(name).partition(".")[0] for name in self.x}
        in_design |= {*self.block.get("Between", []), *self.block.get("Covariates", [])}
        if in_design & {*self.group_by} - {"contrast"}:
            raise Refused("ModelError")  # with a model for each of its labels, a column does not vary
        keys = self.offered()
        parts: list[tuple[str, list[Map]]] = [(self.node["Name"], keys)]
        for name in [each for each in self.group_by if each != "contrast"]:
            of = self.labels(name, keys)
            parts = [
                (f"{part}.{label}" if label else part, [key for key in own if of(key) == label])
                for part, own in parts
                for label in sorted({of(key) or "" for key in keys if of(key) is not None})
            ]
        for part, own in parts:
            if own:
                self.read_part(part, own)

    def check_names(self) -> None:
        """Refuse what the file alone shows: names in contrasts that X lacks, where X names the conditions."""
        names = {str(each) for each in self.x if each not in (1, "subject")}
        columns = {"1", "intercept", *(self.block.get("Between") or []), *(self.block.get("Covariates") or [])}
        heads = tuple(f"{name}." for name in names | columns)
        if self.per_condition:
            return
        if not names:
            raise Refused("ModelError")
        for each in self.node.get("Contrasts") or []:
            listed = [str(name) for name in each["ConditionList"]]
            if not all(name in names for name in listed) and not all(
                name in names | columns or name.startswith(heads) for name in listed
            ):
                raise Refused("ModelError")

    def labels(self, name: str, keys: Sequence[Map]) -> Callable[[Map], str | None]:
        """Return which part a map belongs to, by an entity or a column; "" where no map has the entity."""
        if name in ENTITIES:
            found = {getattr(key, name) for key in keys}
            if "" in found and len(found) > 1:
                raise Refused("DataError")
            return lambda key: str(getattr(key, name))
        if name not in self.table:
            raise Refused("ModelError")
        self.check_rows({key.subject for key in keys})
        if all(self.table[name].get(key.subject) is None for key in keys):
            raise Refused("DataError")
        return lambda key: self.table[name].get(key.subject)

    def check_rows(self, subjects: Iterable[str]) -> None:
        if any(subject not in cells for cells in self.table.values() for subject in subjects):
            raise Refused("DataError")

    def offered(self) -> list[Map]:
        """Return the maps that come in."""
        keys = list(self.maps)
        for entity, labels in (self.document.get("Input") or {}).items():
            wanted, named = _list(labels), any(getattr(key, entity, "") for key in self.maps)
            passes_unnamed = entity == "run" or not named
            if wanted:
                keys = self.left(
                    [
                        key
                        for key in keys
                        if _has(key, entity, wanted) or (passes_unnamed and not getattr(key, entity, ""))
                    ]
                )
        select = {"stat": ["effect"]} | (self.block.get("Select") or {})
        for entity, labels in select.items():
            keys = self.left([key for key in keys if _has(key, entity, labels)])
        incoming = sources(self.document, self.node["Name"])
        if incoming:
            ways = [self.along(source, chosen, keys, {*select} - {"stat"}) for source, chosen in incoming]
            keys = [key for key in keys if any(key in way for way in ways)]
        chosen = [each for each in self.dummy_names() if self.per_condition and each not in self.known_columns()]
        if chosen:
            if any(not any(fold(key.condition) == fold(each) for key in keys) for each in chosen):
                raise Refused("ModelError")
            keys = [key for key in keys if fold(key.condition) in {fold(each) for each in chosen}]
        return self.as_conditions(keys)

    def left(self, keys: list[Map]) -> list[Map]:
        if not keys:
            raise Refused("NothingMatchedError")
        return keys

    def along(self, source: str, chosen: Mapping[str, list[str]], keys: list[Map], asked: set[str]) -> list[Map]:
        """Return what comes along one edge: the maps of its node, of its level, that its filter lets through."""
        (node,) = (each for each in self.document["Nodes"] if each["Name"] == source)
        level = node["Level"].lower()
        if any(key.node for key in keys) and "node" not in asked:
            keys = self.left([key for key in keys if fold(key.node) == fold(source)])
        names = handed_over(self.document, source)
        own_choice = asked & {"contrast", "condition"} or "contrast" in chosen or not self.per_condition
        if names is not None and not own_choice and not [each for each in self.dummy_names() if each not in self.x]:
            kept = self.left([key for key in keys if any(fnmatchcase(fold(key.condition), name) for name in names)])
            if len(kept) < len(keys):
                self.reading.said.append("does not hand over are not used")
            keys = kept
        before = {key.subject for key in keys}
        for entity, labels in chosen.items():
            keys = self.left([key for key in keys if _has(key, entity, labels)])
        if before > {key.subject for key in keys}:
            self.reading.said.append("excludes sub-")
        for entity in ("run", "session"):
            if entity in asked:
                continue
            labelled = level == "run" or (level == "session" and entity == "session")
            cells: dict[tuple[str, str], set[bool]] = {}
            for key in keys:
                cells.setdefault((key.subject, key.condition), set()).add(bool(getattr(key, entity)))
            keys = [
                key
                for key in keys
                if len(cells[key.subject, key.condition]) == 1 or bool(getattr(key, entity)) == labelled
            ]
        return keys

    def as_conditions(self, keys: list[Map]) -> list[Map]:
        """Return the maps where sessions are conditions of their own: what is under its key is not changed."""
        if self.block.get("Sessions") != "condition":
            return keys
        if any(not key.session for key in keys):
            raise Refused("NothingMatchedError")
        return keys

    def condition_of(self, key: Map) -> str:
        return f"{key.condition}.{key.session}" if self.block.get("Sessions") == "condition" else key.condition

    def known_columns(self) -> set[str]:
        levels = {f"{name}.{cell}" for name, cells in self.table.items() for cell in cells.values()}
        return {*self.table, *levels, *self.x}

    def dummy_names(self) -> list[str]:
        listed = (self.node.get("DummyContrasts") or {}).get("Contrasts") or []
        return [str(each) for each in listed if each not in (1, "1", "intercept")]

    # What follows is of one part

    def read_part(self, part: str, keys: list[Map]) -> None:
        subjects, whole = sorted({key.subject for key in keys}), self.table
        self.table = {name: dict(cells) for name, cells in whole.items()}  # Transformations change it for this part
        self.test_part(part, keys, subjects)
        self.table = whole

    def test_part(self, part: str, keys: list[Map], subjects: list[str]) -> None:
        kept, derived = self.transformed(subjects)
        keys, subjects = [key for key in keys if key.subject in kept], kept
        present = list(dict.fromkeys(self.condition_of(key) for key in sorted(keys)))
        conditions, columns = self.names_in_x(present)
        if len(subjects) < 2:
            raise Refused("DataError")
        cells = {
            (subject, condition): [k for k in keys if k.subject == subject and self.condition_of(k) == condition]
            for subject in subjects
            for condition in conditions
        }
        between = Between(self, columns, derived, subjects)
        self.check_cells(cells)
        between.build(subjects)
        for name, test, weights, of_columns in self.tests(conditions, columns, between):
            self.add(part, name, test, weights, of_columns, conditions, cells, between)

    def check_cells(self, cells: Mapping[tuple[str, str], list[Map]]) -> None:
        """Refuse what is missing, several maps of a cell that are no runs, and subjects of different kinds."""
        if any(not own for own in cells.values()) and self.block.get("Missing", "error") == "error":
            raise Refused("DataError")
        averaged = {"run"} | ({"session"} if self.block.get("Sessions") == "average" else set())
        ignored = {"subject", "condition"} | averaged
        kinds: dict[str, set[tuple[str, ...]]] = {}
        for (_, condition), own in cells.items():
            for key in own:
                kind = tuple(getattr(key, e) for e in (*ENTITIES, "condition") if e not in ignored)
                kinds.setdefault(condition, set()).add(kind)
            if len(own) > 1 and any(len({bool(getattr(key, e)) for key in own}) > 1 for e in averaged):
                raise Refused("DataError")
        if any(len(each) > 1 for each in kinds.values()):
            raise Refused("DataError")
        if len({key.space for own in cells.values() for key in own}) > 1:
            raise Refused("DataError")

    def names_in_x(self, present: Sequence[str]) -> tuple[list[str], list[str]]:
        names = [str(each) for each in self.x if each not in (1, "subject")]
        if self.per_condition:
            columns = [each for each in names if each not in ("1", "intercept")]
            if self.node["Model"].get("Formula") is None and any(not self.is_column(each) for each in columns):
                raise Refused("ModelError")
            return sorted(present), columns
        conditions, columns = [], []
        for each in names:
            exact = [label for label in present if label == each]
            meant = exact or [label for label in present if fold(label) == fold(each)]
            if not exact and self.is_column(each):
                columns.append(each)
            elif len(meant) == 1:
                conditions.append(meant[0])
            else:
                raise Refused("ModelError")
        if not conditions:
            raise Refused("ModelError")
        return conditions, columns

    def is_column(self, name: str) -> bool:
        column, _, level = name.partition(".")
        return name in self.table or (column in self.table and level in self.table[column].values())

    def transformed(self, subjects: list[str]) -> tuple[list[str], set[str]]:
        """Add the columns of Transformations; return who is left and which columns were computed."""
        derived: set[str] = set()
        for step in (self.node.get("Transformations") or {}).get("Instructions") or []:
            inputs, outputs = _list(step["Input"]), _list(step.get("Output"))
            for name in inputs:
                if name not in self.table:
                    raise Refused("ModelError")
                if any(self.table[name].get(subject) is None for subject in subjects) and step["Name"] != "Filter":
                    raise Refused("DataError")
            if step["Name"] == "Factor":
                for name in inputs:
                    for level in sorted({str(self.table[name][subject]) for subject in subjects}):
                        self.table[f"{name}.{level}"] = {s: str(float(self.table[name][s] == level)) for s in subjects}
            elif step["Name"] in ("Demean", "Scale"):
                for name, output in zip(inputs, outputs or inputs, strict=True):
                    values = np.array([float(str(self.table[name][subject])) for subject in subjects])
                    scale = values.std(ddof=1) if len(values) > 1 and step["Name"] == "Scale" else 1.0
                    self.add_column(output, subjects, (values - values.mean()) / scale)
                    derived.add(output)
            elif step["Name"] == "Product":
                values = np.prod([[float(str(self.table[n][s])) for s in subjects] for n in inputs], axis=0)
                self.add_column(outputs[0], subjects, values)
                derived.add(outputs[0])
            else:
                assert step["Name"] == "Filter"
                match = re.fullmatch(r"(\w+) (>|==) (.+)", step["Query"])
                assert match
                name, sign, value = match.groups()
                holds = (lambda cell: float(cell) > float(value)) if sign == ">" else (lambda cell: cell == value[1:-1])  # noqa: B023
                kept = [s for s in subjects if self.table[name].get(s) is not None and holds(str(self.table[name][s]))]
                if len(kept) < len(subjects):
                    self.reading.said.append("Filter")
                subjects = kept
                if len(subjects) < 2:
                    raise Refused("DataError")
        return subjects, derived

    def add_column(self, name: str, subjects: Sequence[str], values: np.ndarray) -> None:
        self.table[name] = {subject: repr(float(value)) for subject, value in zip(subjects, values, strict=True)}

    def tests(
        self, conditions: Sequence[str], columns: Sequence[str], between: Between
    ) -> Iterable[tuple[str, str, dict[str, np.ndarray], list[tuple[list[str], np.ndarray]]]]:
        """Yield name, test, weights over the conditions, and names of columns with their rows of weights."""
        found: list[tuple[str, str, list[str], np.ndarray]] = []  # name, test, names, rows
        for each in self.node.get("Contrasts") or []:
            rows = np.atleast_2d(np.array(each["Weights"], float))
            found.append((each["Name"], each["Test"], [str(name) for name in each["ConditionList"]], rows))
        effects: list[str] = []
        if self.node.get("DummyContrasts") is not None:
            listed = (self.node["DummyContrasts"] or {}).get("Contrasts")
            spelled = [str(each) for each in self.x if each not in (1, "subject")]
            of_x = columns if self.per_condition else spelled
            names = of_x if listed is None else [str(n) for n in listed if n not in (1, "1", "intercept")]
            names = [n for n in names if not self.per_condition or n in self.known_columns()]
            effects = [name for name in names if name in between.factors]
            # without a list each name in X is tested, of which the mean is one only where 1 stands in X
            of_mean = (
                any(name in (1, "1", "intercept") for name in self.x) if listed is None else len(names) < len(listed)
            )
            wants_mean = self.per_condition and of_mean
            found += [("", "t", ["1"], np.ones((1, 1)))] if wants_mean else []
            stated = {name for name, *_ in found}  # what is written out goes before a dummy of its name
            found += [
                (name, "t", [name], np.ones((1, 1))) for name in names if name not in effects and name not in stated
            ]
            effects = [name for name in effects if name not in stated]
        if not found and not effects:
            if self.per_condition and not columns:
                found = [("", "t", ["1"], np.ones((1, 1)))]
            effects = [*between.factors, *between.covariates]
        if self.block.get("Between") or self.block.get("Covariates"):
            stated = {name for name, *_ in found}
            effects = [each for each in (*between.factors, *between.covariates) if each not in stated]
        for name, test, names, rows in found:
            yield from self.placed(name, test, names, rows, conditions)
        for effect in effects:
            rows = between.differences(effect)
            yield from self.placed(effect, "F", [], rows, conditions)

    def placed(
        self,
        name: str,
        test: str,
        names: list[str],
        rows: np.ndarray,
        conditions: Sequence[str],
    ) -> Iterable[Any]:
        """Yield a contrast for each condition where each has its own model, otherwise one."""
        if self.per_condition:
            for condition in conditions:
                called = f"{name}In{condition[:1].upper()}{condition[1:]}" if name else condition
                yield called, test, {condition: np.ones(1)}, [(names, rows)]
            return
        of_label = {fold(condition): condition for condition in conditions}
        if names and all(fold(each) in of_label for each in names):
            weights = {of_label[fold(each)]: rows[:, index] for index, each in enumerate(names)}
            yield name, test, weights, []
            return
        if any(fold(each) in of_label for each in names):
            raise Refused("ModelError")
        mean = np.full(1, 1 / len(conditions))
        yield name, test, dict.fromkeys(conditions, mean), [(names, rows)]

    def add(
        self,
        part: str,
        name: str,
        test: str,
        weights: Mapping[str, np.ndarray],
        of_columns: Sequence[tuple[list[str], np.ndarray]],
        conditions: Sequence[str],
        cells: Mapping[tuple[str, str], list[Map]],
        between: Between,
    ) -> None:
        """Test one contrast: the scores of each subject on what differs between subjects."""
        needed = [c for c in conditions if c in weights and np.any(weights[c])]
        subjects = [s for s in between.subjects if all(cells[s, c] for c in needed)]
        if len(subjects) < 2:
            raise Refused("DataError")
        maps = np.array([[self.mean(cells[s, c]) for c in needed] for s in subjects])  # (n, k, 27)
        rows = np.array([weights[c] for c in needed]).T  # (r, k)
        basis = np.linalg.qr(rows.T)[0].T if len(rows) > 1 else rows
        scores = np.einsum("rk,nkv->rnv", basis, maps)
        x = between.build(subjects)
        lines = np.vstack([between.weights(*each) for each in of_columns]) if of_columns else between.average()
        if np.linalg.matrix_rank(lines) < len(lines):
            raise Refused("ModelError")
        if test == "t":
            statistic, df = least_squares(scores[0], x, lines[0])
        else:
            statistic, df = pooled_f(scores, x, lines)
        several = any(len(cells[s, c]) > 1 for s in subjects for c in needed)
        self.reading.of[part, name] = Wanted(statistic, df, tuple(subjects), several)

    def mean(self, keys: Sequence[Map]) -> np.ndarray:
        return np.mean([self.maps[key].ravel().astype(float) for key in keys], axis=0)


def pooled_f(scores: np.ndarray, x: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, float]:
    """Return F of several orthonormal scores, their sums of squares added up, with the nominal df of the error."""
    inverse = np.linalg.inv(x.T @ x)
    total, error = np.zeros(scores.shape[2]), np.zeros(scores.shape[2])
    for y in scores:
        beta = inverse @ x.T @ y
        estimate = rows @ beta
        total += np.einsum("qv,qp,pv->v", estimate, np.linalg.inv(rows @ inverse @ rows.T), estimate)
        error += ((y - x @ beta) ** 2).sum(axis=0)
    df = (len(x) - x.shape[1]) * len(scores)
    return (total / (len(rows) * len(scores))) / (error / df), float(df)


class Between:
    """What differs between subjects: means of groups, slopes, and columns as they are."""

    def __init__(self, node: _Node, columns: Sequence[str], derived: set[str], subjects: Sequence[str]) -> None:
        self.node, self.subjects, self.formula = node, list(subjects), node.node["Model"].get("Formula")
        block = node.block
        self.factors: list[str] = list(block.get("Between") or [])
        self.covariates: list[str] = list(block.get("Covariates") or [])
        self.plain: list[str] = []
        self.cells: list[str] = []
        has_intercept = not node.per_condition or any(each in (1, "1", "intercept") for each in node.x)
        named: dict[str, set[str]] = {}
        others: list[str] = []
        for name in columns if self.formula is None else ():
            column, _, level = name.partition(".")
            if name in derived:
                self.plain.append(name)
            elif name in self.factors or name in self.covariates:
                continue
            elif column in node.table and level in node.table[column].values() and not self.whole_column(name, level):
                named.setdefault(column, set()).add(level)
                others.append(name)
            elif all(_is_number(node.table[name].get(subject)) for subject in subjects):
                self.covariates.append(name)
            else:
                self.factors.append(name)
        whole = [c for c, levels in named.items() if levels >= {node.table[c].get(s) for s in subjects}]
        if len(whole) > 1:
            raise Refused("ModelError")
        self.factors += whole
        self.plain += [name for name in others if name.partition(".")[0] not in whole]
        if self.formula is None and not has_intercept and not self.factors:
            self.find_cells()
        if self.formula is not None:
            self.read_formula()

    def whole_column(self, name: str, level: str) -> bool:
        """Return whether a name with a point is a column of the table itself, and no level of one."""
        return name in self.node.table and not level

    def find_cells(self) -> None:
        columns = [*self.plain, *self.covariates]
        values = {name: self.numbers(name, self.subjects) for name in columns}
        binary = [name for name, numbers in values.items() if {*numbers.tolist()} <= {0.0, 1.0}]
        if not binary or np.any(np.sum([values[name] for name in binary], axis=0) != 1):
            raise Refused("ModelError")
        self.cells = binary
        self.plain = [name for name in self.plain if name not in binary]
        self.covariates = [name for name in self.covariates if name not in binary]

    def read_formula(self) -> None:
        """Read sums of columns, C(column) and products of indicators, without an intercept, as 0 + ... says."""
        terms = [term.strip() for term in str(self.formula).lstrip("~ ").split("+")]
        assert terms[0] == "0", "the formulas of these tests have no intercept"
        for term in terms[1:]:
            if match := re.fullmatch(r"C\((\w+)\)", term):
                self.factors.append(match[1])
            else:
                values = np.prod([self.numbers(factor, self.subjects) for factor in term.split(":")], axis=0)
                self.node.add_column(term, self.subjects, values)
                self.cells.append(term)

    def values(self, name: str, subjects: Sequence[str]) -> list[str]:
        cells = [self.node.table[name].get(subject) if name in self.node.table else None for subject in subjects]
        if name not in self.node.table or any(cell is None for cell in cells):
            raise Refused("DataError")
        return [str(cell) for cell in cells]

    def numbers(self, name: str, subjects: Sequence[str]) -> np.ndarray:
        if name in self.node.table:
            return np.array([float(cell) for cell in self.values(name, subjects)])
        column, _, level = name.partition(".")
        return np.array([float(cell == level) for cell in self.values(column, subjects)])

    def build(self, subjects: Sequence[str]) -> np.ndarray:
        """Return the design of some subjects, (n_subjects, n_columns)."""
        levels = {name: sorted(set(self.values(name, subjects))) for name in self.factors}
        if any(len(each) < 2 for each in levels.values()):
            raise Refused("DataError")
        self.combinations = list(itertools.product(*levels.values()))
        own = list(zip(*(self.values(name, subjects) for name in self.factors), strict=True))
        columns = [np.array([float(each == cell) for each in own]) for cell in self.combinations] if levels else []
        if self.cells:
            columns = [self.numbers(name, subjects) for name in self.cells]
        if any(column.sum() < 2 for column in columns):
            raise Refused("DataError")
        columns = columns or [np.ones(len(subjects))]
        self.n_means = len(columns)
        for name in self.covariates:
            numbers = self.numbers(name, subjects)
            columns.append(self.centred(numbers, columns[: self.n_means]))
        columns += [self.numbers(name, subjects) for name in self.plain]
        x = np.column_stack(columns)
        scaled = x / np.maximum(np.linalg.norm(x, axis=0), 1e-300)
        if np.linalg.matrix_rank(scaled, tol=1e-6) < x.shape[1] or x.shape[1] >= len(x):
            raise Refused("DataError")
        self.n_columns = x.shape[1]
        return x

    def centred(self, numbers: np.ndarray, groups: Sequence[np.ndarray]) -> np.ndarray:
        center = self.node.block.get("Center", "grand")
        if center == "group":
            return numbers - sum(member * numbers[member > 0].mean() for member in groups)
        return numbers - numbers.mean() if center == "grand" else numbers

    def average(self) -> np.ndarray:
        row = np.zeros((1, self.n_columns))
        row[0, : self.n_means] = 1 / self.n_means
        return row

    def weights(self, names: Sequence[str], rows: np.ndarray) -> np.ndarray:
        """Return rows of weights over the columns; without names they are those of an effect already."""
        return rows @ np.vstack([self.row(name) for name in names]) if names else rows

    def row(self, name: str) -> np.ndarray:
        row = np.zeros(self.n_columns)
        after = [*self.covariates, *self.plain]
        if match := re.fullmatch(r"C\((\w+)\)\[(?:T\.)?(.+)\]", name):
            name = f"{match[1]}.{match[2]}"
        if name in ("1", "intercept"):
            return self.average()[0]
        if name in after:
            row[self.n_means + after.index(name)] = 1
        elif name in self.cells:
            row[self.cells.index(name)] = 1
        else:
            column, _, level = name.partition(".")
            if column not in self.factors:
                raise Refused("ModelError")
            index = self.factors.index(column)
            members = [number for number, cell in enumerate(self.combinations) if cell[index] == level]
            if not members:
                raise Refused("ModelError")
            row[members] = 1 / len(members)
        return row

    def differences(self, effect: str) -> np.ndarray:
        """Return the rows of an F: differences of the levels of a factor, each the mean of its cells, or a slope."""
        if effect in self.covariates:
            return self.row(effect)[None]
        index = self.factors.index(effect)
        levels = sorted({cell[index] for cell in self.combinations})
        rows = [self.row(f"{effect}.{level}") for level in levels]
        return np.array([row - rows[-1] for row in rows[:-1]])


def _is_number(cell: str | None) -> bool:
    try:
        return cell is None or np.isfinite(float(cell))
    except ValueError:
        return False


def without(maps: Maps, **labels: str) -> Maps:
    """Return maps without some labels in their names, such as run=""."""
    return {replace(key, **labels): values for key, values in maps.items()}
