"""Westfall and Young's smallest p over parts: brute force over all flips, its bounds, and its false positives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest

from bids_app.inference.evidence import Family
from bids_app.inference.familywise_p import own_family, ranked, tie_tolerance
from bids_app.inference.over_parts import OverParts, correct_over_parts, familywise, min_p
from bids_app.permutation.enhancements import choose_enhancements
from bids_app.permutation.null_distribution import NullDistribution, Work, null_distribution
from bids_app.permutation.schemes import make_shuffles
from bids_app.spaces.domain import SpatialDomain
from bids_app.spaces.grayordinate_domain import GrayordinateDomain
from bids_app.spaces.grayordinates import VOLUME_PART, BrainModel, Grayordinates
from bids_app.spaces.tree_kernels import Exponents
from bids_app.spaces.volume import Grid
from builders.designs import one_sample
from builders.meshes import icosahedron
from builders.spaces import walk

FORMING_T = 1.0
STATISTICS = ("clusterSize", "clusterMass", "tfce")
OF_SURFACES, OF_VOLUMES = Exponents(1.0, 2.0), Exponents(0.5, 2.0)


def small_brain() -> GrayordinateDomain:
    """Hemispheres of 39 and 12 vertices of unlike size, and 18 voxels in two structures."""
    voxels = np.argwhere(np.ones((3, 3, 2)))
    rows = Grayordinates(
        (
            BrainModel("CORTEX_LEFT", np.arange(3, 42), 42),
            BrainModel("THALAMUS_LEFT", voxels[9:]),
            BrainModel("CORTEX_RIGHT", np.arange(12), 12),
            BrainModel("PUTAMEN_LEFT", voxels[:9]),
        ),
        Grid((3, 3, 2), np.eye(4)),
    )
    return GrayordinateDomain.from_meshes(
        rows, {"CORTEX_LEFT": icosahedron(1, 40.0), "CORTEX_RIGHT": icosahedron(0, 10.0)}
    )


def null_of(values: np.ndarray, domain: SpatialDomain, sided: str) -> NullDistribution:
    """Return all flips by the engine; parts of a domain have maxima of their own."""
    test = one_sample(len(values), sided)
    shuffles = make_shuffles(test, 2 ** len(values), seed=0)
    names = ("voxel", "cluster-size", "cluster-mass", "tfce")
    enhancements = choose_enhancements(names, domain, test, (0.001, FORMING_T), exponents=None)
    return null_distribution(values, test, shuffles, enhancements, Work())


def alone_over_parts(null: NullDistribution, key: str) -> OverParts:
    """Correct a contrast that stands alone."""
    return correct_over_parts(null, own_family(null), key, 0.05)


def naive_statistics(t: np.ndarray, domain: GrayordinateDomain, part: int) -> dict[str, np.ndarray]:
    """Size, mass and TFCE of each element of a part, level by level, on the graph of all parts."""
    members = set(domain.parts[part].members.tolist())
    exponent = OF_VOLUMES.extent if domain.parts[part].name == VOLUME_PART else OF_SURFACES.extent
    sizes = domain.topology.sizes
    found = {key: np.zeros(t.size) for key in STATISTICS}
    own = np.array([element in members for element in range(t.size)])
    for cluster in walk(own & (t > FORMING_T), domain.topology):
        found["clusterSize"][cluster] = sum(sizes[element] for element in cluster)
        found["clusterMass"][cluster] = sum((t[element] - FORMING_T) * sizes[element] for element in cluster)
    for low, high in pairwise(np.unique(np.concatenate([[0.0], t[own & (t > 0)]]))):
        for cluster in walk(own & (t >= high), domain.topology):
            found["tfce"][cluster] += sum(sizes[each] for each in cluster) ** exponent * (high**3 - low**3) / 3
    return {key: values[domain.parts[part].members] for key, values in found.items()}


@pytest.fixture(scope="module")
def maps() -> np.ndarray:
    """Six maps with an effect in a part of the right hemisphere."""
    rng = np.random.default_rng(11)
    values = rng.standard_normal((6, 69))
    values[:, 50:58] += 1.0
    return values.astype(np.float32)


@pytest.mark.parametrize("sided", ["positive", "two"])
def test_brute_force_over_all_flips_of_six_maps(sided: str, maps: np.ndarray) -> None:
    """Naive loops over flips, parts, elements and ranks, from the maps to the p over the parts: the same p exactly."""
    domain = small_brain()
    flips = list(product((1, -1), repeat=6))[: 64 if sided == "positive" else 32]
    rows: list[list[dict[str, np.ndarray]]] = []  # of each flip and part
    for flip in flips:
        flipped = maps.astype(float) * np.array(flip)[:, None]
        t = flipped.mean(0) / (flipped.std(0, ddof=1) / np.sqrt(6))
        sides = [t] if sided == "positive" else [t, -t]
        parts = [[naive_statistics(side, domain, part) for side in sides] for part in range(3)]
        rows.append([{key: sum(side[key] for side in of_part) for key in STATISTICS} for of_part in parts])
    null = null_of(maps, domain, sided)
    for key in STATISTICS:
        maxima = [[max(row[part][key]) for row in rows] for part in range(3)]
        in_part = [
            [sum(other >= value * (1 - 1e-5) for other in maxima[part]) for value in maxima[part]] for part in range(3)
        ]
        smallest = [min(in_part[part][flip] for part in range(3)) for flip in range(len(flips))]
        found = alone_over_parts(null, key)
        assert np.sort(found.smallest * len(flips)).tolist() == sorted(smallest)
        assert found.smallest[0] * len(flips) == smallest[0]
        for part in range(3):
            for element, value in enumerate(rows[0][part][key]):
                within = sum(other >= value * (1 - 1e-5) for other in maxima[part]) if value > 0 else len(flips)
                over = sum(other <= within for other in smallest) if value > 0 else len(flips)
                assert found.parts[part].p_within[element] == within / len(flips)
                assert found.parts[part].p[element] == over / len(flips)
        assert min(part.p.min() for part in found.parts) < 1  # something is found, or nothing is compared


def random_maxima(rng: np.random.Generator, n_shuffles: int, n_parts: int) -> list[np.ndarray]:
    """Maxima that depend on each other, in unlike units, and often 0 where clusters are rare."""
    shared = rng.gamma(1.0, 1.0, n_shuffles)
    found = []
    for part in range(n_parts):
        own = shared * rng.random() + rng.gamma(0.5 + part, 1.0, n_shuffles)
        values = np.round(own, part % 3) * 10.0**part  # ties of whole numbers of voxels
        found.append(np.where(rng.random(n_shuffles) < 0.3 * (part % 2), 0.0, values))
    return found


def test_it_lies_between_the_p_of_the_part_and_bonferronis(rng: np.random.Generator) -> None:
    for n_parts in (1, 2, 3, 6):
        for _ in range(20):
            maxima = random_maxima(rng, 100, n_parts)
            observed = [rng.permutation(each)[:30] for each in maxima]
            for part in min_p(maxima, observed, 0.05).parts:
                assert np.all(part.p >= part.p_within)
                assert np.all(part.p <= np.minimum(1, n_parts * part.p_within) + 1e-12)


def test_one_part_alone_has_its_ordinary_p(maps: np.ndarray) -> None:
    for each in small_brain().parts:
        null = null_of(maps[:, each.members], each.domain, "two")
        assert not null.parts
        for key in STATISTICS:
            (part,) = min_p([null.maxima[key]], [null.observed[key]], 0.05, tie_tolerance(key)).parts
            ordinary = ranked(null, own_family(null), key, 0.05)
            assert np.array_equal(part.p, ordinary.p)
            assert np.array_equal(part.p_within, ordinary.p)
            assert part.critical == ordinary.threshold


def same(one: OverParts, other: OverParts) -> bool:
    return all(np.array_equal(a.p, b.p) for a, b in zip(one.parts, other.parts, strict=True))


def test_units_and_order_of_the_parts_do_not_matter(rng: np.random.Generator) -> None:
    """cm2 in place of mm2, logarithms of masses: ranks stay; the parts turned round give the same p turned round."""
    maxima = random_maxima(rng, 200, 3)
    observed = [each[:20] for each in maxima]
    before = min_p(maxima, observed, 0.05)
    scales: tuple[Callable[[np.ndarray], np.ndarray], ...] = (lambda x: x / 100, lambda x: 7.3 * x, np.sqrt)
    for scale in scales:
        after = min_p([scale(maxima[0]), *maxima[1:]], [scale(observed[0]), *observed[1:]], 0.05)
        assert same(before, after)
        assert np.array_equal(before.smallest, after.smallest)
    turned = min_p(maxima[::-1], observed[::-1], 0.05)
    assert same(before, replace(turned, parts=turned.parts[::-1]))


def test_the_critical_value_is_where_p_crosses_alpha(rng: np.random.Generator) -> None:
    """Of every part, for values on both sides of it; none where even the largest maximum is not beyond alpha."""
    n_none = 0
    for _ in range(60):
        observed = [rng.gamma(2.0, 1.0 + rng.random(), 200) for _ in range(3)]
        maxima = [np.append(each.max(), rng.gamma(2.0, 1.0, 99) + 3) for each in observed]
        for alpha in (0.01, 0.05, 0.2, 1.0):
            for part, values in zip(min_p(maxima, observed, alpha).parts, observed, strict=True):
                if part.critical is None:
                    n_none += 1
                    assert alpha == 1.0 or not (part.p <= alpha).any()
                else:
                    # the tolerance of ties lies around the critical value
                    apart = np.abs(values - part.critical) > 1e-4 * part.critical
                    assert np.array_equal((part.p <= alpha)[apart], values[apart] > part.critical)
    assert n_none


def test_the_smallest_p_over_everything_is_uniform_under_the_null(rng: np.random.Generator) -> None:
    """Row 0 is one shuffle among others. At most alpha, exactly; ties of the smallest rank take two steps at most.

    3000 runs: four standard errors are 0.016 at 0.05 and 0.037 at 0.5.
    """
    n_runs, n_shuffles = 3000, 400
    smallest = np.empty(n_runs)
    for run in range(n_runs):
        shared = rng.standard_normal(n_shuffles)
        maxima = [np.exp(0.7 * shared + rng.standard_normal(n_shuffles)) * 10.0**part for part in range(3)]
        found = min_p(maxima, [each[:1] for each in maxima], 0.05)
        smallest[run] = min(part.p[0] for part in found.parts)
    for alpha in (0.05, 0.1, 0.25, 0.5):
        error = 4 * np.sqrt(alpha * (1 - alpha) / n_runs)
        assert alpha - 2 / n_shuffles - error < np.mean(smallest <= alpha) < alpha + error


@pytest.mark.slow
def test_false_positives_over_all_parts_from_maps_of_noise(rng: np.random.Generator) -> None:
    """Eight subjects, 128 flips, 400 studies: at most 0.05 and four standard errors, 0.044, more; and not far below.

    Without the correction over parts, the smallest p within a part is below 0.05 twice as often.
    """
    domain = small_brain()
    n_found = dict.fromkeys(STATISTICS, 0)
    n_within = dict.fromkeys(STATISTICS, 0)
    for _ in range(400):
        null = null_of(rng.standard_normal((8, domain.n_elements)).astype(np.float32), domain, "two")
        for key in STATISTICS:
            parts = alone_over_parts(null, key).parts
            n_found[key] += min(part.p.min() for part in parts) <= 0.05
            n_within[key] += min(part.p_within.min() for part in parts) <= 0.05
    for key in STATISTICS:
        assert 0.015 < n_found[key] / 400 < 0.094
        assert n_within[key] / 400 > 0.094


def test_contrasts_corrected_together_are_ranked_among_their_joint_maxima(maps: np.ndarray) -> None:
    """Two families of contrasts: p is doubled, and 1 at most."""
    null = null_of(maps, small_brain(), "positive")
    alone = alone_over_parts(null, "tfce")
    joint = Family({name: 2 * maxima for name, maxima in null.maxima.items()}, across=2, n_families=2)
    together = correct_over_parts(null, joint, "tfce", 0.05)
    expected = min_p(
        [joint.maxima[f"tfce_{part.name}"] for part in null.parts],
        [null.observed["tfce"][part.members] for part in null.parts],
        0.05,
    )
    for part, own, before in zip(together.parts, expected.parts, alone.parts, strict=True):
        assert np.array_equal(part.p, np.minimum(1, 2 * own.p))
        assert np.all(part.p >= before.p)


def test_elements_in_no_cluster_have_a_p_of_one() -> None:
    """Where no shuffle has a cluster either, all tie at 0."""
    nothing = np.zeros(8)
    for part in min_p([nothing, nothing], [np.zeros(3), np.array([0.0, -1.0])], 0.05).parts:
        assert part.p.tolist() == [1.0] * part.p.size
        assert part.p_within.tolist() == [1.0] * part.p.size


def test_maxima_of_parts_are_those_of_the_parts_alone(maps: np.ndarray) -> None:
    """Bit for bit; the voxels' statistic has one maximum, and each part the exponents for its unit."""
    domain = small_brain()
    null = null_of(maps, domain, "two")
    alone = [null_of(maps[:, part.members], part.domain, "two") for part in domain.parts]
    assert [part.unit for part in null.parts] == ["mm2", "mm2", "1"]
    assert [part.exponents for part in null.parts] == [OF_SURFACES, OF_SURFACES, OF_VOLUMES]
    assert np.array_equal(null.maxima["voxel"], np.max([each.maxima["voxel"] for each in alone], axis=0))
    for part, own in zip(null.parts, alone, strict=True):
        for key in STATISTICS:
            assert np.array_equal(null.maxima[f"{key}_{part.name}"], own.maxima[key])
            assert np.array_equal(null.observed[key][part.members], own.observed[key])


def test_a_corrected_map_has_the_p_and_the_critical_value_of_each_part(maps: np.ndarray) -> None:
    null = null_of(maps, small_brain(), "positive")
    for found in familywise(null, 0.2):
        if found.method == "voxelFWE":
            assert found.thresholds is None
            continue
        expected = correct_over_parts(null, own_family(null), found.method.removesuffix("FWE"), 0.2)
        assert found.threshold is None
        for part, own in zip(null.parts, expected.parts, strict=True):
            assert np.array_equal(found.p[part.members], own.p)
            assert found.thresholds[part.name] == own.critical


def test_no_tail_is_fitted_to_the_smallest_p(maps: np.ndarray) -> None:
    null = null_of(maps, small_brain(), "positive")
    tails = own_family(null, "gpd").tails
    assert "enumerated" in tails["voxel"]
    assert {tails[key] for key in STATISTICS} == {"what is ranked is the smallest p over parts"}


def test_what_has_no_parts_is_refused(maps: np.ndarray) -> None:
    brain = small_brain()
    null = null_of(maps, brain, "positive")
    with pytest.raises(ValueError, match="corrected by its maximum over all parts"):
        correct_over_parts(null, own_family(null), "voxel", 0.05)
    left = brain.parts[0]
    alone = null_of(maps[:, left.members], left.domain, "positive")
    with pytest.raises(ValueError, match="all elements have one unit"):
        correct_over_parts(alone, own_family(alone), "tfce", 0.05)
    with pytest.raises(ValueError, match="do not fit"):
        min_p([np.zeros(8), np.zeros(9)], [np.zeros(1), np.zeros(1)], 0.05)
