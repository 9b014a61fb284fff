"""Tab-separated tables are read to the cell, and every defect is located by file and line."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_app.errors import DataError, MissingPathError
from bids_app.inputs.tsv import read_tsv

CELL = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters='"'), min_size=1, max_size=5)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@given(
    st.lists(st.tuples(CELL, CELL), max_size=5),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["utf-8", "utf-8-sig"]),
)
def test_every_cell_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], end: str, encoding: str
) -> None:
    """Whatever the letters and line ends, with a byte order mark or without; blanks around a cell are stripped."""
    text = end.join(["a\tb", *(f" {first}\t{second} " for first, second in rows)])
    path = write(tmp_path_factory.mktemp("t") / "t.tsv", text.encode(encoding))
    table = read_tsv(path, ("a",))
    assert table.header == ("a", "b")
    assert table.rows == dict(enumerate(rows, start=2))


def test_rows_keep_their_line_numbers_and_their_columns(tmp_path: Path) -> None:
    """Blank lines are counted; a column without a name is skipped."""
    table = read_tsv(write(tmp_path / "t.tsv", "\ta\tb\n0\t1\t2\n\t\t\n1\t3\t\n"), ("b",))
    assert {number: table.columns(cells) for number, cells in table.rows.items()} == {
        2: {"a": "1", "b": "2"},
        4: {"a": "3", "b": ""},
    }


def test_short_rows_are_filled_where_the_reader_allows_it(tmp_path: Path) -> None:
    """Otherwise refused; too many cells are refused in any case."""
    short = write(tmp_path / "short.tsv", "a\tb\tc\n1\n")
    assert read_tsv(short, ("a",), fill=True).rows == {2: ("1", "", "")}
    with pytest.raises(DataError, match="line 2: 1 cells under 3 columns"):
        read_tsv(short, ("a",))
    with pytest.raises(DataError, match="line 2: 2 cells under 1 columns"):
        read_tsv(write(tmp_path / "long.tsv", "a\n1\t2\n"), ("a",), fill=True)


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        (b"", ("no column a, b", "nothing")),
        ("a,b\n1,2\n", ("no column a, b", "a,b", "separated by tabs")),
        ("a\tc\n", ("no column b", "a, c")),
        ("a\tb\tb\n", ("more than one column b",)),
        ('a\tb\n1\t"2\n2\t3\n', ("tab-separated", "unexpected end")),
        ("a\tb\n1\tJosé\n".encode("latin-1"), ("not UTF-8",)),
        ("a\tb\n".encode("utf-16"), ("not UTF-8",)),
    ],
)
def test_what_is_wrong_is_named_with_the_file_and_the_option(
    tmp_path: Path, content: str | bytes, facts: tuple[str, ...]
) -> None:
    path = write(tmp_path / "t.tsv", content)
    for option in ("", "--maps"):
        with pytest.raises(DataError) as caught:
            read_tsv(path, ("a", "b"), option=option)
        message = str(caught.value)
        assert message.startswith(f"{option}: {path}" if option else str(path))
        assert [fact for fact in facts if fact not in message] == []


def test_a_file_that_is_absent_is_told_from_one_that_was_not_fetched(tmp_path: Path) -> None:
    """Exit codes differ: a path that does not exist, and data that cannot be used."""
    with pytest.raises(MissingPathError, match=r"t\.tsv"):
        read_tsv(tmp_path / "t.tsv", ())
    (tmp_path / "t.tsv").symlink_to(".git/annex/objects/key")
    with pytest.raises(DataError, match="fetched"):
        read_tsv(tmp_path / "t.tsv", ())


def test_what_no_study_has_is_refused_at_once(tmp_path: Path) -> None:
    """Three million rows, a sparse file of a terabyte, a pipe, a folder: each in a moment."""
    rows = write(tmp_path / "rows.tsv", b"participant_id\tage\n" + b"1\t2\n" * 3_000_000)
    large = tmp_path / "large.tsv"
    with large.open("wb") as file:
        file.truncate(1 << 40)
    pipe = tmp_path / "pipe.tsv"
    os.mkfifo(pipe)
    start = time.monotonic()
    for path, message in (
        (rows, "3,000,001 lines"),
        (large, "1,099,512 MB"),
        (pipe, "regular file"),
        (tmp_path, "regular file"),
    ):
        with pytest.raises(DataError, match=message):
            read_tsv(path, ("participant_id",))
    assert time.monotonic() - start < 10
