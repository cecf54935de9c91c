import os
import shutil
import time

import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from seglib.batches import loaders
from seglib.batches.loaders import SampleDataset, make_loaders
from seglib.config import Config, make_config
from seglib.data.samples import list_samples
from seglib.machine.ranks import Rank
from seglib.models.networks import build_model
from seglib.training import waiting
from seglib.training.callbacks import HISTORY_COLUMNS
from seglib.training.history import read_history
from seglib.training.loop import fit
from seglib.training.segmenter import Segmenter
from seglib.training.waiting import WaitMeter, describe_waiting


@pytest.fixture
def run(phantoms, tmp_path, tiny):
    """Train on 16 phantoms, in batches of 4, and validate on 4; the history."""
    samples = list_samples(phantoms)

    def run_(**settings):
        config = make_config(**{**vars(tiny), **settings})
        (tmp_path / "run" / "checkpoints").mkdir(parents=True, exist_ok=True)
        loaders = make_loaders(samples[:16], samples[16:].reset_index(drop=True), config, tmp_path / "cache")
        return fit(build_model(config), *loaders, config, tmp_path / "run")

    return run_


@pytest.fixture
def slow(monkeypatch):
    """Make every image of training, or every step, take so many seconds longer."""

    def slow_(*, image=0.0, step=0.0):
        read, learn = SampleDataset.__getitem__, Segmenter.training_step

        def read_slowly(self, key):
            time.sleep(image * (self.how is not None))
            return read(self, key)

        def learn_slowly(self, *batch):
            time.sleep(step)
            return learn(self, *batch)

        monkeypatch.setattr(SampleDataset, "__getitem__", read_slowly)
        monkeypatch.setattr(Segmenter, "training_step", learn_slowly)

    return slow_


def test_the_share_of_waiting_is_what_the_loader_takes_of_the_training_time(run, slow):
    """Of 16 images at 0.06 s and 4 steps at 0.24 s: a half, less what the network itself takes on a busy machine."""
    slow(image=0.06, step=0.24)
    shares = run()["wait_share"]
    assert shares.between(0.3, 0.6).all()


def test_the_first_fetch_of_an_epoch_counts(run, slow):
    """With one step an epoch there is no other."""
    slow(image=0.02)
    assert (run(batch_size=16)["wait_share"] > 0.3).all()


def test_a_loader_that_keeps_up_is_not_waited_for_and_nothing_is_said(run, slow, capsys):
    slow(step=0.2)
    shares = run(augment="none")["wait_share"]
    assert (shares < 0.08).all()
    said = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[-1] for line in said] == [f"waited {100 * share:.0f} %" for share in shares]


def test_other_things_between_two_steps_count_as_no_waiting(run, monkeypatch):
    """Such as the moving average: it is computed between the end of a step and the next fetch."""
    monkeypatch.setattr(Segmenter, "on_train_batch_end", lambda *_: time.sleep(0.2), raising=False)
    assert (run(augment="none")["wait_share"] < 0.08).all()


def test_a_loader_that_is_too_slow_is_told_of_once_and_not_after_the_first_epoch(run, slow, capsys, monkeypatch):
    monkeypatch.setattr(waiting, "WORTH_SECONDS", 0.1)
    slow(image=0.02)
    run(epochs=4, stop_patience=0)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["epoch", "epoch", "loader-bound:", "epoch", "epoch"]
    assert lines[2].endswith("set num_workers=1, and a worker prepares the next batch meanwhile")


def test_one_epoch_alone_gives_no_advice(run, slow, capsys, monkeypatch):
    monkeypatch.setattr(waiting, "WORTH_SECONDS", 0.1)
    slow(image=0.02)
    run(epochs=1)
    assert "loader-bound" not in capsys.readouterr().out


def test_a_fraction_of_a_second_is_not_worth_a_line(run, slow, capsys):
    slow(image=0.02)
    run()
    assert "loader-bound" not in capsys.readouterr().out


def test_several_processes_wait_as_long_as_the_slowest_of_them(run, slow, monkeypatch):
    monkeypatch.setattr(waiting, "gather", lambda share: [share, 0.875])
    slow(step=0.02)
    assert run()["wait_share"].tolist() == [0.875, 0.875]


@pytest.mark.parametrize(
    ("workers", "rank", "cure"),
    [
        (0, Rank(), "set num_workers=1"),
        (2, Rank(), "raise num_workers (now 2)"),
        (2, Rank(0, 4, 2), "raise num_workers (now 2)"),
        (4, Rank(0, 2, 1), "its 4 workers have no more cores to use"),
        (8, Rank(), "its 8 workers have no more cores to use"),
    ],
)
def test_the_cure_is_one_that_applies(monkeypatch, workers, rank, cure):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    config = Config(in_channels=3, white=255, augment_on="loader")
    said = describe_waiting(0.34, DataLoader([1], num_workers=workers), config, rank)
    assert said.startswith(f"loader-bound: 34 % of the time went into waiting for images; {cure}")


@pytest.mark.parametrize(("megabytes", "cure"), [(63, "more workers need more shared"), (64, "raise num_workers")])
def test_no_worker_more_is_advised_where_it_would_be_killed_for_want_of_shared_memory(
    monkeypatch, tmp_path, megabytes, cure
):
    """Three workers hand over eight batches of sixteen images of 352 px and their masks, 8 MB each."""
    room = shutil.disk_usage(tmp_path)._replace(free=megabytes * 10**6)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(loaders, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(loaders.shutil, "disk_usage", lambda _: room)
    config = Config(in_channels=3, white=255, batch_size=16, image_size=352, augment_on="loader")
    assert f"; {cure}" in describe_waiting(0.34, DataLoader([1], num_workers=2), config, Rank())


@pytest.mark.parametrize(("done", "seconds"), [(True, 0.03), (False, 0.0)])
def test_a_fetch_costs_nothing_where_the_gpu_is_still_busy_when_it_ends(monkeypatch, done, seconds):
    class Event:
        def record(self):
            self.recorded = True

        def query(self):
            return self.recorded and done

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    meter = WaitMeter()
    with meter.profile("[_TrainingEpochLoop].train_dataloader_next"):
        time.sleep(0.03)
    with meter.profile("run_training_batch"):
        time.sleep(0.03)
    assert meter.seconds == pytest.approx(seconds, abs=0.02)


def test_a_run_begun_before_there_was_the_column_goes_on_and_can_be_read(run, tmp_path, monkeypatch):
    path, learn, calls = tmp_path / "run" / "history.csv", Segmenter.training_step, []

    def cut_off(self, *batch):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return learn(self, *batch)

    monkeypatch.setattr(Segmenter, "training_step", cut_off)
    with pytest.raises(KeyboardInterrupt):
        run()
    pd.read_csv(path).drop(columns="wait_share").to_csv(path, index=False)
    history = run()
    assert list(history) == list(HISTORY_COLUMNS)
    assert history["wait_share"].isna().tolist() == [True, False]
    assert read_history(path)["epoch"].tolist() == [1, 2]
