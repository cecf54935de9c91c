"""Pixels, and the parts of files that hold them, for tests of reading."""

import struct
import zlib

import numpy as np
from PIL import Image

LOSSY = {".jpg": {"quality": 95}, ".jpeg": {"quality": 95}, ".webp": {"lossless": True}}  # how they are saved


def chunk(name, body):
    return struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))


def exif_block(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    return exif


def noise(shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def u8(rows):
    return np.array(rows, np.uint8)


def u16(rows):
    return np.array(rows, np.uint16)
