"""Table -> tensors: augmentation, data set, loaders. albumentations lives here only."""

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from seglib.cache import Cache, build_cache
from seglib.config import Config
from seglib.errors import InputError
from seglib.ranks import ALONE, Rank, share_batch

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # before its import, which otherwise asks the network

import albumentations as A  # noqa: N812
import cv2

Batch = dict[str, torch.Tensor]
EDGE = {"border_mode": cv2.BORDER_REFLECT_101, "mask_interpolation": cv2.INTER_NEAREST}  # of every bending transform


def make_transform(channels: int, symmetries: int = 8) -> A.Compose:
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


def make_strong_transform(channels: int, symmetries: int = 8) -> A.Compose:
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
            A.OneOf([A.GaussianBlur((3, 5)), A.GaussNoise((0.02, 0.06))], p=0.2),
            A.CoarseDropout(**patches, fill=128, p=0.25),
        ]
    )


def _square_symmetries(count: int) -> list[A.BasicTransform]:
    flips = [A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5), A.RandomRotate90(p=0.5)]
    return flips[: count.bit_length() - 1]


class SampleDataset(Dataset):
    """Samples as tensors, augmented where a transform is given.

    An entry is asked for by its row and a seed for what is drawn: the same pair gives the same tensors everywhere, so
    neither the number of workers nor a resumed run changes the augmentation, and no two epochs share it.
    """

    def __init__(self, cache: Cache, rows: np.ndarray, transform: A.Compose | None = None) -> None:
        self.cache = cache
        self.rows = rows  # which rows of the cache these samples are
        self.transform = transform

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.rows)

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        """``image`` uint8 (C, H, W), ``mask`` uint8 (1, H, W) in {0, 1} and the ``row``."""
        row, seed = key
        place = self.rows[row]
        image, mask = np.array(self.cache.images[place]), np.array(self.cache.masks[place])
        if self.transform is not None:
            # one stream for all steps; set_random_seed would give each the same one, and they would all draw alike
            self.transform.set_random_state(np.random.default_rng(seed), Random(seed))
            image, mask = self.transform(image=image, mask=mask).values()
            image = image.reshape(*mask.shape, -1)  # some transforms drop a single channel's axis
        image_chw = np.ascontiguousarray(image.transpose(2, 0, 1))
        mask_1hw = np.ascontiguousarray(mask[None])
        return {"image": torch.from_numpy(image_chw), "mask": torch.from_numpy(mask_1hw), "row": torch.tensor(row)}


class SeededSampler(Sampler[tuple[int, int]]):
    """Rows in an order drawn anew for every epoch, each with a seed for its augmentation.

    Everything follows from (seed, epoch), so a run that resumes at epoch 7 sees what an uninterrupted one saw there.

    Args:
        size: number of samples.
        seed: of the order and of the seeds.
        shuffle: False keeps the samples in their order.
        places: which places of the whole order this process takes; None: all of them. Processes that share an epoch
            draw the same order, and each takes its own places.
    """

    def __init__(self, size: int, *, seed: int, shuffle: bool, places: Sequence[int] | None = None) -> None:
        self.size, self.seed, self.shuffle, self.epoch = size, seed, shuffle, 0
        self.places = range(size) if places is None else places

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; the training loop calls this before each one."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.places)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Pairs of a row and a seed."""
        rng = np.random.default_rng([self.seed, self.epoch])
        rows = rng.permutation(self.size) if self.shuffle else np.arange(self.size)
        seeds = rng.integers(2**32, size=self.size)
        return ((int(rows[place]), int(seeds[place])) for place in self.places)


def make_loaders(
    train: pd.DataFrame, val: pd.DataFrame, config: Config, cache_dir: Path, rank: Rank = ALONE
) -> tuple[DataLoader, DataLoader]:
    """Loaders of the training samples (shuffled, augmented) and of the validation samples (in order, as they are).

    Args:
        train: table with ``sample_id``, ``image_path`` and ``mask_path``.
        val: the same for the held-out samples.
        config: ``in_channels`` and ``white`` must be known (not None).
        cache_dir: where the decoded images are kept.
        rank: which of the processes that share the epoch this is. Each gets its part of every training batch, but whole
            validation batches in turn, as there a loss may depend on what else is in the batch.

    Returns:
        Two loaders of batches: ``image`` uint8 (N, C, H, W), ``mask`` uint8 (N, 1, H, W) in {0, 1} and ``row`` (N,).
        With ``config.accumulate`` above 1 the first one gives each batch in so many parts.

    Raises:
        InputError: if the processes cannot share a batch, or are more than the training images.
    """
    size = {"size": config.image_size, "channels": config.in_channels, "white": config.white}
    both = pd.concat([train, val]).sort_values("sample_id", ignore_index=True)  # so that all folds share one cache
    cache, place = build_cache(both, cache_dir, **size), pd.Series(both.index, both["sample_id"])
    make = {"none": lambda *_: None, "standard": make_transform, "strong": make_strong_transform}[config.augment]
    transform = make(config.in_channels, config.symmetries)
    train_data = SampleDataset(cache, place[train["sample_id"]].to_numpy(), transform)
    val_data = SampleDataset(cache, place[val["sample_id"]].to_numpy())
    if rank.count > len(train_data):
        raise InputError(f"{len(train_data)} training images cannot be shared by {rank.count} processes; set devices=1")
    return _train_loader(train_data, config, rank), _val_loader(val_data, config, rank)


def _train_loader(data: SampleDataset, config: Config, rank: Rank) -> DataLoader:
    """Every ``rank.count``-th image: of each batch that one process would see, every process gets an equal part.

    It comes in ``config.parts`` parts, one after the other. Where there are fewer images than a batch, all of them are
    one, and its last part may be smaller.
    """
    at_once = share_batch(config, rank.count)
    whole = len(data) >= config.batch_size
    # a ragged last batch makes noisy gradients and batch statistics; there must be another one to learn from
    unit = config.batch_size if whole else rank.count
    places = range(rank.index, len(data) // unit * unit, rank.count)
    sampler = SeededSampler(len(data), seed=config.member_seed, shuffle=True, places=places)
    return _loader(data, sampler, at_once if whole else math.ceil(len(places) / config.parts), config, rank)


def _val_loader(data: SampleDataset, config: Config, rank: Rank) -> DataLoader:
    """Every ``rank.count``-th batch; where there are fewer than processes, some are seen twice, so that all see one."""
    starts = range(0, len(data), config.batch_size)
    mine = starts[rank.index :: rank.count] or [starts[rank.index % len(starts)]]
    places = [place for start in mine for place in range(len(data))[start : start + config.batch_size]]
    sampler = SeededSampler(len(data), seed=config.member_seed, shuffle=False, places=places)
    return _loader(data, sampler, config.batch_size, config, rank)


def _loader(data: SampleDataset, sampler: SeededSampler, batch_size: int, config: Config, rank: Rank) -> DataLoader:
    workers = _worker_count(config, rank)
    return DataLoader(
        data,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        worker_init_fn=_one_thread,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def _one_thread(_: int) -> None:
    cv2.setNumThreads(0)  # workers are the parallelism; threads inside them fight over the cores


def _worker_count(config: Config, rank: Rank) -> int:
    """On a CPU the network itself uses every core and a worker would only take its turn."""
    if config.num_workers >= 0:
        return config.num_workers
    return min(8, max(1, (os.cpu_count() or 1) // rank.neighbours)) if torch.cuda.is_available() else 0
