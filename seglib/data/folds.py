"""Samples -> folds, kept as a file so that everybody uses the same ones; groups stay together."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from seglib.data.groups import GROUPS_NAME, find_groups, read_groups
from seglib.errors import InputError
from seglib.writing import write_text

SHOWN_PAIRS = 5  # of a leak that stops training, before the rest is only counted
LARGE = 1.5  # times the mean size of the folds; without large groups they differ by a few images
AREA_STRATA = 10  # classes of mask area that every fold gets its share of


def assign_folds(
    samples: pd.DataFrame, mask_share: np.ndarray, *, n_folds: int, seed: int, groups: np.ndarray | None = None
) -> pd.DataFrame:
    """Every sample's fold, each fold with the same mix of small and large masks; a group is never divided.

    There are fewer folds than ``n_folds`` where there are fewer groups, or one holds nearly all. A group larger than
    its share makes its fold larger than the others; such folds have the last numbers, as fold 0 is the one that most
    runs hold out, and little would be left to learn from.

    Args:
        samples: table with ``sample_id``.
        mask_share: (N,) share of foreground in each mask, in [0, 1]; its quantiles are the strata.
        n_folds: how many folds, at least 2.
        seed: of the shuffling.
        groups: (N,) any labels; None: every sample is a group of its own.

    Returns:
        A table with the columns ``sample_id``, ``fold`` (from 0), ``group`` (from 0, in the order of their first
        samples) and ``mask_share``.

    Raises:
        InputError: if there are fewer than two groups.

    Example:
        >>> few = pd.DataFrame({"sample_id": ["a", "b", "c", "d"]})
        >>> fold = assign_folds(few, np.zeros(4), n_folds=5, seed=0, groups=np.array(["x", "y", "x", "y"]))["fold"]
        >>> bool(fold[0] == fold[2] != fold[1] == fold[3])
        True
    """
    # Here, as it takes most of a second to import, and whoever goes on with a run reads its folds from a file.
    from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold
    from sklearn.utils import shuffle

    count = len(samples)
    group = np.arange(count) if groups is None else pd.factorize(groups)[0]
    n_groups = len(np.unique(group))
    if n_groups < 2:
        raise InputError(
            f"all {count} samples are of one group, and a group is never divided between training and validation; "
            f"add images of another patient or lesion, or correct {GROUPS_NAME}"
        )
    n_folds = max(2, min(n_folds, n_groups))
    n_strata = min(AREA_STRATA, count // n_folds)
    stratum = np.zeros(count, dtype=int)
    if n_strata >= 2:
        rank = pd.Series(mask_share).rank(method="first").to_numpy() - 1
        stratum = (rank * n_strata // count).astype(int)
    # Three splitters, as without larger groups the plain ones balance best, and earlier runs keep their folds.
    grouped = n_groups < count
    kind = StratifiedKFold if n_strata >= 2 else KFold
    splitter = StratifiedGroupKFold(n_folds) if grouped else kind(n_folds, shuffle=True, random_state=seed)
    # Groups are shuffled here: scikit-learn 1.6, as on Kaggle, then takes one for another and stratifies nothing.
    places = np.argsort(shuffle(np.arange(n_groups), random_state=seed))[group]
    fold = np.empty(count, dtype=int)
    parts = splitter.split(np.zeros(count), stratum, places if grouped else None)
    for number, (_, held_out) in enumerate(parts):
        fold[held_out] = number
    fold = _put_large_last(fold)
    return pd.DataFrame(
        {"sample_id": samples["sample_id"], "fold": fold, "group": group, "mask_share": np.round(mask_share, 6)}
    )


def _put_large_last(fold: np.ndarray) -> np.ndarray:
    """Folds numbered from 0 without gaps, those that are much too large after the others."""
    kept, counts = np.unique(fold, return_counts=True)
    large = counts > max(LARGE * counts.mean(), counts.mean() + 1)  # of a few images, one more is not large
    order = kept[np.argsort(large, kind="stable")]
    return pd.Index(order).get_indexer(fold)


def describe_folds(folds: pd.DataFrame) -> str:
    """A sentence about a group that is much larger than a fold should be; "" where there is none.

    Args:
        folds: of `read_folds`.
    """
    counts = folds["fold"].value_counts()
    groups = folds.groupby("group")["fold"].agg(["size", "first"]) if "group" in folds else pd.DataFrame()
    if groups.empty or groups["size"].max() <= max(LARGE * counts.mean(), 1):
        return ""
    size, fold = groups.loc[groups["size"].idxmax()]
    return (
        f"fold {fold} holds {counts[fold]} of the {len(folds)} images, as one group has {size}, and a group is never "
        f"divided: a network that holds that fold out learns from {len(folds) - counts[fold]}"
    )


def write_folds(folds: pd.DataFrame, path: Path) -> None:
    """Keep the folds as a CSV file."""
    write_text(path, folds.to_csv(index=False))


def read_folds(path: Path, samples: pd.DataFrame) -> pd.DataFrame:
    """The folds of ``samples``, in their order.

    A file without the column ``group``, as written before there were groups, is taken as it is.

    Raises:
        InputError: if the file cannot be read as such, does not list just these samples, each once, or divides a group.
    """
    try:
        folds = pd.read_csv(path, dtype={"sample_id": str, "fold": int}, keep_default_na=False).set_index("sample_id")
        _ = folds["fold"]
    except (ValueError, KeyError, pd.errors.ParserError):
        raise InputError(f"{path} is not a table of sample_id and fold; remove it to have it made anew") from None
    odd = sorted(set(samples["sample_id"]) ^ set(folds.index))
    if odd:
        raise InputError(
            f"{path} and the images disagree about {odd[0]}; remove the file or choose another output folder"
        )
    if folds.index.has_duplicates:
        twice = folds.index[folds.index.duplicated()][0]
        raise InputError(f"{path} lists {twice} more than once; remove the file to have it made anew")
    folds = folds.loc[samples["sample_id"]].reset_index()
    if "group" in folds:
        _refuse_divided(path, folds, folds["group"].to_numpy())
    return folds


def prepare_folds(
    path: Path,
    samples: pd.DataFrame,
    mask_share: np.ndarray,
    *,
    n_folds: int,
    seed: int,
    groups: np.ndarray | None = None,
) -> pd.DataFrame:
    """The folds that ``path`` keeps; where there is none yet, they are assigned and kept there.

    Raises:
        InputError: as `assign_folds` and `read_folds`, or if kept folds with groups divide one of ``groups``.
    """
    if not path.exists():
        write_folds(assign_folds(samples, mask_share, n_folds=n_folds, seed=seed, groups=groups), path)
    folds = read_folds(path, samples)
    if groups is not None and "group" in folds:  # groups.csv may have come or changed since
        _refuse_divided(path, folds, groups)
    return folds


def reopen_folds(path: Path, samples: pd.DataFrame, data_dir: Path) -> pd.DataFrame:
    """The folds that ``path`` keeps, checked against ``groups.csv`` only: near-duplicates are not looked for again.

    Raises:
        InputError: as `read_folds`, or if the folds divide a group of ``groups.csv``, which may have come or changed.
    """
    folds, groups = read_folds(path, samples), find_groups(data_dir)
    if groups is not None and "group" in folds:
        _refuse_divided(path, folds, read_groups(groups, samples))
    return folds


def split_samples(samples: pd.DataFrame, folds: pd.DataFrame, fold: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training and validation samples: ``fold`` validates, the others train.

    Raises:
        InputError: if there is no such fold.
    """
    merged = samples.merge(folds[["sample_id", "fold"]], on="sample_id", validate="one_to_one")
    held_out = merged["fold"] == fold
    if not held_out.any():
        raise InputError(f"fold={fold} is not in the folds; choose from 0 to {merged['fold'].max()}")
    return merged[~held_out].reset_index(drop=True), merged[held_out].reset_index(drop=True)


def select_held_out(samples: pd.DataFrame, folds: pd.DataFrame, held_out: Iterable[int]) -> pd.DataFrame:
    """The samples of some folds, each with the number of its fold.

    Args:
        samples: table with ``sample_id``.
        folds: of ``read_folds``.
        held_out: numbers of folds.

    Returns:
        The rows of ``samples`` with the column ``fold`` and, where the folds know it, ``group``.
    """
    columns = [name for name in ("sample_id", "fold", "group") if name in folds]
    merged = samples.merge(folds[columns], on="sample_id", validate="one_to_one")
    return merged[merged["fold"].isin(set(held_out))].reset_index(drop=True)


def _refuse_divided(path: Path, folds: pd.DataFrame, groups: np.ndarray) -> None:
    firsts: dict[object, tuple[str, int]] = {}
    pairs = []
    for sample_id, fold, group in zip(folds["sample_id"], folds["fold"], groups, strict=True):
        first_id, first_fold = firsts.setdefault(group, (sample_id, fold))
        if fold != first_fold:
            pairs.append(f"{first_id} in fold {first_fold} and {sample_id} in fold {fold}")
    if pairs:
        more = f", and {len(pairs) - SHOWN_PAIRS} more pairs" if len(pairs) > SHOWN_PAIRS else ""
        raise InputError(
            f"{path} has {', '.join(pairs[:SHOWN_PAIRS])}{more}, which are of one group; "
            "remove the file to have it made anew, or choose another output folder"
        )
