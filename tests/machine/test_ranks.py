import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from seglib.batches.loaders import make_loaders
from seglib.config import make_config
from seglib.errors import InputError
from seglib.machine.clock import start_of_clock
from seglib.machine.ranks import (
    ALONE,
    Rank,
    count_devices,
    describe_devices,
    find_device,
    find_rank,
)
from seglib.models.checkpoints import load_checkpoint, load_members
from seglib.models.networks import build_model, scale_images
from seglib.training import durations, orders
from seglib.training.losses import LOSSES
from seglib.training.orders import Order, read_order, write_order
from seglib.training.segmenter import Segmenter

# Sums over a batch are added up in another order, and Adam makes a step of any gradient that should be nothing.
# Measured over 9 networks of 5 epochs: at most 2e-6 of a loss at a rate of 1e-3, and 5e-4 at 5e-3; 2e-3 of a score;
# just as much as one process with two threads differs from one with one.
LOSS_TOLERANCE, SCORE_TOLERANCE = 1e-3, 5e-3  # relative, absolute


@pytest.fixture
def gpus(monkeypatch):
    """A machine with so many GPUs."""

    def pretend(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return pretend


def rows_of(loader):
    return [batch["row"].tolist() for batch in loader]


def assert_alike(first, second):
    losses, scores = ["epoch", "train_loss", "val_loss", "val_loss_seed", "lr"], ["val_dice", "val_iou"]
    pd.testing.assert_frame_equal(first[losses], second[losses], rtol=LOSS_TOLERANCE)
    pd.testing.assert_frame_equal(first[scores], second[scores], rtol=0, atol=SCORE_TOLERANCE)


def weights_of(network):
    return torch.cat([value.ravel() for value in network.state_dict().values()])


def assert_same_weights(first, second, name):
    """What differs is little beside what was learnt."""
    (network, config), (other, _) = (load_checkpoint(run / "checkpoints" / f"{name}.ckpt") for run in (first, second))
    learnt = weights_of(network) - weights_of(build_model(config))
    assert (weights_of(network) - weights_of(other)).norm() < 0.05 * learnt.norm()


# which process this is, and how many there will be


@pytest.mark.parametrize(
    ("environment", "rank"),
    [
        ({}, ALONE),
        ({"RANK": "1", "WORLD_SIZE": "2"}, ALONE),  # nobody whom Lightning would follow
        ({"TORCHELASTIC_RUN_ID": "x", "RANK": "5", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}, Rank(5, 8, 2)),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, ALONE),  # a batch script that asked for four tasks
        ({"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0", "SLURM_STEP_NUM_NODES": "1"}, ALONE),
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3", "SLURM_STEP_NUM_NODES": "2"}, Rank(3, 4, 2)),
    ],
)
def test_a_process_knows_which_of_those_started_together_it_is(monkeypatch, environment, rank):
    for name in [name for name in os.environ if name.startswith("SLURM")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert find_rank() == rank


@pytest.mark.parametrize(
    ("available", "environment", "device"),
    [
        (0, {"LOCAL_RANK": "1"}, "cpu"),
        (2, {}, "cuda:0"),
        (2, {"LOCAL_RANK": "1"}, "cuda:1"),
        (4, {"SLURM_LOCALID": "3"}, "cuda:3"),
        (1, {"SLURM_LOCALID": "3"}, "cuda:0"),  # a scheduler that shows each process its own
    ],
)
def test_each_process_of_a_machine_computes_on_a_gpu_of_its_own(gpus, monkeypatch, available, environment, device):
    gpus(available)
    for name in ("LOCAL_RANK", "SLURM_LOCALID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert find_device() == torch.device(device)


@pytest.mark.parametrize(
    ("available", "settings", "count", "words"),
    [
        (0, {}, 1, "the CPU computes"),
        (0, {"devices": 2}, 2, "2 processes on the CPU share every batch of 16 images"),
        (1, {}, 1, "one GPU computes"),
        (2, {}, 2, "2 GPUs share every batch of 16 images"),
        (2, {"devices": 1}, 1, "one of 2 GPUs computes"),
        (3, {}, 2, "2 of 3 GPUs share every batch of 16 images"),
        (2, {"batch_size": 5}, 1, "one of 2 GPUs computes"),
    ],
)
def test_as_many_devices_compute_as_there_are_and_can_share_a_batch(gpus, available, settings, count, words):
    gpus(available)
    config = make_config(**{"batch_size": 16, **settings})
    assert count_devices(config) == count
    assert describe_devices(config) == words


def test_a_batch_that_cannot_be_divided_is_refused_with_a_cure(gpus):
    for available in (0, 4):
        gpus(available)
        with pytest.raises(
            InputError, match=r"batch_size=5 cannot be shared by 2 processes; set batch_size=6 or devices"
        ):
            count_devices(make_config(batch_size=5, devices=2))


def test_a_batch_is_refused_too_where_somebody_else_started_the_processes(monkeypatch):
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": "0", "WORLD_SIZE": "3", "LOCAL_WORLD_SIZE": "3"}.items():
        monkeypatch.setenv(name, value)
    assert count_devices(make_config(batch_size=6, devices=1)) == 3
    with pytest.raises(InputError, match="shared by 3 processes; set batch_size=9"):
        count_devices(make_config(batch_size=8))


def test_more_devices_than_there_are_are_refused(gpus):
    gpus(2)
    with pytest.raises(InputError, match=r"devices=4 cannot be, as this machine has 2 GPU\(s\); set devices=2"):
        count_devices(make_config(devices=4))


def test_gpus_that_share_a_batch_take_so_much_less_time(gpus, tiny, monkeypatch):
    monkeypatch.setattr(durations, "_seconds_per_image", lambda *_: 0.5)
    seconds = []
    for available in (1, 2):
        gpus(available)
        seconds.append(durations.estimate_seconds(None, tiny, train_size=22, val_size=6))
    assert seconds == [22, 11]


# who sees which images


@pytest.mark.parametrize(("size", "count"), [(14, 2), (15, 2), (16, 4), (19, 4), (3, 2)])
def test_processes_see_together_the_very_batches_that_one_would_see(data, tiny, tmp_path, size, count):
    """Image ``i`` of a batch goes to process ``i % count``; of a set smaller than a batch the odd ones are left out."""
    train, val = data[0][:size], data[0][19:].reset_index(drop=True)
    whole = make_loaders(train, val, tiny, tmp_path)[0]
    parts = [make_loaders(train, val, tiny, tmp_path, Rank(index, count))[0] for index in range(count)]
    for loader in (whole, *parts):
        loader.sampler.set_epoch(3)
    assert len({len(part) for part in parts} | {len(whole)}) == 1
    for expected, *shares in zip(whole, *parts, strict=True):
        used = len(expected["row"]) // count * count
        for name, value in expected.items():
            together = torch.stack([share[name] for share in shares], dim=1).flatten(0, 1)
            assert torch.equal(together, value[:used])


@pytest.mark.parametrize("loss", LOSSES)
def test_the_mean_of_their_gradients_is_the_gradient_of_one(data, tiny, tmp_path, loss):
    network = build_model(tiny)

    def gradient(rank):
        batch = next(iter(make_loaders(data[0][:8], data[0][8:], tiny, tmp_path, rank)[0]))
        network.zero_grad()
        LOSSES[loss](network(scale_images(batch["image"])), batch["mask"]).backward()
        return torch.cat([parameter.grad.ravel() for parameter in network.parameters()])

    whole, parts = gradient(ALONE), [gradient(Rank(index, 2)) for index in range(2)]
    assert (sum(parts) / 2 - whole).norm() < 1e-5 * whole.norm()
    assert (parts[0] - whole).norm() > 1e-3 * whole.norm()


@pytest.mark.parametrize(("size", "count", "batch_size"), [(14, 2, 4), (14, 3, 3), (14, 4, 4), (16, 4, 4)])
def test_every_validation_batch_is_seen_whole_and_by_one_process(data, tiny, tmp_path, size, count, batch_size):
    tiny = dataclasses.replace(tiny, batch_size=batch_size)
    train, val = data[0][:4], data[0][4 : 4 + size].reset_index(drop=True)
    whole = rows_of(make_loaders(train, val, tiny, tmp_path)[1])
    parts = [rows_of(make_loaders(train, val, tiny, tmp_path, Rank(index, count))[1]) for index in range(count)]
    assert parts == [whole[index::count] for index in range(count)]


def test_of_fewer_validation_batches_than_processes_every_process_still_sees_one(data, tiny, tmp_path):
    """A process without one would not join the others when they exchange what they measured."""
    val = data[0][4:10].reset_index(drop=True)
    parts = [rows_of(make_loaders(data[0][:4], val, tiny, tmp_path, Rank(index, 4))[1]) for index in range(4)]
    assert parts == [[[0, 1, 2, 3]], [[4, 5]]] * 2


def test_fewer_training_images_than_processes_are_refused(data, tiny, tmp_path):
    with pytest.raises(InputError, match="3 training images cannot be shared by 4 processes; set devices=1"):
        make_loaders(data[0][:3], data[0][3:], tiny, tmp_path, Rank(0, 4))


@pytest.mark.parametrize(("count", "batch_size"), [(2, 4), (2, 6), (3, 3), (8, 8)])
def test_validation_shared_by_processes_gives_the_very_numbers_of_one(
    data, tiny, tmp_path, monkeypatch, count, batch_size
):
    """Also where the batches of the 14 images are uneven in number and in size, or fewer than the processes."""
    train, val = data[0][:8], data[0][6:].reset_index(drop=True)
    tiny = dataclasses.replace(tiny, batch_size=batch_size)
    network = build_model(tiny).eval()

    def measure(rank):
        module = Segmenter(network, tiny, total_steps=1)
        with torch.inference_mode():
            for batch in make_loaders(train, val, tiny, tmp_path, rank)[1]:
                module.validation_step(batch, 0)
        return module

    def finish(module, world_size):
        logged = {}
        monkeypatch.setattr(Segmenter, "trainer", SimpleNamespace(world_size=world_size))
        monkeypatch.setattr(Segmenter, "log", lambda _, name, value: logged.update({name: value.item()}))
        module.on_validation_epoch_end()
        return logged

    alone = finish(measure(ALONE), 1)
    modules = [measure(Rank(index, count)) for index in range(count)]
    measured = [list(module.val_batches) for module in modules]

    def exchange(everybody, mine):
        assert len(mine) in {len(batches) for batches in measured}
        everybody[:] = measured

    for name, answer in (("is_initialized", True), ("get_world_size", count)):
        monkeypatch.setattr(torch.distributed, name, lambda answer=answer: answer)
    monkeypatch.setattr(torch.distributed, "all_gather_object", exchange)
    assert [finish(module, count) for module in modules] == [alone] * count
    assert set(alone) == {"val_loss", "val_loss_seed", "val_dice", "val_iou"}
    assert all(not module.val_batches for module in modules)


# handing over, listening, stopping


def test_an_order_is_read_as_it_was_written(data, tiny, tmp_path):
    samples, folds = data
    samples = samples.assign(sample_id=[f"{row:03}" for row in range(19)] + ["NA"])  # neither a number nor nothing
    folds = folds.assign(sample_id=samples["sample_id"])
    config = make_config(**{**vars(tiny), "learning_rate": 0.1 + 0.2, "white": None})
    write_order(tmp_path / "order", Order(samples, folds, config, tmp_path / "run", tmp_path / "cache"))
    order = read_order(tmp_path / "order")
    pd.testing.assert_frame_equal(order.samples, samples)
    pd.testing.assert_frame_equal(order.folds, folds)
    assert order[2:] == (config, tmp_path / "run", tmp_path / "cache")


def test_a_folder_without_an_order_is_named(tmp_path):
    with pytest.raises(InputError, match="holds no order"):
        read_order(tmp_path)


@pytest.fixture
def start(data, tiny, tmp_path, monkeypatch):
    """Start a few lines of Python in place of the training processes."""

    def start_(code):
        monkeypatch.setattr(orders, "_command", lambda folder, count: [sys.executable, "-u", "-c", code, str(folder)])
        orders.start_ranks(Order(*data, tiny, tmp_path / "run", tmp_path / "cache"), 2)

    yield start_
    assert not (tmp_path / "run" / ".ranks").exists()


def test_what_the_processes_print_is_printed_here_and_their_warnings_are_not(start, capfd):
    start("import sys; print('epoch 1, größer'); print('a warning', file=sys.stderr); print('epoch 2')")
    assert capfd.readouterr() == ("epoch 1, größer\nepoch 2\n", "")


def test_a_line_is_printed_before_the_next_one_comes(start, monkeypatch):
    seen = []
    monkeypatch.setattr(orders, "_print_piece", lambda text: seen.append((time.monotonic(), text)))
    start("import time; print('one'); time.sleep(0.5); print('two')")
    assert "".join(text for _, text in seen) == "one\ntwo\n"
    assert seen[-1][0] - seen[0][0] > 0.3


def test_where_somebody_watches_a_bar_passes_and_nothing_else(start, capfd, monkeypatch):
    monkeypatch.setenv("SEGLIB_WATCHED", "1")
    start(
        "import sys, time; w = sys.stderr.write; w('a warning\\n'); sys.stderr.flush(); time.sleep(0.3); w('\\r 50%|#')"
    )
    assert capfd.readouterr().err == "\r 50%|#"


def test_what_a_process_refuses_arrives_as_the_same_sentence(start):
    with pytest.raises(InputError, match="^größer cannot be; set it smaller$"):
        start(
            "import sys, pathlib; pathlib.Path(sys.argv[1], 'refusal.txt').write_text("
            "'größer cannot be; set it smaller', encoding='utf-8'); sys.exit(1)"
        )


def test_any_other_failure_says_what_was_written_last(start):
    with pytest.raises(RuntimeError, match=r"(?s)training by 2 processes failed.*ZeroDivisionError: division by zero"):
        start("import sys; [print(n, file=sys.stderr) for n in range(500)]; 1 / 0")


def interrupt_when(ready):
    """Interrupt this process from another thread, once ``ready`` says so."""

    def wait():
        while not ready():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits that it be ignored
    threading.Thread(target=wait, daemon=True).start()


def test_an_interrupt_is_handed_on_and_waits_until_the_others_have_stopped(start, tmp_path):
    began, ended = tmp_path / "began", tmp_path / "ended"
    interrupt_when(began.exists)
    with pytest.raises(KeyboardInterrupt, match="run the same again to go on"):
        start(
            f"import pathlib, sys, time; pathlib.Path({str(began)!r}).touch(); sys.stdin.read(); time.sleep(0.3); "
            f"pathlib.Path({str(ended)!r}).touch()"
        )
    assert ended.exists()


# real processes


@pytest.mark.slow
def test_a_run_cut_off_alone_and_finished_by_two_is_the_run_of_one(train, monkeypatch, capfd):
    """Of five steps an epoch and two validation batches, the second one ragged."""
    settings = {"epochs": 5, "learning_rate": 1e-3, "ema_decay": 0.5, "lr_patience": 0}
    whole, alone = train("alone", **settings)
    step, calls = Segmenter.training_step, []

    def cut_off(self, *batch):
        calls.append(1)
        if len(calls) == 8:  # in the third epoch of three steps
            raise KeyboardInterrupt
        return step(self, *batch)

    monkeypatch.setattr(Segmenter, "training_step", cut_off)
    with pytest.raises(KeyboardInterrupt):
        train("two", **settings)
    monkeypatch.setattr(Segmenter, "training_step", step)
    capfd.readouterr()
    shared, two = train("two", **settings, devices=2)
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["3/5", "4/5", "5/5"]
    assert_alike(whole, shared)
    assert_same_weights(alone, two, "best")
    assert_same_weights(alone, two, "last")
    assert sorted(path.name for path in two.iterdir()) == ["checkpoints", "history.csv"]
    with pytest.raises(InputError, match=r"two holds a run with epochs=5, not 6; choose another output folder"):
        train("two", **{**settings, "epochs": 6}, devices=2)
    assert sorted(path.name for path in two.iterdir()) == ["checkpoints", "history.csv"]


@pytest.mark.slow
def test_two_that_are_interrupted_leave_nothing_half_written_and_one_goes_on(train, tmp_path):
    settings = {"epochs": 40, "stop_patience": 0}
    whole, _ = train("alone", **settings)
    history = tmp_path / "two" / "history.csv"
    interrupt_when(lambda: history.exists() and len(history.read_text().splitlines()) > 2)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt, match="run the same again to go on"):
        train("two", **settings, devices=2)
    assert time.monotonic() - started < 90
    done = len(pd.read_csv(history))
    assert 2 <= done < 40
    names = sorted(path.name for path in (tmp_path / "two").rglob("*"))
    assert names == ["best.ckpt", "checkpoints", "history.csv", "last.ckpt"]
    load_checkpoint(tmp_path / "two" / "checkpoints" / "last.ckpt")
    resumed, _ = train("two", **settings)
    assert len(resumed) == 40
    assert_alike(whole[:20], resumed[:20])  # what rounding makes differ grows from epoch to epoch, after 30 to 1e-3


@pytest.mark.slow
def test_torchrun_shares_every_fold_and_decodes_the_images_once(data, tmp_path, tiny, train):
    config = make_config(**{**vars(tiny), "folds": 3, "epochs": 1})
    write_order(tmp_path / "order", Order(*data, config, tmp_path / "run", tmp_path / "torchrun-cache"))
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "-m",
        "seglib.training.rank",
    ]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, str(tmp_path / "order")], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line.split()[:2] for line in done.stdout.splitlines()[::2]] == [["fold", f"{n}/3"] for n in (1, 2, 3)]
    shared = pd.read_csv(tmp_path / "run" / "history.csv")
    assert_alike(shared, train("alone", folds=3, epochs=1)[0])
    assert [member.fold for _, member in load_members(tmp_path / "run")] == [0, 1, 2]
    assert len(list((tmp_path / "torchrun-cache").glob("*/images.npy"))) == 1


@pytest.mark.slow
def test_two_train_a_network_that_has_weights_without_a_gradient(train):
    pytest.importorskip("segmentation_models_pytorch")
    settings = {"architecture": "Unet", "encoder": "efficientnet-b0", "ema_decay": 0.5, "schedule": "cosine"}
    history, folder = train("run", **settings, devices=2, epochs=1)
    assert np.isfinite(history["train_loss"]).all()
    load_checkpoint(folder / "checkpoints" / "best.ckpt")
    load_checkpoint(folder / "checkpoints" / "last.ckpt")


def test_processes_that_are_started_share_the_clock_of_their_starter(monkeypatch):
    monkeypatch.setenv("SEGLIB_STARTED", "1234.5")
    assert orders._environment(2)["SEGLIB_STARTED"] == "1234.5"
    monkeypatch.delenv("SEGLIB_STARTED")
    assert float(orders._environment(2)["SEGLIB_STARTED"]) == pytest.approx(start_of_clock(), abs=1)


# the first of several processes runs the notebooks, the others wait for what these train


@pytest.fixture
def job(monkeypatch):
    """This process as one of two that torchrun started."""

    def pretend(index):
        monkeypatch.setattr(orders, "find_rank", lambda: Rank(index, 2, 1))
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job")
        monkeypatch.setattr(orders, "LOOK_SECONDS", 0.01)

    return pretend


@pytest.mark.parametrize("name", ["SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT", "MASTER_PORT"])
def test_a_job_that_is_begun_again_under_its_name_takes_no_order_of_the_one_before(job, tmp_path, monkeypatch, name):
    job(1)
    before = orders._place(tmp_path)
    monkeypatch.setenv(name, "7")
    assert orders._place(tmp_path) != before


def wait_for_order(folder):
    got = []

    def wait():
        try:
            got.append(orders.await_order(folder))
        except InputError as error:
            got.append(error)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread, got


def test_who_waits_gets_the_order_that_a_notebook_gives(job, data, tiny, tmp_path, monkeypatch):
    job(0)
    order = Order(*data, tiny, tmp_path / "run", tmp_path / "cache")
    thread, got = wait_for_order(tmp_path / "run")
    seen = []

    def run(command, env):
        thread.join(10)
        seen.extend([command, env])
        return 0, ""

    monkeypatch.setattr(orders, "_run_and_listen", run)
    with orders.lead(tmp_path / "run"):
        time.sleep(0.1)
        assert not got
        orders.start_ranks(order, 2)
    assert got[0].config == tiny
    pd.testing.assert_frame_equal(got[0].folds, data[1], check_dtype=False)
    assert "torch.distributed.run" not in seen[0]  # one process more, beside those that were started already
    assert orders.PLACE not in seen[1]  # which is led
    assert not list((tmp_path / "run").glob(".order-*"))
    assert not orders.is_leading()


def test_who_waits_is_told_if_the_first_process_ends_before_it_trains(job, tmp_path):
    job(0)
    thread, got = wait_for_order(tmp_path)
    with orders.lead(tmp_path):
        time.sleep(0.1)
    thread.join(10)
    assert "ended before it trained" in str(got[0])


def test_what_a_killed_job_left_is_not_taken_for_an_order(job, data, tiny, tmp_path):
    job(0)
    write_order(tmp_path / ".order-job" / "order", Order(*data, tiny, tmp_path, tmp_path))
    with orders.lead(tmp_path):
        assert not (tmp_path / ".order-job" / "order").exists()


def test_alone_nobody_is_led(tmp_path):
    with orders.lead(tmp_path):
        assert not orders.is_leading()
    assert not list(tmp_path.iterdir())
