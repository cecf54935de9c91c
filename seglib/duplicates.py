"""Thumbnails -> near-duplicates: images that are one picture, rescaled, turned, mirrored or saved anew.

One lesion on both sides of a split makes the validation score too good. Dark blobs on skin and X-rays of chests all
look alike when small, so not the thumbnails are compared but their details: what a blur takes away.
"""

from collections.abc import Iterator

import cv2
import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SIDE = 64  # pixels of a thumbnail; with 32 the details of two X-rays that differ correlate up to 0.91
BLUR = 2.0  # pixels of a thumbnail: sigma of the Gaussian that is subtracted; with 4 such X-rays correlate up to 0.88
# Measured on 1145 images of ISIC 2016 and 704 chest X-rays, 512 pixels wide: images that differ correlate up to 0.62
# and 0.77. 150 of each set were resized to 60 % or 25 %, saved as JPEG of quality 40, turned, mirrored, made 10 % or
# 25 levels brighter (which clips bright skin), or several of it at once: such copies correlate with their sources from
# 0.91 and 0.97 on. The one true pair of ISIC 2016, one picture in two exposures, has 0.995.
MIN_CORRELATION = 0.85
MIN_CONTRAST = 0.2  # gray levels, root mean square of the details; below it is rounding (1.3 was the least measured)
CHUNK = 256  # rows compared at a time: memory is some CHUNK * N * 10 bytes


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


def find_pairs(thumbnails: np.ndarray, *, min_correlation: float = MIN_CORRELATION) -> pd.DataFrame:
    """The pairs of near-duplicates: their details correlate, in one of the eight ways to turn and mirror a square.

    Flat images, which have no details, pair only where their thumbnails are equal to the last bit. Of noisy images near
    100 pixels a copy that was changed in one way is found, one changed in all ways at once (0.75) is not always.

    Args:
        thumbnails: (N, SIDE, SIDE) as `make_thumbnail` gives them, N at least 1.
        min_correlation: a pair has at least this, in [-1, 1].

    Returns:
        A table with the columns ``first`` and ``second`` (numbers of thumbnails, ``first < second``) and
        ``correlation``, the highest first.

    Example:
        >>> noise = np.random.default_rng(0).uniform(0, 255, (3, SIDE, SIDE))
        >>> noise[2] = np.rot90(noise[0])
        >>> find_pairs(noise)[["first", "second"]].values.tolist()
        [[0, 2]]
    """
    details, kinds = _details(thumbnails), _kinds(thumbnails)
    parts = []
    for start in range(0, len(details), CHUNK):
        rows = slice(start, start + CHUNK)
        later = slice(start, None)  # what comes before was compared when it was its turn
        columns = details[later].reshape(-1, SIDE * SIDE).T
        correlation = np.full((len(details[rows]), columns.shape[1]), -1, np.float32)
        for turned in _symmetries(details[rows]):
            np.maximum(correlation, turned.reshape(-1, SIDE * SIDE) @ columns, out=correlation)
        correlation[kinds[rows, None] == kinds[None, later]] = 1  # flat and equal, or an image and itself
        first, second = np.nonzero(np.triu(correlation >= min_correlation, 1))
        parts.append(
            pd.DataFrame(
                {
                    "first": first + start,
                    "second": second + start,
                    "correlation": correlation[first, second].clip(-1, 1),
                }
            )
        )
    pairs = pd.concat(parts, ignore_index=True)
    return pairs.sort_values("correlation", ascending=False, kind="stable", ignore_index=True)


def group_near_duplicates(thumbnails: np.ndarray) -> np.ndarray:
    """Every image's group: an image, its near-duplicates, theirs, and so on.

    Args:
        thumbnails: (N, SIDE, SIDE) as `make_thumbnail` gives them, N at least 1.

    Returns:
        int (N,), numbers of groups from 0 in the order of their first images.

    Example:
        >>> noise = np.random.default_rng(0).uniform(0, 255, (3, SIDE, SIDE))
        >>> noise[2] = noise[0, :, ::-1]
        >>> group_near_duplicates(noise).tolist()
        [0, 1, 0]
    """
    count, pairs = len(thumbnails), find_pairs(thumbnails)
    links = coo_array((np.ones(len(pairs)), (pairs["first"], pairs["second"])), shape=(count, count))
    return pd.factorize(connected_components(links, directed=False)[1])[0]


def _details(thumbnails: np.ndarray) -> np.ndarray:
    """Each thumbnail less its blur, of mean 0 and norm 1; of a flat one shorter, so that it correlates with nothing."""
    details = thumbnails.astype(np.float32)
    details -= gaussian_filter(details, (0, BLUR, BLUR), mode="nearest")
    details -= details.mean((1, 2), keepdims=True)
    return details / (np.maximum(details.std((1, 2), keepdims=True), MIN_CONTRAST) * SIDE)


def _kinds(thumbnails: np.ndarray) -> np.ndarray:
    """(N,) numbers that two thumbnails share only if they are equal to the last bit."""
    return pd.factorize(np.array([thumbnail.tobytes() for thumbnail in thumbnails], dtype=object))[0]


def _symmetries(squares: np.ndarray) -> Iterator[np.ndarray]:
    """(N, side, side) turned by 0 to 3 quarters, as they are and mirrored."""
    for mirrored in (squares, squares[:, :, ::-1]):
        for quarters in range(4):
            yield np.rot90(mirrored, quarters, axes=(1, 2))
