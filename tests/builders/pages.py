"""Contrasts that were run on noise, with or without an effect, and pages of them."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Literal

import numpy as np
import pandas as pd

from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.inference.cluster_tables import Brain, Limits, tabulate
from bids_app.inference.corrections import familywise, parametric
from bids_app.model.settings import ErrorTerm, GroupLevelSettings, PermutationSettings, Sphericity
from bids_app.model.specification import NodeSpec
from bids_app.permutation.null_distribution import Work, choose_enhancements, null_distribution
from bids_app.permutation.schemes import sign_flips
from bids_app.report import content
from bids_app.report.figures.figure import Figure, Viewer
from bids_app.spaces.clusters import Lattice
from bids_app.statistics.fit import fit_contrast
from builders import designs

MASK = np.ones((4, 4, 4), bool)
AFFINE = np.diag([3.0, 3, 3, 1])
N_SUBJECTS = 8
PNG = b"\x89PNG not a picture"
CONDITIONS = ("A", "B", "C")


def make_contrast(test: Literal["t", "F"], name: str, error_term: ErrorTerm = "partitioned") -> Contrast:
    sphericity: Sphericity = "greenhouse-geisser" if test == "F" and error_term == "partitioned" else "none"
    return designs.make_contrast(test, name, error_term=error_term, sphericity=sphericity)


def make_design(*contrasts: Contrast) -> Design:
    return designs.make_design(*contrasts, n_subjects=N_SUBJECTS)


def make_section(
    contrast: Contrast, effect: float, n_shuffles: int = 40, *, shuffled: bool = True
) -> content.ContrastSection:
    """Run one contrast on noise, with an effect of A in the first eight voxels."""
    design, lattice = make_design(contrast), Lattice.from_mask(MASK, 26)
    values = np.random.default_rng(3).standard_normal((3 * N_SUBJECTS, 64)).astype(np.float32)
    values[0::3, :8] += effect
    fit = fit_contrast(values, design, contrast)
    inferences = [parametric(fit, "bonferroni", 0.05, 0, lattice), parametric(fit, "uncorrected", 0.0001, 2, lattice)]
    if shuffled:
        flips = sign_flips(N_SUBJECTS, n_shuffles, np.random.default_rng(0), up_to_sign=True)
        maximised = choose_enhancements(["voxel", "cluster-size"], lattice, design, contrast, (0.01, None))
        inferences += familywise(null_distribution(values, design, contrast, flips, maximised, Work()), 0.05)
    brain = Brain.from_mask(MASK, AFFINE, 26)
    tables = {each.method: tabulate(each, fit, inferences, brain, Limits()) for each in inferences}
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
    return content.contrast_section(fit, inferences, tables, [*drawn, *pages], files=files)


def make_node(
    *sections: content.ContrastSection, permutation: PermutationSettings | None = None
) -> content.NodeSection:
    files = pd.DataFrame(
        [(f"sub-{s + 1:02d}", c) for s in range(N_SUBJECTS) for c in CONDITIONS],
        columns=["participant_id", "condition"],
    )
    settings = GroupLevelSettings(permutation=permutation or PermutationSettings(cluster_forming_p=0.01))
    return content.NodeSection(
        spec=NodeSpec("anova", CONDITIONS, has_subject=True, contrasts=(), settings=settings),
        design=make_design(*(section.contrast for section in sections)),
        inputs=content.InputSummary(content.count_files(files), 64, {"01": 0, "02": 7}),
        figures=(Figure("design", PNG, "caption", "design matrix", "chart"),),
        contrasts=sections,
    )


def make_page(*nodes: content.NodeSection, title: str = "Study") -> content.Page:
    provenance = content.Provenance("bids-grouplevel in out group", 7, {"numpy": "2.0"}, {"input": "/data"})
    return content.Page(title, "1.2.3", nodes, provenance)


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
