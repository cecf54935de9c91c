"""Masks against references -> a table of scores."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pandas.api.types import is_numeric_dtype

from seglib.data.groups import merge_groups
from seglib.errors import InputError
from seglib.machine.ahead import map_on_cores
from seglib.scores.intervals import compare_scores, describe_comparison
from seglib.scores.metrics import boundary_scores, count_pixels, overlap_scores


def score_masks(sample_ids: Iterable[str], preds: Iterable[np.ndarray], masks: Iterable[np.ndarray]) -> pd.DataFrame:
    """Every image's scores at the size of its file; ``summaries.DEFINITIONS`` says what each means.

    Args:
        sample_ids: N names.
        preds: N predicted masks, uint8 (H, W) in {0, 1}; may be a generator.
        masks: N references of the same sizes; may be a generator.

    Returns:
        One row per image: ``sample_id``, the scores ``dice``, ``iou``, ``sensitivity``, ``precision``, ``hd95`` and
        ``surface_dice``, and the pixels ``overlap``, ``pred_area``, ``target_area``, ``pixels``.

    Raises:
        ValueError: if a pair differs in size, or there are not as many of each.
    """
    triples = zip(sample_ids, preds, masks, strict=True)
    return pd.DataFrame(list(map_on_cores(lambda triple: _score(*triple), triples, ahead=1)))


def read_scores(path: Path) -> pd.DataFrame:
    """The scores of a run, one row per image.

    Raises:
        InputError: if the file is missing, damaged or holds no scores.
    """
    try:
        scores = pd.read_csv(path, dtype={"sample_id": str}, keep_default_na=False)
    except (FileNotFoundError, pd.errors.EmptyDataError):
        raise InputError(f"there are no scores in {path}; run 04_evaluation first") from None
    except (pd.errors.ParserError, UnicodeDecodeError):
        raise InputError(f"{path} is damaged; run 04_evaluation again") from None
    absent = [name for name in ("sample_id", "dice", "iou") if name not in scores]
    if absent:
        raise InputError(f"{path} has no column {absent[0]}; run 04_evaluation again")
    are_numbers = all(is_numeric_dtype(scores[name]) for name in ("dice", "iou"))
    if len(scores) and (not are_numbers or scores["sample_id"].duplicated().any()):
        raise InputError(f"{path} is damaged; run 04_evaluation again")
    return scores


def pair_scores(first: Path, second: Path) -> pd.DataFrame:
    """The scores of two runs on the images that both held out: what they may be compared by.

    Args:
        first: folder of a run.
        second: folder of another; its scores end in ``_second``, those of the first in ``_first``.

    Returns:
        One row per image, in the order of the first run; ``group`` is what its ``folds.csv`` calls so, joined with that
        of the second run's: a number from 0, another one for each image where neither says.

    Raises:
        InputError: if a run has no scores yet, they have no image in common, were made on different data as far as
            their manifests tell, or are one.
    """
    _refuse_pair(first, second)
    pairs = read_scores(first / "scores.csv").merge(
        read_scores(second / "scores.csv"), on="sample_id", suffixes=("_first", "_second"), validate="one_to_one"
    )
    if pairs.empty:
        raise InputError(f"{first} and {second} held out no image in common; compare runs with the same data and fold")
    return pairs.assign(group=merge_groups(*(_find_groups(run, pairs["sample_id"]) for run in (first, second))))


def _refuse_pair(first: Path, second: Path) -> None:
    for run in (first, second):
        if run.is_file():
            raise InputError(f"{run} is a file; name the folder of the run, {run.parent}")
        if not run.is_dir():
            raise InputError(f"there is no folder {run}; name that of a run")
    if first.resolve() == second.resolve():
        raise InputError(f"{first} and {second} are one run; name two different runs")
    ours, theirs = _read_data_hash(first), _read_data_hash(second)
    # hashes of another kind tell nothing: those of an earlier revision are of names and sizes only
    if ours and theirs and ours != theirs and ours.startswith("sha256:") == theirs.startswith("sha256:"):
        raise InputError(f"{first} and {second} were made on different data; compare runs on the same")


def _read_data_hash(run: Path) -> str | None:
    """What a run says its data was; None where it says nothing."""
    try:
        return str(json.loads((run / "manifest.json").read_text(encoding="utf-8"))["data_hash"])
    except (OSError, KeyError, TypeError, ValueError):
        return None


def _find_groups(run: Path, sample_ids: pd.Series) -> np.ndarray:
    try:
        folds = pd.read_csv(run / "folds.csv", dtype=str, keep_default_na=False)
    except (FileNotFoundError, pd.errors.EmptyDataError):
        return sample_ids.to_numpy()
    if not {"sample_id", "group"} <= set(folds):
        return sample_ids.to_numpy()
    known = folds.drop_duplicates("sample_id").set_index("sample_id")["group"]
    return sample_ids.map(known).fillna("alone: " + sample_ids).to_numpy()


def compare_runs(run: Path, others: Sequence[Path]) -> pd.DataFrame:
    """Each of some runs against one, by the Dice of the images that both held out.

    Args:
        run: the folder that the others are compared with.
        others: folders of runs on the same data.

    Returns:
        One row for each other run: its name, ``images`` in common, the facts of ``intervals.compare_scores`` (positive
        differences where the other is better) and the ``verdict`` in words; where they cannot be compared, that says
        why, and there are no facts.
    """
    return pd.DataFrame([_compare(run, other) for other in others])


def _compare(run: Path, other: Path) -> dict[str, float | str]:
    try:
        pairs = pair_scores(run, other)
    except InputError as error:
        return {"run": other.name, "images": 0, "verdict": str(error)}
    facts = compare_scores(
        pairs["dice_first"].to_numpy(), pairs["dice_second"].to_numpy(), groups=pairs["group"].to_numpy()
    )
    return {"run": other.name, "images": len(pairs), **facts, "verdict": describe_comparison(facts)}


def _score(sample_id: str, pred: np.ndarray, mask: np.ndarray) -> dict[str, float | str]:
    counts = count_pixels(torch.from_numpy(pred)[None], torch.from_numpy(mask)[None])
    overlap, pred_area, target_area = (int(count) for count in counts)
    return {
        "sample_id": sample_id,
        **{name: float(score) for name, score in overlap_scores(*counts).items()},
        **boundary_scores(pred, mask),
        "overlap": overlap,
        "pred_area": pred_area,
        "target_area": target_area,
        "pixels": pred.size,
    }
