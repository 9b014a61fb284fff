"""The null distribution on meshes and over parcels: all 64 flips of six maps, by loops, by scipy and by MNE."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from bids_app.inference.familywise_p import own_family, ranked
from bids_app.permutation.enhancements import choose_enhancements
from bids_app.permutation.null_distribution import NullDistribution, Work, null_distribution
from bids_app.permutation.schemes import make_shuffles
from bids_app.spaces.adjacency import Adjacency
from bids_app.spaces.graph import GraphDomain
from bids_app.spaces.parcels import ParcelDomain, Parcels
from bids_app.spaces.tfce import enhance
from bids_app.spaces.tree_kernels import Exponents
from builders.designs import one_sample
from builders.meshes import Triangles, fsaverage5, icosahedron, smoothed

N_SUBJECTS, FORMING_T = 6, 2.0
OF_SURFACES = Exponents(1.0, 2.0)


def domain_of(*meshes: Triangles) -> GraphDomain:
    """Return hemispheres as one domain without an edge between them."""
    graph = Adjacency.union([Adjacency.from_faces(len(mesh.points), mesh.faces) for mesh in meshes])
    return GraphDomain.from_adjacency(graph, np.concatenate([mesh.areas() for mesh in meshes]), ("vertex", "mm2"))


def maps_on(domain: GraphDomain, rng: np.random.Generator) -> np.ndarray:
    """Six smooth maps, (6, n_vertices), single precision."""
    noise = rng.standard_normal((N_SUBJECTS, domain.n_elements))
    return smoothed(noise, domain.topology, 4).astype(np.float32)


def by_engine(values: np.ndarray, domain: GraphDomain, sided: str) -> NullDistribution:
    test = one_sample(len(values), sided)
    statistics = ("voxel", "cluster-size", "cluster-mass", "tfce")
    enhancements = choose_enhancements(statistics, domain, test, (0.001, FORMING_T), exponents=OF_SURFACES)
    return null_distribution(values, test, make_shuffles(test, 64, seed=0), enhancements, Work())


def t_of(values: np.ndarray) -> np.ndarray:
    return values.mean(0) / (values.std(0, ddof=1) / np.sqrt(N_SUBJECTS))


def cluster_maxima(t: np.ndarray, domain: GraphDomain) -> tuple[float, float]:
    """Largest area and largest mass, by scipy's components of the part of the mesh that is above the threshold."""
    adjacency = domain.adjacency
    n = domain.n_elements
    graph = sparse.csr_matrix((np.ones(adjacency.indices.size), adjacency.indices, adjacency.indptr), (n, n))
    above = np.flatnonzero(t > FORMING_T)
    _, label = connected_components(graph[above][:, above], directed=False)
    area = np.bincount(label, domain.sizes[above])
    mass = np.bincount(label, domain.sizes[above] * (t[above] - FORMING_T))
    return area.max(initial=0), mass.max(initial=0)


@pytest.mark.parametrize("sided", ["positive", "two"])
@pytest.mark.parametrize("name", ["icosahedra", "fsaverage5"])
def test_maxima_of_all_flips_equal_scipys(name: str, sided: str, rng: np.random.Generator) -> None:
    """Peaks, areas and masses of both hemispheres, flip by flip; TFCE is checked by itself in tests/spaces.

    1e-4: t in single precision near the forming threshold, of which masses are made. No vertex is so near to it that
    rounding decides whether it belongs to a cluster.
    """
    meshes = fsaverage5() if name == "fsaverage5" else (icosahedron(3, 40.0), icosahedron(2, 30.0))
    domain = domain_of(*meshes)
    values = maps_on(domain, rng)
    null = by_engine(values, domain, sided)
    signs = [tuple(row) for row in null.shuffles.sign.tolist()]
    everything = list(product((1, -1), repeat=N_SUBJECTS))
    assert len(set(signs)) == len(signs) == (64 if sided == "positive" else 32)
    assert {*signs, *(tuple(-sign for sign in row) for row in signs)} == set(everything)
    for row, flip in enumerate(signs):
        t = t_of(values.astype(float) * np.array(flip)[:, None])
        found = [cluster_maxima(side, domain) for side in ((t,) if sided == "positive" else (t, -t))]
        area, mass = np.max(found, axis=0)
        peak = t.max() if sided == "positive" else np.abs(t).max()
        assert null.maxima["voxel"][row] == pytest.approx(peak, rel=1e-4)
        near = np.abs(np.abs(t) - FORMING_T) < 1e-6
        if not near.any():
            assert null.maxima["clusterSize"][row] == pytest.approx(area, rel=1e-9)
        assert null.maxima["clusterMass"][row] == pytest.approx(mass, rel=1e-4)
        if name == "icosahedra":
            sides = (t,) if sided == "positive" else (t, -t)
            tfce = max(enhance(side.astype(np.float32), domain.topology, OF_SURFACES).max() for side in sides)
            assert null.maxima["tfce"][row] == pytest.approx(tfce, rel=1e-4)


def test_cluster_p_equal_mnes(rng: np.random.Generator) -> None:
    """Its exhaustive test with the mesh's adjacency, two-sided: the same clusters of vertices with the same p.

    One-sided, MNE 1.13 takes the identity twice and leaves out the flip of everybody; two-sided these are the same.
    """
    stats = pytest.importorskip("mne.stats", reason="MNE is not installed")
    mesh = icosahedron(3, 40.0)
    graph = Adjacency.from_faces(len(mesh.points), mesh.faces)
    n = graph.n_elements
    domain = GraphDomain.from_adjacency(graph, np.ones(n), ("vertex", "1"))  # it counts vertices
    values = maps_on(domain, rng)
    values[:, :60] += 0.8
    null = by_engine(values, domain, "two")
    matrix = sparse.coo_matrix(sparse.csr_matrix((np.ones(graph.indices.size), graph.indices, graph.indptr), (n, n)))
    _, clusters, cluster_p, maxima = stats.permutation_cluster_1samp_test(
        values.astype(float),
        threshold=FORMING_T,
        n_permutations=1000,  # more than there are: each once; its "all" leaves one out
        tail=0,
        adjacency=matrix,
        t_power=0,
        out_type="mask",
        verbose="error",
    )
    assert np.sort(null.maxima["clusterSize"]).tolist() == np.sort(np.abs(maxima)).tolist()
    assert len(clusters) > 3
    for members, p in zip(clusters, cluster_p, strict=True):
        (size,) = set(null.observed["clusterSize"][members].tolist())
        assert size == members.sum()
        assert (null.maxima["clusterSize"] >= size).mean() == pytest.approx(p)


def test_familywise_p_over_parcels_by_loops_over_all_flips(rng: np.random.Generator) -> None:
    """The largest t over the parcels in each flip, and how many flips reach a parcel's t; no parcel joins another."""
    domain = ParcelDomain.from_parcels(Parcels(tuple(f"parcel {number}" for number in range(30))))
    values = rng.standard_normal((N_SUBJECTS, 30)).astype(np.float32)
    values[:, 4] += 5.0
    null = by_engine(values, domain, "positive")
    maxima = []
    for flip in product((1, -1), repeat=N_SUBJECTS):
        t = []
        for parcel in range(30):
            scores = [sign * float(value) for sign, value in zip(flip, values[:, parcel], strict=True)]
            mean = sum(scores) / N_SUBJECTS
            variance = sum((score - mean) ** 2 for score in scores) / (N_SUBJECTS - 1)
            t.append(mean / (variance / N_SUBJECTS) ** 0.5)
        maxima.append(max(t))
        if min(flip) == 1:
            observed = t
    expected = [sum(other >= value - 1e-5 * max(abs(value), 1) for other in maxima) / 64 for value in observed]
    assert ranked(null, own_family(null), "voxel", 0.05).p.tolist() == expected
    assert expected[4] == min(expected) < 0.1
    assert set(null.observed["clusterSize"].tolist()) <= {0.0, 1.0}


def test_tfce_maxima_and_p_equal_mnes(rng: np.random.Generator) -> None:
    """Its stepped sum with the mesh's adjacency, E = 1, H = 2, over all flips of both signs.

    Its steps begin at the middle of the first, so that they are midpoints: 1 % holds the jumps of e, each misplaced by
    half a step of 0.02. A p is compared where no maximum lies so near to the vertex's value.
    """
    stats = pytest.importorskip("mne.stats", reason="MNE is not installed")
    mesh = icosahedron(2, 40.0)
    graph = Adjacency.from_faces(len(mesh.points), mesh.faces)
    n = graph.n_elements
    domain = GraphDomain.from_adjacency(graph, np.ones(n), ("vertex", "1"))  # it counts vertices
    values = maps_on(domain, rng)
    values[:, np.linalg.norm(mesh.points - mesh.points[0], axis=1) < 25] += 1.5
    null = by_engine(values, domain, "two")
    matrix = sparse.coo_matrix(sparse.csr_matrix((np.ones(graph.indices.size), graph.indices, graph.indptr), (n, n)))
    step = 0.02
    _, _, p, maxima = stats.permutation_cluster_1samp_test(
        values.astype(float),
        threshold={"start": step / 2, "step": step, "e_power": 1.0, "h_power": 2.0},
        n_permutations=1000,
        tail=0,
        adjacency=matrix,
        out_type="mask",
        verbose="error",
    )
    found = null.maxima["tfce"]
    assert np.sort(found) == pytest.approx(np.sort(maxima), rel=0.01)
    observed = null.observed["tfce"]
    ours = (found[:, None] >= observed * (1 - 1e-5)).mean(axis=0)
    apart = np.all(np.abs(found[1:, None] / observed - 1) > 0.01, axis=0)
    assert apart.sum() > n / 2
    assert ours[apart] == pytest.approx(p[apart])
    assert p[apart].min() < 0.1
