"""A finished run -> what was found, in words: sentences, the rows of its scores, how it was made.

Everything is read from what the notebooks left in the folder; what a partial run lacks is passed over.
"""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from seglib.paths import is_unfinished
from seglib.prediction.rules import MaskRules, describe_steps
from seglib.prediction.uncertainty import describe_uncertainty
from seglib.scores import calibration
from seglib.scores.causes import describe_causes
from seglib.scores.summaries import FAILURE_IOU, describe_presence, tabulate_scores

FAR = 0.05  # distance of stated and true probability from which on a network is not "as sure as it should be"
UNFINISHED = "Training is not finished, as max_hours left no time for it; run the same again to go on."


def describe_title(output_dir: Path) -> str:
    """The name of a run, its preset and its data."""
    manifest = _read(output_dir / "manifest.json")
    data = Path(manifest.get("data_dir", "")).name
    return f"{output_dir.name}: preset {manifest.get('preset', '?')} on {data or '?'}"


def describe_headline(output_dir: Path, *, style: str = "{:.3f}") -> str:
    """The mean Dice of a run with its interval, in a sentence; it says so where there is none yet.

    Args:
        output_dir: the folder of the run.
        style: how the mean is written.
    """
    summary = _read(output_dir / "summary.json")
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


def describe_findings(output_dir: Path) -> list[str]:
    """What the run says in words, from the data to the masks."""
    summary = _read(output_dir / "summary.json")
    said = [_say_problems(output_dir / "problems.csv")]
    said += _say_verdicts(_read(output_dir / "verdict.json") or [])
    said += [_say_failures(summary), _say_presence(summary), *_say_causes(output_dir / "causes.csv", summary)]
    said += [_say_rules(_read(output_dir / "masks.json"))]
    said += [_say_calibration(summary), *_say_uncertainty(output_dir / "scores.csv", summary)]
    said += [_say_submission(read_table(output_dir / "submission.csv"))]
    return [sentence for sentence in said if sentence]


def tabulate_findings(output_dir: Path) -> pd.DataFrame:
    """Each number with its interval and its definition beside it, with the columns ``scores.tables.COLUMNS``."""
    summary = _read(output_dir / "summary.json")
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


def describe_making(output_dir: Path) -> list[tuple[str, str]]:
    """How the run was made: each entry of its manifest, and what it holds, without brackets."""
    manifest = _read(output_dir / "manifest.json")
    rows = {name.replace("_", " "): _say_value(value) for name, value in manifest.items()}
    if "finished" in manifest and manifest["finished"] is None:
        rows["finished"] = "no: training is not finished" if is_unfinished(output_dir) else "no"
    return list(rows.items())


def read_table(path: Path) -> pd.DataFrame:
    """A table that a notebook left, all of it text; without rows where there is none."""
    if not path.exists():
        return pd.DataFrame()
    return pd.read_csv(io.StringIO(path.read_text(encoding="utf-8")), dtype=str, keep_default_na=False)


def _say_problems(path: Path) -> str:
    if not path.exists():
        return ""
    counts = read_table(path)["severity"].value_counts()
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


def _say_value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_say_value(item)}" for name, item in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(_say_value, value)) or "none"
    if isinstance(value, bool):  # as --set takes it
        return str(value).lower()
    return "none" if value is None else str(value)


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
