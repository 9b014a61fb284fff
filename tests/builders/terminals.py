"""A terminal that a program is run on, and what is left on its screen."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def on_a_terminal(program: str, **environment: str) -> str:
    """Return all that a program writes to stderr where that is a terminal of 100 columns."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stderr=follower,
        stdout=subprocess.DEVNULL,
        cwd=REPOSITORY,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", **environment},
    )
    os.close(follower)
    written = b""
    while select.select([leader], [], [], 30)[0]:
        try:
            piece = os.read(leader, 4096)
        except OSError:  # on Linux, a terminal that everybody has left
            break
        if not piece:
            break
        written += piece
    os.close(leader)
    process.wait(timeout=30)
    return written.decode()


def plain(written: str) -> str:
    """Take out colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", written)


def left_on_screen(written: str) -> list[str]:
    """Return the lines that a terminal shows at the end: carriage returns, erased lines, cursor up."""
    lines, row = [""], 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", plain(written)):
        if token == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif token == "\x1b[2K":
            lines[row] = ""
        elif re.fullmatch(r"\x1b\[\d*A", token):
            row -= int(token[2:-1] or 1)
        elif not token.startswith("\x1b") and token != "\r":
            lines[row] += token
    return [line.rstrip() for line in lines if line.strip()]
