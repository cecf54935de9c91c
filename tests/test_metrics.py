import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.ndimage import gaussian_filter
from sklearn.metrics import f1_score, jaccard_score, precision_score, recall_score
from torchmetrics.functional.segmentation import dice_score as their_dice
from torchmetrics.functional.segmentation import mean_iou as their_iou

from seglib import metrics
from seglib.masks import score_masks
from seglib.metrics import (
    DEFINITIONS,
    SURFACE_TOLERANCE,
    bootstrap_interval,
    boundary_band,
    boundary_scores,
    compare_scores,
    describe_comparison,
    describe_scores,
    dice_score,
    iou_score,
    pooled_scores,
    sensitivity_score,
    summarise_scores,
)


@pytest.mark.parametrize(
    ("pred", "target", "dice", "iou", "sensitivity", "precision"),
    [
        ([1, 1, 0, 0], [1, 1, 0, 0], 1.0, 1.0, 1.0, 1.0),
        ([1, 1, 0, 0], [0, 1, 1, 0], 0.5, 1 / 3, 0.5, 0.5),  # 2*1/(2+2), 1/3, 1/2, 1/2
        ([1, 1, 1, 0], [1, 0, 0, 0], 0.5, 1 / 3, 1.0, 1 / 3),  # 2*1/(3+1), 1/3, all was found, one of three is right
        ([1, 0, 0, 0], [1, 1, 1, 1], 0.4, 1 / 4, 1 / 4, 1.0),
        ([1, 0, 0, 0], [0, 0, 0, 1], 0.0, 0.0, 0.0, 0.0),
        ([0, 0, 0, 0], [0, 0, 0, 0], 1.0, 1.0, 1.0, 1.0),  # both empty
        ([0, 1, 0, 0], [0, 0, 0, 0], 0.0, 0.0, 0.0, 0.0),  # a false alarm
        ([0, 0, 0, 0], [0, 1, 0, 0], 0.0, 0.0, 0.0, 0.0),  # a miss
    ],
)
def test_scores_of_four_pixels(pred, target, dice, iou, sensitivity, precision):
    pred, target = torch.tensor([[pred]]), torch.tensor([[target]])
    assert dice_score(pred, target).tolist() == pytest.approx([dice])
    assert iou_score(pred, target).tolist() == pytest.approx([iou])
    assert sensitivity_score(pred, target).tolist() == pytest.approx([sensitivity])
    assert metrics.precision_score(pred, target).tolist() == pytest.approx([precision])


def test_scores_agree_with_those_of_scikit_learn_and_torchmetrics():
    pred, target = torch.rand(7, 1, 13, 11) > 0.6, torch.rand(7, 1, 13, 11) > 0.4
    flat = [(p.ravel().numpy(), t.ravel().numpy()) for p, t in zip(pred, target, strict=True)]
    assert dice_score(pred, target).tolist() == pytest.approx([f1_score(t, p) for p, t in flat])
    assert iou_score(pred, target).tolist() == pytest.approx([jaccard_score(t, p) for p, t in flat])
    assert sensitivity_score(pred, target).tolist() == pytest.approx([recall_score(t, p) for p, t in flat])
    assert metrics.precision_score(pred, target).tolist() == pytest.approx([precision_score(t, p) for p, t in flat])
    form = {"num_classes": 1, "input_format": "one-hot"}
    assert dice_score(pred, target).tolist() == pytest.approx(their_dice(pred.long(), target.long(), **form).tolist())
    per_image = their_iou(pred.long(), target.long(), per_class=True, **form).ravel().tolist()
    assert iou_score(pred, target).tolist() == pytest.approx(per_image)


@pytest.mark.parametrize("score", [dice_score, iou_score, sensitivity_score, metrics.precision_score])
def test_shapes_that_would_broadcast_are_refused(score):
    with pytest.raises(ValueError, match=r"pred \(2, 1, 4, 4\) and target \(2, 4, 4\) differ"):
        score(torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 4))


def make_blob(rng, size, *, smooth, share):
    field = gaussian_filter(rng.normal(size=size), smooth, mode="wrap")
    return (field > np.quantile(field, 1 - share)).astype(np.uint8)


def make_pairs():
    """Blobs of every smoothness, most of them cut by the image's border, and some hard cases."""
    rng = np.random.default_rng(0)
    for number in range(24):
        size, smooth = ((60, 80), (97, 64))[number % 2], (0.5, 2, 6, 12)[number % 4]
        yield tuple(make_blob(rng, size, smooth=smooth, share=share) for share in rng.uniform(0.02, 0.95, 2))
    full, corner, inner = np.zeros((3, 60, 80), np.uint8)
    full[:], corner[0, 0], inner[20:40, 20:50] = 1, 1, 1
    yield from ((full, inner), (full, corner), (corner, inner), (full, full), (inner, inner))


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # of MONAI against itself
def test_boundary_scores_agree_with_those_of_monai():
    # imported here: it takes seconds, and only this test needs it
    from monai.metrics import compute_hausdorff_distance, compute_surface_dice

    for pred, mask in make_pairs():
        p, t = (torch.from_numpy(pixels)[None, None].float() for pixels in (pred, mask))
        tolerance = SURFACE_TOLERANCE * math.hypot(*mask.shape)
        hd95 = compute_hausdorff_distance(p, t, include_background=True, percentile=95).item()
        surface_dice = compute_surface_dice(p, t, [tolerance], include_background=True).item()
        # both know the distances and the quotient in float32 only, which is good to 6e-8 of the value
        assert boundary_scores(pred, mask) == pytest.approx({"hd95": hd95, "surface_dice": surface_dice}, rel=1e-6)


def test_distances_between_edges_agree_with_every_pair_of_pixels_compared():
    for pred, mask in make_pairs():
        edges = []
        for pixels in (pred, mask):
            padded = np.pad(pixels, 1)
            inside = {(r, c) for r, c in np.argwhere(padded)}
            sides = ((0, 1), (1, 0), (0, -1), (-1, 0))
            edges.append(np.array([at for at in inside if any((at[0] + r, at[1] + c) not in inside for r, c in sides)]))
        squares = ((edges[0][:, None].astype(int) - edges[1][None]) ** 2).sum(axis=2)
        there, back = np.sqrt(squares.min(axis=1)), np.sqrt(squares.min(axis=0))
        near = np.concatenate([there, back]) <= 0.01 * math.hypot(*mask.shape)
        wanted = {"hd95": max(np.quantile(there, 0.95), np.quantile(back, 0.95)), "surface_dice": near.mean()}
        assert boundary_scores(pred, mask) == pytest.approx(wanted, rel=1e-6)


def test_boundary_scores_by_hand():
    pred, mask = np.zeros((2, 300, 400), np.uint8)  # the diagonal is 500, the tolerance 5 pixels
    pred[:, 100], mask[:, 105] = 1, 1
    assert boundary_scores(pred, mask) == {"hd95": 5.0, "surface_dice": 1.0}  # at the tolerance still counts as near
    mask = np.roll(mask, 1, axis=1)
    assert boundary_scores(pred, mask) == {"hd95": 6.0, "surface_dice": 0.0}
    pred[:5], mask[:5] = 0, 0
    pred[0, 0] = 1  # a speck of 1 in 296 edge pixels does not move the 95 % distance
    assert boundary_scores(pred, mask)["hd95"] == 6.0


def test_masks_cut_by_the_border_agree_along_it():
    pred, mask = np.zeros((2, 50, 100), np.uint8)
    pred[:30], mask[:33] = 1, 1  # three sides on the border; edges of 100 + 2 * 28 + 100 and 100 + 2 * 31 + 100 pixels
    scores = boundary_scores(pred, mask)
    # within the tolerance of 1.1 pixels: the upper side, what both have of the sides, and a pixel on from it
    assert scores["surface_dice"] == pytest.approx(((100 + 2 * 28 + 4) + (100 + 2 * 30)) / (256 + 262))
    assert scores["hd95"] == 3.0


def test_boundary_scores_of_empty_masks_are_the_best_or_the_worst_there_are():
    empty, some = np.zeros((2, 30, 40), np.uint8)
    some[3, 4] = 1
    assert boundary_scores(empty, empty) == {"hd95": 0.0, "surface_dice": 1.0}
    assert boundary_scores(empty, some) == boundary_scores(some, empty) == {"hd95": 50.0, "surface_dice": 0.0}
    assert boundary_scores(some, some) == {"hd95": 0.0, "surface_dice": 1.0}


def test_boundary_scores_do_not_depend_on_which_mask_is_which_or_how_it_is_turned():
    for pred, mask in make_pairs():
        scores = pytest.approx(boundary_scores(pred, mask))
        assert boundary_scores(mask, pred) == scores
        assert boundary_scores(np.rot90(pred), np.rot90(mask)) == scores
        assert boundary_scores(pred.astype(bool), mask.astype(bool)) == scores


def test_boundary_scores_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match=r"pred \(4, 1\) and mask \(4, 4\) differ"):
        boundary_scores(np.zeros((4, 1), np.uint8), np.zeros((4, 4), np.uint8))


def test_the_band_reaches_as_far_as_the_tolerance_of_surface_dice():
    mask = np.zeros((300, 400), np.uint8)
    mask[100:200, 100:300] = 1
    band = boundary_band(mask)
    assert np.flatnonzero(band[150]).tolist() == [*range(95, 106), *range(294, 305)]
    assert np.flatnonzero(band[:, 200]).tolist() == [*range(95, 106), *range(194, 205)]
    assert (band[97, 96], band[96, 97], band[96, 96]) == (True, True, False)  # 3-4-5 from the corner, and further
    assert not boundary_band(np.zeros((5, 5), np.uint8)).any()


def test_every_column_and_every_figure_of_the_summary_is_defined():
    pred, mask = np.eye(4, dtype=np.uint8), np.eye(4, dtype=np.uint8)
    pred[:, 0], mask[0, 0], mask[0, 3] = 1, 0, 1  # 3 pixels in both, 7 in pred, 4 in mask
    scores = score_masks(["a"], [pred], [mask])
    assert list(scores)[:7] == ["sample_id", "dice", "iou", "sensitivity", "precision", "hd95", "surface_dice"]
    stems = {name.removesuffix("_mean").removesuffix("_low").removesuffix("_high") for name in summarise_scores(scores)}
    assert {*scores, *stems} - {"sample_id"} == set(DEFINITIONS)
    assert scores.loc[0, ["dice", "iou", "sensitivity", "precision"]].tolist() == [6 / 11, 3 / 8, 3 / 4, 3 / 7]


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


@pytest.mark.parametrize("count", [1, 2, 31, 259, 2000])
def test_an_interval_is_to_the_last_digit_that_of_one_drawing_after_the_other(count, monkeypatch):
    monkeypatch.setattr(metrics, "DRAWS_AT_ONCE", 1500)  # some chunks, the last of them shorter; and one row at a time
    values = np.random.default_rng(count).beta(8, 2, count)
    rng = np.random.default_rng(3)
    means = [rng.choice(values, count).mean() for _ in range(100)]
    assert bootstrap_interval(values, resamples=100, seed=3) == tuple(np.quantile(means, [0.025, 0.975]))


def test_groups_of_one_change_nothing_and_copies_of_images_add_nothing():
    values = np.random.default_rng(0).normal(size=40)
    alone = bootstrap_interval(values)
    assert bootstrap_interval(values, groups=np.arange(40)[::-1]) == alone
    copies, names = np.tile(values, 5), np.tile([f"lesion {number}" for number in range(40)], 5)
    assert bootstrap_interval(copies, groups=names) == pytest.approx(alone)
    assert np.ptp(bootstrap_interval(copies)) < 0.6 * np.ptp(alone)  # as if 200 strangers had been seen


def test_a_resample_of_groups_is_averaged_over_its_images():
    # both groups twice: 0.25; the large one twice: 0; the small one twice: 1; never the 0.5 of a mean of means
    values, groups = np.array([0.0, 0.0, 0.0, 1.0]), np.array([7, 7, 7, 2])
    means = {bootstrap_interval(values, groups=groups, resamples=1, seed=seed)[0] for seed in range(20)}
    assert means == {0.0, 0.25, 1.0}


def test_a_resample_of_nothing_or_of_too_few_groups_is_refused():
    with pytest.raises(ValueError, match="0 values and no groups"):
        bootstrap_interval(np.array([]))
    with pytest.raises(ValueError, match="3 values and 2 groups"):
        bootstrap_interval(np.zeros(3), groups=np.zeros(2))


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


def test_copies_of_images_make_no_difference_more_real():
    rng = np.random.default_rng(0)
    first, gain = rng.uniform(0.7, 0.9, 12), rng.normal(0.01, 0.02, 12)
    alone = compare_scores(first, first + gain)
    names = np.repeat([f"P{number}" for number in range(12)], 20)
    copied = compare_scores(np.repeat(first, 20), np.repeat(first + gain, 20), groups=names)
    assert {name: copied[name] for name in ("difference", "low", "high", "p")} == pytest.approx(
        {name: alone[name] for name in ("difference", "low", "high", "p")}
    )
    assert compare_scores(np.repeat(first, 20), np.repeat(first + gain, 20))["p"] < 1e-6 < alone["p"]
    assert compare_scores(first, first + gain, groups=np.arange(12)[::-1]) == alone


def test_chance_among_slices_of_few_patients_is_called_chance():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), 10)
    real = {True: 0, False: 0}
    for number in range(60):
        first = rng.uniform(0.7, 0.9, 120)
        second = first + rng.normal(0, 0.02, 12)[groups] + rng.normal(0, 0.005, 120)
        for known in real:
            facts = compare_scores(first, second, groups=groups if known else None, resamples=200, seed=number)
            real[known] += "real" in describe_comparison(facts)
    assert real[True] <= 6
    assert real[False] > 20


def test_runs_on_different_numbers_of_images_are_refused():
    with pytest.raises(ValueError, match="differ"):
        compare_scores(np.zeros(2), np.zeros(3))
