"""Data folder -> the table of its training samples: images with their masks."""

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from seglib.data.usual_grays import join_masks
from seglib.errors import InputError, Problem
from seglib.images.suffixes import split_suffix
from seglib.trees.files import Files
from seglib.trees.names import find_extras, find_several, split_ending
from seglib.trees.pairs import pair_masks, part_masks
from seglib.trees.parts import find_train
from seglib.trees.refusals import describe_formats, describe_unread
from seglib.trees.sorting import list_part

LEFT_OUT_NAME = "leave_out.csv"  # in the data folder: files to pass over, as `seglib check --fix-list` writes it


def list_samples(data_dir: Path) -> pd.DataFrame:
    """The training images with their masks.

    Args:
        data_dir: folder that holds ``Train/Image`` and ``Train/Mask``, or another tree of `sorting.list_part`; where no
            folder is one of masks, they lie beside their images, ``a_mask.png`` beside ``a.png``.

    Returns:
        A table sorted by ``sample_id`` (the image's stem) with that column, ``image_path`` and ``mask_path``, as of
        `mask_files.join_files`, with what `usual_grays.mark_usual` adds. Several files are one mask where their stems
        differ by a `MASK_NUMBER` only, or where they lie in a folder that is called after the image.

    Raises:
        InputError: if a folder is missing, an image has no mask, a mask no image, or there are fewer than two samples.
    """
    samples, problems = pair_samples(data_dir)
    if problems:
        cure = "seglib check lists them, --fix-list leaves them out"
        more = f" (and {len(problems) - 1} more files have a problem; {cure})" if len(problems) > 1 else ""
        raise InputError(problems[0].sentence + more)
    if len(samples) < 2:
        place = find_train(data_dir)
        raise InputError(f"{place} holds {len(samples)} image(s); add some: at least one trains and one validates")
    return samples


def pair_samples(data_dir: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """The training images that have one mask, and what is wrong with the others.

    Files that ``leave_out.csv`` in the data folder lists are passed over, and so are those of `list_extras`.

    Args:
        data_dir: as for `list_samples`.

    Returns:
        The table of `list_samples`, which may be empty, and the problems.

    Raises:
        InputError: if a folder is missing, or ``leave_out.csv`` cannot be read.
    """
    train = find_train(data_dir)
    images, masks, apart = _list_train(data_dir)
    if not masks.names and not apart:
        raise InputError(describe_unread(data_dir, train))
    if not masks.names and not masks.problems and (told := describe_formats(train, [*images.names.values()])):
        raise InputError(f"{masks.folder} holds no images: {told}")
    paired, problems = pair_masks(images, masks)
    mask_paths = join_masks(masks.folder, paired)
    rows = [
        (stem, os.path.join(images.folder, name), mask_paths[stem])
        for stem, name in sorted(images.names.items())
        if stem in paired
    ]
    if not rows and min(len(images.names), len(masks.names)) > 1:
        return _tabulate_samples(rows), [*images.problems, *masks.problems, _tell_none_pairs(images, masks)]
    problems = [*images.problems, *masks.problems, *problems]
    extras = find_extras(images.names, paired)
    for stem, name in images.names.items():
        if stem not in paired and stem not in extras:
            beside = split_suffix(os.path.basename(name))[0] + "_mask"
            fact = f"has no mask in {train.name}"
            cure = f"add {stem if apart else beside}.png there or remove the image"
            if split_ending(stem)[0] in paired:  # as superpixels are
                cure = "if it is no image, move it out, as all of these, or leave them out (seglib check --fix-list)"
            problems.append(Problem(images.folder / name, "no mask", fact, cure))
    return _tabulate_samples(rows), problems


def _list_train(data_dir: Path) -> tuple[Files, Files, bool]:
    """The training images, their masks, and whether these lie in folders of their own."""
    images, masks = list_part(find_train(data_dir), read_left_out(data_dir), data_dir=data_dir)
    return (*part_masks(images), False) if masks is None else (images, masks, True)


def tell_extras(data_dir: Path) -> list[Problem]:
    """What is said of the files of `list_extras`, once for each ending of theirs.

    Raises:
        InputError: as `pair_samples`.
    """
    by_ending: dict[str, list[str]] = defaultdict(list)
    for path, ending in list_extras(data_dir).items():
        by_ending[ending].append(path)
    cure = "nothing, if they are no images; else add their masks"
    return [
        Problem(Path(paths[0]), "not used", f"and {len(paths) - 1} more {ending} beside images have no masks", cure)
        for ending, paths in by_ending.items()
    ]


def list_extras(data_dir: Path) -> dict[str, str]:
    """The pictures beside the training images that are none, as `names.find_extras`: their endings by their paths.

    Raises:
        InputError: as `pair_samples`.
    """
    images, masks, _ = _list_train(data_dir)
    extras = find_extras(images.names, pair_masks(images, masks)[0])
    return {os.path.join(images.folder, images.names[stem]): ending for stem, ending in extras.items()}


def _tabulate_samples(rows: list[tuple[str, str, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["sample_id", "image_path", "mask_path"], dtype=str)


def _tell_none_pairs(images: Files, masks: Files) -> Problem:
    """Said once for the set: what each file lacks would be no help where all of them are called otherwise."""
    if several := find_several(images.names.values(), masks.names.values()):
        return _tell_several(masks.folder, several)
    called, drawn = (", ".join(sorted(files.names)[:2]) for files in (images, masks))
    fact = f"belongs to no image, nor does any other mask: they are called {drawn} and so on, images {called} and so on"
    cure = "call the mask of X.png X.png or X_mask.png; several of it X_mask.png and X_mask_1.png, or put them into a "
    first = masks.names[min(masks.names)]
    return Problem(masks.folder / first, "no pairs", fact, f"{cure}folder X, as Mask/X/left.png")


def _tell_several(folder: Path, several: tuple[str, Sequence[str]]) -> Problem:
    """Said of masks of several things, or by several readers, of which one has to be chosen."""
    image, (first, *others) = several
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    fact = f"and {others[0]}{more} are all drawn of {image}: of several things, or by several readers"
    cure = f"leave those that are meant in {folder}; several that are one mask are joined from a folder called {image}"
    return Problem(folder / first, "no pairs", fact, cure)


def spread_samples(samples: pd.DataFrame, most: int) -> pd.DataFrame:
    """Of a table with more rows than ``most`` as many, evenly spread and both ends among them.

    Example:
        >>> spread_samples(pd.DataFrame({"sample_id": list("abcdefg")}), 3)["sample_id"].tolist()
        ['a', 'd', 'g']
    """
    return samples.iloc[np.unique(np.linspace(0, len(samples) - 1, min(most, len(samples))).round().astype(int))]


def read_left_out(data_dir: Path) -> frozenset[Path]:
    """The files that ``leave_out.csv`` of a data folder lists, to be passed over.

    Raises:
        InputError: as `tabulate_left_out`.
    """
    return frozenset(data_dir / name for name in tabulate_left_out(data_dir)["file"])


def describe_left_out(data_dir: Path) -> str:
    """How many files ``leave_out.csv`` passes over, in a sentence; "" where there is no such file, or it names none.

    What it names and is no file there, such as a misspelt name or a folder, is said too.

    Raises:
        InputError: as `tabulate_left_out`.
    """
    named = read_left_out(data_dir)
    if not named:
        return ""
    absent = sorted(os.path.relpath(path, data_dir) for path in named if not path.is_file())
    count = len(named) - len(absent)
    said = f"{data_dir / LEFT_OUT_NAME} passes over {count or 'no'} file{'s' if count > 1 else ''}"
    return f"{said}; {len(absent)} that it names are not there, such as {absent[0]}" if absent else said


def tabulate_left_out(data_dir: Path) -> pd.DataFrame:
    """The rows of ``leave_out.csv`` of a data folder; none where there is no such file.

    Returns:
        ``file``, relative to the folder, and ``problem``, the reason; empty text where the file gives none.

    Raises:
        InputError: if the file cannot be read as such.
    """
    path = data_dir / LEFT_OUT_NAME
    if not path.is_file():
        return pd.DataFrame(columns=["file", "problem"], dtype=str)
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        return table.assign(file=table["file"].str.strip()).reindex(columns=["file", "problem"], fill_value="")
    except (ValueError, KeyError, AttributeError, pd.errors.ParserError):
        raise InputError(f"{path} is not a table of files; name its column file, or remove it") from None
