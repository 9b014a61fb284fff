"""What this process may use and how it works: options, limits, memory, threads, locks, caches."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["caches"],
    submod_attrs={
        "execution": ["Executor", "PerThread", "Processes", "Threads"],
        "cpu_and_memory_limits": ["container", "how_to_bind", "usable_cpus", "usable_memory_mb"],
        "locks": ["abandoned_parts", "hold", "is_note", "part_name", "refuse_if_held"],
        "memory": [
            "BYTES_PER_LISTED_VOXEL",
            "map_storage",
            "MapStorage",
            "memory_for_data",
            "memory_for_permutations",
            "peak_memory",
            "ResourceBudget",
        ],
        "options": ["command_line", "RunOptions"],
    },
)
