"""Logits and target -> a scalar that falls; pure functions."""

from torch import Tensor
from torch.nn import functional as F  # noqa: N812  the field's name for it


def dice_loss(logits: Tensor, target: Tensor, *, smooth: float = 1.0) -> Tensor:
    """Soft Dice loss of each image, averaged over the images.

    Each image contributes ``1 - (2 * sum(p * t) + smooth) / (sum(p) + sum(t) + smooth)`` with ``p = sigmoid(logits)``.
    With ``smooth > 0`` an image whose target is empty still pushes ``p`` to zero. The sums are in float32, so that
    half precision does not overflow them.

    Args:
        logits: raw model output, float (N, 1, H, W).
        target: reference in {0, 1}, any real dtype, same shape.
        smooth: pixels added to numerator and denominator; 0 leaves empty targets undefined.

    Returns:
        Scalar in [0, 1]; 0 is a perfect overlap.

    Raises:
        ValueError: if the two shapes differ.

    Source:
        Milletari et al. 2016, V-Net, https://arxiv.org/abs/1606.04797 (without the squares).

    Example:
        >>> import torch
        >>> dice_loss(torch.full((1, 1, 2, 2), 100.0), torch.ones(1, 1, 2, 2)).item()
        0.0
    """
    _check_shapes(logits, target)
    p, t = logits.float().sigmoid().flatten(1), target.float().flatten(1)  # (N, H*W)
    overlap = (p * t).sum(dim=1)  # (N,)
    return (1 - (2 * overlap + smooth) / (p.sum(dim=1) + t.sum(dim=1) + smooth)).mean()


def bce_dice_loss(logits: Tensor, target: Tensor, *, bce_weight: float = 0.5) -> Tensor:
    """Weighted sum of binary cross-entropy over pixels and Dice loss per image.

    ``bce_weight * BCE + (1 - bce_weight) * dice_loss``.

    Args:
        logits: raw model output, float (N, 1, H, W); never a probability.
        target: reference in {0, 1}, any real dtype, same shape.
        bce_weight: share of the cross-entropy, in [0, 1].

    Returns:
        Scalar, at least 0; 0 is a perfect and certain prediction.

    Raises:
        ValueError: if the two shapes differ.

    Example:
        >>> import torch
        >>> round(bce_dice_loss(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)).item(), 4)  # ln 2 / 2 + (1 - 5/7) / 2
        0.4894
    """
    _check_shapes(logits, target)
    bce = F.binary_cross_entropy_with_logits(logits.float(), target.float())
    return bce_weight * bce + (1 - bce_weight) * dice_loss(logits, target)


def seed_loss(logits: Tensor, target: Tensor) -> Tensor:
    """The loss as the seed project computed it, kept only so that its published curve can be compared with ours.

    ``0.5 * BCE(p, t) + 0.5 * Dice(sigmoid(p), t)`` with ``p = sigmoid(logits)`` and the Dice pooled over the batch. The
    Dice part squashes twice and sees values in [0.5, 0.73]: a perfect mask still scores 0.274 where a quarter of the
    pixels is foreground. Never train with it.

    Args:
        logits: raw model output, float (N, 1, H, W).
        target: reference in {0, 1}, same shape.

    Returns:
        Scalar; smaller is better, but 0 cannot be reached.

    Raises:
        ValueError: if the two shapes differ.
    """
    _check_shapes(logits, target)
    logits, target = logits.float(), target.float()
    twice = logits.sigmoid().sigmoid()
    dice = 1 - (2 * (twice * target).sum() + 1) / (twice.sum() + target.sum() + 1)
    return 0.5 * F.binary_cross_entropy_with_logits(logits, target) + 0.5 * dice


def _check_shapes(logits: Tensor, target: Tensor) -> None:
    if logits.shape != target.shape:
        raise ValueError(f"logits {tuple(logits.shape)} and target {tuple(target.shape)} differ")
