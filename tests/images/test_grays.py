"""What the grays of one mask are: by itself, and where it leaves that open."""

import numpy as np
import pytest
from gray_masks import enlarged, lines, nested, smooth

from seglib.images.grays import EDGES, LABELS, find_half, find_meaning, is_sure


@pytest.mark.parametrize(
    ("plane", "meaning", "sure"),
    [
        (nested(255, 85, 40), LABELS, True),
        (nested(255, 85, 8), EDGES, False),  # the label is a small part of the foreground
        (lines(85), EDGES, False),  # no areas, but of one value
        (nested(1, 2, 40), LABELS, True),
        (nested(5, 255, 40), EDGES, False),  # nothing lies between
        (smooth(40), EDGES, True),
        (smooth(5), EDGES, True),
        (smooth(40) // 3, LABELS, False),  # above the half there is nothing, but no areas either
        (enlarged(50), EDGES, True),
        (enlarged(9), LABELS, False),  # its squares are repeated pixels
        (np.kron(nested(255, 85, 40), np.ones((4, 4), np.uint8)), LABELS, True),
    ],
)
def test_a_mask_says_what_its_grays_are_and_how_surely(plane, meaning, sure):
    assert (find_meaning(plane), is_sure(plane, meaning)) == (meaning, sure)
    deep = plane.astype(np.uint16) * 257
    assert (find_meaning(deep), is_sure(deep, meaning)) == (meaning, sure)


@pytest.mark.parametrize("plane", [nested(255, 85, 8), lines(85), nested(5, 255, 40), enlarged(9)])
@pytest.mark.parametrize("usual", [LABELS, EDGES])
def test_a_doubtful_mask_follows_its_set(plane, usual):
    assert find_meaning(plane, usual) == usual


@pytest.mark.parametrize("plane", [nested(255, 85, 40), nested(1, 2, 40), smooth(40), enlarged(50)])
@pytest.mark.parametrize("usual", [LABELS, EDGES])
def test_a_sure_one_does_not(plane, usual):
    assert find_meaning(plane, usual) == find_meaning(plane)


def test_a_mask_whose_foreground_would_all_be_lost_does_not():
    assert find_meaning(smooth(40) // 3, EDGES) == LABELS
    assert find_meaning(np.array([[0, 1, 2]], np.uint8), EDGES) == LABELS


def test_the_half_of_the_scale():
    assert [find_half(np.zeros((1, 1), kind)) for kind in (np.uint8, np.uint16, np.float32)] == [127, 32767, 127]
