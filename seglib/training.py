"""Loaders and a model -> checkpoints and a history. Lightning lives here only; it runs the loop."""

import dataclasses
import logging
import math
import time
import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint, TQDMProgressBar
from torch import Tensor, nn
from torch.utils.data import DataLoader

from seglib.batches import Batch
from seglib.config import Config
from seglib.errors import InputError
from seglib.losses import bce_dice_loss, seed_loss
from seglib.metrics import dice_score, iou_score
from seglib.models import build_model
from seglib.paths import write_text
from seglib.progress import is_watched

HISTORY_COLUMNS = (
    "epoch train_loss val_loss val_dice val_iou val_loss_seed lr seconds images_per_second".split()  # one row an epoch
)
LONG_RUN_SECONDS = 3600  # a run expected to last longer says so before it starts


class Segmenter(pl.LightningModule):
    """A network with its loss, its scores and its optimizer, as Lightning wants them.

    Scores during training are those at network size; ``04_evaluation`` scores at the size of the files.
    """

    def __init__(self, network: nn.Module, config: Config, *, total_steps: int) -> None:
        super().__init__()
        self.save_hyperparameters({"config": dataclasses.asdict(config)})  # travels inside every checkpoint
        self.network = network.to(memory_format=torch.channels_last)
        self.config = config
        self.total_steps = total_steps
        self.val_scores: list[dict[str, Tensor]] = []

    def forward(self, images: Tensor) -> Tensor:
        """Images uint8 (N, C, H, W) -> logits float (N, 1, H, W)."""
        return self.network(scale_images(images))

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """The loss of one batch."""
        loss = bce_dice_loss(self(batch["image"]), batch["mask"], bce_weight=self.config.bce_weight)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch["image"]))
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        """Losses of one batch, and the scores of each of its images."""
        logits, mask = self(batch["image"]).float(), batch["mask"]
        pred = logits.sigmoid() > self.config.threshold
        count = len(mask)
        self.log("val_loss", bce_dice_loss(logits, mask, bce_weight=self.config.bce_weight), batch_size=count)
        self.log("val_loss_seed", seed_loss(logits, mask), batch_size=count)
        self.val_scores.append({"val_dice": dice_score(pred, mask), "val_iou": iou_score(pred, mask)})

    def on_validation_epoch_end(self) -> None:
        """The mean over images, whatever the batches were."""
        for name in ("val_dice", "val_iou"):
            self.log(name, torch.cat([scores[name] for scores in self.val_scores]).float().mean())
        self.val_scores.clear()

    def configure_optimizers(self) -> dict[str, Any]:
        """Adam or AdamW, the rate halved on a plateau or moved through one cycle."""
        config = self.config
        kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
        groups = _parameter_groups(self.network, config)
        optimizer = kind(groups, lr=config.learning_rate, weight_decay=config.weight_decay)
        if config.schedule == "plateau":
            halve = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=config.lr_patience)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": halve, "monitor": "val_loss"}}
        peaks = [group["lr"] for group in groups]
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, peaks, self.total_steps, pct_start=0.2)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}


def scale_images(images: Tensor) -> Tensor:
    """uint8 (N, C, H, W) -> float in [0, 1], by the constant 255 and never by the images' own maximum."""
    return images.float().div(255).contiguous(memory_format=torch.channels_last)


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


def fit(
    network: nn.Module, train_loader: DataLoader, val_loader: DataLoader, config: Config, output_dir: Path
) -> pd.DataFrame:
    """Train, or go on where an interrupted run of the same folder stopped.

    Leaves ``history.csv`` (a row as soon as its epoch ends), ``checkpoints/best.ckpt`` (weights and config of the best
    epoch by ``config.monitor``) and ``checkpoints/last.ckpt`` (all that is needed to go on) in ``output_dir``.

    Args:
        network: float images (N, C, H, W) in [0, 1] -> logits (N, 1, H, W).
        train_loader: batches of ``seglib.batches``.
        val_loader: the same, unshuffled and unaugmented.
        config: the numbers.
        output_dir: the folder of the run.

    Returns:
        The history, one row an epoch; read from the file.

    Raises:
        InputError: if the loss is no longer finite, or the folder holds a run with other numbers.
    """
    last, steps = output_dir / "checkpoints" / "last.ckpt", len(train_loader)
    if last.exists():
        _check_same_numbers(last, config)
    epochs = planned_epochs(config, steps)
    steps_per_epoch = min(steps, config.max_steps or steps)
    module = Segmenter(network, config, total_steps=epochs * steps_per_epoch)
    _quiet_lightning()
    pl.seed_everything(config.seed, verbose=False)
    trainer = pl.Trainer(
        max_epochs=epochs,
        limit_train_batches=steps_per_epoch,
        accelerator="auto",
        devices=1,
        precision=choose_precision(config.precision),
        callbacks=_callbacks(config, output_dir),
        enable_progress_bar=is_watched(),
        logger=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=output_dir,
    )
    trainer.fit(module, train_loader, val_loader, ckpt_path=last if last.exists() else None, weights_only=True)
    return pd.read_csv(output_dir / "history.csv")


def _check_same_numbers(last: Path, config: Config) -> None:
    """Going on with other numbers would be neither the old run nor a new one."""
    _, theirs = load_checkpoint(last)
    for name, value in dataclasses.asdict(config).items():
        if getattr(theirs, name) != value:
            raise InputError(
                f"{last.parents[1]} holds a run with {name}={getattr(theirs, name)}, not {value}; "
                "choose another output folder, or delete that one"
            )


def planned_epochs(config: Config, steps_per_epoch: int) -> int:
    """``config.epochs``, raised for small data sets and lowered for large ones to keep to the steps asked for.

    Example:
        >>> planned_epochs(Config(epochs=10, min_steps=150, max_steps=400), steps_per_epoch=5)
        30
    """
    epochs = max(config.epochs, math.ceil(config.min_steps / steps_per_epoch))
    return max(1, min(epochs, config.max_steps // steps_per_epoch)) if config.max_steps else epochs


def choose_precision(precision: str) -> str:
    """Lightning's word for a precision; "auto" takes what the chip multiplies fast.

    bfloat16 where the GPU or the CPU has it, half precision on older GPUs, single precision elsewhere.
    """
    if precision == "auto" and torch.cuda.is_available():
        precision = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "16"
    elif precision == "auto":
        has_bf16 = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
        precision = "bf16" if has_bf16 else "32"
    return {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[precision]


def _callbacks(config: Config, output_dir: Path) -> list[Callback]:
    folder = output_dir / "checkpoints"
    mode = "min" if config.monitor == "val_loss" else "max"
    best = ModelCheckpoint(
        folder, "best", config.monitor, mode=mode, save_weights_only=True, enable_version_counter=False
    )
    last = ModelCheckpoint(folder, "last", save_on_train_epoch_end=True, enable_version_counter=False)
    callbacks = [HistoryWriter(output_dir / "history.csv"), best, last]
    if config.stop_patience:
        callbacks.append(EarlyStopping(config.monitor, patience=config.stop_patience, mode=mode))
    return [*callbacks, TQDMProgressBar()] if is_watched() else callbacks


class HistoryWriter(Callback):
    """Keeps ``history.csv`` whole at every moment, and prints one line per epoch."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.started = self.train_ended = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, module: Segmenter) -> None:
        """Start the clock; forget rows of an epoch that was cut off before its checkpoint was written."""
        self.started = time.perf_counter()

    def on_validation_start(self, trainer: pl.Trainer, module: Segmenter) -> None:
        """Training ends where validation starts."""
        self.train_ended = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Segmenter) -> None:
        """Add the row of this epoch."""
        measured = {name: float(trainer.callback_metrics[name]) for name in HISTORY_COLUMNS[1:6]}
        images = trainer.num_training_batches * module.config.batch_size
        row = {
            "epoch": trainer.current_epoch + 1,
            **measured,
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            "seconds": time.perf_counter() - self.started,
            "images_per_second": images / (self.train_ended - self.started),
        }
        history = pd.concat([self._earlier(row["epoch"]), pd.DataFrame([row])])
        write_text(self.path, history.to_csv(index=False, float_format="%.6g"))
        print(_epoch_line(row, trainer.max_epochs), flush=True)
        if not math.isfinite(row["train_loss"]):
            raise InputError(
                f"the loss is {row['train_loss']} in epoch {row['epoch']}; lower learning_rate and start anew"
            )

    def _earlier(self, epoch: int) -> pd.DataFrame:
        """The rows before ``epoch``; an epoch that is run again after a stop replaces its own row."""
        if epoch == 1 or not self.path.exists():
            return pd.DataFrame(columns=HISTORY_COLUMNS).astype(float)
        history = pd.read_csv(self.path)
        return history[history["epoch"] < epoch]


def _epoch_line(row: dict[str, float], epochs: int) -> str:
    scores = f"loss {row['train_loss']:.4f}  val_loss {row['val_loss']:.4f}  val_dice {row['val_dice']:.4f}"
    speed = f"lr {row['lr']:.2g}  {row['seconds']:.0f} s  {row['images_per_second']:.1f} images/s"
    return f"epoch {row['epoch']:3d}/{epochs}  {scores}  {speed}"


def _quiet_lightning() -> None:
    """Keep hints for developers of Lightning out of the notebooks."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for about in (".*does not have many workers.*", ".*exists and is not empty.*", ".*number of training batches.*"):
        warnings.filterwarnings("ignore", about)


def load_checkpoint(path: Path) -> tuple[nn.Module, Config]:
    """The network of a checkpoint, in evaluation mode and on the CPU, with the configuration it was trained by.

    Raises:
        InputError: if the file is missing or is not a checkpoint of ours.
    """
    if not path.is_file():
        raise InputError(f"there is no checkpoint {path}; run 02_training first")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        config = Config(**checkpoint["hyper_parameters"]["config"])
        weights = checkpoint["state_dict"]
    except (KeyError, TypeError, RuntimeError, EOFError, ValueError, UnpicklingError) as error:
        raise InputError(f"{path} is not a checkpoint of seglib ({type(error).__name__}); train again") from None
    network = build_model(config, pretrained=False)
    network.load_state_dict({name.removeprefix("network."): value for name, value in weights.items()})
    return network.eval().to(memory_format=torch.channels_last), config


def estimate_seconds(network: nn.Module, config: Config, *, train_size: int, val_size: int) -> float:
    """How long training would last at most on this machine, from one small step done for real.

    The optimizer is not called, so the network keeps its weights.

    Args:
        network: the one to be trained; it is left as it was.
        config: the numbers.
        train_size: training images.
        val_size: validation images; each costs a third of a training image.
    """
    per_image = _seconds_per_image(network, config)
    steps = max(1, train_size // config.batch_size)
    epochs = planned_epochs(config, steps)
    trained = min(steps, config.max_steps or steps) * config.batch_size
    return epochs * (trained + val_size / 3) * per_image


def _seconds_per_image(network: nn.Module, config: Config) -> float:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kept = {name: value.clone() for name, value in network.state_dict().items()}  # batch statistics would move
    network.to(device, memory_format=torch.channels_last).train()
    seconds = _time_step(network, config, 2, device)
    if seconds < 2:  # quick enough to be measured again, warm and at a size that is nearer to a batch
        seconds = _time_step(network, config, 8, device)
    network.zero_grad(set_to_none=True)
    network.cpu().load_state_dict(kept)
    return seconds


def _time_step(network: nn.Module, config: Config, count: int, device: torch.device) -> float:
    """Seconds per image of one forward and backward pass over ``count`` images."""
    size = (count, config.in_channels, config.image_size, config.image_size)
    images = torch.zeros(size, dtype=torch.uint8, device=device)
    dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(choose_precision(config.precision))
    started = time.perf_counter()
    with torch.autocast(device.type, dtype, enabled=dtype is not None):
        logits = network(scale_images(images))
    bce_dice_loss(logits, torch.zeros_like(logits)).backward()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / count


def describe_duration(seconds: float) -> str:
    """What to expect, in a sentence; with the cure where it is hours.

    Example:
        >>> describe_duration(540)
        'training takes about 9 minutes on this machine'
    """
    if seconds <= LONG_RUN_SECONDS:
        return f"training takes about {max(1, round(seconds / 60))} minutes on this machine"
    return (
        f"training may take up to {seconds / 3600:.0f} hours on this machine (early stopping may end it sooner); "
        "a GPU, the preset quick (PRESET=quick), or fewer epochs or a smaller image_size (--set epochs=5) is the cure"
    )
