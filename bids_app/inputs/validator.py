"""Discovery: which images there are, by searching folders with pybids, and what each one shows.

Nothing is chosen here: every image of the datasets becomes one value, which says what its name says about it.
"""

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
    """Run the BIDS validator, where it is installed.

    Parameters
    ----------
    root : Path
        Root of a dataset.

    Returns
    -------
    tuple of str
        A line per kind of error with the number of files, empty where there is none or no validator.

    Notes
    -----
    Statistical maps have no place in BIDS yet, so every dataset of first-level maps has errors: told here,
    never enforced. ImageFile headers are not looked at here, because every map is opened later.
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
        return (f"BIDS validator: no verdict on {root} ({type(err).__name__})",)


def _validator_lines(verdict: dict[str, Any]) -> tuple[str, ...]:
    """Count errors by code, the most frequent first, each with its first file."""
    first: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for issue in verdict["issues"]["issues"]:
        if issue.get("severity") == "error":
            counts[issue["code"]] += 1
            first.setdefault(issue["code"], issue.get("location", ""))
    return tuple(f"BIDS validator: {code}: {n} files, {first[code]} first" for code, n in counts.most_common())
