"""Results read back from files are, field by field and bit for bit, those that the first report was made of."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bids_app.cli.analyse import main
from bids_app.design.build import build_design
from bids_app.inputs.select_maps import find_maps
from bids_app.model.read_model import read_model
from bids_app.permutation.null_distribution import NullDistribution
from bids_app.permutation.plan import permute
from bids_app.results import folder as folder_module
from bids_app.results import write as outputs
from bids_app.results.read import as_saved, encode_results, make_record, read_facts, read_results
from bids_app.results.values import Results
from bids_app.runtime.options import RunOptions
from bids_app.workflow import run
from bids_app.workflow.rebuild import find_nodes
from builders.studies import write_maps

MODEL = {
    "Name": "m",
    "BIDSModelVersion": "1.0.0",
    "Nodes": [
        {
            "Level": "Dataset",
            "Name": "n",
            "GroupBy": [],
            "Model": {
                "Type": "glm",
                "X": ["A", "B", "C"],
                "Software": {
                    "grouplevel": {
                        "Factors": [{"Name": "cond", "Levels": ["A", "B", "C"]}],
                        "CellName": "{cond}",
                        "Parametric": [{"Correction": "bonferroni"}, {"Correction": "fdr", "Alpha": 0.5},
                                       {"Correction": "uncorrected", "Alpha": 0.05, "Extent": 2}],
                        "Permutation": {"N": 32, "ClusterFormingP": 0.05, "AcrossContrasts": True},
                        "Report": {"Interactive": False, "Atlases": ["aal"]},
                    }
                },
            },
            "Contrasts": [{"Name": "AB", "Test": "t", "ConditionList": ["A", "B"], "Weights": [1, -1]}],
        }
    ],
}  # fmt: skip


@dataclasses.dataclass
class Both:
    """The results of a run, and what is read back."""

    given: list[Results]
    read: list[Results]
    out: Path


def compare(given: Any, read: Any, where: str = "") -> None:  # noqa: ANN401
    """Two values are the same: types, shapes, every bit."""
    assert type(given) is type(read), where
    if dataclasses.is_dataclass(given):
        for field in dataclasses.fields(given):
            compare(getattr(given, field.name), getattr(read, field.name), f"{where}.{field.name}")
    elif isinstance(given, np.ndarray):
        assert given.dtype == read.dtype, where
        assert np.array_equal(given, read, equal_nan=given.dtype.kind == "f"), where
    elif isinstance(given, pd.DataFrame):
        pd.testing.assert_frame_equal(given, read, check_exact=True, obj=where)
    elif isinstance(given, tuple | list):
        assert len(given) == len(read), where
        for index, pair in enumerate(zip(given, read, strict=True)):
            compare(*pair, f"{where}[{index}]")
    elif isinstance(given, dict):
        assert given.keys() == read.keys(), where
        for key in given:
            compare(given[key], read[key], f"{where}[{key}]")
    else:
        assert given == read, where


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    """Run the app, compute its results once more in memory, and read those of the files."""
    folder = tmp_path_factory.mktemp("saved")
    dataset, model, out = write_maps(folder / "in", "space-MNI152NLin6Asym_"), folder / "model.json", folder / "out"
    model.write_text(json.dumps(MODEL))
    assert main([str(dataset), str(out), "group", "-m", str(model), "-q", "--skip-bids-validation"]) == 0
    options = RunOptions(dataset, out, model)
    spec = read_model(model)
    inputs = find_maps(options, spec, spec.nodes[0])
    study = run.prepare(spec.nodes[0], inputs, build_design(inputs, spec.nodes[0]), options)
    nulls = permute(study.maps.values, study.node, study.design, study.plans, run._means(study.maps, options))
    given = [as_saved(run.analyse_contrast(study, test, *next(nulls))) for test in study.tests]
    ((node, _),) = find_nodes(dataclasses.replace(options, bids_dir=Path("/nowhere"), reports_only=True))
    compare(study.design, node.facts.design, "design")
    compare(study.node, node.spec, "spec")
    compare(study.maps.mask, node.mask, "mask")
    plans = zip(node.facts.design.contrasts, study.plans, strict=True)
    read = [read_results(node, contrast, plan, study.brain.lattice) for contrast, plan in plans]
    return Both(given, read, out)


def test_what_is_read_is_what_the_first_report_was_made_of(both: Both) -> None:
    """t and F, every correction, tables, null, diagnostics, means with their picture; something survives in it."""
    assert any(inference.significant.any() for results in both.given for inference in results.inferences)
    assert {results.fit.contrast.test for results in both.given} == {"t", "F"}
    assert all(results.means is not None for results in both.given)
    compare(both.given, both.read)


def test_rounding_is_that_of_the_files_and_no_more(both: Both) -> None:
    """It changes nothing that is rounded already, and little of what is not: single precision, nine digits."""
    for results in both.given:
        compare(results, as_saved(results))
        assert isinstance(results.null, NullDistribution)
        precise = dataclasses.replace(results.fit, statistic=results.fit.statistic * (1 + 1e-9))
        again = as_saved(dataclasses.replace(results, fit=precise))
        assert again.fit.statistic == pytest.approx(results.fit.statistic, rel=2**-23)


def test_the_record_holds_no_map(both: Both) -> None:
    """Its size does not hang on the number of voxels."""
    for results in both.given:
        record = encode_results(results)
        assert not {"statistic", "z", "p", "effect"} & record["fit"].keys()
        assert "maxima" not in record["null"]
        assert all("significant" not in each and "p" not in each for each in record["inferences"])
        assert "png" not in record["means"]["figure"]


def test_facts_come_back_with_the_pictures_that_only_the_input_has(both: Both) -> None:
    (path,) = both.out.glob("group/*/figures/report.json")
    facts, contrasts = read_facts(both.out, path)
    assert [figure.name for figure in facts.pictures] == ["subjects", "coverage"]
    assert facts.pictures[0].png == (path.parent / "subjects.png").read_bytes()
    assert list(contrasts) == ["AB", "cond"]
    folder = folder_module.NodeFolder(both.out, "n", facts.entities, {})
    outputs.write_record(folder, make_record(facts, contrasts))
    again, _ = read_facts(both.out, path)
    compare(facts, again)
