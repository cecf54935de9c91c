"""Scores -> the images to look at: typical ones, and the worst for different reasons."""

from collections.abc import Sequence

import pandas as pd

from seglib.scores.causes import divide_errors, find_causes
from seglib.scores.intervals import number_groups
from seglib.scores.summaries import FAILURE_IOU

MISSED = 0.1  # share of the reference that was found, at most
SURE = 0.8  # Dice that a map expects at least, to be called sure
SURELY = 0.2  # Dice that a map expects and does not get


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
