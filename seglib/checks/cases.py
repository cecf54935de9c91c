"""Names and thumbnails -> cases: images of one patient, slide or film, where names say so and looks agree.

Slices of one patient on both sides of a split make a score that no new patient will give. File names often tell
(``P03_slice17``, ``12_left``, the frames 0001, 0002, ... of films), but ``2019_17`` may be the year, which is no case.
So what names suggest is believed only where images of one case look more alike than chance has it.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from seglib.machine.scratch import open_scratch

SIDE = 8  # pixels of what is compared: the look as a whole, where near-duplicates are a matter of details
LOOKED_AT = 2000  # images at most, as each is compared with each
SHUFFLES = 999  # of the names; none may do as well as they do
ODDS = 5.0  # that the most similar image is of the same case, over those of chance
MIN_CASES = 10  # of several images; fewer may as well be hospitals, and folds would be of very different kinds
FEW_PARTS = 5  # a patient has a few studies; a beginning that holds more of them, as a rule, is a hospital
MAX_SHARE = 1 / 3  # of the images in one case; a larger one leaves too little for the other side of a split
RARE = 0.05  # of the pairs of any images look as alike as neighbours in a film are taken to
FILM = 0.5  # of the neighbours in number look so alike in films; of 806 skin lesions 14 % do
AHEAD = 5  # places up to which an image links to those behind it; where it is 1, jitter cuts a film in four
PAIRS = 20_000  # of any images, to know what is rare
BLOCK = 1024  # looks in memory at a time


class Cases(NamedTuple):
    """What names and looks tell of a set of images."""

    labels: np.ndarray  # str (N,), each image's case: how its name begins, or the name of the first of its film
    kind: str  # "names", where they begin alike; "numbers", where neighbours in number look alike
    alike: float  # share whose most similar image is of the same case; of neighbours in number that look alike
    chance: float  # what that would be if names had nothing to do with looks
    sure: bool  # enough of them, and none too large, to keep each on one side of a split
    words: int = 0  # of a name that tell its case
    limit: float = 0.0  # distance below which images near in number are of one film


def find_cases(sample_ids: Sequence[str], thumbnails: Sequence[np.ndarray]) -> Cases | None:
    """The cases that the names of images suggest and their looks confirm.

    Names are cut behind each of their words and numbers. A beginning that several images share counts where the image
    most like one of them has it too, far more often than when names are shuffled. A shorter one counts instead where
    that holds even among images that differ in the longer one (`P03` of `P03_study2_slice17`), unless it has so many
    longer ones that it may be a hospital. Where no beginning counts, images in the order of their numbers are cut into
    films where the next few look no more alike than most pairs do.

    Args:
        sample_ids: (N,) names of files without ending.
        thumbnails: (N, S, S) gray levels, as `duplicates.make_thumbnail` gives them.

    Returns:
        The cases, or None where names say nothing that looks confirm.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> patients = [rng.uniform(0, 255, (64, 64)).astype(np.float32) for _ in range(12)]
        >>> slices = [patient + rng.normal(0, 5, (64, 64)) for patient in patients for _ in range(4)]
        >>> names = [f"P{patient:02d}_{slice}" for patient in range(12) for slice in range(4)]
        >>> find_cases(names, slices).labels[:5].tolist()
        ['P00', 'P00', 'P00', 'P00', 'P01']
    """
    names = [str(name) for name in sample_ids]
    looks = shrink(thumbnails)
    best, finer = None, np.arange(len(names))
    for words, labels in _cut_names(names):
        numbers = pd.factorize(labels)[0]
        alike, chance, confirmed = _compare_looks(looks, numbers, finer)
        sure = _is_sure(labels)
        if confirmed and (best is None or (sure and _hold_few(numbers, finer))):
            best, finer = Cases(labels, "names", alike, chance, sure, words=words), numbers
    if best is None or not (best.sure or any(character.isdigit() for character in "".join(best.labels))):
        return _find_films(names, looks)  # a few words, such as those of two hospitals, are no cases
    return best


def label_others(cases: Cases, sample_ids: Sequence[str], thumbnails: Sequence[np.ndarray]) -> np.ndarray:
    """The cases of other images, such as test images, told as those of a set were; so few may tell nothing themselves.

    Args:
        cases: of `find_cases`.
        sample_ids: (M,) names of the other files.
        thumbnails: (M, S, S) as for `find_cases`.

    Returns:
        str (M,), as ``cases.labels``.

    Example:
        >>> found = Cases(np.array(["P01", "P01"], dtype=object), "names", 1.0, 0.1, True, words=2)
        >>> label_others(found, ["P07_1", "P07_2", "P08_1"], np.zeros((3, 64, 64))).tolist()
        ['P07', 'P07', 'P08']
    """
    names = [str(name) for name in sample_ids]
    if cases.kind == "names":
        return cut_all(names, cases.words)
    return _link_films(names, shrink(thumbnails), cases.limit)[0]


def describe_cases(cases: Cases) -> str:
    """One sentence of what was found, that begins with "holds".

    Example:
        >>> labels = np.repeat(np.array(["P01", "P02"], dtype=object), [7, 5])
        >>> describe_cases(Cases(labels, "names", 0.75, 0.5, False))
        'holds 2 cases by its names, such as P01 with 7 images: for 75 % the image most like it is of its case, by \
chance for 50 %'
    """
    sizes = pd.Series(cases.labels).value_counts()
    found = f"such as {sizes.index[0]} with {sizes.iloc[0]} images"
    alike, chance = (f"{float(f'{100 * share:.2g}'):g} %" for share in (cases.alike, cases.chance))  # 100, not 1e+02
    if cases.kind == "names":
        how = f"for {alike} the image most like it is of its case, by chance for {chance}"
        return f"holds {len(sizes)} cases by its names, {found}: {how}"
    how = f"{alike} of the neighbours in number look alike, by chance {chance}"
    what = "films or stacks" if len(sizes) > 1 else "film or stack"
    return f"holds {len(sizes)} {what} by its numbers, {found} from there on: {how}"


def shrink(thumbnails: Sequence[np.ndarray]) -> np.ndarray:
    """(N, SIDE * SIDE) gray levels of (N, S, S) thumbnails: each one's look as a whole."""
    looks = open_scratch((len(thumbnails), SIDE * SIDE), np.float32)
    for row, thumbnail in enumerate(thumbnails):
        small = cv2.resize(np.asarray(thumbnail, np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        looks[row] = small.ravel()
    return looks


def _cut_names(names: Sequence[str]) -> Iterator[tuple[int, np.ndarray]]:
    """How many words are left, and the beginnings; the longest first, but not where all are the same or none is.

    Of those that divide the images in the same way the shortest.
    """
    longest, longer = max((len(_find_ends(name)) for name in names), default=1), None
    for words in range(longest - 1, 0, -1):
        labels = cut_all(names, words)
        if longer is not None and (pd.factorize(labels)[0] != pd.factorize(longer)[0]).any():
            yield from _useful(words + 1, longer)
        longer = labels
    if longer is not None:
        yield from _useful(1, longer)


def _useful(words: int, labels: np.ndarray) -> list[tuple[int, np.ndarray]]:
    return [(words, labels)] if 1 < len(np.unique(labels)) < len(labels) else []


def _find_ends(name: str) -> list[int]:
    """Where the words and numbers of a name end."""
    return [word.end() for word in re.finditer(r"\d+|[^\W\d_]+", name)] or [len(name)]


def cut_all(names: Sequence[str], words: int) -> np.ndarray:
    """The beginnings of names, (N,) str, each of so many words and numbers; of at least one."""
    cut = [name[: ends[min(words, len(ends)) - 1]] for name in names for ends in [_find_ends(name)]]
    return np.array(cut, dtype=object)


def _compare_looks(looks: np.ndarray, labels: np.ndarray, finer: np.ndarray) -> tuple[float, float, bool]:
    """How often the most similar image has the same label, by chance too, and whether that is far from chance.

    Args:
        looks: (N, S * S).
        labels: int (N,).
        finer: int (N,), a division of the labels; what is most similar is looked for outside an image's own part.
    """
    rng = np.random.default_rng(0)
    rows = _choose_labels(labels, rng)
    if len(rows) < 2:
        return 0.0, 0.0, False
    labels, parts = labels[rows], pd.factorize(finer[rows])[0]
    nearest = _find_nearest(np.asarray(looks[rows]), parts)
    alike = np.mean(labels[nearest] == labels)
    owners = labels[np.unique(parts, return_index=True)[1]]
    shuffled = [np.mean((some := rng.permutation(owners)[parts])[nearest] == some) for _ in range(SHUFFLES)]
    chance = np.mean(shuffled)
    far = alike > max(shuffled) and alike * (1 - chance) >= ODDS * chance * (1 - alike)
    return float(alike), float(chance), bool(far)


def _choose_labels(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The rows of some labels, picked by chance, that several images have: all of each, `LOOKED_AT` at most."""
    sizes = np.bincount(labels)
    order = rng.permutation(len(sizes))
    order = order[(sizes[order] > 1) & (sizes[order] <= LOOKED_AT)]
    return np.flatnonzero(np.isin(labels, order[np.cumsum(sizes[order]) <= LOOKED_AT]))


def _find_nearest(looks: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Each row's nearest one, by Euclid, of another part."""
    looks = looks - looks.mean(axis=0)  # so that float32 does
    squares = np.square(looks).sum(axis=1)
    distance = squares[:, None] + squares - 2 * looks @ looks.T
    distance[parts[:, None] == parts] = np.inf
    return distance.argmin(axis=1)


def _hold_few(labels: np.ndarray, finer: np.ndarray) -> bool:
    return len(np.unique(np.stack([labels, finer]), axis=1).T) <= FEW_PARTS * len(np.unique(labels))


def _is_sure(labels: np.ndarray) -> bool:
    sizes = pd.Series(labels).value_counts()
    return bool((sizes > 1).sum() >= MIN_CASES and sizes.iloc[0] <= MAX_SHARE * len(labels))


def _find_films(names: Sequence[str], looks: np.ndarray) -> Cases | None:
    """Images in the order of their numbers, cut where the next few do not look alike; None if few neighbours do."""
    if len(order_by_number(names)) < 2 * MIN_CASES:
        return None
    first, second = np.random.default_rng(0).integers(len(names), size=(2, PAIRS))
    limit = float(np.quantile(_distances(looks, first[first != second], second[first != second]), RARE))
    labels, alike = _link_films(names, looks, limit)
    return Cases(labels, "numbers", alike, RARE, _is_sure(labels), limit=limit) if alike >= FILM else None


def _link_films(names: Sequence[str], looks: np.ndarray, limit: float) -> tuple[np.ndarray, float]:
    """Each image's film, by the name of its first image; and the share of the neighbours in number that look alike."""
    found = order_by_number(names)
    order, stem = found.index.to_numpy(), found["stem"].to_numpy()
    labels = np.array(names, dtype=object)
    links = [np.zeros((2, 0), dtype=int)]
    for step in range(1, min(AHEAD, len(order) - 1) + 1):
        near = (_distances(looks, order[:-step], order[step:]) < limit) & (stem[:-step] == stem[step:])
        links.append(np.stack([np.flatnonzero(near), np.flatnonzero(near) + step]))
    if len(order) > 1:
        labels[order] = labels[order][_first_linked(np.concatenate(links, axis=1), len(order))]
    return labels, links[1].shape[1] / (len(order) - 1) if len(links) > 1 else 0.0


def order_by_number(names: Sequence[str]) -> pd.DataFrame:
    """The last ``number`` of names and the ``stem`` before it, sorted by them; not of names without a number.

    The index counts the names.
    """
    found = pd.Series(names, dtype=object).str.extract(r"^(?P<stem>.*?)(?P<number>\d+)\D*$").dropna()
    return found.assign(number=found["number"].astype(float)).sort_values(["stem", "number"])


def _first_linked(links: np.ndarray, count: int) -> np.ndarray:
    """The smallest of all numbers that each one is linked with, over others too; links are columns of two."""
    graph = coo_array((np.ones(links.shape[1]), tuple(links)), shape=(count, count))
    _, first, part = np.unique(connected_components(graph, directed=False)[1], return_index=True, return_inverse=True)
    return first[part]


def _distances(looks: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    blocks = [slice(start, start + BLOCK) for start in range(0, len(first), BLOCK)]
    return np.concatenate([np.linalg.norm(looks[first[block]] - looks[second[block]], axis=1) for block in blocks])
