"""Samples -> their groups, such as patients or lesions, as their author knows them or as they were found."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from seglib.errors import InputError

GROUPS_NAME = "groups.csv"  # in the data folder, in any case: which samples show one patient or lesion


def find_groups(data_dir: Path) -> Path | None:
    """The file ``groups.csv`` of a data folder, its name in any case, or None.

    Raises:
        InputError: if two files carry the name.
    """
    found = [entry for entry in sorted(data_dir.iterdir()) if entry.is_file() and entry.name.lower() == GROUPS_NAME]
    if len(found) > 1:
        names = " and ".join(entry.name for entry in found)
        raise InputError(f"{data_dir} holds {names}, which mean the same; keep one of them")
    return found[0] if found else None


def read_groups(path: Path, samples: pd.DataFrame) -> np.ndarray:
    """The group of every sample, as its author knows it: the patient or the lesion, say.

    Args:
        path: CSV file with the columns ``sample_id`` and ``group`` (any text); it may list other images too.
        samples: table with ``sample_id``.

    Returns:
        str (N,), in the order of ``samples``, without spaces round it.

    Raises:
        InputError: if the file cannot be read as such, lists an image twice, or leaves out a sample or its group.
    """
    known = _read_file(path)
    for sample_id in samples["sample_id"]:
        if not known.get(sample_id):
            raise InputError(
                f"{path} gives no group for {sample_id}; add the line {sample_id},GROUP (the file name without its "
                "ending, and a group of its own if it belongs to no other image)"
            )
    return np.array([known[sample_id] for sample_id in samples["sample_id"]])


def find_shared(path: Path, samples: pd.DataFrame, others: pd.DataFrame) -> list[tuple[str, str]]:
    """Other images, such as those of Test, of which a sample is of the same group.

    Args:
        path: as for `read_groups`; others that it does not list are of no group.
        samples: table with ``sample_id``, all of which it lists.
        others: table with ``sample_id``; those that are samples, too, are passed over.

    Returns:
        (its ``sample_id``, that of the first such sample) of each, in the order of ``others``.

    Raises:
        InputError: as `read_groups`.
    """
    known, own, firsts = _read_file(path), set(samples["sample_id"]), {}
    for sample_id, group in zip(samples["sample_id"], read_groups(path, samples), strict=True):
        firsts.setdefault(group, sample_id)
    names = [name for name in others["sample_id"] if name not in own]
    return [(name, firsts[known[name]]) for name in names if known.get(name) in firsts]


def merge_groups(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The groups that follow from two ways of grouping: samples together in either are together here, in chains too.

    Args:
        first: (N,) any labels.
        second: (N,) any labels, of the same samples.

    Returns:
        int (N,), numbers of groups from 0 in the order of their first samples.

    Raises:
        ValueError: if the lengths differ.

    Example:
        >>> merge_groups(np.array([0, 1, 2, 0]), np.array(["ann", "bob", "bob", "cy"])).tolist()
        [0, 1, 1, 0]
    """
    if len(first) != len(second):
        raise ValueError(f"groups of {len(first)} and of {len(second)} samples cannot be merged")
    (left, left_names), (right, right_names) = pd.factorize(first), pd.factorize(second)
    n_left, n_all = len(left_names), len(left_names) + len(right_names)
    # Every sample links its group here with its group there; linked groups are one.
    links = coo_array((np.ones(len(left)), (left, n_left + right)), shape=(n_all, n_all))
    return pd.factorize(connected_components(links, directed=False)[1][left])[0]


def join_groups(samples: pd.DataFrame, data_dir: Path) -> np.ndarray:
    """Near-duplicates, joined with the groups of ``groups.csv`` or, where there is no such file, with found cases.

    Args:
        samples: table with ``sample_id``, ``group`` and ``case``, as of ``facts.measure_samples``.
        data_dir: the data folder.

    Returns:
        int (N,) of ``merge_groups``.

    Raises:
        InputError: as ``read_groups``.
    """
    path = find_groups(data_dir)
    cases = samples["case"].to_numpy() if path is None else read_groups(path, samples)
    return merge_groups(samples["group"].to_numpy(), cases)


def _read_file(path: Path) -> dict[str, str]:
    """The group of each image that a file lists."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        ids, groups = (table[name].str.strip().str.normalize("NFC") for name in ("sample_id", "group"))  # as stems are
    except (ValueError, KeyError, AttributeError, pd.errors.ParserError):
        raise InputError(f"{path} is not a table of sample_id and group; name its columns so, or remove it") from None
    twice = ids[ids.duplicated()]
    if len(twice):
        raise InputError(f"{path} lists {twice.iloc[0]} more than once; keep one of its lines")
    return dict(zip(ids, groups, strict=True))
