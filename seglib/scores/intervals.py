"""Scores per image -> the interval of their mean, and whether two runs differ."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy  # its part stats takes half a second to import, and comes when it is used

NO_LIMITS = (-np.inf, np.inf)
FEW = 30  # images, or groups of them, below which the bootstrap alone makes intervals that are too narrow
DRAWS_AT_ONCE = 1 << 18  # of the bootstrap: 2 MiB of numbers, however many images there are


def bootstrap_interval(
    values: np.ndarray, *, groups: np.ndarray | None = None, limits: tuple[float, float] = NO_LIMITS
) -> tuple[float, float]:
    """95 % interval of the mean over images, by the percentile bootstrap.

    Of few images n the bootstrap knows their spread too little: for fewer than ``FEW`` both ends are moved away from
    the mean by ``t(0.975, n - 1) / 1.96 * sqrt(n / (n - 1))``, Student's t over the normal one, though not past the
    ``limits`` of the score. Of one nothing can be known; it has no interval.

    Images of one lesion or near-duplicates tell less than as many strangers: give their ``groups``, and whole groups
    are drawn instead of images. Where every image is a group of its own, the interval is the one without groups.

    Args:
        values: (N,) one score per image.
        groups: (N,) the group of each image: numbers or names.
        limits: the least and the greatest value that there can be, such as 0 and 1 of a Dice.

    Returns:
        Lower and upper end; both are the mean where there is one image or one group.

    Raises:
        ValueError: if there are no values, or not as many groups.

    Source:
        Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13; few images: Hesterberg 2015, What
        Teachers Should Know About the Bootstrap, https://doi.org/10.1080/00031305.2015.1089789; groups: Field and Welsh
        2007, Bootstrapping clustered data, J. R. Statist. Soc. B 69, 369-390.

    Example:
        >>> bootstrap_interval(np.array([0.0, 0.0, 1.0, 1.0]), groups=np.array(["a", "a", "a", "a"]))
        (0.5, 0.5)
    """
    (ends,) = bootstrap_intervals(np.asarray(values)[None], groups=groups, limits=[limits])
    return ends


def bootstrap_intervals(
    rows: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    limits: Sequence[tuple[float, float]] | None = None,
) -> list[tuple[float, float]]:
    """``bootstrap_interval`` of several scores of the same images; all share one drawing.

    Args:
        rows: (K, N) one score in each row.
        groups: as for ``bootstrap_interval``.
        limits: as there, of each row; None: there are none.

    Returns:
        Lower and upper end for each row.

    Example:
        >>> bootstrap_intervals(np.array([[0.5], [0.9]]))
        [(0.5, 0.5), (0.9, 0.9)]
    """
    count = rows.shape[1] if groups is None else pd.Series(groups).nunique(dropna=False)
    drawn = percentile_intervals(rows, groups=groups)
    limits = [NO_LIMITS] * len(rows) if limits is None else limits
    widened = [_widen(float(row.mean()), *ends, count) for row, ends in zip(rows, drawn, strict=True)]
    return [(max(low, least), min(high, most)) for (low, high), (least, most) in zip(widened, limits, strict=True)]


def percentile_intervals(
    rows: np.ndarray, *, groups: np.ndarray | None = None, resamples: int = 2000, seed: int = 0
) -> list[tuple[float, float]]:
    """The 2.5 % and 97.5 % quantiles of the resampled means, not widened: too narrow for few images or groups.

    Args:
        rows: as for ``bootstrap_intervals``.
        groups: as there.
        resamples: how many times N images, or all as many groups, are drawn with replacement.
        seed: of the drawing.

    Returns:
        Lower and upper end for each row.

    Raises:
        ValueError: if there are no values, or not as many groups.
    """
    count = rows.shape[1]
    if not count or (groups is not None and len(groups) != count):
        raise ValueError(f"{count} values and {'no' if groups is None else len(groups)} groups cannot be resampled")
    codes = number_groups(groups, count)
    sizes, sums = np.bincount(codes), [np.bincount(codes, weights=row) for row in rows]
    rng, means = np.random.default_rng(seed), np.empty((len(rows), resamples))
    step = max(1, DRAWS_AT_ONCE // sizes.size)
    for start in range(0, resamples, step):  # the same numbers as one drawing after the other, in bounded memory
        drawn = rng.integers(0, sizes.size, (min(step, resamples - start), sizes.size))
        images = sizes[drawn].sum(axis=1)
        for row, mean in zip(sums, means, strict=True):
            mean[start : start + step] = row[drawn].sum(axis=1) / images
    return [(float(low), float(high)) for low, high in np.quantile(means, [0.025, 0.975], axis=1).T]


def number_groups(groups: Sequence | None, count: int) -> np.ndarray:
    """The groups of images as whole numbers from 0, in the order of their first images.

    Args:
        groups: (N,) numbers or names; None: every image is a group of its own.
        count: N, where there are no groups.

    Returns:
        int (N,).

    Example:
        >>> number_groups(["b", "a", "b"], 3).tolist(), number_groups(None, 3).tolist()
        ([0, 1, 0], [0, 1, 2])
    """
    return np.arange(count) if groups is None else pd.factorize(np.asarray(groups), use_na_sentinel=False)[0]


def student_factor(count: int) -> float:
    """How many times wider the interval of a mean is than the bootstrap draws it: ``t / 1.96 * sqrt(n / (n - 1))``.

    Student's ``t(0.975, n - 1)`` over that of the normal distribution makes up for a spread that few values tell badly,
    and the root for a bootstrap that divides by n.

    Args:
        count: n, of images or groups, 2 or more.

    Returns:
        Above 1, and nearer to it the larger n.

    Example:
        >>> round(student_factor(5), 2), round(student_factor(500), 2)
        (1.58, 1.0)
    """
    return float(scipy.stats.t.ppf(0.975, count - 1) / scipy.stats.norm.ppf(0.975) * np.sqrt(count / (count - 1)))


def _widen(mean: float, low: float, high: float, count: int) -> tuple[float, float]:
    """The interval of few images, or of few groups of them."""
    if 1 < count < FEW:
        by = student_factor(count)
        low, high = mean - by * (mean - low), mean + by * (high - mean)
    return low, high


def compare_scores(first: np.ndarray, second: np.ndarray, *, groups: np.ndarray | None = None) -> dict[str, float]:
    """Whether the second of two runs is better, image by image.

    Where a patient has several images, these are one observation: give their ``groups``. Then whole groups are drawn
    for the interval, and the test takes the mean difference of each group.

    Args:
        first: (N,) scores of one run.
        second: (N,) scores of the other on the same images in the same order.
        groups: (N,) the group of each image, as for ``bootstrap_interval``.

    Returns:
        ``difference`` (mean of second minus first), ``low`` and ``high`` (its 95 % bootstrap interval over images),
        ``p`` (two-sided Wilcoxon signed-rank test; 1 where no image differs), ``better`` and ``worse`` (images on
        which the second run gained or lost).

    Raises:
        ValueError: if the two have different lengths.

    Source:
        Wilcoxon 1945, https://doi.org/10.2307/3001968.

    Example:
        >>> compare_scores(np.array([0.5, 0.6]), np.array([0.5, 0.8]))["better"]
        1
    """
    if first.shape != second.shape:
        raise ValueError(f"first {first.shape} and second {second.shape} differ")
    difference = second - first
    low, high = bootstrap_interval(difference, groups=groups)
    means = pd.Series(difference).groupby(number_groups(groups, len(difference))).mean().to_numpy()
    moved = means[means != 0]  # with the others in it scipy gives up the exact test, even of five
    p = float(scipy.stats.wilcoxon(moved).pvalue) if moved.size else 1.0
    better, worse = int((difference > 0).sum()), int((difference < 0).sum())
    return {"difference": float(difference.mean()), "low": low, "high": high, "p": p, "better": better, "worse": worse}


def describe_comparison(facts: dict[str, float]) -> str:
    """What a comparison means, in a sentence.

    The difference is called real only where the interval leaves out 0, the test agrees (p < 0.05) and most images moved
    that way: the interval looks at the mean, which a few images can move, the test at how many moved.

    Args:
        facts: of ``compare_scores``.
    """
    clear = facts["low"] > 0 or facts["high"] < 0
    gained = facts["difference"] > 0
    alike = gained == (facts["better"] > facts["worse"])  # the mean and most images moved the same way
    if clear and alike and facts["p"] < 0.05:
        return f"the second run is {'better' if gained else 'worse'}, and the difference is real"
    if clear and alike:
        return (
            f"the second run seems to be {'better' if gained else 'worse'}, but the test does not rule out chance: "
            "score more images before you believe it"
        )
    if clear or facts["p"] < 0.05:
        return "mean and number of images do not agree: look at the images that differ most before you believe it"
    return "the difference may be chance: more images, or more seeds, are needed to tell the runs apart"
