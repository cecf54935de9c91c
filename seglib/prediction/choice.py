"""Held-out probability maps and their references -> the rules that make the best masks of them."""

import dataclasses
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

import numpy as np
from sklearn.model_selection import KFold

from seglib.machine.ahead import map_on_cores
from seglib.prediction.rules import MaskRules, find_parts, keep_parts, make_mask, measure_core
from seglib.scores.intervals import compare_scores, number_groups
from seglib.scores.metrics import dice_of_counts

THRESHOLDS = tuple(round(0.30 + 0.05 * step, 2) for step in range(9))  # 0.30 to 0.70
AREAS = (0.0005, 0.002, 0.005)  # shares of the image; 0.002 is a part of 23 x 23 pixels in one of 512 x 512
# Images that show nothing: a doubtful spot there costs the whole image. What is sure tells them better than the size of
# the mask does, and a few thousandths are 36 x 36 pixels in an image of 512 x 512, or a tenth of a small object.
CORES = (0.001, 0.003, 0.01, 0.03)
PARTS = (
    *({"largest_only": largest, "smallest_core": core} for largest, core in product((False, True), (0.0, *CORES))),
    *({"smallest_area": area} for area in AREAS),
)
CANDIDATES = tuple(
    MaskRules(threshold=threshold, fill_holes=fill, **part)
    for threshold, fill, part in product(THRESHOLDS, (False, True), PARTS)
)
DEFAULT = CANDIDATES.index(MaskRules())


def score_rules(probability: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The Dice of one image under each of ``CANDIDATES``; both masks empty 1, one of them empty 0.

    Parts are found once for each threshold, with and without holes, and every rule about parts is a sum over them.

    Args:
        probability: float (H, W) in [0, 1].
        mask: reference, uint8 (H, W) in {0, 1}.

    Returns:
        float64, one for each candidate.

    Raises:
        ValueError: if the two shapes differ.
    """
    if probability.shape != mask.shape:
        raise ValueError(f"probability {probability.shape} and mask {mask.shape} differ")
    foreground, target_area = mask.ravel() > 0, int(np.count_nonzero(mask))
    core, scores = measure_core(probability), []
    for threshold, fill in product(THRESHOLDS, (False, True)):
        labels, areas = find_parts(make_mask(probability, MaskRules(threshold, fill)))
        overlaps = np.bincount(labels.ravel()[foreground], minlength=len(areas))
        for part in PARTS:
            kept = keep_parts(areas, mask.size, MaskRules(**part)) & (core >= part.get("smallest_core", 0.0))
            scores.append(dice_of_counts(int(overlaps[kept].sum()), int(areas[kept].sum()), target_area))
    return np.array(scores)


def choose_rules(table: np.ndarray, *, groups: Sequence | None = None) -> MaskRules:
    """The rules for images like these: the plain threshold, unless others are better by more than chance.

    Better by more than chance is a mean gain over the plain threshold of 0.5 of more than its standard error, image by
    image. The plain one stays unless the best candidate, that of the highest mean Dice, is so. Else three steps lead to
    the rules, all among the candidates that are better by more than chance:

    1. near the best are those that lie behind it by no more than one standard error of that difference;
    2. the simplest of them is found: the fewest rules, then the threshold nearest to 0.5;
    3. of all candidates at least as simple as that one the highest mean is taken, of equal ones the simplest.

    Two images at least are needed to tell chance; with fewer the plain threshold stays. Images of one patient tell less
    than as many strangers: give their groups, of which two are needed then.

    Args:
        table: (N, candidates) of ``score_rules``.
        groups: (N,) the group of each image; None: each is one of its own.

    Returns:
        One of ``CANDIDATES``.

    Example:
        >>> table = np.full((8, len(CANDIDATES)), 0.8)
        >>> table[:, [CANDIDATES.index(MaskRules(0.4)), CANDIDATES.index(MaskRules(0.45, fill_holes=True))]] = 0.9
        >>> choose_rules(table)
        MaskRules(threshold=0.4, fill_holes=False, smallest_area=0.0, largest_only=False, smallest_core=0.0)
    """
    codes = number_groups(groups, len(table))
    means = table.mean(axis=0)
    best = int(means.argmax())
    from_best, from_plain = table[:, [best]] - table, table - table[:, [DEFAULT]]
    clear = from_plain.mean(axis=0) > _standard_error(from_plain, codes)
    if codes.max() < 1 or not clear[best]:
        return CANDIDATES[DEFAULT]

    def effort(number: int) -> tuple[int, float]:
        rules = CANDIDATES[number]
        count = rules.fill_holes + rules.largest_only + bool(rules.smallest_area) + bool(rules.smallest_core)
        return count, round(abs(rules.threshold - 0.5), 6)

    near = clear & (means[best] - means <= _standard_error(from_best, codes))
    simplest = min(effort(number) for number in np.flatnonzero(near).tolist())
    # the noisier a candidate, the easier it is near the best: one as simple that scores higher goes before it
    as_simple = [number for number in np.flatnonzero(clear).tolist() if effort(number) <= simplest]
    return CANDIDATES[min(as_simple, key=lambda number: (-means[number], effort(number)))]


def _standard_error(differences: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Of the mean of each column, where rows of one code depend on each other.

    ``sqrt(G / (G - 1) sum over groups of (sum over the group of x - mean)^2) / N``, which is the usual one where each
    of the G groups is one of the N rows. Source: Cameron and Miller 2015, https://doi.org/10.3368/jhr.50.2.317.
    """
    count = codes.max() + 1
    sums = np.zeros((count, differences.shape[1]))
    np.add.at(sums, codes, differences - differences.mean(axis=0))
    return np.sqrt(np.square(sums).sum(axis=0) * count / max(count - 1, 1)) / len(differences)


def divide_images(folds: Sequence[int], *, groups: Sequence | None = None) -> np.ndarray:
    """The parts for cross-fitting: the folds, or, where one fold alone was held out, five random parts of it.

    Args:
        folds: (N,) the fold of each image.
        groups: (N,) the group of each image, which is never divided; None: each is one of its own.

    Returns:
        int (N,); two parts at least, unless there is but one image, or one group.

    Example:
        >>> divide_images([4, 4, 2]).tolist(), len(set(divide_images([0] * 20).tolist()))
        ([4, 4, 2], 5)
    """
    parts = np.asarray(folds, dtype=int).copy()
    codes = number_groups(groups, len(parts))
    if len(set(parts.tolist())) == 1 and codes.max() > 0:
        several = np.arange(codes.max() + 1)
        splitter = KFold(min(5, len(several)), shuffle=True, random_state=0)
        for number, (_, own) in enumerate(splitter.split(several)):
            parts[np.isin(codes, own)] = number
    return parts


def cross_fit_rules(table: np.ndarray, parts: Sequence[int], *, groups: Sequence | None = None) -> list[MaskRules]:
    """The rules for each image, chosen on the images of the other parts: what is scored was not tuned on.

    Args:
        table: (N, candidates) of ``score_rules``, from maps of networks that did not learn from the image.
        parts: (N,) of ``divide_images``.
        groups: as for ``choose_rules``.
    """
    parts, codes = np.asarray(parts), number_groups(groups, len(table))
    numbers = set(parts.tolist())
    if len(numbers) == 1:
        return [MaskRules()] * len(parts)
    chosen = {part: choose_rules(table[parts != part], groups=codes[parts != part]) for part in numbers}
    return [chosen[part] for part in parts.tolist()]


def describe_rules(table: np.ndarray, fitted: Sequence[MaskRules], *, groups: Sequence | None = None) -> dict[str, Any]:
    """What ``masks.json`` holds: the rules for new images, and what they are worth.

    Args:
        table: (N, candidates) of ``score_rules``.
        fitted: of ``cross_fit_rules``.
        groups: as for ``choose_rules``.

    Returns:
        ``rules`` (chosen on all N images, for those that no network has seen), ``fitted_rules`` (those of the parts, a
        measure of how sure the choice is), ``images``, ``plain_dice`` and ``fitted_dice`` (means over the N images),
        ``gain`` (the difference with its ``standard_error``, and ``low``, ``high`` and ``p`` of
        ``intervals.compare_scores``) and ``sensitivity`` (per candidate the mean Dice and the standard error of its
        difference from the plain threshold).
    """
    plain = table[:, DEFAULT]
    scored = table[np.arange(len(table)), [CANDIDATES.index(rules) for rules in fitted]]
    codes = number_groups(groups, len(table))
    gain = compare_scores(plain, scored, groups=codes)
    gain["standard_error"] = float(_standard_error((scored - plain)[:, None], codes)[0])
    errors = _standard_error(table - plain[:, None], codes)
    return {
        "rules": dataclasses.asdict(choose_rules(table, groups=codes)),
        "fitted_rules": [dataclasses.asdict(rules) for rules in dict.fromkeys(fitted)],
        "images": len(table),
        "plain_dice": float(plain.mean()),
        "fitted_dice": float(scored.mean()),
        "gain": {name: gain[name] for name in ("difference", "standard_error", "low", "high", "p")},
        "sensitivity": [
            dataclasses.asdict(rules) | {"dice": round(float(mean), 6), "standard_error": round(float(error), 6)}
            for rules, mean, error in zip(CANDIDATES, table.mean(axis=0), errors, strict=True)
        ],
    }


def collect_scores(probabilities: Iterable[np.ndarray], masks: Iterable[np.ndarray]) -> np.ndarray:
    """``score_rules`` of every image: (N, candidates)."""
    pairs = zip(probabilities, masks, strict=True)
    return np.stack(list(map_on_cores(lambda pair: score_rules(*pair), pairs, ahead=1)))
