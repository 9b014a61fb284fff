"""What the user asked: options, settings, contrasts, nodes and model as values, with their defaults."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line asked for."""

    bids_dir: Path
    output_dir: Path
    model: Path
    derivatives: tuple[tuple[str | None, Path], ...] = ()  # name, folder
    maps: Path | None = None  # table that takes the place of discovery
    participants: Path | None = None  # takes the place of participants.tsv
    participant_label: tuple[str, ...] = ()  # without sub-; here and below, empty means all
    session_label: tuple[str, ...] = ()
    task_id: tuple[str, ...] = ()
    space: str | None = None  # keeps the maps of this space, or declares it where names have none
    bids_filter_file: Path | None = None
    mask: Path | None = None  # goes before the model's own
    n_jobs: int = 1
    mem_mb: int | None = None  # None: what this process may use
    work_dir: Path | None = None  # None: a folder of OUTPUT_DIR, see `scratch`
    node: tuple[str, ...] = ()
    random_seed: int = 0
    dry_run: bool = False
    reports_only: bool = False  # rebuild the report from what output_dir holds; the model is then that of the run
    skip_bids_validation: bool = False
    verbosity: int = 0  # -1 quiet, 0 normal, 1 and above: verbose

    @property
    def scratch(self) -> Path:
        """Folder of the checkpoints: the one that was named, else OUTPUT_DIR/.work."""
        return self.work_dir or self.output_dir / ".work"


def command_line(options: RunOptions) -> str:
    """Return the shortest command that runs the same analysis, within the limits that were set for it."""
    words = ["bids-grouplevel", options.bids_dir, options.output_dir, "group", "--model", options.model]
    if options.derivatives:
        words += [
            "--derivatives",
            *(f"{name}={path}" if name else path for name, path in options.derivatives),
        ]
    for flag in ("maps", "participants", "space", "bids_filter_file", "mask", "mem_mb", "work_dir"):
        if value := getattr(options, flag):
            words += [f"--{flag.replace('_', '-')}", value]
    for flag in ("participant_label", "session_label", "task_id", "node"):
        if value := getattr(options, flag):
            words += [f"--{flag.replace('_', '-')}", *value]
    words += ["--random-seed", options.random_seed]
    if options.reports_only:
        words = ["bids-grouplevel", options.bids_dir, options.output_dir, "group", "--reports-only"]
        words += ["--node", *options.node] if options.node else []
    return shlex.join(map(str, words))
