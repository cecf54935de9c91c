"""A data folder without masks -> the sentence that says what is there instead, and what to do."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from seglib.errors import InputError
from seglib.images.suffixes import is_image_name, split_suffix
from seglib.paths import find_folder
from seglib.trees.files import walk
from seglib.trees.leftovers import count_images, is_ours, list_images_near, list_other
from seglib.trees.names import DRAWN_BESIDE, find_beside, find_endings, split_ending
from seglib.trees.parts import TRAIN, find_train_folder, find_train_masks
from seglib.trees.sorting import DEPTH, list_part, list_worded
from seglib.trees.worded import list_kinds, sort_names
from seglib.trees.words import find_word

SHOWN = 4  # folders that a sentence names
FORMATS = {"xml": "XML", "json": "JSON", "geojson": "GeoJSON", "csv": "CSV", "mat": "MATLAB"}  # by their endings
FORMATS |= {"npy": "NumPy", "npz": "NumPy", "nii": "NIfTI", "nrrd": "NRRD", "mha": "MetaImage", "mhd": "MetaImage"}


def describe_unread(data_dir: Path, train: Path) -> str:
    """The sentence for a set without masks: what was looked for, and what is there instead.

    Args:
        data_dir: the data folder.
        train: the folder of its training images, or the data folder.
    """
    missing = f"{train} holds no {'Train/Image' if train == data_dir else 'folder Mask'}"
    if train != data_dir and len(masks := find_train_masks(data_dir)) > 1:
        return f"{missing}, but {_tell_choice([folder.name for folder in masks])}"
    names = list(list_images_near(train))
    told = _describe_sets(data_dir) if train == data_dir else ""
    told = told or _describe_beside(train, names) or _describe_kinds(train, data_dir) or describe_formats(train, names)
    if told:
        return f"{missing}, but {told}"
    if names and (seen := _describe_folders(names)):
        apart = ", or Train/Image and Train/Mask, with test images in Test/Image" if train == data_dir else ""
        return f"{missing}, but {seen}; call the folder of the images Image and that of their masks Mask{apart}"
    others = [] if train == data_dir else list_other(data_dir, used=[find_train_folder(data_dir)])
    if counts := Counter({entry.name: count for entry in others if (count := count_images(entry))}):
        place = f"put the images into {train.name}/Image and their masks into {train.name}/Mask"
        return f"{missing}, but beside it there is {_join(counts)}; {place}"
    return (
        f"{missing}, and no mask lies beside its image, called a_mask.png if that is a.png; add them (seglib decode "
        "makes them of a CSV with run lengths) or name another data folder"
    )


def _describe_beside(train: Path, names: Sequence[str]) -> str:
    """The files beside images that may be their masks, and what to call them; "" if there are none."""
    stems = {split_suffix(name)[0]: name for name in names}
    if len(endings := find_endings(stems)) > 1:
        files = [os.path.basename(stems[stem]) for stem in sorted(endings.values())]
        image = split_ending(min(endings.values()))[0]
        return (
            f"{train / stems[image]} has {' and '.join(files)} beside it, as all others have; if these are masks by "
            f"several readers, or of several things, call those that are meant {os.path.basename(image)}_mask"
            f"{split_suffix(files[0])[1]} and so on, and move the others out"
        )
    beside = find_beside(stems, DRAWN_BESIDE) or {stem: split_ending(stem)[0] for stem in endings.values()}
    if not beside:
        return ""
    mask, image = min(beside.items())
    cure = f"call it {os.path.basename(image)}_mask{split_suffix(stems[mask])[1]}, and the others so"
    return f"{train / stems[mask]} lies beside {os.path.basename(stems[image])}; if it is the mask of that, {cure}"


def describe_formats(train: Path, names: Sequence[str]) -> str:
    """Of files that are no pictures those that are likely to be the masks; "" if there are none.

    They are called after images, or lie in a folder that is called as one of masks.

    Args:
        train: the folder of the training images.
        names: of the images in it, relative to it.
    """
    images = {split_suffix(os.path.basename(name))[0] for name in names}
    images |= {re.sub(r"[ _-]\d+$", "", image) for image in images}
    found: dict[str, list[str]] = {}
    for name in walk(train, skip=is_ours, depth=2 * DEPTH):
        stem, suffix = split_suffix(os.path.basename(name))
        called = stem in images
        among_masks = any(find_word(folder) == "mask" for folder in name.split(os.sep)[:-1])
        if (called or among_masks) and (kind := FORMATS.get(suffix.lower()[1:].partition(".")[0])):
            found.setdefault(kind, []).append(name)
    if not found:
        return ""
    kind, files = max(found.items(), key=lambda item: len(item[1]))
    told = f"the masks seem to be {kind} files, such as {train / min(files)}"
    if is_image_name(min(files)):
        return f"{told}; call their folder Mask and that of the images Image"
    cure = "make images of them, a_mask.png beside a.png" if names else "make images of them, and of those to train on"
    return f"{told}, which are not read; {cure}"


def _describe_kinds(train: Path, data_dir: Path) -> str:
    """The folders of masks of which one has to be chosen; "" if there are not several."""
    kinds = list_kinds(sort_names(list_worded(train, data_dir=data_dir))["mask"])
    if len(kinds) < 2:
        return ""
    return _tell_choice([*kinds.values()])


def _tell_choice(folders: Sequence[str]) -> str:
    """That one of several folders of masks has to be chosen."""
    shown = [*folders[:SHOWN], *([f"{len(folders) - SHOWN} more"] if len(folders) > SHOWN else [])]
    return (
        f"{', '.join(shown[:-1])} and {shown[-1]} may hold masks by several readers, or of several things; call those "
        "folders Mask whose masks are meant, and those of the images Image"
    )


def _describe_sets(data_dir: Path) -> str:
    """The folders that are data sets themselves, of which one has to be named; "" if there are none."""
    entries = [entry for entry in sorted(data_dir.iterdir()) if entry.is_dir()]
    if sets := [entry for entry in entries if _holds_train(entry)]:
        names = " and ".join(entry.name for entry in sets[:SHOWN])
        return f"{names} in it {'have' if sets[1:] else 'has'} a folder Train; name {sets[0]}"
    sets = [entry for entry in entries if _holds_pairs(entry)]
    names = " and ".join(entry.name for entry in sets[:SHOWN])
    cure = "name the one that is meant, such as"
    return f"{names} in it hold images and masks each; {cure} {sets[0]}" if sets[1:] else ""


def _holds_train(folder: Path) -> bool:
    try:
        return find_folder(folder, *TRAIN) is not None
    except (InputError, OSError):
        return False


def _holds_pairs(folder: Path) -> bool:
    try:
        return list_part(folder, data_dir=folder).masks is not None
    except (InputError, OSError):
        return False


def _describe_folders(names: Sequence[str], within: str = "") -> str:
    """The folders that hold images, with their counts; "" if there is one.

    Where all hold folders in turn, or they are too many to name, it is those in the first one, such as a case.
    """
    counts = Counter(name.partition(os.sep)[0] if os.sep in name else "" for name in names)
    if len(counts) == 1 or len(counts) > SHOWN or all(name.count(os.sep) > 1 for name in names):
        first = min(counts)
        inner = [name.removeprefix(first + os.sep) for name in names if name.startswith(first + os.sep)]
        if inner and (told := _describe_folders(inner, os.path.join(within, first))):
            return told
    if len(counts) < 2:
        return ""
    return (f"{within} in it holds " if within else "") + _join(counts)


def _join(counts: Counter[str]) -> str:
    """Folders in words, at most `SHOWN`, each with its count of images."""
    folders = sorted(name for name in counts if name)
    words = [f"{name} ({counts[name]} image{'s' * (counts[name] > 1)})" for name in folders[:SHOWN]]
    words += [f"{len(folders) - SHOWN} more"] if len(folders) > SHOWN else []
    words += [f"{counts['']} images outside of them"] if "" in counts else []
    return " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)
