"""A network with its loss, its scores and its optimizer, as Lightning wants them."""

import dataclasses
import math
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from seglib.batches.loaders import Batch
from seglib.batches.warps import augment_batch
from seglib.config import Config, parse_loss
from seglib.machine.ranks import gather
from seglib.models.networks import choose_precision, scale_images
from seglib.scores.metrics import dice_score, iou_score
from seglib.training.averaging import MovingAverage
from seglib.training.losses import combine_losses, seed_loss

WARM_UP = {"onecycle": 0.2, "cosine": 0.05}  # share of the steps in which the rate climbs, before it falls as a cosine


class Segmenter(pl.LightningModule):
    """A network with its loss, its scores and its optimizer, as Lightning wants them.

    Scores during training are those at network size; ``04_evaluation`` scores at the size of the files.

    Several processes may share its batches. A step averages their gradients, which is the gradient of one process, as
    every loss of ``LOSSES`` is a mean over equal images. ``seed_loss`` is not (its Dice is pooled over the batch), so a
    validation batch is never divided; what was measured on each is exchanged when all are done.

    Args:
        network: float images (N, C, H, W) in [0, 1] -> logits (N, 1, H, W).
        config: the numbers.
        total_steps: optimizer steps of the whole training.
        part_images: where each batch comes in parts, how many images a part has on average. Their gradients are added,
            weighted by their images, so that they are those of the batch.
    """

    def __init__(
        self, network: nn.Module, config: Config, *, total_steps: int, part_images: float | None = None
    ) -> None:
        super().__init__()
        self.save_hyperparameters({"config": dataclasses.asdict(config)})  # travels inside every checkpoint
        self.network = network.to(memory_format=torch.channels_last)
        self.config = config
        self.loss = combine_losses(parse_loss(config.loss))
        self.total_steps = total_steps
        self.part_images = part_images
        self.val_batches: list[dict[str, Tensor]] = []

    def forward(self, images: Tensor) -> Tensor:
        """Images uint8 (N, C, H, W) -> logits float (N, 1, H, W)."""
        return self.network(scale_images(images))

    def on_after_batch_transfer(self, batch: Batch, _: int) -> Batch:
        """Augment on the device what the loader has only drawn for."""
        return augment_batch(batch)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """The loss of one batch, or of a part of it."""
        loss, images = self.loss(self(batch["image"]), batch["mask"]), len(batch["image"])
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=images, sync_dist=True)
        return loss * (images / self.part_images) if self.part_images else loss

    def validation_step(self, batch: Batch, _: int) -> None:
        """Losses of one batch, and the scores of each of its images."""
        logits, mask = self._infer(batch["image"]).float(), batch["mask"]
        pred = logits > 0  # a probability above 0.5
        losses = {"val_loss": self.loss(logits, mask), "val_loss_seed": seed_loss(logits, mask)}
        scores = {"val_dice": dice_score(pred, mask), "val_iou": iou_score(pred, mask)}
        self.val_batches.append({"row": batch["row"][0], **losses, **scores})

    def _infer(self, images: Tensor) -> Tensor:
        """The logits of a batch, with no more images in the network at once than in training."""
        if not self.part_images:
            return self(images)
        return torch.cat([self(part) for part in images.split(math.ceil(self.part_images))])

    def on_validation_epoch_end(self) -> None:
        """The mean over images, whatever the batches were and whoever saw them."""
        batches = self._gather_batches()
        images = torch.tensor(sum(len(batch["val_dice"]) for batch in batches), device=self.device)
        for name in ("val_loss", "val_loss_seed"):
            self.log(name, sum(batch[name] * len(batch["val_dice"]) for batch in batches) / images)
        for name in ("val_dice", "val_iou"):
            self.log(name, torch.cat([batch[name] for batch in batches]).float().mean())
        self.val_batches.clear()

    def _gather_batches(self) -> list[dict[str, Tensor]]:
        """What all processes measured, in the order of the validation samples, and every batch once."""
        if self.trainer.world_size == 1:
            return self.val_batches
        mine = [{name: value.cpu() for name, value in batch.items()} for batch in self.val_batches]
        by_row = {int(batch["row"]): batch for batches in gather(mine) for batch in batches}
        return [{name: value.to(self.device) for name, value in by_row[row].items()} for row in sorted(by_row)]

    def configure_optimizers(self) -> dict[str, Any]:
        """Adam or AdamW, the rate halved on a plateau or led up and down again step by step."""
        config = self.config
        kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
        groups = _parameter_groups(self.network, config)
        fused = may_fuse(next(self.network.parameters()).device, config) or None
        optimizer = kind(groups, lr=config.learning_rate, weight_decay=config.weight_decay, fused=fused)
        if config.schedule == "plateau":
            halve = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=config.lr_patience)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": halve, "monitor": "val_loss"}}
        peaks = [group["lr"] for group in groups]
        warm_up = WARM_UP[config.schedule]
        total_steps = max(2, self.total_steps)  # the last rate is next to nothing, and nobody would learn by it alone
        if total_steps > 2:
            warm_up = max(warm_up, 2 / total_steps)  # a climb of just one step is a division by zero
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, peaks, total_steps, pct_start=warm_up, cycle_momentum=config.schedule == "onecycle"
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Cut a gradient that is too long, as Lightning does; but it refuses every fused optimizer."""
        if gradient_clip_val:
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            nn.utils.clip_grad_norm_(parameters, gradient_clip_val)

    def lr_scheduler_step(self, scheduler: torch.optim.lr_scheduler.LRScheduler, metric: Tensor | None) -> None:
        """Move the rate by a step; on a plateau ``on_train_epoch_end`` does so."""
        if self.config.schedule != "plateau":
            super().lr_scheduler_step(scheduler, metric)

    def on_train_epoch_end(self) -> None:
        """Look for a plateau before ``last.ckpt`` is written; Lightning does so after it, and a resumed run forgets."""
        if self.config.schedule == "plateau":
            self.lr_schedulers().step(self.trainer.callback_metrics["val_loss"])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the optimizer of this machine, fused or not, whichever wrote the checkpoint."""
        fused = may_fuse(self.trainer.strategy.root_device, self.config) or None
        for state in checkpoint["optimizer_states"]:
            for group in state["param_groups"]:
                group["fused"] = fused

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the averaged weights as the best ones: it is they that were validated.

        Lightning's callback puts them into whole checkpoints only, not into those that hold nothing but weights.
        """
        averages = [one for one in self.trainer.callbacks if isinstance(one, MovingAverage)]
        if averages and "callbacks" not in checkpoint:
            averages[0].on_save_checkpoint(self.trainer, self, checkpoint)
            del checkpoint["current_model_state"], checkpoint["averaging_state"]


def may_fuse(device: torch.device, config: Config) -> bool:
    """Whether the optimizer can step with one kernel for all weights: on a GPU and on a CPU.

    In half precision it undoes the scaling of the loss in that kernel, after the moment to cut a gradient.
    """
    too_late = config.gradient_clip > 0 and choose_precision(config.precision) == "16"
    return device.type in {"cuda", "cpu"} and not too_late


def _parameter_groups(network: nn.Module, config: Config) -> list[dict[str, Any]]:
    """The decoder (or the whole network) first, so that the rate in the history is ``learning_rate``."""
    encoder = getattr(network, "encoder", None)
    slow = {id(parameter) for parameter in encoder.parameters()} if encoder is not None else set()
    rest = [parameter for parameter in network.parameters() if id(parameter) not in slow]
    groups = [{"params": rest, "lr": config.learning_rate}]
    if slow:
        rate = config.learning_rate * config.encoder_lr_factor
        groups.append({"params": list(encoder.parameters()), "lr": rate})
    return groups
