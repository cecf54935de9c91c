import shutil

import cv2
import numpy as np
import pandas as pd
import pytest

from seglib.errors import InputError
from seglib.images.reading import Scale
from seglib.models.networks import build_model
from seglib.prediction import probabilities, reruns
from seglib.prediction.probabilities import predict_member_maps
from seglib.prediction.reruns import describe_failures, list_requested, predict_requested


@pytest.fixture
def data(phantoms, tmp_path):
    return shutil.copytree(phantoms, tmp_path / "data")


@pytest.fixture
def rerun(monkeypatch):
    monkeypatch.setenv("KAGGLE_IS_COMPETITION_RERUN", "1")


@pytest.fixture
def members(tiny):
    return [(build_model(tiny), tiny), (build_model(tiny), tiny)]


def ask_for(data, *ids):
    (data / "sample_submission.csv").write_text("id,rle\n" + "".join(f"{name},\n" for name in ids))


def test_a_rerun_predicts_what_the_template_asks_for_in_that_set_alone(data, rerun):
    ask_for(data, "test_0002.png", "gone", "test_0000")
    images, failures = list_requested(data, scale=Scale(0, 255))
    assert images["sample_id"].tolist() == ["test_0000", "test_0002"]
    assert {"height", "width"} <= set(images)
    assert failures == {"gone": "is not among the test images"}


def test_a_rerun_without_a_template_predicts_all_there_is(data, rerun):
    images, failures = list_requested(data, scale=Scale(0, 255))
    assert len(images) == 4
    assert failures == {}


@pytest.mark.parametrize("hidden", [False, True])
def test_deep_test_images_are_measured_by_the_white_of_the_run(data, monkeypatch, hidden):
    if hidden:
        monkeypatch.setenv("KAGGLE_IS_COMPETITION_RERUN", "1")
    path = next((data / "Test" / "Image").glob("test_0002.png"))
    cv2.imwrite(str(path), np.full((20, 30), 1000, np.uint16))
    images, _ = list_requested(data, scale=Scale(0, 4000))
    assert images["green"][2] == pytest.approx(1000 / 4000 * 255, abs=0.5)


def test_a_file_cut_short_is_a_failure_in_a_rerun_and_an_error_elsewhere(data, rerun, monkeypatch):
    path = next((data / "Test" / "Image").glob("test_0001.*"))
    path.write_bytes(path.read_bytes()[:100])
    images, failures = list_requested(data, scale=Scale(0, 255))
    assert images["sample_id"].tolist() == ["test_0000", "test_0002", "test_0003"]
    assert list(failures) == ["test_0001"]
    assert failures["test_0001"].startswith(f"{path} ")
    assert "Problem(" not in describe_failures(failures, 4)
    monkeypatch.delenv("KAGGLE_IS_COMPETITION_RERUN")
    with pytest.raises(InputError, match=path.name):
        list_requested(data, scale=Scale(0, 255))


def test_a_rerun_survives_that_there_are_no_test_images_and_none_are_asked_for(data, rerun, members):
    shutil.rmtree(data / "Test")
    ask_for(data)
    images, failures = list_requested(data, scale=Scale(0, 255))
    assert len(images) == 0
    assert failures == {}
    assert list(predict_requested(members, images, failures)) == []


def test_a_rerun_that_has_none_of_all_images_that_are_asked_for_fails(data, rerun):
    ask_for(data, "test_0000.jpg_1", "test_0000.jpg_2")
    with pytest.raises(
        InputError, match=r"asks for none .* but for test_0000.jpg_1, and the first of 4 .* is test_0000;"
    ):
        list_requested(data, scale=Scale(0, 255))
    shutil.rmtree(data / "Test")
    with pytest.raises(InputError, match="and there are no test images; name the folder"):
        list_requested(data, scale=Scale(0, 255))


def test_one_image_that_cannot_be_predicted_costs_no_other(data, rerun, members, monkeypatch):
    images, failures = list_requested(data, scale=Scale(0, 255))
    whole = dict(predict_requested(members, images, failures))
    assert failures == {}
    read = probabilities.read_resized

    def fail_for_one(path, size, **kwargs):
        if "test_0002" in str(path):
            raise MemoryError("too large")
        return read(path, size, **kwargs)

    monkeypatch.setattr(probabilities, "read_resized", fail_for_one)
    rest = dict(predict_requested(members, images, failures))
    assert failures == {"test_0002": "MemoryError: too large"}
    assert list(rest) == ["test_0000", "test_0001", "test_0003"]
    for name, maps in rest.items():
        np.testing.assert_array_equal(maps, whole[name])
    monkeypatch.delenv("KAGGLE_IS_COMPETITION_RERUN")
    with pytest.raises(MemoryError):
        list(predict_requested(members, images, {}))


def test_a_rerun_predicts_what_is_predicted_elsewhere(data, rerun, members):
    images, _ = list_requested(data, scale=Scale(0, 255))
    found = dict(predict_requested(members, images, {}))
    for name, maps in zip(images["sample_id"], predict_member_maps(members, list(images["image_path"])), strict=True):
        np.testing.assert_array_equal(found[name], maps)


def test_failures_are_counted_aloud_and_a_few_are_named():
    said = describe_failures({str(number): "is gone" for number in range(7)}, 9)
    assert said.startswith("7 of 9 images could not be predicted and got an empty mask: 0 (is gone), 1 (is gone)")
    assert said.endswith("4 (is gone) and 2 more")
    assert describe_failures({}, 9) == "all of 9 images were predicted"


def test_nothing_is_trained_in_a_rerun(rerun, tiny, tmp_path):
    from seglib.training.members import fit_members

    with pytest.raises(InputError, match="hidden rerun, in which nothing is trained; submit the kernel of 05"):
        fit_members(pd.DataFrame(), pd.DataFrame(), tiny, tmp_path, tmp_path)
    assert reruns.is_hidden_rerun()
