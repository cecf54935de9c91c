"""Masks -> what is lost where a network sees its images smaller than the files are: details below one of its pixels."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from seglib.config import Config
from seglib.data.fingerprints import fingerprint_rows, read_measured, write_measured
from seglib.data.samples import spread_samples
from seglib.images.mask_files import first_file, split_files
from seglib.images.masks import read_mask
from seglib.images.reading import image_size, resize_image
from seglib.machine.ahead import map_on_cores
from seglib.machine.progress import track

MOST = 200  # masks; of the 806 of ISIC 2016 and the 598 of chest X-rays so many give the mean within 0.0003
FACTORS = (0.5, 0.75, 1, 1.5, 2, 3, 4)  # of the size that is set
WORTH = 0.02  # Dice; a size that loses more is worth a larger one, if that has it back


def prepare_sizes(path: Path, samples: pd.DataFrame, config: Config) -> pd.DataFrame:
    """How well masks could be found at several sizes, by a network that makes no other mistake; kept in a file.

    Such a network gives every pixel that it sees the share of foreground within, and its map goes the way of all maps:
    stretched linearly to the size of the file, then cut at 0.5. It is no bound: a lucky network may score more.

    Args:
        path: the file, ``sizes.csv`` of a run; read where it has the sizes that are wanted of the masks as they are,
            else written.
        samples: table with ``sample_id`` and ``mask_path``; of more than `MOST` as many are measured, evenly spread.
        config: of the run.

    Returns:
        Dice in [0, 1] at the size of the file, not a number where a mask is empty; a row for each mask, by
        ``sample_id``, and a column for each of `list_sizes`.

    Raises:
        InputError: a mask cannot be read.
    """
    some = spread_samples(samples, MOST).set_index("sample_id")["mask_path"]
    sizes = list_sizes(config, [max(image_size(first_file(mask))) for mask in some])
    held = fingerprint_rows(some.index, map(split_files, some))
    kept = read_measured(path, held)
    if kept is not None and kept.columns.tolist() == [str(size) for size in sizes]:
        return kept.set_axis(sizes, axis=1)
    scores = track(map_on_cores(partial(_score_sizes, sizes=sizes), some), "comparing sizes", total=len(some))
    table = pd.DataFrame(list(scores), index=some.index, columns=sizes, dtype=float)
    write_measured(path, table, held)
    return table


def list_sizes(config: Config, sides: Sequence[int]) -> list[int]:
    """The sizes that are worth comparing: that of the configuration, smaller ones, and larger ones up to the files'.

    Args:
        config: of the run.
        sides: the longer side of each file, in pixels, at least one.

    Returns:
        Sides of squares that the network accepts, ascending.

    Example:
        >>> list_sizes(Config(image_size=192), [512, 512])
        [96, 144, 192, 288, 384]
    """
    step, longest = config.multiple, np.median(sides)
    sizes = {max(step, round(factor * config.image_size / step) * step) for factor in FACTORS}
    return sorted(size for size in sizes if size <= max(longest, config.image_size))


def score_size(mask: np.ndarray, size: int) -> float:
    """Dice of a mask with what is left of it when it is shrunk to a square by area means, and stretched back.

    Args:
        mask: uint8 (H, W) in {0, 1}.
        size: side of the square, in pixels.

    Returns:
        In [0, 1]; not a number where the mask is empty.

    Example:
        >>> disc = np.hypot(*(np.mgrid[:256, :256] - 127.5)) < 100
        >>> line = np.arange(256 * 256).reshape(256, 256) % 256 == 100
        >>> [round(score_size(mask.astype(np.uint8), 64), 3) for mask in (disc, line)]
        [0.998, 0.0]
    """
    area = cv2.countNonZero(mask)
    if not area:
        return float("nan")
    shares = resize_image(255 * mask[..., None], size)[..., 0]
    stretched = cv2.resize(shares, mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
    found = cv2.threshold(stretched, 127, 1, cv2.THRESH_BINARY)[1]
    return 2 * cv2.countNonZero(found & mask) / (cv2.countNonZero(found) + area)


def fit_config(config: Config, scores: pd.DataFrame) -> Config:
    """The configuration with ``image_size`` raised, up to its ``max_image_size``, where much of the masks is lost.

    Chosen is the smallest size that loses at most half as much, or else the largest allowed if it gains `WORTH`.

    Args:
        config: of the run.
        scores: of `prepare_sizes`.

    Returns:
        The configuration, whose ``max_image_size`` is 0.
    """
    size, means = config.image_size, scores.mean()
    allowed = means[(means.index > size) & (means.index <= config.max_image_size)]
    if 1 - means[size] > WORTH and len(allowed):
        better = allowed[1 - allowed <= (1 - means[size]) / 2]
        if len(better) or allowed.iloc[-1] - means[size] > WORTH:
            size = better.index[0] if len(better) else allowed.index[-1]
    return dataclasses.replace(config, image_size=int(size), max_image_size=0)


def describe_sizes(scores: pd.DataFrame, config: Config) -> str:
    """What the size of the configuration costs, what `fit_config` makes of it, and the cure, in a sentence.

    Args:
        scores: of `prepare_sizes`.
        config: of the run, before `fit_config`.
    """
    means = scores.mean()
    if means.isna().all():
        return "no mask has foreground, so no size loses any"
    size, fitted = config.image_size, fit_config(config, scores).image_size
    fact = f"{size} pixels can show the masks up to a Dice of {means[size]:.3f} per image"
    if 1 - means[size] <= WORTH:
        return f"{fact}, so the size of the network's images loses little"
    if fitted > size:
        return (
            f"{fact}: finer details are lost, however well the network learns; so it sees {fitted} pixels, which can "
            f"show {means[fitted]:.3f}, and each image takes about {(fitted / size) ** 2:.2g} times as long "
            f"(--set image_size={size} keeps {size})"
        )
    cure = fit_config(dataclasses.replace(config, max_image_size=max(scores.columns)), scores).image_size
    if cure == size:
        return f"{fact}; no larger size shows much more"
    return (
        f"{fact}: finer details are lost, however well the network learns; {cure} pixels can show {means[cure]:.3f} "
        f"(--set image_size={cure}), and each image then takes about {(cure / size) ** 2:.2g} times as long"
    )


def _score_sizes(path: str, sizes: Sequence[int]) -> list[float]:
    mask = read_mask(path)
    return [score_size(mask, size) for size in sizes]
