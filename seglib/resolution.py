"""Masks -> what is lost where a network sees its images smaller than the files are: details below one of its pixels."""

from collections.abc import Sequence
from functools import partial

import cv2
import numpy as np
import pandas as pd

from seglib.ahead import map_on_cores
from seglib.config import Config
from seglib.images import read_mask, resize_image
from seglib.progress import track

MOST = 200  # masks; of the 806 of ISIC 2016 and the 598 of chest X-rays so many give the mean within 0.0003
FACTORS = (0.5, 0.75, 1, 1.5, 2, 3, 4)  # of the size that is set
WORTH = 0.02  # Dice; a size that loses more is worth a word


def list_sizes(config: Config, sides: Sequence[int]) -> list[int]:
    """The sizes that are worth comparing: that of the configuration, smaller ones, and larger ones up to the files'.

    Args:
        config: of the run.
        sides: the longer side of each file, in pixels.

    Returns:
        Sides of squares that the network accepts, ascending.

    Example:
        >>> list_sizes(Config(image_size=192), [512, 512])
        [96, 144, 192, 288, 384]
    """
    step, longest = config.multiple, np.median(sides)
    sizes = {max(step, round(factor * config.image_size / step) * step) for factor in FACTORS}
    return sorted(size for size in sizes if size <= max(longest, config.image_size))


def measure_sizes(samples: pd.DataFrame, sizes: Sequence[int]) -> pd.DataFrame:
    """How well each mask could be found at each size, by a network that makes no other mistake.

    Such a network gives every pixel that it sees the share of foreground within, and its map goes the way of all maps:
    stretched linearly to the size of the file, then cut at 0.5. It is no bound: a lucky network may score more.

    Args:
        samples: table with ``mask_path`` and ``mask_share``. Of more than `MOST` masks with foreground as many are
            measured, from the smallest to the largest.
        sizes: sides of squares, in pixels.

    Returns:
        float (masks, sizes): Dice in [0, 1], at the size of the file; the columns are ``sizes``.

    Raises:
        InputError: a mask cannot be read.
    """
    filled = samples[samples["mask_share"] > 0].sort_values("mask_share")
    rows = np.unique(np.linspace(0, len(filled) - 1, min(MOST, len(filled))).round().astype(int))
    paths = filled["mask_path"].iloc[rows]
    scores = track(map_on_cores(partial(_score_sizes, sizes=sizes), paths), "comparing sizes", total=len(paths))
    return pd.DataFrame(list(scores), columns=list(sizes), dtype=float)


def score_size(mask: np.ndarray, size: int) -> float:
    """Dice of a mask with what is left of it when it is shrunk to a square by area means, and stretched back.

    Args:
        mask: uint8 (H, W) in {0, 1}.
        size: side of the square, in pixels.

    Returns:
        In [0, 1]; 1 where the mask is empty.

    Example:
        >>> disc = np.hypot(*(np.mgrid[:256, :256] - 127.5)) < 100
        >>> line = np.arange(256 * 256).reshape(256, 256) % 256 == 100
        >>> [round(score_size(mask.astype(np.uint8), 64), 3) for mask in (disc, line)]
        [0.998, 0.0]
    """
    shares = resize_image(255 * mask[..., None], size)[..., 0]
    stretched = cv2.resize(shares, mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
    found = cv2.threshold(stretched, 127, 1, cv2.THRESH_BINARY)[1]
    areas = cv2.countNonZero(found) + cv2.countNonZero(mask)
    return 2 * cv2.countNonZero(found & mask) / areas if areas else 1.0


def describe_sizes(scores: pd.DataFrame, config: Config) -> str:
    """What the size of the configuration costs, in a sentence, and which size would be the cure.

    Args:
        scores: of `measure_sizes`, with a column for ``config.image_size``.
        config: of the run.
    """
    if scores.empty:
        return "no mask has foreground, so no size loses any"
    size, means = config.image_size, scores.mean()
    fact = f"{size} pixels can show the masks up to a Dice of {means[size]:.3f} per image"
    lost = 1 - means[size]
    better = means[(means.index > size) & (1 - means <= lost / 2)]
    if lost <= WORTH or better.empty:
        return f"{fact}, so the size of the network's images loses {'little' if lost <= WORTH else 'some'}"
    cure, times = better.index[0], (better.index[0] / size) ** 2
    return (
        f"{fact}: finer details are lost, however well the network learns; {cure} pixels can show {better.iloc[0]:.3f} "
        f"(--set image_size={cure}), and each image then takes about {times:.2g} times as long"
    )


def _score_sizes(path: str, sizes: Sequence[int]) -> list[float]:
    mask = read_mask(path)
    return [score_size(mask, size) for size in sizes]
