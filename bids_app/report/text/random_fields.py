"""What a contrast's random field is like: smoothness, resels, critical values, and what noise alone would give."""

from __future__ import annotations

from bids_app.report.content import ContrastSection, MethodResult
from bids_app.report.wording import MINUS, decimal
from bids_app.statistics.smoothness import METHOD

TIMES = "\N{MULTIPLICATION SIGN}"


def random_field_rows(section: ContrastSection) -> list[tuple[str, str]]:
    """Return what the page says of the random field of a contrast: heads and words; empty where none was used."""
    used = [result for result in section.results if result.random_field is not None]
    if not used:
        return []
    about = used[0].random_field
    assert about is not None
    field, smoothness = about.field, about.smoothness
    mm, voxels = (
        f" {TIMES} ".join(f"{value:.1f}" for value in values) for values in (smoothness.fwhm_mm, smoothness.fwhm_voxels)
    )
    resels = ", ".join(f"{value:,.1f}" for value in field.resels)
    rows = [
        ("FWHM", f"{mm} mm ({voxels} voxels), from {smoothness.n_images} standardised residual images ({METHOD})"),
        (
            "Search volume",
            f"{field.n_voxels:,} voxels; resels of 0 to 3 dimensions {resels}; {smoothness.voxels_per_resel:.1f} "
            "voxels per resel",
        ),
    ]
    for result in used:
        rows += _of_voxels(section, result) if _forming_p(result) is None else _of_clusters(section, result)
    rows.append(("Assumed", _assumed(section, used)))
    return rows


def _forming_p(result: MethodResult) -> float | None:
    return result.random_field.forming_p if result.random_field else None


def _of_voxels(section: ContrastSection, result: MethodResult) -> list[tuple[str, str]]:
    """Return the critical height."""
    assert result.random_field is not None
    return [("Critical height", f"{_height(section, result.random_field.height)}, p \N{LESS-THAN OR EQUAL TO} "
             f"{result.alpha:g} over the search volume{_sides(section)}")]  # fmt: skip


def _of_clusters(section: ContrastSection, result: MethodResult) -> list[tuple[str, str]]:
    """Return the forming height, what is to be expected above it, and the critical extent."""
    about = result.random_field
    assert about is not None
    neighbours = f"; each voxel has {about.connectivity} neighbours" if about.connectivity else ""
    side = " on each side" if _has_two_sides(section) else ""
    return [
        ("Clusters", f"above {_height(section, about.height)}, one-tailed p = {about.forming_p:g}{neighbours}"),
        (
            "Expected without any effect",
            f"{about.expected_clusters:.2f} clusters{side}, of {about.voxels_per_cluster:.2f} voxels on average",
        ),
        (
            "Critical extent",
            f"{result.threshold or 'none: no size is significant'}, p \N{LESS-THAN OR EQUAL TO} {result.alpha:g}"
            f"{_sides(section)}",
        ),
    ]  # fmt: skip


def _assumed(section: ContrastSection, used: list[MethodResult]) -> str:
    """Return what the p of this contrast take for granted."""
    words = "normal errors, and noise that is smooth on the grid"
    if any(_forming_p(result) is not None for result in used):
        words += " and equally smooth everywhere (stationary), on which the p of clusters depend most"
    if section.epsilon is not None:
        words += (
            "; the degrees of freedom of F are corrected by epsilon voxel by voxel, and each voxel counts as if it had "
            "the F of the same p at the nominal ones"
        )
    if section.df[1] <= 3:
        words += (
            "; with three error degrees of freedom or fewer the theory gives no p, and those of voxels are Bonferroni's"
        )
    return f"{words}."


def _height(section: ContrastSection, height: float) -> str:
    """Return a height as |t|, t, -t or F."""
    tested = {"two": "|t|", "positive": "t", "negative": f"{MINUS}t"}
    name = tested[section.contrast.sided] if section.contrast.test == "t" else "F"
    nominal = " (at nominal degrees of freedom)" if section.epsilon is not None else ""
    return f"{name} = {decimal(height)}{nominal}"


def _has_two_sides(section: ContrastSection) -> bool:
    return section.contrast.test == "t" and section.contrast.sided == "two"


def _sides(section: ContrastSection) -> str:
    return ", half of it on each side" if _has_two_sides(section) else ""
