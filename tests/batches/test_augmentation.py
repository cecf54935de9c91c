import albumentations as A  # noqa: N812
import numpy as np
import pytest
import torch

from seglib.batches.augmentation import Drawer, make_augmentation, make_strong_transform, make_transform
from seglib.batches.cache import Cache
from seglib.batches.loaders import SampleDataset
from seglib.config import make_config

FLIPS = {A.HorizontalFlip, A.VerticalFlip, A.RandomRotate90}


def square(size=64, channels=3):
    image = np.zeros((1, size, size, channels), np.uint8)
    mask = np.zeros((1, size, size), np.uint8)
    image[0, 20:40, 10:30], mask[0, 20:40, 10:30] = 200, 1
    return Cache(image, mask)


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


def test_symmetries_have_to_be_known():
    with pytest.raises(ValueError, match="not in"):
        make_augmentation(make_config("quick", in_channels=1))


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


def test_the_config_names_the_augmentation():
    assert make_augmentation(make_config(augment="none", in_channels=3)) is None
    for augment, make in (("standard", make_transform), ("strong", make_strong_transform)):
        made = make_augmentation(make_config(augment=augment, in_channels=1, symmetries=2))
        assert made.to_dict() == make(1, 2).to_dict()


def test_a_drawer_changes_no_image_and_draws_the_same_again():
    image = np.random.default_rng(0).integers(256, size=(32, 32, 3), dtype=np.uint8)
    kept, drawer = image.copy(), Drawer(make_strong_transform(3))
    first, other, again = (drawer.draw(image, seed) for seed in (5, 6, 5))
    assert np.array_equal(image, kept)
    assert first.keys() == again.keys()
    for kind, numbers in first.items():
        assert all(np.array_equal(value, again[kind][name]) for name, value in numbers.items())
    assert not np.array_equal(first["warp"]["matrix"], other["warp"]["matrix"])


def test_another_seed_bends_otherwise():
    image, drawer = np.zeros((32, 32, 3), np.uint8), Drawer(A.Compose([A.ElasticTransform(alpha=60, sigma=8, p=1)]))
    first, other = (drawer.draw(image, seed)["bend"]["shift"] for seed in (1, 2))
    assert first.shape == (2, 32, 32)
    assert np.abs(first - other).max() > 0.1


def test_nothing_is_left_over_from_the_image_before():
    image, drawer = np.zeros((32, 32, 3), np.uint8), Drawer(make_strong_transform(3))
    kinds = [frozenset(drawer.draw(image, seed)) for seed in range(200)]
    counts = {kind: sum(kind in drawn for drawn in kinds) for kind in frozenset.union(*kinds)}
    assert counts.pop("warp") == 200
    expected = {"bend": 50, "contrast": 120, "gamma": 60, "colour": 100, "blur": 20, "noise": 20, "patches": 50}
    assert counts.keys() == expected.keys()
    assert all(abs(counts[kind] - count) < 4 * np.sqrt(count) for kind, count in expected.items())


def test_a_step_that_nobody_else_can_do_is_refused():
    with pytest.raises(ValueError, match="InvertImg is not known to warps"):
        Drawer(A.Compose([A.InvertImg()]))
