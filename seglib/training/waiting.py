"""How much of an epoch goes into waiting for images, and what to do about it."""

import os
import time

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.profilers import Profiler
from torch.utils.data import DataLoader

from seglib.batches.loaders import limit_workers
from seglib.config import Config
from seglib.machine.ranks import Rank, gather
from seglib.training.segmenter import Segmenter

FETCH = "train_dataloader_next"  # how Lightning's loop ends the name under which it tells a profiler of a fetch
LOADER_BOUND = 0.1  # share of the training time; less is not worth a setting
WORTH_SECONDS = 1.0  # of waiting in an epoch; less is not worth a line


class WaitMeter(Profiler):
    """Adds up the seconds in which the loop waits for its next batch; Lightning says when a fetch starts and ends.

    Between two steps lie more things than the fetch: processes that wait for each other, the moving average. And a GPU
    lags behind the loop: a fetch that ends before the GPU has done what it was given has cost nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds = self.started = 0.0
        self.given: torch.cuda.Event | None = None  # the last thing the GPU was given before the fetch

    def start(self, action_name: str) -> None:
        """Start the clock if it is a fetch."""
        if action_name.endswith(FETCH):
            self.started = time.perf_counter()
            if torch.cuda.is_available():
                self.given = torch.cuda.Event()
                self.given.record()

    def stop(self, action_name: str) -> None:
        """Look at the clock if it was a fetch."""
        if action_name.endswith(FETCH) and (self.given is None or self.given.query()):
            self.seconds += time.perf_counter() - self.started


class LoaderHint(Callback):
    """Turns what a ``WaitMeter`` measured into the share of each epoch, and says once what to do if it is a lot.

    ``share``, from 0 to 1, is that of the process that waits longest, as the others then wait for it.
    """

    def __init__(self, meter: WaitMeter, rank: Rank) -> None:
        self.meter, self.rank = meter, rank
        self.share = self.started = 0.0
        self.epochs = 0  # since this start
        self.said = False

    def on_train_epoch_start(self, trainer: pl.Trainer, module: Segmenter) -> None:
        """Begin anew."""
        self.meter.seconds, self.started = 0.0, time.perf_counter()

    def on_validation_start(self, trainer: pl.Trainer, module: Segmenter) -> None:
        """Training ends where validation starts."""
        self.share = max(gather(self.meter.seconds / (time.perf_counter() - self.started)))

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Segmenter) -> None:
        """Give the advice, but not after the first epoch, in which the workers come up."""
        self.epochs += 1
        much = self.share > LOADER_BOUND and self.meter.seconds > WORTH_SECONDS
        if self.epochs > 1 and much and not self.said:
            self.said = True
            if trainer.is_global_zero:
                print(describe_waiting(self.share, trainer.train_dataloader, module.config, self.rank), flush=True)


def describe_waiting(share: float, loader: DataLoader, config: Config, rank: Rank) -> str:
    """What a loader that is too slow costs, and the cure, in a line.

    Example:
        >>> describe_waiting(0.34, DataLoader([1]), Config(in_channels=3, white=255), Rank())
        'loader-bound: 34 % of the time went into waiting for images; set num_workers=1, and a worker prepares the next batch meanwhile'
    """  # noqa: E501
    workers, cores = loader.num_workers, (os.cpu_count() or 1) // rank.neighbours
    if workers >= max(1, cores):
        cure = f"its {workers} workers have no more cores to use; a lighter augment, or more cores, would help"
    elif limit_workers(workers + 1, config, rank) <= workers:
        cure = "more workers need more shared memory (in Docker: --shm-size=1g), or a smaller batch_size"
    elif workers == 0:
        cure = "set num_workers=1, and a worker prepares the next batch meanwhile"
    else:
        cure = f"raise num_workers (now {workers})"
    return f"loader-bound: {100 * share:.0f} % of the time went into waiting for images; {cure}"
