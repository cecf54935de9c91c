import albumentations as A  # noqa: N812
import numpy as np
import pytest
import torch
from pictures import disc, picture, tensors

from seglib.batches.augmentation import EDGE, Drawer, augment_pair, make_strong_transform, make_transform
from seglib.batches.warps import augment_batch, merge_draws


def by_both(steps, seed, channels=3):
    """Image and mask as albumentations makes them, and as the batch has them."""
    image, mask = picture(channels), disc()
    theirs = augment_pair(A.Compose(steps()), image, mask, seed)
    draws = merge_draws([Drawer(A.Compose(steps())).draw(image, seed)])
    ours = augment_batch({**tensors([image], [mask]), "draws": draws})
    return theirs, (ours["image"][0].permute(1, 2, 0).numpy(), ours["mask"][0, 0].numpy())


EXACT = {
    "columns": lambda: [A.HorizontalFlip(p=1)],
    "rows": lambda: [A.VerticalFlip(p=1)],
    "turns": lambda: [A.RandomRotate90(p=1)],
    "all three": lambda: [A.HorizontalFlip(p=1), A.RandomRotate90(p=1), A.VerticalFlip(p=1)],
    "contrast": lambda: [A.RandomBrightnessContrast(0.3, 0.3, p=1)],
    "patches": lambda: [A.CoarseDropout((1, 4), (0.05, 0.2), (0.05, 0.2), fill=128, p=1)],
}


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("seed", range(6))
def test_what_needs_no_interpolation_is_the_same_to_the_pixel(name, seed):
    (image, mask), (our_image, our_mask) = by_both(EXACT[name], seed)
    assert np.array_equal(mask, our_mask)
    assert np.array_equal(image, our_image)


WIDE = {"scale": (0.7, 1.4), "rotate": (-45, 45), "translate_percent": (-0.4, 0.4), "shear": (-10, 10)}
NEAR = {  # steps, mean and 99th percentile of the difference in gray levels
    "affine": (lambda: [A.Affine(**WIDE, **EDGE, p=1)], 0.5, 3),
    "elastic": (lambda: [A.ElasticTransform(alpha=80, sigma=8, approximate=True, **EDGE, p=1)], 0.5, 3),
    "gamma": (lambda: [A.RandomGamma((70, 140), p=1)], 0.05, 1),
    "colour": (lambda: [A.HueSaturationValue(12, 30, 12, p=1)], 0.3, 4),
    "blur": (lambda: [A.GaussianBlur((3, 5), p=1)], 0.1, 1),
    "noise": (lambda: [A.GaussNoise((0.02, 0.06), p=1)], 1.0, 1),
    "bent after turned": (
        lambda: [A.Affine(**WIDE, **EDGE, p=1), A.ElasticTransform(alpha=80, sigma=8, approximate=True, **EDGE, p=1)],
        1.2,
        7,
    ),
}


@pytest.mark.parametrize("name", NEAR)
@pytest.mark.parametrize("seed", range(8))
def test_every_change_is_that_of_albumentations_within_rounding(name, seed):
    steps, mean, most = NEAR[name]
    (image, mask), (our_image, our_mask) = by_both(steps, seed)
    difference = np.abs(image.astype(int) - our_image)
    assert difference.mean() < mean
    assert np.percentile(difference, 99) <= most
    assert (mask != our_mask).mean() < 0.01


@pytest.mark.parametrize("make", [make_transform, make_strong_transform])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_is_augmented_as_its_images_are_one_by_one(make, channels):
    image, mask, drawer = picture(channels), disc(), Drawer(make(channels))
    batch = tensors([image] * 40, [mask] * 40) | {"row": torch.arange(40)}
    batch["draws"] = merge_draws([drawer.draw(image, seed) for seed in range(40)])
    made, transform = augment_batch(batch), make(channels)
    assert made.keys() == {"image", "mask", "row"}
    assert made["image"].dtype == made["mask"].dtype == torch.uint8
    assert set(made["mask"].unique().tolist()) == {0, 1}
    differences, wrong = [], []
    for seed in range(40):
        one, its_mask = augment_pair(transform, image, mask, seed)
        differences.append(np.abs(one.astype(int) - made["image"][seed].permute(1, 2, 0).numpy()).mean())
        wrong.append((its_mask != made["mask"][seed, 0].numpy()).mean())
    assert np.mean(differences) < 0.5
    assert max(differences) < 2
    assert max(wrong) < 0.015


def test_every_image_is_blurred_by_its_own_kernel_up_to_its_edges():
    image, mask, steps = picture(), disc(), [A.GaussianBlur((3, 5), sigma_limit=(0.5, 3), p=1)]
    drawer, transform = Drawer(A.Compose(steps)), A.Compose([A.GaussianBlur((3, 5), sigma_limit=(0.5, 3), p=1)])
    draws = merge_draws([drawer.draw(image, seed) for seed in range(6)])
    made = augment_batch(tensors([image] * 6, [mask] * 6) | {"draws": draws})["image"]
    for seed in range(6):
        expected = augment_pair(transform, image, mask, seed)[0]
        assert np.abs(expected.astype(int) - made[seed].permute(1, 2, 0).numpy()).max() <= 1


def test_what_is_gray_stays_gray_when_colours_are_shifted():
    gray = np.repeat(np.arange(0, 256, dtype=np.uint8), 3).reshape(16, 16, 3)
    draws = merge_draws([Drawer(A.Compose([A.HueSaturationValue(12, 30, 0, p=1)])).draw(gray, 3)])
    made = augment_batch(tensors([gray], [disc(16)]) | {"draws": draws})["image"][0]
    assert torch.equal(made, torch.from_numpy(gray.transpose(2, 0, 1).copy()))


def test_one_image_of_a_batch_does_not_touch_another():
    image, mask = picture(), disc()
    whole = Drawer(make_strong_transform(3))
    draws = [whole.draw(image, seed) for seed in range(12)]
    nothing = {"warp": {"matrix": np.eye(3, dtype=np.float32)[:2]}}
    for place in (0, 5, 11):
        mixed = [nothing] * place + [draws[place]] + [nothing] * (11 - place)
        made = augment_batch({**tensors([image] * 12, [mask] * 12), "draws": merge_draws(mixed)})["image"]
        same = [bool((made[other] == torch.from_numpy(image).permute(2, 0, 1)).all()) for other in range(12)]
        assert same == [other != place for other in range(12)]


def test_a_batch_for_which_nothing_was_drawn_is_left_alone():
    batch = tensors([picture()], [disc()])
    assert augment_batch(batch) is batch
