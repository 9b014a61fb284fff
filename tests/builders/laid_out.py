"""Models laid out with datasets of empty files and a participants' table, and least squares to compare them with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_app.design.design import Design
from bids_app.inputs.choose_and_order_maps import InputMaps
from bids_app.model.read_model import read_model
from bids_app.model.specification import ModelSpec, NodeSpec
from bids_app.runtime.options import RunOptions
from bids_app.statistics.fit import ContrastFit, fit_contrast
from bids_app.statistics.kinds import contrast_test
from bids_app.workflow.prepare import choose_nodes, select_from
from bids_app.workflow.settle import lay_out
from builders.datasets import flat, write
from builders.models import Document

Floats = NDArray[np.float64]

N = 12
SUBJECTS = tuple(f"{number:02d}" for number in range(1, N + 1))
TABLE: dict[str, list[object]] = {
    "group": ["patient" if letter == "p" else "control" for letter in "pccpcpcppccp"],
    "sex": ["M", "F", "F", "M", "F", "M", "M", "F", "F", "M", "F", "F"],
    "site": ["b", "a", "c", "a", "b", "c", "a", "a", "c", "b", "b", "c"],
    "code": [10, 2, 2, 10, 1, 1, 2, 10, 1, 2, 1, 10],
    "age": [23, 31.5, 28, 40, 37, 22, 35, 29, 44, 51, 30, 27],
    "cigs": [3, 0, 12, 7, 5, 20, 1, 9, 4, 15, 2, 8],
}
V = 5


@dataclass(frozen=True)
class Model:
    """One model, laid out, with random maps."""

    spec: NodeSpec
    inputs: InputMaps
    design: Design
    values: NDArray[np.float32]

    @property
    def names(self) -> list[str]:
        """Of its contrasts."""
        return [contrast.name for contrast in self.design.contrasts]

    def fit(self, name: str) -> ContrastFit:
        """The fit of one contrast."""
        contrast = next(each for each in self.design.contrasts if each.name == name)
        return fit_contrast(self.values, contrast_test(self.design, contrast))

    def maps(self, condition: str) -> Floats:
        """The maps of a condition, (n_subjects, V)."""
        rows = self.design.row_of_map[:, self.design.cells.index(condition)]
        return np.asarray(self.values[rows], np.float64)


def write_study(
    root: Path, conditions: Sequence[str] = ("A", "B"), table: Mapping[str, Sequence[object]] | None = None
) -> Path:
    """Write a dataset of empty maps and its table."""
    write(root, [flat(subject, condition) for subject in SUBJECTS for condition in conditions])
    write_table(root, TABLE | dict(table or {}))
    return root


def write_table(root: Path, table: Mapping[str, Sequence[object]], subjects: Sequence[str] = SUBJECTS) -> None:
    """Write participants.tsv; None is n/a."""
    rows = ["\t".join(["participant_id", *table])]
    for number, subject in enumerate(subjects):
        cells = ["n/a" if values[number] is None else str(values[number]) for values in table.values()]
        rows.append("\t".join([f"sub-{subject}", *cells]))
    (root / "participants.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def lay(root: Path, document: Document, **options: Any) -> tuple[ModelSpec, list[Model]]:  # noqa: ANN401
    """Lay out a model file; the values of a map depend on its subject and condition alone."""
    path = root.parent / "model.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return lay_file(root, path, **options)


def lay_file(root: Path, path: Path, **options: Any) -> tuple[ModelSpec, list[Model]]:  # noqa: ANN401
    """Lay out a model file that is there."""
    run = RunOptions(root, root.parent / "out", path, **options)
    model = read_model(path)
    settled, laid = lay_out(model, choose_nodes(model, run.node), select_from(run), run)
    models = [Model(*each, _values(each[1])) for each in laid]
    return settled, models


def again(root: Path, settled: ModelSpec) -> list[Model]:
    """Lay out the model that a run keeps in its logs."""
    path = root.parent / "as_run.json"
    path.write_text(json.dumps(settled.document), encoding="utf-8")
    return lay_file(root, path)[1]


def same(first: Model, second: Model) -> None:
    """Assert that two models are the same in all that numbers come from."""
    for name in ("subjects", "cells", "between_names", "regressors", "groups", "blocks", "variance_groups"):
        assert getattr(first.design, name) == getattr(second.design, name), name
    assert np.array_equal(first.design.between, second.design.between)
    assert np.array_equal(first.design.matrix, second.design.matrix)
    assert first.inputs.table["paths"].tolist() == second.inputs.table["paths"].tolist()
    assert first.names == second.names
    for one_, other in zip(first.design.contrasts, second.design.contrasts, strict=True):
        for name in ("label", "test", "sided", "error_term", "sphericity", "generated", "formula"):
            assert getattr(one_, name) == getattr(other, name), (one_.name, name)
        for name in ("weights", "cell_weights", "within", "between"):
            assert np.array_equal(getattr(one_, name), getattr(other, name)), (one_.name, name)
    # what a part of GroupBy is of stands in Select afterwards, and names of conditions are spelled as in the files
    settings = [model.spec.settings.model_copy(update={"select": {}, "contrasts": ()}) for model in (first, second)]
    assert settings[0] == settings[1]
    assert first.spec.name == second.spec.name


def one(root: Path, document: Document, **options: Any) -> Model:  # noqa: ANN401
    """Lay out a model file of one model."""
    _, [model] = lay(root, document, **options)
    return model


def _values(inputs: InputMaps) -> NDArray[np.float32]:
    seeds = [
        [int.from_bytes(text.encode(), "big") for text in cell]
        for cell in inputs.table[["subject", "condition"]].itertuples(index=False)
    ]
    return np.array([np.random.default_rng(seed).standard_normal(V) for seed in seeds], np.float32)


def least_squares(columns: Sequence[Floats | Sequence[float]], rows: Sequence[Sequence[float]], y: Floats) -> Floats:
    """F of rows of weights over columns, with the sign of the effect where there is one row: t, (V,)."""
    x, weights = (
        np.column_stack([np.asarray(each, np.float64) for each in columns]),
        np.atleast_2d(np.array(rows, float)),
    )
    estimates, _, rank, _ = np.linalg.lstsq(x, y, rcond=None)
    error = np.square(y - x @ estimates).sum(axis=0) / (len(x) - rank)
    effect = weights @ estimates
    inverse = np.linalg.inv(weights @ np.linalg.inv(x.T @ x) @ weights.T)
    f = np.einsum("iv,ij,jv->v", effect, inverse, effect) / len(weights) / error
    return np.asarray(np.sign(effect[0]) * np.sqrt(f) if len(weights) == 1 else f)


def indicator(column: str, level: object) -> Floats:
    """1 for the subjects of a level of the table."""
    return np.array([float(value == level) for value in TABLE[column]])


def numbers(column: str) -> Floats:
    """A column of numbers of the table."""
    return np.array(TABLE[column], np.float64)
