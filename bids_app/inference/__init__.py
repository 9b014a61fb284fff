"""From statistics and permutations to corrected p-values, thresholds and tables of clusters."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "catalogue": ["by_permutation", "columns", "correct", "METHODS"],
        "corrected_map": ["BoundFacts", "CorrectedMap", "OfRandomField"],
        "evidence": ["Evidence", "Family"],
        "familywise_p": ["critical_value", "joint_family", "own_family", "uncorrected_p"],
        "method": ["Method", "Use"],
        "over_parts": ["correct_over_parts", "familywise", "OverParts", "smallest_p"],
        "parcel_table": [
            "described_in_parcels",
            "LIMITS",
            "parcel_table",
            "SIGNIFICANT",
            "UNCORRECTED_BY_PERMUTATION",
        ],
        "pareto_tail": ["APPROXIMATE_BELOW", "smallest_p"],
        "random_field": ["check_random_fields", "checked_smoothness", "roughness_words", "uses_random_fields"],
        "result_tables": [
            "Closest",
            "described",
            "highest_peaks",
            "PARCEL",
            "PLACE",
            "ResultTables",
            "TableOptions",
            "tabulate",
            "top_elements",
        ],
    },
)
