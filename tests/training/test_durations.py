import dataclasses
import time

import pytest
import torch

from seglib.config import make_config
from seglib.errors import InputError
from seglib.models.networks import build_model, scale_images
from seglib.training import durations
from seglib.training.durations import describe_duration, estimate_seconds, planned_epochs
from seglib.training.losses import dice_loss


@pytest.mark.parametrize(("steps", "expected"), [(5, 30), (40, 10), (100, 4), (1000, 1)])
def test_epochs_keep_to_the_steps_asked_for(steps, expected):
    config = make_config(epochs=10, min_steps=150, max_steps=400)
    assert planned_epochs(config, steps) == expected


def test_an_estimate_grows_with_the_work_and_leaves_the_network_alone(tiny):
    config = dataclasses.replace(tiny, norm="batch")
    network = build_model(config)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    few, many = (estimate_seconds(network, config, train_size=size, val_size=0) for size in (8, 8000))
    assert 100 < many / few < 10_000
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_hours_are_announced_with_a_cure():
    assert "40 hours" in describe_duration(40 * 3600)
    assert "up to 2 hours" in describe_duration(1.4 * 3600)  # and not up to 1
    assert "quick" in describe_duration(40 * 3600)
    assert "hours" not in describe_duration(300)
    assert describe_duration(20) == "training takes about a minute on this machine"


def test_an_estimate_is_steps_and_validation_at_the_measured_speed(tiny, monkeypatch):
    monkeypatch.setattr(durations, "_seconds_per_image", lambda *_: 0.5)
    # 2 epochs of 5 steps of 4 images, and a third of 6 validation images: 2 * (20 + 2) * 0.5
    assert estimate_seconds(None, tiny, train_size=22, val_size=6) == 22
    assert estimate_seconds(None, dataclasses.replace(tiny, folds=3), train_size=22, val_size=6) == 66


def test_an_estimate_of_fewer_images_than_a_batch_counts_those_there_are(tiny, monkeypatch):
    monkeypatch.setattr(durations, "_seconds_per_image", lambda *_: 0.5)
    few = dataclasses.replace(tiny, batch_size=64)
    assert estimate_seconds(None, few, train_size=3, val_size=3) == 2 * (3 + 1) * 0.5


def test_the_measured_speed_is_that_of_real_steps(tiny):
    config = dataclasses.replace(tiny, image_size=192, norm="batch")
    network, images = build_model(config), torch.zeros(8, 3, 192, 192, dtype=torch.uint8)
    started = time.perf_counter()
    for _ in range(4):
        dice_loss(network(scale_images(images)), images[:, :1]).backward()
    real = (time.perf_counter() - started) / 32
    assert real / 20 < estimate_seconds(network, config, train_size=4, val_size=0) / 8 < real * 20


@pytest.mark.parametrize(("steps", "expected"), [([9, 4], 4), ([9, 0.5, 0.4, 0.3], 0.3), ([30], 30)])
def test_the_first_step_of_a_process_is_not_taken_for_its_speed(tiny, monkeypatch, steps, expected):
    taken = iter(steps)
    monkeypatch.setattr(durations, "_time_step", lambda *_: next(taken))
    assert estimate_seconds(build_model(tiny), tiny, train_size=4, val_size=0) == expected * 8
    assert not list(taken)


def test_a_batch_for_which_there_is_no_room_is_estimated_from_two_images(tiny, monkeypatch):
    """Training divides it; the estimate that comes before must not end the run."""
    monkeypatch.setattr(durations, "_time_step", time_or_run_out)
    network = build_model(tiny)
    assert estimate_seconds(network, tiny, train_size=22, val_size=6) == 22


def test_a_size_that_the_network_cannot_take_is_told_by_the_estimate():
    pytest.importorskip("segmentation_models_pytorch")
    config = make_config(architecture="PAN", encoder="resnet18", image_size=64, in_channels=3)
    with pytest.raises(InputError, match="PAN with encoder resnet18 takes no images of 64 pixels"):
        estimate_seconds(build_model(config), config, train_size=4, val_size=1)


@pytest.mark.parametrize("gpu", [False, True])
def test_where_there_is_no_room_for_two_images_one_is_measured_and_then_a_cure_named(tiny, monkeypatch, gpu):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, *_, **__: self)
    monkeypatch.setattr(durations, "_time_step", lambda *given: time_or_run_out(*given, room=1))
    assert durations._seconds_per_image(build_model(tiny), tiny) == 0.5
    monkeypatch.setattr(durations, "_time_step", lambda *given: time_or_run_out(*given, room=0))
    with pytest.raises(InputError, match=r"out of memory at one image at once; lower image_size \(now 32\)"):
        durations._seconds_per_image(build_model(tiny), tiny)


def time_or_run_out(network, config, count, device, room=2):
    if count > room:
        raise torch.OutOfMemoryError("CUDA out of memory")
    return 0.5
