import os
import threading
import time

import pytest

from seglib.threads import AHEAD, map_ahead


def test_results_come_in_the_order_of_the_things_whichever_is_done_first():
    def late_if_even(number):
        time.sleep(0.01 * (number % 2 == 0))
        return number

    assert list(map_ahead(late_if_even, range(9))) == list(range(9))


def test_things_are_taken_only_a_little_ahead():
    taken = []
    results = map_ahead(abs, (taken.append(number) or number for number in range(10_000)))
    assert next(results) == 0
    assert len(taken) == AHEAD * os.cpu_count()
    results.close()


def test_two_things_are_worked_on_at_once(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    both = threading.Barrier(2, timeout=10)
    assert sorted(map_ahead(lambda _: both.wait(), range(2))) == [0, 1]


def test_an_exception_comes_out_and_what_waited_is_not_begun(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    begun = []

    def fail_at_two(number):
        begun.append(number)
        time.sleep(0.01)
        return 1 / (number - 2)

    with pytest.raises(ZeroDivisionError):
        list(map_ahead(fail_at_two, range(1000)))
    assert len(begun) < AHEAD


def test_nothing_gives_nothing():
    assert list(map_ahead(abs, [])) == []
