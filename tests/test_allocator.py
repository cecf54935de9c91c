import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
from seglib.allocator import keep_freed_memory

kept = keep_freed_memory() if "keep" in sys.argv else False
def touch(): np.ones(16 * 2**20)  # 128 MiB
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5): touch()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
on_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such switch")


def count_faults(*words, **variables):
    env = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")} | variables
    done = subprocess.run([sys.executable, "-c", FAULTS, *words], env=env, capture_output=True, text=True, check=True)
    kept, faults = done.stdout.split()
    return kept == "True", int(faults)


@on_glibc
def test_a_block_that_was_freed_is_used_again_and_not_asked_of_the_system_anew():
    assert count_faults("keep")[0]
    assert count_faults("keep")[1] < count_faults()[1] / 10


@on_glibc
def test_a_choice_made_in_the_environment_stands():
    kept, faults = count_faults("keep", MALLOC_MMAP_MAX_="65536")
    assert not kept
    assert faults > 1000


def test_other_systems_are_left_alone(monkeypatch):
    from seglib import allocator

    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(allocator.ctypes, "CDLL", None)
    assert not allocator.keep_freed_memory()
