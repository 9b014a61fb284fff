"""What the user asked: options, settings, contrasts, nodes and model as values, with their defaults."""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence


def shown(value: object) -> str:
    """Write a value as it would stand in the file, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Find the known name that the word was probably meant to be, or None when nothing is near."""
    names = {name.casefold(): name for name in known}
    folded = word.casefold()
    close = difflib.get_close_matches(folded, names, n=1, cutoff=0.6)
    starts = [name for name in names if folded and (folded.startswith(name) or name.startswith(folded))]
    return next((names[name] for name in [*close, *starts]), None)


def suggestion(word: str, known: Iterable[str]) -> str:
    """End a message about an unknown name with the nearest one, or else with all."""
    names = list(known)
    near = nearest(word, names)
    return f"; did you mean {shown(near)}?" if near else f"; expected one of {', '.join(names)}"


def duplicates(values: Iterable[str]) -> list[str]:
    """List the values that occur more than once."""
    return [value for value, count in Counter(values).items() if count > 1]


SHOWN = 20  # the longest list in a message
LINES = 8  # of a list with a line for each


def natural(text: str) -> tuple[tuple[tuple[str, int], ...], str]:
    """Make a sort key that puts sub-2 before sub-10."""
    pairs = re.findall(r"(\D*)(\d*)", text)
    return tuple((word.casefold(), int(number or -1)) for word, number in pairs), text


def shortened(labels: Iterable[str]) -> str:
    """List labels in natural order, the first of them where there are many."""
    return listed(sorted(labels, key=natural))


def listed(words: Sequence[str]) -> str:
    """List words, the first of them where there are many."""
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return (", ".join(words[:SHOWN]) or "none") + more


def indented(rows: Sequence[str]) -> str:
    """Indent a list, cut where it is long."""
    more = [f"... and {len(rows) - LINES} more"] if len(rows) > LINES else []
    return "\n".join(f"  {row}" for row in [*rows[:LINES], *more])


def file_label(name: str) -> str:
    """Turn a contrast's name into an alphanumeric label: a:b becomes aByB, "a > b" becomes aB."""
    words = re.split(r"[^0-9a-zA-Z]+", name.replace(":", " By "))
    first, *others = [word for word in words if word] or [""]
    return first + "".join(word[0].upper() + word[1:] for word in others)


def joined(words: Sequence[str]) -> str:
    """Return words as a sentence lists them: a, b and c."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def a_few(names: Sequence[str], at_most: int) -> str:
    """Return the first names, separated by commas, and how many more there are."""
    more = len(names) - at_most
    return ", ".join(names[:at_most]) + (f" and {more} more" if more > 0 else "")
