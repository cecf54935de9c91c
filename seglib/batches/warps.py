"""A batch and what was drawn for its images -> the augmented batch, computed where the batch lies, such as on a GPU.

The same changes as those of ``augmentation``, in the same order; but all that moves pixels is done in one go, so that
an image is interpolated once where albumentations does so twice.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  the field's name for it

PATCH = 128  # gray level of the patches with which the strong augmentation covers an image
FLAT = 1e-6  # of a colour: no hue where the channels differ by less

Batch = dict[str, Any]
Draws = dict[str, dict[str, np.ndarray]]  # of one image: kind of change -> its numbers by name


def merge_draws(draws: list[Draws]) -> dict[str, dict[str, Tensor]]:
    """What was drawn for each image of a batch, as tensors: for each kind the images (``of``) and their numbers.

    Kinds that no image has are left out. Boxes, of which images have different numbers, are filled up with empty ones.
    """
    merged = {}
    for kind in sorted({kind for drawn in draws for kind in drawn}):
        places = [place for place, drawn in enumerate(draws) if kind in drawn]
        numbers = {name: [draws[place][kind][name] for place in places] for name in draws[places[0]][kind]}
        if kind == "patches":
            most = max(len(boxes) for boxes in numbers["boxes"])
            numbers["boxes"] = [np.pad(boxes, ((0, most - len(boxes)), (0, 0))) for boxes in numbers["boxes"]]
        stacked = {name: torch.from_numpy(np.stack(values)) for name, values in numbers.items()}
        merged[kind] = {"of": torch.tensor(places)} | stacked
    return merged


def augment_batch(batch: Batch) -> Batch:
    """The batch with all done that was drawn for it, without ``draws``; one without them is given back as it is.

    Args:
        batch: ``image`` uint8 (N, C, H, W), ``mask`` uint8 (N, 1, H, W) and, where something was drawn, ``draws``, of
            ``merge_draws``; all on one device. More entries stay as they are.

    Returns:
        The same shapes and dtypes; each image is that of ``augmentation.augment_pair`` but for interpolation.
    """
    if "draws" not in batch:
        return batch
    rest = {name: value for name, value in batch.items() if name != "draws"}
    draws = batch["draws"]
    images, masks = _warp(batch["image"].float(), batch["mask"].float(), draws)
    for kind, change in _CHANGES.items():
        if kind in draws:
            of, *numbers = draws[kind].values()
            images[of] = change(images[of], *numbers).round().clamp(0, 255)
    return rest | {"image": images.byte(), "mask": masks.byte()}


def _warp(images: Tensor, masks: Tensor, draws: dict[str, dict[str, Tensor]]) -> tuple[Tensor, Tensor]:
    """Images and masks (N, C, H, W), sampled where the matrices and, before them, the displacements point to."""
    count, _, height, width = images.shape
    x = torch.arange(width, device=images.device, dtype=torch.float32).expand(count, height, width)
    y = torch.arange(height, device=images.device, dtype=torch.float32)[:, None].expand(count, height, width)
    if "bend" in draws:
        of, shift = draws["bend"].values()
        x, y = (_reflect(at.index_add(0, of, shift[:, axis]), at.shape[2 - axis]) for axis, at in enumerate((x, y)))
    matrix = draws["warp"]["matrix"][:, :, :, None, None]
    x, y = (matrix[:, row, 0] * x + matrix[:, row, 1] * y + matrix[:, row, 2] for row in range(2))
    grid = torch.stack([x * (2 / (width - 1)) - 1, y * (2 / (height - 1)) - 1], dim=-1)
    how = {"padding_mode": "reflection", "align_corners": True}
    return F.grid_sample(images, grid, "bilinear", **how).round(), F.grid_sample(masks, grid, "nearest", **how)


def _reflect(at: Tensor, size: int) -> Tensor:
    """Coordinates beyond an edge, mirrored at the middle of its pixels."""
    period = 2 * (size - 1)
    at = at.remainder(period)
    return torch.minimum(at, period - at)


def _change_contrast(images: Tensor, numbers: Tensor) -> Tensor:
    alpha, beta = numbers[:, :, None, None, None].unbind(1)
    return (images * alpha + beta).floor()  # as albumentations cuts off


def _change_gamma(images: Tensor, numbers: Tensor) -> Tensor:
    return (255 * (images / 255) ** numbers[:, :, None, None]).floor()


def _change_colour(images: Tensor, numbers: Tensor) -> Tensor:
    """Hue (in steps of two degrees), saturation and value (0 to 255) shifted, in whole numbers as OpenCV keeps them."""
    hue, saturation, value = _to_hsv(images)
    shift_hue, *shifts = numbers[:, :, None, None].unbind(1)
    shift_saturation, shift_value = (shift.trunc() for shift in shifts)
    hue = (hue + shift_hue).remainder(180).floor()
    saturation = torch.where(saturation > 0, saturation + shift_saturation, 0).clamp(0, 255)
    return _from_hsv(hue, saturation, (value + shift_value).clamp(0, 255)).floor()


def _to_hsv(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    red, green, blue = images.unbind(1)
    value, least = images.amax(1), images.amin(1)
    spread = value - least
    some = spread.clamp(min=FLAT)
    below = torch.where(value == green, 2 + (blue - red) / some, 4 + (red - green) / some)
    sector = torch.where(value == red, (green - blue) / some, below)
    hue = torch.where(spread > 0, 30 * sector, 0).round().remainder(180)
    return hue, (255 * spread / value.clamp(min=FLAT)).round(), value


def _from_hsv(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    channels = []
    for turn in (5, 3, 1):  # red, green, blue
        place = (turn + hue / 30).remainder(6)
        channels.append(value - value * saturation / 255 * torch.minimum(place, 4 - place).clamp(0, 1))
    return torch.stack(channels, dim=1)


def _blur(images: Tensor, kernels: Tensor) -> Tensor:
    """Each image with a kernel of its own, along its rows and then its columns."""
    count, channels, height, width = images.shape
    flat = images.reshape(1, count * channels, height, width)
    weights = kernels.repeat_interleave(channels, dim=0)[:, None]
    half = kernels.shape[1] // 2
    padded = F.pad(flat, (half,) * 4, mode="reflect")
    rows = F.conv2d(padded, weights[:, :, None, :], groups=count * channels)
    return F.conv2d(rows, weights[:, :, :, None], groups=count * channels).reshape(images.shape)


def _add_noise(images: Tensor, noise: Tensor) -> Tensor:
    return images + noise


def _cover(images: Tensor, boxes: Tensor) -> Tensor:
    """Gray patches; ``boxes`` (N, B, 4) are their left, upper, right and lower edges."""
    left, upper, right, lower = boxes[..., None, None].unbind(2)
    x = torch.arange(images.shape[3], device=images.device)
    y = torch.arange(images.shape[2], device=images.device)[:, None]
    inside = ((x >= left) & (x < right) & (y >= upper) & (y < lower)).any(1)
    return torch.where(inside[:, None], PATCH, images)


_CHANGES: dict[str, Callable[..., Tensor]] = {  # in the order in which the transforms have them
    "contrast": _change_contrast,
    "gamma": _change_gamma,
    "colour": _change_colour,
    "blur": _blur,
    "noise": _add_noise,
    "patches": _cover,
}
