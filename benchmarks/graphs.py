"""Maps on surfaces and grayordinates for the benchmark: their data, their domain, and MNE's test on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from contestants import Contestant, Facts, Run
    from scipy.sparse import csr_matrix

    from bids_app.spaces.adjacency import Adjacency
    from bids_app.spaces.domain import SpatialDomain
    from bids_app.spaces.surface import Mesh

N_SUBJECTS = 20
N_AVERAGED = 4  # rounds of averaging over neighbours
CONNECTIVITY = 26
FORMING_P = 0.001
STEP = 0.2  # of MNE's TFCE, as in its examples
# As in the files of 91,282 grayordinates: vertices of both hemispheres without the medial wall, voxels
N_VERTICES, VOLUME_RADIUS = (29_696, 29_716), 19.7
CORTEX_MM2 = 90_000.0  # of a hemisphere, about


def fsaverage5() -> tuple[Adjacency, NDArray[np.float64]]:
    """Return neighbours and areas (mm2) of both hemispheres, 20,484 vertices."""
    from bids_app.spaces.surface import built_in_meshes

    return _of_meshes(built_in_meshes())


def grayordinates() -> tuple[Adjacency, NDArray[np.float64]]:
    """Return neighbours and sizes (mm2, voxels) of two spheres and a ball of as many elements as 91k files have."""
    from scipy.spatial import ConvexHull

    from bids_app.spaces.adjacency import Adjacency
    from bids_app.spaces.surface import Mesh

    radius, meshes = np.sqrt(CORTEX_MM2 / (4 * np.pi)), []
    for n in N_VERTICES:  # points evenly spread along a spiral; their hull is made of triangles
        height = 1 - 2 * (np.arange(n) + 0.5) / n
        turn = np.pi * (1 + 5**0.5) * np.arange(n)
        ring = np.sqrt(1 - height**2)
        points = np.column_stack([ring * np.cos(turn), ring * np.sin(turn), height])
        meshes.append(Mesh("L", radius * points, ConvexHull(points).simplices, "a sphere"))
    cortex, areas = _of_meshes(meshes)
    reach = int(VOLUME_RADIUS) + 1
    ball = np.sum(np.square(np.mgrid[-reach : reach + 1, -reach : reach + 1, -reach : reach + 1]), axis=0)
    voxels = Adjacency.from_mask(ball <= VOLUME_RADIUS**2, CONNECTIVITY)
    return Adjacency.union([cortex, voxels]), np.concatenate([areas, np.ones(voxels.n_elements)])


GRAPHS: dict[str, Callable[[], tuple[Adjacency, NDArray[np.float64]]]] = {
    "fsaverage5": fsaverage5,
    "91k": grayordinates,
}


def make_graph_data(folder: Path, name: str) -> Path:
    """Write noise that is smooth along the neighbours, once.

    Parameters
    ----------
    folder : of all data
    name : one of GRAPHS

    Returns
    -------
    Path
        The folder with graph.npz (neighbours as compressed rows, sizes) and one.npy (N_SUBJECTS, n_elements) float32.
    """
    target = folder / name
    if target.exists():
        return target
    graph, sizes = GRAPHS[name]()
    own = matrix_of(graph.indptr, graph.indices)
    n_around = np.diff(graph.indptr)[:, None] + 1
    values = np.random.default_rng(0).standard_normal((graph.n_elements, N_SUBJECTS))
    for _ in range(N_AVERAGED):
        values = (values + own @ values) / n_around
    target.mkdir(parents=True)
    np.savez(target / "graph.npz", indptr=graph.indptr, indices=graph.indices, sizes=sizes)
    np.save(target / "one.npy", np.ascontiguousarray((values / values.std()).T, np.float32))
    return target


def domain_of(folder: Path, connectivity: int) -> SpatialDomain:
    """Return the voxels of mask.npy, or the elements of graph.npz, whichever the folder has."""
    from bids_app.spaces.adjacency import Adjacency
    from bids_app.spaces.graph import GraphDomain
    from bids_app.spaces.volume import VolumeDomain

    if (folder / "mask.npy").exists():
        return VolumeDomain.from_mask(np.load(folder / "mask.npy"), np.eye(4), connectivity)
    stored = np.load(folder / "graph.npz")
    adjacency = Adjacency(stored["indptr"], stored["indices"])
    return GraphDomain.from_adjacency(adjacency, stored["sizes"], ("vertex", "mm2"))


def mne(contestant: Contestant) -> tuple[Run, Facts]:
    """Set up MNE's one-sample test: the mass of clusters, or TFCE; it does one at a time, and counts vertices."""
    from mne.stats import permutation_cluster_1samp_test
    from scipy import stats

    values = np.load(Path(contestant.folder, "one.npy")).astype(np.float64)
    stored = np.load(Path(contestant.folder, "graph.npz"))
    adjacency = matrix_of(stored["indptr"], stored["indices"])
    forming: float | dict[str, float] = float(stats.t.isf(FORMING_P, len(values) - 1))
    if "tfce" in contestant.statistics:
        forming = {"start": 0.0, "step": STEP, "e_power": 1.0, "h_power": 2.0}

    def run(n: int) -> object:
        return permutation_cluster_1samp_test(
            values,
            threshold=forming,
            n_permutations=n,
            tail=1,
            adjacency=adjacency,
            n_jobs=contestant.jobs,
            seed=0,
            out_type="indices",
            buffer_size=None,  # the faster way
            verbose="error",
        )

    return run, {"n_elements": values.shape[1]}


def matrix_of(indptr: NDArray[np.integer], indices: NDArray[np.integer]) -> csr_matrix:
    """Return neighbours as scipy's sparse matrix, ones where there is an edge."""
    from scipy.sparse import csr_matrix

    n = indptr.size - 1
    return csr_matrix((np.ones(indices.size), indices, indptr), (n, n))


def _of_meshes(meshes: Sequence[Mesh]) -> tuple[Adjacency, NDArray[np.float64]]:
    """Return neighbours and areas of meshes, with no edge between them."""
    from bids_app.spaces.adjacency import Adjacency

    graph = Adjacency.union([Adjacency.from_faces(mesh.n_vertices, mesh.faces) for mesh in meshes])
    return graph, np.concatenate([mesh.areas() for mesh in meshes])
