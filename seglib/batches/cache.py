"""Decoded, resized images and masks on disk, memory-mapped: a file is decoded once per size, not once per epoch."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd

from seglib.data.fingerprints import digest_known_files
from seglib.errors import InputError, Problem
from seglib.images.mask_files import first_file, list_files, split_files, take_usual
from seglib.images.masks import read_mask, resize_mask
from seglib.images.reading import Scale, image_size, read_resized
from seglib.machine.ahead import map_on_cores
from seglib.machine.progress import track
from seglib.machine.scratch import create_array
from seglib.writing import remove_parts, write_whole

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

VERSION = 6  # raise it when what is stored changes
KNOWN_NAME = "known_files.csv"  # beside the caches: what each file held when it was last read


@dataclass(frozen=True)
class Cache:
    """Arrays whose rows follow the table they were built from.

    Attributes:
        images: uint8 (N, S, S, C).
        masks: uint8 (N, S, S) in {0, 1}.
    """

    images: np.ndarray
    masks: np.ndarray

    def __reduce__(self) -> tuple[Callable[..., "Cache"], tuple]:
        """Pickle where the files are and not what they hold, so that a worker that is not forked opens them."""
        if isinstance(self.images, np.memmap):
            return _open, (Path(self.images.filename).parent,)
        return Cache, (self.images, self.masks)


def build_cache(samples: pd.DataFrame, folder: Path, *, size: int, channels: int, scale: Scale) -> Cache:
    """Decode and resize every sample once, or open what an earlier call left.

    A cache is named after what the files hold, in the order of the table, the settings and ``VERSION``. So a changed
    file or setting is noticed, and files that were only touched, renamed or moved are not decoded again. What a file
    holds (a hash of its bytes) is kept in ``known_files.csv`` beside its path, size and times; only files of which one
    of these changed are read again, so that a second start reads no image.

    A cache is written in a folder of its own that is renamed when whole. Nobody removes caches that are no longer used:
    delete the folder whenever no run uses it, and the next run builds what it needs.

    Args:
        samples: table with ``image_path`` and ``mask_path``.
        folder: where caches are kept.
        size: pixels of both sides after resizing; images by area, masks by the nearest pixel.
        channels: 1 or 3.
        scale: black and white of files deeper than 8 bits.

    Raises:
        InputError: if a file cannot be read as an image, a mask has another size than its image, or nothing can be
            written into the folder.
    """
    with _refuse_place(folder):
        folder.mkdir(parents=True, exist_ok=True)
    place = folder / _key(samples, folder, size, channels, scale)
    if not place.is_dir():
        with _one_at_a_time(folder / f".{place.name}.lock") as alone:
            if alone:
                remove_parts(folder, place.name)
            _build(samples, place, size, channels, scale)
    return _open(place)


def _open(place: Path) -> Cache:
    return Cache(np.load(place / "images.npy", mmap_mode="r"), np.load(place / "masks.npy", mmap_mode="r"))


def _build(samples: pd.DataFrame, place: Path, size: int, channels: int, scale: Scale) -> None:
    if place.is_dir():  # by a process we waited for
        return
    try:
        with write_whole(place) as part:
            part.mkdir()
            _fill(samples, part, size, channels, scale)
    except OSError:
        if not place.is_dir():  # where nothing could be locked, two may have built it at once: the first one's serves
            raise


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[bool]:
    """Processes that start together do the work once: the others wait for the first one, or for its end if it dies.

    Yields:
        Whether it is so: Windows has no such locks, nor have some file systems that several machines share.
    """
    lock = _lock(path)
    while not _is_there(lock, path):  # who held it has removed it since we opened it, and others may hold another
        lock.close()
        lock = _lock(path)
    with lock:
        try:
            yield fcntl is not None and _take(lock)
        finally:
            path.unlink(missing_ok=True)


def _lock(path: Path) -> TextIO:
    with _refuse_place(path.parent):
        lock = open(path, "w")
    if fcntl is not None:
        _take(lock)
    return lock


def _take(lock: TextIO) -> bool:
    """Wait for a lock, unless it is ours already; False where there is none to be had."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


@contextmanager
def _refuse_place(folder: Path) -> Iterator[None]:
    """Say what helps where a folder cannot be made or written into."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"no images can be kept in {folder} ({error.strerror}); set SEGLIB_CACHE to another folder"
        ) from None


def _is_there(file: TextIO, path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    return False


def _key(samples: pd.DataFrame, folder: Path, size: int, channels: int, scale: Scale) -> str:
    files = list_files(samples)
    digests = digest_known_files(files, folder / KNOWN_NAME)
    what = f"{VERSION} {size} {channels} {float(scale.black)} {float(scale.white)} {len(samples)}\n"
    key = hashlib.sha256(what.encode())
    key.update("".join(digests).encode())
    several = [len(split_files(path)) for path in samples["mask_path"]]
    key.update(str(several).encode() if len(files) > 2 * len(samples) else b"")  # which files are one mask
    key.update("".join(sorted({take_usual(path) or "" for path in samples["mask_path"]})).encode())
    return key.hexdigest()[:32]


def _fill(samples: pd.DataFrame, folder: Path, size: int, channels: int, scale: Scale) -> None:
    count = len(samples)
    cure = "set SEGLIB_CACHE to a folder on another disk"
    images = create_array(folder / "images.npy", (count, size, size, channels), np.uint8, cure=cure)
    masks = create_array(folder / "masks.npy", (count, size, size), np.uint8, cure=cure)

    def fill_row(row: int) -> None:
        sample = samples.iloc[row]
        mask, whole = read_mask(sample["mask_path"]), image_size(sample["image_path"])
        if mask.shape != whole:
            raise InputError(Problem.of_sizes(first_file(sample["mask_path"]), mask.shape, whole).sentence)
        images[row] = read_resized(sample["image_path"], size, channels=channels, scale=scale)
        masks[row] = resize_mask(mask, size)

    for _ in track(map_on_cores(fill_row, range(count)), "resizing", total=count):
        pass
    images.flush()
    masks.flush()
