"""Images that show what others show -> what is wrong with that: a score flatters, or a picture is learnt twice."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from seglib.checks.duplicates import find_pairs, iterate_pairs
from seglib.errors import InputError, Problem
from seglib.images.masks import read_mask


def find_twins(images: pd.DataFrame) -> list[Problem]:
    """A problem for every training image that shows what another one shows: a test image, or one that comes before it.

    Args:
        images: tables of `facts.inspect_samples` and `facts.inspect_images`, one below the other, of those that can
            be read, with ``is_test``; their index counts the rows.
    """
    best = pd.DataFrame()
    for pairs in iterate_pairs(images["thumbnail"].tolist()):
        best = _best_pairs(pd.concat([best, _tell_pairs(pairs, images)], ignore_index=True))
    return [_describe_pair(images.loc[pair.told], images.loc[pair.other], pair) for pair in best.itertuples()]


def _tell_pairs(pairs: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Pairs with ``told``, the one that can be left out, and ``other``; not those of test images only."""
    digest, is_test = images["digest"].to_numpy(), images["is_test"].to_numpy()
    first, second = (pairs[name].to_numpy() for name in ("first", "second"))
    test = is_test[second]
    pairs = pairs.assign(
        told=np.where(test, first, second),
        other=np.where(test, second, first),
        exact=digest[first] == digest[second],
        test=test,
    )
    return pairs[~is_test[first]]  # nothing is learnt from test images


def _best_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """Of each image that is told the pair to tell it by, the worst first."""
    order = {"test": False, "exact": False, "correlation": False, "first": True, "second": True}
    return pairs.sort_values(list(order), ascending=list(order.values())).drop_duplicates("told")


def _describe_pair(told: pd.Series, twin: pd.Series, pair: NamedTuple) -> Problem:
    own, other = Path(told["image_path"]), Path(twin["image_path"])
    same = "has the very pixels of" if pair.exact else f"shows what is in (correlation {pair.correlation:.2f})"
    fact = f"{same} {'/'.join(other.parts[-3:])}"
    if pair.test:
        return Problem(own, "in train and test", fact, "leave it out: a score on that test image would flatter")
    if pair.exact:
        return Problem(
            own, "exact duplicate", fact + _compare_masks(told["mask_path"], twin["mask_path"]), "leave it out"
        )
    return Problem(own, "near-duplicate", fact, "nothing: both stay in one fold; leave one out if they are one picture")


def _compare_masks(first: str, second: str) -> str:
    """Whether two images of the same pixels have the same mask; only one of two can be right."""
    try:
        one, two = read_mask(first), read_mask(second)
    except InputError:
        return ""
    if one.shape != two.shape or not (one.any() or two.any()):
        return ""
    dice = 2 * np.count_nonzero(one & two) / (np.count_nonzero(one) + np.count_nonzero(two))
    return "" if dice == 1 else f", but their masks differ (Dice {dice:.2f})"


def find_leaks(train: pd.DataFrame, folds: pd.DataFrame) -> list[Problem]:
    """Near-duplicates that lie in different folds: one is learnt from, the other scored.

    Args:
        train: table of `facts.inspect_samples`.
        folds: of `folds.read_folds`, rows as those of ``train``.
    """
    readable = np.flatnonzero(train["image_trouble"].isna())
    found = []
    pairs = find_pairs(train["thumbnail"].iloc[readable].tolist()) if len(readable) else pd.DataFrame()
    for pair in pairs.itertuples():
        first, second = readable[pair.first], readable[pair.second]
        here, there = folds["fold"].iloc[second], folds["fold"].iloc[first]
        if here != there:
            fact = f"is in fold {here}, {train['sample_id'][first]} in fold {there}, and they show the same thing"
            cure = "remove folds.csv to have it made anew"
            found.append(Problem(Path(train["image_path"][second]), "leak across folds", fact, cure))
    return found
