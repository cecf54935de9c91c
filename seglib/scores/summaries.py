"""A table of scores -> their means with intervals, and what each means in words."""

import numpy as np
import pandas as pd

from seglib.scores.intervals import bootstrap_interval, bootstrap_intervals
from seglib.scores.metrics import SURFACE_TOLERANCE, pooled_scores
from seglib.scores.tables import INTERVAL, NO_INTERVAL, tabulate_numbers

FAILURE_IOU = 0.65  # ISIC 2018: an image below it counts as failed
AVERAGED = ("dice", "iou", "sensitivity", "precision", "hd95", "surface_dice")

DEFINITIONS = {
    "dice": "Overlap over the mean area of prediction and reference, per image; 0 to 1, higher is better.",
    "iou": "Overlap over the union of prediction and reference, per image; 0 to 1, higher is better.",
    "sensitivity": "Share of the reference's pixels that were found, per image; 0 to 1, higher is better.",
    "precision": "Share of the predicted pixels that are in the reference, per image; 0 to 1, higher is better.",
    "hd95": "Distance that 95 % of either edge keeps to the other, per image; pixels of the file from 0 up to the "
    "image's diagonal, lower is better.",
    "surface_dice": f"Share of both edges that lies within {100 * SURFACE_TOLERANCE:.0f} % of the image's diagonal "
    "from the other edge, per image; 0 to 1, higher is better.",
    "iou_thresholded": f"IoU per image, counted as 0 below {FAILURE_IOU} (the rule of ISIC 2018); 0 to 1, higher is "
    "better.",
    "failures": f"Share of images with IoU below {FAILURE_IOU}; 0 to 1, lower is better.",
    "dice_pooled": "Dice of the pixels of all images together, large masks weigh more; 0 to 1, higher is better.",
    "iou_pooled": "IoU of the pixels of all images together, large masks weigh more; 0 to 1, higher is better.",
    "images": "Images scored; a count, the more the narrower the intervals. Groups are images of one patient, film or "
    "picture, which count as one for the intervals.",
    "dice_present": "Dice per image, of the images whose reference is not empty; 0 to 1, higher is better.",
    "missed": "Images whose reference is not empty and of which no pixel was found, of all such images; lower is "
    "better.",
    "unmarked": "Images whose reference is not empty and in which nothing was marked, of all such images; lower is "
    "better.",
    "false_alarms": "Images whose reference is empty and in which something was marked, of all such images; lower is "
    "better.",
    "overlap": "Pixels in both prediction and reference; a count from 0 to pixels, neither direction is better.",
    "pred_area": "Pixels in the prediction; a count from 0 to pixels, best where it equals target_area.",
    "target_area": "Pixels in the reference; a count from 0 to pixels, given and not scored.",
    "pixels": "Pixels of the file, height times width; a count from 1, given and not scored.",
}


def summarise_scores(scores: pd.DataFrame, *, groups: np.ndarray | None = None) -> dict[str, float]:
    """The mean over images of every score with its 95 % interval, and the pooled figures beside them.

    Args:
        scores: one row per image with ``dice``, ``iou``, ``overlap``, ``pred_area``, ``target_area`` and, where they
            are known, ``sensitivity``, ``precision``, ``hd95`` and ``surface_dice``.
        groups: (N,) images that are drawn together for the intervals; see ``bootstrap_interval``.

    Returns:
        ``images``; ``groups``, where these are fewer; ``<score>_mean``, ``<score>_low`` and ``<score>_high`` of every
        score and of ``iou_thresholded`` (an IoU below ``FAILURE_IOU`` counts 0); ``failures``, the share of such
        images; ``dice_pooled`` and ``iou_pooled``. Where a reference is empty, what ``count_presence`` says as well.
        ``DEFINITIONS`` says what each means.

    Source:
        ISIC 2018 (threshold): Codella et al. 2019, https://arxiv.org/abs/1902.03368.
    """
    failed = scores["iou"] < FAILURE_IOU
    means = scores[[name for name in AVERAGED if name in scores]].astype(float)
    means["iou_thresholded"] = scores["iou"].mask(failed, 0.0)
    summary: dict[str, float] = {"images": len(scores)}
    if groups is not None and (count := pd.Series(groups).nunique()) < len(scores):
        summary["groups"] = count
    limits = [(0.0, np.inf if name == "hd95" else 1.0) for name in means]
    intervals = bootstrap_intervals(means.to_numpy().T, groups=groups, limits=limits)
    for name, (low, high) in zip(means, intervals, strict=True):
        summary |= {f"{name}_mean": float(means[name].mean()), f"{name}_low": low, f"{name}_high": high}
    areas = (scores[column].to_numpy() for column in ("overlap", "pred_area", "target_area"))
    return summary | {"failures": float(failed.mean())} | pooled_scores(*areas) | count_presence(scores, groups=groups)


def count_presence(scores: pd.DataFrame, *, groups: np.ndarray | None = None) -> dict[str, float]:
    """Whether something was found where there is something, and nothing where there is nothing.

    An empty mask of an image that shows nothing scores 1, so where many images do, the mean over all says little of the
    masks: of a network that never marks anything it is the share of such images.

    Args:
        scores: one row per image with ``dice``, ``overlap``, ``pred_area`` and ``target_area``.
        groups: (N,) images that are drawn together for the interval; see ``bootstrap_interval``.

    Returns:
        Nothing where no reference is empty. Else ``empty_images``, ``false_alarms`` (those of them in which something
        was marked), ``present_images`` (the others), ``missed`` (those of them of which no pixel was found),
        ``unmarked`` (those of them in which nothing was marked), ``present_groups`` (of the others, where these are
        fewer than they) and, unless all are empty, ``dice_present_mean``, ``dice_present_low`` and
        ``dice_present_high``.

    Example:
        >>> table = {"dice": [1.0, 0.0, 0.8, 0.0], "overlap": [0, 0, 4, 0], "pred_area": [0, 3, 5, 3]}
        >>> facts = count_presence(pd.DataFrame(table | {"target_area": [0, 0, 5, 5]}))
        >>> [facts[name] for name in ("empty_images", "false_alarms", "present_images", "missed", "dice_present_mean")]
        [2, 1, 2, 1, 0.4]
    """
    present = (scores["target_area"] > 0).to_numpy()
    if present.all():
        return {}
    there, empty = scores[present], scores[~present]
    facts: dict[str, float] = {
        "empty_images": len(empty),
        "false_alarms": int((empty["pred_area"] > 0).sum()),
        "present_images": len(there),
        "missed": int((there["overlap"] == 0).sum()),
        "unmarked": int((there["pred_area"] == 0).sum()),
    }
    if there.empty:
        return facts
    dice = there["dice"].to_numpy()
    groups = None if groups is None else np.asarray(groups)[present]
    if groups is not None and (count := pd.Series(groups).nunique()) < len(there):
        facts["present_groups"] = count
    low, high = bootstrap_interval(dice, groups=groups, limits=(0.0, 1.0))
    return facts | {"dice_present_mean": float(dice.mean()), "dice_present_low": low, "dice_present_high": high}


def describe_presence(summary: dict[str, float]) -> str:
    """What ``count_presence`` found, in words.

    Args:
        summary: of ``summarise_scores``.

    Example:
        >>> facts = {"empty_images": 4, "false_alarms": 1, "present_images": 6, "missed": 2, "unmarked": 1}
        >>> means = {"dice_present_mean": 0.6, "dice_mean": 0.66}
        >>> describe_presence({"images": 10} | means | facts)  # doctest: +NORMALIZE_WHITESPACE
        'Of 4 images that show nothing 3 got an empty mask; of 6 that show something 2 were missed. The mean Dice of
        these 6 is 0.600; over all images the mean is 0.660, as an empty mask where nothing is counts 1.'
    """
    if "empty_images" not in summary:
        return "Every image shows something."
    empty, there, missed = (summary[name] for name in ("empty_images", "present_images", "missed"))
    nothing = "1 image that shows" if empty == 1 else f"{empty} images that show"
    kept = f"Of {nothing} nothing {empty - summary['false_alarms']} got an empty mask"
    if not there:
        return f"{kept}; none shows anything, so of the masks nothing is known."
    show, dice = ("shows", "Its Dice") if there == 1 else ("show", f"The mean Dice of these {there}")
    said = (
        f"{kept}; of {there} that {show} something {missed} {'was' if missed == 1 else 'were'} missed. {dice} is "
        f"{summary['dice_present_mean']:.3f}; over all images the mean is {summary['dice_mean']:.3f}, as an empty mask "
        "where nothing is counts 1."
    )
    if summary.get("unmarked") == there and not summary["false_alarms"]:
        said += " The network marks nothing anywhere: train it longer, or look at the masks that it learns from."
    return said


TITLES = {"dice": "Dice", "iou": "IoU", "hd95": "HD95", "surface_dice": "surface Dice"}  # the others by their names
TITLES |= {"iou_thresholded": "IoU, thresholded,"}


def tabulate_scores(summary: dict[str, float]) -> pd.DataFrame:
    """Every score of a summary as a row to read: what it is called, its value, its interval and what it means.

    Args:
        summary: of ``summarise_scores``; other keys are passed over.

    Returns:
        A row for each score, with the columns ``tables.COLUMNS``, all text; its index is the names of ``DEFINITIONS``.

    Example:
        >>> summary = {"images": 3, "dice_mean": 0.9, "dice_low": 0.8, "dice_high": 0.95, "dice_pooled": 0.93}
        >>> tabulate_scores(summary)[["score", "value", "95 % interval"]].to_numpy().tolist()
        [['Dice mean per image', '0.9000', '0.8000 to 0.9500'], ['Dice pooled', '0.9300', ''], ['images', '3', '']]
    """
    means = (*AVERAGED, "iou_thresholded")
    titles = {name: f"{TITLES.get(name, name.replace('_', ' '))} mean per image" for name in means}
    titles |= {"failures": "failures", "dice_pooled": "Dice pooled", "iou_pooled": "IoU pooled"}
    titles |= {"dice_present": "Dice mean per image that shows something"}
    table = tabulate_numbers(summary, titles, DEFINITIONS, digits={"hd95": 1})  # pixels; the others are shares
    counts = {}
    if "dice_present" in table.index and summary.get("present_groups", summary.get("present_images")) == 1:
        table.loc["dice_present", INTERVAL] = NO_INTERVAL
    if "empty_images" in summary:
        counts["false_alarms"] = f"{summary['false_alarms']} of {summary['empty_images']}"
    if summary.get("present_images"):
        counts["missed"] = f"{summary['missed']} of {summary['present_images']}"
    counts["images"] = f"{summary['images']}" + (f" of {summary['groups']} groups" if "groups" in summary else "")
    for name, count in counts.items():
        table.loc[name] = [name.replace("_", " "), count, "", DEFINITIONS[name]]
    return table


def describe_scores(summary: dict[str, float]) -> dict[str, str]:
    """The rows of ``tabulate_scores`` as sentences, without what they mean.

    Args:
        summary: of ``summarise_scores``; other keys are passed over.

    Example:
        >>> describe_scores({"images": 3, "dice_mean": 0.9, "dice_low": 0.8, "dice_high": 0.95, "dice_pooled": 0.93})
        ... # doctest: +NORMALIZE_WHITESPACE
        {'dice': 'Dice mean per image 0.9000 (95 % interval 0.8000 to 0.9500)', 'dice_pooled': 'Dice pooled 0.9300',
         'images': 'images 3'}
    """
    rows = tabulate_scores(summary)
    return {row.Index: f"{row.score} {row.value}{_bracket(row[3])}" for row in rows.itertuples()}


def _bracket(interval: str) -> str:
    if interval == NO_INTERVAL:
        return " (no interval, as all that was scored is of one image or group)"
    return f" ({INTERVAL} {interval})" if interval else ""
