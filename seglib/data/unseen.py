"""A folder -> the table of its images that have no masks: those of a submission, or any to predict."""

import os
from pathlib import Path

import pandas as pd

from seglib.data.samples import list_extras, read_left_out
from seglib.errors import InputError, Problem
from seglib.images.suffixes import SUFFIXES
from seglib.paths import find_folder
from seglib.trees.files import find_kind, name_files, walk
from seglib.trees.leftovers import count_images, is_ours
from seglib.trees.names import DRAWN_BESIDE, find_beside, split_ending
from seglib.trees.parts import find_test
from seglib.trees.sorting import list_part, refuse_truth


def list_test_images(data_dir: Path) -> pd.DataFrame:
    """The images a submission is made for.

    Returns:
        A table sorted by ``sample_id`` with the columns ``sample_id`` and ``image_path``.

    Raises:
        InputError: if ``Test/Image`` is missing or empty, or two images have one name.
    """
    images, problems = find_test_images(data_dir)
    if problems:
        raise InputError(problems[0].sentence)
    if images.empty:
        test = find_test(data_dir)
        place = (test and find_folder(test, "image")) or data_dir / "Test" / "Image"
        raise InputError(
            f"there are no test images in {place}; add some, or leave out notebook 05 (--only 01,02,03,04)"
        )
    return images


def find_test_images(data_dir: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """The test images, none where there are none, and what is wrong with their names; masks beside them are none.

    Neither are pictures called as those of `list_extras`, nor files that ``leave_out.csv`` in the data folder lists.

    Raises:
        InputError: if they cannot be told from their masks, `sorting.refuse_truth`, or ``leave_out.csv`` is unreadable.
    """
    test = find_test(data_dir)
    if test is None:
        return _tabulate(data_dir, {}), []
    part = list_part(test, read_left_out(data_dir))
    refuse_truth(test, part)
    names = _drop_extras(_drop_drawn(part.images.names), data_dir)
    return _tabulate(part.images.folder, names), part.images.problems


def list_images(folder: Path) -> pd.DataFrame:
    """The images of any folder, those directly inside.

    Returns:
        The table of `list_test_images`.

    Raises:
        InputError: if there is no such folder, it holds no image, or two images have one name.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; name the one that holds the images")
    images = name_files(folder, walk(folder, depth=0))
    if images.problems:
        raise InputError(images.problems[0].sentence)
    if not images.names:
        raise InputError(f"{folder} holds no images ({', '.join(SUFFIXES)}); name the folder they lie in")
    return _tabulate(folder, images.names)


def list_images_below(folder: Path, out: Path) -> tuple[pd.DataFrame, int]:
    """The images of any folder to predict, in folders inside too, and how many files are passed over as masks of them.

    Masks lie in a folder called so, or beside their image: ``a_mask.png`` or ``a_gt.png`` beside ``a.png``. Folders of
    runs and predictions are not looked into.

    Args:
        folder: the folder.
        out: where the predicted masks will lie.

    Returns:
        The table of `list_test_images`, and the count.

    Raises:
        InputError: as `list_images`, or if other images lie in ``out``.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; name the one that holds the images")
    inside = out.is_dir() and out.resolve().is_relative_to(folder.resolve())
    if inside and not is_ours(out) and count_images(out, most=1):
        raise InputError(f"{out} holds images, and masks would lie among them; choose another folder for the masks")
    names = list(walk(folder, skip=is_ours))
    images = name_files(folder, [name for name in names if find_kind(name) != "mask"])
    if images.problems:
        raise InputError(images.problems[0].sentence)
    kept = _drop_drawn(images.names)
    if not kept:
        raise InputError(f"{folder} holds no images ({', '.join(SUFFIXES)}); name the folder they lie in")
    masks = name_files(folder, [name for name in names if find_kind(name) == "mask"])
    return _tabulate(folder, kept), len(masks.names) + len(images.names) - len(kept)


def _drop_extras(names: dict[str, str], data_dir: Path) -> dict[str, str]:
    """Test images without those that are called as what lies beside the training images, and is none."""
    beside = {stem: ending for stem in names for image, ending in [split_ending(stem)] if ending and image in names}
    if not beside:
        return names
    try:
        endings = set(list_extras(data_dir).values())
    except InputError:  # there is nothing to train on, as in a hidden rerun
        return names
    return {stem: name for stem, name in names.items() if beside.get(stem) not in endings}


def _drop_drawn(names: dict[str, str]) -> dict[str, str]:
    """Files without those that are called as if drawn of another one."""
    drawn = find_beside(names, DRAWN_BESIDE)
    return {stem: name for stem, name in names.items() if stem not in drawn}


def _tabulate(folder: Path | None, names: dict[str, str]) -> pd.DataFrame:
    rows = [(stem, os.path.join(folder, name)) for stem, name in sorted(names.items())]
    return pd.DataFrame(rows, columns=["sample_id", "image_path"], dtype=str)
