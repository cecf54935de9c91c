import json

import numpy as np
import pandas as pd
import pytest

from seglib.errors import InputError
from seglib.scores.masks import compare_runs, pair_scores, read_scores, score_masks


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


@pytest.mark.parametrize(
    "rows",
    [
        b'"a,0.5,0.4\nb,1,1\n',  # a quote that never ends
        b"a,0.5,0.4\nb,1,1,1,1\n",
        b"\xff\xfe,1,1\n",
        b"a,0.5,\nb,1,1\n",
        b"a,x,0.4\n",
        b"a,0.5,0.4\na,0.6,0.5\n",  # an image twice
    ],
)
def test_damaged_scores_are_refused_in_words(tmp_path, rows):
    (tmp_path / "scores.csv").write_bytes(b"sample_id,dice,iou\n" + rows)
    with pytest.raises(InputError, match=r"scores\.csv is damaged; run 04_evaluation again"):
        read_scores(tmp_path / "scores.csv")


def test_a_size_that_differs_or_a_missing_mask_is_refused():
    with pytest.raises(ValueError, match="differ"):
        score_masks(["a"], [np.ones((2, 2), np.uint8)], [np.ones((2, 3), np.uint8)])
    with pytest.raises(ValueError, match="shorter"):
        score_masks(["a", "b"], [np.ones((2, 2), np.uint8)] * 2, [np.ones((2, 2), np.uint8)])


def write_scores(folder, dice):
    folder.mkdir()
    pd.DataFrame({"sample_id": list(dice), "dice": dice.values(), "iou": 0.5}).to_csv(
        folder / "scores.csv", index=False
    )
    return folder


def test_runs_are_compared_on_the_images_that_both_held_out(tmp_path):
    first = write_scores(tmp_path / "first", {"001": 0.5, "2": 0.6, "only": 0.1})
    second = write_scores(tmp_path / "second", {"2": 0.9, "001": 0.6, "other": 1.0})
    pairs = pair_scores(first, second)
    assert pairs["sample_id"].tolist() == ["001", "2"]
    assert (pairs["dice_second"] - pairs["dice_first"]).tolist() == pytest.approx([0.1, 0.3])
    same = write_scores(tmp_path / "same", {"001": 0.5, "2": 0.6, "only": 0.1})
    table = compare_runs(first, [second, same])
    assert table["run"].tolist() == ["second", "same"]
    assert table["images"].tolist() == [2, 3]
    assert table["difference"].tolist() == pytest.approx([0.2, 0])
    assert "chance" in table["verdict"][1]


def test_images_of_one_group_in_either_run_count_as_one(tmp_path):
    scores = {"1": 0.5, "2": 0.6, "3": 0.7, "4": 0.8, "alone": 0.9}
    first, second = (write_scores(tmp_path / name, scores) for name in ("first", "second"))
    assert pair_scores(first, second)["group"].tolist() == [0, 1, 2, 3, 4]
    for run, groups in ((first, "3,4,4,1"), (second, "7,7,8,9")):
        lines = "".join(f"{number + 1},0,{group},0.1\n" for number, group in enumerate(groups.split(",")))
        (run / "folds.csv").write_text(f"sample_id,fold,group,mask_share\n{lines}")
    assert pair_scores(first, second)["group"].tolist() == [0, 0, 0, 1, 2]
    third = write_scores(tmp_path / "third", {name: score + 0.1 * score**2 for name, score in scores.items()})
    assert compare_runs(first, [third])["p"].tolist() == [0.125]  # four groups; of five images 0.0625
    for text in ("sample_id,fold\n1,0\n", "sample_id,fold,group\n1,0,9\n", ""):
        (second / "folds.csv").write_text(text)
        assert pair_scores(first, second)["group"].tolist() == [0, 1, 1, 2, 3]


def test_runs_without_an_image_in_common_cannot_be_compared(tmp_path):
    first = write_scores(tmp_path / "first", {"a": 0.5})
    with pytest.raises(InputError, match="no image in common"):
        pair_scores(first, write_scores(tmp_path / "second", {"b": 0.9}))


@pytest.mark.parametrize(
    ("hashes", "is_refused"),
    [
        (("sha256:1", "sha256:2"), True),
        (("sha256:1", "sha256:1"), False),
        (("old1", "old2"), True),
        (("old1", "sha256:1"), False),  # of names and sizes, of what the files hold: these tell nothing of each other
        ((None, "sha256:1"), False),
    ],
)
def test_runs_on_other_data_are_not_compared_by_names_that_are_alike(tmp_path, hashes, is_refused):
    runs = [write_scores(tmp_path / str(number), {"a": 0.5}) for number in range(2)]
    for run, data_hash in zip(runs, hashes, strict=True):
        if data_hash:
            (run / "manifest.json").write_text(json.dumps({"data_hash": data_hash}))
    if is_refused:
        with pytest.raises(InputError, match="0 and .*1 were made on different data; compare runs on the same"):
            pair_scores(*runs)
    else:
        assert len(pair_scores(*runs)) == 1


def test_a_run_is_not_compared_with_itself_and_is_named_by_its_folder(tmp_path):
    run = write_scores(tmp_path / "run", {"a": 0.5})
    (tmp_path / "link").symlink_to(run)
    with pytest.raises(InputError, match="are one run; name two different runs"):
        pair_scores(run, tmp_path / "link")
    with pytest.raises(InputError, match=r"scores\.csv is a file; name the folder of the run, .*run"):
        pair_scores(tmp_path / "link", run / "scores.csv")


def test_a_run_that_cannot_be_compared_says_why_beside_those_that_can(tmp_path):
    """03_loss_curves compares runs before 04_evaluation has scored its own."""
    first = write_scores(tmp_path / "first", {"a": 0.5, "b": 0.7})
    strange = write_scores(tmp_path / "strange", {"c": 0.9})
    other = write_scores(tmp_path / "other", {"a": 0.6, "b": 0.6})
    (tmp_path / "unscored").mkdir()
    table = compare_runs(first, [tmp_path / "unscored", other, strange])
    assert table["images"].tolist() == [0, 2, 0]
    assert table["difference"].isna().tolist() == [True, False, True]
    assert "run 04_evaluation first" in table["verdict"][0]
    assert "no image in common" in table["verdict"][2]
    assert compare_runs(tmp_path / "unscored", [first])["verdict"].str.contains("run 04_evaluation first").all()
