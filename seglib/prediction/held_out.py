"""The probability maps of held-out images: each by networks that did not learn from it, kept in a file."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from seglib.data.folds import read_folds, select_held_out
from seglib.errors import InputError
from seglib.machine.progress import track
from seglib.machine.scratch import create_array
from seglib.models.checkpoints import load_members
from seglib.paths import find_runs
from seglib.prediction.probabilities import Member, Size, average_maps, predict_maps, resize_maps
from seglib.writing import write_whole

NAME = "held_out.npy"  # in the folder of a run


def prepare_held_out(output_dir: Path, samples: pd.DataFrame) -> tuple[pd.DataFrame, list[Path]]:
    """The samples that a run held out, and the files with their maps, predicted anew.

    An ensemble takes the maps that each of its runs has kept; where each run held out another fold, they become one
    file, as if one run had made them.

    Args:
        output_dir: the folder of the run.
        samples: table with ``sample_id``, ``image_path`` and ``mask_path``.

    Returns:
        Those of the samples that no network of the run was trained with (with several folds, all of them, each by
        another network), with their ``fold``; and the files for ``read_held_out``.

    Raises:
        InputError: if a checkpoint or an image cannot be read.
    """
    runs, own = find_runs(output_dir), output_dir / NAME
    members = [load_members(run) for run in runs]
    folds = [{config.fold for _, config in of_run} for of_run in members]
    held_out = select_held_out(samples, read_folds(output_dir / "folds.csv", samples), set().union(*folds))
    kept = [run / NAME for run in runs]
    if runs == [output_dir]:
        predict_held_out(members[0], held_out, own)
    elif folds.count(folds[0]) == len(runs):
        return held_out, kept
    else:
        join_held_out({min(of_run): path for of_run, path in zip(folds, kept, strict=True)}, held_out["fold"], own)
    return held_out, [own]


def predict_held_out(members: Sequence[Member], samples: pd.DataFrame, path: Path) -> None:
    """Predict every sample by the members that did not learn from it, and keep the maps in a file.

    The maps are kept at network size in half precision; ``read_held_out`` resizes them to their files.

    Args:
        members: as for ``predict_probabilities``; ``config.fold`` is what each held out.
        samples: table with ``image_path`` and ``fold``; every fold is that of a member.
        path: the .npy file, float16 (N, S, S), rows as those of ``samples``; written whole or not at all.

    Raises:
        InputError: if a file cannot be read.
    """
    size = max(config.image_size for _, config in members)
    with _write_maps(path, len(samples), size) as kept:
        for fold, rows in samples.reset_index(drop=True).groupby("fold"):
            own = [member for member in members if member[1].fold == fold]
            maps = predict_maps(own, list(rows["image_path"]))
            for row, (found, _) in zip(rows.index, track(maps, f"fold {fold}", total=len(rows)), strict=True):
                kept[row] = average_maps(resize_maps(found, (size, size)))


def join_held_out(paths: Mapping[int, Path], folds: pd.Series, path: Path) -> None:
    """The maps that several runs have kept, each of a fold of its own -> the file that one run would have written.

    Args:
        paths: the .npy file of each fold; its rows are the samples of that fold.
        folds: the fold of every sample.
        path: the .npy file, as that of ``predict_held_out``.

    Raises:
        InputError: if a file is missing, damaged or holds other maps than those of its fold.
    """
    rows = [np.flatnonzero(folds == fold) for fold in paths]
    parts = _open_maps(list(paths.values()), list(map(len, rows)))
    size = max(maps.shape[-1] for maps in parts)
    with _write_maps(path, len(folds), size) as kept:
        for own, maps in zip(rows, parts, strict=True):
            for row, map_ in zip(own, maps, strict=True):
                kept[row] = resize_maps([_to_tensor(map_)], (size, size))[0]


@contextmanager
def _write_maps(path: Path, count: int, size: int) -> Iterator[np.ndarray]:
    """The file appears when all is in it."""
    with write_whole(path) as part:
        kept = create_array(part, (count, size, size), np.float16, cure="choose an output folder on another disk")
        yield kept
        kept.flush()


def read_held_out(
    paths: Sequence[Path], sizes: Sequence[Size], *, rows: Sequence[int] | None = None
) -> Iterator[np.ndarray]:
    """The maps ``predict_held_out`` kept, each at the size of its file; those of several runs are averaged.

    Args:
        paths: the .npy files, of one run or of the runs of an ensemble.
        sizes: height and width of every file that is wanted.
        rows: which maps are wanted; None: all, in their order.

    Yields:
        float32 (H, W) in [0, 1].

    Raises:
        InputError: if a file is missing, damaged or holds other maps than these.
    """
    return map(average_maps, read_member_maps(paths, sizes, rows=rows))


def read_member_maps(
    paths: Sequence[Path], sizes: Sequence[Size], *, rows: Sequence[int] | None = None
) -> Iterator[np.ndarray]:
    """The maps that ``read_held_out`` averages: one of each run, none by a network that learned from the image.

    Args:
        paths: as for ``read_held_out``.
        sizes: height and width of every file that is wanted.
        rows: which maps are wanted; None: all, in their order.

    Yields:
        float32 (runs, H, W) in [0, 1].

    Raises:
        InputError: if a file is missing, damaged or holds other maps than these.
    """
    parts = _open_maps(paths, None if rows is not None else [len(sizes)] * len(paths))
    for row, size in zip(range(len(sizes)) if rows is None else rows, sizes, strict=True):
        yield resize_maps([_to_tensor(maps[row]) for maps in parts], size)


def _open_maps(paths: Sequence[Path], counts: Sequence[int] | None) -> list[np.ndarray]:
    """The maps of each file, which must be as many as ``counts`` says."""
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} is missing; run 04_evaluation of that run first")
    parts = [_open_file(path) for path in paths]
    for path, maps, count in zip(paths, parts, counts or map(len, parts), strict=True):
        if len(maps) != count:
            raise InputError(f"{path} holds {len(maps)} maps and not {count}; run 04_evaluation of that run again")
    return parts


def _open_file(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r")
    except (EOFError, ValueError):  # copied in part
        raise InputError(f"{path} is damaged; run 04_evaluation of that run again") from None


def _to_tensor(map_: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(map_.astype(np.float32))
