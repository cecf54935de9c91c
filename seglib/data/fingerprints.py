"""What files hold, as hashes: by them a changed file is noticed, and data is known again wherever it lies."""

import hashlib
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd

from seglib.machine.ahead import map_on_cores
from seglib.machine.progress import track
from seglib.writing import write_text

HELD = "held"  # the column of a table that says of which files it is
SETTLED = 2.0  # seconds; a file younger than this when it is read may change again within one tick of its clock


def fingerprint_data(paths: Sequence[str]) -> str:
    """What tells a data set from all others: its files' names, folders' names and bytes, wherever the set lies.

    Args:
        paths: of the images and masks, in any order.

    Returns:
        ``"sha256:"`` and 32 hexadecimal digits.

    Raises:
        OSError: if a file cannot be read.
    """
    found = zip(map(Path, paths), _digest_files(paths), strict=True)
    lines = sorted(f"{path.parent.name}/{path.name} {digest}" for path, digest in found)
    return "sha256:" + hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def fingerprint_rows(ids: Iterable[str], files: Iterable[Sequence[str]]) -> pd.Series:
    """What tells each sample from what it was before: the bytes of its files, whatever they are called.

    Args:
        ids: of the samples.
        files: of each sample.

    Returns:
        16 hexadecimal digits for each, by ``sample_id``; named `HELD`.

    Raises:
        OSError: if a file cannot be read.
    """
    return pd.Series(
        list(map_on_cores(_digest_part, files)), index=pd.Index(ids, name="sample_id"), name=HELD, dtype=str
    )


def read_measured(path: Path, held: pd.Series) -> pd.DataFrame | None:
    """A table that `write_measured` kept, where it is of these samples as they are now; else None.

    Args:
        path: the CSV file.
        held: of `fingerprint_rows`, of the samples that are wanted.
    """
    if not path.exists():
        return None
    kept = pd.read_csv(path, index_col=0, dtype={"sample_id": str, HELD: str}, keep_default_na=False, na_values=[""])
    same = HELD in kept and kept.index.equals(held.index) and kept[HELD].equals(held)
    return kept.drop(columns=HELD) if same else None


def write_measured(path: Path, table: pd.DataFrame, held: pd.Series) -> None:
    """Keep what was measured of some samples, a row for each, beside what their files held."""
    write_text(path, table.assign(**{HELD: held}).to_csv())


def digest_known_files(paths: list[str], known_path: Path) -> list[str]:
    """A hash of what each file holds; of files that are as they were, the hash that is known.

    Args:
        paths: of the files.
        known_path: a table of hashes beside path, size and times of each file, as an earlier call left it; it is
            brought up to date, where it can be written.

    Returns:
        32 hexadecimal digits for each, the first of its SHA-256.

    Raises:
        OSError: if a file cannot be read.
    """
    files = _stat_files(paths)
    known = _read_known(known_path)
    found = known.reindex(pd.Index(paths))
    same = (found[["size", "modified", "changed"]].to_numpy() == files.to_numpy()).all(axis=1)
    digests = found["sha256"].to_numpy(dtype=object)
    unknown = np.flatnonzero(~same)
    begun = time.time_ns()
    digests[unknown] = _digest_files([paths[row] for row in unknown])
    settled = files[["modified", "changed"]].max(axis=1).to_numpy() < begun - SETTLED * 1e9
    if (settled & ~same).any():
        _write_known(files.assign(sha256=digests)[settled], known, known_path)
    return digests.tolist()


def _stat_files(paths: list[str]) -> pd.DataFrame:
    """Size and times of each file; ``changed`` also tells of bytes exchanged by who restores the time of writing."""
    facts = np.empty((len(paths), 3), dtype=np.int64)
    for row, path in enumerate(paths):
        status = os.stat(path)
        facts[row] = status.st_size, status.st_mtime_ns, status.st_ctime_ns
    return pd.DataFrame(facts, columns=["size", "modified", "changed"], index=pd.Index(paths, name="path"))


def _digest_files(paths: Sequence[str]) -> list[str]:
    return list(track(map_on_cores(_digest, paths), "reading files", total=len(paths), unit="file", leave=False))


def _digest_part(paths: Sequence[str]) -> str:
    return hashlib.sha256("".join(map(_digest, paths)).encode()).hexdigest()[:16]


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]  # most processors have instructions for it


def _read_known(path: Path) -> pd.DataFrame:
    kinds = {"path": str, "size": np.int64, "modified": np.int64, "changed": np.int64, "sha256": str}
    try:
        known = pd.read_csv(path, dtype=kinds, keep_default_na=False, index_col="path")
        return known.loc[~known.index.duplicated(), ["size", "modified", "changed", "sha256"]]
    except (OSError, ValueError, KeyError):  # none yet, or damaged: files are then read again
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds.items()}).set_index("path")


def _write_known(files: pd.DataFrame, known: pd.DataFrame, path: Path) -> None:
    """Of processes that write at once the last one wins, and the others' files are read once more."""
    others = known[~known.index.isin(files.index)]
    others = others[[os.path.exists(other) for other in others.index]]
    with suppress(OSError):  # a cache may be shared with those who only read
        write_text(path, pd.concat([others, files]).to_csv())
