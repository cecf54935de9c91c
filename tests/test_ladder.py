import dataclasses
import importlib.util
import json
from pathlib import Path

import pandas as pd
import pytest

from seglib.config import make_config
from seglib.metrics import summarise_scores

PATH = Path(__file__).parents[1] / "benchmarks" / "ladder.py"


@pytest.fixture(scope="module")
def ladder():
    spec = importlib.util.spec_from_file_location("ladder", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def configs(ladder):
    settings = ladder.list_settings()
    return {name: make_config(**given) for name, given in settings.items()}


def test_every_step_can_be_made_and_builds_on_one_before_it(ladder):
    names = [step.name for step in ladder.STEPS]
    assert len(set(names)) == len(names) == len(configs(ladder))
    for number, step in enumerate(ladder.STEPS):
        assert (step.base in names[:number]) or (number == 0 and step.base is None)
        assert number == 0 or step.changes


def test_every_step_has_the_budget_of_the_others(ladder):
    made = configs(ladder)
    for name, config in made.items():
        assert (config.epochs, config.batch_size, config.fold, config.seed) == (ladder.BUDGET["epochs"], 16, 0, 0)
        assert config.image_size == ladder.BUDGET["image_size"] or name == "size"


def test_the_last_step_is_the_recipe_of_best_but_for_its_budget(ladder):
    last, best = configs(ladder)["size"], make_config("best")
    fields = (field.name for field in dataclasses.fields(last))
    different = {name for name in fields if getattr(last, name) != getattr(best, name)}
    assert different <= {"epochs", "min_steps", "folds", "tta", "width", "norm"}  # the last two are of the plain U-Net


def test_a_row_shows_its_score_and_what_it_changed_image_by_image(ladder, tmp_path):
    for number, step in enumerate(ladder.STEPS[:2]):
        (tmp_path / step.name).mkdir()
        ids = [f"{i:03d}" for i in range(30)]
        scores = pd.DataFrame({"sample_id": ids, "dice": [0.5 + 0.01 * i + 0.02 * number for i in range(30)]})
        scores = scores.assign(iou=0.5, overlap=1, pred_area=2, target_area=2)[:: 1 - 2 * number]  # in another order
        scores.to_csv(tmp_path / step.name / "scores.csv", index=False)
        (tmp_path / step.name / "summary.json").write_text(json.dumps(summarise_scores(scores)))
    text = ladder.describe_steps(tmp_path, "data", done=2)
    row = next(line for line in text.splitlines() if line.startswith("| augment"))
    assert "0.6650 (" in row
    assert "+0.0200 (+0.0200 to +0.0200)" in row
    assert "the second run is better, and the difference is real" in row
    assert text.count("seglib run --data data") == 2
