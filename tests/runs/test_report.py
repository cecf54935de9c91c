import json
import re
from pathlib import Path

import pandas as pd
import pytest

from seglib.figures import plot_areas, save_figure
from seglib.paths import mark_unfinished
from seglib.runs.report import ORDER, UNFINISHED, describe_headline, write_report
from seglib.scores.failures import compare_causes

SUMMARY = {"images": 7, "dice_mean": 0.9123, "dice_low": 0.9, "dice_high": 0.92, "dice_pooled": 0.95, "iou_mean": 0.85}
SUMMARY |= {
    "ece_before": 0.02,
    "ece_after": 0.01,
    "iou_low": 0.8,
    "iou_high": 0.9,
    "iou_pooled": 0.88,
    "temperature": 1.2,
    "best_epochs": [3, 5],
    "epochs": 5,
}


@pytest.fixture
def run(tmp_path):
    (tmp_path / "figures").mkdir()
    save_figure(plot_areas([0.1], [0.2]), tmp_path / "figures" / "05_areas.png", 'Areas <found> & "marked".')
    (tmp_path / "summary.json").write_text(json.dumps(SUMMARY))
    manifest = {"preset": "quick", "data_dir": "/x/set", "versions": {"torch": "2"}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


def _show_value(score, value):
    """The row of a score without an interval."""
    return f'<th scope=row>{score}</th><td data-name="value">{value}</td><td data-name="95 % interval"></td>'


def test_the_page_shows_the_score_with_its_interval_and_definition(run):
    page = write_report(run).read_text()
    assert "<strong>0.912</strong> (95 % interval 0.900 to 0.920)" in page
    cells = '<td data-name="value">0.9123</td><td data-name="95 % interval">0.9000 to 0.9200</td>'
    assert f"<tr><th scope=row>Dice mean per image</th>{cells}" in page
    assert '<td data-name="meaning">Overlap over the mean area of prediction and reference, per image' in page
    assert _show_value("Dice pooled", "0.9500") in page
    assert _show_value("temperature", "1.2000") in page
    assert _show_value("calibration error after scaling", "0.0100") in page
    assert _show_value("best epoch", "3, 5 of 5 trained") in page
    assert "held-out images: <strong>" in page
    assert "groups" not in page.replace("Groups are images", "")


def test_the_page_says_how_many_groups_the_images_are_of(run):
    (run / "summary.json").write_text(json.dumps(SUMMARY | {"groups": 7}))
    page = write_report(run).read_text()
    assert f"on {SUMMARY['images']} held-out images of 7 groups: <strong>" in page
    assert page.count("7 groups") == 2


def test_the_headline_is_a_sentence_without_tags(run, tmp_path):
    said = describe_headline(run)
    assert said == "Mean Dice per image on 7 held-out images: 0.912 (95 % interval 0.900 to 0.920)"
    (run / "summary.json").write_text(json.dumps(SUMMARY | {"images": 1}))
    assert describe_headline(run) == "Mean Dice per image on 1 held-out image: 0.912 (no interval of one image)"
    (run / "summary.json").write_text(json.dumps(SUMMARY | {"groups": 1}))
    assert "7 held-out images of 1 group: 0.912 (no interval, as they are one group)" in describe_headline(run)
    assert describe_headline(tmp_path / "none") == "No validation scores yet: run 04_evaluation."


def test_the_page_needs_no_other_file_no_network_and_no_script(run):
    page = write_report(run).read_text()
    assert "http" not in re.sub(r"data:image/png;base64,[^\"]*", "", page)
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
    assert "<script" not in page


def test_every_link_leads_to_a_section_and_empty_ones_are_left_out(run):
    page = write_report(run).read_text()
    targets = re.findall(r'href="#(\w+)"', page)
    assert targets == re.findall(r'<section id="(\w+)"', page)
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    assert titles == ["In words", "Scores", "What do we hand in?", "How this was made"]


def test_the_verdicts_are_said_in_words(run):
    fine = {"kind": "converged", "sentence": "Converged: 1.", "advice": "Nothing to do."}
    worse = {"kind": "overfitting", "sentence": "It <over>fits.", "advice": "Stop."}
    (run / "verdict.json").write_text(json.dumps([fine, worse, fine | {"sentence": "Converged: 2."}]))
    page = write_report(run).read_text()
    assert "<li>Training of networks 1, 3 of 3: converged. Nothing to do.</li>" in page
    assert "<li>Training of network 2 of 3: It &lt;over&gt;fits. Stop.</li>" in page
    (run / "verdict.json").write_text(json.dumps([fine]))
    assert "<li>Training: Converged: 1. Nothing to do.</li>" in write_report(run).read_text()


def test_the_rules_are_said_in_words(run):
    rules = {"threshold": 0.45, "fill_holes": True, "smallest_area": 0.005, "largest_only": True}
    gain = {"difference": 0.00123, "low": -0.001, "high": 0.002}
    (run / "masks.json").write_text(json.dumps({"rules": rules, "gain": gain}))
    page = write_report(run).read_text()
    said = (
        "a threshold of 0.45, holes filled, parts below 0.5 % of the image removed, the largest part kept. Rules chosen"
    )
    assert said in page
    assert "not chosen on by +0.0012 (95 % interval -0.0010 to +0.0020) against 0.5 alone" in page
    (run / "masks.json").write_text(json.dumps({"rules": rules | {"smallest_core": 0.003}, "gain": gain}))
    said = "part kept, nothing where less than 0.3 % of the image is surely foreground. Rules"
    assert said in write_report(run).read_text()
    for change, said in (("fill_holes", "0.45, parts below"), ("largest_only", "removed. Rules")):
        (run / "masks.json").write_text(json.dumps({"rules": rules | {change: False}, "gain": gain}))
        assert said in write_report(run).read_text()


def test_where_the_plain_threshold_is_kept_it_is_said_what_choosing_costs(run):
    plain, gain = {"threshold": 0.5}, {"difference": -0.115, "low": -0.4, "high": 0.03}
    facts = {"rules": plain, "fitted_rules": [plain, {"threshold": 0.3}], "gain": gain, "plain_dice": 0.6933}
    (run / "masks.json").write_text(json.dumps(facts))
    page = write_report(run).read_text()
    kept = "a threshold of 0.5, as on all held-out images nothing else is better by more than chance."
    assert f"From map to mask: {kept} On a part of them something else seemed better;" in page
    assert "changes the mean Dice of the others by -0.1150 (95 % interval -0.4000 to +0.0300)" in page
    assert "the headline counts that. At 0.5 alone it is 0.693." in page
    assert "against 0.5 alone" not in page
    (run / "masks.json").write_text(json.dumps(facts | {"fitted_rules": [plain]}))
    assert f"{kept}</li>" in write_report(run).read_text()


@pytest.mark.parametrize(
    ("value", "word"), [(0.8, "too careful"), (1.05, "about as sure"), (1.2, "too sure of itself")]
)
def test_the_temperature_is_said_in_words(run, value, word):
    scores = SUMMARY | {"temperature": value, "ece_before": 0.02, "ece_after": 0.011}
    (run / "summary.json").write_text(json.dumps(scores))
    page = write_report(run).read_text()
    assert f"over all pixels the network is {word}" in page
    assert "2.0 percentage points apart on average, 1.1 after scaling.</li>" in page
    (run / "summary.json").write_text(json.dumps(scores | {"ece_before_band": 0.3, "ece_after_band": 0.31}))
    said = "Round the edge alone, which the figure shows, they are 30.0 percentage points apart on average, and scaling"
    assert f"{said} does not help (31.0 after it).</li>" in write_report(run).read_text()


def test_a_network_that_is_as_often_too_sure_as_too_careful_is_not_called_right(run):
    (run / "summary.json").write_text(json.dumps(SUMMARY | {"temperature": 1.02, "ece_before": 0.147}))
    page = write_report(run).read_text()
    assert "over all pixels the network is as often too sure as too careful (temperature 1.02)" in page
    assert "as it should be" not in page


def test_it_is_said_how_many_epochs_were_planned_where_training_ended_early(run):
    (run / "summary.json").write_text(json.dumps(SUMMARY | {"planned_epochs": 8}))
    assert _show_value("best epoch", "3, 5 of 5 trained, 8 planned") in write_report(run).read_text()
    (run / "summary.json").write_text(json.dumps(SUMMARY | {"planned_epochs": 5}))
    assert "planned" not in write_report(run).read_text()


def test_what_goes_with_worse_masks_is_said(run):
    scores = {"dice": [0.5, 0.6] * 5 + [0.9, 0.91] * 10, "overlap": [5] * 30, "pred_area": [9] * 30}
    facts = {"pixels": [1000] * 30, "border_sides": [0] * 30, "contrast": [90.0] * 30, "dark_lines": [0.0] * 30}
    table = pd.DataFrame(scores | facts | {"target_area": [10] * 10 + [100] * 20, "dark_corners": [1] * 3 + [0] * 27})
    compare_causes(table).to_csv(run / "causes.csv", index=False)
    (run / "summary.json").write_text(json.dumps(SUMMARY | {"images": 30}))
    page = write_report(run).read_text()
    assert "<li>Where masks differ: small (10 of 30 images): mean Dice 0.550, and 0.905 without it (-0.355," in page
    assert (
        "<li>Also looked at: nothing to find, large, at the border, low contrast, dark lines: no image has it;" in page
    )
    assert "dark corners: too few images to tell.</li>" in page
    compare_causes(table.assign(target_area=100)).to_csv(run / "causes.csv", index=False)
    page = write_report(run).read_text()
    assert "Where masks differ" not in page
    assert "<li>What may make an image hard: nothing to find, small," in page


def test_figures_stand_in_the_order_of_the_notebooks_and_the_first_to_look_at_beside_their_table(run):
    names = ["01_colours", "01_samples", "04_cases", "04_look_first", "04_rules", "05_other"]
    for name in names:
        save_figure(plot_areas([0.1], [0.2]), run / "figures" / f"{name}.png", name)
    found = re.findall(r"<figcaption>(\w+)</figcaption>", write_report(run).read_text())
    assert found == ["04_look_first", "01_samples", "01_colours", "04_rules", "04_cases", "05_other"]


def test_the_order_names_every_figure_that_a_notebook_saves():
    drawn = []
    for path in sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb")):
        drawn += re.findall(r'\\"(0\d_\w+)\.png\\"', path.read_text(encoding="utf-8"))
    assert list(ORDER) == drawn


@pytest.mark.parametrize(("count", "said"), [(0, "none of"), (1, "1 of"), (2, "2 of")])
def test_failures_are_counted_and_said_with_their_threshold(run, count, said):
    (run / "summary.json").write_text(json.dumps(SUMMARY | {"failures": count / 7}))
    fail = "fail" if count == 2 else "fails"
    assert f"Masks: {said} the 7 held-out images {fail} (IoU below 0.65)." in write_report(run).read_text()


def test_it_is_said_how_sure_the_maps_are_and_how_good(run):
    expected = {"expected_dice_mean": 0.95}
    (run / "summary.json").write_text(json.dumps(SUMMARY | expected))
    assert "The maps expect" not in write_report(run).read_text()
    (run / "scores.csv").write_text("sample_id,dice\na,0.7\nb,0.9\n")
    assert "The maps expect" not in write_report(run).read_text()
    (run / "scores.csv").write_text("sample_id,dice,expected_dice\na,0.7,0.92\nb,0.9,0.98\n")
    assert "expect a mean Dice of 0.950, and the true one is 0.800: too much.</li>" in write_report(run).read_text()


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
    assert f"<li>Test images: {said} empty.</li>" in write_report(run).read_text()


def test_images_that_show_nothing_are_told_from_the_others(run):
    assert "show nothing" not in write_report(run).read_text()
    counts = {"empty_images": 4, "false_alarms": 1, "present_images": 3, "missed": 2}
    counts |= {f"dice_present_{end}": 0.3 for end in ("mean", "low", "high")}
    (run / "summary.json").write_text(json.dumps(SUMMARY | counts))
    page = write_report(run).read_text()
    assert "<li>Of 4 images that show nothing 3 got an empty mask; of 3 that show" in page
    assert _show_value("false alarms", "1 of 4") in page


def test_problems_are_counted_and_the_first_of_each_kind_are_listed(run):
    rows = [
        f"{kind},Train/Image/{n}_1.jpg,{'blank' if n % 2 else 'odd'},<b>,look"
        for n, kind in enumerate(["error"] + ["warning"] * 2 + ["note"] * 43)
    ]
    (run / "problems.csv").write_text("\n".join(["severity,file,problem,fact,cure", *rows]))
    page = write_report(run).read_text()
    assert "Data: 1 error, 2 warnings, 43 notes; see &quot;Problems of the data&quot;." in page
    assert page.count("Train/<wbr>Image/") == 1 + 2 + 2 * 5
    assert '<td class="rest" colspan="5">blank: 17 more in problems.csv</td>' in page
    assert '<td class="rest" colspan="5">odd: 16 more in problems.csv</td>' in page
    assert '<td data-name="fact">&lt;b&gt;</td>' in page
    (run / "problems.csv").write_text("severity,file,problem,fact,cure\n")
    page = write_report(run).read_text()
    assert "Data: no problems found." in page
    assert "Problems of the data" not in page


def test_the_images_to_look_at_first_are_listed(run):
    (run / "look_first.csv").write_text("sample_id,dice\n007,0.1\n")
    page = write_report(run).read_text()
    cell = '<td data-name="sample id">007</td>'
    assert page.index("Look at these first") < page.index(cell) < page.index("<h2>Scores</h2>")


def test_captions_are_alternative_texts_and_cannot_break_the_page(run):
    page = write_report(run).read_text()
    assert page.count("Areas &lt;found&gt; &amp; &quot;marked&quot;.") == 2
    assert "<found>" not in page


@pytest.mark.parametrize("place", [".", "fold_1"])
def test_under_the_headline_it_is_said_that_training_is_not_finished(run, place):
    assert "not finished" not in write_report(run).read_text()
    (run / place).mkdir(exist_ok=True)
    mark_unfinished(run / place, unfinished=True)
    (run / "manifest.json").write_text(json.dumps({"finished": None}))
    page = write_report(run).read_text()
    assert re.search(r'<p class="headline">.*</p>\n<p class="notice">(.*)</p>\n<nav>', page)[1] == UNFINISHED
    assert "<th scope=row>finished</th><td>no: training is not finished</td>" in page


def test_how_it_was_made_is_said_without_brackets(run):
    config = {"compile": False, "white": None, "image_size": 96}
    (run / "manifest.json").write_text(json.dumps({"gpus": [], "config": config, "settings": {}, "finished": None}))
    page = write_report(run).read_text()
    for name, text in (
        ("gpus", "none"),
        ("config", "compile false, white none, image_size 96"),
        ("settings", "none"),
        ("finished", "no"),
    ):
        assert f"<th scope=row>{name}</th><td>{text}</td>" in page
    (run / "manifest.json").write_text(json.dumps({"gpus": ["H1", "H2"]}))
    assert "<th scope=row>gpus</th><td>H1, H2</td>" in write_report(run).read_text()


def test_a_partial_run_has_a_page_too(tmp_path):
    page = write_report(tmp_path).read_text()
    assert "No validation scores yet" in page
    assert "<section" not in page
    assert "</html>" in page
