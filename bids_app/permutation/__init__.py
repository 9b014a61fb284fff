"""Which permutations a contrast has, and the statistic of each of them."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["checkpoints", "null_distribution"],
    submod_attrs={
        "checkpoints": ["Checkpoint", "checkpoint_path", "clear", "fingerprint", "has_checkpoints", "open_work_dir"],
        "enhancements": ["choose_enhancements", "EnhancedPart", "Enhancements", "KEYS"],
        "freedman_lane": ["shuffled_scores"],
        "null_distribution": ["LARGEST_BATCH", "NullDistribution", "TIE_TOLERANCE", "Work"],
        "plan": ["is_across", "Plan", "plan_permutations", "seconds_per_shuffle"],
        "schemes": ["make_shuffles", "null_space"],
        "shuffles": ["Shuffles"],
    },
)
