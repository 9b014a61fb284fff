"""From the maps of a node to its design: columns, contrasts, groups of subjects, and what missing maps change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from bids_app.design.between_subject import build_between
from bids_app.design.contrasts import (
    Contrast,
    ContrastLayout,
    check_columns_differ,
    contrasts_of_effect,
    contrasts_of_spec,
    design_matrix,
    sum_to_zero,
)
from bids_app.design.design import Design
from bids_app.design.labels import check_labels, check_lengths
from bids_app.design.missing_maps import absence_note, designs_of_incomplete, rows_of_maps
from bids_app.design.subject_groups import exchangeability_blocks, variance_groups
from bids_app.errors import DataError, Warned
from bids_app.inputs.choose_and_order_maps import InputMaps
from bids_app.inputs.columns import Participants
from bids_app.inputs.participants import not_analysed
from bids_app.model.settings import effect_names
from bids_app.model.specification import NodeSpec


def build_design(maps: InputMaps, node: NodeSpec, participants: Participants | None = None) -> Design:
    """Return the design of a node: the maps' design matrix and the contrasts.

    Parameters
    ----------
    maps : InputMaps
        Where some are missing, each contrast that needs one of these gets a design of its own.
    node : NodeSpec
    participants : Participants, optional
        Needed where the node names a column of it.

    Raises
    ------
    ModelError
        When a contrast has dependent rows, or two contrasts give one file name.
    DataError
        When a column of the participants is absent, or a subject has no value in it.
    """
    design_of = partial(_design_of, maps, node, participants)
    whole = design_of(maps.subjects)
    if whole.is_complete:
        return whole
    parts = dict(designs_of_incomplete(whole, node, design_of))
    of_part = {name: next(each for each in part.contrasts if each.name == name) for name, part in parts.items()}
    contrasts = [
        replace(of_part[each.name], weights=each.weights) if each.name in of_part else each for each in whole.contrasts
    ]
    notes = [
        Warned(absence_note(contrast, whole, parts[contrast.name])) for contrast in contrasts if contrast.name in parts
    ]
    return replace(whole, contrasts=tuple(contrasts), parts=parts, notes=(*whole.notes, *dict.fromkeys(notes)))


def _design_of(maps: InputMaps, node: NodeSpec, participants: Participants | None, subjects: tuple[str, ...]) -> Design:
    """Lay out the design of some of the subjects."""
    rows = rows_of_maps(maps)[[maps.subjects.index(subject) for subject in subjects]]
    between = build_between(subjects, node.settings, participants, node.where, of_x=(node.cells, node.regressors))
    matrix, regressors = design_matrix(maps.conditions, subjects, between, with_subjects=node.has_subject)
    check_columns_differ(maps.conditions, between, regressors, node)
    layout = ContrastLayout(node, maps.conditions, between, len(regressors))
    explicit = [contrast for spec in node.contrasts for contrast in contrasts_of_spec(spec, layout)]
    taken = {contrast.name for contrast in explicit}
    generated = [contrast for effect in effect_names(node.settings) for contrast in contrasts_of_effect(effect, layout)]
    replaced = [contrast.name for contrast in generated if contrast.name in taken]
    contrasts = (*explicit, *(contrast for contrast in generated if contrast.name not in taken))
    check_labels(contrasts, node)
    check_lengths(contrasts, node, maps, between)
    blocks, block_notes = exchangeability_blocks(subjects, node, participants)
    groups, group_notes = variance_groups(subjects, node, participants, between)
    design = Design(
        matrix=matrix[rows.ravel() >= 0],
        regressors=regressors,
        subjects=subjects,
        cells=maps.conditions,
        between=between.matrix,
        between_names=between.names,
        contrasts=contrasts,
        notes=(
            *between.notes,
            *_notes(contrasts, node, replaced, between.n_cells),
            *block_notes,
            *group_notes,
            *((*participants.notes, *not_analysed(participants, maps.subjects)) if participants else ()),
        ),
        blocks=blocks,
        groups=between.groups,
        variance_groups=groups,
        # None where the maps lie in the stack in just this order, which saves a copy of every block
        rows=None if np.array_equal(rows.ravel(), np.arange(len(maps.table))) else rows,
    )
    _check_multivariate(design, node)
    return design


def _check_multivariate(design: Design, node: NodeSpec) -> None:
    """Refuse a multivariate test with too few subjects for its dimensions."""
    for contrast in design.contrasts:
        r, v = len(contrast.within), design.df_between
        if contrast.sphericity == "multivariate" and v < r:
            raise DataError(
                f'{node.where}: "Sphericity": "multivariate" needs as many residual degrees of freedom as '
                f"{contrast.name} has dimensions, {r}; {len(design.subjects)} subjects and a model of rank "
                f'{len(design.subjects) - v} between them leave {v}. Use "greenhouse-geisser", or add subjects.'
            )


def _is_mean(contrast: Contrast, n_groups: int) -> bool:
    """Whether L averages over subjects, rather than comparing groups or taking a slope; group columns come first."""
    groups, others = contrast.between[:, :n_groups], contrast.between[:, n_groups:]
    return len(groups) == 1 and not sum_to_zero(groups) and not np.any(others)


def _notes(contrasts: Sequence[Contrast], node: NodeSpec, replaced: Sequence[str], n_groups: int) -> tuple[str, ...]:
    notes: list[str] = []
    if replaced:
        notes.append(f"explicit contrasts replace the effects of the same name: {', '.join(replaced)}")
    means = [contrast.name for contrast in contrasts if not contrast.sums_to_zero and _is_mean(contrast, n_groups)]
    if node.settings.voxel_coverage < 1:
        notes.append(
            Warned(
                f"VoxelCoverage {node.settings.voxel_coverage:g}: parametric results only; nothing is shuffled, "
                "because each voxel may have other subjects"
            )
        )
    if means:
        notes.append(
            "weights do not sum to zero, so these test whether the mean over subjects differs from zero, with their "
            f"own error: {', '.join(means)}"
        )
    if not node.has_subject and len(node.conditions) > 1 and len(contrasts[0].within[0]) > 1:
        notes.append(
            Warned(
                '"subject" is not in X; the maps of a subject are treated as repeated measures all the same, never as '
                "independent"
            )
        )
    return tuple(notes)
