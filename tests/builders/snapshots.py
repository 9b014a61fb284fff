"""A keeper of checkpoints that holds every state of a null distribution in memory."""

from __future__ import annotations

from dataclasses import dataclass

from bids_app.permutation.summaries import PartialNull


@dataclass(frozen=True)
class Snapshots:
    """Keeps every state."""

    kept: list[PartialNull]

    def save(self, partial: PartialNull) -> None:
        self.kept.append(partial)

    def due(self) -> bool:
        return True
