"""The permutation test of a node: which shuffles each contrast takes, what is maximised, and how long one takes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bids_app.arrays import Stack
from bids_app.design.contrast_test import ContrastTest
from bids_app.design.design import Design
from bids_app.errors import ModelError
from bids_app.model.settings import PermutationSettings
from bids_app.model.specification import NodeSpec
from bids_app.permutation.enhancements import Enhancements, choose_enhancements
from bids_app.permutation.null_distribution import Work, null_distribution
from bids_app.permutation.schemes import make_shuffles
from bids_app.permutation.shuffles import Shuffles
from bids_app.spaces.domain import SpatialDomain
from bids_app.spaces.tree_kernels import Exponents


@dataclass(frozen=True, slots=True)
class Plan:
    """What is shuffled and maximised for a contrast."""

    test: ContrastTest
    shuffles: Shuffles
    enhancements: Enhancements


def plan_permutations(
    node: NodeSpec, design: Design, tests: Sequence[ContrastTest], domain: SpatialDomain, seed: int
) -> tuple[Plan | None, ...]:
    """Decide what is shuffled and maximised for every contrast; None where the model asks for no permutation.

    Raises
    ------
    ModelError
        When a scheme cannot test a contrast, when nothing can move, or for a forming threshold that is too low.
    """
    asked = node.settings.permutation
    if asked is None or node.settings.voxel_coverage < 1:
        return (None,) * len(tests)
    across = is_across(asked, design)
    if across and any(test.design.subjects != design.subjects for test in tests):
        raise ModelError(
            f"{node.where}: Permutation.AcrossContrasts needs the same subjects in all contrasts, and maps are missing "
            "for some. Add them, leave out the subjects with --participant-label, or AcrossContrasts."
        )
    # contrasts that are corrected together take the same flips, f and -f apart if one of them has to
    return tuple(_plan(test, tests if across else (test,), node, domain, seed) for test in tests)


def _plan(
    test: ContrastTest,
    together: Sequence[ContrastTest],
    node: NodeSpec,
    domain: SpatialDomain,
    seed: int,
) -> Plan:
    """Plan one contrast, given those that it is corrected together with."""
    asked = node.settings.permutation
    assert asked is not None
    forming = (asked.cluster_forming_p, asked.cluster_forming_t)
    try:
        on_z = len(together) > 1
        enhancements = choose_enhancements(
            asked.statistics, domain, test, forming, on_z=on_z, exponents=_exponents(asked)
        )
    except ModelError as error:
        raise ModelError(f"{node.where}: Permutation.ClusterFormingT: {error}") from error
    sides = [(each.contrast.test, each.contrast.sided) for each in together]
    try:
        shuffles = make_shuffles(
            test,
            asked.n,
            seed,
            shuffle=asked.shuffle,
            flip_blocks=asked.flips_whole_blocks,
            up_to_sign=not any(kind == "t" and sided != "two" for kind, sided in sides),
        )
    except ModelError as error:
        raise ModelError(f"{node.where}: Permutation: {error}") from error
    bounds = node.settings.true_discoveries
    with_pivots = bounds is not None and bounds.method == "permutation"
    return Plan(test, shuffles, replace(enhancements, with_pivots=with_pivots))


def _exponents(asked: PermutationSettings) -> Exponents | None:
    """Return the exponents of TFCE that are asked for; None: those for the sizes of the domain or of its parts."""
    return Exponents(asked.tfce.e, asked.tfce.h) if asked.tfce else None


def is_across(asked: PermutationSettings, design: Design) -> bool:
    """Whether correction reaches over the contrasts: it is asked for, and there are several."""
    return asked.across_contrasts and len(design.contrasts) > 1


def seconds_per_shuffle(values: Stack, plan: Plan) -> float:
    """Time a few shuffles on one thread; what is done once, compilation among it, cancels out."""

    def seconds(n: int) -> float:
        few = replace(plan.shuffles, order=plan.shuffles.order[:n], sign=plan.shuffles.sign[:n], exhaustive=False)
        start = time.perf_counter()
        null_distribution(values, plan.test, few, plan.enhancements, Work())
        return time.perf_counter() - start

    seconds(1)
    many, few = min(48, plan.shuffles.n_shuffles), min(16, plan.shuffles.n_shuffles // 2)
    return max(0.0, seconds(many) - (seconds(few) if few else 0.0)) / (many - few)
