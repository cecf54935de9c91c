import hashlib
import pickle
import shutil

import numpy as np
import pytest
import torch
from pytorch_lightning.utilities.combined_loader import _shutdown_workers_and_reset_iterator

from seglib.batches import loaders as batches
from seglib.batches.cache import Cache, build_cache
from seglib.batches.loaders import SeededSampler, augments_on_device, make_loaders
from seglib.config import make_config
from seglib.data.samples import list_samples
from seglib.images.reading import Scale
from seglib.machine.ranks import Rank


def fingerprints(loader):
    return [hashlib.sha256(image.numpy().tobytes()).hexdigest() for batch in loader for image in batch["image"]]


@pytest.fixture
def loaders(phantoms, tmp_path, tiny):
    samples = list_samples(phantoms)

    def make(**settings):
        config = make_config(**{**vars(tiny), **settings})
        return make_loaders(samples[:14], samples[14:].reset_index(drop=True), config, tmp_path)

    return make


def test_a_batch_is_uint8_and_its_masks_are_0_or_1(loaders):
    for loader in loaders():
        batch = next(iter(loader))
        assert batch["image"].shape == (4, 3, 32, 32)
        assert batch["mask"].shape == (4, 1, 32, 32)
        assert batch["image"].dtype == batch["mask"].dtype == torch.uint8
        assert set(batch["mask"].unique().tolist()) == {0, 1}


def test_gray_batches_have_one_channel(loaders):
    train, _ = loaders(in_channels=1)
    assert next(iter(train))["image"].shape == (4, 1, 32, 32)


def test_every_epoch_draws_anew_and_two_runs_agree(loaders):
    first, again = loaders()[0], loaders()[0]
    runs = []
    for loader in (first, again):
        epochs = []
        for epoch in (0, 1):
            loader.sampler.set_epoch(epoch)
            epochs.append(fingerprints(loader))
        runs.append(epochs)
    assert runs[0] == runs[1]
    assert not set(runs[0][0]) & set(runs[0][1])


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_is_drawn_when_it_is_asked_for_and_not_before(loaders, workers):
    expected = loaders()[0]
    expected.sampler.set_epoch(7)
    loader = loaders(num_workers=workers)[0]
    iterator = iter(loader)
    loader.sampler.set_epoch(7)
    assert fingerprints(iterator) == fingerprints(expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_that_was_begun_early_is_the_same_one(loaders, workers, monkeypatch):
    plain, early = loaders()[0], loaders(num_workers=workers)[0]
    drawn, draw = [], SeededSampler.__iter__
    monkeypatch.setattr(SeededSampler, "__iter__", lambda self: (drawn.append(self.epoch), draw(self))[1])
    epochs = []
    for loader in (plain, early):
        epochs.append([fingerprints(loader)])
        for epoch in (1, 2):
            if loader is early:
                loader.begin(epoch)
                assert drawn[-1] == epoch - (workers == 0)  # without workers there is nobody to begin
            loader.sampler.set_epoch(epoch)  # as Lightning does
            epochs[-1].append(fingerprints(loader))
    assert epochs[0] == epochs[1]
    assert drawn == [0, 1, 2] * 2


def test_an_epoch_begun_in_vain_is_dropped(loaders):
    """A run that goes on elsewhere, or whose workers are gone."""
    expected = loaders()[0]
    expected.sampler.set_epoch(3)
    expected = fingerprints(expected)
    loader = loaders(num_workers=1)[0]
    loader.begin(2)
    loader.sampler.set_epoch(3)
    assert fingerprints(loader) == expected
    loader.begin(3)
    _shutdown_workers_and_reset_iterator(loader)  # as Lightning does where a run breaks off
    assert fingerprints(loader) == expected


def test_the_number_of_workers_changes_nothing_and_no_worker_repeats_another(loaders):
    alone, two = fingerprints(loaders()[0]), fingerprints(loaders(num_workers=2)[0])
    assert alone == two
    assert len(set(alone)) == len(alone)


@pytest.mark.parametrize(
    ("gpu", "cores", "neighbours", "starts", "expected"),
    [
        (False, 2, 1, "fork", 1),
        (False, 64, 1, "fork", 1),
        (False, 1, 1, "fork", 0),
        (False, 2, 2, "fork", 0),  # each of two processes has one core
        (False, 4, 2, "fork", 1),
        (False, 8, 1, "spawn", 0),
        (True, 3, 1, "spawn", 3),
        (True, 64, 1, "fork", 8),
        (True, 8, 4, "fork", 2),
        (True, 2, 4, "fork", 1),
    ],
)
def test_workers_are_chosen_from_the_machine(monkeypatch, tiny, gpu, cores, neighbours, starts, expected):
    monkeypatch.setattr(batches.torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(batches.os, "cpu_count", lambda: cores)
    monkeypatch.setattr(batches, "get_all_start_methods", lambda: [starts, "fork"])
    config = make_config(**{**vars(tiny), "num_workers": -1})
    assert batches._worker_count(config, Rank(0, neighbours)) == expected
    assert batches._worker_count(make_config(**{**vars(tiny), "num_workers": 5}), Rank()) == 5


@pytest.mark.parametrize(
    ("megabytes", "neighbours", "augment_on", "expected"),
    [
        (1024, 1, "loader", 8),
        (64, 1, "loader", 8),  # 3.1 MB a batch of 16 images of 224 px with their masks: 20 fit
        (40, 1, "loader", 5),
        (64, 2, "loader", 4),
        (64, 1, "device", 0),  # 18.4 MB, as what is drawn comes along
        (80, 1, "device", 1),
        (1, 1, "loader", 0),
    ],
)
def test_workers_are_no_more_than_the_memory_holds_that_they_hand_over_in(
    monkeypatch, tiny, tmp_path, megabytes, neighbours, augment_on, expected
):
    room = shutil.disk_usage(tmp_path)._replace(free=megabytes * 2**20)
    monkeypatch.setattr(batches.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(batches.os, "cpu_count", lambda: 64)
    monkeypatch.setattr(batches, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(batches.shutil, "disk_usage", lambda path: {tmp_path: room}[path])
    size = {"num_workers": -1, "batch_size": 16, "image_size": 224, "augment_on": augment_on}
    config = make_config(**{**vars(tiny), **size})
    assert batches._worker_count(config, Rank(0, neighbours)) == expected
    monkeypatch.setattr(batches, "SHARED_MEMORY", tmp_path / "on another system")
    assert batches._worker_count(config, Rank(0, neighbours)) == 8


@pytest.mark.parametrize(("gpu", "expected"), [(False, (2, 0)), (True, (2, 2))])
def test_no_process_is_forked_in_the_middle_of_a_training_on_a_cpu(loaders, monkeypatch, gpu, expected):
    """Validation begins after an epoch, when much memory is in use that would be copied as soon as it is written."""
    monkeypatch.setattr(batches.torch.cuda, "is_available", lambda: gpu)
    assert tuple(loader.num_workers for loader in loaders(num_workers=2)) == expected


def test_a_worker_that_is_not_forked_is_handed_the_place_of_the_images_and_not_the_images(loaders):
    data = loaders()[0].dataset
    handed = pickle.dumps(data)
    assert len(pickle.dumps(data.cache)) < 1_000 < data.cache.images.nbytes
    opened = pickle.loads(handed)
    assert isinstance(opened.cache.images, np.memmap)
    assert all(torch.equal(opened[3, 7][name], data[3, 7][name]) for name in ("image", "mask"))
    held = pickle.loads(pickle.dumps(Cache(np.ones(3), np.zeros(3))))
    assert (held.images.sum(), held.masks.sum()) == (3, 0)


def test_the_number_of_workers_changes_nothing_in_what_is_drawn_for_a_device(loaders):
    alone, two = (list(loaders(num_workers=count, augment_on="device", augment="strong")[0]) for count in (0, 2))
    assert len(alone) == len(two) == 3
    for batch, other in zip(alone, two, strict=True):
        assert batch["draws"].keys() == other["draws"].keys() > {"warp"}
        for kind, numbers in batch["draws"].items():
            assert all(torch.equal(value, other["draws"][kind][name]) for name, value in numbers.items())
        assert torch.equal(batch["image"], other["image"])


def test_a_gpu_augments_unless_it_is_told_not_to(monkeypatch):
    for gpu in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda gpu=gpu: gpu)
        wanted = [augments_on_device(make_config(augment_on=place)) for place in ("auto", "loader", "device")]
        assert wanted == [gpu, False, True]


def test_another_seed_is_another_epoch(loaders):
    assert not set(fingerprints(loaders()[0])) & set(fingerprints(loaders(seed=1)[0]))


def test_validation_comes_in_order_whole_and_as_it_is(loaders):
    _, val = loaders()
    rows = torch.cat([batch["row"] for batch in val]).tolist()
    assert rows == list(range(6))
    batch = next(iter(val))
    place = val.dataset.rows[2]
    assert np.array_equal(batch["image"][2].permute(1, 2, 0).numpy(), val.dataset.cache.images[place])


def test_all_folds_share_one_cache_and_each_row_is_its_own_sample(phantoms, tmp_path, tiny):
    samples = list_samples(phantoms)
    whole = build_cache(samples, tmp_path, size=32, channels=3, scale=Scale(0, 255.0))
    for held_out in (slice(0, 5), slice(9, 14)):
        val = samples[held_out].reset_index(drop=True)
        train = samples.drop(index=samples[held_out].index).reset_index(drop=True)
        for table, loader in zip((train, val), make_loaders(train, val, tiny, tmp_path), strict=True):
            for batch in loader:
                for row, mask in zip(batch["row"], batch["mask"], strict=True):
                    place = samples.index[samples["sample_id"] == table["sample_id"][int(row)]][0]
                    assert loader.dataset.rows[row] == place
                    assert table is train or np.array_equal(mask[0], whole.masks[place])
    assert len(list(tmp_path.glob("*/images.npy"))) == 1


def test_without_augmentation_training_images_are_as_they_are(loaders):
    train, _ = loaders(augment="none")
    batch = next(iter(train))
    row = int(batch["row"][0])
    assert np.array_equal(batch["mask"][0, 0].numpy(), train.dataset.cache.masks[train.dataset.rows[row]])


def test_a_training_set_smaller_than_a_batch_still_trains(loaders):
    train, _ = loaders(batch_size=64)
    assert [len(batch["row"]) for batch in train] == [14]


def test_a_ragged_last_training_batch_is_left_out(loaders):
    train, _ = loaders()
    assert [len(batch["row"]) for batch in train] == [4, 4, 4]


def test_an_order_depends_on_seed_and_epoch_only():
    sampler, other = SeededSampler(50, seed=3, shuffle=True), SeededSampler(50, seed=3, shuffle=True)
    first = list(sampler)
    assert first == list(sampler) == list(other)
    other.set_epoch(1)
    assert first != list(other)
    assert sorted(row for row, _ in first) == list(range(50))
