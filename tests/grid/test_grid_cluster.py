import time
from contextlib import closing

import psutil
import pytest

pytest.importorskip("distributed", reason="an extra: pip install -e .[grid]")

from seglib.errors import InputError
from seglib.grid import cluster

JOB = "from seglib.leash import end_with_starter; end_with_starter(); import os, signal, sys, time; "


@pytest.fixture
def command(tmp_path):
    """Make a command from the statements of its process."""

    def command_(name, code):
        return cluster.Command(["-u", "-c", JOB + code], tmp_path / f"{name}.log", str(tmp_path))

    return command_


def follow(commands, **options):
    """Everything that happened to each command, in order."""
    happened = {}
    for event in cluster.run_commands(commands, **options):
        happened.setdefault(event.name, []).append(event)
    return happened


def test_one_that_is_always_killed_is_given_up_and_the_others_go_on(command):
    happened = follow(
        {
            "killed": command("killed", "print('deep in it'); os.kill(os.getpid(), signal.SIGKILL)"),
            "below": command("below", "print('seglib: its kernel died'); sys.exit(137)"),
            "wrong": command("wrong", "print('seglib: x.png is broken; mend it'); sys.exit(2)"),
            "right": command("right", "print(os.environ['OMP_NUM_THREADS'], os.getcwd())"),
        },
        workers=1,
    )
    states = {name: [event.state for event in events] for name, events in happened.items()}
    assert states["killed"] == states["below"] == ["started", "again", "again", "failed"]
    assert states["wrong"] == ["started", "failed"]
    assert states["right"] == ["started", "done"]
    assert happened["killed"][-1].sentence == "it was killed 3 times, at last saying: deep in it"
    assert happened["below"][-1].sentence == "it was killed 3 times, at last saying: its kernel died"
    assert happened["wrong"][-1].sentence == "x.png is broken; mend it"
    threads, folder = command("right", "").log.read_text().split()
    assert (int(threads), folder) == (cluster.CPU_COUNT, command("right", "").folder)


def test_leaving_early_stops_everything_and_nobody_else_could_have_listened(command):
    commands = {name: command(name, f"print({name!r}); time.sleep(600)") for name in "ab"}
    me = psutil.Process()
    with closing(cluster.run_commands(commands, workers=2)) as events:
        assert {next(events).name, next(events).name} == {"a", "b"}
        while not all(one.log.exists() and one.log.read_text() for one in commands.values()):
            time.sleep(0.1)
        described = psutil.process_iter(["pid", "cmdline"])  # of one that ends meanwhile they are None
        below = {child.pid for child in me.children(recursive=True)}
        lasting = [one for one in described if one.pid in below and one.info["cmdline"]]
        jobs = [one for one in lasting if any(JOB in word for word in one.info["cmdline"])]
        family = [me, *(one for one in lasting if one not in jobs)]
        ears = {link.laddr.ip for one in family for link in one.net_connections("inet") if link.status == "LISTEN"}
        workers = {job.parent() for job in jobs}
    assert ears == {cluster.HERE}
    assert len(jobs) == len(workers) == 2
    assert psutil.wait_procs([*jobs, *workers], timeout=20)[1] == []


def test_each_worker_is_pinned_to_one_of_the_gpus_that_we_may_use(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert cluster.list_devices() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5")
    assert cluster.list_devices() == ["3", "GPU-5"]
    pins = [cluster.pin_worker(number, ["3", "GPU-5"])["CUDA_VISIBLE_DEVICES"] for number in range(3)]
    assert pins == ["3", "GPU-5", "3"]
    assert cluster.pin_worker(0, []) == {}


@pytest.mark.parametrize("address", ["127.0.0.1:9", "nothing://127.0.0.1:9", "tls://127.0.0.1:9"])
def test_an_address_without_a_scheduler_is_named(command, monkeypatch, address):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    with pytest.raises(InputError, match=f"no scheduler answers at {address}"):
        follow({"a": command("a", "")}, scheduler=address)


@pytest.fixture
def owner():
    """A cluster that somebody else has started: one worker of three threads."""
    with cluster.Client(n_workers=1, threads_per_worker=3, dashboard_address="127.0.0.1:0") as owner:
        yield owner


def test_a_running_cluster_is_used_one_command_at_a_time_and_left_running(command, owner, monkeypatch):
    monkeypatch.setattr(cluster.Client, "nthreads", lambda self: {"one": 3, "that is gone": 3})
    code = "print(os.environ['OMP_NUM_THREADS'], time.time()); time.sleep(1); print(time.time())"
    commands = {name: command(name, code) for name in "ab"}
    happened = follow(commands, scheduler=owner.scheduler.address)
    assert [[event.state for event in happened[name]] for name in "ab"] == [["started", "done"]] * 2
    (threads, *first), (_, *second) = [commands[name].log.read_text().split() for name in happened]
    assert threads == "3"
    assert float(first[1]) < float(second[0])
    assert owner.submit(sum, [1, 2]).result() == 3


def test_leaving_early_stops_a_command_on_a_running_cluster_too(command, owner):
    one = command("a", "print(os.getpid()); time.sleep(600)")
    with closing(cluster.run_commands({"a": one}, scheduler=owner.scheduler.address)) as events:
        next(events)
        while not (one.log.exists() and one.log.read_text()):
            time.sleep(0.1)
        job = psutil.Process(int(one.log.read_text()))
    assert psutil.wait_procs([job], timeout=20)[1] == []
    assert owner.submit(sum, [1, 2]).result() == 3
