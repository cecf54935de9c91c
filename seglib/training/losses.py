"""Logits and target -> a scalar that falls; pure functions.

Every loss takes raw logits and sums in float32. ``LOSSES`` has them by name; ``combine_losses`` adds them up.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  the field's name for it

from seglib.training.logits import check_logits

Loss = Callable[[Tensor, Tensor], Tensor]


def bce_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy, averaged over all pixels.

    ``-t * log(p) - (1 - t) * log(1 - p)`` with ``p = sigmoid(logits)``, computed without the sigmoid, so that a
    certain mistake costs its logit and not infinity.

    Args:
        logits: raw model output, float (N, 1, H, W); never a probability.
        target: reference in {0, 1}, any real dtype, same shape.

    Returns:
        Scalar in nats per pixel, at least 0; 0 is a perfect and certain prediction, ln 2 knows nothing.

    Raises:
        ValueError: if the two shapes differ, or the logits are whole numbers or look like probabilities.

    Example:
        >>> import torch
        >>> round(bce_loss(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)).item(), 4)
        0.6931
    """
    logits, target = _prepare(logits, target)
    return F.binary_cross_entropy_with_logits(logits, target)


def dice_loss(logits: Tensor, target: Tensor, *, smooth: float = 1.0) -> Tensor:
    """Soft Dice loss of each image, averaged over the images.

    Each image contributes ``1 - (2 * sum(p * t) + smooth) / (sum(p) + sum(t) + smooth)`` with ``p = sigmoid(logits)``.
    With ``smooth > 0`` an image whose target is empty still pushes ``p`` to zero. The sums are in float32, so that
    half precision does not overflow them.

    Args:
        logits: raw model output, float (N, 1, H, W); never a probability.
        target: reference in {0, 1}, any real dtype, same shape.
        smooth: pixels added to numerator and denominator; 0 leaves empty targets undefined.

    Returns:
        Scalar in [0, 1]; 0 is a perfect overlap.

    Raises:
        ValueError: if the two shapes differ, or the logits are whole numbers or look like probabilities.

    Source:
        Milletari et al. 2016, V-Net, https://arxiv.org/abs/1606.04797 (without the squares).

    Example:
        >>> import torch
        >>> dice_loss(torch.full((1, 1, 2, 2), 100.0), torch.ones(1, 1, 2, 2)).item()
        0.0
    """
    logits, target = _prepare(logits, target)
    p, t = logits.sigmoid().flatten(1), target.flatten(1)  # (N, H*W)
    overlap = (p * t).sum(dim=1)  # (N,)
    return (1 - (2 * overlap + smooth) / (p.sum(dim=1) + t.sum(dim=1) + smooth)).mean()


def focal_loss(logits: Tensor, target: Tensor, *, gamma: float = 2.0, alpha: float | None = None) -> Tensor:
    """Cross-entropy in which pixels already right count little, averaged over all pixels.

    ``a * (1 - q) ** gamma * -log(q)`` where ``q`` is the probability given to the right class and ``a`` is ``alpha`` on
    the foreground, ``1 - alpha`` on the background, or 1 without ``alpha``. The values are several times smaller than
    those of ``bce_loss``: weigh it up in a sum.

    The paper's ``alpha=0.25`` counts the *foreground* a third as much as the background. It belongs to detection, where
    the best ``alpha`` was found together with ``gamma`` and gained little; here it is left out, as smp and MONAI do.

    Args:
        logits: raw model output, float (N, 1, H, W); never a probability.
        target: reference in {0, 1}, any real dtype, same shape.
        gamma: at least 0; how fast the easy pixels fade. 0 without ``alpha`` is ``bce_loss``.
        alpha: weight of the foreground in [0, 1], or None for equal weights.

    Returns:
        Scalar, at least 0; 0 is a perfect and certain prediction.

    Raises:
        ValueError: if the two shapes differ, or the logits are whole numbers or look like probabilities.

    Source:
        Lin et al. 2017, Focal Loss for Dense Object Detection, https://arxiv.org/abs/1708.02002.

    Example:
        >>> import torch
        >>> round(focal_loss(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)).item(), 4)  # (1 - 1/2)**2 * ln 2
        0.1733
    """
    logits, target = _prepare(logits, target)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    # (1 - q) ** gamma by its logarithm: a power below 1 has no finite gradient where 1 - q rounds to 0
    modulation = (gamma * F.logsigmoid(logits * (1 - 2 * target))).exp()
    weight = 1.0 if alpha is None else alpha * target + (1 - alpha) * (1 - target)
    return (weight * modulation * cross_entropy).mean()


def tversky_loss(
    logits: Tensor, target: Tensor, *, alpha: float = 0.3, beta: float = 0.7, smooth: float = 1.0
) -> Tensor:
    """Dice loss with its own price for each kind of mistake, per image, averaged over the images.

    Each image contributes ``1 - (TP + smooth) / (TP + alpha * FP + beta * FN + smooth)`` with the soft counts
    ``TP = sum(p * t)``, ``FP = sum(p * (1 - t))``, ``FN = sum((1 - p) * t)`` and ``p = sigmoid(logits)``. The defaults
    prefer a mask too large to one too small. With both at 0.5 it is ``dice_loss`` of twice the ``smooth``.

    Args:
        logits: raw model output, float (N, 1, H, W); never a probability.
        target: reference in {0, 1}, any real dtype, same shape.
        alpha: price of a false positive pixel, at least 0.
        beta: price of a false negative pixel, at least 0.
        smooth: pixels added to numerator and denominator; 0 leaves empty targets without a gradient.

    Returns:
        Scalar in [0, 1]; 0 is a perfect overlap.

    Raises:
        ValueError: if the two shapes differ, or the logits are whole numbers or look like probabilities.

    Source:
        Salehi et al. 2017, https://arxiv.org/abs/1706.05721 (without the smoothing).

    Example:
        >>> import torch
        >>> missed, target = torch.full((1, 1, 1, 1), -100.0), torch.ones(1, 1, 1, 1)
        >>> round(tversky_loss(missed, target).item(), 4)  # 1 - 1 / (0.7 + 1)
        0.4118
        >>> round(tversky_loss(-missed, 1 - target).item(), 4)  # 1 - 1 / (0.3 + 1)
        0.2308
    """
    logits, target = _prepare(logits, target)
    p, t = logits.sigmoid().flatten(1), target.flatten(1)  # (N, H*W)
    hit, false_alarm, miss = (p * t).sum(dim=1), (p * (1 - t)).sum(dim=1), ((1 - p) * t).sum(dim=1)  # (N,)
    return (1 - (hit + smooth) / (hit + alpha * false_alarm + beta * miss + smooth)).mean()


def lovasz_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Lovász hinge: the convex stand-in for ``1 - IoU`` of each image, averaged over the images.

    The hinge errors ``max(0, 1 - logits * (2 * t - 1))`` of an image, from the largest down, are each weighted by how
    much ``1 - IoU`` grows when that pixel goes wrong as well. A pixel right by a margin of 1 costs nothing, so logits
    stay small and a probability made of them is poorly calibrated. Where the target is empty only the highest logit is
    pushed; add some ``bce_loss`` to reach the others.

    Args:
        logits: raw model output, float (N, 1, H, W); never a probability.
        target: reference in {0, 1}, any real dtype, same shape.

    Returns:
        Scalar, at least 0 and not bounded; 0 is every pixel right by the margin. Logits of 1 and -1 give
        ``2 * (1 - IoU)``.

    Raises:
        ValueError: if the two shapes differ, or the logits are whole numbers or look like probabilities.

    Source:
        Berman et al. 2018, https://arxiv.org/abs/1705.08790, algorithm 1.

    Example:
        >>> import torch
        >>> logits, target = torch.tensor([[[[1.0, 1.0, -1.0]]]]), torch.tensor([[[[1, 0, 0]]]])
        >>> lovasz_loss(logits, target).item()  # IoU 1/2
        1.0
    """
    logits, target = _prepare(logits, target)
    z, t = logits.flatten(1), target.flatten(1)  # (N, H*W)
    errors, order = (1 - z * (2 * t - 1)).sort(dim=1, descending=True)
    t = t.gather(1, order)
    total = t.sum(dim=1, keepdim=True)
    right = total - t.cumsum(dim=1)  # intersection and union when the pixels so far are wrong
    jaccard_loss = 1 - right / (total + (1 - t).cumsum(dim=1))
    growth = jaccard_loss.diff(dim=1, prepend=torch.zeros_like(total))
    return (errors.relu() * growth).sum(dim=1).mean()  # not a dot product, which autocast would take in half precision


def seed_loss(logits: Tensor, target: Tensor) -> Tensor:
    """The loss as the seed project computed it, kept only so that its published curve can be compared with ours.

    ``0.5 * BCE(p, t) + 0.5 * Dice(sigmoid(p), t)`` with ``p = sigmoid(logits)`` and the Dice pooled over the batch. The
    Dice part squashes twice and sees values in [0.5, 0.73]: a perfect mask still scores 0.274 where a quarter of the
    pixels is foreground. Never train with it.

    Args:
        logits: raw model output, float (N, 1, H, W); never a probability.
        target: reference in {0, 1}, same shape.

    Returns:
        Scalar; smaller is better, but 0 cannot be reached.

    Raises:
        ValueError: if the two shapes differ, or the logits are whole numbers or look like probabilities.
    """
    logits, target = _prepare(logits, target)
    twice = logits.sigmoid().sigmoid()
    dice = 1 - (2 * (twice * target).sum() + 1) / (twice.sum() + target.sum() + 1)
    return 0.5 * F.binary_cross_entropy_with_logits(logits, target) + 0.5 * dice


LOSSES: dict[str, Loss] = {
    "bce": bce_loss,
    "dice": dice_loss,
    "focal": focal_loss,
    "tversky": tversky_loss,
    "lovasz": lovasz_loss,
}


def combine_losses(terms: Sequence[tuple[float, str]]) -> Loss:
    """The function that computes ``w1 * loss1 + w2 * loss2 + ...``; it can be pickled.

    Args:
        terms: weight and name of each loss, a name of ``LOSSES``; at least one.

    Returns:
        Function of logits and target, both (N, 1, H, W), that returns a scalar.

    Raises:
        ValueError: if there is no term, or a name is not in ``LOSSES``.

    Example:
        >>> import torch
        >>> loss = combine_losses([(0.5, "bce"), (0.5, "dice")])
        >>> round(loss(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)).item(), 4)  # ln 2 / 2 + (1 - 5/7) / 2
        0.4894
    """
    unknown = [name for _, name in terms if name not in LOSSES]
    if unknown or not terms:
        raise ValueError(
            f"losses {unknown} are not among {', '.join(LOSSES)}" if unknown else "there is no loss to sum"
        )
    return partial(_weighted_sum, [(weight, LOSSES[name]) for weight, name in terms])


def _weighted_sum(terms: Sequence[tuple[float, Loss]], logits: Tensor, target: Tensor) -> Tensor:
    return sum(weight * loss(logits, target) for weight, loss in terms)


def _prepare(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and target in float32 (half precision would overflow), after a check of shapes and logits."""
    if logits.shape != target.shape:
        raise ValueError(f"logits {tuple(logits.shape)} and target {tuple(target.shape)} differ")
    check_logits(logits)
    return logits.float(), target.float()
