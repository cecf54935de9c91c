"""How many processes share the batches of a network, and how they are started from one that runs a notebook.

A process that has used a GPU cannot be forked, and a notebook has used one before it trains. So
``torch.distributed.run`` starts all the processes anew, each runs ``seglib.rank``, and the notebook waits and listens.
Where torchrun or SLURM started the processes already, nothing is started: ``find_rank`` says which of them this one is.
If it was ``seglib run`` that they started, the first runs the notebooks; the others wait until one of these trains.
"""

import codecs
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO, NamedTuple

import pandas as pd
import torch

from seglib.clock import STARTED, start_of_clock
from seglib.config import Config
from seglib.errors import InputError, MemoryShortageError
from seglib.paths import write_text
from seglib.progress import is_watched

REFUSAL = "refusal.txt"  # in the folder of an order: what an InputError of one of the processes said
SHORTAGE = "shortage.txt"  # the same, of a MemoryShortageError
GRACE_SECONDS = 30  # between asking a process to stop and stopping it
PLACE = "SEGLIB_ORDER"  # variable that tells a notebook in which folder other processes wait for its order
LOOK_SECONDS = 1  # between two looks at a folder that may be on a slow file system
TAIL_LINES = 60  # of what the processes wrote, in the error that says they failed


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


class Order(NamedTuple):
    """What ``training.fit_members`` is to be called with, in another process."""

    samples: pd.DataFrame
    folds: pd.DataFrame
    config: Config
    output_dir: Path
    cache_dir: Path


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


def start_ranks(order: Order, count: int) -> None:
    """Have ``count`` new processes do ``training.fit_members`` together, and wait until they have.

    What the first of them prints is printed here, as it comes. When this process is interrupted or dies, they stop.
    Where others wait for the order of this one, in ``await_order``, they do it, and one new process with them: a
    notebook cannot be one of them itself.

    Args:
        order: what to do; handed over in the folder ``.ranks`` of its ``output_dir``, which is removed afterwards.
        count: how many processes.

    Raises:
        InputError: what one of them raised as such.
        KeyboardInterrupt: if this process was interrupted; the others have stopped by then.
        RuntimeError: if they fail otherwise; the message ends with what they wrote last.
    """
    leading = is_leading()
    folder = Path(os.environ[PLACE]) / "order" if leading else order.output_dir / ".ranks"
    shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
    torch.cuda.empty_cache()  # what this process holds of the first GPU, and does not need while it waits
    try:
        write_order(folder, order)
        command = _command(folder, 1 if leading else count)
        code, tail = _run_and_listen(command, _environment(find_rank().neighbours if leading else count))
        for name, kind in ((REFUSAL, InputError), (SHORTAGE, MemoryShortageError)):
            if (folder / name).exists():
                raise kind((folder / name).read_text(encoding="utf-8"))
        if code:
            raise RuntimeError(f"training by {count} processes failed; this is the end of what they wrote:\n{tail}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_order(folder: Path, order: Order) -> None:
    """Leave an order in a folder of its own, for ``torchrun ... -m seglib.rank FOLDER``."""
    folder.mkdir(parents=True)
    write_text(folder / "samples.csv", order.samples.to_csv(index=False))
    write_text(folder / "folds.csv", order.folds.to_csv(index=False))
    places = {name: os.path.abspath(getattr(order, name)) for name in ("output_dir", "cache_dir")}
    write_text(folder / "order.json", json.dumps({"config": dataclasses.asdict(order.config), **places}))


def read_order(folder: Path) -> Order:
    """What ``write_order`` left.

    Raises:
        InputError: if there is no order.
    """
    if not (folder / "order.json").is_file():
        raise InputError(f"{folder} holds no order; make it by ranks.write_order")
    facts = json.loads((folder / "order.json").read_text(encoding="utf-8"))
    samples = pd.read_csv(folder / "samples.csv", dtype=str, keep_default_na=False)
    folds = pd.read_csv(folder / "folds.csv", dtype={"sample_id": str}, keep_default_na=False)
    return Order(samples, folds, Config(**facts["config"]), Path(facts["output_dir"]), Path(facts["cache_dir"]))


@contextmanager
def lead(output_dir: Path) -> Iterator[None]:
    """Run notebooks in here as the first of several processes; the others are in ``await_order`` meanwhile.

    Alone, or as another one, it does nothing.

    Args:
        output_dir: the folder of the run, on a file system that all processes share.
    """
    rank = find_rank()
    if rank.count == 1 or rank.index > 0:
        yield
        return
    for stale in output_dir.glob(".order-*"):  # of a job that was killed
        shutil.rmtree(stale, ignore_errors=True)
    place = _place(output_dir)
    place.mkdir(parents=True)
    os.environ[PLACE] = str(place)
    try:
        yield
    finally:
        del os.environ[PLACE]
        shutil.rmtree(place, ignore_errors=True)


def is_leading() -> bool:
    """Whether this is a notebook for whose order other processes wait."""
    return PLACE in os.environ


def await_order(output_dir: Path) -> Order:
    """What a notebook trains that the first of the processes runs, as soon as it does.

    Args:
        output_dir: as for ``lead``.

    Raises:
        InputError: if the first process ends without training.
    """
    place = _place(output_dir)
    while not place.is_dir():
        time.sleep(LOOK_SECONDS)
    while not (place / "order" / "order.json").is_file():
        if not place.is_dir():
            raise InputError("the first process ended before it trained; mend what it said, and start all again")
        time.sleep(LOOK_SECONDS)
    return read_order(place / "order")


def _place(output_dir: Path) -> Path:
    """A folder that the processes of one job agree on, and that no other job uses."""
    job = [os.environ.get(name, "") for name in ("SLURM_JOB_ID", "SLURM_STEP_ID", "TORCHELASTIC_RUN_ID")]
    return output_dir / f".order-{'-'.join(filter(None, job))}"


def _command(folder: Path, count: int) -> list[str]:
    """One needs no torchrun; and one that torchrun or SLURM counts already must not be counted twice."""
    several = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"] if count > 1 else []
    return [sys.executable, *several, "-m", "seglib.rank", str(folder), "--stop-with-stdin"]


def _environment(count: int) -> dict[str, str]:
    """What this process can import they can too; and they leave each other room."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONIOENCODING": "utf-8"}
    env[STARTED] = str(start_of_clock())
    env.pop(PLACE, None)  # they are led
    env.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    if is_watched():
        env["SEGLIB_WATCHED"] = "1"
    return env


def _run_and_listen(command: list[str], env: dict[str, str]) -> tuple[int, str]:
    """Run a command to its end; its exit code, and the end of what it wrote to its standard error.

    It is in a session of its own, so that an interrupt comes to us only. It stops when its standard input closes, which
    happens even if we are killed.
    """
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen(command, env=env, start_new_session=True, **pipes)
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    listener = Thread(target=_keep_tail, args=(process.stderr, tail, sys.stderr if is_watched() else None), daemon=True)
    listener.start()
    try:
        _read(process.stdout, _print_piece)
        process.wait()
    except KeyboardInterrupt:
        raise KeyboardInterrupt("training was stopped; run the same again to go on after the last epoch") from None
    finally:
        process.stdin.close()
        try:
            process.wait(2 * GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    listener.join(GRACE_SECONDS)
    return process.returncode, "\n".join(tail)


def _print_piece(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _read(stream: BinaryIO, use: Callable[[str], None]) -> None:
    """Every piece of text as soon as it is there; a bar is drawn by pieces that end no line."""
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    while piece := os.read(stream.fileno(), 1 << 16):
        use(decode(piece))


def _keep_tail(stream: BinaryIO, tail: deque[str], screen: object) -> None:
    """Remember the last lines; only a bar, which returns to the start of its line, goes to the screen."""
    rest = ""

    def use(text: str) -> None:
        nonlocal rest
        if screen is not None and "\r" in text:
            screen.write(text)
            screen.flush()
        *lines, rest = (rest + text).split("\n")
        tail.extend(line.rpartition("\r")[2] for line in lines)

    _read(stream, use)
    tail.append(rest.rpartition("\r")[2])
