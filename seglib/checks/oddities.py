"""Samples unlike the rest of their set: masks that look like the background, images of another kind."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from seglib.errors import Problem
from seglib.images.mask_files import first_file
from seglib.images.traits import IMAGE_TRAITS

# Measured on 806 skin lesions, 598 pairs of lungs and their inversions: masks correlate with the mean mask of their
# set from -0.14 on, inverted ones up to 0.14 and, of lungs, below -0.39.
INVERTED = -0.2
AROUND = 0.75  # share of the border that is foreground, from which on it surrounds the background
# Of 806 skin lesions 0.5 % are such masks, inverted 92 %; of lungs, glands and phantoms none, and all.
MOST_AROUND = 0.67  # share of the masks
SAME = 0.95  # of the images, that share a size or a kind; then another one is unlike the rest
# Quartile distances over 0.674 (a normal distribution has them at 1). The 1145 skin and 704 chest images have up to
# 6.9; a negative of an X-ray has 13, noise 7 among skin and 26 among chests.
ODD = 7.0
LEAST_ODD = {"contrast": 2.0, "saturation": 3.0, "detail": 0.02, "grain": 0.02, "likeness": 0.05}  # of a quartile
BLOCK = 512  # thumbnails in memory at a time
FEW = 20  # images; among fewer nothing can be called unlike the rest


def find_inverted(masks: pd.DataFrame) -> np.ndarray:
    """Which masks look like the background of their objects: they lie where the others do not, and along the border.

    The correlation of a mask with the mean of all, both `facts.MASK_SIDE` pixels wide, is below `INVERTED`, and more
    than half of the pixels along the border of the image are foreground. Where that holds for most masks, it does for
    none: then foreground is what surrounds things.

    Args:
        masks: table with ``small_mask`` and ``border_share``.

    Returns:
        bool, one for each row.
    """
    squares = masks["small_mask"].tolist()
    mean = sum(flat.sum(axis=0) for flat in _blocks(squares)) / len(squares)
    mean -= mean.mean()
    products, lengths = np.zeros(len(squares)), np.zeros(len(squares))
    for rows, flat in zip(_spans(len(squares)), _blocks(squares), strict=True):
        flat -= flat.mean(axis=1, keepdims=True)
        products[rows], lengths[rows] = flat @ mean, np.linalg.norm(flat, axis=1) * np.linalg.norm(mean)
    correlation = np.divide(products, lengths, out=np.zeros(len(squares)), where=lengths > 1e-6)
    return (correlation < INVERTED) & (masks["border_share"].to_numpy() > 0.5)


def find_exchanged(masks: pd.DataFrame) -> list[Problem]:
    """Whether foreground and background look exchanged in the whole set: it surrounds the other in most masks.

    Args:
        masks: table with ``mask_path``, ``border_share`` and ``mask_share``.
    """
    both = masks[(masks["mask_share"] > 0) & (masks["mask_share"] < 1)]
    around = (both["border_share"] > AROUND).sum()
    if both.empty or around < MOST_AROUND * len(both):
        return []
    fact = f"shows foreground all around in {around} of {len(both)} masks, as if it were the background"
    cure = "look at 01; if the object is black there, exchange black and white in all masks"
    return [Problem(first_file(masks["mask_path"].iloc[0]).parent, "inverted masks", fact, cure)]


def _spans(count: int) -> Iterator[slice]:
    return (slice(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK))


def _blocks(squares: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Squares as the rows of tables, float64, a table at a time."""
    for rows in _spans(len(squares)):
        block = np.stack([np.asarray(square, dtype=np.float64) for square in squares[rows]])
        yield block.reshape(len(block), -1)


def find_odd_images(images: pd.DataFrame) -> list[Problem]:
    """Images of a kind unlike the rest: blank, gray among colour, of another size than nearly all, or far from all.

    Far from all is a trait more than `ODD` quartile distances (over 0.674) from the median, or a thumbnail that
    resembles the mean thumbnail as little as that. Gray and colour images are each compared among themselves.

    Args:
        images: table with ``image_path``, ``height``, ``width``, ``gray``, ``thumbnail`` and `traits.IMAGE_TRAITS`.
    """
    words = pd.Series("", index=images.index)
    for judge in (_say_far, _say_size, _say_colour, _say_blank):  # what is plainer to see is said instead of the rest
        found = judge(images)
        words = found.where(found != "", words)
    cure = "look at it, and leave it out if it does not belong here"
    odd = words[words != ""]
    return [Problem(Path(images["image_path"][row]), "odd image", fact, cure) for row, fact in odd.items()]


def _say_blank(images: pd.DataFrame) -> pd.Series:
    blank = images["contrast"] < 1
    return ("is blank: every pixel is near " + images["green"].round().astype(int).astype(str)).where(blank, "")


def _say_colour(images: pd.DataFrame) -> pd.Series:
    gray = images["gray"].astype(bool)
    words = pd.Series("", index=images.index)
    if len(images) >= FEW and gray.mean() >= SAME:
        words[~gray] = f"is in colour, {100 * gray.mean():.3g} % of the images are gray"
    if len(images) >= FEW and gray.mean() <= 1 - SAME:
        words[gray] = f"is gray, {100 * (1 - gray.mean()):.3g} % of the images are in colour"
    return words


def _say_size(images: pd.DataFrame) -> pd.Series:
    sizes = images["width"].astype(int).astype(str) + " x " + images["height"].astype(int).astype(str)
    counts = sizes.value_counts()
    if len(images) < FEW or counts.iloc[0] < SAME * len(images):
        return pd.Series("", index=images.index)
    words = "is " + sizes + f" pixels, nearly all others {counts.index[0]}"
    return words.where(sizes != counts.index[0], "")


def _say_far(images: pd.DataFrame) -> pd.Series:
    """For each image its trait that is farthest from all others, in words; "" where none is far."""
    words = pd.Series("", index=images.index)
    for _, kind in images.groupby(images["gray"].astype(bool)):
        if len(kind) < FEW:
            continue
        traits = kind[list(IMAGE_TRAITS)].assign(likeness=_likeness(kind["thumbnail"].tolist()))
        distance = pd.DataFrame({name: _quartile_distance(traits[name], LEAST_ODD.get(name, 4.0)) for name in traits})
        for row, name in distance[distance.max(axis=1) > ODD].idxmax(axis=1).items():
            what = "likeness to the mean image" if name == "likeness" else name
            usual = traits[name].median()
            words[row] = (
                f"is unlike the rest: its {what} is {traits[name][row]:.3g}, that of the others about {usual:.3g}"
            )
    return words


def _quartile_distance(values: pd.Series, least: float) -> pd.Series:
    """How far each value is from the median: over the distance of the quartile on its side, in standard deviations."""
    low, median, high = values.quantile([0.25, 0.5, 0.75])
    below, above = max(median - low, least * 0.674), max(high - median, least * 0.674)
    away = values - median
    return 0.674 * (away / above).where(away >= 0, -away / below)


def _likeness(thumbnails: Sequence[np.ndarray]) -> np.ndarray:
    """Correlation of each thumbnail with the mean of all; it tells a negative, or another organ, from the rest."""

    def normed() -> Iterator[np.ndarray]:
        for flat in _blocks(thumbnails):
            flat -= flat.mean(axis=1, keepdims=True)
            yield flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)

    mean = sum(flat.sum(axis=0) for flat in normed()) / len(thumbnails)
    return np.concatenate([flat @ (mean / max(np.linalg.norm(mean), 1e-6)) for flat in normed()])
