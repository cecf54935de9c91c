"""What may happen to a training image: drawn by albumentations (only here), and done by it or by ``warps``."""

import os
from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np

from seglib.batches.warps import PATCH, Draws
from seglib.config import SYMMETRIES, Config

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # before its import, which otherwise asks the network

import albumentations as A  # noqa: N812
import cv2

Transform = A.Compose
EDGE = {"border_mode": cv2.BORDER_REFLECT_101, "mask_interpolation": cv2.INTER_NEAREST}  # of every bending transform
KERNEL = 5  # pixels, the widest blur


def make_augmentation(config: Config) -> Transform | None:
    """The augmentation that ``config.augment`` names; None where it names none."""
    make = {"none": lambda *_: None, "standard": make_transform, "strong": make_strong_transform}[config.augment]
    return make(config.in_channels, config.symmetries)


def make_transform(channels: int, symmetries: int = 8) -> Transform:
    """The standard augmentation of training: flips, quarter turns, affine, elastic, brightness and contrast.

    It maps an image uint8 (H, W, C) and its mask uint8 (H, W) in {0, 1} to another pair of those shapes and dtypes;
    masks are sampled at the nearest pixel. What it draws depends on the seed given before each call.

    Args:
        channels: 1 or 3; only colour images change their hue and saturation.
        symmetries: of the square that are drawn from: 1 none, 2 left and right, 4 mirrors, 8 and quarter turns. A chest
            has its heart on the left and its lungs upright: 1 or 2.
    """
    affine = {"scale": (0.8, 1.2), "rotate": (-30, 30), "translate_percent": (-0.08, 0.08), "shear": (-6, 6)}
    colour = [A.HueSaturationValue(8, 20, 8, p=0.3)] if channels == 3 else []
    return A.Compose(
        [
            *_square_symmetries(symmetries),
            A.Affine(**affine, **EDGE, p=0.7),
            A.ElasticTransform(alpha=60, sigma=8, approximate=True, **EDGE, p=0.15),
            A.RandomBrightnessContrast(0.2, 0.2, p=0.5),
            *colour,
        ]
    )


def make_strong_transform(channels: int, symmetries: int = 8) -> Transform:
    """The strong augmentation: the standard one with a wider reach, and blur, noise, gamma and covered patches.

    The same contract as ``make_transform``. Covered patches are gray in the image and leave the mask as it is: the
    network has to complete what a hair, a ruler or a wire hides.
    """
    affine = {"scale": (0.7, 1.4), "rotate": (-45, 45), "translate_percent": (-0.12, 0.12), "shear": (-10, 10)}
    colour = [A.HueSaturationValue(12, 30, 12, p=0.5)] if channels == 3 else []
    patches = {"num_holes_range": (1, 4), "hole_height_range": (0.05, 0.2), "hole_width_range": (0.05, 0.2)}
    return A.Compose(
        [
            *_square_symmetries(symmetries),
            A.Affine(**affine, **EDGE, p=0.8),
            A.ElasticTransform(alpha=80, sigma=8, approximate=True, **EDGE, p=0.25),
            A.RandomBrightnessContrast(0.25, 0.25, p=0.6),
            A.RandomGamma((70, 140), p=0.3),
            *colour,
            A.OneOf([A.GaussianBlur((3, KERNEL)), A.GaussNoise((0.02, 0.06))], p=0.2),
            A.CoarseDropout(**patches, fill=PATCH, p=0.25),
        ]
    )


def _square_symmetries(count: int) -> list[A.BasicTransform]:
    flips = [A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5), A.RandomRotate90(p=0.5)]
    return flips[: SYMMETRIES.index(count)]  # not of 0: the data have to say first how many they have


def augment_pair(transform: Transform, image: np.ndarray, mask: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """An image uint8 (H, W, C) and its mask uint8 (H, W), changed as ``seed`` has it; the same shapes and dtypes."""
    _seed(transform, seed)
    image, mask = transform(image=image, mask=mask).values()
    return image.reshape(*mask.shape, -1), mask  # some transforms drop a single channel's axis


class Drawer:
    """Draws what ``augment_pair`` would do to an image, number for number, and leaves it to somebody else to do it.

    At 320 pixels to draw takes a third of the time that it takes to do it; a GPU does it to a whole batch (``warps``).

    Args:
        transform: of ``make_transform`` or ``make_strong_transform``; from now on it changes no image.

    Raises:
        ValueError: if it holds a transform that ``warps`` does not know.
    """

    def __init__(self, transform: Transform) -> None:
        self.transform = transform
        self.steps = list(_list_steps(transform))
        for step in self.steps:
            if type(step) not in _NUMBERS and type(step) not in _MATRICES:
                raise ValueError(f"{type(step).__name__} is not known to warps; use augment_pair")
            step.apply_with_params = _leave_alone

    def draw(self, image: np.ndarray, seed: int) -> Draws:
        """What happens to an image uint8 (H, W, C) under ``seed``: a matrix, and numbers for each kind of change.

        ``matrix`` float32 (2, 3) tells for each pixel of the new image, as (x, y, 1), where in the old one it lies.
        Kinds that were not drawn are left out.
        """
        for step in self.steps:
            step.params = {}
        _seed(self.transform, seed)
        self.transform(image=image)
        drawn = [(type(step), step.get_applied_params()) for step in self.steps]
        matrix, draws = np.eye(3), {}
        for kind, numbers in drawn:
            if numbers and kind in _MATRICES:
                matrix = matrix @ _MATRICES[kind](numbers, *image.shape[:2])
            elif numbers:
                name, convert = _NUMBERS[kind]
                draws[name] = convert(numbers)
        return {"warp": {"matrix": matrix[:2].astype(np.float32)}} | draws


def _seed(transform: Transform, seed: int) -> None:
    # one stream for all steps; set_random_seed would give each the same one, and they would all draw alike
    transform.set_random_state(np.random.default_rng(seed), Random(seed))


def _list_steps(transform: Transform) -> Iterator[A.BasicTransform]:
    for step in transform.transforms:
        yield from _list_steps(step) if hasattr(step, "transforms") else [step]


def _leave_alone(params: dict[str, Any], *_: Any, **data: Any) -> dict[str, Any]:
    return data


def _mirror_columns(_: dict[str, Any], height: int, width: int) -> np.ndarray:
    return np.array([[-1, 0, width - 1], [0, 1, 0], [0, 0, 1]])


def _mirror_rows(_: dict[str, Any], height: int, width: int) -> np.ndarray:
    return np.array([[1, 0, 0], [0, -1, height - 1], [0, 0, 1]])


def _turn(numbers: dict[str, Any], height: int, width: int) -> np.ndarray:
    quarter = np.array([[0, -1, width - 1], [1, 0, 0], [0, 0, 1]])  # counterclockwise, of a square
    return np.linalg.matrix_power(quarter, numbers["factor"])


def _undo(numbers: dict[str, Any], height: int, width: int) -> np.ndarray:
    return np.linalg.inv(numbers["matrix"])  # albumentations' tells where a pixel goes to


def _displacement(numbers: dict[str, Any]) -> dict[str, np.ndarray]:
    rows, columns = np.indices(numbers["map_x"].shape, dtype=np.float32)
    return {"shift": np.stack([numbers["map_x"] - columns, numbers["map_y"] - rows])}


def _kernel(numbers: dict[str, Any]) -> dict[str, np.ndarray]:
    """A kernel whose middle is pixel KERNEL // 2; OpenCV's is that of an even one as well, counted from its start."""
    kernel = np.ravel(numbers["kernel"]).astype(np.float32)
    before = KERNEL // 2 - len(kernel) // 2
    return {"kernel": np.pad(kernel, (before, KERNEL - before - len(kernel)))}


def _floats(*names: str) -> Any:
    return lambda numbers: {"numbers": np.array([numbers[name] for name in names], np.float32)}


def _noise(numbers: dict[str, Any]) -> dict[str, np.ndarray]:
    noise = np.asarray(numbers["noise_map"], np.float32)
    return {"noise": np.atleast_3d(noise).transpose(2, 0, 1)}


def _holes(numbers: dict[str, Any]) -> dict[str, np.ndarray]:
    return {"boxes": np.asarray(numbers["holes"], np.int64)}


_MATRICES = {A.HorizontalFlip: _mirror_columns, A.VerticalFlip: _mirror_rows, A.RandomRotate90: _turn, A.Affine: _undo}
_NUMBERS = {
    A.ElasticTransform: ("bend", _displacement),
    A.RandomBrightnessContrast: ("contrast", _floats("alpha", "beta")),
    A.RandomGamma: ("gamma", _floats("gamma")),
    A.HueSaturationValue: ("colour", _floats("hue_shift", "sat_shift", "val_shift")),
    A.GaussianBlur: ("blur", _kernel),
    A.GaussNoise: ("noise", _noise),
    A.CoarseDropout: ("patches", _holes),
}
