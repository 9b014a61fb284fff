"""The options of `bids-grouplevel`."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from bids_app.cli.arguments import (
    PROGRAM,
    Parser,
    add_discovery_options,
    add_information_options,
    analysis_level,
    integer_argument,
    number_argument,
    path_argument,
    surface_argument,
)

MAX_THREADS, MAX_MB, MAX_SEED, MAX_LABEL = 4096, 10**9, 2**64 - 1, 2**31 - 1

DESCRIPTION = """\
Group-level statistics of first-level fMRI maps: repeated-measures ANOVA and contrasts, permutation
inference, cluster and peak tables with atlas labels, and a report. The model is a BIDS Stats Model."""

EPILOG = """\
example:
  bids-grouplevel DATASET RESULTS group --model model-faces_smdl.json

Options that take several values (...) must follow the three positional arguments. Every option can
also be written with underscores: --participant_label.

exit codes:
  0 done, 1 unexpected failure, 16 invalid dataset, 17 not "group", 18 nothing matched, 64 wrong usage,
  65 bad data, model or covariates, 66 a path is missing, 73 output cannot be written, 130 interrupted,
  143 terminated"""


def build_parser(*, needs_model: bool = True, needs_dataset: bool = True) -> Parser:
    """Return the parser of the whole command line; remaking a report needs no model, a table of maps no dataset."""
    parser = Parser(
        prog=PROGRAM,
        usage="%(prog)s BIDS_DIR OUTPUT_DIR group --model FILE [options]",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    if needs_dataset:
        parser.add_argument(
            "bids_dir",
            metavar="BIDS_DIR",
            type=path_argument,
            help="dataset with the first-level maps; with --maps it may be left out",
        )
    parser.set_defaults(bids_dir=Path())
    parser.add_argument("output_dir", metavar="OUTPUT_DIR", type=path_argument, help="folder for the results")
    parser.add_argument("analysis_level", metavar="group", type=analysis_level, help="the only analysis level")
    _add_input_options(parser.add_argument_group("what to analyse"), needs_model=needs_model)
    _add_run_options(parser.add_argument_group("how to run"))
    add_information_options(parser)
    return parser


def _add_input_options(group: argparse._ArgumentGroup, *, needs_model: bool) -> None:
    """Add the options that name or narrow the input."""
    group.add_argument(
        "-m", "--model", metavar="FILE", type=path_argument, required=needs_model, help="BIDS Stats Model (JSON)"
    )
    add_discovery_options(group)
    group.add_argument(
        "--participants",
        metavar="FILE.tsv",
        type=path_argument,
        help="table with the participant columns that the model names, instead of participants.tsv",
    )
    group.add_argument(
        "--mask",
        metavar="FILE",
        type=path_argument,
        help="analysis mask (default: the model's, otherwise voxels that are finite and non-zero in every map)",
    )
    inside = group.add_mutually_exclusive_group()
    inside.add_argument(
        "--mask-threshold",
        metavar="P",
        type=partial(number_argument, smallest=0),
        help="voxels of the mask above this value are inside, for a mask of probabilities",
    )
    inside.add_argument(
        "--mask-label",
        metavar="N",
        nargs="+",
        action="extend",
        default=[],
        type=partial(integer_argument, smallest=1, largest=MAX_LABEL),
        help="voxels of the mask with one of these values are inside, for an atlas",
    )
    group.add_argument(
        "--resample-mask",
        action="store_true",
        help="bring a mask on another grid to that of the maps, by nearest neighbour; maps are never resampled",
    )
    group.add_argument(
        "--surface",
        metavar="H=FILE",
        nargs="+",
        action="extend",
        default=[],
        type=surface_argument,
        help="white, pial or midthickness mesh for surfaces or grayordinates, L=FILE R=FILE (default: fsaverage5)",
    )
    group.add_argument(
        "--surface-labels",
        metavar="H=FILE",
        nargs="+",
        action="extend",
        default=[],
        type=surface_argument,
        help="labels of the vertices of maps on surfaces for the tables, .label.gii or .annot, L=FILE R=FILE",
    )
    group.add_argument(
        "--node", metavar="NAME", nargs="+", action="extend", default=[], help="run only these Dataset nodes"
    )


def _add_run_options(group: argparse._ArgumentGroup) -> None:
    """Add the options that control execution."""
    group.add_argument(
        "--nprocs",
        "--n-cpus",
        metavar="N",
        type=partial(integer_argument, smallest=1, largest=MAX_THREADS),
        help="threads (default: the number of CPUs available to this process)",
    )
    group.add_argument(
        "--mem-mb",
        metavar="MB",
        type=partial(integer_argument, smallest=1, largest=MAX_MB),
        help="memory limit in MB (default: the memory available to this process)",
    )
    group.add_argument(
        "-w",
        "--work-dir",
        metavar="DIR",
        type=path_argument,
        help="folder for checkpoints, one per OUTPUT_DIR (default: OUTPUT_DIR/.work, removed at the end)",
    )
    group.add_argument(
        "--random-seed",
        metavar="INT",
        type=partial(integer_argument, smallest=0, largest=MAX_SEED),
        default=0,
        help="seed of the permutations (default: 0)",
    )
    instead = group.add_mutually_exclusive_group()
    instead.add_argument(
        "--dry-run",
        action="store_true",
        help="check everything and print inputs, design, contrasts, permutations and cost; write nothing",
    )
    instead.add_argument(
        "--reports-only",
        action="store_true",
        help="remake the report from the contents of OUTPUT_DIR; needs neither the input nor --model",
    )
    group.add_argument(
        "--skip-bids-validation",
        "--skip-bids-validator",
        action="store_true",
        help="skip the BIDS validator, whose findings never stop a run",
    )
