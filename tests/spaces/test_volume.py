"""The voxels of a mask as a domain: places, sizes, neighbours, and maps on the disk."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_app.errors import DataError
from bids_app.spaces.topology import LatticeTopology
from bids_app.spaces.volume import VolumeDomain
from builders.spaces import ragged_mask

# Oblique: 2 x 3 x 4 mm voxels, turned about z
TURN = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
AFFINE = np.eye(4)
AFFINE[:3, :3] = TURN @ np.diag([2.0, 3.0, 4.0])
AFFINE[:3, 3] = 10, -20, 30


@pytest.fixture
def domain(rng: np.random.Generator) -> VolumeDomain:
    return VolumeDomain.from_mask(ragged_mask(rng, (5, 6, 7)), AFFINE, 18)


def test_voxels_lie_where_the_affine_puts_them(domain: VolumeDomain) -> None:
    """In C order of the mask, against nibabel."""
    assert np.array_equal(domain.ijk, np.argwhere(domain.mask))
    assert domain.xyz_mm == pytest.approx(nib.affines.apply_affine(AFFINE, domain.ijk), rel=1e-12)
    assert (domain.n_elements, domain.plural, domain.size_unit) == (int(domain.mask.sum()), "voxels", "mm3")


def test_a_set_of_voxels_has_the_volume_of_its_voxels(domain: VolumeDomain) -> None:
    """2 x 3 x 4 mm, whatever the turn; the sizes of single voxels add up to it."""
    members = np.array([0, 3, 8])
    assert domain.measure(members) == pytest.approx(72, rel=1e-12)
    assert domain.sizes[members].sum() == pytest.approx(72, rel=1e-12)


def test_neighbours_are_those_of_the_lattice(domain: VolumeDomain) -> None:
    voxels = np.array([2, 7])
    lattice = LatticeTopology.from_mask(domain.mask, 18)
    assert np.array_equal(domain.neighbours(voxels), lattice.neighbours()[voxels])
    for row, voxel in zip(domain.neighbours(voxels), voxels, strict=True):
        assert row[row >= 0].tolist() == domain.adjacency.neighbours(np.array([voxel]))[0].tolist()
    assert domain.describe() == {"Connectivity": 18}


def test_the_fingerprint_tells_masks_and_connectivities_apart(domain: VolumeDomain) -> None:
    def as_bytes(mask: np.ndarray, connectivity: int) -> list[bytes]:
        return [part.tobytes() for part in VolumeDomain.from_mask(mask, AFFINE, connectivity).fingerprint()]

    smaller = domain.mask.copy()
    smaller[tuple(domain.ijk[0])] = False
    own = [part.tobytes() for part in domain.fingerprint()]
    assert own == as_bytes(domain.mask, 18)
    assert own != as_bytes(smaller, 18)
    assert own != as_bytes(domain.mask, 26)


def test_the_nearest_voxel_is_the_one_whose_centre_is(domain: VolumeDomain, rng: np.random.Generator) -> None:
    for place in rng.uniform(-20, 40, (20, 3)):
        distances = [float(np.linalg.norm(place - centre)) for centre in domain.xyz_mm]
        assert domain.nearest(place) == int(np.argmin(distances))


def test_a_map_comes_back_from_the_disk(domain: VolumeDomain, rng: np.random.Generator, tmp_path: Path) -> None:
    """In its own type, the value outside around it, MNI152 in the header where it is so; the same bytes again."""
    for kind, is_mni in ((np.float32, True), (np.float64, False)):
        values = rng.standard_normal(domain.n_elements).astype(kind)
        own = VolumeDomain.from_mask(domain.mask, AFFINE, 18, is_mni=is_mni)
        own.write(tmp_path / "a.nii.gz", values, outside=1.0)
        own.write(tmp_path / "b.nii.gz", values, outside=1.0)
        assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
        assert np.array_equal(own.read(tmp_path / "a.nii.gz"), values)
        image = nib.load(tmp_path / "a.nii.gz")
        assert image.get_data_dtype() == kind
        assert image.header["sform_code"] == (4 if is_mni else 2)
        assert np.all(np.asanyarray(image.dataobj)[~domain.mask] == 1)


def test_a_map_on_another_grid_is_refused(domain: VolumeDomain, tmp_path: Path) -> None:
    other = VolumeDomain.from_mask(domain.mask, np.diag([2.0, 2.0, 2.0, 1.0]), 18)
    other.write(tmp_path / "map.nii.gz", np.zeros(other.n_elements, np.float32))
    with pytest.raises(DataError, match="expected the grid of the analysis mask"):
        domain.read(tmp_path / "map.nii.gz")


def test_voxels_of_a_grid_are_those_of_the_mask_and_no_others(domain: VolumeDomain) -> None:
    assert np.array_equal(domain.on_grid((5, 6, 7), AFFINE), domain.ijk)
    with pytest.raises(ValueError, match="a grid of"):
        domain.on_grid((5, 6, 8), AFFINE)
    with pytest.raises(ValueError, match="the same affine"):
        domain.on_grid((5, 6, 7), np.eye(4))
