"""Wording that messages share: values, lists, durations, near misses of a name, and labels for file names."""

from __future__ import annotations

import difflib
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence

MAX_LISTED = 20  # names of a list in a sentence
MAX_LINES = 8  # of a list that has a line for each item
NEAR = 0.6  # likeness from which a name may be meant by another, as difflib has it
MIN_ABBREVIATION = 3  # letters
SEPARATORS = re.compile(r"[\W_]+")  # between the parts of a name


def shown(value: object) -> str:
    """Return a value as it would be written in JSON, cut to 60 characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known name that the word was probably meant to be; None when nothing is near.

    Case and punctuation do not count. Names of several parts (group.patient) are near if each part is: that they
    begin alike says nothing, because all levels of a factor do. An abbreviation of three letters or more is near.
    """
    names = {name.casefold(): name for name in known}
    folded = word.casefold()
    # of equally near names the one that begins alike for longest
    scores = [(_nearness(folded, name), _shared_start(folded, name), name) for name in names]
    nearness, _, best = max(scores, default=(0.0, 0, ""))
    return names[best] if nearness >= NEAR else None


def _shared_start(ours: str, theirs: str) -> int:
    """Return how many letters two words have in common at their beginning."""
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(ours, theirs, strict=False)))


def _nearness(word: str, name: str) -> float:
    """Return how alike two names are, from 0 to 1: as alike as the least alike of their parts."""
    ours, theirs = ([part for part in SEPARATORS.split(text) if part] for text in (word, name))
    if not ours or not theirs:
        return 0.0
    if len(ours) != len(theirs):  # a separator was forgotten, or one name begins or ends like the other
        shared = ours[0] == theirs[0] or ours[-1] == theirs[-1]
        return 0.0 if shared else _likeness("".join(ours), "".join(theirs))
    return min(_likeness(*pair) for pair in zip(ours, theirs, strict=True))


def _likeness(ours: str, theirs: str) -> float:
    """Return how alike two words are, from 0 to 1; different numbers are not."""
    if ours.isdecimal() and theirs.isdecimal():
        return float(ours == theirs)
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    # the first is an upper bound that costs nothing, however long the words are
    ratio = matcher.ratio() if matcher.real_quick_ratio() >= NEAR and matcher.quick_ratio() >= NEAR else 0.0
    return max(ratio, NEAR) if len(ours) >= MIN_ABBREVIATION and theirs.startswith(ours) else ratio


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the nearest known one, otherwise all of them."""
    names = list(known)
    if near := nearest(word, names):
        return f"; did you mean {shown(near)}?"
    return f"; expected one of {listed(names)}" if names else "; there is none, so leave it out"


def duplicates(values: Iterable[str]) -> list[str]:
    """Return the values that occur more than once."""
    return [value for value, count in Counter(values).items() if count > 1]


def natural(text: str) -> tuple[tuple[tuple[str, int], ...], str]:
    """Return a sort key that puts sub-2 before sub-10."""
    pairs = re.findall(r"(\D*)(\d*)", text)
    return tuple((word.casefold(), int(number or -1)) for word, number in pairs), text


def listed(items: Sequence[str], most: int = MAX_LISTED, separator: str = ", ") -> str:
    """Return a list for a sentence: the first items, and how many more there are; "none" if it is empty."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return (separator.join(items[:most]) or "none") + more


def listed_in_order(labels: Iterable[str], most: int = MAX_LISTED) -> str:
    """Return labels as `listed`, in natural order."""
    return listed(sorted(labels, key=natural), most)


def indented(items: Sequence[str]) -> str:
    """Return a list with an indented line for each of the first items, and one for how many more there are."""
    more = [f"... and {len(items) - MAX_LINES} more"] if len(items) > MAX_LINES else []
    return "\n".join(f"  {item}" for item in [*items[:MAX_LINES], *more])


def duration(seconds: float) -> str:
    """Return a duration in its two largest units."""
    whole = round(seconds)
    if whole < 1:
        return "less than 1 s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def file_label(name: str) -> str:
    """Return a contrast's name as an alphanumeric label: a:b becomes aByB, "a > b" becomes aB."""
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


# What of grayordinates stays about voxels: where the volume part is meant, and sizes that are counted in them
OF_VOLUME_PART = r"(?<!volume )(?<!cluster, in )"


def in_elements(text: str, element: str) -> str:
    """Return a sentence about voxels as one about vertices or parcels; names such as voxelFWE stay.

    Sentences are written for voxels, which nearly all maps have; this is the one place where others are thought of.
    """
    plurals = {"voxel": "voxels", "vertex": "vertices", "parcel": "parcels", "grayordinate": "grayordinates"}
    kept = OF_VOLUME_PART if element == "grayordinate" else ""

    def other(found: re.Match[str]) -> str:
        word = plurals[element] if found.group().casefold() == "voxels" else element
        return word.capitalize() if found.group()[0] == "V" else word

    return re.sub(rf"{kept}\b[Vv]oxels?\b", other, text)
