import os
import shutil

import numpy as np
import pytest

from seglib import cache
from seglib.cache import build_cache
from seglib.errors import InputError
from seglib.images import read_image, read_mask, resize_image, resize_mask
from seglib.samples import list_samples

SIZE = {"size": 32, "channels": 3, "white": 255}


def test_rows_follow_the_table(phantoms, tmp_path):
    samples = list_samples(phantoms).iloc[::-1].reset_index(drop=True)
    stored = build_cache(samples, tmp_path, **SIZE)
    for row in (0, 7, 19):
        image = read_image(samples["image_path"][row], channels=3)
        assert np.array_equal(stored.images[row], resize_image(image, 32))
        assert np.array_equal(stored.masks[row], resize_mask(read_mask(samples["mask_path"][row]), 32))


def test_a_second_call_decodes_nothing(phantoms, tmp_path, monkeypatch):
    samples = list_samples(phantoms)
    first = build_cache(samples, tmp_path, **SIZE)
    monkeypatch.setattr(cache, "read_image", None)  # calling it would fail
    again = build_cache(samples, tmp_path, **SIZE)
    assert np.array_equal(first.images, again.images)


@pytest.mark.parametrize("change", [{"size": 64}, {"channels": 1}, {"white": 4095}])
def test_another_setting_is_another_cache(phantoms, tmp_path, change):
    samples = list_samples(phantoms)
    build_cache(samples, tmp_path, **SIZE)
    build_cache(samples, tmp_path, **{**SIZE, **change})
    assert len(list(tmp_path.iterdir())) == 2


def test_a_changed_file_is_noticed(phantoms, tmp_path):
    copy = shutil.copytree(phantoms, tmp_path / "copy")
    samples = list_samples(copy)
    before = build_cache(samples, tmp_path / "cache", **SIZE).images[0].copy()
    shutil.copy(samples["image_path"][1], samples["image_path"][0])
    os.utime(samples["image_path"][0], ns=(1, 1))
    assert not np.array_equal(before, build_cache(samples, tmp_path / "cache", **SIZE).images[0])


def test_a_file_changed_without_changing_its_size_is_noticed(phantoms, tmp_path):
    copy = shutil.copytree(phantoms, tmp_path / "copy")
    samples = list_samples(copy)
    build_cache(samples, tmp_path / "cache", **SIZE)
    os.utime(samples["mask_path"][0], ns=(1, 1))
    build_cache(samples, tmp_path / "cache", **SIZE)
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_build_that_fails_leaves_nothing(phantoms, tmp_path):
    copy = shutil.copytree(phantoms, tmp_path / "copy")
    samples = list_samples(copy)
    with open(samples["image_path"][5], "r+b") as file:
        file.truncate(200)
    with pytest.raises(InputError):
        build_cache(samples, tmp_path / "cache", **SIZE)
    assert list((tmp_path / "cache").iterdir()) == []
