"""Masks whose names are not those of their images."""

import pytest

from seglib.checks.problems import inspect_data
from seglib.data.samples import list_samples
from seglib.data.synthetic import write_phantoms
from seglib.trees.names import match_names, match_sides


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("{}_training", "{}_manual1"),  # DRIVE
        ("Image_{}L", "Image_{}L_1stHO"),  # CHASE_DB1
        ("train_{}", "train_{}_anno"),  # GlaS
        ("case_{}_0000", "case_{}"),  # nnU-Net
        ("IMD{}", "IMD{}_lesion"),  # PH2
        ("img_{}", "mask_{}"),
        ("image{}", "{}"),
        ("{}", "{} mask"),
        ("a{}b", "c{}"),
    ],
)
def test_names_of_public_sets_are_matched(image, mask):
    numbers = ["3", "21", "22", "100", "1001"]
    found = match_names([image.format(n) for n in numbers], [mask.format(n) for n in reversed(numbers)])
    assert found == {mask.format(n): image.format(n) for n in numbers}


def test_leading_noughts_do_not_count_unless_they_tell_names_apart():
    assert match_names(["img_1", "img_20", "img_0"], ["m000", "m001", "m020"]) == {
        "m000": "img_0",
        "m001": "img_1",
        "m020": "img_20",
    }
    assert match_names(["a1", "a01", "a2", "a3"], ["b1", "b01", "b2", "b3"]) == {}


def test_no_number_and_no_word_is_divided():
    # cut between any two letters, image 121 would be 21 and the mask 21 too
    assert match_names(["121", "122"], ["21", "22"]) == {}
    assert match_names(["12", "32"], ["11", "31"]) == {}
    assert match_names(["cat", "car"], ["mat", "mar"]) == {}
    assert match_names(["Cat", "Car"], ["Mat", "Mar"]) == {}
    assert match_names(["AB", "AC"], ["DB", "DC"]) == {}
    assert match_names(["tac", "rac"], ["tam", "ram"]) == {}
    assert match_names(["scan A", "scan B"], ["A", "B"]) == {"A": "scan A", "B": "scan B"}


def test_one_pair_is_no_evidence():
    assert match_names(["img_1"], ["mask_1"]) == {}
    assert match_names(["img_1", "img_2"], ["mask_2"]) == {}
    assert match_names(["img_1", "img_2"], ["mask_2", "mask_3"]) == {}
    assert match_names([], []) == {}


def test_some_without_a_partner_do_not_matter_if_they_are_all_on_one_side():
    images, masks = [f"img_{n}" for n in range(5)], [f"mask_{n}" for n in range(3)]
    assert match_names(images, masks) == {f"mask_{n}": f"img_{n}" for n in range(3)}
    assert match_names(masks, images) == {f"img_{n}": f"mask_{n}" for n in range(3)}
    assert match_names(images[1:], masks) == {}  # mask_0 has no image, img_4 no mask


@pytest.fixture
def renamed(tmp_path):
    write_phantoms(tmp_path, train=6, test=2)
    for number, image in enumerate(sorted((tmp_path / "Train" / "Image").iterdir())):
        image.rename(image.with_name(f"{number}_training{image.suffix}"))
        mask = tmp_path / "Train" / "Mask" / f"{image.stem}.png"
        mask.rename(mask.with_name(f"{number}_manual1.png"))
    return tmp_path


def test_a_set_with_other_names_is_paired_and_that_is_told(renamed):
    samples = list_samples(renamed)
    assert samples["sample_id"].tolist() == [f"{n}_training" for n in range(6)]
    assert [path.rpartition("/")[2] for path in samples["mask_path"]] == [f"{n}_manual1.png" for n in range(6)]
    problems = inspect_data(renamed).problems.set_index("problem")
    told = problems.loc["other names"]
    assert told["severity"] == "note"
    assert "0_manual1.png is taken for that of 0_training." in told["fact"]


def test_an_image_whose_mask_is_missing_there_is_named(renamed):
    (renamed / "Train" / "Mask" / "3_manual1.png").unlink()
    problems = inspect_data(renamed).problems
    assert problems.set_index("problem").loc["no mask", "file"].startswith("Train/Image/3_training.")
    assert len(problems[problems["severity"] == "error"]) == 1


def test_usual_names_are_not_told(tmp_path):
    write_phantoms(tmp_path, train=6, test=2)
    assert "other names" not in set(inspect_data(tmp_path).problems["problem"])
    for mask in (tmp_path / "Train" / "Mask").iterdir():
        mask.rename(mask.with_name(f"{mask.stem}_Mask.png"))
    assert "other names" not in set(inspect_data(tmp_path).problems["problem"])


def test_where_some_names_pair_the_others_have_to(renamed):
    for mask in (renamed / "Train" / "Mask").iterdir():
        number = mask.name[0]
        mask.rename(mask.with_name("0_training.png" if number == "0" else f"0{number}_training.png"))
    problems = inspect_data(renamed).problems
    assert (problems["problem"] == "no mask").sum() == 5
    assert (problems["problem"] == "no image").sum() == 5


@pytest.mark.parametrize("masks", [["left/{}", "Right/{}"], ["{}_left", "{}_right"], ["LeftMask_{}", "RightMask_{}"]])
def test_masks_of_both_sides_are_of_one_image(masks):
    drawn = [mask.format(n) for n in ("X_1", "X_2") for mask in masks]
    assert match_sides(["X_1", "X_2", "X_3"], drawn) == dict(zip(drawn, ["X_1", "X_1", "X_2", "X_2"], strict=True))
    assert match_sides(["X_1", "X_2"], drawn[:3]) == {}  # a side is missing
    assert match_sides(["X_1"], drawn[:2]) == {}  # one alone may be chance
    assert match_sides(["a", "b"], drawn) == {}


@pytest.mark.parametrize("masks", [["{}_left", "{}"], ["{}_upper", "{}_lower"], ["{}_left", "{}_bright"]])
def test_what_is_not_left_and_right_may_be_two_readings(masks):
    assert match_sides(["1", "2"], [mask.format(n) for n in (1, 2) for mask in masks]) == {}
