"""Many runs at once as a user does it: stopped, robbed of a worker, and brought to an end by the same command."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pandas as pd
import psutil
import pytest

pytest.importorskip("distributed", reason="an extra: pip install -e .[grid]")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
GRID = """
data: {data}
out: {out}
preset: baseline
set: {{width: 4, image_size: 32, epochs: 12, batch_size: 4, val_fraction: 0.34, norm: batch}}
grid:
  learning_rate: [1e-3, 4e-3]
  fold: [0, 1, 2]
only: "02,04"
"""


@pytest.fixture(scope="module")
def file(phantoms, tmp_path_factory):
    folder = tmp_path_factory.mktemp("grid")
    (folder / "six.yaml").write_text(GRID.format(data=phantoms, out=folder / "out"))
    return folder / "six.yaml"


def start(file):
    command = [sys.executable, "-m", "seglib", "grid", str(file), "--workers", "2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # where the tests are a job in the background, they ignore Ctrl-C, and what they start would too
    hear = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True, preexec_fn=hear, **pipes)


def wait_for_epoch(process, file, count):
    """Until some cell has ended so many epochs; its process."""
    while process.poll() is None:
        for log in (file.parent / "out").glob("*/run.log"):
            epochs = [line for line in log.read_text().splitlines() if line.startswith("epoch ")]
            cells = [one for one in family(process) if str(log.parent) in words(one)]
            if count <= len(epochs) < 12 and cells:
                return cells[0]
        time.sleep(0.2)
    raise AssertionError(process.communicate())


def family(process):
    return [one for one in psutil.Process(process.pid).children(recursive=True) if words(one)]


def words(process):
    try:
        return process.cmdline()  # none of a zombie
    except psutil.NoSuchProcess:  # it ended while it was looked at
        return []


@pytest.fixture(scope="module")
def stopped(file):
    """Ctrl-C in the middle of training, as a terminal sends it: to all of the foreground."""
    process = start(file)
    wait_for_epoch(process, file, 2)
    everybody = family(process)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=180)
    return process.returncode, error, psutil.wait_procs(everybody, timeout=20)[1]


@pytest.fixture(scope="module")
def killed(file, stopped):
    """The same command again, and SIGKILL for a worker in the middle of training."""
    process = start(file)
    cell = wait_for_epoch(process, file, 4)
    name = next(Path(word).name for word in cell.cmdline() if word.startswith(str(file.parent / "out")))
    cell.parent().kill()
    output, error = process.communicate()
    assert process.returncode == 0, (output, error)
    return name, output, error


def test_ctrl_c_stops_all_with_one_sentence(stopped):
    code, error, alive = stopped
    assert code == 130
    assert error == "seglib: stopped; the same command goes on after the last finished epoch or image\n"
    assert alive == []


def test_a_killed_worker_costs_its_cell_a_new_start_and_the_others_nothing(killed):
    name, output, error = killed
    assert error == ""
    assert [line.split("] ")[1] for line in output.splitlines() if "killed" in line] == [
        f"{name}: was killed, started again"
    ]
    assert sum(": done, Dice " in line for line in output.splitlines()) == 6
    assert sum(": started" in line for line in output.splitlines()) == 6


def test_every_cell_has_its_scores_and_the_history_it_would_have_had(killed, file):
    table = pd.read_csv(file.parent / "out" / "grid.csv")
    assert table["state"].tolist() == ["done"] * 6
    assert table["dice_mean"].between(0, 1, inclusive="neither").all()
    for folder in table["folder"]:
        history = pd.read_csv(ROOT / folder / "history.csv")
        assert history["epoch"].tolist() == list(range(1, 13))


def test_folds_as_cells_hold_out_every_image_once(killed, file):
    folders = [file.parent / "out" / f"fold={fold},learning_rate=0.001" for fold in range(3)]
    scores = pd.concat([pd.read_csv(folder / "scores.csv") for folder in folders])
    folds = pd.read_csv(folders[0] / "folds.csv")
    assert sorted(scores["sample_id"]) == sorted(folds["sample_id"])


def test_the_same_command_once_more_runs_nothing(killed, file):
    before = {path: path.stat().st_mtime_ns for path in file.parent.rglob("*/manifest.json")}
    process = start(file)
    output, _ = process.communicate()
    assert process.returncode == 0
    assert sum("was finished before" in line for line in output.splitlines()) == 6
    assert {path: path.stat().st_mtime_ns for path in file.parent.rglob("*/manifest.json")} == before
    assert len(before) == 6
