"""How a long step shows that it is going on: a bar where somebody watches, silence in a log."""

import os
import sys
from collections.abc import Iterable

from tqdm import tqdm


def is_watched() -> bool:
    """Whether somebody watches: a terminal, JupyterLab, or an interactive session on Kaggle.

    A kernel has no terminal of its own; who started it from one says so in ``SEGLIB_WATCHED``.

    Elsewhere, as under papermill, a bar would be a thousand lines of log.
    """
    in_lab = "JPY_SESSION_NAME" in os.environ  # set by the server for kernels that belong to an open notebook
    on_terminal = sys.stderr.isatty() or "SEGLIB_WATCHED" in os.environ
    return on_terminal or in_lab or os.environ.get("KAGGLE_KERNEL_RUN_TYPE") == "Interactive"


def track(things: Iterable, label: str, *, total: int | None = None, unit: str = "image", leave: bool = True) -> tqdm:
    """The same things, with a bar that advances by one for each where somebody watches.

    Going through the result advances the bar; so does its method ``update``, where the loop is somebody else's.

    Args:
        things: what is gone through.
        label: a few words before the bar.
        total: how many there are, where ``things`` has no length.
        unit: what one of them is.
        leave: keep the full bar on the screen when it is done.
    """
    # below a cell, two streams would take turns and leave a gap for every bar
    stream = sys.stdout if "JPY_SESSION_NAME" in os.environ else sys.stderr
    shape = {"desc": label, "total": total, "unit": unit, "leave": leave}
    return tqdm(things, **shape, file=stream, disable=not is_watched())
