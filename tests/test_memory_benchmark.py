import importlib.util
import mmap
import sys
from pathlib import Path

import numpy as np
import pytest

# Of the system itself: what another test has freed, the allocator may keep and give out again.
PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
PATH = Path(__file__).parents[1] / "benchmarks" / "memory.py"


@pytest.fixture(scope="module")
def memory():
    spec = importlib.util.spec_from_file_location("memory", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its processes look for it there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def found(peak, final):
    return {"peak_own": peak, "steps": [{"own": 1.0}, {"own": final}]}


@pytest.mark.parametrize(("peak", "verdict"), [(599, "within"), (601, "above")])
def test_the_verdict_is_about_the_difference_of_the_peaks(memory, peak, verdict):
    sentence = memory.compare(found(400, 300), found(peak, 310))
    assert sentence == f"the larger set takes {peak - 400:+d} MB at the peak and +10 MB at the end: {verdict} 200 MB"


def test_a_peak_between_two_looks_is_seen_and_belongs_to_its_step(memory):
    watch = memory.Watch()
    with watch.running():
        before = watch.take("before")
        block = np.frombuffer(mmap.mmap(-1, 2**27, flags=PRIVATE), np.uint8)
        block[:] = 1
        watch.ended.wait(0.3)
        del block
        step = watch.take("block")
        after = watch.take("after")
    assert step["peak"] > before["own"] + 100
    assert step["own"] < step["peak"] - 100
    assert after["peak"] < step["peak"] - 100
    assert watch.peak_own >= step["peak"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not tell files apart")
def test_pages_of_a_mapped_file_are_counted_apart(memory, tmp_path):
    (tmp_path / "large").write_bytes(bytes(2**26))
    before = memory.read_memory()
    mapped = np.memmap(tmp_path / "large", np.uint8, mode="r")
    assert not mapped.any()
    own, files = np.subtract(memory.read_memory(), before)
    assert files > 60
    assert own < 10


def test_a_set_goes_on_where_it_was_cut_off(memory, tmp_path):
    for name in ("Image", "Mask"):
        (tmp_path / "Train" / name).mkdir(parents=True)
    memory.write_sample(tmp_path, 0)
    first = tmp_path / "Train" / "Mask" / "000000.png"
    first.write_bytes(b"kept")
    memory.write_sample(tmp_path, 0)
    assert first.read_bytes() == b"kept"
    memory.write_sample(tmp_path, 1)
    assert len(list((tmp_path / "Train" / "Image").iterdir())) == 2


@pytest.mark.slow
def test_both_sets_are_measured_from_the_table_to_the_network(memory, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["memory.py", "--out", str(tmp_path), "--sizes", "20", "40"])
    memory.main()
    out = capsys.readouterr().out
    assert out.count("training") == 2
    assert "the larger set takes" in out
