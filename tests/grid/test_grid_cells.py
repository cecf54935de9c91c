import json
import re
import shutil

import pytest

from seglib.cli import main
from seglib.errors import InputError
from seglib.grid import cells

SIX = """
preset: quick
set: {epochs: 3}
grid:
  learning_rate: [1e-3, 2e-3, 4e-3]
  loss: [bce_dice, "0.5*bce + 0.5*lovasz"]
only: "02,04"
"""


@pytest.fixture
def read(tmp_path):
    """Read a grid from the text of its file, with its folders below a temporary one."""

    def read_(text):
        (tmp_path / "grid.yaml").write_text(text + f"\nout: {tmp_path / 'out'}\n")
        return cells.read_grid(tmp_path / "grid.yaml")

    return read_


def test_every_combination_is_a_cell_and_text_becomes_a_number(read):
    grid = read(SIX)
    assert [(cell.config.learning_rate, cell.config.loss) for cell in grid.cells] == [
        (rate, loss) for rate in (1e-3, 2e-3, 4e-3) for loss in ("bce_dice", "0.5*bce + 0.5*lovasz")
    ]
    assert {cell.config.epochs for cell in grid.cells} == {3}
    assert grid.settings_of(grid.cells[1]) == {"epochs": 3, "learning_rate": 1e-3, "loss": "0.5*bce + 0.5*lovasz"}


def test_the_name_of_a_folder_does_not_depend_on_the_order_of_the_axes_or_how_a_number_is_written(read):
    assert read(SIX).cells[0].folder.name == "loss=bce_dice,learning_rate=0.001"
    turned = read("preset: quick\ngrid: {loss: [bce_dice], learning_rate: [0.001]}")
    assert turned.cells[0].folder.name == read(SIX).cells[0].folder.name


def test_names_are_short_and_safe_and_differ(read):
    values = [f"/far/away/{'x' * 100}/{number} ?:*.pth" for number in range(3)]
    grid = read(f"preset: resnet34\ngrid: {{encoder_weights: {json.dumps(values)}}}")
    names = [cell.name for cell in grid.cells]
    assert len(set(names)) == 3
    assert all(len(name) <= cells.LONGEST_NAME and re.fullmatch(r"[A-Za-z0-9_.,=+-]+", name) for name in names)


def test_folds_as_an_axis_are_runs_that_each_hold_out_another_fold(read):
    grid = read("grid: {fold: [0, 1, 2, 3, 4]}")
    assert [(cell.config.folds, cell.config.fold, cell.config.n_folds) for cell in grid.cells] == [
        (1, fold, 5) for fold in range(5)
    ]


def test_no_value_is_one_where_the_data_decides(read):
    grid = read("grid: {in_channels: [null, 1]}")
    assert [grid.settings_of(cell) for cell in grid.cells] == [{"in_channels": None}, {"in_channels": 1}]


REFUSED = {
    "an unknown key": ("grids: {seed: [1]}", "a key 'grids' that means nothing; did you mean grid?"),
    "an unknown axis": ("grid: {learning_rat: [1]}", "'learning_rat' that there is not; did you mean learning_rate?"),
    "an unknown setting": ("set: {epoch: 3}\ngrid: {seed: [1]}", "'epoch' that there is not; did you mean epochs?"),
    "an unknown preset": ("preset: quik\ngrid: {seed: [1]}", "did you mean quick?"),
    "an unknown notebook": ("only: 9\ngrid: {seed: [1]}", "there is no notebook '09'"),
    "an unknown loss": ("grid: {loss: [bce, dise]}", "did you mean dice?"),
    "a value of another kind": ("grid: {epochs: [3, many]}", "epochs='many' is not a whole number"),
    "a value that cannot be": ("grid: {epochs: [3, 0]}", "epochs=0 cannot be; it must be from 1"),
    "a list as a value": ("grid: {epochs: [[3, 4]]}", "epochs=[3, 4] is not a whole number"),
    "a fold too many": ("grid: {fold: [0, 5]}", "fold=5 cannot be; it must be below the number of folds, which is 5"),
    "an axis without values": ("grid: {loss: []}", "loss below grid in"),
    "an axis with one bare value": ("grid: {loss: bce}", "write loss: [A, B], or move it to set"),
    "a value twice": ("grid: {learning_rate: [1e-3, 0.001]}", "two cells of one folder, learning_rate=0.001"),
    "an axis that is set": ("set: {seed: 1}\ngrid: {seed: [1]}", "seed is both below set and below grid"),
    "settings as a list": ("set: [seed]\ngrid: {seed: [1]}", "is no list of names with values"),
    "a setting without a value": ("set: {epochs: }\ngrid: {seed: [1]}", "has no value; write one, or leave epochs out"),
    "no value among others": ("grid: {image_size: [null, 256]}", "has no value; write one, or leave image_size out"),
    "no grid": ("preset: quick", "has no grid"),
    "an empty grid": ("grid: {}", "has no grid"),
    "no YAML": ("grid: {loss: [bce", "is not YAML in line"),
    "only a word": ("grid", "is not YAML in line 2"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_one_sentence_before_anything_is_run(case, tmp_path, capsys):
    text, words = REFUSED[case]
    (tmp_path / "grid.yaml").write_text(text + f"\nout: {tmp_path / 'out'}\n")
    assert main(["grid", str(tmp_path / "grid.yaml")]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"", b"- 1\n"])
def test_a_file_that_holds_no_grid_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "grid.yaml").write_bytes(content)
    with pytest.raises(InputError, match="grid.yaml (cannot be read|has no grid)"):
        cells.read_grid(tmp_path / "grid.yaml")


def test_a_folder_of_the_cells_that_is_a_file_is_named(tmp_path, read):
    (tmp_path / "out").touch()
    with pytest.raises(InputError, match="out is a file; name a folder"):
        read(SIX)


def finish(cell, *, finished="now", names=("02_training", "04_evaluation"), **settings):
    """The traces of a finished run."""
    cell.folder.mkdir(parents=True, exist_ok=True)
    facts = {"data_hash": "sha256:h", "data_dir": "/d", "preset": "quick", "finished": finished}
    facts |= {"settings": {"epochs": 3, **cell.axes, **settings}, "seconds": dict.fromkeys(names, 1.0)}
    (cell.folder / "manifest.json").write_text(json.dumps(facts))
    (cell.folder / "report.html").touch()


@pytest.mark.parametrize(
    ("changes", "finished"),
    [({}, True), ({"finished": None}, False), ({"names": ["02_training"]}, False), ({"epochs": 4}, False)],
)
def test_a_cell_is_finished_when_all_that_is_asked_for_was_run_to_its_end(read, changes, finished):
    grid = read(SIX)
    finish(grid.cells[0], **changes)
    assert cells.is_finished(grid, grid.cells[0]) == finished
    assert not cells.is_finished(grid, grid.cells[1])


def test_without_test_images_a_run_without_submission_is_finished(tmp_path, phantoms, read, capsys):
    data = shutil.copytree(phantoms, tmp_path / "data", ignore=shutil.ignore_patterns("Test"))
    grid = read(f"preset: quick\nset: {{epochs: 3}}\ngrid: {{seed: [1, 2]}}\ndata: {data}")
    assert grid.only is None
    assert cells.fit_to_data(grid, with_test=True) == grid
    fitted = cells.fit_to_data(grid, with_test=False)
    assert fitted.only == "01,02,03,04"
    finish(grid.cells[0], names=["01_eda", "02_training", "03_loss_curves", "04_evaluation"])
    assert [cells.is_finished(one, grid.cells[0]) for one in (grid, fitted)] == [False, True]
    shutil.rmtree(grid.out)
    assert main(["grid", str(tmp_path / "grid.yaml"), "--dry-run"]) == 0
    assert "05_submission is left out" in capsys.readouterr().out
    assert cells.fit_to_data(read(SIX), with_test=False).only == "02,04"


def test_a_run_without_its_report_is_not_finished(read):
    grid = read(SIX)
    finish(grid.cells[0])
    (grid.cells[0].folder / "report.html").unlink()
    assert not cells.is_finished(grid, grid.cells[0])


def test_a_dry_run_prints_the_plan_and_runs_nothing(tmp_path, phantoms, read, capsys):
    grid = read(SIX + f"data: {phantoms}")
    assert main(["grid", str(tmp_path / "grid.yaml"), "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{grid.out}: 6 cells of the preset quick"
    assert [line.split() for line in lines[1:]] == [["to", "run", cell.name] for cell in grid.cells]
    assert not grid.out.exists()


def test_a_dry_run_fetches_no_data(tmp_path, read, monkeypatch):
    monkeypatch.chdir(tmp_path)
    read(SIX + "data: phantoms")
    assert main(["grid", str(tmp_path / "grid.yaml"), "--dry-run"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["grid.yaml"]


def test_a_folder_with_another_run_is_refused_before_anything_is_run(tmp_path, phantoms, read, capsys):
    grid = read(SIX + f"data: {phantoms}")
    finish(grid.cells[5])
    assert main(["grid", str(tmp_path / "grid.yaml")]) == 2
    assert "holds a run on other data (/d as it was then)" in capsys.readouterr().err
    assert [path.name for path in grid.out.iterdir()] == [grid.cells[5].name]


@pytest.mark.parametrize("words", [["--workers", "0"], ["--workers", "2", "--scheduler", "tcp://x:1"]])
def test_workers_are_counted_only_where_they_are_started(tmp_path, read, words, capsys):
    read(SIX)
    assert main(["grid", str(tmp_path / "grid.yaml"), *words]) == 2
    assert "--workers is how many are started here" in capsys.readouterr().err
