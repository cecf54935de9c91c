"""Folders -> the image files below them by their stems, images apart from masks."""

import os
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from seglib.data import worded
from seglib.data.names import MASK_BESIDE
from seglib.data.words import (
    asks_images,
    find_word,
    is_for_training,
    lies_among_masks,
    tells_images,
    tells_masks,
    tells_test,
    tells_train,
)
from seglib.errors import InputError, Problem
from seglib.images.dicom import is_unnamed_dicom
from seglib.images.reading import SUFFIXES
from seglib.paths import find_folder, find_part, is_data_dir

# images of formats that nobody here reads; other files, such as notes and Thumbs.db, are passed over
UNREAD = (".heic", ".avif", ".svs", ".npy", ".npz", ".mat", ".nii", ".gz", ".mha", ".mhd", ".nrrd")
KIND = re.compile(r"(image|mask)s?", re.IGNORECASE)  # a folder called so says what its files are, and not whose
TRAIN, TEST = ("train", "training"), ("test", "testing")
DEPTH = 3  # folders that a data folder without Train is looked into, as anything may lie below it: class/case/images


class Files(NamedTuple):
    """Image files below a folder."""

    folder: Path
    names: dict[str, str]  # relative to the folder, by stem: text, as a hundred thousand of pathlib's are 100 MB
    problems: list[Problem]  # of those that have none


class Part(NamedTuple):
    """Image files of the training or of the test images."""

    images: Files
    masks: Files | None  # None: no file lies in a folder of masks


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
    test, depth = (find_test(whole), DEPTH) if whole == data_dir else (None, None)
    names = list(walk(whole, left_out, skip=lambda place: place == str(test), depth=depth))
    kinds = [find_kind(name) for name in names]
    of_images = "image" if "image" in kinds else ""
    images = [name for name, kind in zip(names, kinds, strict=True) if kind == of_images]
    masks = [name for name, kind in zip(names, kinds, strict=True) if kind == "mask"]
    found = Part(name_files(whole, images, call=_call_alone(images)), name_files(whole, masks) if masks else None)
    if not masks and not any(map(MASK_BESIDE.search, found.images.names)):
        found = _list_called(part, left_out) or _list_worded(part, found, left_out, data_dir=data_dir) or found
    if part == data_dir:
        _refuse_test(found.images)
    return found


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


def list_worded(part: Path, left_out: Collection[Path] = (), *, data_dir: Path | None = None) -> list[str]:
    """The images below a part by their names, all kinds of them; the arguments are those of `list_part`."""
    test, depth = (find_test(part), DEPTH) if part == data_dir else (None, None)
    names = walk(part, left_out, skip=lambda place: place == str(test), depth=depth)
    names = [name for name in names if os.path.splitext(name)[1].lower() in SUFFIXES]
    return worded.drop_tests(names) if part == data_dir else names


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
        if trains and tells_test(os.path.splitext(last)[0]):
            _refuse_called(images.folder.joinpath(*folders, last))


def _refuse_called(place: Path) -> NoReturn:
    raise InputError(
        f"{place} is called as if it were to test or validate by, and lies among the images to train on; put those "
        "into Train/Image and Train/Mask, and test images into Test/Image, or call it otherwise"
    )


def list_files(folder: Path, left_out: Collection[Path] = ()) -> Files:
    """All image files below a folder, in folders of patients too.

    Raises:
        InputError: if a folder cannot be looked into.
    """
    return name_files(folder, walk(folder, left_out))


def name_files(folder: Path, names: Iterable[str], *, call: Callable[[str], str] | None = None) -> Files:
    """Files by their stems, and what is wrong with those that have none.

    The stem of ``P01/scan.png`` is ``P01_scan``.

    Args:
        folder: what the names are relative to.
        names: of files; those that are no images are passed over.
        call: what a file is called instead of its name, with folders and ending.
    """
    found: dict[str, str] = {}
    unread: dict[str, str] = {}
    problems = []
    for name in names:
        if name.startswith("."):
            continue
        called = unicodedata.normalize("NFC", call(name) if call else drop_kinds(name))  # a Mac writes ö as o and dots
        stem, suffix = os.path.splitext(called.replace(os.sep, "_"))
        if (plain := _make_plain(name)) != name and suffix.lower() in SUFFIXES:
            fact = "has a name that is no text in UTF-8, or of several lines"
            problems.append(Problem(folder / plain, "odd name", fact, "rename it"))
            continue
        if suffix.lower() not in SUFFIXES and is_unnamed_dicom(folder / name):
            stem, suffix = stem + suffix, ".dcm"
        if suffix.lower() not in SUFFIXES:
            unread |= {stem: name} if suffix.lower() in UNREAD else {}
            continue
        if stem in found:
            fact = f"has the same name as {found[stem]} but for its ending or folder"
            problems.append(Problem(folder / name, "same name", fact, "keep one of them"))
            continue
        found[stem] = name
    for stem, name in unread.items():
        if stem not in found:  # else it was saved anew already
            cure = "save it as PNG, or move it out of this folder"
            problems.append(Problem(folder / name, "unread format", "is in a format that is not read", cure))
    return Files(folder, found, problems)


def _make_plain(name: str) -> str:
    """A name as it can be printed and kept in a table: in UTF-8, on one line."""
    return " ".join(name.encode("utf-8", "replace").decode().splitlines())


def drop_kinds(name: str) -> str:
    """The path of a file without the folders that say what its files are.

    Example:
        >>> drop_kinds("P01/masks/scan.png")
        'P01/scan.png'
    """
    *folders, last = name.split(os.sep)
    return os.sep.join([*(folder for folder in folders if not KIND.fullmatch(folder)), last])


def find_kind(name: str) -> str:
    """What the folders of a file say that it is: image, mask or nothing."""
    kinds = [kind[1].lower() for folder in name.split(os.sep)[:-1] if (kind := KIND.fullmatch(folder))]
    return kinds[-1] if kinds else ""


def _call_alone(names: Iterable[str]) -> Callable[[str], str]:
    """A file that lies alone in a folder such as ``case/images`` is called after the case."""
    cases: dict[str, int] = {}
    for name in names:
        cases[os.path.dirname(name)] = cases.get(os.path.dirname(name), 0) + 1

    def call(name: str) -> str:
        folder, plain = os.path.dirname(name), drop_kinds(name)
        case = os.path.dirname(plain)
        return case + os.path.splitext(name)[1] if case != folder and cases[folder] == 1 else plain

    return call


def walk(
    folder: Path,
    left_out: Collection[Path] = (),
    *,
    skip: Callable[[str], bool] | None = None,
    depth: int | None = None,
) -> Iterator[str]:
    """Files below a folder, relative to it, in order; not what is hidden, nor what archives of a Mac leave behind.

    Args:
        folder: where to begin; folders that are links are followed, unless one leads back to where it lies.
        left_out: files to pass over.
        skip: whether to pass over a folder, by its path.
        depth: how many folders below the first are looked into; None: all.

    Raises:
        InputError: if a folder cannot be looked into.
    """
    passed_over = {str(path.relative_to(folder)) for path in left_out if path.is_relative_to(folder)}
    for place, inner, names in os.walk(folder, onerror=_refuse_folder, followlinks=True):
        start = os.path.relpath(place, folder) + os.sep if place != str(folder) else ""
        paths = {name: os.path.join(place, name) for name in sorted(inner) if not name.startswith((".", "__"))}
        inner[:] = [name for name, path in paths.items() if not (skip and skip(path)) and not _leads_back(path)]
        if depth is not None and start.count(os.sep) >= depth:
            inner.clear()
        yield from (
            start + name for name in sorted(names) if not name.startswith(".") and start + name not in passed_over
        )


def _leads_back(path: str) -> bool:
    """Whether a folder is a link to one that it lies in: it would be walked without end."""
    if not os.path.islink(path):
        return False
    real = os.path.realpath(path)
    return any(os.path.realpath(parent) == real for parent in Path(os.path.abspath(path)).parents)


def _refuse_folder(error: OSError) -> NoReturn:
    raise InputError(
        f"{error.filename} cannot be looked into ({error.strerror}); change its permissions or move it away"
    )
