"""A file of NumPy or NIfTI that holds one image -> its values as they are stored."""

import gzip
import io
import math
import os
import threading
from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import BinaryIO

import numpy as np

NIFTI_HEAD = 544  # bytes that hold the header of either version of NIfTI
LATEST = 1 << 26  # byte at which the pixels of a NIfTI file begin at most: a damaged number must not fill the memory
GZIP = b"\x1f\x8b"  # what packed files begin with, as NIfTI files mostly do
CHANNELS = (1, 3, 4)  # gray, RGB, RGB and alpha
COLOURS = ("R", "G", "B", "A")  # the parts of a coloured value in NIfTI
_PARSING = threading.Lock()  # NumPy parses headers as Python, which of two threads at once fails by chance before 3.12


def read_numpy_header(file: BinaryIO) -> tuple[tuple[int, int], str]:
    """What a file of NumPy says of its array; nothing is decoded.

    Args:
        file: open at its start.

    Returns:
        ((height, width), numpy type of what `decode_numpy` gives).

    Raises:
        ValueError: the array is no image of at most four channels, or not of real numbers; or the file is cut short.
    """
    shape, _, dtype = _read_numpy(file)
    sample = _choose_sample(dtype)
    if file.tell() + math.prod(shape) * dtype.itemsize > os.fstat(file.fileno()).st_size:
        raise ValueError("it is cut short")
    height, width, _ = _shape_picture(shape)
    return (height, width), sample


def decode_numpy(file: BinaryIO) -> np.ndarray:
    """Decode an array (H, W), (H, W, C) or (C, H, W) of 1, 3 or 4 channels as it is; nothing in it is run.

    Args:
        file: a file of NumPy.

    Returns:
        (H, W, C).
    """
    file.seek(0)
    shape, by_columns, dtype = _read_numpy(file)
    values = np.fromfile(file, dtype, math.prod(shape)).reshape(shape, order="F" if by_columns else "C")
    height, width, channels = _shape_picture(values.shape)
    if values.ndim == 3 and values.shape != (height, width, channels):
        values = np.moveaxis(values, 0, 2)
    return values.reshape(height, width, channels)


def _read_numpy(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """The header of a file of NumPy, up to the values: shape, whether columns come first, type of a value."""
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in read:
        raise ValueError("its numbers have names")
    with _PARSING:
        return read[version](file)


def _shape_picture(shape: Sequence[int]) -> tuple[int, int, int]:
    """Height, width and channels of an array; the channels come last, or first where they cannot be last."""
    if len(shape) == 2:
        return shape[0], shape[1], 1
    if len(shape) == 3 and shape[2] in CHANNELS:
        return shape[0], shape[1], shape[2]
    if len(shape) == 3 and shape[0] in CHANNELS:
        return shape[1], shape[2], shape[0]
    raise ValueError(f"an array of {' x '.join(map(str, shape)) or 'no sides'} is no image; save each image by itself")


def read_nifti_header(file: BinaryIO) -> tuple[tuple[int, int], str]:
    """What a NIfTI file says of its image; nothing is decoded.

    Args:
        file: open at its start; packed by gzip or not.

    Returns:
        ((height, width), numpy type of what `decode_nifti` gives).

    Raises:
        ValueError: it holds several slices, or values that are no real numbers; or its head is damaged.
    """
    header = _read_nifti(file, NIFTI_HEAD)[0]
    height, width = _shape_slice(header.get_data_shape())
    if _is_scaled(header):
        return (height, width), "f4"
    dtype = header.get_data_dtype()
    return (height, width), "u1" if dtype.names else _choose_sample(dtype)


def decode_nifti(file: BinaryIO) -> np.ndarray:
    """Decode the one slice of a NIfTI file in the order in which it is stored, whatever way the patient lay.

    Its first axis goes from left to right and its second one from top to bottom, as viewers of arrays show it; axes of
    length 1 are dropped. Images and masks of one set, which have the same axes, so stay one above the other. Values are
    scaled by the slope and intercept of the file, as Hounsfield units are.

    Args:
        file: a NIfTI file, packed by gzip or not.

    Returns:
        (H, W), or (H, W, 3 or 4) for one of colours.

    Raises:
        ValueError: as `read_nifti_header`, or the file is cut short.

    Source: NIfTI-1 and NIfTI-2, https://nifti.nimh.nih.gov; read by nibabel.
    """
    file.seek(0)
    header, _ = _read_nifti(file, NIFTI_HEAD)
    size = header.get_data_offset() + math.prod(header.get_data_shape()) * header.get_data_dtype().itemsize
    file.seek(0)
    header, data = _read_nifti(file, size)
    if len(data) < size:
        raise ValueError("it is cut short")
    values = header.data_from_fileobj(io.BytesIO(data))
    if values.dtype.names:
        values = np.stack([values[name] for name in COLOURS if name in values.dtype.names], axis=-1)
    height, width = _shape_slice(header.get_data_shape())
    return values.reshape(width, height, -1).swapaxes(0, 1)


def _read_nifti(file: BinaryIO, size: int) -> tuple:
    """The header of a NIfTI file, and its first bytes."""
    is_packed = file.read(len(GZIP)) == GZIP
    file.seek(0)
    data = (gzip.GzipFile(fileobj=file) if is_packed else file).read(size)
    nifti = _nifti()
    kinds = {b"n+1\0": nifti.Nifti1Header, b"n+2\0": nifti.Nifti2Header}
    kind = kinds.get(data[344:348]) or kinds.get(data[4:8])
    if kind is None:
        raise ValueError("it is a packed file without a NIfTI image")
    header = kind(data[: kind.template_dtype.itemsize], check=False)  # its extensions may be longer than what was read
    if not header.single_vox_offset <= header["vox_offset"] <= LATEST:
        raise ValueError("its head does not say where the pixels begin")
    return header, data


def _shape_slice(shape: Sequence[int]) -> tuple[int, int]:
    """Height and width of a NIfTI image of one slice."""
    sides = shape if len(shape) == 2 else [side for side in shape if side != 1]
    if len(sides) != 2:
        raise ValueError(f"a volume of {' x '.join(map(str, shape))} is no image; save each slice by itself")
    return sides[1], sides[0]


def _is_scaled(header) -> bool:
    slope, intercept = header.get_slope_inter()
    return (slope or 1) != 1 or (intercept or 0) != 0


def _choose_sample(dtype: np.dtype) -> str:
    """The numpy type that values of a file become: bytes for truth values, floats of 4 or 8 bytes for all floats."""
    if dtype.kind not in "buif":
        raise ValueError("its values are no real numbers")
    if dtype.kind == "f":
        return "f4" if dtype.itemsize <= 4 else "f8"
    return "u1" if dtype.kind == "b" else dtype.str[1:]


@cache
def _nifti() -> ModuleType:
    """Import nibabel when the first NIfTI file is met."""
    import nibabel

    return nibabel
