import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
from seglib.machine.allocator import keep_freed_memory

kept = keep_freed_memory() if "keep" in sys.argv else False
def touch(): np.ones(16 * 2**20)  # 128 MiB
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5): touch()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
HELD = """
import os
import numpy as np
from seglib.machine import allocator

def held(): return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
allocator.keep_freed_memory()
blocks = [np.ones(4 * 2**20) for _ in range(8)]  # 32 MiB each
last = np.ones(2**20)  # in use behind them
del blocks
kept = held()
allocator.give_back_memory()
print(kept - held(), last.sum() == 2**20)
"""
on_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such switch")


def run_alone(script, *words, **variables):
    env = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")} | variables
    done = subprocess.run([sys.executable, "-c", script, *words], env=env, capture_output=True, text=True, check=True)
    return done.stdout.split()


def count_faults(*words, **variables):
    kept, faults = run_alone(FAULTS, *words, **variables)
    return kept == "True", int(faults)


@on_glibc
def test_a_block_that_was_freed_is_used_again_and_not_asked_of_the_system_anew():
    assert count_faults("keep")[0]
    assert count_faults("keep")[1] < count_faults()[1] / 10


@on_glibc
def test_what_is_free_can_be_given_back_though_something_behind_it_is_in_use():
    given_back, intact = run_alone(HELD)
    assert float(given_back) > 240  # of 256 MiB
    assert intact == "True"


@on_glibc
def test_a_choice_made_in_the_environment_stands():
    kept, faults = count_faults("keep", MALLOC_MMAP_MAX_="65536")
    assert not kept
    assert faults > 1000


def test_other_systems_are_left_alone(monkeypatch):
    from seglib.machine import allocator

    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(allocator.ctypes, "CDLL", None)
    assert not allocator.keep_freed_memory()
    allocator.give_back_memory()


@pytest.mark.parametrize(("given", "expected"), [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_threads_that_wait_for_others_soon_sleep_unless_somebody_has_it_otherwise(given, expected):
    """OpenMP reads it when torch is loaded, so the package itself must not load torch before it is there."""
    words = "import sys, seglib, os; print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    rest = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    done = subprocess.run([sys.executable, "-c", words], env=rest | given, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [expected, "False"]


@pytest.mark.parametrize(("before", "after"), [(700, 10_000), (50_000, 50_000), (0, 0)])
def test_garbage_is_looked_for_less_often_but_as_often_as_somebody_said(before, after):
    words = f"import gc; gc.set_threshold({before}, 7, 9); import seglib; print(gc.get_threshold())"
    said = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True).stdout
    assert said.strip() == f"({after}, 7, 9)"
