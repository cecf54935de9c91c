"""A finished run -> one page that needs nothing else: no network, no other file."""

import base64
import json
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from seglib.calibration import DEFINITIONS as CALIBRATION
from seglib.metrics import DEFINITIONS, describe_scores
from seglib.paths import write_text

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #1b1b1b; background: #fff }}
body {{ max-width: 60rem; margin: 0 auto; padding: 1rem }}
h1 {{ font-size: 1.6rem; margin-bottom: 0 }} h2 {{ font-size: 1.2rem; margin-top: 2rem }}
.headline {{ font-size: 1.25rem; margin: .5rem 0 1rem }}
figure {{ margin: 1.5rem 0; break-inside: avoid }} img {{ max-width: 100%; height: auto }}
figcaption {{ color: #444; font-size: .9rem }}
table {{ border-collapse: collapse; font-size: .9rem; display: block; overflow-x: auto }}
th, td {{ text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #ddd; vertical-align: top }}
</style></head><body>
<h1>{title}</h1>
<p class="headline">{headline}</p>
{body}
</body></html>
"""


def write_report(output_dir: Path) -> Path:
    """Write ``report.html`` from the summary, the figures (with the captions inside them) and the manifest of a run.

    Args:
        output_dir: the folder of the run; what a partial run lacks is left out.

    Returns:
        The page.
    """
    summary, manifest = _read(output_dir / "summary.json"), _read(output_dir / "manifest.json")
    parts = [_section("Scores", _table(_score_rows(summary)))] if summary else []
    figures = [_figure(path) for path in sorted((output_dir / "figures").glob("*.png"))]
    parts.append(_section("Figures", "\n".join(figures)))
    parts.append(_section("How this was made", _table(_manifest_rows(manifest))))
    page = PAGE.format(title=escape(_title(output_dir, manifest)), headline=_headline(summary), body="\n".join(parts))
    path = output_dir / "report.html"
    write_text(path, page)
    return path


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _title(output_dir: Path, manifest: dict[str, Any]) -> str:
    data = Path(manifest.get("data_dir", "")).name
    return f"{output_dir.name}: preset {manifest.get('preset', '?')} on {data or '?'}"


def _headline(summary: dict[str, Any]) -> str:
    if not summary:
        return "No validation scores yet: run 04_evaluation."
    return (
        f"Mean Dice per image on {summary['images']} held-out images: <strong>{summary['dice_mean']:.3f}</strong> "
        f"(95 % interval {summary['dice_low']:.3f} to {summary['dice_high']:.3f})"
    )


def _score_rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Each number with its definition beside it."""
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


def _section(title: str, content: str) -> str:
    return f"<h2>{escape(title)}</h2>\n{content}"


def _table(rows: list[tuple[str, str]]) -> str:
    lines = [f"<tr><th scope=row>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in rows]
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def _figure(path: Path) -> str:
    with Image.open(path) as image:
        caption = escape(image.info.get("Description", path.stem))
    data = base64.b64encode(path.read_bytes()).decode()
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{data}"><figcaption>{caption}</figcaption></figure>'
    )
