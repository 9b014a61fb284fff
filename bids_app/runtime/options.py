"""What the command line asked for, as one value with its defaults, and the command line that asks for it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line asked for. An empty tuple of labels means all of them."""

    bids_dir: Path
    """Dataset that holds the participants and, in its derivatives, the first-level maps."""
    output_dir: Path
    """Folder of the results; made where it is missing."""
    model: Path
    """BIDS Stats Model, a JSON file."""
    derivatives: tuple[tuple[str | None, Path], ...] = ()
    """Name (None: none was given) and folder of derivatives that are searched in place of those in `bids_dir`."""
    maps: Path | None = None
    """Table (TSV) of the maps, in place of a search for them; "-": it came through standard input."""
    maps_content: bytes | None = None
    """The table that came through standard input."""
    participants: Path | None = None
    """Table in place of participants.tsv."""
    participant_label: tuple[str, ...] = ()
    """Subjects, without "sub-"."""
    session_label: tuple[str, ...] = ()
    """Sessions, without "ses-"."""
    task_id: tuple[str, ...] = ()
    """Tasks, without "task-"."""
    space: str | None = None
    """Space of the maps that are used; where their names have none, the space that they are in."""
    bids_filter_file: Path | None = None
    """JSON file of entities by which maps are chosen."""
    mask: Path | None = None
    """Image of the analysis mask, in place of the masks that the model names."""
    mask_threshold: float | None = None
    """Values of a mask image above it are inside; None: of an image with two values, the larger one."""
    mask_label: tuple[int, ...] = ()
    """Values of a mask image, such as the labels of an atlas, that are inside."""
    resample_mask: bool = False
    """Whether a mask on another grid is brought to that of the maps by nearest neighbour."""
    surface: tuple[tuple[str, Path], ...] = ()
    """L or R, and the file of the mesh that maps on surfaces lie on."""
    surface_labels: tuple[tuple[str, Path], ...] = ()
    """L or R, and the file of the labels of its vertices."""
    n_jobs: int = 1
    """Threads that compute and read, and processes that draw."""
    mem_mb: int | None = None
    """MB of 1e6 bytes that the run may use; None: what this process may use."""
    work_dir: Path | None = None
    """Folder of checkpoints; None: one of `output_dir`, see `scratch`."""
    node: tuple[str, ...] = ()
    """Names of the nodes of the model that are run."""
    random_seed: int = 0
    """Seed of the random permutations."""
    dry_run: bool = False
    """Whether to describe the analysis and write nothing."""
    reports_only: bool = False
    """Whether to make the report again from what `output_dir` holds; the model is then that of the run."""
    skip_bids_validation: bool = False
    """Whether `bids_dir` is not looked at by the BIDS validator."""
    verbosity: int = 0
    """-1 quiet, 0 normal, 1 and above: verbose."""

    @property
    def scratch(self) -> Path:
        """Folder of checkpoints and of data that do not fit into memory: `work_dir`, else OUTPUT_DIR/.work."""
        return self.work_dir or self.output_dir / ".work"


def command_line(options: RunOptions, table: Path | None = None) -> str:
    """Return the shortest command that runs the same analysis, within the limits that were set for it.

    Parameters
    ----------
    options : RunOptions
    table : where the table is kept that came through standard input
    """
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
    words += [] if options.mask_threshold is None else ["--mask-threshold", f"{options.mask_threshold!r}"]
    words += ["--mask-label", *options.mask_label] if options.mask_label else []
    words += ["--resample-mask"] if options.resample_mask else []
    for flag in ("surface", "surface_labels"):
        if files := getattr(options, flag):
            words += [f"--{flag.replace('_', '-')}", *(f"{side}={path}" for side, path in files)]
    words += ["--random-seed", options.random_seed]
    if options.reports_only:
        words = ["bids-grouplevel", options.bids_dir, options.output_dir, "group", "--reports-only"]
        words += ["--node", *options.node] if options.node else []
    redirected = f" < {shlex.quote(str(table))}" if table and options.maps_content is not None else ""
    return shlex.join(map(str, words)) + redirected
