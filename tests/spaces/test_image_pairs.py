"""Images of two files and volumes of 4-D files: nibabel's own test files, and pairs written here."""

from __future__ import annotations

import gzip
import hashlib
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.testing import data_path

from bids_app.errors import DataError
from bids_app.spaces.image_files import open_image
from bids_app.spaces.image_pairs import image_parts, read_afni_header, volume_number
from bids_app.spaces.volume import read_volume

EXAMPLES = Path(data_path)
AFNI = EXAMPLES / "example4d+orig.HEAD"  # 33 x 41 x 25 voxels, three sub-bricks of whole numbers, BRIK compressed
TALAIRACH = EXAMPLES / "scaled+tlrc.HEAD"  # one sub-brick with a scale factor
AFFINE = np.array([[-3.0, 0, 0, 60], [0, 3, 0, -90], [0, 0, 3.5, -50], [0, 0, 0, 1]])


@pytest.fixture
def series() -> np.ndarray:
    return np.random.default_rng(3).standard_normal((5, 4, 3, 6)).astype(np.float32)


@pytest.fixture
def afni(tmp_path: Path) -> Path:
    """A copy of nibabel's AFNI dataset with the labels of a first-level model."""
    head = AFNI.read_text().replace("count = 9\n'#0~#1~#2~", "count = 29\n'Full_Fstat~FF#0_Coef~UF#0_Coef~")
    assert "FF#0_Coef" in head
    (tmp_path / "stats.s1+orig.HEAD").write_text(head)
    shutil.copy(EXAMPLES / "example4d+orig.BRIK.gz", tmp_path / "stats.s1+orig.BRIK.gz")
    return tmp_path / "stats.s1+orig.HEAD"


def raw_brik() -> np.ndarray:
    """The voxels as AFNI defines them, without nibabel: 16-bit whole numbers, the first index fastest."""
    content = gzip.decompress((EXAMPLES / "example4d+orig.BRIK.gz").read_bytes())
    return np.frombuffer(content, "<i2").reshape((33, 41, 25, 3), order="F")


@pytest.mark.parametrize("name", ["stats.s1+orig.HEAD", "stats.s1+orig.BRIK.gz"])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_sub_brick_is_the_bytes_of_the_brik(afni: Path, name: str, number: int) -> None:
    """Either file of the two names it; x and y of AFNI point the other way, as its documentation says."""
    volume = read_volume(afni.with_name(name), volume=number)
    assert np.array_equal(volume.data, raw_brik()[..., number])
    assert volume.volume == number
    affine = [[-3, 0, 0, 49.5], [0, -3, 0, 82.312], [0, 0, 3, -52.3511], [0, 0, 0, 1]]
    assert volume.grid.affine == pytest.approx(np.array(affine), abs=1e-4)  # as printed in the header
    both = afni.read_bytes() + afni.with_name("stats.s1+orig.BRIK.gz").read_bytes()
    assert volume.sha256 == hashlib.sha256(both).hexdigest()


def test_an_unpacked_brik_gives_the_same_and_its_length_is_checked(afni: Path) -> None:
    packed = afni.with_name("stats.s1+orig.BRIK.gz")
    plain = afni.with_name("stats.s1+orig.BRIK")
    plain.write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    for path in (afni, plain):
        assert np.array_equal(read_volume(path, volume=2).data, raw_brik()[..., 2])
    plain.write_bytes(plain.read_bytes()[:-1000])
    with pytest.raises(DataError, match=r"asks for 202,950 bytes, and there are 201,950"):
        read_volume(afni, volume=0)


def test_the_scale_factor_of_a_sub_brick_is_applied() -> None:
    """By hand: whole numbers of the file times 3.883363e-08."""
    raw = np.frombuffer(TALAIRACH.with_suffix(".BRIK").read_bytes(), "<i2").reshape((47, 54, 43), order="F")
    for volume in (None, 0):
        data = read_volume(TALAIRACH, volume=volume).data
        assert data == pytest.approx(raw * 3.883363e-08, rel=1e-6)  # single precision has 6e-8
        assert data.max() == pytest.approx(0.001272461, rel=1e-4)  # BRICK_STATS of the header


def test_headers_of_afni_tell_labels_and_space(afni: Path) -> None:
    assert read_afni_header(AFNI) == read_afni_header(AFNI.with_name("example4d+orig.BRIK.gz"))
    assert read_afni_header(AFNI).labels == ("#0", "#1", "#2")
    assert (read_afni_header(AFNI).n_volumes, read_afni_header(AFNI).space) == (3, "ORIG")
    assert (read_afni_header(TALAIRACH).n_volumes, read_afni_header(TALAIRACH).space) == (1, "TLRC")
    assert read_afni_header(afni).labels == ("Full_Fstat", "FF#0_Coef", "UF#0_Coef")


@pytest.mark.parametrize(
    ("written", "space"),
    [
        ("MNI", "MNI"),
        ("MNI_2009c_asym", "MNI152NLin2009cAsym"),
        ("MNI_N27", "MNIColin27"),
        ("MNI_ANAT", "MNIANAT"),
        ("TT_N27", "TTN27"),
        ("HaskinsPeds_NL_template1.0", "HaskinsPedsNLtemplate10"),
    ],
)
def test_spaces_of_afni_get_the_names_of_bids(afni: Path, written: str, space: str) -> None:
    head = afni.read_text()
    afni.write_text(head.replace("count = 5\n'ORIG~", f"count = {len(written) + 1}\n'{written}~"))
    assert read_afni_header(afni).space == space


def test_without_a_template_the_view_tells_the_space(afni: Path) -> None:
    """SCENE_DATA begins with 0 for +orig, 1 for +acpc, 2 for +tlrc."""
    head = afni.read_text()
    attribute = head[head.index("type = string-attribute\nname = TEMPLATE_SPACE") :].partition("\n\n")[0]
    without = head.replace(attribute + "\n\n", "")
    afni.write_text(without)
    assert read_afni_header(afni).space == "ORIG"
    place = without.index("name = SCENE_DATA")
    afni.write_text(without[:place] + without[place:].replace(" 0 ", " 2 ", 1))
    assert read_afni_header(afni).space == "TLRC"


def test_a_volume_is_named_by_label_or_number(afni: Path) -> None:
    assert [volume_number(afni, text) for text in ("FF#0_Coef", "UF#0_Coef", "0", "2")] == [1, 2, 0, 2]
    assert volume_number(Path("a.nii.gz"), "7") == 7


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("FF#0_Coeff", r'Did you mean "FF#0_Coef"\? It has 3 sub-bricks: 0 Full_Fstat, 1 FF#0_Coef, 2 UF#0_Coef'),
        ("3", r'there is no sub-brick "3"\. It has 3 sub-bricks: 0 Full_Fstat'),
        ("-1", "there is no sub-brick"),
        ("1.0", "there is no sub-brick"),
    ],
)
def test_an_unknown_sub_brick_is_an_error_that_lists_them(afni: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        volume_number(afni, text)


def test_a_label_that_stands_for_two_sub_bricks_is_refused(afni: Path) -> None:
    """Twice the same label, and a label that is the number of another sub-brick."""
    head = afni.read_text()
    afni.write_text(head.replace("Full_Fstat~FF#0_Coef~UF#0_Coef~", "A#0_Coef~A#0_Coef~0~"))
    with pytest.raises(DataError, match="may be any of the sub-bricks 0, 1"):
        volume_number(afni, "A#0_Coef")
    with pytest.raises(DataError, match="may be any of the sub-bricks 0, 2"):
        volume_number(afni, "0")


def test_empty_labels_do_not_shift_the_others(afni: Path) -> None:
    afni.write_text(afni.read_text().replace("Full_Fstat~FF#0_Coef~UF#0_Coef~", "Full_Fstat~~UF#0_Coef~"))
    assert volume_number(afni, "UF#0_Coef") == 2


def test_only_afni_has_labels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="only the sub-bricks of AFNI files"):
        volume_number(tmp_path / "a.nii", "FF")


@pytest.mark.parametrize("name", ["bad_attribute+orig.HEAD", "bad_datatype+orig.HEAD"])
def test_damaged_headers_of_afni_are_named(name: str, tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / name, tmp_path)
    shutil.copy(EXAMPLES / "example4d+orig.BRIK.gz", tmp_path / name.replace("HEAD", "BRIK.gz"))
    with pytest.raises(DataError, match="cannot be read as one of AFNI"):
        read_afni_header(tmp_path / name)
    with pytest.raises(DataError, match="cannot be read as an AFNI image"):
        read_volume(tmp_path / name, volume=0)


@pytest.mark.parametrize("name", ["a.hdr", "a.img", "a+tlrc.HEAD", "a+tlrc.BRIK", "a+tlrc.BRIK.gz"])
def test_half_a_pair_is_named_with_the_other_half(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(bytes(400))
    with pytest.raises(DataError, match=r"there is no (a\.(hdr|img)|a\+tlrc\.(HEAD|BRIK)) beside it"):
        open_image(tmp_path / name)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("volume", [0, 3, 5])
def test_a_volume_of_a_series_is_its_slice(
    tmp_path: Path, series: np.ndarray, kind: type, name: str, volume: int
) -> None:
    """With an extension in the header, and scaled as whole numbers in the file."""
    for dtype in (np.float32, np.int16):
        header = kind.header_class()
        header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * 700))
        header.set_data_dtype(dtype)
        nib.save(kind(series, AFFINE, header), tmp_path / name)
        opened = read_volume(tmp_path / name, volume=volume)
        assert np.array_equal(opened.data, np.asarray(nib.load(tmp_path / name).dataobj)[..., volume])
        assert opened.data == pytest.approx(series[..., volume], abs=0 if dtype == np.float32 else 1e-3)
        assert opened.grid.affine == pytest.approx(AFFINE)
        assert opened.has_position
        assert opened.sha256 == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()


@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Spm2AnalyzeImage, nib.AnalyzeImage])
@pytest.mark.parametrize("name", ["a.hdr", "a.img"])
def test_pairs_are_read_by_either_name(tmp_path: Path, series: np.ndarray, kind: type, name: str) -> None:
    """A single volume, and one of several; the checksum covers both files."""
    affine = np.diag([-3.0, 3.0, 3.5, 1.0])
    nib.save(kind(series[..., 0], affine), tmp_path / "a.img")
    assert np.array_equal(read_volume(tmp_path / name).data, series[..., 0])
    assert np.array_equal(read_volume(tmp_path / name, volume=0).data, series[..., 0])
    parts = [tmp_path / "a.hdr", tmp_path / "a.img", *tmp_path.glob("a.mat")]
    assert image_parts(tmp_path / name) == tuple(parts)
    whole = b"".join(part.read_bytes() for part in parts)
    assert open_image(tmp_path / name).sha256 == hashlib.sha256(whole).hexdigest()
    nib.save(kind(series, affine), tmp_path / "a.img")
    assert np.array_equal(read_volume(tmp_path / name, volume=4).data, series[..., 4])


def test_the_position_of_an_analyze_pair_is_in_its_mat_file(tmp_path: Path, series: np.ndarray) -> None:
    nib.save(nib.Spm2AnalyzeImage(series[..., 0], AFFINE), tmp_path / "con_0001.img")
    opened = open_image(tmp_path / "con_0001.img")
    assert opened.has_position
    assert opened.affine == pytest.approx(AFFINE)
    (tmp_path / "con_0001.mat").unlink()
    assert not open_image(tmp_path / "con_0001.img").has_position


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.img"])
def test_a_series_needs_the_number_of_a_volume_that_it_has(tmp_path: Path, series: np.ndarray, name: str) -> None:
    kind = nib.Nifti1Pair if name == "a.img" else nib.Nifti1Image
    nib.save(kind(series, AFFINE), tmp_path / name)
    with pytest.raises(DataError, match=r"one of its 6 volumes.* in its column volume"):
        read_volume(tmp_path / name)
    with pytest.raises(DataError, match="there is no volume 6: the file has 6, from 0 to 5"):
        read_volume(tmp_path / name, volume=6)


def test_damage_behind_the_volume_is_seen(tmp_path: Path, series: np.ndarray) -> None:
    """A truncated series is not used, even where the wanted volume is whole."""
    for name in ("a.nii", "a.nii.gz"):
        nib.save(nib.Nifti1Image(series, AFFINE), tmp_path / name)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: -len(content) // 4])
        with pytest.raises(DataError, match="cannot be read"):
            read_volume(tmp_path / name, volume=0)


def test_a_bucket_of_five_dimensions_is_a_series(tmp_path: Path, series: np.ndarray) -> None:
    """As AFNI writes sub-bricks into NIfTI."""
    nib.save(nib.Nifti1Image(series[:, :, :, None], AFFINE), tmp_path / "a.nii.gz")
    assert np.array_equal(read_volume(tmp_path / "a.nii.gz", volume=3).data, series[..., 3])
