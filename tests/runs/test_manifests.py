import json
import os

import pytest
import torch

from seglib.errors import InputError
from seglib.runs import manifests

HASH = "sha256:0"


def make_manifest(folder, **changes):
    facts = {"data_hash": HASH, "data_dir": "/d", "preset": "quick", "settings": {"epochs": 3}} | changes
    (folder / "manifest.json").write_text(json.dumps(facts))
    (folder / "folds.csv").touch()


def check(folder, **changes):
    facts = {"data_hash": HASH, "preset": "quick", "settings": {"epochs": 3}} | changes
    manifests.check_output(folder, **facts)


def test_a_folder_without_a_run_or_with_the_same_one_is_used(tmp_path):
    check(tmp_path)
    make_manifest(tmp_path)
    check(tmp_path)


def test_a_run_that_was_stopped_before_anything_was_written_is_begun_again(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    check(tmp_path)
    (tmp_path / "checkpoints" / "mine.ckpt").touch()
    with pytest.raises(InputError, match="checkpoints that is not of a run of ours"):
        check(tmp_path)


def test_files_of_somebody_else_are_not_replaced(tmp_path):
    (tmp_path / "notes.txt").touch()
    check(tmp_path)
    (tmp_path / "submission.csv").touch()
    with pytest.raises(InputError, match="submission.csv that is not of a run of ours"):
        check(tmp_path)


def test_a_run_goes_on_from_a_notebook_that_was_run_alone(tmp_path):
    for name in ("folds.csv", "config.json"):
        (tmp_path / name).touch()
    check(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data_hash": f"{HASH}0"}, "on other data [(]/d as it was then[)]"),
        ({"settings": {"epochs": 4}}, "epochs=3, not 4"),
        ({"preset": "baseline"}, "architecture=Unet, not plain"),
    ],
)
def test_two_runs_are_not_mixed_in_one_folder(tmp_path, changes, words):
    make_manifest(tmp_path)
    with pytest.raises(InputError, match=words):
        check(tmp_path, **changes)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"data_hash": 1, "data_dir": 2, "preset": "no", "settings": {}}'])
def test_a_manifest_of_something_else_is_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match="not a manifest"):
        check(tmp_path)


def test_a_value_that_is_empty_is_seen(tmp_path):
    make_manifest(tmp_path, preset="baseline", settings={})
    with pytest.raises(InputError, match="holds a run with encoder='', not resnet18"):
        check(tmp_path, preset="baseline", settings={"architecture": "plain", "encoder": "resnet18"})


def test_a_first_try_that_failed_before_it_left_anything_is_in_nobodys_way(tmp_path):
    make_manifest(tmp_path)
    (tmp_path / "folds.csv").unlink()
    (tmp_path / "03_loss_curves.ipynb").touch()
    check(tmp_path, settings={"epochs": 4}, data_hash=f"{HASH}0")
    (tmp_path / "history.csv").touch()
    with pytest.raises(InputError, match="on other data"):
        check(tmp_path, settings={"epochs": 4}, data_hash=f"{HASH}0")


def test_a_run_known_by_names_and_sizes_only_is_not_gone_on_with(tmp_path):
    make_manifest(tmp_path, data_hash="45e1bb8c14e2510f")
    with pytest.raises(InputError, match="holds a run of an earlier revision of seglib; choose another output folder"):
        check(tmp_path)


def test_the_machine_is_described_well_enough_to_make_the_run_again(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda place: f"card {place}")
    facts = manifests.describe_machine()
    assert facts["processors"] == os.cpu_count()
    assert facts["gpus"] == ["card 0", "card 1"]
    assert {"torch", "numpy", "papermill"} <= set(facts["versions"])
