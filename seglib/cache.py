"""Decoded, resized images and masks on disk, memory-mapped: a file is decoded once per size, not once per epoch."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from seglib.images import read_image, read_mask, resize_image, resize_mask
from seglib.progress import track

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

VERSION = 1  # raise it when what is stored changes


@dataclass(frozen=True)
class Cache:
    """Arrays whose rows follow the table they were built from.

    Attributes:
        images: uint8 (N, S, S, C).
        masks: uint8 (N, S, S) in {0, 1}.
    """

    images: np.ndarray
    masks: np.ndarray


def build_cache(samples: pd.DataFrame, folder: Path, *, size: int, channels: int, white: float) -> Cache:
    """Decode and resize every sample once, or open what an earlier call left.

    The files are named after a hash of the samples' paths, sizes and times, of the settings and of ``VERSION``, so a
    changed file or setting is noticed. They are written in a folder of their own that is renamed when whole.

    Args:
        samples: table with ``image_path`` and ``mask_path``.
        folder: where caches are kept.
        size: pixels of both sides after resizing; images by area, masks by the nearest pixel.
        channels: 1 or 3.
        white: pixel value that means white in files deeper than 8 bits.
    """
    place = folder / _key(samples, size, channels, white)
    if not place.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(folder / f".{place.name}.lock"):
            _build(samples, place, size, channels, white)
    return Cache(np.load(place / "images.npy", mmap_mode="r"), np.load(place / "masks.npy", mmap_mode="r"))


def _build(samples: pd.DataFrame, place: Path, size: int, channels: int, white: float) -> None:
    if place.is_dir():  # by a process we waited for
        return
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    part.mkdir(exist_ok=True)
    try:
        _fill(samples, part, size, channels, white)
        _rename_unless_there(part, place)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Processes that start together do the work once: the others wait for the first one, or for its end if it dies."""
    with open(path, "w") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _key(samples: pd.DataFrame, size: int, channels: int, white: float) -> str:
    facts = [f"{VERSION} {size} {channels} {white}"]
    for name in pd.concat([samples["image_path"], samples["mask_path"]]):
        status = os.stat(name)
        facts.append(f"{name} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _fill(samples: pd.DataFrame, folder: Path, size: int, channels: int, white: float) -> None:
    count = len(samples)
    create = np.lib.format.open_memmap
    images = create(folder / "images.npy", mode="w+", dtype=np.uint8, shape=(count, size, size, channels))
    masks = create(folder / "masks.npy", mode="w+", dtype=np.uint8, shape=(count, size, size))

    def fill_row(row: int) -> None:
        sample = samples.iloc[row]
        images[row] = resize_image(read_image(sample["image_path"], channels=channels, white=white), size)
        masks[row] = resize_mask(read_mask(sample["mask_path"]), size)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding releases the interpreter lock
        list(track(pool.map(fill_row, range(count)), "resizing", total=count))
    images.flush()
    masks.flush()


def _rename_unless_there(part: Path, place: Path) -> None:
    """Two runs may have built the same cache at once; the second one to finish uses the first one's."""
    try:
        os.rename(part, place)
    except OSError:
        if not place.is_dir():
            raise
