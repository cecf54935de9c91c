import numpy as np
import pytest

from seglib.masks import read_scores, score_masks


def test_every_image_has_its_own_row_whatever_its_size():
    preds = (np.ones((2, 2), np.uint8), np.zeros((3, 1), np.uint8))
    masks = (np.array([[1, 0], [0, 0]], np.uint8), np.zeros((3, 1), np.uint8))
    scores = score_masks(["a", "b"], iter(preds), iter(masks))
    assert scores["sample_id"].tolist() == ["a", "b"]
    assert scores["dice"].tolist() == [2 / 5, 1.0]
    assert scores["iou"].tolist() == [1 / 4, 1.0]
    assert scores[["overlap", "pred_area", "target_area", "pixels"]].to_numpy().tolist() == [[1, 4, 1, 4], [0, 0, 0, 3]]


def test_scores_are_read_with_names_that_look_like_nothing_or_numbers(tmp_path):
    (tmp_path / "scores.csv").write_text("sample_id,dice,iou\nNA,0.5,0.4\n007,1.0,1.0\n")
    scores = read_scores(tmp_path / "scores.csv")
    assert scores["sample_id"].tolist() == ["NA", "007"]
    assert scores["dice"].tolist() == [0.5, 1.0]


def test_a_size_that_differs_or_a_missing_mask_is_refused():
    with pytest.raises(ValueError, match="differ"):
        score_masks(["a"], [np.ones((2, 2), np.uint8)], [np.ones((2, 3), np.uint8)])
    with pytest.raises(ValueError, match="shorter"):
        score_masks(["a", "b"], [np.ones((2, 2), np.uint8)] * 2, [np.ones((2, 2), np.uint8)])
