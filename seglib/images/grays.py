"""The grays of a mask -> whether they are labels, or what smoothing left at the edges of one foreground."""

import numpy as np

LABELS, EDGES = "labels", "edges"
LABELLED = 0.2  # share of a mask's foreground from which on grays may be labels
FEW = 8  # values between the ends that may be labels; pixels of more than 3 x 3 parts leave more at edges


def find_half(plane: np.ndarray) -> int:
    """The last value of the lower half of the scale: 127 for 8 bits and floats, 32767 for 16 bits."""
    return 127 if plane.dtype.kind == "f" else np.iinfo(plane.dtype).max // 2


def find_meaning(plane: np.ndarray, usual: str | None = None) -> str:
    """What the grays of a mask are: by itself, or as is usual in its set where it leaves that open.

    Edges need a value of the upper half of the scale, else all would be background. Then grays that fill areas, most of
    them in squares of 2 x 2 equal pixels, and are `LABELLED` of the foreground are labels, others edges.

    Args:
        plane: unsigned or float (H, W), with several values besides 0.
        usual: `LABELS` or `EDGES`; None: not known.

    Returns:
        `LABELS` or `EDGES`.
    """
    if plane.max() <= find_half(plane):
        return LABELS
    meaning = LABELS if _has_gray_areas(plane) else EDGES
    return meaning if usual is None or usual == meaning or is_sure(plane, meaning) else usual


def is_sure(plane: np.ndarray, meaning: str) -> bool:
    """Whether the grays of a mask are clearly what `find_meaning` says of it.

    That is so if, where repeated pixels count once, labels fill areas, and edges fill none and have more values than
    `FEW`. It is not where labels are a small part of the foreground, or thin, and of small smoothed objects that were
    enlarged by repeating pixels.
    """
    plane = _undo_repeats(plane)
    between = _find_between(plane)
    if meaning == LABELS:
        return _fill_areas(plane, between)
    return not _fill_areas(plane, between) and len(np.unique(plane[between])) > FEW


def _has_gray_areas(plane: np.ndarray) -> bool:
    """Whether values between 0 and the maximum fill areas, as labels do, and are not what smoothing leaves at edges.

    Smoothed edges have few squares of equal pixels (5 % at a blur of 5 pixels, 28 % at 40), but all where they were
    enlarged by repeating pixels; they are a small part of the foreground.
    """
    between = _find_between(plane)
    return np.count_nonzero(between) >= LABELLED * np.count_nonzero(plane) and _fill_areas(plane, between)


def _find_between(plane: np.ndarray) -> np.ndarray:
    """Where a value is neither end; not those near them, as JPEG leaves such where it once was."""
    high = plane.max()
    return (plane > high / 8) & (plane < high - high / 8)


def _fill_areas(plane: np.ndarray, chosen: np.ndarray) -> bool:
    """Whether most of the chosen pixels lie in squares of 2 x 2 equal ones."""
    corner = plane[:-1, :-1]
    flat = (corner == plane[1:, :-1]) & (corner == plane[:-1, 1:]) & (corner == plane[1:, 1:])
    return np.count_nonzero(flat & chosen[:-1, :-1]) > np.count_nonzero(chosen) / 2


def _undo_repeats(plane: np.ndarray) -> np.ndarray:
    """What a plane was before each pixel was repeated, as often in all rows and in all columns."""
    down = _count_repeats((plane[1:] != plane[:-1]).any(axis=1))
    right = _count_repeats((plane[:, 1:] != plane[:, :-1]).any(axis=0))
    return plane[::down, ::right]


def _count_repeats(changes: np.ndarray) -> int:
    """The largest number that divides the length and each place where something changes."""
    return int(np.gcd.reduce([len(changes) + 1, *(np.flatnonzero(changes) + 1)]))
