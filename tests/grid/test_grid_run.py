import json
import shutil

import pandas as pd
import psutil
import pytest

pytest.importorskip("distributed", reason="an extra: pip install -e .[grid]")

from seglib.cli import main
from seglib.data.fingerprints import fingerprint_data
from seglib.data.samples import list_samples
from seglib.grid import cells, cluster
from seglib.grid import run as grid

RUN = """
import os, shutil, sys, time
from seglib.leash import end_with_starter
end_with_starter()
attempts = open("attempts.txt", "a+")
print("an attempt", file=attempts, flush=True)
attempts.seek(0)
if os.path.exists("hold") and len(attempts.readlines()) == 1:
    time.sleep(600)
if os.path.exists("broken"):
    print("seglib: x.png is broken; mend it")
    sys.exit(2)
for name in ("manifest.json", "summary.json", "report.html"):
    shutil.copy(f"future/{name}", name)
"""


@pytest.fixture
def asked(tmp_path, phantoms, monkeypatch):
    """A grid of six cells whose runs take no time and leave only what a grid looks at."""
    (tmp_path / "grid.yaml").write_text(
        f"data: {phantoms}\nout: {tmp_path / 'out'}\npreset: quick\nonly: '02,04'\n"
        "grid: {loss: [bce, dice], learning_rate: [1e-3, 2e-3, 4e-3]}\n"
    )
    train = list_samples(phantoms)
    data_hash = fingerprint_data([*train["image_path"], *train["mask_path"]])
    asked = cells.read_grid(tmp_path / "grid.yaml")

    def command(of, cell, data_dir):
        manifest = {"data_hash": data_hash, "data_dir": str(data_dir), "preset": "quick", "finished": "now"}
        manifest |= {"settings": of.settings_of(cell), "seconds": {"02_training": 100.0, "04_evaluation": 50.0}}
        summary = {"dice_mean": 0.9123, "dice_low": 0.9, "dice_high": 0.95, "iou_mean": 0.8, "best_epochs": [7]}
        (cell.folder / "future").mkdir(parents=True, exist_ok=True)
        for name, facts in (("manifest.json", manifest), ("summary.json", summary), ("report.html", "")):
            (cell.folder / "future" / name).write_text(json.dumps(facts))
        return cluster.Command(["-u", "-c", RUN], cell.folder / grid.LOG, str(cell.folder))

    monkeypatch.setattr(grid, "make_command", command)
    for cell in asked.cells:
        cell.folder.mkdir(parents=True)
    return asked


def attempts(cell):
    path = cell.folder / "attempts.txt"
    return len(path.read_text().splitlines()) if path.exists() else 0


def kill_worker_of(cell):
    """SIGKILL for the worker whose process runs in the folder of a cell."""

    def is_in_folder(process):
        try:
            return process.cwd() == str(cell.folder) and attempts(cell) == 1
        except psutil.Error:
            return False

    found = []
    while not found:
        found = [child for child in psutil.Process().children(recursive=True) if is_in_folder(child)]
    found[0].parent().kill()


def test_six_cells_survive_a_killed_worker_and_what_is_finished_is_not_run_again(asked, phantoms):
    victim, said = asked.cells[1], []
    (victim.folder / "hold").touch()

    def say(line):
        said.append(line)
        if line.endswith(f"{victim.name}: started"):
            kill_worker_of(victim)

    assert grid.run_grid(asked, phantoms, workers=2, say=say) == []
    assert [attempts(cell) for cell in asked.cells] == [1, 2, 1, 1, 1, 1]
    assert sum("was killed, started again" in line for line in said) == 1
    assert said[-1].startswith("[6/6] ")
    assert said[-1].endswith(": done, Dice 0.912, 2 min")

    table = pd.read_csv(asked.out / "grid.csv")
    assert list(table) == [
        *("loss", "learning_rate", "state", "dice_mean", "dice_low", "dice_high", "iou_mean", "best_epoch"),
        *("seconds", "folder", "reason"),
    ]
    assert table["loss"].tolist() == ["bce"] * 3 + ["dice"] * 3
    assert set(table["state"]) == {"done"}
    assert set(table["dice_mean"]) == {0.9123}
    assert set(table["best_epoch"]) == {7}
    assert set(table["seconds"]) == {150.0}

    again = []
    shutil.rmtree(asked.cells[3].folder)
    assert grid.run_grid(asked, phantoms, workers=1, say=again.append) == []
    assert [attempts(cell) for cell in asked.cells] == [1, 2, 1, 1, 1, 1]
    assert sum("was finished before, Dice 0.912" in line for line in again) == 5
    assert again[-1].startswith(f"[6/6] {asked.cells[3].name}: done")


def test_a_cell_that_cannot_run_says_why_the_others_go_on_and_it_alone_is_tried_again(asked, tmp_path, capsys):
    broken = asked.cells[2]
    (broken.folder / "broken").touch()
    assert main(["grid", str(tmp_path / "grid.yaml")]) == 1
    captured = capsys.readouterr()
    assert captured.err == f"seglib: 1 of 6 cells failed; {broken.name}: x.png is broken; mend it\n"
    assert f"] {broken.name}: failed: x.png is broken; mend it\n" in captured.out
    table = pd.read_csv(asked.out / "grid.csv")
    assert table["state"].tolist() == ["done", "done", "failed", "done", "done", "done"]
    assert table["reason"].dropna().tolist() == ["x.png is broken; mend it"]
    assert table["dice_mean"].isna().tolist() == [False, False, True, False, False, False]
    (broken.folder / "broken").unlink()
    assert main(["grid", str(tmp_path / "grid.yaml")]) == 0
    assert [attempts(cell) for cell in asked.cells] == [1, 1, 2, 1, 1, 1]
    assert pd.read_csv(asked.out / "grid.csv")["reason"].isna().all()


def test_a_finished_grid_starts_no_workers(asked, phantoms, monkeypatch):
    for cell in asked.cells:
        grid.make_command(asked, cell, phantoms)
        for path in (cell.folder / "future").iterdir():
            path.rename(cell.folder / path.name)
    monkeypatch.setattr(cluster, "run_commands", lambda *_, **__: pytest.fail("workers were started"))
    said = []
    assert grid.run_grid(asked, phantoms, say=said.append) == []
    assert len(said) == 6


def test_the_table_shows_how_far_each_cell_is(asked):
    journal = grid.Journal(asked, lambda line: None)
    journal.note(asked.cells[0].name, "started")
    journal.note(asked.cells[1].name, "failed", "its reason")
    table = pd.read_csv(asked.out / "grid.csv")
    assert table["state"].tolist() == ["running", "failed", "waiting", "waiting", "waiting", "waiting"]
    assert [path.name for path in asked.out.iterdir() if path.is_file()] == ["grid.csv"]  # and no half of one


def test_a_cell_is_what_run_would_do(tmp_path, phantoms):
    (tmp_path / "grid.yaml").write_text(
        f"out: {tmp_path / 'out'}\npreset: quick\nset: {{rle_by_rows: yes}}\n"
        "grid: {learning_rate: [1e-3]}\nonly: 02\n"
    )
    asked = cells.read_grid(tmp_path / "grid.yaml")
    command = grid.make_command(asked, asked.cells[0], phantoms)
    folder = tmp_path / "out" / "learning_rate=0.001"
    words = ["run", "--data", str(phantoms), "--out", str(folder), "--preset", "quick", "--set", "rle_by_rows=True"]
    assert command.words == ["-u", "-m", "seglib.leash", *words, "--set", "learning_rate=0.001", "--only", "2"]


def test_without_dask_the_cure_is_said(asked, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(grid.importlib.util, "find_spec", lambda name: None)
    assert main(["grid", str(tmp_path / "grid.yaml")]) == 2
    assert "a grid needs Dask; install it by pip install -e .[grid]" in capsys.readouterr().err
