"""Checks of the chosen maps: complete, of one kind, one for each subject and condition, and on disk."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bids_app.console.text import indented, listed, listed_in_order, natural
from bids_app.errors import DataError, Warned
from bids_app.inputs.filters import Filter, keep
from bids_app.inputs.naming import ImageFile, tally

# Entities that do not say what a map shows, and those whose differences are checked elsewhere.
NOT_A_KIND = frozenset({"subject", "suffix", "extension", "datatype", "scans", "fmap", "space", "res"})


def cut_list(pairs: Iterable[str]) -> str:
    """Return how labels with underscores are read, and what can be done about it."""
    readings = [f"{pair} is read as {pair.partition('-')[2].partition('_')[0]}" for pair in dict.fromkeys(pairs)]
    return (
        f"Labels end at an underscore: {listed(readings)}. Rename the files (faces_gt_houses to facesGtHouses), or "
        "list the maps in a table and give it with --maps"
    )


def check_whole(maps: Sequence[ImageFile]) -> list[str]:
    """Raise DataError if maps of a condition differ after an underscore, which is not read; otherwise return notes."""
    unread: dict[tuple[str, str], str] = {}  # key and the unread end of its label -> an example
    of_condition: dict[str | None, set[frozenset[tuple[str, str]]]] = {}
    for image in maps:
        ends = {(pair.partition("-")[0], pair.partition("_")[2]): pair for pair in image.cut_labels}
        unread |= {end: unread.get(end, pair) for end, pair in ends.items()}
        # what follows the subject's label may differ between subjects
        of_condition.setdefault(image.condition, set()).add(frozenset(end for end in ends if end[0] != "sub"))
    for condition, names in of_condition.items():
        if len(names) > 1:
            pairs = [unread[end] for end in sorted(frozenset[tuple[str, str]]().union(*names))]
            raise DataError(f"The names of the maps of {condition} do not match. {cut_list(pairs)}.")
    return [Warned(f"{cut_list(unread.values())}.")] if unread else []


def check_kinds(
    cells: Mapping[tuple[str, str], Sequence[ImageFile]],
    filters: Sequence[Filter],
    averaged: Sequence[str],
    *,
    is_table: bool,
) -> list[str]:
    """Raise DataError if subjects have maps of different kinds, not requested together; otherwise return notes.

    A table of maps requests what it lists; a filter with several labels, or any ("*"), requests these. Maps that differ
    in what is averaged may be analysed together, and notes say so.
    """
    mixed = _mixed(cells, averaged)
    requested = {each.entity for each in filters if each.values and (len(each.values) > 1 or each.values == ("*",))}
    wrong = {} if is_table else {name: images for name, images in mixed.items() if name not in {*requested, *averaged}}
    if wrong:
        rows = [f"{entity}: {tally(images, entity)}" for entity, images in wrong.items()]
        whole = {entity: ["*"] for entity, images in wrong.items() if all(image.label(entity) for image in images)}
        by_select = f'"Select": {json.dumps(whole)} in Model.Software.grouplevel uses them together' if whole else ""
        raise DataError(
            f"The maps of a condition are not of one kind for all subjects:\n{indented(rows)}\n"
            f"{' '.join(_advice(entity, images) for entity, images in wrong.items())}\n"
            f"If they belong together, {f'{by_select}, as does' if by_select else 'list them in'} a table given with "
            "--maps."
        )
    return [
        Warned(f"subjects differ in {entity} and are analysed together: {tally(images, entity)}")
        for entity, images in mixed.items()
    ]


def _mixed(cells: Mapping[tuple[str, str], Sequence[ImageFile]], averaged: Sequence[str]) -> dict[str, list[ImageFile]]:
    """Return the entities in which subjects differ within a condition, each with the maps of these conditions."""
    of_condition: dict[str, list[ImageFile]] = {}
    for (_, condition), images in cells.items():
        of_condition.setdefault(condition, []).extend(images)
    mixed: dict[str, list[ImageFile]] = {}
    for images in of_condition.values():
        differing = [*_differing(images), *(["stat"] if len({image.stat for image in images}) > 1 else [])]
        for entity in dict.fromkeys(differing):
            if entity not in NOT_A_KIND:
                mixed.setdefault(entity, []).extend(images)
    # several runs of a subject are averaged, which another note says
    is_single = all(len(runs) == 1 for runs in cells.values())
    return {entity: images for entity, images in mixed.items() if entity not in averaged or is_single}


def average_notes(cells: Mapping[tuple[str, str], Sequence[ImageFile]]) -> list[str]:
    """Return a warning on how many maps are averaged, with the subjects where that differs."""
    counts = {cell: len(images) for cell, images in cells.items()}
    if max(counts.values()) == 1:
        return []
    differ = {entity for images in cells.values() for entity in ("session", "run") if _labels(images, entity) > 1}
    what = " and ".join(f"{entity}s" for entity in ("session", "run") if entity in differ) or "maps"
    whole = [f"sub-{s}" for (s, _), images in cells.items() if all(i.label(e) is None for i in images for e in differ)]
    if differ and whole:
        return [
            Warned(
                f"{what} are averaged, but the maps of {listed_in_order(set(whole))} name none and may be combined "
                "already, by other weights. Check that all subjects have maps of one level"
            )
        ]
    if len(number := sorted(set(counts.values()))) == 1:
        return [Warned(f"{what} are averaged: {number[0]} maps per subject and condition")]
    of_number: dict[int, list[str]] = {}
    for (subject, _), count in counts.items():
        of_number.setdefault(count, []).append(f"sub-{subject}")
    tallied = "; ".join(
        f"{count} map{'s' if count > 1 else ''}: {listed_in_order(set(who))}"
        for count, who in sorted(of_number.items())
    )
    text = f"{what} are averaged: {number[0]} to {number[-1]} maps per subject and condition, all weighted alike"
    return [Warned(f"{text}. Subjects with fewer maps are noisier, which the model does not know: {tallied}")]


def _labels(images: Sequence[ImageFile], entity: str) -> int:
    """Return how many labels of an entity there are."""
    return len({image.label(entity) for image in images})


def check_shared(maps: Sequence[ImageFile], entity: str, advice: str) -> None:
    """Raise DataError for maps in more than one space or resolution."""
    if len({image.label(entity) for image in maps}) > 1:
        raise DataError(f"The maps have more than one {entity}: {tally(maps, entity)}. {advice}")


def absent_maps(
    subjects: Sequence[str], cells: Mapping[tuple[str, str], Sequence[ImageFile]]
) -> dict[str, tuple[str, ...]]:
    """Return the conditions without a map of each subject who lacks some."""
    absent: dict[str, list[str]] = {subject: [] for subject in subjects}
    for (subject, name), images in cells.items():
        if not images:
            absent[subject].append(name)
    return {subject: tuple(names) for subject, names in absent.items() if names}


def incomplete_message(
    subjects: Sequence[str],
    cells: Mapping[tuple[str, str], Sequence[ImageFile]],
    absent: Mapping[str, tuple[str, ...]],
) -> str:
    """Return the message on missing maps, with what can be done."""
    n_conditions = len(cells) // len(subjects)
    rows = [
        f"sub-{subject}: " + (f"all {n_conditions} conditions" if len(names) == n_conditions > 1 else ", ".join(names))
        for subject, names in absent.items()
    ]
    complete = [subject for subject in subjects if subject not in absent]
    n_absent, of_subjects = sum(map(len, absent.values())), f"{len(absent)} subject{'s' if len(absent) > 1 else ''}"
    return (
        f"{n_absent} map{'s' if n_absent > 1 else ''} of {of_subjects} {'are' if n_absent > 1 else 'is'} missing:\n"
        f"{indented(rows)}\n"
        'Add them; or exclude subjects from the contrasts that need their missing maps ("Missing": "drop" in '
        "Model.Software.grouplevel); or restrict the analysis to the complete subjects: "
        f"--participant-label {' '.join(complete) if complete else '(there are none)'}"
    )


def absence_notes(absent: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return a warning on the missing maps, where they are allowed."""
    by_subject = [f"sub-{subject} ({', '.join(names)})" for subject, names in absent.items()]
    n_absent = sum(map(len, absent.values()))
    return (
        [Warned(f"{n_absent} map{'s are' if n_absent > 1 else ' is'} missing: {listed(by_subject)}")] if absent else []
    )


def check_duplicates(
    cells: Mapping[tuple[str, str], Sequence[ImageFile]], averaged: Sequence[str], *, is_table: bool = False
) -> None:
    """Raise DataError if a subject and condition has several maps that differ in more than what is averaged.

    What the rows of a table stand for is what its columns say, whatever the files are called.
    """
    are_averaged = _are_averaged_rows if is_table else _are_averaged
    wrong = {cell: images for cell, images in cells.items() if len(images) > 1 and not are_averaged(images, averaged)}
    if not wrong:
        return
    if is_table:
        raise _several_rows(wrong)
    (subject, condition), images = next(iter(wrong.items()))
    first, second = _twins(images) or (images[0], images[-1])
    differing = _differing([first, second])
    if differing and first.dataset == second.dataset:
        differing = _differing(images)
        what = "; ".join(f"{entity}: {tally(images, entity)}" for entity in differing)
        advice = " ".join(_advice(e, images) for e in differing if e != "run" or differing == ["run"])
    elif first.path.parent != second.path.parent:
        what = "they are in different folders"
        advice = "Exclude one of the folders, or list the maps in a table and give it with --maps."
    else:
        what = "their names do not differ in any label"
        advice = "Rename or move one of them, or list the maps in a table and give it with --maps."
    raise DataError(
        f"sub-{subject} has {len(images)} maps of {condition} where one is expected ({what}). Pairs of "
        f"subject and condition like this: {len(wrong)}. Two of the maps:\n  {first.path}\n  {second.path}\n"
        f"{advice}"
    )


def _twins(images: Sequence[ImageFile]) -> tuple[ImageFile, ImageFile] | None:
    """Return two maps with the same name in different places; None if there are none."""
    pairs = itertools.combinations(images, 2)
    return next(((a, b) for a, b in pairs if a.dataset != b.dataset or a.entities == b.entities), None)


def _differing(images: Sequence[ImageFile]) -> list[str]:
    """Return the entities whose labels differ between the names."""
    entities = dict.fromkeys(entity for image in images for entity in image.entities if entity not in ("scans", "fmap"))
    return [entity for entity in entities if len({image.entities.get(entity) for image in images}) > 1]


def _are_averaged(images: Sequence[ImageFile], averaged: Sequence[str]) -> bool:
    """Return whether maps are runs, or sessions; a map without a label beside them may already be their mean."""
    differing = _differing(images)
    named = all(image.label(entity) is not None for image in images for entity in differing)
    numbered = "run" not in differing or all(image.entities.get("run", "").isdecimal() for image in images)
    return named and numbered and {*differing} <= {*averaged} and _twins(images) is None


def _are_averaged_rows(images: Sequence[ImageFile], averaged: Sequence[str]) -> bool:
    """Return whether rows of a table are runs, of one session unless sessions are averaged too."""
    sessions = {image.entities.get("session") for image in images}
    if len(sessions) > 1 and ("session" not in averaged or None in sessions):
        return False
    pairs = {(image.entities.get("session"), image.entities.get("run")) for image in images}
    runs = {run for _, run in pairs}
    return len(pairs) == len(images) and (runs == {None} or all(run is not None and run.isdecimal() for run in runs))


def _several_rows(wrong: Mapping[tuple[str, str], Sequence[ImageFile]]) -> DataError:
    """Return the error for several rows of a table that are not runs: they differ in the session, or lack the run."""
    (subject, condition), images = next(iter(wrong.items()))
    differing = [e for e in ("session", "run") if len({image.entities.get(e) for image in images}) > 1]
    what = "; ".join(f"{entity}: {tally(images, entity)}" for entity in differing)
    advice = (
        _advice("session", images)
        if "session" in differing
        else "Give every row of a map its run in the column run, or keep one row for each map."
    )
    return DataError(
        f"--maps: sub-{subject} has {len(images)} rows of {condition} where one is expected ({what}). Pairs of subject "
        f"and condition like this: {len(wrong)}. Two of the maps:\n  {images[0].path}\n  {images[-1].path}\n{advice}"
    )


def _advice(entity: str, images: Sequence[ImageFile]) -> str:
    """Return advice on how to keep the maps with one label of an entity."""
    labels = sorted({label for image in images if (label := image.entities.get(entity))}, key=natural)
    if entity == "session":
        condition = images[0].condition
        return (
            f"Choose one session with --session-label {labels[-1]}; or have a model for each, "
            '"GroupBy": ["contrast", "session"]; or write in Model.Software.grouplevel '
            f'"Sessions": "condition", to compare them as the conditions {condition}.{labels[0]} and so on, or '
            '"Sessions": "average".'
        )
    if entity == "task":
        return f"Choose one with --task-id {labels[-1]}."
    # A group analysis usually takes maps of the subject level rather than the run level.
    label = next((label for label in labels if "subject" in label.casefold()), labels[-1])
    text = f'Choose with "Select": {{"{entity}": ["{label}"]}} in Model.Software.grouplevel'
    if any(entity not in image.entities for image in images):
        text += f', or those without {entity} by --bids-filter-file with {{"statmap": {{"{entity}": null}}}}'
    return f"{text}."


def in_run_order(images: Sequence[ImageFile]) -> list[ImageFile]:
    """Return runs sorted by number, within sessions."""
    return sorted(images, key=lambda image: [natural(image.entities.get(entity, "")) for entity in ("session", "run")])


def check_fetched(paths: Iterable[Path]) -> None:
    """Raise DataError for dangling links: files of a dataset whose content has not been fetched."""
    dangling = [str(path) for path in paths if path.is_symlink() and not path.exists()]
    if dangling:
        raise DataError(
            f"{len(dangling)} files are links to content that has not been fetched (git-annex). "
            f"Get it with: datalad get <file>\n{indented(dangling)}"
        )


def unused_notes(kept: Sequence[ImageFile], labels: Mapping[str, str]) -> list[str]:
    """Return notes on the conditions that the model does not name."""
    unused = [image for image in kept if image.condition not in labels.values()]
    notes = [f"{len(unused)} maps of conditions not in X are not used: {tally(unused, 'condition')}"] if unused else []
    if any(image.condition == "subject" for image in unused):
        notes.append(Warned('there are maps of a condition named subject, but "subject" in X stands for the subjects'))
    return notes


def excluded_notes(maps: Sequence[ImageFile], filters: Iterable[Filter], subjects: Sequence[str]) -> list[str]:
    """Return notes on subjects whose maps are all excluded by filters: a warning unless others were requested."""
    requested = list(maps)
    for criterion in filters:
        requested = keep(requested, criterion) if criterion.entity == "subject" else requested
    wanted = {image.subject for image in requested}
    lost, others = wanted - set(subjects), {image.subject for image in maps} - wanted
    head = "subjects with maps, all excluded by the filters"
    return [
        *([f"{head}: {listed_in_order(others)}"] if others else []),
        *([Warned(f"{head}: {listed_in_order(lost)}")] if lost else []),
    ]
