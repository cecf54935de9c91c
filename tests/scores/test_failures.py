import numpy as np
import pandas as pd
import pytest
from failing_images import make_table

from seglib.scores.failures import choose_first, choose_typical


def test_the_typical_images_are_named_once_each():
    dice = [0.5, 0.1, 0.9, 0.3, 0.7, 0.2, 0.8, 0.4]
    table = pd.DataFrame({"dice": dice, "target_area": 5})
    kinds = choose_typical(table)
    assert kinds.to_dict() == {1: "worst", 5: "worst", 7: "median", 0: "median", 6: "best", 2: "best"}
    assert [dice[row] for row in kinds.index] == sorted(dice[row] for row in kinds.index)
    assert choose_typical(table, count=1).to_dict() == {1: "worst", 7: "median", 2: "best"}
    assert choose_typical(table.iloc[[0, 7, 4]]).to_dict() == {7: "worst", 0: "worst", 4: "best"}
    assert choose_typical(table.iloc[:1]).to_dict() == {0: "worst"}
    assert choose_typical(table.iloc[:0]).empty


def test_the_best_show_something_and_the_worst_may_be_false_alarms():
    dice, area = [1.0, 0.0, 0.8, 1.0, 0.6, 0.7, 1.0], [0, 0, 9, 0, 9, 9, 0]
    table = pd.DataFrame({"dice": dice, "target_area": area})
    assert choose_typical(table, count=1).to_dict() == {1: "worst", 5: "median", 2: "best"}
    nothing = table.assign(target_area=0)
    assert choose_typical(nothing, count=1).to_dict() == {1: "worst", 2: "median", 6: "best"}


def test_those_to_look_at_first_fail_for_different_reasons():
    table = make_table(
        60,
        dice=[0.0, 0.0, 0.1, 0.2, 0.3, 0.4] + [0.9] * 54,
        expected_dice=[0.1, 0.1, 0.95, 0.3, 0.3, 0.4] + [0.9] * 54,
        overlap=[0, 0, 3, 8, 8, 8] + [18] * 54,
        pred_area=[0, 0, 20, 40, 12, 12] + [20] * 54,
        border_sides=[0, 0, 0, 0, 2, 0] + [1] * 54,
        contrast=[60.0] * 5 + [10.0] + [60.0] * 54,
    )
    first = choose_first(table)
    assert list(first) == ["sample_id", "dice", "why"]
    assert first["sample_id"].tolist() == ["image_0", "image_2", "image_3", "image_4", "image_5"]
    assert first["why"].tolist() == [
        "missed: nothing is predicted",
        "surely wrong (the map expects a Dice of 0.95; is the reference right?): 85 % of the reference is missed, 85 % "
        "of the prediction lies outside it",
        "too much: 60 % of the reference is missed, 80 % of the prediction lies outside it",
        "at the border (touches 2 of 4 sides): 60 % of the reference is missed, 33 % of the prediction lies outside it",
        "low contrast (10 of 255 levels): 60 % of the reference is missed, 33 % of the prediction lies outside it",
    ]


def test_where_there_is_one_reason_the_worst_are_chosen():
    table = make_table(60, dice=np.linspace(0.9, 0.3, 60), expected_dice=0.9, overlap=19, pred_area=19)
    first = choose_first(table)
    assert first.index.tolist() == [59, 58, 57, 56, 55]
    assert first["dice"].tolist() == table["dice"][first.index].tolist()  # rounded twice 0.64496 would be 0.65
    assert first["dice"].tolist() == sorted(first["dice"])
    assert all(why.startswith("surely wrong") for why in first["why"])


def test_one_film_does_not_fill_all_places():
    table = make_table(60, dice=np.linspace(0.3, 0.9, 60), expected_dice=0.9)
    groups = ["a", "a", "a", "b", "c", "d"] + [f"e{row}" for row in range(54)]
    assert choose_first(table, groups=groups).index.tolist() == [0, 1, 3, 4, 5]
    assert choose_first(table, groups=groups, count=3).index.tolist() == [0, 3, 4]
    assert choose_first(table, groups=range(60)).index.tolist() == choose_first(table).index.tolist() == [0, 1, 2, 3, 4]
    assert choose_first(table, groups=["a"] * 60).index.tolist() == [0, 1, 2, 3, 4]


def test_images_that_are_not_among_the_worst_are_not_chosen_for_their_reason():
    table = make_table(60, dice=[0.5] * 7 + [0.9] * 53, border_sides=[0] * 7 + [1] * 53)
    assert choose_first(table).index.tolist() == [0, 1, 2, 3, 4]
    table.loc[5, "border_sides"] = 1  # the sixth: within the tenth
    assert choose_first(table).index.tolist() == [0, 1, 2, 3, 5]
    table = table.assign(border_sides=0)
    table.loc[6, "border_sides"] = 1  # the seventh: not
    assert choose_first(table).index.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        (
            {"target_area": 0, "overlap": 0, "expected_dice": 0.5},
            "false alarm: the reference is empty and 12.0 % of the image",
        ),
        (
            {"target_area": 0, "overlap": 0, "pred_area": 4, "pixels": 10_000},
            "false alarm: the reference is empty and less than 0.1 % of the image is predicted",
        ),
        (
            {"target_area": 0, "overlap": 0, "pred_area": 5, "pixels": 10_000},
            "false alarm: the reference is empty and 0.1 % of the image is predicted",
        ),
        ({"target_area": 0, "overlap": 0, "pred_area": 0, "dice": 1.0}, "nothing to find: both masks are empty"),
        ({"target_area": 4, "overlap": 4}, "too much: 0 % of the reference is missed, 67 %"),
        ({"target_area": 4, "overlap": 4, "pred_area": 5}, "small (4.0 % of the image): 0 % of the reference"),
        ({"target_area": 60}, "large (60.0 % of the image): 80 % of the reference is missed"),
        ({"overlap": 2, "pred_area": 2}, "missed: 90 % of the reference is missed, 0 % of the prediction"),
        ({"dark_lines": 0.034}, "dark lines (3.4 % of the image): 40 %"),
        ({"dark_corners": 3}, "dark corners (3 of 4): 40 %"),
        ({"expected_dice": 0.96}, "surely wrong (the map expects a Dice of 0.96; is the reference right?)"),
        ({"expected_dice": 0.94}, "among the worst: 40 % of the reference is missed, 0 % of the prediction"),
        ({}, "among the worst: 40 %"),
    ],
)
def test_each_reason_is_said_in_numbers(columns, why):
    good = make_table(1, dice=1.0, overlap=20, pred_area=20)
    first = choose_first(pd.concat([make_table(1, **columns), good], ignore_index=True))
    assert first["why"].iloc[0].startswith(why)


def name_reasons(table):
    return [why.split(" (")[0].split(":")[0] for why in choose_first(table)["why"]]


@pytest.mark.parametrize(
    ("expected", "surely"),
    [((0.81, 0.82, 0.9), [0, 1, 1]), ((0.5, 0.79, 0.8), [0, 0, 1]), ((0.6, 0.6, 0.6), [0, 0, 0])],
)
def test_only_a_network_that_is_sure_and_surer_than_of_most_images_is_called_surely_wrong(expected, surely):
    table = make_table(3, dice=0.4, expected_dice=expected, overlap=19, pred_area=19)
    assert name_reasons(table) == [["among the worst", "surely wrong"][which] for which in surely]


@pytest.mark.parametrize(("failed", "reason"), [(2, "surely wrong"), (3, "among the worst")])
def test_a_network_that_fails_on_most_images_is_not_called_surely_wrong(failed, reason):
    overlap = [12] * failed + [19] * (4 - failed)
    table = make_table(4, dice=0.4, expected_dice=0.95, overlap=overlap, pred_area=overlap)
    assert name_reasons(table)[0] == reason


@pytest.mark.parametrize("count", [1, 2, 4])
def test_of_few_images_all_are_named(count):
    assert len(choose_first(make_table(count))) == count
