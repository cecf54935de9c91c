import sys

import pytest

from seglib.machine import progress


@pytest.fixture(autouse=True)
def nobody(monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    monkeypatch.delenv("SEGLIB_WATCHED", raising=False)


@pytest.mark.parametrize(
    ("name", "value", "watched"),
    [
        ("JPY_SESSION_NAME", "02.ipynb", True),
        ("KAGGLE_KERNEL_RUN_TYPE", "Interactive", True),
        ("KAGGLE_KERNEL_RUN_TYPE", "Batch", False),
        ("SEGLIB_WATCHED", "1", True),
        ("OTHER", "1", False),
    ],
)
def test_a_bar_is_for_those_who_watch(monkeypatch, capsys, name, value, watched):
    monkeypatch.setenv(name, value)
    assert progress.is_watched() == watched
    assert list(progress.track([1, 2, 3], "counting")) == [1, 2, 3]
    said = capsys.readouterr()
    assert ("counting" in said.out + said.err) == watched
    assert ("counting" in said.out) == (name == "JPY_SESSION_NAME")  # where the lines of the cell are


def test_a_terminal_is_watched(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert progress.is_watched()
