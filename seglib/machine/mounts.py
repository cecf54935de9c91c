"""Kaggle's machine: its mounted inputs, searched by what they hold and not by name, and what its variables say."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

# where inputs are mounted; the variable is that of Kaggle's own kagglehub, and lets another folder play the part
INPUTS = Path(os.environ.get("KAGGLE_CACHE_MOUNT_FOLDER") or "/kaggle/input")
SEARCH_DEPTH = 4  # folders below each mount
KINDS = {"competitions": 2, "datasets": 3, "notebooks": 3, "models": 3}  # folders down to a mount: datasets/owner/slug
SAID_AT_MOST = 12  # folders named in a message


def is_kaggle() -> bool:
    """Whether this process is a kernel on Kaggle."""
    return "KAGGLE_KERNEL_RUN_TYPE" in os.environ


def is_hidden_rerun() -> bool:
    """Whether a code competition is scoring this kernel on test images nobody has seen."""
    return bool(os.environ.get("KAGGLE_IS_COMPETITION_RERUN"))


def find_inputs(is_wanted: Callable[[Path], bool]) -> list[Path]:
    """The folders among the inputs for which ``is_wanted`` holds, the least deep first, each once.

    Nothing is looked for inside such a folder. Two names of one folder count once.
    """
    found: dict[Path, Path] = {}
    for folder in _walk(is_wanted):
        if is_wanted(folder):
            found.setdefault(folder.resolve(), folder)
    return list(found.values())


def find_file(name: str) -> Path | None:
    """A file of this name among the inputs; None where there is none."""
    found = (folder / name for folder in _walk(lambda _: False) if (folder / name).is_file())
    return next(found, None)


def find_mounted(folder: Path) -> Path | None:
    """The folder of the inputs with this relative name, in the older or the newer layout of mounts; None without one.

    ``slug/data`` is also ``competitions/slug/data`` and ``datasets/owner/slug/data``, and ``owner/slug/data`` the last.
    """
    places = [INPUTS, *(INPUTS / kind for kind in KINDS), *_list_folders(INPUTS / "datasets")]
    return next((place / folder for place in places if (place / folder).exists()), None)


def describe_inputs() -> str:
    """What the inputs hold, for a message: the first `SAID_AT_MOST` folders that have no folder in them."""
    if not INPUTS.is_dir():
        return f"{INPUTS}, which does not exist"
    folders = list(_walk(lambda _: False))
    parents = {folder.parent for folder in folders}
    ends = [str(folder.relative_to(INPUTS)) for folder in folders if folder not in parents]
    more = f" and {len(ends) - SAID_AT_MOST} more" if len(ends) > SAID_AT_MOST else ""
    return f"{INPUTS}, which holds {', '.join(ends[:SAID_AT_MOST]) or 'nothing'}{more}"


def _walk(is_end: Callable[[Path], bool]) -> Iterator[Path]:
    """The folders of the inputs, level by level, `SEARCH_DEPTH` below each mount; those at an end are not entered."""
    level = [INPUTS]
    while level:
        level = [entry for parent in level for entry in _list_folders(parent)]
        yield from level
        level = [entry for entry in level if _count_below_mount(entry) < SEARCH_DEPTH and not is_end(entry)]


def _count_below_mount(folder: Path) -> int:
    parts = folder.relative_to(INPUTS).parts
    return len(parts) - KINDS.get(parts[0], 1)


def _list_folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir())
    except OSError:  # what this user may not look into, or a folder that is not there
        return []
