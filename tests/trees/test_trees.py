"""The trees of public data sets, as they are unpacked: where their images and masks are found."""

import os
from pathlib import Path

import pytest
from empty_files import touch

from seglib.data.references import list_masks
from seglib.data.samples import list_samples, pair_samples
from seglib.data.unseen import list_test_images
from seglib.errors import InputError
from seglib.trees.leftovers import find_unused
from seglib.trees.pairs import is_called_alike
from seglib.trees.parts import find_train, has_test
from seglib.trees.sorting import list_part


def relative(column, root):
    return ["+".join(str(Path(file).relative_to(root)) for file in paths.split("\n")) for paths in column]


LAYOUTS = {  # files; then sample, image and mask
    "images and masks": (
        ["images/a.jpg", "images/b.jpg", "masks/a.jpg", "masks/b.jpg", "README.txt", "boxes.json"],
        [("a", "images/a.jpg", "masks/a.jpg"), ("b", "images/b.jpg", "masks/b.jpg")],
    ),
    "classes, masks beside": (
        [
            "benign/b (1).png",
            "benign/b (1)_mask.png",
            "benign/b (1)_mask_1.png",
            "normal/n (1).png",
            "normal/n (1)_mask.png",
        ],
        [
            ("benign_b (1)", "benign/b (1).png", "benign/b (1)_mask.png+benign/b (1)_mask_1.png"),
            ("normal_n (1)", "normal/n (1).png", "normal/n (1)_mask.png"),
        ],
    ),
    "slices in NIfTI, by channel": (
        ["imagesTr/a_0000.nii.gz", "imagesTr/b_0000.nii.gz", "labelsTr/a.nii.gz", "labelsTr/b.nii.gz"],
        [
            ("a_0000", "imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz"),
            ("b_0000", "imagesTr/b_0000.nii.gz", "labelsTr/b.nii.gz"),
        ],
    ),
    "masks in NumPy": (
        ["images/a.png", "images/b.png", "masks/a.npy", "masks/b.npy"],
        [("a", "images/a.png", "masks/a.npy"), ("b", "images/b.png", "masks/b.npy")],
    ),
    "arrays and masks beside": (
        ["a.nii.gz", "a_mask.nii.gz", "b.nii.gz", "b_mask.npy"],
        [("a", "a.nii.gz", "a_mask.nii.gz"), ("b", "b.nii.gz", "b_mask.npy")],
    ),
    "images that were saved as arrays too": (
        ["Train/Image/a.npy", "Train/Image/a.png", "Train/Image/b.png", "Train/Mask/a.png", "Train/Mask/b.png"],
        [("a", "Train/Image/a.png", "Train/Mask/a.png"), ("b", "Train/Image/b.png", "Train/Mask/b.png")],
    ),
    "training images with masks beside": (
        ["train/1_1.tif", "train/1_1_mask.tif", "train/1_2.tif", "train/1_2_mask.tif", "test/1.tif"],
        [("1_1", "train/1_1.tif", "train/1_1_mask.tif"), ("1_2", "train/1_2.tif", "train/1_2_mask.tif")],
    ),
    "a folder for each image": (
        [
            "Train/0a1/images/0a1.png",
            "Train/0a1/masks/f1.png",
            "Train/0a1/masks/f2.png",
            "Train/0a1/overlay.png",
            "Train/0b2/images/photo.png",
            "Train/0b2/masks/f1.png",
        ],
        [
            ("0a1", "Train/0a1/images/0a1.png", "Train/0a1/masks/f1.png+Train/0a1/masks/f2.png"),
            ("0b2", "Train/0b2/images/photo.png", "Train/0b2/masks/f1.png"),
        ],
    ),
    "a folder for each image, and nothing around": (
        ["0a1/images/0a1.png", "0a1/masks/f1.png", "0b2/images/0b2.png", "0b2/masks/f1.png"],
        [("0a1", "0a1/images/0a1.png", "0a1/masks/f1.png"), ("0b2", "0b2/images/0b2.png", "0b2/masks/f1.png")],
    ),
    "a folder for each patient": (
        ["Train/P1/Images/s1.png", "Train/P1/Images/s2.png", "Train/P1/Masks/s1.png", "Train/P1/Masks/s2_mask.png"],
        [
            ("P1_s1", "Train/P1/Images/s1.png", "Train/P1/Masks/s1.png"),
            ("P1_s2", "Train/P1/Images/s2.png", "Train/P1/Masks/s2_mask.png"),
        ],
    ),
    "images around the folder of masks": (
        ["Train/a.png", "Train/b.png", "Train/Mask/a.png", "Train/Mask/b.png"],
        [("a", "Train/a.png", "Train/Mask/a.png"), ("b", "Train/b.png", "Train/Mask/b.png")],
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_public_sets_are_read_as_they_are_unpacked(tmp_path, layout):
    files, expected = LAYOUTS[layout]
    samples = list_samples(touch(tmp_path, *files))
    paths = (relative(samples[column], tmp_path) for column in ("image_path", "mask_path"))
    assert list(zip(samples["sample_id"], *paths, strict=True)) == expected


def test_test_images_lie_in_their_folder_or_in_one_for_each(tmp_path):
    flat = touch(tmp_path / "flat", "test/1.tif", "test/2.tif", "test/2_mask.tif")
    assert relative(list_test_images(flat)["image_path"], flat) == ["test/1.tif", "test/2.tif"]
    each = touch(tmp_path / "each", "Test/0c/images/0c.png", "Test/0d/images/0d.png", "Test/0d/masks/x.png")
    images = list_test_images(each)
    assert images["sample_id"].tolist() == ["0c", "0d"]
    assert relative(images["image_path"], each) == ["Test/0c/images/0c.png", "Test/0d/images/0d.png"]
    usual = touch(tmp_path / "usual", "Test/Image/a.png", "Test/Mask/a.png", "Test/b.png")
    assert list_test_images(usual)["sample_id"].tolist() == ["a"]
    masks = touch(tmp_path / "masks", "Test/Mask/a.png")
    with pytest.raises(InputError, match="no test images"):
        list_test_images(masks)


def test_a_set_without_train_keeps_its_test_images_apart(tmp_path):
    data = touch(tmp_path, "x/a.png", "x/a_mask.png", "x/b.png", "x/b_mask.png", "test/c.png")
    assert list_samples(data)["sample_id"].tolist() == ["x_a", "x_b"]
    assert list_test_images(data)["sample_id"].tolist() == ["c"]
    assert has_test(data)
    assert not has_test(data / "x")


def test_without_train_a_folder_is_not_looked_into_deeply(tmp_path):
    near = ["a/b/images/1.png", "a/b/masks/1.png", "a/c/images/1.png", "a/c/masks/1.png"]
    deep = ["a/b/c/images/2.png", "a/b/c/masks/2.png"]
    assert list_samples(touch(tmp_path, *near, *deep))["sample_id"].tolist() == ["a_b", "a_c"]


def test_within_train_folders_may_be_as_deep_as_they_like(tmp_path):
    places = ("Train/a/b/c/d/1", "Train/a/b/c/d/2", "Train/test/3")
    touch(tmp_path, *(f"{place}/{name}" for place in places for name in ("images/i.png", "masks/m.png")))
    assert list_samples(tmp_path)["sample_id"].tolist() == ["a_b_c_d_1", "a_b_c_d_2", "test_3"]


def test_the_innermost_folder_says_of_which_kind_a_file_is(tmp_path):
    names = ["images/a.png", "images/b.png", "images/masks/a.png", "images/masks/b.png"]
    images, masks = list_part(touch(tmp_path, *(f"P1/{name}" for name in names)))
    assert sorted(images.names.values()) == ["P1/images/a.png", "P1/images/b.png"]
    assert sorted(masks.names.values()) == ["P1/images/masks/a.png", "P1/images/masks/b.png"]


def test_the_folder_of_training_images_alone_is_no_data_set_where_another_holds_it(tmp_path):
    touch(tmp_path, "set/Train/Image/a.png", "set/Train/Mask/a.png", "set/Test/Image/b.png")
    with pytest.raises(InputError, match="name the folder that has Train and Test in it: .*set$"):
        find_train(tmp_path / "set" / "Train")
    with pytest.raises(InputError, match=r"holds no Train/Image, but set in it does; name .*set$"):
        find_train(tmp_path)
    assert find_train(tmp_path / "set") == tmp_path / "set" / "Train"
    (tmp_path / "set" / "training").mkdir()  # two of one meaning: no set, and no reason to stop
    assert find_train(tmp_path) == tmp_path
    loose = touch(tmp_path / "loose", "train/a.png", "train/a_mask.png")
    assert find_train(loose / "train") == loose / "train"


def test_in_a_folder_for_each_image_what_does_not_pair_is_named(tmp_path):
    touch(tmp_path, "Train/0a/images/0a.png", "Train/0a/masks/1.png", "Train/0b/images/0b.png", "Train/0c/masks/1.png")
    touch(tmp_path, "Train/0d/images/0d.nrrd", "Train/0a/masks/1.bmp")
    problems = {str(problem.file.relative_to(tmp_path)): problem.problem for problem in pair_samples(tmp_path)[1]}
    assert problems == {
        "Train/0d/images/0d.nrrd": "unread format",
        "Train/0a/masks/1.png": "same name",
        "Train/0c/masks/1.png": "no image",
        "Train/0b/images/0b.png": "no mask",
    }
    (tmp_path / "leave_out.csv").write_text("\n".join(["file", *problems]))
    samples, problems = pair_samples(tmp_path)
    assert samples["sample_id"].tolist() == ["0a"]
    assert problems == []


def test_a_folder_without_any_mask_says_where_they_may_lie(tmp_path):
    touch(tmp_path, "set/a.png", "set/b.png")
    with pytest.raises(InputError, match="set holds no Train/Image, and no mask lies beside its image"):
        list_samples(tmp_path / "set")


def test_the_folder_of_a_kind_says_nothing_of_whose_a_file_is(tmp_path):
    part = touch(tmp_path, "P1/images/left/a.png", "P1/masks/left/a.png", "P2/images/left/a.png", "P2/masks/left/b.png")
    images, masks = list_part(part)
    assert images.names == {"P1_left": "P1/images/left/a.png", "P2_left": "P2/images/left/a.png"}
    assert masks.names == {"P1_left_a": "P1/masks/left/a.png", "P2_left_b": "P2/masks/left/b.png"}
    assert images.problems == masks.problems == []


def test_reference_masks_may_lie_in_a_folder_for_each_image(tmp_path):
    touch(tmp_path, "Test/0a/images/0a.png", "Test/0a/masks/f.png", "Test/0a/masks/g.png", "Test/0b/images/0b.png")
    touch(tmp_path, "Test/0b/masks/f.png")
    found = list_masks(tmp_path)
    expected = {"0a": "Test/0a/masks/f.png+Test/0a/masks/g.png", "0b": "Test/0b/masks/f.png"}
    assert dict(zip(found, relative(found.values(), tmp_path), strict=True)) == expected
    touch(tmp_path, "Test/0b/masks/f.bmp")
    with pytest.raises(InputError, match=r"0b/masks/f\.png has the same name as 0b/masks/f\.bmp"):
        list_masks(tmp_path)


@pytest.mark.parametrize("names", [["images/{}/a.png", "masks/{}/a.png"], ["{}/images/a.png", "{}/masks/a.png"]])
def test_test_images_in_a_set_without_train_are_not_trained_on(tmp_path, names):
    parts = touch(tmp_path, *(name.format(f"x/{part}") for name in names for part in ("fit", "Test")))
    with pytest.raises(
        InputError, match=r"x/Test is called as if it were to test .*; put those into Train/Image and Train/Mask"
    ):
        list_samples(parts)


TEST_PARTS = {  # what is refused; then files
    "x/TestDataset": ["x/TrainDataset/image/a.png", "x/TrainDataset/masks/a.png", "x/TestDataset/images/a.png"],
    "val_test": ["val_test/images/a.tif", "kmms_training/images/b.tif", "kmms_training/masks/b.png"],
    "images/val": ["images/train/a.png", "images/val/b.png", "masks/train/a.png", "masks/val/b.png"],
    "HoldoutSet": ["HoldoutSet/images/a.png", "TrainSet/images/b.png", "TrainSet/masks/b.png"],
    "testA_1.png": ["testA_1.png", "testA_1_mask.png", "train_1.png", "train_1_mask.png"],
    "images/testA_1.png": ["images/testA_1.png", "images/train_1.png", "masks/testA_1.png", "masks/train_1.png"],
    "images/01_test.tif": ["images/01_test.tif", "images/21_training.tif", "masks/01_a.gif", "masks/21_b.gif"],
}


@pytest.mark.parametrize("part", TEST_PARTS)
def test_a_published_test_part_beside_one_to_train_on_is_not_trained_on(tmp_path, part):
    with pytest.raises(InputError, match=f"{tmp_path / part} is called as if it were to test or validate by"):
        pair_samples(touch(tmp_path, *TEST_PARTS[part]))


@pytest.mark.parametrize("case", ["validated", "test01", "val", "latest", "valve"])
def test_a_word_of_testing_alone_is_a_name_as_any_other(tmp_path, case):
    files = [f"{place}/{name}" for place in (case, "other") for name in ("a.png", "a_mask.png")]
    assert len(list_samples(touch(tmp_path, *files))) == 2
    if case != "test01" and case != "val":
        assert len(list_samples(touch(tmp_path, "train_set/a.png", "train_set/a_mask.png"))) == 3


CALLED = {  # folders of images and of masks by other words
    "Original": "Ground Truth",
    "original": "GT",
    "image": "label",
    "img": "annotations",
    "Images": "gts",
    "imgs": "Segmentation",
}


@pytest.mark.parametrize(("images", "masks"), CALLED.items())
@pytest.mark.parametrize("part", ["", "train/"])
def test_one_folder_of_images_and_one_of_masks_may_be_called_by_other_words(tmp_path, images, masks, part):
    files = [f"{folder}/{name}" for folder in (images, masks) for name in ("a.png", "P1/b.png")]
    samples = list_samples(
        touch(tmp_path, *(part + name for name in files), f"test/{images}/c.png", f"test/{masks}/c.png")
    )
    assert samples["sample_id"].tolist() == ["P1_b", "a"]
    assert relative(samples["mask_path"], tmp_path) == [f"{part}{masks}/P1/b.png", f"{part}{masks}/a.png"]
    assert relative(list_test_images(tmp_path)["image_path"], tmp_path) == [f"test/{images}/c.png"]


@pytest.mark.parametrize(
    "files",
    [
        ["images/a.png", "images/b.png", "labels/a.png", "labels/b.png", "gt/a.png", "gt/b.png"],
        ["images/a.png", "images/b.png", "annotations/trimaps/a.png", "annotations/trimaps/b.png"],
        ["img/a.png", "original/b.png", "labels/a.png", "labels/b.png"],
        ["images/a.png", "images/b.png", "labels-ah/a.png", "labels-ah/b.png", "labels-vk/a.png", "labels-vk/b.png"],
        ["images/a.png", "images/b.png", "heart masks/a.png", "lung masks/b.png"],
        ["images/a.png", "images/b.png", "mask images/a.png", "mask images/b.png"],
        ["scan_1/a.png", "scan_2/b.png", "GT_1/x.png", "GT_2/y.png"],
    ],
)
def test_where_other_words_do_not_tell_one_pair_nothing_is_guessed(tmp_path, files):
    with pytest.raises(
        InputError, match=r"holds no Train/Image, but .*call (the folder of the images Image|those folders Mask)"
    ):
        list_samples(touch(tmp_path, *files))


WORDED = {  # what is particular; files with their masks; then sample, image and mask of the first
    "a folder for each slide": (
        ["Slide_01/01_1.png", "Slide_02/02_1.png"],
        ["GT_01/01_1.png", "GT_02/02_1.png"],
        ("01_1", "Slide_01/01_1.png", "GT_01/01_1.png"),
    ),
    "a folder for each slide, names that repeat": (
        ["Slide_01/1.png", "Slide_02/1.png"],
        ["GT_01/1.png", "GT_02/1.png"],
        ("Slide_01_1", "Slide_01/1.png", "GT_01/1.png"),
    ),
    "a folder for each kind of each case": (
        [f"The images/{case}/{case}_Photo_Image/{case}.bmp" for case in ("IMD2", "NEV3")],
        [f"The images/{case}/{case}_lesion/{case}_lesion.bmp" for case in ("IMD2", "NEV3")],
        ("IMD2", "The images/IMD2/IMD2_Photo_Image/IMD2.bmp", "The images/IMD2/IMD2_lesion/IMD2_lesion.bmp"),
    ),
    "words beside Image": (
        ["Train/COVID/images/a.png", "Train/Normal/images/a.png"],
        ["Train/COVID/lung masks/a.png", "Train/Normal/lung masks/a.png"],
        ("COVID", "Train/COVID/images/a.png", "Train/COVID/lung masks/a.png"),
    ),
    "one reader": (
        ["stare-images/im1.ppm", "stare-images/im2.ppm"],
        ["labels-ah/im1.ah.ppm", "labels-ah/im2.ah.ppm"],
        ("im1", "stare-images/im1.ppm", "labels-ah/im1.ah.ppm"),
    ),
    "a folder for each side": (
        ["CXR_png/X_1.png", "CXR_png/X_2.png"],
        [f"ManualMask/{side}Mask/X_{number}.png" for number in (1, 2) for side in ("left", "right")],
        ("X_1", "CXR_png/X_1.png", "ManualMask/leftMask/X_1.png+ManualMask/rightMask/X_1.png"),
    ),
    "classes inside": (
        ["Training400/Glaucoma/g1.jpg", "Training400/Normal/n1.jpg"],
        ["Annotation-Training400/Disc/Glaucoma/g1.bmp", "Annotation-Training400/Disc/Normal/n1.bmp"],
        None,
    ),
}


@pytest.mark.parametrize("particular", WORDED)
def test_words_in_the_names_of_folders_tell_images_from_masks(tmp_path, particular):
    images, masks, first = WORDED[particular]
    beside = ["The images/IMD2/IMD2_roi/IMD2_R1.bmp"] if "kind of each" in particular else []
    data = touch(tmp_path, *images, *masks, *beside)
    if first is None:
        with pytest.raises(InputError, match="holds no Train/Image"):
            list_samples(data)
        return
    samples = list_samples(data)
    paths = (relative(samples[column], data) for column in ("image_path", "mask_path"))
    found = list(zip(samples["sample_id"], *paths, strict=True))
    assert (len(found), found[0]) == (2, first)
    assert "roi" not in str(found)


@pytest.mark.parametrize(
    ("train", "masks", "test", "test_masks"),
    [
        ("imagesTr", "labelsTr", "imagesTs", "labelsTs"),
        ("train_images", "train_masks", "test_images", "test_masks"),
        ("trainval-image", "trainval-mask", "test-image", "test-mask"),
    ],
)
def test_folders_that_say_both_what_they_hold_and_what_for(tmp_path, train, masks, test, test_masks):
    files = [f"{train}/c_{number}_0000.png" for number in (1, 2)] + [f"{masks}/c_{number}.png" for number in (1, 2)]
    data = touch(tmp_path, *files)
    assert not has_test(data)
    touch(data, f"{test}/c_3_0000.png", f"{test_masks}/c_3.png", "val_images/c_4.png")
    assert list_samples(data)["sample_id"].tolist() == ["c_1_0000", "c_2_0000"]
    assert has_test(data)
    assert relative(list_test_images(data)["image_path"], data) == [f"{test}/c_3_0000.png"]
    assert find_unused(data) == sorted([data / test_masks, data / "val_images"])
    both = touch(tmp_path, "testing_images/c_5.png")
    assert not has_test(both)  # two of one meaning


def test_only_what_is_called_for_a_training_has_test_images_beside_it(tmp_path):
    assert not has_test(touch(tmp_path / "a", "images_1/a.png", "test_images/a.png"))
    assert not has_test(touch(tmp_path / "b", "train_images/a.png", "val_images/a.png"))
    usual = touch(tmp_path / "c", "Image/a.png", "Mask/a.png", "train_images/a.png", "test_images/b.png")
    assert not has_test(usual)
    assert find_unused(usual) == [usual / "test_images", usual / "train_images"]


def test_several_channels_of_one_image_are_no_pairs(tmp_path):
    files = [f"imagesTr/c_{number}_000{channel}.png" for number in (1, 2) for channel in (0, 1)]
    with pytest.raises(InputError, match=r"but imagesTr \(4 images\) and labelsTr \(2 images\)"):
        list_samples(touch(tmp_path, *files, "labelsTr/c_1.png", "labelsTr/c_2.png"))


def test_other_words_change_nothing_where_masks_are_found_without(tmp_path):
    data = touch(tmp_path, "Train/Image/a.png", "Train/Image/a_mask.png", "Train/Image/b.png", "Train/Image/b_mask.png")
    samples = list_samples(touch(data, "Train/labels/a.png", "Train/labels/b.png"))
    assert relative(samples["mask_path"], data) == ["Train/Image/a_mask.png", "Train/Image/b_mask.png"]


def test_truth_among_the_test_images_is_not_predicted(tmp_path):
    beside = touch(
        tmp_path / "beside", "Test/a.png", "Test/a_gt.png", "Test/b.png", "Test/b_Annotation_1.png", "Test/c_gt.png"
    )
    assert list_test_images(beside)["sample_id"].tolist() == ["a", "b", "c_gt"]
    unclear = touch(tmp_path / "unclear", "Test/photos/a.png", "Test/Ground truth/x.png")
    with pytest.raises(InputError, match=r"Test/Ground truth is called as a folder of masks.*; call the one with"):
        list_test_images(unclear)
    patients = touch(tmp_path / "patients", "Test/P1/a.png", "Test/P2/a.png")
    assert list_test_images(patients)["sample_id"].tolist() == ["P1_a", "P2_a"]


def test_a_link_that_leads_back_is_not_followed_again_and_again(tmp_path):
    data = touch(tmp_path, "set/Train/Image/a.png", "set/Train/Image/P1/b.png", "set/Train/Mask/a.png") / "set"
    touch(data, "Train/Mask/P1/b.png")
    for place, target in (("loop", "."), ("P1/up", "../../.."), ("P2", "P1")):
        (data / "Train" / "Image" / place).symlink_to(target)
    (data / "Train" / "Mask" / "P2").symlink_to("P1")  # seen twice, but no end is missing: it is read twice
    samples, problems = pair_samples(data)
    assert (samples["sample_id"].tolist(), problems) == (["P1_b", "P2_b", "a"], [])


def test_photographs_are_not_taken_for_reference_masks(tmp_path):
    usual = touch(tmp_path / "usual", "Test/Image/a.jpg")
    each = touch(tmp_path / "each", "Test/0a/images/a.jpg")
    flat = touch(tmp_path / "flat", "Test/a.jpg")
    for folder in (usual, usual / "Test", usual / "Test" / "Image", each, flat):
        with pytest.raises(InputError, match=f"{folder} holds no masks, only images; name the folder that does"):
            list_masks(folder)
    touch(flat, "Test/a_mask.png", "Test/b.jpg")
    assert list_masks(flat) == {"a": str(flat / "Test" / "a_mask.png")}
    assert list_masks(touch(tmp_path / "truth", "a.png")) == {"a": str(tmp_path / "truth" / "a.png")}


def test_several_arrays_beside_a_picture_of_their_name_are_all_passed_over(tmp_path):
    files = [f"{part}/{name}.png" for part in ("Train/Image", "Train/Mask") for name in "ab"]
    touch(tmp_path, *files, "Train/Image/a.nii.gz", "Train/Image/a.npy")
    samples, problems = pair_samples(tmp_path)
    assert [Path(image).name for image in samples["image_path"]] == ["a.png", "b.png"]
    assert problems == []
    (tmp_path / "Train/Image/a.png").unlink()
    assert [problem.problem for problem in pair_samples(tmp_path)[1]] == ["same name"]


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        (["stare-images/a.png", "stare-images/b.png"], ["stare labels/a.png", "stare labels/b.png"]),
        (["Train/images/a.png", "Train/images/b.png"], ["Train/gt 1/a.png", "Train/gt 1/b.png"]),
        (["1/images/a.png", "2/images/b.png"], ["1/masks/x.png", "2/masks/y.png"]),
        (["case 1/a.png", "case 2/b.png"], ["case 1/a_mask.png", "case 2/b_mask.png"]),
    ],
)
def test_arrays_beside_pictures_of_their_names_change_nothing(tmp_path, images, masks):
    samples = list_samples(touch(tmp_path, *images, *masks))
    assert samples["image_path"].tolist() == [str(tmp_path / image) for image in images]
    arrays = [image.replace(".png", ending) for image in images for ending in (".npy", ".NII.gz")]
    assert list_samples(touch(tmp_path, *arrays)).equals(samples)


@pytest.mark.parametrize("name", ["IM0001", "1.2.840.17"])
def test_a_dicom_file_without_an_ending_is_called_after_its_case_too(tmp_path, name):
    for case in ("P1", "P2"):
        touch(tmp_path, f"{case}/images/{name}", f"{case}/masks/{case}.png")
        (tmp_path / case / "images" / name).write_bytes(bytes(128) + b"DICM")
    samples, problems = pair_samples(tmp_path)
    assert samples["sample_id"].tolist() == ["P1", "P2"]
    assert problems == []


def test_names_in_two_forms_of_unicode_are_one_and_those_that_are_no_text_are_named(tmp_path):
    touch(tmp_path, "Train/Image/gr\u00f6\u00dfe.png", "Train/Mask/gro\u0308\u00dfe.png")
    touch(tmp_path, "Train/Image/b.png", "Train/Mask/b.png", "Train/Image/two\nlines.png", "Train/Mask/a\nb.txt")
    (tmp_path / "Train" / "Image" / os.fsdecode(b"gr\xf6.png")).touch()
    samples, problems = pair_samples(tmp_path)
    assert samples["sample_id"].tolist() == ["b", "gr\u00f6\u00dfe"]
    assert is_called_alike("gr\u00f6\u00dfe", "gro\u0308\u00dfe_mask")
    assert {problem.problem for problem in problems} == {"odd name"}
    assert sorted(problem.file.name for problem in problems) == ["gr?.png", "two lines.png"]
