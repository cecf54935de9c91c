import json
from pathlib import Path

import pandas as pd
import pytest

import seglib
from seglib import paths
from seglib.cli import main
from seglib.errors import InputError
from seglib.runs.ensembles import plan_ensemble, write_ensemble


def make_ensemble(runs, folder):
    plan = plan_ensemble(runs, folder)
    write_ensemble(plan, folder)
    return plan.first


def make_run(folder, *, folds=1, fold=0, held_out=("a",), numbers=None, **changes):
    """The traces of a finished run on the samples a, b and c, which are in the folds ``numbers``."""
    folder.mkdir()
    facts = {"data_hash": "h", "data_dir": "/d", "preset": "quick", "settings": {}}
    facts |= {"config": {"folds": folds, "fold": fold} | changes.pop("config", {})} | changes
    (folder / "manifest.json").write_text(json.dumps(facts))
    numbers = numbers or [fold if name in held_out else fold + 1 for name in "abc"]
    rows = [f"{name},{number}" for name, number in zip("abc", numbers, strict=True)]
    (folder / "folds.csv").write_text("\n".join(["sample_id,fold", *rows]) + "\n")
    column, values = ("fold,", ["0,", "1,"][:folds]) if folds > 1 else ("", [""])
    (folder / "history.csv").write_text(f"{column}epoch,val_loss\n" + "".join(f"{value}1,0.5\n" for value in values))
    (folder / "held_out.npy").touch()
    return folder


def test_an_ensemble_names_its_runs_and_numbers_their_networks(tmp_path):
    first, second = make_run(tmp_path / "a", folds=2), make_run(tmp_path / "b", folds=2)
    (tmp_path / "both").mkdir()
    make_ensemble([first, second], tmp_path / "both")
    assert json.loads((tmp_path / "both" / "ensemble.json").read_text()) == {"runs": ["../a", "../b"]}
    assert pd.read_csv(tmp_path / "both" / "history.csv")["fold"].tolist() == [0, 1, 2, 3]
    make_ensemble([first, second], tmp_path / "both")  # the same again goes on


ENSEMBLES = {
    "one run twice": (lambda a, b: [a, a], {}, {}, "two different runs"),
    "one of three twice": (lambda a, b: [a, b, a], {}, {}, "two different runs"),
    "one run": (lambda a, b: [a], {}, {}, "two different runs"),
    "other data": (lambda a, b: [a, b], {}, {"data_hash": "other"}, "on other data"),
    "other images": (lambda a, b: [a, b], {}, {"held_out": "b"}, "hold out different images"),
    "folds and none": (lambda a, b: [a, b], {"folds": 2}, {}, "hold out different images"),
    "another version": (lambda a, b: [a, b], {}, {"config": {"gone": 1}}, "b was made by another version of seglib"),
    "no run": (lambda a, b: [a, b.parent / "c"], {}, {}, "c is not a finished run"),
}


@pytest.mark.parametrize("case", ENSEMBLES)
def test_runs_that_cannot_be_averaged_are_refused(tmp_path, case):
    choose, first, second, words = ENSEMBLES[case]
    chosen = choose(make_run(tmp_path / "a", **first), make_run(tmp_path / "b", **second))
    with pytest.raises(InputError, match=words):
        make_ensemble(chosen, tmp_path)
    assert not (tmp_path / "ensemble.json").exists()


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("history.csv", "history.csv cannot be read; run the notebooks"),
        ("manifest.json", "manifest"),
        ("folds.csv", "folds.csv is not a table of sample_id and fold; run .* again"),
    ],
)
def test_a_run_that_cannot_be_read_is_refused_before_anything_is_written(tmp_path, broken, said):
    runs = [make_run(tmp_path / "a"), make_run(tmp_path / "b")]
    (runs[1] / broken).write_text("")
    with pytest.raises(InputError, match=said):
        plan_ensemble(runs, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_data_of_the_first_run_is_found_from_another_working_directory(tmp_path, monkeypatch, capsys):
    folder = Path(seglib.__file__).parents[1] / "notebooks"
    runs = [str(make_run(tmp_path / name, data_dir=paths.shorten(folder))) for name in "ab"]
    monkeypatch.chdir(tmp_path)
    assert main(["ensemble", *runs, "--out", "all"]) == 2
    assert f"{folder} holds no Train/Image" in capsys.readouterr().err


def test_an_ensemble_replaces_nothing_that_is_not_its_own(tmp_path):
    first, second, third = (make_run(tmp_path / name) for name in "abc")
    with pytest.raises(InputError, match="holds a manifest.json of something else"):
        make_ensemble([first, second], third)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "submission.csv").touch()
    with pytest.raises(InputError, match="holds a submission.csv of something else"):
        make_ensemble([first, second], tmp_path / "mine")
    make_ensemble([first, second], tmp_path / "new")
    with pytest.raises(InputError, match="holds an ensemble of other runs"):
        make_ensemble([first, third], tmp_path / "new")


def test_runs_of_one_fold_each_stand_for_one_run_with_all_folds_whatever_their_order(tmp_path):
    for fold in range(3):
        settings = {"fold": fold, "val_fraction": 0.3}
        make_run(tmp_path / str(fold), fold=fold, numbers=(2, 0, 1), settings=settings, config={"val_fraction": 0.3})
        (tmp_path / str(fold) / "history.csv").write_text(f"epoch,val_loss\n1,{fold}\n")
    first = make_ensemble([tmp_path / name for name in "201"], tmp_path / "all")
    assert first["settings"] == {"folds": 3, "val_fraction": 0.3}
    assert json.loads((tmp_path / "all" / "ensemble.json").read_text()) == {"runs": ["../0", "../1", "../2"]}
    kept = json.loads((tmp_path / "all" / "config.json").read_text())
    assert (kept["folds"], kept["fold"], kept["val_fraction"]) == (3, 0, 0.3)
    history = pd.read_csv(tmp_path / "all" / "history.csv")
    assert history["fold"].tolist() == history["val_loss"].tolist() == [0, 1, 2]
    assert (tmp_path / "all" / "folds.csv").read_text() == (tmp_path / "2" / "folds.csv").read_text()
    make_ensemble([tmp_path / name for name in "012"], tmp_path / "all")  # the same again goes on


FOLDS = {
    "one fold twice": ([0, 1, 2, 1], {}, "2 of the runs hold out fold 1"),
    "a fold is missing": ([0, 2], {}, "0 of the runs hold out fold 1"),
    "other numbers": ([0, 1, 2], {"config": {"learning_rate": 0.5}}, "hold out different images, and differ in learn"),
    "other folds": ([0, 1, 2], {"numbers": (0, 2, 1)}, "hold out different images; use runs with several folds or one"),
}


@pytest.mark.parametrize("case", FOLDS)
def test_runs_that_are_not_each_fold_once_are_refused(tmp_path, case):
    folds, last, words = FOLDS[case]
    runs = [tmp_path / str(number) for number in range(len(folds))]
    for run, fold in zip(runs, folds, strict=True):
        make_run(run, fold=fold, **({"numbers": (0, 1, 2)} | (last if run == runs[-1] else {})))
    with pytest.raises(InputError, match=words):
        make_ensemble(runs, tmp_path / "all")
    assert not (tmp_path / "all").exists()
