import json
import re
from pathlib import Path

import pytest

from seglib.figures import plot_areas, save_figure
from seglib.paths import mark_unfinished
from seglib.runs.findings import UNFINISHED
from seglib.runs.report import ORDER, write_report

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


def test_what_was_found_cannot_break_the_page(run):
    worse = {"kind": "overfitting", "sentence": "It <over>fits.", "advice": "Stop."}
    (run / "verdict.json").write_text(json.dumps([worse]))
    assert "<li>Training: It &lt;over&gt;fits. Stop.</li>" in write_report(run).read_text()


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


def test_a_partial_run_has_a_page_too(tmp_path):
    page = write_report(tmp_path).read_text()
    assert "No validation scores yet" in page
    assert "<section" not in page
    assert "</html>" in page
