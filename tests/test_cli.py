import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from seglib import cli, downloads
from seglib.cli import main
from seglib.commands.runs import check_data
from seglib.data import synthetic
from seglib.data.references import list_masks
from seglib.images.masks import read_mask
from seglib.images.reading import read_image
from seglib.models.networks import build_model
from seglib.prediction.rules import MaskRules
from seglib.submission.files import write_submission
from seglib.submission.run_lengths import encode_rle


@pytest.fixture
def copy(phantoms, tmp_path):
    return shutil.copytree(phantoms, tmp_path / "copy")


@pytest.fixture
def stop(capsys, tmp_path):
    """Run a command that must stop with a sentence; give the sentence."""

    def stop_(*words, code=2):
        assert main([str(word) for word in words]) == code
        captured = capsys.readouterr()
        sentences = captured.err.strip().splitlines()
        assert len(sentences) == 1
        assert "Traceback" not in captured.err
        return sentences[0]

    return stop_


def first(folder):
    return sorted(folder.iterdir())[0]


def remove_test_images(data):
    for path in (data / "Test" / "Image").iterdir():
        path.unlink()


def empty_masks(data):
    for path in (data / "Train" / "Mask").iterdir():
        cv2.imwrite(str(path), 0 * cv2.imread(str(path)))


def leave_one(data):
    for folder in ("Image", "Mask"):
        for path in sorted((data / "Train" / folder).iterdir())[1:]:
            path.unlink()


FAULTS = {
    "an image without its mask": (lambda data: first(data / "Train/Mask").unlink(), "has no mask"),
    "a mask without its image": (lambda data: first(data / "Train/Image").unlink(), "has no image"),
    "a file that is empty": (lambda data: first(data / "Train/Image").write_bytes(b""), "train_0000.jpg"),
    "a mask cut short": (lambda data: os.truncate(first(data / "Train/Mask"), 60), "train_0000.png"),
    "a test image that is text": (lambda data: first(data / "Test/Image").write_text("hello"), "test_0000.jpg"),
    "all masks empty": (empty_masks, "are empty"),
    "one image only": (leave_one, "holds 1 image"),
    "no test images": (remove_test_images, "no test images"),
    "a template of other images": (
        lambda data: (data / "sample_submission.csv").write_text("id,rle\nz,\n"),
        "asks for 'z'",
    ),
    "no folder of masks": (lambda data: shutil.rmtree(data / "Train/Mask"), "no folder Mask"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_data_is_one_sentence_and_no_output(copy, tmp_path, stop, fault):
    spoil, words = FAULTS[fault]
    spoil(copy)
    assert words in stop("run", "--data", copy, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--preset", "quik"], "there is no preset 'quik'; did you mean quick?"),
        (["--set", "epoch=3"], "there is no setting 'epoch'; did you mean epochs?"),
        (["--only", "9"], "there is no notebook '09'"),
        (
            ["--data", "isic2017"],
            "isic2017 does not exist; check its spelling, or name what a run can fetch: phantoms, ",
        ),
        (["--data", "/nowhere/at/all"], "the data folder /nowhere/at/all does not exist"),
        (["--out", "/proc/nothing/here"], "cannot write to /proc/nothing/here"),
    ],
)
def test_a_word_that_cannot_be_is_one_sentence(phantoms, tmp_path, stop, words, sentence):
    defaults = {"--data": str(phantoms), "--out": str(tmp_path / "out"), "--set": "encoder_weights=none"}
    given = [word for name, value in defaults.items() if name not in words for word in (name, value)]
    assert sentence in stop("run", "--preset", "baseline", "--set", "image_size=32", *given, *words)


def test_a_folder_with_another_run_is_left_as_it_is(phantoms, tmp_path, stop):
    manifest = {"data_hash": "sha256:x", "data_dir": "/elsewhere", "preset": "quick", "settings": {}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "history.csv").touch()
    assert "holds a run on other data (/elsewhere as it was then)" in stop("run", "--data", phantoms, "--out", tmp_path)
    assert {entry.name for entry in tmp_path.iterdir() if entry.is_file()} == {"manifest.json", "history.csv"}


def test_without_a_folder_for_test_images_there_is_no_submission(copy, tmp_path, monkeypatch, stop, capsys):
    shutil.rmtree(copy / "Test")
    asked = ["run", "--data", str(copy), "--out", str(tmp_path / "out"), "--preset", "baseline"]
    assert "no test images" in stop(*asked, "--only", "04,05")
    ran = []
    monkeypatch.setattr("seglib.runs.notebooks.run_notebooks", lambda names, **facts: ran.extend(names))
    monkeypatch.setattr("seglib.runs.report.write_report", lambda folder: folder / "report.html")
    monkeypatch.setattr("seglib.runs.findings.describe_headline", lambda folder: f"the score of {folder.name}")
    assert main([*asked, "--set", "image_size=32"]) == 0
    assert ran == ["01_eda", "02_training", "03_loss_curves", "04_evaluation"]
    said = capsys.readouterr().out
    assert f"score       the score of out\nreport      {tmp_path / 'out' / 'report.html'}\n" in said
    assert f"{copy} holds no folder Test, so nothing is predicted for submission: 05_submission is left out" in said
    assert "submission  " not in said
    assert main([*asked, "--set", "image_size=32", "--only", "04"]) == 0
    assert "left out" not in capsys.readouterr().out


def test_an_unknown_command_explains_itself():
    result = subprocess.run([sys.executable, "-m", "seglib", "rum"], capture_output=True, text=True)
    assert result.returncode == 2
    assert "there is no command 'rum'; did you mean run?" in result.stderr


@pytest.mark.parametrize("module", ["seglib", "seglib.cli"])
def test_importing_the_package_or_its_command_does_nothing_and_waits_for_nothing(tmp_path, module):
    slow = ("torch", "cv2", "matplotlib", "pandas", "numpy")
    code = f"import {module}, sys; print(sorted(n for n in sys.modules if n in {slow}))"
    environment = {**os.environ, "HOME": str(tmp_path)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert result.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []


def test_pictures_beside_all_images_are_told_by_check_and_before_a_run(copy, capsys):
    images = sorted((copy / "Train" / "Image").iterdir())
    for path in images:
        shutil.copy(path, path.with_name(f"{path.stem}_superpixels.png"))
    said = f"{images[0].stem}_superpixels.png and {len(images) - 1} more _superpixels beside images have no masks"
    assert len(check_data(copy, with_test=True)) == len(images)
    assert said in capsys.readouterr().out
    main(["check", str(copy)])
    assert said in capsys.readouterr().out


def test_a_check_takes_the_names_of_data_sets_as_a_run_does(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write = synthetic.write_phantoms
    monkeypatch.setattr(synthetic, "write_phantoms", lambda folder: write(folder, train=4, test=2))
    for _ in range(2):
        assert main(["check", "phantoms"]) in {0, 1}
        assert capsys.readouterr().out.startswith(f"{tmp_path}/outputs/phantoms: ")
    monkeypatch.setattr(downloads, "get_data", lambda name, out: tmp_path / "outputs" / "phantoms")
    assert main(["check", "isic2016"]) in {0, 1}
    assert capsys.readouterr().out.startswith(f"{tmp_path}/outputs/phantoms: ")


def test_phantoms_are_written_and_scored_by_their_own_truth(tmp_path, capsys):
    assert main(["phantoms", "--out", str(tmp_path / "p"), "--train", "4", "--test", "3"]) == 0
    rles = {stem: encode_rle(read_mask(path)) for stem, path in list_masks(tmp_path / "p").items()}
    write_submission(tmp_path / "s.csv", rles)
    words = ["score", "--truth", str(tmp_path / "p"), "--submission", str(tmp_path / "s.csv")]
    capsys.readouterr()
    assert main([*words, "--json", str(tmp_path / "scores.json")]) == 0
    assert "Dice mean per image 1.0000" in capsys.readouterr().out
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert (scores["images"], scores["iou_mean"], scores["dice_pooled"]) == (3, 1.0, 1.0)


def test_options_of_the_run_lengths_reach_the_scorer(tmp_path, capsys):
    main(["phantoms", "--out", str(tmp_path / "p"), "--train", "2", "--test", "2"])
    order = {"by_rows": True, "zero_based": True}
    write_submission(
        tmp_path / "s.csv", {s: encode_rle(read_mask(p), **order) for s, p in list_masks(tmp_path / "p").items()}
    )
    words = ["score", "--truth", str(tmp_path / "p"), "--submission", str(tmp_path / "s.csv")]
    capsys.readouterr()
    assert main([*words, "--by-rows", "--zero-based"]) == 0
    assert "Dice mean per image 1.0000" in capsys.readouterr().out
    main(words)
    assert "Dice mean per image 1.0000" not in capsys.readouterr().out


@pytest.mark.parametrize("truth", ["/nowhere", "."])
def test_a_truth_without_masks_is_named(tmp_path, monkeypatch, stop, truth):
    monkeypatch.chdir(tmp_path)
    assert "masks" in stop("score", "--truth", truth, "--submission", "s.csv")


def test_photographs_are_no_references(phantoms, tmp_path, stop):
    photographs = shutil.copytree(phantoms / "Test" / "Image", tmp_path / "set")
    said = stop("score", "--truth", photographs, "--submission", "s.csv")
    assert "looks like a photograph and not like a mask, as do the others; name the folder" in said
    assert f"{photographs}/test_0000" in said


def test_a_page_is_no_submission(phantoms, tmp_path, stop):
    page = tmp_path / "report.html"
    page.write_text("<p>a, b</p>\n<p>a, b</p>\n<p>a, b, c</p>\n")
    said = stop("score", "--truth", phantoms, "--submission", page)
    assert said == f"seglib: {page} is not a CSV file; name one with two columns, such as id,rle"


def test_a_data_set_without_test_masks_is_scored_by_those_it_has_if_they_are_named(copy, stop):
    shutil.rmtree(Path(copy) / "Test" / "Mask")
    said = stop("score", "--truth", copy, "--submission", "s.csv")
    assert said.endswith(f"Test holds no masks; add them, or name those of the training images: {copy}/Train/Mask")


def test_an_unknown_data_set_is_named(tmp_path, stop):
    assert "isic2016" in stop("get", "isic2017", "--out", tmp_path / "x")


def test_a_folder_without_training_images_is_told_by_that_alone(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["run", "--data", str(tmp_path / "empty"), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "holds no Train/Image" in said.err


@pytest.mark.parametrize(
    "words",
    [
        ["run"],
        ["ensemble", "a", "b"],
        ["predict", "run", "images"],
        ["decode", "t.csv", "images"],
        ["get", "isic2016"],
        ["phantoms"],
        ["kaggle", "--push"],
    ],
    ids=lambda words: words[0],
)
def test_an_output_folder_that_is_a_file_is_named(phantoms, tmp_path, stop, words):
    (tmp_path / "file").write_text("mine")
    data = ["--data", phantoms] if words[0] == "run" else []
    assert stop(*words, *data, "--out", tmp_path / "file").endswith(f"{tmp_path}/file is a file; name a folder")
    assert (tmp_path / "file").read_text() == "mine"


def test_the_sentence_survives_a_full_process(copy, tmp_path):
    path = first(Path(copy) / "Train/Mask")
    path.unlink()
    command = [sys.executable, "-m", "seglib", "run", "--data", str(copy), "--out", str(tmp_path / "out")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("seglib: ")


def write_scores(folder, names, dice):
    folder.mkdir()
    pd.DataFrame({"sample_id": names, "dice": dice, "iou": dice}).to_csv(folder / "scores.csv", index=False)
    return str(folder)


def test_two_runs_are_compared_image_by_image_whatever_their_order(tmp_path, capsys):
    names = [f"{number:03d}" for number in range(20)]
    first = write_scores(tmp_path / "a", names, [0.01 * number for number in range(20)])
    second = write_scores(tmp_path / "b", names[::-1], [0.01 * number + 0.1 for number in range(20)][::-1])
    assert main(["compare", first, second]) == 0
    said = capsys.readouterr().out
    assert "Dice +0.1000 (95 % interval +0.1000 to +0.1000)" in said
    assert "better on 20, worse on 0 of 20 images" in said
    assert "the second run is better, and the difference is real" in said


def test_slices_of_few_patients_are_no_proof(tmp_path, capsys):
    names, gains = [f"{number:03d}" for number in range(40)], np.repeat([0.1, 0.1, 0.1, -0.02], 10)
    first = write_scores(tmp_path / "a", names, np.full(40, 0.5))
    second = write_scores(tmp_path / "b", names, 0.5 + gains)
    assert main(["compare", first, second]) == 0
    assert "40 images that both runs held out" in (said := capsys.readouterr().out)
    assert "the difference is real" in said
    lines = "".join(f"{name},0,{number // 10}\n" for number, name in enumerate(names))
    (tmp_path / "b" / "folds.csv").write_text("sample_id,fold,group\n" + lines)
    assert main(["compare", first, second]) == 0
    assert "40 images of 4 groups, each of which counts as one, that both runs held out" in (
        said := capsys.readouterr().out
    )
    assert "Dice +0.0700 (95 % interval" in said
    assert "real" not in said


@pytest.mark.parametrize("count", [1, 6])
def test_one_image_or_patient_makes_no_interval_of_a_difference(tmp_path, capsys, count):
    names = [f"{number:03d}" for number in range(count)]
    first = write_scores(tmp_path / "a", names, np.full(count, 0.5))
    second = write_scores(tmp_path / "b", names, np.full(count, 0.6))
    lines = "".join(f"{name},0,7\n" for name in names)
    (tmp_path / "a" / "folds.csv").write_text("sample_id,fold,group\n" + lines)
    assert main(["compare", first, second]) == 0
    said = capsys.readouterr().out
    assert "Dice +0.1000 (no interval, as all is of one image or group), p = 1;" in said
    assert "95 % interval" not in said


def test_runs_on_other_images_or_without_scores_are_not_compared(tmp_path, stop):
    first = write_scores(tmp_path / "a", ["x", "y"], [1, 1])
    second = write_scores(tmp_path / "b", ["v", "z"], [1, 1])
    assert "no image in common" in stop("compare", first, second)
    (tmp_path / "c").mkdir()
    assert "run 04_evaluation first" in stop("compare", first, tmp_path / "c")
    assert stop("compare", first, f"{first}/../a").endswith("are one run; name two different runs")
    assert stop("compare", first, "/nowhere") == "seglib: there is no folder /nowhere; name that of a run"
    scores = tmp_path / "a" / "scores.csv"
    assert stop("compare", second, scores) == f"seglib: {scores} is a file; name the folder of the run, {scores.parent}"


def test_a_check_prints_problems_and_leaves_with_one(copy, tmp_path, capsys):
    open(first(copy / "Train/Mask"), "wb").close()
    fixes = tmp_path / "fixes.csv"
    assert main(["check", str(copy), "--fix-list", str(fixes)]) == 1
    said = capsys.readouterr().out
    assert "error: empty file (1)\n  Train/Mask/train_0000.png the image cannot be read (it is empty); replace" in said
    assert said.endswith(f"{fixes} names 2 files to leave out\n")
    assert fixes.read_text().splitlines()[0] == "file,problem"
    assert "Train/Image/train_0000.jpg,empty file" in fixes.read_text()


def test_a_list_of_what_to_leave_out_keeps_its_rows_when_it_is_written_again(copy, capsys):
    open(first(copy / "Train/Mask"), "wb").close()
    words = ["check", str(copy), "--fix-list", str(copy / "leave_out.csv")]
    assert main(words) == 1
    assert "passes over" not in capsys.readouterr().out  # there was no list as yet
    assert main(words) == 0
    rows = (copy / "leave_out.csv").read_text().splitlines()
    names = ["Train/Image/train_0000.jpg", "Train/Mask/train_0000.png"]
    assert rows == ["file,problem", *(f"{name},empty file" for name in names)]
    said = capsys.readouterr().out
    assert said.startswith(f"{copy / 'leave_out.csv'} passes over 2 files\n")
    assert said.endswith("leave_out.csv names 2 files to leave out\n")


def test_a_check_says_that_nothing_has_to_be_left_out(copy, tmp_path, capsys):
    fixes = tmp_path / "fixes.csv"
    assert main(["check", str(copy), "--fix-list", str(fixes)]) == 0
    assert capsys.readouterr().out.endswith(f"{fixes} names no file to leave out\n")
    assert main(["check", str(copy), "--fix-list", str(fixes), "--json"]) == 0
    json.loads(capsys.readouterr().out)


def test_the_folder_of_a_check_may_stand_behind_data(copy, capsys):
    assert main(["check", str(copy)]) == main(["check", "--data", str(copy)])
    alone, named = capsys.readouterr().out.strip().split("\n" + str(copy))
    assert named == alone.removeprefix(str(copy))
    with pytest.raises(SystemExit, match="2"):
        main(["check", "--data", str(copy), "elsewhere"])
    assert f"looks at one folder; name elsewhere or {copy}" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_ends_a_command_without_a_word(copy):
    command = [sys.executable, "-m", "seglib", "check", "--data", str(copy)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_the_pipe_of_a_process_of_ours_is_not_taken_for_that_of_a_reader(monkeypatch, capsys):
    def fail(arguments):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setitem(cli.COMMANDS, "check", fail)
    assert main(["check"]) == 1
    assert "a process that worked for this one has gone" in capsys.readouterr().err


def test_an_unknown_option_is_named_with_its_command(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["run", "--dta", "x"])
    assert "run does not know --dta x; seglib run --help says what it knows" in capsys.readouterr().err


def test_a_check_in_json_is_a_list_of_objects_and_nothing_else(copy, capsys):
    first(copy / "Train/Mask").unlink()
    assert main(["check", "--json", str(copy)]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found[0] == {
        "file": "Train/Image/train_0000.jpg",
        "problem": "no mask",
        "severity": "error",
        "fact": "has no mask in Train",
        "cure": "add train_0000.png there or remove the image",
    }


@pytest.fixture
def run(tiny, tmp_path):
    """A run as far as prediction needs one."""
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    weights = {f"network.{name}": values for name, values in build_model(tiny).state_dict().items()}
    facts = {"hyper_parameters": {"config": dataclasses.asdict(tiny)}, "state_dict": weights}
    torch.save(facts, tmp_path / "run" / "checkpoints" / "best.ckpt")
    rules = MaskRules(threshold=1.0)
    (tmp_path / "run" / "masks.json").write_text(json.dumps({"rules": dataclasses.asdict(rules)}))
    return tmp_path / "run"


def test_a_folder_is_predicted_by_the_rules_of_the_run(phantoms, run, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["predict", str(run), str(phantoms / "Test" / "Image"), "--out", str(out)]
    assert main(words) == 0
    assert capsys.readouterr().out == f"masks       {out}\ntable       {out / 'predictions.csv'}\n"
    assert pd.read_csv(out / "predictions.csv")["mask_share"].tolist() == [0.0] * 4  # above a threshold of 1
    assert not (out / "probabilities").exists()
    assert main([*words, "--probabilities"]) == 0
    assert len(list((out / "probabilities").iterdir())) == 4


def test_folders_inside_are_predicted_and_masks_passed_over(phantoms, run, tmp_path, capsys):
    source = shutil.copytree(phantoms / "Test" / "Image", tmp_path / "images")
    first, second, *_ = sorted(source.iterdir())
    (source / "P1").mkdir()
    shutil.copy(first, source / f"{first.stem}_mask.png")
    second.rename(source / "P1" / second.name)
    words = ["predict", str(run), str(source), "--out", str(source / "ours")]
    for _ in range(2):  # what was predicted is no image to predict
        assert main(words) == 0
        assert capsys.readouterr().out.startswith(f"1 masks in {source} are passed over\n")
        ids = pd.read_csv(source / "ours" / "predictions.csv")["sample_id"].tolist()
        assert len(ids) == 4
        assert f"P1_{second.stem}" in ids
    (source / "A").mkdir()
    first.rename(source / "A" / first.name)  # another first image is no other folder
    assert main(words) == 0


def test_images_that_cannot_be_read_are_counted_when_the_others_are_done(copy, run, tmp_path, stop):
    source = copy / "Test" / "Image"
    (source / "broken.png").touch()
    sentence = stop("predict", run, source, "--out", tmp_path / "out")
    assert "1 of 5 images cannot be read and have no mask, listed in" in sentence
    assert sentence.endswith("unreadable.csv; mend or remove them and run the same again")
    assert len(list((tmp_path / "out").glob("*.png"))) == 4


def test_images_in_another_unit_than_the_training_had_are_told(phantoms, run, tmp_path, capsys):
    (tmp_path / "floats").mkdir()
    for path in (phantoms / "Test" / "Image").iterdir():
        np.save(tmp_path / "floats" / f"{path.stem}.npy", read_image(path, channels=3) / np.float32(255))
    assert main(["predict", str(run), str(tmp_path / "floats"), "--out", str(tmp_path / "out")]) == 0
    first, *_ = capsys.readouterr().out.splitlines()
    assert "where the training images have 0 for black and 255 for white, and most others do so too; save them" in first


def test_a_process_that_leaves_images_to_others_says_so(phantoms, run, tmp_path, capsys, monkeypatch):
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": 1, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
    assert main(["predict", str(run), str(phantoms / "Test" / "Image"), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.startswith("2 of 4 images are left to other processes")
    assert len(list((tmp_path / "out").glob("*.png"))) == 2


def test_what_cannot_be_predicted_is_one_sentence(phantoms, run, tmp_path, stop):
    source, out = phantoms / "Test" / "Image", tmp_path / "out"
    assert "there is no folder" in stop("predict", tmp_path / "nowhere", source, "--out", out)
    assert "there is no checkpoint" in stop("predict", tmp_path, source, "--out", out)
    assert "there is no folder" in stop("predict", run, tmp_path / "nowhere", "--out", out)
    (tmp_path / "empty").mkdir()
    assert "holds no images (.jpg, " in stop("predict", run, tmp_path / "empty", "--out", out)
    assert not out.exists()


def test_a_clean_set_leaves_with_zero_and_a_missing_one_with_two(phantoms, tmp_path, stop, capsys):
    assert main(["check", str(phantoms)]) == 0
    assert "error" not in capsys.readouterr().out
    assert "does not exist" in stop("check", tmp_path / "nowhere")
    assert "no Train/Image" in stop("check", tmp_path)
    assert "nothing/fix.csv" in stop("check", phantoms, "--fix-list", tmp_path / "nothing/fix.csv")


def test_test_images_that_are_left_out_stop_neither_check_nor_run(phantoms, tmp_path, stop):
    images, masks = (sorted((phantoms / "Train" / kind).iterdir())[:3] for kind in ("Image", "Mask"))
    for stem, image, mask in zip(("train_1", "train_2", "test_1"), images, masks, strict=True):
        shutil.copy(image, tmp_path / f"{stem}{image.suffix}")
        shutil.copy(mask, tmp_path / f"{stem}_mask.png")
    assert "is called as if it were to test or validate by" in stop("check", tmp_path)
    (tmp_path / "leave_out.csv").write_text(f"file\ntest_1{images[2].suffix}\ntest_1_mask.png\n")
    assert main(["check", str(tmp_path)]) < 2
    assert len(check_data(tmp_path, with_test=False)) == 2


def test_a_process_that_others_lead_trains_their_order_and_does_nothing_else(phantoms, tmp_path, monkeypatch):
    from seglib.machine import ranks
    from seglib.training import members, orders

    trained = []
    monkeypatch.setattr(ranks, "find_rank", lambda: ranks.Rank(1, 2))
    monkeypatch.setattr(orders, "await_order", lambda place: ("samples", "folds", "config", place, "cache"))
    monkeypatch.setattr(members, "fit_members", lambda *order: trained.append(order))
    words = ["run", "--data", str(phantoms), "--out", str(tmp_path / "out")]
    assert main(words) == main([*words, "--only", "03,04"]) == 0
    assert trained == [("samples", "folds", "config", tmp_path / "out", "cache")]
    assert not (tmp_path / "out").exists()
