"""Folder -> the image files below it by their stems."""

import os
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from seglib.errors import InputError, Problem
from seglib.images.dicom import is_unnamed_dicom
from seglib.images.suffixes import ARRAYS, PICTURES, SUFFIXES, is_image_name, split_suffix
from seglib.paths import make_plain

# images of formats that nobody here reads; other files, such as notes and Thumbs.db, are passed over
UNREAD = (".heic", ".avif", ".svs", ".npz", ".mat", ".gz", ".mha", ".mhd", ".nrrd")
KIND = re.compile(r"(image|mask)s?", re.IGNORECASE)  # a folder called so says what its files are, and not whose


class Files(NamedTuple):
    """Image files below a folder."""

    folder: Path
    names: dict[str, str]  # relative to the folder, by stem: text, as a hundred thousand of pathlib's are 100 MB
    problems: list[Problem]  # of those that have none


def list_files(folder: Path, left_out: Collection[Path] = ()) -> Files:
    """All image files below a folder, in folders of patients too.

    Raises:
        InputError: if a folder cannot be looked into.
    """
    return name_files(folder, walk(folder, left_out))


def name_files(folder: Path, names: Iterable[str], *, call: Callable[[str], str] | None = None) -> Files:
    """Files by their stems, and what is wrong with those that have none.

    The stem of ``P01/scan.png`` is ``P01_scan``. An array that has the stem of a picture is passed over.

    Args:
        folder: what the names are relative to.
        names: of files; those that are no images are passed over.
        call: what a file is called instead of its name, with folders and ending.
    """
    pictures: dict[str, str] = {}
    arrays: dict[str, str] = {}
    unread: dict[str, str] = {}
    twins, problems = [], []
    for name in names:
        if name.startswith("."):
            continue
        called = unicodedata.normalize("NFC", call(name) if call else drop_kinds(name))  # a Mac writes ö as o and dots
        stem, suffix = split_suffix(called.replace(os.sep, "_"))
        if (plain := make_plain(name)) != name and suffix.lower() in SUFFIXES:
            fact = "has a name that is no text in UTF-8, or of several lines"
            problems.append(Problem(folder / plain, "odd name", fact, "rename it"))
            continue
        if suffix.lower() not in SUFFIXES and is_unnamed_dicom(folder / name):
            stem, suffix = stem + suffix, ".dcm"
        if suffix.lower() not in SUFFIXES:
            unread |= {stem: name} if suffix.lower() in UNREAD else {}
            continue
        found = arrays if suffix.lower() in ARRAYS else pictures
        if stem in found:
            twins.append((stem, name, found))
            continue
        found[stem] = name
    for stem, name, found in twins:
        if found is pictures or stem not in pictures:
            fact = f"has the same name as {found[stem]} but for its ending or folder"
            problems.append(Problem(folder / name, "same name", fact, "keep one of them"))
    found = pictures | {stem: name for stem, name in arrays.items() if stem not in pictures}
    for stem, name in unread.items():
        if stem not in found:  # else it was saved anew already
            cure = "save it as PNG, or move it out of this folder"
            problems.append(Problem(folder / name, "unread format", "is in a format that is not read", cure))
    return Files(folder, found, problems)


def drop_arrays(names: Iterable[str]) -> list[str]:
    """Files without the arrays that lie beside a picture of their name, so that these change nothing that folders tell.

    Example:
        >>> drop_arrays(["a.npy", "a.png", "b.npy", "c/a.nii.gz"])
        ['a.png', 'b.npy', 'c/a.nii.gz']
    """
    parts = {name: split_suffix(name) for name in names}
    pictures = {stem for stem, suffix in parts.values() if suffix.lower() in PICTURES}
    return [name for name, (stem, suffix) in parts.items() if suffix.lower() not in ARRAYS or stem not in pictures]


def holds_images(folder: Path) -> bool:
    """Whether an image lies in a folder, or in one inside."""
    return any(is_image_name(name) for name in walk(folder))


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
