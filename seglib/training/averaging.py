"""The moving average of the weights, kept beside them in a few large operations."""

from itertools import chain

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class MovingAverage(WeightAveraging):
    """Lightning's, for a GPU: its ``EMAWeightAveraging`` gives every weight four kernels of its own and waits twice.

    Args:
        decay: the share of the average that stays in each step; the new weights are the rest.
    """

    def __init__(self, decay: float) -> None:
        super().__init__()
        self.decay = decay

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Average with ours, where training begins."""
        if stage == "fit":
            self._average_model = AveragedWeights(pl_module, self._device or pl_module.device, self.decay)


class AveragedWeights(AveragedModel):
    """The weights and buffers of a network, averaged.

    torch's own looks how many steps were averaged, on a GPU in each of them, which then has to come to an end first.
    """

    def __init__(self, network: nn.Module, device: torch.device, decay: float) -> None:
        super().__init__(network, device=device)
        self.decay = decay
        self.n_averaged = self.n_averaged.cpu()

    def update_parameters(self, model: nn.Module) -> None:
        """Move the average by one step; the first one is a copy."""
        averages, weights = (
            [one.detach() for one in chain(network.parameters(), network.buffers())] for network in (self.module, model)
        )
        decay = self.decay if self.n_averaged > 0 else 0.0
        move_average(averages, weights, decay=decay)
        self.n_averaged += 1


@torch.no_grad()
def move_average(averages: list[Tensor], weights: list[Tensor], *, decay: float) -> None:
    """``decay * average + (1 - decay) * weight``, in place; of what is counted in whole numbers, the newest count."""
    pairs = list(zip(averages, weights, strict=True))
    floats, counts = ([pair for pair in pairs if pair[0].is_floating_point() == wanted] for wanted in (True, False))
    if floats:
        torch._foreach_lerp_(*map(list, zip(*floats, strict=True)), 1 - decay)
    if counts:
        torch._foreach_copy_(*map(list, zip(*counts, strict=True)))
