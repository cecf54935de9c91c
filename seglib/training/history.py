"""The file of a training's curves -> a table, and the facts a reader asks for."""

import io
from pathlib import Path

import numpy as np
import pandas as pd

from seglib.errors import InputError

NEEDED = ("epoch", "train_loss", "val_loss", "val_dice", "lr")


def read_history(path: Path) -> pd.DataFrame:
    """The history of a run, also of one that is still going on or was cut short.

    Returns:
        One row per epoch; the columns are those ``training`` writes. A last line that is half written is passed over.

    Raises:
        InputError: if the file is missing, empty or no history.
    """
    try:
        history = pd.read_csv(io.StringIO(_whole_lines(path.read_text(encoding="utf-8"))))
    except FileNotFoundError:
        raise InputError(f"there is no history {path}; run 02_training first") from None
    except (UnicodeDecodeError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise InputError(f"{path} is not a history ({error}); train again") from None
    absent = [name for name in NEEDED if name not in history]
    if absent:
        raise InputError(f"{path} has no column {absent[0]}; run 02_training first")
    history = history.apply(pd.to_numeric, errors="coerce").dropna(subset=["epoch", "lr"])
    if history.empty:
        raise InputError(f"{path} has no rows yet; run 02_training first")
    return history.reset_index(drop=True)


def _whole_lines(text: str) -> str:
    """Without a last line that lacks fields: its last field may be half a number, which is another number."""
    before, _, last = text.rpartition("\n")
    return text if last.count(",") == text.partition("\n")[0].count(",") else before


def split_history(history: pd.DataFrame) -> list[pd.DataFrame]:
    """The history of each network of a run: one, or one for each fold.

    Example:
        >>> [len(one) for one in split_history(pd.DataFrame({"fold": [0, 0, 1], "epoch": [1, 2, 1]}))]
        [2, 1]
    """
    if "fold" not in history:
        return [history]
    return [one.reset_index(drop=True) for _, one in history.groupby("fold")]


def find_best_epoch(history: pd.DataFrame, monitor: str = "val_loss") -> int:
    """The epoch whose weights are kept: lowest ``val_loss`` or highest ``val_dice``; the first one of equals.

    What is not a number is worse than any; where nothing is one, the first epoch is kept.

    Example:
        >>> find_best_epoch(pd.DataFrame({"epoch": [1, 2, 3], "val_loss": [0.5, 0.3, 0.4]}))
        2
    """
    falls = monitor.endswith("loss")
    values = history[monitor].fillna(np.inf if falls else -np.inf)
    row = values.idxmin() if falls else values.idxmax()
    return int(history.loc[row, "epoch"])


def describe_history(history: pd.DataFrame, monitor: str = "val_loss") -> dict[str, float]:
    """The facts a reader asks a loss curve for.

    Returns:
        ``best_epoch``, ``epochs`` (run so far), ``best_val_loss``, ``best_val_dice`` (both of the best epoch), ``gap``
        (validation minus training loss of that epoch), ``rate_changes`` (how often the learning rate fell),
        ``minutes`` in all and, where it was measured, ``wait_share`` (of the training time, on average).
    """
    best = history[history["epoch"] == find_best_epoch(history, monitor)].iloc[0]
    facts = {
        "best_epoch": int(best["epoch"]),
        "epochs": int(history["epoch"].max()),
        "best_val_loss": float(best["val_loss"]),
        "best_val_dice": float(best["val_dice"]),
        "gap": float(best["val_loss"] - best["train_loss"]),
        "rate_changes": int((history["lr"].diff() < 0).sum()),
        "minutes": float(history["seconds"].sum() / 60) if "seconds" in history else float("nan"),
    }
    return facts | ({"wait_share": float(history["wait_share"].mean())} if "wait_share" in history else {})
