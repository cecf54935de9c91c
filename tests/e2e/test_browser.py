"""The report in a real browser: it opens without a word on the console, also on a phone and on paper."""

import json
import os
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from seglib.figures import plot_areas, save_figure
from seglib.runs.report import write_report
from seglib.scores.summaries import summarise_scores

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
QUIET += ["--disable-background-networking", "--disable-component-update", "--enable-logging=stderr"]


@pytest.fixture(scope="module", autouse=True)
def browser():
    if BROWSER is None and "CI" not in os.environ:
        pytest.skip("there is no Chromium here; install it to see the report tested")
    assert BROWSER, "Chromium is missing on the machine that tests what is landed"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    (run / "figures").mkdir()
    for number in range(3):
        save_figure(plot_areas([0.1, 0.3], [0.2]), run / "figures" / f"0{number + 3}_areas.png", "How large masks are.")
    overlap = np.linspace(1, 10, 20)
    scores = pd.DataFrame({"dice": overlap / 10, "iou": overlap / 20, "overlap": overlap})
    scores = scores.assign(sample_id=[f"{i:03d}" for i in range(20)], pred_area=10, target_area=10)
    (run / "summary.json").write_text(json.dumps(summarise_scores(scores)))
    name = "Train/Image/a_very_long_name_that_never_ends_and_has_no_place_to_break_at_all.jpg"
    row = {"severity": "warning", "file": name, "problem": "blank", "fact": "all pixels are 0", "cure": "remove it"}
    pd.DataFrame([row] * 5).to_csv(run / "problems.csv", index=False)
    command = "seglib run --data " + "x" * 200
    (run / "manifest.json").write_text(json.dumps({"preset": "quick", "data_dir": "/x/set", "command": command}))
    return write_report(run)


def browse(page, tmp_path, *options):
    """What the browser prints, and what its console says about the page."""
    command = [BROWSER, *QUIET, f"--user-data-dir={tmp_path / 'profile'}", *options, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, re.findall(r".*CONSOLE.*", done.stderr)


def test_the_headline_score_is_on_the_page_and_the_console_is_silent(page, tmp_path):
    document, console = browse(page, tmp_path, "--dump-dom")
    assert "images: <strong>0.550</strong> (95 % interval" in document  # the browser's own text, not our source
    assert document.count("<figure>") == 3
    assert console == []


def test_a_console_that_is_not_silent_is_heard(page, tmp_path):
    broken = tmp_path / "broken.html"
    broken.write_text(page.read_text().replace("</body>", "<script>nothing.here()</script></body>"))
    assert "ReferenceError" in browse(broken, tmp_path, "--dump-dom")[1][0]


def test_a_screenshot_shows_figures_and_text(page, tmp_path):
    picture = tmp_path / "page.png"
    browse(page, tmp_path, f"--screenshot={picture}", "--window-size=1000,1600")
    with Image.open(picture) as image:
        assert image.size == (1000, 1600)
        colours = image.convert("RGB").getcolors(1 << 24)
    blue = sum(count for count, (r, g, b) in colours if b > 150 and r < 60)
    assert blue > 200  # the curve of a figure
    assert 0.001 < sum(count for count, pixel in colours if max(pixel) < 80) / (1000 * 1600) < 0.2  # letters


def measure(page, tmp_path, *, width, what):
    """The numbers that expressions give in a window of this width."""
    measured = f"parent.postMessage([innerWidth, {', '.join(what)}].join(' '), '*')"
    inner, outer = tmp_path / "inner.html", tmp_path / "outer.html"
    inner.write_text(page.read_text().replace("</body>", f"<script>onload = () => {measured}</script></body>"))
    hear = "<script>onmessage = event => document.title = event.data</script>"  # a window cannot be this narrow
    outer.write_text(f'{hear}<iframe src="{inner.as_uri()}" width="{width}" height="700" style="border:0"></iframe>')
    document, _ = browse(outer, tmp_path, "--dump-dom", "--virtual-time-budget=5000")
    window, *numbers = (float(number) for number in re.search(r"<title>([\d. ]+)</title>", document)[1].split())
    assert window == width
    return numbers


def test_a_phone_need_not_scroll_sideways_but_for_figures(page, tmp_path):
    tables = "[...document.querySelectorAll('.wide')]"
    hidden = f"Math.max(...{tables}.map(table => table.scrollWidth - table.clientWidth))"
    what = ["document.documentElement.scrollWidth", hidden]
    what += ["document.querySelector('img').clientWidth", "document.querySelector('img').naturalWidth"]
    width, hidden, shown, own = measure(page, tmp_path, width=360, what=what)
    assert width <= 360
    assert hidden == 0
    assert shown == min(own, 640)  # letters stay large enough to read


def test_names_are_not_torn_on_a_desk(page, tmp_path):
    heads = "document.querySelector('.facts').querySelectorAll('th')"
    count, narrowest = measure(
        page, tmp_path, width=1100, what=[f"{heads}.length", f"Math.min(...[...{heads}].map(head => head.clientWidth))"]
    )
    assert count == 3
    assert narrowest >= 128  # 8 letters


def test_it_prints_on_paper(page, tmp_path):
    paper = tmp_path / "page.pdf"
    browse(page, tmp_path, f"--print-to-pdf={paper}", "--no-pdf-header-footer")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes())) <= 4
