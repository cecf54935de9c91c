"""The file of a mask, or several -> 0 and 1, however it was saved. Thread-safe: no global state is changed."""

from functools import reduce
from pathlib import Path

import cv2
import numpy as np

from seglib.errors import InputError
from seglib.images.decoding import decode_image, open_image, take_colours, take_unsigned
from seglib.images.grays import LABELS, find_half, find_meaning, is_sure
from seglib.images.mask_files import split_files, take_usual
from seglib.images.reading import are_gray

HAIR = 1e-4  # share of the end of a scale that floats may lie beyond it, as smoothing and resizing round
PHOTOGRAPH_VALUES = 32  # a photograph holds more
MASK_FLAT = 0.7  # of the pixels of a mask are like the next one, at least


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask as 0 and 1, however it was saved. The rules, in this order.

    1. The EXIF orientation is applied; a palette gives its colours.
    2. Of several channels the largest of R, G and B counts at each pixel: red on black is foreground.
    3. Alpha is ignored, unless every colour channel is constant and alpha is not: then alpha is the mask.
    4. JPEG files: foreground is value > 127, since JPEG's noise round 0 is no foreground.
    5. One value, or two of which the smaller is 0: foreground is value > 0.
    6. Floats of at most 1, but for rounding (`HAIR`): foreground is value > 0.5.
    7. The maximum is in the upper half of the scale (from 128 for 8 bits and floats, from 32768 for 16 bits) and what
       lies between 0 and it are no areas: an anti-aliased mask; foreground is value > 127 (32767).
    8. Else labels, small ones (0, 1, 2, ...) or areas of several grays (0, 85, 170, 255): foreground is value > 0.

    A file that leaves open which of 7 and 8 holds (see `grays.is_sure`) is read as is usual in its set, if the path
    says what that is.

    Args:
        path: an image file of `suffixes.SUFFIXES`, recognised by its content; or several, of `mask_files.join_files`:
            foreground is what is so in one of them. With `mask_files.add_usual` it says how others of its set are.

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
    (first, *others), usual = split_files(path), take_usual(path)
    plane, background_top = _read_levels(first, usual)
    if not others:
        return plane, background_top
    union = plane > background_top
    for other in others:
        plane, background_top = _read_levels(other, usual)
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


def is_photograph(path: str | Path) -> bool:
    """Whether this is no mask: many values, and most pixels unlike the next one. Of several files, never.

    In masks 98 of 100 pixels are like the next one, in photographs and X-rays of three sets 7 to 33 at the median and
    65 at most.

    Args:
        path: as for `read_mask`.

    Raises:
        InputError: as `read_mask`.
    """
    plane, _ = read_mask_levels(path)
    return len(np.unique(plane)) > PHOTOGRAPH_VALUES and np.mean(plane[:, 1:] == plane[:, :-1]) < MASK_FLAT


def judge_grays(path: str | Path) -> tuple[str, bool] | None:
    """What the grays of a mask are by itself, and whether that is sure (see `grays`).

    Args:
        path: of one file, as for `read_mask`.

    Returns:
        (meaning, sure); None where rules 1 to 6 of `read_mask` leave nothing open.

    Raises:
        InputError: as `read_mask`.
    """
    plane, kind = _read_plane(path)
    if kind == "JPEG" or not _has_several(plane) or _are_shares(plane):
        return None
    meaning = find_meaning(plane)
    return meaning, is_sure(plane, meaning)


def _read_levels(path: str, usual: str | None) -> tuple[np.ndarray, float]:
    plane, kind = _read_plane(path)
    return plane, 127 if kind == "JPEG" else _background_top(plane, usual)


def _read_plane(path: str | Path) -> tuple[np.ndarray, str]:
    pixels, kind = decode_image(path)
    if pixels.dtype.kind == "f":
        pixels = np.nan_to_num(pixels, nan=0, posinf=0, neginf=0)
    if pixels.dtype.kind != "u":
        pixels = take_unsigned(pixels)
    colours, alpha = take_colours(pixels), pixels[..., -1]
    plane = reduce(np.maximum, np.moveaxis(colours, 2, 0))
    if pixels.shape[2] in (2, 4) and (colours == colours[0, 0]).all() and (alpha != alpha[0, 0]).any():
        plane = alpha
    return plane, kind


def _background_top(plane: np.ndarray, usual: str | None) -> float:
    """Give the largest value that still is background: rules 5 to 8 of `read_mask`."""
    if not _has_several(plane):
        return 0
    if _are_shares(plane):
        return 0.5
    return 0 if find_meaning(plane, usual) == LABELS else find_half(plane)


def _has_several(plane: np.ndarray) -> bool:
    """Whether there are several values besides 0."""
    high = plane.max()
    return high > 0 and np.count_nonzero(plane) != np.count_nonzero(plane == high)


def _are_shares(plane: np.ndarray) -> bool:
    return plane.dtype.kind == "f" and plane.max() <= 1 + HAIR


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
