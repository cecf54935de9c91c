import cv2
import numpy as np
import pandas as pd
import pytest

from seglib.checks import oddities
from seglib.checks.oddities import find_exchanged, find_inverted


def test_an_inverted_mask_lies_where_the_others_do_not():
    disc = cv2.circle(np.zeros((32, 32), np.float32), (16, 16), 9, 1, -1)
    corner = np.zeros((32, 32), np.float32)
    corner[:9, :9] = 1
    shares = {"disc": 0.0, "corner": 0.15}
    masks = [disc] * 8 + [corner, 1 - disc]
    border = [shares["disc"]] * 8 + [shares["corner"], 1.0]
    found = find_inverted(pd.DataFrame({"small_mask": masks, "border_share": border}))
    assert found.tolist() == [False] * 9 + [True]
    alike = pd.DataFrame({"small_mask": [1 - disc] * 9 + [disc], "border_share": [1.0] * 9 + [0.0]})
    assert not find_inverted(alike).any()  # foreground that surrounds things, and an exception with a clear border
    flat = pd.DataFrame({"small_mask": [np.ones((32, 32), np.float32)] * 2, "border_share": [1.0, 1.0]})
    assert not find_inverted(flat).any()


def test_a_few_inverted_masks_do_not_hide_themselves_in_the_mean():
    disc = cv2.circle(np.zeros((32, 32), np.float32), (16, 16), 9, 1, -1)
    faint = [disc] * 5 + [1 - disc] * 4
    table = pd.DataFrame({"small_mask": faint, "border_share": [0.0] * 5 + [1.0] * 4})
    assert find_inverted(table).tolist() == [False] * 5 + [True] * 4
    half = cv2.circle(np.zeros((32, 32), np.float32), (16, 16), 4, 1, -1)
    mixed = pd.DataFrame({"small_mask": [half] * 4 + [disc] * 5, "border_share": [1.0] * 9})
    assert not find_inverted(mixed).any()


@pytest.mark.parametrize(
    ("border", "share", "told"),
    [
        ([1.0] * 9, [0.8] * 9, True),
        ([0.8] * 6 + [0.0] * 2, [0.8] * 8, True),  # three quarters of them
        ([0.8] * 6 + [0.7] * 4, [0.8] * 10, False),
        ([0.8] * 6 + [0.0] * 4, [0.8] * 6 + [0.0, 0.0, 0.0, 0.5], True),  # empty ones do not count
        ([1.0] * 9, [1.0] * 9, False),  # full ones have no background
        ([0.1] * 9, [0.2] * 9, False),
        ([], [], False),
    ],
)
def test_a_set_whose_masks_are_all_inverted_is_told(border, share, told):
    table = pd.DataFrame({"mask_path": "Mask/a.png", "border_share": border, "mask_share": share})
    found = find_exchanged(table)
    assert [(problem.problem, problem.file.name) for problem in found] == ([("inverted masks", "Mask")] if told else [])
    if told and len(border) == 8:
        assert "all around in 6 of 8 masks" in found[0].sentence


def test_masks_and_images_are_judged_alike_in_blocks_of_any_size(monkeypatch):
    rng = np.random.default_rng(0)
    disc = (np.hypot(*np.mgrid[-16:16, -16:16]) < 9).astype(np.float32)
    masks = [disc] * 8 + [1 - disc] + list(rng.uniform(0, 1, (4, 32, 32)).astype(np.float32))
    table = pd.DataFrame({"small_mask": masks, "border_share": 1.0})
    thumbnails = list(rng.uniform(0, 255, (30, 64, 64)))
    found = []
    for block in (512, 7):
        monkeypatch.setattr(oddities, "BLOCK", block)
        found.append((find_inverted(table).tolist(), oddities._likeness(thumbnails)))
    assert found[0][0] == found[1][0]
    assert found[0][0][:9] == [False] * 8 + [True]
    assert np.allclose(found[0][1], found[1][1], rtol=0, atol=1e-9)
    mean = np.mean([(one - one.mean()) / np.linalg.norm(one - one.mean()) for one in thumbnails], axis=0)
    assert found[0][1][3] == pytest.approx(np.corrcoef(mean.ravel(), thumbnails[3].ravel())[0, 1])
