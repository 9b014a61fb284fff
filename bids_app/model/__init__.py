"""The model file, read and checked, as settings and specifications with their defaults."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["read_model"],
    submod_attrs={
        "as_run": ["as_run"],
        "bound_settings": ["TrueDiscoveriesSettings"],
        "graph": ["Source"],
        "lenient_forms": ["TOOL"],
        "map_settings": ["ParcelSettings"],
        "of_parcels": ["check_averaged", "for_parcels", "with_defaults_of_parcels"],
        "parametric_settings": ["asked_by_random_fields", "ParametricSettings"],
        "read_contrasts": ["OF_FORMULA"],
        "read_transformations": ["Instruction", "WILDCARDS"],
        "settings": [
            "CELL_FIELD",
            "effect_names",
            "ErrorTerm",
            "factor_cells",
            "FactorSettings",
            "GroupLevelSettings",
            "has_slope_of_each_group",
            "PermutationSettings",
            "Sided",
            "Sphericity",
        ],
        "specification": ["ContrastSpec", "ModelSpec", "NodeSpec", "participant_columns"],
    },
)
