"""Phantoms: the tree, the pictures, and what happens when something is in the way."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from seglib.data import synthetic
from seglib.data.synthetic import draw_phantom, write_phantoms
from seglib.errors import InputError

SPLITS = {"Train": 64, "Test": 16}


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    return write_phantoms(tmp_path_factory.mktemp("phantoms") / "set")


@pytest.fixture(scope="module")
def pairs(phantoms):
    """(image, mask) arrays of every sample, as the files hold them."""
    images = sorted(phantoms.glob("*/Image/*"))
    masks = [path.parents[1] / "Mask" / f"{path.stem}.png" for path in images]
    return [
        (np.array(Image.open(image)), np.array(Image.open(mask))) for image, mask in zip(images, masks, strict=True)
    ]


def digests(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def dice(pred, mask):
    return 2 * (pred & mask).sum() / (pred.sum() + mask.sum())


def otsu(image):
    gray = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return cv2.threshold(gray, 0, 255, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)[1] > 0


# --- the tree


def test_the_tree_is_that_of_a_real_set_and_the_test_masks_are_public(phantoms):
    assert sorted(path.name for path in phantoms.iterdir()) == [
        "Test", "Train", "phantoms.json", "sample_submission.csv",
    ]  # fmt: skip
    for split, count in SPLITS.items():
        images = sorted(path.stem for path in (phantoms / split / "Image").iterdir())
        masks = sorted(path.stem for path in (phantoms / split / "Mask").iterdir())
        assert images == masks
        assert len(images) == count


def test_images_are_jpeg_and_png_and_masks_are_png_only(phantoms):
    for split in SPLITS:
        assert {Image.open(path).format for path in (phantoms / split / "Image").iterdir()} == {"JPEG", "PNG"}
        assert {Image.open(path).format for path in (phantoms / split / "Mask").iterdir()} == {"PNG"}


def test_the_suffix_of_every_file_names_its_format(phantoms):
    formats = {".jpg": "JPEG", ".png": "PNG"}
    assert all(Image.open(path).format == formats[path.suffix] for path in phantoms.glob("*/*/*"))


def test_no_name_is_in_train_and_in_test(phantoms):
    train, test = ({path.stem for path in (phantoms / split / "Image").iterdir()} for split in SPLITS)
    assert not train & test


def test_the_sample_submission_lists_the_test_images_in_order_with_empty_run_lengths(tmp_path):
    folder = write_phantoms(tmp_path / "set", train=1, test=3)
    assert (folder / "sample_submission.csv").read_bytes() == b"id,rle\ntest_0000,\ntest_0001,\ntest_0002,\n"


def test_a_set_without_test_images_still_has_the_folders(tmp_path):
    folder = write_phantoms(tmp_path / "set", train=1, test=0)
    assert list((folder / "Test" / "Image").iterdir()) == []
    assert (folder / "sample_submission.csv").read_text() == "id,rle\n"


def test_parents_are_made_and_a_text_is_taken_for_a_path(tmp_path):
    folder = write_phantoms(str(tmp_path / "a" / "b"), train=1, test=0)
    assert folder == Path(tmp_path / "a" / "b")
    assert folder.is_dir()


# --- the pictures


def test_masks_hold_exactly_0_and_255_and_have_the_size_of_their_image(pairs):
    for image, mask in pairs:
        assert mask.ndim == 2
        assert np.unique(mask).tolist() == [0, 255]
        assert mask.shape == image.shape[:2]


def test_sizes_and_aspect_ratios_vary_between_96_and_256_pixels(pairs):
    shapes = {mask.shape for _, mask in pairs}
    assert len(shapes) == 7
    assert {np.sign(height - width) for height, width in shapes} == {-1, 0, 1}
    assert min(map(min, shapes)) == 96
    assert max(map(max, shapes)) == 256


def test_one_image_in_eight_has_a_single_channel(pairs):
    assert [image.ndim for image, _ in pairs].count(2) == len(pairs) / 8
    assert {image.ndim for image, _ in pairs} == {2, 3}


def test_foreground_is_3_to_75_percent_of_an_image_and_small_and_large_lesions_exist(pairs):
    shares = np.array([(mask > 0).mean() for _, mask in pairs])
    assert shares.min() > 0.03
    assert shares.max() < 0.75
    assert np.quantile(shares, 0.1) < 0.15
    assert np.quantile(shares, 0.9) > 0.35


def test_every_lesion_is_one_part_and_some_but_not_most_touch_the_border(pairs):
    touching = [any(edge.any() for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1])) for _, mask in pairs]
    assert 0.1 < np.mean(touching) < 0.5
    assert all(cv2.connectedComponents(mask)[0] == 2 for _, mask in pairs)  # background and one lesion


def test_borders_are_uneven(pairs):
    solidity = []
    for _, mask in pairs:
        (outline,), _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        solidity.append(cv2.contourArea(outline) / cv2.contourArea(cv2.convexHull(outline)))
    assert np.mean(solidity) < 0.97  # a disc or an ellipse of this size has 0.98 to 0.99


def test_lesions_are_darker_than_their_skin_by_contrasts_that_vary(pairs):
    contrasts = np.array([1 - image[mask > 0].mean() / image[mask == 0].mean() for image, mask in pairs])
    assert contrasts.min() > 0.05
    assert contrasts.max() > 2.5 * contrasts.min()


def test_the_edge_is_soft_in_the_image_and_the_mask_ends_where_half_the_contrast_is_reached():
    reached = []
    for seed in range(12):
        image, mask = draw_phantom(np.random.default_rng(seed), 128, 128, gray=True)
        depth = cv2.distanceTransform(mask, cv2.DIST_L2, 5) - cv2.distanceTransform(255 - mask, cv2.DIST_L2, 5)
        skin, first_out, last_in, deeper = (image[np.abs(depth - at) <= 0.5].mean() for at in (-8, -1, 1, 8))
        reached.append([(skin - first_out) / (skin - deeper), (skin - last_in) / (skin - deeper)])
    outside, inside = np.mean(reached, axis=0)
    assert 0.2 < outside < 0.5 < inside < 0.8  # 0 and 1 with a hard edge


def test_a_global_threshold_does_part_of_the_task_but_does_not_solve_it(pairs):
    scores = [dice(otsu(image), mask > 0) for image, mask in pairs]
    assert 0.6 < np.mean(scores) < 0.85


def test_a_gray_phantom_is_the_colour_one_without_its_colour():
    colour, mask = draw_phantom(np.random.default_rng(3), 64, 80)
    gray, same_mask = draw_phantom(np.random.default_rng(3), 64, 80, gray=True)
    assert (colour.shape, gray.shape) == ((64, 80, 3), (64, 80))
    assert colour.dtype == gray.dtype == mask.dtype == np.uint8
    assert np.array_equal(gray, cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY))
    assert np.array_equal(mask, same_mask)


def test_all_skin_has_more_red_than_green_and_more_green_than_blue(pairs):
    for image, mask in pairs:
        if image.ndim == 3:
            red, green, blue = image[mask == 0].mean(axis=0)
            assert red > green + 10 > blue + 20


def test_the_smallest_phantoms_have_a_lesion_and_skin_and_smaller_ones_are_refused():
    for seed in range(50):
        mask = draw_phantom(np.random.default_rng(seed), 32, 40)[1]
        assert 0 < (mask > 0).mean() < 0.8
    with pytest.raises(ValueError, match="31 x 40"):
        draw_phantom(np.random.default_rng(0), 31, 40)


# --- the same, and not the same


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_images_and_masks(tmp_path):
    first, again = (digests(write_phantoms(tmp_path / name, train=4, test=2, seed=5)) for name in "ab")
    other = digests(write_phantoms(tmp_path / "c", train=4, test=2, seed=6))
    assert first == again
    assert all(first[name] != other[name] for name in first if name.startswith("T"))


def test_no_two_samples_are_alike_even_where_they_have_the_same_size(phantoms):
    found = [digest for name, digest in digests(phantoms).items() if name.startswith("T")]
    assert len(set(found)) == len(found) == 160


def test_every_sample_has_a_stream_of_random_numbers_of_its_own(tmp_path, monkeypatch):
    first_numbers = []

    def spy(rng, height, width, *, gray):
        first_numbers.append(rng.random())
        return draw_phantom(rng, height, width, gray=gray)

    monkeypatch.setattr(synthetic, "draw_phantom", spy)
    write_phantoms(tmp_path / "set", train=9, test=9)
    assert len(set(first_numbers)) == 18  # the two splits as well draw different lesions from one seed


def test_a_smaller_set_is_the_beginning_of_a_larger_one(phantoms, tmp_path):
    few, many = digests(write_phantoms(tmp_path / "few", train=3, test=2)), digests(phantoms)
    assert all(many[name] == digest for name, digest in few.items() if name.startswith("T"))


# --- what is in the way


def test_a_second_call_changes_nothing_and_draws_nothing(tmp_path, monkeypatch):
    folder = write_phantoms(tmp_path / "set", train=2, test=1)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    monkeypatch.setattr(synthetic, "draw_phantom", None)  # calling it would fail
    assert write_phantoms(folder, train=2, test=1) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "set").mkdir()
    assert (write_phantoms(tmp_path / "set", train=1, test=1) / "Train" / "Image" / "train_0000.jpg").is_file()


def test_an_empty_folder_that_a_link_leads_to_is_used(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "set").symlink_to(tmp_path / "disk")
    assert write_phantoms(tmp_path / "set", train=1, test=0) == tmp_path / "set"
    assert (tmp_path / "set").is_symlink()
    assert len(list((tmp_path / "disk" / "Train" / "Image").iterdir())) == 1


@pytest.mark.parametrize("content", [None, "", "not json", "[]", "{}"])
def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path, content):
    (tmp_path / "precious.txt").write_text("keep me")
    if content is not None:
        (tmp_path / "phantoms.json").write_text(content)
    before = digests(tmp_path)
    with pytest.raises(InputError, match="choose another folder"):
        write_phantoms(tmp_path, train=1, test=1)
    assert digests(tmp_path) == before


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "set").write_text("keep me")
    with pytest.raises(InputError, match="choose another folder"):
        write_phantoms(tmp_path / "set", train=1, test=1)
    assert (tmp_path / "set").read_text() == "keep me"


@pytest.mark.parametrize("other", [{"train": 3}, {"test": 2}, {"seed": 1}])
def test_phantoms_of_other_arguments_are_refused_and_left_alone(tmp_path, other):
    folder = write_phantoms(tmp_path / "set", train=2, test=1)
    before = digests(folder)
    with pytest.raises(InputError, match="holds other phantoms"):
        write_phantoms(folder, **({"train": 2, "test": 1} | other))
    assert digests(folder) == before


def test_phantoms_of_another_version_are_refused(tmp_path, monkeypatch):
    folder = write_phantoms(tmp_path / "set", train=1, test=1)
    monkeypatch.setattr(synthetic, "VERSION", synthetic.VERSION + 1)
    with pytest.raises(InputError, match="holds other phantoms"):
        write_phantoms(folder, train=1, test=1)


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-9])])
def test_a_set_with_a_missing_or_cut_off_file_is_refused_by_the_name_of_that_file(tmp_path, spoil):
    folder = write_phantoms(tmp_path / "set", train=2, test=1)
    spoil(folder / "Train" / "Mask" / "train_0001.png")
    with pytest.raises(InputError, match=r"Train/Mask/train_0001\.png is missing or changed"):
        write_phantoms(folder, train=2, test=1)


def test_the_marker_names_the_arguments_and_every_file(tmp_path):
    folder = write_phantoms(tmp_path / "set", train=2, test=1, seed=4)
    marker = json.loads((folder / "phantoms.json").read_text())
    assert {name: marker[name] for name in ("train", "test", "seed")} == {"train": 2, "test": 1, "seed": 4}
    assert marker["bytes"].keys() == digests(folder).keys() - {"phantoms.json"}


def test_a_run_that_is_cut_off_leaves_nothing_behind(tmp_path, monkeypatch):
    def draw_two_then_stop(rng, height, width, *, gray):
        if list(tmp_path.glob("*/*/*/*/train_0001*")):
            raise KeyboardInterrupt
        return draw_phantom(rng, height, width, gray=gray)

    monkeypatch.setattr(synthetic, "draw_phantom", draw_two_then_stop)
    with pytest.raises(KeyboardInterrupt):
        write_phantoms(tmp_path / "set", train=4, test=1)
    assert list(tmp_path.iterdir()) == []


def test_runs_that_start_together_end_with_one_whole_set(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: write_phantoms(tmp_path / "set", train=3, test=1), range(4)))
    assert set(folders) == {tmp_path / "set"}
    assert list(tmp_path.iterdir()) == [tmp_path / "set"]
    assert digests(folders[0]) == digests(write_phantoms(tmp_path / "alone", train=3, test=1))


def test_a_place_that_cannot_be_written_is_a_users_mistake(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose a folder you may write to"):
        write_phantoms(tmp_path / "file" / "set", train=1, test=1)


@pytest.mark.parametrize("wrong", [{"train": 0}, {"test": -1}, {"seed": -1}])
def test_numbers_out_of_range_are_refused_by_name_and_nothing_is_written(tmp_path, wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(InputError, match=f"{name} is {value}"):
        write_phantoms(tmp_path / "set", **wrong)
    assert list(tmp_path.iterdir()) == []


def test_other_users_of_the_machine_may_read_a_set_as_they_may_read_any_new_folder(tmp_path):
    (tmp_path / "plain").mkdir()
    folder = write_phantoms(tmp_path / "set", train=1, test=0)
    assert folder.stat().st_mode == (tmp_path / "plain").stat().st_mode
