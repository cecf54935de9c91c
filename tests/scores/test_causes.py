import numpy as np
import pandas as pd
import pytest
import scipy
import torch
from failing_images import make_table

from seglib.data.samples import list_samples
from seglib.images.reading import Scale
from seglib.scores.causes import (
    CAUSES,
    compare_causes,
    describe_causes,
    difference_interval,
    divide_errors,
    find_causes,
    measure_files,
)
from seglib.scores.metrics import iou_score


def test_files_are_measured_in_their_order_gray_ones_among_them(phantoms):
    samples = list_samples(phantoms)
    table = measure_files(samples["image_path"], samples["mask_path"], scale=Scale(0, 255))
    assert list(table) == ["border_sides", "contrast", "dark_lines", "dark_corners"]
    assert len(table) == 20
    assert (table["contrast"] > 25).all()
    backwards = measure_files(samples["image_path"][::-1], samples["mask_path"][::-1], scale=Scale(0, 255))
    assert backwards[::-1].reset_index(drop=True).equals(table)


def test_errors_are_what_the_iou_lacks():
    rng = np.random.default_rng(0)
    preds, masks = rng.random((2, 30, 8, 8)) > 0.6
    preds[0] = masks[1] = preds[2] = masks[2] = False
    counts = {"overlap": preds & masks, "pred_area": preds, "target_area": masks}
    scores = pd.DataFrame({name: array.sum(axis=(1, 2)) for name, array in counts.items()})
    shares = divide_errors(scores)
    iou = iou_score(*(torch.from_numpy(array) for array in (preds, masks))).numpy()
    assert (1 - shares.sum(axis=1)).to_numpy() == pytest.approx(iou)
    assert shares.loc[0].tolist() == [0, 1]
    assert shares.loc[1].tolist() == [1, 0]
    assert shares.loc[2].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("column", "without", "having", "cause"),
    [
        ("target_area", 1, 0, "nothing to find"),
        ("target_area", 5, 4, "small"),
        ("target_area", 50, 51, "large"),
        ("border_sides", 0, 1, "at the border"),
        ("contrast", 25.0, 24.9, "low contrast"),
        ("contrast", np.nan, 0.0, "low contrast"),
        ("dark_lines", 0.0099, 0.01, "dark lines"),
        ("dark_corners", 0, 1, "dark corners"),
    ],
)
def test_each_cause_begins_where_its_definition_says(column, without, having, cause):
    found = find_causes(make_table(2, **{column: [without, having]}))
    assert found[cause].tolist() == [False, True]
    assert list(found) == list(CAUSES)
    assert not find_causes(make_table()).any().any()
    assert find_causes(make_table(1, target_area=0)).iloc[0].to_list() == [True] + [False] * 6


def row_of(comparison, cause):
    return comparison.set_index("cause").loc[cause]


def test_a_planted_cause_is_found_with_the_kind_of_error_it_brings():
    contrast = [10.0] * 6 + [60.0] * 6
    dice = [0.4, 0.5, 0.6, 0.4, 0.5, 0.6, 0.8, 0.9, 1.0, 0.8, 0.9, 1.0]
    table = make_table(contrast=contrast, dice=dice, overlap=[5] * 6 + [10] * 6, pred_area=[10] * 6 + [20] * 6)
    comparison = compare_causes(table)
    row = row_of(comparison, "low contrast")
    assert row["images"] == 6
    assert row[["dice_with", "dice_without", "difference"]].tolist() == pytest.approx([0.5, 0.9, -0.4])
    assert row[["fp_with", "fp_without", "fn_with", "fn_without"]].tolist() == pytest.approx(
        [5 / 25, 10 / 30, 15 / 25, 10 / 30]
    )
    assert -0.55 < row["low"] < -0.4 < row["high"] < -0.25
    assert row["verdict"] == "worse with it, and the difference is real"
    first, *others = describe_causes(comparison, 12)
    assert first == (
        "Where masks differ: low contrast (6 of 12 images): mean Dice 0.500, and 0.900 without it (-0.400, 95 % "
        f"interval {row['low']:+.3f} to {row['high']:+.3f}). Of the union of prediction and reference 60 % is "
        "missed and 20 % added, and 33 % and 33 % without it."
    )
    assert others == [
        "Also looked at: nothing to find, small, large, at the border, dark lines, dark corners (no image has it)."
    ]
    better = compare_causes(table.assign(contrast=contrast[::-1]))
    assert row_of(better, "low contrast")["verdict"] == "better with it, and the difference is real"


def test_the_worst_cause_is_said_first():
    dice = np.array([0.3] * 5 + [0.6] * 5 + [0.9] * 10) + np.tile([-0.01, 0.01], 10)
    corners, sides = np.repeat([0, 1, 0], [5, 5, 10]), np.repeat([1, 0, 0], [5, 5, 10])
    table = make_table(20, dice=dice, dark_corners=corners, border_sides=sides)
    sentences = describe_causes(compare_causes(table), 20)
    assert [sentence.split(" (")[0] for sentence in sentences[:1]] == ["Where masks differ: at the border"]


def test_a_cause_that_changes_nothing_may_be_chance():
    table = make_table(dice=[0.7, 0.8] * 6, dark_corners=[2] * 6 + [0] * 6)
    row = row_of(compare_causes(table), "dark corners")
    assert row["low"] < 0 < row["high"]
    assert row["verdict"] == "the difference may be chance"


def test_few_images_all_and_none_are_said_to_be_so():
    table = make_table(dark_corners=[1] * 4 + [0] * 8, border_sides=[1] * 8 + [0] * 4, dark_lines=0.5)
    comparison = compare_causes(table)
    verdicts = comparison.set_index("cause")["verdict"]
    assert verdicts["dark corners"] == verdicts["at the border"] == "too few images to tell"
    assert verdicts["dark lines"] == "every image has it"
    assert verdicts["small"] == "no image has it"
    assert comparison["low"].isna().all()
    assert np.isnan(row_of(comparison, "dark lines")["dice_without"])
    (said,) = describe_causes(comparison, 12)
    assert said == (
        "Nothing was found that goes with better or worse masks; looked at: at the border, dark corners (too few "
        "images to tell); dark lines (every image has it); nothing to find, small, large, low contrast (no image "
        "has it)."
    )


@pytest.mark.parametrize("count", [1, 2])
def test_one_image_or_two_tell_nothing(count):
    comparison = compare_causes(make_table(count, border_sides=[1, 0][:count]))
    assert set(comparison["verdict"]) <= {"every image has it", "no image has it", "too few images to tell"}


def test_images_of_one_group_count_as_one():
    table = make_table(dice=[0.5] * 6 + [0.9] * 6, dark_corners=[1] * 6 + [0] * 6)
    assert row_of(compare_causes(table), "dark corners")["verdict"].endswith("real")
    groups = np.array([0, 0, 1, 1, 2, 3, *range(4, 10)])
    assert row_of(compare_causes(table, groups=groups), "dark corners")["verdict"] == "too few images to tell"
    groups[5] = 10
    groups[1] = 11
    assert row_of(compare_causes(table, groups=groups), "dark corners")["verdict"].endswith("real")


def test_the_interval_agrees_with_drawing_both_sides_anew():
    rng = np.random.default_rng(0)
    has = np.arange(90) < 30
    values = np.where(has, rng.normal(0.8, 0.1, 90), rng.normal(0.9, 0.05, 90))
    drawn = [rng.choice(values[has], 30).mean() - rng.choice(values[~has], 60).mean() for _ in range(4000)]
    expected = np.quantile(drawn, [0.025, 0.975])
    assert difference_interval(values, has, groups=np.arange(90)) == pytest.approx(expected, abs=0.004)
    low, high = difference_interval(1 - values, has, groups=np.arange(90))
    assert [-high, -low] == pytest.approx(expected, abs=0.004)


def test_whole_groups_are_drawn_so_that_repeats_do_not_narrow_the_interval():
    rng = np.random.default_rng(0)
    values, has = rng.random(40), np.arange(40) < 20
    once = difference_interval(values, has, groups=np.arange(40))
    thrice = difference_interval(np.repeat(values, 3), np.repeat(has, 3), groups=np.repeat(np.arange(40), 3))
    assert thrice == pytest.approx(once, rel=0.05)
    alone = difference_interval(np.repeat(values, 3), np.repeat(has, 3), groups=np.arange(120))
    assert alone[1] - alone[0] < 0.7 * (once[1] - once[0])


def test_few_images_are_not_taken_for_certain():
    """Five images: the interval is that of the t formula, not two thirds of it."""
    values, has = np.array([0.1, 0.3, 0.5, 0.7, 0.9] + [0.5] * 500), np.arange(505) < 5
    low, high = difference_interval(values, has, groups=np.arange(505))
    error = values[:5].std(ddof=1) / np.sqrt(5)
    assert (high - low) / 2 == pytest.approx(scipy.stats.t.ppf(0.975, 4) * error, rel=0.05)
