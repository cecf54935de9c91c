"""A table of run lengths and the images it is about -> a mask of each image as a file."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from seglib.data.unseen import list_images
from seglib.errors import InputError
from seglib.images.reading import image_size
from seglib.images.suffixes import split_suffix
from seglib.machine.ahead import map_on_cores
from seglib.machine.progress import track
from seglib.submission.run_lengths import decode_runs, seem_relative
from seglib.submission.tables import blank_nothing, choose_rows, match_ids, shorten_id
from seglib.trees.files import find_kind, list_files
from seglib.writing import write_whole

LOOKED_AT = 20  # masks that tell whether runs go down the columns, and rows that tell whether they are relative
TORN = 2  # a mask read in the wrong direction has more than so many times the edges
MOST_CLASSES = 50  # a column of more values numbers or measures something


class Joined(NamedTuple):
    """A column by whose values the rows of one image differ, as where every class has a row of its own."""

    column: str
    values: list[str]


class Decoded(NamedTuple):
    """What was written, and what deserves a look."""

    masks: int  # files
    empty: int  # of them without foreground
    others: int  # rows about images that are not in the folder
    torn: bool  # whether the masks have far fewer edges when runs are read in the other direction
    untold: bool = False  # whether all that show something are square, so that nothing tells the direction
    joined: Joined | None = None  # what seem to be classes that were made one


def decode_masks(
    table: Path,
    images: Path,
    out: Path,
    *,
    column: str | None = None,
    where: Mapping[str, str] | None = None,
    rest_empty: bool = False,
    by_rows: bool = False,
    zero_based: bool = False,
    relative: bool = False,
) -> Decoded:
    """Write ``STEM.png`` (0, and 255 for foreground) of every image, at its size; all of them or none.

    Rows of one image are joined, as where every object has a row of its own.

    Args:
        table: the CSV file; its first column names the images, with or without the ending of the file, and perhaps
            with a class behind it, ``a.jpg_3``, which then counts as a column (`tables.split_classes`).
        images: the folder they lie in, or folders of patients with them.
        out: the folder of the masks, which must be new or empty.
        column: that of the run lengths; None: the second of two, or the one that is called so.
        where: values that other columns must have, such as one class of several.
        rest_empty: images without a row get an empty mask, and are no mistake.
        by_rows: runs go along the rows.
        zero_based: run starts are counted from 0.
        relative: run starts are counted from the end of the run before, the first from 0.

    Raises:
        InputError: if a file or column is missing, no row is about an image of the folder, an image has no row, run
            lengths do not fit their image or seem relative and are not said to be, or the folder of the masks holds
            something, is the working directory, or lies among the images and is not called ``Mask``.
    """
    _refuse_inside(out, images)
    found = _find_images(images)
    texts, others, joined = _read_texts(table, column, where or {}, found)
    absent = [name for name in found.index if name not in texts]
    if absent and not rest_empty:
        raise InputError(
            f"{table} has no row for {absent[0]} ({len(absent)} such in {images}); if these images show nothing, say "
            "--rest-empty, else take them out"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there and not empty; name a new folder for the masks")
    if not relative and seem_relative(_choose_rows(texts, found)):
        raise InputError(f"{table}: the starts of most rows go down, as in relative run lengths; say --relative")

    def decode(name: str) -> np.ndarray:
        size, order = image_size(found[name]), {"by_rows": by_rows, "zero_based": zero_based, "relative": relative}
        try:
            return decode_runs(texts.get(name, []), size, **order)
        except ValueError as error:
            raise InputError(f"{table}, {name}: {error}; the image is {size[0]} x {size[1]} pixels") from None

    masks = track(map_on_cores(decode, found.index, ahead=1), "decoding", total=len(found))
    square = _write_masks(zip(found.index, masks, strict=True), out)
    telling = [name for name, is_square in square.items() if not is_square][:LOOKED_AT]
    torn = _look_torn(map(decode, telling), by_rows=by_rows)
    return Decoded(len(found), len(found) - len(square), others, torn, bool(square) and not telling, joined)


def _refuse_inside(out: Path, images: Path) -> None:
    """Masks in a folder inside that of their images would be read as images, unless it is called as one of masks."""
    if out.resolve() == Path.cwd():  # it is put in place of the one that is there, and a shell would stay in that
        raise InputError(f"{out} is the working directory; name a new folder for the masks")
    if not out.resolve().is_relative_to(images.resolve()):
        return
    if find_kind(f"{out.resolve().relative_to(images.resolve())}{os.sep}") != "mask":
        cure = "name a folder beside it, or one called Mask"
        raise InputError(f"{out} lies in {images}, where masks would be taken for images; {cure}")


def _write_masks(masks: Iterable[tuple[str, np.ndarray]], out: Path) -> dict[str, bool]:
    """Write all of them or none; whether it is square, of each image whose mask is not empty."""
    square: dict[str, bool] = {}
    with write_whole(out.resolve()) as part:  # a folder cannot be moved onto a link to one
        part.mkdir(parents=True)
        for name, mask in masks:
            (part / f"{name}.png").write_bytes(cv2.imencode(".png", 255 * mask)[1].tobytes())
            if mask.any():
                square[name] = mask.shape[0] == mask.shape[1]
    return square


def _find_images(folder: Path) -> pd.Series:
    """The paths of the images directly in a folder, by their stems; where there are none, of those in its folders."""
    files = list_files(folder) if folder.is_dir() else None
    if files is None or any(os.sep not in name for name in files.names.values()) or not files.names:
        return list_images(folder).set_index("sample_id")["image_path"]
    if files.problems:
        raise InputError(files.problems[0].sentence)
    return pd.Series({stem: os.path.join(folder, name) for stem, name in sorted(files.names.items())})


def _read_texts(
    path: Path, column: str | None, where: Mapping[str, str], images: pd.Series
) -> tuple[dict[str, list[str]], int, Joined | None]:
    """The rows of each image of the folder that has some, how many are about others, and what classes they join."""
    table, column = choose_rows(path, column, where)
    called = _call_images(images)
    stems = [called.get(name, name) for name in match_ids(table.iloc[:, 0].str.strip(), called)]
    ours = np.array([stem in images.index for stem in stems], dtype=bool)
    if not ours.any():
        raise InputError(
            f"no row of {path} is about an image of that folder; its first column says "
            f"{shorten_id(table.iloc[0, 0])!r}, and the first image is {images.index[0]}: make a table of which the "
            "first column names the images"
        )
    table = table[ours].assign(**{table.columns[0]: np.array(stems, dtype=object)[ours]})
    texts: dict[str, list[str]] = defaultdict(list)
    for stem, text in zip(table.iloc[:, 0], table[column], strict=True):
        texts[stem].append(blank_nothing(text))
    return texts, int(len(ours) - ours.sum()), _find_joined(table, column)


def _call_images(images: pd.Series) -> dict[str, str]:
    """The stem of each image by all that a table may call it.

    In folders of patients, these are the name of its file, and that of a folder with the beginning of it, as
    ``case1_day2_slice_0001`` for ``case1/case1_day2/scans/slice_0001_266_266.png``; each where it means one image only.
    """
    names: dict[str, set[str]] = {stem: _guess_names(path, stem) for stem, path in images.items()}
    count = Counter(name for guesses in names.values() for name in guesses)
    called = {name: stem for stem, guesses in names.items() for name in guesses if count[name] == 1}
    return called | {stem: stem for stem in images.index}


def _guess_names(path: str, stem: str) -> set[str]:
    plain = split_suffix(os.path.basename(path))[0]
    if plain == stem:  # it lies directly in the folder
        return set()
    words = plain.split("_")
    begins = ["_".join(words[:count]) for count in range(1, len(words) + 1)]
    return {plain, *(f"{folder}_{begin}" for folder in Path(path).parts[:-1] for begin in begins)}


def _choose_rows(texts: Mapping[str, Sequence[str]], images: pd.Series) -> Iterator[tuple[str, int]]:
    """A few rows of several runs, each with the pixels of its image."""
    several = [(name, row) for name, rows in texts.items() for row in rows if row.count(" ") > 1]
    for name, row in several[:LOOKED_AT]:
        height, width = image_size(images[name])
        yield row, height * width


def _find_joined(table: pd.DataFrame, column: str) -> Joined | None:
    """What seem to be classes: few values that differ among the rows of one image."""
    for name in table.columns[1:]:
        values = table[name].str.strip()
        few = name != column and values.nunique() <= MOST_CLASSES and 2 * values.nunique() < len(table)
        if few and (values.groupby(table.iloc[:, 0]).nunique() > 1).any():
            return Joined(name, sorted(values.unique()))
    return None


def _look_torn(masks: Iterable[np.ndarray], *, by_rows: bool) -> bool:
    """Whether objects are in one piece only if runs are read in the other direction; of square images nobody can tell.

    Read wrongly, a mask of another height than width is sheared: its rows no longer lie below each other.
    """
    ours = theirs = 0
    for mask in masks:
        flat = mask.ravel(order="C" if by_rows else "F")
        ours += _count_edges(mask)
        theirs += _count_edges(flat.reshape(mask.shape, order="F" if by_rows else "C"))
    return ours > TORN * theirs


def _count_edges(mask: np.ndarray) -> int:
    return sum(int(np.count_nonzero(np.diff(mask, axis=axis))) for axis in (0, 1))
