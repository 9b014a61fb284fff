"""What is drawn on a terminal, which lines are logged elsewhere, and when nothing is said."""

from __future__ import annotations

import logging
import re
import time

import pytest

from bids_app.console.progress import shuffling
from builders.terminals import left_on_screen, on_a_terminal, plain

# Ten steps of a tenth of a second, log lines in between
PROGRAM = """
import logging, sys, time
from bids_app.console.progress import shuffling
from bids_app.console.terminal import open_shown
log = logging.getLogger("bids_app")
log.setLevel(logging.INFO)
log.addHandler(open_shown(-1 if {quiet} else 1))
log.info("before")
with shuffling("fame[red]", 400, 200, quiet={quiet}) as advance:
    for step in range(10):
        time.sleep(0.1)
        advance(20)
        if step == 4:
            log.info("a line [bold]as it is[/bold] " + "with a long path/" * 10 + "end")
    if {fails}:
        raise SystemExit(3)
log.info("after")
"""


# On a terminal


@pytest.fixture(scope="module")
def drawn() -> str:
    return on_a_terminal(PROGRAM.format(quiet=False, fails=False))


def test_a_terminal_gets_a_bar_with_count_rate_and_time_left(drawn: str) -> None:
    """The name as it is, also where it looks like markup; the 200 of an earlier run count as done from the start."""
    text = plain(drawn)
    counts = [int(count) for count in re.findall(r"fame\[red\] \S+ +(\d+)/400", text)]
    assert counts[0] == 200
    assert counts == sorted(counts)
    assert len(set(counts)) > 3
    assert re.search(r"left 0:00:\d\d", text)
    rates = [int(rate) for rate in re.findall(r"(\d+)/s", text)]
    assert rates
    # 20 permutations in 0.1 s; a busy machine is slower. The 200 done before would show as thousands.
    assert all(20 <= rate <= 210 for rate in rates)


def test_log_lines_and_bar_do_not_garble_each_other(drawn: str) -> None:
    """The bar is gone at the end, and each log line is left whole: unbroken, and with its brackets."""
    line = "a line [bold]as it is[/bold] " + "with a long path/" * 10 + "end"
    assert left_on_screen(drawn) == ["  before", f"  {line}", "  after"]


def test_a_failure_takes_the_bar_away() -> None:
    """And the cursor is shown again."""
    drawn = on_a_terminal(PROGRAM.format(quiet=False, fails=True))
    assert [line[2:8] for line in left_on_screen(drawn)] == ["before", "a line"]
    assert drawn.rindex("\x1b[?25h") > drawn.rindex("\x1b[?25l")


def test_colours_may_be_switched_off() -> None:
    """NO_COLOR takes the colours and leaves the bar."""
    drawn = on_a_terminal(PROGRAM.format(quiet=False, fails=False), NO_COLOR="1")
    assert re.search(r"\d+/400", drawn)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", drawn)


def test_quiet_draws_nothing() -> None:
    """And of the log it shows warnings only."""
    assert on_a_terminal(PROGRAM.format(quiet=True, fails=False)) == ""


def test_a_terminal_that_cannot_move_its_cursor_gets_lines() -> None:
    """TERM=dumb, as in some editors; after a second in all nothing needs saying."""
    assert "\x1b" not in on_a_terminal(PROGRAM.format(quiet=False, fails=False), TERM="dumb")


# Elsewhere


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a clock that the test sets."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("bids_app"), "propagate", True)
    caplog.set_level(logging.INFO, "bids_app")
    return caplog


def test_elsewhere_there_is_a_line_for_every_tenth(clock: list[float], lines: pytest.LogCaptureFixture) -> None:
    """5000 permutations in batches of 64, 100 per second after 6 s of compiling, which count less and less."""
    clock[0] = 100.0
    with shuffling("fame", 5000, 0, quiet=False) as advance:
        clock[0] += 6 - 0.64
        for done in range(0, 5000, 64):
            clock[0] += 0.64
            advance(min(64, 5000 - done))
    messages = lines.messages
    assert len(messages) == 10
    assert messages[0] == "fame: 512 of 5000 permutations (10 %), 49 per second, 1 min 32 s left"
    assert messages[-2].startswith("fame: 4544 of 5000 permutations (90 %), 89 per second, 5 s left")
    # the last batch is of 8 permutations and took as long as the others
    assert re.fullmatch(r"fame: 5000 of 5000 permutations \(100 %\), (88|89) per second", messages[-1])


def test_a_batch_over_several_tenths_gives_one_line(clock: list[float], lines: pytest.LogCaptureFixture) -> None:
    """And the first one has a rate too, since the start."""
    with shuffling("fame", 64, 0, quiet=False) as advance:
        for _ in range(2):
            clock[0] += 3200
            advance(32)
    assert lines.messages == [
        "fame: 32 of 64 permutations (50 %), 0.01 per second, 53 min 20 s left",
        "fame: 64 of 64 permutations (100 %), 0.01 per second",
    ]


def test_what_an_earlier_run_did_counts_as_done_and_not_for_the_rate(
    clock: list[float], lines: pytest.LogCaptureFixture
) -> None:
    """From 90 of 100, one per second."""
    with shuffling("fame", 100, 89, quiet=False) as advance:
        for _ in range(11):
            clock[0] += 1
            advance(1)
    assert lines.messages == [
        "fame: 90 of 100 permutations (90 %), 1 per second, 10 s left",
        "fame: 100 of 100 permutations (100 %), 1 per second",
    ]


@pytest.mark.parametrize(("seconds", "n_lines"), [(9.9, 0), (10.1, 10)])
def test_short_work_gives_no_line(
    clock: list[float], lines: pytest.LogCaptureFixture, seconds: float, n_lines: int
) -> None:
    """In a model with dozens of contrasts they would hide what matters."""
    with shuffling("fame", 100, 0, quiet=False) as advance:
        for _ in range(100):
            clock[0] += seconds / 100
            advance(1)
    assert len(lines.messages) == n_lines


def test_quiet_logs_nothing(clock: list[float], lines: pytest.LogCaptureFixture) -> None:
    """Whatever the time it takes."""
    with shuffling("fame", 10, 0, quiet=True) as advance:
        for _ in range(10):
            clock[0] += 60
            advance(1)
    assert lines.messages == []


def test_a_file_gets_no_bar_even_where_colours_are_forced(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """FORCE_COLOR, as continuous integration sets it, makes no terminal of a file."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    with shuffling("fame", 10, 0, quiet=False) as advance:
        advance(10)
    assert capfd.readouterr() == ("", "")
