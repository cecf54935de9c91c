import json

import pandas as pd
import pytest

from seglib.paths import mark_unfinished
from seglib.runs.findings import (
    describe_findings,
    describe_headline,
    describe_making,
    describe_title,
    read_table,
    tabulate_findings,
)
from seglib.scores.causes import compare_causes

SUMMARY = {"images": 7, "dice_mean": 0.9123, "dice_low": 0.9, "dice_high": 0.92, "dice_pooled": 0.95, "iou_mean": 0.85}
SUMMARY |= {"iou_low": 0.8, "iou_high": 0.9, "iou_pooled": 0.88, "ece_before": 0.02, "ece_after": 0.01}
SUMMARY |= {"temperature": 1.2, "best_epochs": [3, 5], "epochs": 5}


@pytest.fixture
def run(tmp_path):
    """The folder of a run that has a summary."""
    summarise(tmp_path)
    return tmp_path


def summarise(folder, **changes):
    (folder / "summary.json").write_text(json.dumps(SUMMARY | changes))


def say(folder):
    """All that is said, a sentence a line."""
    return "".join(f"{sentence}\n" for sentence in describe_findings(folder))


def test_the_title_names_the_run_its_preset_and_its_data(run):
    assert describe_title(run) == f"{run.name}: preset ? on ?"
    (run / "manifest.json").write_text(json.dumps({"preset": "quick", "data_dir": "/x/set"}))
    assert describe_title(run) == f"{run.name}: preset quick on set"


def test_the_headline_is_a_sentence_without_tags(run):
    said = describe_headline(run)
    assert said == "Mean Dice per image on 7 held-out images: 0.912 (95 % interval 0.900 to 0.920)"
    summarise(run, images=1)
    assert describe_headline(run) == "Mean Dice per image on 1 held-out image: 0.912 (no interval of one image)"
    summarise(run, groups=1)
    assert "7 held-out images of 1 group: 0.912 (no interval, as they are one group)" in describe_headline(run)
    assert describe_headline(run / "none") == "No validation scores yet: run 04_evaluation."
    summarise(run)
    assert ": <b>0.91</b> (95 % interval 0.900" in describe_headline(run, style="<b>{:.2f}</b>")


def test_scores_calibration_and_the_best_epoch_are_rows_of_one_table(run):
    rows = tabulate_findings(run)
    assert [*rows["score"]] == [
        *("Dice mean per image", "IoU mean per image", "Dice pooled", "IoU pooled", "images"),
        *("temperature", "calibration error", "calibration error after scaling", "best epoch"),
    ]
    assert rows.loc["dice", ["value", "95 % interval"]].tolist() == ["0.9123", "0.9000 to 0.9200"]
    assert rows.loc["best_epochs", "value"] == "3, 5 of 5 trained"
    assert (rows["meaning"] != "").all()
    assert tabulate_findings(run / "none").empty


def test_it_is_said_how_many_epochs_were_planned_where_training_ended_early(run):
    summarise(run, planned_epochs=8)
    best = tabulate_findings(run).loc["best_epochs"]
    assert best["value"] == "3, 5 of 5 trained, 8 planned"
    assert "Training ends early where stop_patience" in best["meaning"]
    summarise(run, planned_epochs=5)
    best = tabulate_findings(run).loc["best_epochs"]
    assert "planned" not in best["value"]
    assert "early" not in best["meaning"]


def test_the_verdicts_are_said_in_words(run):
    fine = {"kind": "converged", "sentence": "Converged: 1.", "advice": "Nothing to do."}
    worse = {"kind": "overfitting", "sentence": "It overfits.", "advice": "Stop."}
    (run / "verdict.json").write_text(json.dumps([fine, worse, fine | {"sentence": "Converged: 2."}]))
    said = describe_findings(run)
    assert "Training of networks 1, 3 of 3: converged. Nothing to do." in said
    assert "Training of network 2 of 3: It overfits. Stop." in said
    (run / "verdict.json").write_text(json.dumps([fine]))
    assert "Training: Converged: 1. Nothing to do." in describe_findings(run)


def test_the_rules_are_said_in_words(run):
    rules = {"threshold": 0.45, "fill_holes": True, "smallest_area": 0.005, "largest_only": True}
    gain = {"difference": 0.00123, "low": -0.001, "high": 0.002}
    (run / "masks.json").write_text(json.dumps({"rules": rules, "gain": gain}))
    said = (
        "a threshold of 0.45, holes filled, parts below 0.5 % of the image removed, the largest part kept. Rules chosen"
    )
    assert said in say(run)
    assert "not chosen on by +0.0012 (95 % interval -0.0010 to +0.0020) against 0.5 alone" in say(run)
    (run / "masks.json").write_text(json.dumps({"rules": rules | {"smallest_core": 0.003}, "gain": gain}))
    assert "part kept, nothing where less than 0.3 % of the image is surely foreground. Rules" in say(run)
    for change, said in (("fill_holes", "0.45, parts below"), ("largest_only", "removed. Rules")):
        (run / "masks.json").write_text(json.dumps({"rules": rules | {change: False}, "gain": gain}))
        assert said in say(run)


def test_where_the_plain_threshold_is_kept_it_is_said_what_choosing_costs(run):
    plain, gain = {"threshold": 0.5}, {"difference": -0.115, "low": -0.4, "high": 0.03}
    facts = {"rules": plain, "fitted_rules": [plain, {"threshold": 0.3}], "gain": gain, "plain_dice": 0.6933}
    (run / "masks.json").write_text(json.dumps(facts))
    kept = "a threshold of 0.5, as on all held-out images nothing else is better by more than chance."
    assert f"From map to mask: {kept} On a part of them something else seemed better;" in say(run)
    assert "changes the mean Dice of the others by -0.1150 (95 % interval -0.4000 to +0.0300)" in say(run)
    assert "the headline counts that. At 0.5 alone it is 0.693." in say(run)
    assert "against 0.5 alone" not in say(run)
    (run / "masks.json").write_text(json.dumps(facts | {"fitted_rules": [plain]}))
    assert f"{kept}\n" in say(run)


@pytest.mark.parametrize(
    ("value", "word"), [(0.8, "too careful"), (1.05, "about as sure"), (1.2, "too sure of itself")]
)
def test_the_temperature_is_said_in_words(run, value, word):
    scores = {"temperature": value, "ece_before": 0.02, "ece_after": 0.011}
    summarise(run, **scores)
    assert f"over all pixels the network is {word}" in say(run)
    assert "2.0 percentage points apart on average, 1.1 after scaling.\n" in say(run)
    summarise(run, **scores, ece_before_band=0.3, ece_after_band=0.31)
    said = "Round the edge alone, which the figure shows, they are 30.0 percentage points apart on average, and scaling"
    assert f"{said} does not help (31.0 after it).\n" in say(run)


def test_a_network_that_is_as_often_too_sure_as_too_careful_is_not_called_right(run):
    summarise(run, temperature=1.02, ece_before=0.147)
    assert "over all pixels the network is as often too sure as too careful (temperature 1.02)" in say(run)
    assert "as it should be" not in say(run)


def test_what_goes_with_worse_masks_is_said(run):
    scores = {"dice": [0.5, 0.6] * 5 + [0.9, 0.91] * 10, "overlap": [5] * 30, "pred_area": [9] * 30}
    facts = {"pixels": [1000] * 30, "border_sides": [0] * 30, "contrast": [90.0] * 30, "dark_lines": [0.0] * 30}
    table = pd.DataFrame(scores | facts | {"target_area": [10] * 10 + [100] * 20, "dark_corners": [1] * 3 + [0] * 27})
    compare_causes(table).to_csv(run / "causes.csv", index=False)
    summarise(run, images=30)
    said = say(run)
    assert "Where masks differ: small (10 of 30 images): mean Dice 0.550, and 0.905 without it (-0.355," in said
    assert "Also looked at: dark corners (too few images to tell); nothing to find, large, at the border," in said
    compare_causes(table.assign(target_area=100)).to_csv(run / "causes.csv", index=False)
    said = say(run)
    assert "Where masks differ" not in said
    assert "Nothing was found that goes with better or worse masks; looked at: dark corners (too few" in said


@pytest.mark.parametrize(("count", "said"), [(0, "none of"), (1, "1 of"), (2, "2 of")])
def test_failures_are_counted_and_said_with_their_threshold(run, count, said):
    summarise(run, failures=count / 7)
    fail = "fail" if count == 2 else "fails"
    assert f"Masks: {said} the 7 held-out images {fail} (IoU below 0.65)." in describe_findings(run)


def test_it_is_said_how_sure_the_maps_are_and_how_good(run):
    summarise(run, expected_dice_mean=0.95)
    assert "The maps expect" not in say(run)
    (run / "scores.csv").write_text("sample_id,dice\na,0.7\nb,0.9\n")
    assert "The maps expect" not in say(run)
    (run / "scores.csv").write_text("sample_id,dice,expected_dice\na,0.7,0.92\nb,0.9,0.98\n")
    assert "expect a mean Dice of 0.950, and the true one is 0.800: too much.\n" in say(run)


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        (["1 2", "3 1"], "none of the 2 masks is"),
        (["", "3 1"], "1 of the 2 masks is"),
        (["", " "], "2 of the 2 masks are"),
    ],
)
def test_empty_masks_of_test_images_are_counted(run, runs, said):
    (run / "submission.csv").write_text("\n".join(["id,rle", *(f"{n},{text}" for n, text in enumerate(runs))]))
    assert f"Test images: {said} empty." in describe_findings(run)


def test_images_that_show_nothing_are_told_from_the_others(run):
    assert "show nothing" not in say(run)
    counts = {"empty_images": 4, "false_alarms": 1, "present_images": 3, "missed": 2}
    summarise(run, **counts, **{f"dice_present_{end}": 0.3 for end in ("mean", "low", "high")})
    assert "Of 4 images that show nothing 3 got an empty mask; of 3 that show" in say(run)
    assert tabulate_findings(run).loc[["false_alarms", "missed"], "value"].tolist() == ["1 of 4", "2 of 3"]


def test_problems_are_counted_by_how_bad_they_are(run):
    (run / "problems.csv").write_text("severity,file\nnote,a\nerror,b\nwarning,c\nnote,d\n")
    assert describe_findings(run)[0] == 'Data: 1 error, 1 warning, 2 notes; see "Problems of the data".'
    (run / "problems.csv").write_text("severity,file\n")
    assert describe_findings(run)[0] == "Data: no problems found."


def test_how_it_was_made_is_said_without_brackets(run):
    config = {"compile": False, "white": None, "image_size": 96}
    manifest = {"gpus": [], "config": config, "data_dir": "/x", "settings": {}, "finished": None}
    (run / "manifest.json").write_text(json.dumps(manifest))
    making = [("gpus", "none"), ("config", "compile false, white none, image_size 96"), ("data dir", "/x")]
    assert describe_making(run) == [*making, ("settings", "none"), ("finished", "no")]
    mark_unfinished(run, unfinished=True)
    assert describe_making(run)[-1] == ("finished", "no: training is not finished")
    (run / "manifest.json").write_text(json.dumps({"gpus": ["H1", "H2"]}))
    assert describe_making(run) == [("gpus", "H1, H2")]


def test_names_of_digits_and_empty_cells_of_a_table_stay_as_they_are(tmp_path):
    (tmp_path / "table.csv").write_text("sample_id,why\n007,\nNA,b\n")
    assert read_table(tmp_path / "table.csv").to_numpy().tolist() == [["007", ""], ["NA", "b"]]
    assert read_table(tmp_path / "none.csv").empty


def test_a_run_that_has_nothing_yet_says_nothing(tmp_path):
    assert describe_findings(tmp_path) == []
    assert describe_making(tmp_path) == []
