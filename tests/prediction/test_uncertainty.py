import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from seglib.prediction import uncertainty
from seglib.prediction.rules import MaskRules
from seglib.prediction.uncertainty import (
    DEFINITIONS,
    caught_share,
    choose_measure,
    describe_maps,
    describe_uncertainty,
    expected_dice,
    mask_agreement,
    rank_correlation,
    summarise_uncertainty,
    tabulate_uncertainty,
)


def test_a_certain_map_expects_a_perfect_mask_and_one_of_halves_does_not():
    mask = np.zeros((8, 8), np.uint8)
    mask[2:5, 3:7] = 1
    assert expected_dice(mask.astype(np.float32), mask) == 1
    assert expected_dice(mask * 0.5, mask) == pytest.approx(2 * 6 / (6 + 12))
    assert expected_dice(np.full((8, 8), 0.5), np.ones((8, 8), np.uint8)) == pytest.approx(2 / 3)


def test_doubt_outside_the_mask_counts_too():
    probability, pred = np.array([[0.9, 0.9, 0.4, 0.0]]), np.array([[1, 1, 0, 0]])
    assert expected_dice(probability, pred) == pytest.approx(2 * 1.8 / (2.2 + 2))


def test_what_a_map_expects_is_what_masks_drawn_from_it_get():
    rng = np.random.default_rng(0)
    probability = rng.random((40, 40)) ** 2
    pred = (probability > 0.5).astype(np.uint8)
    found = []
    for _ in range(300):
        drawn = rng.random((40, 40)) < probability
        found.append(2 * (drawn & (pred > 0)).sum() / (drawn.sum() + pred.sum()))
    assert expected_dice(probability, pred) == pytest.approx(np.mean(found), abs=0.002)


def test_an_empty_mask_expects_that_there_is_nothing():
    empty = np.zeros((4, 4), np.uint8)
    assert expected_dice(np.zeros((4, 4), np.float32), empty) == 1
    assert expected_dice(np.array([[0.1, 0.3, 0.25]]), np.array([[0, 0, 0]])) == pytest.approx(0.7)


def test_sums_of_a_large_map_are_exact():
    probability = np.full((1500, 1500), 0.7, np.float32)
    assert expected_dice(probability, np.ones((1500, 1500), np.uint8)) == pytest.approx(1.4 / 1.7, abs=1e-6)


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 3\) and pred \(3, 2\)"):
        expected_dice(np.zeros((2, 3)), np.zeros((3, 2)))


def test_agreement_is_the_mean_over_the_pairs():
    a, b, c, empty = (np.array([row]) for row in ([1, 1, 0, 0], [0, 1, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]))
    assert mask_agreement([a, b]) == pytest.approx(2 / 5)
    assert mask_agreement([a, b, c]) == pytest.approx((2 / 5 + 0 + 2 / 4) / 3)
    assert mask_agreement([a, a, a, a]) == 1
    assert mask_agreement([empty, empty]) == 1
    assert mask_agreement([a, empty]) == 0
    assert mask_agreement([empty, a, empty]) == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="1 masks"):
        mask_agreement([a])


def test_networks_agree_or_not_after_the_rules_that_make_their_masks():
    maps = np.array([[[0.9, 0.55, 0.0, 0.0]], [[0.7, 0.45, 0.0, 0.0]]], np.float32)
    facts = describe_maps(maps, MaskRules())
    assert facts["agreement"] == pytest.approx(2 / 3)
    assert facts["expected_dice"] == pytest.approx(2 * 0.8 / (1.3 + 1))  # of the mean, 0.8 and 0.5: one pixel above 0.5
    lower = describe_maps(maps, MaskRules(0.4))
    assert lower["agreement"] == 1
    assert lower["expected_dice"] == pytest.approx(2 * 1.3 / (1.3 + 2))


def test_one_network_alone_agrees_with_nobody():
    assert list(describe_maps(np.zeros((1, 3, 3), np.float32), MaskRules())) == ["expected_dice"]


def test_images_are_sorted_by_agreement_where_there_are_several_networks():
    assert choose_measure(pd.DataFrame({"expected_dice": [1], "agreement": [1]})) == "agreement"
    assert choose_measure(pd.DataFrame({"expected_dice": [1]})) == "expected_dice"


def test_the_correlation_is_that_of_scipy_ties_or_not():
    rng = np.random.default_rng(0)
    first, noise = rng.random(50), rng.random(50)
    for one, other in ((first, first + noise), (first.round(1), (first + noise).round(1))):
        rho, low, high = rank_correlation(one, other)
        assert rho == pytest.approx(spearmanr(one, other).statistic)
        assert low < rho < high
    assert rank_correlation(first, -first) == pytest.approx((-1, -1, -1))
    assert rank_correlation(first, np.exp(20 * first))[0] == pytest.approx(1)


def test_the_interval_of_the_correlation_is_as_wide_as_chance_is():
    rng = np.random.default_rng(1)
    drawn = []
    for _ in range(200):
        first = rng.normal(size=80)
        drawn.append(spearmanr(first, first + rng.normal(size=80)).statistic)
    low, high = np.quantile(drawn, [0.025, 0.975])
    first = rng.normal(size=80)
    _, ours_low, ours_high = rank_correlation(first, first + rng.normal(size=80))
    assert ours_high - ours_low == pytest.approx(high - low, rel=0.25)


@pytest.mark.parametrize("at_once", [1, 100, 10**6])
def test_the_interval_does_not_depend_on_how_many_draws_are_made_at_once(monkeypatch, at_once):
    rng = np.random.default_rng(0)
    pair = rng.random(12), rng.random(12)
    expected = rank_correlation(*pair, resamples=50)
    monkeypatch.setattr(uncertainty, "DRAWS_AT_ONCE", at_once)
    most = []
    rhos = uncertainty._rhos
    monkeypatch.setattr(uncertainty, "_rhos", lambda *given: most.append(given[2].size) or rhos(*given))
    assert rank_correlation(*pair, resamples=50) == expected
    assert max(most) <= max(12, at_once)
    assert sum(most) == 12 * (50 + 1)
    _, low, high = rank_correlation(*pair, resamples=1)
    assert low == high


def test_the_interval_of_groups_does_not_narrow_when_images_are_repeated():
    rng = np.random.default_rng(0)
    first = rng.random(30)
    second = first + rng.random(30)
    once = rank_correlation(first, second)
    again = (np.tile(values, 3) for values in (first, second))
    thrice = rank_correlation(*again, groups=np.tile(np.arange(30), 3))
    assert thrice == pytest.approx(once, abs=0.02)
    names = np.array([f"lesion {n}" for n in range(30)])
    assert rank_correlation(first, second, groups=names) == once


@pytest.mark.parametrize(
    ("first", "second", "groups"),
    [
        ([], [], None),
        ([0.5], [0.5], None),
        ([0.1, 0.2], [0.3, 0.1], None),
        ([0.5] * 5, [0.1, 0.2, 0.3, 0.4, 0.5], None),
        ([0.5] * 5, [0.5] * 5, None),
        ([0.1, 0.2, 0.3, 0.4, 0.5], [0.5] * 5, None),
        ([0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]),
    ],
)
def test_too_few_images_and_those_that_are_all_alike_have_no_correlation(first, second, groups):
    assert np.isnan(rank_correlation(np.array(first), np.array(second), groups=groups)).all()


def test_eight_images_have_one_and_seven_do_not():
    values = np.arange(8) / 10
    swapped = values.copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    assert rank_correlation(values, swapped)[0] == pytest.approx(1 - 6 * 2 / (8 * 63))
    assert np.isnan(rank_correlation(values[:7], swapped[:7])).all()


def test_of_equal_values_each_counts_by_its_chance():
    missed = np.r_[np.zeros(30), np.ones(70)]
    assert caught_share(missed, missed) == (pytest.approx(10 / 30), 10)  # ten of the same thirty, twice
    assert caught_share(np.ones(50), np.r_[np.zeros(5), np.ones(45)])[0] == pytest.approx(0.1)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(100)
        assert caught_share(missed[order], missed[order])[0] == pytest.approx(10 / 30)


@pytest.mark.parametrize(("count", "tenth"), [(1, 1), (4, 1), (14, 1), (16, 2), (162, 16)])
def test_a_tenth_is_rounded_and_at_least_one_image(count, tenth):
    assert caught_share(np.arange(count), np.arange(count)) == (1.0, tenth)


def test_the_share_that_is_caught_is_counted():
    dice = np.arange(30) / 30
    sureness = dice.copy()
    sureness[[2, 20]] = sureness[[20, 2]]  # the third worst is sure, and the network doubts a good one
    assert caught_share(sureness, dice) == (2 / 3, 3)


def make_table(count=40, **columns):
    dice = np.linspace(0.5, 0.99, count)
    return pd.DataFrame({"dice": dice, "expected_dice": dice - 0.1} | columns)


def test_the_numbers_of_one_network():
    table = make_table()
    summary = summarise_uncertainty(table)
    assert list(summary) == [
        "expected_dice_mean",
        "uncertainty_rho",
        "uncertainty_rho_low",
        "uncertainty_rho_high",
        "uncertainty_caught",
    ]
    assert summary["expected_dice_mean"] == pytest.approx(table["dice"].mean() - 0.1)
    assert list(summary.values())[1:] == pytest.approx([1, 1, 1, 1])
    assert summarise_uncertainty(table.assign(expected_dice=1 - table["dice"]))["uncertainty_rho"] == pytest.approx(-1)


def test_several_runs_have_those_of_their_agreement_too():
    table = make_table(agreement=np.linspace(0.99, 0.5, 40))
    summary = summarise_uncertainty(table)
    assert summary["agreement_rho"] == pytest.approx(-1)
    assert summary["agreement_caught"] == 0
    assert summary["uncertainty_rho"] == pytest.approx(1)
    assert {name for name in summary if not name.endswith(("_low", "_high"))} == set(DEFINITIONS)
    rows = tabulate_uncertainty(summary)
    assert set(rows.index) == set(DEFINITIONS)
    assert rows.loc["uncertainty_rho", ["value", "95 % interval"]].tolist() == ["1.0000", "1.0000 to 1.0000"]
    assert rows.loc["agreement_caught", ["value", "95 % interval"]].tolist() == ["0.0000", ""]


def test_numbers_that_are_none_are_left_out():
    summary = summarise_uncertainty(make_table(2))
    assert list(summary) == ["expected_dice_mean", "uncertainty_caught"]
    assert len(describe_uncertainty(make_table(2), summary)) == 1


def test_groups_reach_the_interval():
    rng = np.random.default_rng(0)
    table = make_table(expected_dice=rng.random(40))
    alone = summarise_uncertainty(table)
    together = summarise_uncertainty(table, groups=np.arange(40) // 4)
    assert alone["uncertainty_rho"] == together["uncertainty_rho"]
    assert alone["uncertainty_rho_low"] != together["uncertainty_rho_low"]


def test_what_the_numbers_mean_is_said():
    table = make_table(54)
    caught, level = describe_uncertainty(table, summarise_uncertainty(table))
    assert caught == (
        "The Dice that the probability map itself expects tells where the errors are: rank correlation 1.00 (95 % "
        "interval 1.00 to 1.00). Of the tenth of images that the networks are least sure of (5), 100 % are in the "
        "worst tenth; chance would be 9 %."
    )
    assert level == "The maps expect a mean Dice of 0.645, and the true one is 0.745: too little."
    blind = table.assign(expected_dice=np.random.default_rng(0).random(54))
    assert "does not tell where the errors are" in describe_uncertainty(blind, summarise_uncertainty(blind))[0]
    few = make_table(9)
    few.loc[[0, 5], "expected_dice"] = few["expected_dice"][[5, 0]].to_numpy()
    assert (
        "may tell where the errors are, of too few images" in describe_uncertainty(few, summarise_uncertainty(few))[0]
    )


@pytest.mark.parametrize(("count", "told"), [(44, False), (46, True)])  # tenths of 4 and of 5 images
def test_of_a_handful_no_share_is_told(count, told):
    table = make_table(count)
    said, _ = describe_uncertainty(table, summarise_uncertainty(table))
    assert ("worst tenth" in said) == told
    assert said.endswith("." if told else "1.00).")


@pytest.mark.parametrize(
    ("gap", "word"), [(0.03, "too much"), (0.01, "about what"), (-0.01, "about what"), (-0.03, "too little")]
)
def test_a_map_expects_too_much_or_too_little(gap, word):
    table = make_table()
    table["expected_dice"] = table["dice"] + gap
    assert word in describe_uncertainty(table, summarise_uncertainty(table))[-1]


def test_the_agreement_is_said_after_the_expectation():
    table = make_table(agreement=np.linspace(0.5, 0.9, 40))
    sentences = describe_uncertainty(table, summarise_uncertainty(table))
    assert len(sentences) == 3
    assert sentences[1].startswith("The mean Dice between the masks of two networks tells")
