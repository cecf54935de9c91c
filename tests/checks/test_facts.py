import shutil

import cv2
import numpy as np
import pandas as pd
import pytest

from seglib.checks import facts
from seglib.checks.duplicates import make_thumbnail
from seglib.checks.facts import find_scale, measure_samples, measure_test_images
from seglib.data.samples import list_samples
from seglib.data.unseen import list_test_images
from seglib.errors import InputError
from seglib.images.masks import read_mask
from seglib.images.reading import Scale, read_image


@pytest.fixture
def copy(phantoms, tmp_path):
    return shutil.copytree(phantoms, tmp_path / "copy")


def test_sizes_and_shares_are_those_of_the_files(phantoms):
    samples = list_samples(phantoms)
    measured = measure_samples(samples, scale=Scale(0, 255))
    first = cv2.imread(samples["image_path"][0])
    assert (measured["height"][0], measured["width"][0]) == first.shape[:2]
    assert measured["mask_share"][0] == read_mask(samples["mask_path"][0]).mean()
    assert measured["sample_id"].tolist() == samples["sample_id"].tolist()
    told = {"height", "width", "gray", "group", "parts", "red", "background_blue"}
    assert {*samples.columns, *told} <= set(measured.columns)
    assert not set(facts.WORKING) & set(measured.columns)
    assert measured["group"].tolist() == list(range(20))
    assert measured["case"].tolist() == samples["sample_id"].tolist()


def test_white_is_that_of_all_deep_files_that_can_be_read(copy):
    samples = list_samples(copy)
    assert find_scale(samples) == (0, 255)
    for row, peak in ((3, 300), (5, 4000)):
        cv2.imwrite(samples["image_path"][row].replace(".jpg", ".png"), np.full((9, 9), peak, np.uint16))
    (copy / "Train" / "Image" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    images = pd.DataFrame({"image_path": sorted(map(str, (copy / "Train" / "Image").iterdir())), "mask_path": "none"})
    assert find_scale(images) == (0, 4095)
    assert find_scale(images[:0]) == (0, 255)


def test_deep_files_are_measured_by_the_white_that_is_given(copy):
    samples = list_samples(copy)[2:3].reset_index(drop=True)
    assert samples["image_path"][0].endswith(".png")
    image = cv2.imread(samples["image_path"][0])
    cv2.imwrite(samples["image_path"][0], image.astype(np.uint16) * 257)
    for look in (measure_samples, measure_test_images):
        table = look(samples, scale=Scale(0, 65535))
        assert table["green"][0] == pytest.approx(image[..., 1].mean())
        assert look(samples, scale=Scale(0, 2 * 65535))["green"][0] == pytest.approx(image[..., 1].mean() / 2, abs=0.5)


def test_a_turned_copy_is_of_the_group_of_its_source(copy):
    samples = list_samples(copy)
    for column in ("image_path", "mask_path"):
        cv2.imwrite(samples[column][7], np.rot90(cv2.imread(samples[column][2])))
    group = measure_samples(samples, scale=Scale(0, 255))["group"]
    assert group[7] == group[2] == 2
    assert group.nunique() == 19


def test_every_image_is_decoded_once(phantoms, monkeypatch):
    decoded = []

    def counting_read(path, **options):
        decoded.append(path)
        return read_image(path, **options)

    monkeypatch.setattr(facts, "read_image", counting_read)
    samples = list_samples(phantoms)
    measure_samples(samples, scale=Scale(0, 255))
    assert sorted(decoded) == sorted(samples["image_path"])


def test_a_mask_of_another_size_is_named_with_both_sizes(copy):
    path = list_samples(copy)["mask_path"][3]
    cv2.imwrite(path, np.zeros((10, 11), np.uint8))
    with pytest.raises(InputError, match=rf"{path} is 11 x 10 pixels but its image is"):
        measure_samples(list_samples(copy), scale=Scale(0, 255))


def test_a_file_cut_short_is_named_and_the_others_counted(copy):
    samples = list_samples(copy)
    for path in samples["image_path"][:3]:
        with open(path, "r+b") as file:
            file.truncate(300)
    with pytest.raises(InputError, match=rf"{samples['image_path'][0]}.*and 2 more"):
        measure_samples(samples, scale=Scale(0, 255))


def test_masks_that_all_are_empty_stop_everything(copy):
    samples = list_samples(copy)
    for path in samples["mask_path"]:
        cv2.imwrite(path, 0 * cv2.imread(path))
    with pytest.raises(InputError, match="all 20 masks in .* are empty"):
        measure_samples(samples, scale=Scale(0, 255))


def test_one_empty_mask_is_allowed(copy):
    samples = list_samples(copy)
    cv2.imwrite(samples["mask_path"][0], 0 * cv2.imread(samples["mask_path"][0]))
    assert (measure_samples(samples, scale=Scale(0, 255))["mask_share"] == 0).sum() == 1


def test_an_unreadable_test_image_is_named(copy):
    path = list_test_images(copy)["image_path"][0]
    with open(path, "wb"):
        pass
    with pytest.raises(InputError, match=path):
        measure_test_images(list_test_images(copy), scale=Scale(0, 255))


def test_the_table_is_the_same_whatever_is_collected_at_a_time(copy, monkeypatch):
    samples = list_samples(copy)
    with open(samples["image_path"][4], "wb"):
        pass
    whole = facts.inspect_samples(samples, scale=Scale(0, 255))
    monkeypatch.setattr(facts, "CHUNK", 3)
    parts = facts.inspect_samples(samples, scale=Scale(0, 255))
    squares = list(facts.KEPT_APART)
    pd.testing.assert_frame_equal(parts.drop(columns=squares), whole.drop(columns=squares), check_dtype=False)
    for name in squares:
        there = whole[name].notna()
        assert parts[name].notna().equals(there)
        assert np.array_equal(np.stack(parts[name][there]), np.stack(whole[name][there]))


def test_thumbnails_and_small_masks_are_those_of_the_files_and_lie_in_a_file(phantoms):
    table = facts.inspect_samples(list_samples(phantoms), scale=Scale(0, 255))
    for row in (0, 11, 19):
        image, mask = read_image(table["image_path"][row], channels=3), read_mask(table["mask_path"][row])
        assert np.array_equal(np.asarray(table["thumbnail"][row]), make_thumbnail(image))
        assert np.asarray(table["small_mask"][row]).mean() == pytest.approx(mask.mean(), abs=1e-6)
    assert isinstance(table["thumbnail"][0].array, np.memmap)


def test_no_images_give_an_empty_table():
    table = facts.inspect_images(pd.DataFrame({"sample_id": [], "image_path": []}), scale=Scale(0, 255))
    assert table.columns.tolist() == ["sample_id", "image_path", "image_trouble"]
    assert table.empty
