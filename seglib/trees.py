"""Folders -> the image files below them by their stems, images apart from masks."""

import os
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from seglib.dicom import is_unnamed_dicom
from seglib.errors import InputError, Problem
from seglib.images import SUFFIXES
from seglib.paths import find_folder, find_part, is_data_dir

# images of formats that nobody here reads; other files, such as notes and Thumbs.db, are passed over
UNREAD = (".heic", ".avif", ".svs", ".npy", ".npz", ".mat", ".nii", ".gz", ".mha", ".mhd", ".nrrd")
KIND = re.compile(r"(image|mask)s?", re.IGNORECASE)  # a folder called so says what its files are, and not whose
TRAIN, TEST, VALIDATION = ("train", "training"), ("test", "testing"), ("val", "valid", "validation")
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
    return find_part(data_dir, *TEST) is not None


def find_unused(data_dir: Path) -> list[Path]:
    """Folders that hold images which nobody uses: beside those of images and masks, or called as if they validated.

    Args:
        data_dir: the data folder.
    """
    train = find_part(data_dir, *TRAIN)
    unused = [] if train is None else [part for word in VALIDATION if (part := find_folder(data_dir, word))]
    train = train or data_dir
    if train != data_dir and find_folder(train, "image"):
        others = (
            entry for entry in sorted(train.iterdir()) if entry.is_dir() and not entry.name.startswith((".", "__"))
        )
        unused += [entry for entry in others if not KIND.fullmatch(entry.name)]
    return [folder for folder in unused if _holds_images(folder)]


def _holds_images(folder: Path) -> bool:
    return any(os.path.splitext(name)[1].lower() in SUFFIXES for name in _walk(folder, depth=DEPTH))


def list_part(part: Path, left_out: Collection[Path] = (), *, data_dir: Path | None = None) -> Part:
    """The files of the training or of the test images.

    Images lie in ``Image`` and masks in ``Mask``. Where one of the two is missing, or they lie in a folder for each
    case, as ``case/images/a.png`` and ``case/masks/b.png``, every file is of the kind its folder is called; and in
    a part without any folder of images, all are images that lie in none of masks.

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
    test, depth = (find_part(whole, *TEST), DEPTH) if whole == data_dir else (None, None)
    names = list(_walk(whole, left_out, but=test, depth=depth))
    kinds = [_find_kind(name) for name in names]
    of_images = "image" if "image" in kinds else ""
    images = [name for name, kind in zip(names, kinds, strict=True) if kind == of_images]
    masks = [name for name, kind in zip(names, kinds, strict=True) if kind == "mask"]
    found = name_files(whole, images, call=_call_alone(images))
    if part == data_dir:
        _refuse_test(found)
    return Part(found, name_files(whole, masks) if masks else None)


def _refuse_test(images: Files) -> None:
    """Of images that are not told apart by ``Train`` and ``Test`` none may be called a test image."""
    for name in images.names.values():
        if set(map(str.lower, name.split(os.sep)[:-1])) & {*TEST, "tests"}:
            raise InputError(
                f"{images.folder / name} is called a test image and lies among those to train on; put the folders "
                "into Train and Test, as Train/Image, Train/Mask and Test/Image, or call it otherwise"
            )


def list_files(folder: Path, left_out: Collection[Path] = ()) -> Files:
    """All image files below a folder, in folders of patients too.

    Raises:
        InputError: if a folder cannot be looked into.
    """
    return name_files(folder, _walk(folder, left_out))


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


def _find_kind(name: str) -> str:
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


def _walk(
    folder: Path, left_out: Collection[Path] = (), *, but: Path | None = None, depth: int | None = None
) -> Iterator[str]:
    """Files below a folder, relative to it, in order; not what is hidden, nor what archives of a Mac leave behind."""
    passed_over = {str(path.relative_to(folder)) for path in left_out if path.is_relative_to(folder)}
    for place, inner, names in os.walk(folder, onerror=_refuse_folder, followlinks=True):
        start = os.path.relpath(place, folder) + os.sep if place != str(folder) else ""
        inner[:] = sorted(name for name in inner if not name.startswith((".", "__")) and Path(place, name) != but)
        if depth is not None and start.count(os.sep) >= depth:
            inner.clear()
        yield from (
            start + name for name in sorted(names) if not name.startswith(".") and start + name not in passed_over
        )


def _refuse_folder(error: OSError) -> NoReturn:
    raise InputError(
        f"{error.filename} cannot be looked into ({error.strerror}); change its permissions or move it away"
    )
