"""The main job as a user does it, on phantoms, in processes of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import papermill
import pytest

from seglib.data.unseen import list_test_images
from seglib.images.masks import read_mask
from seglib.images.reading import image_size
from seglib.scores.summaries import DEFINITIONS
from seglib.submission.files import check_submission, read_submission
from seglib.submission.run_lengths import decode_rle

ROOT = Path(__file__).parents[2]
SMALL = ["--set", "image_size=64", "--set", "epochs=4", "--set", "min_steps=0", "--set", "batch_size=4"]


def seglib(*words):
    command = [sys.executable, "-m", "seglib", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


@pytest.fixture(scope="module")
def data(phantoms, tmp_path_factory):
    copy = shutil.copytree(phantoms, tmp_path_factory.mktemp("e2e") / "data")
    (copy / "sample_submission.csv").write_text("ImageId,Mask\ntest_0002,\ntest_0000,\ntest_0003,\ntest_0001,\n")
    return copy


@pytest.fixture(scope="module")
def run(data):
    """One run of the preset quick, smaller; its folder and what it said."""
    result = seglib("run", "--data", data, "--out", data.parent / "out", "--preset", "quick", *SMALL)
    assert result.returncode == 0, result.stderr
    return data.parent / "out", result


def test_everything_that_is_promised_is_there(run):
    folder, result = run
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    promised = {
        f"{name}.ipynb" for name in ("01_eda", "02_training", "03_loss_curves", "04_evaluation", "05_submission")
    }
    promised |= {"folds.csv", "config.json", "history.csv", "scores.csv", "summary.json", "submission.csv"}
    promised |= {"manifest.json", "report.html", "checkpoints/best.ckpt", "checkpoints/last.ckpt"}
    promised |= {"masks.json", "held_out.npy"}
    assert promised <= names
    assert sum(name.startswith("figures/") for name in names) >= 8
    assert [line.split()[0] for line in result.stdout.splitlines()[-2:]] == ["report", "submission"]


def test_a_line_per_epoch_comes_through_and_no_bar(run):
    _, result = run
    assert sum(line.startswith("epoch ") for line in result.stdout.splitlines()) == 4
    assert result.stderr == ""


def test_the_submission_keeps_the_template_and_can_be_decoded(run, data):
    folder, _ = run
    table = pd.read_csv(folder / "submission.csv", keep_default_na=False)
    assert list(table) == ["ImageId", "Mask"]
    assert table["ImageId"].tolist() == ["test_0002", "test_0000", "test_0003", "test_0001"]
    sizes = {row.sample_id: image_size(row.image_path) for row in list_test_images(data).itertuples()}
    check_submission(folder / "submission.csv", sizes)


def test_predicting_the_folder_of_test_images_gives_the_masks_of_the_submission(run, data, tmp_path):
    result = seglib("predict", run[0], data / "Test" / "Image", "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    for name, rle in read_submission(run[0] / "submission.csv").items():
        mask = read_mask(tmp_path / f"{name}.png")
        assert (decode_rle(rle, mask.shape) == mask).all()
    unsure, found = pd.read_csv(run[0] / "unsure.csv"), pd.read_csv(tmp_path / "predictions.csv")
    doubts = [table.set_index("sample_id")["expected_dice"].sort_index() for table in (unsure, found)]
    assert doubts[1].tolist() == pytest.approx(doubts[0].tolist())


def test_scores_are_of_the_held_out_images_and_the_summary_is_their_mean(run):
    folder, _ = run
    folds, scores = pd.read_csv(folder / "folds.csv"), pd.read_csv(folder / "scores.csv")
    assert sorted(scores["sample_id"]) == sorted(folds.loc[folds["fold"] == 0, "sample_id"])
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["dice_mean"] == pytest.approx(scores["dice"].mean())
    assert summary["dice_mean"] > 0.3  # four epochs of four steps teach a pretrained encoder that much


def test_the_evaluation_shows_every_score_beside_its_meaning_and_no_warning(run):
    cells = nbformat.read(run[0] / "04_evaluation.ipynb", as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert not [output["text"] for output in outputs if output.get("name") == "stderr"]
    pages = "".join(output.get("data", {}).get("text/html", "") for output in outputs)
    summary = json.loads((run[0] / "summary.json").read_text())
    interval = f"{summary['dice_low']:.4f} to {summary['dice_high']:.4f}"
    for cell in ("Dice mean per image", f"{summary['dice_mean']:.4f}", interval):
        assert f">{cell}</td>" in pages
    for name in ("dice", "hd95", "surface_dice", "failures"):
        assert DEFINITIONS[name] in pages


def test_the_manifest_tells_how_to_make_it_again(run, data):
    manifest = json.loads((run[0] / "manifest.json").read_text())
    assert manifest["preset"] == "quick"
    assert manifest["settings"] == {"image_size": 64, "epochs": 4, "min_steps": 0, "batch_size": 4}
    assert Path(manifest["data_dir"]).name == data.name
    assert manifest["finished"] >= manifest["started"]
    assert len(manifest["seconds"]) == 5
    assert manifest["config"] == json.loads((run[0] / "config.json").read_text())
    assert (manifest["seed"], manifest["config"]["in_channels"]) == (0, 3)
    assert manifest["data_hash"]
    assert manifest["versions"]["torch"]


def test_the_same_command_again_trains_nothing_and_gives_the_same_file(run, data):
    folder, _ = run
    before = (folder / "submission.csv").read_bytes()
    result = seglib("run", "--data", data, "--out", folder, "--preset", "quick", *SMALL, "--only", "02,05")
    assert result.returncode == 0, result.stderr
    assert not [line for line in result.stdout.splitlines() if line.startswith("epoch ")]
    assert (folder / "submission.csv").read_bytes() == before


@pytest.fixture(scope="module")
def pair(data):
    """Two runs of two folds each, with other seeds, sizes and folds."""
    folders = [data.parent / name for name in ("first", "second")]
    plain = ["--set", "width=4", "--set", "epochs=1", "--set", "folds=2", "--only", "02,04"]
    for number, folder in enumerate(folders):
        own = ["--set", f"seed={number}", "--set", f"image_size={32 + 16 * number}", "--set", "norm=batch"]
        result = seglib("run", "--data", data, "--out", folder, *own, *plain)
        assert result.returncode == 0, result.stderr
    return folders


def test_with_folds_every_training_image_is_scored_by_the_network_that_did_not_see_it(pair, data):
    folds, scores = (pd.read_csv(pair[0] / name) for name in ("folds.csv", "scores.csv"))
    assert sorted(scores["sample_id"]) == sorted(folds["sample_id"])
    assert scores.set_index("sample_id")["fold"].to_dict() == folds.set_index("sample_id")["fold"].to_dict()
    assert (pair[0] / "fold_1" / "checkpoints" / "best.ckpt").exists()
    assert pd.read_csv(pair[0] / "history.csv")["fold"].tolist() == [0, 1]


def test_runs_of_other_seeds_sizes_and_folds_are_averaged_to_one_submission(pair, data):
    folder = data.parent / "both"
    result = seglib("ensemble", *pair, "--data", data, "--out", folder)
    assert result.returncode == 0, result.stderr
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["images"] == len(pd.read_csv(pair[0] / "folds.csv"))
    assert len(summary["best_epochs"]) == 4
    sizes = {row.sample_id: image_size(row.image_path) for row in list_test_images(data).itertuples()}
    check_submission(folder / "submission.csv", sizes)
    assert (folder / "report.html").exists()


@pytest.mark.slow
def test_folds_trained_as_runs_of_their_own_join_to_what_one_run_with_folds_says(pair, data, tmp_path):
    plain = ["--set", "width=4", "--set", "epochs=1", "--set", "norm=batch", "--set", "image_size=32"]
    for fold in range(2):
        own = ["--set", f"fold={fold}", "--set", "val_fraction=0.5", "--only", "02,04"]
        result = seglib("run", "--data", data, "--out", tmp_path / str(fold), *own, *plain)
        assert result.returncode == 0, result.stderr
    result = seglib("ensemble", tmp_path / "1", tmp_path / "0", "--data", data, "--out", tmp_path / "both")
    assert result.returncode == 0, result.stderr
    whole, joined = (pd.read_csv(folder / "scores.csv") for folder in (pair[0], tmp_path / "both"))
    same = ["sample_id", "fold", "dice", "iou", "hd95"]
    pd.testing.assert_frame_equal(whole[same], joined[same])
    assert json.loads((tmp_path / "both" / "manifest.json").read_text())["settings"]["folds"] == 2
    assert "fold" not in json.loads((tmp_path / "both" / "manifest.json").read_text())["settings"]


def test_plain_papermill_runs_a_notebook_from_anywhere(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"data_dir": str(data), "output_dir": str(tmp_path / "eda")}
    papermill.execute_notebook(str(ROOT / "notebooks/01_eda.ipynb"), "out.ipynb", given, progress_bar=False)
    cells = nbformat.read("out.ipynb", as_version=4).cells
    pictures = [output for cell in cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    assert len(pictures) == len(list((tmp_path / "eda" / "figures").glob("*.png")))
    assert len(pictures) >= 5
    for name in ("folds.csv", "problems.csv"):
        assert (tmp_path / "eda" / name).exists()


@pytest.mark.slow
def test_the_baseline_takes_its_first_real_steps_on_real_images_and_the_loss_falls(tmp_path):
    """Three steps at 320 px on the CPU: the loss stays finite and falls."""
    import torch

    from seglib.batches.loaders import make_loaders
    from seglib.config import make_config
    from seglib.data.samples import list_samples
    from seglib.models.networks import build_model
    from seglib.training.segmenter import Segmenter

    real = ROOT.parent / "shared" / "data" / "isic2016"
    if not real.exists():
        pytest.skip("the real images are not here")
    torch.set_num_threads(2)
    samples = list_samples(real)[:16]
    config = make_config("baseline", in_channels=3, white=255, batch_size=4, augment="none")
    loader, _ = make_loaders(samples, samples[:4], config, tmp_path)
    module = Segmenter(build_model(config), config, total_steps=3)
    optimizer, batch, losses = module.configure_optimizers()["optimizer"], next(iter(loader)), []
    for _ in range(3):
        loss = module.loss(module(batch["image"]), batch["mask"])
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(torch.isfinite(torch.tensor(losses)))
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.slow
def test_torchrun_of_the_command_trains_by_all_processes_and_does_the_rest_once(data, run, tmp_path):
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "seglib"]
    words = ["run", "--data", str(data), "--out", str(tmp_path / "two"), "--preset", "quick", *SMALL]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run([*start, *words], capture_output=True, text=True, cwd=ROOT, env=env, timeout=600)
    assert result.returncode == 0, result.stderr
    assert "2 processes on the CPU share every batch of 4 images" in result.stdout
    assert sum(line.startswith("epoch ") for line in result.stdout.splitlines()) == 4
    assert sum(line.startswith("report ") for line in result.stdout.splitlines()) == 1
    assert len(pd.read_csv(tmp_path / "two" / "submission.csv")) == 4
    assert not list((tmp_path / "two").glob(".order-*"))
    again = subprocess.run([*start, *words], capture_output=True, text=True, cwd=ROOT, env=env, timeout=600)
    assert again.returncode == 0, again.stderr


@pytest.mark.slow
def test_torchrun_of_a_command_that_cannot_work_ends_with_its_sentence(data, tmp_path):
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "seglib"]
    words = ["run", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    result = subprocess.run([*start, *words], capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert result.returncode != 0
    assert "seglib: " in result.stderr
    assert "Train" in result.stderr
