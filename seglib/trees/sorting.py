"""Folders -> the image files below them by their stems, images apart from masks."""

import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import NamedTuple, NoReturn

from seglib.errors import InputError
from seglib.images.suffixes import is_image_name, split_suffix
from seglib.paths import find_folder, find_part
from seglib.trees import worded
from seglib.trees.files import Files, drop_arrays, drop_kinds, find_kind, list_files, name_files, walk
from seglib.trees.names import MASK_BESIDE, find_beside
from seglib.trees.parts import TEST, find_test, find_train_masks
from seglib.trees.words import lies_among_masks, tells_images, tells_masks, tells_test, tells_train

DEPTH = 3  # folders that a data folder without Train is looked into, as anything may lie below it: class/case/images


class Part(NamedTuple):
    """Image files of the training or of the test images."""

    images: Files
    masks: Files | None  # None: no file lies in a folder of masks


def list_part(part: Path, left_out: Collection[Path] = (), *, data_dir: Path | None = None) -> Part:
    """The files of the training or of the test images.

    Images lie in ``Image`` and masks in ``Mask``. Where one of the two is missing, or they lie in a folder for each
    case, as ``case/images/a.png`` and ``case/masks/b.png``, every file is of the kind its folder is called; and in
    a part without any folder of images, all are images that lie in none of masks. Where no mask is found so, one
    folder called as images are, `words.tells_images`, and one called as masks are, are taken for the two; else what
    words in the names of folders say, `worded.tell_pair`.

    Args:
        part: the folder of the training or of the test images.
        left_out: files to pass over.
        data_dir: the data folder. Where it is the part, it is not looked into deeply, and its test images are no part
            of it.

    Raises:
        InputError: if a folder cannot be looked into, or test images lie among those without a ``Train``.
    """
    image_dir, mask_dir = find_folder(part, "image"), find_part(part, "mask")
    if image_dir and mask_dir:
        images = list_files(image_dir, left_out)
        if part == data_dir:
            _refuse_test(images)
        return Part(images, list_files(mask_dir, left_out))
    whole = image_dir or part
    names = _list_names(whole, left_out, data_dir)
    kinds = [find_kind(name) for name in names]
    of_images = "image" if "image" in kinds else ""
    images = [name for name, kind in zip(names, kinds, strict=True) if kind == of_images]
    masks = [name for name, kind in zip(names, kinds, strict=True) if kind == "mask"]
    found = Part(name_files(whole, images, call=_call_alone(images)), name_files(whole, masks) if masks else None)
    if not masks and not _do_beside(found.images.names):
        found = (
            _list_called(part, left_out)
            or _list_worded(part, found, left_out, data_dir=data_dir)
            or _list_beside(part, left_out, data_dir=data_dir)
            or found
        )
    if part == data_dir:
        _refuse_test(found.images)
    return found


def _do_beside(stems: Collection[str]) -> bool:
    """Whether stems are of images and of their masks, beside them or told by what is left of the names."""
    masks = {stem for stem in stems if MASK_BESIDE.search(stem)}
    images = set(stems) - masks
    return bool(masks) and (bool(find_beside(stems)) or worded.do_pair(images, masks))


def _list_called(part: Path, left_out: Collection[Path]) -> Part | None:
    """The images and masks of two folders that are called so by other words; None where it is not clear which."""
    entries = [entry for entry in sorted(part.iterdir()) if entry.is_dir()]
    images = [entry for entry in entries if tells_images(entry.name)]
    masks = [entry for entry in entries if tells_masks(entry.name)]
    if len(images) != 1 or len(masks) != 1:
        return None
    found = Part(list_files(images[0], left_out), list_files(masks[0], left_out))
    of_images, of_masks = ({os.path.dirname(name) for name in files.names.values()} for files in found)
    return found if of_masks and of_masks <= of_images else None  # masks elsewhere may be one kind of several


def _list_worded(part: Path, found: Part, left_out: Collection[Path], *, data_dir: Path | None) -> Part | None:
    """The images and masks of `worded.tell_pair`; those of folders called ``Image`` are ``found`` already."""
    pair = worded.tell_pair(list_worded(part, left_out, data_dir=data_dir))
    if pair is None:
        return None
    images, plain = found.images, find_folder(part, "image") is None
    if plain and not any(find_kind(name) for name in images.names.values()):
        images = name_files(part, pair[0], call=worded.call_files(pair[0], alone=True).__getitem__)
    masks = name_files(part, pair[1], call=worded.call_files(pair[1], alone=images is not found.images).__getitem__)
    return Part(images, masks) if worded.do_pair(images.names, masks.names) else None


def _list_beside(part: Path, left_out: Collection[Path], *, data_dir: Path | None) -> Part | None:
    """The images of a part, and the masks of the one folder beside it called as those to train on; None without one."""
    if data_dir is None or part == data_dir:
        return None
    folders = find_train_masks(data_dir)
    if len(folders) != 1:
        return None
    images, masks = list_files(part, left_out), list_files(folders[0], left_out)
    return Part(images, masks) if worded.do_pair(images.names, masks.names) else None


def list_worded(part: Path, left_out: Collection[Path] = (), *, data_dir: Path | None) -> list[str]:
    """The names of all image files below a part, of whatever kind; the arguments are those of `list_part`."""
    names = [name for name in _list_names(part, left_out, data_dir) if is_image_name(name)]
    return worded.drop_tests(names) if part == data_dir else names


def _list_names(folder: Path, left_out: Collection[Path], data_dir: Path | None) -> list[str]:
    """The files below a folder; of the data folder itself those not deep in it, without its test images."""
    test, depth = (find_test(folder), DEPTH) if folder == data_dir else (None, None)
    return drop_arrays(walk(folder, left_out, skip=lambda place: place == str(test), depth=depth))


def refuse_truth(part: Path, found: Part) -> None:
    """Stop where images to predict cannot be told from their masks.

    Args:
        part: the folder of the test images.
        found: its files.

    Raises:
        InputError: if images lie in a folder called as masks are, and none is called ``Image``.
    """
    drawn = next((name for name in found.images.names.values() if lies_among_masks(name)), None)
    if drawn is not None:
        folder = (found.images.folder / drawn).parent
        raise InputError(
            f"{folder} is called as a folder of masks, and no other one in {part} is called as that of their images; "
            "call the one with the images to predict Image, and the one with masks Mask"
        )


def _refuse_test(images: Files) -> None:
    """Of images that are not told apart by ``Train`` and ``Test`` none may be called a test image.

    A folder called ``test`` is one of those; other names are that have such a word where others have one of training.
    """
    split = [name.split(os.sep) for name in images.names.values()]
    trains = any(tells_train(word) and not tells_test(word) for names in split for word in names)
    for *folders, last in split:
        for depth, folder in enumerate(folders, start=1):
            if folder.lower() in {*TEST, "tests"} or (trains and tells_test(folder)):
                _refuse_called(images.folder.joinpath(*folders[:depth]))
        if trains and tells_test(split_suffix(last)[0]):
            _refuse_called(images.folder.joinpath(*folders, last))


def _refuse_called(place: Path) -> NoReturn:
    raise InputError(
        f"{place} is called as if it were to test or validate by, and lies among the images to train on; put those "
        "into Train/Image and Train/Mask, and test images into Test/Image, or call it otherwise"
    )


def _call_alone(names: Iterable[str]) -> Callable[[str], str]:
    """A file that lies alone in a folder such as ``case/images`` is called after the case."""
    cases: dict[str, int] = {}
    for name in names:
        cases[os.path.dirname(name)] = cases.get(os.path.dirname(name), 0) + 1

    def call(name: str) -> str:
        folder, plain = os.path.dirname(name), drop_kinds(name)
        case = os.path.dirname(plain)
        ending = split_suffix(name)[1]
        ending = ending if ending.strip(".0123456789") else ""  # digits are none: DICOM files of hospitals end so
        return case + ending if case != folder and cases[folder] == 1 else plain

    return call
