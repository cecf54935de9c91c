"""Probability maps against references -> whether the probabilities mean what they say, and the temperature that helps.

One pass over the maps makes a small histogram of each image; every number here is computed from sums of histograms.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import expit

from seglib.scores.metrics import boundary_band
from seglib.scores.tables import tabulate_numbers

# One in a million, exact in float32. Half precision, in which maps are kept on their way, takes all above 1 - 2^-12 for
# 1; yet clipping there hides how certain a network is, and temperatures of 2 then come out as 1.6.
EPSILON = 2.0**-20
CELLS = 2048  # even, so that none holds probabilities on both sides of 0.5
GRID = np.linspace(-1, 1, CELLS) * np.log((1 - EPSILON) / EPSILON)  # the logit of each cell
TEMPERATURES = (0.05, 20.0)  # beyond them a map is all certainty or all doubt

DEFINITIONS = {
    "temperature": "Above 1 the network is too sure of itself, below 1 too careful, and 1 changes nothing: what the "
    "logits, ln(p / (1 - p)) of each probability p, are divided by so that they fit best, from 0.05 to 20.",
    "ece_before": "Mean distance between stated probability and observed share of foreground (expected calibration "
    "error, 20 bins), every image weighing the same; 0 to 1, lower is better.",
    "ece_after": "The same after each fold's temperature, fitted on the other folds; 0 to 1, lower is better.",
    "ece_before_band": "The distance before scaling, of the pixels round the reference's edge alone; 0 to 1, lower is "
    "better.",
    "ece_after_band": "The distance after scaling, of the pixels round the reference's edge alone; 0 to 1, lower is "
    "better.",
}

TITLES = {
    "temperature": "temperature",
    "ece_before": "calibration error",
    "ece_after": "calibration error after scaling",
    "ece_before_band": "calibration error round the edge",
    "ece_after_band": "calibration error round the edge after scaling",
}


def logit_histogram(probability: np.ndarray, mask: np.ndarray, *, band: np.ndarray | None = None) -> np.ndarray:
    """How an image's pixels, and those of its foreground, are spread over logits: all that calibration needs of it.

    Counts are divided by the number of pixels, so that in a sum of histograms every image weighs the same, whatever the
    size of its file. Probabilities are clipped to [``EPSILON``, 1 - ``EPSILON``] and their logits rounded to ``GRID``,
    whose cells lie 0.014 apart: a probability moves by at most 0.0017 at 0.5, and less towards 0 and 1.

    Args:
        probability: float (H, W) in [0, 1].
        mask: reference, uint8 (H, W) in {0, 1}.
        band: bool (H, W), the only pixels to look at, as ``metrics.boundary_band`` gives them. Most pixels of an image
            are easy background, and its calibration is theirs; in the band the doubtful ones are seen.

    Returns:
        float32 (``CELLS``, 2), 16 KiB: share of the pixels in each cell, and of those that are foreground. The first
        column sums to 1, or to 0 where the band is empty. Add many of them in float64.

    Raises:
        ValueError: if the shapes differ or ``probability`` leaves [0, 1].

    Example:
        >>> histogram = logit_histogram(np.array([[0.0, 0.0, 0.0, 1.0]]), np.array([[0, 0, 1, 1]]))
        >>> histogram[[0, -1]].tolist()
        [[0.75, 0.25], [0.25, 0.25]]
    """
    for other in (mask,) if band is None else (mask, band):
        if other.shape != probability.shape:
            raise ValueError(f"probability {probability.shape} and mask or band {other.shape} differ")
    if band is not None:
        probability, mask = probability[band], mask[band]
    if not probability.size:
        return np.zeros((CELLS, 2), np.float32)
    if not (probability.min() >= 0 and probability.max() <= 1):  # true for not-a-number too
        raise ValueError("probability leaves [0, 1]; logits are not wanted here")
    cell = np.rint((_logits(probability.astype(np.float32, copy=False)) / GRID[-1] + 1) * ((CELLS - 1) / 2))
    both = np.bincount((cell + CELLS * (mask != 0)).astype(np.intp).ravel(), minlength=2 * CELLS).reshape(2, CELLS)
    return (np.stack([both.sum(axis=0), both[1]], axis=1) / probability.size).astype(np.float32)


def count_bins(histogram: np.ndarray, *, temperature: float = 1.0, bins: int = 20) -> np.ndarray:
    """The reliability table: pixels sorted by their probability into bins of equal width.

    Args:
        histogram: sum of ``logit_histogram`` over images, (``CELLS``, 2).
        temperature: that the logits are divided by first, above 0.
        bins: of probability, from 0 to 1; each holds its lower end.

    Returns:
        float64 (bins, 3): pixels, sum of their probabilities, sum of their mask, all in the weights of the histogram.
        Tables of several histograms can be added.

    Example:
        >>> histogram = logit_histogram(np.array([[0.2, 0.2, 0.2, 0.9]]), np.array([[0, 0, 1, 1]]))
        >>> count_bins(histogram, bins=2).round(2).tolist()
        [[0.75, 0.15, 0.25], [0.25, 0.23, 0.25]]
    """
    probability = expit(GRID / temperature)
    number = np.minimum((probability * bins).astype(int), bins - 1)
    columns = (histogram[:, 0], histogram[:, 0] * probability, histogram[:, 1])
    return np.stack([np.bincount(number, weights=column, minlength=bins) for column in columns], axis=1)


def calibration_error(counts: np.ndarray) -> float:
    """Expected calibration error: how far probability and share of foreground lie apart, averaged over the pixels.

    ``sum_b |sum(probability)_b - sum(mask)_b| / sum_b pixels_b`` over bins ``b``. It is that of the maps rounded as
    ``logit_histogram`` says; on maps of a network the two differ by less than 0.001.

    Args:
        counts: of ``count_bins``, (bins, 3).

    Returns:
        In [0, 1]; 0 where of the pixels that say 30 %, 30 % are foreground. It is also 0 where every pixel says the
        share of foreground in the data: small is no praise without a good Dice.

    Raises:
        ValueError: if there are no pixels.

    Source:
        Naeini et al. 2015, https://doi.org/10.1609/aaai.v29i1.9602; of the foreground's probability, as in
        ``torchmetrics.classification.BinaryCalibrationError``.

    Example:
        >>> calibration_error(np.array([[3.0, 0.6, 1.0], [1.0, 0.9, 1.0]]))  # (0.4 + 0.1) / 4
        0.125
    """
    pixels, probability, mask = _filled(counts).T
    return float(np.abs(probability - mask).sum() / pixels.sum())


def cross_entropy_loss(histogram: np.ndarray, *, temperature: float = 1.0) -> float:
    """Mean binary cross-entropy of the pixels: ``mean(log(1 + exp(z)) - t * z)`` with ``z`` their logits over T.

    Args:
        histogram: sum of ``logit_histogram`` over images, (``CELLS``, 2).
        temperature: that the logits are divided by, above 0.

    Returns:
        In nats, at least 0; lower is better.

    Raises:
        ValueError: if there are no pixels.

    Example:
        >>> histogram = logit_histogram(np.array([[0.2, 0.8]]), np.array([[0, 1]]))
        >>> round(cross_entropy_loss(histogram), 2)  # -ln 0.8
        0.22
    """
    pixels, foreground = _filled(histogram).T
    logits = GRID / temperature
    return float((pixels @ np.logaddexp(0, logits) - foreground @ logits) / pixels.sum())


def fit_temperature(histogram: np.ndarray) -> float:
    """The temperature T for which ``sigmoid(logit(p) / T)`` has the least cross-entropy.

    Args:
        histogram: sum of ``logit_histogram`` over the images to fit on, (``CELLS``, 2).

    Returns:
        T within ``TEMPERATURES``; above 1 the network is too certain, below 1 too timid. The rounding of the logits
        moves it by less than 0.1 %.

    Raises:
        ValueError: if there are no pixels.

    Source:
        Guo et al. 2017, On Calibration of Modern Neural Networks, https://arxiv.org/abs/1706.04599.

    Example:
        >>> p, mask = np.full((1, 4), 0.9), np.array([[1, 1, 1, 0]])  # it says 90 %, and 75 % are foreground
        >>> round(fit_temperature(logit_histogram(p, mask)), 1)  # ln 9 / ln 3
        2.0
    """
    # the loss is convex in 1 / T, so along log T, too, it has one valley, and the bounded search cannot miss it
    found = minimize_scalar(
        lambda power: cross_entropy_loss(histogram, temperature=np.exp(power)),
        bounds=np.log(TEMPERATURES),
        method="bounded",
        options={"xatol": 1e-4},
    )
    return float(np.exp(found.x))


def cross_fit_calibration(
    histograms: Iterable[np.ndarray], folds: Sequence[int], *, measured: Iterable[np.ndarray] | None = None
) -> dict:
    """Calibration before and after temperature scaling, with nothing tuned on what it is scored on.

    Every fold's images get the temperature that fits the images of the other folds best. Put images that resemble each
    other into one fold; the folds of the training do. With one fold alone there is nothing to fit on, and its images
    keep the temperature 1; where ``measured`` has no pixels the errors are not a number.

    Args:
        histograms: ``logit_histogram`` of N images, by the network that did not learn from each; may be a generator.
        folds: N numbers.
        measured: ``logit_histogram`` of the same images in the pixels to measure on, such as the boundary's band; the
            temperatures are still fitted on ``histograms``, since a map has only one. Left out: the same.

    Returns:
        ``temperature``: fitted on all images, for those no network has seen; ``fold_temperatures``: by fold, a measure
        of how sure it is; ``ece_before`` and ``ece_after``, in [0, 1], lower is better; ``before`` and ``after``: the
        tables of ``count_bins`` they belong to.

    Raises:
        ValueError: if there are not as many folds as histograms.

    Example:
        >>> p, mask = np.full((1, 4), 0.9), np.array([[1, 1, 1, 0]])
        >>> facts = cross_fit_calibration([logit_histogram(p, mask)] * 2, [0, 1])
        >>> round(facts["ece_before"], 2), round(facts["ece_after"], 2)  # 0.9 - 0.75
        (0.15, 0.0)
    """
    fitted = _sum_by_fold(histograms, folds)
    scored = fitted if measured is None else _sum_by_fold(measured, folds)
    others = {fold: [fitted[other] for other in fitted if other != fold] for fold in fitted}
    temperatures = {fold: fit_temperature(sum(rest)) if rest else 1.0 for fold, rest in others.items()}
    before = count_bins(sum(scored.values()))
    after = sum(count_bins(scored[fold], temperature=temperature) for fold, temperature in temperatures.items())
    return {
        "temperature": fit_temperature(sum(fitted.values())),
        "fold_temperatures": temperatures,
        "ece_before": calibration_error(before) if before.any() else float("nan"),
        "ece_after": calibration_error(after) if after.any() else float("nan"),
        "before": before,
        "after": after,
    }


def describe_pair(probability: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``logit_histogram`` of a whole image, and of the band round the edge of its reference."""
    return logit_histogram(probability, mask), logit_histogram(probability, mask, band=boundary_band(mask))


def cross_fit_pairs(pairs: Iterable[tuple[np.ndarray, np.ndarray]], folds: Sequence[int]) -> tuple[dict, dict]:
    """``cross_fit_calibration`` on whole images, and on the bands round the references' edges, in one pass.

    Memory holds two histograms of each fold, however many images there are.

    Args:
        pairs: map and reference of N images, as ``describe_pair`` takes them; may be a generator.
        folds: N numbers, as for ``cross_fit_calibration``.

    Raises:
        ValueError: if there are not as many folds as pairs.
    """
    whole: dict[int, np.ndarray] = {}
    bands: dict[int, np.ndarray] = {}
    for pair, fold in zip(pairs, folds, strict=True):
        for sums, histogram in zip((whole, bands), describe_pair(*pair), strict=True):
            sums[int(fold)] = sums.get(int(fold), 0) + histogram.astype(np.float64)
    measured = (part.values() for part in (whole, bands))
    everywhere, edges = (cross_fit_calibration(whole.values(), [*whole], measured=part) for part in measured)
    return everywhere, edges


def summarise_calibration(everywhere: dict, edges: dict) -> dict[str, float]:
    """The numbers of ``DEFINITIONS``, without those that are none.

    Args:
        everywhere: of ``cross_fit_calibration``, on whole images.
        edges: the same on the bands round the references' edges.
    """
    found = {name: everywhere[name] for name in ("temperature", "ece_before", "ece_after")}
    found |= {f"{name}_band": edges[name] for name in ("ece_before", "ece_after")}
    return {name: value for name, value in found.items() if np.isfinite(value)}


def tabulate_calibration(summary: dict[str, float]) -> pd.DataFrame:
    """The numbers of ``summarise_calibration`` as rows to read, with the columns ``tables.COLUMNS``."""
    return tabulate_numbers(summary, TITLES, DEFINITIONS)


def _sum_by_fold(histograms: Iterable[np.ndarray], folds: Sequence[int]) -> dict[int, np.ndarray]:
    """One histogram per fold, in float64: memory does not grow with the number of images."""
    sums: dict[int, np.ndarray] = {}
    for histogram, fold in zip(histograms, folds, strict=True):
        sums[int(fold)] = sums.get(int(fold), 0) + histogram.astype(np.float64)
    return dict(sorted(sums.items()))


def _logits(probability: np.ndarray) -> np.ndarray:
    clipped = np.clip(probability, EPSILON, 1 - EPSILON)
    return np.log(clipped / (1 - clipped))


def _filled(table: np.ndarray) -> np.ndarray:
    if not table[:, 0].sum() > 0:
        raise ValueError("there are no pixels to look at")
    return table
