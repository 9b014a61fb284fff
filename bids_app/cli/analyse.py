"""The command line of `bids-grouplevel`: arguments become `RunOptions`, errors become messages and exit codes."""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bids_app.cli.arguments import (
    PROGRAM,
    check_inputs,
    check_output,
    check_output_beside_maps,
    read_table,
    unique,
    with_dashes,
)
from bids_app.cli.parser import build_parser
from bids_app.errors import AnalysisLevelError, GroupLevelError, UsageError, printable

if TYPE_CHECKING:
    from bids_app.runtime.options import RunOptions


RAISED_EVERY = 1.0  # seconds after which a lost request to terminate is repeated


class _Terminated(KeyboardInterrupt):
    """SIGTERM, by which a batch scheduler announces the end; handled like Ctrl-C, so that work is saved."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the app on a command line and return its exit code.

    Parameters
    ----------
    argv
        Arguments without the program's name; ``sys.argv`` where None.
    """
    return answer(PROGRAM, _execute, argv)


def answer(program: str, execute: Callable[[Sequence[str]], int], argv: Sequence[str] | None) -> int:
    """Execute a command line, turn any failure into a message, and return the exit code.

    Parameters
    ----------
    program
        Name of the console script, for messages.
    execute
        Parses the arguments, does the work and returns the exit code.
    argv
        Arguments without the program's name; ``sys.argv`` where None.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    fail = partial(_fail, program)
    try:
        with _stopping_when_terminated():
            code = execute(arguments)
        sys.stdout.flush()  # a closed pipe must show here, not when the interpreter shuts down
    except UsageError as error:  # a traceback says nothing about the command line
        return fail(str(error), code=error.exit_code, show_traceback=False)
    except GroupLevelError as error:
        return fail(str(error), code=error.exit_code, show_traceback="--verbose" in arguments)
    except KeyboardInterrupt as interrupt:
        return _interrupted(program, interrupt)
    except Exception as error:  # the last resort: users should not be met with a traceback
        if isinstance(error, BrokenPipeError) and _stdout_reader_is_gone():
            return 1
        return fail(_unforeseen(error, arguments), code=1, show_traceback="--verbose" in arguments)
    return code


def _execute(arguments: Sequence[str]) -> int:
    """Parse, check, run and return the exit code; the stages are imported last, so that help and errors are fast."""
    try:
        words = with_dashes(arguments)
        parsed = _parse(words)
    except SystemExit as leaving:  # --help and --version have printed their text
        return int(leaving.code or 0)
    if not parsed.reports_only:  # which needs no input
        check_inputs(parsed)
    options = _run_options(parsed)
    _check_folders(options)
    from bids_app.runtime import caches

    caches.unpack()  # before anything imports numba
    try:
        from bids_app.workflow.run import run

        run(options)
    except KeyboardInterrupt as interrupt:
        if advice := _how_to_carry_on(options):
            interrupt.add_note(advice)
        raise
    return 0


def _parse(words: Sequence[str]) -> argparse.Namespace:
    """Return the parsed arguments; with --maps BIDS_DIR may be left out, and is then the current folder."""
    needs_model = "--reports-only" not in words
    try:
        return build_parser(needs_model=needs_model).parse_args(words)
    except UsageError as error:
        if not any(word.partition("=")[0] == "--maps" for word in words):
            raise
        try:
            return build_parser(needs_model=needs_model, needs_dataset=False).parse_args(words)
        except UsageError:
            pass
        except AnalysisLevelError:  # two places are filled, and the second one is not "group"
            if "arguments are required" in str(error):
                raise
        raise


def _check_folders(options: RunOptions) -> None:
    """Raise OutputError if OUTPUT_DIR or the work folder is part of the input."""
    derivatives = [path for _, path in options.derivatives]
    for folder, name in ((options.output_dir, "OUTPUT_DIR"), (options.scratch, "--work-dir")):
        if options.bids_dir != Path() or not (options.maps or options.reports_only):
            check_output(folder, [options.bids_dir, *derivatives], name)
            continue
        check_output(folder, derivatives, name)
        check_output_beside_maps(folder, _map_files(options), name)


def _map_files(options: RunOptions) -> list[Path]:
    """Return the files that the table of maps names; none for a report that is made again, which reads no input."""
    if options.maps is None or options.reports_only:
        return []
    from bids_app.inputs.maps_rows import read_rows

    paths = read_rows(options.maps, options.maps_content).paths().values()
    return [path for path in paths if os.path.lexists(path)]  # False too for names that no file can have


@contextmanager
def _stopping_when_terminated() -> Iterator[None]:
    """Raise `_Terminated` at SIGTERM; the previous handler is restored at the end."""
    if threading.current_thread() is not threading.main_thread():  # handlers can only be set there
        yield
        return

    def stop(signum: int, frame: object) -> None:  # noqa: ARG001  (their order is Python's)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not cut short what the first one saves
        # Python drops exceptions raised while it destroys objects, so it is raised again until it propagates
        signal.setitimer(signal.ITIMER_REAL, RAISED_EVERY)
        if not _is_ending():
            raise _Terminated

    def dropped(what: sys.UnraisableHookArgs) -> None:
        if not isinstance(what.exc_value, _Terminated):
            report(what)

    report, sys.unraisablehook = sys.unraisablehook, dropped
    alarm = signal.signal(signal.SIGALRM, stop) or signal.SIG_DFL
    earlier = signal.signal(signal.SIGTERM, stop) or signal.SIG_DFL  # None: set by something that is not Python
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, alarm)
        signal.signal(signal.SIGTERM, earlier)
        sys.unraisablehook = report


def _is_ending() -> bool:
    """Return whether the termination propagates, possibly as the context of an error that is being handled."""
    error = sys.exception()
    while error is not None and not isinstance(error, _Terminated):
        error = error.__context__
    return error is not None


def _how_to_carry_on(options: RunOptions) -> str | None:
    """Return how to resume from the checkpoints; None if there are none."""
    if not options.scratch.is_dir():
        return None
    from bids_app.permutation.checkpoints import has_checkpoints

    if not has_checkpoints(options.scratch):
        return None
    return f"The same command resumes from its last checkpoint, in {options.scratch}"


def _interrupted(program: str, interrupt: KeyboardInterrupt) -> int:
    """Print that the run was interrupted, and return the exit code: 128 plus the number of the signal."""
    word, code = ("terminated", 143) if isinstance(interrupt, _Terminated) else ("interrupted", 130)
    print("\n".join([f"{program}: {word}", *getattr(interrupt, "__notes__", ())]), file=sys.stderr)
    return code


def _run_options(parsed: argparse.Namespace) -> RunOptions:
    """Return the parsed arguments as options of the run."""
    from bids_app.runtime.cpu_and_memory_limits import usable_cpus
    from bids_app.runtime.options import RunOptions

    return RunOptions(
        bids_dir=parsed.bids_dir,
        output_dir=parsed.output_dir,
        model=parsed.model or Path(),
        derivatives=tuple(parsed.derivatives),
        maps=parsed.maps,
        maps_content=None if parsed.reports_only else read_table(parsed),
        participants=parsed.participants,
        participant_label=unique(parsed.participant_label),
        session_label=unique(parsed.session_label),
        task_id=unique(parsed.task_id),
        space=parsed.space,
        bids_filter_file=parsed.bids_filter_file,
        mask=parsed.mask,
        mask_threshold=parsed.mask_threshold,
        mask_label=unique(parsed.mask_label),
        resample_mask=parsed.resample_mask,
        surface=tuple(parsed.surface),
        surface_labels=tuple(parsed.surface_labels),
        n_jobs=parsed.nprocs or usable_cpus(),
        mem_mb=parsed.mem_mb,
        work_dir=parsed.work_dir,
        node=unique(parsed.node),
        random_seed=parsed.random_seed,
        dry_run=parsed.dry_run,
        reports_only=parsed.reports_only,
        skip_bids_validation=parsed.skip_bids_validation,
        verbosity=-1 if parsed.quiet else parsed.verbose,
    )


def _stdout_reader_is_gone() -> bool:
    """Return whether the reader of stdout is gone (``| head``); if so, discard what is still buffered."""
    with suppress(BrokenPipeError):
        sys.stdout.flush()
        pipe = select.poll()  # a full buffer is lost in the failure itself, and leaves nothing to flush
        pipe.register(sys.stdout.fileno(), 0)  # errors are told unasked
        if not pipe.poll(0):
            return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _fail(program: str, message: str, *, code: int, show_traceback: bool) -> int:
    """Print an error on stderr and return the exit code."""
    if show_traceback:
        traceback.print_exc()
    print(f"{program}: error: {printable(message)}", file=sys.stderr)
    return code


def _unforeseen(error: Exception, arguments: Sequence[str]) -> str:
    """Return the message of an unexpected error, which asks for the details that a maintainer needs."""
    lines = str(error).strip().splitlines()
    message = f"unexpected failure: {type(error).__name__}" + (f": {lines[0]}" if lines else "")
    if "--verbose" not in arguments:
        message += "\nThis should not happen. Run the same command with --verbose, and report what it prints."
    return message
