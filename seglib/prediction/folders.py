"""Images of any folder -> a mask of each as a file, and a table of them; what was stopped goes on where it was.

Several processes may share the images: each writes the masks of its part and what it knows of them, and whoever finds
that nothing is missing writes the table.
"""

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
import torch

from seglib.errors import InputError
from seglib.machine.ahead import map_ahead
from seglib.machine.ranks import ALONE, Rank
from seglib.prediction.probabilities import Member, average_maps, predict_readable
from seglib.prediction.rules import MaskRules, make_mask
from seglib.prediction.uncertainty import describe_maps
from seglib.writing import write_whole

TABLE_NAME, UNREADABLE_NAME = "predictions.csv", "unreadable.csv"  # in the folder of the masks
MAPS_NAME = "probabilities"  # the folder of the maps, in that of the masks
RECORDS_NAME = ".predictions"  # the folder of what is known so far, in that of the masks
MAP_WHITE = 65535  # the value of a probability of 1 in the file of a map
COLUMNS = ("sample_id", "height", "width", "mask_share", "expected_dice")  # and the agreement of several networks
WRITERS = 4  # threads that make and write masks; each holds the maps of one image at the size of its file
SAID_AT_MOST = 5  # files that cannot be read, named as they are found

Record = dict[str, Any]  # what is known of an image: a row of the table, or its trouble; and the stamp of its file


class Outcome(NamedTuple):
    """What is there when a process has done its part."""

    images: int  # how many there are
    missing: int  # how many of them are neither predicted nor known as unreadable: those of other processes
    unreadable: list[str]  # why, a sentence for each file that cannot be read; of all processes


def predict_images(
    members: Sequence[Member],
    rules: MaskRules,
    images: pd.DataFrame,
    out: Path,
    *,
    source: Path | None = None,
    with_maps: bool = False,
    rank: Rank = ALONE,
    say: Callable[[str], None] = print,
) -> Outcome:
    """Write the mask of every image, and the table ``predictions.csv``; ``unreadable.csv`` lists what has no mask.

    A mask is ``STEM.png`` at the size of its image: 0, and 255 for foreground. A map is ``probabilities/STEM.png`` with
    16 bits: its values over 65535 are probabilities. Every file is written whole or not at all. What is there is not
    computed again, unless its image has changed (size or time of the file) since. A file that cannot be read is passed
    over and listed. Memory holds a few images, however many there are.

    Args:
        members: as for ``probabilities.predict_probabilities``.
        rules: that make masks of the maps.
        images: table with ``sample_id`` and ``image_path``, of one folder.
        out: the folder of the masks; made if it is not there.
        source: the folder of the images, where they lie in folders inside; else that of the first one.
        with_maps: write the maps as well.
        rank: which of the processes that share the images this is; each takes every so-many-th.
        say: what tells the user of files that cannot be read, and of masks that are there already.

    Returns:
        What is there. The table is written by the process that finds nothing missing.

    Raises:
        InputError: if ``out`` is the folder of the images, or holds other files of the names we write, or predictions
            by other networks or rules, or of another folder.
    """
    folder = _Folder(out, rank, with_maps=with_maps)
    _claim(folder, members, rules, images, source or Path(images["image_path"].iloc[0]).parent)
    images = images.assign(stamp=[_stamp(path) for path in images["image_path"]])
    mine = images.iloc[rank.index :: rank.count]
    # alone, an unreadable file is tried again; of several processes the last to end must know that nothing is missing
    known = _find_known(folder, mine).items()
    settled = {name for name, record in known if rank != ALONE or "trouble" not in record}
    if settled:
        say(f"{len(settled)} of {len(mine)} images are done already")
    todo = mine[~mine["sample_id"].isin(settled)]
    with _Journal(folder) as journal:
        for record in _predict(folder, members, rules, todo):
            journal.add(record)
            if "trouble" in record and journal.troubles <= SAID_AT_MOST:
                say(f"passed over: {record['trouble']}")
    return _join(folder, images, COLUMNS if len(members) == 1 else (*COLUMNS, "agreement"))


class _Folder:
    """The folder of the masks, as one of the processes sees it that fill it."""

    def __init__(self, place: Path, rank: Rank, *, with_maps: bool) -> None:
        self.place, self.records, self.rank, self.with_maps = place, place / RECORDS_NAME, rank, with_maps

    def make(self) -> None:
        """Make it with the folders inside."""
        self.records.mkdir(parents=True, exist_ok=True)
        if self.with_maps:
            (self.place / MAPS_NAME).mkdir(exist_ok=True)

    def list_done(self) -> set[str]:
        """The images that have a mask, and a map where maps are wanted."""
        places = [self.place, self.place / MAPS_NAME] if self.with_maps else [self.place]
        return set.intersection(*({path.stem for path in place.glob("*.png")} for place in places))

    def forget(self, image: str) -> None:
        """Remove what is there of an image."""
        for place in (self.place, self.place / MAPS_NAME):
            (place / f"{image}.png").unlink(missing_ok=True)

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole: among the records first, as others take what lies beside it for masks."""
        part = self.records / f"{self.rank.index}.{os.getpid()}.{name.replace('/', '.')}.part"
        with write_whole(self.place / name, part=part):
            part.write_bytes(data)


def _claim(folder: _Folder, members: Sequence[Member], rules: MaskRules, images: pd.DataFrame, source: Path) -> None:
    """Make the folder this prediction's own, or find that it is."""
    claim, out = folder.records / "claim.json", folder.place
    if source.resolve() == out.resolve():
        raise InputError(f"{out} holds the images, and masks would lie among them; choose another folder for the masks")
    ours = {"networks": _fingerprint(members), "rules": dataclasses.asdict(rules), "images": os.path.abspath(source)}
    if out.is_dir() and not claim.exists():
        written = {TABLE_NAME, UNREADABLE_NAME, *(f"{name}.png" for name in images["sample_id"])}
        foreign = sorted(written & set(os.listdir(out)))
        if foreign and not claim.exists():  # asked again: another process may have claimed it meanwhile, and begun
            raise InputError(f"{out} holds a {foreign[0]} that is not of a prediction; choose another folder")
    folder.make()
    if not claim.exists():
        folder.write(f"{RECORDS_NAME}/{claim.name}", json.dumps(ours).encode())
    theirs = json.loads(claim.read_text(encoding="utf-8"))
    if theirs != ours:
        whose = f"of the images in {theirs['images']}" if theirs["images"] != ours["images"] else "by another run"
        raise InputError(f"{out} holds predictions {whose}; choose another folder, or delete that one")


def _fingerprint(members: Sequence[Member]) -> str:
    """Of the networks and the numbers they predict by, wherever their files lie."""
    digest = hashlib.sha256()
    for network, config in members:
        digest.update(repr(config).encode())
        for name, values in network.state_dict().items():
            digest.update(name.encode())
            digest.update(values.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _stamp(path: str) -> str:
    """What changes with the content of a file, and stays when it is moved."""
    try:
        status = os.stat(path)
    except OSError:
        return "gone"
    return f"{status.st_size} {status.st_mtime_ns}"


def _predict(folder: _Folder, members: Sequence[Member], rules: MaskRules, images: pd.DataFrame) -> Iterator[Record]:
    """Write the masks, and give a record of each image when its files are there."""
    with ThreadPoolExecutor(WRITERS) as pool:
        found = predict_readable(members, list(images["image_path"]))
        jobs = zip(images.itertuples(), found, strict=True)
        yield from map_ahead(pool, lambda job: _write_mask(folder, rules, *job), jobs, ahead=WRITERS)


def _write_mask(folder: _Folder, rules: MaskRules, image: Any, maps: np.ndarray | Exception) -> Record:
    record = {"sample_id": image.sample_id, "stamp": image.stamp}
    if isinstance(maps, Exception):
        folder.forget(image.sample_id)
        full = f"{image.image_path}: memory does not hold it; make it smaller"
        return record | {"trouble": full if isinstance(maps, MemoryError) else str(maps)}
    probability = average_maps(maps)
    mask = make_mask(probability, rules)
    folder.forget(image.sample_id)  # what was written of another picture: mask and map are of one, or not there
    if folder.with_maps:
        levels = np.rint(probability * MAP_WHITE).astype(np.uint16)
        folder.write(f"{MAPS_NAME}/{image.sample_id}.png", _encode_png(levels))
    folder.write(f"{image.sample_id}.png", _encode_png(255 * mask))
    facts = {"height": mask.shape[0], "width": mask.shape[1], "mask_share": float(mask.mean())}
    return record | facts | describe_maps(maps, rules)


def _encode_png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


class _Journal:
    """What one process found out, a line for each image; a file of its own, begun with the first line."""

    def __init__(self, folder: _Folder) -> None:
        self.path = folder.records / f"{folder.rank.index}-{time.time_ns()}.jsonl"
        self.file, self.troubles = None, 0

    def __enter__(self) -> "_Journal":
        return self

    def __exit__(self, *_: object) -> None:
        if self.file:
            self.file.close()

    def add(self, record: Record) -> None:
        """Append a line, so that it outlives this process."""
        self.file = self.file or open(self.path, "x", encoding="utf-8")
        self.file.write(json.dumps(record) + "\n")
        self.file.flush()
        self.troubles += "trouble" in record


def _read_journals(folder: _Folder) -> Iterator[Record]:
    """All records, those of earlier processes first."""
    for path in sorted(folder.records.glob("*.jsonl"), key=lambda path: int(path.stem.split("-")[1])):
        with open(path, encoding="utf-8") as file:
            for line in file:
                if line.endswith("\n"):  # the last one of a process that was killed may be cut short
                    yield json.loads(line)


def _find_known(folder: _Folder, images: pd.DataFrame) -> dict[str, Record]:
    """The records of images whose files are as they were then, and whose masks are there.

    Of each image the newest counts: what an earlier one speaks of has been overwritten since.
    """
    stamps, done = dict(zip(images["sample_id"], images["stamp"], strict=True)), folder.list_done()
    newest = {record["sample_id"]: record for record in _read_journals(folder)}
    return {
        name: record
        for name, record in newest.items()
        if stamps.get(name) == record["stamp"] and ("trouble" in record or name in done)
    }


def _join(folder: _Folder, images: pd.DataFrame, columns: Sequence[str]) -> Outcome:
    """Write the tables if nothing is missing: two processes that end at once find so both, and write the same."""
    known = _find_known(folder, images)
    records = [(image, known[image.sample_id]) for image in images.itertuples() if image.sample_id in known]
    troubles = [(Path(image.image_path).name, one["trouble"]) for image, one in records if "trouble" in one]
    if len(records) == len(images):
        rows = [one for _, one in records if "trouble" not in one]
        folder.write(TABLE_NAME, pd.DataFrame(rows, columns=list(columns)).to_csv(index=False).encode())
        if troubles:
            listed = pd.DataFrame(troubles, columns=["file", "trouble"])
            folder.write(UNREADABLE_NAME, listed.to_csv(index=False).encode())
        else:
            (folder.place / UNREADABLE_NAME).unlink(missing_ok=True)
    return Outcome(len(images), len(images) - len(records), [trouble for _, trouble in troubles])
