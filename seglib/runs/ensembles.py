"""Several finished runs -> one folder that stands for all of them, with nothing trained again."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from seglib.config import Config, find_difference
from seglib.errors import InputError
from seglib.paths import find_runs
from seglib.prediction import held_out
from seglib.runs.manifests import OUTPUTS, read_manifest
from seglib.writing import write_text


class Plan(NamedTuple):
    """What a folder will hold that stands for several runs, read and found right before anything is written."""

    first: dict[str, Any]  # the manifest of the first run, whose settings stand for how run lengths are written
    files: dict[str, str]  # text by name


def plan_ensemble(runs: Sequence[Path], output_dir: Path) -> Plan:
    """Check that one folder can stand for several runs; `write_ensemble` and notebooks 03 to 05 do the rest.

    Runs that held out the same images (seeds, architectures, sizes, each with its folds) are averaged, on those images
    too. Runs that differ in nothing but the fold they held out, such as the cells of a grid, become what one run with
    so many folds would have been: every image is scored by the one network that did not learn from it.

    Args:
        runs: folders of finished runs on the same data.
        output_dir: the folder to prepare, as yet left alone.

    Returns:
        The plan; the ``config`` of its manifest is a ``Config``. Of folds, what one run with all of them would say.

    Raises:
        InputError: if there are fewer than two runs, one is not finished or cannot be read, they differ in what they
            learnt from or held out, or the folder holds something else.
    """
    if len({run.resolve() for run in runs}) < max(2, len(runs)):
        raise InputError("an ensemble needs two different runs or more; name their folders")
    manifests = [_read_finished(run) for run in runs]
    first = manifests[0]
    for run, manifest in zip(runs, manifests, strict=True):
        if manifest["data_hash"] != first["data_hash"]:
            raise InputError(f"{run} was run on other data than {runs[0]}; average runs on the same data")
    configs = [manifest["config"] for manifest in manifests]
    if _are_folds(runs, configs):
        runs = [run for _, run in sorted(zip((config.fold for config in configs), runs, strict=True))]
        first = _count_folds(first, len(runs))
    _check_folder(runs, output_dir)
    files = {
        "ensemble.json": json.dumps({"runs": [os.path.relpath(run, output_dir) for run in runs]}),
        "folds.csv": (runs[0] / "folds.csv").read_text(encoding="utf-8"),
        "config.json": json.dumps(asdict(first["config"]), indent=2) + "\n",
        "history.csv": _join_histories(runs).to_csv(index=False),
    }
    return Plan(first, files)


def write_ensemble(plan: Plan, output_dir: Path) -> None:
    """Leave ``ensemble.json``, ``folds.csv``, ``config.json`` and ``history.csv`` in a folder."""
    for name in ("figures", "checkpoints"):
        (output_dir / name).mkdir(parents=True, exist_ok=True)
    for name, text in plan.files.items():
        write_text(output_dir / name, text)


def _read_finished(run: Path) -> dict[str, Any]:
    """The manifest of a run, with its numbers as a ``Config``."""
    manifest = read_manifest(run)
    absent = [name for name in (held_out.NAME, "folds.csv", "history.csv") if not (run / name).exists()]
    if manifest is None or absent or "config" not in manifest:
        raise InputError(f"{run} is not a finished run; run the notebooks 02 to 04 there first")
    try:
        return manifest | {"config": Config(**manifest["config"])}
    except TypeError:
        raise InputError(f"{run} was made by another version of seglib; run it again in another folder") from None


def _are_folds(runs: Sequence[Path], configs: Sequence[Config]) -> bool:
    """Whether each of the runs holds out another fold, and not all of them the same images.

    Raises:
        InputError: if it is neither, or not every fold is held out just once.
    """
    first = configs[0]
    for run, config in zip(runs, configs, strict=True):
        if (config.folds == 1) != (first.folds == 1):
            raise InputError(f"{run} and {runs[0]} hold out different images; use several folds in both")
    if first.folds > 1:
        return False
    divisions = [_read_division(run) for run in runs]
    chosen = [division == config.fold for division, config in zip(divisions, configs, strict=True)]
    if all(rows.equals(chosen[0]) for rows in chosen):
        return False
    for run, config, division in zip(runs, configs, divisions, strict=True):
        if not division.equals(divisions[0]):
            raise InputError(f"{run} and {runs[0]} hold out different images; use runs with several folds or one seed")
        if name := find_difference(replace(config, fold=first.fold), first):
            raise InputError(
                f"{run} and {runs[0]} hold out different images, and differ in {name} besides; name runs of one kind"
            )
    counts = pd.Series([config.fold for config in configs]).value_counts().reindex(sorted(set(divisions[0])))
    for fold, count in counts.fillna(0).items():
        if count != 1:
            raise InputError(f"{count:.0f} of the runs hold out fold {fold}; name one for each fold")
    return True


def _read_division(run: Path) -> pd.Series:
    """The fold of each sample."""
    try:
        folds = pd.read_csv(run / "folds.csv", dtype={"sample_id": str, "fold": int}, keep_default_na=False)
        return folds.set_index("sample_id")["fold"].sort_index()
    except (ValueError, KeyError):
        raise InputError(f"{run / 'folds.csv'} is not a table of sample_id and fold; run {run} again") from None


def _count_folds(manifest: dict[str, Any], count: int) -> dict[str, Any]:
    """What the manifest of one run with all the folds would say."""
    settings = {name: value for name, value in manifest["settings"].items() if name != "fold"}
    config = replace(manifest["config"], fold=0, folds=count)
    return manifest | {"settings": settings | {"folds": count}, "config": config}


def _join_histories(runs: Sequence[Path]) -> pd.DataFrame:
    """Their histories, one below the other, with one number for each network of all runs."""
    histories = [_read_history(run).assign(run=number) for number, run in enumerate(runs)]
    history = pd.concat([one if "fold" in one else one.assign(fold=0) for one in histories])
    history["fold"] = history.groupby(["run", "fold"], sort=True).ngroup()
    return history.drop(columns="run")


def _read_history(run: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(run / "history.csv")
    except ValueError:
        raise InputError(f"{run / 'history.csv'} cannot be read; run the notebooks 02 to 04 there again") from None


def _check_folder(runs: Sequence[Path], output_dir: Path) -> None:
    """Refuse a folder that holds something else than this ensemble."""
    cure = "choose another output folder, or delete that one"
    if (output_dir / "ensemble.json").exists():
        if [run.resolve() for run in find_runs(output_dir)] != [run.resolve() for run in runs]:
            raise InputError(f"{output_dir} holds an ensemble of other runs; {cure}")
        return
    foreign = [name for name in ("manifest.json", *OUTPUTS) if (output_dir / name).exists()]
    if foreign:
        raise InputError(f"{output_dir} holds a {foreign[0]} of something else; {cure}")
