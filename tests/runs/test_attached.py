import dataclasses
import json

import pandas as pd
import pytest

from seglib.config import Config
from seglib.errors import InputError
from seglib.machine import mounts
from seglib.runs.attached import continue_attached

CONFIG = Config(in_channels=3, white=255)


@pytest.fixture(autouse=True)
def inputs(tmp_path, monkeypatch):
    monkeypatch.setattr(mounts, "INPUTS", tmp_path / "input")
    (tmp_path / "input").mkdir()
    return tmp_path / "input"


def write_run(folder, config=CONFIG, epochs=2, folds="sample_id,fold\n1,0\n"):
    (folder / "checkpoints").mkdir(parents=True)
    for name in ("best", "last"):
        (folder / "checkpoints" / f"{name}.ckpt").write_text(f"after {epochs}")
    (folder / "config.json").write_text(json.dumps(dataclasses.asdict(config)))
    (folder / "folds.csv").write_text(folds)
    pd.DataFrame({"epoch": range(epochs)}).to_csv(folder / "history.csv")
    return folder


@pytest.mark.parametrize("place", ["slug/run", "datasets/owner/slug/run", "notebooks/owner/slug/outputs/run"])
def test_an_attached_run_is_gone_on_with_wherever_it_is_mounted(inputs, tmp_path, place, capsys):
    run = write_run(inputs / place)
    for name in ("02_training.ipynb", "report.html", "cache/images.npy", "figures/old.png"):
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).touch()
    (run / "checkpoints" / "best.ckpt").chmod(0o444)
    assert continue_attached(tmp_path / "out") == run
    copied = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*"))
    assert copied == ["checkpoints", "checkpoints/best.ckpt", "config.json", "figures", "folds.csv", "history.csv"]
    (tmp_path / "out" / "checkpoints" / "best.ckpt").write_text("may be written")
    assert capsys.readouterr().out == f"goes on with {run}, trained for 2 epochs\n"


def test_a_run_that_is_here_already_is_left_alone(inputs, tmp_path):
    write_run(inputs / "slug" / "run", epochs=9)
    write_run(tmp_path / "out")
    assert continue_attached(tmp_path / "out") is None
    assert (tmp_path / "out" / "checkpoints" / "last.ckpt").read_text() == "after 2"


def test_of_one_run_at_several_times_the_longest_trained_is_taken(inputs, tmp_path):
    for name, epochs in (("a", 2), ("b", 5), ("c", 3)):
        write_run(inputs / name / "run", epochs=epochs, config=dataclasses.replace(CONFIG, max_hours=epochs))
    assert continue_attached(tmp_path / "out") == inputs / "b" / "run"


def test_two_different_runs_are_no_choice_of_ours(inputs, tmp_path):
    write_run(inputs / "a" / "run")
    write_run(inputs / "b" / "run", config=dataclasses.replace(CONFIG, seed=3))
    with pytest.raises(InputError, match=r"a/run and .*b/run are two runs \(seed=0 and 3\); attach one"):
        continue_attached(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_same_numbers_on_other_folds_are_another_run(inputs, tmp_path):
    write_run(inputs / "a" / "run")
    write_run(inputs / "b" / "run", folds="sample_id,fold\n1,1\n")
    with pytest.raises(InputError, match=r"two runs \(other folds\)"):
        continue_attached(tmp_path / "out")


def test_training_goes_on_only_with_a_run_of_its_own_numbers(inputs, tmp_path, capsys):
    write_run(inputs / "a" / "run")
    wanted = dataclasses.replace(CONFIG, epochs=7)
    assert continue_attached(tmp_path / "out", wanted) is None
    assert capsys.readouterr().out == f"not used: {inputs}/a/run, a run with epochs=150\n"
    write_run(inputs / "b" / "run", config=wanted)
    assert continue_attached(tmp_path / "out", wanted) == inputs / "b" / "run"
    assert (tmp_path / "out" / "checkpoints" / "last.ckpt").exists()  # which evaluation can do without


def test_training_goes_on_with_no_ensemble(inputs, tmp_path, capsys):
    (write_run(inputs / "a" / "run") / "ensemble.json").write_text("{}")
    assert continue_attached(tmp_path / "out", CONFIG) is None
    assert capsys.readouterr().out == f"not used: {inputs}/a/run, an ensemble\n"


def test_a_recipe_without_a_checkpoint_is_no_run_and_what_is_there_is_said(inputs, tmp_path):
    run = write_run(inputs / "slug" / "run")
    for name in ("best", "last"):
        (run / "checkpoints" / f"{name}.ckpt").unlink()
    assert continue_attached(tmp_path / "out", CONFIG) is None
    with pytest.raises(InputError, match=r"no run in .*out nor in .*input, which holds slug/run/checkpoints; attach"):
        continue_attached(tmp_path / "out")


def test_nothing_happens_at_home(inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(mounts, "INPUTS", tmp_path / "absent")
    assert continue_attached(tmp_path / "out") is None
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["{}x", '{"epochz": 3}', "[]"])
def test_numbers_of_another_version_are_said_to_be_that(inputs, tmp_path, text):
    run = write_run(inputs / "slug" / "run")
    (run / "config.json").write_text(text)
    with pytest.raises(InputError, match="run is not a run of this version"):
        continue_attached(tmp_path / "out")
