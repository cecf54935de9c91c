"""Files -> table of samples."""

from pathlib import Path

import pandas as pd

from seglib.errors import InputError
from seglib.images import SUFFIXES
from seglib.paths import find_folder

MASK_ENDINGS = ("_mask", "_segmentation")  # what a mask's stem may add to its image's, in any case


def list_samples(data_dir: Path) -> pd.DataFrame:
    """The training images with their masks.

    Args:
        data_dir: folder that holds ``Train/Image`` and ``Train/Mask``.

    Returns:
        A table sorted by ``sample_id`` (the image's stem) with that column, ``image_path`` and ``mask_path``.

    Raises:
        InputError: if a folder is missing, an image has no mask, a mask no image, or there are fewer than two samples.
    """
    train = _folder(data_dir, "train", "training")
    images = _files_by_stem(_folder(train, "image"))
    masks = _masks_by_image(_folder(train, "mask"), images)
    for stem, path in images.items():
        if stem not in masks:
            raise InputError(f"{path} has no mask in {train.name}; add {stem}.png there or remove the image")
    if len(images) < 2:
        raise InputError(f"{train} holds {len(images)} image(s); add some: at least one trains and one validates")
    rows = [(stem, str(path), str(masks[stem])) for stem, path in sorted(images.items())]
    return pd.DataFrame(rows, columns=["sample_id", "image_path", "mask_path"])


def list_test_images(data_dir: Path) -> pd.DataFrame:
    """The images a submission is made for.

    Returns:
        A table sorted by ``sample_id`` with the columns ``sample_id`` and ``image_path``.

    Raises:
        InputError: if ``Test/Image`` is missing or empty.
    """
    test = find_folder(data_dir, "test", "testing")
    folder = test and find_folder(test, "image")
    images = _files_by_stem(folder) if folder else {}
    if not images:
        place = folder or data_dir / "Test" / "Image"
        raise InputError(
            f"there are no test images in {place}; add some, or leave out notebook 05 (--only 01,02,03,04)"
        )
    rows = [(stem, str(path)) for stem, path in sorted(images.items())]
    return pd.DataFrame(rows, columns=["sample_id", "image_path"])


def list_masks(folder: Path) -> dict[str, Path]:
    """The mask files of a folder by the stem of the image they belong to.

    Args:
        folder: holds masks, or is a data set or its ``Test`` folder and holds a folder ``Mask``.
    """
    for words in (("test", "testing"), ("mask",)):
        folder = find_folder(folder, *words) or folder
    return {_strip_ending(stem): path for stem, path in _files_by_stem(folder).items()}


def _folder(parent: Path, *words: str) -> Path:
    found = find_folder(parent, *words)
    if found is None:
        raise InputError(f"{parent} holds no folder {words[0].capitalize()}; make it or name another data folder")
    return found


def _files_by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in found:
            raise InputError(f"{found[path.stem]} and {path.name} have the same name; keep one of them")
        found[path.stem] = path
    return found


def _strip_ending(stem: str) -> str:
    for ending in MASK_ENDINGS:
        if stem.lower().endswith(ending):
            return stem[: -len(ending)]
    return stem


def _masks_by_image(folder: Path, images: dict[str, Path]) -> dict[str, Path]:
    masks: dict[str, Path] = {}
    for stem, path in _files_by_stem(folder).items():
        image = stem if stem in images else _strip_ending(stem)
        if image not in images:
            raise InputError(f"{path} has no image beside it in Train/Image; add {image}.jpg there or remove the mask")
        if image in masks:
            raise InputError(f"{masks[image]} and {path.name} both are masks of {image}; keep one of them")
        masks[image] = path
    return masks
