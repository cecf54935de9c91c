"""Masks -> scores per image; the empty-mask rule; intervals; paired tests. Never a mean of batch means."""

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon
from torch import Tensor


def dice_score(pred: Tensor, target: Tensor) -> Tensor:
    """Dice of each image: ``2 * |P and T| / (|P| + |T|)``.

    Both masks empty: 1. One of them empty: 0.

    Args:
        pred: thresholded prediction, bool or {0, 1}, (N, ...).
        target: reference, bool or {0, 1}, same shape.

    Returns:
        Float64 (N,) in [0, 1]; 1 is a perfect overlap.

    Raises:
        ValueError: if the two shapes differ.

    Source:
        Dice 1945, https://doi.org/10.2307/1932409.

    Example:
        >>> import torch
        >>> dice_score(torch.tensor([[1, 1, 0, 0]]), torch.tensor([[1, 0, 0, 0]])).tolist()  # 2 * 1 / (2 + 1)
        [0.6666666666666666]
    """
    overlap, pred_area, target_area = count_pixels(pred, target)
    return _ratio(2 * overlap, pred_area + target_area)


def iou_score(pred: Tensor, target: Tensor) -> Tensor:
    """Intersection over union (Jaccard) of each image: ``|P and T| / |P or T|``.

    Both masks empty: 1. One of them empty: 0.

    Args:
        pred: thresholded prediction, bool or {0, 1}, (N, ...).
        target: reference, bool or {0, 1}, same shape.

    Returns:
        Float64 (N,) in [0, 1]; 1 is a perfect overlap.

    Raises:
        ValueError: if the two shapes differ.

    Example:
        >>> import torch
        >>> iou_score(torch.tensor([[1, 1, 0, 0]]), torch.tensor([[1, 0, 0, 0]])).tolist()
        [0.5]
    """
    overlap, pred_area, target_area = count_pixels(pred, target)
    return _ratio(overlap, pred_area + target_area - overlap)


def count_pixels(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels of each image in both masks, in ``pred`` and in ``target``: three int64 (N,).

    Raises:
        ValueError: if the two shapes differ.
    """
    if pred.shape != target.shape:
        raise ValueError(f"pred {tuple(pred.shape)} and target {tuple(target.shape)} differ")
    p, t = pred.bool().flatten(1), target.bool().flatten(1)
    return (p & t).sum(dim=1), p.sum(dim=1), t.sum(dim=1)


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """``part / whole``, and 1 where both are 0: nothing was there and nothing was claimed."""
    return (part.double() / whole.clamp(min=1)).where(whole > 0, 1.0)


def pooled_scores(overlap: np.ndarray, pred_area: np.ndarray, target_area: np.ndarray) -> dict[str, float]:
    """Dice and IoU of all pixels of all images together; large masks weigh more than in the mean per image.

    Args:
        overlap: (N,) pixels in both masks.
        pred_area: (N,) pixels in the prediction.
        target_area: (N,) pixels in the reference.

    Returns:
        ``dice_pooled`` and ``iou_pooled``, in [0, 1].
    """
    o, both = float(np.sum(overlap)), float(np.sum(pred_area) + np.sum(target_area))
    return {"dice_pooled": 2 * o / both if both else 1.0, "iou_pooled": o / (both - o) if both else 1.0}


def bootstrap_interval(values: np.ndarray, *, resamples: int = 2000, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean over images, by the percentile bootstrap.

    Args:
        values: (N,) one score per image.
        resamples: how many times N images are drawn with replacement.
        seed: of the drawing.

    Returns:
        Lower and upper end; both are the mean where N is 1.

    Source:
        Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.
    """
    values = np.asarray(values, dtype=float)
    rng = np.random.default_rng(seed)
    means = [rng.choice(values, values.size).mean() for _ in range(resamples)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def summarise_scores(scores: pd.DataFrame) -> dict[str, float]:
    """The mean over images of Dice and IoU with 95 % intervals, and the pooled figures beside them.

    Args:
        scores: one row per image with ``dice``, ``iou``, ``overlap``, ``pred_area``, ``target_area``.
    """
    summary: dict[str, float] = {"images": len(scores)}
    for name in ("dice", "iou"):
        low, high = bootstrap_interval(scores[name].to_numpy())
        summary |= {f"{name}_mean": float(scores[name].mean()), f"{name}_low": low, f"{name}_high": high}
    areas = (scores[column].to_numpy() for column in ("overlap", "pred_area", "target_area"))
    return summary | pooled_scores(*areas)


def compare_scores(first: np.ndarray, second: np.ndarray, *, resamples: int = 2000, seed: int = 0) -> dict[str, float]:
    """Whether the second of two runs is better, image by image.

    Args:
        first: (N,) scores of one run.
        second: (N,) scores of the other on the same images in the same order.
        resamples: of the bootstrap.
        seed: of the bootstrap.

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
    low, high = bootstrap_interval(difference, resamples=resamples, seed=seed)
    p = float(wilcoxon(difference).pvalue) if difference.any() else 1.0
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
    if clear and facts["p"] < 0.05 and gained == (facts["better"] > facts["worse"]):
        return f"the second run is {'better' if gained else 'worse'}, and the difference is real"
    if clear or facts["p"] < 0.05:
        return "mean and number of images do not agree: look at the images that differ most before you believe it"
    return "the difference may be chance: more images, or more seeds, are needed to tell the runs apart"
