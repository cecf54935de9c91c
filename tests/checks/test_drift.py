import numpy as np
import pandas as pd
import pytest

from seglib.checks.drift import FEWEST, TRAITS, auc_interval, compare_traits, describe_drift, measure_drift
from seglib.data.synthetic import draw_phantom
from seglib.images.traits import describe_image


def make_table(count, seed, **changed):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({name: rng.normal(100, 10, count) for name in TRAITS})
    return table.assign(**{name: change(table[name]) for name, change in changed.items()})


def make_facts(auc, low, high, *, d=0.5, gray=False):
    counts = {"train_images": 90, "test_images": 40, "by_case": False, "gray": gray}
    return {"auc": auc, "low": low, "high": high, "differences": {"red": d, "height": 0.0}} | counts


def photograph(count, seed, *, brighter):
    rng = np.random.default_rng(seed)
    images = [np.clip(draw_phantom(rng, 48, 64, gray=False)[0].astype(int) + brighter, 0, 255) for _ in range(count)]
    return pd.DataFrame([describe_image(image.astype(np.uint8)) for image in images])


@pytest.mark.parametrize("seed", range(3))
def test_two_halves_of_one_set_cannot_be_told_apart(seed):
    facts = measure_drift(make_table(150, seed), make_table(100, seed + 10))
    assert facts["auc"] == pytest.approx(0.5, abs=0.11)
    assert facts["low"] < 0.5 < facts["high"]
    assert (facts["train_images"], facts["test_images"], facts["gray"]) == (150, 100, False)


def make_slices(patients, slices, seed):
    """Slices whose traits are nearly those of their patient."""
    means = make_table(patients, seed)
    table = means.loc[means.index.repeat(slices)].reset_index(drop=True)
    table += np.random.default_rng(seed).normal(0, 1, table.shape)
    return table.assign(case=np.repeat([f"{seed}_{patient}" for patient in range(patients)], slices))


@pytest.mark.parametrize("seed", range(3))
def test_other_patients_of_the_same_kind_are_no_drift(seed):
    train, test = make_slices(40, 12, seed), make_slices(20, 12, seed + 10)
    facts = measure_drift(train, test)
    assert facts["low"] < 0.5 < facts["high"]
    assert (facts["train_images"], facts["test_images"], facts["by_case"]) == (40, 20, True)
    assert ", one image of each case" in describe_drift(facts)
    assert measure_drift(train.drop(columns="case"), test)["low"] > 0.55  # as if each slice were somebody new


def test_which_slice_of_a_patient_is_taken_is_left_to_chance():
    train, test = make_slices(60, 12, 0), make_slices(40, 12, 10)
    depth = 8.0 * np.tile(np.arange(12), 60)
    train, test = train.assign(red=train["red"] + depth), test.assign(red=test["red"] + depth[::-1][: len(test)])
    assert measure_drift(train, test)["low"] < 0.5


def test_patients_of_another_kind_are_told_and_few_are_too_few():
    train = make_slices(40, 6, 0)
    bright = make_slices(20, 6, 1).assign(red=lambda table: table["red"] + 40)
    assert measure_drift(train, bright)["auc"] > 0.9
    facts = measure_drift(train, bright[: 9 * 6])
    assert describe_drift(facts).startswith("40 training and 9 test cases are too few")
    assert measure_drift(train, bright.drop(columns="case"))["test_images"] == 120  # one image of each patient
    one_each = train.assign(case=[str(row) for row in range(len(train))])
    assert not measure_drift(one_each, bright)["by_case"]


def test_brighter_photographs_are_told_apart_and_brightness_is_named():
    train, same, brighter = (photograph(30, seed, brighter=by) for seed, by in ((0, 0), (1, 0), (2, 60)))
    assert measure_drift(train, same)["low"] <= 0.5
    facts = measure_drift(train, brighter)
    assert facts["auc"] > 0.9
    assert next(iter(facts["differences"])) in ("red", "green", "blue")
    assert "strongly" in describe_drift(facts)
    assert ", higher by" in describe_drift(facts)


def test_the_more_a_trait_moves_the_better_it_is_told():
    areas = [
        measure_drift(make_table(60, 0), make_table(60, 1, red=lambda red, by=by: red + by))["auc"]
        for by in (0, 10, 20, 60)
    ]
    assert areas == sorted(areas)
    assert areas[0] < 0.6
    assert areas[-1] > 0.99


def test_a_trait_that_only_spreads_more_is_told_too():
    facts = measure_drift(make_table(150, 0), make_table(100, 1, red=lambda red: 100 + 4 * (red - 100)))
    assert facts["auc"] > 0.7
    assert abs(facts["differences"]["red"]) < 0.5


def test_a_rare_test_image_counts_as_much_as_a_training_image():
    facts = measure_drift(make_table(400, 0), make_table(FEWEST, 1, red=lambda red: red + 15))
    assert facts["auc"] > 0.65


def test_the_same_images_give_the_same_number():
    train, test = make_table(60, 0), make_table(40, 1)
    assert measure_drift(train, test) == measure_drift(train, test)


def test_cohens_d_is_the_difference_over_the_pooled_deviation():
    train = pd.DataFrame({"red": [0.0, 2.0, 4.0], "blue": [1.0, 2.0, 3.0]})
    test = pd.DataFrame({"red": [5.0, 7.0], "blue": [0.0, 2.0], "sample_id": ["a", "b"]})
    d = compare_traits(train, test)
    assert d["red"] == pytest.approx(4 / np.sqrt((2 * 4 + 1 * 2) / 3))
    assert d["blue"] == pytest.approx(-1 / np.sqrt((2 * 1 + 1 * 2) / 3))
    assert compare_traits(test, train)["red"] == pytest.approx(-d["red"])


def test_the_largest_difference_comes_first_whatever_its_sign():
    train, test = make_table(50, 0), make_table(50, 1, detail=lambda x: x - 30, width=lambda x: x + 15)
    d = compare_traits(train, test)
    assert list(d.index[:2]) == ["detail", "width"]
    assert d["detail"] < 0 < d["width"]
    assert list(d.abs()) == sorted(d.abs(), reverse=True)


def test_a_constant_trait_does_not_differ_and_two_constants_differ_without_end():
    train, test = make_table(30, 0, height=lambda _: 512), make_table(20, 1, height=lambda _: 512)
    train, test = train.assign(width=1024, red=0.1 + 0.2), test.assign(width=512, red=0.3)
    d = compare_traits(train, test)
    assert d["height"] == d["red"] == 0  # 0.1 + 0.2 is not 0.3, but no picture is that exact
    assert d["width"] == -np.inf
    facts = measure_drift(train, test)
    assert facts["auc"] == 1
    assert "most in width, lower in every image" in describe_drift(facts)


def test_images_whose_traits_are_all_one_value_cannot_be_told_apart():
    table = pd.DataFrame(dict.fromkeys(TRAITS, 7), index=range(20))
    assert measure_drift(table, table)["auc"] == 0.5
    only = pd.DataFrame({"sample_id": range(20)})
    assert measure_drift(only, only)["auc"] == 0.5
    assert measure_drift(only, only)["differences"] == {}


def test_a_value_that_is_missing_is_passed_over_in_the_means_but_tells():
    train, test = make_table(60, 0), make_table(60, 1)
    holes = test.assign(red=test["red"].where(np.arange(60) % 2 == 0, np.inf))
    assert compare_traits(train, holes)["red"] == pytest.approx(compare_traits(train, test[::2])["red"])
    assert measure_drift(train, holes)["auc"] > 0.65
    lost = measure_drift(train, test.assign(red=np.nan))
    assert lost["auc"] > 0.95
    assert np.isnan(lost["differences"]["red"])
    assert list(lost["differences"])[-1] == "red"
    never = measure_drift(train.assign(red=np.nan), test.assign(red=np.nan))
    assert never["auc"] == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize(("train", "test"), [(40, FEWEST - 1), (FEWEST - 1, 40), (0, 12), (1, 1)])
def test_of_few_images_it_is_said_that_they_are_few(train, test):
    facts = measure_drift(make_table(train, 0), make_table(test, 1))
    assert np.isnan([facts[name] for name in ("auc", "low", "high")]).all()
    assert describe_drift(facts).startswith(f"{train} training and {test} test images are too few")
    assert set(facts["differences"]) == set(TRAITS)


@pytest.mark.parametrize("train", [0, 12, 40])
def test_without_test_images_it_is_said_that_there_are_none(train):
    said = "There are no test images to compare the training images with."
    assert describe_drift(measure_drift(make_table(train, 0), make_table(0, 1))) == said


def test_ten_of_each_are_enough_and_a_table_without_columns_is_not():
    assert 0 <= measure_drift(make_table(FEWEST, 0), make_table(FEWEST, 1))["auc"] <= 1
    assert measure_drift(make_table(20, 0), pd.DataFrame())["differences"] == {}


def test_of_gray_images_one_channel_is_compared_and_called_brightness():
    train, test = make_table(40, 0).assign(gray=True), make_table(40, 1, red=lambda red: red - 60).assign(gray=True)
    facts = measure_drift(train, test)
    assert set(TRAITS) - set(facts["differences"]) == {"green", "blue", "saturation"}
    assert "most in brightness, lower by" in describe_drift(facts)
    mixed = measure_drift(train.assign(gray=[False] + 39 * [True]), test)
    assert set(mixed["differences"]) == set(TRAITS)
    assert "most in red, lower by" in describe_drift(mixed)


def test_the_interval_of_many_images_is_that_of_mann_and_whitney():
    low, high = auc_interval(0.5, 5000, 20000)
    reach = 1.35 * 1.96 * np.sqrt(25001 / (12 * 5000 * 20000))  # 1.35: predictions out of fold depend on each other
    assert (low, high) == pytest.approx((0.5 - reach, 0.5 + reach), abs=2e-3)
    equal = auc_interval(0.5, 10**6, 10**6)
    reach = 1.35 * 1.96 * np.sqrt((2 * 10**6 + 1) / (12 * 10**12))
    assert equal == pytest.approx((0.5 - reach, 0.5 + reach), abs=1e-6)


def test_the_interval_of_few_images_is_wide_even_where_all_are_told():
    # 1 - a = (1.35 * 1.96)^2 a (1 + 9 (1 - a) / (2 - a) + 9 a / (1 + a)) / 100 holds for a = 0.6765
    assert auc_interval(1, 10, 10) == pytest.approx((0.6765, 1), abs=1e-4)
    assert auc_interval(0, 10, 10) == pytest.approx((0, 1 - 0.6765), abs=1e-4)


@pytest.mark.parametrize("auc", [0.1, 0.5, 0.8, 0.99])
def test_the_interval_holds_its_area_is_mirrored_and_shrinks_with_the_images(auc):
    low, high = auc_interval(auc, 30, 60)
    assert 0 < low < auc < high < 1
    assert auc_interval(1 - auc, 30, 60) == pytest.approx((1 - high, 1 - low))
    assert auc_interval(auc, 60, 30) == pytest.approx((low, high))
    closer = auc_interval(auc, 300, 600)
    assert low < closer[0] < auc < closer[1] < high


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        (
            make_facts(0.52, 0.46, 0.57),
            "Test images look like training images (AUC 0.52, 95 % interval 0.46 to 0.57; 0.5 means no classifier can "
            "tell them apart).",
        ),
        (
            make_facts(0.6, 0.5, 0.7),
            "No difference between test and training images was found, but too few to rule one out (AUC 0.60, 95 % "
            "interval 0.50 to 0.70).",
        ),
        (
            make_facts(0.69, 0.51, 0.74),
            "Test images differ a little from training images, most in red, higher by 0.5 standard deviations (AUC "
            "0.69, 95 % interval 0.51 to 0.74).",
        ),
        (
            make_facts(0.7, 0.6, 0.8, d=-1.24),
            "Test images differ clearly from training images, most in red, lower by 1.2 standard deviations (AUC 0.70, "
            "95 % interval 0.60 to 0.80). Expect lower scores on them than in validation.",
        ),
        (
            make_facts(0.9, 0.8, 0.95, d=0.2, gray=True),
            "Test images differ strongly from training images, most in brightness, higher by 0.2 standard deviations "
            "(AUC 0.90, 95 % interval 0.80 to 0.95). Expect lower scores on them than in validation.",
        ),
        (
            make_facts(0.6, 0.55, 0.65, d=-0.19),
            "Test images differ a little from training images, in how traits spread and combine, not in the mean of "
            "any one (AUC 0.60, 95 % interval 0.55 to 0.65).",
        ),
    ],
)
def test_the_drift_is_put_in_words(facts, sentence):
    assert describe_drift(facts) == sentence
