"""Run lengths -> the file that is handed in, as a template asks for it; validation before anybody uploads it."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from seglib.errors import InputError
from seglib.machine import mounts
from seglib.submission.run_lengths import decode_rle
from seglib.submission.tables import match_id, match_ids, read_table, shorten_id
from seglib.writing import write_text

DEFAULT_COLUMNS = ("id", "rle")


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


def _decode_row(path: Path, name: str, text: str, size: tuple[int, int], order: dict[str, bool]) -> None:
    try:
        decode_rle(text, size, **order)
    except ValueError as error:
        raise InputError(f"{path}, row {shorten_id(name)}: {error}; the mask is {size[0]} x {size[1]} pixels") from None


def _find_stems(path: Path, ids: Iterable[str], known: Container[str]) -> dict[str, str]:
    """The rows by the stems of their images."""
    by_stem: dict[str, str] = {}
    for name in ids:
        if (first := by_stem.setdefault(match_id(name, known), name)) != name:
            raise InputError(f"{path} has two rows for one image, {shorten_id(first)} and {shorten_id(name)}; keep one")
    return by_stem
