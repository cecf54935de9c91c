"""A data folder -> the folders in it whose images are not read, and what it holds where nothing is."""

import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path

from seglib.data.names import DRAWN_BESIDE, find_beside
from seglib.data.trees import DEPTH, TEST, TRAIN, Part, find_test, find_train, list_part, walk
from seglib.errors import InputError
from seglib.images.reading import SUFFIXES
from seglib.paths import find_folder

# what tells the folder of predictions or of a run, each all of it: data sets have manifests and folds too
OUR_FILES = ((".predictions",), ("figures", "checkpoints"), ("manifest.json", "folds.csv"))
SHOWN = 4  # folders that a sentence names


def find_unused(data_dir: Path, left_out: Collection[Path] = ()) -> list[Path]:
    """Folders that hold images which nobody uses.

    They lie beside ``Train`` and ``Test``, beside the folders of images and masks, or deeper than a data folder without
    these is looked into; then the folder directly in it is named. What is hidden is none, nor is what we wrote.

    Args:
        data_dir: the data folder.
        left_out: files that are passed over.

    Raises:
        InputError: as `trees.list_part`.
    """
    train = find_train(data_dir)
    found = [] if train == data_dir else _list_other(data_dir, used=[find_folder(data_dir, *TRAIN)])
    own = [find_folder(train, "image"), find_folder(train, "mask")]
    if None in own:  # else their files, maybe very many, need no listing
        part = list_part(train, left_out, data_dir=data_dir)
        own = _list_used(part, train)
        found += _list_deep(data_dir) if part.images.folder == train == data_dir else []
    found += _list_other(train, used=own)
    return [folder for folder in sorted(set(found)) if count_images(folder, most=1)]


def _list_used(part: Part, train: Path) -> list[Path]:
    """The folders directly in that of the training images that hold some of its files."""
    if part.images.folder != train:
        return [part.images.folder, *([part.masks.folder] if part.masks else [])]
    names = [*part.images.names.values(), *(part.masks.names.values() if part.masks else [])]  # of each case or class
    return [train / name for name in {name.split(os.sep)[0] for name in names}]


def _list_other(folder: Path, *, used: Collection[Path | None]) -> list[Path]:
    """Folders in one that are not used; not that of test images, of outputs, nor what is hidden."""
    used = {*used, find_folder(folder, *TEST), find_test(folder)}
    entries = [entry for entry in sorted(folder.iterdir()) if entry not in used and entry.is_dir()]
    return [entry for entry in entries if not entry.name.startswith((".", "__")) and entry.name.lower() != "outputs"]


def _list_deep(data_dir: Path) -> list[Path]:
    """Folders directly in a data folder with images that lie deeper than such a folder is looked into."""
    test = find_folder(data_dir, *TEST)
    names = [name.split(os.sep) for name in _list_images(data_dir)]
    deep = {data_dir / first for first, *rest in names if len(rest) > DEPTH}
    return sorted(deep - {test})


def is_ours(folder: str | Path) -> bool:
    """Whether a folder is that of a run or of predictions, whose pictures are no data."""
    return any(all(os.path.exists(os.path.join(folder, name)) for name in names) for names in OUR_FILES)


def count_images(folder: Path, *, most: int | None = None) -> int:
    """How many images lie in a folder and not far below, counted up to ``most``; none if it is that of a run, say."""
    return 0 if is_ours(folder) else sum(1 for _ in islice(_list_images(folder), most))


def _list_images(folder: Path) -> Iterator[str]:
    """Images below a folder by their names; what cannot be looked into is no matter, as it is not read."""
    try:
        for name in walk(folder, skip=is_ours, depth=2 * DEPTH):
            if os.path.splitext(name)[1].lower() in SUFFIXES:
                yield name
    except InputError:
        return


def describe_unread(data_dir: Path, train: Path) -> str:
    """The sentence for a set without masks: what was looked for, and what is there instead.

    Args:
        data_dir: the data folder.
        train: the folder of its training images, or the data folder.
    """
    missing = f"{train} holds no {'Train/Image' if train == data_dir else 'folder Mask'}"
    names = list(_list_images(train))
    stems = {os.path.splitext(name)[0]: name for name in names}
    if beside := find_beside(stems, DRAWN_BESIDE):
        mask, image = min(beside.items())
        called, plain = os.path.basename(stems[image]), os.path.basename(image)
        if_mask = (
            f"if it is the mask of that, call it {plain}_mask{os.path.splitext(stems[mask])[1]}, and the others so"
        )
        return f"{missing}, but {train / stems[mask]} lies beside {called}; {if_mask}"
    if names and (seen := _describe_folders(names)):
        apart = ", or Train/Image and Train/Mask, with test images in Test/Image" if train == data_dir else ""
        return f"{missing}, but {seen}; call the folder of the images Image and that of their masks Mask{apart}"
    others = [] if train == data_dir else _list_other(data_dir, used=[find_folder(data_dir, *TRAIN)])
    if counts := Counter({entry.name: count for entry in others if (count := count_images(entry))}):
        place = f"put the images into {train.name}/Image and their masks into {train.name}/Mask"
        return f"{missing}, but beside it there is {_join(counts)}; {place}"
    return (
        f"{missing}, and no mask lies beside its image, called a_mask.png if that is a.png; add them (seglib decode "
        "makes them of a CSV with run lengths) or name another data folder"
    )


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
