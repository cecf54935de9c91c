"""A finished run -> one page that needs nothing else: no network, no other file, no script."""

import base64
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import pandas as pd
from PIL import Image

from seglib.paths import is_unfinished
from seglib.runs.findings import (
    UNFINISHED,
    describe_findings,
    describe_headline,
    describe_making,
    describe_title,
    read_table,
    tabulate_findings,
)
from seglib.writing import write_text

QUESTIONS = {
    "01": "What is there to learn from?",
    "02": "Does the network learn?",
    "03": "Has it learned enough, or too much?",
    "04": "How good are the masks, and where do they fail?",
    "05": "What do we hand in?",
}
ORDER = (  # of the figures: that of the notebooks
    *("01_duplicates", "01_samples", "01_data", "01_sizes", "01_orientation", "01_shapes", "01_mean_mask"),
    *("01_colours", "01_drift", "02_batch", "03_history", "03_runs", "04_rules", "04_scores", "04_calibration"),
    *("04_uncertainty", "04_causes", "04_cases", "04_look_first", "05_predictions", "05_areas", "05_unsure"),
)
LOOK_FIRST = "04_look_first"  # stands beside its table, near the top
SHOWN = 5  # rows of one kind of problem; the rest is in the file
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #1b1b1b; background: #fff }}
body {{ max-width: 60rem; margin: 0 auto; padding: 1rem }}
h1 {{ font-size: 1.6rem; line-height: 1.25; margin-bottom: 0; overflow-wrap: anywhere }}
h2 {{ font-size: 1.2rem; margin-top: 2.2rem; border-top: 1px solid #ddd; padding-top: .8rem; break-after: avoid }}
.headline {{ font-size: 1.25rem; margin: .5rem 0 1rem }}
.notice {{ border-left: .3rem solid #b35900; background: #fff4e5; padding: .5rem .8rem }}
nav a {{ margin-right: 1rem; display: inline-block }} a {{ color: #00558c }}
li {{ margin: .3rem 0 }}
figure {{ margin: 1.5rem 0; break-inside: avoid }} figure div, .wide {{ overflow-x: auto }}
img {{ max-width: 100%; height: auto }} figcaption {{ color: #444; font-size: .9rem }}
table {{ border-collapse: collapse; font-size: .9rem }}
th, td {{ text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #ddd; vertical-align: top }}
td {{ overflow-wrap: anywhere }} .rows td {{ overflow-wrap: normal }}
.rows td:first-child {{ min-width: 9rem }} .rest {{ color: #444 }}
.facts th {{ min-width: 8rem; overflow-wrap: break-word }}
.scores td {{ min-width: 4rem; font-variant-numeric: tabular-nums }} .scores td + td {{ min-width: 8.5rem }}
.scores th {{ min-width: 8rem }}
thead th {{ border-bottom: 2px solid #888 }} tr {{ break-inside: avoid }}
@media screen and (max-width: 40rem) {{
  table, tbody, tr, th, td {{ display: block; padding: 0 }} thead {{ display: none }}
  .facts th {{ border: 0; padding-top: .4rem }}
  .rows tr {{ border-bottom: 1px solid #ddd; padding: .4rem 0 }}
  .rows td {{ border: 0; overflow-wrap: break-word }}
  .rows td:empty {{ display: none }} .rows th {{ border: 0 }}
  .rows td[data-name]::before {{ content: attr(data-name) ": "; color: #666 }}
  img {{ max-width: none; width: min(var(--width), max(100%, 640px)) }}
}}
@media print {{ nav {{ display: none }} body {{ font-size: 11px; max-width: none; padding: 0 }} }}
</style></head><body>
<h1>{title}</h1>
<p class="headline">{headline}</p>
{notice}
<nav>{links}</nav>
<main>
{body}
</main>
</body></html>
"""


def write_report(output_dir: Path) -> Path:
    """Write ``report.html``: verdicts in words, scores, every figure with its caption, tables, how it was made.

    Everything is read from what the notebooks left in the folder: ``summary.json``, ``scores.csv``, ``verdict.json``,
    ``masks.json``, ``submission.csv``, ``problems.csv``, ``look_first.csv``, ``causes.csv``, ``figures/*.png``
    (with the captions inside them) and ``manifest.json``.

    Args:
        output_dir: the folder of the run; what a partial run lacks is left out.

    Returns:
        The page.
    """
    sections = {"In words": _list(describe_findings(output_dir))}
    figures = sorted((output_dir / "figures").glob("*.png"), key=_find_place)
    first = [_table(read_table(output_dir / "look_first.csv"))]
    first += [_figure(path) for path in figures if path.stem == LOOK_FIRST]
    sections["Look at these first"] = "\n".join(filter(None, first))
    sections["Scores"] = _score_table(tabulate_findings(output_dir))
    for number, question in QUESTIONS.items():
        paths = [path for path in figures if path.stem.startswith(f"{number}_") and path.stem != LOOK_FIRST]
        sections[question] = "\n".join(_figure(path) for path in paths)
    sections["Problems of the data"] = _problems(read_table(output_dir / "problems.csv"))
    sections["How this was made"] = _facts(describe_making(output_dir))
    shown = {title: content for title, content in sections.items() if content}
    names = {title: f"s{number}" for number, title in enumerate(shown)}
    page = PAGE.format(
        title=escape(describe_title(output_dir)),
        headline=describe_headline(output_dir, style="<strong>{:.3f}</strong>"),
        notice=f'<p class="notice">{UNFINISHED}</p>' if is_unfinished(output_dir) else "",
        links="\n".join(f'<a href="#{name}">{escape(title)}</a>' for title, name in names.items()),
        body="\n".join(_section(names[title], title, content) for title, content in shown.items()),
    )
    path = output_dir / "report.html"
    write_text(path, page)
    return path


def _find_place(path: Path) -> tuple[int, str]:
    """Where a figure stands; those that no notebook here draws come last."""
    return (ORDER.index(path.stem) if path.stem in ORDER else len(ORDER), path.stem)


def _section(name: str, title: str, content: str) -> str:
    return f'<section id="{name}"><h2>{escape(title)}</h2>\n{content}\n</section>'


def _list(sentences: Iterable[str]) -> str:
    items = "\n".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<ul>\n{items}\n</ul>" if items else ""


def _facts(rows: Sequence[tuple[str, str]]) -> str:
    """A table of names and what they mean; on a phone each name stands above its text."""
    lines = [f"<tr><th scope=row>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in rows]
    return '<table class="facts">\n' + "\n".join(lines) + "\n</table>" if rows else ""


def _problems(table: pd.DataFrame) -> str:
    """The first rows of each kind of problem, and how many more there are."""
    parts = []
    for (_, problem), rows in table.groupby(["severity", "problem"], sort=False) if len(table) else ():
        parts.append(_rows(rows.head(SHOWN)))
        if more := len(rows.iloc[SHOWN:]):
            rest = f"{escape(problem)}: {more} more in problems.csv"
            parts.append(f'<tr><td class="rest" colspan="{table.shape[1]}">{rest}</td></tr>')
    return _table(table, "\n".join(parts))


def _table(table: pd.DataFrame, rows: str = "") -> str:
    """A table with a head, which a phone shows row by row, each cell after its name; "" where it is empty."""
    if table.empty:
        return ""
    head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in table)
    body = f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows or _rows(table)}\n</tbody>"
    return f'<div class="wide"><table class="rows">\n{body}\n</table></div>'


def _score_table(table: pd.DataFrame) -> str:
    """Name, value, interval and meaning in cells of their own; on a phone the name stands above the others."""
    if table.empty:
        return ""
    head = "".join(f"<th>{escape(name)}</th>" for name in table)
    lines = []
    for row in table.itertuples(index=False):
        cells = zip(table.columns[1:], row[1:], strict=True)
        texts = "".join(f'<td data-name="{escape(name)}">{escape(text)}</td>' for name, text in cells)
        lines.append(f"<tr><th scope=row>{escape(row[0])}</th>{texts}</tr>")
    body = "\n".join(lines)
    return f'<table class="rows scores">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>'


def _rows(table: pd.DataFrame) -> str:
    names = [escape(name.replace("_", " ")) for name in table]
    rows = (zip(names, row, strict=True) for row in table.itertuples(index=False))
    cells = ("".join(f'<td data-name="{name}">{_breakable(text)}</td>' for name, text in row) for row in rows)
    return "\n".join(f"<tr>{row}</tr>" for row in cells)


def _breakable(text: str) -> str:
    """A line may end after a slash or an underscore of a name, and nowhere within its numbers."""
    return re.sub(r"([/_])(?=\w)", r"\1<wbr>", escape(text))


def _figure(path: Path) -> str:
    with Image.open(path) as image:
        caption = escape(image.info.get("Description", path.stem))
        width, size = image.width, f'width="{image.width}" height="{image.height}"'
    data = base64.b64encode(path.read_bytes()).decode()
    source = f"data:image/png;base64,{data}"
    picture = f'<img alt="{caption}" {size} style="--width: {width}px" src="{source}">'
    return f"<figure><div>{picture}</div><figcaption>{caption}</figcaption></figure>"
