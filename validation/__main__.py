"""Run the false-positive study.

python -m validation [--quick] [--jobs 2] [--output docs/validation.md]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from joblib import Parallel, cpu_count, delayed

from validation.cells import Cell, all_cells, parametric_cells
from validation.random_fields import run_random_fields, section
from validation.simulate import Counts, run, run_parametric
from validation.table import describe, has_fault, judge_all, page

CHUNK = 250  # data sets of a task
QUICK = 100  # data sets of a cell
FIELDS = 1000  # data sets of smooth volumes, for each number of subjects


def main() -> int:
    """Simulate, print each cell as it is done, and write the page."""
    arguments = _arguments()
    cells = all_cells()
    if arguments.quick:
        cells = tuple(replace(cell, n_datasets=QUICK) for cell in cells)
    start = time.perf_counter()
    results = study(cells, arguments.jobs)
    parametric = [(cell, run_parametric(cell)) for cell in parametric_cells()]
    fields = run_random_fields(QUICK if arguments.quick else FIELDS, arguments.jobs)
    minutes = (time.perf_counter() - start) / 60
    text = f"{page(results, parametric)}\n{section(fields)}\n"
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(text, encoding="utf-8")
        print(f"{minutes:.1f} minutes; written to {arguments.output}")
    else:
        print(text)
    if has_fault(results):
        print("An exact case is off by more than chance: look for FAULT in the page.", file=sys.stderr)
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m validation", description="Run the false-positive study.")
    parser.add_argument("--quick", action="store_true", help=f"only {QUICK} data sets of each kind")
    parser.add_argument("--jobs", type=int, default=cpu_count(), help="processes; the numbers do not depend on them")
    parser.add_argument("--output", type=Path, help="page to write; without it, it is printed")
    return parser.parse_args()


def study(cells: Sequence[Cell], n_jobs: int) -> list[tuple[Cell, Counts]]:
    """Run all cells, chunk by chunk over the processes, and print each as it is done."""
    parts = [
        (cell, start, min(start + CHUNK, cell.n_datasets))
        for cell in cells
        for start in range(0, cell.n_datasets, CHUNK)
    ]
    done: dict[int, Counts] = {}
    results = []
    counts = Parallel(n_jobs, return_as="generator")(delayed(run)(*part) for part in parts)
    for (cell, _, stop), part in zip(parts, counts, strict=True):
        done[cell.key] = done[cell.key] + part if cell.key in done else part
        if stop == cell.n_datasets:
            results.append((cell, done[cell.key]))
            found = "; ".join(f"{key} {each.text} {each.verdict}" for key, each in judge_all(*results[-1]).items())
            print(f"{len(results)}/{len(cells)} {describe(cell)}: {found}", flush=True)
    return results


if __name__ == "__main__":
    sys.exit(main())
