"""Raw logits, told from probabilities by where they come from or by their values."""

import torch
from torch import Tensor

SPREAD = 0.9  # of values in [0, 1], from which on they are taken for probabilities

# Names of autograd nodes, without "Backward0": those that make probabilities, and those that leave them probabilities.
SQUASHING = frozenset("Sigmoid Softmax Hardsigmoid".split())
KEEPING = frozenset(
    "ToCopy View UnsafeView ReshapeAlias AsStrided Alias Clone Slice Select Index Split SplitWithSizes Unbind Squeeze "
    "Unsqueeze Permute Transpose T Expand Flip Clamp ClampMin ClampMax NanToNum UpsampleBilinear2D "
    "UpsampleNearest2D".split()
)


def check_logits(logits: Tensor) -> None:
    """Refuse what has been through a sigmoid: the loss would fall all the same, and the network learn badly.

    Args:
        logits: of any shape.

    Raises:
        ValueError: if they are whole numbers, or look like probabilities.
    """
    if not logits.is_floating_point():
        raise ValueError(f"logits are {logits.dtype}; hand over the raw floating-point logits")
    if _is_squashed(logits):
        reason = "a sigmoid or softmax made them"
    elif _spreads_over_unit_interval(logits):
        reason = "they fill [0, 1] and never leave it"
    else:
        return
    raise ValueError(f"logits look like probabilities, {reason}; hand over the raw logits, without the sigmoid")


def _is_squashed(logits: Tensor) -> bool:
    """Whether the autograd graph ends in a sigmoid or softmax, whatever casts, crops or views follow it."""
    node = logits.grad_fn
    while node is not None:
        name = node.name().partition("Backward")[0]
        if name not in KEEPING:
            return name in SQUASHING
        node = node.next_functions[0][0]
    return False


def _spreads_over_unit_interval(logits: Tensor) -> bool:
    """Whether all values lie in [0, 1] and reach across nearly all of it, as probabilities do and raw logits seldom do.

    Seldom is not never: those of a healthy network may, in its first steps over images that are mostly foreground. So
    only where there is no graph to ask, and somebody means to have one: not in training, nor where a network is scored.
    """
    if logits.requires_grad or not torch.is_grad_enabled() or logits.numel() == 0:
        return False
    low, high = (value.item() for value in logits.detach().aminmax())
    return low >= 0 and high <= 1 and high - low > SPREAD
