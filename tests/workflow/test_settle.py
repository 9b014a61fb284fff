"""What precedes the statistics: the participants' table meets the maps."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bids_app.errors import DataError, Warned
from bids_app.model.read_model import read_model
from bids_app.runtime.options import RunOptions
from bids_app.workflow import settle
from bids_app.workflow.prepare import select_from
from builders.models import contrast, document, node
from builders.trees import Map, fit_all, least_squares, random_maps, values_of, write_tree


def lay_out(dataset: Path, table: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """The between-subject matrix of a covariate, and the notes, for a participants.tsv."""
    (dataset / "participants.tsv").write_text(table, encoding="utf-8")
    block = {"Covariates": ["age"], "Center": "none", "Permutation": None}
    glm = {"Type": "glm", "X": ["A"], "Software": {"grouplevel": block}}
    node = {"Level": "Dataset", "Name": "n", "GroupBy": [], "Model": glm}
    path = dataset.parent / "model.json"
    path.write_text(json.dumps({"Name": "t", "BIDSModelVersion": "1.0.0", "Input": {}, "Nodes": [node]}))
    model, options = read_model(path), RunOptions(dataset, dataset.parent / "out", path)
    _, [(_, _, design)] = settle.lay_out(model, model.nodes, select_from(options), options)
    return design.between, design.notes


@pytest.mark.parametrize(
    ("table", "warnings"),
    [
        ("participant_id\tage\nsub-03\t23\nsub-02\t22\nsub-01\t21\n", []),
        ("participant_id;age\n3;23\n2;22\n1;21\n1;21\n", ["semicolons", "same row more than once", "leading zeros"]),
    ],
)
def test_a_covariate_reaches_its_subjects(
    make_derivative: Callable[..., Path], table: str, warnings: list[str]
) -> None:
    """Also through a spreadsheet, with a warning for each thing that was put right."""
    between, notes = lay_out(make_derivative(("A",), n_subjects=3), table)
    assert between.tolist() == [[1, 21], [1, 22], [1, 23]]
    said = [note for note in notes if isinstance(note, Warned) and "participants.tsv" in note]
    assert [words in note for words, note in zip(warnings, said, strict=True)] == [True] * len(warnings)


def test_a_cell_that_is_wrong_is_named_by_file_line_column_and_value(make_derivative: Callable[..., Path]) -> None:
    dataset = make_derivative(("A",), n_subjects=3)
    with pytest.raises(DataError, match=r'participants\.tsv: column "age" .*: sub-02 \("22,5", line 3\)\.'):
        lay_out(dataset, "participant_id;age\n1;21\n2;22,5\n3;23\n")


@pytest.mark.parametrize(("x", "test"), [([1], "F"), ([1, "age"], "t")])
def test_dummy_contrasts_are_of_the_columns_in_x(
    x: list[object], test: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    """A covariate that the block alone names keeps the F of its effect; one in X gets the t that is asked for."""
    maps = random_maps([Map(f"{i:02d}", "faces") for i in range(1, 7)], rng)
    table = {"participant_id": [f"sub-{i:02d}" for i in range(1, 7)], "age": [31, 25, 47, 38, 29, 52]}
    one = node(x, {"Covariates": ["age"], "Permutation": None}, group_by=["contrast"]) | {
        "DummyContrasts": {"Test": "t"}
    }
    fits = fit_all(write_tree(tmp_path / "d", maps, table), document(one, Input={}))
    assert {name: each.test for (_, name), each in fits.of.items()} == {"faces": "t", "ageInFaces": test}


def test_the_note_on_averaged_runs_says_why_they_are_used(tmp_path: Path, rng: np.random.Generator) -> None:
    """The maps of the node that should hand them over are not there; or they are, and Select takes others."""
    runs = [Map(f"{i:02d}", "faces", run=run, node="first") for i in range(1, 7) for run in "12"]
    maps = random_maps([*runs, *(Map(f"{i:02d}", "faces", node="second") for i in range(1, 7))], rng)
    nodes = [
        {"Level": level, "Name": name, "GroupBy": ["subject"], "Model": {"Type": "glm", "X": [1]}}
        for level, name in (("Run", "first"), ("Subject", "second"))
    ]
    last = node([1], {"Permutation": None, "Select": {"node": ["first"]}}, group_by=["contrast"])
    root = write_tree(tmp_path / "d", maps)
    said = "\n".join(fit_all(root, document(*nodes, last, Input={})).warnings)
    assert "Select passes over the maps of the" in said
    of_runs = {replace(key, node=""): values for key, values in maps.items() if key.run}
    del last["Model"]["Software"]["grouplevel"]["Select"]
    said = "\n".join(fit_all(write_tree(tmp_path / "e", of_runs), document(*nodes, last, Input={})).warnings)
    assert "the input holds no maps of the" in said


def test_a_covariate_of_each_session_comes_from_the_tables_of_sessions(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    """A model for each session, with the mood of that day; participants.tsv has the age."""
    subjects = [f"{i:02d}" for i in range(1, 9)]
    keys = {session: Map("01", "faces", session=session) for session in ("pre", "post")}
    maps = random_maps([replace(key, subject=subject) for key in keys.values() for subject in subjects], rng)
    root = write_tree(tmp_path / "d", maps, {"participant_id": [f"sub-{s}" for s in subjects], "age": list(range(8))})
    mood = {session: rng.permutation(8).astype(float) for session in keys}
    for row, subject in enumerate(subjects):
        lines = [f"ses-{session}\t{mood[session][row]:g}" for session in keys]
        table = "\n".join(["session_id\tmood", *lines]) + "\n"
        (root / f"sub-{subject}" / f"sub-{subject}_sessions.tsv").write_text(table, encoding="utf-8")
    made = node([1, "mood", "age"], {"Permutation": None}, group_by=["contrast", "session"])
    made["Contrasts"] = [contrast("mood", "t", ["mood"], [1])]
    fits = fit_all(root, document(made, Input={}))
    for session, key in keys.items():
        x = np.column_stack([np.ones(8), mood[session], np.arange(8.0)])
        t, df = least_squares(values_of(maps, subjects, key), x, [0, 1, 0])
        tested = fits.of[f"group.{session}", "moodInFaces"]
        # single precision of the maps, some hundred times in a t of few subjects
        np.testing.assert_allclose(tested.statistic, t, rtol=1e-4, atol=1e-5)
        assert tested.df[-1] == df == 5
    assert any("mood: from the sessions of the maps" in warning for warning in fits.warnings)
