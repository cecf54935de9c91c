"""An image file, of any format -> its pixels as they are stored; errors name the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image

from seglib.errors import InputError
from seglib.images.arrays import decode_nifti, decode_numpy
from seglib.images.dicom import decode_dicom
from seglib.images.headers import MAX_MEGAPIXELS, Header, read_header

_OTHERS = {"DICOM": decode_dicom, "NumPy": decode_numpy, "NIfTI": decode_nifti}
_MODES = {"1": "L", "La": "LA", "PA": "RGBA", "RGBa": "RGBA"} | {mode: mode for mode in ("L", "LA", "RGBA", "I", "F")}


@contextmanager
def open_image(path: str | Path) -> Iterator[tuple[BinaryIO, Header]]:
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


def decode_image(path: str | Path, *, least: int | None = None) -> tuple[np.ndarray, str]:
    """Give (H, W, C) as it is stored and the format's name; C = 1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha.

    A JPEG may come at 1/2, 1/4 or 1/8 of its size, but with at least ``least`` pixels in both directions.
    """
    with open_image(path) as (file, header):
        if header.kind == "JPEG" and least:
            header.image.draft(None, (least, least))
        if header.image:  # even if cv2 follows, which is noisy about damage or, in some versions, blind to it
            pixels = _by_pillow(header)
        if header.by_cv2:
            pixels = _by_cv2(file, header)
        elif header.kind in _OTHERS:
            pixels = _OTHERS[header.kind](file)
    pixels = np.atleast_3d(pixels).astype(header.sample, copy=False)
    if pixels.dtype == np.int8:
        pixels = take_unsigned(pixels)
    return _turned(pixels, header.orientation), header.kind


def take_unsigned(pixels: np.ndarray) -> np.ndarray:
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


def take_colours(pixels: np.ndarray) -> np.ndarray:
    """Pixels (H, W, C) without alpha, so of one or three channels."""
    return pixels[..., : 1 if pixels.shape[2] < 3 else 3]
