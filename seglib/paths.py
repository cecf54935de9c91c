"""Where data and outputs are: an argument, ``SEGLIB_DATA``, Kaggle's mounts, or the project's own folders."""

import json
import os
import re
import tempfile
from pathlib import Path

from seglib.errors import InputError
from seglib.machine import mounts
from seglib.writing import write_text

SAID_AT_MOST = 3  # folders named in a message
FETCHED = "name what a run can fetch: phantoms, isic2016 or kaggle:SLUG"
UNFINISHED_NAME = ".unfinished"  # in the folder of a run or of a fold


def find_project_root(start: Path | None = None) -> Path:
    """The nearest folder at or above ``start`` that holds ``pyproject.toml``; ``start`` itself where there is none."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "pyproject.toml").is_file():
            return folder
    return start


def find_folder(parent: Path, *words: str) -> Path | None:
    """The sub-folder of ``parent`` called by one of ``words``, in any case, singular or plural.

    Raises:
        InputError: if two sub-folders carry the name.
    """
    pattern = re.compile(rf"(?:{'|'.join(map(re.escape, words))})s?", re.IGNORECASE)
    found = [entry for entry in sorted(parent.iterdir()) if entry.is_dir() and pattern.fullmatch(entry.name)]
    if len(found) > 1:
        names = " and ".join(entry.name for entry in found)
        raise InputError(f"{parent} holds {names}, which mean the same; keep one of them")
    return found[0] if found else None


def find_part(data_dir: Path, *words: str) -> Path | None:
    """As ``find_folder``; where the folder holds one of its own name, as in ``Train/Train``, that one."""
    part = find_folder(data_dir, *words)
    return part and (find_folder(part, *words) or part)


def is_data_dir(folder: Path) -> bool:
    """Whether ``folder`` holds the competition's tree: ``Train/Image``, in any case, singular or plural."""
    if not folder.is_dir():
        return False
    train = find_part(folder, "train", "training")
    return train is not None and find_folder(train, "image") is not None


def find_data_dir(data_dir: str | Path | None = None) -> Path:
    """The folder that holds ``Train/Image``.

    Looked for in this order: the argument, the variable ``SEGLIB_DATA``, Kaggle's inputs (by their tree, whatever they
    are called; where none holds ``Train/Image``, one that holds ``images`` and ``masks`` itself), ``data/`` of the
    project.

    Args:
        data_dir: a folder; a relative one is taken from the working directory, else from the project's root, else from
            Kaggle's inputs.

    Raises:
        InputError: if the named folder is missing, holds no such tree or cannot be printed, or if none is found, or
            several among Kaggle's inputs; the message says what was seen.
    """
    named = data_dir or os.environ.get("SEGLIB_DATA")
    if named:
        return _checked_data_dir(Path(named))
    if attached := _find_attached():
        return _absolute(attached)
    own = find_project_root() / "data"
    if is_data_dir(own):
        return _absolute(own)
    if mounts.INPUTS.is_dir():
        places = f"{mounts.describe_inputs()}, nor in {own}"
        raise InputError(f"no data set was found in {places}; name the folder that holds Train/Image")
    raise InputError(f"no data set was found in {own}; name the folder that holds Train/Image, or {FETCHED}")


def _find_attached() -> Path | None:
    for looks_right, what in ((_looks_like_data, "Train/Image"), (_looks_flat, "images and masks")):
        found = mounts.find_inputs(looks_right)
        if len(found) > 1:
            more = f" and {len(found) - SAID_AT_MOST} more" if len(found) > SAID_AT_MOST else ""
            names = " and ".join(map(str, found[:SAID_AT_MOST])) + more
            raise InputError(f"{names} each hold {what}; name the one that is meant: data_dir = ...")
        if found:
            return found[0]
    return None


def _looks_like_data(folder: Path) -> bool:
    """As ``is_data_dir``, but False where that raises: somebody else's folder may name one thing twice."""
    try:
        return is_data_dir(folder)
    except InputError:
        return False


def _looks_flat(folder: Path) -> bool:
    """Whether a folder holds images to train on and their masks without a ``Train``."""
    try:
        is_test = re.fullmatch(r"test(ing)?s?", folder.name, re.IGNORECASE)
        return not is_test and None not in (find_folder(folder, "image"), find_folder(folder, "mask"))
    except InputError:
        return False


def _checked_data_dir(folder: Path) -> Path:
    places = (folder, find_project_root() / folder, mounts.find_mounted(folder))
    found = next((place for place in places if place and place.exists()), None)
    if found is None:
        fetched = "" if len(folder.parts) > 1 else f", or {FETCHED}"
        raise InputError(f"the data folder {folder} does not exist; check its spelling{fetched}")
    if not found.is_dir():
        raise InputError(f"{folder} is no folder; name the one that holds Train/Image, unpacked if it is an archive")
    _refuse_odd(_absolute(found))
    return _absolute(found)


def _absolute(folder: Path) -> Path:
    """An absolute path without "..", links not followed: a manifest should say what the user named."""
    return Path(os.path.abspath(folder))


def make_plain(name: str) -> str:
    """A name as it can be printed and kept in a table: in UTF-8, on one line."""
    return " ".join(name.encode("utf-8", "replace").decode().splitlines())


def _refuse_odd(folder: Path) -> None:
    """Stop before a path is printed, or kept in a table, that cannot be."""
    plain = make_plain(str(folder))
    if plain != str(folder):
        raise InputError(f"{plain} has a name that is no text in UTF-8, or of several lines; rename it")


def take_folder(folder: Path) -> Path:
    """``folder`` itself, once it is sure that it is a folder or can be made one.

    Raises:
        InputError: if it, or what it lies in, is a file, or has a name that cannot be printed.
    """
    _refuse_odd(folder.absolute())
    there = next((place for place in (folder, *folder.absolute().parents) if place.exists()), folder)
    if there.exists() and not there.is_dir():
        raise InputError(f"{there} is a file; name a folder")
    return folder


def resolve_output_dir(output_dir: str | Path, *, create: bool = False) -> Path:
    """The folder of a run; a relative one lies below the project's root, or the working directory where there is none.

    Args:
        output_dir: the folder, absolute or relative.
        create: make it, with its sub-folders ``figures`` and ``checkpoints``.

    Raises:
        InputError: if it is a file, or cannot be made or written to.
    """
    folder = take_folder((find_project_root() / output_dir).resolve())
    if create:
        try:
            for name in ("figures", "checkpoints"):
                (folder / name).mkdir(parents=True, exist_ok=True)
            write_text(folder / ".writable", "")
            (folder / ".writable").unlink()
        except OSError as error:
            raise InputError(f"cannot write to {folder} ({error.strerror}); choose another output folder") from None
    return folder


def shorten(path: Path) -> str:
    """A path relative to the project's root where it lies in or beside it: so a manifest holds on other machines."""
    root = find_project_root(Path(__file__).parent)
    return os.path.relpath(path, root) if path.is_relative_to(root.parent) else str(path)


def lengthen(text: str) -> str | Path:
    """The folder that `shorten` was given, wherever this process works; the text itself where there is no such one."""
    place = Path(os.path.normpath(find_project_root(Path(__file__).parent) / text))
    return place if place.is_dir() else text


def find_cache_dir(output_dir: Path) -> Path:
    """Where decoded images are kept: ``SEGLIB_CACHE``, to share them between runs, or a folder of the run.

    On Kaggle, what lies in the folder of the run counts as its output, so there it is a folder for temporary files.
    """
    own = Path(tempfile.gettempdir()) / "seglib-cache" if mounts.is_kaggle() else output_dir / "cache"
    return Path(os.environ.get("SEGLIB_CACHE") or own)


def mark_unfinished(output_dir: Path, *, unfinished: bool) -> None:
    """Leave a mark that time ran out for the training in this folder, or take it away."""
    mark = output_dir / UNFINISHED_NAME
    if unfinished:
        mark.touch()
    else:
        mark.unlink(missing_ok=True)


def is_unfinished(output_dir: Path) -> bool:
    """Whether time ran out before the networks of a run, or one of its folds, were trained to their end."""
    return any(output_dir.glob(UNFINISHED_NAME)) or any(output_dir.glob(f"fold_*/{UNFINISHED_NAME}"))


def find_runs(output_dir: Path) -> list[Path]:
    """The runs that a folder stands for: itself, or the folders that its ``ensemble.json`` lists.

    Raises:
        InputError: if the list cannot be read, or one of the runs is gone.
    """
    path = output_dir / "ensemble.json"
    if not path.exists():
        return [output_dir]
    place = output_dir.resolve()  # a link to the folder lies elsewhere
    try:
        runs = [Path(os.path.normpath(place / run)) for run in json.loads(path.read_text(encoding="utf-8"))["runs"]]
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path} is not a list of runs; make the ensemble again in another folder") from None
    for run in runs:
        if not run.is_dir():
            raise InputError(f"{path} names the run {run}, which is gone; put it back or make the ensemble again")
    return runs
