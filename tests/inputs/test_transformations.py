"""Transformations of participants' columns against pybids' own, one instruction after the other on the same numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bids.modeling import transformations as pybids
from bids.variables import SimpleVariable
from bids.variables.collections import BIDSVariableCollection

from bids_app.errors import DataError, ModelError, Warned
from bids_app.inputs.columns import Participants
from bids_app.inputs.transformations import Transformed, transform
from bids_app.model.read_transformations import read_transformations

SUBJECTS = ("01", "02", "03", "04", "05", "06")
TABLE: dict[str, list[object]] = {
    "sex": ["M", "F", "F", "M", "F", "M"],
    "site": ["b", "a", "c", "a", "b", "c"],
    "code": [10, 2, 2, 10, 1, 1],
    "age": [23, 31.5, 28, 40, 37, 22],
    "iq": [101, 99, 120, 87, 94.5, 111],
    "gap": [1.5, None, 4, 2, None, 9],
    "flat": [7, 7, 7, 7, 7, 7],
    "flat gap": [7, None, 7, 7, 7, 7],
    "dx.2020": ["p", "c", "p", "c", "p", "c"],
}

Instructions = Sequence[dict[str, Any]]


def participants(**changes: list[object]) -> Participants:
    texts = {
        name: [None if value is None else str(value) for value in values] for name, values in (TABLE | changes).items()
    }
    return Participants(Path("participants.tsv"), pd.DataFrame(texts, index=pd.Index(SUBJECTS), dtype=object))


def ours(*instructions: dict[str, Any], table: Participants | None = None) -> Transformed:
    read = read_transformations({"Transformer": "pybids-transforms-v1", "Instructions": list(instructions)}, "T")
    return transform(table or participants(), read, SUBJECTS)


def theirs(*instructions: dict[str, Any]) -> dict[str, list[Any]]:
    """The columns of a collection of pybids after the same instructions."""
    columns = [
        SimpleVariable(name, pd.DataFrame({"amplitude": values, "subject": SUBJECTS}), "participants")
        for name, values in TABLE.items()
    ]
    collection = BIDSVariableCollection(columns)
    for instruction in instructions:
        keys = {"RefLevel": "ref_level", "ReplaceNA": "replace_na", "OutputPrefix": "output_prefix"}
        keys |= {"OutputSuffix": "output_suffix"}
        options = {
            keys.get(key, key.lower()): value for key, value in instruction.items() if key not in ("Name", "Input")
        }
        getattr(pybids, instruction["Name"])(collection, instruction["Input"], **options)
    return {name: list(variable.values) for name, variable in collection.variables.items()}


def column(done: Transformed, name: str) -> list[Any]:
    return [done.participants.table[name][subject] for subject in SUBJECTS]


SAME: list[Instructions] = [
    [{"Name": "Factor", "Input": ["sex"]}],
    [{"Name": "Factor", "Input": "site", "Constraint": "drop_one"}],
    [{"Name": "Factor", "Input": ["site"], "Constraint": "drop_one", "RefLevel": "b"}],
    [{"Name": "Factor", "Input": ["site"], "RefLevel": "c"}],  # which pybids drops, whatever the constraint
    [{"Name": "Factor", "Input": ["sex", "site"], "Sep": "_"}],
    [{"Name": "Factor", "Input": ["dx.2020"]}],
    [{"Name": "Factor", "Input": ["code"], "Constraint": "drop_one"}],  # 1 is the least level, not 10
    [{"Name": "Factor", "Input": ["flat"], "Constraint": "drop_one"}],  # a single level stays
    [{"Name": "Scale", "Input": ["age", "iq"]}],
    [{"Name": "Scale", "Input": ["age"], "Output": ["z"]}],
    [{"Name": "Scale", "Input": ["age"], "Demean": False}],
    [{"Name": "Scale", "Input": ["age"], "Rescale": False}],
    [{"Name": "Scale", "Input": ["age"], "Demean": False, "Rescale": False}],
    [{"Name": "Scale", "Input": ["gap"]}],
    [{"Name": "Scale", "Input": ["gap"], "ReplaceNA": "before"}],
    [{"Name": "Scale", "Input": ["gap"], "ReplaceNA": "after"}],
    [{"Name": "Scale", "Input": ["gap"], "Rescale": False, "ReplaceNA": "before", "OutputSuffix": "_c"}],
    [{"Name": "Scale", "Input": ["flat"], "ReplaceNA": "after"}],
    [{"Name": "Scale", "Input": ["flat gap"], "ReplaceNA": "after"}],
    [{"Name": "Demean", "Input": ["age"]}],
    [{"Name": "Demean", "Input": ["gap"], "Output": ["centred"]}],
    [{"Name": "Demean", "Input": ["flat"]}],
    [{"Name": "Scale", "Input": ["a*", "iq"], "OutputPrefix": "z_"}],
    [{"Name": "Product", "Input": ["age", "iq"], "Output": ["both"]}],
    [{"Name": "Product", "Input": ["age", "age", "iq"], "Output": "cube"}],
    [{"Name": "Rename", "Input": ["age", "sex"], "Output": ["years", "gender"]}],
    [{"Name": "Replace", "Input": ["sex"], "Replace": {"M": "male", "F": "M"}}],  # at once, not one after the other
    [{"Name": "Replace", "Input": ["sex"], "Replace": {"M": 1, "F": 0.5}, "Output": ["coded"]}],
    [
        {"Name": "Factor", "Input": ["sex"]},
        {"Name": "Demean", "Input": ["age"], "Output": ["age_c"]},
        {"Name": "Product", "Input": ["sex.M", "age_c"], "Output": ["slope"]},
        {"Name": "Scale", "Input": ["slope"]},
    ],
]  # fmt: skip


@pytest.mark.parametrize("instructions", SAME, ids=str)
def test_the_columns_are_those_that_pybids_makes(instructions: Instructions) -> None:
    """Every column that pybids has afterwards; 1e-12 is the rounding of a mean taken in another order.

    pybids replaces a column by its indicators; here it stays, as what names in X may mean.
    """
    done, expected = ours(*instructions), theirs(*instructions)
    for name, values in expected.items():
        assert name in done.participants.table.columns
        for own, other in zip(column(done, name), values, strict=True):
            if own is None:
                assert pd.isna(other)
            elif isinstance(other, str):
                assert own == other
            else:
                assert float(own) == pytest.approx(float(other), rel=1e-12, abs=1e-12)
    assert {*done.participants.table.columns} - {*expected} <= {"sex", "site", "code", "dx.2020", "flat"}


def test_a_product_repeats_a_column_that_is_listed_twice() -> None:
    """By hand: age times age."""
    done = ours({"Name": "Product", "Input": ["age", "age"], "Output": ["square"]})
    assert [float(each) for each in column(done, "square")] == [float(a) ** 2 for a in TABLE["age"]]  # type: ignore[arg-type]


def test_numbers_are_over_the_subjects_analysed_and_others_have_none() -> None:
    table = participants()
    read = read_transformations({"Instructions": [{"Name": "Demean", "Input": ["age"]}]}, "T")
    done = transform(table, read, ("04", "01"))
    assert done.participants.table["age"].tolist() == ["-8.5", None, None, "8.5", None, None]
    assert done.subjects == ("04", "01")
    (note,) = done.notes
    assert "minus its mean 31.5, over the 2 subjects analysed" in note


def test_what_is_computed_and_what_is_a_factor_is_told() -> None:
    """Rename and Replace keep what a column is."""
    done = ours(
        {"Name": "Factor", "Input": ["code", "sex"], "Sep": "_"},
        {"Name": "Scale", "Input": ["age"]},
        {"Name": "Rename", "Input": ["age", "code", "iq"], "Output": ["z", "wave", "points"]},
        {"Name": "Replace", "Input": ["sex_M"], "Replace": {"1": -1}},
        {"Name": "Replace", "Input": ["site"], "Replace": {"a": "A"}, "Output": ["place"]},
    )
    assert done.computed == {"code_1", "code_2", "code_10", "sex_F", "sex_M", "z"}
    assert done.factors == {"wave", "sex"}


def test_missing_values_that_become_zero_are_warned_of() -> None:
    done = ours({"Name": "Scale", "Input": ["gap"], "ReplaceNA": "before"})
    assert [note for note in done.notes if isinstance(note, Warned)] == [
        "T.Instructions[0]: 2 missing values of gap are 0, before scaling"
    ]


def test_replace_says_what_it_does_not_find_and_makes_no_level_of_a_missing_value() -> None:
    done = ours({"Name": "Replace", "Input": ["sex"], "Replace": {"F": "n/a", "Male": "M", "1_0": "x"}})
    assert column(done, "sex") == ["M", None, None, "M", None, "M"]
    assert 'no subject has "Male", "1_0" in sex' in done.notes[0]
    assert isinstance(done.notes[0], Warned)
    done = ours({"Name": "Replace", "Input": ["code"], "Replace": {"1_0": "x", "2.0": "two"}})
    assert column(done, "code") == ["10", "two", "two", "10", "1", "1"]


def test_a_column_that_is_replaced_on_the_way_is_warned_of() -> None:
    done = ours({"Name": "Demean", "Input": ["age"], "Output": ["iq"]})
    assert any(isinstance(note, Warned) and "the column iq of the table is replaced" in note for note in done.notes)
    assert done.computed == {"iq"}


QUERIES = [
    "age > 28",
    "age >= 28 and sex == 'F'",
    "age >= 28 & sex == 'F'",
    "age < 25 | sex == 'F'",
    "not (age > 28) or iq == 120",
    "24 < age <= 37",
    "sex in ['F', 'X']",
    "sex not in ['F']",
    "code in [1, 10.0]",
    "code != 2",
    "age < iq",
    "gap > 1",
    "gap != 4",
    "gap == gap",
    "not (gap > 1)",
    "gap not in [4, 9]",
    "sex != 'F' and gap != 2",
    "age > -1 and iq > 90",
]


@pytest.mark.parametrize("query", QUERIES)
def test_a_filter_keeps_the_rows_that_pandas_keeps(query: str) -> None:
    frame = pd.DataFrame(TABLE, index=pd.Index(SUBJECTS))
    expected = tuple(frame.query(query).index)
    done = ours({"Name": "Filter", "Input": ["age"], "Query": query, "By": ["sex", "iq", "code", "gap"]})
    assert done.subjects == expected
    lost = [subject for subject in SUBJECTS if subject not in expected]
    if lost:
        assert isinstance(done.notes[-1], Warned)
    assert all(f"sub-{subject}" in done.notes[-1] for subject in lost)
    pd.testing.assert_frame_equal(done.participants.table, participants().table)


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("dx.2020 == 'p'", ("01", "03", "05")),
        ("`dx.2020` != 'p'", ("02", "04", "06")),
        ("dx.2020 == 'p' and dx_2020 != 'a'", ("01", "05")),  # pybids reads both as the same column
        ("site != 'A&B' and dx.2020 == 'p'", ("01", "05")),  # & in a text is no "and"
        ("site == \"A&B\" or site == 'x or y'", ("03", "04")),
        ("`1` > 1 and `1` < 6", ("02", "03", "04", "05")),
        ("`1` > 1", ("02", "03", "04", "05", "06")),
        ("größe in ['ß', 'ﬁ']", ("01", "02")),
        ("a > b == 'y'", ("02", "03", "04")),
        ("`and` == 1 and not `and` > 1", ("01", "02", "03")),
        ("  `1` > 1", ("02", "03", "04", "05", "06")),
    ],
)
def test_a_filter_reads_odd_names_and_texts_as_they_stand(query: str, kept: tuple[str, ...]) -> None:
    """By hand."""
    table = participants(
        **{
            "dx_2020": ["b", "b", "a", "b", "b", "b"],
            "site": ["a", "b", "A&B", "x or y", "c", "A"],
            "1": [1, 2, 3, 4, 5, 6],
            "größe": ["ß", "ﬁ", "fi", "ss", "SS", "x"],
            "a > b": ["x", "y", "y", "y", "x", "x"],
            "a": [9, 9, 9, 9, 9, 9],
            "and": [1, 1, 1, 2, 2, 2],
        }
    )
    by = ["dx_2020", "site", "1", "größe", "a > b", "a", "and"]
    done = ours({"Name": "Filter", "Input": ["dx.2020"], "Query": query, "By": by}, table=table)
    assert done.subjects == kept


ATTACKS = [
    "__import__('os').system('touch /tmp/x')",
    "age.__class__ == 1",
    "age > 1 and (lambda: 1)()",
    "[x for x in (1,)] == 1",
    "age > (1).bit_length()",
    "exec('1') == 1",
    "age[0] == 1",
    "f'{age}' == '1'",
    "(y := age) > 1",
    "age > 1 if sex else 2",
    "age > 10**400",
    "age > " + "9" * 5000,
    "age in {[]: 1}",
    "age == {}",
    "age == {1: 2}",
    "age == True",
    "age == None",
    "age == b'1'",
    "age == 1j",
    "age is 1",
    "age > 1 +",
    "age = 1",
    "age > 1; age < 2",
    "age\x00 > 1",
    "(" * 300 + "age" + ")" * 300 + " > 1",
    "not " * 5000 + "age > 1",
    "-" * 1900 + "1 < age",
    "age > @limit",
    "~(age > 1)",
    "age",
    "",
    "age > height",
    "sex == M",
    "sex in 'FM'",
    "'M' in sex",
    "sex in sex",
    "['M'] == sex",
    "sex == ['M']",
    "sex == 1",
    "sex != 1",
    "age != '23'",
    "age in ['23']",
    "age in [23, 'x']",
    "sex > 1",
    "column_0_ > height",
]


@pytest.mark.parametrize("query", ATTACKS, ids=lambda query: query[:30])
def test_a_query_that_is_more_than_a_comparison_is_refused(query: str) -> None:
    """By name of the place, and nothing in it is run; a comparison of number and text would keep all or none."""
    with pytest.raises(ModelError, match=r"T\.Instructions\[0\]\.Query: "):
        ours({"Name": "Filter", "Input": ["age"], "Query": query, "By": "sex"})


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"Name": "Convolve", "Input": ["age"]}, 'T.Instructions[0].Name: "Convolve" is not supported at'),
    ({"Name": ["Scale"], "Input": ["age"]}, 'T.Instructions[0].Name: ["Scale"] is not supported'),
    ({"Input": ["age"]}, "T.Instructions[0].Name: null is not supported"),
    ({"Name": "scale", "Input": ["age"]}, 'did you mean "Scale"?'),
    ({"Name": "Scale", "Input": ["age"], "Rescael": True}, 'Scale has no key "Rescael"; did you mean "Rescale"?'),
    ({"Name": "Scale"}, "T.Instructions[0].Input: expected the name of a column, or a list of names; found null"),
    ({"Name": "Scale", "Input": []}, "found []"),
    ({"Name": "Scale", "Input": ["age", 1]}, 'found ["age", 1]'),
    ({"Name": "Scale", "Input": ["age"], "Demean": "false"}, 'Demean: expected true or false; found "false"'),
    ({"Name": "Scale", "Input": ["age"], "Rescale": [True]}, "Rescale: expected true or false; found [true]"),
    ({"Name": "Scale", "Input": ["age"], "ReplaceNA": "mean"}, 'ReplaceNA: expected "off", "before" or "after"'),
    ({"Name": "Scale", "Input": ["age"], "Output": ["a", "b"]}, 'Output: expected 1 name; found ["a", "b"]'),
    ({"Name": "Scale", "Input": ["age", "iq"], "Output": ["a", "a"]}, 'Output: "a" is listed twice'),
    ({"Name": "Scale", "Input": ["age"], "Output": 3}, "Output: expected a name, or a list of names; found 3"),
    ({"Name": "Scale", "Input": ["age"], "OutputSuffix": 3}, "OutputSuffix: expected a text; found 3"),
    ({"Name": "Scale", "Input": ["a*", "i*"], "Output": ["a"]}, "Output: expected a name for each of age, iq; found a"),
    ({"Name": "Scale", "Input": ["age"], "Output": ["1"]}, 'Output: "1" means something else in X'),
    ({"Name": "Scale", "Input": ["age"], "Output": ["subject"]}, '"subject" means something else in X'),
    ({"Name": "Scale", "Input": ["flat"]}, '"flat" is 7 for all 6 subjects analysed, and a constant cannot be scaled'),
    ({"Name": "Scale", "Input": ["flat gap"], "ReplaceNA": "before"}, "a constant cannot be scaled"),
    ({"Name": "Scale", "Input": ["flat"], "ReplaceNA": "after", "Demean": False}, "a constant cannot be scaled"),
    ({"Name": "Scale", "Input": ["sex"]}, 'Scale needs numbers, and the column "sex" holds text; turn it into'),
    ({"Name": "Scale", "Input": ["weight"]}, 'Input: participants.tsv has no column "weight", nor does an earlier'),
    ({"Name": "Scale", "Input": ["w*"]}, 'has no column "w*"'),
    ({"Name": "Scale", "Input": ["agee"]}, 'did you mean "age"?'),
    ({"Name": "Demean", "Input": ["empty"]}, '"empty" is n/a for all 6 subjects'),
    ({"Name": "Demean", "Input": ["typo"]}, '"typo" holds text where a number is needed: sub-02 ("2o")'),
    ({"Name": "Product", "Input": ["age", "iq"]}, "Product needs Output, the name of the new column"),
    ({"Name": "Product", "Input": ["age"], "OutputPrefix": "z"}, "Product needs Output"),
    ({"Name": "Product", "Input": ["age", "iq"], "Output": ["a", "b"]}, "Output: expected 1 name"),
    ({"Name": "Product", "Input": ["age", "sex"], "Output": ["a"]}, 'Product needs numbers, and the column "sex"'),
    ({"Name": "Product", "Input": ["age", "gap"], "Output": ["a"]}, '"gap" has no value for sub-02, sub-05'),
    ({"Name": "Rename", "Input": ["age"]}, "Rename needs Output"),
    ({"Name": "Replace", "Input": ["sex"]}, "Replace: expected an object of old and new values"),
    ({"Name": "Replace", "Input": ["sex"], "Replace": {"M": ["m"]}}, 'Replace.M: expected a text or a number; found'),
    ({"Name": "Replace", "Input": ["sex"], "Replace": {}, "Attribute": "onset"}, 'Attribute: expected "value"'),
    ({"Name": "Factor", "Input": ["sex"], "Constraint": "mean_zero"}, 'Constraint: expected "none" or "drop_one"'),
    ({"Name": "Factor", "Input": ["sex"], "Sep": 1}, "Sep: expected a text; found 1"),
    ({"Name": "Factor", "Input": ["sex"], "RefLevel": ["M"]}, 'RefLevel: expected one level; found ["M"]'),
    ({"Name": "Factor", "Input": ["sex"], "RefLevel": "m"}, 'RefLevel: "sex" has no level "m"; did you mean "M"?'),
    ({"Name": "Factor", "Input": ["sex"], "Output": ["s"]}, "Output: Factor takes none: its columns are named"),
    ({"Name": "Factor", "Input": ["gap"]}, '"gap" has no value for sub-02, sub-05'),
    ({"Name": "Factor", "Input": ["case"]}, 'levels that differ only in case or spaces, or are the same number'),
    ({"Name": "Filter", "Input": ["age"]}, 'Query: expected a text such as "age > 18"; found null'),
    ({"Name": "Filter", "Input": ["age"], "Query": "age > 1", "Output": ["x"]}, "Output: Filter takes none"),
    ({"Name": "Filter", "Input": ["age"], "Query": "age > 1", "By": 3}, "By: expected the name of a column"),
    ({"Name": "Filter", "Input": ["age"], "Query": "x > 1", "By": ["x"]}, 'By: participants.tsv has no column "x"'),
    ({"Name": "Filter", "Input": ["age"], "Query": "age > 37"}, 'Query: "age > 37" holds for 1 of the 6 subjects'),
    ({"Name": "Filter", "Input": ["age"], "Query": "age > 100"}, "holds for 0 of the 6 subjects"),
]  # fmt: skip


@pytest.mark.parametrize(("instruction", "message"), WRONG, ids=[case[1][:40] for case in WRONG])
def test_what_has_no_meaning_is_refused_with_its_place(instruction: dict[str, Any], message: str) -> None:
    table = participants(empty=[None] * 6, typo=["1", "2o", "3", "4", "5", "6"], case=["M", "m", "M", "M", "M", "M"])
    with pytest.raises((ModelError, DataError)) as caught:
        ours(instruction, table=table)
    assert message in str(caught.value)


def test_a_numeric_reference_may_be_spelled_in_any_way() -> None:
    """2.0 in the model is 2 in the table."""
    done = ours({"Name": "Factor", "Input": ["code"], "RefLevel": 2.0})
    assert {"code.1", "code.10"} <= {*done.participants.table.columns}
    assert "code.2" not in done.participants.table.columns


def test_numbers_survive_the_table_to_the_last_bit() -> None:
    """They are kept as text, which reads back as the same double."""
    done = ours({"Name": "Scale", "Input": ["age"]})
    numbers = np.array(TABLE["age"], float)
    expected = (numbers - numbers.mean()) / numbers.std(ddof=1)
    assert [float(text) for text in column(done, "age")] == expected.tolist()
