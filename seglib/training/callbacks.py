"""What happens beside the loop of training: the history, the bar, the checkpoints, and when to stop."""

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from tqdm import tqdm

from seglib.config import Config
from seglib.errors import InputError
from seglib.machine.clock import is_time_up
from seglib.machine.progress import track
from seglib.machine.ranks import Rank, any_rank
from seglib.paths import mark_unfinished
from seglib.training.averaging import MovingAverage
from seglib.training.segmenter import Segmenter
from seglib.training.waiting import LoaderHint, WaitMeter
from seglib.writing import write_text

OUT_OF_TIME = "stopped, as max_hours={hours:g} leaves no time for another epoch; run the same again to go on"
MEASURED = ("train_loss", "val_loss", "val_dice", "val_iou", "val_loss_seed")
HISTORY_COLUMNS = ("epoch", *MEASURED, "lr", "seconds", "images_per_second", "wait_share")  # one row an epoch


def make_callbacks(config: Config, output_dir: Path, rank: Rank, meter: WaitMeter) -> list[Callback]:
    """All callbacks of the process ``rank``, which write into ``output_dir``; ``meter`` is the profiler of its loop."""
    folder = output_dir / "checkpoints"
    mode = "min" if config.monitor == "val_loss" else "max"
    best = MovableCheckpoint(
        folder, "best", config.monitor, mode=mode, save_weights_only=True, enable_version_counter=False
    )
    last = MovableCheckpoint(folder, "last", save_on_train_epoch_end=True, enable_version_counter=False)
    hint = LoaderHint(meter, rank)
    callbacks = [HistoryWriter(output_dir / "history.csv", hint), hint, best, last]
    if config.stop_patience:
        # a loss that stays no number is told by HistoryWriter, and one that was none once is just not the best
        callbacks.append(LastingStop(config.monitor, patience=config.stop_patience, mode=mode, check_finite=False))
    if config.ema_decay:
        callbacks.append(MovingAverage(config.ema_decay))
    callbacks += [TimeLimit(output_dir), EpochSeed(rank)]
    if torch.cuda.is_available():  # a CPU has enough to do
        callbacks.append(HeadStart())
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
        """Stop at once where the run had been stopped before."""
        trainer.should_stop = self.wait_count >= self.patience


class EpochSeed(Callback):
    """Draws what a network leaves out (dropout) by the epoch's own seed, so that it is the same where a run goes on."""

    def __init__(self, rank: Rank) -> None:
        self.rank = rank

    def on_train_epoch_start(self, trainer: pl.Trainer, module: Segmenter) -> None:
        """Seed torch; processes that share a batch draw differently."""
        seeds = np.random.SeedSequence([module.config.member_seed, trainer.current_epoch, self.rank.index])
        torch.manual_seed(int(seeds.generate_state(1)[0]))


class TimeLimit(Callback):
    """Ends training after an epoch that leaves no time for another in ``config.max_hours``, and marks the folder."""

    def __init__(self, output_dir: Path) -> None:
        self.output_dir, self.longest, self.started = output_dir, 0.0, 0.0

    def on_fit_start(self, trainer: pl.Trainer, module: Segmenter) -> None:
        """Take the mark of an unfinished run away."""
        if trainer.is_global_zero:
            mark_unfinished(self.output_dir, unfinished=False)

    def on_train_epoch_start(self, trainer: pl.Trainer, module: Segmenter) -> None:
        """Start the clock."""
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Segmenter) -> None:
        """Stop where the longest epoch so far would not fit into the time that is left."""
        self.longest = max(self.longest, time.perf_counter() - self.started)
        hours = module.config.max_hours
        if trainer.current_epoch + 1 < trainer.max_epochs and any_rank(is_time_up(hours, self.longest)):
            trainer.should_stop = True
            if trainer.is_global_zero:
                mark_unfinished(self.output_dir, unfinished=True)
                print(OUT_OF_TIME.format(hours=hours), flush=True)


class HeadStart(Callback):
    """Lets the workers begin the next epoch while a GPU validates, which else would wait for its first batch."""

    def on_validation_start(self, trainer: pl.Trainer, module: Segmenter) -> None:
        """Have the workers begin the next epoch: all batches of this one have come."""
        if trainer.current_epoch + 1 < trainer.max_epochs:
            trainer.train_dataloader.begin(trainer.current_epoch + 1)


class EpochBar(Callback):
    """A bar that fills once per epoch and makes room for the line that ``HistoryWriter`` prints."""

    def __init__(self) -> None:
        self.bar: tqdm | None = None  # before the first epoch, which an early error may keep from coming

    def on_train_epoch_start(self, trainer: pl.Trainer, module: Segmenter) -> None:
        """Draw an empty bar."""
        label = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        self.bar = track(range(_count_steps(trainer)), label, unit="batch", leave=False)

    def on_train_batch_end(self, trainer: pl.Trainer, module: Segmenter, *step: Any) -> None:
        """Fill it by one batch, once all its parts are done."""
        self.bar.update((step[-1] + 1) % trainer.accumulate_grad_batches == 0)

    def on_validation_end(self, trainer: pl.Trainer, module: Segmenter) -> None:
        """Take it away."""
        self.bar.close()

    def on_exception(self, trainer: pl.Trainer, module: Segmenter, exception: BaseException) -> None:
        """Leave no half-drawn bar behind."""
        if self.bar is not None:
            self.bar.close()


class HistoryWriter(Callback):
    """Keeps ``history.csv`` whole at every moment, and prints one line per epoch; the first of several processes does.

    ``images_per_second`` counts the images of all of them; ``wait_share`` is that of ``hint``.
    """

    def __init__(self, path: Path, hint: LoaderHint) -> None:
        self.path, self.hint = path, hint
        self.started = self.train_ended = self.rate = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, module: Segmenter) -> None:
        """Start the clock."""
        self.started = time.perf_counter()

    def on_train_batch_start(self, trainer: pl.Trainer, module: Segmenter, *batch: Any) -> None:
        """Note the rate of this step: when the epoch ends, the schedule has set that of the next one."""
        self.rate = trainer.optimizers[0].param_groups[0]["lr"]

    def on_validation_start(self, trainer: pl.Trainer, module: Segmenter) -> None:
        """Note when training of this epoch ended, which is where validation starts."""
        self.train_ended = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Segmenter) -> None:
        """Add the row of this epoch."""
        measured = {name: float(trainer.callback_metrics[name]) for name in MEASURED}
        images = _count_steps(trainer) * min(module.config.batch_size, len(trainer.train_dataloader.dataset))
        row = {
            "epoch": trainer.current_epoch + 1,
            **measured,
            "lr": self.rate,
            "seconds": time.perf_counter() - self.started,
            "images_per_second": images / (self.train_ended - self.started),
            "wait_share": self.hint.share,
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


def _count_steps(trainer: pl.Trainer) -> int:
    """Optimizer steps of an epoch."""
    return trainer.num_training_batches // trainer.accumulate_grad_batches


def _epoch_line(row: dict[str, float], epochs: int) -> str:
    scores = f"loss {row['train_loss']:.4f}  val_loss {row['val_loss']:.4f}  val_dice {row['val_dice']:.4f}"
    speed = f"lr {row['lr']:.2g}  {row['seconds']:.0f} s  {row['images_per_second']:.1f} images/s"
    return f"epoch {row['epoch']:3d}/{epochs}  {scores}  {speed}  waited {100 * row['wait_share']:.0f} %"
