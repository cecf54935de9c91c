import numpy as np
import pytest
from pycocotools import mask as coco

from seglib.submission.run_lengths import count_foreground, decode_rle, encode_rle

MASK = np.array([[0, 1, 1], [0, 1, 0]])  # columns: 00 11 10, rows: 011 010


@pytest.mark.parametrize(
    ("order", "text"),
    [
        ({}, "3 3"),
        ({"by_rows": True}, "2 2 5 1"),
        ({"zero_based": True}, "2 3"),
        ({"by_rows": True, "zero_based": True}, "1 2 4 1"),
    ],
)
def test_run_lengths_of_six_pixels(order, text):
    assert encode_rle(MASK, **order) == text
    assert decode_rle(text, (2, 3), **order).tolist() == MASK.tolist()


@pytest.mark.parametrize("by_rows", [False, True])
@pytest.mark.parametrize("zero_based", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99, 1.0])
def test_decoding_undoes_encoding_of_masks_that_are_not_square(by_rows, zero_based, share):
    order = {"by_rows": by_rows, "zero_based": zero_based}
    mask = (np.random.default_rng(0).random((37, 53)) < share).astype(np.uint8)
    text = encode_rle(mask, **order)
    assert np.array_equal(decode_rle(text, mask.shape, **order), mask)
    assert count_foreground(text) == mask.sum()


@pytest.mark.filterwarnings("ignore:__array__")  # pycocotools beside numpy 2
@pytest.mark.parametrize("by_rows", [False, True])
def test_any_mask_has_the_runs_and_the_area_that_pycocotools_finds(by_rows):
    rng = np.random.default_rng(1)
    for number in range(200):
        height, width = rng.integers(1, 30, size=2).tolist()
        mask = (rng.random((height, width)) < number / 199).astype(np.uint8)  # from empty to full
        text, theirs = encode_rle(mask, by_rows=by_rows), mask.T if by_rows else mask
        size = list(theirs.shape)
        compressed = coco.frPyObjects({"size": size, "counts": uncompressed(text, mask.size)}, *size)
        assert compressed == coco.encode(np.asfortranarray(theirs))
        assert np.array_equal(coco.decode(compressed), theirs)
        assert np.array_equal(decode_rle(text, mask.shape, by_rows=by_rows), mask)
        assert count_foreground(text) == coco.area(compressed)


def uncompressed(text, size):
    """Kaggle's "start length" pairs as COCO's lengths of background and foreground in turn."""
    numbers = [int(word) for word in text.split()]
    counts, at = [], 0
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        counts += [start - 1 - at, length]
        at = start - 1 + length
    return [*counts, size - at] if at < size else counts


def test_an_empty_mask_is_an_empty_text_and_a_full_one_a_single_run():
    assert encode_rle(np.zeros((4, 5))) == ""
    assert encode_rle(np.ones((4, 5))) == "1 20"
    assert encode_rle(255 * MASK) == encode_rle(MASK)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1", "come in pairs"),
        ("a b", "whole numbers"),
        ("1.5 2", "whole numbers"),
        ("0 1", "leaves the image"),
        ("2 9223372036854775807", "leaves the image"),
        ("6 2", "leaves the image of 6 pixels"),
        ("1 0", "shorter than 1"),
        ("3 2 1 1", "not in order"),
        ("1 3 2 2", "overlap"),
        ("1 2 3 1", "touch"),
        ("99999999999999999999 1", "whole numbers"),
    ],
)
def test_runs_that_cannot_be_are_refused(text, words):
    with pytest.raises(ValueError, match=words):
        decode_rle(text, (2, 3))


def test_the_last_pixel_can_be_foreground():
    assert decode_rle("6 1", (2, 3)).tolist() == [[0, 0, 0], [0, 0, 1]]
