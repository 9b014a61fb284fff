"""Console output of a run: stages, warnings, progress; and the wording that messages share."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "logs": ["log_assumption", "log_notes", "open_log"],
        "progress": ["shuffling"],
        "terminal": ["log_notice", "Outcome", "say_outcomes", "stage", "Survival"],
        "text": [
            "a_few",
            "duplicates",
            "file_label",
            "in_elements",
            "indented",
            "joined",
            "listed",
            "listed_in_order",
            "MAX_LISTED",
            "natural",
            "nearest",
            "shown",
            "suggestion",
        ],
    },
)
