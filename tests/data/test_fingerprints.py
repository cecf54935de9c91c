import shutil

import numpy as np
import pandas as pd
import pytest

from seglib.data.fingerprints import fingerprint_data, fingerprint_rows, read_measured, write_measured
from seglib.data.samples import list_samples
from seglib.images.mask_files import list_files


def fingerprint(data_dir):
    return fingerprint_data(list_files(list_samples(data_dir)))


@pytest.fixture
def copy(phantoms, tmp_path):
    return shutil.copytree(phantoms, tmp_path / "elsewhere" / "copy")


def test_a_set_is_known_again_wherever_it_lies_and_however_it_is_listed(phantoms, copy):
    assert fingerprint(copy) == fingerprint(phantoms)
    files = list_files(list_samples(copy))
    assert fingerprint_data(files[::-1]) == fingerprint_data(files)


def test_a_mask_of_the_same_size_with_one_other_bit_is_another_set(copy):
    before = fingerprint(copy)
    path = sorted((copy / "Train" / "Mask").iterdir())[3]
    held = bytearray(path.read_bytes())
    held[-1] ^= 1
    path.write_bytes(held)
    assert fingerprint(copy) != before


def test_exchanged_images_are_another_set(copy):
    """Names count, for they say which mask belongs to which image."""
    before = fingerprint(copy)
    first, second, *_ = sorted((copy / "Train" / "Image").iterdir())
    held = first.read_bytes(), second.read_bytes()
    first.write_bytes(held[1])
    second.write_bytes(held[0])
    assert fingerprint(copy) != before


def test_what_was_measured_is_read_again_only_for_the_same_samples_as_they_are(tmp_path):
    files = [tmp_path / name for name in ("a.png", "b.png")]
    for number, path in enumerate(files):
        path.write_text(str(number))
    held = fingerprint_rows(["001", "NA"], [[str(path)] for path in files])
    table = pd.DataFrame({"x": [0.5, np.nan]}, index=held.index)
    assert read_measured(tmp_path / "t.csv", held) is None
    write_measured(tmp_path / "t.csv", table, held)
    pd.testing.assert_frame_equal(read_measured(tmp_path / "t.csv", held), table)
    assert read_measured(tmp_path / "t.csv", held[::-1]) is None
    files[1].write_text("2")
    assert read_measured(tmp_path / "t.csv", fingerprint_rows(["001", "NA"], [[str(path)] for path in files])) is None
    (tmp_path / "t.csv").write_text("sample_id,x\n001,0.5\nNA,\n")  # of before
    assert read_measured(tmp_path / "t.csv", held) is None


def test_a_known_value(tmp_path):
    """Computed by sha256sum: of "Image/x.png " and the first 32 digits of the hash of "1"."""
    (tmp_path / "Image").mkdir()
    (tmp_path / "Image" / "x.png").write_text("1")
    assert fingerprint_data([str(tmp_path / "Image" / "x.png")]) == "sha256:622bd625882fdf89c7d296131c42f6d5"
