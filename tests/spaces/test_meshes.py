"""Neighbours, areas, clusters and TFCE on meshes: by loops, by a stepped integral, and by Connectome Workbench."""

from __future__ import annotations

import shutil
import subprocess
from itertools import combinations
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.gifti.gifti import GiftiCoordSystem, GiftiDataArray, GiftiImage, GiftiMetaData
from scipy import ndimage, sparse
from scipy.sparse.csgraph import connected_components

from bids_app.spaces.adjacency import Adjacency
from bids_app.spaces.clusters import cluster_values, label_components
from bids_app.spaces.grayordinate_domain import GrayordinateDomain
from bids_app.spaces.grayordinates import read_dscalar
from bids_app.spaces.tfce import enhance
from bids_app.spaces.topology import GraphTopology
from bids_app.spaces.tree_kernels import Exponents
from builders import cifti
from builders.meshes import Triangles, fsaverage5, icosahedron, smoothed

OF_SURFACES = Exponents(1.0, 2.0)
MESHES = ["icosahedron", "left", "right"]
needs_workbench = pytest.mark.skipif(
    shutil.which("wb_command") is None, reason="wb_command (Debian: connectome-workbench) is not installed"
)


def mesh_of(name: str) -> Triangles:
    return icosahedron(3, 40.0) if name == "icosahedron" else fsaverage5()[MESHES.index(name) - 1]


def topology_of(mesh: Triangles) -> GraphTopology:
    graph = Adjacency.from_faces(len(mesh.points), mesh.faces)
    return GraphTopology(graph.indptr, graph.indices, mesh.areas())


@pytest.mark.parametrize("name", MESHES)
def test_neighbours_are_the_ends_of_the_edges_of_triangles(name: str) -> None:
    """By a loop over all triangles; on these meshes every vertex has six neighbours, but for twelve that have five."""
    mesh = mesh_of(name)
    around: list[set[int]] = [set() for _ in mesh.points]
    for face in mesh.faces.tolist():
        for a, b in combinations(face, 2):
            around[a].add(b)
            around[b].add(a)
    adjacency = Adjacency.from_faces(len(mesh.points), mesh.faces)
    for vertex, expected in enumerate(around):
        start, stop = adjacency.indptr[vertex : vertex + 2]
        assert adjacency.indices[start:stop].tolist() == sorted(expected)
    degrees, counts = np.unique(np.diff(adjacency.indptr), return_counts=True)
    assert degrees.tolist() == [5, 6]
    assert counts[0] == 12
    # Euler: vertices - edges + triangles = 2 on a closed surface without handles
    assert len(mesh.points) - adjacency.n_edges + len(mesh.faces) == 2
    if name != "icosahedron":
        assert len(mesh.points) == 10_242


@pytest.mark.parametrize("name", MESHES)
def test_areas_are_thirds_of_the_triangles_around(name: str) -> None:
    """By Heron's formula, triangle by triangle; together they are the surface. On a sphere of 40 mm near 4 pi r^2."""
    surface = pytest.importorskip("bids_app.spaces.surface", reason="no module of surfaces here")
    mesh = mesh_of(name)
    expected = np.zeros(len(mesh.points))
    for face in mesh.faces.tolist():
        a, b, c = (np.linalg.norm(mesh.points[face[i]] - mesh.points[face[i - 1]]) for i in range(3))
        s = (a + b + c) / 2
        expected[face] += np.sqrt(max(0.0, s * (s - a) * (s - b) * (s - c))) / 3
    found = surface.Mesh("L", mesh.points, mesh.faces, name).areas()
    # 1e-7: Heron's formula loses digits in narrow triangles
    assert found == pytest.approx(expected, rel=1e-7, abs=1e-7)
    assert found == pytest.approx(mesh.areas(), rel=1e-12)
    # flat triangles under a sphere; the sums of Workbench 1.5.0's -surface-vertex-areas, half way to the pial surface
    known = {"icosahedron": 4 * np.pi * 40**2, "left": 71145.6, "right": 71263.9}
    assert found.sum() == pytest.approx(known[name], rel=0.01 if name == "icosahedron" else 1e-5)


def test_tfce_on_a_mesh_is_the_limit_of_a_stepped_sum(rng: np.random.Generator) -> None:
    """Midpoints of 4000 steps, components by scipy, areas in mm2, E = 1, H = 2.

    With e falling from a to 0 while h rises to its vertex, a sum of midpoints is off by at most a step times a h^2;
    each jump of e is misplaced by half a step at most, up or down, so that large values agree far better, to 4e-3.
    """
    mesh = mesh_of("icosahedron")
    topology = topology_of(mesh)
    values = smoothed(rng.standard_normal(len(mesh.points)), topology, 3).astype(np.float32)
    n = values.size
    graph = sparse.csr_matrix((np.ones(topology.indices.size, np.int8), topology.indices, topology.indptr), (n, n))
    step = float(values.max()) / 4000
    expected = np.zeros(n)
    for height in (np.arange(4000) + 0.5) * step:
        above = np.flatnonzero(values > height)
        _, label = connected_components(graph[above][:, above], directed=False)
        extent = np.bincount(label, topology.sizes[above])
        expected[above] += extent[label] * height**2 * step
    found = enhance(values, topology, OF_SURFACES)
    bound = step * topology.sizes.sum() * np.maximum(values.astype(float), 0) ** 2
    assert np.all(np.abs(found - expected) <= bound)
    high = found > 0.2 * found.max()
    assert found[high] == pytest.approx(expected[high], rel=4e-3)


def save_surface(path: Path, mesh: Triangles, structure: str = "CortexLeft") -> Path:
    points = GiftiDataArray(
        mesh.points.astype(np.float32), "NIFTI_INTENT_POINTSET", "NIFTI_TYPE_FLOAT32", coordsys=GiftiCoordSystem(3, 3)
    )
    faces = GiftiDataArray(mesh.faces.astype(np.int32), "NIFTI_INTENT_TRIANGLE", "NIFTI_TYPE_INT32")
    points.meta["AnatomicalStructurePrimary"] = structure
    nib.save(GiftiImage(darrays=[points, faces]), path)
    return path


def save_metric(path: Path, values: np.ndarray) -> Path:
    array = GiftiDataArray(values.astype(np.float32), "NIFTI_INTENT_NONE", "NIFTI_TYPE_FLOAT32")
    meta = GiftiMetaData({"AnatomicalStructurePrimary": "CortexLeft"})
    nib.save(GiftiImage(darrays=[array], meta=meta), path)
    return path


def workbench(*arguments: object) -> None:
    subprocess.run(["wb_command", *map(str, arguments)], check=True, capture_output=True)


def read_metric(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).darrays[0].data, float)


@needs_workbench
@pytest.mark.parametrize("name", MESHES)
def test_areas_clusters_and_tfce_equal_workbenchs(name: str, rng: np.random.Generator, tmp_path: Path) -> None:
    """The same areas, partition and exact integral, of both signs; 1e-4: it keeps single precision."""
    mesh = mesh_of(name)
    topology = topology_of(mesh)
    values = smoothed(rng.standard_normal(len(mesh.points)), topology, 4).astype(np.float32)
    surface = save_surface(tmp_path / "a.surf.gii", mesh)
    metric = save_metric(tmp_path / "a.func.gii", values)
    out = tmp_path / "out.func.gii"
    workbench("-surface-vertex-areas", surface, out)
    assert read_metric(out) == pytest.approx(mesh.areas(), rel=1e-4)
    workbench("-metric-tfce", surface, metric, out)
    expected = enhance(values, topology, OF_SURFACES) - enhance(-values, topology, OF_SURFACES)
    assert read_metric(out) == pytest.approx(expected, rel=1e-4, abs=1e-4 * np.abs(expected).max())
    workbench("-metric-tfce", surface, metric, out, "-parameters", 0.5, 1.5)
    other = Exponents(0.5, 1.5)
    expected = enhance(values, topology, other) - enhance(-values, topology, other)
    assert read_metric(out) == pytest.approx(expected, rel=1e-4, abs=1e-4 * np.abs(expected).max())
    least = 200.0
    size, _ = cluster_values(values, 1.0, topology)
    workbench("-metric-find-clusters", surface, metric, 1.0, least, out)
    large = np.where(size >= least, label_components(values > np.float32(1.0), topology), 0)
    assert np.abs(size[size > 0] - least).min() > 0.1  # none whose rounding decides
    assert same_partition(read_metric(out), large)
    assert large.any()


@needs_workbench
def test_clusters_of_grayordinates_equal_workbenchs_on_surfaces(rng: np.random.Generator, tmp_path: Path) -> None:
    """Each hemisphere by itself. Not the voxels: Workbench 1.5.0 parts some that touch by a face."""
    axis = cifti.brain()[:199]
    values = rng.standard_normal(len(axis)).astype(np.float32)
    path = cifti.save(tmp_path / "a.dscalar.nii", values, axis)
    surfaces: list[object] = []
    for side, mesh in zip(("left", "right"), cifti.MESHES.values(), strict=True):
        saved = save_surface(tmp_path / f"{side}.surf.gii", mesh, f"Cortex{side.capitalize()}")
        surfaces += [f"-{side}-surface", saved]
    out = tmp_path / "out.dscalar.nii"
    workbench("-cifti-find-clusters", path, 0.2, 0, 0.2, 0, "COLUMN", out, *surfaces)
    domain = GrayordinateDomain.from_meshes(read_dscalar(path)[1], cifti.MESHES)
    assert same_partition(read_dscalar(out)[0].values, label_components(values > np.float32(0.2), domain.topology))


@pytest.mark.parametrize("connectivity", [6, 18, 26])
def test_clusters_of_voxels_of_all_structures_equal_scipys(
    connectivity: int, rng: np.random.Generator, tmp_path: Path
) -> None:
    """In the order of the file, which is not that of the volume."""
    axis = cifti.brain()[199:]
    rows = read_dscalar(cifti.save(tmp_path / "a.dscalar.nii", np.zeros((1, 21), np.float32), axis))[1]
    domain = GrayordinateDomain.from_meshes(rows, {}, None, connectivity)
    for _ in range(20):
        supra = rng.random(21) < 0.5
        volume = np.zeros(cifti.SHAPE, bool)
        volume[tuple(rows.voxels[supra].T)] = True
        structure = ndimage.generate_binary_structure(3, {6: 1, 18: 2, 26: 3}[connectivity])
        expected, _ = ndimage.label(volume, structure)
        assert same_partition(label_components(supra, domain.topology), expected[tuple(rows.voxels.T)])


def same_partition(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two labellings have the same sets, whatever their numbers; 0 is no set."""
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) and all(
        (a == 0) == (b == 0) for a, b in pairs
    )


def test_the_same_sets_are_told_from_others() -> None:
    """What the comparisons above rest on."""
    assert same_partition(np.array([0, 2, 2, 1]), np.array([0, 1, 1, 5]))
    assert not same_partition(np.array([0, 2, 2, 1]), np.array([0, 1, 1, 1]))
    assert not same_partition(np.array([0, 1, 1, 1]), np.array([0, 2, 2, 1]))
    assert not same_partition(np.array([0, 1]), np.array([1, 0]))
