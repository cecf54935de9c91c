import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from seglib.machine.ahead import AHEAD, map_ahead, map_on_cores


@pytest.fixture
def pool():
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.mark.parametrize("ahead", [1, 3, 100])
def test_what_is_done_comes_in_the_order_of_the_things(pool, ahead):
    first = threading.Event()

    def slow_first(number):
        if number == 0:
            first.wait(10)
        elif number == 1:
            first.set()
        return 10 * number

    assert list(map_ahead(pool, slow_first, range(7), ahead=ahead)) == [10 * number for number in range(7)]


def test_no_more_is_begun_than_asked_for(pool):
    drawn = []

    def things():
        for number in range(100):
            drawn.append(number)
            yield number

    done = map_ahead(pool, str, things(), ahead=3)
    assert drawn == []
    assert next(done) == "0"
    assert drawn == [0, 1, 2, 3]
    assert next(done) == "1"
    assert drawn == [0, 1, 2, 3, 4]


def test_the_next_one_is_computed_while_the_caller_uses_the_last(pool):
    begun = threading.Event()

    def begin(number):
        if number == 1:
            begun.set()
        return number

    done = map_ahead(pool, begin, range(2), ahead=1)
    next(done)
    assert begun.wait(10)


def test_an_error_is_raised_in_its_place_and_the_rest_is_not_begun():
    begun, gate = [], threading.Event()

    def divide(number):
        begun.append(number)
        if number == 1:
            gate.wait(10)
        return 6 // number

    with ThreadPoolExecutor(1) as pool:
        done = map_ahead(pool, divide, [3, 0, 1, 2], ahead=3)
        assert next(done) == 2
        with pytest.raises(ZeroDivisionError):
            next(done)
        gate.set()
    assert begun in ([3, 0], [3, 0, 1])


def test_results_come_in_the_order_of_the_things_whichever_is_done_first():
    def late_if_even(number):
        time.sleep(0.01 * (number % 2 == 0))
        return number

    assert list(map_on_cores(late_if_even, range(9))) == list(range(9))


def test_things_are_taken_only_a_little_ahead():
    taken = []
    results = map_on_cores(abs, (taken.append(number) or number for number in range(10_000)))
    assert next(results) == 0
    assert len(taken) == AHEAD * os.cpu_count() + 1
    results.close()


def test_two_things_are_worked_on_at_once(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    both = threading.Barrier(2, timeout=10)
    assert sorted(map_on_cores(lambda _: both.wait(), range(2))) == [0, 1]


def test_an_exception_comes_out_and_what_waited_is_not_begun(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    begun = []

    def fail_at_two(number):
        begun.append(number)
        time.sleep(0.01)
        return 1 / (number - 2)

    with pytest.raises(ZeroDivisionError):
        list(map_on_cores(fail_at_two, range(1000)))
    assert len(begun) <= AHEAD


def test_nothing_gives_nothing():
    assert list(map_on_cores(abs, [])) == []
