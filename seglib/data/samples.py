"""Files -> table of samples: which mask belongs to which image."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from seglib.data.files import KIND, Files, drop_kinds, find_kind, list_files, name_files, walk
from seglib.data.leftovers import count_images, is_ours
from seglib.data.names import (
    DRAWN_BESIDE,
    MASK_BESIDE,
    MASK_ENDING,
    MASK_NUMBER,
    drop_sides,
    find_beside,
    find_extras,
    find_several,
    match_names,
    match_sides,
    split_ending,
)
from seglib.data.parts import find_test, find_test_masks, find_train
from seglib.data.refusals import describe_formats, describe_unread
from seglib.data.trees import list_part, refuse_truth
from seglib.data.usual_grays import mark_usual
from seglib.errors import InputError, Problem
from seglib.images.mask_files import join_files
from seglib.images.reading import SUFFIXES
from seglib.paths import find_folder, find_part

LEFT_OUT_NAME = "leave_out.csv"  # in the data folder: files to pass over, as `seglib check --fix-list` writes it


def list_samples(data_dir: Path) -> pd.DataFrame:
    """The training images with their masks.

    Args:
        data_dir: folder that holds ``Train/Image`` and ``Train/Mask``, or another tree of `trees.list_part`; where no
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
    paired, problems = _masks_by_image(images, masks)
    mask_paths = _join_masks(masks.folder, paired)
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
            beside = os.path.splitext(os.path.basename(name))[0] + "_mask"
            fact = f"has no mask in {train.name}"
            cure = f"add {stem if apart else beside}.png there or remove the image"
            if split_ending(stem)[0] in paired:  # as superpixels are
                cure = "if it is no image, move it out, as all of these, or leave them out (seglib check --fix-list)"
            problems.append(Problem(images.folder / name, "no mask", fact, cure))
    return _tabulate_samples(rows), problems


def _list_train(data_dir: Path) -> tuple[Files, Files, bool]:
    """The training images, their masks, and whether these lie in folders of their own."""
    images, masks = list_part(find_train(data_dir), read_left_out(data_dir), data_dir=data_dir)
    return (*_part_masks(images), False) if masks is None else (images, masks, True)


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
    extras = find_extras(images.names, _masks_by_image(images, masks)[0])
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

    Neither are pictures called as those of `list_extras`.

    Raises:
        InputError: if they cannot be told from their masks, `trees.refuse_truth`.
    """
    test = find_test(data_dir)
    if test is None:
        return _tabulate(data_dir, {}), []
    part = list_part(test)
    refuse_truth(test, part)
    names = _drop_extras(_drop_drawn(part.images.names), data_dir)
    return _tabulate(part.images.folder, names), part.images.problems


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


def list_images(folder: Path) -> pd.DataFrame:
    """The images of any folder, those directly inside.

    Returns:
        The table of `list_test_images`.

    Raises:
        InputError: if there is no such folder, it holds no image, or two images have one name.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; name the one that holds the images")
    images = name_files(folder, sorted(os.listdir(folder)))
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


def spread_samples(samples: pd.DataFrame, most: int) -> pd.DataFrame:
    """Of a table with more rows than ``most`` as many, evenly spread and both ends among them.

    Example:
        >>> spread_samples(pd.DataFrame({"sample_id": list("abcdefg")}), 3)["sample_id"].tolist()
        ['a', 'd', 'g']
    """
    return samples.iloc[np.unique(np.linspace(0, len(samples) - 1, min(most, len(samples))).round().astype(int))]


def read_left_out(data_dir: Path) -> frozenset[Path]:
    """The files that ``leave_out.csv`` of a data folder lists in its column ``file``, relative to the folder.

    Raises:
        InputError: if the file cannot be read as such.
    """
    path = data_dir / LEFT_OUT_NAME
    if not path.is_file():
        return frozenset()
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        return frozenset(data_dir / name.strip() for name in table["file"])
    except (ValueError, KeyError, pd.errors.ParserError):
        raise InputError(f"{path} is not a table of files; name its column file, or remove it") from None


def is_called_alike(image: str, mask: str) -> bool:
    """Whether a mask's stem is its image's, or that with a `MASK_ENDING`."""
    mask = unicodedata.normalize("NFC", mask)
    return image in (mask, _strip_ending(mask))


def list_masks(folder: Path) -> dict[str, str]:
    """The masks of a folder, as ``mask_path`` of `list_samples`, by the stem of the image they belong to.

    Args:
        folder: holds masks, or images with their masks beside them, or is a data set or its ``Test`` folder and holds a
            folder ``Mask``, or one such as ``labelsTs`` beside ``imagesTs``.

    Raises:
        InputError: if two masks have one name, or are of one image and not numbered.
    """
    test = find_test(folder)
    whole = test or folder
    if mask_dir := find_part(whole, "mask"):
        return _list_masks_alone(list_files(mask_dir))
    images, masks = list_part(whole)
    if test and masks is None and (beside := find_test_masks(folder)):
        if len(beside) > 1:
            names = f"{beside[0].name} and {beside[1].name}"
            raise InputError(f"{folder} holds {names}; name the one whose masks are meant")
        masks = list_files(beside[0])
    if masks is not None:
        return _list_masks_of(images, masks)
    called = KIND.fullmatch(folder.name)
    if images.folder != folder or (called and called[1].lower() == "image"):  # these are images
        beside = {stem: images.names[stem] for stem in find_beside(images.names)}
        if not beside:
            raise InputError(f"{folder} holds no masks, only images; name the folder that does")
        images = images._replace(names=beside)
    return _list_masks_alone(images)


def _list_masks_of(images: Files, masks: Files) -> dict[str, str]:
    """The masks that lie in folders called so, by the images in folders of theirs."""
    paired, problems = _masks_by_image(images, masks)
    for problem in (*images.problems, *masks.problems, *problems):
        raise InputError(problem.sentence)
    return _join_masks(masks.folder, paired)


def _list_masks_alone(files: Files) -> dict[str, str]:
    """The masks of a folder that holds nothing else, or images beside them."""
    folder, masks = files.folder, files.names
    if files.problems:
        raise InputError(files.problems[0].sentence)
    beside = find_beside(masks)
    if set(masks) == beside.keys() | set(beside.values()):
        masks = {stem: masks[stem] for stem in beside}
    found: dict[str, list[str]] = defaultdict(list)
    for stem, name in masks.items():
        plain = MASK_NUMBER.sub(r"\1", stem)
        image = _strip_ending(plain if plain in masks else stem)  # a number without the first may be of the name
        if not _are_one([*found[image][:1], name], image):
            raise InputError(f"{folder / name} and {found[image][0]} both are masks of {image}; keep one of them")
        found[image].append(name)
    return _join_masks(folder, found)


def _join_masks(folder: Path, files: dict[str, list[str]]) -> dict[str, str]:
    """The masks of a set by their images, from the names of their files; each says how all are read."""
    joined = [join_files(os.path.join(folder, name) for name in names) for names in files.values()]
    return dict(zip(files, mark_usual(joined), strict=True))


def _tabulate(folder: Path | None, names: dict[str, str]) -> pd.DataFrame:
    rows = [(stem, os.path.join(folder, name)) for stem, name in sorted(names.items())]
    return pd.DataFrame(rows, columns=["sample_id", "image_path"], dtype=str)


def _strip_ending(stem: str) -> str:
    return MASK_ENDING.sub("", stem)


def _find_owner(stem: str, name: str, images: Collection[str]) -> str:
    """The image that a mask is called after, or would be; its own name comes before that of its folder."""
    numbered = _strip_ending(MASK_NUMBER.sub(r"\1", stem))
    candidates = (stem, _strip_ending(stem), numbered, _name_folder(name))
    return next((image for image in candidates if image in images), _strip_ending(stem))


def _name_folder(name: str) -> str:
    """What the stems of the files in a file's folder begin with, and the image that has its masks there."""
    return os.path.dirname(drop_kinds(name)).replace(os.sep, "_")


def _are_one(names: Sequence[str], image: str) -> bool:
    """Whether files are of one mask: numbered, of its two sides, or in a folder of their image."""
    folders = {_name_folder(name) for name in names}
    stems = {drop_sides(MASK_NUMBER.sub(r"\1", os.path.splitext(name)[0])).lower() for name in names}
    return folders == {image} or len(stems) == 1


def _part_masks(files: Files) -> tuple[Files, Files]:
    """The images of a folder, and the masks that lie beside them."""
    masks = {stem: name for stem, name in files.names.items() if MASK_BESIDE.search(stem)}
    images = {stem: name for stem, name in files.names.items() if stem not in masks}
    return files._replace(names=images), Files(files.folder, masks, [])


def _masks_by_image(images: Files, files: Files) -> tuple[dict[str, list[str]], list[Problem]]:
    """The files of each image's mask, and what is wrong with the others."""
    problems: list[Problem] = []
    owners = {stem: _find_owner(stem, name, images.names) for stem, name in files.names.items()}
    if not images.names.keys() & owners.values():
        owners |= match_names(images.names, files.names) or match_sides(images.names, files.names)
    masks: dict[str, list[str]] = defaultdict(list)
    for stem, name in files.names.items():
        image = owners[stem]
        if image not in images.names:
            cure = f"add {image}.jpg there or remove the mask"
            fact = f"has no image beside it in {os.path.join(*images.folder.parts[-2:])}"
            problems.append(Problem(files.folder / name, "no image", fact, cure))
        elif not _are_one([*masks[image][:1], name], image):
            fact = f"and {masks[image][0]} both are masks of {image}"
            problems.append(Problem(files.folder / name, "two masks", fact, "keep one, or draw all in one file"))
        else:
            masks[image].append(name)
    return masks, problems
