"""From the maps to t, F, degrees of freedom, effect sizes, smoothness and diagnostics of every contrast."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "condition_means": [
            "adjustment_words",
            "condition_maps",
            "error_words",
            "find_groups",
            "Group",
            "groups_alike",
            "left_out",
            "numbered_labels",
            "over_words",
            "peak_means",
            "PeakMeans",
        ],
        "diagnostics": ["diagnose", "Diagnostics"],
        "distributions": ["f_isf", "f_to_z", "log_f_tails", "t_isf", "t_to_p", "t_to_z"],
        "effect_sizes": ["EffectSize"],
        "fit": ["ContrastFit", "fit_contrast", "has_error"],
        "incomplete": ["centred_maps", "INCOMPLETE", "map_space"],
        "kinds": ["contrast_test", "contrast_tests", "KINDS"],
        "multivariate": ["MULTIVARIATE", "rao_root"],
        "p_agreement": ["FEW", "PAgreement"],
        "random_fields": ["FieldOfStatistic", "resel_counts"],
        "residual_shape": ["GroupSpread", "RESIDUAL_EDGES", "ResidualShape", "SKEW_EDGES"],
        "scores": ["BLOCK", "contrast_scores", "error_space"],
        "smoothness": ["estimate_smoothness", "METHOD", "Smoothness"],
        "subject_influence": ["PeakInfluence", "ROBUST_LIMIT", "SubjectDistances"],
        "subsets": ["in_subjects", "subject_effects", "with_scores"],
        "sums_of_squares": ["SUMS_OF_SQUARES"],
        "unequal_variances": ["UNEQUAL_VARIANCES", "variance_model_of"],
    },
)
