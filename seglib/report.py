"""A finished run -> one page that needs nothing else: no network, no other file, no script."""

import base64
import io
import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from seglib.calibration import DEFINITIONS as CALIBRATION
from seglib.paths import is_unfinished, write_text
from seglib.summaries import DEFINITIONS, FAILURE_IOU, describe_presence, describe_scores

QUESTIONS = {
    "01": "What is there to learn from?",
    "02": "Does the network learn?",
    "03": "Has it learned enough, or too much?",
    "04": "How good are the masks, and where do they fail?",
    "05": "What do we hand in?",
}
UNFINISHED = "Training is not finished, as max_hours left no time for it; run the same again to go on."
LONGEST = 40  # rows of a table; the rest is in its file
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #1b1b1b; background: #fff }}
body {{ max-width: 60rem; margin: 0 auto; padding: 1rem }}
h1 {{ font-size: 1.6rem; line-height: 1.25; margin-bottom: 0; overflow-wrap: anywhere }}
h2 {{ font-size: 1.2rem; margin-top: 2.2rem; border-top: 1px solid #ddd; padding-top: .8rem; break-after: avoid }}
.headline {{ font-size: 1.25rem; margin: .5rem 0 1rem }}
nav a {{ margin-right: 1rem; display: inline-block }} a {{ color: #00558c }}
li {{ margin: .3rem 0 }}
figure {{ margin: 1.5rem 0; break-inside: avoid }} img {{ max-width: 100%; height: auto }}
figcaption {{ color: #444; font-size: .9rem }}
.wide {{ overflow-x: auto }} .wide td {{ min-width: 8rem }} table {{ border-collapse: collapse; font-size: .9rem }}
th, td {{ text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #ddd; vertical-align: top }}
.facts th, td {{ overflow-wrap: anywhere }} thead th {{ border-bottom: 2px solid #888 }} tr {{ break-inside: avoid }}
@media (max-width: 40rem) {{ .facts, .facts tbody, .facts tr, .facts th, .facts td {{ display: block; padding: 0 }} }}
@media (max-width: 40rem) {{ .facts th {{ border: 0; padding-top: .4rem }} }}
@media print {{ nav {{ display: none }} body {{ font-size: 11px; max-width: none; padding: 0 }} }}
</style></head><body>
<h1>{title}</h1>
<p class="headline">{headline}</p>
<nav>{links}</nav>
<main>
{body}
</main>
</body></html>
"""


def write_report(output_dir: Path) -> Path:
    """Write ``report.html``: verdicts in words, scores, every figure with its caption, tables, how it was made.

    Everything is read from what the notebooks left in the folder: ``summary.json``, ``verdict.json``, ``masks.json``,
    ``problems.csv``, ``look_first.csv``, ``figures/*.png`` (with the captions inside them) and ``manifest.json``.

    Args:
        output_dir: the folder of the run; what a partial run lacks is left out.

    Returns:
        The page.
    """
    summary, manifest = _read(output_dir / "summary.json"), _read(output_dir / "manifest.json")
    sections = {"In words": _list(_sentences(output_dir, summary))}
    sections["Look at these first"] = _csv_table(output_dir / "look_first.csv")
    sections["Scores"] = _facts(_score_rows(summary))
    for number, question in QUESTIONS.items():
        paths = sorted((output_dir / "figures").glob(f"{number}_*.png"))
        sections[question] = "\n".join(_figure(path) for path in paths)
    sections["Problems of the data"] = _csv_table(output_dir / "problems.csv")
    sections["How this was made"] = _facts(_manifest_rows(manifest))
    shown = {title: content for title, content in sections.items() if content}
    names = {title: f"s{number}" for number, title in enumerate(shown)}
    page = PAGE.format(
        title=escape(_title(output_dir, manifest)),
        headline=_headline(summary),
        links="\n".join(f'<a href="#{name}">{escape(title)}</a>' for title, name in names.items()),
        body="\n".join(_section(names[title], title, content) for title, content in shown.items()),
    )
    path = output_dir / "report.html"
    write_text(path, page)
    return path


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _title(output_dir: Path, manifest: dict[str, Any]) -> str:
    data = Path(manifest.get("data_dir", "")).name
    return f"{output_dir.name}: preset {manifest.get('preset', '?')} on {data or '?'}"


def _headline(summary: dict[str, Any]) -> str:
    if not summary:
        return "No validation scores yet: run 04_evaluation."
    of = f" of {summary['groups']} groups" if "groups" in summary else ""
    return (
        f"Mean Dice per image on {summary['images']} held-out images{of}: <strong>{summary['dice_mean']:.3f}</strong> "
        f"(95 % interval {summary['dice_low']:.3f} to {summary['dice_high']:.3f})"
    )


def _sentences(output_dir: Path, summary: dict[str, Any]) -> list[str]:
    """What the run says in words, from the data to the masks."""
    said = [UNFINISHED] if is_unfinished(output_dir) else []
    said += [_say_problems(output_dir / "problems.csv")]
    said += _say_verdicts(_read(output_dir / "verdict.json") or [])
    said += [_say_failures(summary), _say_presence(summary), _say_rules(_read(output_dir / "masks.json"))]
    said += [_say_calibration(summary)]
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
    return f"Data: {', '.join(words)}; the table is below."


def _say_verdicts(verdicts: Sequence[dict[str, Any]]) -> list[str]:
    """One line for each kind of verdict; the networks of several folds mostly share one."""
    kinds: dict[str, list[int]] = {}
    for number, verdict in enumerate(verdicts):
        kinds.setdefault(verdict["kind"], []).append(number)
    lines = []
    for kind, numbers in kinds.items():
        first, count = verdicts[numbers[0]], len(verdicts)
        who = "Training" if count == 1 else f"Training of network {', '.join(map(str, numbers))} of 0 to {count - 1}"
        lines.append(f"{who}: {first['sentence'] if len(numbers) == 1 else f'{kind}.'} {first['advice']}")
    return lines


def _say_failures(summary: dict[str, Any]) -> str:
    if "failures" not in summary:
        return ""
    return f"Masks: {100 * summary['failures']:.1f} % of the held-out images fail (IoU below {FAILURE_IOU:g})."


def _say_presence(summary: dict[str, Any]) -> str:
    return describe_presence(summary) if "empty_images" in summary else ""


def _say_rules(facts: dict[str, Any]) -> str:
    if not facts:
        return ""
    rules, gain = facts["rules"], facts["gain"]
    steps = [f"a threshold of {rules['threshold']:g}"]
    steps += ["holes filled"] if rules["fill_holes"] else []
    steps += [f"parts below {100 * rules['smallest_area']:g} % of the image removed"] if rules["smallest_area"] else []
    steps += ["the largest part kept"] if rules["largest_only"] else []
    if core := rules.get("smallest_core"):
        steps += [f"nothing where less than {100 * core:g} % of the image is surely foreground"]
    return (
        f"From map to mask: {', '.join(steps)}. On images it was not chosen on, choosing so changes the mean Dice by "
        f"{gain['difference']:+.4f} (95 % interval {gain['low']:+.4f} to {gain['high']:+.4f}) against 0.5 alone."
    )


def _say_calibration(summary: dict[str, Any]) -> str:
    if "temperature" not in summary:
        return ""
    value = summary["temperature"]
    word = (
        "about as sure as it should be" if 0.9 <= value <= 1.1 else "too sure of itself" if value > 1 else "too careful"
    )
    before, after = (f"{100 * summary[name]:.1f}" for name in ("ece_before", "ece_after"))
    return (
        f"Probabilities: the network is {word} (temperature {value:.2f}); stated and true probability are {before} "
        f"percentage points apart on average, {after} after scaling."
    )


def _score_rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Each number with its definition beside it."""
    if not summary:
        return []
    definitions = DEFINITIONS | CALIBRATION
    rows = [(text, definitions[name]) for name, text in describe_scores(summary).items()]
    rows += [
        (f"{name.replace('_', ' ')} {summary[name]:.4f}", definitions[name]) for name in CALIBRATION if name in summary
    ]
    if "best_epochs" in summary:
        best = ", ".join(map(str, summary["best_epochs"]))
        rows.append(
            (f"best epoch {best} of {summary['epochs']}", "The epoch whose weights were kept, of each network.")
        )
    return rows


def _manifest_rows(manifest: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for name, value in manifest.items():
        text = ", ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, dict) else str(value)
        rows.append((name.replace("_", " "), text))
    return rows


def _section(name: str, title: str, content: str) -> str:
    return f'<section id="{name}"><h2>{escape(title)}</h2>\n{content}\n</section>'


def _list(sentences: Iterable[str]) -> str:
    items = "\n".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<ul>\n{items}\n</ul>" if items else ""


def _facts(rows: Sequence[tuple[str, str]]) -> str:
    """A table of names and what they mean; on a phone each name stands above its text."""
    lines = [f"<tr><th scope=row>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in rows]
    return '<table class="facts">\n' + "\n".join(lines) + "\n</table>" if rows else ""


def _csv_table(path: Path) -> str:
    """The first rows of a table that a notebook left; "" where there is none or it is empty."""
    table = _table_of(path) if path.exists() else pd.DataFrame()
    if table.empty:
        return ""
    cells = table.head(LONGEST).to_html(index=False, border=0, na_rep="")
    more = len(table) - LONGEST
    rest = f"<p>and {more} more rows in {escape(path.name)}</p>" if more > 0 else ""
    return f'<div class="wide">{cells}</div>{rest}'


def _table_of(path: Path) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(path.read_text(encoding="utf-8")), dtype=str, keep_default_na=False)


def _figure(path: Path) -> str:
    with Image.open(path) as image:
        caption = escape(image.info.get("Description", path.stem))
        size = f'width="{image.width}" height="{image.height}"'
    data = base64.b64encode(path.read_bytes()).decode()
    source = f"data:image/png;base64,{data}"
    return f'<figure><img alt="{caption}" {size} src="{source}"><figcaption>{caption}</figcaption></figure>'
