"""Loaders and a model -> checkpoints and a history. Lightning lives here only; it runs the loop."""

import dataclasses
import logging
import math
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from seglib.batches import Batch, make_loaders
from seglib.checkpoints import load_checkpoint, member_dir
from seglib.clock import is_time_up
from seglib.config import Config, find_difference, parse_loss
from seglib.durations import planned_epochs
from seglib.errors import InputError
from seglib.folds import split_samples
from seglib.losses import combine_losses, seed_loss
from seglib.metrics import dice_score, iou_score
from seglib.models import build_model, choose_precision, scale_images
from seglib.mounts import is_hidden_rerun
from seglib.paths import write_text
from seglib.progress import track
from seglib.ranks import Order, Rank, count_devices, find_rank, start_ranks

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", ".*IProgress not found.*")  # in a notebook it asks for widgets we do not use
    import pytorch_lightning as pl
    from pytorch_lightning.callbacks import Callback, EarlyStopping, EMAWeightAveraging, ModelCheckpoint

PRECISION_NAMES = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}  # ours -> Lightning's
OUT_OF_TIME = "stopped, as max_hours={hours:g} leaves no time for another epoch; run the same again to go on"
WARM_UP = {"onecycle": 0.2, "cosine": 0.05}  # share of the steps in which the rate climbs, before it falls as a cosine
HISTORY_COLUMNS = (
    "epoch train_loss val_loss val_dice val_iou val_loss_seed lr seconds images_per_second".split()  # one row an epoch
)


class Segmenter(pl.LightningModule):
    """A network with its loss, its scores and its optimizer, as Lightning wants them.

    Scores during training are those at network size; ``04_evaluation`` scores at the size of the files.

    Several processes may share its batches. A step averages their gradients, which is the gradient of one process, as
    every loss of ``LOSSES`` is a mean over equal images. ``seed_loss`` is not (its Dice is pooled over the batch), so a
    validation batch is never divided; what was measured on each is exchanged when all are done.
    """

    def __init__(self, network: nn.Module, config: Config, *, total_steps: int) -> None:
        super().__init__()
        self.save_hyperparameters({"config": dataclasses.asdict(config)})  # travels inside every checkpoint
        self.network = network.to(memory_format=torch.channels_last)
        self.config = config
        self.loss = combine_losses(parse_loss(config.loss))
        self.total_steps = total_steps
        self.val_batches: list[dict[str, Tensor]] = []

    def forward(self, images: Tensor) -> Tensor:
        """Images uint8 (N, C, H, W) -> logits float (N, 1, H, W)."""
        return self.network(scale_images(images))

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """The loss of one batch."""
        loss = self.loss(self(batch["image"]), batch["mask"])
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch["image"]), sync_dist=True)
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        """Losses of one batch, and the scores of each of its images."""
        logits, mask = self(batch["image"]).float(), batch["mask"]
        pred = logits > 0  # a probability above 0.5
        losses = {"val_loss": self.loss(logits, mask), "val_loss_seed": seed_loss(logits, mask)}
        scores = {"val_dice": dice_score(pred, mask), "val_iou": iou_score(pred, mask)}
        self.val_batches.append({"row": batch["row"][0], **losses, **scores})

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
        everybody: list[Any] = [None] * self.trainer.world_size
        torch.distributed.all_gather_object(everybody, mine)
        by_row = {int(batch["row"]): batch for batches in everybody for batch in batches}
        return [{name: value.to(self.device) for name, value in by_row[row].items()} for row in sorted(by_row)]

    def configure_optimizers(self) -> dict[str, Any]:
        """Adam or AdamW, the rate halved on a plateau or led up and down again step by step."""
        config = self.config
        kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
        groups = _parameter_groups(self.network, config)
        optimizer = kind(groups, lr=config.learning_rate, weight_decay=config.weight_decay)
        if config.schedule == "plateau":
            halve = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=config.lr_patience)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": halve, "monitor": "val_loss"}}
        peaks = [group["lr"] for group in groups]
        warm_up = WARM_UP[config.schedule]
        if self.total_steps > 2:
            warm_up = max(warm_up, 2 / self.total_steps)  # a climb of just one step is a division by zero
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, peaks, self.total_steps, pct_start=warm_up, cycle_momentum=config.schedule == "onecycle"
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def lr_scheduler_step(self, scheduler: torch.optim.lr_scheduler.LRScheduler, metric: Tensor | None) -> None:
        """Move the rate by a step; on a plateau ``on_train_epoch_end`` does so."""
        if self.config.schedule != "plateau":
            super().lr_scheduler_step(scheduler, metric)

    def on_train_epoch_end(self) -> None:
        """Look for a plateau before ``last.ckpt`` is written; Lightning does so after it, and a resumed run forgets."""
        if self.config.schedule == "plateau":
            self.lr_schedulers().step(self.trainer.callback_metrics["val_loss"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the averaged weights as the best ones: it is they that were validated.

        Lightning's callback puts them into whole checkpoints only, not into those that hold nothing but weights.
        """
        averages = [one for one in self.trainer.callbacks if isinstance(one, EMAWeightAveraging)]
        if averages and "callbacks" not in checkpoint:
            averages[0].on_save_checkpoint(self.trainer, self, checkpoint)
            del checkpoint["current_model_state"], checkpoint["averaging_state"]


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


def fit_members(
    samples: pd.DataFrame, folds: pd.DataFrame, config: Config, output_dir: Path, cache_dir: Path
) -> pd.DataFrame:
    """Train the network of every fold, or go on with what an interrupted run of the same folder left to do.

    Where several processes are to share the batches (``ranks.count_devices``), they are started, and this one waits.
    In a script that torchrun or SLURM's srun starts several times, its processes share them instead.

    Args:
        samples: table with ``sample_id``, ``image_path`` and ``mask_path``.
        folds: of ``folds.read_folds``.
        config: with ``folds`` 1, one network is trained, in ``output_dir`` itself; with more, one for each fold, in
            folders of their own (``member_dir``).
        output_dir: the folder of the run.
        cache_dir: where decoded images are kept.

    Returns:
        The history, also left in ``history.csv``; with ``folds`` above 1 its first column is ``fold``.

    Raises:
        InputError: as ``fit``, or if the processes cannot share a batch; and in a hidden rerun of a competition, where
            nothing may be trained.
        RuntimeError: if one of several processes fails.
    """
    if is_hidden_rerun():
        raise InputError("this is a hidden rerun, in which nothing is trained; submit the kernel of 05_submission")
    found, rank, count = folds["fold"].nunique(), find_rank(), count_devices(config)
    if config.folds not in {1, found}:
        raise InputError(f"the samples are in {found} folds, not {config.folds}; set folds={found}, or start a new run")
    if rank.count < count:
        make_loaders(*split_samples(samples, folds, config.fold), config, cache_dir)  # the images are decoded once
        start_ranks(Order(samples, folds, config, output_dir, cache_dir), count)
        return pd.read_csv(output_dir / "history.csv")
    if config.folds == 1:
        return fit_member(samples, folds, config, output_dir, cache_dir)
    histories = []
    for fold in range(config.folds):
        folder = member_dir(output_dir, fold)
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        if rank.index == 0:
            print(f"fold {fold + 1}/{config.folds}", flush=True)
        history = fit_member(samples, folds, dataclasses.replace(config, fold=fold), folder, cache_dir)
        histories.append(history.assign(fold=fold)[["fold", *history]])
        if rank.index == 0:
            write_text(output_dir / "history.csv", pd.concat(histories).to_csv(index=False, float_format="%.6g"))
        left = config.folds - fold - 1
        if left and _any_rank(is_time_up(config.max_hours, history["seconds"].max())):
            if rank.index == 0:
                print(f"{left} more folds are left for another time", flush=True)
            break
    return pd.concat(histories, ignore_index=True)


def _any_rank(answer: bool) -> bool:
    """Whether one of the processes that train together says yes; all have to go the same way."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return answer
    answers: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(answers, bool(answer))
    return any(answers)


def fit_member(
    samples: pd.DataFrame, folds: pd.DataFrame, config: Config, folder: Path, cache_dir: Path
) -> pd.DataFrame:
    """Train the network that holds out ``config.fold``, in ``folder``; its history."""
    train, val = split_samples(samples, folds, config.fold)
    begins = not (folder / "checkpoints" / "last.ckpt").exists()  # going on, the weights come from there
    network = build_model(config, pretrained=begins)
    return fit(network, *make_loaders(train, val, config, cache_dir, find_rank()), config, folder)


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
    pl.seed_everything(config.member_seed, verbose=False)
    trainer = pl.Trainer(
        max_epochs=epochs,
        limit_train_batches=steps_per_epoch,
        **_spread(find_rank(), config),
        precision=PRECISION_NAMES[choose_precision(config.precision)],
        gradient_clip_val=config.gradient_clip or None,
        callbacks=_callbacks(config, output_dir, find_rank()),
        enable_progress_bar=False,  # EpochBar is ours: one bar per epoch, and silence in a log
        logger=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=output_dir,
    )
    with _plain_interrupts():
        trainer.fit(module, train_loader, val_loader, ckpt_path=last if last.exists() else None, weights_only=True)
    return pd.read_csv(output_dir / "history.csv")


def _spread(rank: Rank, config: Config) -> dict[str, Any]:
    """What Lightning has to know about the processes: torchrun or SLURM started them, and our samplers share for it.

    Many networks of smp carry weights that nothing flows through, such as the head of an EfficientNet; the processes
    would wait for the gradients of those unless told to look for them, which costs a little in every step.
    """
    if rank.count == 1:
        return {"accelerator": "auto", "devices": 1}
    gpu = torch.cuda.is_available()
    return {
        "accelerator": "gpu" if gpu else "cpu",
        "devices": rank.neighbours,
        "num_nodes": rank.nodes,
        "strategy": "ddp" if config.architecture == "plain" else "ddp_find_unused_parameters_true",
        "use_distributed_sampler": False,
        "sync_batchnorm": gpu,  # torch has it for GPUs only: on a CPU each process norms by its own part of a batch
    }


@contextmanager
def _plain_interrupts() -> Iterator[None]:
    """Lightning answers an interrupt by leaving the process; in a notebook that would look like an error of ours."""
    try:
        yield
    except SystemExit as stop:
        raise KeyboardInterrupt("training was stopped; run the same again to go on after the last epoch") from stop


def _check_same_numbers(last: Path, config: Config) -> None:
    """Going on with other numbers would be neither the old run nor a new one."""
    _, theirs = load_checkpoint(last)
    if name := find_difference(config, theirs):
        raise InputError(
            f"{last.parents[1]} holds a run with {name}={getattr(theirs, name)}, not {getattr(config, name)}; "
            "choose another output folder, or delete that one"
        )


def _callbacks(config: Config, output_dir: Path, rank: Rank) -> list[Callback]:
    folder = output_dir / "checkpoints"
    mode = "min" if config.monitor == "val_loss" else "max"
    best = MovableCheckpoint(
        folder, "best", config.monitor, mode=mode, save_weights_only=True, enable_version_counter=False
    )
    last = MovableCheckpoint(folder, "last", save_on_train_epoch_end=True, enable_version_counter=False)
    callbacks = [HistoryWriter(output_dir / "history.csv"), best, last]
    if config.stop_patience:
        callbacks.append(LastingStop(config.monitor, patience=config.stop_patience, mode=mode))
    if config.ema_decay:
        callbacks.append(EMAWeightAveraging(decay=config.ema_decay))
    callbacks.append(TimeLimit())
    return [EpochBar(), *callbacks] if rank.index == 0 else callbacks


class MovableCheckpoint(ModelCheckpoint):
    """Lightning's, in a folder that may have been moved since: there, Lightning's own forgets what the best was."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state up as if its files had always been here."""
        here = {name: self._move(value) for name, value in state_dict.items() if isinstance(value, str)}
        models = {self._move(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(
            state_dict | here | {"best_k_models": models, "monitor": self.monitor, "dirpath": self.dirpath}
        )

    def _move(self, path: str) -> str:
        return str(Path(self.dirpath) / Path(path).name) if path else path


class LastingStop(EarlyStopping):
    """Lightning's early stopping, which forgets that it had stopped and would train one more epoch at each start."""

    def on_train_start(self, trainer: pl.Trainer, module: Segmenter) -> None:
        """Remember."""
        trainer.should_stop = self.wait_count >= self.patience


class TimeLimit(Callback):
    """Ends training after an epoch that leaves no time for another within ``config.max_hours``."""

    def __init__(self) -> None:
        self.longest = self.started = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, module: Segmenter) -> None:
        """Start the clock."""
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Segmenter) -> None:
        """Look at it."""
        self.longest = max(self.longest, time.perf_counter() - self.started)
        hours = module.config.max_hours
        if trainer.current_epoch + 1 < trainer.max_epochs and _any_rank(is_time_up(hours, self.longest)):
            trainer.should_stop = True
            if trainer.is_global_zero:
                print(OUT_OF_TIME.format(hours=hours), flush=True)


class EpochBar(Callback):
    """A bar that fills once per epoch and makes room for the line that ``HistoryWriter`` prints."""

    def __init__(self) -> None:
        self.bar: tqdm | None = None  # before the first epoch, which an early error may keep from coming

    def on_train_epoch_start(self, trainer: pl.Trainer, module: Segmenter) -> None:
        """Draw an empty bar."""
        label = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        self.bar = track(range(int(trainer.num_training_batches)), label, unit="batch", leave=False)

    def on_train_batch_end(self, trainer: pl.Trainer, module: Segmenter, *_: Any) -> None:
        """Fill it by one batch."""
        self.bar.update()

    def on_validation_end(self, trainer: pl.Trainer, module: Segmenter) -> None:
        """Take it away."""
        self.bar.close()

    def on_exception(self, trainer: pl.Trainer, module: Segmenter, exception: BaseException) -> None:
        """Leave no half-drawn bar behind."""
        if self.bar is not None:
            self.bar.close()


class HistoryWriter(Callback):
    """Keeps ``history.csv`` whole at every moment, and prints one line per epoch; the first of several processes does.

    ``images_per_second`` counts the images of all of them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.started = self.train_ended = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, module: Segmenter) -> None:
        """Start the clock."""
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
        if trainer.is_global_zero:
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
    for about in (
        "does not have many workers",
        "exists and is not empty",
        "number of training batches",
        "treespec",
        "sync_dist",
    ):
        warnings.filterwarnings("ignore", f".*{about}.*")
