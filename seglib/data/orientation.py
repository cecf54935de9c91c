"""Images and masks -> whether they have a way up, and so which mirrors and turns of them a network may see."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from seglib.config import Config
from seglib.data.fingerprints import fingerprint_rows, read_measured, write_measured
from seglib.data.samples import spread_samples
from seglib.images.mask_files import split_files
from seglib.images.masks import read_mask
from seglib.images.reading import Scale, read_resized
from seglib.machine.ahead import map_on_cores
from seglib.machine.progress import track

MOST = 200  # samples that are looked at; of more, as many evenly spread
SIDE = 32  # pixels of what is compared
EDGE = 4  # of these at each side of an image are passed over: letters, rulers and frames of devices lie there
BLOCKS = 5  # parts of the samples, in their order, each judged by the others; those of one patient mostly lie in one
FEWEST = 20  # pictures that differ from their changed selves, for a share of them to tell anything
TOLD = 0.9  # share of pictures from which on a change is one that the set never shows
CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # of pictures (N, H, W, C)
    "mirrored": lambda pictures: pictures[:, :, ::-1],
    "upside_down": lambda pictures: pictures[:, ::-1],
    "turned": lambda pictures: np.rot90(pictures, axes=(1, 2)),
}
LEFT = {"mirrored": 1, "upside_down": 2, "turned": 4}  # symmetries that are left without the change
WORDS = {"mirrored": "left and right exchanged", "upside_down": "upside down", "turned": "turned by a quarter"}
OUTCOMES = {
    1: "nothing is exchanged or turned",
    2: "only left and right are exchanged, and nothing is turned",
    4: "they are mirrored both ways, and not turned",
    8: "all mirrors and quarter turns are used",
}


def prepare_orientation(path: Path, samples: pd.DataFrame, *, channels: int, scale: Scale) -> pd.DataFrame:
    """How much more each image, and each mask, is like the others as it is than changed; kept in a file.

    Args:
        path: the file, ``orientation.csv`` of a run; read where it is of the samples as they are, else written.
        samples: table with ``sample_id``, ``image_path`` and ``mask_path``; of more than `MOST` as many are looked at.
        channels: of all images, 1 or 3.
        scale: black and white of all images.

    Returns:
        Numbers of `measure_orientation`; a row for each sample, by ``sample_id``; columns ``image_mirrored``,
        ``image_upside_down``, ``image_turned`` and the same of the ``mask``.

    Raises:
        InputError: a file cannot be read.
    """
    some = spread_samples(samples, MOST)
    pairs = list(zip(some["image_path"], some["mask_path"], strict=True))
    held = fingerprint_rows(some["sample_id"], ([image, *split_files(mask)] for image, mask in pairs))
    if (kept := read_measured(path, held)) is not None:
        return kept
    shrink = partial(_shrink, channels=channels, scale=scale)
    images, masks = zip(*track(map_on_cores(shrink, pairs), "looking which way up", total=len(pairs)), strict=True)
    found = {"image": measure_orientation(_normalize(np.stack(images))), "mask": measure_orientation(np.stack(masks))}
    table = pd.concat([one.add_prefix(f"{kind}_") for kind, one in found.items()], axis=1).astype(float).round(4)
    table = table.set_axis(some["sample_id"], axis=0)
    write_measured(path, table, held)
    return table


def measure_orientation(pictures: np.ndarray) -> pd.DataFrame:
    """How well the others tell each picture from its changed self, by what all of them have in common.

    With ``d = picture - change(picture)`` it is the cosine of the angle between a picture's ``d`` and the sum of the
    ``d`` of all pictures in other blocks: above 0, the picture is nearer to their mean as it is; below 0, changed.

    Args:
        pictures: float (N, S, S, C), in an order in which those of one patient are neighbours.

    Returns:
        A row for each picture and a column for each of `CHANGES`, in [-1, 1]; 0 where a change leaves it as it is.
    """
    block = np.arange(len(pictures)) * BLOCKS // max(1, len(pictures))
    found = {}
    for name, change in CHANGES.items():
        apart = (pictures - change(pictures)).reshape(len(pictures), -1)
        sums = np.stack([apart[block == number].sum(0) for number in range(BLOCKS)])
        others = (sums.sum(0) - sums)[block]
        lengths = np.linalg.norm(apart, axis=1) * np.linalg.norm(others, axis=1)
        found[name] = (apart * others).sum(1) / np.where(lengths > 0, lengths, np.inf)
    return pd.DataFrame(found)


def share_told(table: pd.DataFrame) -> pd.DataFrame:
    """Share of the pictures that are told from their changed selves; half of them where a set has no way up.

    Args:
        table: of `prepare_orientation`.

    Returns:
        In [0, 1], a row for each of `CHANGES`, columns ``image`` and ``mask``; not a number where fewer than `FEWEST`
        pictures differ from their changed selves.
    """
    right, differ = (table > 0).sum(), (table != 0).sum()
    share = right / differ.where(differ >= FEWEST)
    return pd.DataFrame({kind: [share[f"{kind}_{name}"] for name in CHANGES] for kind in ("image", "mask")}, [*CHANGES])


def find_symmetries(table: pd.DataFrame) -> int:
    """How many symmetries of the square a set has: 1, 2, 4 or 8, as in `Config`.

    Args:
        table: of `prepare_orientation`.

    Returns:
        The most that hold no change which images or masks are told from, in at least `TOLD` of them.
    """
    told = share_told(table).max(axis=1) >= TOLD
    return min((LEFT[name] for name in CHANGES if told[name]), default=8)


def fit_symmetries(config: Config, table: pd.DataFrame) -> Config:
    """The configuration with the ``symmetries`` that the set has, where they are 0, and no more averaged in ``tta``.

    Args:
        config: of the run.
        table: of `prepare_orientation`.
    """
    if config.symmetries:
        return config
    count = find_symmetries(table)
    return dataclasses.replace(config, symmetries=count, tta=min(config.tta, count))


def describe_orientation(table: pd.DataFrame, config: Config) -> str:
    """Whether the set has a way up, and what follows for augmentation and prediction, in a sentence.

    Args:
        table: of `prepare_orientation`.
        config: of the run, before `fit_symmetries`.
    """
    share, count, set_to = share_told(table).max(axis=1), find_symmetries(table), config.symmetries
    if share.isna().all():
        return (
            f"Fewer than {FEWEST} images differ from their mirrored selves, too few to tell whether they have a way up"
        )
    told = [f"{100 * share[name]:.0f} % {WORDS[name]}" for name in CHANGES if share[name] >= TOLD]
    fact = f"Images, or their masks, can be told from themselves changed: {', '.join(told)}"
    if not told:
        fact = f"Mirrored or turned, at most {100 * share.max():.0f} % of the images can be told from themselves"
    if not set_to:
        other = "--set symmetries=8 uses all" if told else "--set symmetries=2 keeps them upright"
        return f"{fact}; so in training and prediction {OUTCOMES[count]} ({other})"
    if set_to <= count:
        return f"{fact}; symmetries={set_to} shows the network nothing that is not in the set"
    shown = " and ".join(WORDS[name] for name in CHANGES if share[name] >= TOLD and set_to > LEFT[name])
    return f"{fact}; but symmetries={set_to} shows the network images {shown}: --set symmetries={count} does not"


def _shrink(pair: tuple[str, str], *, channels: int, scale: Scale) -> tuple[np.ndarray, np.ndarray]:
    image = read_resized(pair[0], SIDE, channels=channels, scale=scale)[EDGE:-EDGE, EDGE:-EDGE]
    mask = cv2.resize(read_mask(pair[1]).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return image.astype(np.float32), mask[..., None]


def _normalize(images: np.ndarray) -> np.ndarray:
    """Each image about its own mean and of length 1, so that a bright one counts no more than a dark one."""
    images = images - images.mean((1, 2), keepdims=True)
    lengths = np.sqrt((images**2).sum((1, 2, 3), keepdims=True))
    return images / np.where(lengths > 0, lengths, 1)
