"""The errors that a user can cause, one class per exit code.

GroupLevelError            1   anything that went wrong and was foreseen
├── InvalidDatasetError    16  the input is not a BIDS dataset
├── AnalysisLevelError     17  an analysis level other than "group"
├── NothingMatchedError    18  no map fits the model and the filters
├── UsageError             64  wrong command line
├── DataError              65  bad images, covariates or tables
│   └── ModelError         65  bad model file
├── MissingPathError       66  a path that was named does not exist
└── OutputError            73  the output cannot be written

A message says what was found, what was expected, where, and what to do. What stops nothing, and may still change a
number, is a note that is `Warned`.
"""

from __future__ import annotations

import re

# Characters that make a terminal do something, or show a line in another order; names in files may hold them
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Spell out what would move the cursor of a terminal, clear it or forge what stands on it."""
    return _CONTROL.sub(lambda sign: sign.group().encode("unicode_escape").decode("ascii"), text)


class GroupLevelError(Exception):
    """Any failure that a user can cause and mend."""

    exit_code = 1


class InvalidDatasetError(GroupLevelError):
    """The input folder is not a BIDS dataset."""

    exit_code = 16


class AnalysisLevelError(GroupLevelError):
    """The analysis level is not ``group``."""

    exit_code = 17


class NothingMatchedError(GroupLevelError):
    """No first-level map fits the model and the filters."""

    exit_code = 18


class UsageError(GroupLevelError):
    """The command line is wrong."""

    exit_code = 64


class DataError(GroupLevelError):
    """Images, tables or covariates cannot be used as they are."""

    exit_code = 65


class ModelError(DataError):
    """The model file asks for something wrong or impossible."""


class MissingPathError(GroupLevelError):
    """A path that was named does not exist."""

    exit_code = 66


class OutputError(GroupLevelError):
    """The output folder cannot be written."""

    exit_code = 73


class Warned(str):
    """A note about numbers that may be others than the user expects: a warning in the log and in the report.

    Text like any other note, so that it stands among them; a record of the results keeps it apart (`records`).
    """

    __slots__ = ()
