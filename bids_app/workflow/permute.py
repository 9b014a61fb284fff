"""The permutation test of a node: the shuffles of its contrasts are run, from their checkpoints on, and corrected.

The engine knows arrays only; here it is told what the model asks for, given memory, a place for checkpoints and
somebody who watches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bids_app.arrays import Stack
from bids_app.console.progress import shuffling
from bids_app.console.text import file_label
from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.inference.corrections import ContrastInference, familywise, familywise_across
from bids_app.model.settings import PermutationSettings
from bids_app.model.specification import NodeSpec
from bids_app.permutation.checkpoints import Checkpoint, checkpoint_path, fingerprint, open_work_dir
from bids_app.permutation.null_distribution import NullDistribution, Work, null_distribution
from bids_app.permutation.plan import Plan, is_across
from bids_app.runtime.memory import Means

Permuted = tuple[NullDistribution | None, tuple[ContrastInference, ...]]


def permute(
    values: Stack, node: NodeSpec, design: Design, plans: Sequence[Plan | None], means: Means
) -> Iterator[Permuted]:
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
    open_work_dir(means.work_dir)
    data = fingerprint(values, design.between, design.subjects, design.cells)
    nulls = (
        _null(values, node, design, contrast, plan, data, means)
        for contrast, plan in zip(design.contrasts, plans, strict=True)
        if plan is not None
    )
    if is_across(asked, design):
        yield from _corrected_together(list(nulls), asked)
    else:
        yield from ((null, familywise(null, asked.alpha, asked.tail)) for null in nulls)


def _corrected_together(nulls: Sequence[NullDistribution], asked: PermutationSettings) -> Iterator[Permuted]:
    """Correct over all contrasts: by the joint maximum where they share their shuffles, by Bonferroni elsewhere."""
    families: dict[str, list[NullDistribution]] = {}
    for null in nulls:
        families.setdefault(null.shuffles.scheme, []).append(null)
    corrected = {
        null.contrast_name: inferences
        for family in families.values()
        for null, inferences in zip(
            family, familywise_across(family, asked.alpha, asked.tail, len(families)), strict=True
        )
    }
    yield from ((null, corrected[null.contrast_name]) for null in nulls)


def _null(
    values: Stack,
    node: NodeSpec,
    design: Design,
    contrast: Contrast,
    plan: Plan,
    data: str,
    means: Means,
) -> NullDistribution:
    """Run one contrast's shuffles, from its checkpoint on where there is one."""
    enhancements, part = plan.enhancements, design.of(contrast)
    settings = (enhancements.keys, enhancements.forming_threshold, enhancements.two_sided, enhancements.on_z)
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
    done = checkpoint.load()
    n_done = done.n_done if done else 0
    with shuffling(contrast.name, plan.shuffles.n_shuffles, n_done, quiet=means.quiet) as advance:
        work = Work(means.n_jobs, means.memory, means.work_dir, done, checkpoint, advance)
        return null_distribution(values, design, contrast, plan.shuffles, enhancements, work)
