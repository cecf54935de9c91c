"""A file -> an array, of every format and bit depth; errors name the file. Thread-safe: no global state is changed."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np
from PIL import Image

from seglib.errors import InputError
from seglib.images.dicom import decode_dicom
from seglib.images.headers import MAX_MEGAPIXELS, Header, count_pages, read_header
from seglib.images.mask_files import split_files

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".gif", ".webp", ".jp2", ".j2k")  # in lower case
SUFFIXES += (".pbm", ".pgm", ".ppm", ".pnm", ".dcm", ".dicom")
LABELLED = 0.2  # share of a mask's foreground from which on grays may be labels
SPARE = 3  # times the wanted side that a JPEG decoded at reduced size still has

_MODES = {"1": "L", "La": "LA", "PA": "RGBA", "RGBa": "RGBA"} | {mode: mode for mode in ("L", "LA", "RGBA", "I", "F")}


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
        path: an image file of `SUFFIXES`, recognised by its content.
        channels: 1 or 3.
        scale: black and white of files deeper than 8 bits: see `scales.probe_images`; None: there are no such files

    Returns:
        uint8 (H, W, channels), contiguous and writable.

    Raises:
        InputError: the file is missing, empty, cut short, above 400 megapixels or no image; the sentence names it.
        ValueError: `channels` or `scale` is out of its range, or the file is deeper than 8 bits and `scale` is None.
    """
    _check_wanted(channels, scale)
    return _eight_bits(_decode(path)[0], channels, scale)


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
    return resize_image(_eight_bits(_decode(path, least=SPARE * size)[0], channels, scale), size)


def _check_wanted(channels: int, scale: Scale | None) -> None:
    if channels not in (1, 3) or (scale is not None and not scale.white > scale.black):
        raise ValueError(f"channels must be 1 or 3 and white above black, got {channels} and {scale}")


def _eight_bits(pixels: np.ndarray, channels: int, scale: Scale | None) -> np.ndarray:
    pixels = np.ascontiguousarray(_colours(pixels))
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
    with _opened(path) as (_, header):
        deep = np.dtype(header.sample).itemsize > 1
    return _colours(_decode(path)[0]) if deep else None


def looks_gray(path: str | Path) -> bool:
    """Whether an image has one channel, or R, G and B within 2 levels (of 255, for floats) at every pixel.

    Args:
        path: as for `read_image`; decoded only where its header does not tell.

    Raises:
        InputError: as `read_image`.
    """
    with _opened(path) as (_, header):
        if header.image is not None and header.image.mode in ("1", "L", "LA", "La"):
            return True
    return are_gray(_colours(_decode(path)[0]))


def are_gray(colours: np.ndarray) -> bool:
    """As `looks_gray`, of (H, W, 1 or 3) values."""
    planes = np.moveaxis(np.nan_to_num(colours) if colours.dtype.kind == "f" else colours, 2, 0)
    range_ = reduce(np.maximum, planes) - reduce(np.minimum, planes)
    if colours.dtype.kind == "f":
        return bool((range_ <= 2 / 255 * np.abs(planes).max()).all())
    return bool((range_.view(range_.dtype.str.replace("i", "u")) <= 2).all())  # a signed range may overflow


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
        path: an image file of `SUFFIXES`, recognised by its content; or several, of `mask_files.join_files`: foreground
            is what is so in one of them.

    Returns:
        uint8 (H, W) in {0, 1}, contiguous and writable.

    Raises:
        InputError: as `read_image`, or if several files are of different sizes.
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
    with _opened(path) as (_, header):
        if header.image is not None and header.image.mode in ("1", "L", "LA", "La", "I", "F", "I;16", "I;16B"):
            return None
    colours = _colours(_decode(path)[0])
    return None if colours.shape[2] < 3 or colours.dtype != np.uint8 or are_gray(colours) else colours


def _read_levels(path: str | Path) -> tuple[np.ndarray, float]:
    pixels, kind = _decode(path)
    if pixels.dtype.kind == "f":
        pixels = np.nan_to_num(pixels, nan=0, posinf=0, neginf=0)
    if pixels.dtype.kind != "u":
        pixels = _unsigned(pixels)
    colours, alpha = _colours(pixels), pixels[..., -1]
    plane = reduce(np.maximum, np.moveaxis(colours, 2, 0))
    if pixels.shape[2] in (2, 4) and (colours == colours[0, 0]).all() and (alpha != alpha[0, 0]).any():
        plane = alpha
    return plane, 127 if kind == "JPEG" else _background_top(plane)


def image_size(path: str | Path) -> tuple[int, int]:
    """Read (height, width), after the EXIF turn, from the header only.

    Args:
        path: an image file.

    Returns:
        (height, width) of what `read_image` and `read_mask` give.

    Raises:
        InputError: as `read_image`, but damage behind the header stays unseen.
    """
    with _opened(path) as (_, header):
        return header.size[::-1] if header.orientation in range(5, 9) else header.size


def count_file_pages(path: str | Path) -> int:
    """How many pages a file has, of which `read_image` and `read_mask` read the first; from its headers only.

    Args:
        path: an image file; smaller versions of its first page, as thumbnails and pyramids are, do not count.

    Raises:
        InputError: as `image_size`.
    """
    with _opened(path) as (file, header):
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


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[BinaryIO, Header]]:
    """Open a file and read its header; whatever goes wrong inside becomes a sentence that begins with the path."""
    try:
        with open(path, "rb") as file:
            yield file, read_header(file)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's plugins raise nearly anything on a damaged file
        if isinstance(error, OSError) and error.strerror:
            raise InputError(f"{path}: {error.strerror}; check the path and its permissions") from error
        readable = isinstance(error, ValueError | OSError | SyntaxError)
        reason = error if readable else "it is damaged or cut short"
        cure = f"replace it by an intact JPEG, PNG, BMP or TIFF file of at most {MAX_MEGAPIXELS} megapixels"
        raise InputError(f"{path}: the image cannot be read ({reason}); {cure}") from error


def _decode(path: str | Path, *, least: int | None = None) -> tuple[np.ndarray, str]:
    """Give (H, W, C) as it is stored and the format's name; C = 1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha.

    A JPEG may come at 1/2, 1/4 or 1/8 of its size, but with at least ``least`` pixels in both directions.
    """
    with _opened(path) as (file, header):
        if header.kind == "JPEG" and least:
            header.image.draft(None, (least, least))
        if header.image:  # even if cv2 follows, which is noisy about damage or, in some versions, blind to it
            pixels = _by_pillow(header)
        if header.by_cv2:
            pixels = _by_cv2(file, header)
        elif header.kind == "DICOM":
            pixels = decode_dicom(file)
    pixels = np.atleast_3d(pixels).astype(header.sample, copy=False)
    if pixels.dtype == np.int8:
        pixels = _unsigned(pixels)
    return _turned(pixels, header.orientation), header.kind


def _unsigned(pixels: np.ndarray) -> np.ndarray:
    """Whole numbers or floats without what is below 0."""
    return pixels.clip(min=0).astype(pixels.dtype.str.replace("i", "u"))


def _by_pillow(header: Header) -> np.ndarray:
    image = header.image
    if header.kind == "TIFF":  # room made here, as the plugin would first ask the global bomb limit
        image.im = Image.new(image.mode, header.size[::-1]).im
    image.load()
    mode = image.mode if image.mode.startswith("I;16") else _MODES.get(image.mode, "RGB")
    if image.mode == "P" and "transparency" in image.info:
        mode = "RGBA"
    # convert() also mends the size of a TIFF, which Pillow believes turned.
    return np.array(image if image.mode == mode and header.orientation < 5 else image.convert(mode))


def _by_cv2(file: BinaryIO, header: Header) -> np.ndarray:
    file.seek(0)
    data = np.fromfile(file, np.uint8)
    if header.turn_at:  # cv2 turns TIFF files by itself, or fails at it
        data[header.turn_at : header.turn_at + 2] = (1, 0) if data[0] == ord("I") else (0, 1)
    pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.shape[:2] != header.size or pixels.dtype != header.sample:
        raise ValueError("it is damaged or of an unknown layout")
    return pixels if pixels.ndim == 2 else pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    if orientation in range(5, 9):
        pixels = pixels.swapaxes(0, 1)
    down = -1 if orientation in (3, 4, 7, 8) else 1
    right = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(pixels[::down, ::right])


def _colours(pixels: np.ndarray) -> np.ndarray:
    return pixels[..., : 1 if pixels.shape[2] < 3 else 3]


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
