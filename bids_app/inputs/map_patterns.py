"""Images found by a pattern such as spm/sub-{subject}/{condition}.nii, and what stands in place of the placeholders."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bids_app.console.text import listed, natural
from bids_app.errors import MissingPathError, NothingMatchedError, UsageError
from bids_app.inputs.naming import is_volume
from bids_app.spaces.image_pairs import image_parts, is_pair

PLACEHOLDERS = {"subject": "sub-", "condition": "", "session": "ses-", "run": "run-"}  # with what a label may begin
TOKEN = re.compile(r"(\{[^{}]*\}|\*\*/|\*|\?|\[[^]]+\])")
EXAMPLE = "spm/sub-{subject}/{condition}.nii"
MAX_NAMES = 12


@dataclass(frozen=True, slots=True)
class PatternMatch:
    """One image that a pattern found."""

    path: Path
    pattern: str
    labels: dict[str, str]
    """Placeholder -> what stands in its place, without the prefix of BIDS."""


def find_by_patterns(root: Path, patterns: Sequence[str]) -> list[PatternMatch]:
    """Return the images below a folder that patterns find, each once, in natural order for each pattern.

    A placeholder or ``*`` stands for characters of one name, as few as the rest of the pattern allows; a placeholder
    that comes twice stands for the same text; ``**/`` stands for any folders.

    Raises
    ------
    MissingPathError
        There is no such folder.
    UsageError
        A pattern has no {subject}, or none that can be used.
    NothingMatchedError
        A pattern finds no image; the message lists what there is instead.
    """
    if not root.is_dir():
        raise MissingPathError(f"ROOT: {root} is not a folder. Give the folder that the patterns start from.")
    for pattern in patterns:
        _check(pattern)
    found: dict[Path, PatternMatch] = {}
    for pattern in patterns:
        matches = list(_matches(root, pattern))
        if not matches:
            raise _nothing(root, pattern)
        for match in matches:
            found.setdefault(image_parts(match.path)[0], match)
    return list(found.values())


def _check(pattern: str) -> None:
    """Raise UsageError for a pattern that cannot be used."""
    names = re.findall(r"\{([^{}]*)\}", pattern)
    if unknown := [f"{{{name}}}" for name in names if name not in PLACEHOLDERS]:
        known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise UsageError(f"PATTERN: {pattern} has {listed(unknown)}; expected {known}.")
    if "subject" not in names:
        raise UsageError(
            f"PATTERN: {pattern} has no {{subject}}, so that nothing tells whose map a file is; expected a pattern "
            f"such as '{EXAMPLE}'."
        )
    if re.search(r"[{}]", TOKEN.sub("", pattern)):
        raise UsageError(
            f"PATTERN: {pattern} has a brace without its other one; expected a pattern such as '{EXAMPLE}'."
        )
    if pattern.startswith("/") or ".." in pattern.split("/"):
        raise UsageError(
            f"PATTERN: {pattern} leaves ROOT; expected a path that starts from there, such as '{EXAMPLE}'."
        )


def _matches(root: Path, pattern: str) -> Iterator[PatternMatch]:
    """Yield the images that one pattern finds."""
    expression = to_expression(pattern)
    relative = sorted((path.relative_to(root).as_posix() for path in root.glob(_to_glob(pattern))), key=natural)
    for name in relative:
        match = expression.fullmatch(name)
        path = root / name
        if match and _is_image(path) and not _is_hidden(name, pattern):
            labels = {
                key: label.removeprefix(PLACEHOLDERS[key]) or label for key, label in match.groupdict().items() if label
            }
            yield PatternMatch(path, pattern, labels)


def to_expression(pattern: str) -> re.Pattern[str]:
    """Return a pattern as a regular expression with a group for each placeholder."""
    parts, seen = [], set()
    for token in TOKEN.split(pattern):
        name = token[1:-1]
        if token.startswith("{"):
            parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+?)")
            seen.add(name)
        elif token.startswith("[") and len(token) > 2:
            characters = re.escape(name.removeprefix("!")).replace(r"\-", "-")
            parts.append(f"[{'^' if name.startswith('!') else ''}{characters}]")
        else:
            parts.append({"**/": "(?:[^/]+/)*", "*": "[^/]*?", "?": "[^/]"}.get(token) or re.escape(token))
    return re.compile("".join(parts))


def _to_glob(pattern: str) -> str:
    """Return a pattern as that of a search, in which placeholders are ``*``."""
    return re.sub(r"\*{2,}(?!/)", "*", re.sub(r"\{[^{}]*\}", "*", pattern))


def _is_hidden(name: str, pattern: str) -> bool:
    """Return whether some folder or the file is hidden and the pattern does not ask for such."""
    return f"/{name}".count("/.") > f"/{pattern}".count("/.")


def _is_image(path: Path) -> bool:
    """Return whether a file holds a volume, by its name; links to content that was not fetched count."""
    return (is_volume(path.name) or is_pair(path)) and (path.is_file() or path.is_symlink())


def _nothing(root: Path, pattern: str) -> NothingMatchedError:
    """Return the error for a pattern that finds nothing: up to where it leads, and what is there."""
    steps = pattern.split("/")
    for n_steps in range(len(steps) - 1, 0, -1):
        start = "/".join(steps[:n_steps])
        expression = to_expression(start)
        folders = [path for path in root.glob(_to_glob(start)) if path.is_dir()]
        folders = [path for path in folders if expression.fullmatch(path.relative_to(root).as_posix())]
        if folders and not start.endswith("**"):
            first = min(folders, key=lambda path: natural(path.as_posix()))
            number = f"{len(folders)} folders match" if len(folders) > 1 else "One folder matches"
            there = f"{number} {start}; {first} holds {_content(first)}"
            break
    else:
        there = f"{root} holds {_content(root)}"
    return NothingMatchedError(f"PATTERN: no image in {root} matches {pattern}. {there}.")


def _content(folder: Path) -> str:
    """Return the names in a folder, with a slash after folders."""
    names = [f"{path.name}/" if path.is_dir() else path.name for path in folder.iterdir()]
    return listed(sorted(names, key=natural), MAX_NAMES) if names else "nothing"
