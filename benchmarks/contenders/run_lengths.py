"""Masks to run lengths and back: by seglib, by pycocotools (compiled C), and by a loop over the pixels.

pycocotools counts the same runs down the same columns but packs them into bytes of its own, which no competition of
Kaggle takes; ours and the loop write the text that is handed in. Each decodes what it has encoded.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from contenders.job import Job, Laps


def ours(job: Job) -> dict:
    """``seglib.submission.run_lengths``."""
    from seglib.submission.run_lengths import decode_rle, encode_rle

    return _time(job, encode_rle, decode_rle)


def coco(job: Job) -> dict:
    """``pycocotools.mask``."""
    from pycocotools import mask as coco_mask

    return _time(job, lambda mask: coco_mask.encode(np.asfortranarray(mask)), lambda runs, _: coco_mask.decode(runs))


def loop(job: Job) -> dict:
    """Pixel by pixel, as it is written first."""
    return _time(job, encode_by_loop, decode_by_loop)


def encode_by_loop(mask: np.ndarray) -> str:
    """The text of a mask."""
    words, previous, length = [], 0, 0
    for place, pixel in enumerate(mask.flatten(order="F").tolist(), start=1):
        if pixel and not previous:
            words.append(str(place))
            length = 0
        elif previous and not pixel:
            words.append(str(length))
        length += 1
        previous = pixel
    if previous:
        words.append(str(length))
    return " ".join(words)


def decode_by_loop(text: str, shape: tuple[int, int]) -> np.ndarray:
    """The mask of a text."""
    pixels = [0] * (shape[0] * shape[1])
    words = text.split()
    for start, length in zip(words[::2], words[1::2], strict=True):
        for place in range(int(start) - 1, int(start) - 1 + int(length)):
            pixels[place] = 1
    return np.array(pixels, dtype=np.uint8).reshape(shape, order="F")


def _time(job: Job, encode: Callable[[np.ndarray], Any], decode: Callable[[Any, tuple[int, int]], np.ndarray]) -> dict:
    masks = [(cv2.imread(path, cv2.IMREAD_GRAYSCALE) > 127).astype(np.uint8) for _, path in job.train_pairs]
    laps = Laps()
    for _ in range(job.epochs):
        laps.begin()
        decoded = [decode(encode(mask), mask.shape) for mask in masks]
        laps.end(len(decoded))
    if not all(np.array_equal(mask, back) for mask, back in zip(masks, decoded, strict=True)):
        raise RuntimeError(f"{job.contender} did not give back the masks that it was given")
    return laps.result()
