import hashlib

import numpy as np
import pytest
import torch

from seglib.batches import SeededSampler, augments_on_device, make_loaders
from seglib.cache import build_cache
from seglib.config import make_config
from seglib.samples import list_samples


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


def test_the_number_of_workers_changes_nothing_and_no_worker_repeats_another(loaders):
    alone, two = fingerprints(loaders()[0]), fingerprints(loaders(num_workers=2)[0])
    assert alone == two
    assert len(set(alone)) == len(alone)


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
    whole = build_cache(samples, tmp_path, size=32, channels=3, white=255.0)
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
