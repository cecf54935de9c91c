import numpy as np
import pandas as pd
import pytest

from seglib.errors import InputError
from seglib.samples import (
    assign_folds,
    list_masks,
    list_samples,
    list_test_images,
    prepare_folds,
    read_folds,
    split_samples,
    write_folds,
)


def make_tree(root, images, masks, tests=("t.png",), names=("Train", "Image", "Mask", "Test")):
    train, image, mask, test = names
    for folder, files in ((f"{train}/{image}", images), (f"{train}/{mask}", masks), (f"{test}/{image}", tests)):
        (root / folder).mkdir(parents=True)
        for name in files:
            (root / folder / name).touch()
    return root


@pytest.mark.parametrize("ending", ["", "_mask", "_segmentation", "_Segmentation"])
def test_a_mask_has_the_stem_of_its_image_or_that_with_an_ending(tmp_path, ending):
    root = make_tree(tmp_path, ["b.JPG", "a.tif"], [f"a{ending}.png", f"b{ending}.bmp"])
    samples = list_samples(root)
    assert samples["sample_id"].tolist() == ["a", "b"]
    assert samples["mask_path"].tolist() == [f"{root}/Train/Mask/a{ending}.png", f"{root}/Train/Mask/b{ending}.bmp"]


def test_folder_names_come_in_any_case_and_number(tmp_path):
    root = make_tree(tmp_path, ["a.png", "b.png"], ["a.png", "b.png"], names=("TRAIN", "images", "Masks", "test"))
    assert len(list_samples(root)) == 2
    assert list_test_images(root)["sample_id"].tolist() == ["t"]


def test_an_image_whose_own_name_ends_in_mask_keeps_its_mask(tmp_path):
    root = make_tree(tmp_path, ["a_mask.png", "b.png"], ["a_mask.png", "b.png"])
    assert list_samples(root)["sample_id"].tolist() == ["a_mask", "b"]


def test_other_files_are_passed_over(tmp_path):
    root = make_tree(tmp_path, ["a.png", "b.png", "Thumbs.db", ".c.png", "notes.txt"], ["a.png", "b.png"])
    assert len(list_samples(root)) == 2


@pytest.mark.parametrize(
    ("images", "masks", "words"),
    [
        (["a.png", "b.png"], ["a.png"], "Image/b.png has no mask in Train"),
        (["a.png"], ["a.png", "c_mask.png"], "Mask/c_mask.png has no image"),
        (["a.png", "a.jpg"], ["a.png"], "have the same name"),
        (["a.png", "b.png"], ["a.png", "a_mask.png", "b.png"], "both are masks of a"),
        (["a.png"], ["a.png"], "holds 1 image"),
        ([], [], "holds 0 image"),
    ],
)
def test_what_does_not_pair_is_named(tmp_path, images, masks, words):
    with pytest.raises(InputError, match=words):
        list_samples(make_tree(tmp_path, images, masks))


def test_missing_folders_are_named(tmp_path):
    make_tree(tmp_path, ["a.png", "b.png"], [])
    (tmp_path / "Train" / "Mask").rmdir()
    with pytest.raises(InputError, match="Train holds no folder Mask"):
        list_samples(tmp_path)


def test_no_test_images_is_said_with_the_cure(tmp_path):
    data = make_tree(tmp_path, ["a.png", "b.png"], ["a.png", "b.png"], tests=[])
    with pytest.raises(InputError, match="no test images in .*Test/Image; .*--only"):
        list_test_images(data)
    (data / "Test" / "Image").rmdir()
    (data / "Test").rmdir()
    with pytest.raises(InputError, match="no test images in .*Test/Image; .*--only"):
        list_test_images(data)


def test_reference_masks_are_found_from_the_set_its_test_folder_or_their_own(tmp_path):
    (tmp_path / "Test" / "Mask").mkdir(parents=True)
    (tmp_path / "Test" / "Mask" / "a_Segmentation.png").touch()
    for folder in (tmp_path, tmp_path / "Test", tmp_path / "Test" / "Mask"):
        assert list_masks(folder) == {"a": tmp_path / "Test" / "Mask" / "a_Segmentation.png"}


def table(count):
    return pd.DataFrame({"sample_id": [f"s{number:03d}" for number in range(count)]})


def test_every_fold_gets_its_share_of_small_and_large_masks():
    share = np.random.default_rng(0).permutation(np.linspace(0, 1, 200))
    folds = assign_folds(table(200), share, val_fraction=0.2, seed=0)
    assert folds.groupby("fold").size().tolist() == [40] * 5
    assert np.ptp(folds.groupby("fold")["mask_share"].mean()) < 0.02  # by chance alone it is about 0.1


def test_the_seed_alone_decides_the_folds():
    share = np.linspace(0, 1, 50)
    first, again, other = (assign_folds(table(50), share, val_fraction=0.2, seed=seed) for seed in (3, 3, 4))
    assert first.equals(again)
    assert not first.equals(other)


@pytest.mark.parametrize("count", [2, 3, 7])
def test_few_samples_are_split_too(count):
    samples = table(count)
    folds = assign_folds(samples, np.zeros(count), val_fraction=0.2, seed=0)
    train, val = split_samples(samples, folds, 0)
    assert len(train) >= 1
    assert len(val) >= 1
    assert len(train) + len(val) == count


def test_no_sample_is_on_both_sides():
    samples = table(23)
    folds = assign_folds(samples, np.linspace(0, 1, 23), val_fraction=0.25, seed=0)
    train, val = split_samples(samples, folds, 2)
    assert set(train["sample_id"]) | set(val["sample_id"]) == set(samples["sample_id"])
    assert not set(train["sample_id"]) & set(val["sample_id"])


def test_folds_survive_the_file_and_keep_names_that_look_like_numbers(tmp_path):
    samples = pd.DataFrame({"sample_id": ["007", "08", "1e3", "NA"]})
    folds = assign_folds(samples, np.zeros(4), val_fraction=0.5, seed=0)
    write_folds(folds, tmp_path / "folds.csv")
    assert read_folds(tmp_path / "folds.csv", samples)["sample_id"].tolist() == ["007", "08", "1e3", "NA"]
    assert read_folds(tmp_path / "folds.csv", samples)["fold"].tolist() == folds["fold"].tolist()


def test_folds_that_are_there_are_used_and_not_drawn_anew(tmp_path):
    samples, share = table(20), np.linspace(0, 1, 20)
    first = prepare_folds(tmp_path / "folds.csv", samples, share, val_fraction=0.2, seed=0)
    again = prepare_folds(tmp_path / "folds.csv", samples, share, val_fraction=0.5, seed=9)
    assert first["fold"].tolist() == again["fold"].tolist()


def test_folds_of_other_images_are_refused(tmp_path):
    write_folds(assign_folds(table(10), np.zeros(10), val_fraction=0.2, seed=0), tmp_path / "folds.csv")
    with pytest.raises(InputError, match="disagree about s010"):
        read_folds(tmp_path / "folds.csv", table(11))


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "sample_id,fold\ns000,first\n"])
def test_a_file_that_holds_no_folds_is_refused(tmp_path, text):
    (tmp_path / "folds.csv").write_text(text)
    with pytest.raises(InputError, match="not a table of sample_id and fold"):
        read_folds(tmp_path / "folds.csv", table(1))


def test_an_unknown_fold_is_refused():
    with pytest.raises(InputError, match="fold=7 is not in the folds; choose from 0 to 4"):
        split_samples(table(10), assign_folds(table(10), np.zeros(10), val_fraction=0.2, seed=0), 7)
