"""What the t and F distributions take for granted, and the tests that relax it."""

from __future__ import annotations

from collections.abc import Iterator

from bids_app.console.text import a_few
from bids_app.report.text.assumption import MAX_NAMES, Assumption, Used


def on_parametric(used: Used) -> Iterator[Assumption]:
    """Yield what the t and F distributions take for granted."""
    if all(row.kind != "parametric" for row in used.methods.values()):
        return
    if any(section.contrast.error_term == "pooled" for section in used.sections):
        yield Assumption(
            "The pooled error assumes sphericity over all conditions",
            "It takes every within-subject effect to vary equally between subjects. Where they do not, the parametric "
            "p-values of some effects are too small and those of others too large, and the Bonferroni and false "
            "discovery rate results inherit it: in simulations where subjects differed in one factor of a 3 "
            "\N{MULTIPLICATION SIGN} 3 design by half and by once the noise, t over that factor's levels had p "
            "\N{LESS-THAN OR EQUAL TO} 0.05 in 11 % and 20 % of voxels without an effect, F in 13 % and 27 %. "
            "Permutations of whole subjects do not need this assumption.",
        )
    several = [s.contrast for s in used.sections if len(s.contrast.within) > 1 and s.contrast.error_term != "pooled"]
    if any(contrast.sphericity == "none" for contrast in several):
        yield Assumption(
            "Parametric F tests assume sphericity",
            "Where an effect has several numerator degrees of freedom, the differences that it compares are taken to "
            "vary equally between subjects, as no correction was asked for. Otherwise the parametric p and z are too "
            "extreme; permutation p-values do not need it.",
        )
    if any(contrast.sphericity in ("greenhouse-geisser", "huynh-feldt") for contrast in several):
        yield Assumption(
            "Parametric F tests are corrected for a lack of sphericity",
            "Where an effect has several numerator degrees of freedom, the differences that it compares should vary "
            "equally between subjects. The correction, listed with each contrast, is an estimate at each voxel. It "
            "changes the parametric p and z, but neither F nor the permutation p-values, which do not need it.",
        )
    yield from _on_other_statistics(used)
    permuted = used.schemes & {"sign-flip", "permute"}
    of_fields = "Random field, " if any(result.random_field for result in used.results) else ""
    yield Assumption(
        "Parametric p-values assume normal errors",
        f"{of_fields}Bonferroni, false discovery rate and uncorrected results rest on the t and F distributions"
        + ("; the familywise ones from permutations do not." if permuted else "."),
    )
    if any(node.design.blocks for node in used.nodes):
        yield Assumption(
            "Parametric p-values ignore the exchangeability blocks",
            "They take all subjects to be independent. In simulations of 16 twins correlated by 0.5, parametric p were "
            "at most 0.05 in 11 % of voxels without an effect.",
        )


def _on_other_statistics(used: Used) -> Iterator[Assumption]:
    """Yield what multivariate tests, variance groups and partial coverage take for granted."""
    if any(section.contrast.sphericity == "multivariate" for section in used.sections):
        yield Assumption(
            "Multivariate F tests need no sphericity",
            "They estimate the whole covariance of the scores at each voxel, which takes many more subjects than "
            "dimensions to have power, and is taken to be the same in all groups.",
        )
    grouped = [node for node in used.nodes if node.spec.settings.variance_groups]
    plain = [s.contrast.name for node in grouped for s in node.contrasts if len(s.contrast.within) > 1]
    if plain:
        yield Assumption(
            "Parametric F tests of several dimensions assume equal covariances",
            f"VarianceGroups changes the statistic of one dimension only. The parametric p of "
            f"{a_few(plain, MAX_NAMES)} take the groups to have equal covariances; their permutations do not.",
        )
    if any(node.spec.settings.voxel_coverage < 1 for node in used.nodes):
        yield Assumption(
            "Subjects differ from voxel to voxel",
            "Where some subjects lack a voxel it is tested in the others, with fewer degrees of freedom (stat-dof). "
            "Such voxels take it that who lacks them has nothing to do with the effect." + _on_centring(used),
        )


def _on_centring(used: Used) -> str:
    """Return over whom covariates are centred, where not every voxel has the same subjects."""
    partial = [node.spec.settings for node in used.nodes if node.spec.settings.voxel_coverage < 1]
    if not any(settings.covariates and settings.center != "none" for settings in partial):
        return ""
    return (
        " Covariates are centred over the subjects of the contrast, not over those of the voxel: everywhere a mean is "
        "that at one and the same value of the covariate."
    )
