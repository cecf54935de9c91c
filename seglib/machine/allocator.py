"""What becomes of memory that a network gives back: kept for its next step, and not handed to the system."""

import ctypes
import os
import platform

import torch

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # of malloc.h
TOP_PAD = 64 * 2**20  # bytes asked of the system at a time


def keep_freed_memory() -> bool:
    """Let the C library of Linux keep large blocks that are freed, for the rest of this process.

    It otherwise maps every large block anew and hands it back at once. A training step on a CPU allocates hundreds of
    such blocks, and the system has to fill each with zeros, page by page: a tenth to a third of the time of a step. The
    most that a process ever holds stays about the same; it holds it to its end. Blocks on a GPU are kept by torch.

    Returns:
        Whether it is so now. Other systems have no such switch, and ``MALLOC_MMAP_MAX_`` in the environment is somebody
        else's choice.

    Source:
        ``man 3 mallopt``.
    """
    if not _has_mallopt() or "MALLOC_MMAP_MAX_" in os.environ:
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all([mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, -1), mallopt(M_TOP_PAD, TOP_PAD)])


def give_back_memory() -> None:
    """Give kept memory that is free back to the system, and memory of a GPU that torch keeps to other processes.

    For a process that lives on beside the one which trains; it may ask for memory again at any time.

    Source:
        ``man 3 malloc_trim``.
    """
    if _has_mallopt():
        ctypes.CDLL(None).malloc_trim(0)
    torch.cuda.empty_cache()


def _has_mallopt() -> bool:
    return platform.libc_ver()[0] == "glibc"
