"""Arrays too large for memory, in files whose room is taken first: such as vanish with them, and such as stay."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seglib.errors import InputError


@dataclass(frozen=True, slots=True)
class Row:
    """One row of an array, read when it is used: a cell of a table that costs next to nothing.

    ``np.asarray(row)`` and ``np.stack(rows)`` give what is there then.
    """

    array: np.ndarray
    number: int

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        """A copy of the row."""
        return np.array(self.array[self.number], dtype=dtype)


def open_scratch(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """An array of zeros in a temporary file: the system keeps in memory what is in use and room is left for.

    The file has no name, so nothing is left behind, whatever happens. It lies where `tempfile` puts it; ``TMPDIR``
    names another disk.

    Args:
        shape: of the array; the first number may be 0.
        dtype: of the array.

    Returns:
        The array, memory-mapped.

    Raises:
        InputError: if there is no room for it.

    Example:
        >>> table = open_scratch((2, 3), np.float32)
        >>> table[1] = 7
        >>> np.asarray(Row(table, 1)).tolist()
        [7.0, 7.0, 7.0]
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if not size:
        return np.zeros(shape, dtype)
    with tempfile.TemporaryFile() as file:
        _reserve(file.fileno(), size, tempfile.gettempdir(), "set TMPDIR to a folder on another disk")
        return np.memmap(file, dtype=dtype, mode="w+", shape=shape)


def create_array(path: Path, shape: tuple[int, ...], dtype: type, *, cure: str) -> np.memmap:
    """A .npy file to be filled, whose room on the disk is taken at once.

    Args:
        path: of the file; replaced if it is there.
        shape: of the array.
        dtype: of the array.
        cure: what helps where the disk is full, besides freeing some of it.

    Returns:
        The array, memory-mapped.

    Raises:
        InputError: if there is no room for it.
    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    try:
        with open(path, "r+b") as file:
            _reserve(file.fileno(), path.stat().st_size, str(path.parent), cure)
    except InputError:
        path.unlink()  # it may have taken all the room there is
        raise
    return array


def _reserve(file: int, size: int, place: str, cure: str) -> None:
    """Take the room on the disk: a full disk is an error now, and does not kill the process at a later write."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        raise InputError(
            f"{place} has no room for a file of {size / 1e6:.1f} MB ({error.strerror}); free some, or {cure}"
        ) from error
