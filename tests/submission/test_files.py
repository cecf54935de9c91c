from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seglib.errors import InputError
from seglib.submission.files import (
    check_submission,
    check_template,
    find_template,
    hand_in,
    read_submission,
    write_submission,
)
from seglib.submission.run_lengths import encode_rle

MASK = np.array([[0, 1, 1], [0, 1, 0]])  # columns: 00 11 10, rows: 011 010


def test_without_a_template_rows_are_sorted_by_id(tmp_path):
    write_submission(tmp_path / "s.csv", {"b": "1 2", "a": ""})
    assert (tmp_path / "s.csv").read_text() == "id,rle\na,\nb,1 2\n"


@pytest.mark.parametrize("ending", ["", ".jpg"])
def test_a_template_gives_columns_order_and_ids(tmp_path, ending):
    (tmp_path / "t.csv").write_text(f"ImageId,EncodedPixels\nb{ending},1 1\na{ending},\n")
    write_submission(tmp_path / "s.csv", {"a": "3 3", "b": ""}, template=tmp_path / "t.csv")
    assert (tmp_path / "s.csv").read_text() == f"ImageId,EncodedPixels\nb{ending},\na{ending},3 3\n"


def test_images_that_a_template_leaves_out_come_last(tmp_path):
    (tmp_path / "t.csv").write_text("id,rle\nc,\n")
    write_submission(tmp_path / "s.csv", {"b": "", "a": "", "c": ""}, template=tmp_path / "t.csv")
    assert pd.read_csv(tmp_path / "s.csv")["id"].tolist() == ["c", "a", "b"]


def test_a_template_that_asks_for_an_unknown_image_is_refused_and_nothing_is_written(tmp_path):
    (tmp_path / "t.csv").write_text("id,rle\nz,\n")
    with pytest.raises(InputError, match=r"t\.csv asks for 'z'"):
        write_submission(tmp_path / "s.csv", {"a": ""}, template=tmp_path / "t.csv")
    assert not (tmp_path / "s.csv").exists()


def test_the_template_is_found_in_any_case(tmp_path):
    assert find_template(tmp_path) is None
    (tmp_path / "Sample_Submission.csv").touch()
    assert find_template(tmp_path) == tmp_path / "Sample_Submission.csv"


def test_at_home_the_template_may_lie_beside_the_data_and_no_further(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    data = tmp_path / "set" / "data"
    data.mkdir(parents=True)
    (tmp_path / "sample_submission.csv").touch()
    assert find_template(data) is None
    beside, own = tmp_path / "set" / "sample_submission.csv", data / "sample_submission.csv"
    beside.write_text("ImageId,rle\na,\n")
    assert find_template(data) == beside
    monkeypatch.chdir(data)
    assert find_template(Path(".")) == beside
    write_submission(data / "s.csv", {"a": "1 1"}, template=beside)
    assert capsys.readouterr().out == f"in the order and with the columns of {beside}\n"
    own.touch()
    assert find_template(data) == own


def test_a_template_beside_the_data_of_another_set_is_passed_over_with_a_word(tmp_path, monkeypatch):
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    data, beside, lines = tmp_path / "data", tmp_path / "sample_submission.csv", []
    data.mkdir()
    beside.write_text("ImageId,EncodedPixels,other\nx.jpg,,\ny.jpg,,\n")
    assert find_template(data, {"a", "b"}, say=lines.append) is None
    assert lines == [f"{beside} asks for none of the test images, so it is passed over"]
    assert find_template(data, {"a", "x"}, say=lines.append) == beside
    assert find_template(data) == beside
    for text in ("ImageId,EncodedPixels\n", "only\na\n"):  # an order of columns alone; no template, which is told later
        beside.write_text(text)
        assert find_template(data, {"a", "b"}, say=lines.append) == beside
    beside.rename(data / beside.name)
    (data / beside.name).write_text("ImageId,EncodedPixels\nx,\n")
    assert find_template(data, {"a", "b"}, say=lines.append) == data / beside.name
    assert len(lines) == 1


def test_on_kaggle_the_template_is_looked_for_up_to_the_mount(tmp_path, monkeypatch):
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setattr("seglib.machine.mounts.INPUTS", tmp_path / "input")
    data = tmp_path / "input" / "competitions" / "slug" / "a" / "b"
    data.mkdir(parents=True)
    (tmp_path / "input" / "sample_submission.csv").touch()
    assert find_template(data) is None
    (data.parents[1] / "sample_submission.csv").touch()
    assert find_template(data) == data.parents[1] / "sample_submission.csv"
    made = tmp_path / "working" / "data"
    made.mkdir(parents=True)
    (made.parent / "sample_submission.csv").touch()
    assert find_template(made) == made.parent / "sample_submission.csv"


def test_ids_that_look_like_numbers_or_nothing_keep_their_text(tmp_path):
    write_submission(tmp_path / "s.csv", {"007": "1 1", "NA": "", "null": "2 2"})
    assert read_submission(tmp_path / "s.csv") == {"007": "1 1", "NA": "", "null": "2 2"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,rle\na,1 1\n", "disagree about b"),
        ("id,rle\na,1 1\nb,\nc,\n", "disagree about c"),
        ("id,rle\na,1 1 2 1\nb,\n", "row a: runs touch"),
        ("id,rle\na,-1\nb,\n", "row a: run lengths come in pairs"),
        ("id,rle\na,7 1\nb,\n", "row a: a run leaves the image of 6 pixels; the mask is 2 x 3"),
        ("id,rle\na,1 1\na,2 2\nb,\n", "two rows for a"),
        ("id,rle\na,1 1\na.png,\nb,\n", "two rows for one image, a and a.png; keep one"),
        ("id\na\nb\n", "has 1 column"),
        ("", "not a CSV file"),
    ],
)
def test_a_submission_is_checked_before_anybody_uploads_it(tmp_path, text, words):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        check_submission(tmp_path / "s.csv", {"a": (2, 3), "b": (2, 3)})


def test_a_good_submission_passes_in_its_own_order_only(tmp_path):
    write_submission(tmp_path / "s.csv", {"a": encode_rle(np.ones((2, 3)), zero_based=True)})
    check_submission(tmp_path / "s.csv", {"a": (2, 3)}, zero_based=True)
    with pytest.raises(InputError, match="row a"):
        check_submission(tmp_path / "s.csv", {"a": (2, 3)})


def test_a_missing_submission_is_named(tmp_path):
    with pytest.raises(InputError, match=r"there is no file .*s\.csv"):
        read_submission(tmp_path / "s.csv")


def test_on_kaggle_and_nowhere_else_a_copy_lies_where_code_competitions_look(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "submission.csv").write_text("id,rle\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    assert hand_in(tmp_path / "run" / "submission.csv") is None
    assert not (tmp_path / "submission.csv").exists()
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    assert hand_in(tmp_path / "run" / "submission.csv").read_text() == "id,rle\n"
    assert (tmp_path / "submission.csv").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,rle\na,1 2,\n", "has more commas in its rows than in its head"),
        ("id;rle\na;\n", r"has 1 column\(s\); write commas between its columns"),
        ("id,class,rle\na,1,\n", "has 3 columns, and a mask fills one beside the id"),
        ("rle,id\n,a\n", "asks for '', which is not among the test images"),
        ("id,rle\na.jpg_1,\n", "asks for 'a.jpg_1', which"),
        ("id,rle\na,\na.png,\n", "two rows for one image, a and a.png"),
        ("id,rle\na,\na,\nb,\n", r"sample_submission\.csv lists 'a' twice; keep one of the rows"),
        (f"rle,id\n{'1 2 ' * 99},a\n", "asks for '1 2 [1 2]{30,33}[.]{3}', which"),
    ],
)
def test_a_template_that_cannot_be_filled_is_named(tmp_path, text, words):
    path = tmp_path / "sample_submission.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        check_template(path, {"a", "b"})
    path.write_text("id,rle\na.png,\n")
    assert check_template(path, {"a", "b"}) == (["id", "rle"], ["a.png"])
