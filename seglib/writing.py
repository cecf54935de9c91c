"""Files and folders that are written whole or not at all."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seglib.errors import InputError

PART = ".{name}.{token}.part"  # hidden, and without the ending of the file, so that nobody lists it among others


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all: beside its place first, then moved onto it in one step.

    Raises:
        InputError: if the folder it belongs into is not there, or it is a folder itself.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file to write")
    if not path.parent.is_dir():
        raise InputError(f"{path} cannot be written, as there is no folder {path.parent}; make it or name another")
    with write_whole(path) as part:
        part.write_text(text, encoding="utf-8")


@contextmanager
def write_whole(path: Path, *, part: Path | None = None) -> Iterator[Path]:
    """A place to write a file or a folder in, moved onto ``path`` in one step at the end of the block.

    Where the block fails, what was at ``path`` stays, and what was written is removed. Only a process that is killed
    leaves its part; see ``remove_parts``.

    Args:
        path: where it belongs. A folder must not be there yet, or be empty.
        part: where it is written, on the disk of ``path``; default: beside it, hidden, under a name nobody else has
            (processes of two machines that share the disk may have the same number).
    """
    part = part or path.with_name(PART.format(name=path.name, token=secrets.token_hex(4)))
    try:
        yield part
        os.replace(part, path)
    finally:
        _remove(part)


def remove_parts(folder: Path, name: str) -> None:
    """Remove what killed processes left of files or folders of this name, or pattern; nobody may be writing them."""
    for part in folder.glob(PART.format(name=name, token="*")):
        _remove(part)


def _remove(part: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part, ignore_errors=True)
    else:
        part.unlink(missing_ok=True)
