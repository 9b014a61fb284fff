"""Maps on surfaces are found: hemispheres in pairs; what lacks or does not fit is named, nothing silently chosen."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_app.errors import DataError, NothingMatchedError
from bids_app.inputs.load_maps import load_maps
from bids_app.inputs.map_reader import places
from builders.datasets import find, flat, write
from builders.surfaces import map_name, write_study

SUBJECTS = ("01", "02")


def names(*sides: str, ending: str = ".func.gii", subjects: tuple[str, ...] = SUBJECTS) -> list[str]:
    return [map_name(s, side, "A", ending) for s in subjects for side in sides]


@pytest.mark.parametrize("ending", [".func.gii", ".shape.gii", ".gii"])
def test_both_hemispheres_are_one_map_left_before_right(ending: str, tmp_path: Path) -> None:
    root = write(tmp_path / "d", names("R", "L", ending=ending))
    maps = find(root, ("A",))
    assert len(maps.table) == 2
    assert maps.files["hemi"].tolist() == ["L", "R"] * 2
    assert maps.files["relative_path"].tolist() == names("L", "R", ending=ending)
    (first,), (second,) = places(maps.table)
    assert first.hemispheres == tuple((side, root / map_name("01", side, "A", ending)) for side in "LR")
    assert second.files == tuple(root / map_name("02", side, "A", ending) for side in "LR")


def test_one_hemisphere_of_all_is_taken(tmp_path: Path) -> None:
    maps = find(write(tmp_path / "d", names("R")), ("A",))
    assert maps.files["hemi"].tolist() == ["R", "R"]


def test_one_hemisphere_of_both_is_chosen_by_select(tmp_path: Path) -> None:
    maps = find(write(tmp_path / "d", names("L", "R")), ("A",), select={"hemi": ("L",)})
    assert maps.files["relative_path"].tolist() == names("L")


def test_who_lacks_a_hemisphere_is_named(tmp_path: Path) -> None:
    root = write(tmp_path / "d", [*names("L", "R"), map_name("03", "L", "A"), map_name("04", "R", "A")])
    with pytest.raises(
        DataError, match=r"2 of 4 maps lack a hemisphere:\n  sub-03 A: no hemi-R\n  sub-04 A: no hemi-L"
    ):
        find(root, ("A",))


def test_volumes_and_surfaces_of_a_condition_are_never_chosen_between(tmp_path: Path) -> None:
    """Not even where subjects have one kind each; the message's own advice works."""
    root = write(tmp_path / "d", [*names("L", "R"), *(flat(s, "A") for s in SUBJECTS)])
    with pytest.raises(DataError, match=r"2 kinds: 2 on surfaces.* 2 volumes.*\"extension\": \[\"\.func\.gii\"\]"):
        find(root, ("A",))
    assert find(root, ("A",), select={"extension": (".func.gii",)}).files["relative_path"].tolist() == names("L", "R")
    assert "hemi" not in find(root, ("A",), select={"extension": (".nii.gz",)}).files
    apart = write(tmp_path / "e", [*names("L", "R", subjects=("01",)), flat("02", "A")])
    with pytest.raises(DataError, match="2 kinds"):
        find(apart, ("A",))


def test_two_formats_of_one_map_are_two_maps(tmp_path: Path) -> None:
    root = write(tmp_path / "d", [*names("L", "R"), *names("L", "R", ending=".shape.gii")])
    with pytest.raises(DataError, match="has 2 maps of A where one is expected"):
        find(root, ("A",))


def test_meshes_labels_and_series_are_no_maps(tmp_path: Path) -> None:
    endings = (".surf.gii", ".label.gii", ".dlabel.nii", ".dtseries.nii")
    root = write(tmp_path / "d", [name for ending in endings for name in names("L", "R", ending=ending)])
    with pytest.raises(NothingMatchedError):
        find(root, ("A",))


def test_a_name_without_hemisphere_is_told(tmp_path: Path) -> None:
    root = write(tmp_path / "d", [flat(s, "A").replace(".nii.gz", ".func.gii") for s in SUBJECTS])
    with pytest.raises(DataError, match="do not say which hemisphere"):
        find(root, ("A",))


# The table of --maps


def table(root: Path, rows: list[str], head: str = "participant_id\tcondition\themi\tpath") -> Path:
    root.mkdir(exist_ok=True)
    (root / "maps.tsv").write_text("\n".join([head, *rows]) + "\n")
    return root / "maps.tsv"


def mgh(root: Path, name: str, values: np.ndarray) -> str:
    root.mkdir(exist_ok=True)
    nib.save(nib.MGHImage(values.astype(np.float32).reshape(-1, 1, 1), np.eye(4)), root / name)
    return name


def test_a_table_pairs_files_by_their_rows(tmp_path: Path) -> None:
    """FreeSurfer's own names say nothing; the values are those of the files, left before right."""
    values = np.arange(1.0, 17.0).reshape(2, 2, 4)
    rows = []
    for s, of_subject in zip("12", values, strict=True):
        for side, part in (("R", of_subject[1]), ("L", of_subject[0])):
            rows.append(f"{s}\tA\t{side}\t{mgh(tmp_path, f'{side}{s}.mgh', part)}")
    maps = find(tmp_path, ("A",), maps_table=table(tmp_path, rows))
    assert maps.files["relative_path"].tolist() == ["L1.mgh", "R1.mgh", "L2.mgh", "R2.mgh"]
    assert np.array_equal(load_maps(maps, ()).values, values.reshape(2, 8))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("2\tA\tL\ta.nii.gz", "is no map on a surface"),
        ("2\tA\t\tb.func.gii", "nothing says of which hemisphere"),
        ("2\tA\tX\tb.func.gii", "is neither L nor R"),
        ("1\tA\tL\tb.func.gii", "more than one row"),
        ("2\tA\tR\tb.func.gii", "lack a hemisphere"),
    ],
)
def test_rows_that_do_not_fit_are_told(row: str, said: str, tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.func.gii", "c.func.gii"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=said):
        find(tmp_path, ("A",), maps_table=table(tmp_path, ["1\tA\tL\tc.func.gii", row]))


# Loading


def test_vertices_without_data_leave_the_mask_and_are_counted(tmp_path: Path) -> None:
    """The medial wall, zero in all maps, as background; a NaN of one subject as lost to him."""
    values = np.random.default_rng(0).normal(3, 1, (3, 20))
    values[:, [2, 15]] = 0
    values[1, 7] = np.nan
    loaded = load_maps(find(write_study(tmp_path / "d", {"A": values}), ("A",)), ())
    expected = np.ones(20, np.bool_)
    expected[[2, 7, 15]] = False
    assert np.array_equal(loaded.inside, expected)
    assert loaded.values == pytest.approx(np.float32(values[:, expected]))
    assert loaded.n_lost == {"01": 0, "02": 1, "03": 0}
    assert any("1 vertices left the mask because a map lacks them; by subject: sub-02 1" in n for n in loaded.notes)
    partly = load_maps(find(tmp_path / "d", ("A",)), (), coverage=0.6)
    assert partly.inside.sum() == 18
    assert np.isnan(partly.values).sum() == 1


def test_another_number_of_vertices_is_told_with_both(tmp_path: Path) -> None:
    root = write_study(tmp_path / "d", {"A": np.ones((2, 20)) + np.arange(2)[:, None]})
    write_study(tmp_path / "e", {"A": np.ones((2, 22)) * 5})
    for side in "LR":
        (tmp_path / "e" / map_name("02", side, "A")).replace(root / map_name("02", side, "A"))
    with pytest.raises(
        DataError, match=r"not on the same mesh.\n.*10 vertices of the left.*\n.*11 vertices of the left"
    ):
        load_maps(find(root, ("A",)), ())
