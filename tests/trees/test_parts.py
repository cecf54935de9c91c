"""Which folders of a data set are to train and to test on, where none is called just Train and Test."""

from pathlib import Path

import pytest
from empty_files import touch

from seglib.checks.outputs import refuse_among_data
from seglib.data.references import list_masks
from seglib.data.samples import list_samples, pair_samples, tell_extras
from seglib.data.unseen import list_test_images
from seglib.errors import InputError
from seglib.trees.leftovers import find_unused
from seglib.trees.parts import find_pair, find_train, has_test


def relative(column, root):
    return [str(Path(file).relative_to(root)) for file in column]


PAIRS = {  # the two folders; then others beside them, which are not used
    ("TrainDataset", "TestDataset"): [],
    ("kmms_training", "kmms_test"): [],
    ("training_set", "test_set"): ["val_set"],
    ("Train Set", "Test Set"): [],
    ("stage1_train", "stage1_test"): ["stage2_test_final"],
    ("Training400", "Test300"): ["notes"],
}


@pytest.mark.parametrize("names", PAIRS)
def test_two_folders_called_alike_but_for_train_and_test_are_the_two_parts(tmp_path, names):
    train, test = names
    files = [f"{train}/images/a.png", f"{train}/images/b.png", f"{train}/masks/a.png", f"{train}/masks/b.png"]
    others = [f"{name}/x.png" for name in PAIRS[names]]
    data = touch(tmp_path, *files, f"{test}/images/c.png", f"{test}/masks/c.png", *others)
    samples = list_samples(data)
    assert samples["sample_id"].tolist() == ["a", "b"]
    assert relative(samples["image_path"], data) == files[:2]
    assert relative(samples["mask_path"], data) == files[2:]
    assert relative(list_test_images(data)["image_path"], data) == [f"{test}/images/c.png"]
    assert list_masks(data) == {"c": str(data / f"{test}/masks/c.png")}
    assert find_unused(data) == [data / name for name in PAIRS[names]]
    for place in names:
        with pytest.raises(InputError, match=f"lies in {data / place}, where data is read"):
            refuse_among_data(data / place / "run", data)
    refuse_among_data(data / "run", data)


@pytest.mark.parametrize(
    "names",
    [
        ("train_set/a.png", "test01/b.png"),  # 01 may be a patient
        ("A_train/a.png", "A_test/b.png", "B_train/a.png", "B_test/b.png"),
        ("a. Training Set/a.png", "b. Testing Set/b.png"),
        ("train_set/a.png", "val_set/b.png"),
        ("train_set/a.png", "test_set/list.txt"),  # which images, and not those themselves
        ("train_set/a.png", "test_set/b.png", "images/c.png", "masks/c.png"),
        ("train_set/a.png", "test_set/b.png", "My images/c.png", "My masks/c.png"),
        ("train_set/a.png", "test_set/b.png", "Train/c.png", "Train/c_mask.png"),
        ("train_set/a.png", "test_set/b.png", "Test/c.png"),
        ("train_masks/a.png", "test_masks/b.png"),
    ],
)
def test_two_folders_that_may_be_others_are_no_parts(tmp_path, names):
    data = touch(tmp_path, *names)
    assert find_pair(data) is None
    assert find_train(data).name in {data.name, "Train"}
    assert has_test(data) == (data / "Test").exists()


@pytest.mark.parametrize(
    ("train", "masks", "ending"),
    [
        ("train", "train_masks", "_mask.gif"),
        ("train", "train_gt", ".png"),
        ("x1_Training_Input", "x_Training_GroundTruth", "_segmentation.png"),
    ],
)
def test_masks_lie_in_the_one_folder_beside_that_is_called_so_and_to_train_on(tmp_path, train, masks, ending):
    test, truth = (name.replace("rain", "est").replace("Testing", "Test") for name in (train, masks))
    data = touch(tmp_path, f"{train}/a.jpg", f"{train}/b.jpg", f"{masks}/a{ending}", f"{masks}/b{ending}")
    touch(data, f"{test}/c.jpg", f"{truth}/c{ending}", "val/d.jpg", f"{masks}.csv")
    samples = list_samples(data)
    assert samples["sample_id"].tolist() == ["a", "b"]
    assert relative(samples["mask_path"], data) == [f"{masks}/a{ending}", f"{masks}/b{ending}"]
    assert list_test_images(data)["sample_id"].tolist() == ["c"]
    assert list_masks(data) == {"c": str(data / truth / f"c{ending}")}
    assert find_unused(data) == sorted([data / truth, data / "val"])
    with pytest.raises(InputError, match=f"lies in {data / masks}, where data is read"):
        refuse_among_data(data / masks / "run", data)
    touch(data, f"{masks}_2/notes.json")
    assert len(list_samples(data)) == 2
    touch(data, f"{masks}_2/a{ending}")
    with pytest.raises(InputError, match=f"but {masks} and {masks}_2 may hold masks by several readers, or of several"):
        list_samples(data)


def test_a_folder_beside_whose_masks_are_of_other_images_is_not_taken(tmp_path):
    data = touch(tmp_path, "train/a.png", "train/b.png", "train_masks/x.png", "test/c.png")
    with pytest.raises(InputError, match=r"train holds no folder Mask, but beside it there is train_masks \(1 image\)"):
        list_samples(data)


@pytest.mark.parametrize("tree", ["Train/Image Train/Mask Test/Image", "X_Training_Data X_Training_GT X_Test_Data"])
def test_pictures_beside_all_images_with_a_mask_are_none_and_that_is_said(tmp_path, tree):
    images, masks, test = tree.split()
    names = [f"{images}/{stem}{end}" for stem in "ab" for end in (".jpg", "_superpixels.png")]
    data = touch(tmp_path, *names, f"{masks}/a_segmentation.png", f"{masks}/b_segmentation.png")
    touch(data, f"{test}/c.jpg", f"{test}/c_superpixels.png", f"{test}/d.jpg", f"{test}/d_2nd.png")
    assert list_samples(data)["sample_id"].tolist() == ["a", "b"]
    assert list_test_images(data)["sample_id"].tolist() == ["c", "d", "d_2nd"]
    (told,) = tell_extras(data)
    assert told.file == data / images / "a_superpixels.png"
    assert told.fact == "and 1 more _superpixels beside images have no masks"
    (data / images / "b_superpixels.png").unlink()
    assert [problem.problem for problem in pair_samples(data)[1]] == ["no mask"]
    assert tell_extras(data) == []
    assert "c_superpixels" in list_test_images(data)["sample_id"].tolist()


def test_test_images_are_found_where_nothing_is_there_to_train_on(tmp_path):
    data = touch(tmp_path, "Test/Image/c.jpg", "Test/Image/c_2.png", "Test/Image/c_b.png")
    assert list_test_images(data)["sample_id"].tolist() == ["c", "c_2", "c_b"]


def test_masks_called_so_in_folders_apart_from_several_of_images(tmp_path):
    images = ["X_images_part_1/I_1.jpg", "X_images_part_2/I_2.jpg"]
    data = touch(tmp_path, *images, *(f"X_segmentations/I_{number}_segmentation.png" for number in (1, 2)))
    samples = list_samples(data)
    assert samples["sample_id"].tolist() == ["I_1", "I_2"]
    assert relative(samples["image_path"], data) == images
    assert relative(samples["mask_path"], data)[1] == "X_segmentations/I_2_segmentation.png"


SEVERAL = {  # masks of two images; then what is said of the first
    "heart/{}.gif lungs/{}.gif": "heart/a.gif and lungs/a.gif are all drawn of a: of several things, or by several",
    "{}_hair.png {}_mole.png {}_nevus.png": "a_hair.png and a_mole.png and 1 more are all drawn of a",
    "MA/{}_MA.tif HE/{}_HE.tif": "HE/a_HE.tif and MA/a_MA.tif are all drawn of a",
}


@pytest.mark.parametrize("masks", SEVERAL)
def test_masks_of_several_things_are_refused_with_the_choice(tmp_path, masks):
    files = [f"Train/Mask/{name.format(stem)}" for stem in "ab" for name in masks.split()]
    data = touch(tmp_path, "Train/Image/a.png", "Train/Image/b.png", "Train/Image/c.png", *files)
    with pytest.raises(InputError) as error:
        list_samples(data)
    assert SEVERAL[masks] in str(error.value)
    assert f"leave those that are meant in {data}/Train/Mask; several that are one mask are joined" in str(error.value)


def test_two_references_beside_the_test_images_are_not_guessed_between(tmp_path):
    data = touch(tmp_path, "imagesTr/a.png", "labelsTr/a.png", "imagesTs/c.png", "labelsTs/c.png", "labelsTs_b/c.png")
    with pytest.raises(InputError, match="holds labelsTs and labelsTs_b; name the one whose masks are meant"):
        list_masks(data)
    (data / "labelsTs_b" / "c.png").unlink()
    assert list_masks(data) == {"c": str(data / "labelsTs" / "c.png")}
    (data / "labelsTs" / "c.png").unlink()
    with pytest.raises(InputError, match="holds no masks, only images"):
        list_masks(data)
