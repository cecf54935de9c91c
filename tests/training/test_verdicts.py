import numpy as np
import pandas as pd
import pytest

from seglib.training.history import find_best_epoch
from seglib.training.verdicts import diagnose, estimate_noise, recommend_patience

FALL = np.linspace(0.6, 0.3, 4)


# Curves made for each verdict: x runs from 0 to 1; the noise is a hundredth of the level where nothing else is said.
def make_history(train, val, *, dice=0.9, rate=None, seed=0, noise=0.01):
    rng = np.random.default_rng(seed)
    count = len(train)
    train, val = (values * (1 + noise * rng.standard_normal(count)) for values in (np.asarray(train), np.asarray(val)))
    rate = np.full(count, 1e-3) if rate is None else rate
    epoch = np.arange(1, count + 1)
    return pd.DataFrame({"epoch": epoch, "train_loss": train, "val_loss": val, "val_dice": dice, "lr": rate})


def cosine(x):
    return 1e-3 * (1 + np.cos(np.pi * x)) / 2 + 1e-8


def converged(x, seed):
    falls = np.exp(-9 * x)
    return make_history(0.08 + 0.4 * falls, 0.1 + 0.4 * falls, rate=cosine(x), seed=seed)


def still_improving(x, seed):
    falls = np.exp(-1.5 * x)
    return make_history(0.08 + 0.4 * falls, 0.1 + 0.4 * falls, seed=seed)


def plateau(x, seed):
    falls = np.exp(-12 * x)
    return make_history(0.15 + 0.4 * falls, 0.15 + 0.4 * falls, seed=seed)


def overfitting(x, seed):
    rises = 0.06 * np.maximum(x - 0.4, 0) / 0.6
    return make_history(0.05 + 0.4 * np.exp(-3 * x), 0.12 + 0.4 * np.exp(-12 * x) + rises, seed=seed)


def rate_too_high(x, seed):
    jumps = np.abs(0.6 + 0.3 * np.random.default_rng(seed).standard_normal(len(x)))
    return make_history(jumps, jumps[::-1], seed=seed)


def rate_too_low(x, seed):
    return make_history(0.7 - 0.12 * x, 0.7 - 0.12 * x, dice=0.3, seed=seed, noise=0.002)


def noisy_validation(x, seed):
    scatter = 0.06 * np.random.default_rng(seed).standard_normal(len(x))
    return make_history(0.1 + 0.4 * np.exp(-6 * x), 0.3 + scatter, dice=0.8, seed=seed)


def stuck_at_a_floor(x, seed):
    falls = np.exp(-12 * x)
    return make_history(0.3 + 0.3 * falls, 0.3 + 0.3 * falls, dice=0.95 - 0.5 * falls, rate=cosine(x), seed=seed)


def learns_nothing(x, seed):
    return make_history(np.full(len(x), 0.69), np.full(len(x), 0.69), dice=0.2, seed=seed, noise=0.002)


def diverged(x, seed):
    blown = np.where(x < 0.5, 0.1 + 0.4 * np.exp(-9 * x), 2.0)
    return make_history(blown, blown, seed=seed)


def getting_worse(x, seed):
    rises = 0.2 * np.maximum(x - 0.4, 0) / 0.6
    return make_history(0.3 + 0.2 * np.exp(-25 * x), 0.3 + 0.3 * np.exp(-12 * x) + rises, rate=cosine(x), seed=seed)


MADE = [getting_worse, converged, still_improving, plateau, overfitting, rate_too_high, rate_too_low, noisy_validation]


MADE += [stuck_at_a_floor, learns_nothing, diverged]


@pytest.mark.parametrize("count", [14, 30, 150])
@pytest.mark.parametrize("make", MADE, ids=lambda make: make.__name__)
def test_a_curve_made_for_a_verdict_gets_it_and_the_others_do_not(make, count):
    x = np.linspace(0, 1, count)
    kinds = [diagnose(make(x, seed)).kind for seed in range(20)]
    right = kinds.count(make.__name__.replace("_", " "))
    assert right >= 18, kinds  # noise may speak now and then


@pytest.mark.parametrize("count", [5, 8, 14, 30, 150])
@pytest.mark.parametrize("make", [converged, still_improving, plateau], ids=lambda make: make.__name__)
def test_healthy_curves_are_blamed_for_nothing(make, count):
    blame = {"overfitting", "rate too high", "rate too low", "noisy validation", "stuck at a floor", "diverged"}
    blame |= {"learns nothing", "getting worse"}
    for seed in range(20):
        verdict = diagnose(make(np.linspace(0, 1, count), seed))
        assert not blame & {verdict.kind, *(other.kind for other in verdict.also)}


def test_the_curve_of_the_seed_project_overfits_from_its_best_epoch():
    epoch = np.arange(
        1, 34
    )  # as it is described: best 0.367 at epoch 23 of 33, then rising; the training loss falls on
    val = np.where(
        epoch <= 23, 0.367 + 0.25 * np.exp(-epoch / 5) - 0.25 * np.exp(-23 / 5), 0.367 + 0.003 * (epoch - 23)
    )
    rate = 1e-4 * 0.5 ** np.clip((epoch - 24) // 4, 0, None)  # halved after three flat epochs
    history = make_history(0.3 + 0.35 * np.exp(-epoch / 9), val, dice=0.85, rate=rate, noise=0.002)
    verdict = diagnose(history)
    assert verdict.kind == "overfitting"
    assert abs(verdict.evidence["epoch"] - 23) <= 2
    assert verdict.evidence["best"] == pytest.approx(0.367, abs=0.006)
    assert f"from epoch {verdict.evidence['epoch']:g}" in verdict.sentence
    assert find_best_epoch(history) in range(20, 27)


def test_a_validation_loss_that_rises_with_the_training_loss_is_not_overfitting():
    x = np.linspace(0, 1, 30)
    rises = 0.1 * np.maximum(x - 0.4, 0)
    history = make_history(0.1 + 0.4 * np.exp(-9 * x) + rises, 0.1 + 0.4 * np.exp(-9 * x) + rises)
    verdict = diagnose(history.assign(lr=cosine(x)))
    assert verdict.kind == "getting worse"
    assert "rose from" in verdict.sentence
    assert "converged" not in [other.kind for other in verdict.also]


def test_an_end_that_is_worse_than_what_came_before_is_never_called_converged():
    """Of a short run: best in the first epoch, far worse, and half of it back."""
    val = [0.80984, 1.00482, 1.28488, 1.21723, 0.878366]
    train = [0.768127, 0.812615, 0.581295, 0.609342, 0.549523]
    rate = [8e-5, 0.002, 0.0015, 0.0005, 8e-9]
    history = pd.DataFrame({"epoch": range(1, 6), "train_loss": train, "val_loss": val, "val_dice": 0.45, "lr": rate})
    verdict = diagnose(history)
    assert verdict.kind == "getting worse"
    assert "the validation loss of the last 3 epochs is 1.13 on average, +24.2 % against the epochs" in verdict.sentence
    assert "Epoch 1 is kept, so nothing is lost" in verdict.advice


def test_a_training_loss_that_begins_at_nothing_breaks_nothing():
    history = make_history(np.zeros(8), np.full(8, 0.1))
    assert diagnose(history).kind in ("converged", "plateau", "learns nothing")


def test_one_epoch_is_one():
    assert "Too short to tell: 1 epoch." in diagnose(make_history(FALL, FALL).head(1)).sentence
    assert "Too short to tell: 2 epochs." in diagnose(make_history(FALL, FALL).head(2)).sentence


def test_overfitting_names_the_epoch_whose_weights_are_kept():
    history = overfitting(np.linspace(0, 1, 30), 0)
    history["val_dice"] = np.linspace(0.8, 0.9, 30)  # the Dice may rise while the loss does too
    verdict = diagnose(history, "val_dice")
    assert (verdict.kind, verdict.evidence["kept"]) == ("overfitting", 30)
    assert verdict.advice.startswith("Epoch 30 is kept, though the loss was rising, as its Dice is the highest;")
    assert diagnose(history).evidence["kept"] == find_best_epoch(history)


def test_where_the_end_is_worse_than_before_it_is_said_why_an_epoch_of_it_is_kept():
    val = [0.80984, 1.00482, 1.28488, 1.21723, 0.878366]
    curve = {"train_loss": [0.77, 0.81, 0.58, 0.61, 0.55], "val_loss": val, "val_dice": [0.4, 0.42, 0.44, 0.46, 0.5]}
    history = pd.DataFrame({"epoch": range(1, 6), **curve, "lr": [8e-5, 0.002, 0.0015, 0.0005, 8e-9]})
    assert diagnose(history, "val_dice").advice.startswith("Epoch 5 is kept, though the loss was rising, as its Dice")
    assert diagnose(history).advice.startswith("Epoch 1 is kept, so nothing is lost;")


def test_advice_to_go_on_is_what_can_be_typed():
    verdict = diagnose(still_improving(np.linspace(0, 1, 14), 0))
    assert verdict.kind == "still improving"
    assert "--set epochs=28" in verdict.advice


def test_a_loss_that_came_back_down_has_not_diverged():
    x = np.linspace(0, 1, 30)
    history = converged(x, 0)
    history.loc[10:12, "train_loss"] = 3.0
    assert diagnose(history).kind != "diverged"


def test_a_network_that_learns_late_has_learnt_something():
    history = make_history(np.r_[np.full(20, 0.69), np.full(10, 0.4)], np.full(30, 0.5), dice=0.45, noise=0.002)
    assert diagnose(history).kind != "learns nothing"


def test_a_gain_that_chance_explains_is_named_so():
    scatter = 1 + 0.04 * np.random.default_rng(0).standard_normal(30)
    history = make_history(np.full(30, 0.1), 0.2 * scatter, rate=cosine(np.linspace(0, 1, 30)), noise=0)
    verdict = diagnose(history)
    assert verdict.kind == "converged"
    assert 0 < verdict.evidence["chance"] < 0.2
    assert ("chance alone" in verdict.sentence) == (0.02 < abs(verdict.evidence["gain"]) <= verdict.evidence["chance"])


def test_a_jump_at_the_beginning_hides_no_fall_at_the_end():
    """The preset quick on phantoms, 96 px, eight epochs."""
    val = [0.614, 1.888, 1.638, 0.357, 0.274, 0.226, 0.195, 0.179]
    train = [0.679, 0.512, 0.36, 0.255, 0.194, 0.174, 0.156, 0.149]
    history = make_history(train, val, rate=cosine(np.linspace(0, 1, 8)), noise=0)
    verdict = diagnose(history)
    assert verdict.kind == "still improving"
    assert verdict.evidence["gain"] == pytest.approx(0.736, abs=0.01)
    assert verdict.evidence["chance"] < 0.2


def test_a_small_gain_at_a_rate_of_nothing_is_no_reason_to_go_on():
    """The seed's recipe on isic2016 ends so: calm, as its rate was halved six times, and 2 % better than before."""
    scatter = 1 + 0.1 * np.random.default_rng(0).standard_normal(48)
    val = np.r_[0.17 * scatter, np.linspace(0.137, 0.1355, 11), np.linspace(0.1335, 0.1322, 11)]
    history = make_history(np.full(70, 0.15), val, rate=cosine(np.linspace(0, 1, 70)), noise=0)
    verdict = diagnose(history)
    assert verdict.kind == "converged"
    assert 0.02 < verdict.evidence["gain"] < verdict.evidence["chance"]


def test_a_loss_that_is_not_a_number_is_told_first_with_its_epoch():
    history = overfitting(np.linspace(0, 1, 14), 0)
    history.loc[6, "val_loss"] = np.nan
    verdict = diagnose(history)
    assert (verdict.kind, verdict.evidence) == ("diverged", {"epoch": 7})
    history.loc[3, "train_loss"] = np.inf
    assert diagnose(history).evidence == {"epoch": 4}
    assert diagnose(history[:4]).kind == "diverged"  # even of a run that is too short for the rest


def test_a_training_loss_that_explodes_has_diverged():
    history = make_history([0.5, 0.4, 0.3, 0.9, 2, 5, 9], [0.5] * 7, noise=0)
    verdict = diagnose(history)
    assert (verdict.kind, verdict.evidence["epoch"]) == ("diverged", 4)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_short_history_is_too_short_to_tell(count):
    verdict = diagnose(converged(np.linspace(0, 1, 14), 0)[:count])
    assert (verdict.kind, verdict.evidence) == ("too short", {"epochs": count})


def test_five_epochs_are_enough_to_tell():
    assert diagnose(converged(np.linspace(0, 1, 14), 0)[:5]).kind == "still improving"


def test_a_slow_fall_at_a_rate_that_was_lowered_is_not_blamed_on_the_rate():
    x = np.linspace(0, 1, 30)
    history = rate_too_low(x, 0).assign(lr=cosine(x))
    assert "rate too low" not in {diagnose(history).kind, *(other.kind for other in diagnose(history).also)}


def test_a_small_loss_beside_a_high_dice_is_no_floor():
    history = make_history(np.full(30, 0.12), np.full(30, 0.12), dice=0.98, rate=cosine(np.linspace(0, 1, 30)))
    assert diagnose(history).kind == "converged"


def test_what_else_is_true_stands_beside_the_verdict():
    x = np.linspace(0, 1, 30)
    verdict = diagnose(make_history(0.9 - 0.1 * x, 0.5 + 0 * x, dice=0.75, noise=0.001))
    assert (verdict.kind, [other.kind for other in verdict.also]) == ("rate too low", ["plateau"])
    assert all(other.also == () for other in verdict.also)
    assert diagnose(overfitting(x, 0)).also == ()  # that its end is worse than what came before is said already


def test_advice_names_settings_that_exist():
    from seglib.config import Config

    for make in MADE:
        verdict = diagnose(make(np.linspace(0, 1, 30), 0))
        names = [word.strip("(),.;:").split("=")[0] for word in verdict.advice.split() if "_" in word or "=" in word]
        names = [name for name in names if not name[0].isdigit()]  # a notebook
        assert names or make in (converged, stuck_at_a_floor, still_improving)
        assert set(names) <= set(Config.__dataclass_fields__)


def test_the_noise_is_that_of_the_scatter_whatever_the_trend():
    rng = np.random.default_rng(0)
    steps = np.arange(2000)
    scatter = 0.03 * rng.standard_normal(2000)
    assert estimate_noise(5 - 0.01 * steps + scatter) == pytest.approx(0.03, rel=0.06)
    assert estimate_noise(3.0 * np.arange(9)) == pytest.approx(0, abs=1e-12)


def test_patience_grows_with_noise_and_shrinks_with_slope():
    fall = np.linspace(0.5, 0.4, 40)  # 0.00256 an epoch
    rng = np.random.default_rng(1)
    scatter = rng.standard_normal(40)
    few, many = (recommend_patience(pd.DataFrame({"val_loss": fall + s * scatter})) for s in (0.0001, 0.01))
    assert few == 3
    assert 5 <= many <= 12  # 2 * 0.01 / 0.00256 = 7.8
    assert recommend_patience(pd.DataFrame({"val_loss": fall[::-1]})) == 40
    assert recommend_patience(pd.DataFrame({"val_loss": [1, 2]})) == 3


@pytest.mark.parametrize(
    ("end", "kind", "words"),
    [([0.0] * 5, "plateau", "0 on average, -0.0 %"), ([0.2, 0.3, 0.4, 0.5, 0.6], "overfitting", "from 0 to 0.5")],
)
def test_a_validation_loss_of_zero_is_a_level_like_any_other(end, kind, words):
    """That of lovasz is, where all masks are empty; a share of it is no number."""
    train, val = [0.5 * 0.7**epoch for epoch in range(12)], [0.3, 0.1, *[0.0] * 5, *end]
    verdict = diagnose(pd.DataFrame(make_history(train, val, noise=0, dice=1.0)))
    assert verdict.kind == kind
    assert words in verdict.sentence
    assert all(np.isfinite(one) for verdict in (verdict, *verdict.also) for one in verdict.evidence.values())
