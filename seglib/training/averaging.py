"""The moving average of the weights, kept beside them in a few large operations."""

import warnings
from functools import partial

import torch
from torch import Tensor

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", ".*IProgress not found.*")  # in a notebook it asks for widgets we do not use
    import pytorch_lightning as pl
    from pytorch_lightning.callbacks import WeightAveraging


class MovingAverage(WeightAveraging):
    """Lightning's, for a GPU: its ``EMAWeightAveraging`` gives every weight four kernels of its own and waits twice.

    Args:
        decay: the share of the average that stays in each step; the new weights are the rest.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(use_buffers=True, multi_avg_fn=partial(move_average, decay=decay))

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Keep the count of steps on the CPU, where it can be looked at without waiting for a GPU."""
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            self._average_model.n_averaged = self._average_model.n_averaged.cpu()


def move_average(averages: list[Tensor], weights: list[Tensor], _: Tensor, *, decay: float) -> None:
    """``decay * average + (1 - decay) * weight``, in place; of what is counted in whole numbers, the newest count."""
    if averages[0].is_floating_point():
        torch._foreach_lerp_(averages, weights, 1 - decay)
    else:
        torch._foreach_copy_(averages, weights)
