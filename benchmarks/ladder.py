"""From the recipe of the seed to that of ``best``, a step at a time: every step on the same fold with the same budget.

    python benchmarks/ladder.py --data ../shared/data/isic2016 --out outputs/ladder --table results/ladder.md

Each step is one ``seglib run`` (its command stands in the table) and is compared, image by image, with the step it
builds on. A step that was run before is not run again, so the ladder goes on after a stop. With a GPU, raise BUDGET.
"""

import argparse
import json
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from seglib.masks import read_scores
from seglib.metrics import compare_scores, describe_comparison
from seglib.paths import write_text

BUDGET = {"image_size": 128, "epochs": 8, "stop_patience": 0, "monitor": "val_dice", "precision": "auto"}
SEED = {"preset": "baseline", "width": 16}  # the seed's network with a quarter of its channels, for a CPU


@dataclass(frozen=True)
class Step:
    """One row: what is changed and which step it builds on."""

    name: str
    what: str
    base: str | None
    changes: dict[str, object] = field(default_factory=dict)


STEPS = [
    Step("seed", "the seed's recipe: plain U-Net (width 16), BCE + Dice, Adam 1e-4, no augmentation", None,
         SEED | {"augment": "none"}),
    Step("augment", "+ standard augmentation, drawn anew in every epoch", "seed", {"augment": "standard"}),
    Step("norm", "+ batch normalisation", "augment", {"norm": "batch"}),
    Step("rate", "+ AdamW at 2e-3, warm-up and cosine, clipped gradients", "norm",
         {"optimizer": "adamw", "learning_rate": 2e-3, "weight_decay": 1e-2, "schedule": "cosine", "gradient_clip": 1}),
    Step("encoder-scratch", "+ encoder EfficientNet-Lite0, random weights", "rate",
         {"architecture": "Unet", "encoder": "tu-tf_efficientnet_lite0"}),
    Step("encoder", "+ its ImageNet weights, learning at a quarter of the rate", "encoder-scratch",
         {"encoder_weights": "package", "encoder_lr_factor": 0.25}),
    Step("lite2", "+ encoder EfficientNet-Lite2", "encoder", {"encoder": "tu-tf_efficientnet_lite2"}),
    Step("strong", "+ strong augmentation", "lite2", {"augment": "strong"}),
    Step("ema", "+ moving average of the weights, 0.98", "strong", {"ema_decay": 0.98}),
    Step("dice", "loss: Dice alone", "ema", {"loss": "dice"}),
    Step("lovasz", "loss: BCE + Lovász", "ema", {"loss": "0.5*bce + 0.5*lovasz"}),
    Step("fpn", "architecture: FPN", "ema", {"architecture": "FPN"}),
    Step("size", "+ 192 instead of 128 pixels", "ema", {"image_size": 192}),
]  # fmt: skip


def main() -> None:
    """Run what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, metavar="DIR")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="where the runs go")
    parser.add_argument("--table", required=True, type=Path, metavar="FILE", help="the table, in Markdown")
    arguments = parser.parse_args()
    for done, (name, settings) in enumerate(list_settings().items(), start=1):
        command = run_command(arguments.data, arguments.out / name, settings)
        if not (arguments.out / name / "summary.json").exists():
            subprocess.run([sys.executable, "-m", *command], check=True)
        write_text(arguments.table, describe_steps(arguments.out, arguments.data, done=done))


def list_settings() -> dict[str, dict]:
    """The settings of every step: those of the step it builds on, and its own changes."""
    settings: dict[str, dict] = {}
    for step in STEPS:
        settings[step.name] = (BUDGET if step.base is None else settings[step.base]) | step.changes
    return settings


def run_command(data: str, out: Path, settings: dict) -> list[str]:
    """The command of a step, with every setting that differs from its preset."""
    words = [f"--set={name}={value}" for name, value in settings.items() if name != "preset"]
    return [
        "seglib",
        "run",
        "--data",
        data,
        "--out",
        str(out),
        "--preset",
        settings["preset"],
        *words,
        "--only",
        "02,04",
    ]


def describe_steps(out: Path, data: str, *, done: int) -> str:
    """The table of the first ``done`` steps, and their commands."""
    lines = ["| step | what | Dice per image | IoU | change in Dice | verdict |", "|---|---|---|---|---|---|"]
    commands = []
    for step, settings in list(zip(STEPS, list_settings().values(), strict=True))[:done]:
        summary = json.loads((out / step.name / "summary.json").read_text())
        dice, iou = (_interval(summary, name) for name in ("dice", "iou"))
        lines.append(f"| {step.name} | {step.what} | {dice} | {iou} | {_change(out, step)} |")
        commands.append(f"- `{step.name}`: `{shlex.join(run_command(data, out / step.name, settings))}`")
    return "\n".join([*lines, "", *commands, ""])


def _interval(summary: dict, name: str) -> str:
    return f"{summary[f'{name}_mean']:.4f} ({summary[f'{name}_low']:.4f} to {summary[f'{name}_high']:.4f})"


def _change(out: Path, step: Step) -> str:
    if step.base is None:
        return " | "
    base, own = (
        read_scores(out / name / "scores.csv").set_index("sample_id")["dice"] for name in (step.base, step.name)
    )
    facts = compare_scores(base.to_numpy(), own[base.index].to_numpy())
    change = f"{facts['difference']:+.4f} ({facts['low']:+.4f} to {facts['high']:+.4f}), p {facts['p']:.2g}"
    return f"{change}, against {step.base} | {describe_comparison(facts)}"


if __name__ == "__main__":
    main()
