import shutil

import cv2
import numpy as np
import pandas as pd
import pytest
from faults import rows_of, write, write_grays

from seglib.checks.problems import inspect_data
from seglib.checks.twins import find_twins
from seglib.data.folds import assign_folds
from seglib.data.samples import list_samples
from seglib.images.masks import read_mask
from seglib.images.reading import read_image


@pytest.fixture
def copy(clean, tmp_path):
    return shutil.copytree(clean, tmp_path / "copy")


def test_copies_with_other_masks_are_told_so(copy):
    samples = list_samples(copy)
    image, mask = read_image(samples["image_path"][2], channels=3), read_mask(samples["mask_path"][2])
    for name, pixels in (("zy", mask), ("zz", cv2.erode(mask, np.ones((9, 9), np.uint8)))):
        write(copy / "Train" / "Image" / f"{name}.png", image)
        write(copy / "Train" / "Mask" / f"{name}.png", 255 * pixels)
    facts = rows_of(copy, "exact duplicate").set_index("file")["fact"]
    assert "masks differ (Dice 0." in facts["Train/Image/zz.png"]
    assert "differ" not in facts["Train/Image/zy.png"]
    assert all(samples["sample_id"][2] in fact for fact in facts)


def test_a_copy_of_a_test_image_is_told_of_rather_than_one_in_training(copy):
    source = sorted((copy / "Test" / "Image").iterdir())[0]
    image = read_image(source, channels=3)
    for name in ("zy", "zz"):
        write(copy / "Train" / "Image" / f"{name}.png", image)
        write(copy / "Train" / "Mask" / f"{name}.png", 255 * np.eye(*image.shape[:2], dtype=np.uint8))
    table = inspect_data(copy).problems
    told = table[table["file"].str.contains("Image/z")]
    assert told["problem"].tolist() == ["in train and test"] * 2


def test_two_copies_among_the_test_images_are_no_problem(copy):
    source, target = sorted((copy / "Test" / "Image").iterdir())[:2]
    shutil.copy(source, target.with_name(f"copy{source.suffix}"))
    assert set(inspect_data(copy).problems["severity"]) == {"note"}


def test_a_rescaled_copy_is_told_of_once(tmp_path):
    data = write_grays(tmp_path / "set", 30)
    image, mask = (data / "Train" / part / "04.png" for part in ("Image", "Mask"))
    for path in (image, mask):
        small = cv2.resize(cv2.imread(str(path)), (72, 48), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(path.with_name("zz.png")), small if path is image else 255 * (small > 127))
    table = inspect_data(data).problems
    assert table.loc[table["file"] == "Train/Image/zz.png", "problem"].tolist() == ["near-duplicate"]


def test_images_of_equal_bytes_and_other_shapes_are_not_the_same(tmp_path):
    data = write_grays(tmp_path / "set", 4)
    for name, shape in (("zy", (24, 96)), ("zz", (96, 24))):
        write(data / "Train" / "Image" / f"{name}.png", np.full(shape, 90, np.uint8))
        write(data / "Train" / "Mask" / f"{name}.png", np.full(shape, 255, np.uint8))
    assert "exact duplicate" not in set(inspect_data(data).problems["problem"])


def test_of_many_copies_each_is_told_once_by_its_best_twin_however_the_pairs_come(monkeypatch):
    noise = np.random.default_rng(0).uniform(0, 255, (3, 64, 64))
    thumbnails = [noise[0], noise[1], noise[0], noise[0] + 40 * noise[2] / 255, noise[0], noise[1]]
    images = pd.DataFrame(
        {
            "image_path": [f"Train/Image/{name}.png" for name in "abcde"] + ["Test/Image/f.png"],
            "mask_path": "none.png",
            "thumbnail": thumbnails,
            "digest": ["1", "2", "1", "3", "4", "2"],
            "is_test": [False] * 5 + [True],
        }
    )
    told = []
    for piece in (2**20, 1):
        monkeypatch.setattr("seglib.checks.duplicates.PIECE", piece)
        told.append([(found.file.stem, found.problem, found.fact) for found in find_twins(images)])
    assert told[0] == told[1]
    assert [one[:2] for one in told[0]] == [
        ("b", "in train and test"),
        ("c", "exact duplicate"),
        ("e", "near-duplicate"),
        ("d", "near-duplicate"),
    ]
    assert all("/a.png" in fact for name, _, fact in told[0] if name != "b")


def test_near_duplicates_in_different_folds_are_a_leak(copy, tmp_path):
    samples = list_samples(copy)
    for column in ("image_path", "mask_path"):
        write(samples[column][7], np.rot90(cv2.imread(samples[column][2], cv2.IMREAD_UNCHANGED)))
    samples = list_samples(copy)
    folds = assign_folds(samples, np.zeros(len(samples)), n_folds=5, seed=0)
    for fold, leaks in ((3, 1), (int(folds.loc[2, "fold"]), 0)):
        folds.loc[7, "fold"] = fold if leaks == 0 else (folds.loc[2, "fold"] + 1) % 5
        folds.to_csv(tmp_path / "folds.csv", index=False)
        table = inspect_data(copy, folds=tmp_path / "folds.csv").problems
        leak = table[table["problem"] == "leak across folds"]
        assert len(leak) == leaks
    folds.loc[7, "fold"] = (folds.loc[2, "fold"] + 1) % 5
    folds.to_csv(tmp_path / "folds.csv", index=False)
    leak = inspect_data(copy, folds=tmp_path / "folds.csv").problems.iloc[0]
    assert leak["severity"] == "error"
    assert samples["sample_id"][7] in leak["file"]
    assert samples["sample_id"][2] in leak["fact"]
