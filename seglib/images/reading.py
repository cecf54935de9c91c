"""A file -> an array, of every format and bit depth; errors name the file. Thread-safe: no global state is changed."""

from functools import reduce
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from seglib.images.decoding import decode_image, open_image, take_colours
from seglib.images.headers import count_pages

SPARE = 3  # times the wanted side that a JPEG decoded at reduced size still has


class Scale(NamedTuple):
    """The values that mean black and white in all files of a data set that are deeper than 8 bits."""

    black: float
    white: float


def read_image(path: str | Path, *, channels: int, scale: Scale | None = None) -> np.ndarray:
    """Read an image as 8-bit pixels, turned as its EXIF orientation says.

    Gray is repeated to three channels, colour becomes luminance for one, alpha is dropped, not blended, a palette
    gives its colours, and of several pages the first is read. In files deeper than 8 bits a value becomes
    `(value - black) * 255 / (white - black)`, clipped and rounded: constants of the data set, never the image's own
    extremes. Files of at most 8 bits are not scaled, whatever `scale` is, so that a data set may mix both. A DICOM
    file that says which of its values a viewer spreads from black to white is one of 8 bits: see `decode_dicom`.

    Args:
        path: an image file of `suffixes.SUFFIXES`, recognised by its content.
        channels: 1 or 3.
        scale: black and white of files deeper than 8 bits: see `scales.probe_images`; None: there are no such files

    Returns:
        uint8 (H, W, channels), contiguous and writable.

    Raises:
        InputError: the file is missing, empty, cut short, above 400 megapixels or no image; the sentence names it.
        ValueError: `channels` or `scale` is out of its range, or the file is deeper than 8 bits and `scale` is None.
    """
    _check_wanted(channels, scale)
    return _eight_bits(decode_image(path)[0], channels, scale)


def read_resized(path: str | Path, size: int, *, channels: int, scale: Scale | None = None) -> np.ndarray:
    """Read an image at the size of a network, as training and prediction both see it.

    It is ``resize_image(read_image(path), size)``, except for a JPEG that is much larger: that is decoded at 1/2, 1/4
    or 1/8, where it still has ``SPARE`` times ``size`` in both directions, and then resized by area. The result differs
    a little, as libjpeg leaves out high frequencies where area means keep a part of them: by 0.25 to 0.45 gray levels,
    root mean square, for skin lesions of 2 to 12 megapixels at 64 to 320 pixels, and by less than 1 for anything but
    noise. Twelve such files took a half to a quarter of the time. Other files, and JPEGs below twice ``SPARE`` times
    ``size``, give the very same pixels.

    Args:
        path: as for `read_image`.
        size: the side of a square.
        channels: 1 or 3.
        scale: as for `read_image`.

    Returns:
        uint8 (size, size, channels).

    Raises:
        InputError: as `read_image`.
        ValueError: as `read_image`.
    """
    _check_wanted(channels, scale)
    return resize_image(_eight_bits(decode_image(path, least=SPARE * size)[0], channels, scale), size)


def _check_wanted(channels: int, scale: Scale | None) -> None:
    if channels not in (1, 3) or (scale is not None and not scale.white > scale.black):
        raise ValueError(f"channels must be 1 or 3 and white above black, got {channels} and {scale}")


def _eight_bits(pixels: np.ndarray, channels: int, scale: Scale | None) -> np.ndarray:
    pixels = np.ascontiguousarray(take_colours(pixels))
    if pixels.dtype != np.uint8:
        if scale is None:  # any value taken for granted would make such files black, or white, in silence
            raise ValueError("the file is deeper than 8 bits; say what black and white are (see scales.probe_images)")
        scaled = np.subtract(pixels, scale.black, dtype=np.float64)
        scaled *= 255
        scaled /= scale.white - scale.black
        if pixels.dtype.kind == "f":
            scaled[~np.isfinite(pixels)] = 0
        pixels = np.rint(scaled, out=scaled).clip(0, 255, out=scaled).astype(np.uint8)
    if pixels.shape[2] == channels:
        return pixels
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None] if channels == 1 else np.repeat(pixels, 3, axis=2)


def read_deep(path: str | Path) -> np.ndarray | None:
    """Read the values of a file deeper than 8 bits as they are stored; of another one only the header, and give None.

    Args:
        path: as for `read_image`.

    Returns:
        (H, W, 1 or 3), whole numbers or floats, without alpha.

    Raises:
        InputError: as `read_image`.
    """
    with open_image(path) as (_, header):
        deep = np.dtype(header.sample).itemsize > 1
    return take_colours(decode_image(path)[0]) if deep else None


def looks_gray(path: str | Path) -> bool:
    """Whether an image has one channel, or R, G and B within 2 levels (of 255, for floats) at every pixel.

    Args:
        path: as for `read_image`; decoded only where its header does not tell.

    Raises:
        InputError: as `read_image`.
    """
    with open_image(path) as (_, header):
        if header.image is not None and header.image.mode in ("1", "L", "LA", "La"):
            return True
    return are_gray(take_colours(decode_image(path)[0]))


def are_gray(colours: np.ndarray) -> bool:
    """As `looks_gray`, of (H, W, 1 or 3) values."""
    planes = np.moveaxis(np.nan_to_num(colours) if colours.dtype.kind == "f" else colours, 2, 0)
    range_ = reduce(np.maximum, planes) - reduce(np.minimum, planes)
    if colours.dtype.kind == "f":
        return bool((range_ <= 2 / 255 * np.abs(planes).max()).all())
    return bool((range_.view(range_.dtype.str.replace("i", "u")) <= 2).all())  # a signed range may overflow


def image_size(path: str | Path) -> tuple[int, int]:
    """Read (height, width), after the EXIF turn, from the header only.

    Args:
        path: an image file.

    Returns:
        (height, width) of what `read_image` and `read_mask` give.

    Raises:
        InputError: as `read_image`, but damage behind the header stays unseen.
    """
    with open_image(path) as (_, header):
        return header.size[::-1] if header.orientation in range(5, 9) else header.size


def count_file_pages(path: str | Path) -> int:
    """How many pages a file has, of which `read_image` and `read_mask` read the first; from its headers only.

    Args:
        path: an image file; smaller versions of its first page, as thumbnails and pyramids are, do not count.

    Raises:
        InputError: as `image_size`.
    """
    with open_image(path) as (file, header):
        return count_pages(file, header)


def resize_image(image: np.ndarray, size: int | tuple[int, int]) -> np.ndarray:
    """Resize an image: a side that shrinks by area means, a side that grows linearly.

    Args:
        image: uint8 (H, W, C), C = 1 or 3.
        size: the side of a square, or (height, width).

    Returns:
        uint8 (height, width, C).

    Example:
        >>> resize_image(np.array([[[0], [100]], [[100], [200]]], np.uint8), 1).tolist()
        [[[100]]]
    """
    height, width = (size, size) if np.isscalar(size) else size
    # One after the other: where one side grows, cv2 takes no means along the other, and leaves out pixels of a strip.
    shrunk = (min(width, image.shape[1]), min(height, image.shape[0]))
    resized = cv2.resize(image, shrunk, interpolation=cv2.INTER_AREA)
    resized = cv2.resize(resized, (width, height), interpolation=cv2.INTER_LINEAR)
    return resized.reshape(height, width, image.shape[2])
