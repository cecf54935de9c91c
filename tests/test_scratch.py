import os
import tempfile

import numpy as np
import pandas as pd
import pytest

from seglib.errors import InputError
from seglib.scratch import Row, open_scratch


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
    with pytest.raises(InputError, match=rf"{tmp_path} has no room for a temporary file of 9007199.3 GB .*; .*TMPDIR"):
        open_scratch((2**20, 2**30), np.float64)


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
