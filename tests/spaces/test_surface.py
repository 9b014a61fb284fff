"""Meshes and the domains that masks make of them: areas and neighbours by brute force, files of both hemispheres."""

from __future__ import annotations

import itertools
import socket
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from bids_app.errors import DataError
from bids_app.spaces.surface import Mesh, SurfaceFrame, built_in_meshes, check_mesh, in_mni152
from builders.surfaces import ellipsoid, ellipsoids, icosphere


def test_a_vertex_of_an_icosahedron_has_a_third_of_its_five_triangles() -> None:
    """Edge 2 before it is scaled: each of the 20 triangles has sqrt(3), each of the 12 vertices 5 sqrt(3) / 3."""
    points, faces = icosphere(0)
    mesh = Mesh("L", points / np.linalg.norm(points[faces[0, 0]] - points[faces[0, 1]]) * 2, faces, "")
    assert mesh.areas() == pytest.approx(np.full(12, 5 * 3**0.5 / 3), rel=1e-12)


def test_areas_and_edges_are_those_of_loops_over_the_triangles() -> None:
    mesh = ellipsoid("L")
    areas, edges = np.zeros(mesh.n_vertices), set()
    for i, j, k in mesh.faces.tolist():
        a, b, c = mesh.points[[i, j, k]]
        sides = [np.linalg.norm(a - b), np.linalg.norm(b - c), np.linalg.norm(c - a)]
        half = sum(sides) / 2
        area = (half * (half - sides[0]) * (half - sides[1]) * (half - sides[2])) ** 0.5  # Heron
        areas[[i, j, k]] += area / 3
        edges |= {frozenset(pair) for pair in itertools.combinations((i, j, k), 2)}
    assert mesh.areas() == pytest.approx(areas, rel=1e-9)
    domain = ellipsoids("L").domain(np.ones(162, np.bool_))
    rows = np.repeat(np.arange(162), np.diff(domain.graph.indptr))
    assert {frozenset(pair) for pair in zip(rows.tolist(), domain.graph.indices.tolist(), strict=True)} == edges


def test_fsaverage5_is_whole_and_comes_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """10,242 vertices with 6 neighbours each but 12 with 5, in one piece: 10 * 4^5 + 2 of an icosahedron."""

    def refuse(*_: object) -> None:
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    built_in_meshes.cache_clear()
    for mesh in built_in_meshes():
        frame = SurfaceFrame((mesh.side,), (10242,)).with_meshes([mesh], in_mni305=True)
        graph = frame.domain(np.ones(10242, np.bool_)).graph
        assert np.bincount(np.diff(graph.indptr)).tolist() == [0] * 5 + [12, 10230]
        matrix = csr_matrix((np.ones(graph.indices.size), graph.indices, graph.indptr))
        assert connected_components(matrix)[0] == 1
        corners = mesh.points[mesh.faces]
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        assert mesh.areas().sum() == pytest.approx(np.linalg.norm(cross, axis=1).sum() / 2, rel=1e-12)
        assert mesh.oddities() == []
        assert check_mesh(mesh) == ""


def test_hemispheres_are_apart_and_vertices_keep_their_numbers() -> None:
    """Row 3 of the left and rows 0 and 5 of the right hemisphere are the medial wall."""
    inside = np.ones(324, np.bool_)
    inside[[3, 162, 167]] = False
    domain = ellipsoids().domain(inside)
    assert (domain.n_elements, domain.plural, domain.size_unit) == (321, "vertices", "mm2")
    rows = np.repeat(np.arange(321), np.diff(domain.graph.indptr))
    assert np.all((rows < 161) == (domain.graph.indices < 161))
    named = domain.names_of(np.array([0, 3, 160, 161, 165]))
    assert named["hemi"].tolist() == ["L", "L", "L", "R", "R"]
    assert named["peak_vertex"].tolist() == [0, 4, 161, 1, 6]
    everywhere = np.concatenate([ellipsoid(side).points for side in "LR"])
    assert np.array_equal(domain.xyz_mm, everywhere[inside])


def test_a_map_is_a_file_for_each_hemisphere_that_says_so(tmp_path) -> None:  # noqa: ANN001
    """The medial wall holds what lies outside; all comes back bit for bit in single precision; the same bytes again."""
    inside = np.arange(324) % 7 != 0
    domain = ellipsoids().domain(inside)
    values = np.random.default_rng(0).standard_normal(domain.n_elements).astype(np.float32)
    read = np.empty(domain.n_elements)
    for piece in domain.pieces:
        path = tmp_path / f"hemi-{piece.entities['hemi']}{piece.ending}"
        piece.domain.write(path, values[piece.elements], outside=1.0)
        before = path.read_bytes()
        piece.domain.write(path, values[piece.elements], outside=1.0)
        assert path.read_bytes() == before
        read[piece.elements] = piece.domain.read(path)
    assert np.array_equal(read, values)
    left, right = (nib.load(tmp_path / f"hemi-{side}.func.gii") for side in "LR")
    assert [image.meta["AnatomicalStructurePrimary"] for image in (left, right)] == ["CortexLeft", "CortexRight"]
    rows = np.concatenate([image.darrays[0].data for image in (left, right)])
    assert np.array_equal(rows[inside], values)
    assert np.all(rows[~inside] == 1)


def test_holes_and_loose_vertices_are_counted() -> None:
    """Without two triangles that do not touch there are 6 open edges around 2 holes; a further point is loose."""
    whole = ellipsoid("L")
    first = set(whole.faces[0].tolist())
    far = next(n for n, face in enumerate(whole.faces.tolist()) if not first & set(face))
    torn = replace(whole, faces=np.delete(whole.faces, [0, far], axis=0), points=np.vstack([whole.points, [[0, 0, 0]]]))
    assert whole.oddities() == []
    loose, holes = torn.oddities()
    assert loose.startswith("1 vertices belong to no triangle")
    assert holes == "6 edges have a triangle on one side only, around 2 holes"
    assert torn.areas()[-1] == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"points": np.full((162, 3), np.nan)}, "finite"),
        ({"faces": np.array([[0, 1, 162]], np.int32)}, "beyond its 162"),
        ({"faces": np.array([[0, 1, 1]], np.int32)}, "two corners"),
        ({"faces": np.empty((0, 3), np.int32)}, "triangles of shape"),
        ({"points": icosphere(2)[0] * 100}, "sphere"),
    ],
)
def test_what_is_no_mesh_of_a_cortex_is_told(change: dict[str, np.ndarray], said: str) -> None:
    assert said in check_mesh(replace(ellipsoid("L"), **change))
    assert check_mesh(ellipsoid("L")) == ""


def test_a_mesh_of_other_maps_is_refused_with_both_numbers() -> None:
    bare = SurfaceFrame(("L", "R"), (162, 162))
    with pytest.raises(DataError, match=r"has 642 vertices in the hemisphere R, and the maps have 162"):
        bare.with_meshes([ellipsoid("L"), ellipsoid("R", 3)], in_mni305=False)
    with pytest.raises(DataError, match="no mesh of the hemisphere R"):
        bare.with_meshes([ellipsoid("L")], in_mni305=False)


def test_mni305_is_brought_to_mni152_as_in_the_example_of_freesurfer() -> None:
    """Its wiki (CoordinateSystems, 8b) takes 10, -20, 35 to 10.695, -18.409, 36.137; its matrix has four digits."""
    assert in_mni152(np.array([[10.0, -20.0, 35.0]]))[0] == pytest.approx([10.695, -18.409, 36.137], abs=0.005)
