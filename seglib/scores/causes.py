"""Scores and images -> what may make images hard, and whether those that have it score worse."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from seglib.images.masks import read_mask
from seglib.images.reading import Scale, read_image
from seglib.machine.ahead import map_on_cores
from seglib.machine.progress import track
from seglib.scores.difficulty import BLACK, measure_difficulty
from seglib.scores.intervals import number_groups, percentile_intervals, student_factor

SMALL, LARGE = 0.05, 0.5  # share of the image
LOW_CONTRAST = 25  # levels, of 255
MANY_LINES = 0.01  # share of the image
FEWEST = 5  # groups of images with a cause, and without it, from which on a difference is looked at

CAUSES = {
    "nothing to find": "the reference is empty",
    "small": f"the reference covers less than {100 * SMALL:.0f} % of the image",
    "large": f"the reference covers more than {100 * LARGE:.0f} % of the image",
    "at the border": "the reference touches the border of the image",
    "low contrast": f"mean colours of the reference and of the ring round it differ by less than {LOW_CONTRAST} levels",
    "dark lines": f"thin dark lines (hair, rulers) outside the reference cover at least {100 * MANY_LINES:.0f} % of "
    "the image",
    "dark corners": f"a corner of the image is darker than level {BLACK}, as under a round lens",
}
# verdicts, where neither better nor worse is told
UNTOLD = ("the difference may be chance", "too few images to tell", "every image has it", "no image has it")


def measure_files(image_paths: Iterable[str], mask_paths: Iterable[str], *, scale: Scale) -> pd.DataFrame:
    """``measure_difficulty`` of every image and its reference; memory holds one pair for each core.

    Args:
        image_paths: N files.
        mask_paths: those of their references, in the same order.
        scale: as for ``reading.read_image``.

    Returns:
        N rows, in the order of the files.

    Raises:
        InputError: if a file cannot be read.
    """

    def measure(pair: tuple[str, str]) -> dict[str, float]:
        return measure_difficulty(read_image(pair[0], channels=3, scale=scale), read_mask(pair[1]))

    pairs = list(zip(image_paths, mask_paths, strict=True))
    return pd.DataFrame(track(map_on_cores(measure, pairs), "looking for causes", total=len(pairs)))


def divide_errors(scores: pd.DataFrame) -> pd.DataFrame:
    """What is lost of each image's overlap: ``1 - IoU = FP / (P or T) + FN / (P or T)``.

    Args:
        scores: one row per image with the pixels ``overlap``, ``pred_area`` and ``target_area``.

    Returns:
        ``fp_share``, the share of the union of prediction and reference that is predicted alone, and ``fn_share``, the
        share that is in the reference alone; in [0, 1], 0 is best, both 0 where both masks are empty.

    Example:
        >>> divide_errors(pd.DataFrame({"overlap": [1], "pred_area": [2], "target_area": [3]})).to_dict("list")
        {'fp_share': [0.25], 'fn_share': [0.5]}
    """
    union = (scores["pred_area"] + scores["target_area"] - scores["overlap"]).clip(lower=1)
    areas = {"fp_share": scores["pred_area"], "fn_share": scores["target_area"]}
    return pd.DataFrame({name: (area - scores["overlap"]) / union for name, area in areas.items()})


def find_causes(table: pd.DataFrame) -> pd.DataFrame:
    """Which of ``CAUSES`` each image has.

    Args:
        table: one row per image with ``target_area``, ``pixels``, and what ``measure_difficulty`` gives.

    Returns:
        Bool, one column for each cause; an image may have several, or none.
    """
    share = table["target_area"] / table["pixels"]
    found = (
        share == 0,
        (share > 0) & (share < SMALL),
        share > LARGE,
        table["border_sides"] > 0,
        table["contrast"] < LOW_CONTRAST,  # false where it is not a number
        table["dark_lines"] >= MANY_LINES,
        table["dark_corners"] > 0,
    )
    return pd.DataFrame(dict(zip(CAUSES, found, strict=True)))


def compare_causes(table: pd.DataFrame, *, groups: Sequence | None = None) -> pd.DataFrame:
    """Whether images with a cause score worse than those without it, and by which kind of error.

    A difference says that the two go together, not that one makes the other: small lesions may also be the pale ones.
    Seven causes are looked at, so one false alarm in three data sets is to be expected.

    Args:
        table: one row per image with ``dice``, the pixels ``overlap``, ``pred_area``, ``target_area``, ``pixels``, and
            what ``measure_difficulty`` gives.
        groups: (N,) images that count as one for the interval, as for ``intervals.bootstrap_interval``.

    Returns:
        One row for each of ``CAUSES``: ``cause``, ``images`` that have it, ``dice_with`` and ``dice_without`` (means),
        their ``difference`` with its 95 % interval ``low`` and ``high``, the means ``fp_with``, ``fp_without``,
        ``fn_with`` and ``fn_without`` of ``divide_errors``, and a ``verdict``. Not a number where there is no image to
        take the mean of, and no interval where fewer than ``FEWEST`` groups have the cause or lack it.
    """
    causes, values = find_causes(table), divide_errors(table).assign(dice=table["dice"])
    codes = number_groups(groups, len(table))
    return pd.DataFrame([_compare(cause, values, causes[cause].to_numpy(), codes) for cause in causes])


def _compare(cause: str, values: pd.DataFrame, has: np.ndarray, groups: np.ndarray) -> dict[str, float | str]:
    facts: dict[str, float | str] = {"cause": cause, "images": int(has.sum())}
    for name, column in (("dice", "dice"), ("fp", "fp_share"), ("fn", "fn_share")):
        facts |= {f"{name}_with": values.loc[has, column].mean(), f"{name}_without": values.loc[~has, column].mean()}
    facts["difference"] = facts["dice_with"] - facts["dice_without"]
    facts["low"], facts["high"] = difference_interval(values["dice"].to_numpy(), has, groups=groups)
    return facts | {"verdict": _judge(facts, len(has))}


def difference_interval(values: np.ndarray, has: np.ndarray, *, groups: np.ndarray) -> tuple[float, float]:
    """95 % interval of ``mean(values[has]) - mean(values[~has])``, by the bootstrap of its linear part.

    Each image pulls at the difference by ``(value - mean of its side) / share of its side``; the mean of these pulls
    is what ``intervals.percentile_intervals`` resamples, in whole groups. The pulls of a side with n groups are
    stretched by ``t(0.975, n - 1) / 1.96 * sqrt(n / (n - 1))``, so that few are not taken for certain.

    Args:
        values: (N,) one score per image.
        has: bool (N,) which side it is on.
        groups: (N,) images that are drawn together.

    Returns:
        Lower and upper end; not a number where a side has fewer than ``FEWEST`` groups.

    Source:
        Hampel 1974, The influence curve, https://doi.org/10.1080/01621459.1974.10482962 (the pulls).
    """
    if min(len(set(groups[side].tolist())) for side in (has, ~has)) < FEWEST:
        return float("nan"), float("nan")
    pulls, means = np.zeros(len(values)), []
    for side, sign in ((has, 1), (~has, -1)):
        count, mean = len(set(groups[side].tolist())), values[side].mean()
        few = student_factor(count)
        pulls[side] = sign * (values[side] - mean) * len(values) / side.sum() * few
        means.append(mean)
    (ends,) = percentile_intervals((means[0] - means[1] + pulls)[None], groups=groups)
    return ends


def _judge(facts: dict[str, float | str], count: int) -> str:
    chance, few, every, none = UNTOLD
    if facts["images"] in (0, count):
        return none if facts["images"] == 0 else every
    if np.isnan(facts["low"]):
        return few
    if facts["low"] > 0 or facts["high"] < 0:
        return f"{'better' if facts['difference'] > 0 else 'worse'} with it, and the difference is real"
    return chance


def describe_causes(comparison: pd.DataFrame, count: int) -> list[str]:
    """A sentence for each cause that goes with better or worse masks, then one about all others, with their verdicts.

    Args:
        comparison: of ``compare_causes``.
        count: images in all.
    """
    real = (comparison["low"] > 0) | (comparison["high"] < 0)
    said = []
    for row in comparison[real].sort_values("difference").itertuples():
        said.append(
            f"Where masks differ: {row.cause} ({row.images} of {count} images): mean Dice {row.dice_with:.3f}, and "
            f"{row.dice_without:.3f} without it ({row.difference:+.3f}, 95 % interval {row.low:+.3f} to "
            f"{row.high:+.3f}). Of the union of prediction and reference {100 * row.fn_with:.0f} % is missed and "
            f"{100 * row.fp_with:.0f} % added, and {100 * row.fn_without:.0f} % and {100 * row.fp_without:.0f} % "
            "without it."
        )
    kinds = comparison[~real].groupby("verdict", sort=False)["cause"].agg(", ".join)
    rest = "; ".join(f"{kinds[verdict]} ({verdict})" for verdict in UNTOLD if verdict in kinds)
    about = "Also looked at" if said else "Nothing was found that goes with better or worse masks; looked at"
    return [*said, f"{about}: {rest}."] if rest else said
