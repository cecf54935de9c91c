"""How a long step shows that it is going on: a bar where somebody watches, silence in a log."""

import os
import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

Thing = TypeVar("Thing")


def is_watched() -> bool:
    """Whether somebody watches: a terminal, JupyterLab, or an interactive session on Kaggle.

    Elsewhere, as under papermill, a bar would be a thousand lines of log.
    """
    in_lab = "JPY_SESSION_NAME" in os.environ  # set by the server for kernels that belong to an open notebook
    return sys.stderr.isatty() or in_lab or os.environ.get("KAGGLE_KERNEL_RUN_TYPE") == "Interactive"


def track(things: Iterable[Thing], label: str, *, total: int | None = None, unit: str = "image") -> Iterable[Thing]:
    """The same things, with a bar that advances by one for each where somebody watches.

    Args:
        things: what is gone through.
        label: a few words before the bar.
        total: how many there are, where ``things`` has no length.
        unit: what one of them is.
    """
    return tqdm(things, desc=label, total=total, unit=unit, disable=not is_watched())
