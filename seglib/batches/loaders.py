"""Table -> tensors: data set and loaders."""

import math
import os
import shutil
from collections.abc import Iterator, Sequence
from multiprocessing import get_all_start_methods
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from seglib.batches.augmentation import Drawer, Transform, augment_pair, make_augmentation
from seglib.batches.cache import Cache, build_cache
from seglib.batches.warps import Batch, merge_draws
from seglib.config import Config
from seglib.errors import InputError
from seglib.images.reading import Scale
from seglib.machine.ranks import ALONE, Rank, share_batch

SHARED_MEMORY = Path("/dev/shm")  # where torch puts what workers hand over, under Linux
DRAWN_BYTES = 20  # a pixel, at most: two displacements and three levels of noise in float32


class SampleDataset(Dataset):
    """Samples as tensors, augmented where a transform is given, or to be augmented by ``warps`` where a drawer is.

    An entry is asked for by its row and a seed for what is drawn: the same pair gives the same tensors everywhere, so
    neither the number of workers nor a resumed run changes the augmentation, and no two epochs share it.
    """

    def __init__(self, cache: Cache, rows: np.ndarray, how: Transform | Drawer | None = None) -> None:
        self.cache = cache
        self.rows = rows  # which rows of the cache these samples are
        self.how = how

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.rows)

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        """``image`` uint8 (C, H, W), ``mask`` uint8 (1, H, W) in {0, 1}, the ``row``, and ``draws`` of a drawer."""
        row, seed = key
        place = self.rows[row]
        image, mask = np.array(self.cache.images[place]), np.array(self.cache.masks[place])
        drawn = {"draws": self.how.draw(image, seed)} if isinstance(self.how, Drawer) else {}
        if self.how is not None and not drawn:
            image, mask = augment_pair(self.how, image, mask, seed)
        image_chw = np.ascontiguousarray(image.transpose(2, 0, 1))
        mask_1hw = np.ascontiguousarray(mask[None])
        tensors = {"image": torch.from_numpy(image_chw), "mask": torch.from_numpy(mask_1hw)}
        return tensors | {"row": torch.tensor(row)} | drawn


def collate(samples: list[Batch]) -> Batch:
    """Samples stacked, and what was drawn for them by kinds of change (``warps.merge_draws``)."""
    tensors = [{name: value for name, value in sample.items() if name != "draws"} for sample in samples]
    draws = [sample["draws"] for sample in samples if "draws" in sample]
    return default_collate(tensors) | ({"draws": merge_draws(draws)} if draws else {})


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


class EpochLoader(DataLoader):
    """A DataLoader that draws an epoch when its first batch is asked for, or when ``begin`` says so.

    torch's own draws as soon as an iterator is made where it has workers; and Lightning makes that of a resumed run
    before it tells the sampler which epoch it is, so that the images of the first one would come again.
    """

    _begun: int | None = None  # the epoch that the workers have begun

    def begin(self, epoch: int) -> None:
        """Let the workers, where there are any, begin ``epoch``, whose batches will be asked for later."""
        self.sampler.set_epoch(epoch)
        if self.num_workers:
            super().__iter__()  # the workers persist, and so does their iterator
            self._begun = epoch

    def __iter__(self) -> Iterator[Batch]:
        """The batches of the sampler's epoch."""
        begun, self._begun = self._begun, None
        # where a run breaks off, Lightning ends the workers and forgets the iterator
        goes_on = begun == self.sampler.epoch and self._iterator is not None
        yield from self._iterator if goes_on else super().__iter__()


def make_loaders(
    train: pd.DataFrame, val: pd.DataFrame, config: Config, cache_dir: Path, rank: Rank = ALONE
) -> tuple[EpochLoader, EpochLoader]:
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
        With ``config.accumulate`` above 1 the first one gives each batch in so many parts. Where the device augments,
        its batches hold ``draws`` and are augmented by ``warps.augment_batch``.

    Raises:
        InputError: if the processes cannot share a batch, or are more than the training images.
    """
    size = {"size": config.image_size, "channels": config.in_channels, "scale": Scale(config.black, config.white)}
    both = pd.concat([train, val]).sort_values("sample_id", ignore_index=True)  # so that all folds share one cache
    cache, place = build_cache(both, cache_dir, **size), pd.Series(both.index, both["sample_id"])
    transform = make_augmentation(config)
    how = Drawer(transform) if transform is not None and augments_on_device(config) else transform
    train_data = SampleDataset(cache, place[train["sample_id"]].to_numpy(), how)
    val_data = SampleDataset(cache, place[val["sample_id"]].to_numpy())
    if rank.count > len(train_data):
        raise InputError(f"{len(train_data)} training images cannot be shared by {rank.count} processes; set devices=1")
    return _train_loader(train_data, config, rank), _val_loader(val_data, config, rank)


def _train_loader(data: SampleDataset, config: Config, rank: Rank) -> EpochLoader:
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
    batch_size = at_once if whole else math.ceil(len(places) / config.parts)
    return _loader(data, sampler, batch_size, _worker_count(config, rank))


def _val_loader(data: SampleDataset, config: Config, rank: Rank) -> EpochLoader:
    """Every ``rank.count``-th batch; where there are fewer than processes, some are seen twice, so that all see one."""
    starts = range(0, len(data), config.batch_size)
    mine = starts[rank.index :: rank.count] or [starts[rank.index % len(starts)]]
    places = [place for start in mine for place in range(len(data))[start : start + config.batch_size]]
    sampler = SeededSampler(len(data), seed=config.member_seed, shuffle=False, places=places)
    # On a CPU without workers: these samples are only copied, and a process forked after an epoch holds on to all the
    # memory that its steps have used, which the next steps would then have to copy.
    workers = _worker_count(config, rank) if torch.cuda.is_available() else 0
    return _loader(data, sampler, config.batch_size, workers)


def _loader(data: SampleDataset, sampler: SeededSampler, batch_size: int, workers: int) -> EpochLoader:
    return EpochLoader(
        data,
        batch_size=batch_size,
        sampler=sampler,
        collate_fn=collate,
        num_workers=workers,
        worker_init_fn=_one_thread,
        generator=torch.Generator(),  # else workers take their seed from the stream that dropout draws from
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def _one_thread(_: int) -> None:
    cv2.setNumThreads(0)  # workers are the parallelism; threads inside them fight over the cores


def augments_on_device(config: Config) -> bool:
    """Whether the loader only draws what happens to the images: on a GPU, unless ``config.augment_on`` has it else."""
    return config.augment_on == "device" or (config.augment_on == "auto" and torch.cuda.is_available())


def _worker_count(config: Config, rank: Rank) -> int:
    """On a GPU as many as cores, at most 8; on a CPU, of which the network uses every core, one that is ahead of it.

    That one costs a start of Python and of torch where processes are not forked, which may be longer than the training.
    """
    if config.num_workers >= 0:
        return config.num_workers
    cores = (os.cpu_count() or 1) // rank.neighbours
    if torch.cuda.is_available():
        workers = min(8, max(1, cores))
    else:  # the first start method is the one that a DataLoader uses
        workers = 1 if cores > 1 and get_all_start_methods()[0] == "fork" else 0
    return limit_workers(workers, config, rank)


def limit_workers(workers: int, config: Config, rank: Rank) -> int:
    """``workers``, or as many as shared memory, where they hand over their batches, has room for: 64 MB in Docker.

    Where it is full they are killed. Each has two batches under way, and two more are in use.
    """
    if not SHARED_MEMORY.is_dir():
        return workers
    drawn = DRAWN_BYTES if augments_on_device(config) else 0
    batch = config.batch_size * config.image_size**2 * (config.in_channels + 1 + drawn)
    batches = shutil.disk_usage(SHARED_MEMORY).free // rank.neighbours // batch
    return max(0, min(workers, (batches - 2) // 2))
