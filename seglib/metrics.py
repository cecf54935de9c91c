"""Masks -> scores per image; the empty-mask rule; intervals; paired tests. Never a mean of batch means."""

import math

import cv2
import numpy as np
import pandas as pd
import scipy  # its part stats takes half a second to import, and comes when it is used
from torch import Tensor

SURFACE_TOLERANCE = 0.01  # of the image's diagonal, so that it means the same at every size of file
FAILURE_IOU = 0.65  # ISIC 2018: an image below it counts as failed
AVERAGED = ("dice", "iou", "sensitivity", "precision", "hd95", "surface_dice")
DRAWS_AT_ONCE = 1 << 18  # of the bootstrap: 2 MiB of numbers, however many images there are

DEFINITIONS = {
    "dice": "Overlap over the mean area of prediction and reference, per image; 0 to 1, higher is better.",
    "iou": "Overlap over the union of prediction and reference, per image; 0 to 1, higher is better.",
    "sensitivity": "Share of the reference's pixels that were found, per image; 0 to 1, higher is better.",
    "precision": "Share of the predicted pixels that are in the reference, per image; 0 to 1, higher is better.",
    "hd95": "Distance that 95 % of either edge keeps to the other, per image; pixels of the file from 0 up to the "
    "image's diagonal, lower is better.",
    "surface_dice": f"Share of both edges that lies within {SURFACE_TOLERANCE:.0%} of the image's diagonal from the "
    "other edge, per image; 0 to 1, higher is better.",
    "iou_thresholded": f"IoU per image, counted as 0 below {FAILURE_IOU} (the rule of ISIC 2018); 0 to 1, higher is "
    "better.",
    "failures": f"Share of images with IoU below {FAILURE_IOU}; 0 to 1, lower is better.",
    "dice_pooled": "Dice of the pixels of all images together, large masks weigh more; 0 to 1, higher is better.",
    "iou_pooled": "IoU of the pixels of all images together, large masks weigh more; 0 to 1, higher is better.",
    "images": "Images scored; a count, the more the narrower the intervals. Groups are images of one patient, film or "
    "picture, which count as one for the intervals.",
    "overlap": "Pixels in both prediction and reference; a count from 0 to pixels, neither direction is better.",
    "pred_area": "Pixels in the prediction; a count from 0 to pixels, best where it equals target_area.",
    "target_area": "Pixels in the reference; a count from 0 to pixels, given and not scored.",
    "pixels": "Pixels of the file, height times width; a count from 1, given and not scored.",
}


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
    return overlap_scores(*count_pixels(pred, target))["dice"]


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
    return overlap_scores(*count_pixels(pred, target))["iou"]


def sensitivity_score(pred: Tensor, target: Tensor) -> Tensor:
    """Share of each reference that was found (recall): ``|P and T| / |T|`` = TP / (TP + FN).

    Both masks empty: 1. One of them empty: 0, also where the reference is the empty one and the ratio is undefined.

    Args:
        pred: thresholded prediction, bool or {0, 1}, (N, ...).
        target: reference, bool or {0, 1}, same shape.

    Returns:
        Float64 (N,) in [0, 1]; 1 where nothing was missed.

    Raises:
        ValueError: if the two shapes differ.

    Example:
        >>> import torch
        >>> sensitivity_score(torch.tensor([[1, 1, 1, 0]]), torch.tensor([[1, 1, 0, 0]])).tolist()
        [1.0]
    """
    return overlap_scores(*count_pixels(pred, target))["sensitivity"]


def precision_score(pred: Tensor, target: Tensor) -> Tensor:
    """Share of each prediction that is right: ``|P and T| / |P|`` = TP / (TP + FP).

    Both masks empty: 1. One of them empty: 0, also where the prediction is the empty one and the ratio is undefined.

    Args:
        pred: thresholded prediction, bool or {0, 1}, (N, ...).
        target: reference, bool or {0, 1}, same shape.

    Returns:
        Float64 (N,) in [0, 1]; 1 where nothing was claimed wrongly.

    Raises:
        ValueError: if the two shapes differ.

    Example:
        >>> import torch
        >>> precision_score(torch.tensor([[1, 1, 1, 0]]), torch.tensor([[1, 1, 0, 0]])).tolist()
        [0.6666666666666666]
    """
    return overlap_scores(*count_pixels(pred, target))["precision"]


def count_pixels(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels of each image in both masks, in ``pred`` and in ``target``: three int64 (N,).

    Raises:
        ValueError: if the two shapes differ.
    """
    if pred.shape != target.shape:
        raise ValueError(f"pred {tuple(pred.shape)} and target {tuple(target.shape)} differ")
    p, t = pred.bool().flatten(1), target.bool().flatten(1)
    return (p & t).sum(dim=1), p.sum(dim=1), t.sum(dim=1)


def overlap_scores(overlap: Tensor, pred_area: Tensor, target_area: Tensor) -> dict[str, Tensor]:
    """All scores of each image that follow from three counts, so that large masks are counted once.

    ``dice = 2 o / (p + t)``, ``iou = o / (p + t - o)``, ``sensitivity = o / t``, ``precision = o / p``; where both
    masks are empty all are 1, where one of them is all are 0.

    Args:
        overlap: pixels in both masks, int64 (N,).
        pred_area: pixels in the prediction, same shape.
        target_area: pixels in the reference, same shape.

    Returns:
        ``dice``, ``iou``, ``sensitivity`` and ``precision``, each float64 (N,) in [0, 1]; 1 is best.

    Example:
        >>> import torch
        >>> {name: score.item() for name, score in overlap_scores(*torch.tensor([[1], [1], [4]])).items()}
        {'dice': 0.4, 'iou': 0.25, 'sensitivity': 0.25, 'precision': 1.0}
    """
    both = pred_area + target_area
    wholes = {"dice": both, "iou": both - overlap, "sensitivity": target_area, "precision": pred_area}
    parts = {name: 2 * overlap if name == "dice" else overlap for name in wholes}
    # nothing was there and nothing was claimed: right; a share of nothing where there is an error: 0
    return {name: (parts[name].double() / wholes[name].clamp(min=1)).where(both > 0, 1.0) for name in wholes}


def boundary_scores(pred: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """How far the edges of two masks lie apart: the 95 % Hausdorff distance and the surface Dice of one image.

    With the distances ``a`` of each edge pixel of ``pred`` to the nearest of ``mask``, and ``b`` the other way round:
    ``hd95 = max(quantile(a, 0.95), quantile(b, 0.95))`` and ``surface_dice = mean(a and b together <= tolerance)`` with
    a tolerance of ``SURFACE_TOLERANCE`` of the image's diagonal. An edge pixel is foreground that has background above,
    below, left or right of it; beyond the image's border all is background. A mask cut by the border therefore has its
    edge there, as MONAI counts it: two masks that reach the same border agree along it.

    Both masks empty: 0 and 1. One of them empty: the image's diagonal and 0.

    Args:
        pred: thresholded prediction, uint8 (H, W) in {0, 1}.
        mask: reference, same shape.

    Returns:
        ``hd95`` in pixels, from 0 (the same edges) to the diagonal; ``surface_dice`` in [0, 1], 1 for the same edges.

    Raises:
        ValueError: if the two shapes differ.

    Source:
        Maier-Hein et al. 2024, Metrics reloaded, https://doi.org/10.1038/s41592-023-02151-z; surface Dice: Nikolov et
        al. 2018, https://arxiv.org/abs/1809.04430.

    Example:
        >>> pred, mask = np.zeros((2, 3, 4), np.uint8)
        >>> pred[:, 0], mask[:, 2] = 1, 1  # two columns, two apart; 1 % of the diagonal of 5 is less
        >>> boundary_scores(pred, mask)
        {'hd95': 2.0, 'surface_dice': 0.0}
    """
    if pred.shape != mask.shape:
        raise ValueError(f"pred {pred.shape} and mask {mask.shape} differ")
    diagonal = math.hypot(*mask.shape)
    ours, theirs = _edge(pred), _edge(mask)
    if not (ours.any() and theirs.any()):
        same = ours.any() == theirs.any()
        return {"hd95": 0.0 if same else diagonal, "surface_dice": float(same)}
    there, back = _distance(theirs)[ours], _distance(ours)[theirs]
    near = np.concatenate([there, back]) <= SURFACE_TOLERANCE * diagonal * (1 + 1e-6)  # rounding must not part equals
    hd95 = max(np.quantile(there, 0.95), np.quantile(back, 0.95))
    return {"hd95": float(hd95), "surface_dice": float(near.mean())}


def boundary_band(mask: np.ndarray) -> np.ndarray:
    """The pixels within ``SURFACE_TOLERANCE`` of the image's diagonal of the mask's edge, on both sides of it.

    The edge is that of ``boundary_scores``, so it follows the image's border where the mask is cut by it. An empty mask
    has no edge and no band.

    Args:
        mask: uint8 (H, W) in {0, 1}.

    Returns:
        bool (H, W).

    Example:
        >>> mask = np.zeros((60, 80), np.uint8)
        >>> mask[30:] = 1  # the diagonal is 100, so the band reaches 1 pixel to either side
        >>> np.flatnonzero(boundary_band(mask)[:, 40]).tolist()
        [29, 30, 31, 58, 59]
    """
    edge = _edge(mask)
    if not edge.any():
        return edge
    return _distance(edge) <= SURFACE_TOLERANCE * math.hypot(*mask.shape) * (1 + 1e-6)


def _distance(edge: np.ndarray) -> np.ndarray:
    """Pixels from every place to the nearest edge pixel, float32 (H, W), with a relative error below 1e-6.

    OpenCV's transform takes 4 ms at 512 x 512 whatever the masks are. scipy's takes several times as long, a tree of
    edge pixels (MONAI) far longer on speckled masks, and torchmetrics' memory grows with the square of the image.
    """
    return cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _edge(mask: np.ndarray) -> np.ndarray:
    """Bool (H, W): foreground with background at one of its four sides, or with the image's border there."""
    padded = np.pad(mask.astype(bool), 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return padded[1:-1, 1:-1] & ~inner


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


def bootstrap_interval(
    values: np.ndarray, *, groups: np.ndarray | None = None, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the mean over images, by the percentile bootstrap.

    Images of one lesion or near-duplicates tell less than as many strangers: give their ``groups``, and whole groups
    are drawn instead of images. Where every image is a group of its own, the interval is the one without groups.

    Args:
        values: (N,) one score per image.
        groups: (N,) the group of each image: numbers or names.
        resamples: how many times N images, or all as many groups, are drawn with replacement.
        seed: of the drawing.

    Returns:
        Lower and upper end; both are the mean where there is one image or one group.

    Raises:
        ValueError: if there are no values, or not as many groups.

    Source:
        Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13; groups: Field and Welsh 2007,
        Bootstrapping clustered data, J. R. Statist. Soc. B 69, 369-390.

    Example:
        >>> bootstrap_interval(np.array([0.0, 0.0, 1.0, 1.0]), groups=np.array(["a", "a", "a", "a"]))
        (0.5, 0.5)
    """
    ((low, high),) = _intervals(np.asarray(values, dtype=float)[None], groups, resamples, seed)
    return low, high


def _intervals(rows: np.ndarray, groups: np.ndarray | None, resamples: int, seed: int) -> list[tuple[float, float]]:
    """The interval of the mean of each row of a table (K, N); all rows share one drawing."""
    count = rows.shape[1]
    if not count or (groups is not None and len(groups) != count):
        raise ValueError(f"{count} values and {'no' if groups is None else len(groups)} groups cannot be resampled")
    codes = np.arange(count) if groups is None else pd.factorize(np.asarray(groups), use_na_sentinel=False)[0]
    sizes, sums = np.bincount(codes), [np.bincount(codes, weights=row) for row in rows]
    rng, means = np.random.default_rng(seed), np.empty((len(rows), resamples))
    step = max(1, DRAWS_AT_ONCE // sizes.size)
    for start in range(0, resamples, step):  # the same numbers as one drawing after the other, in bounded memory
        drawn = rng.integers(0, sizes.size, (min(step, resamples - start), sizes.size))
        images = sizes[drawn].sum(axis=1)
        for row, mean in zip(sums, means, strict=True):
            mean[start : start + step] = row[drawn].sum(axis=1) / images
    return [(float(low), float(high)) for low, high in np.quantile(means, [0.025, 0.975], axis=1).T]


def summarise_scores(scores: pd.DataFrame, *, groups: np.ndarray | None = None) -> dict[str, float]:
    """The mean over images of every score with its 95 % interval, and the pooled figures beside them.

    Args:
        scores: one row per image with ``dice``, ``iou``, ``overlap``, ``pred_area``, ``target_area`` and, where they
            are known, ``sensitivity``, ``precision``, ``hd95`` and ``surface_dice``.
        groups: (N,) images that are drawn together for the intervals; see ``bootstrap_interval``.

    Returns:
        ``images``; ``groups``, where these are fewer; ``<score>_mean``, ``<score>_low`` and ``<score>_high`` of every
        score and of ``iou_thresholded`` (an IoU below ``FAILURE_IOU`` counts 0); ``failures``, the share of such
        images; ``dice_pooled`` and ``iou_pooled``. ``DEFINITIONS`` says what each means.

    Source:
        ISIC 2018 (threshold): Codella et al. 2019, https://arxiv.org/abs/1902.03368.
    """
    failed = scores["iou"] < FAILURE_IOU
    means = scores[[name for name in AVERAGED if name in scores]].astype(float)
    means["iou_thresholded"] = scores["iou"].mask(failed, 0.0)
    summary: dict[str, float] = {"images": len(scores)}
    if groups is not None and (count := pd.Series(groups).nunique()) < len(scores):
        summary["groups"] = count
    for name, (low, high) in zip(means, _intervals(means.to_numpy().T, groups, 2000, 0), strict=True):
        summary |= {f"{name}_mean": float(means[name].mean()), f"{name}_low": low, f"{name}_high": high}
    areas = (scores[column].to_numpy() for column in ("overlap", "pred_area", "target_area"))
    return summary | {"failures": float(failed.mean())} | pooled_scores(*areas)


TITLES = {"dice": "Dice", "iou": "IoU", "hd95": "HD95", "surface_dice": "surface Dice"}  # the others by their names
TITLES |= {"iou_thresholded": "IoU, thresholded,"}


def describe_scores(summary: dict[str, float]) -> dict[str, str]:
    """Every score of a summary in words, with its interval where it has one; ``DEFINITIONS`` has a sentence for each.

    Args:
        summary: of ``summarise_scores``; other keys are passed over.

    Example:
        >>> describe_scores({"images": 3, "dice_mean": 0.9, "dice_low": 0.8, "dice_high": 0.95, "dice_pooled": 0.93})
        ... # doctest: +NORMALIZE_WHITESPACE
        {'dice': 'Dice mean per image 0.9000 (95 % interval 0.8000 to 0.9500)', 'dice_pooled': 'Dice pooled 0.9300',
         'images': 'images 3'}
    """
    texts = {}
    for name in (*AVERAGED, "iou_thresholded"):
        if f"{name}_mean" in summary:
            mean, low, high = (summary[f"{name}_{end}"] for end in ("mean", "low", "high"))
            title = TITLES.get(name, name.replace("_", " "))
            texts[name] = f"{title} mean per image {mean:.4f} (95 % interval {low:.4f} to {high:.4f})"
    for name, title in (("failures", "failures"), ("dice_pooled", "Dice pooled"), ("iou_pooled", "IoU pooled")):
        if name in summary:
            texts[name] = f"{title} {summary[name]:.4f}"
    of = f" of {summary['groups']} groups" if "groups" in summary else ""
    return texts | {"images": f"images {summary['images']}{of}"}


def compare_scores(
    first: np.ndarray, second: np.ndarray, *, groups: np.ndarray | None = None, resamples: int = 2000, seed: int = 0
) -> dict[str, float]:
    """Whether the second of two runs is better, image by image.

    Where a patient has several images, these are one observation: give their ``groups``. Then whole groups are drawn
    for the interval, and the test takes the mean difference of each group.

    Args:
        first: (N,) scores of one run.
        second: (N,) scores of the other on the same images in the same order.
        groups: (N,) the group of each image, as for ``bootstrap_interval``.
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
    low, high = bootstrap_interval(difference, groups=groups, resamples=resamples, seed=seed)
    means = pd.Series(difference).groupby(np.arange(len(difference)) if groups is None else groups).mean().to_numpy()
    p = float(scipy.stats.wilcoxon(means).pvalue) if means.any() else 1.0
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
