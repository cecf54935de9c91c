"""Arrays too large for memory, in files that vanish with them."""

import os
import tempfile
from dataclasses import dataclass

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
        _reserve(file.fileno(), size)
        return np.memmap(file, dtype=dtype, mode="w+", shape=shape)


def _reserve(file: int, size: int) -> None:
    """Where the disk is full, a sentence now and not the end of the process when the array is written."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        place, room = tempfile.gettempdir(), f"{size / 1e9:.1f} GB"
        raise InputError(
            f"{place} has no room for a temporary file of {room} ({error.strerror}); free some, or set TMPDIR to a "
            "folder on another disk"
        ) from error
