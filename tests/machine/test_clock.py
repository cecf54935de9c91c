import time

import pytest

from seglib.machine import clock
from seglib.machine.clock import is_time_up


@pytest.mark.parametrize(
    ("hours", "age", "epoch", "expected"),
    [(0, 9e9, 9e9, False), (1, 3000, 400, False), (1, 3000, 600, True), (1, 4000, 0, True)],
)
def test_time_is_up_when_another_epoch_might_not_end_in_time(monkeypatch, hours, age, epoch, expected):
    monkeypatch.setenv(clock.STARTED, str(time.time() - age))
    assert is_time_up(hours, epoch) is expected


def test_the_clock_runs_since_the_process_began(monkeypatch):
    monkeypatch.delenv(clock.STARTED, raising=False)
    now = time.time()
    assert now - 3600 < clock.start_of_clock() < now
