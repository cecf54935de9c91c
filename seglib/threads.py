"""One function on many things at once, in threads: image libraries release the interpreter's lock while they decode."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

AHEAD = 16  # things that wait or are ready, for each core


def map_ahead(function: Callable[[Any], Any], things: Iterable) -> Iterator[Any]:
    """``map(function, things)`` on all cores, a little ahead of whoever takes the results.

    ``ThreadPoolExecutor.map`` takes all things at once: with 100,000 images, what waits for its turn is hundreds of
    megabytes.

    Args:
        function: is called from several threads.
        things: what it is called with; taken as they are needed.

    Yields:
        The results, in the order of the things. An exception of the function ends it.

    Example:
        >>> list(map_ahead(abs, [-2, 0, 1]))
        [2, 0, 1]
    """
    cores = os.cpu_count() or 1
    ahead: deque[Future] = deque()
    with ThreadPoolExecutor(cores) as pool:
        try:
            for thing in things:
                ahead.append(pool.submit(function, thing))
                if len(ahead) >= AHEAD * cores:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
