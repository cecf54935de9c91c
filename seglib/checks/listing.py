"""Problems -> their table, the worst first; which files it says to leave out; the table in words."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from seglib.data.samples import pair_samples, tabulate_left_out
from seglib.data.unseen import find_test_images
from seglib.errors import Problem
from seglib.images.mask_files import split_files
from seglib.images.suffixes import ARRAYS, PICTURES, split_suffix

SEVERITIES = ("error", "warning", "note")  # stops a run; look at it; how the set is


class Kind(NamedTuple):
    """How bad a kind of problem is, and whether leaving the file out mends it."""

    severity: str
    left_out: bool


KINDS = {
    "empty file": Kind("error", True),
    "unreadable": Kind("error", True),
    "unread format": Kind("error", True),
    "no mask": Kind("error", True),
    "no image": Kind("error", True),
    "two masks": Kind("error", True),
    "same name": Kind("error", True),
    "odd name": Kind("error", False),
    "size mismatch": Kind("error", True),
    "no pairs": Kind("error", False),
    "field of view": Kind("error", False),
    "groups": Kind("error", False),
    "one group": Kind("error", False),
    "leak across folds": Kind("error", False),
    "in train and test": Kind("warning", True),
    "exact duplicate": Kind("warning", True),
    "inverted mask": Kind("warning", True),
    "full mask": Kind("warning", True),
    "empty mask": Kind("warning", False),
    "inverted masks": Kind("warning", False),
    "odd image": Kind("warning", True),
    "near-duplicate": Kind("warning", False),
    "label read as background": Kind("warning", False),
    "read unlike the others": Kind("warning", False),
    "other unit": Kind("warning", False),
    "several pages": Kind("warning", False),
    "several classes": Kind("warning", False),
    "more than two values": Kind("warning", False),
    "touches the border": Kind("warning", False),
    "possible cases": Kind("warning", False),
    "template": Kind("warning", False),
    "not used": Kind("warning", False),
    "cases in train and test": Kind("note", False),
    "cases": Kind("note", False),
    "other names": Kind("note", False),
    "several files": Kind("note", False),
}  # in the order of the table
COLUMNS = ["file", "problem", "severity", "fact", "cure"]
USUAL = ("empty mask", "more than two values", "touches the border")  # notes, where more than USUAL_SHARE have it
USUAL_SHARE = 0.1
NAMED = 5  # files of each problem, in words


def make_table(found: Iterable[Problem], data_dir: Path, *, images: int) -> pd.DataFrame:
    """Problems as a table, the worst first.

    What more than a tenth of the images have, such as lesions that leave the picture, is how the set is: a note.

    Args:
        found: the problems.
        data_dir: what ``file`` is relative to.
        images: how many training images there are.

    Returns:
        One row for each problem: ``file`` (relative to ``data_dir``), ``problem`` (a key of `KINDS`), ``severity`` (of
        `SEVERITIES`), ``fact`` and ``cure``.
    """
    found = list(found)
    counts = pd.Series([one.problem for one in found], dtype=str).value_counts()
    usual = {name for name in USUAL if counts.get(name, 0) > USUAL_SHARE * images}
    rows = [
        {
            "file": _relative(one.file, data_dir),
            "problem": one.problem,
            "severity": "note" if one.problem in usual else KINDS[one.problem].severity,
            "fact": one.fact,
            "cure": one.cure,
        }
        for one in found
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    order = {kind: number for number, kind in enumerate(KINDS)}
    rank = [table["severity"].map(SEVERITIES.index), table["problem"].map(order), table["file"]]
    return table.iloc[np.lexsort([key.to_numpy() for key in rank[::-1]])].reset_index(drop=True)


def list_left_out(table: pd.DataFrame, data_dir: Path) -> pd.DataFrame:
    """Which files to leave out, so that a run can start and nothing is learnt twice: ``leave_out.csv``.

    Those that such a file of the folder names already stay in the list: they were passed over, so nothing was found in
    them.

    An image goes with all files of its mask, and a picture with arrays of its name beside it, which would be taken in
    its place. Test images stay: a submission needs them all. A note is no reason, nor is what only asks for a look (a
    mask at the border, say).

    Args:
        table: of `make_table`.
        data_dir: the folder it was made of.

    Returns:
        ``file`` (relative to ``data_dir``) and ``problem``, a row for each file.
    """
    samples, _ = pair_samples(data_dir)
    together: dict[str, list[str]] = {}
    for image, mask in zip(samples["image_path"], samples["mask_path"], strict=True):
        files = [_relative(path, data_dir) for path in (image, *split_files(mask))]
        together |= dict.fromkeys(files, files)
    needed = {_relative(path, data_dir) for path in find_test_images(data_dir)[0]["image_path"]}
    reasons: dict[str, str] = dict(tabulate_left_out(data_dir).itertuples(index=False))
    for row in table[table["severity"] != "note"].itertuples():
        if KINDS[row.problem].left_out and row.file not in needed:
            for file in together.get(row.file, [row.file]):
                reasons |= {name: row.problem for name in _list_same(file, data_dir) if name not in reasons}
    return pd.DataFrame(sorted(reasons.items()), columns=["file", "problem"], dtype=str)


def _list_same(file: str, data_dir: Path) -> list[str]:
    """A file, relative to the data folder, and if it is a picture the arrays that are passed over for its sake."""
    stem, suffix = split_suffix(file)
    arrays = [stem + ending for ending in ARRAYS] if suffix.lower() in PICTURES else []
    return [file, *(name for name in arrays if (data_dir / name).exists())]


def describe_problems(table: pd.DataFrame) -> str:
    """The table in words for a terminal: for each problem its count, the cure, and the first few files.

    Args:
        table: of `make_table`.
    """
    if table.empty:
        return "no problems found"
    lines = []
    for (severity, problem), rows in table.groupby(["severity", "problem"], sort=False):
        lines.append(f"{severity}: {problem} ({len(rows)})")
        lines += [f"  {row.file} {row.fact}; {row.cure}" for row in rows.head(NAMED).itertuples()]
        lines += [f"  and {len(rows) - NAMED} more (--json lists all)"] if len(rows) > NAMED else []
    counts = [
        f"{count} {name}{'s' if count > 1 else ''}" for name in SEVERITIES if (count := sum(table.severity == name))
    ]
    return "\n".join([*lines, ", ".join(counts)])


def _relative(path: str | Path, data_dir: Path) -> str:
    return Path(os.path.relpath(path, data_dir)).as_posix()
