"""Measurements -> ratios -> the table. Nothing here measures, and nothing is written that was not measured."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

from contenders.job import ENOUGH

Records = list[dict]  # each a ``job`` and its ``result``
Turns = dict[int, dict]  # results by repeat

NETWORKS = {"plain": "plain U-Net, width 16", "lite2": "U-Net with EfficientNet-Lite2"}
GPU_NETWORKS = {"full": "plain U-Net, width 64", "resnet34": "U-Net with ResNet-34"}
CPU_LEAST, GPU_LEAST = {"plain": 1.5, "monai": 1.5}, {"seed": 4.0}  # times as fast in later epochs
GPU_SPEEDS = {("full", "ours"): 700, ("resnet34", "compiled"): 1600}  # images a second that an H200 is to train
OTHERS = {
    "compiled": "ours, compile=true",
    "seed": "the seed's way",
    "plain": "plain PyTorch and smp",
    "monai": "MONAI, cached",
    "coco": "pycocotools",
    "loop": "a loop over the pixels",
}
UNITS = {"times": (1, "{:.2f}", " times"), "share": (100, "{:.1f}", " %"), "s": (1, "{:.2f}", " s")}
UNITS |= {"longer": (1, "{:.2f}", " times as long"), "epochs": (1, "{:.2f}", " epochs")}
UNITS |= {"MB": (1e-6, "{:.0f}", " MB"), "images/s": (1, "{:.0f}", " images/s")}


class Target(NamedTuple):
    """What the median has to be: at least, or under."""

    sense: str
    number: float

    def is_met(self, number: float) -> bool:
        """Whether it is."""
        return number >= self.number if self.sense == "at least" else number < self.number


@dataclass(frozen=True)
class Line:
    """One line of the table: a number for every turn in which it could be had."""

    what: str
    against: str
    numbers: list[float]
    unit: str = "times"  # so many times as fast
    target: Target | None = None


def describe_speed(records: Records, *, quick: bool) -> str:
    """The page: what was measured where and how, the table with its targets, and what only a GPU has."""
    parts = [_introduction(records, quick), _table(list_lines(records))]
    if any(record["result"].get("device", "cpu") != "cpu" for record in records):
        parts.append(_gpu_part(records))
    return "\n".join([*parts, _method(records)])


def list_lines(records: Records) -> list[Line]:
    """All lines; those that were not measured have no numbers."""
    lines = []
    for network in _list_networks(records):
        lines += _training_lines(records, network)
    sets = dict.fromkeys(record["job"]["data"] for record in records if record["job"]["row"] == "loader")
    for place, data in enumerate(sets or [""]):
        lines += _loader_lines(records, data, native=place > 0)
    return [*lines, *_reach_lines(records), *_start_lines(records), *_other_lines(records)]


def _list_networks(records: Records) -> dict[str, str]:
    """Those that were trained, or on a CPU would be; a GPU trains larger ones."""
    trained = {record["job"]["network"] for record in records if record["job"]["row"] in {"step", "epoch"}}
    return GPU_NETWORKS if trained & GPU_NETWORKS.keys() else NETWORKS


def select(records: Records, row: str, contender: str, **job: str) -> Turns:
    """The results of a contender by repeat."""
    wanted = {"row": row, "contender": contender} | job
    found = (one for one in records if all(one["job"][name] == value for name, value in wanted.items()))
    return {one["job"]["repeat"]: one["result"] for one in found}


def pair_ratios(ours: Turns, theirs: Turns, seconds: Callable[[dict], float]) -> list[float]:
    """How many times as fast we are, turn by turn: their seconds over ours of the same repeat.

    Raises:
        ValueError: if the two did not see the same number of images.
    """
    shared = sorted(ours.keys() & theirs.keys())
    for repeat in shared:
        if ours[repeat]["images"] != theirs[repeat]["images"]:
            raise ValueError(f"{ours[repeat]['images']} and {theirs[repeat]['images']} images cannot be compared")
    return [seconds(theirs[repeat]) / seconds(ours[repeat]) for repeat in shared]


def first(result: dict) -> float:
    """Seconds of the first epoch, with what is made for it."""
    return result["seconds"][0]


def later(result: dict) -> float:
    """Seconds of an epoch after the first: their median."""
    return median(result["seconds"][1:])


def later_ratios(ours: Turns, theirs: Turns) -> list[float]:
    """``pair_ratios`` of later epochs; of a single turn, those of its epochs one by one, which show the spread."""
    if len(ours.keys() & theirs.keys()) != 1:
        return pair_ratios(ours, theirs, later)
    repeat = min(ours.keys() & theirs.keys())
    pair_ratios(ours, theirs, later)  # of the same images
    return [b / a for a, b in zip(ours[repeat]["seconds"][1:], theirs[repeat]["seconds"][1:], strict=False)]


def describe_numbers(numbers: list[float], unit: str) -> str:
    """Median and range.

    Example:
        >>> describe_numbers([2.0, 1.5, 4.0], "times")
        '2.00 (1.50 to 4.00) times'
    """
    if not numbers:
        return "not measured"
    factor, form, name = UNITS[unit]
    middle, low, high = (form.format(factor * number) for number in (median(numbers), min(numbers), max(numbers)))
    return f"{middle} ({low} to {high}){name}"


def judge(line: Line) -> tuple[str, str]:
    """The target of a line in words, and whether the median meets it; both empty where there is none."""
    if line.target is None:
        return "", ""
    factor, _, name = UNITS[line.unit]
    words = f"{line.target.sense} {factor * line.target.number:g}{name}"
    if not line.numbers:
        return words, "not measured"
    return words, "met" if line.target.is_met(median(line.numbers)) else "missed"


def _training_lines(records: Records, network: str) -> list[Line]:
    name, ours = (NETWORKS | GPU_NETWORKS)[network], select(records, "epoch", "ours", network=network)
    gpu = network in GPU_NETWORKS
    steps = {who: select(records, "step", who, network=network) for who in ("ours", "plain", "chip")}
    lines = [Line(f"training step, {name}", OTHERS["plain"], pair_ratios(steps["ours"], steps["plain"], first))]
    lines += _compile_lines(records, network, name)
    for part in ("first epoch", "later epoch"):
        for who in ("seed", "plain", "monai"):
            theirs = select(records, "epoch", who, network=network)
            if part == "first epoch":
                lines.append(Line(f"{part}, {name}", OTHERS[who], pair_ratios(ours, theirs, first)))
                continue
            least = (GPU_LEAST if gpu else CPU_LEAST).get(who)
            target = Target("at least", least) if least else None
            lines.append(Line(f"{part}, {name}", OTHERS[who], later_ratios(ours, theirs), target=target))
    seed = select(records, "epoch", "seed", network=network)
    prepared = [result["preparation"] / later(result) for result in seed.values()]
    waits = [median(result["wait_share"][1:]) for result in ours.values() if result.get("wait_share", [])[1:]]
    lines += [
        Line(f"preparation of the seed's way, {name}", "its own later epochs", prepared, "epochs"),
        Line(
            f"later epoch, {name}",
            "our step without loader (the ceiling)",
            _ceiling_shares(ours, steps["ours"]),
            "share",
            Target("at least", 0.95) if gpu else None,
        ),
        Line(f"that step, {name}", "what the chip multiplies at most", _chip_shares(steps), "share"),
        Line(f"waiting for the loader, {name}", "the epoch", waits, "share", Target("under", 0.05)),
    ]
    if gpu:
        lines += _gpu_lines(records, network, name)
    for who in ("ours", "seed", "plain", "monai"):
        peaks = [result["memory"] for result in select(records, "epoch", who, network=network).values()]
        lines.append(Line(f"peak memory of training, {name}", OTHERS.get(who, "ours"), peaks, "MB"))
    return lines


def _compile_lines(records: Records, network: str, name: str) -> list[Line]:
    """What ``compile=true`` gives in every step, and how long the compilation and two steps take."""
    plain, compiled = (select(records, "compile", who, network=network) for who in ("ours", "compiled"))
    ratios = pair_ratios(compiled, plain, first)
    seconds = [result["preparation"] for result in compiled.values()]
    what = f"training step with compile=true, {name}"
    return [Line(what, "ours without it", ratios), Line(f"compiling, {name}", "the clock", seconds, "s")]


def _gpu_lines(records: Records, network: str, name: str) -> list[Line]:
    """Images a second, and what ``compile=true`` gives in every epoch but the first, which waits for it."""
    turns, lines = {who: select(records, "epoch", who, network=network) for who in ("ours", "compiled")}, []
    for who, what in (("ours", ""), ("compiled", " with compile=true")):
        speeds = [result["images"][-1] / later(result) for result in turns[who].values()]
        least = GPU_SPEEDS.get((network, who))
        target = Target("at least", least) if least else None
        lines.append(Line(f"later epoch{what}, {name}", "the clock", speeds, "images/s", target))
    seconds = [first(result) for result in turns["compiled"].values()]
    return [
        *lines,
        Line(
            f"later epoch with compile=true, {name}", "ours without it", later_ratios(turns["compiled"], turns["ours"])
        ),
        Line(f"first epoch with compile=true, {name}", "the clock", seconds, "s"),
    ]


def _ceiling_shares(epochs: Turns, steps: Turns) -> list[float]:
    """The part of an epoch that its steps alone would take."""
    shares = []
    for repeat in sorted(epochs.keys() & steps.keys()):
        epoch, step = epochs[repeat], steps[repeat]
        shares.append(first(step) * epoch["images"][-1] / step["images"][0] / later(epoch))
    return shares


def _chip_shares(steps: dict[str, Turns]) -> list[float]:
    """Operations of a step in a second, as a part of what the chip did at most."""
    ours, chip = steps["ours"], steps["chip"]
    return [
        chip[repeat]["flops_per_image"] * ours[repeat]["images"][0] / first(ours[repeat]) / chip[repeat]["peak"]
        for repeat in sorted(ours.keys() & chip.keys())
    ]


def _loader_lines(records: Records, data: str, *, native: bool) -> list[Line]:
    name = Path(data).name
    ours, lines = select(records, "loader", "ours", data=data), []
    targets = {("first", "plain"): 1.0, ("later", "plain"): 15.0} if native else {("later", "plain"): 2.0}
    for part, seconds in (("first", first), ("later", later)):
        for who in ("plain", "monai"):
            ratios = pair_ratios(ours, select(records, "loader", who, data=data), seconds)
            target = Target("at least", targets[part, who]) if (part, who) in targets else None
            lines.append(Line(f"loader alone, {part} epoch, {name}", OTHERS[who], ratios, target=target))
    return lines


def _reach_lines(records: Records) -> list[Line]:
    """How long it took to good masks, and in how many epochs; a contender that never had them needed forever."""
    turns = {who: select(records, "reach", who) for who in ("ours", "plain")}
    what = f"training to a Dice of {ENOUGH}, {NETWORKS['lite2']}"
    lines = [Line(what, OTHERS["plain"], pair_ratios(turns["ours"], turns["plain"], first))]
    for who, name in (("ours", "ours"), ("plain", OTHERS["plain"])):
        epochs = [result["epochs"] or float("inf") for result in turns[who].values()]
        lines.append(Line("epochs to it", name, epochs, "epochs"))
    return lines


def _start_lines(records: Records) -> list[Line]:
    turns = {who: select(records, "start", who) for who in ("ours_cold", "ours_warm", "plain", "monai")}
    lines = [
        Line(f"start to first batch, {state}", OTHERS[who], pair_ratios(turns[f"ours_{state}"], turns[who], first))
        for state in ("cold", "warm")
        for who in ("plain", "monai")
    ]
    seconds = [first(result) for result in turns["ours_warm"].values()]
    return [*lines, Line("start to first batch, warm", "the clock", seconds, "s", Target("under", 3))]


def _other_lines(records: Records) -> list[Line]:
    predict, encode, imports = (
        {who: select(records, row, who) for who in ("ours", "plain", "coco", "loop", "torch")}
        for row in ("predict", "rle", "imports")
    )
    longer = pair_ratios(imports["torch"], imports["ours"], first)
    coco, loop = (pair_ratios(encode["ours"], encode[who], later) for who in ("coco", "loop"))
    return [
        Line("files to masks", "a plain loop, file by file", pair_ratios(predict["ours"], predict["plain"], later)),
        Line("masks to run lengths and back", OTHERS["coco"], coco),
        Line("masks to run lengths and back", OTHERS["loop"], loop),
        Line("all imports of our notebooks", "import of torch alone", longer, "longer"),
    ]


def _table(lines: list[Line]) -> str:
    """The lines that have numbers, and those that should have."""
    rows = ["| what | against | median (lowest to highest) | numbers | target | |", "|---|---|---|---|---|---|"]
    for line in lines:
        if not line.numbers and line.target is None:
            continue
        cells = [
            line.what,
            line.against,
            describe_numbers(line.numbers, line.unit),
            str(len(line.numbers)),
            *judge(line),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([*rows, ""])


def _gpu_part(records: Records) -> str:
    """Images a second, and how busy the GPU was: numbers that can be held against those of the same card elsewhere."""
    header = "| training | who | later epochs | GPU busy, first epoch included | GPU memory |"
    rows = ["## On the GPU", "", header, "|---|---|---|---|---|"]
    for network, name in _list_networks(records).items():
        for who in ("ours", "compiled", "plain", "monai", "seed"):
            turns = select(records, "epoch", who, network=network).values()
            if not turns:
                continue
            speeds = [turn["images"][-1] / later(turn) for turn in turns]
            shown = [describe_numbers(speeds, "images/s")]
            for key, unit in (("gpu_busy", "share"), ("gpu_memory", "MB")):
                shown.append(describe_numbers([turn[key] for turn in turns if turn.get(key) is not None], unit))
            rows.append(f"| {name} | {OTHERS.get(who, 'ours')} | {' | '.join(shown)} |")
    return "\n".join([*rows, ""])


def _introduction(records: Records, quick: bool) -> str:
    jobs = [record["job"] for record in records]
    places = sorted({f"{job['where']}, {job['threads']} thread(s) each" for job in jobs})
    devices = sorted({record["result"].get("device", "cpu") for record in records} - {"cpu"})
    warning = "\n**A smoke run of a few tiny images: these numbers mean nothing.**\n" if quick else ""
    return f"""# How fast seglib is beside other ways to train
{warning}
"2 times" means that the other takes twice as long as seglib for the same images on the same machine. The two were
measured one after the other in the same turn, each in processes of its own; the middle one of the turns stands first,
then the lowest and the highest; of a single turn, those of its later epochs. A target is met where the middle one
meets it.

Measured on {"; ".join([*places, *devices]) or "nothing yet"}.
"""


def _method(records: Records) -> str:
    """What was compared, with the numbers of the jobs themselves."""
    shapes = {}
    for record in records:
        job = record["job"]
        if job["images"]:
            size = f"{job['images']} images of {Path(job['data']).name}"
            what = f"{job['row']}, {(NETWORKS | GPU_NETWORKS)[job['network']]}"
            place = f"{what}: {size} at {job['image_size']} px, batch {job['batch_size']}"
            shapes[place] = None
    native = len({record["job"]["data"] for record in records if record["job"]["row"] == "loader"}) > 1
    missing = (
        "" if native else "\nNo images at the size of a camera (isic_native) were at hand: that row is left out.\n"
    )
    listed = "\n".join(f"- {shape}" for shape in shapes)
    return f"""## What was compared

- seglib: `make_loaders` and `training.fit`, as in `02_training`, in the precision that `auto` chooses. The first epoch
  holds the building of the cache. Its validation and checkpoints are left out, as the others have none.
- the seed's way: all images decoded and augmented once, in memory, before training (reported apart); float32, in which
  torch lets a GPU round what it convolves to TF32.
- plain PyTorch and smp: a Dataset that reads, resizes and augments, and workers, as many as cores; float32.
- MONAI, cached: CacheDataset and ThreadDataLoader, with its own flips, turns and affine step, and the elastic and
  colour steps of all others; float32 on a CPU, mixed precision on a GPU. Its first epoch fills the cache.
- The loader alone: the same number of workers for seglib and plain PyTorch; images go through, and no network. Every
  image once an epoch: with seglib, which does not train without any to validate by, two of them by the second loader.
- The same network with random weights, the same augmentation, and Adam or AdamW for all; ours also clips gradients and
  averages weights where its preset does.
- compile=true: a step on a batch that is ready, compiled and not; compiling holds two steps. Only `--only compile`
  measures it, where there is a C++ compiler. On a GPU whole epochs are trained with it too, the first with compiling.
- On a GPU the workers of seglib begin an epoch while it validates, so that the first batches are ready; what they do
  then is not in its time.
- Training to a Dice: the mean of the held-out images, a fifth of all, each at the size of the network, looked at after
  every epoch. Encoders begin with ImageNet's weights. Ours is the preset best planned for eight epochs, the other one
  Adam at 1e-4 as in the tutorial of smp; preparation and validation count. Only `--only reach` measures it.
- Start: from that of the process to the first batch, with all imports but without a network; warm means
  that the cache is there.
- The chip's limit is the quickest of a few large matrix products, in float32 on a CPU and bfloat16 on a GPU; operations
  are counted in convolutions and matrix products, forward and backward.
- Memory is that of all processes of a contender, shared pages once, asked twice a second.
{missing}
{listed}

Made by `make bench`; each contender is a file in `benchmarks/contenders`.
"""
