"""Anybody's submission against the references -> scores, and whether it was read in the right direction."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from seglib.data.references import list_masks
from seglib.errors import InputError
from seglib.paths import find_part
from seglib.scores.masks import score_masks
from seglib.scores.metrics import dice_of_counts
from seglib.submission.run_lengths import decode_runs, seem_relative
from seglib.submission.tables import blank_nothing, choose_rows, match_ids, shorten_id
from seglib.trees.parts import TEST, TRAIN

LOOKED_AT = 10  # images that tell the direction, rows that tell whether run lengths are relative

ReadMask = Callable[[str], np.ndarray]


@dataclass(frozen=True)
class Submitted:
    """The rows of each image, and how their run lengths count.

    Attributes:
        path: of the CSV file.
        rows: run lengths by the stem of the image; several where every object has a row of its own.
        by_rows: runs go along the rows.
        zero_based: run starts are counted from 0.
        relative: run starts are counted from the end of the run before.
    """

    path: Path
    rows: Mapping[str, Sequence[str]]
    by_rows: bool = False
    zero_based: bool = False
    relative: bool = False

    def decode(self, stem: str, size: tuple[int, int], *, across: bool = False) -> np.ndarray:
        """The mask of an image, uint8 in {0, 1}; ``across``: read in the other direction.

        Raises:
            InputError: if its run lengths are none of this size.
        """
        order = {"by_rows": self.by_rows != across, "zero_based": self.zero_based, "relative": self.relative}
        try:
            return decode_runs(self.rows[stem], size, **order)
        except ValueError as error:
            raise InputError(
                f"{self.path}, row {shorten_id(stem)}: {error}; the mask is {size[0]} x {size[1]} pixels"
            ) from None


def list_truth(folder: Path) -> dict[str, str]:
    """The reference masks of a folder by image stem, at least one, as `references.list_masks`.

    Raises:
        InputError: if there is no such folder or it holds no masks; where those of the training images are there, it
            names them.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; name the folder that holds the reference masks")
    train, test = (find_part(folder, *words) for words in (TRAIN, TEST))
    masks = train and find_part(train, "mask")
    try:
        truth = list_masks(folder)
    except InputError:
        if masks and not (test and find_part(test, "mask")):
            place = test or folder
            raise InputError(
                f"{place} holds no masks; add them, or name those of the training images: {masks}"
            ) from None
        raise
    if not truth:
        raise InputError(f"{folder} holds no masks; name the folder that does")
    return truth


def read_submitted(
    path: Path,
    truth: Mapping[str, str],
    *,
    column: str | None = None,
    where: Mapping[str, str] | None = None,
    **order: bool,
) -> Submitted:
    """Read a submission whose images are those of the references, in one row or several each.

    Args:
        path: the CSV file; its first column names the images, with or without ending.
        truth: reference masks by image stem.
        column: that of the run lengths; None: the second of two, or the one that is called so.
        where: values that other columns must have.
        **order: ``by_rows``, ``zero_based`` and ``relative``, as it was encoded.

    Raises:
        InputError: if the file cannot be read, or it and the references do not name the same images.
    """
    table, column = choose_rows(path, column, where or {})
    rows: dict[str, list[str]] = defaultdict(list)
    for stem, text in zip(match_ids(table.iloc[:, 0].str.strip(), truth), table[column], strict=True):
        rows[stem].append(blank_nothing(text))
    if rows.keys().isdisjoint(truth):
        raise InputError(
            f"no row of {path} is about an image of the truth; its first column says {shorten_id(table.iloc[0, 0])!r}, "
            f"and the first image is {min(truth)}: make a table of which the first column names the images"
        )
    absent, unknown = sorted(truth.keys() - rows), sorted(rows.keys() - truth)
    odd = [f"no row for {shorten_id(absent[0])} ({len(absent)} such)"] if absent else []
    odd += [f"a row for {shorten_id(unknown[0])} without reference ({len(unknown)} such)"] if unknown else []
    if odd:
        raise InputError(f"{path} has {' and '.join(odd)}; submission and truth must name the same images")
    return Submitted(path, rows, **order)


def score_submission(submitted: Submitted, truth: Mapping[str, str], read_mask: ReadMask) -> pd.DataFrame:
    """Every image's Dice and IoU for anybody's submission.

    Args:
        submitted: what was submitted.
        truth: reference masks by image stem, at least one.
        read_mask: what ``truth`` has -> uint8 (H, W) in {0, 1}.

    Returns:
        The table of ``masks.score_masks``.

    Raises:
        InputError: if a row cannot be decoded, or run lengths seem relative and are not said to be.
    """
    _refuse_relative(submitted, truth, read_mask)
    pairs = _pair(submitted, sorted(truth), truth, read_mask)
    # one pair at a time, so that memory holds one image however many there are
    return pd.concat([score_masks([stem], [pred], [mask]) for stem, pred, mask in pairs], ignore_index=True)


def compare_directions(submitted: Submitted, truth: Mapping[str, str], read_mask: ReadMask) -> tuple[float, float]:
    """The mean Dice of a few images that are not empty, as their runs were read and in the other direction.

    Args:
        submitted: as for `score_submission`.
        truth: as there.
        read_mask: as there.

    Returns:
        Both from 0 to 1; both 0 where nothing but empty masks was submitted.
    """
    stems = [stem for stem in sorted(truth) if any(submitted.rows[stem])][:LOOKED_AT]
    ours = [_dice(pred, mask) for _, pred, mask in _pair(submitted, stems, truth, read_mask)]
    theirs = [_dice(pred, mask) for _, pred, mask in _pair(submitted, stems, truth, read_mask, across=True)]
    return (float(np.mean(ours)), float(np.mean(theirs))) if stems else (0.0, 0.0)


def _pair(
    submitted: Submitted, stems: Iterable[str], truth: Mapping[str, str], read_mask: ReadMask, *, across: bool = False
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    for stem in stems:
        mask = read_mask(truth[stem])
        yield stem, submitted.decode(stem, mask.shape, across=across), mask


def _dice(pred: np.ndarray, mask: np.ndarray) -> float:
    return dice_of_counts(*map(np.count_nonzero, (pred & mask, pred, mask)))


def _refuse_relative(submitted: Submitted, truth: Mapping[str, str], read_mask: ReadMask) -> None:
    several = [(stem, row) for stem, rows in submitted.rows.items() for row in rows if row.count(" ") > 1]
    if not submitted.relative and seem_relative(
        (row, read_mask(truth[stem]).size) for stem, row in several[:LOOKED_AT]
    ):
        raise InputError(
            f"{submitted.path}: the starts of most rows go down, as in relative run lengths; say --relative"
        )
