"""From the recipe of the seed to that of ``best``, a step at a time: every step on the same fold with the same budget.

    python benchmarks/ladder.py --data ../shared/data/isic2016 --out outputs/ladder --table results/isic2016.md
    python benchmarks/ladder.py short --data ../shared/data/cxr_lungs --out outputs/chests --table results/cxr_lungs.md

Each step is one ``seglib`` command (it stands under the table) and is compared, image by image, with the step it builds
on. What was run before is not run again, so the ladder goes on after a stop; ``--only-table`` writes the table of what
there is. With a GPU, raise BUDGET.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from seglib.scores.intervals import compare_scores, describe_comparison
from seglib.scores.masks import read_scores
from seglib.writing import write_text

BUDGET = {"image_size": 128, "epochs": 8, "stop_patience": 0, "monitor": "val_dice", "precision": "auto"}
SEED = {"preset": "baseline", "width": 16}  # the seed's network with a quarter of its channels, for a CPU


@dataclass(frozen=True)
class Step:
    """One row: what is changed and which step it builds on; or which steps are averaged."""

    name: str
    what: str
    base: str | None
    changes: dict[str, object] = field(default_factory=dict)
    average: tuple[str, ...] = ()


MODERN = {"optimizer": "adamw", "learning_rate": 2e-3, "weight_decay": 1e-2, "schedule": "cosine", "gradient_clip": 1.0}
LITE2 = {"architecture": "Unet", "encoder": "tu-tf_efficientnet_lite2", "encoder_weights": "package"}
FULL = [
    Step("seed", "the seed's recipe: plain U-Net (width 16), BCE + Dice, Adam 1e-4, no augmentation", None,
         SEED | {"augment": "none"}),
    Step("augment", "+ standard augmentation, drawn anew in every epoch", "seed", {"augment": "standard"}),
    Step("norm", "+ batch normalisation", "augment", {"norm": "batch"}),
    Step("rate", "+ AdamW at 2e-3, warm-up and cosine, clipped gradients", "norm", MODERN),
    Step("scratch", "+ encoder EfficientNet-Lite0, random weights", "rate",
         {"architecture": "Unet", "encoder": "tu-tf_efficientnet_lite0"}),
    Step("encoder", "+ its ImageNet weights, learning at a quarter of the rate", "scratch",
         {"encoder_weights": "package", "encoder_lr_factor": 0.25}),
    Step("lite2", "+ encoder EfficientNet-Lite2", "encoder", {"encoder": "tu-tf_efficientnet_lite2"}),
    Step("ema", "+ moving average of the weights, 0.98", "lite2", {"ema_decay": 0.98}),
    Step("strong", "+ strong augmentation", "ema", {"augment": "strong"}),
    Step("lovasz", "loss: BCE + Lovász", "ema", {"loss": "0.5*bce + 0.5*lovasz"}),
    Step("tta", "+ eight symmetries averaged in prediction", "ema", {"tta": 8}),
    Step("size", "+ 192 instead of 128 pixels", "tta", {"image_size": 192}),
    Step("other-seed", "the same with another seed: what chance alone does", "size", {"seed": 1}),
    Step("average", "+ two networks averaged: these two", "size", average=("size", "other-seed")),
]  # fmt: skip
SHORT = [
    Step("seed", "the seed's recipe: plain U-Net (width 16), BCE + Dice, Adam 1e-4, standard augmentation", None, SEED),
    Step("recipe", "+ EfficientNet-Lite2 with ImageNet weights, AdamW 2e-3, cosine, averaged weights", "seed",
         LITE2 | MODERN | {"encoder_lr_factor": 0.25, "ema_decay": 0.98}),
    Step("upright", "+ only left and right exchanged, no turns", "recipe", {"symmetries": 2}),
    Step("strong", "+ strong augmentation", "upright", {"augment": "strong"}),
    Step("tta", "+ left and right averaged in prediction", "upright", {"tta": 2}),
    Step("size", "+ 192 instead of 128 pixels", "tta", {"image_size": 192}),
]  # fmt: skip
LADDERS = {"full": FULL, "short": SHORT}


def main() -> None:
    """Run what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ladder", nargs="?", default="full", choices=LADDERS)
    parser.add_argument("--data", required=True, metavar="DIR")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="where the runs go")
    parser.add_argument("--table", required=True, type=Path, metavar="FILE", help="the table, in Markdown")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="steps at a time (default: %(default)s)")
    parser.add_argument("--only-table", action="store_true", help="run nothing; name the steps that are missing")
    arguments = parser.parse_args()
    steps = LADDERS[arguments.ladder]
    if not arguments.only_table:
        run_steps(steps, arguments.data, arguments.out, jobs=arguments.jobs)
    write_text(arguments.table, describe_steps(steps, arguments.out, arguments.data))


def run_steps(steps: list[Step], data: str, out: Path, *, jobs: int) -> None:
    """Run what was not run yet, the first alone, as its folds are those of all others; what is averaged, last."""
    commands = list_commands(steps, data, out)
    run_step(out / steps[0].name, commands[steps[0].name])
    for step in steps[1:]:
        if not (out / step.name / "manifest.json").exists() and not step.average:
            (out / step.name).mkdir(exist_ok=True)
            shutil.copy(out / steps[0].name / "folds.csv", out / step.name)
    for averages in (False, True):
        with ThreadPoolExecutor(jobs) as pool:
            todo = [step.name for step in steps[1:] if bool(step.average) == averages]
            list(pool.map(lambda name: run_step(out / name, commands[name]), todo))


def run_step(folder: Path, command: list[str]) -> None:
    """Run one command, unless its folder says that it was finished."""
    if not _is_finished(folder):
        subprocess.run([sys.executable, "-m", *command], check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


def _is_finished(folder: Path) -> bool:
    manifest = folder / "manifest.json"
    return manifest.exists() and json.loads(manifest.read_text())["finished"] is not None


def list_settings(steps: list[Step]) -> dict[str, dict]:
    """The settings of every step that trains: those of the step it builds on, and its own changes."""
    settings: dict[str, dict] = {}
    for step in steps:
        if not step.average:
            settings[step.name] = (BUDGET if step.base is None else settings[step.base]) | step.changes
    return settings


def list_commands(steps: list[Step], data: str, out: Path) -> dict[str, list[str]]:
    """The command of every step, with every setting that differs from its preset."""
    commands = {}
    for name, settings in list_settings(steps).items():
        words = [f"--set={key}={value}" for key, value in settings.items() if key != "preset"]
        run = ["seglib", "run", "--data", data, "--out", str(out / name), "--preset", settings["preset"]]
        commands[name] = [*run, *words, "--only", "02,04"]
    for step in steps:
        if step.average:
            runs = [str(out / name) for name in step.average]
            commands[step.name] = ["seglib", "ensemble", *runs, "--out", str(out / step.name), "--data", data]
    return commands


def describe_steps(steps: list[Step], out: Path, data: str) -> str:
    """The page: what was measured on what, the table of the steps, their commands."""
    head = ["step", "what", "Dice per image", "IoU", "change in Dice", "verdict", "mask rules give"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    measured = [step for step in steps if _is_finished(out / step.name)]
    for step in measured:
        summary = json.loads((out / step.name / "summary.json").read_text())
        cells = [step.name, step.what, *(_interval(summary, name) for name in ("dice", "iou")), *_change(out, step)]
        gain = json.loads((out / step.name / "masks.json").read_text())["gain"]
        lines.append(f"| {' | '.join([*cells, _difference(gain)])} |")
    commands = list_commands(steps, data, out)
    listed = [f"- `{step.name}`: `{shlex.join(commands[step.name])}`" for step in steps]
    missing = [step.name for step in steps if step not in measured]
    note = ["", f"Not measured yet: {', '.join(missing)}."] if missing else []
    return "\n".join([_introduction(steps, out, data), *lines, *note, "", "## Commands", "", *listed, ""])


def _introduction(steps: list[Step], out: Path, data: str) -> str:
    manifest = json.loads((out / steps[0].name / "manifest.json").read_text())
    images = json.loads((out / steps[0].name / "summary.json").read_text())["images"]
    budget = f"{BUDGET['epochs']} epochs at {BUDGET['image_size']} pixels"
    machine = f"{manifest['processors']} processors ({manifest['platform']}), torch {manifest['versions']['torch']}"
    return f"""# From the seed's recipe to `best` on {Path(data).name}, a step at a time

Every step is trained on the same folds with the same budget ({budget}, where it does not
say otherwise) and scored on the same {images} held-out images: mean Dice and IoU per image at the size of the files,
with the 95 % bootstrap interval over the images. The change is that of each image's Dice against the step it
builds on, with its interval and the p of Wilcoxon's signed-rank test. The last column is what choosing the mask
rules on other images gives over the plain threshold of 0.5; it is in the score. One run a step, seed 0;
{machine}, revision {manifest["git_revision"]}.
With a budget this small, chance alone moves a mean by a few thousandths.
"""


def _interval(summary: dict, name: str) -> str:
    return f"{summary[f'{name}_mean']:.4f} ({summary[f'{name}_low']:.4f} to {summary[f'{name}_high']:.4f})"


def _difference(facts: dict) -> str:
    return f"{facts['difference']:+.4f} ({facts['low']:+.4f} to {facts['high']:+.4f})"


def _change(out: Path, step: Step) -> tuple[str, str]:
    if step.base is None:
        return "", ""
    base, own = (
        read_scores(out / name / "scores.csv").set_index("sample_id")["dice"] for name in (step.base, step.name)
    )
    facts = compare_scores(base.to_numpy(), own[base.index].to_numpy())
    return f"{_difference(facts)}, p {facts['p']:.2g}, against {step.base}", describe_comparison(facts)


if __name__ == "__main__":
    main()
