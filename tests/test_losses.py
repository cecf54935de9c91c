import math

import pytest
import torch
from torchmetrics.functional.segmentation import dice_score as their_dice

from seglib.losses import bce_dice_loss, dice_loss, seed_loss

BIG = 100.0


@pytest.mark.parametrize(
    ("logits", "target", "expected"),
    [
        ([[BIG, BIG], [-BIG, -BIG]], [[1, 1], [0, 0]], 0.0),
        ([[BIG, BIG], [-BIG, -BIG]], [[0, 0], [1, 1]], 0.8),  # disjoint: 1 - 1/(2+2+1)
        ([[BIG, BIG], [-BIG, -BIG]], [[1, 0], [0, 0]], 0.25),  # 1 - (2*1+1)/(2+1+1)
        ([[-BIG, -BIG], [-BIG, -BIG]], [[0, 0], [0, 0]], 0.0),  # nothing there, nothing claimed
    ],
)
def test_dice_loss_of_four_pixels(logits, target, expected):
    value = dice_loss(torch.tensor([[logits]]), torch.tensor([[target]]))
    assert value.item() == pytest.approx(expected, abs=1e-6)


def test_the_loss_of_a_batch_is_the_mean_of_its_images():
    logits, target = torch.randn(5, 1, 8, 8), (torch.rand(5, 1, 8, 8) > torch.rand(5, 1, 1, 1)).float()
    apart = [bce_dice_loss(logits[i : i + 1], target[i : i + 1]).item() for i in range(5)]
    assert bce_dice_loss(logits, target).item() == pytest.approx(sum(apart) / 5, rel=1e-5)


def test_without_smoothing_hard_masks_give_one_minus_the_dice_of_others():
    pred, target = torch.rand(6, 1, 9, 7) > 0.5, torch.rand(6, 1, 9, 7) > 0.5
    theirs = their_dice(pred.long(), target.long(), num_classes=1, input_format="one-hot").mean()
    ours = dice_loss(torch.where(pred, BIG, -BIG), target, smooth=0.0)
    assert ours.item() == pytest.approx(1 - theirs.item(), abs=1e-5)


def test_an_empty_target_still_teaches_silence():
    logits = torch.zeros(1, 1, 4, 4, requires_grad=True)
    dice_loss(logits, torch.zeros(1, 1, 4, 4)).backward()
    assert (logits.grad > 0).all()


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_two_losses_are_weighted(weight):
    logits, target = torch.tensor([[[[0.0, 2.0]]]]), torch.tensor([[[[1, 0]]]])
    bce = (math.log(2) + math.log(1 + math.exp(2))) / 2
    expected = weight * bce + (1 - weight) * dice_loss(logits, target).item()
    assert bce_dice_loss(logits, target, bce_weight=weight).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loss", [dice_loss, bce_dice_loss, seed_loss])
def test_shapes_that_would_broadcast_are_refused_with_both_in_the_message(loss):
    with pytest.raises(ValueError, match=r"logits \(2, 1, 4, 4\) and target \(2, 4, 4\) differ"):
        loss(torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 4))


def test_sums_do_not_overflow_in_half_precision():
    logits = torch.full((1, 1, 400, 400), 20.0, dtype=torch.float16)  # 160,000 pixels: float16 ends at 65,504
    assert bce_dice_loss(logits, torch.ones(1, 1, 400, 400)).item() == pytest.approx(0, abs=1e-3)


def test_a_perfect_mask_scores_0_274_in_the_loss_of_the_seed_at_a_quarter_foreground():
    target = torch.zeros(1, 1, 320, 320)
    target[..., :160, :160] = 1
    assert seed_loss(torch.where(target > 0, BIG, -BIG), target).item() == pytest.approx(0.274, abs=5e-4)


def test_the_loss_of_the_seed_pools_its_batch():
    logits, target = torch.randn(3, 1, 8, 8), torch.zeros(3, 1, 8, 8)
    target[0] = 1
    wide = seed_loss(logits.reshape(1, 1, 24, 8), target.reshape(1, 1, 24, 8))
    assert seed_loss(logits, target).item() == pytest.approx(wide.item(), rel=1e-5)
