"""Work that goes on in threads while the caller uses what is done."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeVar

AHEAD = 16  # things under way or done, for each core
Thing, Done = TypeVar("Thing"), TypeVar("Done")


def map_on_cores(function: Callable[[Thing], Done], things: Iterable[Thing], *, ahead: int = AHEAD) -> Iterator[Done]:
    """``function`` of each thing, in order, by a thread for each core; image libraries let them run at once.

    Args:
        function: what is computed of each thing.
        things: may be a generator; they are taken as they are needed, in the caller's thread.
        ahead: how many are under way or done for each core, 1 or more; few, where each is large.

    Yields:
        What ``function`` returned; where it raised, that is raised here, and the rest is not begun.

    Example:
        >>> list(map_on_cores(abs, [-2, 0, 1]))
        [2, 0, 1]
    """
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        yield from map_ahead(pool, function, things, ahead=ahead * cores)


def map_ahead(
    pool: Executor, function: Callable[[Thing], Done], things: Iterable[Thing], *, ahead: int
) -> Iterator[Done]:
    """``function`` of each thing, in order; a few more are under way while the caller uses one.

    ``Executor.map`` would take in all things at once, and memory would hold everything that is done and not yet used.

    Args:
        pool: threads that compute.
        function: what is computed of each thing.
        things: may be a generator; they are drawn in the caller's thread.
        ahead: how many are begun beyond the one that is handed out, 1 or more.

    Yields:
        What ``function`` returned; where it raised, that is raised here, and the rest is not begun.

    Example:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> with ThreadPoolExecutor(2) as pool:
        ...     list(map_ahead(pool, len, ["a", "bb", ""], ahead=1))
        [1, 2, 0]
    """
    waiting: deque[Future] = deque()
    try:
        for thing in things:
            waiting.append(pool.submit(function, thing))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
