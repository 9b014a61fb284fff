"""A table for --maps, written from patterns: whose map of which condition every file is, and what it is called.

What is certain is taken from the files of the first-level program; what is not, or is left out, is said.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bids_app.console.text import indented, listed, listed_in_order, natural, suggestion
from bids_app.errors import DataError, UsageError, Warned
from bids_app.inputs.contrast_names import NATIVE, NamesFile, ProgramMap, program_map, read_names
from bids_app.inputs.find_images import NOT_UTF8
from bids_app.inputs.map_patterns import PatternMatch, find_by_patterns, to_expression
from bids_app.spaces.image_pairs import is_afni, read_afni_header, volume_number

STATISTIC_OF_AFNI = re.compile(r"(_[TFtf]stat|_R\^2|_FDRq|_fstat)$")
SHOWN_NAMES = 8


@dataclass(frozen=True, slots=True)
class DraftedTable:
    """The table, and what is to be said of it."""

    text: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One map that was found."""

    match: PatternMatch
    key: str
    """What the program, otherwise the pattern, calls its condition."""
    program: ProgramMap | None = None
    volume: str = ""
    """Label of the sub-brick."""
    names: tuple[str, ...] = field(default=())
    """Of its contrast, from the files of the program; empty where they are not known."""

    @property
    def subject(self) -> str:
        return self.match.labels["subject"]

    @property
    def spellings(self) -> set[str]:
        """By what --condition may call it."""
        return {self.key, self.match.labels.get("condition", self.key), self.volume or self.key}


def draft_maps_table(
    root: Path, patterns: Sequence[str], renamed: Mapping[str, str], sub_bricks: Sequence[str], start: Path
) -> DraftedTable:
    """Return the table of the maps that patterns find.

    Parameters
    ----------
    root : folder that the patterns start from
    patterns : see `find_by_patterns`
    renamed : what the files call a condition -> its name in the table
    sub_bricks : patterns of the labels of AFNI's sub-bricks, one map each
    start : folder that the paths in the table start from

    Raises
    ------
    MissingPathError, NothingMatchedError, UsageError
        A pattern cannot be used or finds nothing.
    DataError
        The files do not tell which map is which, or are none to analyse.
    """
    matches = find_by_patterns(root, patterns)
    entries, notes = _usable(_entries(matches, sub_bricks))
    named, names_notes = _with_names(entries)
    conditions, condition_notes = _conditions(named, renamed)
    rows = [_row(entry, conditions[entry.key], start) for entry in named]
    order = sorted(range(len(rows)), key=lambda i: (natural(rows[i]["participant_id"]), natural(named[i].key)))
    _check_once([(rows[i], named[i]) for i in order])
    summary = _summary([rows[i] for i in order])
    return DraftedTable(_written([rows[i] for i in order]), (*notes, *names_notes, *condition_notes, *summary))


def _entries(matches: Sequence[PatternMatch], sub_bricks: Sequence[str]) -> list[_Entry]:
    """Return a map for each file, or for each sub-brick that is wanted."""
    entries: list[_Entry] = []
    for match in matches:
        if is_afni(match.path) and match.path.exists():
            entries += _afni_entries(match, sub_bricks)
        else:
            program = program_map(match.path, match.pattern)
            entries.append(_Entry(match, program.key if program else _key(match), program))
    if sub_bricks and not any(is_afni(match.path) for match in matches):
        raise UsageError(f"--sub-bricks: {matches[0].path} is no file of AFNI (.HEAD), which alone have sub-bricks.")
    return entries


def _key(match: PatternMatch) -> str:
    """Return the condition of a file of no known program: the placeholder's, otherwise what the pattern spells out."""
    if label := match.labels.get("condition"):
        return label
    last = match.pattern.rpartition("/")[2]
    if re.search(r"[*?\[]", last):
        raise UsageError(
            f"PATTERN: {match.pattern} does not say where the condition stands; write {{condition}} in its place, or "
            "one pattern for each condition."
        )
    name = re.sub(r"\.(nii|img|hdr|HEAD|BRIK)(\.gz)?$", "", re.sub(r"\{[^{}]*\}", "", last))
    name = re.sub(r"\+(orig|acpc|tlrc)$", "", name)
    if key := re.sub(r"[_\-.]{2,}", "_", name).strip("_-. "):
        return key
    raise UsageError(
        f"PATTERN: {match.pattern} does not name a condition; write {{condition}} where it stands in the paths."
    )


def _afni_entries(match: PatternMatch, sub_bricks: Sequence[str]) -> list[_Entry]:
    """Return the sub-bricks of an AFNI file that are wanted, by their labels."""
    header = read_afni_header(match.path)
    if not sub_bricks:
        if header.n_volumes > 1:
            raise UsageError(
                f"{match.path} has {header.n_volumes} sub-bricks: {listed(header.labels)}. Name those to use by their "
                "labels: --sub-bricks '{condition}#0_Coef'"
            )
        return [_Entry(match, _key(match))]
    entries = []
    for pattern in sub_bricks:
        expression = to_expression(pattern)
        for label in dict.fromkeys(header.labels):
            if found := expression.fullmatch(label):
                volume_number(match.path, label, header)  # which stops where the label stands for several
                named = found.groupdict().get("condition") or re.sub(r"#\d+(_Coef)?$", "", label)
                refusal = "a test statistic: use coefficients (#0_Coef)" if STATISTIC_OF_AFNI.search(label) else ""
                key = named.removesuffix("_GLT")
                entries.append(_Entry(match, key, ProgramMap(label, refusal=refusal), label))
    if not entries:
        raise DataError(
            f"--sub-bricks {' '.join(sub_bricks)}: {match.path} has no such sub-brick. Its labels: "
            f"{listed(header.labels)}."
        )
    unique = {entry.volume: entry for entry in reversed(entries)}
    return list(reversed(unique.values()))


def _usable(entries: Sequence[_Entry]) -> tuple[list[_Entry], list[str]]:
    """Return the maps that can be analysed, with notes on what is left out beside them."""
    of_pattern: dict[str, list[_Entry]] = {}
    for entry in entries:
        of_pattern.setdefault(entry.match.pattern, []).append(entry)
    kept: list[_Entry] = []
    reasons: dict[str, list[str]] = {}
    for found in of_pattern.values():
        good = _good(found)
        kept += good
        chosen = set(map(id, good))
        for entry in found:
            if entry.program and id(entry) not in chosen:
                reasons.setdefault(entry.program.refusal, []).append(entry.program.key)
    return kept, [
        f"left out: {len(keys)} maps ({listed_in_order(set(keys), SHOWN_NAMES)}): {reason}"
        for reason, keys in reasons.items()
    ]


def _good(found: Sequence[_Entry]) -> list[_Entry]:
    """Return the maps of contrasts among what a pattern found, or those of regressors where it found nothing else."""
    refused = [entry for entry in found if entry.program and entry.program.refusal]
    native = [entry for entry in refused if entry.program and entry.program.refusal == NATIVE]
    good = [entry for entry in found if not (entry.program and entry.program.refusal)]
    if not good and not native:
        good = [entry for entry in refused if entry.program and entry.program.is_last_resort]
    if good and not native:
        return good
    first = (native or refused)[0]
    why = first.program.refusal if first.program else ""
    what = f", {first.volume}" if first.volume else ""
    raise DataError(f"PATTERN: {first.match.pattern} finds {first.match.path}{what}: {why}.")


def _with_names(entries: Sequence[_Entry]) -> tuple[list[_Entry], list[str]]:
    """Return the maps with the names of their contrasts, and notes on the files that could not be read."""
    sources = {source for entry in entries if entry.program for source in entry.program.sources}
    files = {source: read_names(source) for source in sorted(sources)}
    problems: dict[str, list[Path]] = {}
    for source, read in files.items():
        if read.problem:
            problems.setdefault(read.problem, []).append(source)
    notes = [
        Warned(
            f"{paths[0]}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}: {problem}. Where no other file "
            "names the contrasts, they are called as the maps are; --condition NAME=con_0001 gives them names"
        )
        for problem, paths in problems.items()
    ]
    return [_Entry(e.match, e.key, e.program, e.volume, _names(e, files)) for e in entries], list(notes)


def _names(entry: _Entry, files: Mapping[Path, NamesFile]) -> tuple[str, ...]:
    """Return the names that the program's files have for a map; none unless each of them has one."""
    if entry.program is None or not entry.program.sources:
        return ()
    pairs = zip(entry.program.sources, entry.program.numbers, strict=True)
    names = [files[source].names.get(number, "") for source, number in pairs]
    return tuple(names) if all(names) else ()


def _conditions(entries: Sequence[_Entry], renamed: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the condition of each key: as --condition says, as the program's files agree, or the key itself."""
    of_key: dict[str, list[_Entry]] = {}
    for entry in sorted(entries, key=lambda entry: natural(entry.key)):
        of_key.setdefault(entry.key, []).append(entry)
    spelled = {spelling: key for key, alike in of_key.items() for spelling in alike[0].spellings}
    for key, name in renamed.items():
        if key not in spelled:
            raise UsageError(f"--condition {name}={key}: no map is called so{suggestion(key, list(of_key))}")
    own = {spelled[key]: name for key, name in renamed.items()}
    conditions, notes = {}, []
    taken: dict[str, list[str]] = {}
    kept: list[str] = []
    for key, alike in of_key.items():
        counts = Counter(" ".join(entry.names) for entry in alike if entry.names)
        if key not in own and len(counts) > 1:
            raise DataError(_disagreement(key, alike, counts))
        conditions[key] = own.get(key) or next(iter(counts), key)
        if key in own:
            notes += _called_otherwise(key, own[key], alike, counts)
        elif counts:
            taken.setdefault(_file_names(alike), []).append(f"{key} is {conditions[key]}")
            notes += _taken_for(key, conditions[key], alike)
        elif alike[0].program and not alike[0].volume:
            kept.append(key)
    if kept:
        advice = f"conditions are called so (--condition NAME={kept[0]} gives another name)"
        notes.append(f"no file beside the maps names {listed(kept, SHOWN_NAMES)}: {advice}")
    return conditions, [*(f"names from {files}: {listed(names)}" for files, names in taken.items()), *notes]


def _called_otherwise(key: str, name: str, alike: Sequence[_Entry], counts: Mapping[str, int]) -> list[str]:
    """Return a note on a name by --condition, a warning where the program's files do not agree among themselves."""
    if not counts:
        return [f"{key} is called {name}, as --condition says"]
    words = ", ".join(f"{each} ({n})" for each, n in counts.items())
    note = f"{key} is called {name}, as --condition says; in {_file_names(alike)} it is {words}"
    return [Warned(note) if len(counts) > 1 else note]


def _taken_for(key: str, name: str, alike: Sequence[_Entry]) -> list[str]:
    """Return a warning on the subjects whose files do not name a contrast that those of others do."""
    lacking = listed_in_order({f"sub-{entry.subject}" for entry in alike if not entry.names})
    return (
        [Warned(f"{key} is taken for {name} in {lacking} too, whose files do not say so")] if lacking != "none" else []
    )


def _file_names(entries: Iterable[_Entry]) -> str:
    """Return the names of the files that name contrasts, without their folders."""
    names = (source.name for entry in entries if entry.names and entry.program for source in entry.program.sources)
    return " and ".join(dict.fromkeys(names))


def _disagreement(key: str, entries: Sequence[_Entry], counts: Mapping[str, int]) -> str:
    """Return the message for files that call a contrast differently, with whose they are."""
    rows = []
    for name, n_maps in counts.items():
        subjects = {f"sub-{entry.subject}" for entry in entries if entry.names and " ".join(entry.names) == name}
        rows.append(f"{name}: {n_maps} ({listed_in_order(subjects, SHOWN_NAMES)})")
    return (
        f"The files {_file_names(entries)} do not agree on what {key} is:\n{indented(rows)}\n"
        f"If it is the same contrast, name it: --condition NAME={key}. If not, the subjects' contrasts are numbered "
        "differently: leave out or analyse again those that differ, or list their maps in the table by hand."
    )


def _row(entry: _Entry, condition: str, start: Path) -> dict[str, str]:
    """Return a row of the table."""
    labels = entry.match.labels
    run = labels.get("run", "")
    if run and not run.isdecimal():
        raise DataError(
            f'{entry.match.path}: {{run}} stands for "{run}", expected a number. Write what is not part of it beside '
            "the placeholder, as in run{run}."
        )
    path = os.path.relpath(os.path.abspath(entry.match.path), os.path.realpath(start))  # noqa: PTH100 - links stay links
    if NOT_UTF8.search(path):
        shown = os.fsencode(path).decode(errors="backslashreplace")
        raise DataError(f"{shown}: the name is not UTF-8, and no table can hold it. Rename it, or use a link.")
    return {
        "participant_id": f"sub-{entry.subject}",
        "condition": condition,
        "session": labels.get("session", ""),
        "run": run,
        "volume": entry.volume,
        "path": Path(path).as_posix(),
    }


def _check_once(rows: Sequence[tuple[Mapping[str, str], _Entry]]) -> None:
    """Raise DataError if a subject has several maps of a condition."""
    cells: dict[tuple[str, ...], list[_Entry]] = {}
    for row, entry in rows:
        cells.setdefault(tuple(row[c] for c in ("participant_id", "condition", "session", "run")), []).append(entry)
    repeated = {cell: entries for cell, entries in cells.items() if len(entries) > 1}
    if not repeated:
        return
    cell, entries = next(iter(repeated.items()))
    files = [f"{entry.match.path}{f', {entry.volume}' if entry.volume else ''}" for entry in entries]
    raise DataError(
        f"{cell[0]} has {len(entries)} maps of {' '.join(filter(None, cell[1:]))} where one is expected; pairs of "
        f"subject and condition like this: {len(repeated)}:\n{indented(files)}\n"
        "Narrow the pattern; write {session} or {run} where these differ; or name maps of different contrasts by "
        "--condition NAME=FILE."
    )


def _summary(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Return how many maps there are, and who lacks which condition."""
    subjects = list(dict.fromkeys(row["participant_id"] for row in rows))
    conditions = list(dict.fromkeys(row["condition"] for row in rows))
    present = {(row["participant_id"], row["condition"]) for row in rows}
    lacking = {s: missing for s in subjects if (missing := [c for c in conditions if (s, c) not in present])}
    notes = [f"{len(rows)} maps of {len(subjects)} subjects; conditions: {listed(conditions)}"]
    if lacking:
        words = [f"{subject} ({listed(missing, SHOWN_NAMES)})" for subject, missing in lacking.items()]
        notes.append(Warned(f"without a map: {listed(words)}"))
    return notes


def _written(rows: Sequence[Mapping[str, str]]) -> str:
    """Return the table as text, without the optional columns that no row needs."""
    optional: Callable[[str], bool] = lambda column: any(row[column] for row in rows)  # noqa: E731
    columns = [c for c in rows[0] if c in ("participant_id", "condition", "path") or optional(c)]
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([row[c] or "n/a" for c in columns] for row in rows)
    return text.getvalue()
