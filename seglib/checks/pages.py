"""Files of several pages or frames, of which only the first is read -> the problem."""

import os
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from seglib.errors import InputError, Problem
from seglib.images.dicom import is_unnamed_dicom
from seglib.images.mask_files import split_files
from seglib.images.reading import count_file_pages
from seglib.machine.ahead import map_on_cores

SUFFIXES = (".tif", ".tiff", ".gif", ".webp", ".dcm", ".dicom")  # of files that may have pages


def judge_pages(samples: pd.DataFrame, images: pd.DataFrame | None = None) -> list[Problem]:
    """Whether images or masks have more than one page: a stack, or a page for each object.

    Args:
        samples: table with ``image_path`` and ``mask_path``.
        images: table of the test images with ``image_path``; None: there are none.
    """
    pictures = [*samples["image_path"], *(images["image_path"] if images is not None else [])]
    masks = [file for mask_path in samples["mask_path"] for file in split_files(mask_path)]
    return [*_judge_files(pictures, "images"), *_judge_files(masks, "masks")]


def _judge_files(paths: Iterable[str], kind: str) -> list[Problem]:
    paged = [path for path in paths if os.path.splitext(path)[1].lower() in SUFFIXES or is_unnamed_dicom(path)]
    counts = [(path, count) for path, count in zip(paged, map_on_cores(_count_pages, paged), strict=True) if count > 1]
    if not counts:
        return []
    path, count = counts[0]
    others = f"; so have {len(counts) - 1} other {kind} several" if len(counts) > 1 else ""
    fact = f"has {count} pages, of which the first is read{others}"
    cure = "save each as a file of its own, unless the first is the one that is meant"
    if kind == "masks":
        cure = "if they are parts of one mask, save each as a file, such as a_mask_1.png and a_mask_2.png"
    return [Problem(Path(path), "several pages", fact, cure)]


def _count_pages(path: str) -> int:
    try:
        return count_file_pages(path)
    except InputError:  # said by whoever looks at the file itself
        return 1
