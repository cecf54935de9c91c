"""Does memory grow with the number of images? What 02_training does, for a small and for a large set of phantoms.

    python benchmarks/memory.py --out outputs/memory
    python benchmarks/memory.py --out outputs/memory --sizes 1000 20000

Each set is written once and used again; each is gone through by a process of its own: the table of samples, what the
images look like, folds, the cache, and a tiny network that takes the same number of steps in both. Memory is what the
process has for itself (RssAnon) and, apart, the pages of files it has mapped (RssFile), which the system takes back
when it needs the room; where a system does not tell them apart, all of it is "own".
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import psutil

from seglib.data.synthetic import draw_phantom

SIDE = 32  # pixels of a phantom
MEGABYTE = 2**20
GOAL = 200  # MB that the larger set may take more
TINY = {"width": 4, "image_size": 32, "batch_size": 16, "epochs": 1, "max_steps": 40, "augment": "none", "devices": 1}


def main() -> None:
    """Measure both sets and print what they take; or, as a process of its own, one of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="for sets and runs, some GB")
    parser.add_argument("--sizes", nargs=2, type=int, default=(1_000, 100_000), metavar="N", help="images of both sets")
    parser.add_argument("--only", type=int, metavar="N", help="measure this set, in this process")
    arguments = parser.parse_args()
    if arguments.only is not None:
        print(json.dumps(measure_set(arguments.out / f"set_{arguments.only}", arguments.out / f"run_{arguments.only}")))
        return
    found = []
    for size in arguments.sizes:
        write_set(arguments.out / f"set_{size}", size)
        found.append(_measure_apart(arguments.out, size))
        print(describe(size, found[-1]), flush=True)
    print(compare(*found))


def write_set(folder: Path, count: int) -> None:
    """Write phantoms in the real folder tree; those that are there already stay."""
    if (folder / "complete").exists():
        return
    for part in ("Image", "Mask"):
        (folder / "Train" / part).mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        list(pool.map(partial(write_sample, folder), range(count), chunksize=500))
    (folder / "complete").write_text("")


def write_sample(folder: Path, index: int) -> None:
    """Write one phantom, and its mask last: both are there, or it is drawn again."""
    name = f"{index:06d}"
    mask_path = folder / "Train" / "Mask" / f"{name}.png"
    if not mask_path.exists():
        image, mask = draw_phantom(np.random.default_rng([7, index]), SIDE, SIDE)
        cv2.imwrite(str(folder / "Train" / "Image" / f"{name}.jpg"), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        cv2.imwrite(str(mask_path), mask)


def _measure_apart(out: Path, size: int) -> dict:
    words = [sys.executable, __file__, "--out", str(out), "--only", str(size)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure_set(data_dir: Path, output_dir: Path) -> dict:
    """What 02_training does, and the memory that its steps take.

    Returns:
        ``steps``, a list of name, seconds, and after it ``own`` and ``files`` in MB; ``peak_own`` and ``peak_files``.
    """
    import dataclasses

    from seglib.batches.loaders import make_loaders
    from seglib.checks.facts import measure_samples
    from seglib.config import make_config
    from seglib.data.folds import prepare_folds, split_samples
    from seglib.data.groups import join_groups
    from seglib.data.samples import list_samples
    from seglib.images.scales import probe_images
    from seglib.paths import resolve_output_dir
    from seglib.training.members import fit_members

    output = resolve_output_dir(output_dir.absolute(), create=True)
    for left in [output / "history.csv", *(output / "checkpoints").glob("*.ckpt")]:
        left.unlink(missing_ok=True)  # so that training begins anew
    steps, watch = [], Watch()
    with watch.running():
        steps.append(watch.take("start"))
        samples = list_samples(data_dir)
        channels, scale = probe_images(samples["image_path"], samples["mask_path"])
        steps.append(watch.take("list the samples"))
        measured = measure_samples(samples, scale=scale)
        steps.append(watch.take("measure them, find near-duplicates"))
        config = make_config("baseline", in_channels=channels, **scale._asdict(), **TINY)
        groups = join_groups(measured, data_dir)
        rule = {"n_folds": config.n_folds, "seed": config.seed, "groups": groups}
        folds = prepare_folds(output / "folds.csv", samples, measured["mask_share"].to_numpy(), **rule)
        steps.append(watch.take("folds"))
        loaders = make_loaders(*split_samples(samples, folds, config.fold), config, output / "cache")
        next(iter(loaders[0]))
        steps.append(watch.take("cache and first batch"))
        fit_members(samples, folds, dataclasses.replace(config), output, output / "cache")
        steps.append(watch.take("training"))
    return {"steps": steps, "peak_own": watch.peak_own, "peak_files": watch.peak_files}


class Watch:
    """Looks at the memory of this process twenty times a second."""

    def __init__(self) -> None:
        self.peak_own = self.peak_files = 0.0
        self.step_peak, self.begun = 0.0, time.perf_counter()
        self.ended = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Look on while something runs."""
        looking = threading.Thread(target=self._look, daemon=True)
        looking.start()
        try:
            yield
        finally:
            self.ended.set()
            looking.join()

    def _look(self) -> None:
        while not self.ended.wait(0.05):
            own, files = read_memory()
            self.peak_own, self.peak_files = max(self.peak_own, own), max(self.peak_files, files)
            self.step_peak = max(self.step_peak, own)

    def take(self, name: str) -> dict:
        """The step that ends now; it is also said at once, as large sets take long."""
        own, files = read_memory()
        now = time.perf_counter()
        step = {"name": name, "seconds": now - self.begun, "peak": max(self.step_peak, own), "own": own, "files": files}
        self.begun, self.step_peak = now, 0.0
        print(_line(step), file=sys.stderr, flush=True)
        return step


def read_memory() -> tuple[float, float]:
    """MB that this process has for itself, and of files it has mapped."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        facts = dict(line.split(":", 1) for line in lines)
        own, files, shared = (int(facts[name].split()[0]) for name in ("RssAnon", "RssFile", "RssShmem"))
        return own / 1024, (files + shared) / 1024
    except (OSError, KeyError):
        return psutil.Process().memory_info().rss / MEGABYTE, 0.0


def describe(size: int, found: dict) -> str:
    """One set in lines of text."""
    lines = [f"{size} images", f"{'step':36}{'seconds':>9}{'peak MB':>9}{'then':>9}{'files':>9}"]
    lines += map(_line, found["steps"])
    return "\n".join([*lines, f"peak: own {found['peak_own']:.0f} MB, files {found['peak_files']:.0f} MB", ""])


def _line(step: dict) -> str:
    numbers = "".join(f"{step[name]:9.0f}" for name in ("peak", "own", "files"))
    return f"{step['name']:36}{step['seconds']:9.1f}{numbers}"


def compare(small: dict, large: dict) -> str:
    """Whether memory grows, in a sentence."""
    peak = large["peak_own"] - small["peak_own"]
    final = large["steps"][-1]["own"] - small["steps"][-1]["own"]
    verdict = "within" if peak < GOAL else "above"
    return f"the larger set takes {peak:+.0f} MB at the peak and {final:+.0f} MB at the end: {verdict} {GOAL} MB"


if __name__ == "__main__":
    main()
