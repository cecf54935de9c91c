"""Checkpoints and images -> probability maps at the size of the files, also held-out ones."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  the field's name for it

from seglib.checkpoints import load_members
from seglib.config import Config
from seglib.errors import InputError
from seglib.folds import read_folds, select_held_out
from seglib.images import image_size, read_resized
from seglib.models import autocast, scale_images
from seglib.paths import find_runs
from seglib.progress import track

Size = tuple[int, int]  # height, width
HELD_OUT_NAME = "held_out.npy"  # in the folder of a run
Member = tuple[nn.Module, Config]  # a network with the configuration it was trained by


def predict_probabilities(members: Sequence[Member], image_paths: Sequence[str]) -> Iterator[np.ndarray]:
    """The probability of foreground at every pixel of every file, in the order of the files.

    Each member computes its map at its own network size, averaged over the symmetries of its ``config.tta``; the maps
    are resized (bilinear) to the size of the file and averaged over the members. Whoever thresholds does so after that.
    Memory holds two batches and the networks, however many files there are.

    Args:
        members: networks, images float (N, C, S, S) in [0, 1] -> logits (N, 1, S, S), each with the configuration it
            was trained by, from its checkpoint; put in evaluation mode.
        image_paths: the files.

    Yields:
        float32 (H, W) in [0, 1], one per file, H and W those of the file.

    Raises:
        InputError: if a file cannot be read.
    """
    return map(average_maps, predict_member_maps(members, image_paths))


def predict_member_maps(members: Sequence[Member], image_paths: Sequence[str]) -> Iterator[np.ndarray]:
    """The maps that ``predict_probabilities`` averages: what each member says, so that it is seen whether they agree.

    Args:
        members: as for ``predict_probabilities``.
        image_paths: the files.

    Yields:
        float32 (members, H, W) in [0, 1], one per file; ``average_maps`` makes one map of them.

    Raises:
        InputError: if a file cannot be read.
    """
    for maps, size in track(_predict_maps(members, image_paths), "predicting", total=len(image_paths)):
        yield resize_maps(maps, size)


def prepare_held_out(output_dir: Path, samples: pd.DataFrame) -> tuple[pd.DataFrame, list[Path]]:
    """The samples that a run held out, and the files with their maps, predicted anew.

    An ensemble takes the maps that each of its runs has kept.

    Args:
        output_dir: the folder of the run.
        samples: table with ``sample_id``, ``image_path`` and ``mask_path``.

    Returns:
        Those of the samples that no network of the run was trained with (with several folds, all of them, each by
        another network), with their ``fold``; and the files for ``read_held_out``.

    Raises:
        InputError: if a checkpoint or an image cannot be read.
    """
    members, runs = load_members(output_dir), find_runs(output_dir)
    folds = read_folds(output_dir / "folds.csv", samples)
    first = members[0][1]
    held_out = select_held_out(samples, folds, range(first.folds) if first.folds > 1 else [first.fold])
    if runs == [output_dir]:
        predict_held_out(members, held_out, output_dir / HELD_OUT_NAME)
    return held_out, [run / HELD_OUT_NAME for run in runs]


def predict_held_out(members: Sequence[Member], samples: pd.DataFrame, path: Path) -> None:
    """Predict every sample by the members that did not learn from it, and keep the maps in a file.

    The maps are kept at network size in half precision; ``read_held_out`` resizes them to their files.

    Args:
        members: as for ``predict_probabilities``; ``config.fold`` is what each held out.
        samples: table with ``image_path`` and ``fold``; every fold is that of a member.
        path: the .npy file, float16 (N, S, S), rows as those of ``samples``; written whole or not at all.

    Raises:
        InputError: if a file cannot be read.
    """
    size = max(config.image_size for _, config in members)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        kept = np.lib.format.open_memmap(part, mode="w+", dtype=np.float16, shape=(len(samples), size, size))
        for fold, rows in samples.reset_index(drop=True).groupby("fold"):
            own = [member for member in members if member[1].fold == fold]
            maps = _predict_maps(own, list(rows["image_path"]))
            for row, (found, _) in zip(rows.index, track(maps, f"fold {fold}", total=len(rows)), strict=True):
                kept[row] = average_maps(resize_maps(found, (size, size)))
        kept.flush()
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read_held_out(
    paths: Sequence[Path], sizes: Sequence[Size], *, rows: Sequence[int] | None = None
) -> Iterator[np.ndarray]:
    """The maps ``predict_held_out`` kept, each at the size of its file; those of several runs are averaged.

    Args:
        paths: the .npy files, of one run or of the runs of an ensemble.
        sizes: height and width of every file that is wanted.
        rows: which maps are wanted; None: all, in their order.

    Yields:
        float32 (H, W) in [0, 1].

    Raises:
        InputError: if a file is missing or holds other maps than these.
    """
    return map(average_maps, read_member_maps(paths, sizes, rows=rows))


def read_member_maps(
    paths: Sequence[Path], sizes: Sequence[Size], *, rows: Sequence[int] | None = None
) -> Iterator[np.ndarray]:
    """The maps that ``read_held_out`` averages: one of each run, none by a network that learned from the image.

    Args:
        paths: as for ``read_held_out``.
        sizes: height and width of every file that is wanted.
        rows: which maps are wanted; None: all, in their order.

    Yields:
        float32 (runs, H, W) in [0, 1].

    Raises:
        InputError: if a file is missing or holds other maps than these.
    """
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} is missing; run 04_evaluation of that run first")
    kept = [np.load(path, mmap_mode="r") for path in paths]
    for path, maps in zip(paths, kept, strict=True):
        if rows is None and len(maps) != len(sizes):
            raise InputError(f"{path} holds {len(maps)} maps and not {len(sizes)}; run 04_evaluation of that run again")
    for row, size in zip(range(len(sizes)) if rows is None else rows, sizes, strict=True):
        yield resize_maps([torch.from_numpy(maps[row].astype(np.float32)) for maps in kept], size)


def _predict_maps(members: Sequence[Member], image_paths: Sequence[str]) -> Iterator[tuple[list[Tensor], Size]]:
    """For every file the map of each member at its network size, and the size of the file."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    members = [(network.to(device).eval(), config) for network, config in members]
    paths, count = list(image_paths), max(config.batch_size for _, config in members)
    chunks = [paths[start : start + count] for start in range(0, len(paths), count)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for images, sizes in _read_ahead(pool, chunks, [config for _, config in members]):
            maps = [
                average_symmetries(network, torch.stack(stack).to(device), config).half().float().cpu()
                for (network, config), stack in zip(members, zip(*images, strict=True), strict=True)
            ]
            yield from zip(map(list, zip(*maps, strict=True)), sizes, strict=True)


def _read_ahead(
    pool: ThreadPoolExecutor, chunks: list[list[str]], configs: list[Config]
) -> Iterator[tuple[list[list[Tensor]], list[Size]]]:
    """Images and sizes of each chunk; the next one is decoded while the networks work on this one."""
    ahead: list[Future] = []
    for chunk in [*chunks, []]:
        ready, ahead = ahead, [pool.submit(_read_inputs, path, configs) for path in chunk]
        if ready:
            images, sizes = zip(*(future.result() for future in ready), strict=True)
            yield list(images), list(sizes)


def _read_inputs(path: str, configs: list[Config]) -> tuple[list[Tensor], Size]:
    """A file as each network wants it, uint8 (C, S, S), and its own height and width; like wants are met once."""
    inputs: dict[tuple, Tensor] = {}
    for config in configs:
        key = (config.in_channels, config.white, config.image_size)
        if key not in inputs:
            resized = read_resized(path, config.image_size, channels=config.in_channels, white=config.white)
            inputs[key] = torch.from_numpy(np.ascontiguousarray(resized.transpose(2, 0, 1)))
    wanted = [inputs[config.in_channels, config.white, config.image_size] for config in configs]
    return wanted, image_size(path)


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


def resize_maps(maps: Sequence[Tensor], size: Size) -> np.ndarray:
    """Maps (S, S) at another size, float32 (maps, H, W): bilinear, so still in [0, 1]."""
    resized = [F.interpolate(map_[None, None], size=tuple(size), mode="bilinear", align_corners=False) for map_ in maps]
    return torch.cat(resized)[:, 0].numpy()


def average_maps(maps: np.ndarray) -> np.ndarray:
    """The mean of maps (maps, H, W): float32 (H, W). Probabilities are averaged, and not logits."""
    return torch.from_numpy(maps).mean(dim=0).numpy()
