"""What is drawn on a terminal while a run works and at its end, and which plain lines go elsewhere."""

from __future__ import annotations

import logging
import re

import pytest

from bids_app.console import terminal
from bids_app.console.terminal import Outcome, Survival, open_shown, rate_words, say_outcomes, stage
from builders.terminals import left_on_screen, on_a_terminal, plain

FEW = Outcome(
    "A > B [red]é",
    "t(7)",
    (
        Survival("voxel", "Voxel-wise FWE, p <= 0.05", 1234, 3, "t = 5.00, p = 0.012 at (1, -2, 3) mm"),
        Survival("TFCE", "TFCE (FWE), p <= 0.05", 1, 1, "t = 5.00, p = 0.010 at (1, -2, 3) mm"),
    ),
)
NONE = Outcome(
    "nobody",
    "t(7)",
    (
        Survival("voxel", "Voxel-wise FWE, p <= 0.05", 0, 0, "t = 3.00, p = 0.300 at (0, 0, 0) mm"),
        Survival("TFCE", "TFCE (FWE), p <= 0.05", 0, 0, "t = 3.00, p = 0.400 at (0, 0, 0) mm"),
    ),
)

PROGRAM = """
import logging, time
from bids_app.console.progress import shuffling
from bids_app.console.terminal import Outcome, Survival, log_notice, open_shown, say_outcomes, stage
log = logging.getLogger("bids_app")
log.setLevel(logging.DEBUG)
log.addHandler(open_shown({verbosity}))
log.info("for the record")
with stage("Maps") as say:
    time.sleep(0.3)
    for _ in range(3):
        log.warning("careful [bold]here[/bold]")
    say("7 voxels")
with stage("contrast") as say:
    with shuffling("contrast", 40, 0, quiet=False) as advance:
        for _ in range(4):
            time.sleep(0.15)
            advance(10)
    time.sleep(0.2)
log_notice("MNI is %s", "assumed")
say_outcomes({outcomes})
"""


def program(verbosity: int = 0) -> str:
    return PROGRAM.format(verbosity=verbosity, outcomes=[FEW, NONE])


@pytest.fixture(scope="module")
def drawn() -> str:
    return on_a_terminal(program(), COLUMNS="120")


def test_a_terminal_is_left_with_stages_warnings_once_and_the_table(drawn: str) -> None:
    """Names as they are, also where they look like markup; what is only for the record is not shown."""
    lines = left_on_screen(drawn)
    assert lines[0] == "! careful [bold]here[/bold]"
    assert re.fullmatch(r"✓ Maps +7 voxels  0\.\d s", lines[1])
    assert re.fullmatch(r"✓ contrast +0\.\d s", lines[2])
    assert lines[3] == "  MNI is assumed"
    assert lines[4].strip() == "Surviving voxels (clusters)"
    assert re.fullmatch(r"contrast +voxel +TFCE +strongest \(voxel\)", lines[5])
    assert re.fullmatch(r"A > B \[red\]é +1,234 \(3\) +1 \(1\) +t = 5\.00, p = 0\.012 at \(1, -2, 3\) mm", lines[6])
    assert re.fullmatch(r"nobody +none +none +closest: t = 3\.00, p = 0\.300 at \(0, 0, 0\) mm", lines[7])
    assert len(lines) == 8


def test_what_is_at_work_is_named_with_a_bar_where_its_end_is_known(drawn: str) -> None:
    """The name of a stage with the time so far, then in its place the bar of the shuffles."""
    text = plain(drawn)
    assert re.search(r"[-|/\\\\] Maps +0:00:00", text)
    assert re.search(r"contrast \S+ +\d+/40", text)
    assert drawn.rindex("\x1b[?25h") > drawn.rindex("\x1b[?25l")


def test_a_narrow_terminal_gets_a_row_for_each_correction() -> None:
    """That leaves something; a contrast without any has one row. A peak that is too long goes on below."""
    lines = left_on_screen(on_a_terminal(program(), COLUMNS="76"))
    table = lines[lines.index(next(line for line in lines if line.startswith("What survived"))) :]
    rows = [re.split(r"  +", line)[:3] for line in table[2:]]
    assert [row for row in rows if row[1] in {"voxel", "TFCE", "any"}] == [
        ["A > B [red]é", "voxel", "1,234 (3)"],
        ["", "TFCE", "1 (1)"],
        ["nobody", "any", "none"],
    ]


def test_verbose_shows_what_is_for_the_record_too() -> None:
    lines = left_on_screen(on_a_terminal(program(1)))
    assert lines[0] == "  for the record"


def test_quiet_shows_warnings_only() -> None:
    """As plain lines, each once."""
    assert left_on_screen(on_a_terminal(program(-1))) == ["warning: careful [bold]here[/bold]"]


def test_no_color_takes_the_colours_only() -> None:
    drawn = on_a_terminal(program(), NO_COLOR="1", COLUMNS="120")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", drawn)
    assert "1,234 (3)" in drawn


def test_elsewhere_every_line_is_plain_text(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Stages with their times, warnings once, a line for each correction; FORCE_COLOR makes no terminal of a file."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    log, shown = logging.getLogger("bids_app"), open_shown(0)
    log.setLevel(logging.DEBUG)
    log.addHandler(shown)
    try:
        with stage("Maps") as say:
            say("7 voxels")
        log.warning("careful")
        log.warning("careful")
        terminal.log_notice("MNI is %s", "assumed")
        say_outcomes([FEW, NONE])
    finally:
        log.removeHandler(shown)
    assert capfd.readouterr().err.splitlines() == [
        "Maps: 7 voxels, 0.0 s",
        "warning: careful",
        "MNI is assumed",
        "A > B [red]é: Voxel-wise FWE, p <= 0.05: 1,234 voxels in 3 clusters; strongest: "
        "t = 5.00, p = 0.012 at (1, -2, 3) mm",
        "A > B [red]é: TFCE (FWE), p <= 0.05: 1 voxel in 1 cluster; strongest: t = 5.00, p = 0.010 at (1, -2, 3) mm",
        "nobody: Voxel-wise FWE, p <= 0.05: nothing survives; closest: t = 3.00, p = 0.300 at (0, 0, 0) mm",
        "nobody: TFCE (FWE), p <= 0.05: nothing survives; closest: t = 3.00, p = 0.400 at (0, 0, 0) mm",
    ]


@pytest.mark.parametrize(
    ("rate", "expected"), [(12345.6, "12346"), (10.4, "10"), (9.96, "10"), (1.25, "1.2"), (0.0567, "0.057")]
)
def test_a_rate_has_at_least_two_digits(rate: float, expected: str) -> None:
    """Slow shuffles are counted in parts."""
    assert rate_words(rate) == expected
