"""Masks -> scores per image; the empty-mask rule. Never a mean of batch means."""

import math

import cv2
import numpy as np
from torch import Tensor

SURFACE_TOLERANCE = 0.01  # of the image's diagonal, so that it means the same at every size of file


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


def dice_of_counts(overlap: float, pred_area: float, target_area: float) -> float:
    """``overlap_scores(...)["dice"]`` of one pair of masks, as a number.

    Example:
        >>> dice_of_counts(1, 1, 4), dice_of_counts(0, 0, 4), dice_of_counts(0, 0, 0)
        (0.4, 0.0, 1.0)
    """
    both = pred_area + target_area
    return 2 * overlap / both if both else 1.0


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
    o, p, t = (float(np.sum(counts)) for counts in (overlap, pred_area, target_area))
    return {"dice_pooled": dice_of_counts(o, p, t), "iou_pooled": o / (p + t - o) if p + t else 1.0}
