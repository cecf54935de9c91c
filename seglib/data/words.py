"""Name of a folder or file -> what its words say: to train or to test on, of images or of masks."""

import os
import re

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")  # of TestDataset, kmms_test, testA_1
TRAINS = re.compile(r"train(s|ing|val|set|data)?")
TESTS = re.compile(r"test(s|ing|set|data)?|val|valid|validation|h[oe]ldout")
# what folders are called besides Image and Mask; with a number or another word it may be one of several
IMAGES = re.compile(r"(image|img|original)s?")
MASKS = re.compile(r"(mask|label|gt|groundtruth|annotation|manual|segmentation)s?")


def tells_train(name: str) -> bool:
    """Whether a word of a name says that something is to train on."""
    return any(TRAINS.fullmatch(word.lower()) for word in WORD.findall(name))


def tells_test(name: str) -> bool:
    """Whether a word of a name says that something is to test or validate on.

    Example:
        >>> tells_test("TestDataset"), tells_test("testA_1"), tells_test("validated")
        (True, True, False)
    """
    return any(TESTS.fullmatch(word.lower()) for word in WORD.findall(name))


def tells_images(folder: str) -> bool:
    """Whether the whole name of a folder says that it holds images."""
    return IMAGES.fullmatch(_join_words(folder)) is not None


def tells_masks(folder: str) -> bool:
    """Whether the whole name of a folder says that it holds masks.

    Example:
        >>> tells_masks("Ground Truth"), tells_masks("labels"), tells_masks("manual1")
        (True, True, False)
    """
    return MASKS.fullmatch(_join_words(folder)) is not None


def lies_among_masks(name: str) -> bool:
    """Whether a folder of a file's path is called as one of masks."""
    return any(tells_masks(folder) for folder in name.split(os.sep)[:-1])


def _join_words(folder: str) -> str:
    return re.sub(r"[\W_]+", "", folder).lower()
