"""Parcels from CIFTI files and from tables: read as others wrote them, told apart, and written for others to read."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nibabel.cifti2.cifti2 import Cifti2Image
from nibabel.cifti2.cifti2_axes import ParcelsAxis, ScalarAxis

from bids_app.errors import DataError
from bids_app.spaces.clusters import label_components
from bids_app.spaces.parcels import ParcelDomain, Parcels, read_parcel_table, read_pscalar, table_text
from builders import cifti

NAMES = ("L_V1", "R_V1", "Putamen")
needs_workbench = pytest.mark.skipif(
    shutil.which("wb_command") is None, reason="wb_command (Debian: connectome-workbench) is not installed"
)


def three_parcels() -> ParcelsAxis:
    """One on each hemisphere, and one of voxels."""
    left, right = cifti.surface("CORTEX_LEFT"), cifti.surface("CORTEX_RIGHT")
    putamen = cifti.structure("CIFTI_STRUCTURE_PUTAMEN_LEFT", np.s_[2:4, 1:3, 1:3])
    return ParcelsAxis.from_brain_models([(NAMES[0], left[4:9]), (NAMES[1], right[1:3]), (NAMES[2], putamen)])


def save(path: Path, values: np.ndarray, axis: ParcelsAxis | None = None, names: tuple[str, ...] = ("alff",)) -> Path:
    image = Cifti2Image(np.atleast_2d(values), (ScalarAxis(list(names)), axis or three_parcels()))
    image.nifti_header.set_intent("NIFTI_INTENT_CONNECTIVITY_PARCELLATED_SCALAR")
    nib.save(image, path)
    return path


@pytest.fixture
def parcels(tmp_path: Path) -> Parcels:
    return read_pscalar(save(tmp_path / "a.pscalar.nii", np.zeros((1, 3), np.float32)))[1]


def test_a_cifti_file_is_read_as_nibabel_wrote_it(tmp_path: Path) -> None:
    values = np.array([[0.5, np.nan, -2], [1, 2, 3]], np.float32)
    path = save(tmp_path / "a.pscalar.nii", values, names=("alff", "reho"))
    found, parcels = read_pscalar(path, "alff")
    assert np.array_equal(found.values, values[0], equal_nan=True)
    assert parcels.names == NAMES
    assert parcels.axis == three_parcels()
    assert read_pscalar(path, 1)[0].name == "reho"
    with pytest.raises(DataError, match=re.escape("holds 2 maps (alff, reho); expected one")):
        read_pscalar(path)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_nibabel_reads_the_same_values_and_parcels_back(
    kind: type[np.floating], parcels: Parcels, rng: np.random.Generator, tmp_path: Path
) -> None:
    domain = ParcelDomain.from_parcels(parcels)
    values = rng.standard_normal(3).astype(kind)
    path = tmp_path / "contrast-a_stat-t_statmap.pscalar.nii"
    domain.write(path, values)
    image = nib.load(path)
    assert isinstance(image, Cifti2Image)
    assert image.header.get_axis(1) == three_parcels()
    assert image.header.get_axis(0).name.tolist() == ["contrast-a_stat-t_statmap"]
    assert np.asarray(image.dataobj).tobytes() == values.tobytes()
    assert image.nifti_header.get_intent()[0] == "ConnParcelScalr"
    assert domain.read(path).astype(kind).tobytes() == values.tobytes()
    content = path.read_bytes()
    domain.write(path, values)
    assert path.read_bytes() == content


@needs_workbench
def test_workbench_reads_what_is_written(parcels: Parcels, tmp_path: Path) -> None:
    path = tmp_path / "a.pscalar.nii"
    ParcelDomain.from_parcels(parcels).write(path, np.array([1.0, 2.0, 4.0]))
    command = ["wb_command", "-file-information", str(path)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert "ALONG_COLUMN map type: PARCELS" in lines
    assert "CIFTI Dim[1]: 3" in lines
    assert any(line.startswith("1 1.000 4.000 2.333") for line in lines), said


def other_axis(**fields: object) -> ParcelsAxis:
    axis = three_parcels()
    for name, value in fields.items():
        setattr(axis, name, value)
    return axis


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("R_V1", "L_V1", "Putamen"), "found the same parcels in another order: R_V1 in place 1; expected L_V1"),
        (("L_V1", "Putamen", "R_V1"), "found the same parcels in another order: Putamen in place 2; expected R_V1"),
        (("L_V1", "R_V1"), "found no parcel Putamen, which the others have"),
        (("L_V1",), "found no parcel R_V1, and 1 more, which the others have"),
        (("L_V1", "R_V1", "Putamen", "Insula"), "found the parcel Insula, of which the others know nothing"),
        (("L_V1", "r_v1", "Putamen"), "found the parcel r_v1, of which the others know nothing"),
        (("A", "B", "C"), "found the parcel A, and 2 more, of which the others know nothing"),
    ],
)
def test_the_first_difference_of_the_names_is_told(names: tuple[str, ...], words: str) -> None:
    mine, its = Parcels(NAMES), Parcels(names)
    assert mine.difference(its) == words
    assert its.difference(mine) != ""
    assert its.difference(Parcels(names)) == ""


def test_parcels_of_one_name_and_other_contents_differ(parcels: Parcels) -> None:
    axis = three_parcels()
    for change, words in [
        (
            {"voxels": [axis.voxels[0], axis.voxels[1], axis.voxels[2][1:]]},
            "other voxels in the parcel Putamen (7; exp",
        ),
        (
            {"vertices": [{"CIFTI_STRUCTURE_CORTEX_LEFT": np.array([1, 2])}, *axis.vertices[1:]]},
            "other vertices of CIFTI_STRUCTURE_CORTEX_LEFT in the parcel L_V1 (2; expected 5)",
        ),
        ({"vertices": [{}, *axis.vertices[1:]]}, "CORTEX_LEFT in the parcel L_V1 (0; expected 5)"),
        (
            {"nvertices": {**axis.nvertices, "CIFTI_STRUCTURE_CORTEX_LEFT": 10_242}},
            "found CIFTI_STRUCTURE_CORTEX_LEFT on a mesh of 10,242 vertices; expected one of 42",
        ),
        ({"affine": cifti.AFFINE + 0.01}, "found voxels on a grid of (5, 6, 4)"),
        ({"volume_shape": (5, 6, 5)}, "found voxels on a grid of (5, 6, 5); expected (5, 6, 4)"),
    ]:
        assert words in parcels.difference(Parcels(NAMES, other_axis(**change)))
    assert parcels.difference(Parcels(NAMES, three_parcels())) == ""
    assert parcels.difference(Parcels(NAMES)) == ""  # a table gives no contents


def test_a_table_of_one_row_is_a_subjects_own(tmp_path: Path) -> None:
    """As XCP-D writes ALFF and ReHo: by pandas, without an index, n/a where a parcel has no data."""
    path = tmp_path / "sub-01_atlas-4S156Parcels_stat-alff_bold.tsv"
    values = np.array([[0.1234567890123456, np.nan, -3e-7]])
    pd.DataFrame(values, columns=list(NAMES)).to_csv(path, sep="\t", na_rep="n/a", index=False)
    table = read_parcel_table(path)
    assert (table.parcels.names, table.participants) == (NAMES, None)
    assert np.array_equal(table.values, values, equal_nan=True)


@pytest.mark.parametrize("column", ["participant_id", "Subject", "subject_id"])
def test_a_table_with_a_row_a_subject(column: str, rng: np.random.Generator, tmp_path: Path) -> None:
    """The column of the labels may stand anywhere, and is no parcel."""
    path = tmp_path / "all.tsv"
    values = rng.standard_normal((4, 3))
    labels = ["sub-04", "sub-01", "02", "sub-10"]
    frame = pd.DataFrame(values, columns=list(NAMES))
    frame.insert(2, column, labels)
    frame.to_csv(path, sep="\t", index=False)
    table = read_parcel_table(path)
    assert (table.parcels.names, table.participants) == (NAMES, tuple(labels))
    assert np.array_equal(table.values, values)


def test_a_table_that_is_written_comes_back(rng: np.random.Generator, tmp_path: Path) -> None:
    """Every bit, in double and in single precision, and what is missing; pandas reads the same, or nearly."""
    path = tmp_path / "all.tsv"
    for kind in (np.float32, np.float64):
        scale = 10.0 ** (-250 if kind is np.float64 else -30)
        values = (rng.standard_normal((5, 3)) * scale).astype(kind)
        values[2, 1] = np.nan
        labels = [f"sub-{number}" for number in range(5)]
        path.write_text(table_text(NAMES, values, labels), encoding="utf-8")
        table = read_parcel_table(path)
        assert table.participants == tuple(labels)
        assert np.array_equal(table.values.astype(kind), values, equal_nan=True)
        frame = pd.read_csv(path, sep="\t", index_col=0)
        # 1e-12: not all versions of pandas round the last digit
        assert frame.to_numpy().astype(kind) / scale == pytest.approx(values / scale, rel=1e-12, nan_ok=True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("A,B\n1,2\n", "separated by commas; expected tabs"),
        ("A\tB\n1\t2\n3\t4\n", "found 2 rows and no column participant_id; expected one row"),
        ("A\tB\n", "found 0 rows"),
        ("A\tB\n1\tx\n", "row 2 of the column B holds 'x'; expected a number, or n/a"),
        ("A\tB\n1\t1_0\n", "holds '1_0'"),
        ("A\tB\n1\t0,5\n", "holds '0,5'"),
        ("A\tB\n1\n", "row 2 has 1 cells; expected 2"),
        ("A\tA\n1\t2\n", "several parcels are called A"),
        ("\tA\tB\n0\t1\t2\n", "parcel 1 has no name"),
        ("0.25\t-1.5\n1\t2\n", "its first line holds numbers (0.25, -1.5); expected the names"),
        ("participant_id\n01\n", "there is no parcel"),
        ("participant_id\tA\n01\t1\n01\t2\n", "found two rows of 01; expected one row for each subject"),
        ("participant_id\tA\n\t1\n01\t2\n", "found rows without a subject"),
        ("participant_id\tsubject\tA\n01\t01\t1\n", "found the columns participant_id, subject; expected one"),
        ("Node\tcoverage\nL_V1\t1.0\n", "row 2 of the column Node holds 'L_V1'"),  # XCP-D: a row a parcel
    ],
)
def test_what_is_no_table_of_parcels_is_refused(content: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=re.escape(words)) as caught:
        read_parcel_table(path)
    assert str(path) in str(caught.value)


def test_other_encodings_and_absent_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes("Größe\n1\n".encode("latin-1"))
    for each in (path, tmp_path / "absent.tsv", tmp_path):
        with pytest.raises(DataError, match="cannot be read as a table"):
            read_parcel_table(each)


def test_whole_numbers_are_names_and_blank_ends_are_nothing(tmp_path: Path) -> None:
    """Atlases number their parcels; spreadsheets write a byte order mark and CRLF."""
    path = tmp_path / "a.tsv"
    path.write_bytes(b"\xef\xbb\xbf1\t2\r\n0.5\tNaN\r\n\r\n")
    table = read_parcel_table(path)
    assert table.parcels.names == ("1", "2")
    assert np.array_equal(table.values, [[0.5, np.nan]], equal_nan=True)


def test_each_parcel_stands_alone(parcels: Parcels) -> None:
    domain = ParcelDomain.from_parcels(parcels, np.array([True, False, True]))
    assert (domain.n_elements, domain.plural, domain.size_unit, domain.names) == (
        2,
        "parcels",
        "1",
        ("L_V1", "Putamen"),
    )
    assert label_components(np.array([True, True]), domain.topology).tolist() == [1, 2]
    assert domain.describe() == {"NumberOfParcels": 2}
    with pytest.raises(ValueError, match="expected one for 3 parcels"):
        ParcelDomain.from_parcels(parcels, np.ones(2, bool))


@pytest.mark.parametrize("name", ["map.tsv", "map.pscalar.nii"])
def test_a_map_comes_back_from_the_disk(name: str, parcels: Parcels, tmp_path: Path) -> None:
    """Rows that are left out are missing, whatever stands there in other kinds of maps: zero would be a value."""
    domain = ParcelDomain.from_parcels(parcels, np.array([True, False, True]))
    domain.write(tmp_path / name, np.array([1e-60, 2.5]), outside=1.0)
    assert domain.read(tmp_path / name).tolist() == [1e-60, 2.5]
    whole = ParcelDomain.from_parcels(parcels).read(tmp_path / name)
    assert whole[[0, 2]].tolist() == [1e-60, 2.5]
    assert np.isnan(whole[1])


def test_a_map_of_other_parcels_is_refused(parcels: Parcels, tmp_path: Path) -> None:
    domain = ParcelDomain.from_parcels(parcels)
    path = tmp_path / "a.tsv"
    path.write_text(table_text(NAMES[::-1], np.ones((1, 3))), encoding="utf-8")
    with pytest.raises(DataError, match="another order: Putamen in place 1; expected L_V1"):
        domain.read(path)
    path.write_text(table_text(NAMES, np.ones((2, 3)), ["1", "2"]), encoding="utf-8")
    with pytest.raises(DataError, match="found 2 rows; expected the one row of a map"):
        domain.read(path)
    with pytest.raises(ValueError, match="only parcels that come from CIFTI files"):
        ParcelDomain.from_parcels(Parcels(NAMES)).write(tmp_path / "a.pscalar.nii", np.ones(3))


def test_grayordinates_are_no_parcels_and_names_are_unique(tmp_path: Path) -> None:
    dense = cifti.save(tmp_path / "a.dscalar.nii", np.zeros((1, 39), np.float32), cifti.surface("CORTEX_LEFT"))
    with pytest.raises(DataError, match="found named maps of grayordinates; expected named maps of parcels"):
        read_pscalar(dense)
    axis = three_parcels()
    axis.name = np.array(["A", "B", "A"])
    with pytest.raises(DataError, match="several parcels are called A"):
        read_pscalar(save(tmp_path / "twice.pscalar.nii", np.zeros((1, 3), np.float32), axis))
