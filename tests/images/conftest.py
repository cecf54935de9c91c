import struct

import cv2
import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def save(tmp_path):
    """Save rows of values as an image of a Pillow mode; give the path."""

    def save_(name, rows, mode=None, **options):
        pixels = np.asarray(rows)
        image = Image.frombytes(mode, pixels.shape[1::-1], pixels.tobytes()) if mode else Image.fromarray(pixels)
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return save_


@pytest.fixture
def save_cv2(tmp_path):
    """Save an array, colours in RGB order, with OpenCV; give the path."""

    def save_(name, pixels):
        pixels = pixels if pixels.ndim == 2 else pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
        assert cv2.imwrite(str(tmp_path / name), pixels)
        return tmp_path / name

    return save_


@pytest.fixture
def save_tiff(tmp_path):
    """Write a TIFF byte by byte, so that any layout can be had; give the path."""

    def save_(name, pixels, *, order="<", tags=(), big=False):
        samples = pixels.shape[2] if pixels.ndim == 3 else 1
        data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
        word, start = ("Q", 16) if big else ("L", 8)
        entries = {256: pixels.shape[1], 257: pixels.shape[0], 258: 8 * pixels.itemsize, 259: 1}
        entries |= {262: 2 if samples > 2 else 1, 273: start, 277: samples, 278: pixels.shape[0], 279: len(data)}
        entries |= {339: {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]} | dict(tags)
        head = struct.pack(order + "2sH", b"II" if order == "<" else b"MM", 43 if big else 42)
        head += struct.pack(order + ("HHQ" if big else "L"), *((8, 0) if big else ()), start + len(data))
        table = struct.pack(order + ("Q" if big else "H"), len(entries))
        for tag, value in sorted(entries.items()):
            kind = 4 if tag in (273, 279) else 3
            table += struct.pack(order + "HH" + word, tag, kind, 1)
            table += struct.pack(order + {3: "H", 4: "L"}[kind], value).ljust(struct.calcsize("<" + word), b"\0")
        (tmp_path / name).write_bytes(head + data + table + b"\0" * 8)
        return tmp_path / name

    return save_
