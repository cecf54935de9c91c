"""What notebooks say about their figures: single cells are run with made-up results."""

import ast
import os
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pandas as pd
import pytest
from test_figures_curves import make_history

FOLDER = Path(__file__).parents[2] / "notebooks"


@pytest.fixture
def run_cell(tmp_path):
    """Run the one cell that contains a text; its names, its last value as ``shown``, and the captions it saved."""

    def run(notebook, text, **names):
        cells = nbformat.read(FOLDER / f"{notebook}.ipynb", as_version=4).cells
        (source,) = [cell.source for cell in cells if cell.cell_type == "code" and text in cell.source]
        captions = []
        known = {"output": tmp_path, "os": os, "pd": pd, "display": lambda figure: None} | names
        known["save_figure"] = lambda figure, path, caption: captions.append(caption)
        known["figures"] = SimpleNamespace(save_figure=known["save_figure"], **names.get("drawn_by", {}))
        tree = ast.parse(source)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else ast.parse("None").body[0]
        exec(compile(tree, text, "exec"), known)
        shown = eval(compile(ast.Expression(last.value), text, "eval"), known)
        return SimpleNamespace(names=known, shown=shown, captions=captions)

    return run


def nothing(*args, **more):
    return None


@pytest.mark.parametrize(
    ("best", "words"), [([1], "epoch 1"), ([5, 5], "epochs 5 and 5"), ([7, 8, 9], "epochs 7, 8 and 9")]
)
def test_the_epochs_that_are_kept_are_named_in_words(run_cell, best, words):
    ran = run_cell(
        "03_loss_curves",
        "plot_history(members",
        members=best,
        find_best_epoch=lambda member, monitor: member,
        monitor="",
        plot_history=nothing,
    )
    assert ran.captions[0].endswith(f"the dashed lines are what is kept: {words}.")


@pytest.mark.parametrize(
    ("others", "told"),
    [
        (["b/run"], ["a/run", "b/run"]),
        (["a/quick"], ["run", "quick"]),
        (["a/run", "b/run", "b/run"], ["a/run", "b/run"]),  # itself, and one that is named twice
        (["a/run/inner"], ["run", "run/inner"]),
    ],
)
def test_runs_with_the_same_name_are_told_apart(run_cell, tmp_path, others, told):
    ran = run_cell(
        "03_loss_curves",
        "plot_runs(runs",
        output=tmp_path / "a" / "run",
        other_runs=others,
        resolve_output_dir=lambda run: tmp_path / run,
        read_history=lambda path: make_history(2),
        split_history=lambda history: [history],
        plot_runs=nothing,
    )
    told = [str(Path(name)) for name in told]
    assert list(ran.names["runs"]) == told
    assert ran.captions == [f"Loss and Dice by epoch of {', '.join(told)}."]
    compared = pd.DataFrame({"run": ["run"] * (len(told) - 1)})
    names = {name: ran.names[name] for name in ("others", "names", "output")}
    table = run_cell("03_loss_curves", "compare_runs(output", compare_runs=lambda *runs: compared, **names).shown
    assert table["run"].tolist() == told[1:]


def test_the_caption_of_cases_counts_those_that_are_drawn(run_cell):
    ran = run_cell(
        "04_evaluation",
        "04_cases.png",
        kinds=pd.Series({4: "worst", 2: "worst", 0: "best"}, dtype=object),
        rows=[],
        shown=pd.DataFrame(),
        titles=[],
        files=None,
        sizes=[],
        fitted=[],
        scale=None,
        config={"in_channels": 3},
        held_out=pd.DataFrame({"image_path": [], "mask_path": []}),
        read_held_out=lambda *args, **more: [],
        drawn_by={"plot_errors": nothing},
    )
    assert ran.captions == ["Held-out images (2 worst, 1 best by Dice): what was found, missed and added."]


@pytest.mark.parametrize("difference", [float("nan"), -0.1])
def test_causes_are_drawn_only_where_there_is_something_to_compare(run_cell, capsys, difference):
    comparison = pd.DataFrame({"difference": [float("nan"), difference]})
    names = {"facts": comparison, "drawn_by": {"plot_causes": nothing}}
    captions = run_cell("04_evaluation", "04_causes.png", comparison=comparison, **names).captions
    said = capsys.readouterr().out
    assert (len(captions), "nothing to draw" in said) == ((1, False) if difference == difference else (0, True))


def test_a_name_is_no_markup_in_a_table(run_cell):
    first = pd.DataFrame({"sample_id": ["<b>a"], "dice": [0.64496], "why": ["small"]})
    failures = SimpleNamespace(choose_first=lambda *args, **more: first)
    names = {"groups": None, "facts": None, "held_out": first, "write_text": lambda path, text: path.write_text(text)}
    ran = run_cell("04_evaluation", "look_first.csv", failures=failures, **names)
    html = ran.shown.to_html()
    assert "&lt;b&gt;a" in html
    assert ">0.64<" in html
    assert ran.names["titles"] == ["<b>a\nDice 0.64\nsmall"]
    assert (ran.names["output"] / "look_first.csv").read_text().splitlines()[1] == "<b>a,0.645,small"
    measure = {"measure": "sure", "uncertainty": SimpleNamespace(MEASURES={"sure": ""})}
    unsure = pd.DataFrame({"sample_id": ["<b>a"], "sure": [0.5]})
    ran = run_cell("05_submission", "unsure.csv", unsure=unsure, **measure, write_text=nothing)
    assert "&lt;b&gt;a" in ran.shown.to_html()
