import numpy as np
import pandas as pd
import pytest
import torch

from seglib.scores.intervals import bootstrap_interval
from seglib.scores.masks import score_masks
from seglib.scores.metrics import overlap_scores
from seglib.scores.summaries import DEFINITIONS, describe_presence, describe_scores, summarise_scores, tabulate_scores
from seglib.scores.tables import NO_INTERVAL


def test_every_column_and_every_figure_of_the_summary_is_defined():
    pred, mask = np.eye(4, dtype=np.uint8), np.eye(4, dtype=np.uint8)
    pred[:, 0], mask[0, 0], mask[0, 3] = 1, 0, 1  # 3 pixels in both, 7 in pred, 4 in mask
    scores = score_masks(["a", "b"], [pred, pred], [mask, 0 * mask])
    assert list(scores)[:7] == ["sample_id", "dice", "iou", "sensitivity", "precision", "hd95", "surface_dice"]
    stems = {name.removesuffix("_mean").removesuffix("_low").removesuffix("_high") for name in summarise_scores(scores)}
    counts = {"empty_images", "present_images"}  # what false_alarms and missed are told of
    assert {*scores, *stems} - {"sample_id"} - counts == set(DEFINITIONS)
    assert {*describe_scores(summarise_scores(scores))} <= set(DEFINITIONS)
    assert scores.loc[0, ["dice", "iou", "sensitivity", "precision"]].tolist() == [6 / 11, 3 / 8, 3 / 4, 3 / 7]


def test_the_summary_has_an_interval_of_every_score_it_is_given():
    rng = np.random.default_rng(0)
    rows = {name: rng.random(30) for name in ("dice", "iou", "sensitivity", "precision", "hd95", "surface_dice")}
    rows |= {name: rng.integers(1, 9, 30) for name in ("overlap", "pred_area", "target_area")}
    summary = summarise_scores(pd.DataFrame(rows))
    for name in ("dice", "iou", "sensitivity", "precision", "hd95", "surface_dice"):
        assert summary[f"{name}_mean"] == pytest.approx(rows[name].mean())
        assert (summary[f"{name}_low"], summary[f"{name}_high"]) == bootstrap_interval(rows[name])
    grouped = summarise_scores(pd.DataFrame(rows), groups=np.arange(30) // 3)
    assert (grouped["hd95_low"], grouped["hd95_high"]) == bootstrap_interval(rows["hd95"], groups=np.arange(30) // 3)
    assert (grouped["images"], grouped["groups"]) == (30, 10)
    assert describe_scores(grouped)["images"] == "images 30 of 10 groups"
    assert summary == summarise_scores(pd.DataFrame(rows), groups=np.arange(30))  # and tells of no groups


def test_intervals_of_few_images_end_where_a_score_does_and_distances_have_no_end():
    rows = {"dice": [0.9, 0.99, 1.0], "iou": [0.0, 0.5, 0.02], "hd95": [0.0, 1.0, 0.9]}
    summary = summarise_scores(pd.DataFrame(rows | {"overlap": 1, "pred_area": 1, "target_area": 1}))
    assert (summary["dice_high"], summary["iou_low"], summary["hd95_low"]) == (1, 0, 0)
    assert summary["hd95_high"] > 1


def test_an_iou_below_the_threshold_of_the_challenge_counts_nothing():
    rows = {"dice": [1.0] * 4, "iou": [0.65, 0.6499, 1.0, 0.3], "overlap": 1, "pred_area": 1, "target_area": 1}
    summary = summarise_scores(pd.DataFrame(rows))
    assert summary["iou_thresholded_mean"] == pytest.approx((0.65 + 0 + 1 + 0) / 4)
    assert summary["iou_thresholded_low"] <= summary["iou_thresholded_mean"] <= summary["iou_thresholded_high"]
    assert summary["failures"] == 0.5
    assert summary["iou_mean"] == pytest.approx((0.65 + 0.6499 + 1 + 0.3) / 4)


def test_the_summary_names_both_ways_of_averaging():
    rows = {"dice": [1.0, 0.0], "iou": [1.0, 0.0], "overlap": [90, 0], "pred_area": [90, 0], "target_area": [90, 10]}
    summary = summarise_scores(pd.DataFrame(rows))
    assert summary["dice_mean"] == 0.5
    assert summary["dice_pooled"] == pytest.approx(180 / 190)
    assert summary["dice_low"] <= 0.5 <= summary["dice_high"]
    assert summary["images"] == 2


def make_scores(*rows):
    """Of the pixels in both masks, in the prediction and in the reference."""
    table = pd.DataFrame(rows, columns=["overlap", "pred_area", "target_area"])
    found = overlap_scores(*(torch.tensor(table[name].to_numpy()) for name in table))
    return table.assign(dice=found["dice"].numpy(), iou=found["iou"].numpy())


def test_images_that_show_nothing_are_told_from_the_others():
    rows = [(0, 0, 0), (0, 0, 0), (0, 1, 0), (5, 5, 5), (2, 4, 6), (0, 3, 5), (0, 0, 9)]
    summary = summarise_scores(make_scores(*rows))
    assert (summary["empty_images"], summary["false_alarms"]) == (3, 1)
    assert (summary["present_images"], summary["missed"]) == (4, 2)  # marked elsewhere, and not marked at all
    assert summary["dice_present_mean"] == pytest.approx((1 + 0.4) / 4)
    assert summary["dice_mean"] == pytest.approx((1 + 1 + 0 + 1 + 0.4) / 7)
    ends = bootstrap_interval(np.array([1, 0.4, 0, 0]), limits=(0, 1))
    assert (summary["dice_present_low"], summary["dice_present_high"]) == ends
    texts = describe_scores(summary)
    assert texts["false_alarms"] == "false alarms 1 of 3"
    assert texts["missed"] == "missed 2 of 4"
    assert texts["dice_present"].startswith("Dice mean per image that shows something 0.3500 (95 % interval ")
    said = describe_presence(summary)
    assert "Of 3 images that show nothing 2 got an empty mask; of 4 that show something 2 were missed." in said
    assert "of these 4 is 0.350; over all images the mean is 0.486" in said
    assert "marks nothing" not in said


def test_every_score_has_a_cell_for_its_name_its_value_its_interval_and_its_meaning():
    rows = tabulate_scores(summarise_scores(make_scores((0, 0, 0), (0, 1, 0), (5, 5, 5), (2, 4, 6))))
    assert [*rows.index] == [
        *("dice", "iou", "iou_thresholded", "failures", "dice_pooled", "iou_pooled"),
        *("dice_present", "false_alarms", "missed", "images"),
    ]
    assert rows["score"].tolist()[:3] == [
        "Dice mean per image",
        "IoU mean per image",
        "IoU, thresholded, mean per image",
    ]
    assert rows.loc["dice", "value"] == f"{(1 + 0 + 1 + 0.4) / 4:.4f}"
    assert rows.loc["false_alarms"].tolist() == ["false alarms", "1 of 2", "", DEFINITIONS["false_alarms"]]
    assert rows.loc["missed", "value"] == "0 of 2"
    assert (rows["95 % interval"] != "").tolist() == [True, True, True, False, False, False, True, False, False, False]


def test_one_image_is_told_in_the_singular():
    said = describe_presence(summarise_scores(make_scores((0, 0, 0), (0, 2, 5), (5, 5, 5))))
    assert "Of 1 image that shows nothing 1 got an empty mask; of 2 that show something 1 was missed. The mean" in said
    said = describe_presence(summarise_scores(make_scores((0, 0, 0), (0, 1, 0), (5, 5, 5))))
    assert "of 1 that shows something 0 were missed. Its Dice is 1.000; over all images the mean is 0.667," in said


def test_a_distance_in_pixels_has_one_decimal():
    facts = {f"hd95_{end}": value for end, value in (("mean", 33.0310), ("low", 16.26), ("high", 53.1475))}
    said = describe_scores({"images": 3} | facts)["hd95"]
    assert said == "HD95 mean per image 33.0 (95 % interval 16.3 to 53.1)"
    assert "within 1 % of the image's diagonal" in DEFINITIONS["surface_dice"]


def test_the_interval_of_images_that_show_something_draws_their_groups():
    rows = [(0, 0, 0)] * 3 + [(5, 5, 5)] * 10 + [(0, 3, 5)] * 10
    groups = np.array([*"aba", *"aaaaabbbbb" * 2])
    summary = summarise_scores(make_scores(*rows), groups=groups)
    dice = np.repeat([1.0, 0.0], 10)
    ends = bootstrap_interval(dice, groups=groups[3:])
    assert (summary["dice_present_low"], summary["dice_present_high"]) == ends == (0.5, 0.5)
    assert ends != bootstrap_interval(dice)


@pytest.mark.parametrize("shown", [1, 3])
def test_where_one_image_or_group_shows_something_its_dice_has_no_interval(shown):
    rows = [(0, 0, 0)] * 4 + [(2, 4, 6)] * shown
    summary = summarise_scores(make_scores(*rows), groups=np.array([*"abcd", *"e" * shown]))
    table = tabulate_scores(summary)
    assert table.loc["dice_present", "95 % interval"] == NO_INTERVAL
    assert table.loc["dice", "95 % interval"] not in ("", NO_INTERVAL)
    assert describe_scores(summary)["dice_present"].startswith("Dice mean per image that shows something 0.4000 (no in")


def test_where_every_image_shows_something_nothing_is_said_of_those_that_do_not():
    summary = summarise_scores(make_scores((5, 5, 5), (0, 0, 9)))
    assert not {"empty_images", "false_alarms", "present_images", "missed", "dice_present_mean"} & set(summary)
    assert describe_presence(summary) == "Every image shows something."
    assert "missed" not in describe_scores(summary)


def test_where_no_image_shows_anything_the_masks_are_not_praised():
    summary = summarise_scores(make_scores((0, 0, 0), (0, 4, 0)))
    assert (summary["empty_images"], summary["false_alarms"], summary["present_images"]) == (2, 1, 0)
    assert "dice_present_mean" not in summary
    assert "of the masks nothing is known" in describe_presence(summary)
    assert "dice_present" not in describe_scores(summary)


@pytest.mark.parametrize(
    ("rows", "said"),
    [([(0, 0, 0), (0, 0, 9)], True), ([(0, 3, 0), (0, 0, 9)], False), ([(0, 0, 0), (0, 0, 9), (5, 5, 5)], False)],
)
def test_a_network_that_never_marks_anything_is_called_so(rows, said):
    assert ("marks nothing anywhere" in describe_presence(summarise_scores(make_scores(*rows)))) == said


def test_one_group_has_no_interval_and_that_is_said():
    table = {"dice": [0.5, 0.9], "iou": [0.4, 0.8], "overlap": [4, 9], "pred_area": [5, 9], "target_area": [5, 9]}
    scores = pd.DataFrame(table)
    assert "(95 % interval" in describe_scores(summarise_scores(scores))["dice"]
    alone = describe_scores(summarise_scores(scores, groups=np.array(["a", "a"])))
    assert alone["dice"] == "Dice mean per image 0.7000 (no interval, as all that was scored is of one image or group)"


def test_a_network_that_marks_the_wrong_places_is_not_said_to_mark_nothing():
    table = {"dice": [1.0, 0, 0], "iou": [1.0, 0, 0], "overlap": [0, 0, 0], "target_area": [0, 300, 400]}
    said = [
        describe_presence(summarise_scores(pd.DataFrame(table | {"pred_area": areas})))
        for areas in ([0, 900, 1200], [0, 0, 0])
    ]
    assert ["marks nothing anywhere" in sentence for sentence in said] == [False, True]
    assert all("2 were missed" in sentence for sentence in said)
