"""Results read from files are those of the statistics, as far as the types of the files go: field by field."""

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
from bids_app.inputs.choose_and_order_maps import find_maps
from bids_app.model.read_model import read_model
from bids_app.results.folder import NodeFolder
from bids_app.results.names import type_on_disk
from bids_app.results.node_writer import NodeWriter
from bids_app.results.read import read_record, read_results
from bids_app.results.record import IN_OTHER_FILES, encode_results, write_record
from bids_app.results.values import Results
from bids_app.runtime.options import RunOptions
from bids_app.spaces.volume import VolumeDomain
from bids_app.workflow.analyse import analyse_contrast
from bids_app.workflow.make_report import find_nodes
from bids_app.workflow.permute import permute
from bids_app.workflow.prepare import permutation_budget, prepare, select_from
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


def on_disk(name: str, values: np.ndarray | None) -> np.ndarray | None:
    """What a map holds: single precision, but for p."""
    return None if values is None else values.astype(type_on_disk(name, values)).astype(np.float64)


def nine_digits(values: np.ndarray) -> np.ndarray:
    """What a table holds of numbers."""
    return np.array([float(f"{value:.9g}") for value in values], np.float64)


def in_table(table: pd.DataFrame) -> pd.DataFrame:
    rounded = {name: nine_digits(table[name].to_numpy()) for name in table if table[name].dtype.kind == "f"}
    return table.assign(**{str(name): values for name, values in rounded.items()})


def as_files_hold(results: Results) -> Results:
    """Round the results as the formats of the files have it, written here from what the sidecars promise."""
    fit, null = results.fit, results.null
    assert null is not None
    maps = {name: on_disk(name, getattr(fit, name)) for name in MAPS}
    limits = fit.effect_size_interval
    fit = dataclasses.replace(
        fit,
        **maps,
        p=on_disk("stat-p", fit.p),
        effect_size_interval=None if limits is None else tuple(on_disk("", each) for each in limits),
    )
    maxima = {key: nine_digits(values) for key, values in null.maxima.items()}
    null = dataclasses.replace(null, maxima=maxima, observed={})  # what each voxel had is no part of a report
    inferences = tuple(
        each if each.null is None else dataclasses.replace(each, p=10 ** -on_disk("", -np.log10(each.p)), null=null)
        for each in results.inferences
    )
    tables = tuple(
        dataclasses.replace(each, clusters=in_table(each.clusters), peaks=in_table(each.peaks))
        for each in results.tables
    )
    return dataclasses.replace(results, fit=fit, null=null, inferences=inferences, tables=tables)


MAPS = ("effect", "variance", "statistic", "z", "effect_size", "epsilon", "df_of_voxel")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    """Run the app, compute its results once more in memory, and read those of the files."""
    folder = tmp_path_factory.mktemp("saved")
    dataset, model, out = write_maps(folder / "in", "space-MNI152NLin6Asym_"), folder / "model.json", folder / "out"
    model.write_text(json.dumps(MODEL))
    assert main([str(dataset), str(out), "group", "-m", str(model), "-q", "--skip-bids-validation"]) == 0
    options = RunOptions(dataset, out, model)
    spec = read_model(model)
    inputs = find_maps(select_from(options), spec, spec.nodes[0])
    study = prepare(spec.nodes[0], inputs, build_design(inputs, spec.nodes[0]), options)
    budget = permutation_budget(study.maps, options)
    nulls = permute(study.maps.values, study.node, study.design, study.plans, budget)
    computed = [analyse_contrast(study, test, next(nulls)) for test in study.tests]
    ((node, _),) = find_nodes(out, ())
    compare(study.design, node.record.facts.design, "design")
    compare(study.node, node.spec, "spec")
    assert isinstance(study.domain, VolumeDomain)
    assert isinstance(node.domain, VolumeDomain)
    compare(study.domain.mask, node.domain.mask, "mask")
    compare(study.domain.grid.affine, node.domain.grid.affine, "affine")
    plans = zip(node.record.facts.design.contrasts, study.plans, strict=True)
    read = [read_results(node, contrast, plan) for contrast, plan in plans]
    return Both([as_files_hold(results) for results in computed], read, out)


def test_what_is_read_is_what_was_computed(both: Both) -> None:
    """t and F, every correction, tables, null, diagnostics, condition means; something survives in it."""
    assert any(inference.significant.any() for results in both.given for inference in results.inferences)
    assert {results.fit.contrast.test for results in both.given} == {"t", "F"}
    assert all(results.means is not None for results in both.given)
    compare(both.given, both.read)


def test_fields_of_other_files_are_fields(both: Both) -> None:
    """A field that is renamed, and no longer left out of the record, would fill it with maps."""
    for owner, names in IN_OTHER_FILES.items():
        assert names <= {field.name for field in dataclasses.fields(owner)}
    assert {"statistic", "p", *MAPS} < IN_OTHER_FILES[type(both.given[0].fit)]


def test_the_record_holds_no_map(both: Both) -> None:
    """Its size does not hang on the number of voxels."""
    for results in both.given:
        record = encode_results(results)
        assert not {"statistic", "z", "p", "effect"} & record["fit"].keys()
        assert "maxima" not in record["null"]
        assert all("significant" not in each and "p" not in each for each in record["inferences"])
        assert record["rows"] == [[len(each.clusters), len(each.peaks)] for each in results.tables]


def test_facts_come_back_with_the_words_of_pictures_that_only_the_input_has(both: Both) -> None:
    (path,) = both.out.glob("group/*/figures/report.json")
    record = read_record(both.out, path.parents[1])
    assert [picture.name for picture in record.facts.pictures] == ["subjects", "coverage"]
    assert all((path.parent / f"{picture.name}.png").is_file() for picture in record.facts.pictures)
    assert list(record.contrasts) == ["AB", "cond"]
    content = path.read_bytes()
    folder = NodeWriter(NodeFolder(both.out, "n", record.facts.entities), {})
    write_record(folder, record.facts, record.contrasts)
    assert path.read_bytes() == content
    compare(record, read_record(both.out, path.parents[1]))
