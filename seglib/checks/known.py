"""Cases of Train and images of Test -> whether Test shows patients of Train, who make its score flatter.

Names alone do not tell, as many sets number their test patients from 1 anew. So a test image that is called as one of a
case is believed only where such images look like that case far more often than chance has it.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from seglib.checks.cases import AHEAD, BLOCK, LOOKED_AT, ODDS, SHUFFLES, Cases, cut_all, order_by_number, shrink

FEWEST = 4  # cases of Train that Test shows; one or two may be alike for other reasons
FEW = 0.1  # of the images called after a case; as much may be by mistake
AS_ALIKE = 0.5  # of the share that is alike within Train; what numbers share by chance, such as a hospital, is less


class Images(NamedTuple):
    """Images of one part that can be read."""

    sample_ids: Sequence[str]  # (N,) names of files without ending
    thumbnails: Sequence[np.ndarray]  # (N, S, S) gray levels, as `duplicates.make_thumbnail` gives them
    image_paths: Sequence[str]  # (N,)


class Known(NamedTuple):
    """Test images that seem to show cases of Train."""

    kind: str  # of the cases
    images: int  # how many are called as images of a case of Train
    alike: float  # share of those whose most similar training image is of that very case
    chance: float  # what that would be if the cases of Train had each other's names
    test_path: str  # one of them
    train_path: str  # the training image most like it


def find_known(cases: Cases | None, train: Images, test: Images) -> Known | None:
    """Whether names say, and looks confirm, that test images show cases of Train.

    Args:
        cases: of ``train``, by `cases.find_cases`.
        train: images of which the cases were found.
        test: images of which nothing is learnt.

    Returns:
        What was found; None where cases are not sure, names of Test say nothing, or looks do not confirm it, as where
        few cases are shared.
    """
    if cases is None or not cases.sure or not len(test.sample_ids):
        return None
    own, labels = pd.factorize(cases.labels)
    claim = _claim_names if cases.kind == "names" else _claim_films
    claimed, strata = claim(cases, own, labels, train.sample_ids, test.sample_ids)
    rows, asked = _choose_rows(own, claimed, np.random.default_rng(0))
    if not len(asked):
        return None
    nearest, distance = _find_nearest(shrink(_take(train, rows)), shrink(_take(test, asked)))
    seen = own[rows][nearest]
    alike, chance, confirmed = _compare(seen, claimed[asked], np.unique(own[rows]), strata)
    shown = seen == claimed[asked]
    if not confirmed or alike < AS_ALIKE * cases.alike or len(np.unique(seen[shown])) < FEWEST:
        return None
    best = np.where(shown, distance, np.inf).argmin()
    images = int((claimed >= 0).sum())
    pair = test.image_paths[asked[best]], train.image_paths[rows[nearest[best]]]
    return Known(cases.kind, images, alike, chance, *pair)


def describe_known(known: Known, count: int) -> str:
    """One sentence of what was found, that begins with "seems".

    Args:
        known: of `find_known`.
        count: of all test images.

    Example:
        >>> describe_known(Known("names", 12, 0.95, 0.1, "Test/Image/P3_9.png", "Train/Image/P3_1.png"), 20)
        'seems to show patients of Train: 12 of 20 images are called as one of its cases, such as P3_9.png as \
Train/Image/P3_1.png; for 95 % the training image most like them is of that case, by chance for 10 %'
    """
    alike, chance = (f"{float(f'{100 * share:.2g}'):g} %" for share in (known.alike, known.chance))
    named = known.kind == "names"
    what, one, link = ("patients", "case", "as") if named else ("films or stacks", "film", "near")
    how = "are called as one of its cases" if named else "stand near its images by their numbers"
    example = f"{os.path.basename(known.test_path)} {link} {'/'.join(Path(known.train_path).parts[-3:])}"
    return (
        f"seems to show {what} of Train: {known.images} of {count} images {how}, such as {example}; for {alike} the "
        f"training image most like them is of that {one}, by chance for {chance}"
    )


def _claim_names(
    cases: Cases, own: np.ndarray, labels: np.ndarray, train_ids: Sequence[str], test_ids: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """The case of Train that each test image is called after, -1 if none; and what cases may exchange names with.

    Cases whose names begin alike are of one hospital, perhaps, which Test may share while it numbers patients anew.
    """
    claimed = pd.Index(labels).get_indexer(cut_all(test_ids, cases.words))
    numbered = np.array([label[-1].isdigit() for label in labels])  # words, such as those of kinds, are no patients
    claimed = np.where((claimed >= 0) & numbered[claimed], claimed, -1)
    called = [(test_ids[row], labels[claimed[row]]) for row in np.flatnonzero(claimed >= 0)]
    if _are_given_anew(called, train_ids) or _are_of_others(called, cases.labels, train_ids):
        claimed[:] = -1
    shorter = cut_all(labels, cases.words - 1) if cases.words > 1 else np.zeros(len(labels))
    return claimed, pd.factorize(shorter)[0]


def _are_given_anew(called: Sequence[tuple[str, str]], train_ids: Sequence[str]) -> bool:
    """Whether Train has the same names too, so that each part counts for itself."""
    taken = set(train_ids)
    return bool(called) and np.mean([name in taken for name, _ in called]) > FEW


def _are_of_others(called: Sequence[tuple[str, str]], labels: Sequence[str], train_ids: Sequence[str]) -> bool:
    """Whether names end as no name of Train does, though those repeat.

    `slice03_P27` beside `slice03_P04` and `slice05_P04` is another patient, while the beginnings are no patients at
    all.
    """
    ends = [name[len(label) :] for name, label in zip(train_ids, labels, strict=True)]
    known = set(ends)
    new = [name[len(label) :] not in known for name, label in called]
    return 2 * len(known) <= len(ends) and bool(new) and np.mean(new) >= 1 - FEW


def _claim_films(
    cases: Cases, own: np.ndarray, labels: np.ndarray, train_ids: Sequence[str], test_ids: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """As `_claim_names`: the film of the training image that is nearest by number, at most `AHEAD` places away.

    A number that Train has as well was given anew, as one number is one frame.
    """
    count = len(train_ids)
    table = order_by_number([*train_ids, *test_ids]).reset_index(names="row")
    table["place"] = np.arange(len(table))
    table["near"] = table["place"].where(table["row"] < count)
    table["anew"] = table.groupby(["stem", "number"])["near"].transform("count") > 0
    before, behind = table.groupby("stem")["near"].ffill(), table.groupby("stem")["near"].bfill()
    away = pd.DataFrame({"before": table["place"] - before, "behind": behind - table["place"]}).fillna(np.inf)
    place = before.where(away["before"] <= away["behind"], behind)
    used = (table["row"] >= count) & ~table["anew"] & (away.min(axis=1) <= AHEAD)
    claimed = np.full(len(test_ids), -1)
    claimed[table["row"][used] - count] = own[table["row"].to_numpy()[place[used].astype(int)]]
    stems = order_by_number(list(labels))["stem"].reindex(range(len(labels)), fill_value="")
    return claimed, pd.factorize(stems)[0]


def _choose_rows(own: np.ndarray, claimed: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The training images to compare with, all of a case, and the test images that claim one; `LOOKED_AT` at most.

    Cases that are claimed come first, others of one image not at all.
    """
    sizes = np.bincount(own)
    wanted = np.isin(np.arange(len(sizes)), claimed)
    order = rng.permutation(len(sizes))
    order = order[np.argsort(~wanted[order], kind="stable")]
    order = order[(sizes[order] > 1) | wanted[order]]
    chosen = order[np.cumsum(sizes[order]) <= LOOKED_AT]
    asked = rng.permutation(np.flatnonzero(np.isin(claimed, chosen)))[:LOOKED_AT]
    return np.flatnonzero(np.isin(own, chosen)), np.sort(asked)


def _take(images: Images, rows: np.ndarray) -> list[np.ndarray]:
    return [images.thumbnails[row] for row in rows]


def _find_nearest(looks: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each of others the row of the look nearest to it, by Euclid, and how far that is (squared)."""
    mean = looks.mean(axis=0)  # so that float32 does
    looks, others = looks - mean, others - mean
    squares = np.square(looks).sum(axis=1)
    found = []
    for start in range(0, len(others), BLOCK):
        distance = squares - 2 * others[start : start + BLOCK] @ looks.T
        found.append((distance.argmin(axis=1), distance.min(axis=1)))
    nearest, least = map(np.concatenate, zip(*found, strict=True))
    return nearest, least + np.square(others).sum(axis=1)


def _compare(
    seen: np.ndarray, claimed: np.ndarray, chosen: np.ndarray, strata: np.ndarray
) -> tuple[float, float, bool]:
    """How often what is seen is what names claim, by chance too, and whether that is far from chance.

    Args:
        seen: int (M,), the case of the training image most like each test image.
        claimed: int (M,), the case that its name says.
        chosen: int (K,), the cases that were compared.
        strata: int, of every case; by chance it has the name of any of the same stratum.
    """
    rng = np.random.default_rng(0)
    alike = np.mean(seen == claimed)
    name = np.arange(len(strata))
    usual = chosen[np.argsort(strata[chosen], kind="stable")]
    shuffled = []
    for _ in range(SHUFFLES):
        name[usual] = chosen[np.lexsort([rng.random(len(chosen)), strata[chosen]])]
        shuffled.append(np.mean(name[seen] == claimed))
    chance = np.mean(shuffled)
    far = alike > max(shuffled) and alike * (1 - chance) >= ODDS * chance * (1 - alike)
    return float(alike), float(chance), bool(far)
