"""Labels of the vertices: both formats, regions of both hemispheres in one list, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from nibabel.freesurfer.io import write_annot

from bids_app.errors import DataError
from bids_app.spaces.atlases import label_cluster, label_peak
from bids_app.spaces.surface_files import read_labels
from bids_app.spaces.surface_labels import HemisphereLabels, labels_of_rows
from builders.surfaces import gifti, label_gifti

NUMBERS = np.array([3, 0, 7, 7, 3, 9])  # 9 has no name
NAMES = {0: "???", 3: "cuneus", 7: "insula"}


def save_annot(path: Path, numbers: np.ndarray, names: list[str]) -> Path:
    colours = np.array([[10 * number, 20, 30, 0, 0] for number in range(len(names))])
    write_annot(path, numbers.astype(np.int32), colours, names, fill_ctab=True)
    return path


def save_gifti(path: Path, numbers: np.ndarray, names: dict[int, str], side: str = "L", n_arrays: int = 1) -> Path:
    label_gifti(numbers, names, side, n_arrays).to_filename(path)
    return path


def test_both_formats_give_the_same_regions(tmp_path: Path) -> None:
    """FreeSurfer numbers the names of its list, GIFTI has keys of its own; -1, ??? and no name are no region."""
    of_gifti = read_labels(save_gifti(tmp_path / "x.label.gii", NUMBERS, NAMES), "L")
    annotated = save_annot(tmp_path / "lh.x.annot", np.array([1, 0, 2, 2, 1, -1]), ["unknown", "cuneus", "insula"])
    of_freesurfer = read_labels(annotated, "L")
    for found in (of_gifti, of_freesurfer):
        rows = labels_of_rows("L", (6,), [found])
        assert [rows.names[number] if number >= 0 else "" for number in rows.numbers] == [
            *("cuneus", "", "insula", "insula", "cuneus", "")
        ]
    assert of_freesurfer.source == "lh.x.annot"


def test_regions_of_both_hemispheres_are_those_of_their_rows() -> None:
    """The same number may be another region on the right; a hemisphere without labels has none."""
    left = HemisphereLabels("L", NUMBERS, {3: "cuneus", 7: "insula"}, "l")
    right = HemisphereLabels("R", np.array([3, 7]), {3: "insula", 7: "precuneus"}, "r")
    rows = labels_of_rows(("L", "R"), (6, 2), [right, left])
    assert rows.names == ("cuneus", "insula", "precuneus")
    assert rows.numbers.tolist() == [0, -1, 1, 1, 0, -1, 1, 2]
    assert rows.sources == ("l", "r")
    assert labels_of_rows(("L", "R"), (6, 2), [right]).numbers.tolist() == [*[-1] * 6, 0, 1]


def test_an_element_is_labelled_by_its_row() -> None:
    """Elements are the rows inside; shares are those of the vertices of a cluster."""
    rows = labels_of_rows("L", (6,), [HemisphereLabels("L", NUMBERS, {3: "cuneus", 7: "insula"}, "l")])
    atlas = rows.as_atlas(np.array([True, True, False, True, True, True]))
    assert [label_peak(atlas, (element, 0, 0)) for element in range(5)] == [
        *("cuneus", "no_label", "insula", "cuneus", "no_label")
    ]
    voxels = np.array([[0, 0, 0], [2, 0, 0], [3, 0, 0], [4, 0, 0]])
    assert label_cluster(atlas, voxels) == "50.0% cuneus; 25.0% insula; 25.0% no_label"


@pytest.mark.parametrize(
    ("sides", "n_vertices", "said"),
    [
        (("L",), (5,), "are of 6 vertices in the hemisphere L, and the maps have 5"),
        (("R",), (6,), "found labels of the hemisphere L, and the maps are of R"),
    ],
)
def test_labels_have_to_fit_the_maps(sides: tuple[str, ...], n_vertices: tuple[int, ...], said: str) -> None:
    with pytest.raises(DataError, match=said):
        labels_of_rows(sides, n_vertices, [HemisphereLabels("L", NUMBERS, NAMES, "l")])


def test_what_is_no_file_of_labels_is_refused(tmp_path: Path) -> None:
    metric = tmp_path / "x.func.gii"
    gifti(np.zeros(6)).to_filename(metric)
    damaged = tmp_path / "lh.d.annot"
    damaged.write_bytes(b"no annotation")
    (tmp_path / "x.label").write_text("#!ascii label")
    refused = {
        metric: "holds 0 arrays of labels (none); expected one",
        damaged: "cannot be read as a file of a hemisphere",
        save_gifti(tmp_path / "two.label.gii", NUMBERS, NAMES, n_arrays=2): "holds 2 arrays of labels (0, 1)",
        save_gifti(tmp_path / "R.label.gii", NUMBERS, NAMES, "R"): "says that it is of CortexRight",
        save_gifti(tmp_path / "none.label.gii", NUMBERS, {0: "???"}): "has no name of any region",
        save_annot(
            tmp_path / "rh.x.annot", np.zeros(6, int), ["a"]
        ): "is named for the right hemisphere and given as L",
        tmp_path / "x.label": "expected the labels of all vertices",
        tmp_path / "absent.annot": "found no file",
    }
    for path, said in refused.items():
        with pytest.raises(DataError, match=re.escape(said)):
            read_labels(path, "L")
