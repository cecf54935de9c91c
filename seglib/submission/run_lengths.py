"""Masks <-> run lengths."""

from collections.abc import Iterable

import numpy as np


def encode_rle(mask: np.ndarray, *, by_rows: bool = False, zero_based: bool = False) -> str:
    """Run lengths as Kaggle counts them: "start length start length ...", down the columns, the first pixel is 1.

    An empty mask is the empty text.

    Args:
        mask: (H, W); every value but 0 is foreground.
        by_rows: go along the rows instead.
        zero_based: the first pixel is 0 instead.

    Source:
        Kaggle's evaluation pages, such as that of the 2018 Data Science Bowl.

    Example:
        >>> encode_rle(np.array([[0, 1, 1], [0, 1, 0]]))  # columns: 00 11 10
        '3 3'
    """
    pixels = np.asarray(mask).ravel(order="C" if by_rows else "F") != 0
    padded = np.concatenate([[False], pixels, [False]])
    edges = np.flatnonzero(padded[1:] != padded[:-1])  # starts and ends in turn, counted from 0
    starts, lengths = edges[::2] + (not zero_based), edges[1::2] - edges[::2]
    return " ".join(map(str, np.column_stack([starts, lengths]).ravel().tolist()))


def decode_rle(text: str, shape: tuple[int, int], *, by_rows: bool = False, zero_based: bool = False) -> np.ndarray:
    """The mask of a text of run lengths: the inverse of ``encode_rle``.

    Args:
        text: "start length start length ..."; empty for an empty mask.
        shape: height and width.
        by_rows: runs go along the rows.
        zero_based: the first pixel is 0.

    Returns:
        uint8 (H, W) in {0, 1}.

    Raises:
        ValueError: if the text is no list of pairs of whole numbers, a run leaves the image, or runs touch or overlap.

    Example:
        >>> decode_rle("3 3", (2, 3)).tolist()
        [[0, 1, 1], [0, 1, 0]]
    """
    starts, lengths = _split_runs(text, shape[0] * shape[1], zero_based=zero_based)
    if (starts[1:] <= (starts + lengths)[:-1]).any():
        raise ValueError("runs touch, overlap or are not in order")
    change = np.zeros(shape[0] * shape[1] + 1, dtype=np.int8)
    change[starts], change[starts + lengths] = 1, -1
    flat = np.cumsum(change[:-1], dtype=np.int8).astype(np.uint8)
    return flat.reshape(shape, order="C" if by_rows else "F")


def decode_runs(
    rows: Iterable[str],
    shape: tuple[int, int],
    *,
    by_rows: bool = False,
    zero_based: bool = False,
    relative: bool = False,
) -> np.ndarray:
    """The mask of other people's run lengths: one text for each object, whose runs may touch, overlap and be unordered.

    Args:
        rows: texts of run lengths of one image; their objects are joined.
        shape: height and width.
        by_rows: runs go along the rows.
        zero_based: the first pixel is 0.
        relative: each start counts from the end of the run before (`make_absolute`).

    Returns:
        uint8 (H, W) in {0, 1}.

    Raises:
        ValueError: if a text is no list of pairs of whole numbers, or a run leaves the image.

    Example:
        >>> decode_runs(["5 1", "3 2 3 1"], (2, 3)).tolist()
        [[0, 1, 1], [0, 1, 0]]
    """
    absolute = [make_absolute(row, zero_based=zero_based) for row in rows] if relative else rows
    starts, lengths = _split_runs(" ".join(absolute), shape[0] * shape[1], zero_based=zero_based)
    change = np.zeros(shape[0] * shape[1] + 1, dtype=np.int32)
    np.add.at(change, starts, 1)
    np.add.at(change, starts + lengths, -1)
    flat = (np.cumsum(change[:-1]) > 0).astype(np.uint8)
    return flat.reshape(shape, order="C" if by_rows else "F")


def make_absolute(text: str, *, zero_based: bool = False) -> str:
    """Run lengths as `decode_runs` takes them, of relative ones: each start counts from the end of the run before.

    Args:
        text: what is no list of pairs of whole numbers stays as it is.
        zero_based: as what comes out is read; relative starts always count the pixels in between.

    Example:
        >>> make_absolute("2 3 1 1")
        '3 3 7 1'
    """
    numbers = _parse(text)
    if numbers is None or numbers.size % 2:
        return text
    pairs = numbers.reshape(-1, 2).copy()
    pairs[:, 0] = np.cumsum(numbers)[::2] + (not zero_based)
    return " ".join(map(str, pairs.ravel().tolist()))


def seem_relative(rows: Iterable[tuple[str, int]]) -> bool:
    """Whether run lengths are most likely relative: in most rows with several, starts go down and the sum fits.

    Args:
        rows: texts of run lengths, each with the number of pixels of its image.
    """
    several = relative = 0
    for text, pixels in rows:
        numbers = _parse(text)
        if numbers is not None and numbers.size > 2:
            several += 1
            relative += bool((np.diff(numbers[::2]) <= 0).any() and numbers.sum() <= pixels)
    return 2 * relative > several


def count_foreground(text: str) -> int:
    """Pixels that a text of run lengths covers.

    Example:
        >>> count_foreground("3 3 9 2")
        5
    """
    return int(np.array(text.split()[1::2], dtype=np.int64).sum())


def _split_runs(text: str, pixels: int, *, zero_based: bool) -> tuple[np.ndarray, np.ndarray]:
    """Starts, from 0, and lengths; all within the image."""
    numbers = _parse(text)
    if numbers is None:
        raise ValueError(f"run lengths must be whole numbers, not {text[:40]!r}")
    if numbers.size % 2:
        raise ValueError(f"run lengths come in pairs, but there are {numbers.size} numbers")
    starts, lengths = numbers[::2] - (not zero_based), numbers[1::2]
    if (lengths < 1).any():
        raise ValueError("a run is shorter than 1")
    if starts.size and (starts.min() < 0 or (lengths > pixels - starts).any()):
        raise ValueError(f"a run leaves the image of {pixels} pixels")
    return starts, lengths


def _parse(text: str) -> np.ndarray | None:
    """The whole numbers of a text; None where it holds something else."""
    try:
        return np.array(text.split(), dtype=np.int64)
    except (ValueError, OverflowError):
        return None
