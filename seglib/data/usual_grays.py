"""The masks of a set -> what their grays usually are, so that a file that leaves it open is read as the others."""

import os
from collections.abc import Sequence
from pathlib import Path

from seglib.errors import InputError
from seglib.images.grays import EDGES, LABELS
from seglib.images.mask_files import add_usual, first_file, join_files
from seglib.images.masks import judge_grays
from seglib.machine.ahead import map_on_cores

FEW = 20  # masks that are always looked at, evenly spread; where none of them has grays, no others
MOST = 200  # masks that are looked at else, evenly spread
SHARE = 0.1  # of the masks with grays, that must be sure: else a single one would speak for very many


def join_masks(folder: Path, files: dict[str, list[str]]) -> dict[str, str]:
    """The masks of a set by their images, from the names of their files; each says how all are read."""
    joined = [join_files(os.path.join(folder, name) for name in names) for names in files.values()]
    return dict(zip(files, mark_usual(joined), strict=True))


def mark_usual(mask_paths: Sequence[str]) -> list[str]:
    """Masks of a set with what their grays usually are; as they came where that is not known.

    Args:
        mask_paths: as of `mask_files.join_files`.

    Returns:
        As of `mask_files.add_usual`, or the same texts.
    """
    usual = find_usual(mask_paths)
    return [add_usual(path, usual) for path in mask_paths] if usual else list(mask_paths)


def find_usual(mask_paths: Sequence[str]) -> str | None:
    """What the grays of most masks are that are sure, `grays.LABELS` or `grays.EDGES`.

    Looked at is the first file of `MOST` masks at most, and of `FEW` if none of those has grays: 0/1 and 0/255 mean the
    same in any set. What cannot be read has no say.

    Args:
        mask_paths: as of `mask_files.join_files`.

    Returns:
        None where no mask has grays, hardly any is sure, or as many are labels as edges.
    """
    some = _spread(mask_paths, MOST)
    if not _judge(_spread(some, FEW)):
        return None
    judged = _judge(some)
    labels, edges = (judged.count((meaning, True)) for meaning in (LABELS, EDGES))
    usual = LABELS if labels > edges else EDGES
    return usual if labels != edges and max(labels, edges) >= SHARE * len(judged) else None


def _spread(mask_paths: Sequence[str], most: int) -> Sequence[str]:
    return mask_paths[:: max(1, -(-len(mask_paths) // most))]


def _judge(mask_paths: Sequence[str]) -> list[tuple[str, bool]]:
    """What `masks.judge_grays` says of the masks that have grays."""
    return [grays for grays in map_on_cores(_judge_first, mask_paths) if grays]


def _judge_first(mask_path: str) -> tuple[str, bool] | None:
    try:
        return judge_grays(first_file(mask_path))
    except InputError:  # said by whoever looks at the file itself
        return None
