"""The null distributions of a contrast: what the permutations gave, what was observed, and from where on it counts."""

from __future__ import annotations

from collections.abc import Sequence

from bids_app.design.contrasts import Contrast
from bids_app.inference.catalogue import by_permutation
from bids_app.inference.corrected_map import CorrectedMap
from bids_app.report.figures.charts import nulls_png, ranked_values
from bids_app.report.figures.figure import Figure
from bids_app.report.wording import null_title, number_words


def null_histograms(contrast: Contrast, inferences: Sequence[CorrectedMap]) -> Figure:
    """Draw the distribution of each maximum over the shuffles, with the observed one and the critical value.

    Parameters
    ----------
    contrast : Contrast
    inferences : its corrected maps, of which at least one is by permutation
    """
    permuted = [each for each in inferences if each.null is not None]
    of_method = {each.method: each for each in permuted}
    ordered = [of_method[row.key] for row in by_permutation(of_method)]
    null = ordered[0].null
    assert null is not None
    shuffles = null.shuffles
    kind = f"all {shuffles.possible}" if shuffles.exhaustive else f"{shuffles.n_shuffles:,} of {shuffles.possible}"
    said = "; ".join(f"{null_title(each, contrast)}: {_null_words(each)}" for each in ordered)
    return Figure(
        name="desc-null_histogram",
        png=nulls_png(contrast, ordered),
        caption=f"Largest values over the analysis mask in {kind} {shuffles.words}, the observed labelling among them. "
        f"Red: observed; dashed: critical value at p = {ordered[0].alpha:g}. What lies beyond the dashed line is "
        f"significant.{_family_words(ordered[0])}{_parts_words(ordered)}",
        alt=f"Null distributions of {contrast.name}: {said}.",
        kind="chart",
    )


def _family_words(inference: CorrectedMap) -> str:
    """Return in words whose maximum the critical value is of, where it is not that of the bars."""
    if inference.across == 1:
        return ""
    return f" The critical value is that of the maximum over {inference.across} contrasts; the bars show this one."


def _null_words(inference: CorrectedMap) -> str:
    """Return the observed one of what was ranked, and its critical value."""
    values, critical = ranked_values(inference)
    beyond = "none (too few permutations)" if critical is None else number_words(critical)
    return f"observed {number_words(float(values[0]))}, critical value {beyond}"


def _parts_words(inferences: Sequence[CorrectedMap]) -> str:
    """Return in words what is ranked where parts have units of their own."""
    if all(each.thresholds is None for each in inferences):
        return ""
    return (
        " Sizes, masses and TFCE have another unit in each part: shown is the smallest p over the parts, each among "
        "the maxima of its part, as \N{MINUS SIGN}log10."
    )
