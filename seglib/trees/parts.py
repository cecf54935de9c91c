"""Data folder -> the folders in it of the images to train on and to test on."""

from collections.abc import Iterable
from pathlib import Path

from seglib.errors import InputError
from seglib.paths import find_folder, find_part, is_data_dir
from seglib.trees.files import holds_images
from seglib.trees.words import (
    asks,
    asks_images,
    do_names_agree,
    drop_asked,
    drop_train,
    find_word,
    is_for_test,
    is_for_training,
)

TRAIN, TEST = ("train", "training"), ("test", "testing")


def find_train(data_dir: Path) -> Path:
    """The folder of the training images: ``Train``, or the data folder itself where it holds no such one.

    What `find_pair` tells is ``Train`` and ``Test`` by other names.

    Raises:
        InputError: if the data folder is itself the ``Train`` of a data set, or data sets lie in it.
    """
    train = find_part(data_dir, *TRAIN)
    if train is not None:
        return train
    if pair := find_pair(data_dir):
        return pair[0]
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

    Its name has a word of a test and one of images, and beside it lies one with words of a training and of images; or
    it is that of `find_pair`.
    """
    if (test := find_part(data_dir, *TEST)) or find_folder(data_dir, *TRAIN) or find_folder(data_dir, "image"):
        return test
    folders = _list_folders(data_dir)
    found = [entry for entry in folders if asks_images(entry.name)]
    trains = any(is_for_training(entry.name) and find_word(entry.name) == "image" for entry in folders)
    if len(found) == 1 and trains:
        return found[0]
    pair = find_pair(data_dir)
    return pair and pair[1]


def find_pair(data_dir: Path) -> tuple[Path, Path] | None:
    """Two folders called as if to train and to test on by a word of their names, as ``train_set`` and ``test_set``.

    They hold images, and no folder there is called otherwise as one of images is. The other words of one are those of
    the other too, and that may have more, such as ``Training_Data`` and ``Test_v2_Data``. Of several it is the two that
    have all of their names but that word in common: ``stage1_train`` and ``stage1_test``, not ``stage2_test``.

    Returns:
        The two; None where they cannot be told, or there is a ``Train``, ``Test``, ``Image`` or ``Mask``.
    """
    folders = _list_folders(data_dir)
    own = any(find_folder(data_dir, *words) for words in (TRAIN, TEST, ("image",), ("mask",)))
    if own or any(find_word(entry.name) == "image" for entry in folders):
        return None
    plain = [entry for entry in folders if not find_word(entry.name)]
    trains = {entry: rest for entry in plain if (rest := drop_train(entry.name)) is not None}
    tests = {entry: rest for entry in plain if (rest := drop_asked(entry.name)) is not None and entry not in trains}
    pairs = [(train, test) for train in trains for test in tests if do_names_agree(trains[train], tests[test])]
    if len(pairs) > 1:
        pairs = [(train, test) for train, test in pairs if trains[train] == tests[test]]
    return pairs[0] if len(pairs) == 1 and all(map(holds_images, pairs[0])) else None


def find_train_folder(data_dir: Path) -> Path | None:
    """The folder directly in the data folder that holds all training images, and maybe their masks."""
    pair = find_pair(data_dir)
    return find_folder(data_dir, *TRAIN) or (pair and pair[0])


def find_train_masks(data_dir: Path) -> list[Path]:
    """Folders with images called as those of masks to train on, such as ``train_masks``, be they used or not."""
    return _list_masks([entry for entry in _list_folders(data_dir) if is_for_training(entry.name)])


def find_test_masks(data_dir: Path) -> list[Path]:
    """Folders with images called as those of masks of the test images, such as ``labelsTs``; of a validation none."""
    return _list_masks([entry for entry in _list_folders(data_dir) if is_for_test(entry.name) and asks(entry.name)])


def _list_masks(folders: Iterable[Path]) -> list[Path]:
    return [folder for folder in folders if find_word(folder.name) == "mask" and holds_images(folder)]


def _list_folders(folder: Path) -> list[Path]:
    return [entry for entry in sorted(folder.iterdir()) if entry.is_dir() and not entry.name.startswith(".")]
