"""The file of a mask, or several -> 0 and 1, however it was saved. Thread-safe: no global state is changed."""

from functools import reduce
from pathlib import Path

import cv2
import numpy as np

from seglib.errors import InputError
from seglib.images.decoding import decode_image, open_image, take_colours, take_unsigned
from seglib.images.mask_files import split_files
from seglib.images.reading import are_gray

LABELLED = 0.2  # share of a mask's foreground from which on grays may be labels


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask as 0 and 1, however it was saved. The rules, in this order.

    1. The EXIF orientation is applied; a palette gives its colours.
    2. Of several channels the largest of R, G and B counts at each pixel: red on black is foreground.
    3. Alpha is ignored, unless every colour channel is constant and alpha is not: then alpha is the mask.
    4. JPEG files: foreground is value > 127, since JPEG's noise round 0 is no foreground.
    5. One value, or two of which the smaller is 0: foreground is value > 0.
    6. Floats of at most 1: foreground is value > 0.5.
    7. The maximum is in the upper half of the scale (from 128 for 8 bits and floats, from 32768 for 16 bits) and what
       lies between 0 and it are no areas: an anti-aliased mask; foreground is value > 127 (32767).
    8. Else labels, small ones (0, 1, 2, ...) or areas of several grays (0, 85, 170, 255): foreground is value > 0.

    Args:
        path: an image file of `reading.SUFFIXES`, recognised by its content; or several, of `mask_files.join_files`:
            foreground is what is so in one of them.

    Returns:
        uint8 (H, W) in {0, 1}, contiguous and writable.

    Raises:
        InputError: as `reading.read_image`, or if several files are of different sizes.
    """
    plane, background_top = read_mask_levels(path)
    return (plane > background_top).view(np.uint8)


def read_mask_levels(path: str | Path) -> tuple[np.ndarray, float]:
    """Read a mask as it is stored: what `read_mask` makes 0 and 1 of.

    Args:
        path: as for `read_mask`.

    Returns:
        The values (H, W), unsigned whole numbers or floats, and the largest value that still is background. Of several
        files 0 and 1, and 0.

    Raises:
        InputError: as `read_mask`.
    """
    first, *others = split_files(path)
    plane, background_top = _read_levels(first)
    if not others:
        return plane, background_top
    union = plane > background_top
    for other in others:
        plane, background_top = _read_levels(other)
        if plane.shape != union.shape:
            raise InputError(
                f"{other} is {plane.shape[1]} x {plane.shape[0]} pixels but {first}, a part of the same mask, is "
                f"{union.shape[1]} x {union.shape[0]}; export both at the size of their image"
            )
        union |= plane > background_top
    return union.view(np.uint8), 0


def read_mask_colours(path: str | Path) -> np.ndarray | None:
    """The colours of a mask as they are stored; None where it has none.

    Args:
        path: of one file, as for `read_mask`.

    Returns:
        uint8 (H, W, 3).

    Raises:
        InputError: as `read_mask`.
    """
    with open_image(path) as (_, header):
        if header.image is not None and header.image.mode in ("1", "L", "LA", "La", "I", "F", "I;16", "I;16B"):
            return None
    colours = take_colours(decode_image(path)[0])
    return None if colours.shape[2] < 3 or colours.dtype != np.uint8 or are_gray(colours) else colours


def _read_levels(path: str | Path) -> tuple[np.ndarray, float]:
    pixels, kind = decode_image(path)
    if pixels.dtype.kind == "f":
        pixels = np.nan_to_num(pixels, nan=0, posinf=0, neginf=0)
    if pixels.dtype.kind != "u":
        pixels = take_unsigned(pixels)
    colours, alpha = take_colours(pixels), pixels[..., -1]
    plane = reduce(np.maximum, np.moveaxis(colours, 2, 0))
    if pixels.shape[2] in (2, 4) and (colours == colours[0, 0]).all() and (alpha != alpha[0, 0]).any():
        plane = alpha
    return plane, 127 if kind == "JPEG" else _background_top(plane)


def resize_mask(mask: np.ndarray, size: int | tuple[int, int]) -> np.ndarray:
    """Resize a mask by the nearest pixel, so that no other values appear.

    Args:
        mask: uint8 (H, W) in {0, 1}.
        size: the side of a square, or (height, width).

    Returns:
        uint8 (height, width) in {0, 1}.

    Example:
        >>> resize_mask(np.array([[0, 1]], np.uint8), (2, 4)).tolist()
        [[0, 0, 1, 1], [0, 0, 1, 1]]
    """
    height, width = (size, size) if np.isscalar(size) else size
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)


def _background_top(plane: np.ndarray) -> float:
    """Give the largest value that still is background: rules 5 to 8 of `read_mask`."""
    high = plane.max()
    if high == 0 or np.count_nonzero(plane) == np.count_nonzero(plane == high):
        return 0
    if plane.dtype.kind == "f" and high <= 1:
        return 0.5
    half = 127 if plane.dtype.kind == "f" else np.iinfo(plane.dtype).max // 2
    return half if high > half and not _has_gray_areas(plane, high) else 0


def _has_gray_areas(plane: np.ndarray, high: float) -> bool:
    """Whether values between 0 and the maximum fill areas, as labels do, and are not what smoothing leaves at edges.

    Most of them then lie in squares of 2 x 2 equal pixels. Smoothed edges have few of those (5 % at a blur of 5 pixels,
    28 % at 40), but all where they were enlarged by repeating pixels; they are a small part of the foreground. Values
    near the ends do not count, as JPEG leaves such where it once was.
    """
    between = (plane > high / 8) & (plane < high - high / 8)
    if np.count_nonzero(between) < LABELLED * np.count_nonzero(plane):
        return False
    corner = plane[:-1, :-1]
    flat = (corner == plane[1:, :-1]) & (corner == plane[:-1, 1:]) & (corner == plane[1:, 1:])
    return np.count_nonzero(flat & between[:-1, :-1]) > np.count_nonzero(between) / 2
