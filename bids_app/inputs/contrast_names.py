"""What SPM, FEAT and CONN call the maps that they write, and the names of their contrasts in the files beside them.

SPM numbers its contrasts, con_0003.nii, and names them in SPM.mat; FEAT has design.con beside the copes of a run, and
design.lev in each folder copeN.feat of a second level; CONN lists conditions and sources.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

NAMES_OF_STATISTICS = {
    "ess": "the sum of squares of an F contrast, which has no direction: use its t contrasts (con_)",
    "spmT": "a t map: use the map of the estimate (con_)",
    "spmF": "an F map: use t contrasts (con_)",
    "beta": "the estimate of a single regressor, beside those of contrasts (con_)",
    "pe": "the estimate of a single regressor, beside those of contrasts (cope)",
    "varcope": "a map of variances: use the map of the estimate (cope)",
    "tstat": "a t map: use the map of the estimate (cope)",
    "zstat": "a z map: use the map of the estimate (cope)",
    "fstat": "an F map: use the copes of t contrasts",
    "zfstat": "an F map: use the copes of t contrasts",
}
OF_REGRESSORS = ("beta", "pe")  # may be used where nothing else is
NOT_A_CONTRAST = {"mask": "a mask", "ResMS": "the residual variance", "RPV": "the smoothness"}  # of SPM
NATIVE = (
    "a cope of a first-level FEAT is in the space of the subject's own scan. Take those that featregapply writes into "
    "reg_standard/stats, or those of a second level (.gfeat). If the scans were in a standard space before FEAT (as "
    "fMRIPrep writes them), list the maps in a table by hand"
)


@dataclass(frozen=True, slots=True)
class ProgramMap:
    """What a file name of SPM, FEAT or CONN says."""

    key: str
    """What the program calls the contrast: con_0003, cope3, Condition001_Source002."""
    sources: tuple[Path, ...] = ()
    """Files that hold its name, where they exist."""
    numbers: tuple[str, ...] = ()
    """Its entry in each of the sources."""
    refusal: str = ""
    """Why it is no map to analyse; empty for one that is."""
    is_last_resort: bool = False
    """Whether it is analysed only where a pattern finds nothing better."""


@dataclass(frozen=True, slots=True)
class NamesFile:
    """The names in a file of a program."""

    names: dict[str, str]
    problem: str = ""
    """Why it could not be read."""


def program_map(path: Path, pattern: str) -> ProgramMap | None:
    """Return what the name of a file, and where it lies, say; None where it is of none of the programs.

    Parameters
    ----------
    path : Path
    pattern : by which it was found, for what tells the maps of CONN apart: {condition} may be its condition or source
    """
    stem = re.sub(r"\.(nii|img|hdr)(\.gz)?$", "", path.name)
    if match := re.fullmatch(r"(con|ess|spmT|spmF|beta)_(\d{4,})", stem):
        refusal = NAMES_OF_STATISTICS.get(match[1], "")
        if refusal:
            return ProgramMap(stem, refusal=refusal, is_last_resort=match[1] in OF_REGRESSORS)
        return ProgramMap(stem, _there(path.with_name("SPM.mat")), (str(int(match[2])),))
    if stem in NOT_A_CONTRAST and path.with_name("SPM.mat").exists():
        return ProgramMap(stem, refusal=NOT_A_CONTRAST[stem])
    if path.parent.name == "stats" and (match := re.fullmatch(r"(.*?)(\d*)", stem)):
        return _of_feat(path, match[1], match[2])
    if match := re.fullmatch(r"BETA_Subject\d+_(Condition\d+)_(Source\d+)", stem):
        return _of_conn(path, match[1], match[2], pattern)
    return None


def _there(path: Path) -> tuple[Path, ...]:
    return (path,) if path.exists() else ()


def _of_feat(path: Path, kind: str, number: str) -> ProgramMap | None:
    """Return what is said of a file in the folder stats of FEAT; None where that is none of FEAT's."""
    home = path.parent.parent
    is_registered = home.name == "reg_standard"
    feat = home.parent if is_registered else home
    is_second = feat.parent.name.endswith(".gfeat") or (feat / "design.lev").exists()
    is_feat = is_second or feat.name.endswith(".feat") or (feat / "design.fsf").exists()
    if kind != "cope":
        refusal = NAMES_OF_STATISTICS.get(kind, "no estimate of a contrast: use a cope" if is_feat else "")
        return ProgramMap(kind + number, refusal=refusal, is_last_resort=kind in OF_REGRESSORS) if refusal else None
    lower = re.match(r"cope(\d+)", feat.name) if is_second else None
    key = f"cope{number}" if not lower else f"cope{lower[1]}" if number == "1" else f"cope{lower[1]}_cope{number}"
    if is_second:
        return ProgramMap(key, _there(feat / "design.lev") if number == "1" else (), ("1",))
    if is_feat and not is_registered:
        return ProgramMap(key, refusal=NATIVE)
    return ProgramMap(key, _there(feat / "design.con"), (number,))


def _of_conn(path: Path, condition: str, source: str, pattern: str) -> ProgramMap:
    """Return what is said of a map of CONN: of the condition, the source, or both, whichever the pattern asks for."""
    entries = [(condition, "_list_conditions.txt"), (source, "_list_sources.txt")]
    if "Condition{condition}" in pattern:
        entries = entries[:1]
    elif "Source{condition}" in pattern:
        entries = entries[1:]
    files = [path.with_name(name) for _, name in entries]
    key = "_".join(entry for entry, _ in entries)
    if not all(file.exists() for file in files):
        return ProgramMap(key)
    return ProgramMap(key, tuple(files), tuple(entry for entry, _ in entries))


def read_names(path: Path) -> NamesFile:
    """Return the names in SPM.mat, design.con, design.lev or a list of CONN."""
    try:
        if path.name == "SPM.mat":
            return _read_spm(path)
        text = path.read_text(encoding="utf-8", errors="replace")
    except NotImplementedError:  # scipy reads no HDF5
        return NamesFile({}, "is of MATLAB 7.3 (HDF5), which cannot be read here")
    except (OSError, MatReadError, ValueError, TypeError, KeyError, AttributeError) as error:
        return NamesFile({}, f"cannot be read ({str(error).partition(chr(10))[0] or type(error).__name__})")
    if path.name == "design.lev":
        return NamesFile({"1": name} if (name := _one_line(text.strip().strip('"'))) else {})
    expression = r"^/ContrastName(\d+)[ \t]+(.+)$" if path.name == "design.con" else r"^(\w+)[ \t]*=[ \t]*(.+)$"
    return NamesFile({number: _one_line(name) for number, name in re.findall(expression, text, re.MULTILINE)})


def _read_spm(path: Path) -> NamesFile:
    """Return number and name of the t contrasts in SPM.mat, where each is in the file of its own number."""
    content = loadmat(path, variable_names=["SPM"], struct_as_record=False, squeeze_me=True)
    names = {}
    for number, contrast in enumerate(np.atleast_1d(getattr(content["SPM"], "xCon", [])).ravel(), start=1):
        file = Path(str(getattr(contrast.Vcon, "fname", ""))).stem
        if re.fullmatch(r"con_\d+", file) and int(file[4:]) != number:
            return NamesFile({}, f"has its contrast {number} ({contrast.name}) in {file}: contrasts were renumbered")
        # what is empty in MATLAB is an array here
        if contrast.STAT == "T" and isinstance(contrast.name, str) and (name := _one_line(contrast.name)):
            names[str(number)] = name
    return NamesFile(names)


def _one_line(text: str) -> str:
    """Return a name without what would break a table."""
    return " ".join(text.split())
