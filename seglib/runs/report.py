"""A finished run -> one page that needs nothing else: no network, no other file, no script."""

import base64
import io
import json
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from seglib.paths import is_unfinished, write_text
from seglib.prediction.rules import MaskRules, describe_steps
from seglib.prediction.uncertainty import describe_uncertainty
from seglib.scores import calibration
from seglib.scores.failures import describe_causes
from seglib.scores.summaries import FAILURE_IOU, describe_presence, tabulate_scores

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
FAR = 0.05  # distance of stated and true probability from which on a network is not "as sure as it should be"
UNFINISHED = "Training is not finished, as max_hours left no time for it; run the same again to go on."
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
    summary, manifest = _read(output_dir / "summary.json"), _read(output_dir / "manifest.json")
    unfinished = is_unfinished(output_dir)
    sections = {"In words": _list(_sentences(output_dir, summary))}
    figures = sorted((output_dir / "figures").glob("*.png"), key=_find_place)
    first = [_table(_table_of(output_dir / "look_first.csv"))]
    first += [_figure(path) for path in figures if path.stem == LOOK_FIRST]
    sections["Look at these first"] = "\n".join(filter(None, first))
    sections["Scores"] = _score_table(_tabulate(summary))
    for number, question in QUESTIONS.items():
        paths = [path for path in figures if path.stem.startswith(f"{number}_") and path.stem != LOOK_FIRST]
        sections[question] = "\n".join(_figure(path) for path in paths)
    sections["Problems of the data"] = _problems(_table_of(output_dir / "problems.csv"))
    sections["How this was made"] = _facts(_manifest_rows(manifest, unfinished=unfinished))
    shown = {title: content for title, content in sections.items() if content}
    names = {title: f"s{number}" for number, title in enumerate(shown)}
    page = PAGE.format(
        title=escape(_title(output_dir, manifest)),
        headline=_headline(summary, "<strong>{:.3f}</strong>"),
        notice=f'<p class="notice">{UNFINISHED}</p>' if unfinished else "",
        links="\n".join(f'<a href="#{name}">{escape(title)}</a>' for title, name in names.items()),
        body="\n".join(_section(names[title], title, content) for title, content in shown.items()),
    )
    path = output_dir / "report.html"
    write_text(path, page)
    return path


def _find_place(path: Path) -> tuple[int, str]:
    """Where a figure stands; those that no notebook here draws come last."""
    return (ORDER.index(path.stem) if path.stem in ORDER else len(ORDER), path.stem)


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _title(output_dir: Path, manifest: dict[str, Any]) -> str:
    data = Path(manifest.get("data_dir", "")).name
    return f"{output_dir.name}: preset {manifest.get('preset', '?')} on {data or '?'}"


def describe_headline(output_dir: Path) -> str:
    """The mean Dice of a run with its interval, in a sentence; it says so where there is none yet."""
    return _headline(_read(output_dir / "summary.json"), "{:.3f}")


def _headline(summary: dict[str, Any], style: str) -> str:
    if not summary:
        return "No validation scores yet: run 04_evaluation."
    images, groups = summary["images"], summary.get("groups", summary["images"])
    of = f" of {groups} group{'s' if groups > 1 else ''}" if "groups" in summary else ""
    ends = f"95 % interval {summary['dice_low']:.3f} to {summary['dice_high']:.3f}"
    if groups == 1:
        ends = "no interval, as they are one group" if images > 1 else "no interval of one image"
    return (
        f"Mean Dice per image on {images} held-out image{'s' if images > 1 else ''}{of}: "
        f"{style.format(summary['dice_mean'])} ({ends})"
    )


def _sentences(output_dir: Path, summary: dict[str, Any]) -> list[str]:
    """What the run says in words, from the data to the masks."""
    said = [_say_problems(output_dir / "problems.csv")]
    said += _say_verdicts(_read(output_dir / "verdict.json") or [])
    said += [_say_failures(summary), _say_presence(summary), *_say_causes(output_dir / "causes.csv", summary)]
    said += [_say_rules(_read(output_dir / "masks.json"))]
    said += [_say_calibration(summary), *_say_uncertainty(output_dir / "scores.csv", summary)]
    said += [_say_submission(_table_of(output_dir / "submission.csv"))]
    return [sentence for sentence in said if sentence]


def _say_problems(path: Path) -> str:
    if not path.exists():
        return ""
    counts = _table_of(path)["severity"].value_counts()
    if counts.empty:
        return "Data: no problems found."
    words = [
        f"{counts[kind]} {kind}{'s' if counts[kind] > 1 else ''}"
        for kind in ("error", "warning", "note")
        if kind in counts
    ]
    return f'Data: {", ".join(words)}; see "Problems of the data".'


def _say_verdicts(verdicts: Sequence[dict[str, Any]]) -> list[str]:
    """One line for each kind of verdict; the networks of several folds mostly share one."""
    kinds: dict[str, list[int]] = {}
    for number, verdict in enumerate(verdicts, start=1):
        kinds.setdefault(verdict["kind"], []).append(number)
    lines = []
    for kind, numbers in kinds.items():
        first, count = verdicts[numbers[0] - 1], len(verdicts)
        several = f" of network{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))} of {count}"
        who = f"Training{several if count > 1 else ''}"
        lines.append(f"{who}: {first['sentence'] if len(numbers) == 1 else f'{kind}.'} {first['advice']}")
    return lines


def _say_failures(summary: dict[str, Any]) -> str:
    if "failures" not in summary:
        return ""
    count = round(summary["failures"] * summary["images"])
    fail = "fails" if count < 2 else "fail"
    return f"Masks: {count or 'none'} of the {summary['images']} held-out images {fail} (IoU below {FAILURE_IOU:g})."


def _say_presence(summary: dict[str, Any]) -> str:
    return describe_presence(summary) if "empty_images" in summary else ""


def _say_causes(path: Path, summary: dict[str, Any]) -> list[str]:
    return describe_causes(pd.read_csv(path), summary["images"]) if "images" in summary and path.exists() else []


def _say_rules(facts: dict[str, Any]) -> str:
    """The headline is of rules chosen on a part of the images, so where they differ from the plain ones it says so."""
    if not facts:
        return ""
    rules, gain, plain = MaskRules(**facts["rules"]), facts["gain"], MaskRules()
    how = f"From map to mask: {describe_steps(rules)}"
    change = f"{gain['difference']:+.4f} (95 % interval {gain['low']:+.4f} to {gain['high']:+.4f})"
    if rules != plain:
        return (
            f"{how}. Rules chosen so change the mean Dice of images that they were not chosen on by {change} against "
            "0.5 alone."
        )
    how += ", as on all held-out images nothing else is better by more than chance."
    if all(MaskRules(**fitted) == plain for fitted in facts["fitted_rules"]):
        return how
    return (
        f"{how} On a part of them something else seemed better; choosing so changes the mean Dice of the others by "
        f"{change}, and the headline counts that. At 0.5 alone it is {facts['plain_dice']:.3f}."
    )


def _say_calibration(summary: dict[str, Any]) -> str:
    if "temperature" not in summary:
        return ""
    value = summary["temperature"]
    even = "as often too sure as too careful" if summary["ece_before"] > FAR else "about as sure as it should be"
    word = even if 0.9 <= value <= 1.1 else "too sure of itself" if value > 1 else "too careful"
    said = f"Probabilities: over all pixels the network is {word} (temperature {value:.2f})"
    said += f"; stated and true probability are {_say_distance(summary, '')}."
    if "ece_before_band" in summary:
        said += f" Round the edge alone, which the figure shows, they are {_say_distance(summary, '_band')}."
    return said


def _say_distance(summary: dict[str, Any], where: str) -> str:
    before, after = (100 * summary[f"{name}{where}"] for name in ("ece_before", "ece_after"))
    then = f", {after:.1f} after scaling" if after < before else f", and scaling does not help ({after:.1f} after it)"
    return f"{before:.1f} percentage points apart on average{then}"


def _say_uncertainty(path: Path, summary: dict[str, Any]) -> list[str]:
    scores = pd.read_csv(path) if "expected_dice_mean" in summary and path.exists() else pd.DataFrame()
    return describe_uncertainty(scores, summary) if "expected_dice" in scores else []


def _say_submission(rows: pd.DataFrame) -> str:
    """How many masks hold nothing; the second column has the run lengths."""
    if rows.empty:
        return ""
    empty = (rows.iloc[:, 1].str.strip() == "").sum()
    return f"Test images: {empty or 'none'} of the {len(rows)} masks {'is' if empty < 2 else 'are'} empty."


def _tabulate(summary: dict[str, Any]) -> pd.DataFrame:
    """Each number with its interval and its definition beside it."""
    if not summary:
        return pd.DataFrame()
    table = pd.concat([tabulate_scores(summary), calibration.tabulate_calibration(summary)])
    if "best_epochs" in summary:
        best = f"{', '.join(map(str, summary['best_epochs']))} of {summary['epochs']} trained"
        meaning = "The epoch whose weights were kept, of each network."
        if summary.get("planned_epochs", 0) > summary["epochs"]:
            best += f", {summary['planned_epochs']} planned"
            meaning += (
                " Training ends early where stop_patience epochs bring nothing better, or max_hours leave no time."
            )
        table.loc["best_epochs"] = ["best epoch", best, "", meaning]
    return table


def _manifest_rows(manifest: dict[str, Any], *, unfinished: bool) -> list[tuple[str, str]]:
    rows = {name.replace("_", " "): _say_value(value) for name, value in manifest.items()}
    if "finished" in manifest and manifest["finished"] is None:
        rows["finished"] = "no: training is not finished" if unfinished else "no"
    return list(rows.items())


def _say_value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_say_value(item)}" for name, item in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(_say_value, value)) or "none"
    if isinstance(value, bool):  # as --set takes it
        return str(value).lower()
    return "none" if value is None else str(value)


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


def _table_of(path: Path) -> pd.DataFrame:
    """A table that a notebook left, all of it text; without rows where there is none."""
    if not path.exists():
        return pd.DataFrame()
    return pd.read_csv(io.StringIO(path.read_text(encoding="utf-8")), dtype=str, keep_default_na=False)


def _figure(path: Path) -> str:
    with Image.open(path) as image:
        caption = escape(image.info.get("Description", path.stem))
        width, size = image.width, f'width="{image.width}" height="{image.height}"'
    data = base64.b64encode(path.read_bytes()).decode()
    source = f"data:image/png;base64,{data}"
    picture = f'<img alt="{caption}" {size} style="--width: {width}px" src="{source}">'
    return f"<figure><div>{picture}</div><figcaption>{caption}</figcaption></figure>"
