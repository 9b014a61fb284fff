"""The BIDS validator, whose findings are reported and never stop a run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

VALIDATOR = "bids-validator-deno"
VALIDATOR_SECONDS = 600


def advisory_validation(root: Path) -> tuple[str, ...]:
    """Return the errors found by the BIDS validator, if it is installed.

    Parameters
    ----------
    root : Path
        Root of a dataset.

    Returns
    -------
    tuple of str
        A line per kind of error with the number of files; empty if there is none, or no validator.

    Notes
    -----
    BIDS does not cover statistical maps yet, so every dataset of first-level maps has errors: they are reported but
    not enforced. NIfTI headers are not checked here, because every map is opened later.
    """
    beside = Path(sys.executable).with_name(VALIDATOR)
    program = shutil.which(VALIDATOR) or (str(beside) if beside.is_file() else None)
    if program is None:
        return ()
    command = [program, "--format", "json", "--ignoreWarnings", "--ignoreNiftiHeaders", str(root.absolute())]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=VALIDATOR_SECONDS, encoding="utf-8"
        )
        return _validator_lines(json.loads(done.stdout))
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, TypeError) as err:
        return (f"BIDS validator: failed on {root} ({type(err).__name__})",)


def _validator_lines(verdict: dict[str, Any]) -> tuple[str, ...]:
    """Return a line per error code, the most frequent first, with its first file."""
    first: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for issue in verdict["issues"]["issues"]:
        if issue.get("severity") == "error":
            counts[issue["code"]] += 1
            first.setdefault(issue["code"], issue.get("location", ""))
    return tuple(f"BIDS validator: {code}: {n} files, such as {first[code]}" for code, n in counts.most_common())
