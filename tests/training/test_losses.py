import math
import pickle

import pytest
import segmentation_models_pytorch as smp
import torch
from torch.nn import functional as F  # noqa: N812
from torchmetrics.functional.segmentation import dice_score as their_dice
from torchmetrics.functional.segmentation import mean_iou as their_iou
from torchvision.ops import sigmoid_focal_loss

from seglib.models.networks import UNet
from seglib.training.losses import (
    LOSSES,
    bce_loss,
    combine_losses,
    dice_loss,
    focal_loss,
    lovasz_loss,
    seed_loss,
    tversky_loss,
)

BIG = 100.0
PER_IMAGE = [*LOSSES.values(), combine_losses([(0.5, "bce"), (0.5, "dice")])]
ALL = [*PER_IMAGE, seed_loss]


@pytest.fixture
def batch():
    """Logits and targets of five images, their foregrounds of very different size."""
    return 2 * torch.randn(5, 1, 8, 7), (torch.rand(5, 1, 8, 7) > torch.rand(5, 1, 1, 1)).float()


def gradient(loss, logits, target):
    logits = logits.clone().requires_grad_()
    return torch.autograd.grad(loss(logits, target), logits)[0]


# ---------------------------------------------------------------- values worked out by hand


@pytest.mark.parametrize(
    ("logits", "target", "dice", "tversky"),
    [
        ([BIG, BIG, -BIG, -BIG], [1, 1, 0, 0], 0.0, 0.0),
        ([BIG, BIG, -BIG, -BIG], [0, 0, 1, 1], 0.8, 2 / 3),  # disjoint: 1 - 1/(2+2+1); 1 - 1/(0.3*2 + 0.7*2 + 1)
        ([BIG, BIG, -BIG, -BIG], [1, 0, 0, 0], 0.25, 0.3 / 2.3),  # one too many: 1 - 3/(2+1+1); 1 - 2/(1 + 0.3 + 1)
        ([BIG, BIG, -BIG, -BIG], [1, 1, 1, 0], 1 / 6, 0.7 / 3.7),  # one too few: 1 - 5/(2+3+1); 1 - 3/(2 + 0.7 + 1)
        ([BIG, BIG, -BIG, -BIG], [0, 0, 0, 0], 2 / 3, 0.375),  # nothing there: 1 - 1/(2+1); 1 - 1/(0.3*2 + 1)
        ([-BIG, -BIG, -BIG, -BIG], [0, 0, 0, 0], 0.0, 0.0),  # nothing there, nothing claimed
    ],
)
def test_dice_and_tversky_loss_of_four_pixels(logits, target, dice, tversky):
    logits, target = torch.tensor(logits).view(1, 1, 2, 2), torch.tensor(target).view(1, 1, 2, 2)
    assert dice_loss(logits, target).item() == pytest.approx(dice, abs=1e-6)
    assert tversky_loss(logits, target).item() == pytest.approx(tversky, abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # logit ln 3 is p = 3/4. foreground: (1/4)**2 * ln(4/3), background: (3/4)**2 * ln 4; the mean of the two
        ({}, (math.log(4 / 3) / 16 + 9 * math.log(4) / 16) / 2),
        ({"alpha": 0.25}, (math.log(4 / 3) / 64 + 27 * math.log(4) / 64) / 2),  # weights 1/4 and 3/4
        ({"gamma": 1.0}, (math.log(4 / 3) / 4 + 3 * math.log(4) / 4) / 2),
        ({"gamma": 0.0}, (math.log(4 / 3) + math.log(4)) / 2),  # cross-entropy
    ],
)
def test_focal_loss_of_a_right_and_a_wrong_pixel(settings, expected):
    logits, target = torch.full((1, 1, 1, 2), math.log(3)), torch.tensor([[[[1, 0]]]])
    assert focal_loss(logits, target, **settings).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("logits", "target", "expected"),
    [
        # errors -1, 2, 1.5, -2; the worst, foreground, costs 1/2 of the IoU, the next, background, 2/3 - 1/2
        ([2.0, -1.0, 0.5, -3.0], [1, 1, 0, 0], 2 * 1 / 2 + 1.5 * 1 / 6),
        # errors 1.5 and 2 the other way round: 1 - 2/3, then 2/3 - 1/3
        ([2.0, -0.5, 1.0, -3.0], [1, 1, 0, 0], 2 * 1 / 3 + 1.5 * 1 / 3),
        ([0.0, 0.0, 0.0, 0.0], [1, 1, 1, 1], 1.0),
        ([-2.0, -0.5, 3.0, 1.0], [0, 0, 0, 0], 4.0),  # an empty target: the whole IoU goes with the worst pixel
        ([1.0, 1.0, -1.0, -1.0], [1, 1, 0, 0], 0.0),  # right by just the margin
    ],
)
def test_lovasz_loss_of_four_pixels(logits, target, expected):
    logits, target = torch.tensor(logits).view(1, 1, 2, 2), torch.tensor(target).view(1, 1, 2, 2)
    assert lovasz_loss(logits, target).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_cross_entropy_and_dice_are_weighted(weight):
    logits, target = torch.tensor([[[[0.0, 2.0]]]]), torch.tensor([[[[1, 0]]]])
    bce = (math.log(2) + math.log(1 + math.exp(2))) / 2
    expected = weight * bce + (1 - weight) * dice_loss(logits, target).item()
    assert bce_loss(logits, target).item() == pytest.approx(bce, rel=1e-6)
    both = combine_losses([(weight, "bce"), (1 - weight, "dice")])
    assert both(logits, target).item() == pytest.approx(expected, rel=1e-6)


def test_a_perfect_mask_scores_0_274_in_the_loss_of_the_seed_at_a_quarter_foreground():
    target = torch.zeros(1, 1, 320, 320)
    target[..., :160, :160] = 1
    assert seed_loss(torch.where(target > 0, BIG, -BIG), target).item() == pytest.approx(0.274, abs=5e-4)


# ---------------------------------------------------------------- other authors as judges


def test_without_smoothing_hard_masks_give_one_minus_the_dice_of_others():
    pred, target = torch.rand(6, 1, 9, 7) > 0.5, torch.rand(6, 1, 9, 7) > 0.5
    theirs = their_dice(pred.long(), target.long(), num_classes=1, input_format="one-hot").mean()
    ours = dice_loss(torch.where(pred, BIG, -BIG), target, smooth=0.0)
    assert ours.item() == pytest.approx(1 - theirs.item(), abs=1e-5)


def test_lovasz_loss_of_logits_one_and_minus_one_is_twice_one_minus_the_iou_of_others():
    pred, target = torch.rand(6, 1, 9, 7) > 0.5, torch.rand(6, 1, 9, 7) > 0.5
    theirs = their_iou(pred.long(), target.long(), num_classes=1, input_format="one-hot").mean()
    assert lovasz_loss(torch.where(pred, 1.0, -1.0), target).item() == pytest.approx(2 * (1 - theirs.item()), abs=1e-5)


def test_lovasz_loss_and_its_gradient_are_those_of_its_author(batch):
    logits, target = batch
    target[1], target[2] = 0, 1  # an empty and a full one
    theirs = smp.losses.LovaszLoss(mode="binary", per_image=True)
    assert lovasz_loss(logits, target).item() == pytest.approx(theirs(logits, target).item(), rel=1e-5)
    torch.testing.assert_close(gradient(lovasz_loss, logits, target), gradient(theirs, logits, target))


def test_tversky_loss_and_its_gradient_are_those_of_smp_image_by_image(batch):
    logits, target = batch
    target[:, :, 0, 0] = 1  # smp leaves empty targets out
    judge = smp.losses.TverskyLoss(mode="binary", alpha=0.3, beta=0.7, smooth=1.0)

    def theirs(logits, target):  # smp pools its batch
        return torch.stack([judge(logits[i : i + 1], target[i : i + 1]) for i in range(len(logits))]).mean()

    assert tversky_loss(logits, target).item() == pytest.approx(theirs(logits, target).item(), rel=1e-5)
    torch.testing.assert_close(gradient(tversky_loss, logits, target), gradient(theirs, logits, target))


def test_tversky_loss_of_equal_prices_is_dice_loss(batch):
    half = tversky_loss(*batch, alpha=0.5, beta=0.5, smooth=0.5)
    assert half.item() == pytest.approx(dice_loss(*batch, smooth=1.0).item(), rel=1e-5)


def test_focal_loss_and_its_gradient_are_those_of_others(batch):
    logits, target = batch
    theirs = smp.losses.FocalLoss(mode="binary")
    assert focal_loss(logits, target).item() == pytest.approx(theirs(logits, target).item(), rel=1e-5)
    torch.testing.assert_close(gradient(focal_loss, logits, target), gradient(theirs, logits, target))
    weighted = sigmoid_focal_loss(logits, target, alpha=0.25, gamma=1.5, reduction="mean")
    assert focal_loss(logits, target, alpha=0.25, gamma=1.5).item() == pytest.approx(weighted.item(), rel=1e-5)


# ---------------------------------------------------------------- properties


@pytest.mark.parametrize("loss", PER_IMAGE)
def test_the_loss_of_a_batch_is_the_mean_of_its_images(loss, batch):
    logits, target = batch
    apart = [loss(logits[i : i + 1], target[i : i + 1]).item() for i in range(5)]
    assert loss(logits, target).item() == pytest.approx(sum(apart) / 5, rel=1e-5)


def test_the_loss_of_the_seed_pools_its_batch():
    logits, target = torch.randn(3, 1, 8, 8), torch.zeros(3, 1, 8, 8)
    target[0] = 1
    wide = seed_loss(logits.reshape(1, 1, 24, 8), target.reshape(1, 1, 24, 8))
    assert seed_loss(logits, target).item() == pytest.approx(wide.item(), rel=1e-5)


@pytest.mark.parametrize("loss", PER_IMAGE)
def test_a_perfect_and_certain_prediction_costs_nothing(loss, batch):
    target = batch[1]
    target[0], target[1] = 0, 1
    assert loss(torch.where(target > 0, BIG, -BIG), target).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("loss", ALL)
def test_every_pixel_is_pushed_towards_its_target_and_never_away(loss, batch):
    logits, target = batch
    push = gradient(loss, logits, target) * (1 - 2 * target)
    assert (push >= 0).all()
    assert (push > 0).any()


@pytest.mark.parametrize("loss", [loss for loss in ALL if loss is not lovasz_loss])
def test_an_empty_target_still_teaches_silence(loss):
    assert (gradient(loss, torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)) > 0).all()


def test_an_empty_target_teaches_lovasz_loss_by_its_worst_pixel_only():
    slope = gradient(lovasz_loss, torch.tensor([[[[-1.0, 3.0, 2.0]]]]), torch.zeros(1, 1, 1, 3))
    assert slope.flatten().tolist() == [0, 1, 0]


@pytest.mark.parametrize("size", [BIG, 60_000.0])
@pytest.mark.parametrize("filling", [0.0, 1.0])
@pytest.mark.parametrize("loss", ALL)
def test_extreme_logits_keep_value_and_gradient_finite(loss, filling, size):
    logits, target = torch.tensor([[[[-size, 0.0, size]]]]).half(), torch.full((1, 1, 1, 3), filling)
    assert loss(logits, target).isfinite()
    assert gradient(loss, logits, target).isfinite().all()


def test_a_gamma_below_one_keeps_its_gradient_finite_where_the_prediction_is_certain():
    logits, target = torch.tensor([[[[-200.0, 200.0]]]]), torch.tensor([[[[0.0, 1.0]]]])
    assert gradient(lambda z, t: focal_loss(z, t, gamma=0.5), logits, target).isfinite().all()


@pytest.mark.parametrize("loss", ALL)
def test_sums_do_not_overflow_in_half_precision(loss):
    logits = torch.full((1, 1, 400, 400), 20.0, dtype=torch.float16)  # 160,000 pixels: float16 ends at 65,504
    target = torch.ones(1, 1, 400, 400, dtype=torch.float16)
    assert loss(logits, target).item() == pytest.approx(loss(logits.float(), target.float()).item(), abs=1e-6)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("loss", ALL)
def test_half_precision_loses_only_what_rounding_the_logits_loses(loss, kind, batch):
    logits, target = batch[0].to(kind), batch[1]
    expected = loss(logits.float(), target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(logits, target.to(torch.uint8))
    assert value.dtype == torch.float32
    assert value.item() == expected.item()


# ---------------------------------------------------------------- by name, and summed


def test_named_losses_are_weighted_and_added(batch):
    combined = combine_losses(((0.7, "tversky"), (2.0, "focal"), (0.1, "lovasz")))
    expected = 0.7 * tversky_loss(*batch) + 2 * focal_loss(*batch) + 0.1 * lovasz_loss(*batch)
    assert combined(*batch).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("name", ["bce", "dice", "focal", "tversky", "lovasz"])
def test_a_single_name_is_that_loss(name, batch):
    assert torch.equal(combine_losses([(1.0, name)])(*batch), LOSSES[name](*batch))


def test_a_combined_loss_survives_pickling(batch):
    combined = combine_losses([(0.5, "bce"), (0.5, "dice")])
    assert torch.equal(pickle.loads(pickle.dumps(combined))(*batch), combined(*batch))


@pytest.mark.parametrize(("terms", "message"), [([(1.0, "hinge")], "'hinge'.*lovasz"), ([], "no loss")])
def test_a_sum_of_nothing_known_is_refused(terms, message):
    with pytest.raises(ValueError, match=message):
        combine_losses(terms)


# ---------------------------------------------------------------- what is refused, and what is not


@pytest.mark.parametrize("loss", ALL)
def test_shapes_that_would_broadcast_are_refused_with_both_in_the_message(loss):
    with pytest.raises(ValueError, match=r"logits \(2, 1, 4, 4\) and target \(2, 4, 4\) differ"):
        loss(torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 4))


@pytest.mark.parametrize("kind", [torch.int64, torch.uint8, torch.bool])
@pytest.mark.parametrize("loss", ALL)
def test_logits_that_are_whole_numbers_are_refused_by_their_dtype(loss, kind):
    with pytest.raises(ValueError, match=str(kind)):
        loss(torch.zeros(1, 1, 4, 4, dtype=kind), torch.zeros(1, 1, 4, 4))


@pytest.mark.parametrize("loss", [*ALL, combine_losses([(1.0, "dice")])])
def test_probabilities_without_a_graph_are_refused_by_their_values(loss, batch):
    logits, target = batch
    for probability in (logits.sigmoid(), logits.sigmoid().half(), target.clone()):  # a hard mask is none the better
        with pytest.raises(ValueError, match=r"probabilities.*\[0, 1\].*raw logits, without the sigmoid") as caught:
            loss(probability, target)
        assert "\n" not in str(caught.value)


AFTER_THE_SIGMOID = {
    "nothing": lambda p: p,
    "a cast": lambda p: p.half().float(),
    "a slice": lambda p: p[:1],
    "a channel": lambda p: p[:, 0].unsqueeze(1),
    "chosen images": lambda p: p[[0, 2]],
    "a crop of one part": lambda p: p.split(2)[0][..., 1:5, 1:5],
    "a clamp": lambda p: p.clamp(1e-6, 1 - 1e-6).clamp(min=1e-5),
    "a new order": lambda p: p.permute(0, 1, 3, 2).contiguous().reshape(5, 1, -1, 2),
    "a larger size": lambda p: F.interpolate(p, scale_factor=2, mode="bilinear"),
}


@pytest.mark.parametrize("after", AFTER_THE_SIGMOID.values(), ids=AFTER_THE_SIGMOID)
@pytest.mark.parametrize("loss", ALL)
def test_probabilities_with_a_graph_are_refused_even_where_their_values_would_pass(loss, after):
    probability = after((0.01 * torch.randn(5, 1, 8, 6, requires_grad=True)).sigmoid())  # all about one half
    with pytest.raises(ValueError, match=r"probabilities.*sigmoid or softmax.*raw logits, without the sigmoid"):
        loss(probability, torch.zeros(probability.shape))


def test_one_channel_of_a_softmax_is_refused():
    probability = torch.zeros(2, 2, 4, 4, requires_grad=True).softmax(dim=1)[:, 1:]
    with pytest.raises(ValueError, match="probabilities"):
        bce_loss(probability, torch.zeros(2, 1, 4, 4))


@pytest.mark.parametrize("loss", ALL)
def test_a_device_is_never_made_to_wait_for_values_yet_its_graph_is_read(loss):
    logits, target = torch.zeros(1, 1, 4, 4, device="meta", requires_grad=True), torch.zeros(1, 1, 4, 4, device="meta")
    loss(logits, target)  # a tensor of the meta device has no values: reading one raises
    with pytest.raises(ValueError, match="probabilities"):
        loss(logits.sigmoid(), target)


@pytest.mark.parametrize(
    "logits",
    [
        torch.zeros(2, 1, 4, 4),
        torch.linspace(0.2, 0.6, 32).view(2, 1, 4, 4),  # an untrained network: inside [0, 1], but hardly spread
        torch.linspace(0.1, 0.8, 32).view(2, 1, 4, 4),  # the same after a few steps over images all foreground
        torch.linspace(-0.01, 1, 32).view(2, 1, 4, 4),
        torch.linspace(0, 1.01, 32).view(2, 1, 4, 4),
        torch.full((2, 1, 4, 4), float("nan")),  # the caller's to report, and not as a probability
        torch.linspace(0.01, 0.99, 32, requires_grad=True).view(2, 1, 4, 4).sigmoid().logit() * 3 - 1,  # back again
    ],
)
def test_logits_that_only_resemble_probabilities_are_accepted(logits):
    for loss in ALL:
        loss(logits, torch.zeros(2, 1, 4, 4))


@pytest.mark.parametrize("loss", ALL)
def test_a_network_that_trains_or_is_scored_may_have_any_logits(loss):
    """As one with instance norm had in its fifth step, over images that are mostly foreground: 0.006 to 0.997."""
    logits, target = torch.linspace(0.006, 0.997, 32).view(2, 1, 4, 4), torch.ones(2, 1, 4, 4)
    loss(logits.clone().requires_grad_(), target)
    with torch.inference_mode():
        loss(logits, target)


@pytest.mark.parametrize("norm", ["none", "batch", "instance"])
def test_an_untrained_network_is_never_taken_for_one_with_a_sigmoid(norm):
    images = torch.rand(2, 3, 32, 32)
    for seed in range(12):
        torch.manual_seed(seed)
        logits = UNet(norm=norm, widths=(4, 8, 16, 32, 64))(images)
        for loss in ALL:
            loss(logits, torch.zeros_like(logits))
            loss(logits.detach(), torch.zeros_like(logits))
