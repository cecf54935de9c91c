"""Thumbnails -> near-duplicates: images that are one picture, rescaled, turned, mirrored or saved anew.

One lesion on both sides of a split makes the validation score too good. Dark blobs on skin and X-rays of chests all
look alike when small, so not the thumbnails are compared but their details: what a blur takes away. The edge of the
round, wedge-shaped or eight-sided field of an instrument is the same in all its images, and so no detail of any.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from seglib.machine.scratch import open_scratch

SIDE = 64  # pixels of a thumbnail; with 32 the details of two X-rays that differ correlate up to 0.91
BLUR = 2.0  # pixels of a thumbnail: sigma of the Gaussian that is subtracted; with 4 such X-rays correlate up to 0.88
# Measured on 1145 images of ISIC 2016 and 704 chest X-rays, 512 pixels wide: images that differ correlate up to 0.58
# and 0.70. 150 of each set were resized to 60 % or 25 %, saved as JPEG of quality 40, made 10 % or 25 levels brighter
# (which clips bright skin), or all at once, turned and mirrored too: 147 and 149 of these copies correlate with their
# sources at 0.85 and more. The one true pair of ISIC 2016, one picture in two exposures, has 0.995. Of 80 such images
# behind one field, 96 % (round), 95 % (eight-sided) and 18 % (a wedge) of the pairs that differ had 0.85 to 0.99, and
# without the edge of the field at most 0.59; 96 copies behind a round field have 0.89 and more.
MIN_CORRELATION = 0.85
MIN_CONTRAST = 0.2  # gray levels, root mean square of the details; below it is rounding (1.3 was the least measured)
DARK = 20  # gray levels above the darkest of the border that still are the surround of a field
EDGE = 3  # pixels of a thumbnail that the edge of a field blurs into
STEEP = 60  # gray levels, median over the edge: below it is a shadow, of which no copy would have quite the same
SURROUND, FIELD = 0.05, 0.25  # least shares of the image
ONE_PART = 0.9  # of what is not surround lies in one part; else things lie on a dark ground
CHUNK, COLUMNS = 256, 2048  # thumbnails compared at a time: CHUNK with COLUMNS
KEPT = 512  # coefficients of each thumbnail that are compared first; the rest only where these leave a doubt
ROUNDING = 1e-4  # of a bound, in float32
MANY = 0.01  # of CHUNK * COLUMNS pairs; where more are in doubt, all are compared at once
PIECE = 2**20  # pairs in a table of `iterate_pairs`, at most


def make_thumbnail(image: np.ndarray) -> np.ndarray:
    """The whole image, gray, squeezed into a small square, so that a turned image gives the turned thumbnail.

    Args:
        image: uint8 (H, W, C), C 1 or 3 (RGB).

    Returns:
        float32 (SIDE, SIDE), means over areas, in gray levels from 0 to 255.

    Example:
        >>> make_thumbnail(np.full((90, 120, 3), 7, np.uint8))[0, 0]
        np.float32(7.0)
    """
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.shape[2] == 3 else image[..., 0]
    height, width = gray.shape
    # In two steps, as floats of the size of a scanned slide would fill the memory; the rounding averages out.
    small = cv2.resize(gray, (min(width, 8 * SIDE), min(height, 8 * SIDE)), interpolation=cv2.INTER_AREA)
    return cv2.resize(small.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)


Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]  # first, second, correlation


def find_pairs(thumbnails: Sequence[np.ndarray], *, min_correlation: float = MIN_CORRELATION) -> pd.DataFrame:
    """The pairs of near-duplicates: their details correlate, in one of the eight ways to turn and mirror a square.

    Flat images, which have no details, pair only where their thumbnails are equal to the last bit. Of noisy images near
    100 pixels a copy that was changed in one way is found, one changed in all ways at once (0.75) is not always.

    Args:
        thumbnails: (N, SIDE, SIDE) as `make_thumbnail` gives them, N at least 1; an array, or a list of what
            ``np.asarray`` makes one.
        min_correlation: a pair has at least this, in [-1, 1].

    Returns:
        A table with the columns ``first`` and ``second`` (numbers of thumbnails, ``first < second``) and
        ``correlation``, the highest first. Of N copies of one picture it has N (N - 1) / 2 rows; `iterate_pairs` gives
        the same in parts.

    Example:
        >>> noise = np.random.default_rng(0).uniform(0, 255, (3, SIDE, SIDE))
        >>> noise[2] = np.rot90(noise[0])
        >>> find_pairs(noise)[["first", "second"]].values.tolist()
        [[0, 2]]
    """
    pairs = pd.concat(iterate_pairs(thumbnails, min_correlation=min_correlation), ignore_index=True)
    return pairs.sort_values(["correlation", "first", "second"], ascending=[False, True, True], ignore_index=True)


def iterate_pairs(
    thumbnails: Sequence[np.ndarray], *, min_correlation: float = MIN_CORRELATION
) -> Iterator[pd.DataFrame]:
    """The pairs of `find_pairs` in tables of bounded size, in no particular order.

    Memory holds a few blocks of thumbnails, however many there are and however many pairs they make; the rest lies in
    temporary files of about 18 KB for each thumbnail.

    Args:
        thumbnails: as for `find_pairs`.
        min_correlation: as for `find_pairs`.

    Yields:
        Tables with the columns of `find_pairs`, at least one, with at most `PIECE` rows.
    """
    kinds, firsts = _kinds(thumbnails)
    yield _table(np.zeros(0, int), np.zeros(0, int), np.zeros(0, np.float32))
    several = np.flatnonzero(np.bincount(kinds) > 1)
    yield from _expand((several, several, np.ones(len(several), np.float32)), kinds)
    for pairs in _compare(_transform(thumbnails, firsts), min_correlation):
        yield from _expand(pairs, kinds)


def group_near_duplicates(thumbnails: Sequence[np.ndarray]) -> np.ndarray:
    """Every image's group: an image, its near-duplicates, theirs, and so on.

    Memory is bounded as that of `iterate_pairs`.

    Args:
        thumbnails: as for `find_pairs`.

    Returns:
        int (N,), numbers of groups from 0 in the order of their first images.

    Example:
        >>> noise = np.random.default_rng(0).uniform(0, 255, (3, SIDE, SIDE))
        >>> noise[2] = noise[0, :, ::-1]
        >>> group_near_duplicates(noise).tolist()
        [0, 1, 0]
    """
    kinds, firsts = _kinds(thumbnails)
    group = np.arange(len(firsts))

    def apart(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return group[first] != group[second]

    # What is together already needs no comparison: with many copies of a few pictures, nearly all pairs.
    for first, second, _ in _compare(_transform(thumbnails, firsts), MIN_CORRELATION, apart):
        links = coo_array((np.ones(len(first)), (group[first], group[second])), shape=(len(group), len(group)))
        group[:] = connected_components(links, directed=False)[1][group]
    return pd.factorize(group[kinds])[0]


def _kinds(thumbnails: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(N,) numbers that two thumbnails share only if they are equal to the last bit; and the first of each kind."""
    digests = [hashlib.blake2b(np.ascontiguousarray(one), digest_size=16).digest() for one in thumbnails]
    kinds, names = pd.factorize(np.array(digests, dtype=object))
    firsts = np.full(len(names), len(kinds))
    np.minimum.at(firsts, kinds, np.arange(len(kinds)))
    return kinds, firsts


def _expand(pairs: Pairs, kinds: np.ndarray) -> Iterator[pd.DataFrame]:
    """Pairs of kinds -> pairs of thumbnails: each of a kind with each of the other; of one kind, each once."""
    first, second, correlation = pairs
    members, sizes = np.argsort(kinds, kind="stable"), np.bincount(kinds)
    starts = np.cumsum(sizes) - sizes
    ends = np.cumsum(sizes[first] * sizes[second])
    for begin in range(0, int(ends[-1]) if len(ends) else 0, PIECE):
        place = np.arange(begin, min(begin + PIECE, ends[-1]))
        pair = np.searchsorted(ends, place, side="right")
        one, other = first[pair], second[pair]
        row, column = np.divmod(place - (ends[pair] - sizes[one] * sizes[other]), sizes[other])
        once = (one != other) | (row < column)
        here, there = members[starts[one] + row][once], members[starts[other] + column][once]
        yield _table(np.minimum(here, there), np.maximum(here, there), correlation[pair][once])


def _table(first: np.ndarray, second: np.ndarray, correlation: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"first": first, "second": second, "correlation": correlation.clip(-1, 1)})


class _Coefficients(NamedTuple):
    """Details as coefficients of cosines, where mirroring only changes signs and a quarter turn also transposes.

    Columns are in four parts: cosines that are even or odd downwards, and to the right (`_PARTS`).
    """

    whole: np.ndarray  # float32 (N, SIDE * SIDE), rows of norm 1 (of flat thumbnails less)
    kept: np.ndarray  # float32 (N, 1 + about KEPT): the norm of all the others, and the strongest of them
    kept_parts: list[slice]  # the four parts of the columns of ``kept``, the norm among the even ones
    kept_turned: np.ndarray  # which column of ``kept`` is in each one's place after transposing


def _order_parts() -> tuple[np.ndarray, np.ndarray]:
    """For each column its index in the flattened square, part by part, and the column it becomes by transposing."""
    down, right = np.divmod(np.arange(SIDE * SIDE), SIDE)
    order = np.lexsort((right, down, right % 2, down % 2))
    place = np.argsort(order)
    return order, place[right[order] * SIDE + down[order]]


_QUARTER = SIDE * SIDE // 4
_PARTS = [slice(start, start + _QUARTER) for start in range(0, SIDE * SIDE, _QUARTER)]
_ORDER, _TURNED = _order_parts()


def _transform(thumbnails: Sequence[np.ndarray], rows: np.ndarray) -> _Coefficients:
    whole, energy = open_scratch((len(rows), SIDE * SIDE), np.float32), np.zeros(SIDE * SIDE)
    for start in range(0, len(rows), CHUNK):
        details = _details(np.stack([np.asarray(thumbnails[row]) for row in rows[start : start + CHUNK]]))
        flat = dctn(details, axes=(1, 2), norm="ortho").reshape(len(details), -1)[:, _ORDER]
        whole[start : start + CHUNK] = flat
        energy += np.square(flat).sum(axis=0)
    chosen = np.zeros(SIDE * SIDE, bool)
    chosen[np.argsort(-energy - energy[_TURNED], kind="stable")[:KEPT]] = True
    chosen |= chosen[_TURNED]  # so that transposing stays within
    columns = np.flatnonzero(chosen)
    kept = open_scratch((len(rows), 1 + len(columns)), np.float32)
    for start in range(0, len(rows), CHUNK):
        flat = whole[start : start + CHUNK]
        kept[start : start + CHUNK, 0] = np.linalg.norm(flat[:, ~chosen], axis=1)
        kept[start : start + CHUNK, 1:] = flat[:, columns]
    edges = [0, *(1 + np.searchsorted(columns, [part.stop for part in _PARTS]))]
    turned = np.r_[0, 1 + np.searchsorted(columns, _TURNED[columns])]
    return _Coefficients(whole, kept, [slice(*pair) for pair in pairwise(edges)], turned)


def _compare(
    coefficients: _Coefficients,
    min_correlation: float,
    wanted: Callable[[np.ndarray, np.ndarray], np.ndarray | bool] = lambda first, second: True,
) -> Iterator[Pairs]:
    """The pairs ``first < second`` for which ``wanted`` holds and that correlate enough, block by block.

    Of two vectors the product is at most that of their kept coefficients plus that of the norms of the others, so what
    this bound rules out is no pair; what it leaves is compared in full.
    """
    count = len(coefficients.kept)
    for start in range(0, count, CHUNK):
        rows = coefficients.kept[start : start + CHUNK]
        turned = rows[:, coefficients.kept_turned]
        for left in range(start, count, COLUMNS):
            columns = coefficients.kept[left : left + COLUMNS]
            bound = _best(rows, turned, columns, coefficients.kept_parts)
            first, second = np.nonzero(bound >= min_correlation - ROUNDING)
            first, second = first + start, second + left
            asked = (first < second) & wanted(first, second)
            first, second = first[asked], second[asked]
            correlation = _correlate(coefficients.whole, first, second)
            found = correlation >= min_correlation
            if found.any():
                yield first[found], second[found], correlation[found]


def _correlate(whole: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The correlation of each pair, the best of the eight symmetries; all pairs are of one block."""
    if len(first) > MANY * CHUNK * COLUMNS:
        rows, columns = (slice(numbers.min(), numbers.max() + 1) for numbers in (first, second))
        best = _best(whole[rows], whole[rows][:, _TURNED], whole[columns], _PARTS)
        return best[first - rows.start, second - columns.start]
    correlation = np.empty(len(first), np.float32)
    for start in range(0, len(first), CHUNK):
        some = slice(start, start + CHUNK)
        one, other = whole[first[some]], whole[second[some]]
        products = [(turned * other).reshape(-1, 4, _QUARTER).sum(axis=2).T for turned in (one, one[:, _TURNED])]
        correlation[some] = np.maximum(*(_best_mirrored(*four) for four in products))
    return correlation


def _best(rows: np.ndarray, turned: np.ndarray, columns: np.ndarray, parts: list[slice]) -> np.ndarray:
    """(rows, columns): the product of each row with each column, the largest over the row's eight symmetries."""
    return np.maximum(
        *(_best_mirrored(*(one[:, part] @ columns[:, part].T for part in parts)) for one in (rows, turned))
    )


def _best_mirrored(even: np.ndarray, right: np.ndarray, down: np.ndarray, both: np.ndarray) -> np.ndarray:
    """The largest of the four sums that mirroring gives: it changes the signs of what is odd that way."""
    return even + np.maximum(right + np.abs(down + both), np.abs(down - both) - right)


def _details(thumbnails: np.ndarray) -> np.ndarray:
    """Each thumbnail less its blur, of mean 0 and norm 1; of a flat one shorter, so that it correlates with nothing."""
    details = thumbnails.astype(np.float32)
    fields = np.stack([_find_field(thumbnail) for thumbnail in details])
    details -= gaussian_filter(details, (0, BLUR, BLUR), mode="nearest")
    pixels = fields.sum((1, 2), keepdims=True)
    details -= (details * fields).sum((1, 2), keepdims=True) / pixels
    details *= fields
    spread = np.sqrt(np.square(details).sum((1, 2), keepdims=True) / pixels)
    return details / (np.maximum(spread, MIN_CONTRAST) * np.sqrt(pixels))


def _find_field(thumbnail: np.ndarray) -> np.ndarray:
    """1 where an instrument with a dark surround shows something, away from the edge; without a surround everywhere."""
    everything = np.ones_like(thumbnail)
    border = np.concatenate([thumbnail[[0, -1]].ravel(), thumbnail[:, [0, -1]].ravel()])
    _, labels = cv2.connectedComponents((thumbnail <= border.min() + DARK).astype(np.uint8), connectivity=4)
    outer = np.unique(np.concatenate([labels[[0, -1]].ravel(), labels[:, [0, -1]].ravel()]))
    surround = np.isin(labels, outer[outer > 0]).astype(np.uint8)
    near = cv2.dilate(surround, np.ones((3, 3), np.uint8), iterations=EDGE)
    if surround.mean() < SURROUND or 1 - near.mean() < FIELD:
        return everything
    parts = cv2.connectedComponentsWithStats(1 - surround, connectivity=4)[2][1:, cv2.CC_STAT_AREA]
    steep = np.median(thumbnail[near > surround]) - border.min() >= STEEP
    return everything - near if steep and parts.max() >= ONE_PART * parts.sum() else everything
