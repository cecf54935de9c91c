import subprocess
import sys
from pathlib import Path

import pytest

from seglib.machine import mounts


@pytest.fixture(autouse=True)
def inputs(tmp_path, monkeypatch):
    monkeypatch.setattr(mounts, "INPUTS", tmp_path)
    return tmp_path


def test_a_folder_is_found_by_what_it_holds_and_nothing_is_looked_for_inside_it(inputs):
    for place in ("datasets/a/b", "b", "b/inner"):
        (inputs / place).mkdir(parents=True, exist_ok=True)
        (inputs / place / "mark").touch()
    found = mounts.find_inputs(lambda folder: (folder / "mark").exists())
    assert [str(folder.relative_to(inputs)) for folder in found] == ["b", "datasets/a/b"]


@pytest.mark.parametrize("mount", ["slug", "competitions/slug", "datasets/owner/slug", "notebooks/owner/slug"])
def test_depth_is_counted_from_the_mount_in_either_layout(inputs, mount):
    deep = inputs / mount / "a/b/c/d"
    (deep / "e").mkdir(parents=True)
    assert mounts.find_inputs(lambda folder: folder.name == "d") == [deep]
    assert mounts.find_inputs(lambda folder: folder.name == "e") == []


@pytest.mark.parametrize(
    ("mount", "names"),
    [
        ("slug", ["slug/data"]),
        ("competitions/slug", ["slug/data", "competitions/slug/data"]),
        ("datasets/owner/slug", ["slug/data", "owner/slug/data", "datasets/owner/slug/data"]),
    ],
)
def test_a_folder_of_a_mount_has_one_name_in_either_layout(inputs, mount, names):
    (inputs / mount / "data").mkdir(parents=True)
    assert [mounts.find_mounted(Path(name)) for name in names] == [inputs / mount / "data"] * len(names)
    assert mounts.find_mounted(Path("data")) is None


def test_what_the_inputs_hold_is_said_by_their_ends_and_not_without_end(inputs):
    assert mounts.describe_inputs() == f"{inputs}, which holds nothing"
    for number in range(15):
        (inputs / "a" / f"{number:02}").mkdir(parents=True)
    assert mounts.describe_inputs() == f"{inputs}, which holds {', '.join(f'a/{n:02}' for n in range(12))} and 3 more"


def test_a_file_is_found_by_its_name(inputs):
    (inputs / "datasets" / "a" / "b").mkdir(parents=True)
    (inputs / "datasets" / "a" / "b" / "mine.pth").touch()
    assert mounts.find_file("mine.pth") == inputs / "datasets/a/b/mine.pth"
    assert mounts.find_file("yours.pth") is None


def test_inputs_that_are_not_there_are_empty(inputs, monkeypatch):
    monkeypatch.setattr(mounts, "INPUTS", inputs / "absent")
    assert mounts.find_inputs(lambda _: True) == []
    assert mounts.describe_inputs().endswith("absent, which does not exist")


def test_a_link_to_a_folder_above_is_not_followed_for_ever(inputs):
    (inputs / "a").mkdir()
    (inputs / "a" / "up").symlink_to(inputs)
    assert mounts.find_inputs(lambda folder: folder.name == "never") == []


@pytest.mark.parametrize(("value", "expected"), [("", "/kaggle/input"), ("/elsewhere", "/elsewhere")])
def test_kagglehubs_variable_says_where_inputs_are_mounted(value, expected):
    code = "from seglib.machine import mounts; print(mounts.INPUTS)"
    environment = {"KAGGLE_CACHE_MOUNT_FOLDER": value}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == expected


@pytest.mark.parametrize("value", ["", "1"])
def test_a_hidden_rerun_is_told_by_its_variable(monkeypatch, value):
    monkeypatch.setenv("KAGGLE_IS_COMPETITION_RERUN", value)
    assert mounts.is_hidden_rerun() == bool(value)
