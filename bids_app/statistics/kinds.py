"""The table of all kinds of statistics, and the choice of one for each contrast of a design."""

from __future__ import annotations

from collections.abc import Mapping

from bids_app.design.contrast_test import ContrastTest
from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.statistics.incomplete import INCOMPLETE
from bids_app.statistics.kind_protocol import Statistic
from bids_app.statistics.multivariate import MULTIVARIATE
from bids_app.statistics.sums_of_squares import SUMS_OF_SQUARES
from bids_app.statistics.unequal_variances import UNEQUAL_VARIANCES

# The first that applies is taken: the ordinary one is the last
KINDS: Mapping[str, Statistic] = {
    each.key: each for each in (INCOMPLETE, MULTIVARIATE, UNEQUAL_VARIANCES, SUMS_OF_SQUARES)
}


def contrast_tests(design: Design) -> tuple[ContrastTest, ...]:
    """Return the tests of all contrasts of a design, in its order; to be called once, when the design is made."""
    return tuple(contrast_test(design, contrast) for contrast in design.contrasts)


def contrast_test(design: Design, contrast: Contrast) -> ContrastTest:
    """Return the test of one contrast, in its own design where not all subjects have what it needs.

    Parameters
    ----------
    design : of all subjects
    contrast : one of the design's, or any over its cells and columns
    """
    part = design.parts.get(contrast.name, design)
    statistic = next(each for each in KINDS.values() if each.applies(part, contrast))
    return ContrastTest(
        contrast=contrast,
        design=part,
        kind=statistic.key,
        df_error=statistic.df_error(part, contrast),
        statistic_name=statistic.name(contrast),
    )


def is_testable(test: ContrastTest) -> bool:
    """Whether the subjects of a test leave an error, and tell what the contrast asks."""
    if test.n_subjects < 2 or test.design.df_between < 1:
        return False
    return KINDS[test.kind].is_testable(test)
