"""Checkpoint and images -> probability maps at the size of the files."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  the field's name for it

from seglib.config import Config
from seglib.images import read_image, resize_image
from seglib.models import autocast, scale_images
from seglib.progress import track

Size = tuple[int, int]  # height, width


def predict_probabilities(network: nn.Module, config: Config, image_paths: Sequence[str]) -> Iterator[np.ndarray]:
    """The probability of foreground at every pixel of every file, in the order of the files.

    The map is computed at network size, averaged over the symmetries of ``config.tta`` and resized (bilinear) to that
    of the file; whoever thresholds it does so after that. Memory holds two batches, however many files there are.

    Args:
        network: images float (N, C, S, S) in [0, 1] -> logits (N, 1, S, S); put in evaluation mode.
        config: the one the network was trained by, from its checkpoint.
        image_paths: the files.

    Yields:
        float32 (H, W) in [0, 1], one per file, H and W those of the file.

    Raises:
        InputError: if a file cannot be read.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network.to(device).eval()
    paths = list(image_paths)
    starts = range(0, len(paths), config.batch_size)
    chunks = [paths[start : start + config.batch_size] for start in starts]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        inputs = _read_ahead(pool, chunks, config)
        yield from track(_predict_chunks(network, inputs, config, device), "predicting", total=len(paths))


def _predict_chunks(
    network: nn.Module, inputs: Iterator[list[tuple[Tensor, Size]]], config: Config, device: torch.device
) -> Iterator[np.ndarray]:
    for chunk in inputs:
        images, sizes = zip(*chunk, strict=True)
        probabilities = average_symmetries(network, torch.stack(images).to(device), config).cpu()
        for probability, size in zip(probabilities, sizes, strict=True):
            yield resize_probability(probability, size)


def _read_ahead(
    pool: ThreadPoolExecutor, chunks: list[list[str]], config: Config
) -> Iterator[list[tuple[Tensor, Size]]]:
    """The inputs of each chunk; the next one is decoded while the network works on this one."""
    ahead: list[Future] = []
    for chunk in chunks:
        ready, ahead = ahead, [pool.submit(_read_input, path, config) for path in chunk]
        if ready:
            yield [future.result() for future in ready]
    if ahead:
        yield [future.result() for future in ahead]


def _read_input(path: str, config: Config) -> tuple[Tensor, Size]:
    """A file as the network wants it, uint8 (C, S, S), and its own height and width."""
    image = read_image(path, channels=config.in_channels, white=config.white)
    resized = resize_image(image, config.image_size)
    return torch.from_numpy(np.ascontiguousarray(resized.transpose(2, 0, 1))), image.shape[:2]


@torch.inference_mode()
def average_symmetries(network: nn.Module, images: Tensor, config: Config) -> Tensor:
    """Mean probability over the first ``config.tta`` symmetries of the square, each undone before averaging.

    Args:
        network: images float (N, C, S, S) in [0, 1] -> logits (N, 1, S, S).
        images: uint8 (N, C, S, S).
        config: ``tta`` is 1 (as it is), 2 (and mirrored left to right), 4 (and upside down) or 8 (and quarter turns).

    Returns:
        float32 (N, S, S) in [0, 1].
    """
    total = torch.zeros(images[:, 0].shape, device=images.device)
    scaled = scale_images(images)
    for turns, flips in symmetries(config.tta):
        turned = torch.rot90(scaled, turns, (2, 3)).flip(flips)
        with autocast(config, images.device):
            logits = network(turned.contiguous(memory_format=torch.channels_last))
        total += torch.rot90(logits.float().sigmoid().flip(flips), -turns, (2, 3))[:, 0]
    return total / config.tta


def symmetries(count: int) -> list[tuple[int, tuple[int, ...]]]:
    """Quarter turns and flipped axes of the first 1, 2, 4 or 8 symmetries of the square.

    Each is applied as turn, then flips; undone as the same flips, then the turn backwards.

    Example:
        >>> symmetries(2)
        [(0, ()), (0, (3,))]
    """
    mirrors: list[tuple[int, ...]] = [(), (3,), (2,), (2, 3)]
    return [(turns, flips) for turns in (0, 1) for flips in mirrors][:count]


def resize_probability(probability: Tensor, size: Size) -> np.ndarray:
    """A map (S, S) at another size (H, W): bilinear, float32, so still in [0, 1]."""
    resized = F.interpolate(probability[None, None], size=tuple(size), mode="bilinear", align_corners=False)
    return resized[0, 0].numpy()
