"""Commands -> processes on the workers of a Dask cluster, one at a time on each worker. Dask lives here only.

Dask and not Ray: both hand the work of a killed worker to another one, a bounded number of times. Dask is BSD, a wheel
of 1 MB for every Python (Ray's has 80 MB for each), calls nobody (Ray sends statistics unless told not to), and stands
on SLURM and its like by dask-jobqueue, or wherever somebody has started a scheduler.

A cluster of our own listens on this machine only, speaks TLS with keys made for it, and shows no dashboard.
"""

import contextlib
import logging
import os
import queue
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dask.system import CPU_COUNT
from distributed import Client, Future, Nanny, Scheduler, Security, SpecCluster, Worker, WorkerPlugin, get_worker
from distributed.scheduler import KilledWorker

from seglib.errors import InputError, KilledError

HERE = "127.0.0.1"
RETRIES = 2  # how often a command is begun again after its worker or its process was killed
KILLED = 137  # what the command line leaves with where a process below it was killed; a shell says the same
POLL_SECONDS = 0.5
COUNT_SECONDS = 5.0  # between two looks at how many workers there are
CONNECT_SECONDS = 30  # in which a scheduler answers, or is not there


class Command(NamedTuple):
    """What a process is started with."""

    words: Sequence[str]  # behind the name of the interpreter
    log: Path  # what it prints is added to this file
    folder: str  # it is started in


class Event(NamedTuple):
    """What became of a command."""

    name: str
    state: str  # started, again (it was killed before), done or failed
    sentence: str = ""  # why it failed


def run_commands(
    commands: Mapping[str, Command], *, scheduler: str | None = None, workers: int | None = None
) -> Iterator[Event]:
    """Run Python commands in processes of their own; a killed one is begun again, at most `RETRIES` times.

    Each must end when its standard input is closed: see ``leash``. They compute with as many threads as their worker
    has, on the GPU of their worker. However this is left, all of them are stopped.

    Args:
        commands: by name.
        scheduler: address of a running cluster; None: one of our own, on this machine.
        workers: of a cluster of our own; None: one for each GPU, or one.

    Yields:
        What happens, as it happens.

    Raises:
        InputError: if no scheduler answers at the address.
        RuntimeError: if it is gone before the end.
    """
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(_connect(scheduler, workers, stack))
        client.register_plugin(_OneAtATime(ours=scheduler is None))
        yield from _follow(client, dict(commands))


def _follow(client: Client, waiting: dict[str, Command]) -> Iterator[Event]:
    """Hand out no more commands than there are workers, so that a killed worker is held against its own one only."""
    token, events, running, seen = uuid.uuid4().hex, queue.SimpleQueue(), {}, set()
    client.subscribe_topic(token, lambda event: events.put((event[1], False)))
    try:
        while waiting or running:
            while waiting and len(running) < max(1, len(client.nthreads())):
                name = next(iter(waiting))
                running[name] = _submit(client, name, waiting.pop(name), token)
                running[name].add_done_callback(lambda _, name=name: events.put((name, True)))
            with contextlib.suppress(queue.Empty):
                name, ended = events.get(timeout=COUNT_SECONDS)
                yield _judge(name, running.pop(name)) if ended else Event(name, "again" if name in seen else "started")
                seen.add(name)
    finally:
        client.cancel(list(running.values()))
        time.sleep(2 * POLL_SECONDS if running else 0)  # workers see it and stop their processes


def _submit(client: Client, name: str, command: Command, token: str) -> Future:
    key = f"{name}-{token}"
    return client.submit(_run, name, command, token, key=key, retries=RETRIES, resources=_OneAtATime.ROOM)


def _judge(name: str, future: Future) -> Event:
    if future.status == "finished":
        code, sentence = future.result()
        return Event(name, "failed" if code else "done", sentence if code else "")
    if future.status != "error":
        raise RuntimeError("the scheduler is gone, and its workers with it; the same command goes on with another one")
    error = future.exception()
    if isinstance(error, KilledWorker):
        return Event(
            name, "failed", f"its worker was killed {error.allowed_failures + 1} times; is there enough memory?"
        )
    return Event(name, "failed", str(error))


def _run(name: str, command: Command, topic: str) -> tuple[int, str]:
    """On a worker: one process from its start to its end, or until nobody waits for it any more."""
    worker = get_worker()
    key = worker.get_current_task()
    worker.log_event(topic, name)
    threads = str(worker.state.nthreads)
    environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    streams = {"stdin": subprocess.PIPE, "stderr": subprocess.STDOUT, "cwd": command.folder, "env": environment}
    with open(command.log, "ab") as log:
        arguments = [sys.executable, *command.words]
        with subprocess.Popen(arguments, stdout=log, start_new_session=True, **streams) as process:
            while process.poll() is None and _is_wanted(worker, key):
                time.sleep(POLL_SECONDS)
    if process.returncode < 0 or process.returncode == KILLED:
        raise KilledError(f"it was killed {RETRIES + 1} times, at last saying: {_last_line(command.log)}")
    return process.returncode, _last_line(command.log)


def _is_wanted(worker: Worker, key: str) -> bool:
    task = worker.state.tasks.get(key)
    return task is not None and task.state != "cancelled"


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-1].removeprefix("seglib: ") if lines else "nothing"


class _OneAtATime(WorkerPlugin):
    """Gives every worker, also one that joins later, room for one command, however many threads it has."""

    name, ROOM = "seglib", {"seglib": 1}

    def __init__(self, *, ours: bool) -> None:
        self.ours = ours

    async def setup(self, worker: Worker) -> None:
        if self.ours:  # Ctrl-C reaches all processes of a terminal, and it is us who stop the workers then
            signal.signal(signal.SIGINT, lambda *_: None)
        await worker.set_resources(**self.ROOM)


def _connect(scheduler: str | None, workers: int | None, stack: contextlib.ExitStack) -> Client:
    if scheduler is None:
        return Client(stack.enter_context(_start_cluster(workers)), set_as_default=False)
    try:
        return Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:  # the last of TLS without keys
        raise InputError(f"no scheduler answers at {scheduler} ({error}); check its address") from None


def _start_cluster(workers: int | None) -> SpecCluster:
    devices = list_devices()
    count = workers or max(1, len(devices))
    place = {"host": HERE, "dashboard_address": f"{HERE}:0", "dashboard": False, "protocol": "tls"}
    place["security"] = Security.temporary()
    options = place | {"nthreads": max(1, CPU_COUNT // count), "memory_limit": 0, "silence_logs": logging.CRITICAL}
    pins = [pin_worker(number, devices) for number in range(count)]
    return SpecCluster(
        scheduler={"cls": Scheduler, "options": place | {"port": 0, "allowed_failures": RETRIES}},
        workers={number: {"cls": Nanny, "options": options | {"env": pin}} for number, pin in enumerate(pins)},
        security=place["security"],
        silence_logs=logging.CRITICAL,
    )


def list_devices() -> list[str]:
    """The GPUs that we may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    import torch

    count = torch.cuda.device_count()
    named = [word for word in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if word]
    return named[:count] if named else [str(number) for number in range(count)]


def pin_worker(number: int, devices: Sequence[str]) -> dict[str, str]:
    """The variable that shows a worker one of the GPUs; several workers share one where there are more of them."""
    return {"CUDA_VISIBLE_DEVICES": devices[number % len(devices)]} if devices else {}
