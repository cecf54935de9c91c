"""Curves -> facts."""

from pathlib import Path

import pandas as pd

from seglib.errors import InputError

NEEDED = ("epoch", "train_loss", "val_loss", "val_dice", "lr")


def read_history(path: Path) -> pd.DataFrame:
    """The history of a run, also of one that is still going on or was cut short.

    Returns:
        One row per epoch; the columns are those ``training`` writes.

    Raises:
        InputError: if the file is missing, empty or no history.
    """
    try:
        history = pd.read_csv(path)
    except FileNotFoundError:
        raise InputError(f"there is no history {path}; run 02_training first") from None
    except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise InputError(f"{path} is not a history ({error}); train again") from None
    absent = [name for name in NEEDED if name not in history]
    if absent or history.empty:
        what = f"has no column {absent[0]}" if absent else "has no rows yet"
        raise InputError(f"{path} {what}; run 02_training first")
    return history


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

    Example:
        >>> find_best_epoch(pd.DataFrame({"epoch": [1, 2, 3], "val_loss": [0.5, 0.3, 0.4]}))
        2
    """
    values = history[monitor]
    row = values.idxmin() if monitor.endswith("loss") else values.idxmax()
    return int(history.loc[row, "epoch"])


def describe_history(history: pd.DataFrame, monitor: str = "val_loss") -> dict[str, float]:
    """The facts a reader asks a loss curve for.

    Returns:
        ``best_epoch``, ``epochs`` (run so far), ``best_val_loss``, ``best_val_dice`` (both of the best epoch), ``gap``
        (validation minus training loss of that epoch), ``rate_changes`` (how often the learning rate fell) and
        ``minutes`` in all.
    """
    best = history[history["epoch"] == find_best_epoch(history, monitor)].iloc[0]
    return {
        "best_epoch": int(best["epoch"]),
        "epochs": int(history["epoch"].max()),
        "best_val_loss": float(best["val_loss"]),
        "best_val_dice": float(best["val_dice"]),
        "gap": float(best["val_loss"] - best["train_loss"]),
        "rate_changes": int((history["lr"].diff() < 0).sum()),
        "minutes": float(history["seconds"].sum() / 60) if "seconds" in history else float("nan"),
    }
