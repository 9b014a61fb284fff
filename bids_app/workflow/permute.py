"""The permutation test of a node: the permutations of its contrasts are run, from their checkpoints on.

The engine knows arrays only; here it is told what the model asks for, given a budget, a place for checkpoints and
somebody who watches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bids_app.arrays import Stack
from bids_app.console.progress import shuffling
from bids_app.console.text import file_label
from bids_app.design.design import Design
from bids_app.inference.evidence import Family
from bids_app.inference.familywise_p import joint_family, own_family
from bids_app.model.specification import NodeSpec
from bids_app.permutation.checkpoints import Checkpoint, checkpoint_path, fingerprint, open_work_dir
from bids_app.permutation.null_distribution import NullDistribution, Work, null_distribution
from bids_app.permutation.plan import Plan, is_across
from bids_app.runtime.memory import ResourceBudget

Permuted = tuple[NullDistribution | None, Family | None]


def permute(
    values: Stack, node: NodeSpec, design: Design, plans: Sequence[Plan | None], means: ResourceBudget
) -> Iterator[Permuted]:
    """Shuffle one contrast after the other; yields the null distribution of each, and what it is ranked among.

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
        yield from ((None, None) for _ in plans)
        return
    if means.work_dir:
        open_work_dir(means.work_dir)
    data = fingerprint(values, design.between, design.subjects, design.cells)
    nulls = (_null(values, node, plan, data, means) for plan in plans if plan is not None)
    if not is_across(asked, design):
        yield from ((null, own_family(null, asked.tail)) for null in nulls)
        return
    every = list(nulls)
    of_scheme: dict[str, list[NullDistribution]] = {}
    for null in every:
        of_scheme.setdefault(null.shuffles.scheme, []).append(null)
    families = {scheme: joint_family(nulls, asked.tail, len(of_scheme)) for scheme, nulls in of_scheme.items()}
    yield from ((null, families[null.shuffles.scheme]) for null in every)


def _null(
    values: Stack,
    node: NodeSpec,
    plan: Plan,
    data: str,
    means: ResourceBudget,
) -> NullDistribution:
    """Run one contrast's shuffles, from its checkpoint on where there is one."""
    enhancements, contrast, design = plan.enhancements, plan.test.contrast, plan.test.design
    settings = (enhancements.keys, enhancements.forming_threshold, enhancements.two_sided, enhancements.on_z)
    checkpoint = None
    if means.work_dir:
        checkpoint = Checkpoint(
            checkpoint_path(means.work_dir, file_label(node.name), contrast.label),
            fingerprint(
                data,
                contrast,
                (design.between, design.row_of_map, design.variance_groups),
                plan.shuffles.scheme,
                plan.shuffles.order,
                plan.shuffles.sign,
                settings,
                *(tuple(part.exponents) for part in enhancements.parts),
                *enhancements.domain.fingerprint(),
                *(enhancements.summaries if enhancements.with_pivots else ()),
            ),
            size=(plan.shuffles.n_shuffles, len(enhancements.columns), values.shape[1]),
            summaries=enhancements.summaries,
        )
    done = checkpoint.load() if checkpoint else None
    n_done = len(done.done) if done else 0
    with shuffling(contrast.name, plan.shuffles.n_shuffles, n_done, quiet=means.quiet) as advance:
        work = Work(means.n_jobs, means.memory, means.work_dir, done=done, keeper=checkpoint, advance=advance)
        return null_distribution(values, plan.test, plan.shuffles, enhancements, work)
