"""The file of a mask, or several that are one mask together, such as one for each object: as one text in a table."""

import os
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

SEPARATOR = "\n"  # hardly in any path, and kept by CSV


def join_files(paths: Iterable[str]) -> str:
    r"""Several files that are one mask, as what a table has for the path of a mask.

    Example:
        >>> join_files(["a_mask.png"]), join_files(["a_mask.png", "a_mask_1.png"])
        ('a_mask.png', 'a_mask.png\na_mask_1.png')
    """
    return SEPARATOR.join(paths)


def split_files(mask_path: str | Path) -> list[str]:
    r"""The files of a mask, one or more: the opposite of `join_files`.

    Example:
        >>> split_files("a_mask.png\na_mask_1.png")
        ['a_mask.png', 'a_mask_1.png']
    """
    return os.fspath(mask_path).split(SEPARATOR)


def first_file(mask_path: str | Path) -> Path:
    r"""The file by which a mask is named in words.

    Example:
        >>> first_file("m/a_mask.png\nm/a_mask_1.png").name
        'a_mask.png'
    """
    return Path(split_files(mask_path)[0])


def list_files(samples: pd.DataFrame) -> list[str]:
    """All files of a table with ``image_path`` and ``mask_path``: the images, then those of the masks."""
    return [*samples["image_path"], *(file for mask_path in samples["mask_path"] for file in split_files(mask_path))]
