import os
import shutil

import cv2
import numpy as np
import pandas as pd
import pytest

from seglib.batches import cache
from seglib.batches.cache import build_cache
from seglib.data import fingerprints
from seglib.data.samples import list_samples
from seglib.errors import InputError
from seglib.images.masks import read_mask, resize_mask
from seglib.images.reading import Scale, read_image, resize_image

SIZE = {"size": 32, "channels": 3, "scale": Scale(0, 255)}


def caches(folder):
    return [path for path in folder.iterdir() if path.name != cache.KNOWN_NAME]


def test_rows_follow_the_table(phantoms, tmp_path):
    samples = list_samples(phantoms).iloc[::-1].reset_index(drop=True)
    stored = build_cache(samples, tmp_path, **SIZE)
    for row in (0, 7, 19):
        image = read_image(samples["image_path"][row], channels=3)
        assert np.array_equal(stored.images[row], resize_image(image, 32))
        assert np.array_equal(stored.masks[row], resize_mask(read_mask(samples["mask_path"][row]), 32))


def test_a_second_call_reads_no_file(phantoms, tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprints, "SETTLED", 0)
    samples = list_samples(phantoms)
    first = build_cache(samples, tmp_path, **SIZE)
    for module, name in ((cache, "read_resized"), (fingerprints, "_digest")):
        monkeypatch.setattr(module, name, None)  # calling it would fail
    again = build_cache(samples, tmp_path, **SIZE)
    assert np.array_equal(first.images, again.images)


@pytest.mark.parametrize(
    "change", [{"size": 64}, {"channels": 1}, {"scale": Scale(0, 4095)}, {"scale": Scale(-9, 255)}]
)
def test_another_setting_is_another_cache(phantoms, tmp_path, change):
    samples = list_samples(phantoms)
    build_cache(samples, tmp_path, **SIZE)
    build_cache(samples, tmp_path, **{**SIZE, **change})
    assert len(caches(tmp_path)) == 2


@pytest.fixture
def copy(phantoms, tmp_path):
    return shutil.copytree(phantoms, tmp_path / "copy")


@pytest.fixture
def settled(monkeypatch):
    """Files count as old enough to be remembered."""
    monkeypatch.setattr(fingerprints, "SETTLED", -60)


def exchange_bytes(path):
    """Other bytes, the same size, and the old time of writing, as a copy that keeps times leaves them."""
    status, data = os.stat(path), bytearray(open(path, "rb").read())
    data[-1] ^= 1  # of the check sum behind the pixels, which nobody reads
    with open(path, "wb") as file:
        file.write(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_changed_file_is_noticed(copy, tmp_path, settled):
    samples = list_samples(copy)
    before = build_cache(samples, tmp_path / "cache", **SIZE).images[0].copy()
    for column in ("image_path", "mask_path"):
        shutil.copy(samples[column][1], samples[column][0])
    os.utime(samples["image_path"][0], ns=(1, 1))
    assert not np.array_equal(before, build_cache(samples, tmp_path / "cache", **SIZE).images[0])


@pytest.mark.parametrize("column", ["image_path", "mask_path"])
def test_bytes_exchanged_behind_an_old_time_and_size_are_noticed(copy, tmp_path, settled, column):
    samples = list_samples(copy)
    build_cache(samples, tmp_path / "cache", **SIZE)
    exchange_bytes(samples[column][2])
    build_cache(samples, tmp_path / "cache", **SIZE)
    assert len(caches(tmp_path / "cache")) == 2


def test_a_file_written_just_before_is_read_again_as_its_times_may_not_tell(copy, tmp_path, monkeypatch):
    samples = list_samples(copy)
    for column in ("image_path", "mask_path"):
        for path in samples[column]:
            os.utime(path)
    build_cache(samples, tmp_path / "cache", **SIZE)
    read = []
    monkeypatch.setattr(fingerprints, "_digest", lambda path: read.append(path) or "0")
    build_cache(samples, tmp_path / "cache", **SIZE)
    assert len(read) == 40


def test_only_a_touched_file_is_read_again_and_nothing_is_decoded(copy, tmp_path, settled, monkeypatch):
    samples, read = list_samples(copy), []
    first = build_cache(samples, tmp_path / "cache", **SIZE)
    os.utime(samples["mask_path"][3])
    digest = fingerprints._digest
    monkeypatch.setattr(fingerprints, "_digest", lambda path: read.append(path) or digest(path))
    monkeypatch.setattr(cache, "read_resized", None)
    assert np.array_equal(build_cache(samples, tmp_path / "cache", **SIZE).masks, first.masks)
    assert read == [samples["mask_path"][3]]
    assert len(pd.read_csv(tmp_path / "cache" / cache.KNOWN_NAME)) == 40


def test_a_moved_data_set_is_not_decoded_again(copy, tmp_path, settled, monkeypatch):
    build_cache(list_samples(copy), tmp_path / "cache", **SIZE)
    copy.rename(tmp_path / "moved")
    monkeypatch.setattr(cache, "read_resized", None)
    build_cache(list_samples(tmp_path / "moved"), tmp_path / "cache", **SIZE)
    known = pd.read_csv(tmp_path / "cache" / cache.KNOWN_NAME)
    assert len(known) == 40  # the old places are forgotten
    assert known["path"].str.contains("moved").all()


def test_data_sets_that_share_a_folder_do_not_forget_each_other(phantoms, copy, tmp_path, settled, monkeypatch):
    for folder in (phantoms, copy):
        build_cache(list_samples(folder), tmp_path / "cache", **SIZE)
    monkeypatch.setattr(fingerprints, "_digest", None)
    for folder in (phantoms, copy):
        build_cache(list_samples(folder), tmp_path / "cache", **SIZE)
    assert len(caches(tmp_path / "cache")) == 1  # they hold the same


def test_a_folder_that_may_only_be_read_is_used(phantoms, tmp_path, settled, monkeypatch):
    first = build_cache(list_samples(phantoms), tmp_path, **SIZE)
    (tmp_path / cache.KNOWN_NAME).unlink()

    def refuse(path, text):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(fingerprints, "write_text", refuse)
    assert np.array_equal(build_cache(list_samples(phantoms), tmp_path, **SIZE).images, first.images)


def test_who_waits_for_a_lock_and_who_comes_later_hold_one(tmp_path, monkeypatch):
    """The lock is removed between opening and holding it, as by who held it: it is opened anew."""
    path, opened = tmp_path / ".x.lock", []
    lock = cache._lock

    def lose_the_first(place):
        opened.append(lock(place))
        if len(opened) == 1:
            place.unlink()
        return opened[-1]

    monkeypatch.setattr(cache, "_lock", lose_the_first)
    with cache._one_at_a_time(path):
        assert len(opened) == 2
        assert os.path.samestat(os.fstat(opened[1].fileno()), path.stat())
    assert not path.exists()
    assert all(file.closed for file in opened)


def test_samples_in_another_order_are_another_cache(phantoms, tmp_path):
    samples = list_samples(phantoms)
    build_cache(samples, tmp_path, **SIZE)
    reverse = samples.iloc[::-1].reset_index(drop=True)
    assert np.array_equal(
        build_cache(reverse, tmp_path, **SIZE).images[0], build_cache(samples, tmp_path, **SIZE).images[-1]
    )


COLUMNS = "path,size,modified,changed,sha256\n"


@pytest.mark.parametrize(
    "damage", ["", "not,a\ntable", "path,size\nx,1\n", f"{COLUMNS}x,y,z,1,2\n", COLUMNS + 2 * "x,1,1,1,1\n"]
)
def test_a_damaged_list_of_known_files_is_made_anew(phantoms, tmp_path, settled, damage):
    (tmp_path / cache.KNOWN_NAME).write_text(damage)
    build_cache(list_samples(phantoms), tmp_path, **SIZE)
    assert len(pd.read_csv(tmp_path / cache.KNOWN_NAME)) == 40


def test_a_build_that_fails_leaves_nothing(copy, tmp_path):
    samples = list_samples(copy)
    with open(samples["image_path"][5], "r+b") as file:
        file.truncate(200)
    with pytest.raises(InputError):
        build_cache(samples, tmp_path / "cache", **SIZE)
    assert caches(tmp_path / "cache") == []


def test_what_a_killed_build_left_is_removed(phantoms, tmp_path):
    samples = list_samples(phantoms)
    build_cache(samples, tmp_path, **SIZE)
    (place,) = caches(tmp_path)
    place.rename(tmp_path / f".{place.name}.12345.part")
    build_cache(samples, tmp_path, **SIZE)
    assert caches(tmp_path) == [place]


def test_where_a_file_system_has_no_locks_a_cache_is_built_and_nothing_of_others_removed(
    phantoms, tmp_path, monkeypatch
):
    def refuse(*_):
        raise OSError(38, "Function not implemented")

    samples = list_samples(phantoms)
    build_cache(samples, tmp_path, **SIZE)
    (place,) = caches(tmp_path)
    part = place.rename(tmp_path / f".{place.name}.12345.part")  # another process may be writing it
    monkeypatch.setattr(cache.fcntl, "flock", refuse)
    build_cache(samples, tmp_path, **SIZE)
    assert set(caches(tmp_path)) == {place, part}


def test_a_disk_that_is_full_is_said_and_leaves_no_cache(phantoms, tmp_path, monkeypatch):
    def refuse(file, start, size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    with pytest.raises(
        InputError, match=r"no room for a file of 0\.1 MB \(No space left .*; free some, or set SEGLIB_CACHE"
    ):
        build_cache(list_samples(phantoms), tmp_path, **SIZE)
    assert caches(tmp_path) == []


def test_a_folder_in_which_no_cache_can_be_kept_is_said_with_the_cure(phantoms, tmp_path, monkeypatch):
    samples, cure = list_samples(phantoms), "; set SEGLIB_CACHE to another folder$"
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "cache"):
        with pytest.raises(InputError, match=rf"^no images can be kept in {place} \((File exists|Not a dir.*)\){cure}"):
            build_cache(samples, place, **SIZE)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(cache, "open", refuse, raising=False)  # of a folder of somebody else
    with pytest.raises(InputError, match=rf"^no images can be kept in {tmp_path} \(Permission denied\){cure}"):
        build_cache(samples, tmp_path, **SIZE)


def test_a_mask_of_another_size_than_its_image_is_named_and_leaves_no_cache(phantoms, tmp_path):
    samples = list_samples(phantoms)[:3]
    mask = read_mask(samples["mask_path"][1])
    cv2.imwrite(str(tmp_path / "small.png"), mask[:-1] * 255)
    samples.loc[1, "mask_path"] = str(tmp_path / "small.png")
    height, width = mask.shape
    words = f"small.png is {width} x {height - 1} pixels but its image is {width} x {height}; export the mask"
    with pytest.raises(InputError, match=words):
        build_cache(samples, tmp_path / "cache", **SIZE)
    assert not caches(tmp_path / "cache")
