"""A table of run lengths and the images it is about -> a mask of each image as a file."""

import os
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from seglib.ahead import map_on_cores
from seglib.errors import InputError
from seglib.images import image_size
from seglib.progress import track
from seglib.samples import list_images
from seglib.submission import NOTHING, decode_runs, match_ids, read_table

NAMES = ("rle", "encod", "segmentation", "annotation", "pixels", "mask")  # in the name of the column of run lengths
LOOKED_AT = 20  # masks that tell whether runs go down the columns
TORN = 2  # a mask read in the wrong direction has more than so many times the edges


class Decoded(NamedTuple):
    """What was written, and what deserves a look."""

    masks: int  # files
    empty: int  # of them without foreground
    others: int  # rows about images that are not in the folder
    torn: bool  # whether the masks have far fewer edges when runs are read in the other direction


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
) -> Decoded:
    """Write ``STEM.png`` (0, and 255 for foreground) of every image, at its size; all of them or none.

    Rows of one image are joined, as where every object has a row of its own.

    Args:
        table: the CSV file; its first column names the images, with or without the ending of the file.
        images: the folder they lie in.
        out: the folder of the masks, which must be new or empty.
        column: that of the run lengths; None: the second of two, or the one that is called so.
        where: values that other columns must have, such as one class of several.
        rest_empty: images without a row get an empty mask, and are no mistake.
        by_rows: runs go along the rows.
        zero_based: run starts are counted from 0.

    Raises:
        InputError: if a file or column is missing, no row is about an image of the folder, an image has no row, run
            lengths do not fit their image, or the folder of the masks holds something.
    """
    found = list_images(images).set_index("sample_id")["image_path"]
    texts, others = _read_texts(table, column, where or {}, found)
    absent = [name for name in found.index if name not in texts]
    if absent and not rest_empty:
        raise InputError(
            f"{table} has no row for {absent[0]} ({len(absent)} such in {images}); if these images show nothing, say "
            "--rest-empty, else take them out"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there and not empty; name a new folder for the masks")
    order = {"by_rows": by_rows, "zero_based": zero_based}

    def decode(name: str) -> np.ndarray:
        size = image_size(found[name])
        try:
            return decode_runs(texts.get(name, ""), size, **order)
        except ValueError as error:
            raise InputError(f"{table}, {name}: {error}; the image is {size[0]} x {size[1]} pixels") from None

    part, empty = out.with_name(f".{out.name}.{os.getpid()}.part"), 0
    try:
        part.mkdir(parents=True)
        masks = track(map_on_cores(decode, found.index), "decoding", total=len(found))
        for name, mask in zip(found.index, masks, strict=True):
            (part / f"{name}.png").write_bytes(cv2.imencode(".png", 255 * mask)[1].tobytes())
            empty += not mask.any()
        part.replace(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    some = [name for name in found.index if texts.get(name)][:LOOKED_AT]
    return Decoded(len(found), empty, others, _look_torn([decode(name) for name in some], by_rows=by_rows))


def _read_texts(
    path: Path, column: str | None, where: Mapping[str, str], images: pd.Series
) -> tuple[dict[str, str], int]:
    """The run lengths of each image of the folder that has a row, and how many rows are about others."""
    table = read_table(path)
    if table.empty:
        raise InputError(f"{path} has a head and no rows; name the file that has some")
    for name, value in where.items():
        _require(path, name, table)
        table = table[table[name].str.strip() == value]
        if table.empty:
            raise InputError(f"{path} has no row where {name} is {value}; check its spelling")
    column = _find_column(path, table.columns) if column is None else column
    _require(path, column, table)
    texts: dict[str, list[str]] = defaultdict(list)
    stems = match_ids(table.iloc[:, 0].str.strip(), images.index)
    others = 0
    for stem, text in zip(stems, table[column].str.strip(), strict=True):
        if stem in images.index:
            texts[stem].append("" if text.lower() in NOTHING else text)
        else:
            others += 1
    if not texts:
        raise InputError(
            f"no row of {path} is about an image of that folder; its first column says {table.iloc[0, 0]!r}, and the "
            f"first image is {images.index[0]}: make a table of which the first column names the images"
        )
    return {stem: " ".join(filter(None, rows)) for stem, rows in texts.items()}, others


def _require(path: Path, name: str, table: pd.DataFrame) -> None:
    if name not in table:
        raise InputError(f"{path} has no column {name}; it has {', '.join(table)}")


def _find_column(path: Path, columns: Sequence[str]) -> str:
    """The column of run lengths: the second of two, or the only other one that is called like one."""
    if len(columns) == 2:
        return columns[1]
    called = [name for name in columns[1:] if any(word in name.lower() for word in NAMES)]
    if len(called) != 1:
        raise InputError(f"which column of {path} holds the run lengths? say --column, one of {', '.join(columns[1:])}")
    return called[0]


def _look_torn(masks: Sequence[np.ndarray], *, by_rows: bool) -> bool:
    """Whether objects are in one piece only if runs are read in the other direction; of square images nobody can tell.

    Read wrongly, a mask of another height than width is sheared: its rows no longer lie below each other.
    """
    ours = theirs = 0
    for mask in masks:
        height, width = mask.shape
        if height != width:
            flat = mask.ravel(order="C" if by_rows else "F")
            ours += _count_edges(mask)
            theirs += _count_edges(flat.reshape(mask.shape, order="F" if by_rows else "C"))
    return ours > TORN * theirs


def _count_edges(mask: np.ndarray) -> int:
    return sum(int(np.count_nonzero(np.diff(mask, axis=axis))) for axis in (0, 1))
