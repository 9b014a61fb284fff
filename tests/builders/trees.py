"""First-level maps keyed by what they are, the tree they are written to, and the tests that the app makes of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from bids_app.console.text import file_label
from bids_app.errors import Warned
from bids_app.inputs.load_maps import load_maps
from bids_app.model.read_model import read_model
from bids_app.runtime.options import RunOptions
from bids_app.statistics.fit import fit_contrast
from bids_app.statistics.kinds import contrast_tests
from bids_app.workflow.prepare import choose_nodes, select_from
from bids_app.workflow.settle import lay_out

SHAPE = (3, 3, 3)
AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])
# of single precision: the bytes of all maps but their values, which nibabel takes a millisecond to make
HEADER = nib.Nifti1Image(np.zeros(SHAPE, np.float32), AFFINE).to_bytes()[:352]
DESCRIPTION = {
    "Name": "maps",
    "BIDSVersion": "1.9.0",
    "DatasetType": "derivative",
    "GeneratedBy": [{"Name": "FitLins"}],
}


@dataclass(frozen=True, slots=True, order=True)
class Map:
    """What one map is; empty: its name says nothing of it."""

    subject: str
    condition: str
    session: str = ""
    run: str = ""
    node: str = ""
    task: str = "t"
    desc: str = ""
    stat: str = "effect"
    space: str = "MNI152NLin2009cAsym"

    def path(self, *, session_folders: bool = True) -> str:
        """Return where FitLins would write it: in the folder of its node, its subject, and perhaps its session."""
        pairs = {"sub": self.subject, "ses": self.session, "task": self.task, "run": self.run, "space": self.space}
        pairs |= {"contrast": file_label(self.condition), "desc": self.desc, "stat": self.stat}
        name = "_".join(f"{key}-{label}" for key, label in pairs.items() if label)
        folders = [f"node-{file_label(self.node)}"] if self.node else []
        folders += [f"sub-{self.subject}"]
        folders += [f"ses-{self.session}"] if self.session and session_folders else []
        return "/".join([*folders, f"{name}_statmap.nii"])


Maps = dict[Map, np.ndarray]
Table = Mapping[str, Sequence[object]]


def random_maps(keys: Iterable[Map], rng: np.random.Generator) -> Maps:
    """Return a map of random numbers, none of them zero, in single precision for each key."""
    return {key: (0.1 + rng.normal(size=SHAPE)).astype(np.float32) for key in keys}


def write_tree(root: Path, maps: Maps, table: Table | None = None, *, session_folders: bool = True) -> Path:
    """Write maps, and participants.tsv: its columns by their names, of which participant_id has the subjects."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset_description.json").write_text(json.dumps(DESCRIPTION), encoding="utf-8")
    for key, values in maps.items():
        path = root / key.path(session_folders=session_folders)
        path.parent.mkdir(parents=True, exist_ok=True)
        assert not path.exists(), f"two maps would be {path}"
        path.write_bytes(HEADER + values.astype("<f4").tobytes(order="F"))
    if table is not None:
        write_table(root / "participants.tsv", table)
    return root


def write_table(path: Path, table: Table) -> None:
    """Write columns as text; None is n/a."""
    rows = zip(*table.values(), strict=True)
    lines = ["\t".join(table), *("\t".join("n/a" if cell is None else str(cell) for cell in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Tested:
    """One contrast as the app tests it."""

    test: str
    statistic: np.ndarray
    """Of all 27 voxels, in the order of the volume."""
    df: tuple[float, float]
    subjects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fits:
    """All that the app makes of a tree by a model."""

    of: dict[tuple[str, str], Tested]
    """By the name of the node, or of its part, and of the contrast."""
    warnings: tuple[str, ...]
    document: dict[str, Any]
    """The model as it was run."""

    def only(self) -> Tested:
        """Return the one contrast that there is."""
        (tested,) = self.of.values()
        return tested


def fit_all(root: Path, document: Mapping[str, Any], **options: Any) -> Fits:  # noqa: ANN401
    """Return every contrast of every Dataset node, fitted to all voxels, as `workflow.run` would do it.

    Raises
    ------
    GroupLevelError
        Whatever the app refuses.
    """
    path = root.parent / f"{root.name}_model.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    run = RunOptions(root, root.parent / "out", path, **options)
    model = read_model(path)
    as_run, laid = lay_out(model, choose_nodes(model, run.node), select_from(run), run)
    of: dict[tuple[str, str], Tested] = {}
    warnings = [note for note in model.notes if isinstance(note, Warned)]
    for node, inputs, design in laid:
        maps = load_maps(inputs, inputs.masks)
        assert maps.inside.all(), "all voxels of the maps that tests write hold data"
        for test in contrast_tests(design):
            fit = fit_contrast(maps.values, test, with_size=False)
            assert (node.name, test.name) not in of, "a contrast of a node is tested once"
            of[node.name, test.name] = Tested(
                test.contrast.test, fit.statistic, (fit.df_effect, fit.df_error), test.design.subjects
            )
        warnings += [note for note in (*inputs.notes, *design.notes) if isinstance(note, Warned)]
    return Fits(of, tuple(dict.fromkeys(map(str, warnings))), as_run.document)


def values_of(maps: Maps, subjects: Sequence[str], key: Map) -> np.ndarray:
    """Return the maps of some subjects that are otherwise alike, (n_subjects, 27)."""
    return np.array([maps[replace(key, subject=subject)].ravel().astype(float) for subject in subjects])


def least_squares(y: np.ndarray, x: np.ndarray, weights: Sequence[float] | np.ndarray) -> tuple[np.ndarray, float]:
    """Return t of one row of weights, or F of several, by numpy's least squares, with the error's degrees of freedom.

    Parameters
    ----------
    y : (n, n_voxels)
    x : (n, n_columns), of full rank
    weights : (n_columns,) for t; (q, n_columns) for F
    """
    x, rows = np.asarray(x, float), np.atleast_2d(np.asarray(weights, float))
    beta, _, rank, _ = np.linalg.lstsq(x, y, rcond=None)
    assert rank == x.shape[1], "the design by hand must be of full rank"
    df = len(y) - rank
    error = ((y - x @ beta) ** 2).sum(axis=0) / df
    covariance = rows @ np.linalg.inv(x.T @ x) @ rows.T
    estimate = rows @ beta
    if np.ndim(weights) == 1:
        return estimate[0] / np.sqrt(error * covariance[0, 0]), float(df)
    return np.einsum("qv,qp,pv->v", estimate, np.linalg.inv(covariance), estimate) / len(rows) / error, float(df)
