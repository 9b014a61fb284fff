"""What the tests of a page assume and how its results are to be read: each said where it applies, and only there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bids_app.console.text import a_few, joined
from bids_app.inference.catalogue import by_permutation
from bids_app.report.content import NodeSection
from bids_app.report.text.assumption import MAX_NAMES, Assumption, Used
from bids_app.report.text.assumptions_parametric import on_parametric
from bids_app.report.text.assumptions_permutation import on_permutations
from bids_app.report.text.overview import averaged_words


def assumptions(nodes: Sequence[NodeSection], space: str = "") -> list[Assumption]:
    """Return what applies to the results of a page, the most easily overlooked first.

    Parameters
    ----------
    nodes : of the page
    space : sentence on the space of the maps
    """
    used = Used.by(nodes)
    return [
        *_on_choosing(used),
        *_on_reading(used),
        *on_permutations(used),
        *on_parametric(used),
        *_on_maps(used, space),
    ]


def _on_choosing(used: Used) -> Iterator[Assumption]:
    """Yield over what is not corrected."""
    if len(used.sections) > 1:
        yield Assumption(
            "Each contrast is corrected on its own",
            "The corrections are for the many voxels of one map. They are not for looking at "
            f"{len(used.sections)} contrasts: the more of them, the likelier that one finds something by chance."
            + (
                " The exceptions are the familywise p from permutations: these are corrected over the contrasts of a "
                "node too."
                if used.is_across
                else ""
            ),
        )
    if len(by_permutation(used.methods)) > 1:
        yield Assumption(
            "Choose the correction before you look",
            "Voxel, cluster size, cluster mass and TFCE results are each corrected on their own. Taking the best of "
            "several finds something too often: with all four, in 8 to 11 % of simulated studies without any effect, "
            "not in 5 %.",
        )


def _on_reading(used: Used) -> Iterator[Assumption]:
    """Yield what a result is about."""
    one_row = any(s.contrast.test == "F" and len(s.contrast.within) == 1 for s in used.sections)
    if one_row and any(row.level == "cluster" for row in used.methods.values()):
        yield Assumption(
            "F and t of one difference can differ in clusters",
            "Where an F contrast has one row, F = t\N{SUPERSCRIPT TWO}, and voxel-wise and parametric results agree "
            "with those of the two-sided t. Cluster and TFCE results do not: an F joins both signs, forms clusters "
            "above another height (p one-tailed for t on each side, p of F for F), and is enhanced as z. Decide "
            "beforehand which to report.",
        )
    of_maxima = [row.key for row in by_permutation(used.methods)]
    yield from _of_corrections(used, of_maxima)
    of_parcels = all(node.facts.parcels for node in used.nodes)
    where, what = "at peaks", "Peaks and clusters"
    if of_parcels:
        where, what = "in significant parcels", "Significant parcels"
    yield Assumption(
        f"Effect sizes {where} are inflated",
        f"{what} were selected from these data because they are high (circularity). Their effect sizes and "
        "means are therefore larger than they would be in new data, and a sample size planned from them would be too "
        "small.",
    )
    yield from _of_corrections(used, [key for key in used.methods if key not in of_maxima])


def _of_corrections(used: Used, keys: Sequence[str]) -> Iterator[Assumption]:
    """Yield what the corrections say of themselves; where two say the same, once."""
    said = (used.methods[key].words.assumption(used.use(key)) for key in keys)
    for title, words in dict.fromkeys(each for each in said if each is not None):
        yield Assumption(title, words)


def _on_maps(used: Used, space: str) -> Iterator[Assumption]:
    """Yield what is taken for granted of subjects and maps."""
    if not any(node.design.blocks for node in used.nodes):
        yield Assumption(
            "Subjects are independent",
            "Nobody is in the data twice, and families or sites in which subjects are alike would have to be named "
            "(ExchangeabilityBlocks).",
        )
    words = (
        "Voxels are compared as they are: maps must be in one space, and their values in one unit across subjects (the "
        f"same scaling in the first-level models). {space}"
    )
    lost = [(subject, n) for node in used.nodes for subject, n in node.inputs.n_lost.items() if n]
    if lost:
        worst = sorted(lost, key=lambda each: -each[1])
        named = [f"sub-{subject} ({n:,})" for subject, n in worst]
        partial = any(node.spec.settings.voxel_coverage < 1 for node in used.nodes)
        fate = "tested in the others where these are enough" if partial else "not tested"
        whose = a_few(named, MAX_NAMES)
        words = f"{words.strip()} Voxels that a subject's maps miss are {fate}; they are missed by {whose}."
    yield Assumption("All maps share one space and one unit", words.strip())
    averaged = joined(list(dict.fromkeys(averaged_words(node) for node in used.nodes if node.inputs.averages_runs)))
    yield Assumption(
        "All maps count equally",
        "The precision of the first-level estimates is not used"
        + (f", and {averaged} of a condition are averaged without weights." if averaged else "."),
    )
