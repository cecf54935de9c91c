"""Data folder -> the folders in it of the images to train on and to test on."""

from pathlib import Path

from seglib.data.words import asks_images, find_word, is_for_training
from seglib.errors import InputError
from seglib.paths import find_folder, find_part, is_data_dir

TRAIN, TEST = ("train", "training"), ("test", "testing")


def find_train(data_dir: Path) -> Path:
    """The folder of the training images: ``Train``, or the data folder itself where it holds no such one.

    Raises:
        InputError: if the data folder is itself the ``Train`` of a data set, or data sets lie in it.
    """
    train = find_part(data_dir, *TRAIN)
    if train is not None:
        return train
    parent = data_dir.absolute().parent
    if _is_set(parent) and find_folder(parent, *TRAIN) == data_dir.absolute():
        raise InputError(f"{data_dir} holds no Train/Image; name the folder that has Train and Test in it: {parent}")
    inner = [entry for entry in sorted(data_dir.iterdir()) if _is_set(entry)]
    if inner:
        raise InputError(f"{data_dir} holds no Train/Image, but {inner[0].name} in it does; name {inner[0]}")
    return data_dir


def _is_set(folder: Path) -> bool:
    """As ``is_data_dir``; what has two folders of one meaning, or cannot be looked into, is none."""
    try:
        return is_data_dir(folder)
    except (InputError, OSError):
        return False


def has_test(data_dir: Path) -> bool:
    """Whether there is a folder for test images, be it empty."""
    return find_test(data_dir) is not None


def find_test(data_dir: Path) -> Path | None:
    """The folder of the test images: ``Test``; or where neither ``Train`` nor ``Image`` is, one such as ``imagesTs``.

    Its name has a word of a test and one of images, and beside it lies one with words of a training and of images.
    """
    if (test := find_part(data_dir, *TEST)) or find_folder(data_dir, *TRAIN) or find_folder(data_dir, "image"):
        return test
    folders = [entry for entry in sorted(data_dir.iterdir()) if entry.is_dir() and not entry.name.startswith(".")]
    found = [entry for entry in folders if asks_images(entry.name)]
    trains = any(is_for_training(entry.name) and find_word(entry.name) == "image" for entry in folders)
    return found[0] if len(found) == 1 and trains else None
