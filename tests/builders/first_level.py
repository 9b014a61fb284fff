"""Folders of first-level programs as these name their files: SPM, FEAT, AFNI, CONN. The maps are empty or tiny."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from nibabel.testing import data_path
from scipy.io import savemat

EXAMPLES = Path(data_path)


def touch(root: Path, *names: str) -> None:
    """Write empty files."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def write_spm_mat(path: Path, names: Sequence[str], stats: str = "", files: Sequence[str] | None = None) -> None:
    """Write SPM.mat with a struct array of contrasts, each with its name, statistic and image, as SPM12 does."""
    stats = stats or "T" * len(names)
    kind = np.dtype([("name", object), ("STAT", object), ("c", object), ("Vcon", object)])
    contrasts = np.zeros((1, len(names)), kind)
    for i, (name, stat) in enumerate(zip(names, stats, strict=True)):
        file = files[i] if files else f"{'con' if stat == 'T' else 'ess'}_{i + 1:04}.nii"
        contrasts[0, i] = (name, stat, np.eye(3)[: 1 if stat == "T" else 2].T, {"fname": file} if file else [])
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"SPM": {"nscan": 100, "xCon": contrasts, "swd": "/data/first"}})


def write_hdf5_mat(path: Path) -> None:
    """Write the beginning of a file as MATLAB saves it with -v7.3: its text, its version, and HDF5's signature."""
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Mar  4 10:00:00 2024 HDF5 schema 1.00 ."
    path.write_bytes(header.ljust(116) + bytes(8) + b"\x00\x02IM" + bytes(384) + b"\x89HDF\r\n\x1a\n")


def spm_folder(root: Path, subject: str, names: Sequence[str] = ("faces > houses", "houses")) -> Path:
    """Write what SPM12 leaves of a subject: an F contrast comes last."""
    folder = root / f"spm/sub-{subject}"
    touch(folder, *(f"con_{i:04}.nii" for i in range(1, len(names) + 1)), f"ess_{len(names) + 1:04}.nii")
    touch(
        folder, "beta_0001.nii", "beta_0002.nii", "spmT_0001.nii", "spmT_0002.nii", "mask.nii", "ResMS.nii", "RPV.nii"
    )
    write_spm_mat(folder / "SPM.mat", [*names, "any effect"], "T" * len(names) + "F")
    return folder


def design_con(names: Sequence[str]) -> str:
    """Return design.con as FEAT writes it."""
    lines = [f"/ContrastName{i}\t{name}" for i, name in enumerate(names, start=1)]
    numbers = [f"/NumWaves\t{len(names)}", f"/NumContrasts\t{len(names)}", "/PPheights\t\t1.000000e+00", ""]
    return "\n".join([*lines, *numbers, "/Matrix", *("1.000000e+00 0.000000e+00" for _ in names), ""])


def feat_folder(feat: Path, names: Sequence[str], *, registered: bool = False) -> Path:
    """Write the first level of FEAT, with the copes in standard space too after featregapply."""
    stats = [
        f"{kind}{i}.nii.gz" for i in range(1, len(names) + 1) for kind in ("cope", "varcope", "tstat", "zstat", "pe")
    ]
    touch(feat, "design.fsf", "mask.nii.gz", "reg/example_func2standard.mat", *(f"stats/{name}" for name in stats))
    (feat / "design.con").write_text(design_con(names))
    if registered:
        touch(feat, "reg_standard/mask.nii.gz", *(f"reg_standard/stats/{name}" for name in stats))
    return feat


def gfeat_folder(gfeat: Path, names: Sequence[str]) -> Path:
    """Write the second level of FEAT: a folder for each contrast of the first, which design.lev names."""
    touch(gfeat, "design.fsf", "mask.nii.gz", "bg_image.nii.gz")
    for i, name in enumerate(names, start=1):
        feat = gfeat / f"cope{i}.feat"
        touch(feat, "design.fsf", "mask.nii.gz", "filtered_func_data.nii.gz")
        touch(feat, *(f"stats/{kind}1.nii.gz" for kind in ("cope", "varcope", "tdof_t", "tstat", "zstat", "pe")))
        (feat / "design.con").write_text(design_con(["group mean"]))
        (feat / "design.lev").write_text(f"{name}\n")
    return gfeat


def afni_dataset(
    folder: Path, prefix: str, labels: Sequence[str], space: str = "MNI", values: np.ndarray | None = None
) -> Path:
    """Copy nibabel's AFNI dataset of three sub-bricks, with other labels and another space, and maybe other voxels."""
    assert len(labels) == 3
    text = "~".join(labels)
    head = (EXAMPLES / "example4d+orig.HEAD").read_text()
    head = head.replace("count = 9\n'#0~#1~#2~", f"count = {len(text) + 1}\n'{text}~")
    head = head.replace("count = 5\n'ORIG~", f"count = {len(space) + 1}\n'{space}~")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{prefix}.HEAD").write_text(head)
    if values is None:
        shutil.copy(EXAMPLES / "example4d+orig.BRIK.gz", folder / f"{prefix}.BRIK.gz")
    else:  # the first index is the fastest, and the header asks for 16 bits
        (folder / f"{prefix}.BRIK").write_bytes(values.astype("<i2").tobytes(order="F"))
    return folder / f"{prefix}.HEAD"


def conn_folder(root: Path, subjects: int, conditions: Sequence[str], sources: Sequence[str]) -> Path:
    """Write the first level of a seed-based analysis of CONN."""
    folder = root / "conn_rest/results/firstlevel/SBC_01"
    for subject in range(1, subjects + 1):
        for c in range(1, len(conditions) + 1):
            for s in range(1, len(sources) + 1):
                touch(folder, f"BETA_Subject{subject:03}_Condition{c:03}_Source{s:03}.nii")
    lists: Mapping[str, Sequence[str]] = {"condition": conditions, "source": sources}
    for what, names in lists.items():
        lines = (f"{what.capitalize()}{i:03} = {name}\n" for i, name in enumerate(names, start=1))
        (folder / f"_list_{what}s.txt").write_text("".join(lines))
    return folder
