"""Parts of a CIFTI file: neighbours by triangles and by distance, sizes in units of their own, maps in and out."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from nibabel.cifti2.cifti2_axes import BrainModelAxis

from bids_app.errors import DataError
from bids_app.spaces.clusters import label_components
from bids_app.spaces.grayordinate_domain import GrayordinateDomain
from bids_app.spaces.grayordinates import VOLUME_PART, BrainModel, Grayordinates, read_dscalar
from bids_app.spaces.volume import VolumeDomain
from builders import cifti
from builders.meshes import icosahedron

N_STEPS = {6: 1, 18: 2, 26: 3}


def rows_of(axis: BrainModelAxis, tmp_path: Path) -> Grayordinates:
    path = cifti.save(tmp_path / "axis.dscalar.nii", np.zeros((1, len(axis)), np.float32), axis)
    return read_dscalar(path)[1]


@pytest.fixture
def rows(tmp_path: Path) -> Grayordinates:
    return rows_of(cifti.brain(), tmp_path)


@pytest.fixture
def domain(rows: Grayordinates) -> GrayordinateDomain:
    return GrayordinateDomain.from_meshes(rows, cifti.MESHES)


def touching(rows: Grayordinates, connectivity: int = 26) -> np.ndarray:
    """Which rows touch, (n, n), pair by pair: corners of one triangle, or voxels at the stated distance."""
    where = [(model, index) for model in rows.models for index in model.index.tolist()]
    edges = {
        name: {frozenset(pair) for face in mesh.faces.tolist() for pair in combinations(face, 2)}
        for name, mesh in cifti.MESHES.items()
    }
    found = np.zeros((len(where), len(where)), bool)
    for a, (one, i) in enumerate(where):
        for b, (other, j) in enumerate(where):
            if one.is_surface and one is other:
                found[a, b] = frozenset((i, j)) in edges[one.structure]
            elif not one.is_surface and not other.is_surface:
                step = np.abs(np.subtract(i, j))
                found[a, b] = step.max() == 1 and step.sum() <= N_STEPS[connectivity]
    return found


def as_matrix(domain: GrayordinateDomain) -> np.ndarray:
    found = np.zeros((domain.n_elements, domain.n_elements), bool)
    found[np.repeat(np.arange(domain.n_elements), np.diff(domain.graph.indptr)), domain.graph.indices] = True
    return found


@pytest.mark.parametrize("connectivity", [6, 18, 26])
def test_neighbours_are_those_of_triangles_and_of_voxels_and_lead_to_no_other_part(
    connectivity: int, rows: Grayordinates
) -> None:
    found = as_matrix(GrayordinateDomain.from_meshes(rows, cifti.MESHES, None, connectivity))
    assert np.array_equal(found, touching(rows, connectivity))
    assert found[:39, :39].any()
    assert not found[:39, 39:].any()
    assert not found[39:199, 199:].any()


def test_voxels_of_structures_that_touch_are_neighbours(domain: GrayordinateDomain) -> None:
    """Putamen and caudate are one cluster, the brain stem another."""
    labels = label_components(np.ones(domain.n_elements, bool), domain.topology)
    assert len(set(labels[199:219].tolist())) == 1
    assert len(set(labels.tolist())) == 4  # each hemisphere, the basal ganglia, the stem
    assert labels[219] not in labels[:219]


def test_areas_are_in_mm2_and_voxels_are_counted(domain: GrayordinateDomain, rows: Grayordinates) -> None:
    """A third of the triangles around, by Heron's formula; 2 x 2 x 3 mm voxels."""
    for part, model in zip(domain.parts[:2], rows.models, strict=False):
        mesh = cifti.MESHES[part.name]
        for element, vertex in zip(part.members.tolist()[:20], model.index.tolist(), strict=False):
            around = [mesh.points[face] for face in mesh.faces if vertex in face]
            area = 0.0
            for corners in around:
                a, b, c = (np.linalg.norm(corners[i] - corners[i - 1]) for i in range(3))
                s = (a + b + c) / 2
                area += np.sqrt(s * (s - a) * (s - b) * (s - c)) / 3
            # 1e-9: Heron's formula loses digits
            assert domain.sizes[element] == pytest.approx(area, rel=1e-9)
            assert domain.topology.sizes[element] == domain.sizes[element]
    assert domain.sizes[199:].tolist() == pytest.approx([12.0] * 21)
    assert domain.topology.sizes[199:].tolist() == [1.0] * 21
    assert [(part.domain.element, part.domain.size_unit) for part in domain.parts] == [
        ("vertex", "mm2"),
        ("vertex", "mm2"),
        ("voxel", "1"),
    ]
    assert (domain.plural, domain.size_unit, domain.connectivity) == ("grayordinates", "1", None)


def test_elements_lie_at_their_vertex_or_voxel(domain: GrayordinateDomain, rows: Grayordinates) -> None:
    assert domain.xyz_mm is not None
    assert np.array_equal(domain.xyz_mm[:39], cifti.MESHES["CORTEX_LEFT"].points[rows.models[0].index])
    expected = rows.models[2].index @ cifti.AFFINE[:3, :3].T + cifti.AFFINE[:3, 3]
    assert domain.xyz_mm[199:207] == pytest.approx(expected)


def test_a_part_has_the_neighbours_of_the_whole(domain: GrayordinateDomain) -> None:
    whole = as_matrix(domain)
    for part in domain.parts:
        own = part.domain.adjacency
        matrix = np.zeros((own.n_elements, own.n_elements), bool)
        matrix[np.repeat(np.arange(own.n_elements), np.diff(own.indptr)), own.indices] = True
        assert np.array_equal(matrix, whole[np.ix_(part.members, part.members)])
        assert np.array_equal(part.domain.sizes, domain.topology.sizes[part.members])
    assert np.array_equal(np.concatenate([part.members for part in domain.parts]), np.arange(domain.n_elements))


def test_the_volume_part_is_the_volume_in_another_order(domain: GrayordinateDomain, rows: Grayordinates) -> None:
    """The same number of edges as the lattice of a mask of these voxels."""
    mask = np.zeros(cifti.SHAPE, bool)
    mask[tuple(rows.voxels.T)] = True
    lattice = VolumeDomain.from_mask(mask, cifti.AFFINE, 26)
    assert domain.parts[2].name == VOLUME_PART
    assert domain.parts[2].domain.graph.n_edges == lattice.adjacency.n_edges


def test_rows_outside_the_mask_are_left_out(rows: Grayordinates, rng: np.random.Generator) -> None:
    inside = rng.random(rows.n_elements) < 0.7
    smaller = GrayordinateDomain.from_meshes(rows, cifti.MESHES, inside)
    assert np.array_equal(as_matrix(smaller), touching(rows)[np.ix_(inside, inside)])
    whole = GrayordinateDomain.from_meshes(rows, cifti.MESHES)
    assert np.array_equal(smaller.sizes, whole.sizes[inside])
    assert np.array_equal(smaller.xyz_mm, whole.xyz_mm[inside])
    assert sum(part.members.size for part in smaller.parts) == inside.sum()


def test_a_part_without_elements_is_none(rows: Grayordinates) -> None:
    """Nor is its mesh needed."""
    inside = np.ones(rows.n_elements, bool)
    inside[39:199] = False
    domain = GrayordinateDomain.from_meshes(rows, {"CORTEX_LEFT": cifti.MESHES["CORTEX_LEFT"]}, inside)
    assert [part.name for part in domain.parts] == ["CORTEX_LEFT", VOLUME_PART]
    assert domain.parts[1].members.tolist() == list(range(39, 60))


def test_the_order_of_the_file_is_kept(rows: Grayordinates, domain: GrayordinateDomain) -> None:
    """Vertices and voxels in any order, structures between each other: the same pairs touch."""
    models = (rows.models[3], *rows.models[:3], rows.models[4])
    turned = replace(rows, models=tuple(replace(model, index=model.index[::-1]) for model in models))
    other = GrayordinateDomain.from_meshes(turned, cifti.MESHES)
    assert np.array_equal(as_matrix(other), touching(turned))
    assert np.array_equal(np.sort(other.sizes), np.sort(domain.sizes))
    assert [part.name for part in other.parts] == ["CORTEX_LEFT", "CORTEX_RIGHT", VOLUME_PART]
    assert other.parts[2].members.tolist() == [*range(12), *range(211, 220)]
    for part in other.parts:
        assert other.topology.sizes[part.members].tolist() == part.domain.sizes.tolist()
        assert np.array_equal(other.xyz_mm[part.members], part.domain.xyz_mm)


def test_a_volume_alone_and_a_hemisphere_alone_are_domains(tmp_path: Path) -> None:
    putamen = rows_of(cifti.structure("CIFTI_STRUCTURE_PUTAMEN_LEFT", np.s_[2:4, 1:3, 1:3]), tmp_path)
    assert [part.name for part in GrayordinateDomain.from_meshes(putamen, {}).parts] == [VOLUME_PART]
    left = rows_of(cifti.surface("CORTEX_LEFT"), tmp_path)
    assert [part.name for part in GrayordinateDomain.from_meshes(left, cifti.MESHES).parts] == ["CORTEX_LEFT"]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_map_comes_back_from_the_disk(
    kind: type[np.floating], rows: Grayordinates, rng: np.random.Generator, tmp_path: Path
) -> None:
    """Bit for bit; what is stated outside of the mask; called like its file."""
    inside = rng.random(rows.n_elements) < 0.7
    domain = GrayordinateDomain.from_meshes(rows, cifti.MESHES, inside)
    values = rng.standard_normal(domain.n_elements).astype(kind)
    path = tmp_path / "contrast-a_stat-t_statmap.dscalar.nii"
    domain.write(path, values, outside=1.0)
    assert domain.read(path).astype(kind).tobytes() == values.tobytes()
    found, _ = read_dscalar(path)
    assert found.name == "contrast-a_stat-t_statmap"
    assert found.values[~inside].tolist() == [1.0] * int((~inside).sum())


def test_a_map_with_other_rows_is_refused(domain: GrayordinateDomain, tmp_path: Path) -> None:
    axis = cifti.brain()[1:]
    path = cifti.save(tmp_path / "other.dscalar.nii", np.zeros((1, len(axis)), np.float32), axis)
    with pytest.raises(DataError, match=re.escape(f"{path}: found 38 vertices of CORTEX_LEFT; expected 39.")):
        domain.read(path)


def test_every_surface_needs_its_mesh(rows: Grayordinates) -> None:
    with pytest.raises(DataError, match=r"no mesh of CORTEX_RIGHT, .*: --surface R=FILE"):
        GrayordinateDomain.from_meshes(rows, {"CORTEX_LEFT": cifti.MESHES["CORTEX_LEFT"]})
    with pytest.raises(DataError, match="mesh of CORTEX_LEFT has 162 vertices, and the maps have 42"):
        GrayordinateDomain.from_meshes(rows, {**cifti.MESHES, "CORTEX_LEFT": icosahedron(2)})
    with pytest.raises(ValueError, match="6, 18 or 26"):
        GrayordinateDomain.from_meshes(rows, cifti.MESHES, None, 4)


def test_the_parts_are_told_and_tell_checkpoints_apart(domain: GrayordinateDomain, rows: Grayordinates) -> None:
    assert domain.describe() == {
        "NumberOfEdges": domain.graph.n_edges,
        "Connectivity": 26,
        "Parts": {
            "CORTEX_LEFT": {"Elements": 39, "Unit": "mm2"},
            "CORTEX_RIGHT": {"Elements": 160, "Unit": "mm2"},
            VOLUME_PART: {"Elements": 21, "Unit": "voxels"},
        },
    }
    other = GrayordinateDomain.from_meshes(rows, {**cifti.MESHES, "CORTEX_LEFT": icosahedron(1, 11.0)})
    assert [part.tobytes() for part in other.fingerprint()] != [part.tobytes() for part in domain.fingerprint()]


def test_two_voxels_far_apart_need_no_large_volume(rows: Grayordinates) -> None:
    """What the header says of its volume allocates nothing: 10^15 voxels here."""
    assert rows.grid is not None
    index = np.array([[99_990, 99_990, 99_990], [99_991, 99_990, 99_990]])
    grid = replace(rows.grid, shape=(100_000, 100_000, 100_000))
    vast = Grayordinates((BrainModel("THALAMUS_LEFT", index),), grid)
    assert GrayordinateDomain.from_meshes(vast, {}).graph.n_edges == 1
