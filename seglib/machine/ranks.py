"""How many processes share the batches of a network, and which of them this one is.

torchrun and SLURM tell each process which of them it is; nothing here starts one (see ``orders``).
"""

import os
from typing import Any, NamedTuple

import torch

from seglib.config import Config
from seglib.errors import InputError


class Rank(NamedTuple):
    """One of the processes that share the batches of a network."""

    index: int = 0  # from 0; the first one writes and prints
    count: int = 1  # how many processes there are
    nodes: int = 1  # on how many machines

    @property
    def neighbours(self) -> int:
        """How many of them are on this machine, this one included."""
        return self.count // self.nodes


ALONE = Rank()


def find_rank() -> Rank:
    """Which process this is, of those that torchrun or SLURM's srun started together; ``ALONE`` where nobody did."""
    env = os.environ
    if "TORCHELASTIC_RUN_ID" in env:
        count = int(env["WORLD_SIZE"])
        return Rank(int(env["RANK"]), count, count // int(env["LOCAL_WORLD_SIZE"]))
    if int(env.get("SLURM_STEP_NUM_TASKS", "1")) > 1:  # a batch script itself is in no step, whatever it asked for
        count = int(env["SLURM_STEP_NUM_TASKS"])
        return Rank(int(env["SLURM_PROCID"]), count, int(env.get("SLURM_STEP_NUM_NODES", "1")))
    return ALONE


def find_device() -> torch.device:
    """Where this process computes: on a GPU, its own where several were started on one machine; else on the CPU."""
    gpus = _count_gpus()
    if not gpus:
        return torch.device("cpu")
    # a scheduler may show each process its own GPU only, which is the first one there
    place = int(os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID") or 0)
    return torch.device("cuda", place % gpus)


def gather(thing: Any) -> list[Any]:
    """What each of the processes that train together hands in, by rank; everybody gets all. Alone, just one's own."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [thing]
    things: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(things, thing)
    return things


def any_rank(answer: bool) -> bool:
    """Whether one of the processes that train together says yes; all have to go the same way."""
    return any(gather(bool(answer)))


def count_devices(config: Config) -> int:
    """How many processes will share every batch, each on a GPU of its own or, where there is none, on the CPU.

    As many as torchrun or SLURM started; else ``config.devices``; else, with ``devices=0``, as many as there are GPUs,
    less those that would leave ``batch_size`` undivided. On a CPU that is one.

    Raises:
        InputError: if so many cannot share ``batch_size``, or more are asked for than there are GPUs.
    """
    started, gpus = find_rank().count, _count_gpus()
    if started == 1 and config.devices == 0:
        at_most = config.batch_size // config.parts
        return max(count for count in range(1, max(gpus, 1) + 1) if at_most % count == 0)
    if started == 1 and 0 < gpus < config.devices:
        raise InputError(f"devices={config.devices} cannot be, as this machine has {gpus} GPU(s); set devices={gpus}")
    count = started if started > 1 else config.devices
    share_batch(config, count)
    return count


def describe_devices(config: Config) -> str:
    """What will compute, in a sentence: "2 GPUs share every batch of 16 images".

    Raises:
        InputError: as ``count_devices``.
    """
    count, gpus = count_devices(config), _count_gpus()
    idle = find_rank() == ALONE and gpus > count
    if count > 1:
        who = f"{count} of {gpus} GPUs" if idle else f"{count} GPUs" if gpus else f"{count} processes on the CPU"
        return f"{who} share every batch of {config.batch_size} images"
    return f"one of {gpus} GPUs computes" if idle else "one GPU computes" if gpus else "the CPU computes"


def share_batch(config: Config, count: int) -> int:
    """How many images of a batch each of ``count`` processes passes through its device at once.

    Raises:
        InputError: if the batch cannot be divided into so many equal parts.
    """
    if config.batch_size % count:
        more = config.batch_size + -config.batch_size % count
        raise InputError(
            f"batch_size={config.batch_size} cannot be shared by {count} processes; set batch_size={more} or devices=1"
        )
    share = config.batch_size // count
    if share % config.parts:
        known = ", ".join(map(str, list_divisors(share)))
        raise InputError(
            f"accumulate={config.accumulate} cannot divide the {share} images of a batch that each of {count} "
            f"processes has; set it to one of {known}"
        )
    return share // config.parts


def list_divisors(number: int) -> list[int]:
    """Into how many equal parts so many images can be divided.

    Example:
        >>> list_divisors(12)
        [1, 2, 3, 4, 6, 12]
    """
    return [parts for parts in range(1, number + 1) if number % parts == 0]


def _count_gpus() -> int:
    return torch.cuda.device_count() if torch.cuda.is_available() else 0
