"""Names, sidecars and bytes of what is written."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_app.discovery import SourceDataset
from bids_app.errors import OutputError
from bids_app.outputs import (
    NodeFolder,
    check_writable,
    command_line,
    write_dataset,
    write_image,
    write_json,
    write_table,
    write_text,
)
from bids_app.spec import RunOptions

AFFINE = np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("entities", "prefix"),
    [
        ({}, ""),
        ({"space": "MNI152Lin"}, "space-MNI152Lin_"),
        ({"res": "2", "space": "S", "task": "faces"}, "task-faces_space-S_res-2_"),
    ],
)
def test_shared_entities_stand_before_the_name_in_bids_order(entities: dict[str, str], prefix: str) -> None:
    """Only those that all maps share; the node's folder has an alphanumeric label."""
    folder = NodeFolder(Path("out"), "my node", entities, {})
    assert folder.file("design.tsv") == Path("out/group/node-myNode") / f"{prefix}design.tsv"


def test_a_sidecar_has_the_stem_of_its_file_and_what_all_share(tmp_path: Path) -> None:
    """Also for .nii.gz and .tsv.gz."""
    folder = NodeFolder(tmp_path, "n", {}, {"RandomSeed": 3})
    for name in ("a_statmap.nii.gz", "b_maxima.tsv.gz", "c.tsv"):
        folder.sidecar(folder.file(name), {"Description": name, "Affine": np.eye(1), "N": np.int64(2)})
        content = json.loads(folder.file(name.split(".")[0] + ".json").read_text())
        assert content == {"Description": name, "Affine": [[1.0]], "N": 2, "RandomSeed": 3}


def test_a_rerun_removes_what_an_earlier_run_wrote_and_nothing_else(tmp_path: Path) -> None:
    """Files of the old run that the new one did not write again go; the user's own, and other nodes', stay."""
    old = NodeFolder(tmp_path, "n", {}, {})
    for path in (old.file("both.tsv"), old.file("old.tsv"), old.figures / "old.png"):
        write_text(old.keep(path), "old")
    assert old.remove_leftovers() == []
    own = (old.file("mynotes.txt"), old.path / "myrois" / "a.txt", tmp_path / "group" / "node-other" / "x.tsv")
    for path in own:
        write_text(path, "mine")
    new = NodeFolder(tmp_path, "n", {}, {})
    write_text(new.keep(new.file("both.tsv")), "new")
    assert new.earlier_files() - new.written == {new.file("old.tsv"), new.figures / "old.png"}
    assert new.remove_leftovers() == ["figures/old.png", "old.tsv"]
    assert new.file("both.tsv").read_text() == "new"
    assert all(path.read_text() == "mine" for path in own)


def test_images_keep_values_grid_and_units_and_carry_no_time(tmp_path: Path) -> None:
    """The same volume gives the same bytes; single precision stays single, double double."""
    volume = np.random.default_rng(0).standard_normal((4, 5, 6))
    for dtype in (np.float32, np.float64):
        paths = [tmp_path / f"{n}.nii.gz" for n in range(2)]
        for path in paths:
            write_image(path, volume.astype(dtype), AFFINE, mni=True)
        assert paths[0].read_bytes() == paths[1].read_bytes()
        assert paths[0].read_bytes()[4:8] == bytes(4)  # gzip's time stamp
        image = nib.load(paths[0])
        assert np.array_equal(np.asarray(image.dataobj), volume.astype(dtype))
        assert image.get_data_dtype() == dtype
        assert np.array_equal(image.affine, AFFINE)
        assert image.header.get_xyzt_units() == ("mm", "sec")
        assert image.header["sform_code"] == 4


def test_tables_are_written_as_bids_wants_them(tmp_path: Path) -> None:
    """Tabs, n/a, nine digits; compressed ones without a time stamp."""
    table = pd.DataFrame({"a": [1.5, None], "b": ["x", "y z"], "p": [1e-12, 0.1 + 0.2]})
    write_table(tmp_path / "t.tsv", table)
    assert (tmp_path / "t.tsv").read_text() == "a\tb\tp\n1.5\tx\t1e-12\nn/a\ty z\t0.3\n"
    write_table(tmp_path / "t.tsv.gz", table)
    content = (tmp_path / "t.tsv.gz").read_bytes()
    assert content[4:8] == bytes(4)
    assert gzip.decompress(content) == (tmp_path / "t.tsv").read_bytes()


def test_a_write_that_fails_leaves_the_old_file_and_no_half_of_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk in the middle of a file."""
    target = tmp_path / "map.tsv"
    write_text(target, "old")

    def half(self: Path, text: str, encoding: str) -> int:
        with self.open("w", encoding=encoding) as file:
            file.write(text[:2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(OutputError, match=r"map\.tsv cannot be written: No space left"):
        write_text(target, "new content")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_output_folder_below_a_file_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    """A folder that does not exist yet is fine."""
    check_writable(tmp_path / "new" / "deeper")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        check_writable(tmp_path / "file" / "out")


def test_the_dataset_is_a_bids_derivative(tmp_path: Path) -> None:
    """Description, README, .bidsignore; links relative, never absolute."""
    source = SourceDataset("maps", tmp_path / "in", {"Name": "x", "DatasetDOI": "doi:1"})
    write_dataset(tmp_path / "out", (source,), {"bids-grouplevel": "1.0", "nilearn": "0.14"})
    description = json.loads((tmp_path / "out" / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert [each["Name"] for each in description["GeneratedBy"]] == ["bids-grouplevel", "nilearn"]
    assert description["GeneratedBy"][0]["Version"] == "1.0"
    assert description["DatasetLinks"] == {"maps": "../in"}
    assert description["SourceDatasets"] == [{"DOI": "doi:1"}]
    assert (tmp_path / "out" / ".bidsignore").read_text().split() == ["*.html", "group"]


def test_the_command_can_be_typed_again() -> None:
    """Quoted where it must be, only the options that change results."""
    options = RunOptions(
        Path("my data"),
        Path("out"),
        Path("m.json"),
        derivatives=(("glm", Path("d")), (None, Path("e"))),
        mask=Path("mask.nii"),
        participant_label=("01", "02"),
        random_seed=7,
    )
    assert command_line(options) == (
        "bids-grouplevel 'my data' out group --model m.json --derivatives glm=d e --mask mask.nii "
        "--participant-label 01 02 --random-seed 7"
    )


def test_what_json_does_not_know_is_refused(tmp_path: Path) -> None:
    """Rather than written as a guess."""
    with pytest.raises(TypeError, match="cannot be written as JSON"):
        write_json(tmp_path / "x.json", {"a": object()})
