"""The permutation test of a node: which shuffles each contrast takes, what is maximised, and how long one takes."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from bids_app.arrays import Stack
from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.errors import ModelError
from bids_app.model.settings import PermutationSettings
from bids_app.model.specification import NodeSpec
from bids_app.permutation.null_distribution import Enhancements, Work, choose_enhancements, null_distribution
from bids_app.permutation.schemes import Shuffles, make_shuffles
from bids_app.spaces.clusters import Lattice


@dataclass(frozen=True, slots=True)
class Plan:
    """What is shuffled and maximised for a contrast."""

    shuffles: Shuffles
    enhancements: Enhancements


def plan_permutations(node: NodeSpec, design: Design, lattice: Lattice, seed: int) -> tuple[Plan | None, ...]:
    """Decide what is shuffled and maximised for every contrast; None where the model asks for no permutation.

    Raises
    ------
    ModelError
        When a scheme cannot test a contrast, when nothing can move, or for a forming threshold that is too low.
    """
    asked = node.settings.permutation
    if asked is None or node.settings.voxel_coverage < 1:
        return (None,) * len(design.contrasts)
    return tuple(_plan(contrast, node, asked, design, lattice, seed) for contrast in design.contrasts)


def _plan(
    contrast: Contrast, node: NodeSpec, asked: PermutationSettings, design: Design, lattice: Lattice, seed: int
) -> Plan:
    across = is_across(asked, design)
    try:
        enhancements = choose_enhancements(
            asked.statistics,
            lattice,
            design,
            contrast,
            (asked.cluster_forming_p, asked.cluster_forming_t),
            on_z=across,
        )
    except ValueError as error:
        raise ModelError(f"{node.where}: Permutation.ClusterFormingT: {error}") from error
    # contrasts that are corrected together take the same flips, f and -f apart if one of them has to
    together = design.contrasts if across else (contrast,)
    if across and any(design.of(each).subjects != design.subjects for each in design.contrasts):
        raise ModelError(
            f"{node.where}: Permutation.AcrossContrasts needs the same subjects in all contrasts, and maps are missing "
            "for some. Add them, leave out the subjects with --participant-label, or AcrossContrasts."
        )
    try:
        shuffles = make_shuffles(
            contrast,
            design,
            asked.n,
            seed,
            shuffle=asked.shuffle,
            flip_blocks=asked.flips_whole_blocks,
            up_to_sign=not any(each.test == "t" and each.sided != "two" for each in together),
        )
    except ValueError as error:
        raise ModelError(f"{node.where}: Permutation: {error}") from error
    return Plan(shuffles, enhancements)


def is_across(asked: PermutationSettings, design: Design) -> bool:
    """Whether correction reaches over the contrasts: it is asked for, and there are several."""
    return asked.across_contrasts and len(design.contrasts) > 1


def seconds_per_shuffle(values: Stack, design: Design, contrast: Contrast, plan: Plan) -> float:
    """Time a few shuffles on one thread; what is done once, compilation among it, cancels out."""

    def seconds(n: int) -> float:
        few = replace(plan.shuffles, order=plan.shuffles.order[:n], sign=plan.shuffles.sign[:n], exhaustive=False)
        start = time.perf_counter()
        null_distribution(values, design, contrast, few, plan.enhancements, Work())
        return time.perf_counter() - start

    seconds(1)
    many, few = min(48, plan.shuffles.n_shuffles), min(16, plan.shuffles.n_shuffles // 2)
    return max(0.0, seconds(many) - (seconds(few) if few else 0.0)) / (many - few)
