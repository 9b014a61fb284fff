"""Names of contrasts and nodes as labels of files: there is one for each, and none makes a name too long."""

from __future__ import annotations

from collections.abc import Sequence

from bids_app.console.text import file_label, shown
from bids_app.design.between_subject import BetweenDesign
from bids_app.design.contrasts import Contrast
from bids_app.errors import ModelError
from bids_app.inputs.choose_and_order_maps import InputMaps
from bids_app.model.specification import NodeSpec

FILE_NAME_BYTES = 255  # of Linux, macOS and Windows alike
PART = 32  # bytes that are put around a name while the file is written, see `locks.part_name`
AFTER_LABEL = 64  # bytes kept for what follows a contrast or condition in the names of files, the longest has 48
CHECKPOINT = 64  # bytes kept for the name of a checkpoint besides the labels of node and contrast
LONGEST_NODE = 120  # which leaves a contrast some


def check_labels(contrasts: Sequence[Contrast], node: NodeSpec) -> None:
    """Every contrast needs a file name of its own, on case-insensitive disks too."""
    seen: dict[str, str] = {}
    for contrast in contrasts:
        if not contrast.label:
            raise ModelError(
                f'{node.where}: the contrast name "{contrast.name}" has no Latin letter or digit, so no file can be '
                "named after it. Give it a name with at least one."
            )
        if (other := seen.get(contrast.label.lower())) is not None:
            raise ModelError(
                f'{node.where}: contrasts "{other}" and "{contrast.name}" would share the file label '
                f'"{contrast.label}". Rename one of them.'
            )
        seen[contrast.label.lower()] = contrast.name


def check_lengths(contrasts: Sequence[Contrast], node: NodeSpec, maps: InputMaps, between: BetweenDesign) -> None:
    """Refuse names that would make the name of a file longer than a file system takes, before anything is computed.

    Files have a longer name while they are written, and a checkpoint is named after node and contrast.
    """
    node_label = file_label(node.name)
    if not node_label:
        raise ModelError(
            f'{node.where}: the node name "{node.name}" has no Latin letter or digit, so no folder can be named after '
            "it. Give it a name with at least one."
        )
    _check_length("node", node.name, LONGEST_NODE, node)
    prefix = sum(len(f"{entity}-{label}_".encode()) for entity, label in maps.entities.items())
    room = FILE_NAME_BYTES - PART - prefix
    of_contrast = min(room - len("contrast-") - AFTER_LABEL, FILE_NAME_BYTES - CHECKPOINT - len(node_label))
    for contrast in contrasts:
        _check_length("contrast", contrast.name, of_contrast, node)
    longest = max((len(file_label(group)) for group in between.groups), default=0)
    of_condition = room - len("condition-") - AFTER_LABEL - longest
    for condition in maps.conditions:
        _check_length("condition", condition, of_condition, node)


def _check_length(what: str, name: str, longest: int, node: NodeSpec) -> None:
    label = file_label(name)
    if len(label) > longest:
        raise ModelError(
            f"{node.where}: the {what} {shown(name)} is too long to name files after it: it has {len(label)} letters "
            f"and digits, and {max(longest, 0)} fit into a file name, of {FILE_NAME_BYTES} bytes, beside what else it "
            "holds. Shorten the name."
        )
