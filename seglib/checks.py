"""What is wrong with the data, said before anything is computed from it."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seglib.duplicates import group_near_duplicates, make_thumbnail
from seglib.errors import InputError
from seglib.images import read_image, read_mask
from seglib.progress import track


def measure_samples(samples: pd.DataFrame) -> pd.DataFrame:
    """Decode every image and mask once; what cannot be used stops here, with the file and the cure.

    Args:
        samples: table with ``sample_id``, ``image_path`` and ``mask_path``.

    Returns:
        The table with four more columns: ``height``, ``width`` (pixels of the file), ``mask_share`` in [0, 1] and
        ``group`` (a number from 0 that near-duplicates share: see `duplicates`).

    Raises:
        InputError: if a file cannot be read, an image and its mask differ in size, or every mask is empty.
    """
    table = pd.DataFrame(_collect(_measure_sample, samples.to_dict("records"), "checking samples"))
    thumbnails = table.pop("thumbnail")
    if not (table["mask_share"] > 0).any():
        folder = Path(samples["mask_path"].iloc[0]).parent
        raise InputError(
            f"all {len(table)} masks in {folder} are empty; there is nothing to learn, put the real masks there"
        )
    return table.assign(group=group_near_duplicates(np.stack(thumbnails)))


def measure_test_images(images: pd.DataFrame) -> pd.DataFrame:
    """Decode every test image once.

    Args:
        images: table with ``sample_id`` and ``image_path``.

    Returns:
        The table with two more columns: ``height`` and ``width`` (pixels of the file).

    Raises:
        InputError: if a file cannot be read.
    """
    return pd.DataFrame(_collect(_measure_image, images.to_dict("records"), "checking test images"))


def _measure_image(sample: dict[str, str]) -> dict[str, Any]:
    return sample | _size(read_image(sample["image_path"], channels=1))


def _measure_sample(sample: dict[str, str]) -> dict[str, Any]:
    image = read_image(sample["image_path"], channels=1)
    row, thumbnail = sample | _size(image), make_thumbnail(image)
    del image  # a scanned slide and its mask need not be in memory together
    mask = read_mask(sample["mask_path"])
    if mask.shape != (row["height"], row["width"]):
        raise InputError(
            f"{sample['mask_path']} is {mask.shape[1]} x {mask.shape[0]} pixels but its image is {row['width']} x "
            f"{row['height']}; export the mask again at the size of the image, or remove both"
        )
    return row | {"mask_share": float(mask.mean()), "thumbnail": thumbnail}


def _size(image: np.ndarray) -> dict[str, int]:
    return {"height": image.shape[0], "width": image.shape[1]}


def _collect(measure: Callable[[dict], dict], records: Iterable[dict], label: str) -> list[dict]:
    """The rows of all records, or one error that names the first trouble and counts the others."""
    records, rows, troubles = list(records), [], []
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding releases the interpreter lock
        results = [pool.submit(measure, record) for record in records]
        for result in track(results, label):
            try:
                rows.append(result.result())
            except InputError as error:
                troubles.append(str(error))
    if troubles:
        more = f" (and {len(troubles) - 1} more files have a problem)" if len(troubles) > 1 else ""
        raise InputError(troubles[0] + more)
    return rows
