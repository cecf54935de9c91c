"""Packages of this machine -> wheels for a machine without internet, checked against what is installed there."""

import importlib.metadata
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from seglib.errors import InputError

THERE = "constraints-kaggle.txt"  # in the project's root: the releases of Kaggle's image
PYTHON_THERE = "3.12"
MARKERS_THERE = {"extra": "", "python_version": PYTHON_THERE, "python_full_version": f"{PYTHON_THERE}.0"}


def build_wheels(packages: Sequence[str], root: Path, folder: Path) -> list[Path]:
    """Wheels of this project and of packages that are installed here, in the very releases that are.

    Args:
        packages: names of distributions.
        root: the project's root, whose own wheel is built from it.
        folder: where the wheels are put.

    Returns:
        Their files, that of the project among them.

    Raises:
        InputError: if a package is not installed, pip cannot make its wheel, or Kaggle's image could not run it.
    """
    wanted = [f"{name}=={_installed(name)}" for name in packages]
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder)]
    with tempfile.TemporaryDirectory() as place:
        _copy_source(root, Path(place))
        done = subprocess.run([*command, place, *wanted], capture_output=True, text=True)
    if done.returncode:
        reason = done.stderr.strip() or done.stdout.strip()
        raise InputError(f"pip could not make the wheels of seglib {' '.join(wanted)}; mend that:\n{reason}")
    wheels = sorted(folder.glob("*.whl"))
    check_wheels(wheels, read_releases(root / THERE))
    return wheels


def _copy_source(root: Path, place: Path) -> None:
    """What a wheel is built from; in the project itself, a wheel would take in what an earlier one left in build/."""
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, place)
    shutil.copytree(root / "seglib", place / "seglib", ignore=shutil.ignore_patterns("__pycache__"))


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        raise InputError(f"{name} is not installed here, so it cannot be sent; pip install {name}") from None


def read_releases(path: Path) -> dict[str, str]:
    """Releases by canonical name from a file of lines ``name==release``.

    Raises:
        InputError: if it is missing.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing; run from a clone of the project, installed by pip install -e .")
    lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    pairs = (line.split("==") for line in lines if line)
    return {canonicalize_name(name): release for name, release in pairs}


def check_wheels(wheels: Sequence[Path], there: dict[str, str]) -> None:
    """Refuse wheels that a machine with the packages ``there`` could not install and run without anything else.

    Args:
        wheels: the files.
        there: releases by canonical name.

    Raises:
        InputError: naming the first wheel that is broken, made for one machine only, or needs what is not there.
    """
    found = {wheel: _read_metadata(wheel) for wheel in wheels}
    has = (
        there
        | {"python": PYTHON_THERE}
        | {canonicalize_name(about["Name"]): about["Version"] for about in found.values()}
    )
    for wheel, about in found.items():
        if {str(tag) for tag in parse_wheel_filename(wheel.name)[3]} - {"py3-none-any", "py2-none-any"}:
            raise InputError(f"{wheel.name} is made for one kind of machine; only wheels of pure Python can be sent")
        needs = [f"python{about['Requires-Python'] or ''}", *(about.get_all("Requires-Dist") or [])]
        for need in map(Requirement, needs):
            if need.marker is None or need.marker.evaluate(MARKERS_THERE):
                _check_need(wheel, need, has)


def _check_need(wheel: Path, need: Requirement, has: dict[str, str]) -> None:
    release = has.get(canonicalize_name(need.name))
    if release is None or not need.specifier.contains(Version(release).base_version, prereleases=True):
        raise InputError(
            f"{wheel.name} needs {need}, but Kaggle's image has {release or 'none'}; install another release"
        )


def _read_metadata(wheel: Path) -> Message:
    try:
        with zipfile.ZipFile(wheel) as pack:
            if pack.testzip() is not None:
                raise zipfile.BadZipFile
            (name,) = [name for name in pack.namelist() if name.endswith(".dist-info/METADATA")]
            return HeaderParser().parsestr(pack.read(name).decode())
    except (zipfile.BadZipFile, ValueError):
        raise InputError(f"{wheel.name} is no whole wheel; delete it and build again") from None
