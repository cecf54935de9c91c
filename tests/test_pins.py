import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
DECLARED = [
    Requirement(text) for text in [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
]
PINS = {
    canonicalize_name(Requirement(line).name): Requirement(line).specifier
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
}
KAGGLE = {  # versions of Kaggle's image, of the Colab base it is built on in May and August 2026
    "torch": ["2.10.0", "2.11.0"],
    "torchvision": ["0.25.0", "0.26.0"],
    "albumentations": ["2.0.8"],
    "opencv-python-headless": ["4.13.0.92", "5.0.0.93"],
    "pillow": ["11.3.0"],
    "numpy": ["2.0.2", "2.1.3"],
    "pandas": ["2.2.2"],
    "scikit-learn": ["1.6.1"],
    "scipy": ["1.16.3"],
    "safetensors": ["0.7.0"],
    "matplotlib": ["3.10.0"],
    "nbformat": ["5.10.4"],
    "ipykernel": ["6.17.1"],
    "tqdm": ["4.67.3"],
    "requests": ["2.32.4"],
}


@pytest.mark.parametrize("requirement", DECLARED, ids=lambda requirement: requirement.name)
def test_every_dependency_is_pinned_to_one_release_that_its_range_admits(requirement):
    (pin,) = PINS[canonicalize_name(requirement.name)]
    assert pin.operator == "=="
    assert requirement.specifier.contains(pin.version)


def test_what_is_installed_is_what_is_pinned():
    for name, specifier in PINS.items():
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # an extra that the tests do not need
        assert specifier.contains(installed), f"{name} {installed} is installed"


@pytest.mark.parametrize("name", KAGGLE)
def test_the_ranges_admit_what_kaggles_image_has(name):
    (requirement,) = [one for one in DECLARED if canonicalize_name(one.name) == name]
    assert [version for version in KAGGLE[name] if not requirement.specifier.contains(version)] == []


def test_python_of_kaggles_image_is_admitted_everywhere():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (python,) = [text for text in conda if isinstance(text, str) and text.startswith("python")]
    for wanted in (SpecifierSet(PROJECT["requires-python"]), SpecifierSet(python.removeprefix("python"))):
        assert [version for version in ("3.11", "3.12", "3.13") if not wanted.contains(version)] == []


def test_the_conda_environment_installs_this_project_under_the_same_pins():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert conda["channels"] == ["conda-forge", "nodefaults"]
    (pip,) = [entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict)]
    assert "pip" in conda["dependencies"]
    constraint, project = pip
    assert constraint == "--constraint constraints.txt"
    assert project.startswith("-e .[")
    assert set(project[5:-1].split(",")) == set(EXTRAS) - {"test"}


def test_torch_and_torchvision_are_a_pair():
    (torch,), (torchvision,) = PINS["torch"], PINS["torchvision"]
    assert int(torchvision.version.split(".")[1]) == int(torch.version.split(".")[1]) + 15
