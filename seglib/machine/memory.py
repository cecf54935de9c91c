"""Memory that runs out: how it is told from other errors, and into how many parts a batch goes then."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from seglib.config import Config
from seglib.errors import InputError
from seglib.machine.ranks import list_divisors

# What torch's allocators and libraries say where they have no type of their own for it.
WORDS = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED", "Seems to be OOM")


def is_out_of_memory(error: Exception) -> bool:
    """Whether a GPU or a CPU had no room for a tensor.

    Example:
        >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"))
        True
    """
    by_words = isinstance(error, RuntimeError) and any(words in str(error) for words in WORDS)
    return by_words or isinstance(error, torch.OutOfMemoryError | MemoryError)


@contextmanager
def refuse_single_images() -> Iterator[None]:
    """Say what helps where a part of a batch is a single image, which some normalisation layers refuse.

    Raises:
        InputError: instead of torch's ValueError.
    """
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise InputError(
            "the norm of this network needs two images at once; raise batch_size, lower accumulate, or leave out an "
            "image where the last part of a batch is one alone"
        ) from error


def divide_further(config: Config, *, at_once: int, count: int) -> Config:
    """The same numbers, but every batch in twice as many parts, or in the next larger number that divides it.

    Args:
        config: the numbers.
        at_once: images for which there was no room together.
        count: processes that share every batch.

    Raises:
        InputError: if it was one image alone.

    Example:
        >>> divide_further(Config(batch_size=10, accumulate=2), at_once=5, count=1).accumulate
        5
    """
    if at_once == 1:
        raise InputError(f"out of memory at one image at once; lower image_size (now {config.image_size})")
    share = config.batch_size // count
    return dataclasses.replace(config, accumulate=next(n for n in list_divisors(share) if n >= 2 * config.parts))


def describe_division(*, at_once: int, then: int, per_step: int) -> str:
    """A line about a batch that was too large: what there was no room for, and how it goes on.

    Example:
        >>> describe_division(at_once=16, then=8, per_step=16)
        'out of memory at 16 images at once; going on with 8 at once, 16 per step as before'
    """
    return f"out of memory at {at_once} images at once; going on with {then} at once, {per_step} per step as before"
