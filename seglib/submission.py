"""Masks <-> run lengths <-> CSV; validation before anybody uploads it."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from seglib import mounts
from seglib.errors import InputError
from seglib.paths import write_text
from seglib.tables import match_id, match_ids, read_table, shorten_id

DEFAULT_COLUMNS = ("id", "rle")


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


def decode_runs(text: str, shape: tuple[int, int], *, by_rows: bool = False, zero_based: bool = False) -> np.ndarray:
    """``decode_rle`` of other people's masks, whose runs may be in any order, touch and overlap.

    Args:
        text: as there.
        shape: as there.
        by_rows: as there.
        zero_based: as there.

    Raises:
        ValueError: as there, but for runs that touch, overlap or are not in order.

    Example:
        >>> decode_runs("5 1 3 2 3 1", (2, 3)).tolist()
        [[0, 1, 1], [0, 1, 0]]
    """
    starts, lengths = _split_runs(text, shape[0] * shape[1], zero_based=zero_based)
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


def write_submission(path: Path, rle_by_id: Mapping[str, str], *, template: Path | None = None) -> pd.DataFrame:
    """Write the submission, one row per test image; those that the template does not list come last.

    Which template is used is said.

    Args:
        path: the CSV file.
        rle_by_id: the run lengths of every test image, by its stem.
        template: the competition's ``sample_submission.csv``, whose columns and order are kept; without it the columns
            are ``id`` and ``rle``, sorted by id.

    Raises:
        InputError: if the template cannot be read or names an image that was not predicted.
    """
    columns, listed = check_template(template, rle_by_id) if template else (DEFAULT_COLUMNS, [])
    if template:
        print(f"in the order and with the columns of {template}")
    stems = match_ids(listed, rle_by_id)
    unlisted = sorted(set(rle_by_id) - set(stems))
    rows = [(name, rle_by_id[stem]) for name, stem in zip([*listed, *unlisted], [*stems, *unlisted], strict=True)]
    table = pd.DataFrame(rows, columns=list(columns))
    write_text(path, table.to_csv(index=False))
    return table


def hand_in(path: Path) -> Path | None:
    """On Kaggle, a copy of the submission where code competitions look for it: in the working directory.

    Returns:
        The copy; None elsewhere.
    """
    if not mounts.is_kaggle():
        return None
    place = Path.cwd() / "submission.csv"
    write_text(place, path.read_text(encoding="utf-8"))
    return place


def read_template(path: Path) -> tuple[Sequence[str], list[str]]:
    """Columns and ids of a ``sample_submission.csv``; its first column names the images, its second holds the runs.

    Raises:
        InputError: if it has not two columns.
    """
    table = read_table(path)
    if table.shape[1] > 2:
        raise InputError(
            f"{path} has {table.shape[1]} columns, and a mask fills one beside the id; leave id and run lengths in it, "
            "and submit one file for each class"
        )
    return list(table.columns), table.iloc[:, 0].tolist()


def check_template(path: Path, images: Collection[str]) -> tuple[Sequence[str], list[str]]:
    """Columns and ids of a template that asks for nothing but images that are there.

    Args:
        path: of ``sample_submission.csv``.
        images: the test images, by their stems.

    Raises:
        InputError: as ``read_template``; if it asks for another image, or for one twice.
    """
    columns, listed = read_template(path)
    if twice := [name for name, count in Counter(listed).items() if count > 1]:
        raise InputError(f"{path} lists {shorten_id(twice[0])!r} twice; keep one of the rows")
    for name, stem in zip(listed, match_ids(listed, images), strict=True):
        if stem not in images:
            raise InputError(
                f"{path} asks for {shorten_id(name)!r}, which is not among the test images; add it or mend the file"
            )
    _find_stems(path, listed, images)
    return columns, listed


def find_template(
    data_dir: Path, images: Collection[str] | None = None, *, say: Callable[[str], None] = lambda line: None
) -> Path | None:
    """The ``sample_submission.csv`` of a data set, in any case, where there is one.

    Archives are often unpacked with their images in a folder beside it: where the data folder has none, that of the
    folder around it is taken; on Kaggle that of any folder around it, up to the mount.

    Args:
        data_dir: the data set.
        images: the test images, by their stems; a template around the data that asks for none of them is of another
            data set, and passed over. None: whatever is found is taken.
        say: is given a line for each that is passed over.
    """
    folder = data_dir.absolute()
    if own := _find_template_in(folder):
        return own
    inside = [around for around in folder.parents if mounts.INPUTS in around.parents]
    around = inside if mounts.is_kaggle() and mounts.INPUTS in folder.parents else [folder.parent]
    for found in filter(None, map(_find_template_in, around)):
        if images is None or not _is_of_another_set(found, images):
            return found
        say(f"{found} asks for none of the test images, so it is passed over")
    return None


def _is_of_another_set(template: Path, images: Collection[str]) -> bool:
    try:
        ids = read_table(template).iloc[:, 0]
    except InputError:  # whoever needs it says what is wrong
        return False
    return len(ids) > 0 and not any(stem in images for stem in match_ids(ids, images))


def _find_template_in(folder: Path) -> Path | None:
    try:
        names = sorted(os.listdir(folder))
    except OSError:  # a folder around the data that this user may not look into
        return None
    return next((folder / name for name in names if name.lower() == "sample_submission.csv"), None)


def read_submission(path: Path) -> dict[str, str]:
    """The run lengths of a submission by image stem.

    Raises:
        InputError: if the file is missing, is no CSV of two columns, or names an image twice.
    """
    table = read_table(path)
    ids = [str(name) for name in table.iloc[:, 0]]
    if twice := [name for name, count in Counter(ids).items() if count > 1]:
        raise InputError(f"{path} has two rows for {shorten_id(min(twice))}; keep one")
    return dict(zip(ids, table.iloc[:, 1], strict=True))


def check_submission(path: Path, sizes: Mapping[str, tuple[int, int]], **order: bool) -> None:
    """Read a submission back as the competition would, and decode every row at the size of its file.

    Args:
        path: the CSV file.
        sizes: height and width of every test image by its stem.
        **order: ``by_rows`` and ``zero_based``, as it was encoded.

    Raises:
        InputError: naming the first row that is missing, unknown or cannot be decoded.
    """
    rles = read_submission(path)
    by_stem = _find_stems(path, rles, sizes)
    odd = sorted(set(by_stem) ^ set(sizes))
    if odd:
        raise InputError(f"{path} and the test images disagree about {shorten_id(odd[0])}; predict again")
    for stem, size in sizes.items():
        _decode_row(path, by_stem[stem], rles[by_stem[stem]], size, order)


def _decode_row(path: Path, name: str, text: str, size: tuple[int, int], order: dict[str, bool]) -> np.ndarray:
    try:
        return decode_rle(text, size, **order)
    except ValueError as error:
        raise InputError(f"{path}, row {shorten_id(name)}: {error}; the mask is {size[0]} x {size[1]} pixels") from None


def _find_stems(path: Path, ids: Iterable[str], known: Container[str]) -> dict[str, str]:
    """The rows by the stems of their images."""
    by_stem: dict[str, str] = {}
    for name in ids:
        if (first := by_stem.setdefault(match_id(name, known), name)) != name:
            raise InputError(f"{path} has two rows for one image, {shorten_id(first)} and {shorten_id(name)}; keep one")
    return by_stem
