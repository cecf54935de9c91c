import os
import tempfile

import numpy as np
import pandas as pd
import pytest

from seglib.errors import InputError
from seglib.machine.scratch import Row, create_array, open_scratch


def test_an_array_is_zero_and_keeps_what_is_written():
    array = open_scratch((3, 2, 2), np.float32)
    assert array.shape == (3, 2, 2)
    assert array.dtype == np.float32
    assert not array.any()
    array[1] = [[1, 2], [3, 4.5]]
    assert array.sum() == 10.5


def test_no_file_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    array = open_scratch((5, 7), np.uint8)
    array[:] = 1
    assert list(tmp_path.iterdir()) == []


def test_an_array_without_rows_is_empty():
    assert open_scratch((0, 64, 64), np.float32).shape == (0, 64, 64)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="no room can be reserved here")
def test_a_full_disk_is_said_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(InputError, match=rf"{tmp_path} has no room for a file of 9007199254.7 MB .*; .*TMPDIR"):
        open_scratch((2**20, 2**30), np.float64)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="no room can be reserved here")
def test_the_room_of_a_file_that_stays_is_taken_at_once(tmp_path, monkeypatch):
    array = create_array(tmp_path / "a.npy", (1000, 1000), np.uint8, cure="")
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= array.size
    array[1] = 7
    array.flush()
    assert np.load(tmp_path / "a.npy")[:3, 0].tolist() == [0, 7, 0]

    def refuse(file, start, size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(
        InputError, match=rf"{tmp_path} has no room for a file of 2\.0 MB \(No space .*\); free some, or pray"
    ):
        create_array(tmp_path / "b.npy", (1000, 1000), np.float16, cure="pray")
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


def test_rows_are_cells_of_a_table_and_stack_to_what_is_there_when_they_are_used():
    array = open_scratch((4, 2, 3), np.float32)
    table = pd.DataFrame([{"name": str(number), "cell": Row(array, number)} for number in range(4)])
    array[:] = np.arange(24).reshape(4, 2, 3)
    chosen = pd.concat([table[table["name"] != "1"], table[:1]], ignore_index=True)
    assert np.array_equal(np.stack(chosen["cell"]), array[[0, 2, 3, 0]])
    assert np.asarray(table["cell"][2], dtype=np.float64).dtype == np.float64


def test_a_row_gives_a_copy():
    array = open_scratch((2, 3), np.uint8)
    copy = np.asarray(Row(array, 0))
    assert copy.dtype == np.uint8
    copy[:] = 9
    assert not array.any()
