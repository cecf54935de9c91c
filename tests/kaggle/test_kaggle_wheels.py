import platform
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from seglib.errors import InputError
from seglib.kaggle import wheels
from seglib.kaggle.wheels import build_wheels, check_wheels, read_releases

ROOT = Path(__file__).parents[2]
THERE = {"torch": "2.10.0", "numpy": "2.0.2"}


def write_wheel(folder, name="other-1.0-py3-none-any.whl", python=">=3.11", needs=("torch>=2.6",)):
    lines = ["Metadata-Version: 2.1", f"Name: {name.split('-')[0]}", f"Version: {name.split('-')[1]}"]
    lines += [f"Requires-Python: {python}", *(f"Requires-Dist: {need}" for need in needs)]
    with zipfile.ZipFile(folder / name, "w") as pack:
        pack.writestr(f"{'-'.join(name.split('-')[:2])}.dist-info/METADATA", "\n".join(lines) + "\n")
    return folder / name


@pytest.mark.parametrize("name", ["python_version", "python_full_version"])
@pytest.mark.parametrize("python", ["3.11", "3.13"])
def test_what_a_wheel_needs_is_told_by_the_python_that_is_there(tmp_path, monkeypatch, name, python):
    monkeypatch.setattr(platform, "python_version", lambda: f"{python}.0")
    monkeypatch.setattr(platform, "python_version_tuple", lambda: (*python.split("."), "0"))
    check_wheels([write_wheel(tmp_path, needs=(f"gone>=1; {name} < '3.12'", f"gone>=1; {name} >= '3.13'"))], THERE)
    with pytest.raises(InputError, match="needs gone>=1"):
        check_wheels([write_wheel(tmp_path, needs=(f"gone>=1; {name} >= '3.12'",))], THERE)


def test_a_wheel_that_runs_with_what_is_there_passes(tmp_path):
    one = write_wheel(tmp_path, needs=("torch>=2.6", "numpy<3", "extra-thing>=9; extra == 'test'", "third>=2"))
    other = write_wheel(tmp_path, "third-2.1-py2.py3-none-any.whl", python=">=3")
    check_wheels([one, other], THERE)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"needs": ("torch>=2.11",)}, "other-1.0-py3-none-any.whl needs torch>=2.11, but Kaggle's image has 2.10.0"),
        ({"needs": ("monai",)}, "needs monai, but Kaggle's image has none"),
        ({"python": ">=3.13"}, "needs python>=3.13, but Kaggle's image has 3.12"),
        ({"name": "other-1.0-cp311-cp311-linux_x86_64.whl"}, "made for one kind of machine"),
    ],
)
def test_a_wheel_that_could_not_run_there_is_refused(tmp_path, changed, words):
    with pytest.raises(InputError, match=words):
        check_wheels([write_wheel(tmp_path, **changed)], THERE)


@pytest.mark.parametrize("content", [b"", b"no zip"])
def test_what_is_no_whole_wheel_is_refused(tmp_path, content):
    path = write_wheel(tmp_path)
    path.write_bytes(content)
    with pytest.raises(InputError, match="is no whole wheel"):
        check_wheels([path], THERE)


def test_a_wheel_with_a_wrong_byte_is_refused(tmp_path):
    path = write_wheel(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"Version: 1.0", b"Version: 1.1"))  # stored as it is, so that only the sum tells
    assert path.read_bytes() != content
    with pytest.raises(InputError, match="is no whole wheel"):
        check_wheels([path], THERE)


def test_releases_are_read_without_comments(tmp_path):
    (tmp_path / "file").write_text("# what\ntorch==2.10.0\n\nPyYAML==6.0.3  # why\n")
    assert read_releases(tmp_path / "file") == {"torch": "2.10.0", "pyyaml": "6.0.3"}
    with pytest.raises(InputError, match="absent is missing; run from a clone"):
        read_releases(tmp_path / "absent")


def test_the_wheels_that_are_built_are_those_installed_here_and_can_be_imported_from(tmp_path):
    built = build_wheels(["segmentation-models-pytorch"], ROOT, tmp_path)
    assert [path.name.split("-")[0] for path in built] == ["seglib", "segmentation_models_pytorch"]
    code = f"import sys; sys.path[:0] = {list(map(str, built))}; import seglib; print(seglib.__file__)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert said.stdout.startswith(str(built[0]))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [path.name for path in built]


def test_what_is_not_installed_cannot_be_sent(tmp_path):
    with pytest.raises(InputError, match="nobody-has-this is not installed here"):
        build_wheels(["nobody-has-this"], ROOT, tmp_path)


def test_the_words_of_pip_come_through(tmp_path, monkeypatch):
    monkeypatch.setattr(wheels, "_installed", lambda _: "999")
    with pytest.raises(InputError, match=r"could not make the wheels of seglib tqdm==999; mend that:[\s\S]*tqdm"):
        build_wheels(["tqdm"], ROOT, tmp_path)
