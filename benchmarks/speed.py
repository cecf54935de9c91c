"""How fast seglib is beside other ways to train, as ratios measured side by side on the same machine.

    python benchmarks/speed.py --data ../shared/data/isic2016 --out outputs/bench --table results/speed.md

Every measurement is a process of its own; the contenders take turns (A B C A B C ...), so that a machine that slows
down slows all of them, and only those of the same turn are compared. Every row has its first turn before any has its
second, so that a table of fewer turns can be written at any time. What was measured before on the same machine and
revision is not measured again, so a bench goes on after a stop. ``--only epoch,loader`` measures some rows; the row
``reach``, the way to a Dice of 0.92, takes a quarter of an hour a turn, and ``compile`` needs a C++ compiler: both are
measured only so. ``--quick`` tries everything in a minute and means nothing, ``--only-table`` writes the table of what
there is. On a GPU the same command has rows of its own, with networks of the size that a GPU is for. The contenders are
in ``contenders/``, the table is written by ``speed_table.py``.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import torch

from contenders.job import STARTED, Job
from seglib.data.samples import list_samples
from seglib.data.synthetic import write_phantoms
from seglib.downloads import get_data
from seglib.errors import InputError
from seglib.paths import find_data_dir, find_project_root, is_data_dir
from seglib.runs.manifests import describe_machine
from seglib.writing import write_text
from speed_table import describe_speed

HERE = Path(__file__).resolve().parent
SIZES = {"plain": 128, "lite2": 192, "full": 320, "resnet34": 320}  # pixels, by network
VALIDATION = 2  # images held out for seglib, which does not train without any
BATCH = {"plain": 16, "lite2": 16, "full": 32, "resnet34": 32}
QUICK = {"images": 8, "repeats": 2, "size": 32, "batch": 4, "threads": 1}


@dataclass(frozen=True)
class Row:
    """What is measured: who does it, with how many images, how often in a process."""

    name: str
    calls: dict[str, str]
    network: str
    images: int
    epochs: int
    native: bool = False  # with the images at the size of the camera
    prepare: str = ""  # called once before, and not measured
    size: int = 0  # pixels, both sides, if not those of the network
    held_out: float = 0  # share of all images that are left to validate by
    on_demand: bool = False  # measured only where --only names it, as it takes many minutes a turn


START = {"ours_cold": "ours:start_cold", "ours_warm": "ours:start_warm", "plain": "plain:start"}
STEP = {"ours": "ours:step", "plain": "plain:step", "chip": "chip:measure"}
COMPILE = {"ours": "ours:step", "compiled": "ours:step_compiled"}
TRAIN = {"ours": "ours:train", "plain": "plain:train", "monai": "monai_cached:train", "seed": "seed:train"}
GPU_TRAIN = TRAIN | {"compiled": "ours:train_compiled"}
LOAD = {"ours": "ours:load", "plain": "plain:load", "monai": "monai_cached:load"}
REACH = {"ours": "ours:reach", "plain": "plain:reach"}
CPU_ROWS = [
    Row("imports", {"ours": "imports:seglib_modules", "torch": "imports:torch_alone"}, "plain", 0, 1),
    Row("start", START | {"monai": "monai_cached:start"}, "lite2", 800, 1, prepare="ours:fill_cache"),
    Row("step", STEP, "plain", BATCH["plain"], 6),
    Row("epoch", TRAIN, "plain", 128, 2),
    Row("step", STEP, "lite2", BATCH["lite2"], 3),
    Row("epoch", TRAIN, "lite2", 48, 2),
    Row("loader", LOAD, "lite2", 160, 3),
    Row("loader", LOAD, "lite2", 160, 4, native=True),
    Row("predict", {"ours": "ours:predict", "plain": "plain:predict"}, "lite2", 32, 2),
    Row("reach", REACH, "lite2", 10**6, 8, size=128, held_out=0.2, on_demand=True),
    Row("compile", COMPILE, "plain", BATCH["plain"], 6, on_demand=True),
    Row("compile", COMPILE, "lite2", BATCH["lite2"], 3, on_demand=True),
    Row("rle", {"ours": "run_lengths:ours", "coco": "run_lengths:coco", "loop": "run_lengths:loop"}, "plain", 32, 2),
]
GPU_ROWS = [
    Row("step", STEP, "full", BATCH["full"], 20),
    Row("epoch", GPU_TRAIN, "full", 800, 6),
    Row("step", STEP, "resnet34", BATCH["resnet34"], 40),
    Row("epoch", GPU_TRAIN, "resnet34", 800, 6),
    Row("loader", LOAD, "resnet34", 800, 6),
    Row("predict", {"ours": "ours:predict", "plain": "plain:predict"}, "lite2", 320, 3),
    Row("reach", REACH, "lite2", 10**6, 8, size=128, held_out=0.2, on_demand=True),
    Row("compile", COMPILE, "full", BATCH["full"], 20, on_demand=True),
    Row("compile", COMPILE, "resnet34", BATCH["resnet34"], 40, on_demand=True),
]
ROWS = GPU_ROWS if torch.cuda.is_available() else CPU_ROWS


def main() -> None:
    """Measure what is missing and write the table."""
    arguments = _parser().parse_args()
    try:
        bench(arguments)
    except InputError as error:
        sys.exit(str(error))


def bench(arguments: argparse.Namespace) -> None:
    """The rows that were asked for, then the table."""
    out: Path = arguments.out
    (out / "scratch").mkdir(parents=True, exist_ok=True)
    data, native = find_sets(arguments.data, arguments.native, out)
    path, jobs = out / "measurements.jsonl", plan_jobs(data, native, arguments)
    if not arguments.only_table:
        wanted = choose_rows(arguments.only)
        turns = missing_turns([job for job in jobs if job.row in wanted], read_measurements(path))
        prepare_rows(turns, out / "scratch")
        for turn in turns:
            measure_turn(turn, path, out / "scratch")
    records = keep_planned(jobs, read_measurements(path))
    write_text(arguments.table or out / "speed.md", describe_speed(records, quick=arguments.quick))


def find_sets(data: str, native: str | None, out: Path) -> tuple[Path, Path | None]:
    """The folders of the images, and of those at the size of the camera where there are some."""
    if not Path(data).exists() and data == "phantoms":
        data = str(write_phantoms(out / "phantoms", train=200, test=0))
    elif not Path(data).exists() and (data == "isic2016" or data.startswith("kaggle:")):
        data = str(get_data(data, find_project_root() / "data" / data.removeprefix("kaggle:")))
    folder = find_data_dir(data)
    beside = Path(native) if native else folder.parent / "isic_native"
    if native and not is_data_dir(beside):
        raise InputError(f"{native} holds no Train/Image; name another folder for --native, or leave it out")
    return folder, beside if is_data_dir(beside) else None


def choose_rows(only: str | None) -> set[str]:
    """The names of the rows that ``--only`` lists; where it is not given, of all that are not measured on demand."""
    known = {row.name for row in ROWS}
    names = set(only.split(",")) if only else {row.name for row in ROWS if not row.on_demand}
    if names - known:
        raise InputError(f"there is no row {min(names - known)!r}; choose from {', '.join(sorted(known))}")
    return names


def plan_jobs(data: Path, native: Path | None, arguments: argparse.Namespace) -> list[Job]:
    """Every measurement, in the order in which they are made."""
    where, jobs = describe_where(), []
    pairs = {folder: list_pairs(folder) for folder in (data, native) if folder is not None}
    repeats, threads = arguments.repeats, arguments.threads
    if arguments.quick:
        repeats, threads = QUICK["repeats"], QUICK["threads"]
    for row in ROWS:
        folder = native if row.native else data
        if folder is not None:
            job = make_job(row, folder, pairs[folder], quick=arguments.quick, threads=threads, where=where)
            jobs += [
                dataclasses.replace(job, contender=name, call=call, repeat=repeat)
                for repeat in range(repeats)
                for name, call in row.calls.items()
            ]
    return jobs


def make_job(row: Row, folder: Path, pairs: list, *, quick: bool, threads: int, where: str) -> Job:
    """The job of a row, whose contender is still to be named.

    All batches are full, so that nobody gains by dropping a last one that is not; a small set gets small batches.
    """
    held_out = max(VALIDATION, round(row.held_out * len(pairs)))
    room = len(pairs) - held_out
    if room < 1:
        raise InputError(f"{folder} holds {len(pairs)} image(s); a bench needs {VALIDATION + 1}")
    batch = min(QUICK["batch"] if quick else BATCH[row.network], max(1, room // 2))
    count = min(row.images, QUICK["images"] if quick else row.images, room) // batch * batch
    places = np.linspace(0, len(pairs) - 1, count + held_out).round().astype(int)
    if row.held_out:  # names may follow what is shown, so that the last ones would be of one kind
        places = np.random.default_rng(0).permutation(places)
    chosen = [pairs[place] for place in places]
    size = QUICK["size"] if quick else row.size or SIZES[row.network]
    shape = {"network": row.network, "image_size": size, "batch_size": batch, "images": count, "epochs": row.epochs}
    who = {"row": row.name, "contender": "", "call": "", "repeat": 0, "data": str(folder)}
    return Job(**who, **shape, workers=threads, threads=threads, augment=True, where=where, pairs=tuple(chosen))


def list_pairs(folder: Path) -> list[tuple[str, str]]:
    """The files of every training image and of its mask."""
    samples = list_samples(folder)
    return list(zip(samples["image_path"], samples["mask_path"], strict=True))


def describe_where() -> str:
    """Machine, versions and revision: measurements of two of them are never compared."""
    machine = describe_machine()
    versions = ", ".join(f"{name} {machine['versions'][name]}" for name in ("torch", "albumentations", "numpy"))
    return f"{machine['processors']} processors ({machine['platform']}), {versions}, revision {machine['git_revision']}"


def identify(job: Job) -> dict:
    """What a measurement is known by."""
    return {name: value for name, value in dataclasses.asdict(job).items() if name not in {"pairs", "scratch"}}


def read_measurements(path: Path) -> list[dict]:
    """The records ``job`` and ``result`` of a file of JSON lines; a last line that was cut off is passed over."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records


def keep_measurement(path: Path, record: dict) -> None:
    """Add a line to the file, below one that may have been cut off."""
    whole = not path.exists() or path.read_bytes()[-1:] in {b"", b"\n"}
    with path.open("a", encoding="utf-8") as file:
        file.write(("" if whole else "\n") + json.dumps(record) + "\n")


def keep_planned(jobs: list[Job], records: list[dict]) -> list[dict]:
    """The last record of every job of the plan."""
    planned = [identify(job) for job in jobs]
    last = {json.dumps(record["job"], sort_keys=True): record for record in records if record["job"] in planned}
    return list(last.values())


def missing_turns(jobs: list[Job], records: list[dict]) -> list[list[Job]]:
    """The turns in which somebody was not measured yet: the first of all rows, then the second of all rows.

    All who take part in such a turn are measured again, as they are compared with each other.
    """
    turns: dict[tuple, list[Job]] = {}
    for job in sorted(jobs, key=lambda job: job.repeat):
        turns.setdefault((job.repeat, job.row, job.network, job.data), []).append(job)
    done = [record["job"] for record in records]
    return [turn for turn in turns.values() if any(identify(job) not in done for job in turn)]


def prepare_rows(turns: list[list[Job]], scratch: Path) -> None:
    """Do what has to be there before some contenders are measured."""
    for row in ROWS:
        first = next((turn[0] for turn in turns if turn[0].row == row.name), None)
        if row.prepare and first is not None:
            run_job(dataclasses.replace(first, contender="preparation", call=row.prepare, scratch=str(scratch)))


def measure_turn(turn: list[Job], path: Path, scratch: Path) -> None:
    """Measure all contenders once, one after the other, and keep each result at once."""
    read_through(turn[0])
    for job in turn:
        result = run_job(dataclasses.replace(job, scratch=str(scratch)))
        keep_measurement(path, {"job": identify(job), "result": result})
        where = f"{job.row} {job.network} {Path(job.data).name}, turn {job.repeat + 1}"
        print(f"{where}: {job.contender} took {result['whole_seconds']:.1f} s", flush=True)


def read_through(job: Job) -> None:
    """Read every file once, so that none of the contenders is the one that waits for the disk."""
    for pair in job.pairs:
        for name in pair:
            Path(name).read_bytes()


def run_job(job: Job) -> dict:
    """Run a contender in a process of its own: its result, with its peak memory in bytes.

    Raises:
        RuntimeError: with the last words of a contender that failed.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "contenders"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment(job),
    )  # fmt: skip
    peak = [0]
    gauge = threading.Thread(target=_watch_memory, args=(process, peak), daemon=True)
    gauge.start()
    try:
        said, errors = process.communicate(json.dumps(dataclasses.asdict(job)))
    finally:
        process.kill()
    gauge.join()
    if process.returncode:
        raise RuntimeError(f"{job.contender} ({job.call}) failed: {' / '.join(errors.splitlines()[-3:])}")
    return json.loads(said.splitlines()[-1]) | {"memory": peak[0]}


def _environment(job: Job) -> dict[str, str]:
    """That of this process, with the same number of threads for all and the packages of this folder."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(job.threads))
    path = os.pathsep.join([str(HERE), str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | threads | {"PYTHONPATH": path, STARTED: repr(time.time()), "NO_ALBUMENTATIONS_UPDATE": "1"}


def _watch_memory(process: subprocess.Popen, peak: list[int]) -> None:
    """The most that a process and its children hold together, asked twice a second; what they share counts once."""
    pause = 0.05  # a short process has to be asked more often, and a long one less, as asking costs it time
    while process.poll() is None:
        try:
            parent = psutil.Process(process.pid)
            infos = [one.memory_full_info() for one in (parent, *parent.children(recursive=True))]
            peak[0] = max(peak[0], sum(getattr(info, "pss", info.uss) for info in infos))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            pass  # one of them has just ended
        time.sleep(pause)
        pause = min(0.5, 1.5 * pause)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, metavar="DIR", help="a folder with Train/Image, or phantoms")
    parser.add_argument(
        "--native", metavar="DIR", help="images at the size of the camera (default: isic_native beside)"
    )
    parser.add_argument("--out", type=Path, default=Path("outputs/bench"), metavar="DIR", help="where results are kept")
    parser.add_argument("--table", type=Path, metavar="FILE", help="the table, in Markdown (default: in the folder)")
    parser.add_argument("--only", metavar="ROWS", help="rows to measure, such as epoch,loader")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="turns (default: %(default)s)")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser.add_argument(
        "--threads", type=int, default=cores, metavar="N", help="of each (default: the cores, %(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="try everything; the numbers mean nothing")
    parser.add_argument("--only-table", action="store_true", help="measure nothing")
    return parser


if __name__ == "__main__":
    main()
