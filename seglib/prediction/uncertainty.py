"""Probability maps -> how sure they are of their own masks, and whether that tells where the masks are wrong.

Only maps of networks that did not learn from an image say anything about it: every network is sure of what it learnt.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from seglib.prediction.probabilities import average_maps
from seglib.prediction.rules import MaskRules, make_mask
from seglib.scores.intervals import DRAWS_AT_ONCE, number_groups
from seglib.scores.metrics import dice_of_counts
from seglib.scores.tables import tabulate_numbers

MEASURES = {  # the column of a table -> what it is called
    "agreement": "mean Dice between the masks of two networks",
    "expected_dice": "Dice that the probability map itself expects",
}
DEFINITIONS = {
    "expected_dice_mean": "Dice that the maps expect of their own masks, mean over images; 0 to 1, best where it is "
    "the true mean.",
    "uncertainty_rho": "Rank correlation (Spearman) of 1 - expected Dice with 1 - true Dice, over images; -1 to 1, "
    "higher is better, 0 says nothing about the error.",
    "uncertainty_caught": "Of the tenth of images that is least sure, the share that is in the worst tenth; 0 to 1, "
    "higher is better, 0.1 is chance.",
    "agreement_rho": "Rank correlation (Spearman) of 1 - agreement of the runs' masks with 1 - true Dice, over images; "
    "-1 to 1, higher is better.",
    "agreement_caught": "Of the tenth of images that the runs agree least on, the share that is in the worst tenth; 0 "
    "to 1, higher is better, 0.1 is chance.",
}
TITLES = {
    "expected_dice_mean": "Dice that the maps expect",
    "uncertainty_rho": "doubt with error, rank correlation",
    "uncertainty_caught": "worst images among the least sure",
    "agreement_rho": "disagreement with error, rank correlation",
    "agreement_caught": "worst images among the least agreed on",
}
FEWEST_CAUGHT = 5  # images in a tenth from which on a share of them is told
FEWEST = 8  # groups of images: three lie in order by chance once in six times
TELLS = 0.5  # rho that would be worth something; an interval that holds both 0 and it leaves the question open


def expected_dice(probability: np.ndarray, pred: np.ndarray) -> float:
    """The Dice that a map expects of a mask: ``2 sum(p m) / (sum(p) + sum(m))`` with probability p and mask m.

    That is the expected overlap over the expected areas, which comes within a hair of the expectation of the ratio
    wherever the pixels are many; the true Dice is what it estimates as far as the probabilities are true. Where the
    mask is empty it is the chance that there is nothing: 1 - max(p), as the pixels of one object come and go together
    (were they independent, a thousand pixels at 0.01 would make an object certain).

    Args:
        probability: float (H, W) in [0, 1].
        pred: the mask made of it, {0, 1}, same shape.

    Returns:
        In [0, 1]; 1 where the map is certain, lower the more doubtful pixels there are for the size of the mask.

    Raises:
        ValueError: if the two shapes differ.

    Source:
        Borges et al. 2024, Soft Dice Confidence, https://arxiv.org/abs/2402.10665.

    Example:
        >>> expected_dice(np.array([[0.0, 0.25, 0.75, 1.0]]), np.array([[0, 0, 1, 1]]))  # 2 * 1.75 / (2 + 2)
        0.875
    """
    if probability.shape != pred.shape:
        raise ValueError(f"probability {probability.shape} and pred {pred.shape} differ")
    inside = pred > 0
    if not inside.any():
        return 1 - float(probability.max())
    overlap, mass = (float(part.sum(dtype=np.float64)) for part in (probability[inside], probability))
    return 2 * overlap / (mass + int(inside.sum()))


def mask_agreement(preds: Sequence[np.ndarray]) -> float:
    """How much several masks of one image agree: their Dice two at a time, averaged over the pairs.

    Two empty masks agree fully (1); an empty one and another not at all (0).

    Args:
        preds: two masks or more, {0, 1}, (H, W) each.

    Returns:
        In [0, 1]; 1 where all are the same.

    Raises:
        ValueError: if there are fewer than two.

    Source:
        Roy et al. 2018, https://doi.org/10.1007/978-3-030-00928-1_46 (of samples of one network); of several networks:
        Lakshminarayanan et al. 2017, https://arxiv.org/abs/1612.01474.

    Example:
        >>> mask_agreement([np.array([[1, 1, 0]]), np.array([[1, 1, 0]]), np.array([[0, 1, 1]])])  # (1 + 1/2 + 1/2) / 3
        0.6666666666666666
    """
    if len(preds) < 2:
        raise ValueError(f"{len(preds)} masks have nobody to agree with; two are needed")
    inside = [pred > 0 for pred in preds]
    areas = [int(mask.sum()) for mask in inside]
    scores = []
    for one, other in combinations(range(len(inside)), 2):
        scores.append(dice_of_counts(int((inside[one] & inside[other]).sum()), areas[one], areas[other]))
    return float(np.mean(scores))


def describe_maps(maps: np.ndarray, rules: MaskRules) -> dict[str, float]:
    """How sure the networks are of one image.

    Args:
        maps: float32 (members, H, W) in [0, 1]; of networks that did not learn from the image.
        rules: that make a mask of a map: of the mean of the maps, and of each of them.

    Returns:
        ``expected_dice`` of the mean, and ``agreement`` where there are two maps or more; in [0, 1], 1 is sure.

    Example:
        >>> describe_maps(np.array([[[0.0, 1.0]], [[0.0, 0.5]]], dtype=np.float32), MaskRules())
        {'expected_dice': 0.8571428571428571, 'agreement': 0.0}
    """
    mean = average_maps(maps)
    facts = {"expected_dice": expected_dice(mean, make_mask(mean, rules))}
    return facts | ({"agreement": mask_agreement([make_mask(map_, rules) for map_ in maps])} if len(maps) > 1 else {})


def tabulate_maps(facts: Sequence[Mapping[str, float]]) -> pd.DataFrame:
    """A table of what `describe_maps` said, a row per image; of no image it has no rows, but its column."""
    return pd.DataFrame(facts) if facts else pd.DataFrame({"expected_dice": []})


def choose_measure(table: pd.DataFrame) -> str:
    """What to sort images by: the agreement where there are several networks, else the Dice that the map expects."""
    return next(name for name in MEASURES if name in table)


def rank_correlation(
    first: np.ndarray, second: np.ndarray, *, groups: np.ndarray | None = None, resamples: int = 1000
) -> tuple[float, float, float]:
    """Spearman's rho of two values over images, with its 95 % interval by the percentile bootstrap.

    Args:
        first: (N,) one value per image.
        second: (N,) another.
        groups: (N,) images that are drawn together, as for ``intervals.bootstrap_interval``.
        resamples: how many times all images, or as many groups, are drawn with replacement.

    Returns:
        Rho and the ends of its interval, in [-1, 1]. Not a number where there are fewer than ``FEWEST`` groups (or
        images, without groups), or one of the values is the same for all.

    Source:
        Spearman 1904, https://doi.org/10.2307/1412159; bootstrap: Efron and Tibshirani 1993, chapter 13.

    Example:
        >>> rank_correlation(np.arange(8), np.arange(8) ** 3)[0]
        1.0
    """
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    codes = number_groups(groups, len(first))
    count = len(set(codes.tolist()))
    if count < FEWEST or not (np.ptp(first) and np.ptp(second)):
        return (float("nan"),) * 3
    rng, found = np.random.default_rng(0), []
    step = max(1, DRAWS_AT_ONCE // len(first))
    for start in range(0, resamples, step):
        drawn = rng.multinomial(count, np.full(count, 1 / count), min(step, resamples - start))
        found.append(_rhos(first, second, drawn[:, codes]))
    low, high = np.nanquantile(np.concatenate(found), [0.025, 0.975])
    return float(_rhos(first, second, np.ones((1, len(first))))[0]), float(low), float(high)


def _rhos(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Spearman's rho for each row of ``weights``, how often each image was drawn: the correlation of the ranks.

    Not a number where all that was drawn is alike.
    """
    total = weights.sum(axis=1, keepdims=True)
    one, other = (_ranks(values, weights) for values in (first, second))
    one, other = (ranks - (weights * ranks).sum(axis=1, keepdims=True) / total for ranks in (one, other))
    spread = (weights * one**2).sum(axis=1) * (weights * other**2).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return (weights * one * other).sum(axis=1) / np.sqrt(spread)


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The rank of every value among those drawn, of equal ones their mean rank; sorted once for all rows."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    starts = np.cumsum(counts) - counts
    equal = np.add.reduceat(weights[:, np.argsort(place, kind="stable")], starts, axis=1)
    below = np.cumsum(equal, axis=1) - equal
    return (below + (equal + 1) / 2)[:, place]


def caught_share(sureness: np.ndarray, dice: np.ndarray) -> tuple[float, int]:
    """Of the tenth of images that is least sure, how many are in the worst tenth.

    Of equal values at the border of a tenth each image counts by the chance that it is among those that fit in.

    Args:
        sureness: (N,) the lower the less sure.
        dice: (N,) true Dice.

    Returns:
        The share, in [0, 1], by chance a tenth; and how many images a tenth are: rounded, at least 1.

    Example:
        >>> caught_share(np.arange(20), np.arange(20)[::-1]), caught_share(np.arange(20), np.arange(20))
        ((0.0, 2), (1.0, 2))
        >>> caught_share(np.zeros(20), np.arange(20))
        (0.1, 2)
    """
    count = max(1, round(len(dice) / 10))
    unsure, worst = (_lowest(values, count) for values in (sureness, dice))
    return float((unsure * worst).sum() / count), count


def _lowest(values: np.ndarray, count: int) -> np.ndarray:
    """For each value the chance that it is one of the ``count`` lowest, where of equal ones any may be taken."""
    border = np.sort(values)[count - 1]
    below, equal = values < border, values == border
    return below + equal * (count - below.sum()) / equal.sum()


def summarise_uncertainty(table: pd.DataFrame, *, groups: np.ndarray | None = None) -> dict[str, float]:
    """The numbers of ``DEFINITIONS``, without those that are none.

    Args:
        table: one row per image with ``dice``, ``expected_dice`` and, where there are several runs, ``agreement``.
        groups: (N,) images that are drawn together for the intervals.

    Returns:
        ``expected_dice_mean``, and for each measure the correlation of doubt with error (``_rho``, with the ends
        ``_rho_low`` and ``_rho_high`` of its interval) and ``_caught``.
    """
    found = {"expected_dice_mean": float(table["expected_dice"].mean())}
    for column, name in (("expected_dice", "uncertainty"), ("agreement", "agreement")):
        if column in table:
            facts = rank_correlation(1 - table[column], 1 - table["dice"], groups=groups)
            found |= dict(zip((f"{name}_rho", f"{name}_rho_low", f"{name}_rho_high"), facts, strict=True))
            found[f"{name}_caught"] = caught_share(table[column].to_numpy(), table["dice"].to_numpy())[0]
    return {name: value for name, value in found.items() if np.isfinite(value)}


def tabulate_uncertainty(summary: dict[str, float]) -> pd.DataFrame:
    """The numbers of ``summarise_uncertainty`` as rows to read, with the columns ``tables.COLUMNS``."""
    return tabulate_numbers(summary, TITLES, DEFINITIONS)


def describe_uncertainty(table: pd.DataFrame, summary: dict[str, float]) -> list[str]:
    """What the numbers mean, in sentences.

    Args:
        table: as for ``summarise_uncertainty``.
        summary: of ``summarise_uncertainty``.
    """
    sentences = []
    for column, name in (("expected_dice", "uncertainty"), ("agreement", "agreement")):
        if f"{name}_rho" in summary:
            rho, low, high = (summary[f"{name}_rho{end}"] for end in ("", "_low", "_high"))
            word = "tells where the errors are" if low > 0 else "does not tell where the errors are"
            word = "may tell where the errors are, of too few images to say" if low <= 0 < TELLS <= high else word
            sentences.append(
                f"The {MEASURES[column]} {word}: rank correlation {rho:.2f} (95 % interval {low:.2f} to {high:.2f})."
                + _say_caught(table, column)
            )
    gap = summary["expected_dice_mean"] - float(table["dice"].mean())
    word = "too much" if gap > 0.02 else "too little" if gap < -0.02 else "about what it gets"
    sentences.append(
        f"The maps expect a mean Dice of {summary['expected_dice_mean']:.3f}, and the true one is "
        f"{table['dice'].mean():.3f}: {word}."
    )
    return sentences


def _say_caught(table: pd.DataFrame, column: str) -> str:
    """A sentence about `caught_share`; "" where a tenth is fewer than ``FEWEST_CAUGHT`` images, too few for a share."""
    share, count = caught_share(table[column].to_numpy(), table["dice"].to_numpy())
    if count < FEWEST_CAUGHT:
        return ""
    return (
        f" Of the tenth of images that the networks are least sure of ({count}), {100 * share:.0f} % are in the worst "
        f"tenth; chance would be {100 * count / len(table):.0f} %."
    )
