"""What a run says about itself: ``manifest.json``, and whether a folder holds another run.

A manifest names the data, the settings, the machine and the versions: what somebody needs to make the run again.
"""

import dataclasses
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import seglib
from seglib.config import Config, find_difference, make_config
from seglib.errors import InputError
from seglib.writing import write_text

OUTPUTS = ("submission.csv", "report.html", "summary.json", "scores.csv", "history.csv", "config.json", "checkpoints")
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "segmentation-models-pytorch", "timm", "albumentations")
PACKAGES += ("numpy", "pandas", "opencv-python-headless", "pillow", "scikit-learn", "papermill")


def read_manifest(output_dir: Path) -> dict[str, Any] | None:
    """The manifest of a run; None where there is none.

    Raises:
        InputError: if it is no manifest of this version.
    """
    path = output_dir / "manifest.json"
    if not path.exists():
        return None
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        _ = manifest["data_hash"], manifest["data_dir"], manifest["preset"], manifest["settings"]
        make_config(manifest["preset"], **manifest["settings"])
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path} is not a manifest of this version; choose another output folder") from None
    return manifest


def write_manifest(output_dir: Path, manifest: Mapping[str, Any]) -> None:
    """Keep the manifest of a run in its folder."""
    write_text(output_dir / "manifest.json", json.dumps(manifest, indent=2) + "\n")


def check_output(output_dir: Path, *, preset: str, settings: Mapping[str, Any], data_hash: str) -> None:
    """Refuse to mix two runs in one folder; the same run again goes on where it stopped.

    Raises:
        InputError: if the folder holds a run with other data or settings, or files of somebody else that a run of ours
            would replace.
    """
    manifest, cure = read_manifest(output_dir), "choose another output folder, or delete that one"
    if manifest is None:
        foreign = [name for name in OUTPUTS if _holds(output_dir / name)]
        if foreign and not (output_dir / "folds.csv").exists():  # a single notebook of ours leaves folds.csv
            raise InputError(f"{output_dir} holds {foreign[0]} that is not of a run of ours; {cure}")
        return
    if not any(_holds(output_dir / name) for name in ("folds.csv", *OUTPUTS)):
        return  # of a first try that failed before it left anything
    if not str(manifest["data_hash"]).startswith("sha256:"):  # of names and sizes only
        raise InputError(f"{output_dir} holds a run of an earlier revision of seglib; {cure}")
    if manifest["data_hash"] != data_hash:
        raise InputError(f"{output_dir} holds a run on other data ({manifest['data_dir']} as it was then); {cure}")
    ours, theirs = make_config(preset, **settings), make_config(manifest["preset"], **manifest["settings"])
    if name := find_difference(ours, theirs):
        raise InputError(f"{output_dir} holds a run with {name}={_show(theirs, name)}, not {_show(ours, name)}; {cure}")


def _show(config: Config, name: str) -> str:
    return str(getattr(config, name)) or "''"


def _holds(path: Path) -> bool:
    """Whether there is a file, or a folder with something in it; a run that is stopped at once leaves empty folders."""
    return any(path.iterdir()) if path.is_dir() else path.exists()


def describe_config(output_dir: Path, config: Config) -> dict[str, Any]:
    """Every number of a run and its seed: as 02_training completed them from the data, or as they are given."""
    path = output_dir / "config.json"
    fields = json.loads(path.read_text(encoding="utf-8")) if path.exists() else dataclasses.asdict(config)
    return {"seed": fields["seed"], "config": fields}


def describe_machine() -> dict[str, Any]:
    """Versions, processor, GPUs and revision: what somebody needs to make the same run again."""
    import torch  # not above: whoever only reads a manifest does not wait for it

    versions = {name: _version(name) for name in PACKAGES}
    return {
        "seglib": seglib.__version__,
        "git_revision": _git_revision(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "gpus": [torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())],
        "versions": {name: version for name, version in versions.items() if version},
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_revision() -> str | None:
    root = Path(seglib.__file__).parents[1]
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
