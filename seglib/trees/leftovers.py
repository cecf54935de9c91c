"""A data folder -> the folders in it whose images are not read."""

import os
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path

from seglib.errors import InputError
from seglib.images.suffixes import is_image_name
from seglib.paths import find_folder
from seglib.trees.files import walk
from seglib.trees.parts import TEST, find_test, find_train, find_train_folder, find_train_masks
from seglib.trees.sorting import DEPTH, Part, list_part

# what tells the folder of predictions, of a run or of caches, each all of it: data sets have manifests and folds too
OUR_FILES = ((".predictions",), ("figures", "checkpoints"), ("manifest.json", "folds.csv"), ("known_files.csv",))
OUR_FOLDERS = ("figures", "cache")  # of a run, with pictures and arrays; it may be the data folder itself


def find_unused(data_dir: Path, left_out: Collection[Path] = ()) -> list[Path]:
    """Folders that hold images which nobody uses.

    They lie beside ``Train`` and ``Test``, beside the folders of images and masks, or deeper than a data folder without
    these is looked into; then the folder directly in it is named. What is hidden is none, nor is what we wrote.

    Args:
        data_dir: the data folder.
        left_out: files that are passed over.

    Raises:
        InputError: as `sorting.list_part`.
    """
    train = find_train(data_dir)
    beside: list[Path | None] = [find_train_folder(data_dir)]
    own = [find_folder(train, "image"), find_folder(train, "mask")]
    found = []
    if None in own:  # else their files, maybe very many, need no listing
        part = list_part(train, left_out, data_dir=data_dir)
        own = _list_used(part, train)
        beside += [folder for folder in find_train_masks(data_dir) if part.masks and part.masks.folder == folder]
        found += _list_deep(data_dir) if part.images.folder == train == data_dir else []
    found += [] if train == data_dir else list_other(data_dir, used=beside)
    found += list_other(train, used=own)
    return [folder for folder in sorted(set(found)) if count_images(folder, most=1)]


def _list_used(part: Part, train: Path) -> list[Path]:
    """The folders directly in that of the training images that hold some of its files."""
    if part.images.folder != train:
        return [part.images.folder, *([part.masks.folder] if part.masks else [])]
    names = [*part.images.names.values(), *(part.masks.names.values() if part.masks else [])]  # of each case or class
    return [train / name for name in {name.split(os.sep)[0] for name in names}]


def list_other(folder: Path, *, used: Collection[Path | None]) -> list[Path]:
    """Folders in one that are not used; not that of test images, of outputs, nor what is hidden."""
    used = {*used, find_folder(folder, *TEST), find_test(folder)}
    used |= {folder / name for name in OUR_FOLDERS} if is_ours(folder) else set()
    entries = [entry for entry in sorted(folder.iterdir()) if entry not in used and entry.is_dir()]
    return [entry for entry in entries if not entry.name.startswith((".", "__")) and entry.name.lower() != "outputs"]


def _list_deep(data_dir: Path) -> list[Path]:
    """Folders directly in a data folder with images that lie deeper than such a folder is looked into."""
    test = find_folder(data_dir, *TEST)
    names = [name.split(os.sep) for name in list_images_near(data_dir)]
    deep = {data_dir / first for first, *rest in names if len(rest) > DEPTH}
    return sorted(deep - {test})


def is_ours(folder: str | Path) -> bool:
    """Whether a folder is that of a run, of predictions or of caches, whose pictures and arrays are no data."""
    return any(all(os.path.exists(os.path.join(folder, name)) for name in names) for names in OUR_FILES)


def count_images(folder: Path, *, most: int | None = None) -> int:
    """How many images lie in a folder and not far below, counted up to ``most``; none if it is that of a run, say."""
    return 0 if is_ours(folder) else sum(1 for _ in islice(list_images_near(folder), most))


def list_images_near(folder: Path) -> Iterator[str]:
    """Images below a folder by their names; what cannot be looked into is no matter, as it is not read."""
    try:
        for name in walk(folder, skip=is_ours, depth=2 * DEPTH):
            if is_image_name(name):
                yield name
    except InputError:
        return
