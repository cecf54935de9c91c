"""The file of a mask, or several that are one mask together, such as one for each object: as one text in a table.

The text may go on with what the grays of the set's masks usually are (see `grays`), so that whoever reads a mask reads
it as the others of its set.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

SEPARATOR = "\n"  # hardly in any path, and kept by CSV
USUAL = 2 * SEPARATOR  # what comes before the usual meaning


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
    return os.fspath(mask_path).partition(USUAL)[0].split(SEPARATOR)


def add_usual(mask_path: str, usual: str) -> str:
    r"""The text of a mask that says, too, what grays are in its set.

    Example:
        >>> add_usual("a_mask.png", "labels")
        'a_mask.png\n\nlabels'
    """
    return mask_path + USUAL + usual


def take_usual(mask_path: str | Path) -> str | None:
    """What `add_usual` said; None where it did not."""
    return os.fspath(mask_path).partition(USUAL)[2] or None


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
