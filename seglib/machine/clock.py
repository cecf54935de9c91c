"""How much of the time that a run may take is left. The clock runs since the process began, not since training did."""

import os
import time

import psutil

STARTED = "SEGLIB_STARTED"  # variable in which a process tells its children when its clock began to run
MARGIN = 1.2  # epochs are not all as long as the longest so far; the rest is for what comes after the last one


def start_of_clock() -> float:
    """When this process began, or the one that started it to train with it, in seconds since 1970."""
    return float(os.environ.get(STARTED) or psutil.Process().create_time())


def is_time_up(max_hours: float, epoch_seconds: float) -> bool:
    """Whether another epoch might end after ``max_hours`` of the clock.

    Args:
        max_hours: 0 is no limit.
        epoch_seconds: the longest epoch so far.
    """
    spent = time.time() - start_of_clock()
    return 0 < max_hours * 3600 < spent + MARGIN * epoch_seconds
