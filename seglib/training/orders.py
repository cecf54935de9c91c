"""Several processes that train together, started from one that runs a notebook, and what they are to do.

A process that has used a GPU cannot be forked, and a notebook has used one before it trains. So
``torch.distributed.run`` starts all the processes anew, each runs ``seglib.training.rank``, and the notebook waits and
listens.
Where torchrun or SLURM started the processes already, nothing is started. If it was ``seglib run`` that they started,
the first runs the notebooks; the others wait until one of these trains.
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
from typing import BinaryIO, NamedTuple

import pandas as pd
import torch

from seglib.config import Config
from seglib.errors import InputError, MemoryShortageError
from seglib.machine.clock import STARTED, start_of_clock
from seglib.machine.progress import is_watched
from seglib.machine.ranks import find_rank
from seglib.writing import write_text

REFUSAL = "refusal.txt"  # in the folder of an order: what an InputError of one of the processes said
SHORTAGE = "shortage.txt"  # the same, of a MemoryShortageError
GRACE_SECONDS = 30  # between asking a process to stop and stopping it
PLACE = "SEGLIB_ORDER"  # variable that tells a notebook in which folder other processes wait for its order
LOOK_SECONDS = 1  # between two looks at a folder that may be on a slow file system
# What tells a job, and one that is begun again under the same name.
JOB = ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT")
JOB += ("MASTER_PORT",)
TAIL_LINES = 60  # of what the processes wrote, in the error that says they failed


class Order(NamedTuple):
    """What ``members.fit_members`` is to be called with, in another process."""

    samples: pd.DataFrame
    folds: pd.DataFrame
    config: Config
    output_dir: Path
    cache_dir: Path


def start_ranks(order: Order, count: int) -> None:
    """Have ``count`` new processes do ``members.fit_members`` together, and wait until they have.

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
    """Leave an order in a folder of its own, for ``torchrun ... -m seglib.training.rank FOLDER``."""
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
        raise InputError(f"{folder} holds no order; make it by orders.write_order")
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
    job = [os.environ.get(name, "") for name in JOB]
    return output_dir / f".order-{'-'.join(filter(None, job))}"


def _command(folder: Path, count: int) -> list[str]:
    """The command that starts ``count`` processes; a single one needs no torchrun, which would count it anew."""
    several = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"] if count > 1 else []
    return [sys.executable, *several, "-m", "seglib.training.rank", str(folder), "--stop-with-stdin"]


def _environment(count: int) -> dict[str, str]:
    """Environment of the new processes: they import what this one can, and share out the cores."""
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
