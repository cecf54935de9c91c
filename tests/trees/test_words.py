import pytest

from seglib.trees.words import (
    find_word,
    is_for_test,
    lies_among_masks,
    tells_images,
    tells_masks,
    tells_test,
    tells_train,
)


@pytest.mark.parametrize(
    "name",
    ["TestDataset", "kmms_test", "test_set", "testing data", "testA_1", "VAL", "1-Validation_2", "testset", "HoldOut"],
)
def test_a_word_of_testing(name):
    assert tells_test(name) != (name == "HoldOut")  # two words, and neither says it


@pytest.mark.parametrize("name", ["validated", "latest", "valve", "Testis", "contest", "attest_1", "train"])
def test_a_word_that_only_holds_one_of_testing(name):
    assert not tells_test(name)


def test_words_of_training():
    assert all(
        map(tells_train, ["TrainDataset", "kmms_training", "TRAIN", "21_training", "trainval-image", "stage1_train"])
    )
    assert not any(map(tells_train, ["strain", "trainer", "constraining", "test"]))


def test_folders_of_images_and_masks_by_their_whole_names():
    assert all(map(tells_images, ["img", "Images", "original", "ORIGINALS"]))
    assert all(
        map(
            tells_masks, ["GT", "gts", "Ground Truth", "ground_truth", "GroundTruth", "labels", "Annotations", "manual"]
        )
    )
    assert not any(map(tells_images, ["image1", "tissue images", "imgs_2", "masks", ""]))
    assert not any(map(tells_masks, ["manual1", "labelsTr", "lung masks", "labels-ah", "images", ""]))
    assert lies_among_masks("P1/Ground truth/a.png")
    assert not lies_among_masks("gt.png")


def test_words_beside_others_tell_what_a_folder_holds():
    assert all(find_word(name) == "image" for name in ["stare-images", "IMD2_Dermoscopic_Image", "imagesTr", "2d_img"])
    told = ["labels-ah", "ManualMask", "GT_01", "lung masks", "IMD2_lesion", "X_GroundTruth", "labelsTr", "mask-0"]
    assert all(find_word(name) == "mask" for name in told)
    assert not any(map(find_word, ["CXR_png", "Slide_01", "label images", "imager", "masked", "roi", ""]))
    assert find_word("Ground Truth") == "mask"


def test_short_words_count_only_where_a_folder_says_what_it_holds():
    assert is_for_test("labelsTs")
    assert not any(map(is_for_test, ["Ts", "P1_Ts", "imagests", "images_tr", "test"]))
    assert not tells_test("P1_ts")
    assert not tells_train("P1_Tr")
    assert not is_for_test("train_test_images")
