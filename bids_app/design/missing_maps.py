"""Contrasts that some subjects lack a map for: who is left to test them, and in which design.

A contrast needs the maps of the conditions that it weighs (partitioned error), or all of them (pooled error). Subjects
without these are excluded from it, and its design is laid out anew for the others. A pooled error without columns
between subjects keeps every subject with two maps or more: it is fitted to the single maps by least squares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Floats
from bids_app.design.between_subject import INTERCEPT
from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.design.subspaces import column_space
from bids_app.errors import DataError
from bids_app.inputs.choose_and_order_maps import InputMaps
from bids_app.model.specification import NodeSpec

DesignOf = Callable[[tuple[str, ...]], Design]


def rows_of_maps(maps: InputMaps) -> NDArray[np.intp]:
    """Return the row of each subject's and condition's map, (n_subjects, n_cells), -1 where there is none."""
    number = {cell: row for row, cell in enumerate(zip(maps.table["subject"], maps.table["condition"], strict=True))}
    return np.array([[number.get((s, c), -1) for c in maps.conditions] for s in maps.subjects], np.intp)


def designs_of_incomplete(whole: Design, node: NodeSpec, design_of: DesignOf) -> Iterator[tuple[str, Design]]:
    """Yield the name and the own design of each contrast that some subjects lack a map for.

    Parameters
    ----------
    whole : of all subjects
    node : NodeSpec
    design_of : lays out the design of some of the subjects

    Raises
    ------
    DataError
        When the maps that there are cannot test the contrast.
    """
    has_map = whole.row_of_map >= 0
    made: dict[tuple[str, ...], Design] = {}
    for contrast in whole.contrasts:
        if contrast.error_term == "pooled" and whole.between_names == (INTERCEPT,):
            part = whole.restricted(has_map.sum(axis=1) > 1)  # a single map of a subject says nothing about differences
            _check_estimable(contrast, part, node)
            yield contrast.name, part
            continue
        keep = np.all(has_map[:, contrast.needs], axis=1)
        if np.all(keep):
            continue
        subjects = tuple(subject for subject, kept in zip(whole.subjects, keep, strict=True) if kept)
        if len(subjects) < 2:
            needed = ", ".join(cell for cell, need in zip(whole.cells, contrast.needs, strict=True) if need)
            raise DataError(
                f"{node.where}: {contrast.name} needs {needed}, and {len(subjects)} of {len(whole.subjects)} subjects "
                'have all of these. Expected two or more: add the missing maps, or leave the contrast out ("Effects").'
            )
        if subjects not in made:
            made[subjects] = design_of(subjects)
        yield contrast.name, made[subjects]


def _check_estimable(contrast: Contrast, part: Design, node: NodeSpec) -> None:
    """Refuse a comparison of cells that no chain of subjects connects, or that leaves no error."""
    space = column_space(cell_columns(part))
    if not space.is_estimable(contrast.cell_weights):
        raise DataError(
            f"{node.where}: too many maps are missing for {contrast.name}: no subjects connect the conditions that it "
            "compares. Add maps, or leave the contrast out."
        )
    if part.n_maps - len(part.subjects) - space.rank < 1:
        raise DataError(
            f"{node.where}: too many maps are missing for {contrast.name}: {part.n_maps} maps of {len(part.subjects)} "
            "subjects leave no degrees of freedom for the error. Add maps."
        )


def cell_columns(design: Design) -> Floats:
    """Return indicators of the cells over the maps that there are, each minus its subject's mean, (n_maps, n_cells)."""
    indicators = np.eye(len(design.cells))
    return np.concatenate([indicators[cells] - indicators[cells].mean(axis=0) for cells in design.row_of_map >= 0])


def is_fitted_to_maps(design: Design, contrast: Contrast) -> bool:
    """Whether a contrast is fitted to single maps, by least squares: its error is pooled, and maps are missing."""
    return contrast.error_term == "pooled" and not design.is_complete


def absence_note(contrast: Contrast, whole: Design, part: Design) -> str:
    """Return a note on the subjects excluded from a contrast, or on the maps that it lacks."""
    missing = [f"sub-{subject}" for subject in whole.subjects if subject not in part.subjects]
    excluded = f"excluded (missing maps): {', '.join(missing)}" if missing else ""
    if not is_fitted_to_maps(part, contrast):
        return f"{contrast.name}: {len(part.subjects)} subjects; {excluded}"
    n_absent = len(part.subjects) * len(part.cells) - part.n_maps
    used = f"{part.n_maps} maps of {len(part.subjects)} subjects, {n_absent} missing"
    return (
        f"{contrast.name}: {used}: unbalanced, by "
        "ordinary least squares on the maps; all residual maps of a subject change sign together"
        + (f"; {excluded}" if excluded else "")
    )
