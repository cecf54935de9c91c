import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from seglib.ahead import map_ahead


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
