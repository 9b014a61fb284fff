"""The log of a run: kept in full, shown as asked, and taken off again."""

from __future__ import annotations

import logging

import pytest

from bids_app.console.logs import log_assumption, log_notes, open_log
from bids_app.console.terminal import MATTERS
from bids_app.errors import Warned

log = logging.getLogger("bids_app")


def test_every_line_is_kept_whatever_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Quiet: only warnings on stderr, all in the lines, with time and level; no handler stays behind."""
    before = list(log.handlers)
    with open_log(-1) as lines:
        log_notes(["a note", Warned("a warning"), "100 % of it"])
        log.debug("a detail")
    assert [line.split(" ", 2)[2] for line in lines] == [
        "INFO a note\n",
        "WARNING a warning\n",
        "INFO 100 % of it\n",
        "DEBUG a detail\n",
    ]
    assert capsys.readouterr().err == "warning: a warning\n"
    assert log.handlers == before


def test_handlers_go_when_the_run_fails() -> None:
    before = list(log.handlers)
    with pytest.raises(KeyError), open_log(0):
        raise KeyError
    assert log.handlers == before


def test_what_had_to_be_assumed_is_marked_for_the_terminal() -> None:
    """Both are lines of the log; a terminal shows the marked one only."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        log_assumption("MNI, 100 %", is_assumed=True)
        log_assumption("MNI, as it says", is_assumed=False)
    finally:
        log.removeHandler(handler)
    assert [record.getMessage() for record in records] == ["MNI, 100 %", "MNI, as it says"]
    assert [getattr(record, "kind", "") for record in records] == [MATTERS, ""]
