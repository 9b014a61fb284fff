"""The exit codes are a contract with scripts."""

from __future__ import annotations

import pytest

from bids_app import errors


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("GroupLevelError", 1),
        ("InvalidDatasetError", 16),
        ("AnalysisLevelError", 17),
        ("NothingMatchedError", 18),
        ("UsageError", 64),
        ("DataError", 65),
        ("ModelError", 65),
        ("MissingPathError", 66),
        ("OutputError", 73),
    ],
)
def test_each_error_has_the_exit_code_of_the_contract(name: str, code: int) -> None:
    """And all of them are caught as one."""
    error = getattr(errors, name)
    assert error.exit_code == code
    assert issubclass(error, errors.GroupLevelError)


def test_the_list_above_is_complete() -> None:
    """A new error must be given a code here."""
    found = {each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)}
    assert len(found) == 9


def test_what_moves_a_cursor_is_spelt_out() -> None:
    """Escapes, returns, marks of direction; line breaks, tabs and letters of any script stay."""
    assert errors.printable("a\x1b[2Jb\rc\x00\u202egnp.\x9bx") == "a\\x1b[2Jb\\rc\\x00\\u202egnp.\\x9bx"
    assert errors.printable("Größe\t脳\nαβγ") == "Größe\t脳\nαβγ"
