"""The model that a run keeps in its logs: what it says, and that it gives the same when it is read again."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from bids_app.cli.analyse import main
from builders.datasets import DERIVATIVE
from builders.laid_out import again, lay, same, write_study
from builders.models import Document, contrast, document, node

SUBJECT: Document = {
    "Level": "Subject",
    "Name": "subject",
    "GroupBy": ["subject", "contrast"],
    "Model": {"X": [1], "Type": "glm"},
    "DummyContrasts": {"Test": "t"},
}


SCALE = {"Name": "Scale", "Input": ["age"]}


def by_contrast(name: str, *by: str, x: tuple[object, ...] = (1,), **keys: Any) -> Document:  # noqa: ANN401
    made = node(x, name=name, group_by=["contrast", *by]) | keys
    return made if made["Contrasts"] else {key: value for key, value in made.items() if key != "Contrasts"}


def test_columns_patterns_and_parts_are_written_as_what_they_became(tmp_path: Path) -> None:
    """One node for each model, X with conditions, the block with the columns; everything else as it was."""
    made = node(["[AB]", "code", "age"], {"Sided": "positive"}, [contrast("d", "t", ["a", "B"], [1, -1])], name="n")
    made["GroupBy"] = ["group"]
    made["Transformations"] = {"Transformer": "pybids-transforms-v1", "Instructions": [SCALE]}
    settled, models = lay(write_study(tmp_path / "d"), document(SUBJECT, made))
    first, second, third = settled.document["Nodes"]
    assert first == SUBJECT
    assert [each["Name"] for each in (second, third)] == ["n.control", "n.patient"]
    assert third["GroupBy"] == []
    assert third["Model"]["X"] == ["A", "B", "code", "age"]
    block = third["Model"]["Software"]["grouplevel"]
    assert (block["Between"], block["Covariates"]) == ([], ["code"])
    assert models[1].spec.regressors == ("age",)
    assert block["Effects"] == []
    assert block["Sided"] == "positive"
    assert block["Select"] == {"stat": ["effect"], "subject": ["01", "04", "06", "08", "09", "12"]}
    assert third["Contrasts"][0]["ConditionList"] == ["A", "B"]
    assert [each.name for each in settled.nodes] == ["n.control", "n.patient"]


def test_edges_lead_to_each_of_the_models(tmp_path: Path) -> None:
    """With their filters, in their order; edges to other nodes stay."""
    edges = [
        {"Source": "subject", "Destination": "n", "Filter": {"contrast": ["A"]}},
        {"Source": "subject", "Destination": "all"},
    ]
    root = write_study(tmp_path / "d")
    settled, models = lay(root, document(SUBJECT, by_contrast("n", "sex"), by_contrast("all"), Edges=edges))
    assert settled.document["Edges"] == [edges[0] | {"Destination": "n.F"}, edges[0] | {"Destination": "n.M"}, edges[1]]
    assert [model.names for model in models] == [["A"], ["A"], ["A", "B"]]
    for first, second in zip(models, again(root, settled), strict=True):
        same(first, second)


BLOCKS = {"Permutation": {"ExchangeabilityBlocks": "site"}}
CASES: dict[str, Document] = {
    "a mixed contrast of patterns": node(
        ["*", "group"],
        {
            "Contrasts": [
                {
                    "Name": "m",
                    "Test": "t",
                    "Within": {"ConditionList": ["a", "b"], "Weights": [1, -1]},
                    "Between": {"ConditionList": ["group.patient", "group.control"], "Weights": [1, -1]},
                }
            ]
        },
    ),
    "sidedness of one contrast": node(
        ["A", "B", "sex.M", "sex.F"],
        {"Contrasts": [{"Name": "d", "Sided": "negative"}]},
        [contrast("d", "t", ["sex.M", "sex.F"], [1, -1])],
    ),
    "F rows": node(
        ["A", "B", "site"], None, [contrast("d", "F", ["site.a", "site.b", "site.c"], [[1, -1, 0], [0, 1, -1]])],
    ),
    "effects that X makes": node(["A", "B", "group", "sex", "subject"]),
    "within factors": node(
        ["A", "B", "group", "subject"],
        {"Factors": [{"Name": "load", "Levels": ["A", "B"]}], "CellName": "{load}", "Effects": ["load"]},
    ),
    "the text 1": node(["A", "B", "1"], None, [contrast("d", "t", ["A", "B"], [1, -1])]),
    "dummies of a factor": by_contrast(
        "n", x=(1, "group", "cigs"), DummyContrasts={"Test": "t", "Contrasts": ["group"]},
    ),
    "dummies of conditions": by_contrast("n", DummyContrasts={"Test": "t", "Contrasts": ["b"]}),
    "blocks of exchangeability": by_contrast("n") | {
        "Model": {"Type": "glm", "X": [1, "age"], "Software": {"grouplevel": BLOCKS}},
    },
    "a Filter and a scale": by_contrast(
        "n", "sex", x=(1, "age"),
        Transformations={"Transformer": "pybids-transforms-v1", "Instructions": [
            {"Name": "Filter", "Input": ["cigs"], "Query": "cigs > 0"},
            {"Name": "Scale", "Input": ["age"]},
        ]},
        Contrasts=[contrast("slope", "t", ["age"], [1])],
    ),
    "missing maps": by_contrast("n") | {
        "Model": {"Type": "glm", "X": [1, "group"], "Software": {"grouplevel": {"Missing": "drop"}}},
    },
    "other software": by_contrast("n") | {
        "Model": {"Type": "glm", "X": [1], "Software": {"FSL": {"robust": True}}},
    },
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_model_in_the_logs_gives_the_same_again_and_again(case: str, tmp_path: Path) -> None:
    """Also the second time: what is settled stays as it is."""
    root = write_study(tmp_path / "d")
    if case == "missing maps":
        next(root.glob("sub-03_*-A_*")).unlink()
    settled, models = lay(root, document(CASES[case]))
    for first, second in zip(models, again(root, settled), strict=True):
        same(first, second)
        if case == "a mixed contrast of patterns":
            assert second.spec.settings.contrasts[0].within.condition_list == ("A", "B")  # type: ignore[union-attr]
        else:
            assert first.spec.settings.contrasts == second.spec.settings.contrasts
    twice, _ = lay(root, json.loads(json.dumps(settled.document)))
    assert twice.document == settled.document
    if case == "other software":
        assert settled.document["Nodes"][0]["Model"]["Software"]["FSL"] == {"robust": True}


def study_with_maps(root: Path) -> Path:
    """Sixteen subjects, two conditions, two sessions; 5 x 5 x 5 voxels."""
    rng = np.random.default_rng(8)
    root.mkdir()
    (root / "dataset_description.json").write_text(json.dumps(DERIVATIVE))
    affine = np.array([[4.0, 0, 0, -8], [0, 4, 0, -30.3], [0, 0, 4, -7], [0, 0, 0, 1]])
    lines = ["participant_id\tgroup\tage"]
    for number in range(16):
        lines.append(f"sub-{number:02d}\t{'patient' if number % 2 else 'control'}\t{20 + number**2 % 37}")
        for session in ("pre", "post"):
            for condition in ("A", "B"):
                name = f"sub-{number:02d}_ses-{session}_space-native_contrast-{condition}_stat-effect_statmap.nii.gz"
                values = rng.standard_normal((5, 5, 5)) + (condition == "A")
                nib.save(nib.Nifti1Image(values.astype(np.float32), affine), root / name)
    (root / "participants.tsv").write_text("\n".join(lines) + "\n")
    return root


def test_the_report_of_settled_and_divided_nodes_is_made_again(tmp_path: Path) -> None:
    """Byte for byte but for the line that says so, without the input; the model in the logs runs to the same maps."""
    block = {"Permutation": {"N": 20, "Statistics": ["voxel"]}, "Report": {"Atlases": [], "Interactive": False}}
    of_each = by_contrast("each", "session", x=(1, "group", "age"), DummyContrasts={"Test": "t", "Contrasts": ["age"]})
    of_each["Model"]["Software"] = {"grouplevel": block | {"Select": {"condition": ["A"]}}}
    together = node(["*", "group"], block | {"Sessions": "condition"}, [], name="together")
    together["DummyContrasts"] = {"Test": "t", "Contrasts": ["group"]}
    (tmp_path / "model.json").write_text(json.dumps(document(of_each, together)))
    maps, out = study_with_maps(tmp_path / "in"), tmp_path / "out"
    common = ["group", "-q", "--skip-bids-validation"]
    assert main([str(maps), str(out), *common, "-m", str(tmp_path / "model.json")]) == 0
    assert {path.name for path in out.glob("group/node-*")} == {"node-eachPre", "node-eachPost", "node-together"}
    (kept,) = out.glob("logs/2*/model.json")
    assert main([str(maps), str(tmp_path / "second"), *common, "-m", str(kept)]) == 0
    first, second = numbers(out), numbers(tmp_path / "second")
    assert len(first) > 20
    assert first == second
    shutil.rmtree(maps)
    page, before = (out / "report.html").read_text(), numbers(out)
    assert main(["/no/input", str(out), "group", "--reports-only", "-q"]) == 0
    made = (out / "report.html").read_text()
    assert re.sub(r"<dt>Page made again</dt><dd>\d{4}-[^<]*, by bids-grouplevel [^<]*</dd>", "", made) == page
    assert numbers(out) == before


def numbers(out: Path) -> dict[str, bytes]:
    """Every map and table."""
    found = (path for path in (out / "group").rglob("*") if path.name.endswith((".nii.gz", ".tsv", ".tsv.gz")))
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in found if "desc-inputs" not in path.name}
