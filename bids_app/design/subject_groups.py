"""Groups of subjects that the analysis has to respect: exchangeability blocks, and groups of unequal variances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from bids_app.design.between_subject import BetweenDesign
from bids_app.design.subspaces import column_space
from bids_app.errors import DataError, Warned
from bids_app.inputs.columns import Participants, levels_column
from bids_app.model.specification import NodeSpec

LEAST_RESIDUAL_DF = 1e-6  # of a group: with less, the model fits its subjects whatever they are


def exchangeability_blocks(
    subjects: Sequence[str], node: NodeSpec, participants: Participants | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the exchangeability block of each subject, (n_subjects,), and notes; empty where none are named.

    Raises
    ------
    DataError
        When a subject has no value in the column.
    """
    permutation = node.settings.permutation
    if permutation is None or permutation.exchangeability_blocks is None:
        return (), ()
    if participants is None:
        raise ValueError(f"node {node.name} names exchangeability blocks; expected the table of the participants")
    name = permutation.exchangeability_blocks
    blocks = levels_column(participants, name, subjects)
    sizes = Counter(Counter(blocks).values())
    listed = ", ".join(f"{count} of {size} subject{'s' if size > 1 else ''}" for size, count in sorted(sizes.items()))
    flipped = "whole blocks" if permutation.flips_whole_blocks else "single subjects"
    note = Warned(
        f'exchangeability blocks: column "{name}" of {participants.source}, {sizes.total()} in all ({listed}); '
        f"sign-flips act on {flipped}; parametric p-values ignore the blocks"
    )
    return blocks, (note,)


def variance_groups(
    subjects: Sequence[str], node: NodeSpec, participants: Participants | None, between: BetweenDesign
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the variance group of each subject, (n_subjects,), and notes; empty where none are named.

    Raises
    ------
    DataError
        There is one group only, or one in which the model leaves no residual.
    """
    name = node.settings.variance_groups
    if name is None:
        return (), ()
    if participants is None:
        raise ValueError(f"node {node.name} names variance groups; expected the table of the participants")
    groups = levels_column(participants, name, subjects)
    sizes = Counter(groups)
    listed = ", ".join(f"{label} {size} subjects" for label, size in sorted(sizes.items()))
    if len(sizes) < 2:
        raise DataError(
            f'{participants.source}: all {len(subjects)} subjects have the same value in the column "{name}", which '
            f"VarianceGroups names ({listed}). Expected two groups or more: take VarianceGroups out."
        )
    free = 1 - column_space(between.matrix).leverages
    for label in sizes:
        members = np.array([group == label for group in groups])
        if sizes[label] < 2 or np.sum(free[members]) < LEAST_RESIDUAL_DF:
            raise DataError(
                f'{participants.source}: the variance of the group "{label}" in the column "{name}" cannot '
                f"be estimated ({listed}): expected two members or more, and fewer columns in the model than members. "
                "Join groups, or take VarianceGroups out."
            )
    note = (
        f'variance groups: column "{name}" of {participants.source} ({listed}); Welch\'s t and the Welch-James F where '
        "a contrast has one dimension within subjects; the ordinary F, whose parametric p assumes equal covariances, "
        "where it has more; residuals change sign"
    )
    return groups, (note,)
