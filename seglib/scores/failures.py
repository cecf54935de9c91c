"""Scores and images -> what the images that fail have in common, and which of them to look at first."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from seglib.images.masks import read_mask
from seglib.images.reading import Scale, read_image
from seglib.machine.ahead import map_on_cores
from seglib.machine.progress import track
from seglib.scores.difficulty import BLACK, measure_difficulty
from seglib.scores.intervals import number_groups, percentile_intervals, student_factor
from seglib.scores.summaries import FAILURE_IOU

SMALL, LARGE = 0.05, 0.5  # share of the image
LOW_CONTRAST = 25  # levels, of 255
MANY_LINES = 0.01  # share of the image
FEWEST = 5  # groups of images with a cause, and without it, from which on a difference is looked at
MISSED = 0.1  # share of the reference that was found, at most
SURE = 0.8  # Dice that a map expects at least, to be called sure
SURELY = 0.2  # Dice that a map expects and does not get

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


def choose_typical(scores: pd.DataFrame, *, count: int = 2) -> pd.Series:
    """The worst, the middle and the best images by Dice.

    Best and middle are of the images that show something, if any does: an empty mask where nothing is tells nobody how
    good masks are. A false alarm may be among the worst.

    Args:
        scores: one row per image with ``dice`` and ``target_area``.
        count: how many of each; of few images none is named twice.

    Returns:
        "worst", "median" or "best", the worst image first; its index says which rows of the table they are.

    Example:
        >>> table = pd.DataFrame({"dice": [0.9, 0.1, 0.5, 1.0], "target_area": [9, 9, 9, 0]})
        >>> choose_typical(table, count=1).to_dict()
        {1: 'worst', 2: 'median', 0: 'best'}
    """
    order = scores["dice"].sort_values(kind="stable").index
    shown = order[scores["target_area"][order] > 0]
    shown = shown if len(shown) else order
    start = max(0, (len(shown) - count) // 2)
    parts = {"worst": order[:count], "best": shown[::-1][:count], "median": shown[start : start + count]}
    kinds: dict[int, str] = {}
    for kind, rows in parts.items():
        for row in rows:
            kinds.setdefault(row, kind)
    return pd.Series({row: kinds[row] for row in order if row in kinds}, dtype=object)


def choose_first(table: pd.DataFrame, *, groups: Sequence | None = None, count: int = 5) -> pd.DataFrame:
    """The images to look at first, and why: among the worst, as many different reasons as there are.

    Looked at is the worst tenth by Dice, and ``count`` at least. The very worst is always chosen; then, for each other
    reason in the order below, the worst image that it applies to; then the worst of the rest. The reasons: surely wrong
    (the map expects ``SURE`` at least, as much as of half of all images, and ``SURELY`` more than it gets: the
    reference may be wrong, unless more than half of all images fail), missed (a tenth of the reference or less was
    found), false alarm (the reference is empty), too much (more than half of the union is predicted alone), and the
    causes of ``CAUSES``. A second image of a group comes only where no other group is left.

    Args:
        table: one row per image with ``sample_id``, ``dice``, ``expected_dice``, the pixels ``overlap``,
            ``pred_area``, ``target_area``, ``pixels``, and what ``measure_difficulty`` gives.
        groups: (N,) images of one patient or film, which may all be bad for one reason; None: each is one of its own.
        count: how many images.

    Returns:
        ``count`` rows or as many as there are, the worst first: ``sample_id``, ``dice`` and ``why``, a sentence. The
        index is that of ``table``.
    """
    ranked = table["dice"].sort_values(kind="stable").index[: max(count, -(-len(table) // 10))]
    known = pd.Series(number_groups(groups, len(table)), index=table.index)
    again = known[ranked].duplicated().to_numpy()
    worst = ranked[~again].append(ranked[again])
    reasons = _find_reasons(table).loc[worst]
    chosen: dict[int, str] = {worst[0]: _first_reason(reasons.iloc[0])} if len(worst) else {}
    for reason in reasons:
        left = [row for row in worst[reasons[reason]] if row not in chosen]
        if left and len(chosen) < count and reason not in chosen.values():
            chosen[left[0]] = reason
    for row in worst:
        if len(chosen) < count:
            chosen.setdefault(row, _first_reason(reasons.loc[row]))
    rows = table.loc[[row for row in ranked if row in chosen]]
    sentences = [f"{_say_reason(chosen[row], facts)}: {_say_errors(facts)}" for row, facts in rows.iterrows()]
    return rows[["sample_id", "dice"]].assign(why=sentences)


def _find_reasons(table: pd.DataFrame) -> pd.DataFrame:
    found = {
        "surely wrong": _is_surely_wrong(table),
        "missed": (table["target_area"] > 0) & (table["overlap"] <= MISSED * table["target_area"]),
        "false alarm": (table["target_area"] == 0) & (table["pred_area"] > 0),
        "too much": divide_errors(table)["fp_share"] > 0.5,
    }
    return pd.DataFrame(found).join(find_causes(table))


def _is_surely_wrong(table: pd.DataFrame) -> pd.Series:
    """Bool of each image: surely wrong, as `choose_first` says it; none where the network fails on most images."""
    expected, iou = table["expected_dice"], 1 - divide_errors(table).sum(axis=1)
    sure = (expected >= expected.median()) & (expected >= SURE)
    return sure & (expected - table["dice"] >= SURELY) & ((iou < FAILURE_IOU).mean() <= 0.5)


def _first_reason(reasons: pd.Series) -> str:
    return next((name for name in reasons.index if reasons[name]), "among the worst")


def _say_reason(reason: str, facts: pd.Series) -> str:
    covered = f"{_percent(facts['target_area'] / facts['pixels'])} of the image"
    numbers = {
        "surely wrong": f"the map expects a Dice of {facts['expected_dice']:.2f}; is the reference right?",
        "small": covered,
        "large": covered,
        "at the border": f"touches {facts['border_sides']} of 4 sides",
        "low contrast": f"{facts['contrast']:.0f} of 255 levels",
        "dark lines": f"{_percent(facts['dark_lines'])} of the image",
        "dark corners": f"{facts['dark_corners']} of 4",
    }
    return f"{reason} ({numbers[reason]})" if reason in numbers else reason


def _percent(share: float) -> str:
    """A share in percent, with one digit; a tiny one is never rounded to nothing."""
    return "less than 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def _say_errors(facts: pd.Series) -> str:
    """How the mask is wrong, in numbers; of an empty mask there is no share."""
    image = f"{_percent(facts['pred_area'] / facts['pixels'])} of the image is predicted"
    if not facts["target_area"]:
        return f"the reference is empty and {image}" if facts["pred_area"] else "both masks are empty"
    if not facts["pred_area"]:
        return "nothing is predicted"
    missed = 100 * (1 - facts["overlap"] / facts["target_area"])
    wrong = 100 * (1 - facts["overlap"] / facts["pred_area"])
    return f"{missed:.0f} % of the reference is missed, {wrong:.0f} % of the prediction lies outside it"
