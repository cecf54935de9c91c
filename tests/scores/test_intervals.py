import numpy as np
import pytest

from seglib.scores import intervals
from seglib.scores.intervals import (
    bootstrap_interval,
    bootstrap_intervals,
    compare_scores,
    describe_comparison,
    percentile_intervals,
)


def test_an_interval_covers_the_true_mean_about_95_times_in_100():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        low, high = bootstrap_interval(rng.beta(8, 2, size=60))
        hits += low <= 0.8 <= high
    assert 180 <= hits <= 199


def test_an_interval_narrows_with_the_root_of_the_number_of_images():
    values = np.random.default_rng(0).normal(size=1600)
    widths = [np.ptp(bootstrap_interval(values[:count])) for count in (100, 1600)]
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.3)


@pytest.mark.parametrize("count", [1, 2, 31, 259, 2000])
def test_an_interval_is_to_the_last_digit_that_of_one_drawing_after_the_other(count, monkeypatch):
    monkeypatch.setattr(
        intervals, "DRAWS_AT_ONCE", 1500
    )  # some chunks, the last of them shorter; and one row at a time
    values = np.random.default_rng(count).beta(8, 2, count)
    rng = np.random.default_rng(3)
    means = [rng.choice(values, count).mean() for _ in range(100)]
    assert percentile_intervals(values[None], resamples=100, seed=3) == [tuple(np.quantile(means, [0.025, 0.975]))]


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
    drawn = [percentile_intervals(values[None], groups=groups, resamples=1, seed=seed) for seed in range(20)]
    assert {low for ((low, _),) in drawn} == {0.0, 0.25, 1.0}


def test_a_resample_of_nothing_or_of_too_few_groups_is_refused():
    with pytest.raises(ValueError, match="0 values and no groups"):
        bootstrap_interval(np.array([]))
    with pytest.raises(ValueError, match="3 values and 2 groups"):
        bootstrap_interval(np.zeros(3), groups=np.zeros(2))


def test_a_clear_gain_on_nearly_every_image_is_called_real():
    rng = np.random.default_rng(0)
    first = rng.uniform(0.7, 0.95, 80)
    facts = compare_scores(first, first + rng.normal(0.02, 0.01, 80))
    assert facts["difference"] == pytest.approx(0.02, abs=0.004)
    assert 0.015 < facts["low"] < facts["difference"] < facts["high"]
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
    for _ in range(100):
        first = rng.uniform(0.7, 0.95, 60)
        facts = compare_scores(first, first + rng.normal(0, 0.02, 60))
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
    assert "seems to be better, but the test does not rule out chance" in describe_comparison(facts)
    assert "real" in describe_comparison(facts | {"p": 0.01})


def test_what_five_images_or_groups_gain_is_never_called_real():
    gains = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    others = np.r_[gains, np.zeros(20)]  # where both runs are the same, as on images that show nothing
    assert compare_scores(0 * others, others)["p"] == pytest.approx(2 / 2**5)
    assert "real" not in describe_comparison(compare_scores(0 * others, others))
    of_five = compare_scores(np.zeros(100), np.tile(gains / 10 + 0.02, 20), groups=np.repeat(np.arange(5), 20))
    assert (of_five["better"], of_five["worse"]) == (100, 0)
    assert "rule out chance" in describe_comparison(of_five)


@pytest.mark.parametrize("count", [2, 3, 5, 12, 29])
def test_an_interval_of_few_groups_covers_the_true_mean_as_often_as_one_of_many(count):
    groups, hits = np.repeat(np.arange(count), 5), 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        values = rng.normal(0, 0.05, count)[groups] + rng.normal(0, 0.03, 5 * count)
        low, high = bootstrap_interval(values, groups=groups)
        hits += low <= 0 <= high
    assert 0.88 <= hits / 300 <= 0.985  # the bootstrap alone: 0.50, 0.73, 0.83, 0.91 of the first four


def test_an_interval_of_few_scores_leaves_their_limits_on_neither_side():
    assert bootstrap_interval(np.array([0.9, 0.99, 1.0]), limits=(0, 1))[1] == 1
    assert bootstrap_interval(np.array([0.0, 0.5, 0.02]), limits=(0, 1))[0] == 0
    low, high = bootstrap_interval(np.array([0.0, 0.5, 1.0]))
    assert low < 0
    assert high > 1
    rows = np.array([[0.9, 0.99, 1.0], [0.9, 0.99, 1.0]])
    (_, capped), (_, free) = bootstrap_intervals(rows, limits=[(0, 1), (0, np.inf)])
    assert capped == 1 < free


def test_two_runs_exchanged_have_the_interval_exchanged():
    """Of five images as of many: what a difference may be has nothing to do with the limits of a score."""
    first, second = np.full(5, 0.5), np.array([0.5, 0.5, 0.5, 0.5, 0.7])
    facts, other = compare_scores(first, second), compare_scores(second, first)
    assert facts["low"] < 0 < facts["high"]
    assert facts["low"] == pytest.approx(-other["high"], abs=0.03)


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
    for _ in range(60):
        first = rng.uniform(0.7, 0.9, 120)
        second = first + rng.normal(0, 0.02, 12)[groups] + rng.normal(0, 0.005, 120)
        for known in real:
            facts = compare_scores(first, second, groups=groups if known else None)
            real[known] += "real" in describe_comparison(facts)
    assert real[True] <= 6
    assert real[False] > 20


def test_runs_on_different_numbers_of_images_are_refused():
    with pytest.raises(ValueError, match="differ"):
        compare_scores(np.zeros(2), np.zeros(3))
