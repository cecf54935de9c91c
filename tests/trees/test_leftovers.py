"""What a data folder holds besides what is read."""

import pytest
from empty_files import touch

from seglib.batches.cache import build_cache
from seglib.data import fingerprints
from seglib.data.samples import list_samples, pair_samples, read_left_out
from seglib.data.synthetic import write_phantoms
from seglib.errors import InputError
from seglib.images.reading import Scale
from seglib.trees.leftovers import count_images, find_unused


def test_beside_the_folders_of_images_and_masks(tmp_path):
    drive = ["images/21_training.tif", "1st_manual/21_manual1.gif", "mask/21_training_mask.gif"]
    files = [f"training/{name}" for name in (*drive, "notes/a.txt", ".old/images/a.png")]
    assert find_unused(touch(tmp_path / "a", *files)) == [tmp_path / "a/training/1st_manual"]
    assert find_unused(touch(tmp_path / "b", *drive, "test/images/1.tif")) == [tmp_path / "b/1st_manual"]
    called = touch(tmp_path / "c", "Original/a.png", "GT/a.png", "other/a.png")
    assert find_unused(called) == [called / "other"]
    beside = touch(tmp_path / "d", "Train/Image/a.png", "Train/Image/a_mask.png", "Train/old/b.png")
    assert find_unused(beside) == [beside / "Train/old"]


def test_beside_the_parts(tmp_path):
    part = ["train/images/a.png", "train/masks/a.png"]
    split = touch(
        tmp_path, *part, "val/images/b.png", "test/images/c.png", "Holdout/a/b/d.png", "docs/x.txt", ".x/a.png"
    )
    assert find_unused(split) == [split / "Holdout", split / "val"]
    assert split / "images" in find_unused(touch(split, "images/a.png"))
    assert find_unused(touch(tmp_path / "twice", "Train/Train/Image/a.png", "Train/Train/Mask/a.png")) == []
    assert find_unused(touch(tmp_path / "whole", "images/a.png", "masks/a.png", "val/b.png")) == [
        tmp_path / "whole/val"
    ]


def test_what_we_wrote_is_no_data(tmp_path):
    data = touch(tmp_path, "Train/Image/a.png", "Train/Mask/a.png", "outputs/a.png")
    touch(data, "run/checkpoints/best.ckpt", "run/figures/a.png", "pred/.predictions/claim.json", "pred/a.png")
    touch(data, "runs/one/manifest.json", "runs/one/folds.csv", "runs/one/a.png")
    assert find_unused(data) == []
    assert count_images(data / "runs") == 0
    assert find_unused(touch(data, "runs/a.png", "theirs/manifest.json", "theirs/a.png")) == [
        data / "runs",
        data / "theirs",
    ]


def test_what_a_run_wrote_into_the_data_folder_itself_is_no_data(tmp_path):
    data = touch(tmp_path, "Train/Image/a.png", "Train/Mask/a.png", "figures/01_data.png", "cache/x/images.npy")
    assert find_unused(data) == [data / "cache", data / "figures"]
    assert find_unused(touch(data, "checkpoints/best.ckpt")) == []
    assert find_unused(touch(data, "val/a.png")) == [data / "val"]


def test_a_cache_that_runs_share_is_no_data(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprints, "SETTLED", 0)  # else what was just written is not kept as known
    data = write_phantoms(tmp_path / "set", train=2, test=0)
    build_cache(list_samples(data), data / "cache", size=32, channels=3, scale=Scale(0, 255))
    assert len(list((data / "cache").glob("*/images.npy"))) == 1
    assert count_images(data / "cache") == 0
    assert find_unused(data) == []


def test_what_lies_too_deep_or_is_called_otherwise_among_cases(tmp_path):
    cases = touch(tmp_path, *(f"{case}/{kind}/1.png" for case in ("a", "b/c/d") for kind in ("images", "masks")))
    assert find_unused(cases) == [cases / "b"]
    assert find_unused(touch(cases, "e/img/1.png", "e/gt/1.png")) == [cases / "b", cases / "e"]
    assert find_unused(touch(cases, "b/images/1.png", "b/masks/1.png")) == [cases / "b", cases / "e"]
    patients = touch(tmp_path / "patients", "Train/P1/images/a.png", "Train/P1/masks/a.png", "Train/P2/photo/a.png")
    assert find_unused(patients) == [patients / "Train/P2"]


def test_a_test_image_that_is_left_out_is_no_reason_to_stop(tmp_path):
    stems = ("train_1", "train_2", "test_1")
    data = touch(tmp_path, *(f"{stem}{end}.png" for stem in stems for end in ("", "_mask")), "a/b/c/d/x.png")
    with pytest.raises(InputError, match="test_1.png is called as if it were to test"):
        find_unused(data)
    (data / "leave_out.csv").write_text("file\ntest_1.png\ntest_1_mask.png\n")
    assert find_unused(data, read_left_out(data)) == [data / "a"]
    assert len(pair_samples(data)[0]) == 2


def test_a_folder_that_cannot_be_looked_into_is_none_of_ours(tmp_path, monkeypatch):
    data = touch(tmp_path, "images/a.png", "masks/a.png", "lost+found/a.png")
    scan = __import__("os").scandir

    def refuse(path):
        if str(path).endswith("lost+found"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr("os.scandir", refuse)
    assert find_unused(data) == []
