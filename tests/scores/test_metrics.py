import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from sklearn.metrics import f1_score, jaccard_score, precision_score, recall_score
from torchmetrics.functional.segmentation import dice_score as their_dice
from torchmetrics.functional.segmentation import mean_iou as their_iou

from seglib.scores.metrics import (
    SURFACE_TOLERANCE,
    boundary_band,
    boundary_scores,
    count_pixels,
    dice_score,
    iou_score,
    overlap_scores,
    pooled_scores,
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
    scores = {name: score.tolist() for name, score in overlap_scores(*count_pixels(pred, target)).items()}
    expected = {"dice": [dice], "iou": [iou], "sensitivity": [sensitivity], "precision": [precision]}
    assert scores == {name: pytest.approx(score) for name, score in expected.items()}
    assert (dice_score(pred, target).tolist(), iou_score(pred, target).tolist()) == (scores["dice"], scores["iou"])


def test_scores_agree_with_those_of_scikit_learn_and_torchmetrics():
    pred, target = torch.rand(7, 1, 13, 11) > 0.6, torch.rand(7, 1, 13, 11) > 0.4
    flat = [(p.ravel().numpy(), t.ravel().numpy()) for p, t in zip(pred, target, strict=True)]
    assert dice_score(pred, target).tolist() == pytest.approx([f1_score(t, p) for p, t in flat])
    assert iou_score(pred, target).tolist() == pytest.approx([jaccard_score(t, p) for p, t in flat])
    scores = overlap_scores(*count_pixels(pred, target))
    assert scores["sensitivity"].tolist() == pytest.approx([recall_score(t, p) for p, t in flat])
    assert scores["precision"].tolist() == pytest.approx([precision_score(t, p) for p, t in flat])
    form = {"num_classes": 1, "input_format": "one-hot"}
    assert dice_score(pred, target).tolist() == pytest.approx(their_dice(pred.long(), target.long(), **form).tolist())
    per_image = their_iou(pred.long(), target.long(), per_class=True, **form).ravel().tolist()
    assert iou_score(pred, target).tolist() == pytest.approx(per_image)


@pytest.mark.parametrize("score", [dice_score, iou_score, count_pixels])
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


def test_pooled_scores_weigh_pixels_and_not_images():
    # a large perfect image and a small missed one: the mean of the two Dice would be 0.5
    pooled = pooled_scores(np.array([90, 0]), np.array([90, 0]), np.array([90, 10]))
    assert pooled == pytest.approx({"dice_pooled": 180 / 190, "iou_pooled": 90 / 100})
