"""Name of a folder or file -> what its words say: to train or to test on, of images or of masks."""

import os
import re

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")  # of TestDataset, kmms_test, testA_1
TRAINS = re.compile(r"train(s|ing|val|set|data)?")
TESTS = re.compile(r"test(s|ing|set|data)?|val|valid|validation|h[oe]ldout")
ASKED = re.compile(r"ts|test(s|ing|set|data)?")  # a submission is made for these images; ts as in imagesTs
# what folders are called besides Image and Mask; with a number or another word it may be one of several
IMAGES = re.compile(r"(image|img|original)s?")
MASKS = re.compile(r"(mask|label|gt|groundtruth|annotation|manual|segmentation)s?")
MASK_WORDS = re.compile(rf"{MASKS.pattern}|(truth|lesion)s?")  # in the name of a folder, beside others
SIDES = {"left", "right"}


def tells_train(name: str) -> bool:
    """Whether a word of a name says that something is to train on."""
    return _has_word(name, TRAINS)


def tells_test(name: str) -> bool:
    """Whether a word of a name says that something is to test or validate on.

    Example:
        >>> tells_test("TestDataset"), tells_test("testA_1"), tells_test("validated")
        (True, True, False)
    """
    return _has_word(name, TESTS)


def drop_train(name: str) -> str | None:
    """What is left of a name without its word of a training; None if it has none.

    Example:
        >>> drop_train("kmms_training"), drop_train("TrainDataset"), drop_train("trainx")
        ('kmms_', 'dataset', None)
    """
    return _drop_word(name, TRAINS)


def drop_asked(name: str) -> str | None:
    """What is left of a name without its word of a test that a submission is made for; None if it has none.

    Example:
        >>> drop_asked("kmms_test"), drop_asked("TestDataset"), drop_asked("val_set")
        ('kmms_', 'dataset', None)
    """
    return _drop_word(name, ASKED)


def do_names_agree(first: str, second: str) -> bool:
    """Whether all words of one name are in the other one; a name without words agrees with another such only.

    Example:
        >>> do_names_agree("isic__data", "isic_v2_data"), do_names_agree("400", "300"), do_names_agree("_set", "01")
        (True, True, False)
    """
    words, others = (set(WORD.findall(name)) for name in (first, second))
    return bool(words) == bool(others) and (words <= others or others <= words)


def _has_word(name: str, kind: re.Pattern[str]) -> bool:
    return any(kind.fullmatch(word.lower()) for word in WORD.findall(name))


def _drop_word(name: str, kind: re.Pattern[str]) -> str | None:
    found = next((word for word in WORD.finditer(name) if kind.fullmatch(word[0].lower())), None)
    return found and (name[: found.start()] + name[found.end() :]).lower()


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


def find_word(folder: str) -> str:
    """What a word in the name of a folder says that it holds: image or mask; nothing if none does, or both do.

    Example:
        >>> find_word("stare-images"), find_word("ManualMask"), find_word("mask images"), find_word("CXR_png")
        ('image', 'mask', '', '')
    """
    words = [word.lower() for word in WORD.findall(folder)]
    image, mask = (any(map(kind.fullmatch, words)) for kind in (IMAGES, MASK_WORDS))
    return "" if image == mask else "image" if image else "mask"


def name_kind(folder: str) -> tuple[str, ...]:
    """The words in the name of a folder of masks, without numbers and sides: one thing if all have the same.

    Example:
        >>> name_kind("GT_01"), name_kind("leftMask"), name_kind("lung masks")
        (('gt',), ('mask',), ('lung', 'masks'))
    """
    return tuple(word for word in map(str.lower, WORD.findall(folder)) if word not in SIDES)


def is_for_training(folder: str) -> bool:
    """Whether a folder that says what it holds says that it is to train on, too.

    Example:
        >>> is_for_training("labelsTr"), is_for_training("train_images"), is_for_training("train")
        (True, True, False)
    """
    return find_word(folder) != "" and (tells_train(folder) or "Tr" in WORD.findall(folder))


def is_for_test(folder: str) -> bool:
    """Whether a folder that says what it holds says that it is to test or validate on, and not to train on, too.

    Example:
        >>> is_for_test("imagesTs"), is_for_test("val_masks"), is_for_test("trainval-image")
        (True, True, False)
    """
    tests = tells_test(folder) or "Ts" in WORD.findall(folder)
    return find_word(folder) != "" and tests and not is_for_training(folder)


def asks(folder: str) -> bool:
    """Whether a word in the name of a folder says that it is of what a submission is made for."""
    return _has_word(folder, ASKED)


def asks_images(folder: str) -> bool:
    """Whether the name of a folder says that it holds images that a submission is made for.

    Example:
        >>> asks_images("imagesTs"), asks_images("test_masks"), asks_images("val_images")
        (True, False, False)
    """
    return asks(folder) and is_for_test(folder) and find_word(folder) == "image"


def lies_among_masks(name: str) -> bool:
    """Whether a folder of a file's path is called as one of masks."""
    return any(tells_masks(folder) for folder in name.split(os.sep)[:-1])


def _join_words(folder: str) -> str:
    return re.sub(r"[\W_]+", "", folder).lower()
