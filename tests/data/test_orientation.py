import dataclasses

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from seglib import figures
from seglib.config import Config, make_config
from seglib.data import orientation
from seglib.data.orientation import (
    CHANGES,
    TOLD,
    describe_orientation,
    find_symmetries,
    fit_symmetries,
    measure_orientation,
    prepare_orientation,
    share_told,
)
from seglib.errors import InputError
from seglib.images.reading import Scale

SIDE = 16
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE] / (SIDE - 1) - 0.5
HOW = {"channels": 1, "scale": Scale(0, 255)}


def noise(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, SIDE, SIDE, 1))


def as_table(pictures):
    found = measure_orientation(pictures)
    return pd.concat([found.add_prefix("image_"), found.add_prefix("mask_")], axis=1)


def discs(count, height, width, seed=0, reach=0.15):
    """Round things somewhere in files of a size, seen as squares."""
    rng = np.random.default_rng(seed)
    at = rng.uniform(-reach, reach, (2, count, 1, 1))
    return (np.hypot((ROWS - at[0]) * height, (COLUMNS - at[1]) * width) < 30)[..., None].astype(float)


def write(folder, pictures, masks):
    rows = []
    for number, (picture, mask) in enumerate(zip(pictures, masks, strict=True)):
        paths = [folder / f"{kind}_{number:03d}.png" for kind in ("image", "mask")]
        Image.fromarray(picture.astype(np.uint8)).save(paths[0])
        Image.fromarray(255 * mask.astype(np.uint8)).save(paths[1])
        rows.append([f"{number:03d}", *map(str, paths)])
    return pd.DataFrame(rows, columns=["sample_id", "image_path", "mask_path"])


def chests(folder, count=24, seed=0):
    """Bright above; the foreground is above as well; left and right are alike."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:60, :80]
    images = [200 - 2 * y + rng.integers(0, 40, y.shape) for _ in range(count)]
    masks = [np.hypot(y - 20, x - 40 - rng.integers(-9, 9)) < 12 for _ in range(count)]
    return write(folder, images, masks)


# --- one set ---------------------------------------------------------------------------------------------------------


def test_the_numbers_are_those_of_the_formula():
    pictures = noise(10)
    found = measure_orientation(pictures)
    for name, change in CHANGES.items():
        apart = [(one - change(one[None])[0]).ravel() for one in pictures]
        for number in range(10):
            others = sum(apart[other] for other in range(10) if other // 2 != number // 2)  # five blocks of two
            angle = apart[number] @ others / np.linalg.norm(apart[number]) / np.linalg.norm(others)
            assert found[name][number] == pytest.approx(angle)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_told_of_what_has_no_way_up(seed):
    for pictures in (noise(200, seed), discs(200, 100, 100, seed)):
        share = share_told(as_table(pictures))
        assert share.to_numpy() == pytest.approx(0.5, abs=0.2)
        assert find_symmetries(as_table(pictures)) == 8


@pytest.mark.parametrize(
    ("common", "symmetries", "told"),
    [
        (ROWS, 2, ["upside_down", "turned"]),
        (COLUMNS, 1, ["mirrored", "turned"]),
        (ROWS + COLUMNS, 1, ["mirrored", "upside_down", "turned"]),
        (ROWS**2 - COLUMNS**2, 4, ["turned"]),
        (ROWS**2 + COLUMNS**2, 8, []),
    ],
)
def test_what_all_have_in_common_tells_the_changes_that_alter_it(common, symmetries, told):
    table = as_table(noise(60) + 2 * common[..., None])
    share = share_told(table)["image"]
    assert share.index[share >= TOLD].tolist() == told
    assert share[[name for name in CHANGES if name not in told]].max() < 0.8 if len(told) < 3 else True
    assert find_symmetries(table) == symmetries


def test_round_things_in_wide_files_are_seen_tall_and_never_wide():
    assert find_symmetries(as_table(discs(60, 75, 100, reach=0.05))) == 4


def test_where_half_of_the_pictures_are_upside_down_nothing_is_told():
    pictures = noise(60) + 2 * ROWS[..., None]
    pictures[::2] = pictures[::2, ::-1]
    assert share_told(as_table(pictures))["image"]["upside_down"] < 0.75


def test_a_picture_that_stands_on_its_head_is_below_nought():
    pictures = noise(60) + 2 * ROWS[..., None]
    pictures[7] = pictures[7, ::-1]
    found = measure_orientation(pictures)["upside_down"]
    assert found[7] < -0.1
    assert (found.drop(7) > 0).all()


def test_slices_of_a_patient_are_no_witnesses_for_each_other():
    patients = np.repeat(noise(20), 10, axis=0) + 0.1 * noise(200, 1)
    assert find_symmetries(as_table(patients)) == 8
    mixed = np.random.default_rng(0).permutation(200)
    assert share_told(as_table(patients[mixed])).min().min() > TOLD  # what it would come to if they were


def test_pictures_that_a_change_leaves_alone_count_for_nothing():
    pictures = noise(60) + 2 * ROWS[..., None]
    pictures[20:] = 0
    table = as_table(pictures)
    assert (table.iloc[20:] == 0).all().all()
    assert share_told(table)["image"]["upside_down"] == 1
    assert share_told(table.iloc[1:]).isna().all().all()  # nineteen are too few
    assert find_symmetries(table.iloc[1:]) == 8


def test_masks_tell_as_images_do():
    table = as_table(noise(60))
    assert find_symmetries(table.assign(mask_upside_down=0.1)) == 2
    assert find_symmetries(table.assign(image_turned=0.1)) == 4
    almost = np.where(np.arange(60) < 53, 0.1, -0.1)  # 88 %
    assert find_symmetries(table.assign(image_turned=almost)) == 8
    assert find_symmetries(table.assign(image_turned=np.where(np.arange(60) < 54, 0.1, -0.1))) == 4


# --- files -----------------------------------------------------------------------------------------------------------


def test_files_are_looked_at_once_and_their_numbers_are_kept(tmp_path, monkeypatch):
    samples = chests(tmp_path)
    samples.loc[0, "sample_id"] = "NA"
    table = prepare_orientation(tmp_path / "orientation.csv", samples, **HOW)
    assert table.index.tolist() == samples["sample_id"].tolist()
    assert table.columns.tolist() == [f"{kind}_{name}" for kind in ("image", "mask") for name in CHANGES]
    assert find_symmetries(table) == 2
    share = share_told(table)
    assert share.loc["upside_down"].tolist() == [1, 1]
    assert share.loc["mirrored"].max() < 0.8
    shrink = orientation._shrink
    monkeypatch.setattr(orientation, "_shrink", None)  # calling it would fail
    pd.testing.assert_frame_equal(prepare_orientation(tmp_path / "orientation.csv", samples, **HOW), table)
    monkeypatch.setattr(orientation, "_shrink", shrink)
    for path in samples["image_path"]:
        Image.new("L", (80, 60)).save(path)
    again = prepare_orientation(tmp_path / "orientation.csv", samples, **HOW)  # other pixels: looked at anew
    assert (again.filter(like="image") == 0).all().all()
    other = prepare_orientation(tmp_path / "orientation.csv", samples[1:], **HOW)  # other samples: looked at anew
    assert other.index.tolist() == samples["sample_id"][1:].tolist()
    assert (other.filter(like="image") == 0).all().all()


def test_light_and_contrast_of_an_image_do_not_weigh(tmp_path):
    samples = chests(tmp_path)
    before = prepare_orientation(tmp_path / "a.csv", samples, **HOW)
    path = samples["image_path"][3]
    Image.fromarray((np.asarray(Image.open(path)) // 4 * 2 + 50).astype(np.uint8)).save(path)
    after = prepare_orientation(tmp_path / "b.csv", samples, **HOW)
    assert np.abs(after - before).max().max() < 0.01


def test_a_bright_image_weighs_as_much_as_a_dark_one(tmp_path):
    fall = np.repeat(np.linspace(20, 0, 64)[:, None], 64, axis=1)
    images = [fall] * 24 + [230 + fall[::-1]] * 36
    images = [images[place] for place in np.random.default_rng(0).permutation(60)]
    samples = write(tmp_path, images, [np.zeros((64, 64))] * 60)
    table = prepare_orientation(tmp_path / "a.csv", samples, **HOW)
    assert share_told(table)["image"]["upside_down"] == 0.6  # those are more


def test_what_lies_at_the_edge_of_the_images_tells_nothing(tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (64, 64)) for _ in range(60)]
    for image in images:
        image[:8, :30] = 255  # the letters of a device
    samples = write(tmp_path, images, [np.zeros((64, 64))] * 60)
    assert find_symmetries(prepare_orientation(tmp_path / "a.csv", samples, **HOW)) == 8


def test_of_many_samples_some_are_looked_at_both_ends_among_them(tmp_path, monkeypatch):
    monkeypatch.setattr(orientation, "MOST", 5)
    table = prepare_orientation(tmp_path / "a.csv", chests(tmp_path, 28), **HOW)
    assert table.index.tolist() == ["000", "007", "014", "020", "027"]
    pd.testing.assert_frame_equal(prepare_orientation(tmp_path / "a.csv", chests(tmp_path, 28), **HOW), table)


def test_a_file_that_cannot_be_read_is_named_and_nothing_is_kept(tmp_path):
    samples = chests(tmp_path, 2)
    (tmp_path / "mask_001.png").write_bytes(b"none")
    with pytest.raises(InputError, match=r"mask_001\.png"):
        prepare_orientation(tmp_path / "a.csv", samples, **HOW)
    assert not (tmp_path / "a.csv").exists()


# --- what follows ----------------------------------------------------------------------------------------------------


UPRIGHT = as_table(noise(60) + 2 * ROWS[..., None])
NO_WAY_UP = as_table(noise(60))


def test_only_symmetries_that_are_left_open_come_from_the_data():
    config = make_config("best", seed=3)
    assert (config.symmetries, config.tta) == (0, 8)
    assert fit_symmetries(config, UPRIGHT) == dataclasses.replace(config, symmetries=2, tta=2)
    assert fit_symmetries(config, NO_WAY_UP) == dataclasses.replace(config, symmetries=8)
    assert fit_symmetries(make_config("best", tta=1), UPRIGHT).tta == 1
    for given in (make_config("best", symmetries=8), Config()):
        assert given.symmetries == 8
        assert fit_symmetries(given, UPRIGHT) == given


@pytest.mark.parametrize(
    ("table", "symmetries", "words"),
    [
        (
            UPRIGHT,
            0,
            "100 % upside down, 100 % turned by a quarter; so in training and prediction only left and right are",
        ),
        (UPRIGHT, 0, "(--set symmetries=8 uses all)"),
        (
            UPRIGHT,
            8,
            "; but symmetries=8 shows the network images upside down and turned by a quarter: --set symmetries=2",
        ),
        (UPRIGHT, 4, "; but symmetries=4 shows the network images upside down: --set symmetries=2 does not"),
        (UPRIGHT, 2, "; symmetries=2 shows the network nothing that is not in the set"),
        (NO_WAY_UP, 0, "so in training and prediction all mirrors and quarter turns are used (--set symmetries=2"),
        (NO_WAY_UP, 8, "; symmetries=8 shows the network nothing that is not in the set"),
        (UPRIGHT.iloc[:9], 0, "Fewer than 20 images differ from their mirrored selves, too few to tell"),
    ],
)
def test_the_sentence_says_what_is_told_what_follows_and_how_to_have_it_otherwise(table, symmetries, words):
    assert words in describe_orientation(table, Config(symmetries=symmetries))


def test_the_sentence_of_a_set_without_a_way_up_has_the_highest_share():
    highest = 100 * share_told(NO_WAY_UP).max().max()
    assert f"at most {highest:.0f} % of the images" in describe_orientation(NO_WAY_UP, Config())


def test_the_figure_has_a_point_for_each_share_and_says_where_there_are_too_few():
    share = share_told(UPRIGHT)
    ax = figures.plot_orientation(share, TOLD).axes[0]
    points = {line.get_label(): line for line in ax.lines}
    assert points["by the image"].get_xdata().tolist() == (100 * share["image"]).tolist()
    assert [text.get_text() for text in ax.texts][1:3] == ["100 %", "100 %"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["mirrored", "upside down", "turned"]
    few = figures.plot_orientation(share_told(UPRIGHT.iloc[:9]), TOLD).axes[0]
    assert {text.get_text() for text in few.texts} == {"too few"}
