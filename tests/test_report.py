import json
import re

import numpy as np
import pytest

from seglib.figures import plot_areas, save_figure
from seglib.report import write_report

SUMMARY = {"images": 7, "dice_mean": 0.9123, "dice_low": 0.9, "dice_high": 0.92, "dice_pooled": 0.95, "iou_mean": 0.85}
SUMMARY |= {"iou_low": 0.8, "iou_high": 0.9, "iou_pooled": 0.88, "temperature": 1.2, "best_epochs": [3, 5], "epochs": 5}


@pytest.fixture
def run(tmp_path):
    (tmp_path / "figures").mkdir()
    save_figure(plot_areas([0.1], [0.2]), tmp_path / "figures" / "05_areas.png", 'Areas <found> & "marked".')
    (tmp_path / "summary.json").write_text(json.dumps(SUMMARY))
    (tmp_path / "manifest.json").write_text(
        json.dumps({"preset": "quick", "data_dir": "/x/set", "versions": {"torch": "2"}})
    )
    return tmp_path


def test_the_page_shows_the_score_with_its_interval_and_definition(run):
    page = write_report(run).read_text()
    assert "<strong>0.912</strong> (95 % interval 0.900 to 0.920)" in page
    assert "Dice mean per image 0.9123 (95 % interval 0.9000 to 0.9200)" in page
    assert "Overlap over the mean area of prediction and reference, per image" in page
    assert "Dice pooled 0.9500" in page
    assert "temperature 1.2000" in page
    assert "best epoch 3, 5 of 5" in page


def test_the_page_needs_no_other_file_and_no_network(run):
    page = write_report(run).read_text()
    assert "http" not in re.sub(r"data:image/png;base64,[^\"]*", "", page)
    assert not re.search(r"(src|href)=\"(?!data:)", page)


def test_captions_are_alternative_texts_and_cannot_break_the_page(run):
    page = write_report(run).read_text()
    assert page.count("Areas &lt;found&gt; &amp; &quot;marked&quot;.") == 2
    assert "<found>" not in page


def test_a_partial_run_has_a_page_too(tmp_path):
    page = write_report(tmp_path).read_text()
    assert "No validation scores yet" in page
    assert np.all([tag in page for tag in ("<h2>Figures</h2>", "</html>")])
