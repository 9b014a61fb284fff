"""The permutation test of a node: which shuffles each contrast takes, running them, correction, checkpoints.

The engine (`inference.permutation`) knows arrays only; here it is told what the model asks for, given memory, a place
for checkpoints and somebody who watches.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bids_app.arrays import Stack
from bids_app.console.progress import shuffling
from bids_app.console.text import file_label
from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.errors import ModelError
from bids_app.inference.corrections import ContrastInference, familywise, familywise_across
from bids_app.model.settings import PermutationSettings
from bids_app.model.specification import NodeSpec
from bids_app.permutation.checkpoints import Checkpoint, checkpoint_path, fingerprint, open_work_dir
from bids_app.permutation.enhancements import Enhancements, choose_enhancements
from bids_app.permutation.null_distribution import NullDistribution, Work, null_distribution
from bids_app.permutation.schemes import Shuffles, make_shuffles
from bids_app.runtime.memory import ResourceBudget
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


def permute(
    values: Stack, node: NodeSpec, design: Design, plans: Sequence[Plan | None], means: ResourceBudget
) -> Iterator[tuple[NullDistribution | None, tuple[ContrastInference, ...]]]:
    """Shuffle and correct one contrast after the other; yields null distribution and corrected maps of each.

    Parameters
    ----------
    values : (n_maps, n_voxels)
    node, design, plans : as `plan_permutations` had them
    means : threads, memory, work folder

    Raises
    ------
    OutputError
        When the work folder cannot be written.
    """
    asked = node.settings.permutation
    if asked is None or not any(plans):
        yield from ((None, ()) for _ in plans)
        return
    if means.work_dir:
        open_work_dir(means.work_dir)
    data = fingerprint(values, design.between, design.subjects, design.cells)
    nulls = (
        _null(values, node, design, contrast, plan, data, means)
        for contrast, plan in zip(design.contrasts, plans, strict=True)
        if plan is not None
    )
    if not is_across(asked, design):
        yield from ((null, familywise(null, asked.alpha, asked.tail)) for null in nulls)
        return
    every = list(nulls)
    families: dict[str, list[NullDistribution]] = {}
    for null in every:
        families.setdefault(null.shuffles.scheme, []).append(null)
    corrected = {
        null.contrast_name: inferences
        for family in families.values()
        for null, inferences in zip(
            family, familywise_across(family, asked.alpha, asked.tail, len(families)), strict=True
        )
    }
    yield from ((null, corrected[null.contrast_name]) for null in every)


def _null(
    values: Stack,
    node: NodeSpec,
    design: Design,
    contrast: Contrast,
    plan: Plan,
    data: str,
    means: ResourceBudget,
) -> NullDistribution:
    """Run one contrast's shuffles, from its checkpoint on where there is one."""
    enhancements, part = plan.enhancements, design.of(contrast)
    settings = (enhancements.keys, enhancements.forming_threshold, enhancements.two_sided, enhancements.on_z)
    checkpoint = None
    if means.work_dir:
        checkpoint = Checkpoint(
            checkpoint_path(means.work_dir, file_label(node.name), contrast.label),
            fingerprint(
                data,
                contrast,
                (part.between, part.place, part.variance_groups),
                plan.shuffles.scheme,
                plan.shuffles.order,
                plan.shuffles.sign,
                settings,
                enhancements.lattice.position,
                enhancements.lattice.offsets,
            ),
            size=(plan.shuffles.n_shuffles, len(enhancements.keys), values.shape[1]),
        )
    done = checkpoint.load() if checkpoint else None
    n_done = len(done.done) if done else 0
    with shuffling(contrast.name, plan.shuffles.n_shuffles, n_done, quiet=means.quiet) as advance:
        work = Work(means.n_jobs, means.memory, means.work_dir, done=done, keeper=checkpoint, advance=advance)
        return null_distribution(values, design, contrast, plan.shuffles, enhancements, work)


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
