import os

import pytest

from seglib import writing
from seglib.errors import InputError


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "table.csv"
    writing.write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        writing.write_text(path, "half \ud800")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.csv"]


def test_a_folder_that_is_named_instead_of_a_file_is_told_as_such(tmp_path):
    with pytest.raises(InputError) as error:
        writing.write_text(tmp_path, "text")
    assert str(error.value) == f"{tmp_path} is a folder; name a file to write"
    assert list(tmp_path.iterdir()) == []


def write_folder(part):
    part.mkdir()
    (part / "one.txt").write_text("new")


def write_file(part):
    part.write_text("new")


@pytest.mark.parametrize("write", [write_file, write_folder])
def test_what_is_written_whole_appears_at_its_end_and_under_no_name_before(tmp_path, write):
    path = tmp_path / "made.csv"
    with writing.write_whole(path) as part:
        write(part)
        assert not path.exists()
        assert list(tmp_path.glob("*.csv")) == []  # glob, unlike a shell, finds hidden files
    assert [entry.name for entry in tmp_path.iterdir()] == ["made.csv"]


@pytest.mark.parametrize("write", [write_file, write_folder, lambda part: None])
def test_a_failure_within_leaves_the_old_file_and_nothing_beside_it(tmp_path, write):
    path = tmp_path / "made.csv"
    path.write_text("old")

    def fail():
        with writing.write_whole(path) as part:
            write(part)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["made.csv"]


def test_a_folder_that_was_filled_meanwhile_is_not_replaced(tmp_path):
    path = tmp_path / "made"

    def write_late():
        with writing.write_whole(path) as part:
            write_folder(part)
            path.mkdir()
            (path / "old.txt").touch()

    with pytest.raises(OSError, match="not empty"):
        write_late()
    assert [str(entry.relative_to(tmp_path)) for entry in sorted(tmp_path.rglob("*"))] == ["made", "made/old.txt"]


def test_two_that_write_one_file_do_not_write_into_one_another_whatever_their_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 7)  # of two machines, say
    path = tmp_path / "known.csv"
    with writing.write_whole(path) as first, writing.write_whole(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"


def test_what_killed_processes_left_is_removed_by_its_name_and_nothing_else(tmp_path):
    for name in (".a.ckpt.12345.part", ".b.ckpt.1.part", ".a.csv.12345.part", "a.ckpt", ".c.ckpt.part"):
        (tmp_path / name).touch()
    (tmp_path / ".d.ckpt.2.part" / "inside").mkdir(parents=True)
    writing.remove_parts(tmp_path, "*.ckpt")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".a.csv.12345.part", ".c.ckpt.part", "a.ckpt"]
