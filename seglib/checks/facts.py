"""Files -> facts about each, decoded once; what cannot be used is said before anything is computed from it."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from seglib.checks.cases import Cases, find_cases
from seglib.checks.duplicates import SIDE, group_near_duplicates, make_thumbnail
from seglib.checks.known import Images, Known, find_known
from seglib.checks.labels import describe_labels
from seglib.errors import InputError, Problem
from seglib.images.mask_files import first_file, split_files
from seglib.images.masks import read_mask_levels
from seglib.images.reading import Scale, read_image
from seglib.images.scales import Values, choose_scale, measure_values
from seglib.images.traits import describe_colours, describe_image, describe_mask, is_gray
from seglib.machine.ahead import map_on_cores
from seglib.machine.progress import track
from seglib.machine.scratch import Row, open_scratch

MASK_SIDE = 32  # pixels of the small mask that shows where foreground lies
KEPT_APART = {"thumbnail": SIDE, "small_mask": MASK_SIDE}  # squares, by their sides: too many for memory
CHUNK = 1024  # rows at a time that are dictionaries, each of kilobytes
WORKING = ("thumbnail", "small_mask", "digest", "background_top", "image_trouble", "mask_trouble")
WORKING += ("levels", "between", "label_below", "marks")


def find_scale(samples: pd.DataFrame) -> Scale:
    """The scale of `scales.probe_images`; but files that cannot be read are passed over.

    Args:
        samples: table with ``image_path`` and ``mask_path``, of the training images: a run takes its scale from them.

    Raises:
        InputError: floats of at most 1 are mixed with whole numbers.
    """
    paths = samples["image_path"].tolist()
    found = [values for values in find_values(paths, samples["mask_path"]) if values is not None]
    return choose_scale(found, Path(paths[0]).parent if paths else Path())


def find_values(paths: Sequence[str], mask_paths: Iterable[str] | None = None) -> Iterator[Values | None]:
    """What `scales.measure_values` says of each file; None also where it cannot be read.

    Args:
        paths: image files.
        mask_paths: their masks, as for `scales.measure_values`; None: there are none.
    """
    masks = [None] * len(paths) if mask_paths is None else mask_paths
    return map_on_cores(_find_values, zip(paths, masks, strict=True))


def _find_values(pair: tuple[str, str | None]) -> Values | None:
    try:
        return measure_values(*pair)
    except InputError:  # said by whoever looks at the file itself
        return None


def inspect_samples(samples: pd.DataFrame, *, scale: Scale) -> pd.DataFrame:
    """Decode every image and its mask once: what they look like, or why they cannot be used.

    Args:
        samples: table with ``sample_id``, ``image_path`` and ``mask_path``.
        scale: of all images: see `find_scale`.

    Returns:
        The table with the columns of `measure_samples`, except ``group`` and ``case``, and besides ``thumbnail`` (of
        `duplicates`), ``digest`` (equal only for images of equal pixels), ``small_mask`` (float32, `MASK_SIDE` x
        `MASK_SIDE`, mean of the mask over areas), what `labels.describe_labels` says, ``background_top`` (the largest
        value that was read as background), ``image_trouble`` and ``mask_trouble`` (a `Problem`, or None). What could
        not be read is missing. Thumbnails and small masks are each a `scratch.Row`, as memory may be too small for all.
    """
    return _collect(partial(_inspect_sample, scale=scale), samples, "checking samples")


def inspect_images(images: pd.DataFrame, *, scale: Scale) -> pd.DataFrame:
    """Decode every image once; the columns of `inspect_samples` that are about images.

    Args:
        images: table with ``sample_id`` and ``image_path``.
        scale: that of the training images, so that both are seen alike.
    """
    return _collect(partial(_inspect_image, scale=scale), images, "checking test images")


def check_samples(samples: pd.DataFrame, *, scale: Scale) -> pd.DataFrame:
    """Decode every image and mask once; what cannot be used stops here, with the file and the cure.

    Args:
        samples: table with ``sample_id``, ``image_path`` and ``mask_path``.
        scale: as for `inspect_samples`.

    Returns:
        The table of `inspect_samples`.

    Raises:
        InputError: if a file cannot be read, an image and its mask differ in size, or every mask is empty.
    """
    table = inspect_samples(samples, scale=scale)
    _refuse_troubles([*table["image_trouble"], *table["mask_trouble"]])
    refuse_uniform(table)
    return table


def measure_samples(samples: pd.DataFrame, *, scale: Scale) -> pd.DataFrame:
    """What samples look like that can all be used, and which of them show the same thing.

    Images are compared each with each, which takes long where there are very many.

    Args:
        samples: table with ``sample_id``, ``image_path`` and ``mask_path``.
        scale: as for `inspect_samples`.

    Returns:
        The table with more columns: ``height`` and ``width`` (pixels of the file), ``gray``, what `traits` says of the
        image, its mask and its colours, ``group`` (a number from 0 that near-duplicates share: see `duplicates`) and
        ``case`` (a text that images of one patient or film share, as far as names and looks tell: see `cases`).

    Raises:
        InputError: as `check_samples`.
    """
    table = check_samples(samples, scale=scale)
    return drop_working(table, find_sample_cases(table))


def measure_test_images(images: pd.DataFrame, *, scale: Scale) -> pd.DataFrame:
    """Decode every test image once.

    Args:
        images: table with ``sample_id`` and ``image_path``.
        scale: as for `inspect_images`.

    Returns:
        The table with more columns: ``height`` and ``width`` (pixels of the file), ``gray`` and what `traits` says of
        the image.

    Raises:
        InputError: if a file cannot be read.
    """
    table = inspect_images(images, scale=scale)
    _refuse_troubles(table["image_trouble"])
    return drop_working(table)


def find_sample_cases(table: pd.DataFrame) -> Cases | None:
    """The cases among those samples of a table of `inspect_samples` that can be used."""
    usable = _keep_usable(table)
    return find_cases(usable["sample_id"], usable["thumbnail"].tolist()) if len(usable) else None


def find_known_cases(train: pd.DataFrame, test: pd.DataFrame, cases: Cases | None) -> Known | None:
    """The cases of `find_sample_cases` of which test images are, too.

    Args:
        train: table of `inspect_samples`.
        test: table of `inspect_images`.
        cases: of ``train``.
    """
    parts = [_keep_usable(table) for table in (train, test)]
    if cases is None or parts[1].empty:
        return None
    columns = ("sample_id", "thumbnail", "image_path")
    return find_known(cases, *(Images(*(part[name].tolist() for name in columns)) for part in parts))


def drop_working(table: pd.DataFrame, cases: Cases | None = None) -> pd.DataFrame:
    """What a table of `inspect_samples` or `inspect_images` says of files that can be used.

    Args:
        table: of either.
        cases: of `find_sample_cases`, for samples.

    Returns:
        The table of `measure_samples` or `measure_test_images`; without the rows that have a trouble.
    """
    usable = _keep_usable(table)
    kept = usable.drop(columns=[name for name in WORKING if name in usable])
    if "mask_trouble" in table and len(usable):
        kept["group"] = group_near_duplicates(usable["thumbnail"].tolist())
        kept["case"] = cases.labels if cases and cases.sure else usable["sample_id"]
    whole = [name for name in ("height", "width", "parts", "border_sides") if name in kept]
    return kept.astype(dict.fromkeys(whole, int))  # a file that could not be read had made them floats


def _keep_usable(table: pd.DataFrame) -> pd.DataFrame:
    troubles = [name for name in ("image_trouble", "mask_trouble") if name in table]
    return table[table[troubles].isna().all(axis=1)].reset_index(drop=True)


def refuse_uniform(table: pd.DataFrame) -> None:
    """Stop where no mask of a table of `inspect_samples` has any foreground, or none any background.

    Raises:
        InputError: if all masks that could be read are empty, or all are full.
    """
    share = table["mask_share"].dropna() if "mask_share" in table else table["mask_trouble"][:0]
    if len(share) and not (share > 0).any():
        folder = first_file(table["mask_path"].iloc[0]).parent
        raise InputError(
            f"all {len(share)} masks in {folder} are empty; there is nothing to learn, put the real masks there"
        )
    if len(share) and (share == 1).all():
        folder = first_file(table["mask_path"].iloc[0]).parent
        raise InputError(
            f"all {len(share)} masks in {folder} cover all of their images, as no pixel of them is 0; save them anew "
            "with 0, or black, where background is"
        )


def _refuse_troubles(troubles: Iterable[Problem | None]) -> None:
    """One error that names the first trouble and counts the others."""
    found = [trouble for trouble in troubles if trouble is not None]
    if found:
        more = f" (and {len(found) - 1} more files have a problem)" if len(found) > 1 else ""
        raise InputError(found[0].sentence + more)


def _collect(inspect: Callable[[dict], dict], table: pd.DataFrame, label: str) -> pd.DataFrame:
    rows = _keep_apart(track(map_on_cores(inspect, _records(table)), label, total=len(table)), len(table))
    parts = []
    while part := list(islice(rows, CHUNK)):
        parts.append(pd.DataFrame(part))
    troubles = ["image_trouble", "mask_trouble"] if "mask_path" in table else ["image_trouble"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*table, *troubles])


def _records(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for start in range(0, len(table), CHUNK):
        yield from table.iloc[start : start + CHUNK].to_dict("records")


def _keep_apart(rows: Iterable[dict[str, Any]], count: int) -> Iterator[dict[str, Any]]:
    """The same rows, with what is large in a file."""
    kept = {name: open_scratch((count, side, side), np.float32) for name, side in KEPT_APART.items()}
    for number, row in enumerate(rows):
        for name in kept.keys() & row.keys():
            kept[name][number] = row[name]
            row[name] = Row(kept[name], number)
        yield row


def _inspect_image(row: dict[str, Any], scale: Scale) -> dict[str, Any]:
    return _with_image(row, scale)[0]


def _with_image(row: dict[str, Any], scale: Scale) -> tuple[dict[str, Any], np.ndarray | None]:
    try:
        image = read_image(row["image_path"], channels=3, scale=scale)
    except InputError as error:
        return row | {"image_trouble": _unreadable(row["image_path"], error)}, None
    facts = {
        "image_trouble": None,
        "height": image.shape[0],
        "width": image.shape[1],
        "gray": is_gray(image),
        "thumbnail": make_thumbnail(image),
        "digest": hashlib.blake2b(image.data, digest_size=16, person=str(image.shape).encode()[:16]).hexdigest(),
    }
    return row | facts | describe_image(image), image


def _inspect_sample(row: dict[str, Any], scale: Scale) -> dict[str, Any]:
    row, image = _with_image(row, scale)
    try:
        plane, background_top = read_mask_levels(row["mask_path"])
    except InputError as error:
        files = split_files(row["mask_path"])
        return row | {"mask_trouble": _unreadable(next(file for file in files if str(error).startswith(file)), error)}
    mask = (plane > background_top).astype(np.uint8)
    row |= {"mask_trouble": None, "background_top": float(background_top)}
    row |= describe_labels(row["mask_path"], plane, background_top) | describe_mask(mask)
    row["small_mask"] = cv2.resize(mask.astype(np.float32), (MASK_SIDE, MASK_SIDE), interpolation=cv2.INTER_AREA)
    if image is not None and image.shape[:2] != mask.shape:
        return row | {"mask_trouble": Problem.of_sizes(first_file(row["mask_path"]), mask.shape, image.shape[:2])}
    return row | (describe_colours(image, mask) if image is not None else {})


def _unreadable(path: str, error: InputError) -> Problem:
    kind = "empty file" if os.path.exists(path) and not os.path.getsize(path) else "unreadable"
    return Problem.of_error(Path(path), kind, error)
