import dataclasses
import json
import warnings

import cv2
import numpy as np
import pytest
import torch
from blobs import make_blobs

from seglib.prediction.choice import (
    CANDIDATES,
    DEFAULT,
    choose_rules,
    collect_scores,
    cross_fit_rules,
    describe_rules,
    divide_images,
    score_rules,
)
from seglib.prediction.rules import MaskRules, make_mask, read_rules, write_rules
from seglib.scores.metrics import dice_score


def test_what_empties_masks_counts_as_a_rule():
    table, noise = make_table(), np.random.default_rng(1).standard_normal(40)
    table[:, CANDIDATES.index(MaskRules(smallest_core=0.01))] += 0.021 + 0.05 * noise
    table[:, CANDIDATES.index(MaskRules(0.45))] += 0.020
    assert choose_rules(table) == MaskRules(0.45)


def test_what_tells_images_that_show_nothing_is_found_and_what_is_not_needed_is_not():
    rng = np.random.default_rng(0)
    tables = []
    for number in range(40):
        probability, mask = np.zeros((50, 50)), np.zeros((50, 50), np.uint8)
        present = number % 2
        probability[5:30, 5:30] = 0.95 if present else 0.7  # as large, but sure only where there is something
        mask[5:30, 5:30] = present
        tables.append(score_rules(probability + 0.01 * rng.random((50, 50)), mask))
    everything, present = np.array(tables), np.array(tables[1::2])
    chosen = choose_rules(everything)
    assert (chosen.threshold, chosen.smallest_core) == (0.5, 0.001)
    assert everything[:, CANDIDATES.index(chosen)].mean() == 1
    assert choose_rules(present) == MaskRules()


@pytest.mark.parametrize("sigma", [1.0, 6.0])
def test_the_table_is_what_each_candidate_scores_by_itself(sigma):
    probability, mask = make_blobs(2, sigma=sigma), (make_blobs(3, sigma=sigma) > 0.6).astype(np.uint8)
    table = score_rules(probability, mask)
    for rules, found in zip(CANDIDATES, table, strict=True):
        pred = torch.from_numpy(make_mask(probability, rules))[None]
        assert found == pytest.approx(dice_score(pred, torch.from_numpy(mask)[None]).item(), abs=1e-12)


@pytest.mark.parametrize(
    ("value", "reference", "expected"), [(0.0, 0, 1.0), (0.0, 1, 0.0), (1.0, 0, 0.0), (1.0, 1, 1.0)]
)
def test_empty_masks_score_by_the_rule_of_the_metrics(value, reference, expected):
    table = score_rules(np.full((8, 9), value), np.full((8, 9), reference, np.uint8))
    assert (table == expected).all()


def test_maps_of_another_size_than_their_masks_are_refused():
    with pytest.raises(ValueError, match=r"\(4, 5\) and mask \(5, 4\)"):
        score_rules(np.zeros((4, 5)), np.zeros((5, 4), np.uint8))


def make_table(images=40, seed=0):
    """Scores in which no candidate is better than another but by chance."""
    rng = np.random.default_rng(seed)
    return 0.9 + 0.02 * rng.standard_normal((images, 1)) + 0.0 * np.zeros((images, len(CANDIDATES)))


def test_what_changes_nothing_is_not_chosen():
    assert choose_rules(make_table()) == MaskRules()


def test_what_is_better_by_less_than_a_standard_error_is_not_chosen():
    table = make_table()
    table[:, 7] += np.random.default_rng(1).standard_normal(40)
    table[:, 7] += 0.5 * table[:, 7].std() / np.sqrt(40) - (table[:, 7] - table[:, DEFAULT]).mean()
    assert table[:, 7].mean() > table[:, DEFAULT].mean()
    assert choose_rules(table) == MaskRules()


def test_of_equally_good_rules_the_simplest_is_chosen():
    table = make_table()
    better = [MaskRules(0.45, fill_holes=True, largest_only=True), MaskRules(0.4), MaskRules(0.45)]
    for rules in better:
        table[:, CANDIDATES.index(rules)] += 0.02
    assert choose_rules(table) == MaskRules(0.45)


def test_a_simpler_rule_wins_over_an_equal_one_that_comes_first_in_the_grid():
    """Both are looked at since a noisy one that is no simpler than they are is near the best."""
    table, noise = make_table(), np.random.default_rng(0).standard_normal(40)
    noise -= noise.mean()
    table[:, CANDIDATES.index(MaskRules(0.35, fill_holes=True))] += 0.021
    table[:, CANDIDATES.index(MaskRules(0.3))] += 0.019 + 0.05 * noise
    for rules in (MaskRules(0.35), MaskRules(0.45)):
        table[:, CANDIDATES.index(rules)] = table[:, DEFAULT] + 0.02
    assert choose_rules(table) == MaskRules(0.45)


def test_a_simpler_rule_that_is_worse_by_less_than_chance_is_preferred():
    table, noise = make_table(), np.random.default_rng(0).standard_normal(40)
    noise -= noise.mean()
    table[:, CANDIDATES.index(MaskRules(0.45, fill_holes=True))] += 0.021 + 0.05 * noise
    table[:, CANDIDATES.index(MaskRules(0.45))] += 0.020
    assert choose_rules(table) == MaskRules(0.45)


def test_a_noisy_best_opens_no_door_to_another():
    """The best is not better by more than chance: then the plain threshold stays, whoever comes second."""
    table, noise = make_table(), np.random.default_rng(0).standard_normal(40)
    noise -= noise.mean()
    table[:, CANDIDATES.index(MaskRules(0.4))] += 0.02 + 0.3 * noise
    table[:, CANDIDATES.index(MaskRules(0.45))] += 0.01
    assert choose_rules(table) == MaskRules()


def test_noise_does_not_make_a_rule_pass_before_a_better_one_that_is_as_simple():
    """0.4 is near the best since it is noisy; 0.45 is not, but it is nearer to 0.5 and scores higher."""
    table, noise = make_table(), np.random.default_rng(0).standard_normal(40)
    noise -= noise.mean()
    table[:, CANDIDATES.index(MaskRules(0.45, fill_holes=True))] += 0.021
    table[:, CANDIDATES.index(MaskRules(0.4))] += 0.019 + 0.05 * noise
    table[:, CANDIDATES.index(MaskRules(0.45))] += 0.020
    assert choose_rules(table) == MaskRules(0.45)


def test_a_simple_rule_does_not_pass_that_is_worse_by_more_than_chance():
    table = make_table()
    best = MaskRules(0.35, fill_holes=True)
    table[:, CANDIDATES.index(best)] += 0.03
    table[:, CANDIDATES.index(MaskRules(0.45))] += 0.02
    assert choose_rules(table) == best


@pytest.mark.parametrize("images", [1, 2])
def test_one_image_cannot_tell_chance(images):
    table = np.full((images, len(CANDIDATES)), 0.8)
    table[:, CANDIDATES.index(MaskRules(0.4))] = 0.9
    assert (choose_rules(table) == MaskRules()) == (images == 1)


def test_specks_and_holes_are_found_worth_removing():
    maps, masks = [], []
    for seed in range(12):
        mask = np.zeros((80, 80), np.uint8)
        cv2.circle(mask, (40, 40), 22, 1, -1)
        rng = np.random.default_rng(seed)
        map_ = np.where(mask, 0.95, 0.05)
        for row, column in rng.integers(0, 76, (10, 2)):
            map_[row : row + 4, column : column + 4] = 1 - map_[row, column]
        maps.append(map_)
        masks.append(mask)
    table = collect_scores(maps, masks)
    chosen = choose_rules(table)
    assert chosen.fill_holes
    assert chosen.largest_only or chosen.smallest_area > 0
    facts = describe_rules(table, cross_fit_rules(table, divide_images([0] * 12)))
    assert facts["gain"]["low"] > 0
    assert facts["fitted_dice"] > facts["plain_dice"]


def test_no_image_takes_part_in_choosing_its_own_rules():
    """In part 0 a rule helps that hurts elsewhere: chosen for the others it may be, for part 0 never."""
    table, parts = make_table(30), np.repeat([0, 1, 2], 10)
    lucky = CANDIDATES.index(MaskRules(0.3))
    table[parts == 0, lucky] += 0.5
    fitted = cross_fit_rules(table, parts)
    assert [rules == MaskRules() for rules in fitted[:10]] == [True] * 10
    poisoned = table.copy()
    poisoned[parts == 0] = np.random.default_rng(0).random((10, len(CANDIDATES)))
    assert cross_fit_rules(poisoned, parts)[:10] == fitted[:10]


def test_one_image_alone_keeps_the_plain_threshold():
    table = make_table(1)
    table[:, 3] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cross_fit_rules(table, divide_images([2])) == [MaskRules()]


def test_folds_are_the_parts_and_one_fold_is_divided_at_random():
    assert divide_images([0, 3, 3, 1]).tolist() == [0, 3, 3, 1]
    parts = divide_images([2] * 23)
    assert sorted(np.bincount(parts).tolist()) == [4, 4, 5, 5, 5]
    assert (parts == divide_images([2] * 23)).all()
    assert (np.diff(parts) < 0).any()  # at random: the order of a table may mean something
    assert divide_images([2, 2]).tolist() in ([0, 1], [1, 0])


def test_a_group_is_in_one_part():
    groups = np.random.default_rng(0).permutation(np.repeat([f"P{number}" for number in range(12)], 4))
    parts = divide_images([1] * 48, groups=groups)
    assert all(len(set(parts[groups == name])) == 1 for name in groups)
    assert sorted(np.bincount(parts).tolist()) == [8, 8, 8, 12, 12]
    assert divide_images([1] * 23, groups=np.arange(23)[::-1]).tolist() == divide_images([1] * 23).tolist()
    assert divide_images([1, 1, 1], groups=["a"] * 3).tolist() == [1, 1, 1]
    assert divide_images([0, 3, 3, 1], groups=["a", "b", "b", "c"]).tolist() == [0, 3, 3, 1]


def test_copies_of_images_make_no_rule_surer():
    table, names, lucky = make_table(6), np.repeat(list("abcdef"), 30), CANDIDATES.index(MaskRules(0.4))
    table[:, lucky] += [0.1, -0.05, -0.05, 0.1, -0.05, 0]  # a gain of 0.008 with an error of 0.031
    copies = np.repeat(table, 30, axis=0)
    assert choose_rules(copies) != MaskRules()
    assert choose_rules(copies, groups=names) == choose_rules(table) == MaskRules()
    assert choose_rules(copies, groups=["a"] * 180) == MaskRules()
    alone = describe_rules(table, [MaskRules(0.4)] * 6)
    facts = describe_rules(copies, [MaskRules(0.4)] * 180, groups=names)
    assert facts["gain"] == pytest.approx(alone["gain"])
    assert MaskRules(**facts["rules"]) == MaskRules()
    errors = [[row["standard_error"] for row in one["sensitivity"]] for one in (facts, alone)]
    assert errors[0] == pytest.approx(errors[1], abs=1e-6)
    parts = np.repeat([0, 1], 90)
    assert cross_fit_rules(copies, parts, groups=names) == [MaskRules()] * 180


def test_rules_survive_their_file_and_no_file_is_the_plain_threshold(tmp_path):
    table = make_table()
    table[:, CANDIDATES.index(MaskRules(0.35, fill_holes=True, smallest_area=0.002))] += 0.1
    write_rules(tmp_path / "masks.json", describe_rules(table, cross_fit_rules(table, divide_images([0] * 40))))
    assert read_rules(tmp_path / "masks.json") == MaskRules(0.35, fill_holes=True, smallest_area=0.002)
    assert read_rules(tmp_path / "absent.json") == MaskRules()
    facts = json.loads((tmp_path / "masks.json").read_text())
    assert facts["gain"]["difference"] == pytest.approx(0.1)
    assert facts["images"] == 40
    assert len(facts["sensitivity"]) == len(CANDIDATES)


def test_the_rules_for_new_images_are_chosen_on_all_images_and_those_of_the_parts_are_told_beside():
    table, rules = make_table(), MaskRules(0.4)
    table[:, CANDIDATES.index(rules)] += 0.1
    facts = describe_rules(table, [MaskRules()] * 20 + [MaskRules(0.6)] * 20)
    assert facts["rules"] == dataclasses.asdict(rules)
    assert facts["fitted_rules"] == [dataclasses.asdict(MaskRules()), dataclasses.asdict(MaskRules(0.6))]


def test_the_gain_is_that_of_each_image_with_its_error():
    table, rules = make_table(), MaskRules(0.4)
    steps = np.linspace(-0.02, 0.06, 40)
    table[:, CANDIDATES.index(rules)] += steps
    gain = describe_rules(table, [rules] * 40)["gain"]
    assert gain["difference"] == pytest.approx(0.02)
    assert gain["standard_error"] == pytest.approx(steps.std(ddof=1) / np.sqrt(40))
    assert gain["low"] < 0.02 < gain["high"]


def test_the_sensitivity_is_the_mean_and_the_error_of_its_difference_from_the_plain_threshold():
    table = make_table()
    table[:, 5] += np.linspace(0, 0.1, 40)
    row = describe_rules(table, [MaskRules()] * 40)["sensitivity"][5]
    assert {name: row[name] for name in dataclasses.asdict(MaskRules())} == dataclasses.asdict(CANDIDATES[5])
    assert row["dice"] == pytest.approx(table[:, 5].mean(), abs=1e-6)
    assert row["standard_error"] == pytest.approx(np.linspace(0, 0.1, 40).std(ddof=1) / np.sqrt(40), abs=1e-6)
