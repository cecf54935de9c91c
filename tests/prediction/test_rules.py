import numpy as np
import pytest
from blobs import make_blobs
from scipy.ndimage import binary_fill_holes, label

from seglib.errors import InputError
from seglib.prediction.rules import CORE, MaskRules, describe_steps, make_mask, read_rules

EIGHT = np.ones((3, 3))


def test_foreground_is_strictly_above_the_threshold():
    mask = make_mask(np.array([[0.0, 0.3, 0.30001, 1.0]]), MaskRules(threshold=0.3))
    assert mask.tolist() == [[0, 0, 1, 1]]
    assert mask.dtype == np.uint8


@pytest.mark.parametrize("sigma", [0.8, 1.5, 4.0])
@pytest.mark.parametrize("seed", range(5))
def test_holes_are_filled_as_scipy_fills_them(seed, sigma):
    probability = make_blobs(seed, sigma=sigma)
    filled = make_mask(probability, MaskRules(fill_holes=True))
    assert np.array_equal(filled, binary_fill_holes(probability > 0.5))


def test_a_hole_that_opens_to_the_border_of_the_image_is_none():
    probability = np.ones((5, 5))
    probability[2, :3] = 0
    assert np.array_equal(make_mask(probability, MaskRules(fill_holes=True)), probability)


@pytest.mark.parametrize("area", [0.0005, 0.004, 0.03, 1.0])
def test_parts_smaller_than_the_area_are_removed_and_others_are_not(area):
    probability = make_blobs(1, sigma=1.5)
    parts, _ = label(probability > 0.5, EIGHT)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    expected = (sizes >= area * parts.size)[parts] & (parts > 0)
    assert np.array_equal(make_mask(probability, MaskRules(smallest_area=area)), expected)


def test_a_part_of_just_the_smallest_area_stays():
    probability = np.zeros((10, 10))
    probability[0, :2] = probability[5, 5] = 1
    assert make_mask(probability, MaskRules(smallest_area=0.02)).sum() == 2
    assert make_mask(probability, MaskRules(smallest_area=0.01)).sum() == 3


def test_of_several_parts_the_largest_is_kept_and_corners_join():
    probability = np.zeros((6, 8))
    probability[0, :3] = probability[2, 5] = probability[3, 6] = probability[4, 7] = probability[4, 6] = 1
    kept = make_mask(probability, MaskRules(largest_only=True))
    assert kept.sum() == 4
    assert kept[0].sum() == 0


def test_holes_are_filled_before_parts_are_measured():
    ring = np.zeros((9, 20))
    ring[1:8, 1:8] = 1
    ring[2:7, 2:7] = 0  # 24 pixels, 49 when it is filled
    ring[1:7, 12:17] = 1  # 30 pixels
    assert make_mask(ring, MaskRules(largest_only=True))[:, 12:].any()
    assert make_mask(ring, MaskRules(largest_only=True, fill_holes=True))[:, :10].sum() == 49


@pytest.mark.parametrize(
    "rules", [MaskRules(largest_only=True), MaskRules(smallest_area=0.1), MaskRules(fill_holes=True)]
)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_empty_and_full_maps_stay_what_they_are(rules, value):
    assert (make_mask(np.full((4, 7), value), rules) == value).all()


def test_a_map_without_a_sure_core_is_an_empty_mask():
    probability = np.zeros((10, 10))
    probability[2:4, 2:7] = 0.7  # ten doubtful pixels
    rules = MaskRules(smallest_core=0.03)
    assert not make_mask(probability, rules).any()
    probability[2, 2:4] = 0.9  # two sure ones of a hundred
    assert not make_mask(probability, rules).any()
    probability[8, 8] = CORE + 1e-9  # the third, wherever it lies: it counts for the image, and all parts stay
    assert make_mask(probability, rules).sum() == 11
    probability[8, 8] = CORE
    assert not make_mask(probability, rules).any()


RULES = (
    '{"rules": {"threshold": 0.4, "fill_holes": false, "smallest_area": 0.0, "largest_only": false, '
    '"smallest_core": 0.0}}'
)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"rules": {"threshold": "half"}}', '{"rules": {}}', '{"rules": {"threshold": 0.4}}',
     *(RULES.replace("0.4", threshold) for threshold in ("2", "NaN", "true")),
     *(RULES.replace(f'{name}": 0.0', f'{name}": 2') for name in ("area", "core")),
     RULES.replace("false", "0", 1), RULES.replace('"fill', '"size": 1, "fill')],
)  # fmt: skip
def test_a_file_without_rules_is_refused(tmp_path, text):
    (tmp_path / "masks.json").write_text(text)
    with pytest.raises(InputError, match="holds no rules for masks; run 04_evaluation again"):
        read_rules(tmp_path / "masks.json")


def test_the_text_the_broken_ones_are_made_of_is_sound(tmp_path):
    (tmp_path / "masks.json").write_text(RULES)
    assert read_rules(tmp_path / "masks.json") == MaskRules(0.4)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (MaskRules(), "a threshold of 0.5"),
        (MaskRules(0.7, fill_holes=True), "a threshold of 0.7, holes filled"),
        (MaskRules(smallest_area=0.002), "a threshold of 0.5, parts below 0.2 % of the image removed"),
        (MaskRules(largest_only=True), "a threshold of 0.5, the largest part kept"),
        (
            MaskRules(smallest_core=0.003),
            "a threshold of 0.5, nothing where less than 0.3 % of the image is surely foreground",
        ),
    ],
)
def test_what_rules_do_is_said_in_words(rules, said):
    assert describe_steps(rules) == said
