"""Which map is which row: between-subject columns, conditions, contrasts, and what columns span."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "between_subject": ["INTERCEPT"],
        "build": ["build_design"],
        "contrast_test": ["ContrastTest"],
        "contrasts": ["Contrast", "TOLERANCE"],
        "design": ["Design"],
        "missing_maps": ["cell_columns", "is_fitted_to_maps"],
        "names_in_x": ["Known", "settle_names"],
        "subject_groups": ["LEAST_RESIDUAL_DF"],
        "subspaces": ["column_space", "ColumnSpace", "residuals_of", "unit_rows"],
    },
)
