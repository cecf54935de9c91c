"""What a contender is asked to do, and the clock that all of them are timed by. Nothing here loads a library."""

import os
import sys
import time
from dataclasses import dataclass, replace

ENOUGH = 0.92  # mean Dice of the held-out images, each at the size of the network, that a contender has to reach
STARTED = "BENCH_STARTED"  # variable: when the process was started, seconds since 1970


@dataclass(frozen=True)
class Job:
    """One measurement: who does what with which images."""

    row: str  # of the table
    contender: str  # its name there
    call: str  # "module:function" of this package
    repeat: int  # contenders of the same repeat are compared
    data: str  # the data folder, by which the measurement is known
    network: str  # plain or lite2
    image_size: int  # pixels, both sides
    batch_size: int
    images: int  # to train on, in each epoch
    epochs: int
    workers: int  # loader processes, for those who use them
    threads: int  # of every process that is not a worker
    augment: bool
    where: str  # machine, versions and revision
    pairs: tuple[tuple[str, str], ...] = ()  # image and mask files; all after the first `images` are for validation
    scratch: str = ""  # folder for temporary files

    @property
    def train_pairs(self) -> list[tuple[str, str]]:
        """The files that every contender trains on."""
        return [tuple(pair) for pair in self.pairs[: self.images]]

    @property
    def val_pairs(self) -> list[tuple[str, str]]:
        """The files that nobody trains on."""
        return [tuple(pair) for pair in self.pairs[self.images :]]

    def train_on_all(self) -> "Job":
        """The same with none left to validate by, for who is to load as many images as those who validate."""
        return replace(self, images=len(self.pairs))


def now() -> float:
    """Seconds on a clock that only goes forward; with a GPU, once all that it was given is done."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


def since_start() -> float:
    """Seconds since this process was started."""
    now()
    return time.time() - float(os.environ[STARTED])


def pick_device() -> str:
    """The GPU where there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


class Laps:
    """The epochs of a contender: how long each took and how many images it saw.

    The first lap begins when this is made, so it holds what is made for the first epoch: caches, workers.
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.images: list[int] = []
        self.began: float | None = now()

    def begin(self) -> None:
        """Begin a lap, unless one has begun."""
        if self.began is None:
            self.began = now()

    def end(self, images: int) -> None:
        """End the lap."""
        self.seconds.append(now() - self.began)
        self.images.append(images)
        self.began = None

    def result(self) -> dict:
        """What is kept of them."""
        return {"seconds": self.seconds, "images": self.images}


def describe_reach(dice: list[float], seconds: list[float]) -> dict:
    """What is kept of a way to ``ENOUGH``.

    Args:
        dice: after each epoch.
        seconds: at the end of each epoch, from the start of the first one's preparation.

    Returns:
        The seconds to the first epoch that was good enough, infinite where none was; and the whole way.
    """
    good = [place for place, score in enumerate(dice) if score >= ENOUGH]
    reached = seconds[good[0]] if good else float("inf")
    return {"seconds": [reached], "images": [], "dice": dice, "epochs": good[0] + 1 if good else None}
