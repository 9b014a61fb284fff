"""Names, sidecars and bytes of what is written."""

from __future__ import annotations

import errno
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_app.design.design import Design
from bids_app.errors import OutputError
from bids_app.inference.evidence import Evidence
from bids_app.inference.over_parts import familywise
from bids_app.inference.parametric import bonferroni
from bids_app.inference.pareto_tail import TailFit
from bids_app.inference.result_tables import TableOptions, tabulate
from bids_app.inputs.naming import SourceDataset
from bids_app.model.parametric_settings import ParametricSettings
from bids_app.permutation.null_distribution import NullDistribution
from bids_app.permutation.shuffles import sign_flips
from bids_app.results.dataset_description import write_dataset
from bids_app.results.files import write_image, write_json, write_table, write_text
from bids_app.results.folder import NodeFolder, check_layout, check_writable, remove_abandoned, stays_in_container
from bids_app.results.node_writer import NodeWriter
from bids_app.results.write import is_mni152, write_conditions, write_contrast, write_design
from bids_app.runtime.locks import machine
from bids_app.runtime.options import RunOptions, command_line
from bids_app.statistics.fit import fit_contrast
from bids_app.statistics.kinds import contrast_test, contrast_tests
from builders import pages
from builders.drawings import make_design
from builders.spaces import map_writer, volume_maps

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
    folder = NodeWriter(NodeFolder(Path("out"), "my node", entities), {})
    assert folder.file("design.tsv") == Path("out/group/node-myNode") / f"{prefix}design.tsv"


def test_a_sidecar_has_the_stem_of_its_file_and_what_all_share(tmp_path: Path) -> None:
    """Also for .nii.gz and .tsv.gz."""
    folder = NodeWriter(NodeFolder(tmp_path, "n", {}), {"RandomSeed": 3})
    for name in ("a_statmap.nii.gz", "b_maxima.tsv.gz", "c.tsv"):
        folder.sidecar(folder.file(name), {"Description": name, "Affine": np.eye(1), "N": np.int64(2)})
        content = json.loads(folder.file(name.split(".")[0] + ".json").read_text())
        assert content == {"Description": name, "Affine": [[1.0]], "N": 2, "RandomSeed": 3}


def test_a_rerun_removes_what_an_earlier_run_wrote_and_nothing_else(tmp_path: Path) -> None:
    """Files of the old run that the new one did not write again go; the user's own, and other nodes', stay."""
    old = NodeWriter(NodeFolder(tmp_path, "n", {}), {})
    for path in (old.file("both.tsv"), old.file("old.tsv"), old.paths.figures / "old.png"):
        write_text(old.keep(path), "old")
    assert old.remove_leftovers() == []
    own = (old.file("mynotes.txt"), old.paths.path / "myrois" / "a.txt", tmp_path / "group" / "node-other" / "x.tsv")
    for path in own:
        write_text(path, "mine")
    new = NodeWriter(NodeFolder(tmp_path, "n", {}), {})
    write_text(new.keep(new.file("both.tsv")), "new")
    unwritten = {path for path in new.paths.earlier_files() if not new.has_written(path)}
    assert unwritten == {new.file("old.tsv"), new.paths.figures / "old.png"}
    assert new.remove_leftovers() == ["figures/old.png", "old.tsv"]
    assert new.file("both.tsv").read_text() == "new"
    assert all(path.read_text() == "mine" for path in own)


def test_a_run_that_dies_in_the_middle_leaves_nothing_that_the_next_one_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table, a picture, and a map killed half-way, so that nobody cleans up; the next run writes none of them."""
    died = NodeWriter(NodeFolder(tmp_path, "n", {}), {})
    table, own = died.file("old.tsv"), died.paths.path / ".own.part"
    write_text(died.keep(table), "old")
    died.sidecar(table, {})
    died.write_figure(died.paths.figure("contrast-a", "slices"), b"png")
    died.write_figure(died.paths.figure("contrast-a", "viewer", "html"), b"page")
    write_text(own, "mine")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: signal.raise_signal(signal.SIGINT))
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            write_image(died.keep(died.file("map.nii.gz")), np.zeros((2, 2, 2)), AFFINE, mni=True)
    (half,) = died.paths.path.glob(".map.nii.gz.*.part")
    process = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    half.rename(died.paths.path / half.name.replace(f"-{os.getpid()}-", f"-{int(process.stdout)}-"))  # which is gone
    left = {path.name for path in died.paths.path.rglob("*") if path.is_file()} - {".own.part", ".written.txt"}
    assert {name for name in left if not name.endswith(".part")} == {
        *("old.tsv", "old.json", "contrast-a_slices.png", "contrast-a_viewer.html"),
    }
    following = NodeWriter(NodeFolder(tmp_path, "n", {}), {})
    write_text(following.keep(following.file("new.tsv")), "new")
    assert len(following.remove_leftovers()) == 5
    assert {path.name for path in died.paths.path.rglob("*") if path.is_file()} == {
        "new.tsv",
        ".own.part",
        ".written.txt",
    }
    assert following.paths.manifest.read_text() == "new.tsv\n"


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


def test_the_sidecar_of_the_design_has_the_block_of_each_subject(tmp_path: Path) -> None:
    """Where blocks are named; otherwise there is no such entry."""
    folder = NodeWriter(NodeFolder(tmp_path, "n", {}), {})
    design = make_design(n_subjects=3)
    write_design(folder, design, contrast_tests(design), [])
    assert "Blocks" not in json.loads(folder.file("design.json").read_text())
    write_design(
        folder, replace(design, blocks=("a", "b", "a")), contrast_tests(replace(design, blocks=("a", "b", "a"))), []
    )
    blocks = json.loads(folder.file("design.json").read_text())["Blocks"]
    assert blocks == {f"sub-{subject}": block for subject, block in zip(design.subjects, "aba", strict=True)}


def test_the_command_can_be_typed_again() -> None:
    """Quoted where it must be; the options that change results, and the limits of memory and place that were set."""
    options = RunOptions(
        Path("my data"),
        Path("out"),
        Path("m.json"),
        derivatives=(("glm", Path("d")), (None, Path("e"))),
        participants=Path("people.tsv"),
        mask=Path("mask.nii"),
        participant_label=("01", "02"),
        random_seed=7,
        n_jobs=3,
        mem_mb=4000,
        work_dir=Path("scratch"),
    )
    assert command_line(options) == (
        "bids-grouplevel 'my data' out group --model m.json --derivatives glm=d e --participants people.tsv "
        "--mask mask.nii --mem-mb 4000 --work-dir scratch --participant-label 01 02 --random-seed 7"
    )


def test_what_json_does_not_know_is_refused(tmp_path: Path) -> None:
    """Rather than written as a guess."""
    with pytest.raises(TypeError, match="cannot be written as JSON"):
        write_json(tmp_path / "x.json", {"a": object()})


def test_sidecars_say_which_p_are_approximate_and_over_what_was_corrected(tmp_path: Path) -> None:
    """The map of p has the tail's parameters, or the reason why there are none; nothing where none was asked for."""
    contrast = pages.make_contrast("t", "Faces")
    values = np.random.default_rng(0).standard_normal((24, 64)).astype(np.float32)
    maps = volume_maps(values, pages.MASK, AFFINE)
    fit = fit_contrast(values, contrast_test(pages.make_design(contrast), contrast))
    maxima, observed = {"voxel": np.linspace(5, 1, 8)}, {"voxel": np.abs(fit.statistic)}
    flips = sign_flips(8, 8, np.random.default_rng(0), up_to_sign=True)
    null = NullDistribution("Faces", flips, maxima, observed, np.ones(64, np.int64), 3.0, 26)
    (result,) = familywise(null, 0.2)
    tables = tabulate(result, fit, [], maps.frame.domain(maps.inside, 26), TableOptions())
    tail = TailFit(3.0, 1.5, 0.1, 0.6, 0.2)
    found = []
    for name, changes in (
        ("a", {}),
        ("b", {"tail": tail}),
        ("c", {"no_tail": "it needs at least 500 permutations"}),
        ("d", {"tail": tail, "across": 3, "n_families": 2}),
    ):
        folder = NodeWriter(NodeFolder(tmp_path, name, {}), {})
        write_contrast(map_writer(folder, maps), maps.before, fit, null, [(replace(result, **changes), tables)])
        found.append(json.loads(folder.file("contrast-AB_stat-logp_desc-voxelFWE_statmap.json").read_text()))
    assert "TailApproximation" not in found[0]
    assert found[1]["TailApproximation"]["Shape"] == 0.1
    assert found[1]["TailApproximation"]["Description"].startswith("p below 0.1 are approximate")
    assert found[2]["TailApproximation"].startswith("not used: it needs at least 500 permutations")
    assert "ContrastsCorrectedTogether" not in found[1]
    assert (found[3]["ContrastsCorrectedTogether"], found[3]["FamiliesOfContrasts"]) == (3, 2)
    assert (found[1]["CriticalValueOf"], found[3]["CriticalValueOf"]) == ("|t|", "z")


@pytest.mark.parametrize(
    ("space", "has_position", "code"),
    [
        ("MNI152NLin6Asym", True, 4),
        ("MNI", True, 4),
        ("MNI152NLin6Asym", False, 2),
        ("MNIInfant+2", True, 2),
        ("MNI305", True, 2),
        ("MNIColin27", True, 2),
        ("T1w", True, 2),
        (None, True, 2),
    ],
)
def test_headers_say_mni152_of_maps_in_it_alone(
    space: str | None,
    has_position: bool,  # noqa: FBT001
    code: int,
    tmp_path: Path,
) -> None:
    """The NIfTI code 4 is that of MNI152: no other template of the MNI has one, and a guess is none."""
    contrast = pages.make_contrast("t", "Faces")
    values = np.random.default_rng(0).standard_normal((24, 64)).astype(np.float32)
    maps = volume_maps(values, pages.MASK, AFFINE, has_position=has_position)
    folder = NodeWriter(NodeFolder(tmp_path, "a", {"space": space} if space else {}), {})
    is_mni = is_mni152(folder.entities, has_position=has_position)
    write_conditions(map_writer(folder, maps, is_mni=is_mni), maps, pages.make_design(contrast))
    header = nib.load(next(folder.paths.path.glob("*condition-B_stat-mean_statmap.nii.gz"))).header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (code, code)


@pytest.mark.parametrize(("test", "size"), [("t", "hedgesg"), ("F", "etasq")])
def test_effect_sizes_and_condition_means_are_written_as_maps(tmp_path: Path, test: str, size: str) -> None:
    """The limits hold the estimate; the means are those of the maps, and sidecars say what the bars are."""
    contrast = pages.make_contrast(test, "Faces")
    design = pages.make_design(contrast)
    values = np.random.default_rng(0).standard_normal((24, 64)).astype(np.float32)
    maps = volume_maps(values, pages.MASK, AFFINE)
    folder = NodeWriter(NodeFolder(tmp_path, "a", {}), {})
    fit = fit_contrast(values, contrast_test(design, contrast))
    write_contrast(map_writer(folder, maps), maps.before, fit, None, [])
    write_conditions(map_writer(folder, maps), maps, design)

    def read(name: str) -> tuple[np.ndarray, dict[str, object]]:
        path = folder.file(f"{name}_statmap.nii.gz")
        return nib.load(path).get_fdata().ravel(), json.loads(path.with_name(f"{name}_statmap.json").read_text())

    stem = f"contrast-AB_stat-{size}"
    lower, about = read(f"{stem}_desc-lower95")
    assert np.all(lower <= read(stem)[0])
    usual = fit.p < 0.5  # an F near 0 is too small even for no effect, and its interval is 0 to 0
    assert np.all(read(stem)[0][usual] <= read(f"{stem}_desc-upper95")[0][usual])
    assert ("90 %" in str(about["Description"])) == (test == "F")
    for each in ("", "_desc-lower95", "_desc-upper95"):  # A minus B is within subjects
        assert ("this is g_z" in str(read(f"{stem}{each}")[1]["Description"])) == (test == "t")
    mean, about = read("condition-B_stat-mean")
    assert mean == pytest.approx(values[1::3].mean(axis=0), rel=1e-5, abs=1e-6)  # single precision
    assert about["Condition"] == "B"
    assert "Cousineau-Morey" in read("condition-B_stat-sem")[1]["Description"]


def test_hedges_g_of_means_is_not_called_that_of_differences(tmp_path: Path) -> None:
    """A mean of conditions against zero, or over groups, is in standard deviations of means."""
    contrast = replace(pages.make_contrast("t", "Mean"), within=np.full((1, 3), 3**-0.5), cell_weights=np.ones((1, 3)))
    values = np.random.default_rng(0).standard_normal((24, 64)).astype(np.float32)
    maps, folder = volume_maps(values, pages.MASK, AFFINE), NodeWriter(NodeFolder(tmp_path, "a", {}), {})
    write_contrast(
        map_writer(folder, maps),
        maps.before,
        fit_contrast(values, contrast_test(pages.make_design(contrast), contrast)),
        None,
        [],
    )
    content = json.loads(folder.file("contrast-AB_stat-hedgesg_statmap.json").read_text())
    assert content["Description"].startswith("Hedges' g")
    assert "g_z" not in content["Description"]


@pytest.mark.parametrize(
    ("sided", "method", "said"),
    [
        ("two", "fdr", "two-sided p-values of dependent voxels are not covered"),
        ("positive", "fdr", "one-sided p-values of positively correlated noise are taken to be so"),
        ("two", "tfceFWE", "can exceed what is shown"),
        ("two", "clusterSizeFWE", "not about its voxels"),
        ("two", "bonferroni", None),
    ],
)
def test_sidecars_say_what_a_result_is_about(tmp_path: Path, sided: str, method: str, said: str | None) -> None:
    """Those of thresholded maps and of tables alike."""
    contrast = replace(pages.make_contrast("t", "Faces"), sided=sided)  # type: ignore[arg-type]
    values = np.random.default_rng(0).standard_normal((24, 64)).astype(np.float32)
    values[0::3, :8] += 4
    maps, folder = volume_maps(values, pages.MASK, AFFINE), NodeWriter(NodeFolder(tmp_path, "a", {}), {})
    fit = fit_contrast(values, contrast_test(pages.make_design(contrast), contrast))
    domain = maps.frame.domain(maps.inside, 26)
    result = replace(bonferroni(Evidence(fit, domain), ParametricSettings(correction="bonferroni")), method=method)
    tables = tabulate(result, fit, [], domain, TableOptions())
    write_contrast(map_writer(folder, maps), maps.before, fit, None, [(result, tables)])
    for name in (f"stat-t_desc-{method}Thresh_statmap", f"desc-{method}_clusters", f"desc-{method}_peaks"):
        content = json.loads(folder.file(f"contrast-AB_{name}.json").read_text())
        assert content.get("Interpretation") is None if said is None else said in content["Interpretation"]


def test_each_group_has_means_and_errors_beside_those_of_all(tmp_path: Path, rng: np.random.Generator) -> None:
    """Named by its level, and read back from disk: the mean over its subjects, its number in the sidecar."""
    groups = ("group.b", "group.a", "group.b", "group.a", "group.b")
    names = ("group.a", "group.b")
    between = np.array([[float(own == name) for name in names] for own in groups])
    subjects = tuple("12345")
    design = Design(np.tile(np.eye(2), (5, 1)), ("A", "B"), subjects, ("A", "B"), between, names, (), groups=groups)
    values = rng.normal(size=(10, 8)).astype(np.float32)
    maps = volume_maps(values, np.ones((2, 2, 2), bool), AFFINE, n_lost=dict.fromkeys(subjects, 0))
    folder = NodeWriter(NodeFolder(tmp_path, "n", {}), {})
    write_conditions(map_writer(folder, maps), maps, design)
    assert len(list(folder.paths.path.glob("*.nii.gz"))) == 2 * 2 * 3
    for desc, members in (("", range(5)), ("_desc-groupA", (1, 3)), ("_desc-groupB", (0, 2, 4))):
        path = folder.file(f"condition-B_stat-mean{desc}_statmap.nii.gz")
        expected = values[[2 * subject + 1 for subject in members]].astype(float).mean(0)
        if not desc:  # groups of two and three weigh alike
            b = values[1::2].astype(float)
            expected = (b[[1, 3]].mean(0) + b[[0, 2, 4]].mean(0)) / 2
        assert nib.load(path).get_fdata().ravel() == pytest.approx(expected, rel=1e-6, abs=1e-7)  # float32 on disk
        content = json.loads(folder.file(f"condition-B_stat-sem{desc}_statmap.json").read_text())
        assert content["NumberOfSubjects"] == len(members)
        assert content.get("Group", "") == desc.replace("_desc-groupA", "group.a").replace("_desc-groupB", "group.b")


def test_an_image_that_the_app_runs_in_is_named_among_the_makers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As BIDS spells it, from variables that were set when the image was built; outside of one there is no such key."""
    versions = {"bids-grouplevel": "1.2", "nilearn": "0.13"}
    for name in ("TYPE", "TAG", "URI"):
        monkeypatch.delenv(f"BIDS_GROUPLEVEL_CONTAINER_{name}", raising=False)
    write_dataset(tmp_path, (), versions)
    makers = json.loads((tmp_path / "dataset_description.json").read_text())["GeneratedBy"]
    assert ["Container" in maker for maker in makers] == [False, False]
    monkeypatch.setenv("BIDS_GROUPLEVEL_CONTAINER_TYPE", "docker")
    monkeypatch.setenv("BIDS_GROUPLEVEL_CONTAINER_TAG", "bids/grouplevel:1.2")
    write_dataset(tmp_path, (), versions)
    makers = json.loads((tmp_path / "dataset_description.json").read_text())["GeneratedBy"]
    assert makers[0]["Container"] == {"Type": "docker", "Tag": "bids/grouplevel:1.2"}
    assert "Container" not in makers[1]


def test_compressed_files_have_the_same_header_under_every_python(tmp_path: Path) -> None:
    """No time stamp, and Unix (3) as the system that wrote it, where Python 3.13 would write "unknown"."""
    write_table(tmp_path / "a.tsv.gz", pd.DataFrame({"a": [1.0, 2.0]}))
    assert (tmp_path / "a.tsv.gz").read_bytes()[:10] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03"
    write_image(tmp_path / "a.nii.gz", np.zeros((2, 2, 2), np.float32), AFFINE, mni=False)
    assert (tmp_path / "a.nii.gz").read_bytes()[:10] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"


def test_results_on_the_file_system_of_a_container_are_known_to_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only in a container, and only where nothing is mounted."""
    monkeypatch.delenv("BIDS_GROUPLEVEL_CONTAINER_TYPE", raising=False)
    assert not stays_in_container(Path("/nothing/here"))
    monkeypatch.setenv("BIDS_GROUPLEVEL_CONTAINER_TYPE", "docker")
    assert stays_in_container(Path("/nothing/here"))
    assert not stays_in_container(Path("/proc/nothing"))


def test_files_that_a_later_stage_decides_about_stay_and_stay_listed(tmp_path: Path) -> None:
    """Pictures of an earlier run, until the report of this one is made; what is not there is not listed."""
    old = NodeWriter(NodeFolder(tmp_path, "n", {}), {})
    kept, gone, absent = old.paths.figure("", "kept"), old.file("gone.tsv"), old.paths.figure("", "absent")
    for path in (kept, gone):
        write_text(old.keep(path), "old")
    new = NodeWriter(old.paths, {})
    write_text(new.keep(new.file("new.tsv")), "new")
    assert new.remove_leftovers(but={kept, absent}) == ["gone.tsv"]
    assert kept.read_text() == "old"
    assert new.paths.manifest.read_text() == "figures/kept.png\nnew.tsv\n"
    later = NodeWriter(old.paths, {}, kept={new.file("new.tsv")})
    assert later.has_written(new.file("new.tsv"))
    assert later.remove_leftovers() == ["figures/kept.png"]
    assert later.paths.manifest.read_text() == "new.tsv\n"


class TestNothingOfOthersIsRemoved:
    """Whoever wrote into the list of files: a run removes what it can prove to be its own, and no more."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> NodeFolder:
        """An earlier run's folder, with a file and a picture that the next run does not write."""
        folder = NodeFolder(tmp_path / "out", "n", {})
        earlier = NodeWriter(folder, {})
        for path in (folder.file("old.tsv"), folder.figures / "old.png"):
            write_text(earlier.keep(path), "old")
        return folder

    @pytest.mark.parametrize(
        "line",
        [
            "../../../mine.txt",
            "../../../mine.tsv",
            "{absolute}/mine.tsv",
            "../../mine.tsv",
            "../node-n/old.tsv",
            "rois/mine.tsv",
            "figures/../../../../mine.tsv",
            "figures/../../../../mine.png",
            "mine.txt",
            ".",
            "..",
            "",
            "x" * 300 + ".tsv",
            "mine.tsv\0",
            "link.tsv",
            "folder.tsv",
        ],
    )
    def test_a_line_that_leads_elsewhere_is_left_alone(self, folder: NodeFolder, tmp_path: Path, line: str) -> None:
        """Outside, beside, below, links and folders; what the earlier run wrote goes all the same."""
        mine = [tmp_path / "mine.txt", tmp_path / "mine.tsv", tmp_path / "mine.png", tmp_path / "out" / "mine.tsv"]
        mine += [folder.path / "mine.txt", folder.path / "rois" / "mine.tsv", folder.path / "folder.tsv" / "a"]
        for path in mine:
            write_text(path, "mine")
        (folder.path / "link.tsv").symlink_to(tmp_path / "mine.tsv")
        with folder.manifest.open("a") as file:
            file.write(line.format(absolute=tmp_path) + "\n")
        NodeWriter(folder, {}).remove_leftovers()
        assert [path.read_text() for path in mine] == ["mine"] * len(mine)
        assert (folder.path / "link.tsv").is_symlink()
        assert not folder.file("old.tsv").exists()
        assert not (folder.figures / "old.png").exists()

    def test_strange_lines_are_told(self, folder: NodeFolder, caplog: pytest.LogCaptureFixture) -> None:
        """With the first of them and their number."""
        with folder.manifest.open("a") as file:
            file.write("../a\n../b\n")
        NodeWriter(folder, {}).remove_leftovers()
        (warning,) = caplog.messages
        assert f'{folder.manifest} names 2 files that no run writes there, "../a" and others' in warning

    @pytest.mark.parametrize("content", [b"old.tsv\n\xff\xfe\n", b"old.tsv\n" + b"x" * 10_000_001])
    def test_a_damaged_list_removes_nothing_and_stops_nothing(
        self, folder: NodeFolder, content: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        """No UTF-8, or far too long."""
        folder.manifest.write_bytes(content)
        assert NodeWriter(folder, {}).remove_leftovers() == []
        assert folder.file("old.tsv").exists()
        assert "is damaged" in caplog.text
        assert "nothing of an earlier run is removed" in caplog.text

    def test_a_list_that_is_a_link_is_neither_read_nor_written(self, folder: NodeFolder, tmp_path: Path) -> None:
        """Refused before the work, and, where it comes later, when the first file is written."""
        mine = tmp_path / "mine.txt"
        mine.write_text("old.tsv\n")
        folder.manifest.unlink()
        folder.manifest.symlink_to(mine)
        with pytest.raises(OutputError, match=r"\.written\.txt is a link"):
            check_layout(folder.output_dir, ["n"])
        new = NodeWriter(folder, {})
        assert new.paths.earlier_files() == set()
        with pytest.raises(OutputError, match=r"written"):
            new.keep(new.file("new.tsv"))
        assert mine.read_text() == "old.tsv\n"

    @pytest.mark.parametrize("place", ["group", "group/node-n", "group/node-n/figures", "logs"])
    def test_folders_that_are_links_are_refused(self, tmp_path: Path, place: str) -> None:
        """Wherever they lead, with that place."""
        (tmp_path / "elsewhere").mkdir()
        path = tmp_path / "out" / place
        path.parent.mkdir(parents=True)
        path.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(OutputError) as caught:
            check_layout(tmp_path / "out", ["n"])
        assert str(caught.value).startswith(f"{path} is a link to {tmp_path / 'elsewhere'}; expected a folder")

    def test_what_stands_in_the_place_of_a_file_is_found_before_the_work(self, tmp_path: Path) -> None:
        """A folder report.html would cost the page at the end."""
        (tmp_path / "report.html").mkdir()
        with pytest.raises(OutputError, match=r"report\.html is a folder; expected a file"):
            check_layout(tmp_path, ["n"])
        (tmp_path / "group").write_text("")
        with pytest.raises(OutputError, match="group is a file; expected a folder"):
            check_layout(tmp_path, ["n"])


@pytest.mark.parametrize("name", ["..", "a/b", "../a", "", ".", "/a", "a\0b", "a__b.tsv", "-a", "Лица", "a b"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    """Of a file, a picture, an entity; of a node where nothing is left of it."""
    folder = NodeFolder(tmp_path, "n", {})
    for make in (
        lambda: folder.file(f"{name}"),
        lambda: folder.figure("", f"{name}/x"),
        lambda: NodeFolder(tmp_path, "n", {"space": name}),
    ):
        with pytest.raises(OutputError, match="expected letters and digits"):
            make()


def test_halves_at_the_top_go_when_their_process_is_gone(tmp_path: Path) -> None:
    """Of the page, the description and the logs; those of a living process, and the user's own, stay."""
    process = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    dead, alive = int(process.stdout), os.getppid()
    halves = ["report.html", "dataset_description.json", "logs/CITATION.md", "logs/20260101-000000-000000/log.txt"]
    halves.append("logs/20260101-000000-000000/report_node-anova.json")
    kept = [".report.html.part", ".mine.txt.{}.part", f".report.html.{machine()}-{alive}-0123abcd.part"]
    kept += [f".mine.txt.{machine()}-{dead}-0123abcd.part", "logs/.mine.part"]
    for name in halves:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f".{path.name}.{machine()}-{dead}-0123abcd.part").write_text("half")
    for name in kept:
        (tmp_path / name).write_text("kept")
    remove_abandoned(tmp_path)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == set(kept)


def test_halves_of_another_machine_go_when_they_are_old(tmp_path: Path) -> None:
    """On a shared file system nobody can ask whether its process lives; an hour is longer than any file takes."""
    for name, age in (("report.html", 7200), ("README.md", 60)):
        path = tmp_path / f".{name}.00000000-1-0123abcd.part"
        path.write_text("half")
        os.utime(path, (time.time() - age,) * 2)
    remove_abandoned(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".README.md.00000000-1-0123abcd.part"]


def test_a_disk_that_turns_read_only_is_told_by_its_own_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the half-written file can be removed, and that must not take the place of what failed."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(OutputError, match=r"a\.txt cannot be written: Read-only file system"):
        write_text(tmp_path / "a.txt", "text")
