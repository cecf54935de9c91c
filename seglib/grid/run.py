"""The cells of a grid -> runs, and one table of what came out of them.

A cell is what ``seglib run`` does, in a process of its own on a worker of a Dask cluster (`cluster` says why Dask).
What is finished is not run again; what was begun goes on after its last finished epoch.
"""

import importlib.util
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from seglib.errors import InputError
from seglib.grid.cells import Cell, Grid, check_cells, is_finished
from seglib.paths import shorten
from seglib.writing import write_text

if TYPE_CHECKING:
    from seglib.grid.cluster import Command

LOG = "run.log"  # in the folder of a cell: what its run prints
SCORES = ("dice_mean", "dice_low", "dice_high", "iou_mean")  # of summary.json


def run_grid(
    grid: Grid,
    data_dir: Path,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    say: Callable[[str], None] = print,
) -> list[str]:
    """Run what is missing and keep ``grid.csv`` up to date.

    Args:
        grid: of ``cells.read_grid``.
        data_dir: the data set, absolute; like ``grid.out`` it must be there on every machine of the cluster.
        scheduler: address of a running Dask cluster; None: workers on this machine.
        workers: on this machine; None: one for each GPU, or one.
        say: what tells the user how it goes.

    Returns:
        A sentence for each cell that failed.

    Raises:
        InputError: as ``cells.check_cells``; or if Dask is not installed, or no scheduler answers.
    """
    if importlib.util.find_spec("distributed") is None:
        raise InputError("a grid needs Dask; install it by pip install -e .[grid]")
    check_cells(grid, data_dir)
    journal = Journal(grid, say)
    waiting = [cell for cell in grid.cells if journal.states[cell.name] != "done"]
    if waiting:
        from seglib.grid import cluster

        commands = {cell.name: make_command(grid, cell, data_dir) for cell in waiting}
        with closing(cluster.run_commands(commands, scheduler=scheduler, workers=workers)) as events:
            for event in events:
                journal.note(event.name, event.state, event.sentence)
    return [f"{name}: {sentence}" for name, sentence in journal.sentences.items()]


def make_command(grid: Grid, cell: Cell, data_dir: Path) -> "Command":
    """``seglib run`` for a cell."""
    from seglib.grid.cluster import Command

    cell.folder.mkdir(parents=True, exist_ok=True)
    settings = [word for name, value in grid.settings_of(cell).items() for word in ("--set", f"{name}={value}")]
    words = ["run", "--data", str(data_dir), "--out", str(cell.folder), "--preset", grid.preset, *settings]
    only = [] if grid.only is None else ["--only", grid.only]
    return Command(["-u", "-m", "seglib.leash", *words, *only], cell.folder / LOG, str(Path.cwd()))


class Journal:
    """What is known of the cells of a grid: said as it comes, and kept as ``grid.csv``.

    Attributes:
        states: of each cell by name: waiting, running, done or failed.
        sentences: why a cell failed, by name.
    """

    def __init__(self, grid: Grid, say: Callable[[str], None] = print) -> None:
        self.grid, self.say = grid, say
        self.states = {cell.name: "waiting" for cell in grid.cells}
        self.sentences: dict[str, str] = {}
        grid.out.mkdir(parents=True, exist_ok=True)
        for cell in grid.cells:
            if is_finished(grid, cell):
                self.note(cell.name, "done", "was finished before")
        self._write()

    def note(self, name: str, state: str, sentence: str = "") -> None:
        """Say and keep that a cell is started, again (it was killed before), done or failed."""
        self.states[name] = state if state in {"done", "failed"} else "running"
        if state == "failed":
            self.sentences[name] = sentence
        ended = sum(one in {"done", "failed"} for one in self.states.values())
        words = {"again": "was killed, started again", "failed": f"failed: {sentence}"}.get(state, state)
        if state == "done":
            words = ", ".join([sentence or "done", *describe_result(self._cell(name))])
        self.say(f"[{ended}/{len(self.states)}] {name}: {words}")
        self._write()

    def _cell(self, name: str) -> Cell:
        return next(cell for cell in self.grid.cells if cell.name == name)

    def _write(self) -> None:
        rows = []
        for cell in self.grid.cells:
            result = read_result(cell) if self.states[cell.name] == "done" else {}
            row = {**cell.axes, "state": self.states[cell.name], **dict.fromkeys((*SCORES, "best_epoch", "seconds"))}
            row |= result | {"folder": shorten(cell.folder), "reason": self.sentences.get(cell.name)}
            rows.append(row)
        write_text(self.grid.out / "grid.csv", pd.DataFrame(rows).to_csv(index=False))


def read_result(cell: Cell) -> dict[str, Any]:
    """What a finished run says of itself: scores where it was evaluated, best epoch, seconds."""
    path = cell.folder / "summary.json"
    summary = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    manifest = json.loads((cell.folder / "manifest.json").read_text(encoding="utf-8"))
    best = " ".join(map(str, summary.get("best_epochs", [])))  # one for each fold
    scores = {name: summary.get(name) for name in SCORES}
    return scores | {"best_epoch": best or None, "seconds": round(sum(manifest["seconds"].values()), 1)}


def describe_result(cell: Cell) -> list[str]:
    """The same in a few words."""
    result = read_result(cell)
    score = [] if result["dice_mean"] is None else [f"Dice {result['dice_mean']:.3f}"]
    seconds = result["seconds"]
    return [*score, f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"]
