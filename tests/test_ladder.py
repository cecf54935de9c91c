import dataclasses
import importlib.util
import json
from pathlib import Path

import pandas as pd
import pytest

from seglib.config import make_config
from seglib.scores.summaries import summarise_scores

PATH = Path(__file__).parents[1] / "benchmarks" / "ladder.py"


@pytest.fixture(scope="module")
def ladder():
    spec = importlib.util.spec_from_file_location("ladder", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["full", "short"])
def steps(ladder, request):
    return ladder.LADDERS[request.param]


def configs(ladder, steps):
    return {name: make_config(**given) for name, given in ladder.list_settings(steps).items()}


def test_every_step_can_be_made_and_builds_on_one_before_it(ladder, steps):
    names = [step.name for step in steps]
    assert len(set(names)) == len(names)
    assert set(configs(ladder, steps)) == {step.name for step in steps if not step.average}
    for number, step in enumerate(steps):
        assert (step.base in names[:number]) or (number == 0 and step.base is None)
        assert number == 0 or bool(step.changes) != bool(step.average)
        assert set(step.average) <= set(names[:number])


def test_every_step_has_the_budget_of_the_others(ladder, steps):
    for name, config in configs(ladder, steps).items():
        assert (config.epochs, config.batch_size, config.fold) == (ladder.BUDGET["epochs"], 16, 0)
        assert config.image_size == ladder.BUDGET["image_size"] or name in {"size", "other-seed"}
        assert config.seed == (name == "other-seed")


def test_the_last_trained_step_is_the_recipe_of_best_but_for_its_budget(ladder):
    last, best = configs(ladder, ladder.FULL)["size"], make_config("best")
    fields = (field.name for field in dataclasses.fields(last))
    different = {name for name in fields if getattr(last, name) != getattr(best, name)}
    # a step that names its size has that size; the lesions have all the symmetries that best finds in the data
    circumstances = {"max_image_size", "symmetries"}
    assert last.symmetries == 8
    assert different <= {"epochs", "min_steps", "folds", "width", "norm"} | circumstances  # two are of the plain U-Net


def write_run(folder, *, plus):
    folder.mkdir()
    ids = [f"{i:03d}" for i in range(30)]
    scores = pd.DataFrame({"sample_id": ids, "dice": [0.5 + 0.01 * i + plus for i in range(30)]})
    scores = scores.assign(iou=0.5, overlap=1, pred_area=2, target_area=2)[:: -1 if plus else 1]  # in another order
    scores.to_csv(folder / "scores.csv", index=False)
    (folder / "summary.json").write_text(json.dumps(summarise_scores(scores)))
    (folder / "masks.json").write_text(json.dumps({"gain": {"difference": 0.001, "low": -0.002, "high": 0.003}}))
    facts = {"versions": {"torch": "2"}, "processors": 2, "platform": "Linux", "git_revision": "abc", "finished": "now"}
    (folder / "manifest.json").write_text(json.dumps(facts))


def test_a_row_shows_its_score_and_what_it_changed_image_by_image(ladder, tmp_path):
    for number, step in enumerate(ladder.FULL[:2]):
        write_run(tmp_path / step.name, plus=0.02 * number)
    text = ladder.describe_steps(ladder.FULL[:2], tmp_path, "sets/skin")
    row = next(line for line in text.splitlines() if line.startswith("| augment"))
    assert "0.6650 (" in row
    assert "+0.0200 (+0.0200 to +0.0200)" in row
    assert "the second run is better, and the difference is real" in row
    assert row.endswith("| +0.0010 (-0.0020 to +0.0030) |")
    assert text.count("seglib run --data sets/skin") == 2
    assert "scored on the same 30 held-out images" in text
    assert "on skin, a step" in text
    assert "Not measured yet" not in text


def test_steps_that_were_not_run_yet_are_named_below_the_others(ladder, tmp_path):
    write_run(tmp_path / "seed", plus=0)
    text = ladder.describe_steps(ladder.FULL[:3], tmp_path, "sets/skin")
    assert [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| ")] == ["| step", "| seed"]
    assert "Not measured yet: augment, norm." in text


def test_steps_share_the_folds_of_the_first_and_what_is_finished_is_not_run_again(ladder, tmp_path, monkeypatch):
    seed, other = ladder.FULL[0], ladder.FULL[12]
    average = ladder.Step("average", "both", "seed", average=("seed", "other-seed"))
    write_run(tmp_path / "seed", plus=0)
    (tmp_path / "seed" / "folds.csv").write_text("the folds")
    ran = []
    monkeypatch.setattr(ladder.subprocess, "run", lambda command, **_: ran.append(command))
    ladder.run_steps([seed, dataclasses.replace(other, base="seed"), average], "data", tmp_path, jobs=2)
    assert [command[2:4] for command in ran] == [["seglib", "run"], ["seglib", "ensemble"]]
    assert (tmp_path / "other-seed" / "folds.csv").read_text() == "the folds"
    assert not (tmp_path / "average").exists()  # an ensemble makes its folder itself
