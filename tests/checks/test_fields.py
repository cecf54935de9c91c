import shutil

import cv2
import numpy as np
import pytest

from seglib.checks.fields import find_field_of_view
from seglib.checks.problems import inspect_data, refuse_errors
from seglib.cli import main
from seglib.data.samples import list_samples
from seglib.data.synthetic import write_phantoms
from seglib.errors import InputError
from seglib.images.masks import read_mask
from seglib.trees.leftovers import find_unused


@pytest.fixture
def retinas(tmp_path):
    """Images whose masks are those of the field of view, as one folder of masks is called; the true ones lie beside."""
    data = write_phantoms(tmp_path / "set", train=6, test=0)
    shutil.copytree(data / "Train" / "Mask", data / "Train" / "manual1")
    for number, path in enumerate(sorted((data / "Train" / "Mask").iterdir())):
        height, width = read_mask(str(path)).shape
        middle, axes = (width // 2, height // 2), (width // 3 + number % 2, height // 3)
        circle = cv2.ellipse(np.zeros((height, width), np.uint8), middle, axes, 0, 0, 360, 255, -1)
        cv2.imwrite(str(path), circle)
    return data


def test_masks_that_are_all_alike_beside_others_stop(retinas, tmp_path, capsys):
    problems = inspect_data(retinas).problems.set_index("problem")
    assert problems.loc["field of view", ["file", "severity"]].tolist() == ["Train/Mask", "error"]
    cure = "if manual1 holds the masks that are meant, call it Mask and this one otherwise; if not, move it out of "
    assert problems.loc["field of view", "cure"] == f"{cure}{retinas / 'Train'}"
    assert problems.loc["not used", "file"] == "Train/manual1"
    with pytest.raises(InputError, match="Train/Mask holds masks that are the same in all images"):
        refuse_errors(problems.reset_index(), retinas)
    assert main(["run", "--data", str(retinas), "--out", str(tmp_path / "run"), "--only", "01"]) == 2
    said = capsys.readouterr()
    assert f"{retinas / 'Train' / 'manual1'} holds images that are not used" in said.out
    assert f"{retinas / 'Train' / 'Mask'} holds masks that are the same in all images" in said.err
    assert not (tmp_path / "run").exists()


def test_masks_that_differ_or_have_no_rival_are_those_that_are_meant(retinas):
    (retinas / "Train" / "manual1").rename(retinas / "manual1")  # beside Train, where no masks lie
    assert "field of view" not in set(inspect_data(retinas).problems["problem"])
    (retinas / "Train" / "Mask").rename(retinas / "Train" / "fov")
    (retinas / "manual1").rename(retinas / "Train" / "Mask")
    assert "field of view" not in set(inspect_data(retinas).problems["problem"])


def test_a_folder_of_fewer_images_is_no_rival(retinas):
    next((retinas / "Train" / "manual1").iterdir()).unlink()
    problems = inspect_data(retinas).problems
    assert "field of view" not in set(problems["problem"])
    assert "not used" in set(problems["problem"])


def test_where_no_mask_can_be_read_nothing_is_said(retinas):
    samples = list_samples(retinas)
    assert find_field_of_view(samples, find_unused(retinas)) == []
    assert find_field_of_view(samples.assign(mask_share=np.nan), find_unused(retinas)) == []
