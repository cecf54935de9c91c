import hashlib

import albumentations as A  # noqa: N812
import numpy as np
import pytest
import torch

from seglib.batches import SampleDataset, SeededSampler, make_loaders, make_strong_transform, make_transform
from seglib.cache import Cache, build_cache
from seglib.config import make_config
from seglib.samples import list_samples

FLIPS = {A.HorizontalFlip, A.VerticalFlip, A.RandomRotate90}


def fingerprints(loader):
    return [hashlib.sha256(image.numpy().tobytes()).hexdigest() for batch in loader for image in batch["image"]]


@pytest.fixture
def loaders(phantoms, tmp_path, tiny):
    samples = list_samples(phantoms)

    def make(**settings):
        config = make_config(**{**vars(tiny), **settings})
        return make_loaders(samples[:14], samples[14:].reset_index(drop=True), config, tmp_path)

    return make


def square(size=64, channels=3):
    image = np.zeros((1, size, size, channels), np.uint8)
    mask = np.zeros((1, size, size), np.uint8)
    image[0, 20:40, 10:30], mask[0, 20:40, 10:30] = 200, 1
    return Cache(image, mask)


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


@pytest.mark.parametrize("make", [make_transform, make_strong_transform])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_mask_moves_with_the_image(channels, make):
    data = SampleDataset(square(channels=channels), np.arange(1), without_patches(make(channels)))
    overlaps = []
    for seed in range(40):
        sample = data[0, seed]
        bright, mask = sample["image"][0] > sample["image"][0].max() // 2, sample["mask"][0] > 0
        overlaps.append((bright & mask).sum() / (bright | mask).sum())
    assert np.median(overlaps) > 0.9  # the image is resampled bilinearly, the mask at the nearest pixel
    assert min(overlaps) > 0.75


def without_patches(transform):
    """A covered patch hides the square, which no comparison of image and mask survives."""
    return A.Compose([step for step in transform if not isinstance(step, A.CoarseDropout)])


def test_covered_patches_leave_the_mask_alone():
    patches = [step for step in make_strong_transform(3) if isinstance(step, A.CoarseDropout)]
    data = SampleDataset(square(), np.arange(1), A.Compose(patches))
    samples = [data[0, seed] for seed in range(30)]
    assert all(np.array_equal(sample["mask"][0], square().masks[0]) for sample in samples)
    assert 0 < sum((sample["image"] == 128).any().item() for sample in samples) < 30


@pytest.mark.parametrize("make", [make_transform, make_strong_transform])
def test_augmentation_really_changes_place_shape_and_brightness(make):
    data = SampleDataset(square(), np.arange(1), make(3))
    samples = [data[0, seed] for seed in range(60)]
    centres = {tuple(torch.nonzero(sample["mask"][0]).float().mean(dim=0).round().int().tolist()) for sample in samples}
    areas = [int(sample["mask"].sum()) for sample in samples]
    levels = [int(sample["image"].max()) for sample in samples]
    assert len(centres) > 20
    assert max(areas) > 1.2 * min(areas)
    assert np.ptp(levels) > 30


def test_the_steps_of_the_augmentation_are_drawn_independently_of_each_other():
    """Given one seed each, all steps would see the same chance: both mirrors or none, and so on down the list."""
    corner = np.zeros((1, 16, 16), np.uint8)
    corner[0, :4, :4] = 1
    flips = A.Compose([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5), A.InvertImg(p=0.5)])
    data = SampleDataset(Cache(corner[..., None] * 255, corner), np.arange(1), flips)
    samples = [data[0, seed] for seed in range(400)]
    kinds = [(s["mask"].numpy().tobytes(), int(s["image"].sum()) > 16 * 255) for s in samples]
    counts = [kinds.count(kind) for kind in set(kinds)]
    assert len(counts) == 8
    assert min(counts) > 25  # 50 each, give or take


@pytest.mark.parametrize(("symmetries", "corners"), [(1, 1), (2, 2), (4, 4), (8, 4)])
def test_only_the_symmetries_that_the_images_have_are_drawn(symmetries, corners):
    """A bright corner moves to as many corners; a bar lies down only where quarter turns are allowed."""
    corner, bar = (np.zeros((1, 16, 16), np.uint8) for _ in range(2))
    corner[0, :4, :4], bar[0, 7:9, :] = 1, 1
    flips = A.Compose([step for step in make_transform(1, symmetries) if type(step) in FLIPS])
    seen = []
    for mask in (corner, bar):
        data = SampleDataset(Cache(mask[..., None] * 255, mask), np.arange(1), flips)
        seen.append({data[0, seed]["mask"].numpy().tobytes() for seed in range(60)})
    assert len(seen[0]) == corners
    assert len(seen[1]) == (2 if symmetries == 8 else 1)


def test_an_order_depends_on_seed_and_epoch_only():
    sampler, other = SeededSampler(50, seed=3, shuffle=True), SeededSampler(50, seed=3, shuffle=True)
    first = list(sampler)
    assert first == list(sampler) == list(other)
    other.set_epoch(1)
    assert first != list(other)
    assert sorted(row for row, _ in first) == list(range(50))
