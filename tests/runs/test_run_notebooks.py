import re
from pathlib import Path

import nbformat
import pytest

from seglib.errors import InputError, KilledError
from seglib.runs import notebooks


def write_notebook(path, *sources):
    """A notebook whose first cell is its parameters."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    """Make a notebook and have it found; give where its executed copy goes."""

    def make(*sources):
        write_notebook(tmp_path / "source.ipynb", *sources)
        monkeypatch.setattr(notebooks, "find_notebook", lambda _: tmp_path / "source.ipynb")
        return tmp_path / "out.ipynb"

    return make


def test_parameters_reach_the_notebook_and_those_it_does_not_declare_stay_away(notebook, tmp_path):
    output = notebook("a = 1  # a number", f"open({str(tmp_path / 'found')!r}, 'w').write(repr(a))")
    notebooks.run_notebook("any", output, {"a": {"b": 1e-4}, "other": 5})
    assert (tmp_path / "found").read_text() == "{'b': 0.0001}"
    assert "other" not in nbformat.read(output, as_version=4).cells[1].source


def test_what_the_user_can_mend_comes_through_as_such(notebook):
    output = notebook("a = 1", "from seglib.errors import InputError", "raise InputError('x.png is broken; mend it')")
    with pytest.raises(InputError, match=r"^x\.png is broken; mend it$"):
        notebooks.run_notebook("any", output, {})
    (shown,) = nbformat.read(output, as_version=4).cells[-1].outputs
    assert shown.traceback == ["InputError: x.png is broken; mend it"]  # all that IPython shows below the cell


def test_too_little_memory_is_something_the_user_can_mend(notebook):
    words = "from seglib.errors import MemoryShortageError"
    output = notebook("a = 1", words, "raise MemoryShortageError('out of memory; set accumulate=8')")
    with pytest.raises(InputError, match=r"^out of memory; set accumulate=8$"):
        notebooks.run_notebook("any", output, {})


def test_a_failing_cell_is_named_with_where_to_read_more(notebook):
    output = notebook("a = 1", "1 / 0")
    with pytest.raises(RuntimeError, match=r"04_x failed in cell 2: ZeroDivisionError.*out\.ipynb"):
        notebooks.run_notebook("04_x", output, {})


@pytest.mark.parametrize("leave", ["import sys; sys.exit(0)", "import os; os._exit(0)"])
def test_leaving_in_the_middle_is_no_success_and_leaves_the_notebook_of_before(notebook, leave):
    output = notebook("a = 1", leave, "b = 2")
    output.write_text("as it was")
    with pytest.raises(KilledError, match="04_x did not end"):
        notebooks.run_notebook("04_x", output, {})
    assert output.read_text() == "as it was"
    assert sorted(path.name for path in output.parent.glob("*.ipynb")) == ["out.ipynb", "source.ipynb"]


def test_two_runs_in_one_place_talk_each_to_its_own_kernel(notebook, tmp_path, monkeypatch):
    """The sockets of every kernel lie in a folder of their own, which is gone afterwards."""
    monkeypatch.chdir(tmp_path)
    write = "import json, ipykernel; open('ip', 'a').write(json.loads(ipykernel.get_connection_info())['ip'] + '\\n')"
    for _ in range(2):
        notebooks.run_notebook("any", notebook("a = 1", write), {})
    folders = [Path(line).parent for line in (tmp_path / "ip").read_text().split()]
    assert folders[0] != folders[1]
    assert not any(folder.exists() or folder == tmp_path for folder in folders)


def test_what_the_notebook_prints_is_seen_while_it_runs(notebook, capsys):
    notebooks.run_notebook("any", notebook("a = 1", "print('epoch 1')"), {})
    assert "epoch 1" in capsys.readouterr().out


def test_a_kernel_that_is_told_to_end_while_it_still_answers_is_quiet(notebook, capfd):
    """jupyter_client interrupts each kernel before it ends it; a busy machine is still behind the last answer then."""
    slow = """
import functools, time
kernel = get_ipython().kernel
async def answer_and_wait(answer, wait, *args):
    await answer(*args)
    wait(2)
handlers = kernel.shell_handlers
handlers["kernel_info_request"] = functools.partial(answer_and_wait, kernel.kernel_info_request, time.sleep)"""
    notebooks.run_notebook("any", notebook("a = 1", slow), {})
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("only", "names"),
    [(None, list(notebooks.NOTEBOOKS)), ("2", ["02_training"]), ("05, 01_eda", ["01_eda", "05_submission"])],
)
def test_notebooks_are_chosen_by_number_and_run_in_their_own_order(only, names):
    assert notebooks.choose_notebooks(only) == names


def test_an_unknown_notebook_is_named():
    with pytest.raises(InputError, match="no notebook '07'; choose from 01, 02, 03, 04, 05"):
        notebooks.choose_notebooks("02,07")


@pytest.mark.parametrize(
    ("words", "message"),
    [(["epoch=3"], "did you mean epochs?"), (["epochs"], "--set epochs has no value"), (["epochs=x"], "whole number")],
)
def test_misspelt_settings_stop_at_once(words, message):
    with pytest.raises(InputError, match=re.escape(message)):
        notebooks.parse_settings("quick", words)


@pytest.mark.parametrize("mark", [None, ".unfinished", "fold_2/.unfinished"])
def test_a_run_whose_time_ran_out_is_not_finished(tmp_path, monkeypatch, mark):
    monkeypatch.setattr(notebooks, "run_notebook", lambda *_: None)
    if mark:
        (tmp_path / mark).parent.mkdir(exist_ok=True)
        (tmp_path / mark).touch()
    facts = {"data_dir": tmp_path, "output_dir": tmp_path, "preset": "quick", "settings": {}, "data_hash": "h"}
    manifest = notebooks.run_notebooks(["02_training"], **facts, say=lambda line: None)
    assert (manifest["finished"] is None) == (mark is not None)
