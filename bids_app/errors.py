"""The errors that a user can cause, one class per exit code.

GroupLevelError            1   any foreseen failure
├── InvalidDatasetError    16  the input is not a BIDS dataset
├── AnalysisLevelError     17  an analysis level other than "group"
├── NothingMatchedError    18  no map matches the model and the filters
├── UsageError             64  wrong command line
├── DataError              65  bad images, covariates or tables
│   └── ModelError         65  bad model file
├── MissingPathError       66  a given path does not exist
└── OutputError            73  the output cannot be written

A message says what was found, what was expected, where, and what to do. What does not stop a run but may change its
results is a note of class `Warned`.
"""

from __future__ import annotations

import re

# Characters that make a terminal do something, or show a line in another order; names in files may hold them
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Return a text with escapes for the characters that would move the cursor of a terminal or forge its content."""
    return _CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)


class GroupLevelError(Exception):
    """Any failure that the user can cause and fix."""

    exit_code = 1


class InvalidDatasetError(GroupLevelError):
    """The input folder is not a BIDS dataset."""

    exit_code = 16


class AnalysisLevelError(GroupLevelError):
    """The analysis level is not ``group``."""

    exit_code = 17


class NothingMatchedError(GroupLevelError):
    """No first-level map matches the model and the filters."""

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
    """A given path does not exist."""

    exit_code = 66


class OutputError(GroupLevelError):
    """The output folder cannot be written."""

    exit_code = 73


class Warned(str):
    """A note on results that may differ from what the user expects: a warning in the log and in the report.

    It is a text like the other notes, among which it is listed; the record of the results keeps it apart.
    """

    __slots__ = ()
