import ast
import dataclasses
import re
from pathlib import Path

import nbformat
import pytest

from seglib.config import Config
from seglib.runs.notebooks import NOTEBOOKS

FOLDER = Path(__file__).parents[1] / "notebooks"
PLACES = {"data_dir", "output_dir", "other_runs", "preset", "settings"}
PATHS = [FOLDER / f"{name}.ipynb" for name in NOTEBOOKS]


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def code_of(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def parameters_of(notebook):
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    return cell.source


def test_the_folder_holds_the_five_and_no_other():
    assert sorted(FOLDER.glob("*.ipynb")) == PATHS


def test_it_is_stored_without_outputs_and_for_the_kernel_python3(notebook):
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_parameters_are_literals_with_a_comment_and_known_names(notebook):
    fields = {field.name for field in dataclasses.fields(Config)}
    for statement, line in zip(
        ast.parse(parameters_of(notebook)).body, parameters_of(notebook).splitlines(), strict=True
    ):
        ast.literal_eval(statement.value)  # a derived value would go stale when papermill injects another
        assert statement.targets[0].id in PLACES | fields
        assert "  # " in line


def test_cells_are_short_and_define_nothing(notebook):
    lengths = sorted(len(source.splitlines()) for source in code_of(notebook))
    assert lengths[-1] <= 15
    assert lengths[len(lengths) // 2] <= 5
    for source in code_of(notebook):
        tree = ast.parse(re.sub(r"^%.*$", "", source, flags=re.MULTILINE))
        assert not [
            node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Try | ast.While)
        ]
        assert "cuda" not in source
        assert "!pip" not in source


def test_the_narrative_asks_before_a_step_and_explains_after_a_figure(notebook):
    assert re.match(r"# \d\d .*\?", notebook.cells[0].source)
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and "save_figure(" in cell.source and number + 2 < len(notebook.cells):
            following = next(other for other in notebook.cells[number + 1 :] if other.cell_type == "markdown")
            assert re.search(r"How to read it|What to look for", following.source)


def test_the_set_up_cell_is_the_same_everywhere_and_costs_nothing_at_home():
    cells = {code_of(nbformat.read(path, as_version=4))[1] for path in PATHS}
    assert len(cells) == 1
    assert 'find_spec("seglib") is None' in cells.pop()


def test_the_last_cell_shows_what_the_next_notebook_reads(notebook):
    assert code_of(notebook)[-1].splitlines()[-1].startswith("output /")
