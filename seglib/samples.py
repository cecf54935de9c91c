"""Files -> table of samples; splits and folds, kept as a file so that everybody uses the same ones."""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, StratifiedKFold

from seglib.errors import InputError
from seglib.images import SUFFIXES
from seglib.paths import find_folder, write_text

MASK_ENDINGS = ("_mask", "_segmentation")  # what a mask's stem may add to its image's, in any case
AREA_STRATA = 10  # classes of mask area that every fold gets its share of


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


def assign_folds(samples: pd.DataFrame, mask_share: np.ndarray, *, val_fraction: float, seed: int) -> pd.DataFrame:
    """Every sample's fold: one in ``round(1 / val_fraction)``, each with the same mix of small and large masks.

    Args:
        samples: table with ``sample_id``.
        mask_share: (N,) share of foreground in each mask, in [0, 1]; its quantiles are the strata.
        val_fraction: share of the samples in one fold.
        seed: of the shuffling.

    Returns:
        A table with the columns ``sample_id``, ``fold`` (from 0) and ``mask_share``.
    """
    count = len(samples)
    n_folds = max(2, min(round(1 / val_fraction), count))
    n_strata = min(AREA_STRATA, count // n_folds)
    if n_strata >= 2:
        rank = pd.Series(mask_share).rank(method="first").to_numpy() - 1
        splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
        parts = splitter.split(np.zeros(count), (rank * n_strata // count).astype(int))
    else:
        parts = KFold(n_folds, shuffle=True, random_state=seed).split(np.zeros(count))
    fold = np.empty(count, dtype=int)
    for number, (_, held_out) in enumerate(parts):
        fold[held_out] = number
    return pd.DataFrame({"sample_id": samples["sample_id"], "fold": fold, "mask_share": np.round(mask_share, 6)})


def write_folds(folds: pd.DataFrame, path: Path) -> None:
    """Keep the folds as a CSV file."""
    write_text(path, folds.to_csv(index=False))


def read_folds(path: Path, samples: pd.DataFrame) -> pd.DataFrame:
    """The folds of ``samples``, in their order.

    Raises:
        InputError: if the file cannot be read as such or does not list just these samples.
    """
    try:
        folds = pd.read_csv(path, dtype={"sample_id": str, "fold": int}, keep_default_na=False).set_index("sample_id")
        _ = folds["fold"]
    except (ValueError, KeyError, pd.errors.ParserError):
        raise InputError(f"{path} is not a table of sample_id and fold; remove it to have it made anew") from None
    odd = sorted(set(samples["sample_id"]) ^ set(folds.index))
    if odd:
        raise InputError(
            f"{path} and the images disagree about {odd[0]}; remove the file or choose another output folder"
        )
    return folds.loc[samples["sample_id"]].reset_index()


def prepare_folds(
    path: Path, samples: pd.DataFrame, mask_share: np.ndarray, *, val_fraction: float, seed: int
) -> pd.DataFrame:
    """The folds that ``path`` keeps; where there is none yet, they are assigned and kept there."""
    if not path.exists():
        write_folds(assign_folds(samples, mask_share, val_fraction=val_fraction, seed=seed), path)
    return read_folds(path, samples)


def split_samples(samples: pd.DataFrame, folds: pd.DataFrame, fold: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training and validation samples: ``fold`` validates, the others train.

    Raises:
        InputError: if there is no such fold.
    """
    merged = samples.merge(folds[["sample_id", "fold"]], on="sample_id", validate="one_to_one")
    held_out = merged["fold"] == fold
    if not held_out.any():
        raise InputError(f"fold={fold} is not in the folds; choose from 0 to {merged['fold'].max()}")
    return merged[~held_out].reset_index(drop=True), merged[held_out].reset_index(drop=True)


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
