"""Masks as they are stored -> what counts as foreground or background of them, though it may be a class of its own."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seglib.errors import Problem
from seglib.images.mask_files import first_file, split_files
from seglib.images.masks import read_mask_colours

FILLED = 0.5  # of the area of the foreground; one value of the background that covers as much is no smoothed edge
MAJOR = 0.05  # share of a mask's foreground from which on a colour is one of its own; less lies at edges
NEAR = 48  # levels of 255 in each channel, within which two colours are one that JPEG has changed
PLAIN = frozenset({255, 65535})  # what every program writes for foreground; beside it 1 is no other class


def describe_labels(path: str, plane: np.ndarray, background_top: float) -> dict[str, Any]:
    """What a mask holds beside one foreground and one background.

    Args:
        path: of the mask, as in a table of samples.
        plane: its values, of `masks.read_mask_levels`.
        background_top: the largest that still is background.

    Returns:
        ``levels`` (how many values there are), ``between`` (share of the pixels that have neither the smallest nor the
        largest), ``label_below`` (a value that counts as background and fills areas, half as large as the foreground
        or larger; 0: none) and ``marks`` (a tuple of the colours of the foreground, as (R, G, B), or its one value).
    """
    values, counts = np.unique(plane, return_counts=True)
    between = 1 - (counts[0] + counts[-1]) / plane.size if len(values) > 2 else 0.0
    facts = {"levels": len(values), "between": float(between), "label_below": 0.0, "marks": ()}
    below = (values > 0) & (values <= background_top)
    if below.any():
        value = values[below][counts[below].argmax()]
        if counts[below].max() >= FILLED * counts[values > background_top].sum() and _fills_areas(plane == value):
            facts["label_below"] = float(value)
    file, *others = split_files(path)
    if not others and values[-1] > background_top:
        colours = read_mask_colours(file)
        one = (float(values[-1]),) if len(values) == 2 and values[0] == 0 else ()
        facts["marks"] = one if colours is None else _find_colours(colours[plane > background_top])
    return facts


def _fills_areas(mask: np.ndarray) -> bool:
    """Whether most of it lies in squares of 2 x 2."""
    squares = mask[:-1, :-1] & mask[1:, :-1] & mask[:-1, 1:] & mask[1:, 1:]
    return np.count_nonzero(squares) > np.count_nonzero(mask) / 2


def _find_colours(pixels: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """Colours that many of the pixels have, those that are nearly the same once."""
    red, green, blue = (pixels // 8 * 8).astype(np.int32).T
    coarse, counts = np.unique(red << 16 | green << 8 | blue, return_counts=True)
    frequent = coarse[counts >= MAJOR * len(pixels)].tolist()
    return _merge((colour >> 16, colour >> 8 & 255, colour & 255) for colour in frequent)


def _merge(colours: Iterable[tuple[int, ...]]) -> tuple[tuple[int, ...], ...]:
    found: list[tuple[int, ...]] = []
    for colour in colours:
        if all(max(abs(a - b) for a, b in zip(colour, other, strict=True)) > NEAR for other in found):
            found.append(colour)
    return tuple(found)


def judge_labels(masks: pd.DataFrame) -> list[Problem]:
    """What the masks of a set hold that no single one gives away.

    Args:
        masks: table with ``mask_path``, ``background_top`` and what `describe_labels` says.
    """
    return [*_judge_below(masks), *_judge_rules(masks), *_judge_marks(masks)]


def _judge_below(masks: pd.DataFrame) -> list[Problem]:
    found = masks[masks["label_below"] > 0]
    if found.empty:
        return []
    first = found.iloc[0]
    fact = f"has areas of the value {first['label_below']:g} that were read as background, as what is not above "
    fact += f"{first['background_top']:g}" + (f"; so have {len(found) - 1} other masks" if len(found) > 1 else "")
    cure = "if they are foreground, save masks as PNG that hold 0 and 255"
    return [Problem(first_file(first["mask_path"]), "label read as background", fact, cure)]


def _judge_rules(masks: pd.DataFrame) -> list[Problem]:
    """Of masks with several values some may have labels and others smoothed edges, or what looks so."""
    several = masks[masks["levels"] > 2]
    tops = Counter(several["background_top"])
    if len(tops) < 2:
        return []
    (usual, _), *_, (odd, count) = tops.most_common()
    first = several[several["background_top"] == odd].iloc[0]
    others = f" (and {count - 1} more)" if count > 1 else ""
    fact = (
        f"was read as foreground above {odd:g}{others}, but {tops[usual]} other masks of several values above {usual:g}"
    )
    return [Problem(first_file(first["mask_path"]), "read unlike the others", fact, "save all masks as 0 and 255")]


def _judge_marks(masks: pd.DataFrame) -> list[Problem]:
    """That several colours, or values that differ from file to file, are taken for one foreground."""
    marks = list(dict.fromkeys(mark for row in masks["marks"] for mark in row))
    colours = _merge(mark for mark in marks if isinstance(mark, tuple))
    values = sorted({mark for mark in marks if not isinstance(mark, tuple)} - PLAIN)
    if len(colours) < 2 and len(values) < 2:
        return []
    shown = [str(colour) for colour in colours] if len(colours) > 1 else [f"{value:g}" for value in values]
    kind = "colours" if len(colours) > 1 else "values"
    more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
    folder = Path(first_file(masks["mask_path"].iloc[0])).parent
    what = f"{len(shown)} {kind} besides black ({', '.join(shown[:3])}{more})"
    fact = f"holds masks of {what}, which all count as one foreground"
    return [Problem(folder, "several classes", fact, "if one of them is meant, make the others black")]
