"""A run among Kaggle's inputs -> the folder of this run, so that a kernel goes on where another one ended."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from seglib.config import Config, find_difference
from seglib.errors import InputError
from seglib.machine import mounts

LEFT_BEHIND = {"cache", "figures", "report.html"}  # what this kernel makes anew, besides executed notebooks


@dataclass(frozen=True)
class Run:
    """A run that is attached: its folder, its numbers, and how many epochs it was trained for, over all its folds."""

    folder: Path
    config: Config
    epochs: int


def continue_attached(output_dir: Path, config: Config | None = None) -> Path | None:
    """Copy an attached run into the folder of this one, unless a run is there already; say so.

    Nothing happens where there are no inputs, as at home.

    Args:
        output_dir: the folder of this run.
        config: the numbers of this run, where it is to be trained: only a run of the same numbers is gone on with.
            None: whatever run is attached, to evaluate it or to predict with it.

    Returns:
        The folder that was copied.

    Raises:
        InputError: if several different runs are attached; or there is none, here or there, and ``config`` is None.
    """
    if not mounts.INPUTS.is_dir() or _is_run(output_dir):
        return None
    runs = find_attached()
    fitting = [run for run in runs if config is None or _says_why_not(run, config) is None]
    if not fitting:
        if config is None:
            raise InputError(
                f"there is no run in {output_dir} nor in {mounts.describe_inputs()}; attach the data set of a run, or "
                "the output of the kernel that trained one"
            )
        return None
    chosen = _choose(fitting)
    _copy(chosen.folder, output_dir, left_behind=LEFT_BEHIND | (set() if config else {"last.ckpt"}))
    (output_dir / "figures").mkdir(exist_ok=True)
    print(f"goes on with {chosen.folder}, trained for {chosen.epochs} epochs")
    return chosen.folder


def _says_why_not(run: Run, config: Config) -> str | None:
    """Why training cannot go on from a run, which is printed; None where it can."""
    name = find_difference(config, run.config)
    why = f"a run with {name}={getattr(run.config, name)}" if name else None
    why = "an ensemble" if (run.folder / "ensemble.json").exists() else why
    if why:
        print(f"not used: {run.folder}, {why}")
    return why


def find_attached() -> list[Run]:
    """The runs among Kaggle's inputs that have a checkpoint."""
    return [_read(folder) for folder in mounts.find_inputs(_is_run)]


def _is_run(folder: Path) -> bool:
    return (folder / "config.json").is_file() and any(folder.rglob("*.ckpt"))


def _read(folder: Path) -> Run:
    try:
        config = Config(**json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise InputError(f"{folder} is not a run of this version ({error}); detach it or train it again") from None
    history = folder / "history.csv"
    return Run(folder, config, len(pd.read_csv(history)) if history.exists() else 0)


def _choose(runs: Sequence[Run]) -> Run:
    """The one trained longest, if all are one run at several times."""
    first = runs[0]
    for run in runs[1:]:
        name = find_difference(first.config, run.config)
        folds = [_read_text(one.folder / "folds.csv") for one in (first, run)]
        if name or folds[0] != folds[1]:
            differ = f"{name}={getattr(first.config, name)} and {getattr(run.config, name)}" if name else "other folds"
            raise InputError(f"{first.folder} and {run.folder} are two runs ({differ}); attach one of them")
    return max(runs, key=lambda run: run.epochs)


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _copy(source: Path, target: Path, *, left_behind: set[str]) -> None:
    """The files, not their modes: inputs are read-only. ``config.json`` comes last, as it makes a folder a run."""
    paths = [path for path in sorted(source.rglob("*")) if path.is_file() and path.suffix != ".ipynb"]
    for path in sorted(paths, key=lambda path: path.name == "config.json"):
        place = path.relative_to(source)
        if not left_behind & set(place.parts):
            (target / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / place)
