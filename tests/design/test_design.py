"""The tutorial's 144 x 25 matrix, its contrasts, and those made from factors."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_app.console.text import file_label
from bids_app.design.build import build_design
from bids_app.design.contrasts import Contrast, in_words
from bids_app.design.design import Design
from bids_app.errors import DataError, ModelError
from bids_app.inputs.choose_and_order_maps import InputMaps
from bids_app.inputs.columns import Participants
from bids_app.model.settings import FactorSettings, GroupLevelSettings
from bids_app.model.specification import ContrastSpec, NodeSpec
from bids_app.permutation.checkpoints import checkpoint_path
from bids_app.results.folder import NodeFolder

CONDITIONS = tuple(p + s for s in ("FF", "UF", "SF") for p in ("Ini", "Imm", "Del"))
FACTORS = (
    FactorSettings(name="stimulus", levels=("FF", "UF", "SF")),
    FactorSettings(name="presentation", levels=("Ini", "Imm", "Del")),
)


def inputs(n_subjects: int = 16, conditions: tuple[str, ...] = CONDITIONS) -> InputMaps:
    """A complete study, without files."""
    subjects = tuple(f"{s:02}" for s in range(1, n_subjects + 1))
    rows = [(subject, condition, ()) for subject in subjects for condition in conditions]
    table = pd.DataFrame(rows, columns=["subject", "condition", "paths"])
    return InputMaps(table, subjects, conditions, pd.DataFrame(), {}, (), {}, ())


def node(*contrasts: ContrastSpec, subject: bool = True, **settings: object) -> NodeSpec:
    """The tutorial's node."""
    block = GroupLevelSettings.model_validate(
        {
            "Factors": [f.model_dump(by_alias=True) for f in FACTORS],
            "CellName": "{presentation}{stimulus}",
            **settings,
        }
    )
    return NodeSpec("anova", CONDITIONS, subject, contrasts, block)


def spec(
    name: str, weights: list[list[float]], test: str = "t", conditions: tuple[str, ...] = CONDITIONS
) -> ContrastSpec:
    """An explicit contrast."""
    sided = "two" if test == "t" else "positive"
    return ContrastSpec(name, test, conditions, tuple(map(tuple, weights)), sided, "Nodes[0].Contrasts[0]")


def only(design: Design, name: str) -> Contrast:
    """The contrast of that name."""
    (found,) = (contrast for contrast in design.contrasts if contrast.name == name)
    return found


def test_the_tutorials_matrix() -> None:
    """144 maps, 9 conditions and 16 subjects: 25 columns of rank 24; each row one condition and one subject."""
    design = build_design(inputs(), node())
    assert design.matrix.shape == (144, 25)
    assert design.rank == 24
    assert design.df_between == 15
    assert design.regressors[:10] == (*CONDITIONS, "sub-01")
    assert np.all(design.matrix[:, :9].sum(1) == 1)
    assert np.all(design.matrix[:, 9:].sum(1) == 1)
    # row 21 is the third subject's fourth condition
    assert np.flatnonzero(design.matrix[21]).tolist() == [3, 11]


def test_without_subject_in_x_the_matrix_has_none_and_a_note_says_what_it_means() -> None:
    """The statistics are the same either way."""
    design = build_design(inputs(), node(subject=False))
    assert design.matrix.shape == (144, 9)
    assert any("repeated measures" in note for note in design.notes)


def test_effects_are_all_main_effects_and_the_interaction() -> None:
    """Their rank, and that they span what they should: the projectors of the textbook."""
    design = build_design(inputs(), node())
    assert [(c.name, c.label, c.rank) for c in design.contrasts] == [
        ("stimulus", "stimulus", 2),
        ("presentation", "presentation", 2),
        ("stimulus:presentation", "stimulusByPresentation", 4),
    ]
    mean = np.full((3, 3), 1 / 3)
    centre = np.eye(3) - mean
    projectors = {
        "stimulus": np.kron(centre, mean),
        "presentation": np.kron(mean, centre),
        "stimulus:presentation": np.kron(centre, centre),
    }
    for name, projector in projectors.items():
        within = only(design, name).within
        assert within.T @ within == pytest.approx(projector, abs=1e-12)
        assert only(design, name).test == "F"
        assert only(design, name).generated


def test_effects_do_not_hang_on_the_order_of_x() -> None:
    """Conditions shuffled in X: the weights follow their names."""
    order = tuple(np.random.default_rng(0).permutation(CONDITIONS))
    plain = replace(node(), conditions=order)
    design = build_design(inputs(conditions=order), plain)
    within = only(design, "stimulus").within
    faces = [order.index(c) for c in CONDITIONS]
    mean = np.full((3, 3), 1 / 3)
    assert (within.T @ within)[np.ix_(faces, faces)] == pytest.approx(np.kron(np.eye(3) - mean, mean), abs=1e-12)


def test_explicit_contrasts_win_on_a_name_clash() -> None:
    """The user's own "stimulus" replaces the generated one."""
    own = spec("stimulus", [[1, 1, 1, -1, -1, -1, 0, 0, 0]], "F")
    design = build_design(inputs(), node(own))
    assert only(design, "stimulus").rank == 1
    assert [c.name for c in design.contrasts] == ["stimulus", "presentation", "stimulus:presentation"]


def test_the_tutorials_contrasts() -> None:
    """FacesScrambled keeps its units and sign; the two-row interaction F has rank 2."""
    faces = spec("FacesScrambled", [[1 / 6] * 6 + [-1 / 3] * 3])
    rows = [np.kron([0.5, 0.5, -1], [1, -1, 0]).tolist(), np.kron([1, -1, 0], [1, -1, 0]).tolist()]
    interaction = spec("Stimulus X Immediate Repetition", rows, "F")
    design = build_design(inputs(), node(faces, interaction))
    contrast = only(design, "FacesScrambled")
    assert contrast.cell_weights[0].tolist() == pytest.approx([1 / 6] * 6 + [-1 / 3] * 3)
    assert contrast.weights.shape == (1, 25)
    assert not contrast.weights[0, 9:].any()
    assert contrast.within[0] @ contrast.cell_weights[0] > 0
    other = only(design, "Stimulus X Immediate Repetition")
    assert other.label == "StimulusXImmediateRepetition"
    assert other.rank == 2


def test_weights_follow_the_names_of_the_condition_list() -> None:
    """A list in another order than X, over some of its conditions."""
    design = build_design(inputs(), node(spec("c", [[-1, 1]], conditions=("DelSF", "IniFF"))))
    weights = only(design, "c").cell_weights[0]
    assert weights.tolist() == [1, 0, 0, 0, 0, 0, 0, 0, -1]
    assert only(design, "c").formula == "IniFF minus DelSF"


def test_dependent_rows_are_refused_with_their_place() -> None:
    """The third row is the sum of the first two."""
    rows = [[1, -1, 0], [0, 1, -1], [1, 0, -1]]
    with pytest.raises(ModelError, match=r"Nodes\[0\]\.Contrasts\[0\] \(dependent\).*3 rows.*rank 2"):
        build_design(inputs(), node(spec("dependent", rows, "F", CONDITIONS[:3])))


@pytest.mark.parametrize("weights", [[0.333, 0.333, -0.667], [0.333, 0.333, 0.333, -0.3333, -0.3333, -0.3333]])
def test_rounded_weights_that_nearly_sum_to_zero_are_refused(weights: list[float]) -> None:
    """They would test the baseline; a mean, or a difference exact to rounding, passes."""
    with pytest.raises(ModelError, match="neither zero nor a mean"):
        build_design(inputs(), node(spec("rounded", [weights], conditions=CONDITIONS[: len(weights)])))
    fine = [1 / 3, 1 / 3, 1 / 3, -1 / 3, -1 / 3, -1 / 3]
    build_design(inputs(), node(spec("fine", [fine], conditions=CONDITIONS[:6])))


@pytest.mark.parametrize("scale", [1e-12, 1e-10, 1.0, 1e12])
def test_the_scale_of_weights_decides_nothing(scale: float) -> None:
    """[1, 0.5] is a mean at any scale, [1, -1] a difference, [1, -0.995] neither; M is that of the weights."""
    two = CONDITIONS[:2]
    mean = only(build_design(inputs(), node(spec("mean", [[scale, 0.5 * scale]], conditions=two))), "mean")
    assert not mean.sums_to_zero
    assert mean.within[0, :2] == pytest.approx([2 / 5**0.5, 1 / 5**0.5])
    difference = only(build_design(inputs(), node(spec("d", [[scale, -scale]], conditions=two))), "d")
    assert difference.sums_to_zero
    assert " minus " in difference.formula
    assert difference.within[0, :2] == pytest.approx([0.5**0.5, -(0.5**0.5)])
    with pytest.raises(ModelError, match="neither zero nor a mean"):
        build_design(inputs(), node(spec("off", [[scale, -0.995 * scale]], conditions=two)))


@pytest.mark.parametrize("size", [1e308, 1e-320, 1e101])
def test_weights_of_no_size_are_refused(size: float) -> None:
    """Their squares are no numbers."""
    with pytest.raises(ModelError, match="any scale from 1e-100 to 1e100"):
        build_design(inputs(), node(spec("c", [[size, -size]], conditions=CONDITIONS[:2])))


def test_pooled_error_only_where_the_weights_sum_to_zero() -> None:
    """A mean against the baseline takes its own error, and the log names it; sphericity is for partitioned F alone."""
    mean = spec("IniFF", [[1]], conditions=("IniFF",))
    faces = spec("Faces", [[1 / 6] * 6 + [-1 / 3] * 3])
    pooled = build_design(inputs(), node(mean, faces, ErrorTerm="pooled"))
    assert only(pooled, "IniFF").error_term == "partitioned"
    assert only(pooled, "Faces").error_term == "pooled"
    assert only(pooled, "stimulus").error_term == "pooled"
    assert only(pooled, "stimulus").sphericity == "none"
    assert any("IniFF" in note and "own error" in note for note in pooled.notes)
    own = build_design(inputs(), node(mean, faces))
    assert only(own, "stimulus").sphericity == "greenhouse-geisser"
    assert only(own, "Faces").sphericity == "none"


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("stimulus:presentation", "stimulusByPresentation"),
        ("Stimulus X Immediate Repetition", "StimulusXImmediateRepetition"),
        ("FF > SF", "FFSF"),
        ("a_b-c", "aBC"),
        ("Gesichter größer", "GesichterGrEr"),
    ],
)
def test_labels_drop_what_bids_forbids(name: str, label: str) -> None:
    """Letters after a gap are raised; a colon is read as By."""
    assert file_label(name) == label


@pytest.mark.parametrize(
    ("names", "message"), [(("A > B", "A<B"), "share the file label"), (("ab", "AB"), "ab"), (("顔",), "顔")]
)
def test_labels_that_collide_or_vanish_are_errors(names: tuple[str, ...], message: str) -> None:
    """Two names for one file, also where only case differs, and a name without a Latin letter."""
    contrasts = [spec(name, [[1, -1]], conditions=CONDITIONS[:2]) for name in names]
    with pytest.raises(ModelError, match=message):
        build_design(inputs(), node(*contrasts))


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([1 / 2, 1 / 2, -1], "mean of A, B minus C"),
        ([0, 0, 1], "C"),
        ([0, -1, 0], "minus B"),
        ([1, 1, 1], "(A + B + C)"),
        ([2, 0, -2], "2 A minus 2 C"),
        ([0.5, 0.5, 1], "(0.5 A + 0.5 B + C)"),
        ([0.25, 0.75, -1], "(0.25 A + 0.75 B) minus C"),
    ],
)
def test_weights_in_words(weights: list[float], words: str) -> None:
    """What a reader of the report sees."""
    assert in_words(np.array(weights), ["A", "B", "C"]) == words


def test_blocks_are_those_of_the_subjects_whatever_the_order_of_the_table() -> None:
    """Four subjects in a table of five; the log has the file, the sizes, and who has no maps."""
    table = pd.DataFrame({"family": ["z", "y", "x", "z", "z"]}, index=["9", "04", "03", "02", "01"], dtype=object)
    participants = Participants(Path("participants.tsv"), table)
    block = {"ExchangeabilityBlocks": "family"}
    design = build_design(inputs(4), node(Permutation=block), participants)
    assert design.blocks == ("z", "z", "x", "y")
    note, rest = design.notes
    assert 'column "family" of participants.tsv, 3 in all (2 of 1 subject, 1 of 2 subjects)' in note
    assert "sign-flips act on whole blocks" in note
    assert rest == "in participants.tsv but not in this analysis: 9"
    singly = build_design(inputs(4), node(Permutation={**block, "FlipBlocks": False}), participants)
    assert "sign-flips act on single subjects" in singly.notes[0]
    assert build_design(inputs(4), node(Permutation=None), participants).blocks == ()
    with pytest.raises(ValueError, match="expected the table of the participants"):
        build_design(inputs(4), node(Permutation=block))
    with pytest.raises(DataError, match="no row for sub-05"):
        build_design(inputs(5), node(Permutation=block), participants)


def test_blocks_that_look_alike_are_refused() -> None:
    """Family 01 and family 1 would flip apart, and twins are not independent."""
    table = pd.DataFrame({"family": ["01", "2", "1", "2"]}, index=["01", "02", "03", "04"], dtype=object)
    with pytest.raises(DataError, match=r'column "family" has levels that .* same number: "01" \(1\), "1" \(1\)'):
        build_design(
            inputs(4),
            node(Permutation={"ExchangeabilityBlocks": "family"}),
            Participants(Path("participants.tsv"), table),
        )


@pytest.mark.parametrize("entities", [{}, {"task": "t" * 30, "space": "MNIInfant+2", "res": "2"}])
def test_names_too_long_for_a_file_are_refused_and_the_longest_that_fits_is_said(entities: dict[str, str]) -> None:
    """As it says; the longest file of a contrast as it is called while it is written then has 255 bytes at most."""
    maps = replace(inputs(4), entities=entities)
    row = [[1.0, -1, 0, 0, 0, 0, 0, 0, 0]]
    with pytest.raises(ModelError, match=r"the contrast .* is too long .* it has 300 letters") as caught:
        build_design(maps, node(spec("x" * 300, row)))
    fits = int(re.findall(r"and (\d+) fit", str(caught.value))[0])
    label = only(build_design(maps, node(spec("x" * fits, row))), "x" * fits).label
    with pytest.raises(ModelError, match="too long"):
        build_design(maps, node(spec("x" * (fits + 1), row)))
    folder = NodeFolder(Path("out"), "anova", entities)
    longest = folder.file(f"contrast-{label}_stat-t_desc-clusterMassFWEThresh_statmap.nii.gz").name
    assert len(f".{longest}.4194304.part".encode()) <= 255
    checkpoint = checkpoint_path(Path(), "anova", label).name
    assert len(f".{checkpoint}.{'0' * 8}.part") <= 255


def test_long_names_of_nodes_and_conditions_are_refused() -> None:
    """And of groups, which stand beside a condition; a node of no letter has no folder."""
    for name, message in (("n" * 121, "the node .* 121 letters and digits, and 120 fit"), ("..", "no Latin letter")):
        with pytest.raises(ModelError, match=message):
            build_design(inputs(4), replace(node(), name=name))
    long = tuple(f"{'c' * 200}{number}" for number in range(2))
    plain = NodeSpec("n", long, True, (), GroupLevelSettings())  # noqa: FBT003
    with pytest.raises(ModelError, match=r"the condition .* is too long"):
        build_design(inputs(4, long), plain)


def test_conditions_that_differ_in_case_only_do_not_share_a_file() -> None:
    """One model for each condition: slopeInA of a and of A would be one file."""
    one = ContrastSpec("slope", "t", (), (), "two", "Nodes[0]", ("1",), ((1.0,),))
    per_condition = replace(node(one), conditions=(), per_condition=True, settings=GroupLevelSettings())
    with pytest.raises(ModelError, match='"slopeInA" and "slopeInA" would share'):
        build_design(inputs(4, ("a", "A")), per_condition)


def test_values_check_their_shapes() -> None:
    """A matrix with a row too many, a basis that is not orthonormal."""
    design = build_design(inputs(), node())
    with pytest.raises(ValueError, match="design matrix"):
        Design(np.ones((145, 25)), design.regressors, design.subjects, design.cells, design.between, ("i",), ())
    with pytest.raises(ValueError, match="2 block labels"):
        replace(design, blocks=("a", "b"))
    with pytest.raises(ValueError, match="orthonormal"):
        Contrast(
            "c",
            "c",
            "t",
            "two",
            np.ones((1, 2)),
            np.ones((1, 2)),
            np.ones((1, 2)),
            np.ones((1, 1)),
            "pooled",
            "none",
        )
