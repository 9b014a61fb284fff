"""The results of a contrast parcel by parcel: effect, interval, effect size and every p, a row for each parcel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import t as t_distribution

from bids_app.arrays import Floats
from bids_app.inference.catalogue import METHODS
from bids_app.inference.corrected_map import CorrectedMap
from bids_app.inference.familywise_p import uncorrected_p
from bids_app.inference.result_tables import PARCEL
from bids_app.permutation.null_distribution import NullDistribution
from bids_app.statistics.fit import ContrastFit

LEVEL = 0.95  # of the confidence intervals
SIGNIFICANT = "significant_"  # with the correction behind it
LIMITS = ("lower95", "upper95")
UNCORRECTED_BY_PERMUTATION = "p_voxelUncorrected"

_SIZES = {
    "hedgesg": "Hedges' g",
    "partialr": "partial correlation of the subjects' scores with the covariate",
    "etasq": "partial eta squared",
}
COLUMNS: dict[str, str] = {
    PARCEL: "Name of the parcel, as in the input.",
    "effect": "Contrast estimate, in the units of the input maps and of the weights as given; only for t.",
    "standard_error": "Its standard error.",
    "effect_lower95": "Lower limit of its 95 % confidence interval, from the t distribution at df.",
    "effect_upper95": "Upper limit of its 95 % confidence interval, from the t distribution at df.",
    "statistic": "t or F.",
    "df_effect": "Numerator degrees of freedom of F, nominal.",
    "df": "Error degrees of freedom of the parcel, before any correction by epsilon.",
    "epsilon": "Departure from sphericity; both degrees of freedom of the parametric p are multiplied by it.",
    **{name: f"{words[0].upper()}{words[1:]}." for name, words in _SIZES.items()},
    **{
        f"{name}_{limit}": f"{side} limit of the 95 % confidence interval of {words}."
        for name, words in _SIZES.items()
        for limit, side in zip(LIMITS, ("Lower", "Upper"), strict=True)
    },
    "p_uncorrected": "Parametric p of the contrast's sidedness, not corrected for the number of parcels.",
    UNCORRECTED_BY_PERMUTATION: "p of the same statistic by permutation, not corrected for the number of parcels.",
}


def described_in_parcels(column: str) -> str:
    """Return what a column of the table holds, for its sidecar."""
    if column in COLUMNS:
        return COLUMNS[column]
    if column.startswith(SIGNIFICANT):
        return f"1 where the parcel is significant by {METHODS[column.removeprefix(SIGNIFICANT)].words.p}, else 0."
    said = METHODS[column.removeprefix("p_")].words.p
    return f"{said[0].upper()}{said[1:]}."


def parcel_table(
    fit: ContrastFit, null: NullDistribution | None, inferences: Sequence[CorrectedMap], names: Sequence[str]
) -> pd.DataFrame:
    """Return the table of a contrast, in the order of the parcels.

    Parameters
    ----------
    fit : of the contrast
    null : its null distribution; None without permutations
    inferences : its corrected maps
    names : (n_parcels,)

    Returns
    -------
    (n_parcels, n_columns), columns as in `COLUMNS`, and `p_` and `significant_` of each correction
    """
    n, df = len(names), _df(fit)
    columns: dict[str, object] = {PARCEL: np.array(names, object)}
    if fit.effect is not None and fit.variance is not None:
        error = np.sqrt(fit.variance)
        half = t_distribution.ppf((1 + LEVEL) / 2, df) * error
        columns |= {"effect": fit.effect, "standard_error": error}
        columns |= {"effect_lower95": fit.effect - half, "effect_upper95": fit.effect + half}
    columns["statistic"] = fit.statistic
    if fit.contrast.test == "F":
        columns["df_effect"] = np.full(n, fit.df_effect)
    columns["df"] = df
    if fit.epsilon is not None:
        columns["epsilon"] = fit.epsilon
    if fit.effect_size is not None:
        columns[fit.effect_size_name] = fit.effect_size
        limits = zip(LIMITS, fit.effect_size_interval or (), strict=False)
        columns |= {f"{fit.effect_size_name}_{limit}": values for limit, values in limits}
    columns["p_uncorrected"] = fit.p
    if null is not None:
        columns[UNCORRECTED_BY_PERMUTATION] = uncorrected_p(null)
    in_order = [each for key in METHODS for each in inferences if each.method == key]
    for each in in_order:
        columns.setdefault(f"p_{each.method}", each.p)
    columns |= {f"{SIGNIFICANT}{each.method}": each.significant.astype(np.int64) for each in in_order}
    return pd.DataFrame(columns)


def _df(fit: ContrastFit) -> Floats:
    """Return the error degrees of freedom of each parcel, (n_parcels,)."""
    return np.full(fit.statistic.size, fit.df_error) if fit.df_of_voxel is None else fit.df_of_voxel
