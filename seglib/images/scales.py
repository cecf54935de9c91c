"""The values of files deeper than 8 bits -> which of them mean black and white in the whole data set."""

from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seglib.errors import InputError
from seglib.images.masks import HAIR, read_mask
from seglib.images.reading import Scale, are_gray, looks_gray, read_deep

WHITES = (255, 1023, 4095, 16383, 65535, 2**32 - 1)  # of 8, 10, 12, 14, 16 and 32 bits
FAINT = 127  # floats up to here, but above 1, have a unit of their own: of 255 they would leave most grays unused
HOT = 1e-3  # share of a file's values that may be above white: hot pixels; or below black
TAIL = 5e-3  # share of the foreground's values that may be beyond either end, as in nnU-Net's plans for CT
MARGIN = 0.5  # of the range of the foreground, on either side, so that it is told from what is around it
STEPS = 201  # quantiles that stand for the foreground of one file


class Values(NamedTuple):
    """What a file deeper than 8 bits holds."""

    whole: bool  # whole numbers
    low: float  # all but the darkest `HOT` of them stay at or above
    high: float  # all but the brightest `HOT` of them stay at or below
    foreground: np.ndarray | None = None  # their `STEPS` quantiles where the mask is, in files with negative ones


def probe_images(image_paths: Iterable[str | Path], mask_paths: Iterable[str | Path] = ()) -> tuple[int, Scale]:
    """Find the constants of a whole data set that `reading.read_image` needs.

    Files of at most 8 bits are decoded only until the first colour image is found; deeper ones always.

    Args:
        image_paths: at least one image file.
        mask_paths: the masks of these images, in their order; looked at only where values are negative.

    Returns:
        (in_channels, scale). in_channels is 1 if every image is gray (see `reading.looks_gray`), else 3. scale is that
        of `choose_scale`.

    Raises:
        InputError: a file cannot be read, there is none, or floats of at most 1 are mixed with whole numbers.
    """
    gray, found, path = True, [], None
    for path, mask_path in zip_longest(image_paths, mask_paths):
        values = read_deep(path)
        gray = gray and (looks_gray(path) if values is None else are_gray(values))
        found += [] if values is None else [_describe(values, mask_path)]
    if path is None:
        raise InputError("There is no image to look at; check the data folder")
    return (1 if gray else 3), choose_scale(found, Path(path).parent)


def measure_values(path: str | Path, mask_path: str | Path | None = None) -> Values | None:
    """What a file deeper than 8 bits holds; None of another one, of which only the header is read.

    Args:
        path: an image file.
        mask_path: its mask; looked at only where values are negative, and passed over where it cannot be used.

    Raises:
        InputError: as `reading.read_image`.
    """
    values = read_deep(path)
    return None if values is None else _describe(values, mask_path)


def choose_scale(found: Iterable[Values], folder: Path) -> Scale:
    """What black and white are in a data set.

    Where no value is negative black is 0, and white the smallest of `WHITES` that is at least the highest of all files
    (that itself above the last); 1 if all are floats of at most 1, and the highest itself if all are floats of at most
    `FAINT`; 255 if no file is deeper than 8 bits. Floats may lie beyond it by what rounding adds, `masks.HAIR`. Where
    some are negative, as Hounsfield units are, the range of bits says nothing, and metal or padding would take most of
    the grays: black and white are the ends of the foreground's values, but for `TAIL` on either side, moved outwards by
    `MARGIN` of what is between them, but not beyond the lowest and highest of all; those where there is no foreground.

    Args:
        found: of `measure_values`, of the training files deeper than 8 bits.
        folder: where they are, for the message.

    Raises:
        InputError: floats of at most 1 are mixed with whole numbers.

    Source: Isensee et al. 2021, nnU-Net, for the percentiles of the foreground.

    Example:
        >>> choose_scale([], Path()), choose_scale([Values(True, 0, 4000), Values(True, 2, 300)], Path())
        (Scale(black=0.0, white=255.0), Scale(black=0.0, white=4095.0))
    """
    found = list(found)
    floats = [values.high for values in found if not values.whole]
    if floats and len(floats) < len(found) and max(floats) <= 1 + HAIR:
        raise InputError(f"{folder}: floats up to 1 are mixed with whole numbers; save all images alike")
    low, high = min((values.low for values in found), default=0), max((values.high for values in found), default=0)
    if low < 0:
        return _around_foreground([values.foreground for values in found if values.foreground is not None], low, high)
    if len(floats) == len(found) and 1 + HAIR < high <= FAINT:
        return Scale(0.0, float(high))
    steps, slack = ((1, *WHITES, high), 1 + HAIR) if floats else ((*WHITES, high), 1)
    return Scale(0.0, float(next(white for white in steps if white * slack >= high)))


def _around_foreground(foregrounds: list[np.ndarray], low: float, high: float) -> Scale:
    first, last = np.quantile(np.concatenate(foregrounds), (TAIL, 1 - TAIL)) if foregrounds else (low, high)
    margin = MARGIN * (last - first)
    if margin > 0:
        low, high = max(low, first - margin), min(high, last + margin)
    return Scale(float(low), float(high) if high > low else float(low) + 1)


def _describe(values: np.ndarray, mask_path: str | Path | None) -> Values:
    whole = values.dtype.kind != "f"
    flat = values.ravel() if whole else values[np.isfinite(values)]
    if not flat.size:
        return Values(whole, 0.0, 0.0)
    ranks = int(HOT * (flat.size - 1)), int(np.ceil((1 - HOT) * (flat.size - 1)))
    low, high = np.partition(flat, ranks)[list(ranks)].tolist()
    return Values(whole, float(low), float(high), _foreground(values, mask_path) if low < 0 and mask_path else None)


def _foreground(values: np.ndarray, mask_path: str | Path) -> np.ndarray | None:
    try:
        mask = read_mask(mask_path)
    except InputError:  # said by whoever looks at the masks
        return None
    inside = values[mask > 0] if mask.shape == values.shape[:2] else values[:0]
    inside = inside[np.isfinite(inside)]
    return np.quantile(inside, np.linspace(0, 1, STEPS)) if inside.size else None
