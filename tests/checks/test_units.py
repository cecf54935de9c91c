import numpy as np
import pandas as pd
import pytest

from seglib.checks.problems import inspect_data
from seglib.checks.units import judge_units
from seglib.commands.runs import check_data
from seglib.data.synthetic import write_phantoms
from seglib.images.reading import Scale, read_image

BYTES = Scale(0, 255)


def save(folder, *images):
    """A table of images as files of NumPy."""
    paths = [folder / f"{number}.npy" for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        np.save(path, image)
    return pd.DataFrame({"image_path": map(str, paths)})


@pytest.fixture
def picture():
    return np.linspace(0, 1, 64).reshape(8, 8)


@pytest.mark.parametrize("factor", [1, 1100, 65535])
def test_floats_up_to_1_and_values_far_beyond_white_are_in_another_unit(tmp_path, picture, factor):
    (problem,) = judge_units(save(tmp_path, *[picture * factor] * 3), BYTES)
    assert problem.file == tmp_path / "0.npy"
    assert problem.problem == "other unit"
    told = f"holds values from 0 to {factor:.4g}, where the training images have 0 for black and 255 for white"
    assert problem.fact.startswith(told)


@pytest.mark.parametrize("factor", [2, 100, 255, 900])
def test_darker_and_brighter_images_are_in_the_same_unit(tmp_path, picture, factor):
    assert judge_units(save(tmp_path, *[picture * factor] * 3), BYTES) == []


def test_black_may_lie_below_0(tmp_path, picture):
    hounsfield = Scale(-1000, 1000)
    assert judge_units(save(tmp_path, picture * 2000 - 1000), hounsfield) == []
    assert judge_units(save(tmp_path, picture * 7 - 1000), hounsfield) != []
    assert judge_units(save(tmp_path, picture * 9000 - 1000), hounsfield) != []


def test_half_of_the_images_are_not_most_and_those_of_one_value_or_8_bits_say_nothing(tmp_path, picture):
    assert judge_units(save(tmp_path, picture, picture, picture * 255, picture * 255), BYTES) == []
    assert judge_units(save(tmp_path, picture, picture, picture * 255), BYTES) != []
    assert judge_units(save(tmp_path, np.zeros((8, 8)), np.ones((8, 8))), BYTES) == []
    assert judge_units(save(tmp_path, (picture > 0.5).astype(np.uint8)), BYTES) == []
    assert judge_units(pd.DataFrame({"image_path": []}), BYTES) == []
    (tmp_path / "0.npy").write_bytes(b"")
    assert judge_units(pd.DataFrame({"image_path": [str(tmp_path / "0.npy")]}), BYTES) == []


def test_check_and_run_tell_test_images_in_another_unit(tmp_path, capsys):
    data = write_phantoms(tmp_path / "set", train=6, test=2)
    for path in list((data / "Test" / "Image").iterdir()):
        np.save(path.with_suffix(".npy"), read_image(path, channels=3) / np.float32(255))
        path.unlink()
    assert "other unit" in inspect_data(data).problems["problem"].tolist()
    check_data(data, with_test=True)
    assert "where the training images have 0 for black and 255 for white" in capsys.readouterr().out
