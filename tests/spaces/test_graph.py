"""A domain by its list of neighbours: sizes, places, and maps on the disk; tables of a mesh worked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bids_app.errors import DataError
from bids_app.spaces.adjacency import Adjacency
from bids_app.spaces.graph import GraphDomain

# A strip of four triangles: vertices 0 to 5, the edges of a zigzag
FACES = np.array([[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]])
AREAS = np.array([1.0, 2.0, 3.0, 3.0, 2.0, 1.0])
XYZ = np.array([[x, x % 2, 0] for x in range(6)], float)
INSIDE = np.array([True, True, False, True, True, True, True, False])  # rows 2 and 7 are the medial wall


@pytest.fixture
def domain() -> GraphDomain:
    return GraphDomain.from_adjacency(Adjacency.from_faces(6, FACES), AREAS, ("vertex", "mm2"), XYZ, INSIDE)


def test_a_set_has_the_sum_of_its_sizes(domain: GraphDomain) -> None:
    assert domain.measure(np.array([0, 2, 3])) == 7.0
    assert (domain.n_elements, domain.plural, domain.size_unit, domain.connectivity) == (6, "vertices", "mm2", None)
    assert domain.describe() == {"NumberOfEdges": 9}


def test_neighbours_share_an_edge_of_a_triangle(domain: GraphDomain) -> None:
    assert domain.neighbours(np.array([0, 2])).tolist() == [[1, 2, -1, -1], [0, 1, 3, 4]]


def test_the_fingerprint_tells_sizes_and_edges_apart(domain: GraphDomain) -> None:
    def as_bytes(faces: np.ndarray, areas: np.ndarray) -> list[bytes]:
        other = GraphDomain.from_adjacency(Adjacency.from_faces(6, faces), areas, ("vertex", "mm2"))
        return [part.tobytes() for part in other.fingerprint()]

    own = [part.tobytes() for part in domain.fingerprint()]
    assert own == as_bytes(FACES, AREAS)
    assert own != as_bytes(FACES, 2 * AREAS)
    assert own != as_bytes(FACES[:3], AREAS)


@pytest.mark.parametrize("name", ["map.shape.gii", "map.tsv"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_map_comes_back_from_the_disk(
    name: str, kind: type[np.floating], domain: GraphDomain, rng: np.random.Generator, tmp_path: Path
) -> None:
    """Bit for bit, in GIFTI in single precision; 1 in the rows that are no elements; the same bytes again."""
    values = rng.standard_normal(6).astype(kind)
    path = tmp_path / name
    domain.write(path, values, outside=1.0)
    content = path.read_bytes()
    domain.write(path, values, outside=1.0)
    assert path.read_bytes() == content
    kept = np.float32 if path.suffix == ".gii" else kind
    assert np.array_equal(domain.read(path).astype(kept), values.astype(kept))
    everything = GraphDomain.from_adjacency(Adjacency.from_edges(8, np.empty((0, 2), int)), np.ones(8), ("parcel", "1"))
    assert everything.read(path)[~INSIDE].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("map.tsv", "value\n1\n2\n", "expected one for each of 8 vertices"),
        ("map.tsv", "value\n1\nx\n", "cannot be read as a map of vertices"),
        ("map.tsv", "other\n1\n", "cannot be read as a map of vertices"),
        ("map.shape.gii", "<GIFTI", "cannot be read as a map of vertices"),
        ("absent.tsv", None, "cannot be read as a map of vertices"),
    ],
)
def test_what_is_no_map_of_the_domain_is_refused(
    name: str, content: str | None, message: str, domain: GraphDomain, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        domain.read(tmp_path / name)


def test_elements_lie_in_the_voxel_around_their_centre(domain: GraphDomain) -> None:
    """2 mm voxels, the first centred at -0.1 mm: x of 0, 1, 2 ... mm are 0.05, 0.55, 1.05 ... voxels from there."""
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -0.1
    assert domain.on_grid((4, 2, 1), affine)[:, 0].tolist() == [0, 1, 1, 2, 2, 3]
    assert domain.on_grid((4, 2, 1), affine)[:, 1].tolist() == [0, 1, 0, 1, 0, 1]
    with pytest.raises(ValueError, match="holds all vertices"):
        domain.on_grid((3, 2, 1), affine)


def test_parcels_may_have_no_places() -> None:
    parcels = GraphDomain.from_adjacency(Adjacency.from_edges(3, np.empty((0, 2), int)), np.ones(3), ("parcel", "1"))
    for ask in (lambda: parcels.nearest(np.zeros(3)), lambda: parcels.on_grid((2, 2, 2), np.eye(4))):
        with pytest.raises(ValueError, match="the parcels have no coordinates"):
            ask()


@pytest.mark.parametrize(
    ("sizes", "xyz_mm", "inside", "message"),
    [
        (AREAS[:5], XYZ, None, "expected 6 finite numbers"),
        (-AREAS, XYZ, None, "expected 6 finite numbers"),
        (AREAS * np.nan, XYZ, None, "expected 6 finite numbers"),
        (AREAS, XYZ[:, :2], None, "expected \\(6, 3\\)"),
        (AREAS, np.full((6, 3), np.inf), None, "expected \\(6, 3\\)"),
        (AREAS, XYZ, np.ones(8, bool), "8 rows of a file"),
    ],
)
def test_sizes_places_and_rows_have_to_fit(
    sizes: np.ndarray, xyz_mm: np.ndarray, inside: np.ndarray | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        GraphDomain.from_adjacency(Adjacency.from_faces(6, FACES), sizes, ("vertex", "mm2"), xyz_mm, inside)
