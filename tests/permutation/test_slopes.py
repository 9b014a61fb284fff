"""The slopes of two groups, shuffled: Freedman-Lane written out, the null model refitted for every relabelling."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bids_app.permutation.enhancements import choose_enhancements
from bids_app.permutation.null_distribution import Work, null_distribution
from bids_app.permutation.schemes import make_shuffles
from bids_app.spaces.volume import VolumeDomain
from bids_app.statistics.kinds import contrast_test
from builders.datasets import flat, write
from builders.laid_out import V, lay, least_squares, write_table
from builders.models import document, node

Floats = NDArray[np.float64]

SUBJECTS = ("01", "02", "03", "04", "05", "06")
GROUP = ["p", "c", "c", "p", "p", "c"]
CIGS = np.array([1.0, 7, 2, 6, 3, 11])


@pytest.mark.parametrize(("effect", "within"), [("group:cigs", (0.5, 0.5)), ("group:cigs:load", (1, -1))])
def test_the_null_of_a_difference_of_slopes_is_that_of_freedman_and_lane(
    effect: str, within: tuple[float, float], tmp_path: Path
) -> None:
    """All 720 orders of six subjects: residuals of the model with one slope, in another order, added to its fit.

    2e-5: the residuals of two degrees of freedom, from single-precision maps.
    """
    root = tmp_path / "d"
    write(root, [flat(subject, condition) for subject in SUBJECTS for condition in ("A", "B")])
    write_table(root, {"group": GROUP, "cigs": list(CIGS)}, SUBJECTS)
    block = {
        "Factors": [{"Name": "load", "Levels": ["A", "B"]}],
        "CellName": "{load}",
        "Between": ["group"],
        "Covariates": ["cigs"],
        "Effects": [effect],
    }
    _, [model] = lay(root, document(node(["A", "B"], block)))
    test = contrast_test(model.design, model.design.contrasts[0])
    shuffles = make_shuffles(test, 1000, seed=1, shuffle="permute")
    assert shuffles.exhaustive
    lattice = VolumeDomain.from_mask(np.ones((V, 1, 1), np.bool_), np.eye(4), 6)
    enhancements = choose_enhancements(("voxel",), lattice, test, (0.05, None))
    null = null_distribution(model.values, test, shuffles, enhancements, Work())
    expected = freedman_lane(within[0] * model.maps("A") + within[1] * model.maps("B"))
    assert null.observed["voxel"] == pytest.approx(expected[0], rel=2e-5)
    assert len(expected) == 720
    assert np.sort(null.maxima["voxel"]) == pytest.approx(np.sort(expected.max(axis=1)), rel=2e-4)


def freedman_lane(y: Floats) -> Floats:
    """F of the difference of the slopes for each order of the subjects, the first as they are, (720, V)."""
    member = np.array([float(each == "p") for each in GROUP])
    full = [member, 1 - member, member * CIGS, (1 - member) * CIGS]
    reduced = np.column_stack([member, 1 - member, CIGS])  # one slope
    fitted = reduced @ np.linalg.lstsq(reduced, y, rcond=None)[0]
    residuals = y - fitted
    orders = itertools.permutations(range(len(SUBJECTS)))
    return np.array([least_squares(full, [[0, 0, 1, -1]], fitted + residuals[list(order)]) ** 2 for order in orders])
