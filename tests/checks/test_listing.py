import shutil
from pathlib import Path

import numpy as np
import pytest
from faults import plant_faults, rows_of, write

from seglib.checks.listing import KINDS, describe_problems, list_left_out, make_table
from seglib.checks.problems import inspect_data
from seglib.data.samples import list_samples
from seglib.data.synthetic import write_phantoms
from seglib.data.unseen import list_test_images
from seglib.errors import InputError, Problem
from seglib.images.masks import read_mask


@pytest.fixture
def copy(clean, tmp_path):
    return shutil.copytree(clean, tmp_path / "copy")


def test_what_is_left_out_is_not_looked_at_again(tmp_path):
    data = write_phantoms(tmp_path / "set", train=90, test=12, seed=3)
    plant_faults(data)
    first = inspect_data(data).problems
    with pytest.raises(InputError):
        list_samples(data)
    list_left_out(first, data).to_csv(data / "leave_out.csv", index=False)
    second = inspect_data(data).problems
    still = second[[KINDS[kind].left_out for kind in second["problem"]]]
    assert still["file"].tolist() == ["Test/Image/test_0000.jpg"]  # a submission needs every test image
    assert len(list_samples(data)) == len(inspect_data(data).samples)


def test_an_image_goes_with_its_mask_and_what_needs_only_a_look_stays(copy):
    samples = list_samples(copy)
    open(samples["mask_path"][3], "wb").close()
    write(samples["mask_path"][5], 0 * read_mask(samples["mask_path"][5]))
    left_out = list_left_out(inspect_data(copy).problems, copy)
    stem = samples["sample_id"][3]
    assert left_out["problem"].tolist() == ["empty file"] * 2
    assert sorted(file.split("/")[1] for file in left_out["file"]) == ["Image", "Mask"]
    assert all(stem in file for file in left_out["file"])


def test_an_array_does_not_take_the_place_of_a_picture_that_is_left_out(copy):
    image = Path(list_samples(copy)["image_path"][3])
    image.write_bytes(b"")
    np.save(image.with_suffix(".npy"), np.zeros((40, 40), np.uint8))
    list_left_out(inspect_data(copy).problems, copy).to_csv(copy / "leave_out.csv", index=False)
    assert not (inspect_data(copy).problems["severity"] == "error").any()
    assert image.stem not in list_samples(copy)["sample_id"].tolist()
    (copy / "leave_out.csv").unlink()
    image.rename(image.with_suffix(".nii"))  # of two arrays one is kept
    left_out = list_left_out(inspect_data(copy).problems, copy)
    assert left_out[left_out["problem"] == "same name"]["file"].tolist() == [f"Train/Image/{image.stem}.npy"]


def test_test_images_are_never_left_out(copy):
    path = sorted((copy / "Test" / "Image").iterdir())[0]
    open(path, "wb").close()
    table = inspect_data(copy).problems
    assert table["file"][0] == f"Test/Image/{path.name}"
    assert list_left_out(table, copy).empty


def test_what_a_list_leaves_out_of_the_test_images_stops_nothing_any_more(copy):
    images = sorted((copy / "Test" / "Image").iterdir())
    twin = images[0].with_suffix(".bmp")
    twin.write_bytes(images[0].read_bytes())
    (copy / "Test" / "Image" / "photo.heic").touch()
    for times in range(2):
        table = inspect_data(copy).problems
        assert table["problem"].isin(["same name", "unread format"]).sum() == (0 if times else 2)
        left_out = list_left_out(table, copy)
        assert sorted(left_out["problem"]) == ["same name", "unread format"]
        left_out.to_csv(copy / "leave_out.csv", index=False)
    assert len(list_test_images(copy)) == len(images)


def test_a_note_is_what_many_masks_have(tmp_path):
    found = [Problem(tmp_path / f"{n}.png", "touches the border", "touches", "nothing") for n in range(3)]
    assert set(make_table(found, tmp_path, images=31)["severity"]) == {"warning"}
    assert set(make_table(found, tmp_path, images=29)["severity"]) == {"note"}
    errors = [Problem(tmp_path / f"{n}.png", "no mask", "has no mask", "add it") for n in range(9)]
    assert set(make_table(errors, tmp_path, images=9)["severity"]) == {"error"}


def test_files_are_named_as_seen_from_the_folder(copy):
    path = list_samples(copy)["mask_path"][0]
    write(path, 0 * read_mask(path))
    row = rows_of(copy, "empty mask").iloc[0]
    assert (copy / row["file"]).samefile(path)


def test_the_words_count_and_name_a_few(tmp_path):
    found = [Problem(tmp_path / f"{n}.png", "no mask", "has no mask", f"add {n}") for n in range(7)]
    words = describe_problems(make_table(found, tmp_path, images=7)).splitlines()
    assert words[0] == "error: no mask (7)"
    assert words[1] == "  0.png has no mask; add 0"
    assert words[-2:] == ["  and 2 more (--json lists all)", "7 errors"]
    assert describe_problems(make_table([], tmp_path, images=7)) == "no problems found"
