import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import f1_score, jaccard_score
from torchmetrics.functional.segmentation import dice_score as their_dice
from torchmetrics.functional.segmentation import mean_iou as their_iou

from seglib.metrics import (
    bootstrap_interval,
    compare_scores,
    describe_comparison,
    dice_score,
    iou_score,
    pooled_scores,
    summarise_scores,
)


@pytest.mark.parametrize(
    ("pred", "target", "dice", "iou"),
    [
        ([1, 1, 0, 0], [1, 1, 0, 0], 1.0, 1.0),
        ([1, 1, 0, 0], [0, 1, 1, 0], 0.5, 1 / 3),  # 2*1/(2+2), 1/3
        ([1, 1, 1, 0], [1, 0, 0, 0], 0.5, 1 / 3),  # 2*1/(3+1), 1/3
        ([1, 0, 0, 0], [0, 0, 0, 1], 0.0, 0.0),
        ([0, 0, 0, 0], [0, 0, 0, 0], 1.0, 1.0),  # both empty
        ([0, 1, 0, 0], [0, 0, 0, 0], 0.0, 0.0),  # a false alarm
        ([0, 0, 0, 0], [0, 1, 0, 0], 0.0, 0.0),  # a miss
    ],
)
def test_scores_of_four_pixels(pred, target, dice, iou):
    pred, target = torch.tensor([[pred]]), torch.tensor([[target]])
    assert dice_score(pred, target).tolist() == pytest.approx([dice])
    assert iou_score(pred, target).tolist() == pytest.approx([iou])


def test_scores_agree_with_those_of_scikit_learn_and_torchmetrics():
    pred, target = torch.rand(7, 1, 13, 11) > 0.6, torch.rand(7, 1, 13, 11) > 0.4
    flat = [(p.ravel().numpy(), t.ravel().numpy()) for p, t in zip(pred, target, strict=True)]
    assert dice_score(pred, target).tolist() == pytest.approx([f1_score(t, p) for p, t in flat])
    assert iou_score(pred, target).tolist() == pytest.approx([jaccard_score(t, p) for p, t in flat])
    form = {"num_classes": 1, "input_format": "one-hot"}
    assert dice_score(pred, target).tolist() == pytest.approx(their_dice(pred.long(), target.long(), **form).tolist())
    per_image = their_iou(pred.long(), target.long(), per_class=True, **form).ravel().tolist()
    assert iou_score(pred, target).tolist() == pytest.approx(per_image)


@pytest.mark.parametrize("score", [dice_score, iou_score])
def test_shapes_that_would_broadcast_are_refused(score):
    with pytest.raises(ValueError, match=r"pred \(2, 1, 4, 4\) and target \(2, 4, 4\) differ"):
        score(torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 4))


def test_pooled_scores_weigh_pixels_and_not_images():
    # a large perfect image and a small missed one: the mean of the two Dice would be 0.5
    pooled = pooled_scores(np.array([90, 0]), np.array([90, 0]), np.array([90, 10]))
    assert pooled == pytest.approx({"dice_pooled": 180 / 190, "iou_pooled": 90 / 100})


def test_an_interval_covers_the_true_mean_about_95_times_in_100():
    rng = np.random.default_rng(0)
    hits = 0
    for number in range(200):
        low, high = bootstrap_interval(rng.beta(8, 2, size=60), resamples=300, seed=number)
        hits += low <= 0.8 <= high
    assert 180 <= hits <= 199


def test_an_interval_narrows_with_the_root_of_the_number_of_images():
    values = np.random.default_rng(0).normal(size=1600)
    widths = [np.ptp(bootstrap_interval(values[:count])) for count in (100, 1600)]
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.3)


def test_the_summary_names_both_ways_of_averaging():
    rows = {"dice": [1.0, 0.0], "iou": [1.0, 0.0], "overlap": [90, 0], "pred_area": [90, 0], "target_area": [90, 10]}
    summary = summarise_scores(pd.DataFrame(rows))
    assert summary["dice_mean"] == 0.5
    assert summary["dice_pooled"] == pytest.approx(180 / 190)
    assert summary["dice_low"] <= 0.5 <= summary["dice_high"]
    assert summary["images"] == 2


def test_a_clear_gain_on_nearly_every_image_is_called_real():
    rng = np.random.default_rng(0)
    first = rng.uniform(0.7, 0.95, 80)
    facts = compare_scores(first, first + rng.normal(0.02, 0.01, 80))
    assert facts["difference"] == pytest.approx(0.02, abs=0.004)
    assert facts["low"] > 0.015
    assert facts["better"] > 70
    assert facts["p"] < 1e-6
    assert describe_comparison(facts) == "the second run is better, and the difference is real"


def test_swapping_the_runs_swaps_the_verdict():
    rng = np.random.default_rng(0)
    first, second = rng.uniform(0.8, 0.9, 50), rng.uniform(0.7, 0.8, 50)
    there, back = compare_scores(first, second), compare_scores(second, first)
    assert there["difference"] == -back["difference"]
    assert (there["better"], there["worse"], there["p"]) == (back["worse"], back["better"], back["p"])
    assert "worse" in describe_comparison(there)


def test_noise_is_called_chance_nineteen_times_in_twenty():
    rng = np.random.default_rng(0)
    verdicts = []
    for number in range(100):
        first = rng.uniform(0.7, 0.95, 60)
        facts = compare_scores(first, first + rng.normal(0, 0.02, 60), resamples=200, seed=number)
        verdicts.append("real" in describe_comparison(facts))
    assert sum(verdicts) <= 10


def test_one_image_that_moves_the_mean_is_not_taken_for_a_better_run():
    first = np.full(40, 0.9)
    second = first + np.where(np.arange(40) < 34, 0.001, 0)  # many gain a trifle
    second[-1] = 0.1  # one is lost
    assert "do not agree" in describe_comparison(compare_scores(first, second))


def test_a_few_images_that_gain_much_while_most_lose_a_trifle_are_no_better_run():
    first = np.full(40, 0.6)
    facts = compare_scores(first, first + np.where(np.arange(40) < 6, 0.3, -0.0005))
    assert facts["low"] > 0
    assert facts["p"] < 0.05  # and it points the other way
    assert "do not agree" in describe_comparison(facts)


def test_an_interval_without_zero_is_not_enough_when_the_test_sees_nothing():
    facts = {"difference": 0.01, "low": 0.001, "high": 0.02, "p": 0.2, "better": 30, "worse": 20}
    assert "do not agree" in describe_comparison(facts)
    assert "real" in describe_comparison(facts | {"p": 0.01})


def test_the_same_run_twice_differs_in_nothing():
    facts = compare_scores(np.array([0.5, 0.9]), np.array([0.5, 0.9]))
    assert facts == {"difference": 0.0, "low": 0.0, "high": 0.0, "p": 1.0, "better": 0, "worse": 0}
    assert "chance" in describe_comparison(facts)


def test_runs_on_different_numbers_of_images_are_refused():
    with pytest.raises(ValueError, match="differ"):
        compare_scores(np.zeros(2), np.zeros(3))
