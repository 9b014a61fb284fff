"""Contrasts that were run on noise, with or without an effect, and pages of them."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from typing import Literal

import numpy as np
import pandas as pd

from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.inference.catalogue import correct
from bids_app.inference.evidence import Evidence
from bids_app.inference.familywise_p import own_family
from bids_app.inference.result_tables import TableOptions, tabulate
from bids_app.model.settings import ErrorTerm, GroupLevelSettings, PermutationSettings, Sphericity
from bids_app.model.specification import NodeSpec
from bids_app.permutation.enhancements import choose_enhancements
from bids_app.permutation.null_distribution import Work, null_distribution
from bids_app.permutation.schemes import make_shuffles
from bids_app.report import content
from bids_app.report.figures.figure import Figure, Viewer
from bids_app.results.input_summary import InputSummary, count_files
from bids_app.results.values import NodeFacts, Results, RunFacts
from bids_app.spaces.volume import VolumeDomain
from bids_app.statistics.fit import fit_contrast
from bids_app.statistics.kinds import contrast_test
from builders import designs

MASK = np.ones((4, 4, 4), bool)
AFFINE = np.diag([3.0, 3, 3, 1])
N_SUBJECTS = 8
PNG = b"\x89PNG not a picture"
CONDITIONS = ("A", "B", "C")
RUN = RunFacts(
    run="20260101-000000-000000",
    started="2026-01-01T00:00:00+00:00",
    title="Study",
    command="bids-grouplevel in out group",
    version="1.2.3",
    versions={"numpy": "2.0"},
    datasets={"input": "/data"},
    seed=7,
)


def make_contrast(test: Literal["t", "F"], name: str, error_term: ErrorTerm = "partitioned") -> Contrast:
    sphericity: Sphericity = "greenhouse-geisser" if test == "F" and error_term == "partitioned" else "none"
    return designs.make_contrast(test, name, error_term=error_term, sphericity=sphericity)


def make_design(*contrasts: Contrast) -> Design:
    return designs.make_design(*contrasts, n_subjects=N_SUBJECTS)


def make_section(
    contrast: Contrast, effect: float, n_shuffles: int = 40, *, shuffled: bool = True
) -> content.ContrastSection:
    """Run one contrast on noise, with an effect of A in the first eight voxels."""
    design, lattice = make_design(contrast), VolumeDomain.from_mask(MASK, np.eye(4), 26)
    values = np.random.default_rng(3).standard_normal((3 * N_SUBJECTS, 64)).astype(np.float32)
    values[0::3, :8] += effect
    fit = fit_contrast(values, contrast_test(design, contrast))
    null = family = None
    if shuffled:
        test = contrast_test(design, contrast)
        flips = make_shuffles(test, n_shuffles, 0)
        maximised = choose_enhancements(["voxel", "cluster-size"], lattice, test, (0.01, None))
        null = null_distribution(values, test, flips, maximised, Work())
        family = own_family(null)
    asked = [{"Correction": "bonferroni"}, {"Correction": "uncorrected", "Alpha": 0.0001, "Extent": 2}]
    settings = GroupLevelSettings.model_validate({"Parametric": asked})
    brain = VolumeDomain.from_mask(MASK, AFFINE, 26)
    inferences, _ = correct(Evidence(fit, brain, None, null, family), settings)
    tables = {each.method: tabulate(each, fit, inferences, brain, TableOptions()) for each in inferences}
    drawn = [Figure(f"stat-{contrast.test}_slices", PNG, "caption", f"map of {contrast.name}")]
    drawn += [
        Figure(f"desc-{each.method}_slices", PNG, "caption", f"{each.method} of {contrast.name}")
        for each in inferences
        if each.significant.any()
    ]
    pages = [Viewer("viewer", "<p>volume</p>", "Open the map"), Viewer("surface", "<p>cortex</p>", "Turn it")]
    files = {"viewer": "figures/a b.html", "surface": "figures/c.html"}
    files |= {
        f"desc-{method}_{kind}.tsv": f"group/{method}_{kind}.tsv" for method in tables for kind in ("clusters", "peaks")
    }
    results = Results(fit, None, tuple(inferences), tuple(tables.values()), None, None, None)
    return content.contrast_section(results, [*drawn, *pages], files=files)


def make_node(
    *sections: content.ContrastSection, permutation: PermutationSettings | None = None
) -> content.NodeSection:
    files = pd.DataFrame(
        [(f"sub-{s + 1:02d}", c) for s in range(N_SUBJECTS) for c in CONDITIONS],
        columns=["participant_id", "condition"],
    )
    settings = GroupLevelSettings(permutation=permutation or PermutationSettings(cluster_forming_p=0.01))
    facts = NodeFacts(
        name="anova",
        run=RUN,
        entities={},
        design=make_design(*(section.contrast for section in sections)),
        inputs=InputSummary(count_files(files), 64, {"01": 0, "02": 7}),
        affine=AFFINE,
        uses_mni=True,
        space_note="",
        background=None,
        pictures=(),
        notes=(),
    )
    return content.NodeSection(
        spec=NodeSpec("anova", CONDITIONS, has_subject=True, contrasts=(), settings=settings),
        facts=facts,
        figures=(Figure("design", PNG, "caption", "design matrix", "chart"),),
        contrasts=sections,
    )


def with_facts(node: content.NodeSection, **changes: object) -> content.NodeSection:
    """The same node with other facts, such as its design or its notes."""
    return replace(node, facts=replace(node.facts, **changes))  # type: ignore[arg-type]


def make_page(*nodes: content.NodeSection, title: str = "Study") -> content.Page:
    return content.Page(tuple(with_facts(node, run=replace(node.facts.run, title=title)) for node in nodes))


class Reader(HTMLParser):
    """Collects every element with its attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]
