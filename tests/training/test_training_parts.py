import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from seglib.batches.loaders import make_loaders
from seglib.config import make_config
from seglib.data.folds import assign_folds
from seglib.data.samples import list_samples
from seglib.errors import InputError, MemoryShortageError
from seglib.machine.ranks import Rank, count_devices, list_divisors
from seglib.models.checkpoints import load_checkpoint
from seglib.models.networks import build_model
from seglib.training import callbacks, loop, members, orders, rank
from seglib.training.segmenter import Segmenter

TIMES = ["seconds", "images_per_second", "wait_share"]
TOLERANCE = 1e-3  # of what was learnt; sums are added up in another order: up to 2e-6 with AVX2, 1.2e-4 with AVX-512


@pytest.fixture
def data(phantoms):
    """The 20 phantoms in five folds: 16 to train with, 4 held out."""
    samples = list_samples(phantoms)
    return samples, assign_folds(samples, np.linspace(0, 1, len(samples)), n_folds=5, seed=0)


@pytest.fixture
def room_for(monkeypatch):
    """Let memory run out in every step with more images than so many."""
    step = Segmenter.training_step

    def room_for_(images, error=torch.OutOfMemoryError, after=0):
        calls = []

        def learn(self, batch, number):
            calls.append(len(batch["image"]))
            if len(batch["image"]) > images and len(calls) > after:
                raise error("CUDA out of memory: can't allocate memory")
            return step(self, batch, number)

        monkeypatch.setattr(Segmenter, "training_step", learn)
        return calls

    return room_for_


def weights_of(network):
    return torch.cat([value.ravel() for value in network.state_dict().values()])


def distance(first, second, name="last"):
    """Between the weights of two runs, as a share of what was learnt."""
    (network, config), (other, _) = (load_checkpoint(run / "checkpoints" / f"{name}.ckpt") for run in (first, second))
    learnt = weights_of(network) - weights_of(build_model(config))
    return ((weights_of(network) - weights_of(other)).norm() / learnt.norm()).item()


def assert_alike(first, second):
    losses, scores = ["epoch", "train_loss", "val_loss", "val_loss_seed", "lr"], ["val_dice", "val_iou"]
    pd.testing.assert_frame_equal(first[losses], second[losses], rtol=1e-5)
    pd.testing.assert_frame_equal(first[scores], second[scores], rtol=0, atol=1e-3)


# the same steps


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"schedule": "cosine", "ema_decay": 0.8, "gradient_clip": 0.1, "optimizer": "adamw"},
        {"batch_size": 8, "max_steps": 3, "schedule": "onecycle"},
        {"batch_size": 32, "epochs": 6},
    ],
)
def test_a_batch_in_one_two_or_four_parts_makes_the_same_weights(train, settings):
    """Of the moving average, clipped gradients, rates by the step, and where all the images are fewer than a batch."""
    whole, one = train("1", **settings)
    for parts in (2, 4):
        history, folder = train(str(parts), **settings, accumulate=parts)
        assert_alike(whole, history)
        assert distance(one, folder) < TOLERANCE


def test_parts_of_unequal_size_count_by_their_images(data, tiny, tmp_path):
    """Of 13 images in two parts, 7 and 6, the gradient is that of the 13."""
    tiny = dataclasses.replace(tiny, batch_size=16)
    network = build_model(tiny)

    def gradient(parts):
        config = dataclasses.replace(tiny, accumulate=parts)
        loader = make_loaders(data[0][:13], data[0][13:], config, tmp_path)[0]
        module = Segmenter(network, config, total_steps=1, part_images=13 / parts)
        module.log = lambda *_, **__: None
        network.zero_grad()
        for batch in loader:
            (module.training_step(batch, 0) / parts).backward()
        return torch.cat([parameter.grad.ravel() for parameter in network.parameters()])

    assert (gradient(2) - gradient(1)).norm() < 1e-5 * gradient(1).norm()


def test_fewer_images_than_parts_make_a_step_all_the_same(train):
    whole, one = train("whole", batch_size=32)
    divided, other = train("divided", batch_size=32, accumulate=32)
    assert_alike(whole, divided)
    assert distance(one, other) < TOLERANCE


@pytest.mark.parametrize(("size", "count", "parts"), [(16, 1, 2), (18, 1, 8), (19, 2, 4), (7, 1, 4), (7, 2, 2)])
def test_the_parts_of_a_batch_are_the_batch(data, tiny, tmp_path, size, count, parts):
    """With the same augmentation, whole batches only, and shared by processes."""
    config, val = dataclasses.replace(tiny, batch_size=8), data[0][19:].reset_index(drop=True)
    for index in range(count):
        whole, divided = (
            make_loaders(data[0][:size], val, one, tmp_path, Rank(index, count))[0]
            for one in (config, dataclasses.replace(config, accumulate=parts))
        )
        for loader in (whole, divided):
            loader.sampler.set_epoch(3)
        pieces, steps = list(divided), list(whole)
        assert len(pieces) == parts * len(steps)
        assert max(len(piece["row"]) for piece in pieces) <= -(-8 // count // parts)
        for name in steps[0]:
            together = torch.cat([piece[name] for piece in pieces])
            assert torch.equal(together, torch.cat([step[name] for step in steps]))


def test_validation_batches_stay_whole_but_pass_through_the_network_in_parts(train, monkeypatch):
    """A loss that depends on what else is in the batch stays what it is."""
    seen = []
    forward = Segmenter.forward
    monkeypatch.setattr(
        Segmenter, "forward", lambda self, images: seen.append((self.training, len(images))) or forward(self, images)
    )
    whole, _ = train("whole", epochs=1)
    assert set(seen) == {(True, 4), (False, 4)}
    seen.clear()
    divided, _ = train("divided", epochs=1, accumulate=2)
    assert set(seen) == {(True, 2), (False, 2)}
    assert divided["val_loss_seed"].tolist() == pytest.approx(whole["val_loss_seed"].tolist(), rel=1e-5)


def test_a_bar_fills_by_the_step_and_the_speed_counts_every_image_once(train, monkeypatch):
    bars = []

    class Bar:
        def __init__(self, things, *_, **__):
            self.total, self.done = len(things), 0
            bars.append(self)

        def update(self, count=1):
            self.done += count

        def close(self):
            pass

    monkeypatch.setattr(callbacks, "track", Bar)
    history, _ = train("run", accumulate=4, epochs=1)
    assert [(bar.total, bar.done) for bar in bars] == [(4, 4)]
    images = history["images_per_second"] * history["seconds"]
    assert 16 < images.item() < 16 * 3  # the seconds hold the validation too


@pytest.mark.parametrize(("first", "then"), [(0, 4), (4, 1)])
def test_a_run_that_goes_on_may_change_the_parts(train, monkeypatch, first, then):
    settings = {"epochs": 4, "schedule": "cosine", "ema_decay": 0.8}
    whole, alone = train("whole", **settings)
    monkeypatch.setattr(callbacks, "is_time_up", lambda hours, _: hours > 0)
    train("run", **settings, accumulate=first, max_hours=9)
    history, folder = train("run", **settings, accumulate=then)
    assert_alike(whole, history)
    assert distance(alone, folder) < TOLERANCE
    assert distance(alone, folder, "best") < TOLERANCE


def test_parts_into_which_a_batch_cannot_be_divided_are_refused_with_a_cure(monkeypatch):
    with pytest.raises(InputError, match="accumulate=3 cannot be; it must be a divisor of batch_size, which is 16"):
        make_config(accumulate=3)
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": "0", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    assert count_devices(make_config(accumulate=4)) == 4
    words = "accumulate=8 cannot divide the 4 images of a batch that each of 4 processes has; set it to one of 1, 2, 4"
    with pytest.raises(InputError, match=words):
        count_devices(make_config(accumulate=8))


def test_no_more_gpus_share_a_batch_than_leave_its_parts_whole(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert [count_devices(make_config(accumulate=parts)) for parts in (0, 4, 8, 16)] == [4, 4, 2, 1]


def test_divisors_are_those_there_are():
    assert list_divisors(1) == [1]
    assert list_divisors(16) == [1, 2, 4, 8, 16]


# memory that runs out


@pytest.mark.parametrize("settings", [{}, {"norm": "batch", "schedule": "cosine", "ema_decay": 0.8}])
def test_a_run_out_of_memory_becomes_the_run_with_so_many_parts(train, room_for, capsys, settings):
    expected, alone = train("expected", accumulate=4, **settings)
    capsys.readouterr()
    room_for(1)
    history, folder = train("run", **settings)
    assert history.drop(columns=TIMES).equals(expected.drop(columns=TIMES))
    assert distance(alone, folder) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "out of memory at 4 images at once; going on with 2 at once, 4 per step as before",
        "out of memory at 2 images at once; going on with 1 at once, 4 per step as before",
    ]
    assert [line.split()[0] for line in lines[2:]] == ["epoch", "epoch"]


def test_a_network_that_half_a_step_has_changed_begins_anew_with_its_pretrained_weights(train, room_for, monkeypatch):
    asked, build = [], members.build_model
    monkeypatch.setattr(members, "build_model", lambda config, *, pretrained: asked.append(pretrained) or build(config))
    room_for(2, after=2)  # in the third step of the first epoch
    history, folder = train("run")
    assert asked == [True, True]
    expected, alone = train("expected", accumulate=2)
    assert distance(alone, folder) == 0
    assert history["train_loss"].equals(expected["train_loss"])


def test_memory_that_runs_out_later_costs_the_epoch_it_ran_out_in(train, room_for, monkeypatch):
    asked, build = [], members.build_model
    whole, alone = train("whole", epochs=4)
    monkeypatch.setattr(members, "build_model", lambda config, *, pretrained: asked.append(pretrained) or build(config))
    calls = room_for(2, after=9)  # in the third epoch of four steps
    history, folder = train("run", epochs=4)
    assert calls == [4] * 10 + [2] * 16
    assert asked == [True, False]
    assert_alike(whole, history)
    assert distance(alone, folder) < TOLERANCE


def test_a_cpu_without_room_is_answered_likewise(train, room_for, capsys):
    room_for(2, error=RuntimeError)
    train("run", epochs=1)
    assert "going on with 2 at once" in capsys.readouterr().out


def test_fewer_images_than_a_batch_are_divided_by_their_own_number(train, room_for, capsys):
    room_for(5)
    train("run", batch_size=64, epochs=1)
    assert capsys.readouterr().out.splitlines()[:2] == [
        "out of memory at 16 images at once; going on with 8 at once, 16 per step as before",
        "out of memory at 8 images at once; going on with 4 at once, 16 per step as before",
    ]


def test_no_room_for_one_image_ends_with_a_cure(train, room_for):
    room_for(0)
    with pytest.raises(InputError, match=r"out of memory at one image at once; lower image_size \(now 32\)"):
        train("run")


def test_parts_that_were_asked_for_are_kept_to(train, room_for):
    room_for(1)
    with pytest.raises(MemoryShortageError, match="out of memory at 2 images at once; set accumulate=4"):
        train("run", accumulate=2)


@pytest.mark.parametrize("error", [RuntimeError, ZeroDivisionError])
def test_other_errors_come_through_as_they_are(train, monkeypatch, error):
    def fail(*_):
        raise error("the shapes differ")

    monkeypatch.setattr(Segmenter, "training_step", fail)
    with pytest.raises(error, match="the shapes differ"):
        train("run")


@pytest.mark.parametrize("kind", [InputError, MemoryShortageError])
def test_a_shortage_of_memory_is_told_from_other_refusals_across_processes(data, tiny, tmp_path, monkeypatch, kind):
    def refuse(*_):
        raise kind("größer cannot be; set it smaller")

    monkeypatch.setattr(rank, "fit_members", refuse)
    monkeypatch.setattr(orders, "_run_and_listen", lambda command, _: (rank.main([command[-1]]), ""))
    monkeypatch.setattr(orders, "_command", lambda folder, _: [str(folder)])
    with pytest.raises(InputError, match="^größer cannot be; set it smaller$") as caught:
        orders.start_ranks(orders.Order(*data, tiny, tmp_path / "run", tmp_path / "cache"), 2)
    assert type(caught.value) is kind


def test_one_of_several_processes_does_not_go_on_by_itself(train, monkeypatch):
    """The others wait for its gradients."""
    monkeypatch.setattr(members, "find_rank", lambda: Rank(0, 2))
    monkeypatch.setattr(members, "count_devices", lambda _: 2)

    def run_out(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(loop, "fit", run_out)
    with pytest.raises(MemoryShortageError, match="out of memory at 2 images at once; set accumulate=2"):
        train("run")


def test_processes_that_ran_out_of_memory_are_started_again_with_more_parts(train, monkeypatch, capsys):
    started = []

    def start(order, count):
        started.append((order.config.accumulate, count))
        if order.config.parts < 4:
            raise MemoryShortageError("out of memory")
        (order.output_dir / "history.csv").write_text("epoch\n1\n")

    monkeypatch.setattr(members, "start_ranks", start)
    train("run", batch_size=8, devices=2)
    assert started == [(0, 2), (2, 2), (4, 2)]
    assert capsys.readouterr().out.splitlines() == [
        "out of memory at 4 images at once; going on with 2 at once, 8 per step as before",
        "out of memory at 2 images at once; going on with 1 at once, 8 per step as before",
    ]
    with pytest.raises(MemoryShortageError):
        train("run", batch_size=8, devices=2, accumulate=2)


SHORT = """
import sys, torch
from seglib.training.rank import main
from seglib.training.segmenter import Segmenter

step = Segmenter.training_step

def learn(self, batch, number):
    if len(batch["image"]) > 1 and self.global_rank == 1 and self.current_epoch == 1:
        raise torch.OutOfMemoryError("CUDA out of memory")
    return step(self, batch, number)

Segmenter.training_step = learn
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_two_processes_of_which_one_runs_out_of_memory_go_on_together(train, monkeypatch, tmp_path, capfd):
    script, command = tmp_path / "short.py", orders._command
    script.write_text(SHORT)

    def with_script(folder, count):
        words = command(folder, count)
        place = words.index("seglib.training.rank")
        return [*words[: place - 1], str(script), *words[place + 1 :]]

    whole, alone = train("alone", epochs=3)
    capfd.readouterr()
    monkeypatch.setattr(orders, "_command", with_script)
    history, folder = train("run", epochs=3, devices=2)
    lines = capfd.readouterr().out.splitlines()
    assert lines[1] == "out of memory at 2 images at once; going on with 1 at once, 4 per step as before"
    assert [line.split()[1] for line in lines if line.startswith("epoch")] == ["1/3", "2/3", "3/3"]
    assert_alike(whole, history)
    assert distance(alone, folder) < 0.05
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoints", "history.csv"]
